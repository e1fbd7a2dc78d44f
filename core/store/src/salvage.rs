//! What a start makes of files that are damaged beyond use, where there are other members: it puts them out of the way and takes part
//! as a member that has lost them. Nobody has to lend a hand; what was put aside is kept to be looked at.
//!
//! - *The state* cannot be opened. Either the log reaches back to the beginning, and what it holds is applied anew; or it does not,
//!   and the log's entries build on what is lost: then this member is quarantined (see `recovery`) until the leader has sent it
//!   a snapshot.
//! - *The log* is damaged, and whether a vote was lost with it cannot be told. A member that has forgotten its votes must not vote: it
//!   takes part as one whose directory was emptied (see `amnesia`), except that it has its state still, which was
//!   committed and so is true. The mark that says so is durable before the first segment is touched.
//!
//! A member that is alone has nobody to get anything back from. It changes nothing, says what is damaged, where, and what can be
//! done, and does not start.

use crate::amnesia;
use crate::config::MemberConfig;
use crate::error::StartError;
use crate::owner;
use crate::recovery::{io_error, log_error, sync_parents, wal_dir};
use consensus::{ConfState, Restored};
use kernel::{Bug, Io};
use mvcc::Store;
use wal::{OnDamage, Recovered, Wal};

/// The log as a start finds or makes it.
pub struct OpenLog {
    /// The log.
    pub wal: Wal,
    /// What was in it.
    pub recovered: Recovered,
    /// What was promised may have been forgotten: see `amnesia`.
    pub unproven: bool,
}

/// Opens the log, or makes one if there is none (`exists`) or it is beyond repair.
pub fn open_log(
    io: &Io,
    config: &MemberConfig,
    exists: bool,
    notes: &mut Vec<String>,
) -> Result<OpenLog, StartError> {
    let (disk, dir, wal_dir) = (&io.disk, &config.dir, wal_dir(config));
    let alone = config.members.len() == 1;
    let options = || wal::Options {
        segment_bytes: config.wal_segment_bytes,
        planted: io.planted,
        probe: io.probe.clone(),
    };
    let mark =
        |has_log| amnesia::begin(disk, dir, has_log).map_err(|error| io_error("mark as new", dir, &error));
    let mut unproven = !alone && !io.planted.is(Bug::WipedVotesAtOnce) && mark(exists)?;
    if exists {
        // A cluster of one has nobody to repair from.
        let on_damage = if alone { OnDamage::Refuse } else { OnDamage::Repair };
        match Wal::open(disk.clone(), &wal_dir, on_damage, options()) {
            Ok((wal, recovered)) => return Ok(OpenLog { wal, recovered, unproven }),
            Err(error @ wal::Error::Unrepairable { .. }) if !alone => {
                io.probe.sometimes("recovery: the log may have lost a vote");
                notes.push(format!(
                    "CORRUPT: {error}. That is done now: its segments are renamed to {wal_dir}/*.damaged. Check the disk"
                ));
                if !io.planted.is(Bug::LostVoteVotes) {
                    unproven = mark(false)?;
                }
                Wal::set_aside(disk.as_ref(), &wal_dir).map_err(log_error)?;
            }
            Err(error) => return Err(log_error(error)),
        }
    }
    let wal = Wal::create(disk.clone(), &wal_dir, owner::metadata(config), options()).map_err(log_error)?;
    sync_parents(disk, dir).map_err(|error| io_error("sync", dir, &error))?;
    Ok(OpenLog { wal, recovered: Recovered::default(), unproven })
}

/// Opens the state, or makes an empty one if it is damaged and can be had from elsewhere.
pub fn open_state(
    io: &Io,
    config: &MemberConfig,
    recovered: &Recovered,
    notes: &mut Vec<String>,
) -> Result<Store, StartError> {
    let path = format!("{}/state.redb", config.dir);
    let (disk, open) = (io.disk.as_ref(), || Store::open(io.disk.clone(), &path, options(io, config)));
    let failed = |error: mvcc::Error| StartError::Io(format!("the state {path} cannot be opened: {error}"));
    match open() {
        Ok(store) => {
            if Store::forget_aside(disk, &path).map_err(failed)? {
                io.probe.sometimes("recovery: what was set aside is gone");
            }
            Ok(store)
        }
        Err(error @ mvcc::Error::Damaged(_)) if config.members.len() == 1 => {
            let remedy = remedy(recovered, &path);
            Err(StartError::Damaged(format!("the state {path} cannot be opened: {error}. {remedy}")))
        }
        Err(error @ mvcc::Error::Damaged(_)) => {
            io.probe.sometimes("recovery: a damaged state was set aside");
            notes.push(format!(
                "CORRUPT: {error}: it was renamed to {path}.damaged, and what it held comes back from the log or from the other \
                 members. Check the disk"
            ));
            Store::set_aside(disk, &path).map_err(failed)?;
            open().map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn options(io: &Io, config: &MemberConfig) -> mvcc::Options {
    mvcc::Options {
        cache_bytes: config.cache_bytes,
        overlay_bytes: config.overlay_bytes,
        checkpoint_bytes: config.checkpoint_bytes,
        planted: io.planted,
        probe: io.probe.clone(),
    }
}

/// What an operator of a single member can do about a state file that is damaged.
fn remedy(recovered: &Recovered, path: &str) -> String {
    let birth = Restored::founding(ConfState::default()).applied;
    match recovered.entries.first() {
        Some(first) if first.index <= birth + 1 => {
            format!(
                "Move {path} away and start again: the log holds everything, the state is rebuilt from it"
            )
        }
        None if recovered.hard_state.is_none() => {
            format!("It holds nothing yet: remove {path} and start again")
        }
        _ => "A single member has no second copy: restore the data directory from a backup".to_string(),
    }
}
