//! One change of the registry, typed: what a load is made of, and what a watch brings.

use super::keys::{Key, Keys};
use super::record::{Done, Halt, Leader, Presence};
use super::values;
use crate::model::{Admission, DesiredState, MachineId, Order, Report};
use crate::unit::{UnitHash, UnitName};
use kernel::types::KeyValue;

/// A change, and the revision of the store that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: i64,
    /// What is so from then on.
    pub event: Event,
}

/// What is so now. None, or the default, after a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields say what they are by their names and types.
pub enum Event {
    /// A unit's text.
    Text { hash: UnitHash, text: Option<String> },
    /// The text a unit shall run; none: the unit is destroyed.
    Object { unit: UnitName, hash: Option<UnitHash> },
    /// What the operator wants of it.
    Desired { unit: UnitName, desired: DesiredState },
    /// How often a start was asked for again.
    Run { unit: UnitName, run: u64 },
    /// Where the engine put it.
    Target { unit: UnitName, machine: Option<MachineId> },
    /// A oneshot has run.
    Done { unit: UnitName, done: Option<Done> },
    /// The hash before the last replacement.
    Previous { unit: UnitName, hash: Option<UnitHash> },
    /// A replacement has stopped half-way.
    Halt { unit: UnitName, halt: Option<Halt> },
    /// What a machine is told about a unit.
    Order { machine: MachineId, unit: UnitName, order: Option<Order> },
    /// What a machine says about a unit.
    Report { unit: UnitName, machine: MachineId, report: Option<Report> },
    /// A machine came, changed what it says of itself, or went.
    Presence { machine: MachineId, presence: Option<Presence>, lease: i64 },
    /// Metadata set through the API.
    Metadata { machine: MachineId, name: String, value: Option<String> },
    /// Whether new units may come.
    Admission { machine: MachineId, admission: Admission },
    /// Declared gone by an operator.
    Gone { machine: MachineId, gone: bool },
    /// Who leads.
    Leader(Option<Leader>),
    /// A request to rebalance.
    Rebalance(Option<u64>),
    /// A key or value that cannot be read, and why; none when such a key has been deleted.
    Note { key: String, why: Option<String> },
}

impl Change {
    /// From a key as it is now. Nothing for keys that nobody needs to hear of (`engine/version`). A value that cannot be
    /// read counts as deleted, so that a view that was followed is the view that a load would give.
    pub(super) fn put(keys: &Keys, kv: &KeyValue) -> impl Iterator<Item = Change> {
        let (told, why) = match keys.parse(&kv.key) {
            Err(why) => (None, Some(why)),
            Ok(key) => match event(key.clone(), Some(kv)) {
                Ok(told) => (told, None),
                Err(why) => (event(key, None).expect("a deletion has no value to be spoilt"), Some(why)),
            },
        };
        let note = why.map(|why| Event::Note { key: readable(&kv.key), why: Some(why) });
        changes(kv.mod_revision, [told, note])
    }

    /// From the deletion of a key.
    pub(super) fn deletion(keys: &Keys, kv: &KeyValue) -> impl Iterator<Item = Change> {
        let told = match keys.parse(&kv.key) {
            Err(_) => Some(Event::Note { key: readable(&kv.key), why: None }),
            Ok(key) => event(key, None).expect("a deletion has no value to be spoilt"),
        };
        changes(kv.mod_revision, [told, None])
    }
}

fn changes(revision: i64, events: [Option<Event>; 2]) -> impl Iterator<Item = Change> {
    events.into_iter().flatten().map(move |event| Change { revision, event })
}

fn readable(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// What a key's value (none: its deletion) says, or why it cannot be read.
fn event(key: Key, kv: Option<&KeyValue>) -> Result<Option<Event>, String> {
    let value = kv.map(|kv| kv.value.as_ref());
    Ok(Some(match key {
        Key::Text(hash) => Event::Text { hash, text: value.map(values::read_text).transpose()? },
        Key::Object(unit) => {
            let hash = value.map(|value| values::read_object(&unit, value)).transpose()?;
            Event::Object { unit, hash }
        }
        Key::Desired(unit) => {
            let desired = value.map(values::read_desired).transpose()?.unwrap_or_default();
            Event::Desired { unit, desired }
        }
        Key::Run(unit) => Event::Run { unit, run: value.map(values::read_number).transpose()?.unwrap_or(0) },
        Key::Target(unit) => Event::Target { unit, machine: value.map(values::read_machine).transpose()? },
        Key::Done(unit) => Event::Done { unit, done: value.map(values::read_json).transpose()? },
        Key::Previous(unit) => Event::Previous { unit, hash: value.map(values::read_hash).transpose()? },
        Key::Halt(unit) => Event::Halt { unit, halt: value.map(values::read_json).transpose()? },
        Key::Order(machine, unit) => {
            Event::Order { machine, unit, order: value.map(values::read_order).transpose()? }
        }
        Key::Report(unit, machine) => {
            Event::Report { unit, machine, report: value.map(values::read_json).transpose()? }
        }
        Key::Presence(machine) => {
            let presence = value.map(|value| values::read_presence(&machine, value)).transpose()?;
            Event::Presence { machine, presence, lease: kv.map_or(0, |kv| kv.lease) }
        }
        Key::Metadata(machine, name) => {
            Event::Metadata { machine, name, value: value.map(values::read_utf8).transpose()? }
        }
        Key::Admission(machine) => {
            let admission = value.map(values::read_admission).transpose()?.unwrap_or_default();
            Event::Admission { machine, admission }
        }
        Key::Gone(machine) => Event::Gone { machine, gone: value.is_some() },
        Key::Leader => Event::Leader(kv.map(leader).transpose()?),
        Key::Rebalance => Event::Rebalance(value.map(values::read_number).transpose()?),
        Key::Version => return Ok(None),
    }))
}

fn leader(kv: &KeyValue) -> Result<Leader, String> {
    let machine = values::read_leader(&kv.value)?;
    Ok(Leader { machine, create_revision: kv.create_revision })
}
