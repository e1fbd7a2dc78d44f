//! Packets between containers, by each backend, and what the kernel holds for that.

use crate::stage::Stage;
use serde_json::Value;

const COUNT: usize = 3;

fn config(backend: &str) -> String {
    format!(r#"{{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{{"Type":"{backend}"}}}}"#)
}

/// Every container reaches every other one, and subnet.env says what flannel's would.
fn carries(backend: &str, mtu: u32) -> Option<Stage> {
    let mut stage = Stage::up_with_three(COUNT, &config(backend))?;
    stage.start_all(&["--iface=eth0", "--ip-masq"]);
    (0..COUNT).for_each(|machine| stage.container(machine));
    for from in 0..COUNT {
        let subnet = stage.subnet(from);
        assert_eq!(
            stage.env(from),
            format!(
                "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET={subnet}.1/24\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ=true\n"
            )
        );
        for to in (0..COUNT).filter(|to| *to != from) {
            let took = stage.until(&format!("{backend}: {from} reaches {to}"), || stage.reaches(from, to));
            println!("{backend}: {from} reached {to} after {took:?}");
        }
    }
    throughput(&stage, backend);
    Some(stage)
}

/// What iperf3 measures, where it is installed.
fn throughput(stage: &Stage, backend: &str) {
    if stage.net.exec(0, &["iperf3", "--version"]).is_err() {
        println!("{backend}: iperf3 is not installed, nothing measured");
        return;
    }
    let target = stage.container_address(1);
    stage.in_container(1, &["iperf3", "-s", "-1", "-D"]).expect("iperf3 starts");
    let mut report = Value::Null;
    stage.until("iperf3 measures", || {
        let text = stage.in_container(0, &["iperf3", "-J", "-t", "2", "-c", &target]);
        report = text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        report["end"]["sum_received"]["bits_per_second"].is_number()
    });
    let bits = report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default();
    println!("{backend}: {:.2} Gbit/s, one flow (a debug build)", bits / 1e9);
    assert!(bits > 1e6, "{backend} carries hardly anything: {bits} bit/s");
}

/// The routes of a machine into the network that it does not make itself, as `destination gateway device flags protocol`.
fn routes(stage: &Stage, machine: usize) -> Vec<String> {
    let routes = stage.list(machine, &["ip", "-j", "-d", "route", "show", "table", "main"]);
    let text = |route: &Value, field: &str| route[field].as_str().unwrap_or("-").to_string();
    let ours = routes
        .iter()
        .filter(|route| text(route, "dst").starts_with("10.5.") && text(route, "protocol") != "kernel");
    let mut lines: Vec<String> = ours
        .map(|route| {
            let flags = route["flags"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let flags = flags.collect::<Vec<_>>().join(",");
            let fields = ["dst", "gateway", "dev", "protocol"].map(|field| text(route, field));
            format!("{} {flags}", fields.join(" "))
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn vxlan_carries_packets_with_flannels_own_tables() {
    let Some(stage) = carries("vxlan", 1450) else { return };
    let macs: Vec<String> = (0..COUNT)
        .map(|machine| {
            let link = stage.list(machine, &["ip", "-j", "-d", "link", "show", "flannel.1"]).remove(0);
            let data = &link["linkinfo"]["info_data"];
            assert_eq!(link["mtu"], 1450);
            assert_eq!(data["id"], 1, "{link}");
            assert_eq!(data["local"], stage.net.address(machine), "{link}");
            assert_eq!((&data["link"], &data["port"]), (&Value::from("eth0"), &Value::from(8472)), "{link}");
            assert_eq!(data["learning"], false, "{link}");
            link["address"].as_str().expect("a MAC").to_string()
        })
        .collect();
    for machine in 0..COUNT {
        let peers: Vec<usize> = (0..COUNT).filter(|peer| *peer != machine).collect();
        let mut expected: Vec<String> = (peers.iter())
            .map(|peer| format!("{0}.0/24 {0}.0 flannel.1 boot onlink", stage.subnet(*peer)))
            .collect();
        expected.sort();
        assert_eq!(routes(&stage, machine), expected, "routes of machine {machine}");

        let link = stage.list(machine, &["ip", "-j", "-4", "address", "show", "dev", "flannel.1"]).remove(0);
        let address = &link["addr_info"][0];
        assert_eq!(address["local"], format!("{}.0", stage.subnet(machine)), "{link}");
        assert_eq!(address["prefixlen"], 32, "{link}");

        let neighbours = stage.list(machine, &["ip", "-j", "-4", "neighbour", "show", "dev", "flannel.1"]);
        let found = stage.list(machine, &["bridge", "-j", "fdb", "show", "dev", "flannel.1"]);
        assert_eq!((neighbours.len(), found.len()), (COUNT - 1, COUNT - 1), "{neighbours:?} {found:?}");
        for peer in peers {
            let base = format!("{}.0", stage.subnet(peer));
            let entry = neighbours.iter().find(|entry| entry["dst"] == base).expect("the peer's neighbour");
            assert_eq!(entry["lladdr"], macs[peer]);
            assert_eq!(entry["state"][0], "PERMANENT");
            let entry = found.iter().find(|entry| entry["mac"] == macs[peer]).expect("the peer's entry");
            assert_eq!(entry["dst"], stage.net.address(peer), "{entry}");
            assert_eq!(
                (&entry["flags"][0], &entry["state"]),
                (&"self".into(), &"permanent".into()),
                "{entry}"
            );
        }
    }
}

#[test]
fn host_gw_carries_packets_by_the_machines_themselves() {
    let Some(stage) = carries("host-gw", 1500) else { return };
    for machine in 0..COUNT {
        let peers = (0..COUNT).filter(|peer| *peer != machine);
        let mut expected: Vec<String> = peers
            .map(|peer| format!("{}.0/24 {} eth0 boot ", stage.subnet(peer), stage.net.address(peer)))
            .collect();
        expected.sort();
        assert_eq!(routes(&stage, machine), expected, "routes of machine {machine}");
    }
}

#[test]
fn udp_carries_packets_through_the_daemon() {
    let Some(stage) = carries("udp", 1472) else { return };
    for machine in 0..COUNT {
        assert_eq!(routes(&stage, machine), ["10.5.0.0/16 - flannel0 boot "], "routes of machine {machine}");
    }
}

#[test]
fn a_daemon_that_ends_leaves_the_packets_going_and_takes_them_up_again() {
    let Some(mut stage) = Stage::up(2, &config("vxlan")) else { return };
    stage.start_all(&["--iface=eth0"]);
    (0..2).for_each(|machine| stage.container(machine));
    stage.until("0 reaches 1", || stage.reaches(0, 1));
    let mac = |stage: &Stage| {
        stage.list(0, &["ip", "-j", "link", "show", "flannel.1"])[0]["address"].as_str().map(str::to_string)
    };
    let (before, subnet) = (mac(&stage), stage.subnet(0));
    stage.stop(0);
    assert!(stage.reaches(0, 1), "packets go on without a daemon");
    stage.start(0, &["--iface=eth0"]);
    stage.until("it is back", || stage.log(0).matches("\tready: ").count() >= 2);
    assert_eq!((mac(&stage), stage.subnet(0)), (before, subnet));
    assert!(stage.reaches(0, 1) && stage.reaches(1, 0));
}
