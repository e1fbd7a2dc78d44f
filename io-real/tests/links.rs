//! The Links port against this machine's kernel, each test in a network of its own.

use flannel::contract_links::{self, Stage};
use flannel::links::{Firewall, Forwarding, Link, LinkKind, Links, LinksError, Mac, Neighbour};
use flannel::links::{Operation, Route, Scope, Vxlan, Way};
use flannel::rules::{Means, Rule, RuleSet, Verdict};
use io_real::links::NetLinks;
use io_real::namespaces::Namespaces;
use io_real::ports::RealClock;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs asynchronous work in the network of machine 0.
fn inside<T: Send>(machines: &Namespaces, work: impl AsyncFnOnce() -> T + Send) -> T {
    machines.inside(0, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}

fn stage() -> Stage {
    Stage {
        links: Arc::new(NetLinks::open().unwrap()),
        other: Arc::new(NetLinks::open().unwrap()),
        clock: Arc::new(RealClock::new()),
        underlay: "eth0".to_string(),
        local: "192.168.99.1/24".parse().unwrap(),
        gateway: "192.168.99.254".parse().unwrap(),
    }
}

#[test]
fn the_kernel_keeps_the_contract() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up(1).unwrap();
    inside(&machines, async || {
        for (name, case) in contract_links::CASES {
            println!("{name}");
            case(stage()).await;
        }
    });
}

fn rule(source: Option<(&str, bool)>, destination: Option<(&str, bool)>, verdict: Verdict) -> Rule {
    let net = |net: Option<(&str, bool)>| net.map(|(net, inside)| (net.parse().unwrap(), inside));
    Rule { marked: false, source: net(source), destination: net(destination), verdict }
}

/// The rules that flannel makes for 10.5.1.0/24 in 10.5.0.0/16.
fn usual(means: Means) -> RuleSet {
    let (own, all) = (Some(("10.5.1.0/24", true)), Some(("10.5.0.0/16", true)));
    let masquerade = Verdict::Masquerade { random_fully: true };
    let marked = Rule { marked: true, ..rule(None, None, Verdict::Return) };
    let postrouting = vec![
        marked,
        rule(own, all, Verdict::Return),
        rule(all, own, Verdict::Return),
        rule(Some(("10.5.1.0/24", false)), all, Verdict::Return),
        rule(all, Some(("224.0.0.0/4", false)), masquerade),
        rule(Some(("10.5.0.0/16", false)), all, masquerade),
    ];
    let forward = vec![rule(all, None, Verdict::Accept), rule(None, all, Verdict::Accept)];
    RuleSet { v6: false, means, postrouting, forward }
}

async fn rules(links: &NetLinks) -> Vec<RuleSet> {
    let scope = Scope { rules: true, ..Scope::default() };
    links.tables(&scope).await.unwrap().rules.into_iter().collect()
}

async fn done(links: &NetLinks, operation: Operation) {
    assert_eq!(links.apply(&[operation]).await, [Ok(())]);
}

/// What the program nft shows of our table, to the letter.
const SHOWN: &str = "table ip flannel-ipv4 {
	comment \"rules for flannel-ipv4\"
	chain postrtg {
		comment \"chain to manage traffic masquerading by flannel\"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x00004000 return
		ip saddr 10.5.1.0/24 ip daddr 10.5.0.0/16 return
		ip saddr 10.5.0.0/16 ip daddr 10.5.1.0/24 return
		ip saddr != 10.5.1.0/24 ip daddr 10.5.0.0/16 return
		ip saddr 10.5.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
		ip saddr != 10.5.0.0/16 ip daddr 10.5.0.0/16 masquerade fully-random
	}

	chain forward {
		comment \"chain to accept flannel traffic\"
		type filter hook forward priority filter; policy accept;
		ip saddr 10.5.0.0/16 accept
		ip daddr 10.5.0.0/16 accept
	}
}
";

#[test]
fn nft_shows_flannels_rules_and_its_edits_are_seen() {
    if Namespaces::skip() || missing("nft") {
        return;
    }
    let machines = Namespaces::up(1).unwrap();
    let nft = |line: &str| {
        let words: Vec<_> = std::iter::once("nft").chain(line.split(' ')).collect();
        machines.exec(0, &words).unwrap()
    };
    let usual = usual(Means::Nftables);
    inside(&machines, async || {
        let links = NetLinks::open().unwrap();
        done(&links, Operation::PutRules(usual.clone())).await;
        assert_eq!(nft("list table ip flannel-ipv4"), SHOWN);
        // What nft writes by itself is understood too.
        nft("flush chain ip flannel-ipv4 forward");
        nft("add rule ip flannel-ipv4 forward ip saddr 10.5.0.0/16 accept");
        nft("add rule ip flannel-ipv4 forward ip daddr 10.5.0.0/16 accept");
        assert_eq!(rules(&links).await, std::slice::from_ref(&usual));
        for edit in [
            "insert rule ip flannel-ipv4 forward counter drop",
            "add chain ip flannel-ipv4 mine",
            "add chain ip flannel-ipv4 forward { policy drop ; }",
            "flush chain ip flannel-ipv4 postrtg",
            "insert rule ip flannel-ipv4 postrtg ip saddr 10.5.0.0/16 tcp dport 80 accept",
        ] {
            nft(edit);
            assert_ne!(rules(&links).await, std::slice::from_ref(&usual), "{edit}");
            done(&links, Operation::PutRules(usual.clone())).await;
            assert_eq!(rules(&links).await, std::slice::from_ref(&usual), "{edit}");
        }
        done(&links, Operation::DeleteRules(usual.clone())).await;
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn iptables_rules_are_made_and_mended() {
    if Namespaces::skip() || missing("iptables") {
        return;
    }
    let machines = Namespaces::up(1).unwrap();
    let iptables = |line: &str| {
        let words: Vec<_> = std::iter::once("iptables").chain(line.split(' ')).collect();
        machines.exec(0, &words).unwrap()
    };
    let usual = usual(Means::Iptables);
    inside(&machines, async || {
        let links = NetLinks::open().unwrap();
        let firewall = Firewall { forward_drops: false, random_fully: true };
        assert_eq!(links.firewall(false).await, Ok(firewall));
        assert!(matches!(
            links.apply(&[Operation::DeleteRules(usual.clone())]).await[..],
            [Err(LinksError::NotFound(_))]
        ));
        done(&links, Operation::PutRules(usual.clone())).await;
        assert_eq!(rules(&links).await, std::slice::from_ref(&usual));
        let shown = iptables("-t nat -S");
        assert!(
            shown.contains("-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n"),
            "{shown}"
        );
        let comment = "-m comment --comment \"flanneld masq\"";
        let first = format!("-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {comment} -j RETURN\n");
        assert!(shown.contains(&first), "{shown}");
        for edit in [
            "-D FLANNEL-FWD 1",
            "-I FLANNEL-FWD -j DROP",
            "-F FORWARD",
            "-A FORWARD -m comment --comment flanneld_forward -j FLANNEL-FWD",
            "-t nat -F",
        ] {
            iptables(edit);
            let changed = rules(&links).await != std::slice::from_ref(&usual);
            // A jump with another comment is nobody's business.
            assert_eq!(changed, !edit.contains("flanneld_"), "{edit}");
            done(&links, Operation::PutRules(usual.clone())).await;
            assert_eq!(rules(&links).await, std::slice::from_ref(&usual), "{edit}");
        }
        iptables("-P FORWARD DROP");
        assert_eq!(links.firewall(false).await, Ok(Firewall { forward_drops: true, ..firewall }));
        iptables("-F FORWARD");
        done(&links, Operation::DeleteRules(usual.clone())).await;
        assert_eq!(rules(&links).await, []);
    });
}

/// Whether a program is missing; where the environment has `ORLOP_SKIP_IS_FAILURE`, fails.
fn missing(program: &str) -> bool {
    let there =
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|folder| Path::new(folder).join(program).exists());
    if !there {
        io_real::skip::skipped(&format!("{program} is missing"));
    }
    !there
}

/// How long the entries of a thousand peers take. Asserts only that they are there; the times are printed.
#[test]
fn a_thousand_peers_are_timed() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up(1).unwrap();
    inside(&machines, async || {
        let links = NetLinks::open().unwrap();
        let name = "flannel.1".to_string();
        let vxlan = Vxlan {
            vni: 1,
            port: 8472,
            device: "eth0".to_string(),
            local: "192.168.99.1".parse().unwrap(),
            learning: false,
            gbp: false,
        };
        let kind = LinkKind::Vxlan(vxlan);
        done(&links, Operation::AddLink(Link { name: name.clone(), kind, mac: None, mtu: 1450, up: true }))
            .await;
        let mut operations = Vec::new();
        for peer in 0..1000_u32 {
            let base = Ipv4Addr::from(0x0a05_0000 + (peer << 6));
            let [_, _, high, low] = peer.to_be_bytes();
            let mac = Mac([0x0e, 0, 0, 0, high, low]);
            let machine = Ipv4Addr::from(0xc0a8_6302 + peer % 200).into();
            let way = Way::Out { link: name.clone(), gateway: Some(base.into()), onlink: true };
            let destination = format!("{base}/26").parse().unwrap();
            operations.extend([
                Operation::PutNeighbour(Neighbour { link: name.clone(), address: base.into(), mac }),
                Operation::PutForwarding(Forwarding { link: name.clone(), mac, machine }),
                Operation::PutRoute(Route { destination, way, protocol: 3 }),
            ]);
        }
        let start = Instant::now();
        assert!(links.apply(&operations).await.iter().all(Result::is_ok));
        let applied = start.elapsed();
        let scope = Scope { links: [name.clone()].into(), ..Scope::default() };
        let tables = links.tables(&scope).await.unwrap();
        let read = start.elapsed() - applied;
        assert_eq!(
            (tables.routes.len(), tables.neighbours.len(), tables.forwardings.len()),
            (1000, 1000, 1000)
        );
        let start = Instant::now();
        assert!(links.apply(&operations).await.iter().all(Result::is_ok));
        println!("1,000 peers: applied {applied:?}, read {read:?}, replaced {:?}", start.elapsed());
    });
}
