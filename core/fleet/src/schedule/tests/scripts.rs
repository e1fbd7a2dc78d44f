//! Scripts: one behaviour each, the trace as the expectation.

use super::world::{World, job, name};
use crate::model::DesiredState;
use crate::schedule::{Constraint, Place, Standing};

#[test]
fn the_least_loaded_machine_then_the_lowest_id() {
    let mut world = World::with_machines(&["m2", "m1", "m3"]);
    ["a.service", "b.service", "c.service", "d.service"].iter().for_each(|unit| world.launch(unit, ""));
    assert_eq!(
        world.decide(),
        [
            "a.service to m1 launched",
            "b.service to m2 launched",
            "c.service to m3 launched",
            "d.service to m1 launched"
        ]
    );
    assert_eq!(world.why("a.service"), "on m1: the least loaded of 3 machines that fit (0 units there)");
    assert_eq!(world.why("none.service"), "the cluster knows no such unit");
}

#[test]
fn a_loaded_unit_is_placed_and_not_started_and_an_inactive_one_is_taken_away() {
    let mut world = World::with_machines(&["m1"]);
    world.scheduler.set_job(job("a.service", "", DesiredState::Loaded));
    assert_eq!(world.decide(), ["a.service to m1 loaded"]);
    world.launch("a.service", "");
    assert_eq!(world.decide(), ["a.service on m1 is launched"]);
    world.scheduler.set_job(job("a.service", "", DesiredState::Loaded));
    assert_eq!(world.decide(), ["a.service on m1 is loaded"]);
    world.stop("a.service", "");
    assert_eq!(world.decide(), ["a.service from m1: it shall be inactive"]);
    assert_eq!(world.scheduler.explain(&name("a.service")).standing, Standing::Leaving);
    assert_eq!(world.left(), [""; 0]);
    assert_eq!(world.scheduler.explain(&name("a.service")).standing, Standing::NotWanted);
}

#[test]
fn nowhere_is_explained_machine_by_machine() {
    let mut world = World::with_machines(&["m1", "m2", "m3 ssd=true"]);
    world.launch("db.service", "");
    world.place("db.service", "m3");
    world.launch("web.service", "MachineMetadata=ssd=true\nConflicts=db.service");
    assert_eq!(world.decide(), [""; 0]);
    let answer = world.scheduler.explain(&name("web.service"));
    assert_eq!(answer.text, "3 machines: 2 lack metadata ssd=true, 1 conflicts with db.service there");
    assert_eq!(answer.standing, Standing::Unplaceable);
    assert_eq!(answer.excluded[1].constraint, Constraint::Conflicts);
    assert_eq!(answer.excluded[1].units, [name("db.service")]);
    let json = serde_json::to_value(&answer).expect("it is plain data");
    assert_eq!(json["excluded"][0]["detail"], "ssd=true");
    assert_eq!(json["excluded"][0]["count"], 2);
    assert_eq!(json["standing"], "unplaceable");
}

#[test]
fn a_conflict_counts_from_either_side_and_until_the_other_has_left() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "Conflicts=b*.service");
    assert_eq!(world.decide(), ["a.service to m1 launched"]);
    world.launch("b1.service", "");
    assert_eq!(world.decide(), [""; 0]);
    world.stop("a.service", "Conflicts=b*.service");
    assert_eq!(world.decide(), ["a.service from m1: it shall be inactive"]);
    assert_eq!(world.why("b1.service"), "1 machine: 1 conflicts with a.service there");
    assert_eq!(world.left(), ["b1.service to m1 launched"]);
}

#[test]
fn a_changed_unit_gives_way_to_those_that_it_conflicts_with_now() {
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("a.service", "");
    world.launch("b.service", "");
    world.place("a.service", "m1");
    world.place("b.service", "m1");
    assert_eq!(world.decide(), [""; 0]);
    world.launch("a.service", "Conflicts=b.service");
    assert_eq!(world.decide(), ["a.service from m1: it conflicts with b.service there"]);
    assert_eq!(world.left(), ["a.service to m2 launched"]);
}

#[test]
fn replacing_takes_the_machine_and_sends_the_other_elsewhere() {
    let mut world = World::with_machines(&["m1", "m2", "m3"]);
    world.launch("old.service", "");
    world.place("old.service", "m2");
    assert_eq!(world.decide(), [""; 0]);
    world.launch("new.service", "Replaces=old.service");
    assert_eq!(
        world.decide(),
        ["old.service from m2: new.service replaces it", "new.service to m2 launched"]
    );
    assert_eq!(world.why("new.service"), "on m2: it takes the place of old.service");
    assert_eq!(world.left(), ["old.service to m1 launched"]);
}

#[test]
fn what_is_replaced_and_has_nowhere_to_go_stays_away_and_says_so() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("old.service", "");
    assert_eq!(world.decide(), ["old.service to m1 launched"]);
    world.launch("new.service", "Replaces=old.service");
    assert_eq!(
        world.decide(),
        ["old.service from m1: new.service replaces it", "new.service to m1 launched"]
    );
    assert_eq!(world.left(), [""; 0]);
    assert_eq!(world.why("old.service"), "1 machine: 1 has new.service, which replaces it");
    world.machine("m2");
    assert_eq!(world.decide(), ["old.service to m2 launched"]);
}

#[test]
fn units_that_replace_each_other_in_a_circle_leave_each_other_alone() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "Replaces=b.service");
    world.launch("b.service", "Replaces=c.service");
    world.launch("c.service", "Replaces=a.service");
    assert_eq!(world.decide().len(), 3);
    assert_eq!(world.left(), [""; 0]);
}

#[test]
fn a_drain_moves_all_but_global_units_and_a_cordon_moves_none() {
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("a.service", "");
    world.launch("g.service", "Global=true");
    assert_eq!(
        world.decide(),
        ["g.service to m1 launched", "g.service to m2 launched", "a.service to m1 launched"]
    );
    world.machine("m1 cordon");
    assert_eq!(world.decide(), [""; 0]);
    world.machine("m1 drain");
    assert_eq!(world.decide(), ["a.service from m1: the machine is being drained"]);
    assert_eq!(world.left(), ["a.service to m2 launched"]);
    world.machine("m3 cordon");
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(world.why("g.service"), "2 copies on 3 machines; none on 1 machine: 1 is cordoned");
}

#[test]
fn a_global_unit_is_on_every_machine_that_fits_and_a_conflict_keeps_it_from_one() {
    let mut world = World::with_machines(&["m1 role=web", "m2 role=web", "m3"]);
    world.launch("old.service", "");
    world.place("old.service", "m2");
    world.launch("g.service", "Global=true\nMachineMetadata=role=web\nConflicts=old.service");
    assert_eq!(world.decide(), ["g.service to m1 launched"]);
    assert_eq!(
        world.why("g.service"),
        "1 copy on 3 machines; none on 2 machines: 1 lacks metadata role=web, 1 conflicts with old.service there"
    );
    world.machine("m3 role=web");
    assert_eq!(world.decide(), ["g.service to m3 launched"]);
    world.machine("m1");
    assert_eq!(world.decide(), ["g.service from m1: the machine lacks metadata role=web"]);
    world.stop("old.service", "");
    assert_eq!(world.decide(), ["old.service from m2: it shall be inactive"]);
    assert_eq!(world.left(), ["g.service to m2 launched"]);
    world.scheduler.remove_job(&name("g.service"));
    assert_eq!(
        world.decide(),
        ["g.service from m2: it was destroyed", "g.service from m3: it was destroyed"]
    );
}

#[test]
fn after_waits_for_the_other_to_be_active_and_requires_for_its_order() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("web.service", "After=db.service\nRequires=db.service");
    assert_eq!(world.decide(), ["web.service to m1 loaded"]);
    let text =
        "on m1: the only machine that fits; not started: db.service, which it requires, does not exist";
    assert_eq!(world.why("web.service"), text);
    world.launch("db.service", "");
    assert_eq!(world.decide(), ["db.service to m1 launched"]);
    assert!(world.why("web.service").ends_with("it waits for db.service to be active (After)"));
    assert_eq!(world.scheduler.explain(&name("web.service")).waits_for, [name("db.service")]);
    world.scheduler.set_active(&name("db.service"), true);
    assert_eq!(world.decide(), ["web.service on m1 is launched"]);
    world.scheduler.set_active(&name("db.service"), false);
    assert_eq!(world.decide(), [""; 0]);
    world.stop("db.service", "");
    assert_eq!(world.decide(), ["db.service from m1: it shall be inactive", "web.service on m1 is loaded"]);
}

#[test]
fn requirements_of_requirements_count_and_units_that_require_each_other_start_at_once() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "Requires=b.service");
    world.launch("b.service", "Requires=c.service");
    world.launch("c.service", "Requires=a.service");
    assert_eq!(
        world.decide(),
        ["a.service to m1 launched", "b.service to m1 launched", "c.service to m1 launched"]
    );
    world.stop("c.service", "Requires=a.service");
    assert_eq!(
        world.decide(),
        ["c.service from m1: it shall be inactive", "a.service on m1 is loaded", "b.service on m1 is loaded"]
    );
}

#[test]
fn a_circle_of_after_is_named() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "After=b.service");
    world.launch("b.service", "After=a.service");
    assert_eq!(world.decide(), ["a.service to m1 loaded", "b.service to m1 loaded"]);
    assert!(world.why("a.service").ends_with("After goes in a circle: a.service, b.service"));
}

#[test]
fn room_is_hard_and_packing_takes_the_fullest() {
    let mut world = World::with_machines(&["m1 cpu:1000 memory:1048576", "m2 cpu:1000 memory:1048576", "m3"]);
    world.launch("a.service", "Memory=600K");
    world.launch("b.service", "Memory=300K\nPlacement=pack");
    world.launch("c.service", "CPU=0.5\nPlacement=pack");
    assert_eq!(
        world.decide(),
        ["a.service to m1 launched", "b.service to m1 launched", "c.service to m1 launched"]
    );
    world.launch("d.service", "Memory=1G");
    assert_eq!(world.decide(), [""; 0]);
    let text = "3 machines: 3 lack memory (it asks for 1G, at most 1M are free)";
    assert_eq!(world.why("d.service"), text);
    // A machine that says less than before keeps what it has.
    world.machine("m1 cpu:1 memory:1");
    assert_eq!(world.decide(), [""; 0]);
    world.launch("a.service", "Memory=700K");
    assert_eq!(world.decide(), ["a.service from m1: the machine has no room for what it asks for now"]);
    assert_eq!(world.left(), ["a.service to m2 launched"]);
}

#[test]
fn preferences_move_the_choice_and_forbid_nothing() {
    let mut world = World::with_machines(&["m1", "m2 ssd=true", "m3"]);
    world.launch("a.service", "PreferMachineMetadata=ssd=true 2");
    world.launch("b.service", "PreferMachineMetadata=ssd=true 2");
    world.launch("c.service", "PreferMachineMetadata=ssd=true 2\nAvoidMachineOf=?.service 5");
    assert_eq!(
        world.decide(),
        ["a.service to m2 launched", "b.service to m2 launched", "c.service to m1 launched"]
    );
}

#[test]
fn a_done_oneshot_is_not_placed_again() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("job.service", "");
    assert_eq!(world.decide(), ["job.service to m1 launched"]);
    world.scheduler.set_done(&name("job.service"), true);
    world.scheduler.remove_machine(&"m1".into());
    assert_eq!(world.decide(), ["job.service from m1: the machine is gone"]);
    world.machine("m2");
    assert_eq!(world.left(), [""; 0]);
    assert_eq!(world.scheduler.explain(&name("job.service")).standing, Standing::Done);
    world.scheduler.set_done(&name("job.service"), false);
    assert_eq!(world.decide(), ["job.service to m2 launched"]);
}

#[test]
fn a_machine_that_is_gone_gives_up_what_may_run_twice_and_holds_the_rest() {
    let mut world = World::with_machines(&["m1", "m2"]);
    world.launch("keep.service", "");
    world.launch("hold.service", "Partition=hold");
    world.place("keep.service", "m1");
    world.place("hold.service", "m1");
    assert_eq!(world.decide(), [""; 0]);
    world.scheduler.remove_machine(&"m1".into());
    assert_eq!(world.decide(), ["keep.service from m1: the machine is gone"]);
    world.hold("hold.service", "m1");
    assert_eq!(world.left(), ["keep.service to m2 launched"]);
    assert!(world.why("hold.service").starts_with("m1 is cut off, and Partition=hold"));
    world.machine("m1");
    world.place("hold.service", "m1");
    assert_eq!(world.decide(), [""; 0]);
    world.hold("hold.service", "m1");
    world.stop("hold.service", "Partition=hold");
    assert_eq!(world.decide(), ["hold.service from m1: it shall be inactive"]);
}

#[test]
fn a_unit_bound_to_a_machine_waits_for_it() {
    let id = "0123456789abcdef";
    let mut world = World::with_machines(&["m1"]);
    world.launch("a.service", "MachineID=01234567");
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(world.why("a.service"), "1 machine: 1 is not machine 01234567");
    world.machine(id);
    assert_eq!(world.decide(), [format!("a.service to {id} launched")]);
}

#[test]
fn a_name_that_looks_like_a_pattern_is_meant_by_itself() {
    let mut world = World::with_machines(&["m1"]);
    world.launch(r"a\x2db.service", "");
    world.launch("c.service", r"Conflicts=a\x2db.service");
    assert_eq!(world.decide(), [r"a\x2db.service to m1 launched"]);
}

#[test]
fn work_follows_the_change_not_the_cluster() {
    let (machines, units) = (100, 1000);
    let mut world = World::default();
    (0..machines).for_each(|index| world.machine(&format!("m{index}")));
    (0..units).for_each(|index| world.launch(&format!("u{index}.service"), "Conflicts=db*.service"));
    assert_eq!(world.decide().len(), units);
    let placing = world.scheduler.machines_looked_at();
    assert!(placing <= 2 * units as u64, "{placing} looks for {units} units");
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(world.scheduler.machines_looked_at(), placing, "nothing new, nothing looked at");
    world.scheduler.set_place(&name("u7.service"), Place::Free);
    assert_eq!(world.decide(), ["u7.service to m7 launched"]);
    assert!(world.scheduler.machines_looked_at() <= placing + 2);
}
