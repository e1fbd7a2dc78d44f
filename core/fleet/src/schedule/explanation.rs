//! Why a unit is where it is, or is nowhere: for the operator who was woken, and for programs.
//!
//! A unit that cannot be placed is explained machine by machine: each machine is counted under the first constraint that it
//! does not meet, and constraints that it would take another unit's leaving to meet name that unit. The words are made
//! here and nowhere else.

use crate::model::{DesiredState, MachineId};
use crate::unit::UnitName;
use serde::Serialize;
use std::fmt::Write;

/// How many machines and units are given as examples of a constraint; the rest are counted.
pub const EXAMPLES: usize = 3;

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// The cluster does not know it.
    Unknown,
    /// Its text cannot be followed: it stays as it is.
    Unreadable,
    /// It is wanted on no machine, and is on none.
    NotWanted,
    /// It is a oneshot that has run.
    Done,
    /// It is on its machine, in the state that is wanted.
    Placed,
    /// It is on its machine, but is not started: it waits for other units.
    Waiting,
    /// It was taken from a machine that has not stopped it yet.
    Leaving,
    /// Its machine is cut off, and its policy forbids a second copy.
    Held,
    /// It could be placed; the engine has not written it yet.
    Placeable,
    /// No machine can take it.
    Unplaceable,
    /// A global unit: see the counts.
    Global,
}

/// A rule that excludes machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Constraint {
    /// The machine takes no new units, because an operator said so.
    Cordon,
    /// The machine is being emptied.
    Drain,
    /// The machine's fleetd was stopped, and is waited for.
    Leaving,
    /// `MachineID`.
    MachineId,
    /// `MachineMetadata`.
    Metadata,
    /// `MachineOf`.
    MachineOf,
    /// `Conflicts`, of either side.
    Conflicts,
    /// `Replaces` of a unit that is there.
    Replaces,
    /// `CPU`.
    Cpu,
    /// `Memory`.
    Memory,
}

/// Machines that one constraint excludes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exclusion {
    /// Which.
    pub constraint: Constraint,
    /// What of it, in the unit file's terms: `ssd=true`, `db*.service`; empty if there is nothing to add.
    pub detail: String,
    /// How many machines it excludes (each machine is counted once, under the first constraint that it does not meet).
    pub count: usize,
    /// Some of them: the first by id, at most [`EXAMPLES`].
    pub machines: Vec<MachineId>,
    /// Units in the way there: the first by name, at most [`EXAMPLES`].
    pub units: Vec<UnitName>,
    /// The sentence's end: `lack metadata ssd=true`.
    pub text: String,
}

/// Why a unit is where it is, or is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The unit.
    pub unit: UnitName,
    /// How it stands.
    pub standing: Standing,
    /// The machine that it is on, leaves, or would go to; none for a global unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// What its order says, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DesiredState>,
    /// For a global unit: machines that have a copy.
    pub copies: usize,
    /// Machines that were considered: those that are present.
    pub machines: usize,
    /// What excludes machines, the most frequent first.
    pub excluded: Vec<Exclusion>,
    /// Units that it waits for.
    pub waits_for: Vec<UnitName>,
    /// What is wrong with it beyond its place: a start that failed, a replacement that stopped, an option that nobody knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// All of it in a sentence or two.
    pub text: String,
}

impl Explanation {
    /// An explanation with nothing in it but how the unit stands.
    pub(super) fn new(unit: UnitName, standing: Standing, text: String) -> Self {
        Explanation {
            unit,
            standing,
            machine: None,
            state: None,
            copies: 0,
            machines: 0,
            excluded: Vec::new(),
            waits_for: Vec::new(),
            troubles: Vec::new(),
            text,
        }
    }
}

/// `3 machines: 2 lack metadata ssd=true, 1 conflicts with db.service there`.
pub(super) fn sentence(machines: usize, excluded: &[Exclusion]) -> String {
    if machines == 0 {
        return "no machine is present".into();
    }
    let mut text = counted(machines, "machine");
    for (index, exclusion) in excluded.iter().enumerate() {
        let separator = if index == 0 { ": " } else { ", " };
        write!(text, "{separator}{} {}", exclusion.count, exclusion.text).expect("a string takes all text");
    }
    text
}

/// `1 machine`, `2 machines`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `a.service, b.service and 4 more`, of which the names are the first.
pub(super) fn named(names: &[UnitName], all: usize) -> String {
    assert!(names.len() <= all, "{} names given of {all}", names.len());
    let list = names.iter().map(UnitName::as_str).collect::<Vec<_>>().join(", ");
    match all - names.len() {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

/// Bytes for people: `512M`, `1.5G`, as unit files write them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let Some((unit, letter)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return bytes.to_string();
    };
    let tenths = (u128::from(bytes) * 10 / u128::from(unit)) as u64;
    match tenths % 10 {
        0 => format!("{}{letter}", tenths / 10),
        rest => format!("{}.{rest}{letter}", tenths / 10),
    }
}
