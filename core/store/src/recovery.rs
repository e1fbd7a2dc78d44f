//! Start: what the disk says, held against the configuration, becomes a member's first state.
//!
//! The state is the last durable checkpoint; the log holds everything since the checkpoint before it. The two are joined by
//! the applied index, which the state carries in the same transaction as its data. Nothing is written before every check
//! has passed, so a data directory that belongs to somebody else stays as it is.

use crate::config::MemberConfig;
use crate::error::StartError;
use crate::membership::Membership;
use crate::persist::snapshot_record;
use consensus::{ConfState, Entry, HardState, Restored, SnapshotMark};
use kernel::{Bug, Disk, Io};
use prost::Message as _;
use std::io;
use std::sync::Arc;
use wal::{OnDamage, Wal};

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
    /// The members at the applied index.
    pub membership: Membership,
    /// The guard of the data directory's lock.
    pub lock: Box<dyn std::any::Any + Send + Sync>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// What the log's first record says about whose it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// The cluster.
    #[prost(fixed64, tag = "1")]
    pub cluster_id: u64,
    /// The member.
    #[prost(fixed64, tag = "2")]
    pub member_id: u64,
    /// The member's name when the directory was made.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// Reads the data directory, or makes it. Blocks.
pub fn recover(io: &Io, config: &MemberConfig) -> Result<Recovery, StartError> {
    let disk = &io.disk;
    let dir = &config.dir;
    disk.create_dir(dir).map_err(|error| io_error("create the data directory", dir, &error))?;
    let lock = lock(disk, dir)?;
    let wal_dir = format!("{dir}/wal");
    let wal_options = wal::Options {
        segment_bytes: config.wal_segment_bytes,
        planted: io.planted,
        probe: io.probe.clone(),
    };
    let exists = Wal::exists(disk.as_ref(), &wal_dir).map_err(|error| io_error("list", &wal_dir, &error))?;
    let mut notes = Vec::new();
    if !exists {
        let store = open_state(io, config)?;
        let wal = Wal::create(disk.clone(), &wal_dir, metadata(config).encode_to_vec().into(), wal_options)
            .map_err(log_error)?;
        sync_parents(disk, dir).map_err(|error| io_error("sync", dir, &error))?;
        let (membership, conf_state) = found(&store, config)?;
        let restored = Restored::founding(conf_state);
        return Ok(Recovery { wal, store, restored, quarantine: None, membership, lock, notes });
    }
    // A cluster of one has nobody to repair from.
    let on_damage = if config.members.len() > 1 { OnDamage::Repair } else { OnDamage::Refuse };
    let (mut wal, recovered) =
        Wal::open(disk.clone(), &wal_dir, on_damage, wal_options).map_err(log_error)?;
    check_owner(config, dir, &recovered.metadata)?;
    let store = open_state(io, config)?;
    if let Some(torn) = &recovered.torn {
        notes.push(format!(
            "cut a tail of the log that was never acknowledged: segment {}, offset {}",
            torn.segment, torn.offset
        ));
    }
    if let Some(index) = recovered.quarantine {
        notes.push(format!(
            "the log is damaged below index {index}, which this member had acknowledged: it takes no part in elections \
             until the leader has sent everything again"
        ));
    }
    let (membership, conf_state) = found(&store, config)?;
    let (restored, cut) = join(io, &store, &recovered, conf_state)?;
    if cut {
        // A snapshot was installed and the process ended before the log knew: what comes next must not leave a gap.
        wal.save(&[snapshot_record(store.applied(), store.applied_term())], true).map_err(log_error)?;
    }
    Ok(Recovery { wal, store, restored, quarantine: recovered.quarantine, membership, lock, notes })
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
    let first = entries.first().map_or(applied + 1, |entry| entry.index);
    if first > applied + 1 {
        return Err(StartError::Damaged(format!(
            "the state holds entries up to {applied}, but the log begins at {first}: entries between them are lost. \
             Remove this member from the cluster, empty its data directory, and add it again"
        )));
    }
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

fn open_state(io: &Io, config: &MemberConfig) -> Result<mvcc::Store, StartError> {
    let options = mvcc::Options {
        cache_bytes: config.cache_bytes,
        overlay_bytes: config.overlay_bytes,
        checkpoint_bytes: config.checkpoint_bytes,
        planted: io.planted,
        probe: io.probe.clone(),
    };
    let path = format!("{}/state.redb", config.dir);
    mvcc::Store::open(io.disk.clone(), &path, options)
        .map_err(|error| StartError::Damaged(format!("the state {path} cannot be opened: {error}")))
}

fn metadata(config: &MemberConfig) -> Metadata {
    let name = config.this_member().map(|member| member.name.clone()).unwrap_or_default();
    Metadata { cluster_id: config.cluster_id, member_id: config.member_id, name }
}

fn check_owner(config: &MemberConfig, dir: &str, metadata: &bytes::Bytes) -> Result<(), StartError> {
    let found = decode::<Metadata>(metadata.clone(), "log's owner")?;
    if found.cluster_id != config.cluster_id {
        return Err(StartError::Foreign(format!(
            "the data directory {dir} belongs to cluster {:x}, but the flags make cluster {:x}: check --initial-cluster \
             and --initial-cluster-token, or choose another --data-dir",
            found.cluster_id, config.cluster_id
        )));
    }
    if found.member_id != config.member_id {
        return Err(StartError::Foreign(format!(
            "the data directory {dir} belongs to member {:x} ({:?}), but the flags make member {:x}: check --name and \
             --initial-advertise-peer-urls, or choose another --data-dir",
            found.member_id, found.name, config.member_id
        )));
    }
    Ok(())
}

fn sync_parents(disk: &Arc<dyn Disk>, dir: &str) -> io::Result<()> {
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

fn log_error(error: wal::Error) -> StartError {
    StartError::Damaged(error.to_string())
}

fn io_error(verb: &str, path: &str, error: &io::Error) -> StartError {
    StartError::Io(format!("cannot {verb} {path}: {error}"))
}
