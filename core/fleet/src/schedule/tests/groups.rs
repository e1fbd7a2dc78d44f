//! Scripts about units that must be together.

use super::world::{World, name};
use crate::schedule::{Place, Standing};

#[test]
fn units_that_name_each_other_are_placed_together() {
    let mut world = World::with_machines(&["m1", "m2 ssd=true"]);
    world.launch("a.service", "MachineOf=b.service");
    world.launch("b.service", "MachineOf=a.service\nMachineMetadata=ssd=true");
    assert_eq!(world.decide(), ["a.service to m2 launched", "b.service to m2 launched"]);
    assert_eq!(world.why("a.service"), "on m2: the only machine that fits, together with b.service");
}

#[test]
fn a_pair_that_no_machine_can_take_whole_is_placed_nowhere() {
    let mut world = World::with_machines(&["m1 ssd=false", "m2 ssd=true"]);
    world.launch("a.service", "MachineOf=b.service\nMachineMetadata=ssd=false");
    world.launch("b.service", "MachineOf=a.service\nMachineMetadata=ssd=true");
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(
        world.why("a.service"),
        "no machine can take a.service, b.service together: for a.service, 2 machines: 1 lacks metadata ssd=false; \
         for b.service, 2 machines: 1 lacks metadata ssd=true"
    );
}

#[test]
fn a_leader_goes_where_its_followers_can_go_too() {
    let mut world = World::with_machines(&["m1", "m2", "m3 ssd=true"]);
    world.launch("leader.service", "");
    world.launch("side.service", "MachineOf=leader.service\nMachineMetadata=ssd=true");
    assert_eq!(world.decide(), ["leader.service to m3 launched", "side.service to m3 launched"]);
    // A follower that fits nowhere does not keep its leader from its place.
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("leader.service", "");
    world.launch("side.service", "MachineOf=leader.service\nMachineMetadata=ssd=true");
    assert_eq!(world.decide(), ["leader.service to m1 launched"]);
}

#[test]
fn a_follower_moves_with_its_leader() {
    let mut world = World::with_machines(&["m1", "m2", "m3 gpu=1"]);
    world.launch("leader.service", "");
    world.launch("side.service", "MachineOf=leader.service");
    assert_eq!(world.decide(), ["leader.service to m1 launched", "side.service to m1 launched"]);
    world.launch("leader.service", "MachineMetadata=gpu=1");
    assert_eq!(
        world.decide(),
        [
            "leader.service from m1: the machine lacks metadata gpu=1",
            "side.service from m1: leader.service, beside which it must be, is not there"
        ]
    );
    assert_eq!(world.left(), ["leader.service to m3 launched", "side.service to m3 launched"]);
}

#[test]
fn a_follower_without_a_leader_says_whom_it_misses() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("side.service", "MachineOf=db@*.service");
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(
        world.why("side.service"),
        "no unit that MachineOf=db@*.service means is placed or can be placed with it: \
         1 machine: 1 does not have db@*.service, which MachineOf asks for"
    );
    world.launch("db@1.service", "");
    assert_eq!(world.decide(), ["db@1.service to m1 launched", "side.service to m1 launched"]);
}

#[test]
fn a_pair_waits_until_both_have_left() {
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("a.service", "MachineOf=b.service");
    world.launch("b.service", "MachineOf=a.service");
    assert_eq!(world.decide().len(), 2);
    world.machine("m1 drain");
    assert_eq!(world.decide().len(), 2);
    world.scheduler.set_place(&name("a.service"), Place::Free);
    assert_eq!(world.decide(), [""; 0]);
    let answer = world.scheduler.explain(&name("a.service"));
    assert_eq!(answer.text, "it goes together with b.service, which has not left its machine yet");
    assert_eq!(answer.standing, Standing::Unplaceable);
    assert_eq!(world.left(), ["a.service to m2 launched", "b.service to m2 launched"]);
}

#[test]
fn half_a_pair_that_is_placed_already_is_joined_not_torn_down() {
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("a.service", "MachineOf=b.service");
    world.launch("b.service", "MachineOf=a.service");
    world.place("a.service", "m2");
    assert_eq!(world.decide(), ["b.service to m2 launched"]);
}

#[test]
fn members_that_conflict_say_so() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "MachineOf=b.service");
    world.launch("b.service", "Conflicts=a.service");
    assert_eq!(world.decide(), ["b.service to m1 launched"]);
    assert_eq!(world.why("a.service"), "1 machine: 1 conflicts with b.service there");
}

#[test]
fn a_group_needs_room_for_all() {
    let mut world = World::with_machines(&["m1 memory:1048576", "m2 memory:2097152"]);
    world.launch("a.service", "MachineOf=b.service\nMemory=700K");
    world.launch("b.service", "MachineOf=a.service\nMemory=700K");
    assert_eq!(world.decide(), ["a.service to m2 launched", "b.service to m2 launched"]);
}

#[test]
fn a_global_unit_is_company() {
    let mut world = World::with_machines(&["m1", "m2 role=proxy"]);
    world.launch("proxy.service", "Global=true\nMachineMetadata=role=proxy");
    world.launch("web.service", "MachineOf=proxy.service");
    assert_eq!(world.decide(), ["proxy.service to m2 launched", "web.service to m2 launched"]);
}

#[test]
fn a_leader_that_is_held_keeps_its_followers_waiting() {
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("leader.service", "Partition=hold");
    world.launch("side.service", "MachineOf=leader.service");
    world.hold("leader.service", "m9");
    assert_eq!(world.decide(), [""; 0]);
    assert!(world.why("side.service").starts_with("leader.service is held by m9, which is cut off"));
}

#[test]
fn nobody_drives_away_what_it_leans_on_through_another() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "");
    world.launch("b.service", "MachineOf=a.service");
    world.launch("c.service", "MachineOf=b.service\nReplaces=a.service");
    assert_eq!(world.decide(), ["a.service to m1 launched", "b.service to m1 launched"]);
    assert_eq!(world.left(), [""; 0]);
    assert_eq!(world.why("c.service"), "1 machine: 1 does not have b.service, which MachineOf asks for");
}
