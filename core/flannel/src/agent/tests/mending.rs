//! Whatever somebody does to the kernel is undone within a second.

use super::world::*;
use crate::links::*;
use crate::rules::{Means, RuleSet};
use std::collections::BTreeSet;

/// Every way to take away one of our entries.
fn damages(tables: &Tables) -> Vec<Operation> {
    let link = tables.links.first().unwrap().clone();
    let route = tables.routes.first().unwrap().clone();
    let elsewhere =
        Way::Out { link: "eth0".to_owned(), gateway: Some("192.168.0.77".parse().unwrap()), onlink: false };
    let neighbour = tables.neighbours.first().unwrap().clone();
    let forwarding = tables.forwardings.first().unwrap().clone();
    let other: std::net::IpAddr = "192.168.0.99".parse().unwrap();
    let mac = Mac([2, 9, 9, 9, 9, 9]);
    let rules = tables.rules.first().unwrap().clone();
    vec![
        Operation::DeleteLink(link.name.clone()),
        Operation::SetLink(Link { up: false, ..link.clone() }),
        Operation::SetLink(Link { mtu: 1200, ..link.clone() }),
        Operation::DeleteAddress(tables.addresses.first().unwrap().clone()),
        Operation::AddAddress(Address { link: link.name.clone(), net: "10.5.99.1/32".parse().unwrap() }),
        Operation::DeleteRoute(route.clone()),
        Operation::PutRoute(Route { way: elsewhere, ..route }),
        Operation::DeleteNeighbour(neighbour.clone()),
        Operation::PutNeighbour(Neighbour { mac, ..neighbour }),
        Operation::DeleteForwarding(forwarding.clone()),
        Operation::PutForwarding(Forwarding { machine: other, ..forwarding }),
        Operation::PutForwarding(Forwarding { link: link.name, mac, machine: other }),
        Operation::DeleteRules(rules.clone()),
        Operation::PutRules(RuleSet { postrouting: Vec::new(), ..rules.clone() }),
        Operation::PutRules(RuleSet { means: Means::Iptables, ..rules }),
    ]
}

#[test]
fn one_entry_is_mended_within_a_second() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(3);
    let (right, mac, stored) = (nodes[0].tables(), nodes[0].mac(), nodes[0].stored());
    let revision = world.kv.revision();
    for damage in damages(&right) {
        let before = nodes[0].status().repairs;
        nodes[0].machine.meddle(damage.clone());
        assert_ne!(nodes[0].tables(), right, "{damage:?} damages something");
        world.pass(1_000);
        assert_eq!(nodes[0].tables(), right, "after {damage:?}");
        assert!(nodes[0].status().repairs > before, "{damage:?} is counted");
    }
    assert_eq!((nodes[0].mac(), nodes[0].stored()), (mac, stored));
    assert_eq!(world.kv.revision(), revision, "nothing of it concerns the store");
    assert!(world.reached("flannel: mended what somebody else had changed"));
}

#[test]
fn what_no_hint_tells_of_is_found_by_the_full_look() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(2);
    let right = nodes[0].tables();
    nodes[0].machine.lock().hints = false;
    for damage in damages(&right) {
        nodes[0].machine.meddle(damage.clone());
        world.pass(301_000);
        assert_eq!(nodes[0].tables(), right, "after {damage:?}");
    }
}

#[test]
fn routes_of_containers_stay() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(2);
    let way = Way::Out { link: "eth0".to_owned(), gateway: None, onlink: false };
    let host = nodes[0].base().to_string().replace(".0", ".7");
    let route = Route {
        destination: format!("{}/32", host.replace("10.7", "10.5")).parse().unwrap(),
        way,
        protocol: 3,
    };
    nodes[0].machine.meddle(Operation::PutRoute(route.clone()));
    world.pass(400_000);
    assert!(nodes[0].tables().routes.contains(&route));
}

#[test]
fn a_device_with_another_mac_is_right_and_the_peers_follow() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(3);
    let device = nodes[0].machine.device("flannel.1");
    let mac = Mac([6, 7, 8, 9, 10, 11]);
    nodes[0].machine.meddle(Operation::SetLink(Link { mac: Some(mac), ..device }));
    world.pass(1_000);
    assert_eq!(nodes[0].mac(), mac);
    assert!(nodes[0].stored().contains("06:07:08:09:0a:0b"), "{}", nodes[0].stored());
    assert!(all_reach(&nodes));
    let macs: BTreeSet<Mac> = nodes[1].tables().forwardings.iter().map(|entry| entry.mac).collect();
    assert_eq!(macs, BTreeSet::from([mac, nodes[2].mac()]), "the old forwarding entry is gone");
    assert!(world.reached("flannel: a device has another MAC than its lease"));
}

#[test]
fn a_peer_that_the_kernel_refuses_keeps_nobody_waiting_and_is_tried_again() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(3);
    let mut late = world.off(9);
    let refused = format!("{}/24", nodes[0].base());
    late.machine.lock().failing.insert(refused.clone());
    late.start();
    world.pass(60_000);
    let status = late.status();
    assert!(status.ready && status.failures > 0, "{status:?}");
    assert!(status.last_error.as_ref().unwrap().contains(&refused), "{status:?}");
    assert!(status.failures < 25, "with pauses: {}", status.failures);
    assert!(reaches(&late, &nodes[1]) && !reaches(&late, &nodes[0]));
    late.machine.lock().failing.clear();
    world.pass(6_000);
    assert!(reaches(&late, &nodes[0]) && late.status().last_error.is_none());
}

#[test]
fn without_its_rules_a_machine_is_not_ready() {
    let world = World::new(VXLAN);
    let mut node = world.off(1);
    node.machine.lock().failing.insert("rules".to_owned());
    node.start();
    world.pass(10_000);
    assert!(!node.status().ready && node.machine.lock().env.is_none());
    node.machine.lock().failing.clear();
    world.pass(6_000);
    assert!(node.status().ready);
}

#[test]
fn where_iptables_drops_rules_are_made_there_and_looked_after() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(1);
    assert_eq!(nodes[0].status().rules, "nftables");
    nodes[0].machine.lock().firewall.forward_drops = true;
    world.pass(301_000);
    assert_eq!(nodes[0].status().rules, "iptables");
    let rules = nodes[0].tables().rules;
    assert!(rules.len() == 1 && rules.first().unwrap().means == Means::Iptables);
    // The kernel does not hint at these.
    nodes[0].machine.lock().hints = false;
    nodes[0].machine.meddle(Operation::DeleteRules(rules.first().unwrap().clone()));
    world.pass(6_000);
    assert_eq!(nodes[0].tables().rules, rules);
}

#[test]
fn another_mtu_of_the_external_interface_is_followed() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(2);
    nodes[0].machine.lock().interfaces[0].link.mtu = 9000;
    world.pass(301_000);
    assert_eq!(nodes[0].machine.device("flannel.1").mtu, 8950);
    assert!(nodes[0].machine.lock().env.as_ref().unwrap().contains("FLANNEL_MTU=8950"));
}
