//! Reading by pages, for listings: one page of rows from the key behind the last one, whatever the size of the whole.
//!
//! A page is as of one revision; pages of one listing may be of different ones. Between them rows may come and go, but no
//! row is seen twice, and none that stays is left out. Rows are in the order of the keys, which is the order of
//! names but for names of which one begins with the other.

use super::change::{Change, Event};
use super::keys::Key;
use super::load::{PAGE_KEYS, after};
use super::record::{JobRecord, MachineRecord, Snapshot};
use super::{Registry, RegistryError, values};
use crate::model::{DesiredState, Machine, MachineId, Report};
use crate::unit::{UnitHash, UnitName};
use bytes::Bytes;
use kernel::types::{KeyValue, RangeRequest};
use std::collections::{BTreeMap, BTreeSet};

/// A unit with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitRow {
    /// Its name.
    pub name: UnitName,
    /// What is written of it.
    pub job: JobRecord,
    /// The hash of its text.
    pub hash: UnitHash,
    /// Its text; empty if the store has lost it.
    pub text: String,
    /// What the machine says on which it is placed.
    pub report: Option<Report>,
}

impl UnitRow {
    /// fleet's current state: launched once start was called on its machine, loaded while only its file is there.
    pub fn current(&self) -> DesiredState {
        match &self.report {
            None => DesiredState::Inactive,
            Some(report) if report.launched => DesiredState::Launched,
            Some(_) => DesiredState::Loaded,
        }
    }
}

/// What one machine says of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// The unit.
    pub unit: UnitName,
    /// The machine.
    pub machine: MachineId,
    /// What it says.
    pub report: Report,
}

/// Some rows, and whether more follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// Where a page begins and how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// The row before it: a unit, `UNIT/MACHINE`, or a machine. None for the beginning.
    pub after: Option<&'a str>,
    /// Rows to leave out at the beginning.
    pub skip: usize,
    /// Rows at most.
    pub most: usize,
}

impl Registry {
    /// A page of units.
    pub async fn units(&self, cut: Cut<'_>) -> Result<Page<UnitRow>, RegistryError> {
        let mut walk = self.walk("job/", cut.after.map(|name| format!("job/{name}/")));
        let mut rows = Gather::new(cut);
        let mut current: Option<(UnitName, Snapshot)> = None;
        while !rows.is_full() {
            let next = walk.next().await?;
            let name = next.as_ref().and_then(|kv| unit_of(self.keys.parse(&kv.key).ok()?));
            if let Some((unit, mut snapshot)) = current.take_if(|(unit, _)| Some(&*unit) != name.as_ref()) {
                let job = snapshot.jobs.remove(&unit).unwrap_or_default();
                rows.take(job.hash.map(|hash| (unit, job, hash)));
            }
            let Some(kv) = next else { break };
            let Some(name) = name else { continue };
            let (_, snapshot) = current.get_or_insert_with(|| (name, Snapshot::default()));
            Change::put(&self.keys, &kv).for_each(|change| snapshot.apply(change));
        }
        let page = rows.page();
        Ok(Page { more: page.more, rows: self.complete(page.rows).await? })
    }

    /// One unit, if there is such a one.
    pub async fn unit(&self, name: &UnitName) -> Result<Option<UnitRow>, RegistryError> {
        let mut snapshot = Snapshot::default();
        let range = self.keys.below(&format!("job/{name}/"));
        let take = |kv: KeyValue| Change::put(&self.keys, &kv).for_each(|change| snapshot.apply(change));
        self.each(range, take).await?;
        let job = snapshot.jobs.remove(name).unwrap_or_default();
        let Some(hash) = job.hash else { return Ok(None) };
        Ok(self.complete(vec![(name.clone(), job, hash)]).await?.pop())
    }

    /// Adds texts and reports.
    async fn complete(
        &self,
        jobs: Vec<(UnitName, JobRecord, UnitHash)>,
    ) -> Result<Vec<UnitRow>, RegistryError> {
        let hashes: BTreeSet<UnitHash> = jobs.iter().map(|(_, _, hash)| *hash).collect();
        let hashes: Vec<UnitHash> = hashes.into_iter().collect();
        // A text that cannot be read must not hide the other units.
        let texts: BTreeMap<UnitHash, String> = (self.get_all(&hashes, |hash| Key::Text(*hash)).await?)
            .into_iter()
            .filter_map(|(hash, kv)| Some((hash, values::read_text(&kv.value).ok()?)))
            .collect();
        let placed: Vec<(UnitName, MachineId)> = (jobs.iter())
            .filter_map(|(name, job, _)| Some((name.clone(), job.target.as_ref()?.value.clone())))
            .collect();
        let found =
            self.get_all(&placed, |(unit, machine)| Key::Report(unit.clone(), machine.clone())).await?;
        let mut reports: BTreeMap<UnitName, Report> = (found.into_iter())
            .filter_map(|((unit, _), kv)| Some((unit, self.report_of(&kv)?.report)))
            .collect();
        let row = |(name, job, hash): (UnitName, JobRecord, UnitHash)| {
            let report = reports.remove(&name);
            UnitRow { text: texts.get(&hash).cloned().unwrap_or_default(), name, job, hash, report }
        };
        Ok(jobs.into_iter().map(row).collect())
    }

    /// A page of what machines say, of one unit or of all, by one machine or by all.
    pub async fn reports(
        &self,
        unit: Option<&UnitName>,
        machine: Option<&MachineId>,
        cut: Cut<'_>,
    ) -> Result<Page<ReportRow>, RegistryError> {
        let folder = unit.map_or("states/".into(), |unit| format!("states/{unit}/"));
        let mut walk = self.walk(&folder, None);
        if let Some(row) = cut.after {
            walk.begin_behind(&format!("states/{row}"));
        }
        let mut rows = Gather::new(cut);
        while !rows.is_full() {
            let Some(kv) = walk.next().await? else { break };
            let row = self.report_of(&kv);
            rows.take(row.filter(|row| machine.is_none_or(|machine| row.machine == *machine)));
        }
        Ok(rows.page())
    }

    fn report_of(&self, kv: &KeyValue) -> Option<ReportRow> {
        Change::put(&self.keys, kv).find_map(|change| match change.event {
            Event::Report { unit, machine, report } => Some(ReportRow { unit, machine, report: report? }),
            _ => None,
        })
    }

    /// A page of the machines that are there.
    pub async fn machines(&self, cut: Cut<'_>) -> Result<Page<Machine>, RegistryError> {
        let mut walk = self.walk("machines/", cut.after.map(|id| format!("machines/{id}/")));
        let mut rows = Gather::new(cut);
        let mut current: Option<(MachineId, Snapshot)> = None;
        while !rows.is_full() {
            let next = walk.next().await?;
            let id = next.as_ref().and_then(|kv| machine_of(self.keys.parse(&kv.key).ok()?));
            if let Some((machine, mut snapshot)) =
                current.take_if(|(machine, _)| Some(&*machine) != id.as_ref())
            {
                let record: MachineRecord = snapshot.machines.remove(&machine).unwrap_or_default();
                rows.take(record.machine());
            }
            let Some(kv) = next else { break };
            let Some(id) = id else { continue };
            let (_, snapshot) = current.get_or_insert_with(|| (id, Snapshot::default()));
            Change::put(&self.keys, &kv).for_each(|change| snapshot.apply(change));
        }
        Ok(rows.page())
    }

    /// Walks the keys of a folder, from behind the folder `behind` if one is given.
    fn walk(&self, folder: &str, behind: Option<String>) -> Walk<'_> {
        let (first, end) = self.keys.below(folder);
        let first = behind.map_or(first, |folder| self.keys.below(&folder).1);
        let request = RangeRequest { key: first, range_end: end, limit: PAGE_KEYS, ..Default::default() };
        Walk { registry: self, request, taken: Vec::new().into_iter(), more: true }
    }
}

fn unit_of(key: Key) -> Option<UnitName> {
    match key {
        Key::Object(unit)
        | Key::Desired(unit)
        | Key::Run(unit)
        | Key::Target(unit)
        | Key::Done(unit)
        | Key::Previous(unit)
        | Key::Halt(unit) => Some(unit),
        _ => None,
    }
}

fn machine_of(key: Key) -> Option<MachineId> {
    match key {
        Key::Presence(machine) | Key::Metadata(machine, _) | Key::Admission(machine) | Key::Gone(machine) => {
            Some(machine)
        }
        _ => None,
    }
}

/// Keys one after the other, fetched some at a time, all as of one revision.
struct Walk<'a> {
    registry: &'a Registry,
    request: RangeRequest,
    taken: std::vec::IntoIter<KeyValue>,
    more: bool,
}

impl Walk<'_> {
    /// Begins behind this key, if that is behind the beginning.
    fn begin_behind(&mut self, path: &str) {
        let (first, _) = self.registry.keys.below("job/");
        let prefix = &first[..first.len() - "job/".len()];
        let key = after(&Bytes::from([prefix, path.as_bytes()].concat()));
        self.request.key = key.max(self.request.key.clone());
    }

    async fn next(&mut self) -> Result<Option<KeyValue>, RegistryError> {
        loop {
            if let Some(kv) = self.taken.next() {
                return Ok(Some(kv));
            }
            // A beginning at or behind the end is an empty range, and would mean another thing to the store.
            if !self.more || self.request.key >= self.request.range_end {
                return Ok(None);
            }
            let page = self.registry.kv.range(self.request.clone()).await?;
            if self.request.revision == 0 {
                self.request.revision = page.header.unwrap_or_default().revision;
            }
            self.more = page.more;
            if let Some(last) = page.kvs.last() {
                self.request.key = after(&last.key);
            }
            self.taken = page.kvs.into_iter();
        }
    }
}

/// Collects the rows of a page and one more, which says that there are more.
struct Gather<T> {
    skip: usize,
    most: usize,
    rows: Vec<T>,
}

impl<T> Gather<T> {
    fn new(cut: Cut<'_>) -> Self {
        assert!(cut.most > 0, "a page of no rows would never end");
        Gather { skip: cut.skip, most: cut.most, rows: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.rows.len() > self.most
    }

    fn take(&mut self, row: Option<T>) {
        let Some(row) = row else { return };
        match self.skip {
            0 => self.rows.push(row),
            _ => self.skip -= 1,
        }
    }

    fn page(mut self) -> Page<T> {
        let more = self.is_full();
        self.rows.truncate(self.most);
        Page { rows: self.rows, more }
    }
}
