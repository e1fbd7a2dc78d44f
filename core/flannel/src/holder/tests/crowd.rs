//! Many machines and few subnets.

use super::*;
use std::collections::BTreeSet;

fn keys(machines: &[Machine]) -> BTreeSet<SubnetKey> {
    machines.iter().filter(|machine| machine.is_held()).map(|machine| machine.held().0.key).collect()
}

#[test]
fn eight_starts_at_once_on_eight_subnets_get_one_each() {
    let world = World::new(&narrow(8));
    let machines: Vec<Machine> = (1..=8).map(|number| world.machine(number)).collect();
    world.pass(30);
    assert_eq!(keys(&machines).len(), 8);
    let leases = world.kv.dump("/coreos.com/network/subnets/");
    assert_eq!(leases.len(), 8, "no race leaves anything behind");
}

#[test]
fn one_too_many_waits_says_so_once_and_gets_the_first_that_is_freed() {
    let world = World::new(&narrow(3));
    let machines: Vec<Machine> = (1..=4).map(|number| world.machine(number)).collect();
    world.pass(30);
    assert_eq!(keys(&machines).len(), 3);
    let waiting: Vec<&Machine> = machines.iter().filter(|machine| !machine.is_held()).collect();
    let Standing::Waiting(text) = waiting[0].standing() else { panic!("it waits") };
    assert!(text.starts_with("no subnet is free: all 3 from 10.5.1.0/24 to 10.5.3.0/24"), "{text}");
    let calls = waiting[0].line.calls();
    world.pass(600);
    assert_eq!(waiting[0].line.calls(), calls, "it follows, it does not ask");
    // A reservation that an operator gives up.
    let holder = machines.iter().find(|machine| machine.is_held()).unwrap();
    let (lease, _) = holder.held();
    holder.line.cut();
    world.kv.unset(&name(&lease.key.to_string()));
    world.pass(5);
    assert_eq!(waiting[0].held().0.key, lease.key);
}

#[test]
fn a_change_that_frees_nothing_changes_nothing() {
    let world = World::new(&narrow(1));
    world.foreign("10.5.1.0-24", 99);
    let machine = world.machine(1);
    world.pass(1);
    let before = machine.standing();
    assert!(
        matches!(&before, Standing::Waiting(text) if text.starts_with("no subnet is free")),
        "{before:?}"
    );
    world.foreign("10.5.1.0-24", 98);
    world.pass(60);
    assert_eq!((machine.standing(), machine.notes().len()), (before, 0));
}

quickcheck::quickcheck! {
    /// However many start at once, in whatever order, on a pool as large or one too small: nobody shares, nobody is left out
    /// while there is room, and whoever waits gets what is freed.
    fn a_crowd_shares_nothing(pool: u8, seed: u32, short: bool) -> bool {
        let pool = 2 + u32::from(pool % 7);
        let world = World::new(&narrow(pool));
        let crowd = if short { pool + 1 } else { pool };
        let base = seed % 1_000 * 16;
        let machines: Vec<Machine> = (1..=crowd).map(|number| world.machine(base + number)).collect();
        world.pass(60);
        if keys(&machines).len() != pool as usize {
            return false;
        }
        let Some(left_out) = machines.iter().find(|machine| !machine.is_held()) else { return !short };
        let gone = machines.iter().position(Machine::is_held).unwrap();
        machines[gone].line.cut();
        let freed = machines[gone].held().0.key;
        world.kv.unset(&name(&freed.to_string()));
        world.pass(10);
        left_out.held().0.key == freed
    }

    /// Machines come, die and come again; nobody ever holds what another holds by its own clock.
    fn nobody_shares_over_crashes(steps: Vec<(u8, u8)>) -> bool {
        let world = World::new(&narrow(4));
        let mut machines: Vec<Option<Machine>> = (0..6).map(|_| None).collect();
        for (who, what) in steps.into_iter().take(60) {
            let number = usize::from(who % 6);
            match (machines[number].take(), what % 4) {
                (Some(machine), 0) => machine.die(),
                (Some(machine), 1) => {
                    machine.line.lose_answers(1 + u64::from(what / 4 % 3));
                    machines[number] = Some(machine);
                }
                (Some(machine), 2) => {
                    if machine.is_held() {
                        world.kv.unset(&name(&machine.held().0.key.to_string()));
                    }
                    machines[number] = Some(machine);
                }
                (Some(machine), _) => machines[number] = Some(machine),
                (None, _) => machines[number] = Some(world.machine(number as u32 + 1)),
            }
            world.pass_millis(u64::from(what) * 7);
            let here: Vec<&Machine> = machines.iter().flatten().filter(|machine| machine.is_held()).collect();
            let held: BTreeSet<SubnetKey> = here.iter().map(|machine| machine.held().0.key).collect();
            if held.len() != here.len() {
                return false;
            }
        }
        true
    }

    /// With stores that are away for longer than leases live: who holds, by its own clock, holds alone, and the store has
    /// given the subnet to nobody else.
    fn nobody_shares_when_the_store_is_away(steps: Vec<(u8, u8)>) -> bool {
        let world = World::new(&narrow(3));
        let config = HolderConfig { ttl: Duration::from_secs(20), margin: Duration::from_secs(5), previous: None };
        let mut machines: Vec<Option<Machine>> = (0..5).map(|_| None).collect();
        for (who, what) in steps.into_iter().take(80) {
            let number = usize::from(who % 5);
            match (machines[number].take(), what % 5) {
                (Some(machine), 0) => machine.die(),
                (Some(machine), 1 | 2) => {
                    machine.line.cut();
                    machines[number] = Some(machine);
                }
                (Some(machine), _) => {
                    machine.line.mend();
                    machines[number] = Some(machine);
                }
                (None, _) => machines[number] = Some(world.machine_with(number as u32 + 1, config.clone())),
            }
            world.pass_millis(u64::from(what) * 60);
            let here: Vec<&Machine> = machines.iter().flatten().filter(|machine| machine.is_held()).collect();
            let held: BTreeSet<SubnetKey> = here.iter().map(|machine| machine.held().0.key).collect();
            let is_ours = |machine: &&Machine| {
                let (lease, until) = machine.held();
                kernel::Clock::now(&world.room) < until && world.value(&lease.key.to_string()) == lease.value.to_json()
            };
            if held.len() != here.len() || !here.iter().all(is_ours) {
                return false;
            }
        }
        true
    }
}

/// The IPv6 network has three subnets, so that numbers cannot pair and the draws collide: keys alone would not show it.
#[test]
fn in_dual_stack_nobody_shares_in_either_family() {
    let text = r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/124","Backend":{"Type":"vxlan"}}"#;
    for seed in 0..20 {
        let world = World::new(text);
        let machines: Vec<Machine> = (1..=4).map(|number| world.machine(seed * 16 + number)).collect();
        world.pass(60);
        let held = keys(&machines);
        assert_eq!(held.len(), 3);
        for (one, other) in held.iter().flat_map(|one| held.iter().map(move |other| (one, other))) {
            assert!(one == other || !one.overlaps(other), "{one} and {other}");
        }
        assert_eq!(
            world.kv.dump("/coreos.com/network/subnets/").len(),
            3,
            "who came second leaves nothing behind"
        );
    }
}
