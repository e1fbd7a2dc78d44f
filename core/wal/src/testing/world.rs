//! A log, the disk beneath it, and a model of what it must give back.
//!
//! The model is the list of records that were ever saved, in order. What is recovered must be what some prefix of that list amounts
//! to, a prefix that holds at least everything up to the last acknowledged sync: nothing synced is missing, nothing is
//! invented, the order is kept. Entries that were released may be there or not, but without a gap.

use super::disk::TestDisk;
use super::{DIR, create, options};
use crate::types::{Kind, OnDamage, Record, Recovered};
use crate::{Error, Wal};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a list of records amounts to, the plain way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub hard_state: Option<Bytes>,
    pub snapshot: Option<Record>,
    pub entries: BTreeMap<u64, Record>,
}

impl Model {
    pub fn of(records: &[Record]) -> Model {
        let mut model = Model::default();
        records.iter().for_each(|record| model.add(record));
        model
    }

    fn add(&mut self, record: &Record) {
        match record.kind {
            Kind::HardState => self.hard_state = Some(record.payload.clone()),
            Kind::Entry => {
                self.entries.split_off(&record.index);
                self.entries.insert(record.index, record.clone());
            }
            Kind::Snapshot => {
                let leads_up = self.entries.get(&record.index).is_some_and(|entry| entry.term == record.term);
                let above = self.entries.first_key_value().is_none_or(|(first, _)| *first > record.index);
                if !leads_up && !above {
                    self.entries.clear();
                }
                self.snapshot = Some(record.clone());
            }
        }
    }

    /// Whether `recovered` is this state, when entries up to `released` may be gone.
    fn matches(&self, recovered: &Recovered, released: u64) -> bool {
        let first = recovered.entries.first().map_or(u64::MAX, |entry| entry.index);
        let needed = self.entries.range(released + 1..).next().map(|(index, _)| *index);
        let kept: Vec<Record> = self.entries.range(first..).map(|(_, entry)| entry.clone()).collect();
        needed.is_none_or(|needed| first <= needed)
            && kept == recovered.entries
            && self.hard_state == recovered.hard_state
            && self.snapshot == recovered.snapshot
    }
}

/// The log under test.
pub struct World {
    pub disk: TestDisk,
    pub wal: Option<Wal>,
    /// Every record that was saved or may have been.
    pub saved: Vec<Record>,
    /// How many of them are acknowledged as durable.
    pub synced: usize,
    /// Nothing above this was released.
    pub released: u64,
}

impl World {
    pub fn new() -> World {
        let disk = TestDisk::default();
        let wal = Some(create(&disk));
        World { disk, wal, saved: Vec::new(), synced: 0, released: 0 }
    }

    fn wal(&mut self) -> &mut Wal {
        self.wal.as_mut().expect("the log is open")
    }

    pub fn save(&mut self, records: &[Record], sync: bool) -> Result<(), Error> {
        let done = self.wal().save(records, sync);
        if !matches!(done, Err(Error::Full(_) | Error::Poisoned)) {
            self.saved.extend_from_slice(records);
        }
        if done.is_ok() && sync {
            self.synced = self.saved.len();
        }
        done
    }

    pub fn mark(&mut self) -> Result<(), Error> {
        self.wal().mark()
    }

    pub fn release(&mut self, index: u64) -> Result<usize, Error> {
        self.released = self.released.max(index);
        self.wal().release(index)
    }

    /// Ends the process, opens the log again and holds what comes back against the model. An error is the disk's.
    pub fn reopen(&mut self) -> Result<Recovered, Error> {
        self.wal = None;
        let (wal, recovered) = Wal::open(Arc::new(self.disk.clone()), DIR, OnDamage::Refuse, options())?;
        let prefix = (self.synced..=self.saved.len())
            .find(|prefix| Model::of(&self.saved[..*prefix]).matches(&recovered, self.released));
        let Some(prefix) = prefix else {
            panic!(
                "recovered {recovered:?}\nof {:?}\nsynced {}, released {}",
                self.saved, self.synced, self.released
            )
        };
        assert_eq!(recovered.quarantine, None, "nothing was damaged");
        assert_eq!(recovered.metadata, "member 7");
        self.saved.truncate(prefix);
        self.synced = prefix;
        self.wal = Some(wal);
        Ok(recovered)
    }

    /// Index of the last entry in the model.
    pub fn last(&self) -> u64 {
        let model = Model::of(&self.saved);
        let snapshot = model.snapshot.map_or(0, |snapshot| snapshot.index);
        model.entries.last_key_value().map_or(snapshot, |(last, _)| *last)
    }
}
