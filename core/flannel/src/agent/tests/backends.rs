//! What is particular to a backend.

use super::world::*;
use crate::links::{Operation, PublicKey, Way, WireguardPeer};
use std::collections::BTreeSet;

#[test]
fn udp_opens_a_device_tells_it_the_peers_and_opens_it_anew() {
    let world = World::new(r#"{"Network":"10.5.0.0/16"}"#);
    let mut nodes = world.nodes(2);
    let state = |node: &Node| {
        let state = node.machine.lock();
        let links: Vec<String> =
            state.tables.links.iter().filter(|link| link.up).map(|link| link.name.clone()).collect();
        (
            links,
            state.tables.routes.len(),
            state.tun_peers.values().map(ToString::to_string).collect::<Vec<_>>(),
        )
    };
    let right = |name: &str| (vec![name.to_owned()], 1, vec!["192.168.0.2:8285".to_owned()]);
    assert_eq!(state(&nodes[0]), right("flannel0"));
    assert!(nodes[0].machine.lock().env.as_ref().unwrap().contains("FLANNEL_MTU=1472"));
    assert!(!nodes[0].stored().contains("BackendType"));
    nodes[0].machine.meddle(Operation::DeleteLink("flannel0".to_owned()));
    world.pass(1_000);
    assert_eq!(state(&nodes[0]), right("flannel1"), "somebody removed it");
    nodes[0].stop();
    assert!(nodes[0].tables().links.is_empty(), "it ends with the daemon");
    nodes[0].start();
    world.pass(2_000);
    assert_eq!(state(&nodes[0]), right("flannel2"));
    // It carries no packets, and no hint of the kernel says so.
    nodes[0].machine.lock().tun_failed = true;
    world.pass(8_000);
    assert_eq!(state(&nodes[0]), right("flannel3"));
    assert!(world.reached("flannel: a TUN device is opened anew"));
}

#[test]
fn direct_routing_asks_the_kernel_whom_it_reaches() {
    let world = World::new(r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","DirectRouting":true}}"#);
    let mut node = world.off(1);
    node.machine.lock().far.insert("192.168.0.3".parse().unwrap());
    node.start();
    let peers = [world.node(2), world.node(3)];
    world.pass(3_000);
    let way = |peer: &Node| {
        let tables = node.tables();
        let route = tables.routes.iter().find(|route| route.destination.addr() == peer.base()).unwrap();
        match &route.way {
            Way::Out { link, onlink, .. } => (link.clone(), *onlink),
            Way::Blackhole => panic!("{route:?}"),
        }
    };
    assert_eq!(way(&peers[0]), ("eth0".to_owned(), false));
    assert_eq!(way(&peers[1]), ("flannel.1".to_owned(), true));
    assert_eq!(node.tables().forwardings.len(), 1);
}

#[test]
fn host_gw_routes_by_the_peers_and_needs_no_device() {
    let world = World::new(r#"{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}"#);
    let nodes = world.nodes(3);
    let tables = nodes[0].tables();
    assert!(tables.links.is_empty() && tables.routes.len() == 2);
    let key = nodes[1].key();
    world.kv.unset(&format!("{SUBNETS}{key}"));
    world.pass(5_000);
    assert_eq!(nodes[0].tables().routes.len(), 2, "it is back");
    assert!(nodes[0].machine.lock().env.as_ref().unwrap().contains("FLANNEL_MTU=1500"));
}

const EXTENSION: &str = r#"{"Network":"10.5.0.0/16","Backend":{"Type":"extension","PreStartupCommand":"pre",
    "PostStartupCommand":"post","SubnetAddCommand":"add","SubnetRemoveCommand":"remove"}}"#;

fn ran(node: &Node) -> Vec<String> {
    let ran = std::mem::take(&mut node.machine.lock().ran);
    let told =
        |name: &str, command: &crate::local::Command| command.env.get(name).cloned().unwrap_or_default();
    ran.iter()
        .map(|command| {
            format!(
                "{} {} {} {:?}",
                command.line,
                told("SUBNET", command),
                told("PUBLIC_IP", command),
                command.stdin
            )
        })
        .collect()
}

#[test]
fn the_extension_runs_its_commands_for_each_peer() {
    let world = World::new(EXTENSION);
    let node = world.node(1);
    world.pass(2_000);
    assert!(
        node.stored().contains(r#""BackendType":"extension","BackendData":"pre ran""#),
        "{}",
        node.stored()
    );
    assert_eq!(
        ran(&node),
        [r#"pre   """#.to_owned(), format!("post {} 192.168.0.1 \"\"", node.key().v4.unwrap())]
    );
    let mut peer = world.node(2);
    world.pass(2_000);
    let subnet = peer.key().v4.unwrap();
    assert_eq!(ran(&node), [format!("add {subnet} 192.168.0.2 \"pre ran\"")]);
    let key = peer.key();
    peer.kill();
    node.machine.lock().broken = Some("remove".to_owned());
    world.kv.unset(&format!("{SUBNETS}{key}"));
    world.pass(3_000);
    let failed = ran(&node);
    assert!(failed.len() > 2 && failed.len() < 9, "it is tried again, with pauses: {failed:?}");
    node.machine.lock().broken = None;
    world.pass(6_000);
    assert_eq!(ran(&node), [format!("remove {subnet} 192.168.0.2 \"pre ran\"")]);
    world.pass(600_000);
    assert_eq!(ran(&node), [""; 0], "renewals concern no command");
}

#[test]
fn a_backend_that_cannot_work_here_says_so_and_takes_no_lease() {
    let world = World::new(r#"{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard","PSK":"abc"}}"#);
    let node = world.node(1);
    world.pass(5_000);
    let told = node.told().join("\n");
    assert!(told.contains("PSK"), "{told}");
    assert_eq!(world.kv.dump(SUBNETS), []);
}

#[test]
fn wireguard_knows_its_peers_by_key_and_follows_one_that_moves() {
    let world = World::new(r#"{"Network":"10.5.0.0/16","Backend":{"Type":"wireguard"}}"#);
    let (first, second) = (world.node(1), world.node(2));
    world.pass(5_000);
    let of = |node: &Node| node.tables().wireguard_peers;
    let peers = of(&first);
    let peer = peers.first().expect("the other machine").clone();
    assert_eq!((peers.len(), peer.key), (1, second.machine.lock().secret.public()));
    assert_eq!(peer.endpoint, Some("192.168.0.2:51820".parse().unwrap()));
    assert_eq!(first.tables().wireguards.first().unwrap().secret, first.machine.lock().secret);
    let route = first.tables().routes.first().unwrap().clone();
    assert_eq!((peer.allowed.first(), peer.allowed.len()), (Some(&route.destination), 1));
    // The kernel heard of it from elsewhere: that is no damage, and is not mended.
    let moved = Some("203.0.113.9:40000".parse().unwrap());
    first.machine.meddle(Operation::PutWireguardPeer(WireguardPeer { endpoint: moved, ..peer.clone() }));
    world.pass(5_000);
    assert_eq!(of(&first).first().unwrap().endpoint, moved);
    // Somebody takes it away; and adds one that nobody wishes.
    first.machine.meddle(Operation::DeleteWireguardPeer(peer.clone()));
    let key = PublicKey([77; 32]);
    let stranger = WireguardPeer { key, allowed: BTreeSet::new(), ..peer.clone() };
    first.machine.meddle(Operation::PutWireguardPeer(stranger));
    world.pass(5_000);
    assert_eq!(of(&first), peers);
}

#[test]
fn both_families_have_a_device_each_and_a_blackhole_beneath_the_bridge() {
    let config = r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#;
    let world = World::new(config);
    let mut nodes = Vec::new();
    for number in [1, 2] {
        let mut node = world.off(number);
        let mut state = node.machine.lock();
        let fitness = state.interfaces[0].addresses[0].1;
        let address = format!("fd01::{number}/64").parse().unwrap();
        state.interfaces[0].addresses.push((address, fitness));
        drop(state);
        node.config.blackhole = true;
        node.start();
        nodes.push(node);
    }
    world.pass(3_000);
    let tables = nodes[0].tables();
    let names: Vec<&str> = tables.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["flannel-v6.1", "flannel.1"]);
    assert_eq!((tables.neighbours.len(), tables.forwardings.len(), tables.rules.len()), (2, 2, 2));
    let blackholes = tables.routes.iter().filter(|route| route.way == Way::Blackhole).count();
    assert_eq!((tables.routes.len(), blackholes), (4, 2));
    assert!(nodes[0].machine.lock().env.as_ref().unwrap().contains("FLANNEL_MTU=1430"));
    for link in names {
        nodes[0].machine.meddle(Operation::DeleteLink(link.to_owned()));
    }
    world.pass(1_000);
    assert_eq!(nodes[0].tables(), tables);
    nodes[0].kill();
    nodes[0].config.blackhole = false;
    nodes[0].start();
    world.pass(2_000);
    assert_eq!(nodes[0].tables().routes.len(), 2, "what an earlier life wished is taken away");
}
