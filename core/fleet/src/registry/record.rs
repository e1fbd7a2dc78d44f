//! What the registry holds of jobs, machines and the leader.

use super::change::{Change, Event};
use crate::model::{Admission, DesiredState, Machine, MachineId, Order, Report, Resources};
use crate::unit::{UnitHash, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that was read, and at which revision it was last written: what a later write compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// What it is.
    pub value: T,
    /// The revision of its last change.
    pub revision: i64,
}

/// Everything the registry holds, as of one revision.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The store's revision that this shows.
    pub revision: i64,
    /// Units that the cluster knows, and those that are destroyed but not yet off their machine ([`JobRecord::hash`] is none).
    pub jobs: BTreeMap<UnitName, JobRecord>,
    /// Unit texts, with the revision of their last write.
    pub files: BTreeMap<UnitHash, Seen<String>>,
    /// What the engine told each machine.
    pub orders: BTreeMap<(UnitName, MachineId), Seen<Order>>,
    /// What each machine says.
    pub reports: BTreeMap<(UnitName, MachineId), Seen<Report>>,
    /// Machines that are there, or of which something is still written.
    pub machines: BTreeMap<MachineId, MachineRecord>,
    /// The engine that leads.
    pub leader: Option<Leader>,
    /// Somebody asked to rebalance: by so many moves at most.
    pub rebalance: Option<Seen<u64>>,
    /// Keys and values that cannot be read, and why.
    pub notes: BTreeMap<String, String>,
}

/// A unit in the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobRecord {
    /// The text that shall run. None: the unit is destroyed, and on its way off its machine.
    pub hash: Option<UnitHash>,
    /// What the operator wants; inactive when nothing was said.
    pub desired: DesiredState,
    /// How often a start has been asked for again.
    pub run: u64,
    /// Where the engine put it; never for a global unit.
    pub target: Option<Seen<MachineId>>,
    /// A oneshot's last run to the end.
    pub done: Option<Done>,
    /// The hash before the last replacement.
    pub previous: Option<UnitHash>,
    /// Why the last replacement stopped half-way.
    pub halt: Option<Halt>,
    /// Revision of the last change of `hash`.
    pub object_revision: i64,
}

/// A oneshot that has run to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The text that ran.
    pub hash: UnitHash,
    /// Which of the runs asked for.
    #[serde(default)]
    pub run: u64,
    /// Where.
    pub machine: MachineId,
}

/// A replacement that stopped because a copy did not become healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// The text that was being brought out.
    pub hash: UnitHash,
    /// Where it failed.
    pub machine: MachineId,
    /// What the operator should know.
    pub reason: String,
    /// Whether the text before was brought back.
    #[serde(rename = "rolledBack", default)]
    pub rolled_back: bool,
}

/// The engine that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The machine it runs on.
    pub machine: MachineId,
    /// Revision of the key's creation: the fence of everything that this leader writes.
    pub create_revision: i64,
}

/// What a machine says of itself while it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Who it is.
    #[serde(rename = "ID")]
    pub id: MachineId,
    /// Address for people and ssh.
    #[serde(rename = "PublicIP", default)]
    pub primary_ip: String,
    /// Metadata from its configuration.
    #[serde(rename = "Metadata", default)]
    pub metadata: BTreeMap<String, String>,
    /// fleet's words for what it can; kept for old clients.
    #[serde(rename = "Capabilities", default)]
    pub capabilities: BTreeMap<String, bool>,
    /// fleetd's version.
    #[serde(rename = "Version", default)]
    pub version: String,
    /// What it has for units.
    #[serde(rename = "Capacity", default)]
    pub capacity: Resources,
    /// Where its API answers over TCP.
    #[serde(rename = "Api", default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Its fleetd was stopped in good order, and what runs there runs on: it is waited for, and gets nothing new.
    #[serde(rename = "Leaving", default, skip_serializing_if = "is_false")]
    pub leaving: bool,
    /// The token of this boot of this machine.
    #[serde(rename = "Instance", default)]
    pub instance: String,
}

/// All that is written about a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineRecord {
    /// What it says of itself; none while it is away.
    pub presence: Option<Presence>,
    /// The lease under which it is there.
    pub lease: i64,
    /// Metadata set through the API; an empty value hides the configured one.
    pub metadata: BTreeMap<String, String>,
    /// Whether new units may come.
    pub admission: Admission,
    /// An operator has said that it will not come back.
    pub gone: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl MachineRecord {
    /// The machine as the cluster sees it, if it is there.
    pub fn machine(&self) -> Option<Machine> {
        let presence = self.presence.as_ref()?;
        let mut metadata = presence.metadata.clone();
        metadata.extend(self.metadata.clone());
        metadata.retain(|_, value| !value.is_empty());
        Some(Machine {
            id: presence.id.clone(),
            primary_ip: presence.primary_ip.clone(),
            metadata,
            capacity: presence.capacity,
            admission: self.admission,
            api: presence.api.clone(),
            leaving: presence.leaving,
            version: presence.version.clone(),
        })
    }
}

impl JobRecord {
    /// Whether the oneshot has run, with the text and the run that are asked for now.
    pub fn is_done(&self) -> bool {
        self.done.as_ref().is_some_and(|done| Some(done.hash) == self.hash && done.run == self.run)
    }
}

impl Snapshot {
    /// The reports of one unit.
    pub fn reports_of<'a>(
        &'a self,
        unit: &'a UnitName,
    ) -> impl Iterator<Item = (&'a MachineId, &'a Seen<Report>)> {
        let first = (unit.clone(), MachineId::from(""));
        let all = self.reports.range(first..).take_while(move |((name, _), _)| name == unit);
        all.map(|((_, machine), report)| (machine, report))
    }

    /// The orders for one unit.
    pub fn orders_of<'a>(
        &'a self,
        unit: &'a UnitName,
    ) -> impl Iterator<Item = (&'a MachineId, &'a Seen<Order>)> {
        let first = (unit.clone(), MachineId::from(""));
        let all = self.orders.range(first..).take_while(move |((name, _), _)| name == unit);
        all.map(|((_, machine), order)| (machine, order))
    }

    /// Puts one change into the view. Changes must come in the order of the store.
    pub fn apply(&mut self, change: Change) {
        assert!(change.revision >= 0, "revisions are not negative");
        let revision = change.revision;
        self.revision = self.revision.max(revision);
        match change.event {
            Event::Text { hash, text } => set(&mut self.files, hash, text, revision),
            Event::Order { machine, unit, order } => set(&mut self.orders, (unit, machine), order, revision),
            Event::Report { unit, machine, report } => {
                set(&mut self.reports, (unit, machine), report, revision)
            }
            Event::Leader(leader) => self.leader = leader,
            Event::Rebalance(most) => self.rebalance = most.map(|value| Seen { value, revision }),
            Event::Note { key, why } => set_plain(&mut self.notes, key, why),
            Event::Presence { machine, presence, lease } => {
                self.change_machine(machine, |record| (record.presence, record.lease) = (presence, lease));
            }
            Event::Metadata { machine, name, value } => {
                self.change_machine(machine, |record| set_plain(&mut record.metadata, name, value));
            }
            Event::Admission { machine, admission } => {
                self.change_machine(machine, |record| record.admission = admission);
            }
            Event::Gone { machine, gone } => self.change_machine(machine, |record| record.gone = gone),
            Event::Object { unit, hash } => self.change_job(unit, |job| {
                job.hash = hash;
                job.object_revision = revision;
            }),
            Event::Desired { unit, desired } => self.change_job(unit, |job| job.desired = desired),
            Event::Run { unit, run } => self.change_job(unit, |job| job.run = run),
            Event::Target { unit, machine } => {
                self.change_job(unit, |job| job.target = machine.map(|value| Seen { value, revision }));
            }
            Event::Done { unit, done } => self.change_job(unit, |job| job.done = done),
            Event::Previous { unit, hash } => self.change_job(unit, |job| job.previous = hash),
            Event::Halt { unit, halt } => self.change_job(unit, |job| job.halt = halt),
        }
    }

    /// Changes a job; a record that says nothing any more is dropped.
    fn change_job(&mut self, unit: UnitName, change: impl FnOnce(&mut JobRecord)) {
        let record = self.jobs.entry(unit.clone()).or_default();
        change(record);
        let plain = JobRecord { object_revision: record.object_revision, ..JobRecord::default() };
        if *record == plain {
            self.jobs.remove(&unit);
        }
    }

    fn change_machine(&mut self, machine: MachineId, change: impl FnOnce(&mut MachineRecord)) {
        let record = self.machines.entry(machine.clone()).or_default();
        change(record);
        if *record == MachineRecord::default() {
            self.machines.remove(&machine);
        }
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, Seen<V>>, key: K, value: Option<V>, revision: i64) {
    set_plain(map, key, value.map(|value| Seen { value, revision }));
}

fn set_plain<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
