//! Whatever somebody takes away by hand comes back within a second: every entry of every kind, one at a time, by every backend.
//!
//! The kernel's tables are read in this process, so that looking takes no time of its own.

use crate::stage::{Stage, optimised};
use flannel::links::{Links, Scope, Tables, Way};
use flannel::rules::Means;
use io_real::links::NetLinks;
use ipnet::IpNet;
use std::time::{Duration, Instant};

/// How long a damage may last; a development build beside all other tests gets more.
fn soon() -> Duration {
    Duration::from_secs(if optimised() { 1 } else { 4 })
}

/// Between two looks.
const OFTEN: Duration = Duration::from_millis(5);

/// What flannel may have made.
fn scope() -> Scope {
    let links = ["flannel.1", "flannel-v6.1", "flannel.ipip", "flannel0"].map(str::to_string).into();
    let networks = vec!["10.5.0.0/16".parse().unwrap(), "fd00:5::/48".parse().unwrap()];
    Scope { links, networks, rules: true }
}

/// Reads the tables of machine 0 until they are as they should be, for a while at most. The last that was read, and how long it took.
fn read_until(
    stage: &Stage,
    limit: Duration,
    is_right: impl Fn(&Tables) -> bool + Send + Sync,
) -> (Tables, Duration) {
    stage.net.inside(0, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (links, began) = (NetLinks::open().expect("a socket"), Instant::now());
            loop {
                let tables = links.tables(&scope()).await.expect("the kernel answers");
                if is_right(&tables) || began.elapsed() > limit {
                    return (tables, began.elapsed());
                }
                tokio::time::sleep(OFTEN).await;
            }
        })
    })
}

fn tables(stage: &Stage) -> Tables {
    read_until(stage, Duration::ZERO, |_| true).0
}

fn family(net: &IpNet) -> &'static str {
    if net.addr().is_ipv4() { "-4" } else { "-6" }
}

/// A command for every entry that takes it away or spoils it.
fn damages(stage: &Stage, tables: &Tables) -> Vec<String> {
    let mut all = Vec::new();
    for route in &tables.routes {
        let (to, v) = (route.destination, family(&route.destination));
        all.push(format!("ip {v} route delete {to}"));
        let has_gateway = matches!(&route.way, Way::Out { gateway: Some(_), .. });
        if has_gateway {
            all.push(format!("ip {v} route replace {to} dev cni0 proto boot"));
        }
    }
    for entry in &tables.neighbours {
        all.push(format!("ip neighbour delete {} dev {}", entry.address, entry.link));
        all.push(format!("ip neighbour replace {} lladdr 0e:0:0:0:0:77 dev {}", entry.address, entry.link));
    }
    for entry in &tables.forwardings {
        all.push(format!("bridge fdb delete {} dev {} dst {} self", entry.mac, entry.link, entry.machine));
        all.push(format!("bridge fdb add 0e:0:0:0:0:77 dev {} dst {} self", entry.link, entry.machine));
    }
    for address in &tables.addresses {
        all.push(format!("ip address delete {} dev {}", address.net, address.link));
    }
    for link in &tables.links {
        all.push(format!("ip link set {} down", link.name));
        all.push(format!("ip link set {} mtu 1300", link.name));
        all.push(format!("ip link delete {}", link.name));
    }
    for rules in &tables.rules {
        match rules.means {
            Means::Nftables => all.extend(nft_damages(stage, rules.v6)),
            Means::Iptables => all.extend(iptables_damages(rules.v6)),
        }
    }
    all
}

/// Each rule by its handle, each chain, and the table.
fn nft_damages(stage: &Stage, v6: bool) -> Vec<String> {
    let table = if v6 { "ip6 flannel-ipv6" } else { "ip flannel-ipv4" };
    let words = format!("nft -a list table {table}");
    let shown = stage.run(0, &words.split(' ').collect::<Vec<_>>());
    let (mut chain, mut all) = (String::new(), Vec::new());
    for line in shown.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((_, handle)) = line.split_once("# handle ") else { continue };
        match words.as_slice() {
            ["table", ..] => {}
            ["chain", name, ..] => chain = (*name).to_string(),
            // A rule goes by its number, which those that come in its place do not have.
            _ => all.push(format!("nft delete rule {table} {chain} handle {handle}")),
        }
    }
    assert_eq!(all.len(), 8, "six rules of masquerade and two of forward: {shown}");
    // What is deleted is made anew as a whole, with new numbers: only the first can go by its number.
    all.truncate(1);
    for (chain, count) in [("postrtg", 6), ("forward", 2)] {
        all.extend((0..count).map(|number| format!("nft-rule {table} {chain} {number}")));
        all.push(format!("nft flush chain {table} {chain}"));
        all.push(format!("nft insert rule {table} {chain} counter drop"));
    }
    all.push(format!("nft delete table {table}"));
    all
}

fn iptables_damages(v6: bool) -> Vec<String> {
    let program = if v6 { "ip6tables" } else { "iptables" };
    let mut all: Vec<String> =
        (1..=6).map(|number| format!("{program} -t nat -D FLANNEL-POSTRTG {number}")).collect();
    all.extend((1..=2).map(|number| format!("{program} -D FLANNEL-FWD {number}")));
    all.push(format!("{program} -t nat -D POSTROUTING 1"));
    all.push(format!("{program} -D FORWARD 1"));
    all.push(format!("{program} -t nat -F"));
    all
}

/// Does a damage. `nft-rule` is our own word: the rule with that place in its chain, whatever its handle is by now.
fn damage(stage: &Stage, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let ["nft-rule", family, table, chain, number] = words.as_slice() else {
        stage.run(0, &words);
        return;
    };
    let shown = stage.run(0, &["nft", "-a", "list", "chain", family, table, chain]);
    let handles = shown.lines().filter(|line| !line.contains("chain ") && !line.contains("table "));
    let handles: Vec<&str> = handles.filter_map(|line| Some(line.split_once("# handle ")?.1)).collect();
    let handle = handles[number.parse::<usize>().expect("a number")];
    stage.run(0, &["nft", "delete", "rule", family, table, chain, "handle", handle]);
}

/// Damages everything that flannel made for this config on machine 0, one after the other.
fn mends(stage: Option<Stage>) {
    let Some(mut stage) = stage else { return };
    stage.start_all(&["--iface=eth0", "--ip-masq"]);
    (0..2).for_each(|machine| stage.container(machine));
    stage.until("0 reaches 1", || stage.reaches(0, 1) && stage.reaches(1, 0));
    let whole = tables(&stage);
    let mut slowest = Duration::ZERO;
    let damages = damages(&stage, &whole);
    assert!(damages.len() >= 10, "{damages:?}");
    for line in &damages {
        damage(&stage, line);
        let (now, took) = read_until(&stage, soon(), |now| *now == whole);
        assert_eq!(now, whole, "{line}: not mended within {:?}\n{}", soon(), stage.log(0));
        println!("{line}: mended after {took:?}");
        slowest = slowest.max(took);
        assert!(stage.reaches(0, 1), "{line}");
    }
    println!("{} damages, the slowest mended after {slowest:?}", damages.len());
}

fn config(rules: bool, backend: &str) -> String {
    format!(r#"{{"Network":"10.5.0.0/16","EnableNFTables":{rules},"Backend":{{"Type":"{backend}"}}}}"#)
}

#[test]
fn every_entry_of_vxlan_is_back() {
    mends(Stage::up(2, &config(true, "vxlan")));
}

#[test]
fn every_entry_of_both_families_is_back() {
    let text = r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#;
    mends(Stage::up_dual(2, text));
}

#[test]
fn every_entry_of_host_gw_is_back() {
    mends(Stage::up(2, &config(true, "host-gw")));
}

#[test]
fn every_entry_of_udp_is_back() {
    mends(Stage::up(2, &config(true, "udp")));
}

#[test]
fn every_rule_of_iptables_is_back() {
    mends(Stage::up(2, &config(false, "vxlan")));
}
