//! How fast packets travel between machines, in ratios: flanneld's vxlan to the same tables made by hand, and udp to vxlan.
//!
//! Three pairs of machines on one bridge, one TCP flow of iperf3 at a time, in interleaved rounds; the median of the rounds' ratios counts.
//! Figures are of an optimised build on a machine that does nothing else:
//! `ORLOP_TEST_PROGRAM=target/release/orlop cargo test -p orlop --test flannel ratios -- --nocapture`. `ORLOP_FLANNEL_ROUNDS` says how many
//! rounds, `ORLOP_FLANNEL_SECONDS` how long each flow lasts. Without a build of its own it only says whether udp is a way at all.

use crate::stage::{PREFIX, Stage, optimised};
use serde_json::Value;
use std::time::Duration;

/// Least ratio of flanneld's vxlan to the same tables by hand.
const VXLAN_LEAST: f64 = 0.95;
/// Least ratio of udp to vxlan.
const UDP_LEAST: f64 = 0.5;
/// The same of a development build beside all other tests; flannel's own is 0.035.
const UDP_LEAST_SLOW: f64 = 0.05;

/// Two machines, and how packets travel between them.
struct Pair {
    name: &'static str,
    machines: (usize, usize),
    rates: Vec<f64>,
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn config(backend: &str) -> String {
    format!(r#"{{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{{"Type":"{backend}"}}}}"#)
}

/// What flanneld makes for vxlan, by hand, in machine `here`, whose subnet is 10.5.(here + 1).0/24.
fn by_hand(stage: &Stage, here: usize, there: usize) {
    let mac = |machine: usize| format!("0e:00:00:00:00:{machine:02x}");
    let base = |machine: usize| format!("10.5.{}.0", machine + 1);
    let ip = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        stage.run(here, &words);
    };
    let (local, machine) = (stage.net.address(here), stage.net.address(there));
    ip(format!(
        "ip link add flannel.1 address {} mtu 1450 type vxlan id 1 local {local} dev eth0 dstport 8472 nolearning",
        mac(here)
    ));
    ip(format!("ip address add {}/32 dev flannel.1", base(here)));
    ip("ip link set flannel.1 up".to_string());
    ip(format!("bridge fdb add {} dev flannel.1 dst {machine} self permanent", mac(there)));
    ip(format!("ip neighbour add {} lladdr {} dev flannel.1 nud permanent", base(there), mac(there)));
    ip(format!("ip route add {0}/24 via {0} dev flannel.1 onlink", base(there)));
    ip(format!("ip address add 10.5.{}.1/24 dev lo", here + 1));
}

/// Starts flannelds on both machines of a pair, and gives each the first address of its subnet.
fn by_daemon(stage: &mut Stage, machines: (usize, usize), prefix: &str) {
    for machine in [machines.0, machines.1] {
        stage.start(machine, &["--iface=eth0", &format!("--etcd-prefix={prefix}")]);
        let subnet = stage.subnet(machine);
        stage.run(machine, &["ip", "address", "add", &format!("{subnet}.1/24"), "dev", "lo"]);
    }
}

/// The first address of the subnet of a machine.
fn first(stage: &Stage, machine: usize) -> String {
    let shown = stage.list(machine, &["ip", "-j", "-4", "address", "show", "dev", "lo"]);
    let addresses = shown.iter().flat_map(|link| link["addr_info"].as_array().into_iter().flatten());
    let mut addresses = addresses.filter_map(|address| address["local"].as_str());
    addresses.find(|address| address.starts_with("10.5.")).expect("it was added").to_string()
}

/// Bits a second of one TCP flow.
fn rate(stage: &Stage, machines: (usize, usize), seconds: usize) -> f64 {
    let (from, to) = (first(stage, machines.0), first(stage, machines.1));
    let text = stage.run(machines.0, &["iperf3", "-J", "-t", &seconds.to_string(), "-B", &from, "-c", &to]);
    let report: Value = serde_json::from_str(&text).expect("iperf3 reports in JSON");
    report["end"]["sum_received"]["bits_per_second"].as_f64().expect("iperf3 has measured")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The median of the rounds' ratios.
fn ratio(name: &str, one: &Pair, other: &Pair) -> f64 {
    let ratios: Vec<f64> = one.rates.iter().zip(&other.rates).map(|(one, other)| one / other).collect();
    let (low, high) = ratios.iter().fold((f64::MAX, 0.0_f64), |(low, high), r| (low.min(*r), high.max(*r)));
    let middle = median(ratios);
    println!("{name}: median {middle:.2} of {} rounds ({low:.2} to {high:.2})", one.rates.len());
    middle
}

/// Three pairs: by hand, by flanneld with vxlan, by flanneld with udp.
fn pairs(stage: &mut Stage) -> [Pair; 3] {
    stage.etcdctl(&["put", "/udp/config", &config("udp")]).expect("a put");
    let pair = |name, from| Pair { name, machines: (from, from + 1), rates: Vec::new() };
    let pairs = [pair("by hand", 0), pair("vxlan", 2), pair("udp", 4)];
    by_hand(stage, 0, 1);
    by_hand(stage, 1, 0);
    by_daemon(stage, pairs[1].machines, PREFIX);
    by_daemon(stage, pairs[2].machines, "/udp");
    for Pair { name, machines: (from, to), .. } in &pairs {
        let (source, target) = (first(stage, *from), first(stage, *to));
        let ping = ["ping", "-c1", "-W1", "-I", &source, &target];
        stage.until(&format!("{name} carries packets"), || stage.net.exec(*from, &ping).is_ok());
        stage.run(*to, &["iperf3", "-s", "-D", "-B", &target]);
    }
    std::thread::sleep(Duration::from_millis(500));
    pairs
}

#[test]
fn ratios() {
    let (rounds, seconds) = match optimised() {
        true => (number("ORLOP_FLANNEL_ROUNDS", 9), number("ORLOP_FLANNEL_SECONDS", 2)),
        false => (1, 1),
    };
    let Some(mut stage) = Stage::up(6, &config("vxlan")) else { return };
    let mut pairs = pairs(&mut stage);
    for round in 0..rounds {
        for pair in &mut pairs {
            pair.rates.push(rate(&stage, pair.machines, seconds));
        }
        let shown = pairs.iter().map(|pair| format!("{} {:.2}", pair.name, pair.rates[round] / 1e9));
        println!("round {}: {} Gbit/s", round + 1, shown.collect::<Vec<_>>().join(", "));
    }
    let [hand, vxlan, udp] = &pairs;
    let (kernels, ours) =
        (ratio("vxlan to the same tables by hand", vxlan, hand), ratio("udp to vxlan", udp, vxlan));
    // For whoever looks on with a profiler.
    std::thread::sleep(Duration::from_secs(number("ORLOP_FLANNEL_HOLD", 0) as u64));
    if optimised() {
        assert!(
            kernels >= VXLAN_LEAST,
            "vxlan is {kernels:.2} of the same tables by hand, {VXLAN_LEAST} is asked"
        );
        assert!(ours >= UDP_LEAST, "udp is {ours:.2} of vxlan, {UDP_LEAST} is asked");
    } else {
        assert!(ours >= UDP_LEAST_SLOW, "udp is {ours:.2} of vxlan");
    }
}
