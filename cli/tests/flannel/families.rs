//! IPv6 alone and beside IPv4, plain routes between neighbours, and the options of devices.

use crate::stage::Stage;
use serde_json::Value;

const DUAL: &str =
    r#""Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","EnableNFTables":true"#;

/// A value of subnet.env.
fn env(stage: &Stage, machine: usize, name: &str) -> Option<String> {
    let text = stage.env(machine);
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_string()))
}

/// The IPv6 subnet of a machine without its last colon: `fd00:5:0:7:`.
fn subnet_v6(stage: &Stage, machine: usize) -> String {
    let subnet = env(stage, machine, "FLANNEL_IPV6_SUBNET").expect("a subnet of IPv6");
    subnet.strip_suffix(":1/64").expect("the first address").to_string()
}

/// Gives the machine the first address of its IPv6 subnet.
fn bridge_v6(stage: &Stage, machine: usize) {
    if stage.net.exec(machine, &["ip", "link", "show", "cni0"]).is_err() {
        stage.run(machine, &["ip", "link", "add", "cni0", "type", "bridge"]);
        stage.run(machine, &["ip", "link", "set", "cni0", "up"]);
    }
    let address = format!("{}:1/64", subnet_v6(stage, machine));
    stage.run(machine, &["ip", "address", "add", &address, "dev", "cni0", "nodad"]);
}

fn reaches_v6(stage: &Stage, from: usize, to: usize) -> bool {
    let (source, target) = (format!("{}:1", subnet_v6(stage, from)), format!("{}:1", subnet_v6(stage, to)));
    stage.net.exec(from, &["ping", "-6", "-c1", "-W1", "-I", &source, &target]).is_ok()
}

fn text(stage: &Stage, machine: usize, line: &str) -> String {
    stage.run(machine, &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn both_families_travel_by_vxlan() {
    let Some(mut stage) = Stage::up_dual(2, &format!(r#"{{{DUAL},"Backend":{{"Type":"vxlan"}}}}"#)) else {
        return;
    };
    stage.start_all(&["--iface=eth0", "--ip-masq"]);
    for machine in 0..2 {
        let (v4, v6) = (stage.subnet(machine), subnet_v6(&stage, machine));
        // IPv6 underlay takes 70 bytes, and containers have one MTU.
        let expected = format!(
            "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET={v4}.1/24\nFLANNEL_IPV6_NETWORK=fd00:5::/48\n\
             FLANNEL_IPV6_SUBNET={v6}:1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n"
        );
        assert_eq!(stage.env(machine), expected);
        stage.container(machine);
        bridge_v6(&stage, machine);
        let link = |name: &str| stage.list(machine, &["ip", "-j", "-d", "link", "show", name]).remove(0);
        let (first, second) = (link("flannel.1"), link("flannel-v6.1"));
        assert_eq!((&first["mtu"], &second["mtu"]), (&Value::from(1450), &Value::from(1430)));
        let data = &second["linkinfo"]["info_data"];
        assert_eq!(
            (&data["local6"], &data["id"]),
            (&stage.net.address_v6(machine).into(), &Value::from(1)),
            "{second}"
        );
        let (mac, mac_v6) = (first["address"].as_str().unwrap(), second["address"].as_str().unwrap());
        let value = format!(
            r#"{{"PublicIP":"{}","PublicIPv6":"{}","BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}},"BackendV6Data":{{"VNI":1,"VtepMAC":"{mac_v6}"}}}}"#,
            stage.net.address(machine),
            stage.net.address_v6(machine),
        );
        assert_eq!(stage.get(&format!("subnets/{v4}.0-24&{v6}:-64")), value);
    }
    let peer = subnet_v6(&stage, 1);
    stage.until("both families get through", || stage.reaches(0, 1) && reaches_v6(&stage, 0, 1));
    let routes = text(&stage, 0, "ip -6 route show dev flannel-v6.1");
    assert!(routes.contains(&format!("{peer}:/64 via {peer}: metric 1024 onlink")), "{routes}");
    let neighbours = text(&stage, 0, "ip -6 neighbour show dev flannel-v6.1 nud permanent");
    assert!(neighbours.contains(&format!("{peer}: lladdr ")), "{neighbours}");
    let entries = text(&stage, 0, "bridge fdb show dev flannel-v6.1");
    assert!(entries.contains("dst fd99::2 self permanent"), "{entries}");
    let addresses = text(&stage, 0, "ip -6 -o address show dev flannel-v6.1 scope global");
    assert!(addresses.contains(&format!("inet6 {}:/128", subnet_v6(&stage, 0))), "{addresses}");
    assert!(text(&stage, 0, "nft list tables").contains("table ip6 flannel-ipv6"));
}

#[test]
fn ipv6_alone_travels_by_vxlan_and_host_gw() {
    for backend in ["vxlan", "host-gw"] {
        let config = format!(
            r#"{{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{{"Type":"{backend}"}}}}"#
        );
        let Some(mut stage) = Stage::up_dual(2, &config) else { return };
        (0..2).for_each(|machine| stage.start(machine, &["--iface=eth0"]));
        (0..2).for_each(|machine| bridge_v6(&stage, machine));
        stage.until("it gets through", || reaches_v6(&stage, 0, 1));
        let (mtu, v6) = (if backend == "vxlan" { 1430 } else { 1500 }, subnet_v6(&stage, 0));
        let expected = format!(
            "FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET={v6}:1/64\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ=false\n"
        );
        assert_eq!(stage.env(0), expected);
        let value = stage.get(&format!("subnets/0.0.0.0-0&{v6}:-64"));
        assert!(value.starts_with(r#"{"PublicIP":"0.0.0.0","PublicIPv6":"fd99::1""#), "{value}");
    }
}

#[test]
fn both_families_travel_by_host_gw() {
    let Some(mut stage) = Stage::up_dual(2, &format!(r#"{{{DUAL},"Backend":{{"Type":"host-gw"}}}}"#)) else {
        return;
    };
    stage.start_all(&["--iface=eth0"]);
    for machine in 0..2 {
        stage.container(machine);
        bridge_v6(&stage, machine);
    }
    stage.until("both families get through", || stage.reaches(0, 1) && reaches_v6(&stage, 0, 1));
    let routes = text(&stage, 0, "ip -6 route show root fd00:5::/48");
    assert!(routes.contains(&format!("{}:/64 via fd99::2 dev eth0", subnet_v6(&stage, 1))), "{routes}");
    assert_eq!(env(&stage, 0, "FLANNEL_MTU").as_deref(), Some("1500"));
}

#[test]
fn neighbours_are_reached_by_plain_routes_where_that_is_asked() {
    let config = r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","DirectRouting":true}}"#;
    let Some(mut stage) = Stage::up(2, config) else { return };
    // A machine that the kernel reaches by a gateway.
    stage.put(
        "subnets/10.5.200.0-24",
        r#"{"PublicIP":"172.31.0.2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}}"#,
    );
    stage.start_all(&["--iface=eth0"]);
    (0..2).for_each(|machine| stage.container(machine));
    stage.until("0 reaches 1", || stage.reaches(0, 1));
    let peer = format!("{}.0/24 via 192.168.99.2 dev eth0", stage.subnet(1));
    let routes = || text(&stage, 0, "ip route show root 10.5.0.0/16");
    assert!(routes().contains(&peer), "{}", routes());
    assert!(routes().contains("10.5.200.0/24 via 10.5.200.0 dev flannel.1 onlink"), "{}", routes());
    let entries = || text(&stage, 0, "bridge fdb show dev flannel.1").lines().count();
    assert_eq!(entries(), 1, "only the machine behind the gateway has an entry");
    // Taken away, the tunnel is used again, and no packet is lost for longer than that takes.
    stage.put("config", r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}"#);
    stage.until("the tunnel is used", || !routes().contains(&peer) && entries() == 2);
    assert!(stage.reaches(0, 1) && stage.reaches(1, 0));
}

#[test]
fn a_device_is_as_the_config_says() {
    let config = r#"{"network":"10.5.0.0/16","subnetLEN":26,"SubnetMin":"10.5.9.0","subnetMAX":"10.5.9.64","ENABLEnftables":true,
        "backend":{"TYPE":"VXLAN","vni":77,"PORT":4789,"mtu":1400,"gbp":true,"LEARNING":true,"MacPrefix":"0E-2A"}}"#;
    let Some(mut stage) = Stage::up(2, config) else { return };
    stage.start_all(&["--iface=eth0"]);
    stage.until("0 knows the way to 1", || {
        text(&stage, 0, "ip route show dev flannel.77").contains("/26 via ")
    });
    let link = text(&stage, 0, "ip -d link show flannel.77");
    for part in ["mtu 1350 ", "vxlan id 77 ", "dstport 4789 ", " gbp ", "link/ether 0e:2a:"] {
        assert!(link.contains(part), "{part} is missing: {link}");
    }
    assert!(!link.contains("nolearning"), "{link}");
    assert_eq!(env(&stage, 0, "FLANNEL_MTU").as_deref(), Some("1350"));
    assert!(env(&stage, 0, "FLANNEL_SUBNET").expect("a subnet").ends_with("/26"));
}
