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
fn a_peer_joins_changes_its_mac_moves_and_leaves() {
    let Some(mut stage) = Stage::up(1, CONFIG) else { return };
    stage.start_all(&["--iface=eth0"]);
    let key = format!("{PREFIX}/subnets/10.5.200.0-24");
    let put = |value: &str| drop(stage.etcdctl(&["put", &key, value]).expect("a put"));
    let steps = [
        ("joins", "192.168.99.200", "0a:00:00:00:00:01"),
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
