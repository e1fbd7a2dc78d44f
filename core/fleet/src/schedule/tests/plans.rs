//! Scripts about plans and about levelling loads.

use super::world::{World, job, name};
use crate::model::DesiredState::Launched;
use crate::schedule::plan;

fn lines(plan: &crate::schedule::Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| format!("{} {} {}: {}", step.action, step.unit, step.machine, step.reason))
        .collect()
}

#[test]
fn a_plan_tells_what_would_happen_and_changes_nothing() {
    let mut world = World::with_machines(&["m1", "m2 ssd=true"]);
    world.launch("a.service", "");
    world.launch("b.service", "");
    assert_eq!(world.decide().len(), 2);
    let jobs = vec![
        job("a.service", "MachineMetadata=ssd=true", Launched),
        job("b.service", "PreferMachineMetadata=ssd=true 1", Launched),
        job("c.service", "After=a.service", Launched),
        job("d.service", "MachineMetadata=gpu=1", Launched),
    ];
    let result = plan(&world.scheduler, jobs, vec![]);
    assert_eq!(
        lines(&result),
        [
            "move from m1 a.service m2: the machine lacks metadata ssd=true",
            "replace b.service m2: its text is new",
            "start c.service m1: the least loaded of 2 machines that fit (1 unit there)",
        ]
    );
    assert_eq!(result.refused.len(), 1);
    assert_eq!(result.refused[0].1.text, "2 machines: 2 lack metadata gpu=1");
    assert_eq!(world.decide(), [""; 0]);
    let result = plan(&world.scheduler, vec![], vec![name("b.service")]);
    assert_eq!(lines(&result), ["stop b.service m2: it was destroyed"]);
    let json = serde_json::to_value(&result).expect("it is plain data");
    assert_eq!(json["steps"][0]["action"], "stop");
}

#[test]
fn a_plan_names_those_who_would_lose_their_place() {
    let mut world = World::with_machines(&["m1"]);
    world.launch("old.service", "");
    assert_eq!(world.decide().len(), 1);
    let result = plan(&world.scheduler, vec![job("new.service", "Replaces=old.service", Launched)], vec![]);
    assert_eq!(
        lines(&result),
        [
            "start new.service m1: it takes the place of old.service",
            "stop old.service m1: new.service replaces it"
        ]
    );
    assert_eq!(result.refused.iter().map(|(unit, _)| unit.as_str()).collect::<Vec<_>>(), ["old.service"]);
}

#[test]
fn rebalancing_narrows_gaps_and_moves_no_group() {
    let mut world = World::with_machines(&["m1"]);
    for unit in ["a.service", "b.service", "c.service", "d.service"] {
        world.launch(unit, "");
    }
    world.launch("e.service", "MachineOf=a.service");
    assert_eq!(world.decide().len(), 5);
    assert_eq!(world.scheduler.rebalance(10), []);
    world.machine("m2");
    let moves = world.scheduler.rebalance(10);
    let short: Vec<String> =
        moves.iter().map(|(unit, from, to, why)| format!("{unit} {from} {to} {why}")).collect();
    assert_eq!(
        short,
        [
            "b.service m1 m2 5 units there, 0 where it would go",
            "c.service m1 m2 4 units there, 1 where it would go"
        ]
    );
    assert_eq!(world.scheduler.rebalance(1).len(), 1);
    assert_eq!(world.decide(), [""; 0]);
}
