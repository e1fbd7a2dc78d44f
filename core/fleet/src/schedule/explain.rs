//! Explaining: the questions of [`super::fit`], asked of every machine, and the answers counted and put in words.

use super::explanation::{
    Constraint, EXAMPLES, Exclusion, Explanation, Standing, counted, named, sentence, size,
};
use super::fit::Obstacle;
use super::gate::{self, Gate};
use super::group::NoGroup;
use super::ids::{MachineIx, PatternIx, UnitIx};
use super::units::{Spot, UnitSlot};
use super::view::View;
use crate::model::{DesiredState, MachineId};
use crate::unit::{Requirements, UnitName};
use std::collections::{BTreeMap, BTreeSet};

/// Where a unit is and why, or why it is nowhere.
pub(super) fn explain(view: &View, name: &UnitName) -> Explanation {
    let Some(unit) = view.units.find(name).filter(|unit| is_known(view.units.at(*unit))) else {
        return Explanation::new(name.clone(), Standing::Unknown, "the cluster knows no such unit".into());
    };
    let slot = view.units.at(unit);
    let global = slot.wish.as_ref().is_some_and(|wish| wish.requirements().global);
    let mut answer = match slot.spot {
        _ if global => explain_global(view, unit),
        Spot::Free => explain_free(view, unit),
        Spot::On(machine, state) => explain_placed(view, unit, machine, state),
        Spot::Leaving(machine) => {
            let text = format!("it was taken from {}, which has not stopped it yet", id(view, machine));
            at(view, machine, Explanation::new(name.clone(), Standing::Leaving, text))
        }
        Spot::Held(machine, policy) => {
            let policy = format!("{policy:?}").to_lowercase();
            let machine_id = id(view, machine);
            let text =
                format!("{machine_id} is cut off, and Partition={policy} forbids a second copy elsewhere");
            at(view, machine, Explanation::new(name.clone(), Standing::Held, text))
        }
    };
    answer.machines = view.machines.count();
    answer
}

fn is_known(slot: &UnitSlot) -> bool {
    slot.wish.is_some() || slot.spot != Spot::Free || !slot.copies.is_empty()
}

fn id(view: &View, machine: MachineIx) -> &MachineId {
    &view.machines.at(machine).id
}

fn at(view: &View, machine: MachineIx, answer: Explanation) -> Explanation {
    Explanation { machine: Some(id(view, machine).clone()), ..answer }
}

fn explain_placed(view: &View, unit: UnitIx, machine: MachineIx, state: DesiredState) -> Explanation {
    let slot = view.units.at(unit);
    let because = match &slot.because {
        Some(reason) => format!("on {}: {reason}", id(view, machine)),
        None => format!("on {}, where it was placed before", id(view, machine)),
    };
    let shall_run = slot.wish.as_ref().is_some_and(|wish| wish.job.desired == DesiredState::Launched);
    let waits = if shall_run && state == DesiredState::Loaded { gate::gate(view, unit) } else { None };
    let (standing, text) = match &waits {
        None => (if slot.done { Standing::Done } else { Standing::Placed }, because),
        Some(gate) => (Standing::Waiting, format!("{because}; not started: {}", gate_text(view, unit, gate))),
    };
    let mut answer = at(view, machine, Explanation::new(slot.name.clone(), standing, text));
    answer.state = Some(state);
    answer.waits_for = waits.and_then(|gate| gate_unit(view, &gate)).into_iter().collect();
    answer
}

fn gate_unit(view: &View, gate: &Gate) -> Option<UnitName> {
    match gate {
        Gate::Unsupported(name) => view.units.named(name).map(|(_, slot)| slot.name.clone()),
        Gate::Requires(name) | Gate::After(name) => Some(name.clone()),
    }
}

fn gate_text(view: &View, unit: UnitIx, gate: &Gate) -> String {
    match gate {
        Gate::Unsupported(name) if view.units.named(name).is_none_or(|(_, slot)| slot.wish.is_none()) => {
            format!("{name}, which it requires, does not exist")
        }
        Gate::Unsupported(name) => format!("{name}, which it requires, shall not be launched"),
        Gate::Requires(name) => format!("{name}, which it requires, is not placed"),
        Gate::After(name) => match gate::circle(view, unit) {
            Some(circle) => format!("After goes in a circle: {}", named(&circle, circle.len())),
            None => format!("it waits for {name} to be active (After)"),
        },
    }
}

fn explain_free(view: &View, unit: UnitIx) -> Explanation {
    let slot = view.units.at(unit);
    let answer = |standing, text: &str| Explanation::new(slot.name.clone(), standing, text.into());
    if slot.wish.as_ref().is_none_or(|wish| !wish.is_wanted()) {
        return answer(Standing::NotWanted, "it shall be inactive");
    }
    if slot.done {
        return answer(Standing::Done, "it is a oneshot that has run; restart it to run it again");
    }
    if !slot.copies.is_empty() {
        return answer(Standing::Leaving, "it was global, and machines have not stopped their copies yet");
    }
    if let Some((_, choice)) = super::decide::find(&mut view.clone(), unit) {
        let text = format!("it will go to {}: {}", id(view, choice.machine), choice.reason);
        return at(view, choice.machine, answer(Standing::Placeable, &text));
    }
    let mut answer = answer(Standing::Unplaceable, "");
    answer.excluded = exclusions(view, unit);
    answer.text = sentence(view.machines.count(), &answer.excluded);
    match view.core(unit) {
        Err(NoGroup::Alone(member, pattern)) => {
            answer.text = format!("{}: {}", company_text(view, unit, member, pattern), answer.text);
        }
        Err(NoGroup::Leaving(member)) => {
            let name = &view.units.at(member).name;
            answer.waits_for.push(name.clone());
            answer.text = format!("it goes together with {name}, which has not left its machine yet");
        }
        Err(NoGroup::AtOdds(one, other)) => {
            let (one, other) = (&view.units.at(one).name, &view.units.at(other).name);
            answer.text =
                format!("MachineOf wants {one} and {other} on one machine, and they do not go together");
        }
        Ok(group) if group.members.len() > 1 => answer.text = group_text(view, &group.members),
        Ok(_) => {}
    }
    answer
}

fn company_text(view: &View, unit: UnitIx, member: UnitIx, pattern: PatternIx) -> String {
    let text = &view.patterns.at(pattern).text;
    let through = match member == unit {
        true => String::new(),
        false => format!(", beside which {} must be,", view.units.at(member).name),
    };
    let held = (view.patterns.at(pattern).units.iter())
        .filter_map(|other| match view.units.at(*other).spot {
            Spot::Held(machine, _) => Some((&view.units.at(*other).name, machine)),
            _ => None,
        })
        .min();
    match held {
        Some((name, machine)) => {
            format!("{name}{through} is held by {}, which is cut off", id(view, machine))
        }
        None => format!("no unit that MachineOf={text} means{through} is placed or can be placed with it"),
    }
}

fn group_text(view: &View, members: &[UnitIx]) -> String {
    let mut texts = Vec::new();
    for member in members {
        let excluded = exclusions_of(view, *member, true);
        if !excluded.is_empty() {
            let name = &view.units.at(*member).name;
            texts.push(format!("for {name}, {}", sentence(view.machines.count(), &excluded)));
        }
    }
    let first: Vec<UnitName> =
        members.iter().take(EXAMPLES).map(|member| view.units.at(*member).name.clone()).collect();
    let head = format!("no machine can take {} together", named(&first, members.len()));
    if texts.is_empty() {
        format!("{head}: none has room for all")
    } else {
        format!("{head}: {}", texts.join("; "))
    }
}

fn explain_global(view: &View, unit: UnitIx) -> Explanation {
    let slot = view.units.at(unit);
    let mut answer = Explanation::new(slot.name.clone(), Standing::Global, String::new());
    answer.copies = slot.orders().len();
    if slot.wish.as_ref().is_none_or(|wish| !wish.is_wanted()) {
        answer.standing = if answer.copies == 0 { Standing::NotWanted } else { Standing::Global };
        answer.text = "it shall be inactive".into();
        return answer;
    }
    answer.excluded = exclusions(view, unit);
    let lacking: usize = answer.excluded.iter().map(|exclusion| exclusion.count).sum();
    answer.text =
        format!("{} on {}", counted_copies(answer.copies), counted(view.machines.count(), "machine"));
    if lacking > 0 {
        answer.text = format!("{}; none on {}", answer.text, sentence(lacking, &answer.excluded));
    }
    let shall_run = slot.wish.as_ref().is_some_and(|wish| wish.job.desired == DesiredState::Launched);
    let is_held_up = slot.orders().iter().any(|(_, state)| *state == DesiredState::Loaded);
    if let Some(gate) = gate::gate(view, unit).filter(|_| shall_run && is_held_up) {
        answer.text = format!("{}; not started: {}", answer.text, gate_text(view, unit, &gate));
        answer.waits_for = gate_unit(view, &gate).into_iter().collect();
    }
    answer
}

fn counted_copies(count: usize) -> String {
    if count == 1 { "1 copy".into() } else { format!("{count} copies") }
}

/// What excludes the machines that do not have the unit, the most frequent first.
fn exclusions(view: &View, unit: UnitIx) -> Vec<Exclusion> {
    exclusions_of(view, unit, false)
}

fn exclusions_of(view: &View, unit: UnitIx, without_company: bool) -> Vec<Exclusion> {
    let mut found: BTreeMap<(Constraint, String), (Vec<MachineIx>, BTreeSet<UnitName>)> = BTreeMap::new();
    for (machine, slot, _) in
        view.machines.present().filter(|(_, slot, _)| !slot.occupants.contains_key(&unit))
    {
        let Some(obstacle) = view.obstacle(unit, machine, &[]) else { continue };
        if without_company && matches!(obstacle, Obstacle::MachineOf(_)) {
            continue;
        }
        let (machines, units) = found.entry(kind(view, unit, obstacle)).or_default();
        machines.push(machine);
        let rivals = slot.occupants.keys().filter(|other| match obstacle {
            Obstacle::Conflict(_) => view.units.conflict(unit, **other),
            Obstacle::Replaced(other_there) => other_there == **other,
            _ => false,
        });
        units.extend(rivals.map(|other| view.units.at(*other).name.clone()));
    }
    let wish = view.units.at(unit).wish.as_ref().expect("only a unit that is wanted is excluded");
    let mut exclusions: Vec<Exclusion> = found
        .into_iter()
        .map(|((constraint, detail), (machines, units))| Exclusion {
            constraint,
            count: machines.len(),
            text: words(view, wish.requirements(), constraint, &detail, &machines, &units),
            machines: machines.iter().take(EXAMPLES).map(|machine| id(view, *machine).clone()).collect(),
            units: units.into_iter().take(EXAMPLES).collect(),
            detail,
        })
        .collect();
    exclusions.sort_by_key(|exclusion| std::cmp::Reverse(exclusion.count));
    exclusions
}

/// Under what an obstacle is counted.
fn kind(view: &View, unit: UnitIx, obstacle: Obstacle) -> (Constraint, String) {
    let wish = view.units.at(unit).wish.as_ref().expect("only a unit that is wanted is excluded");
    match obstacle {
        Obstacle::Away => unreachable!("only present machines are asked"),
        Obstacle::Cordon => (Constraint::Cordon, String::new()),
        Obstacle::Drain => (Constraint::Drain, String::new()),
        Obstacle::Leaving => (Constraint::Leaving, String::new()),
        Obstacle::MachineId => {
            (Constraint::MachineId, wish.requirements().machine_id.clone().unwrap_or_default())
        }
        Obstacle::Metadata(term) => (Constraint::Metadata, wish.requirements().metadata[term].to_string()),
        Obstacle::MachineOf(pattern) => (Constraint::MachineOf, view.patterns.at(pattern).text.to_string()),
        Obstacle::Conflict(_) => (Constraint::Conflicts, String::new()),
        Obstacle::Replaced(_) => (Constraint::Replaces, String::new()),
        Obstacle::Cpu => (Constraint::Cpu, String::new()),
        Obstacle::Memory => (Constraint::Memory, String::new()),
    }
}

/// `lack metadata ssd=true`: what follows the count.
fn words(
    view: &View,
    requirements: &Requirements,
    constraint: Constraint,
    detail: &str,
    machines: &[MachineIx],
    units: &BTreeSet<UnitName>,
) -> String {
    let verb = |one: &'static str, many: &'static str| if machines.len() == 1 { one } else { many };
    let rivals = || named(&units.iter().take(EXAMPLES).cloned().collect::<Vec<_>>(), units.len());
    match constraint {
        Constraint::Cordon => verb("is cordoned", "are cordoned").into(),
        Constraint::Drain => verb("is being drained", "are being drained").into(),
        Constraint::Leaving => format!("{} without fleetd, which was stopped there", verb("is", "are")),
        Constraint::MachineId => format!("{} not machine {detail}", verb("is", "are")),
        Constraint::Metadata => format!("{} metadata {detail}", verb("lacks", "lack")),
        Constraint::MachineOf => {
            format!("{} not have {detail}, which MachineOf asks for", verb("does", "do"))
        }
        Constraint::Conflicts => format!("{} with {} there", verb("conflicts", "conflict"), rivals()),
        Constraint::Replaces => format!("{} {}, which replaces it", verb("has", "have"), rivals()),
        Constraint::Cpu => {
            let free = |at: &MachineIx| free(view, *at).0;
            let most = machines.iter().map(free).max().unwrap_or(0);
            let asked = requirements.resources.cpu_millis;
            format!("{} CPU (it asks for {asked}m, at most {most}m are free)", verb("lacks", "lack"))
        }
        Constraint::Memory => {
            let free = |at: &MachineIx| free(view, *at).1;
            let most = size(machines.iter().map(free).max().unwrap_or(0));
            let asked = size(requirements.resources.memory_bytes);
            format!("{} memory (it asks for {asked}, at most {most} are free)", verb("lacks", "lack"))
        }
    }
}

/// What is free on a machine: thousandths of a core, bytes.
fn free(view: &View, machine: MachineIx) -> (u64, u64) {
    let slot = view.machines.at(machine);
    let capacity = slot.machine.as_ref().map(|machine| machine.capacity).unwrap_or_default();
    let (cpu, memory) = (slot.used.cpu_millis, slot.used.memory_bytes);
    (capacity.cpu_millis.saturating_sub(cpu), capacity.memory_bytes.saturating_sub(memory))
}
