//! What a change would do: tried in a clone, in which everything goes well and at once.
//!
//! The clone is first brought to rest, so that the plan holds only what the change causes. Then the change is made, the clone
//! is brought to rest again, and the difference of the two is the plan.

use super::decision::Decision;
use super::explanation::{Explanation, Standing};
use super::scheduler::Scheduler;
use crate::model::{DesiredState, Job, MachineId};
use crate::unit::UnitName;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A clone that is not at rest after so many rounds is taken as it is. A round is a whole generation of units moved, so real
/// changes take two or three.
const ROUNDS: usize = 64;

/// What a change would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What would happen, by unit, then by machine.
    pub steps: Vec<PlanStep>,
    /// Units that would be nowhere, though they are wanted: new ones, and ones that have a machine today.
    pub refused: Vec<(UnitName, Explanation)>,
}

/// One thing that would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// To which unit.
    pub unit: UnitName,
    /// What.
    #[serde(flatten)]
    pub action: PlanAction,
    /// On which machine; the new one for a move.
    pub machine: MachineId,
    /// Why.
    pub reason: String,
}

/// What would happen to a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum PlanAction {
    /// It is placed, if it is not there yet, and started.
    Start,
    /// It is placed without being started, or is stopped and stays loaded.
    Load,
    /// It is stopped and taken away.
    Stop,
    /// It runs a new text on the machine where it is.
    Replace,
    /// It is stopped on one machine and goes to another.
    Move {
        /// The machine that it leaves.
        from: MachineId,
    },
}

impl fmt::Display for PlanAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanAction::Start => f.write_str("start"),
            PlanAction::Load => f.write_str("load"),
            PlanAction::Stop => f.write_str("stop"),
            PlanAction::Replace => f.write_str("replace"),
            PlanAction::Move { from } => write!(f, "move from {from}"),
        }
    }
}

type Orders = BTreeMap<UnitName, BTreeMap<MachineId, DesiredState>>;
type Reasons = BTreeMap<(UnitName, MachineId), String>;

/// What would happen if these jobs were added or took the place of those with their names, and those units were destroyed.
pub fn plan(before: &Scheduler, jobs: Vec<Job>, removals: Vec<UnitName>) -> Plan {
    let mut world = before.clone();
    settle(&mut world);
    let orders = orders(&world);
    let names: BTreeSet<UnitName> = jobs.iter().map(|job| job.name.clone()).collect();
    let new_texts: BTreeSet<UnitName> =
        jobs.iter().filter(|job| world.has_other_text(job)).map(|job| job.name.clone()).collect();
    removals.iter().for_each(|name| world.remove_job(name));
    jobs.into_iter().for_each(|job| world.set_job(job));
    let reasons = settle(&mut world);
    let steps = steps(&orders, &self::orders(&world), &new_texts, &reasons);
    let affected: BTreeSet<UnitName> = names.into_iter().chain(orders.into_keys()).collect();
    let explained = affected.into_iter().map(|name| (name.clone(), world.explain(&name)));
    Plan { steps, refused: explained.filter(|(_, explanation)| is_nowhere(explanation)).collect() }
}

fn is_nowhere(explanation: &Explanation) -> bool {
    match explanation.standing {
        Standing::Unplaceable => true,
        Standing::Global => explanation.copies == 0,
        _ => false,
    }
}

/// Lets everything happen that wants to: orders are carried out, what starts becomes active, what leaves is gone.
fn settle(world: &mut Scheduler) -> Reasons {
    let mut reasons = Reasons::new();
    for _ in 0..ROUNDS {
        let decisions = world.decide();
        let gone = world.finish_leaving();
        if decisions.is_empty() && gone == 0 {
            break;
        }
        for decision in decisions {
            if let Decision::Assign { unit, state: DesiredState::Launched, .. }
            | Decision::SetState { unit, state: DesiredState::Launched, .. } = &decision
            {
                world.set_active(unit, true);
            }
            let key = (decision.unit().clone(), decision.machine().clone());
            let reason = decision.reason().to_owned();
            match decision {
                // Why it is there says more than why it is started.
                Decision::SetState { .. } => reasons.entry(key).or_insert(reason),
                _ => reasons.entry(key).insert_entry(reason).into_mut(),
            };
        }
    }
    reasons
}

fn orders(world: &Scheduler) -> Orders {
    let mut orders = Orders::new();
    for (unit, machine, state) in world.orders() {
        orders.entry(unit).or_default().insert(machine, state);
    }
    orders
}

fn steps(
    before: &Orders,
    after: &Orders,
    new_texts: &BTreeSet<UnitName>,
    reasons: &Reasons,
) -> Vec<PlanStep> {
    let none = BTreeMap::new();
    let names: BTreeSet<&UnitName> = before.keys().chain(after.keys()).collect();
    let mut steps = Vec::new();
    for unit in names {
        let (old, new) = (before.get(unit).unwrap_or(&none), after.get(unit).unwrap_or(&none));
        let mut step = |action, machine: &MachineId, reason: Option<&MachineId>| {
            let reason = reason.and_then(|at| reasons.get(&(unit.clone(), at.clone())));
            let reason = reason.cloned().unwrap_or_else(|| "its text is new".into());
            steps.push(PlanStep { unit: unit.clone(), action, machine: machine.clone(), reason });
        };
        if let ([from], [to]) = (&Vec::from_iter(old.keys())[..], &Vec::from_iter(new.keys())[..])
            && from != to
        {
            step(PlanAction::Move { from: (*from).clone() }, to, Some(from));
            continue;
        }
        for (machine, state) in new {
            match old.get(machine) {
                Some(same) if same == state && new_texts.contains(unit) => {
                    step(PlanAction::Replace, machine, None);
                }
                Some(same) if same == state => {}
                _ if *state == DesiredState::Launched => step(PlanAction::Start, machine, Some(machine)),
                _ => step(PlanAction::Load, machine, Some(machine)),
            }
        }
        for machine in old.keys().filter(|machine| !new.contains_key(machine)) {
            step(PlanAction::Stop, machine, Some(machine));
        }
    }
    steps
}
