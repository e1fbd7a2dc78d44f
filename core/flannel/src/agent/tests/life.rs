//! Coming, going, and coming again.

use super::world::*;
use crate::links::Operation;

#[test]
fn a_start_makes_device_rules_peers_and_subnet_env() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(3);
    assert!(all_reach(&nodes));
    for node in &nodes {
        let tables = node.tables();
        assert_eq!((tables.routes.len(), tables.neighbours.len(), tables.forwardings.len()), (2, 2, 2));
        assert_eq!(tables.rules.len(), 1);
        let first = node.base().to_string().replace(".0", ".").trim_end_matches('.').to_owned();
        let env = node.machine.lock().env.clone().unwrap();
        let (network, subnet) = ("FLANNEL_NETWORK=10.5.0.0/16\n", node.key().v4.unwrap());
        assert!(
            env.starts_with(network) && env.ends_with("FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"),
            "{env} {first}"
        );
        assert!(
            env.contains(&format!("FLANNEL_SUBNET={}", subnet.to_string().replace(".0/", ".1/"))),
            "{env}"
        );
        assert!(node.stored().contains(&format!("\"VtepMAC\":\"{}\"", node.mac())), "{}", node.stored());
        assert_eq!((node.status().peers, node.status().state.as_str()), (2, "held"));
    }
}

#[test]
fn the_device_comes_first_and_routes_last() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(2);
    let mut late = world.off(9);
    late.start();
    world.pass(2_000);
    let log = late.machine.log();
    let place = |find: &dyn Fn(&Operation) -> bool| log.iter().position(find).unwrap();
    let link = place(&|operation| matches!(operation, Operation::AddLink(_)));
    let rules = place(&|operation| matches!(operation, Operation::PutRules(_)));
    let route = place(&|operation| matches!(operation, Operation::PutRoute(_)));
    assert!(link < rules && rules < route, "{log:#?}");
    assert_eq!(log.len(), 2 + 1 + 3 * nodes.len());
    assert_eq!(late.line.calls(), 3, "one to read, two to take a lease");
}

#[test]
fn a_restart_touches_nothing() {
    let world = World::new(VXLAN);
    let mut nodes = world.nodes(3);
    for stop in [true, false] {
        let (before, key, stored) = (nodes[0].tables(), nodes[0].key(), nodes[0].stored());
        nodes[0].machine.log();
        if stop {
            nodes[0].stop()
        } else {
            nodes[0].kill()
        }
        world.pass(60_000);
        nodes[0].start();
        world.pass(3_000);
        assert_eq!((nodes[0].key(), nodes[0].stored()), (key, stored));
        assert_eq!(nodes[0].machine.log(), [], "what is there stays");
        assert_eq!(nodes[0].tables(), before);
        assert!(nodes[0].status().ready);
    }
}

#[test]
fn a_reboot_keeps_subnet_and_mac() {
    let world = World::new(VXLAN);
    let mut nodes = world.nodes(3);
    let (key, mac, stored) = (nodes[1].key(), nodes[1].mac(), nodes[1].stored());
    nodes[1].kill();
    nodes[1].machine.reboot();
    nodes[1].start();
    world.pass(3_000);
    assert_eq!((nodes[1].key(), nodes[1].mac(), nodes[1].stored()), (key, mac, stored));
    assert!(all_reach(&nodes));
}

#[test]
fn peers_that_left_while_the_daemon_was_down_are_forgotten() {
    let world = World::new(VXLAN);
    let mut nodes = world.nodes(3);
    let gone = nodes[2].key();
    nodes[0].kill();
    nodes[2].kill();
    world.kv.unset(&format!("{SUBNETS}{gone}"));
    nodes[0].start();
    world.pass(3_000);
    let tables = nodes[0].tables();
    assert_eq!((tables.routes.len(), tables.neighbours.len(), tables.forwardings.len()), (1, 1, 1));
    assert!(reaches(&nodes[0], &nodes[1]));
}

#[test]
fn a_config_that_is_missing_or_wrong_is_waited_for() {
    let world = World::empty();
    let node = world.node(1);
    world.pass(5_000);
    assert!(!node.status().ready && node.status().state.contains("config"), "{:?}", node.status());
    world.kv.set(CONFIG, r#"{"Network":"10.5.0.0/16","SubnetLen":31}"#);
    world.pass(2_000);
    let told = node.told();
    assert_eq!(told.iter().filter(|line| line.contains("SubnetLen")).count(), 1, "{told:?}");
    world.kv.set(CONFIG, VXLAN);
    world.pass(2_000);
    assert!(node.status().ready);
}

#[test]
fn an_interface_that_is_missing_is_waited_for_and_told_of_once() {
    let world = World::new(VXLAN);
    let mut node = world.off(1);
    let interfaces = std::mem::take(&mut node.machine.lock().interfaces);
    node.start();
    world.pass(20_000);
    let told = node.told();
    assert_eq!(told.iter().filter(|line| line.contains("-iface")).count(), 1, "{told:?}");
    assert!(node.status().last_error.is_some());
    node.machine.lock().interfaces = interfaces;
    world.pass(2_000);
    assert!(node.status().ready && node.status().last_error.is_none());
}

#[test]
fn a_config_that_changes_is_followed_or_refused() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(2);
    let (before, mac) = (nodes[0].key(), nodes[0].mac());
    world.kv.set(CONFIG, r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","MTU":1400}}"#);
    world.pass(1_000);
    assert_eq!((nodes[0].machine.device("flannel.1").mtu, nodes[0].mac()), (1350, mac));
    assert!(nodes[0].machine.lock().env.as_ref().unwrap().contains("FLANNEL_MTU=1350"));
    world.kv.set(CONFIG, r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":9}}"#);
    world.pass(1_000);
    let status = nodes[0].status();
    assert!(status.config_refused.unwrap().contains("VNI"));
    assert!(status.ready && nodes[0].key() == before && nodes[0].machine.device("flannel.1").mtu == 1350);
    world.kv.set(CONFIG, VXLAN);
    world.pass(1_000);
    assert_eq!(nodes[0].status().config_refused, None);
    assert_eq!(nodes[0].machine.device("flannel.1").mtu, 1450);
    assert!(all_reach(&nodes));
}

/// A thousand leases of machines that are only in the store.
fn fill(world: &World, peers: u32) {
    for peer in 0..peers {
        let (third, fourth) = (1 + peer / 16, peer % 16 * 16);
        let key = format!("{SUBNETS}10.5.{third}.{fourth}-28");
        let ip = format!("172.16.{}.{}", peer / 200, 1 + peer % 200);
        let mac = format!("02:00:00:00:{:02x}:{:02x}", peer / 256, peer % 256);
        let data = format!(r#""BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}"#);
        world.kv.set(&key, &format!(r#"{{"PublicIP":"{ip}","PublicIPv6":null,{data}}}"#));
    }
}

#[test]
fn a_thousand_peers_cost_one_look_and_four_requests() {
    let world = World::new(r#"{"Network":"10.5.0.0/16","SubnetLen":28,"Backend":{"Type":"vxlan"}}"#);
    fill(&world, 1_000);
    let node = world.node(1);
    world.pass(2_000);
    let status = node.status();
    assert!(status.ready && status.peers == 1_000, "{status:?}");
    assert_eq!(node.tables().forwardings.len(), 1_000);
    assert_eq!(node.line.calls() + 1, 4, "with the watch");
    assert_eq!(status.operations, 3_003);
    assert!(status.looks <= 3, "{} looks", status.looks);
}

#[test]
fn an_operator_reads_the_story_of_a_start_in_a_few_lines() {
    let world = World::new(VXLAN);
    let node = world.node(1);
    world.pass(3_000);
    let key = node.key();
    assert_eq!(
        node.told(),
        [
            "backend vxlan, over eth0 with MTU 1500".to_owned(),
            format!("holds the lease of {key}"),
            format!("ready: {key} with 0 peers"),
        ]
    );
}

#[test]
fn a_network_that_is_replaced_around_a_start_is_the_one_that_counts() {
    let world = World::new(VXLAN);
    for delay in [0, 1, 20, 50, 100, 2_000] {
        world.kv.set(CONFIG, VXLAN);
        let mut node = world.off(1);
        let fitness = node.machine.lock().interfaces[0].addresses[0].1;
        node.machine.lock().interfaces[0].addresses.push(("fd01::1/64".parse().unwrap(), fitness));
        node.start();
        world.pass(delay);
        world.kv.set(
            CONFIG,
            r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#,
        );
        world.pass(5_000);
        // Who was faster than the change keeps what it has, and says that a restart is needed.
        let status = node.status();
        assert!(status.ready, "{delay}: {status:?}");
        assert_eq!(status.config_refused.is_some(), node.key().v4.is_some(), "{delay}: {status:?}");
        node.kill();
        let gone: Vec<String> = world.kv.dump(SUBNETS).into_iter().map(|(key, _)| key).collect();
        gone.iter().for_each(|key| world.kv.unset(key));
    }
}
