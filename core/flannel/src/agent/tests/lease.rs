//! A lease that is lost, and what must not go on then.

use super::world::*;
use std::time::Duration;

fn is_down(node: &Node) -> bool {
    let tables = node.tables();
    tables.routes.is_empty() && tables.links.iter().all(|link| !link.up)
}

#[test]
fn a_lease_that_is_deleted_is_acquired_again() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(3);
    let (key, mac) = (nodes[0].key(), nodes[0].mac());
    nodes[0].machine.log();
    world.kv.unset(&format!("{SUBNETS}{key}"));
    world.pass(3_000);
    assert!(nodes[0].status().ready, "{:#?} {:#?}", nodes[0].told(), nodes[0].status());
    assert_eq!((nodes[0].key(), nodes[0].mac()), (key, mac), "the same subnet, as it is still free");
    assert!(all_reach(&nodes));
    let told = nodes[0].told().join("\n");
    assert!(told.contains("deleted") && told.contains("traffic stops"), "{told}");
    assert!(world.reached("flannel: the lease was lost"));
}

#[test]
fn a_store_that_is_away_stops_traffic_when_the_lease_ends_and_not_before() {
    let world = World::new(VXLAN);
    let mut nodes: Vec<Node> = Vec::new();
    for number in [1, 2] {
        let mut node = world.off(number);
        node.config.ttl = Duration::from_secs(600);
        node.start();
        nodes.push(node);
    }
    world.pass(3_000);
    let key = nodes[0].key();
    assert!(all_reach(&nodes));
    nodes[0].line.cut();
    let cut = nodes[0].now();
    while !is_down(&nodes[0]) {
        world.pass(1_000);
        assert!(
            nodes[0].now() < cut + Duration::from_secs(600),
            "it must stop before the store gives the subnet away"
        );
    }
    assert!(nodes[0].now() > cut + Duration::from_secs(300), "it stopped long before it had to");
    assert!(
        !nodes[0].status().ready && nodes[0].status().state.starts_with("lost"),
        "{:?}",
        nodes[0].status()
    );
    assert!(world.reached("flannel: stopped traffic for want of a lease"));
    // Meanwhile the store ends the lease, and the peer forgets the machine.
    world.pass(700_000);
    assert_eq!(nodes[1].tables().routes.len(), 0);
    assert!(is_down(&nodes[0]));
    nodes[0].line.mend();
    world.pass(30_000);
    assert!(nodes[0].status().ready && nodes[0].key() == key);
    assert!(all_reach(&nodes));
}

#[test]
fn a_short_loss_of_the_store_is_not_felt() {
    let world = World::new(VXLAN);
    let nodes = world.nodes(2);
    nodes[0].machine.log();
    nodes[0].line.cut();
    world.pass(6 * 3_600_000);
    assert!(all_reach(&nodes) && nodes[0].status().ready);
    nodes[0].line.mend();
    world.pass(60_000);
    assert_eq!(nodes[0].machine.log(), []);
}

#[test]
fn who_finds_its_subnet_given_away_at_start_is_silent_until_it_has_another() {
    let small = r#"{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.0","SubnetMax":"10.5.2.0","Backend":{"Type":"vxlan"}}"#;
    let world = World::new(small);
    let mut nodes = world.nodes(2);
    let key = nodes[0].key();
    nodes[0].kill();
    // Its lease ends while it is off, and a newcomer takes the subnet.
    world.kv.unset(&format!("{SUBNETS}{key}"));
    let late = world.node(3);
    world.pass(3_000);
    assert_eq!(late.key(), key);
    nodes[0].start();
    world.pass(3_000);
    assert!(is_down(&nodes[0]) && !nodes[0].status().ready, "{:#?}", nodes[0].tables());
    let gone = nodes[1].key();
    nodes[1].kill();
    world.kv.unset(&format!("{SUBNETS}{gone}"));
    world.pass(10_000);
    assert_eq!(nodes[0].key(), gone, "it takes the first that is freed");
    assert!(reaches(&nodes[0], &late) && reaches(&late, &nodes[0]));
    let subnets: Vec<String> =
        nodes[0].tables().addresses.iter().map(|entry| entry.net.to_string()).collect();
    assert_eq!(subnets, [format!("{}/32", nodes[0].base())]);
}
