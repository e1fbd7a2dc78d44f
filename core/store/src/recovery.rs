//! Start: what the disk says, held against the configuration, becomes a member's first state.
//!
//! The state is the last durable checkpoint; the log holds everything since the checkpoint before it. The two are joined by
//! the applied index, which the state carries in the same transaction as its data. Nothing is written before every check
//! has passed, so a data directory that belongs to somebody else stays as it is.

use crate::amnesia;
use crate::config::MemberConfig;
use crate::error::StartError;
use crate::membership::Membership;
use crate::owner;
use crate::persist::snapshot_record;
use crate::salvage::{self, OpenLog};
use consensus::{ConfState, Entry, HardState, Restored, SnapshotMark};
use kernel::{Bug, Disk, Io};
use std::io;
use std::sync::Arc;
use wal::Wal;

/// What a member starts from.
pub struct Recovery {
    /// The log, ready for more.
    pub wal: Wal,
    /// The state.
    pub store: mvcc::Store,
    /// What consensus starts from.
    pub restored: Restored,
    /// See `wal::Recovered::quarantine`.
    pub quarantine: Option<u64>,
    /// The directory was empty, and the other members have not yet said what this one may have forgotten: see `amnesia`.
    pub unproven: bool,
    /// The members at the applied index.
    pub membership: Membership,
    /// The guard of the data directory's lock.
    pub lock: Box<dyn std::any::Any + Send + Sync>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// The folder of the log.
pub fn wal_dir(config: &MemberConfig) -> String {
    format!("{}/wal", config.dir)
}

/// Reads the data directory, or makes it. Blocks.
pub fn recover(io: &Io, config: &MemberConfig) -> Result<Recovery, StartError> {
    let disk = &io.disk;
    let dir = &config.dir;
    let wal_dir = wal_dir(config);
    owner::check(disk.as_ref(), config, &wal_dir)?;
    disk.create_dir(dir).map_err(|error| io_error("create", dir, &error))?;
    let lock = lock(disk, dir)?;
    // Again, now that nobody else can change it.
    let exists = owner::check(disk.as_ref(), config, &wal_dir)?;
    let mut notes = Vec::new();
    let early = if exists { None } else { Some(state_without_log(io, config, &wal_dir, &mut notes)?) };
    let OpenLog { mut wal, mut recovered, mut unproven } = salvage::open_log(io, config, exists, &mut notes)?;
    if let Some(torn) = &recovered.torn {
        notes.push(format!(
            "cut a tail of the log that was never acknowledged: segment {}, offset {}",
            torn.segment, torn.offset
        ));
    }
    let store = match early {
        Some(store) => store,
        None => salvage::open_state(io, config, &recovered, &mut notes)?,
    };
    if let Some(note) = lost_promises(io, config, &store, &wal, &recovered, unproven)? {
        notes.push(note);
        unproven = true;
    }
    let (membership, conf_state) = found(&store, config)?;
    if let Some(note) = start_over(io, config, &store, &mut wal, &mut recovered)? {
        notes.push(note);
    }
    if let Some(index) = recovered.quarantine {
        notes.push(format!(
            "entries up to index {index}, which this member had acknowledged, are damaged or missing here: it takes no \
             part in elections until the leader has sent everything again"
        ));
    }
    let (restored, cut) = join(io, &store, &recovered, conf_state)?;
    if cut {
        // A snapshot was installed and the process ended before the log knew: what comes next must not leave a gap.
        wal.save(&[snapshot_record(store.applied(), store.applied_term())], true).map_err(log_error)?;
    }
    let quarantine = recovered.quarantine;
    Ok(Recovery { wal, store, restored, quarantine, unproven, membership, lock, notes })
}

/// The state of a directory that has no log, where it should be a new one. In a cluster it may have been left by a log that was put
/// out of the way.
fn state_without_log(
    io: &Io,
    config: &MemberConfig,
    wal_dir: &str,
    notes: &mut Vec<String>,
) -> Result<mvcc::Store, StartError> {
    let (dir, alone) = (&config.dir, config.members.len() == 1);
    let store = salvage::open_state(io, config, &wal::Recovered::default(), notes)?;
    if store.applied() == 0 {
        return Ok(store);
    }
    if alone {
        return Err(StartError::Damaged(format!(
            "{dir} holds a state but no log ({wal_dir} is missing or empty): what was written since the last checkpoint is \
             lost. Put the log back, or restore the whole data directory from a backup"
        )));
    }
    io.probe.sometimes("recovery: a state without a log");
    notes.push(format!(
        "{dir} holds a state but no log ({wal_dir} is missing or empty): this member's votes are lost. It takes no part in \
         elections until the other members have said what it may have forgotten"
    ));
    Ok(store)
}

/// A state holds nothing that the log of its member did not hold durably first, unless a snapshot brought it. So where the log
/// ends before the state, the disk has lost what it had called durable, and votes may be among it: this member is then as one
/// whose directory was emptied. Says so, if that is so and not known yet.
fn lost_promises(
    io: &Io,
    config: &MemberConfig,
    store: &mvcc::Store,
    wal: &Wal,
    recovered: &wal::Recovered,
    unproven: bool,
) -> Result<Option<String>, StartError> {
    let birth = Restored::founding(ConfState::default()).applied;
    let marked = recovered.snapshot.as_ref().map_or(0, |mark| mark.index);
    let (logged, applied) = (wal.last_index().max(marked).max(birth), store.applied());
    let known = unproven || recovered.quarantine.is_some() || store.is_installed();
    if known || config.members.len() == 1 || applied <= logged {
        return Ok(None);
    }
    io.probe.sometimes("recovery: the log has lost what the state still has");
    amnesia::begin(&io.disk, &config.dir, false)
        .map_err(|error| io_error("mark as new", &config.dir, &error))?;
    Ok(Some(format!(
        "the state holds entries up to {applied}, but the log, which had them first, ends at {logged}: the disk loses writes that \
         it called durable, replace it. The member takes no part in elections until it has everything again"
    )))
}

/// When the log does not reach back to what the state holds, as after the state file was removed: gives up the log's entries,
/// which build on what is lost, and remembers durably that they were acknowledged, so that this member is silent until the
/// leader has sent it a snapshot and what follows. Says so, if it was done.
fn start_over(
    io: &Io,
    config: &MemberConfig,
    store: &mvcc::Store,
    wal: &mut Wal,
    recovered: &mut wal::Recovered,
) -> Result<Option<String>, StartError> {
    let applied = store.applied();
    let gap = match (recovered.entries.first(), &recovered.snapshot) {
        (Some(first), _) => first.index > applied + 1,
        (None, Some(mark)) => mark.index > applied,
        (None, None) => wal.last_index() > applied,
    };
    if !gap {
        return Ok(None);
    }
    let path = format!("{}/state.redb", config.dir);
    if config.members.len() == 1 {
        return Err(StartError::Damaged(format!(
            "the state {path} holds entries up to {applied}, but the log begins behind that: what lies between is lost. \
             Put the state file back if it was moved, or restore the data directory from a backup"
        )));
    }
    io.probe.sometimes("recovery: the log does not reach back to the state");
    let marked = recovered.snapshot.as_ref().map_or(0, |mark| mark.index);
    wal.quarantine(wal.last_index().max(marked)).map_err(log_error)?;
    recovered.entries.clear();
    recovered.quarantine = recovered.quarantine.max(Some(wal.last_index().max(marked)));
    Ok(Some(format!(
        "the state {path} is missing or older than the log: it is fetched from the other members"
    )))
}

/// The members at the applied index, and who of them votes. A state that has applied nothing begins as every founder's does.
fn found(store: &mvcc::Store, config: &MemberConfig) -> Result<(Membership, ConfState), StartError> {
    if store.applied() == 0 {
        let founding = Membership::founding(config);
        let birth = Restored::founding(founding.conf_state.clone().unwrap_or_default()).snapshot;
        store.note_applied(birth.index, birth.term, Some(founding.to_bytes()));
    }
    let missing = || StartError::Damaged("the state does not say who the members are".to_string());
    let membership =
        Membership::from_bytes(store.conf_state().ok_or_else(missing)?).map_err(StartError::Damaged)?;
    let conf_state = membership.conf_state.clone().ok_or_else(missing)?;
    Ok((membership, conf_state))
}

/// Joins the log to the state. The second value says that the log is void, because the state is ahead of it.
fn join(
    io: &Io,
    store: &mvcc::Store,
    recovered: &wal::Recovered,
    conf_state: ConfState,
) -> Result<(Restored, bool), StartError> {
    let (applied, applied_term) = (store.applied(), store.applied_term());
    let mut hard_state = match &recovered.hard_state {
        Some(bytes) => decode::<HardState>(bytes.clone(), "hard state in the log")?,
        None => Restored::founding(conf_state.clone()).hard_state,
    };
    if io.planted.is(Bug::VoteTwice) {
        hard_state.vote = 0;
    }
    let entries =
        recovered.entries.iter().map(|record| decode::<Entry>(record.payload.clone(), "entry in the log"));
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    assert!(
        entries.first().is_none_or(|entry| entry.index <= applied + 1),
        "a log behind a gap was given up before"
    );
    let ends_below = entries.last().is_some_and(|entry| entry.index < applied);
    let contradicts = entries.iter().any(|entry| entry.index == applied && entry.term != applied_term);
    let void = ends_below
        || contradicts
        || entries.is_empty() && applied > Restored::founding(conf_state.clone()).applied;
    if void {
        io.probe.sometimes("recovery: the state is ahead of the log");
        entries.clear();
    }
    let snapshot = SnapshotMark { index: applied, term: applied_term, conf_state: Some(conf_state) };
    hard_state.term = hard_state.term.max(applied_term);
    Ok((Restored { hard_state, snapshot, entries, applied }, void))
}

fn lock(disk: &Arc<dyn Disk>, dir: &str) -> Result<Box<dyn std::any::Any + Send + Sync>, StartError> {
    disk.lock(&format!("{dir}/lock")).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::Foreign(format!(
            "the data directory is in use by another process (its lock {dir}/lock is held): stop that process, or \
             choose another directory with --data-dir"
        )),
        _ => io_error("lock", dir, &error),
    })
}

pub(crate) fn sync_parents(disk: &Arc<dyn Disk>, dir: &str) -> io::Result<()> {
    disk.sync_dir(dir)?;
    let mut parent = dir;
    while let Some((above, _)) = parent.rsplit_once('/') {
        disk.sync_dir(above)?;
        parent = above;
    }
    disk.sync_dir("")
}

fn decode<M: prost::Message + Default>(bytes: bytes::Bytes, what: &str) -> Result<M, StartError> {
    M::decode(bytes).map_err(|error| StartError::Damaged(format!("the {what} cannot be read: {error}")))
}

pub(crate) fn log_error(error: wal::Error) -> StartError {
    match error {
        wal::Error::Full(_) | wal::Error::Io { .. } | wal::Error::Poisoned => {
            StartError::Io(error.to_string())
        }
        _ => StartError::Damaged(error.to_string()),
    }
}

pub(crate) fn io_error(verb: &str, path: &str, error: &io::Error) -> StartError {
    StartError::Io(format!(
        "cannot access data directory: cannot {verb} {path}: {error}: choose a folder that can be read and written"
    ))
}
