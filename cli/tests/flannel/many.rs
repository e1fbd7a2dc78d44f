//! A machine that joins a large network: what it asks of the store, how long it takes, and the memory it needs.

use crate::stage::{PREFIX, Stage, optimised};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

const PEERS: u32 = 1_000;
/// Requests to the store of a join.
const REQUESTS_MOST: u64 = 4;
/// Memory of an optimised flanneld that serves so many peers, in KiB.
const RESIDENT_MOST: u64 = 12 * 1024;
/// By then a daemon has given back what only its start needed.
const SETTLES: Duration = Duration::from_secs(2);
/// Operations of one transaction of etcd.
const TOGETHER: u32 = 100;

/// Writes the leases of machines that are not there.
fn crowd(stage: &Stage) {
    for begin in (0..PEERS).step_by(TOGETHER as usize) {
        let mut text = String::from("\n");
        for peer in begin..(begin + TOGETHER).min(PEERS) {
            let [_, _, high, low] = peer.to_be_bytes();
            let value = format!(
                r#"{{"PublicIP":"172.16.{high}.{low}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"0a:00:00:00:{high:02x}:{low:02x}"}}}}"#
            );
            let _ = writeln!(text, "put {PREFIX}/subnets/10.{}.{low}.0-24 {value:?}", 8 + high);
        }
        text.push_str("\n\n");
        let mut etcdctl = stage.net.command(0, crate::stage::program());
        etcdctl.args(["etcdctl", "--endpoints", &stage.store.endpoints(), "txn"]);
        etcdctl.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = etcdctl.spawn().expect("etcdctl starts");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("a child of ours");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// A page of machine 0's store.
fn page(stage: &Stage, path: &str) -> String {
    let address = format!("{}:2379", stage.net.address(0));
    stage.net.inside(0, || {
        let mut stream = TcpStream::connect(&address).expect("the store listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: store\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    })
}

/// Requests that the store has taken, by their names.
fn requests(stage: &Stage) -> Vec<(String, u64)> {
    let page = page(stage, "/metrics");
    let lines = page.lines().filter(|line| line.starts_with("grpc_server_started_total{"));
    let parsed = lines.map(|line| {
        let (labels, count) = line.rsplit_once(' ').expect("a value");
        (labels.to_string(), count.parse::<f64>().expect("a number") as u64)
    });
    parsed.collect()
}

/// Memory of the flanneld of machine 0 in KiB.
fn resident(stage: &Stage) -> u64 {
    let text = stage.resident(0);
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no memory in {text:?}"))
}

#[test]
fn joining_a_thousand_machines_takes_four_requests_and_little_memory() {
    let config =
        r#"{"Network":"10.0.0.0/8","SubnetLen":24,"EnableNFTables":true,"Backend":{"Type":"vxlan"}}"#;
    let Some(mut stage) = Stage::up(1, config) else { return };
    crowd(&stage);
    let before = requests(&stage);
    let began = Instant::now();
    stage.start(0, &["--iface=eth0"]);
    let ready = format!("with {PEERS} peers");
    stage.until("it serves all", || stage.log(0).contains(&ready));
    let took = began.elapsed();
    let after = requests(&stage);
    let count = |list: &[(String, u64)], name: &str| -> u64 {
        list.iter().filter(|(other, _)| other == name).map(|(_, count)| count).sum()
    };
    let asked: Vec<(String, u64)> = after
        .iter()
        .map(|(name, now)| (name.clone(), now - count(&before, name)))
        .filter(|(_, more)| *more > 0)
        .collect();
    let total: u64 = asked.iter().map(|(_, more)| more).sum();
    let entries = |argv: &[&str]| stage.run(0, argv).lines().count();
    assert_eq!(entries(&["ip", "route", "show", "dev", "flannel.1"]), PEERS as usize);
    assert_eq!(entries(&["ip", "-4", "neighbour", "show", "dev", "flannel.1"]), PEERS as usize);
    assert_eq!(entries(&["bridge", "fdb", "show", "dev", "flannel.1"]), PEERS as usize);
    thread::sleep(SETTLES);
    let memory = resident(&stage);
    println!(
        "{PEERS} peers served after {took:?}; {total} requests to the store; {memory} KiB resident: {}",
        stage.resident(0)
    );
    assert!((1..=REQUESTS_MOST).contains(&total), "{asked:?}");
    // The memory of a development build says little.
    if optimised() {
        assert!(memory <= RESIDENT_MOST, "{memory} KiB with {PEERS} peers");
    }
}
