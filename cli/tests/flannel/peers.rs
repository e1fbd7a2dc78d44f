//! A peer that is no daemon of ours: a plain client of etcd plays it, as any flanneld of the world would write.

use crate::stage::{PREFIX, Stage};

const CONFIG: &str = r#"{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{"Type":"vxlan"}}"#;

fn lease(machine: &str, mac: &str) -> String {
    format!(
        r#"{{"PublicIP":"{machine}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}"#
    )
}

/// What machine 0 holds of the peer: its route, its neighbour, its forwarding entries.
fn held(stage: &Stage) -> (String, String, String) {
    let show = |argv: &[&str]| stage.net.exec(0, argv).unwrap_or_default().trim().to_string();
    let entries = show(&["bridge", "fdb", "show", "dev", "flannel.1"]);
    let entries: Vec<&str> =
        entries.lines().filter(|line| line.contains("192.168.99.20")).map(str::trim).collect();
    (
        show(&["ip", "route", "show", "10.5.200.0/24"]),
        show(&["ip", "neighbour", "show", "10.5.200.0"]),
        entries.join("\n"),
    )
}

#[test]
fn a_peer_joins_renews_changes_its_mac_moves_and_leaves() {
    let Some(mut stage) = Stage::up(1, CONFIG) else { return };
    stage.start_all(&["--iface=eth0"]);
    let key = format!("{PREFIX}/subnets/10.5.200.0-24");
    // As flannel renews: a new lease of the store, and the key put again.
    let put = |value: &str| {
        let granted = stage.etcdctl(&["lease", "grant", "86400"]).expect("a lease");
        let id = granted.split(' ').nth(1).expect("lease ID granted with TTL");
        stage.etcdctl(&["put", "--lease", id, &key, value]).expect("a put");
    };
    let steps = [
        ("joins", "192.168.99.200", "0a:00:00:00:00:01"),
        ("renews", "192.168.99.200", "0a:00:00:00:00:01"),
        ("changes its MAC", "192.168.99.200", "0a:00:00:00:00:02"),
        ("moves", "192.168.99.201", "0a:00:00:00:00:02"),
    ];
    for (what, machine, mac) in steps {
        put(&lease(machine, mac));
        let expected = (
            "10.5.200.0/24 via 10.5.200.0 dev flannel.1 onlink".to_string(),
            format!("10.5.200.0 dev flannel.1 lladdr {mac} PERMANENT"),
            format!("{mac} dst {machine} self permanent"),
        );
        let took = stage.until(&format!("the peer {what}"), || held(&stage) == expected);
        println!("a peer that {what} is served after {took:?}");
    }
    // What cannot be read costs nobody else, and the peer stays as it was.
    stage.etcdctl(&["put", &format!("{PREFIX}/subnets/nonsense"), "{"]).expect("a put");
    let served = held(&stage);
    stage.etcdctl(&["del", &key]).expect("a delete");
    assert!(served.0.contains("flannel.1"), "{served:?}");
    let gone = (String::new(), String::new(), String::new());
    stage.until("the peer leaves", || held(&stage) == gone);
}

#[test]
fn a_peer_whose_lease_ends_by_itself_leaves() {
    let Some(mut stage) = Stage::up(1, CONFIG) else { return };
    stage.start_all(&["--iface=eth0"]);
    let granted = stage.etcdctl(&["lease", "grant", "3"]).expect("a lease");
    let id = granted.split(' ').nth(1).expect("lease ID granted with TTL");
    let (key, value) =
        (format!("{PREFIX}/subnets/10.5.200.0-24"), lease("192.168.99.200", "0a:00:00:00:00:01"));
    stage.etcdctl(&["put", "--lease", id, &key, &value]).expect("a put");
    stage.until("the peer joins", || held(&stage).0.contains("flannel.1"));
    let gone = (String::new(), String::new(), String::new());
    stage.until("the peer leaves", || held(&stage) == gone);
}

/// Leases that a flanneld wrote, of each of its ages, and what machine 0 makes of them.
fn recorded(backend: &str, leases: &[(&str, &str)]) -> Option<Stage> {
    let config =
        format!(r#"{{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{{"Type":"{backend}"}}}}"#);
    let mut stage = Stage::up(1, &config)?;
    // The subnet of the machine whose tables were recorded.
    stage.put("subnets/10.5.75.0-24", r#"{"PublicIP":"192.168.99.1"}"#);
    leases.iter().for_each(|(key, value)| stage.put(&format!("subnets/{key}"), value));
    stage.start_all(&["--iface=eth0"]);
    assert_eq!(stage.subnet(0), "10.5.75");
    Some(stage)
}

fn shown(stage: &Stage, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let text = stage.run(0, &words);
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn recorded_leases_of_vxlan_are_programmed_as_flannel_did() {
    let leases = [
        // 0.20, 0.11, one with fields of later versions, and one whose backend is another.
        (
            "10.5.36.0-24",
            r#"{"PublicIP":"172.31.0.2","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:8e:25:0a:b7:5c"}}"#,
        ),
        (
            "10.5.37.0-24",
            r#"{"PublicIP":"172.31.0.3","BackendType":"vxlan","BackendData":{"VtepMAC":"c6:8e:25:0a:b7:5d"}}"#,
        ),
        (
            "10.5.38.0-24",
            r#"{"publicip":"172.31.0.4","Age":7,"BackendType":"vxlan","BackendData":{"VNI":1,"vtepMAC":"C6:8E:25:0A:B7:5E","New":true}}"#,
        ),
        ("10.5.39.0-24", r#"{"PublicIP":"172.31.0.5","PublicIPv6":null,"BackendType":"host-gw"}"#),
    ];
    let Some(stage) = recorded("vxlan", &leases) else { return };
    let link = stage.run(0, &["ip", "-d", "link", "show", "flannel.1"]);
    assert!(link.contains("mtu 1450 "), "{link}");
    let device = "vxlan id 1 local 192.168.99.1 dev eth0 srcport 0 0 dstport 8472 nolearning ttl auto ageing 300 udpcsum";
    assert!(link.contains(device), "{link}");
    let address = shown(&stage, "ip -4 -o address show dev flannel.1");
    assert!(
        address.len() == 1 && address[0].contains("inet 10.5.75.0/32 scope global flannel.1"),
        "{address:?}"
    );
    let peers = [("36", "2", "5c"), ("37", "3", "5d"), ("38", "4", "5e")];
    let routes =
        peers.map(|(net, ..)| format!("10.5.{net}.0/24 via 10.5.{net}.0 proto boot scope global onlink"));
    assert_eq!(
        shown(&stage, "ip -d route show dev flannel.1"),
        routes.map(|route| format!("unicast {route}"))
    );
    let neighbours = peers.map(|(net, _, mac)| format!("10.5.{net}.0 lladdr c6:8e:25:0a:b7:{mac} PERMANENT"));
    assert_eq!(shown(&stage, "ip -4 neighbour show dev flannel.1"), neighbours);
    let entries =
        peers.map(|(_, host, mac)| format!("c6:8e:25:0a:b7:{mac} dst 172.31.0.{host} self permanent"));
    assert_eq!(shown(&stage, "bridge fdb show dev flannel.1"), entries);
    assert!(stage.log(0).contains("peer 10.5.39.0-24 is left out"), "{}", stage.log(0));
}

#[test]
fn recorded_leases_of_host_gw_and_udp_are_programmed_as_flannel_did() {
    let leases = [
        ("10.5.36.0-24", r#"{"PublicIP":"192.168.99.2","PublicIPv6":null,"BackendType":"host-gw"}"#),
        ("10.5.37.0-24", r#"{"PublicIP":"192.168.99.3","BackendType":"host-gw"}"#),
    ];
    let Some(stage) = recorded("host-gw", &leases) else { return };
    let routes = ["36", "37"].iter().zip(2..);
    let routes: Vec<String> =
        routes.map(|(net, host)| format!("10.5.{net}.0/24 via 192.168.99.{host} dev eth0")).collect();
    assert_eq!(shown(&stage, "ip route show root 10.5.0.0/16"), routes);
    drop(stage);
    // Any lease is a peer of udp, whatever it says of its backend.
    let leases = [
        ("10.5.36.0-24", r#"{"PublicIP":"192.168.99.2","PublicIPv6":null}"#),
        ("10.5.37.0-24", r#"{"PublicIP":"192.168.99.3","BackendType":"host-gw"}"#),
    ];
    let Some(stage) = recorded("udp", &leases) else { return };
    assert_eq!(shown(&stage, "ip route show root 10.5.0.0/16"), ["10.5.0.0/16 dev flannel0 scope link"]);
    stage.until("both are served", || stage.log(0).contains("ready: 10.5.75.0-24 with 2 peers"));
}

#[test]
fn a_lease_is_written_to_the_byte_as_flannels() {
    let Some(mut stage) = Stage::up(1, CONFIG) else { return };
    stage.start_all(&["--iface=eth0"]);
    let subnet = stage.subnet(0);
    let mac = stage.list(0, &["ip", "-j", "link", "show", "flannel.1"])[0]["address"].clone();
    let key = format!("{PREFIX}/subnets/{subnet}.0-24");
    let value = stage.etcdctl(&["get", "--print-value-only", &key]).expect("the lease");
    assert_eq!(value.trim(), lease("192.168.99.1", mac.as_str().expect("a MAC")));
}

#[test]
fn a_lease_that_is_deleted_is_got_again() {
    let Some(mut stage) = Stage::up(1, CONFIG) else { return };
    stage.start_all(&["--iface=eth0"]);
    let key = format!("{PREFIX}/subnets/{}.0-24", stage.subnet(0));
    stage.etcdctl(&["del", &key]).expect("a delete");
    stage.until("the same subnet is held again", || {
        stage.etcdctl(&["get", "--print-value-only", &key]).is_ok_and(|value| value.contains("192.168.99.1"))
    });
    stage.until("the device is up again", || {
        stage.net.exec(0, &["ip", "link", "show", "flannel.1"]).is_ok_and(|text| text.contains("UP"))
    });
}
