//! The words between the agent's mind and the world: what it asks for ([`Call`]), and what can happen to it ([`Event`]).
//!
//! Every call ends in exactly one [`Event::Ended`] with its id, whether it went well, failed, or took too long.

use super::config::Ending;
use crate::model::{Order, Report, SystemdState};
use crate::systemd::{Change, JobResult, SystemdError};
use crate::unit::{UnitHash, UnitName};
use futures_channel::oneshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Names a call that is under way.
pub type CallId = u64;

/// Something that the agent wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Look who holds the machine's presence key.
    Seek,
    /// Get a lease, put these reports and the presence under it. Where the presence is our own from an earlier life, it is taken
    /// over from that lease, which is then revoked.
    Register { reports: Reports, from: Option<i64>, ttl: Duration, leaving: bool },
    /// Renew the lease.
    KeepAlive { lease: i64, limit: Duration },
    /// Read this machine's orders.
    Orders,
    /// Watch this machine's orders from this revision on, in place of any earlier watch.
    Watch { from: i64, round: u64 },
    /// Put these reports, each if the order still is as it was at the mod revision given with it.
    Claim { lease: i64, claims: Claims },
    /// Replace reports that exist.
    Report { lease: i64, reports: Reports },
    /// Delete the report, unless there is an order again; if the machine is going down, the order as well.
    Release { unit: UnitName, going_down: bool },
    /// Write that a oneshot has run.
    Finish { unit: UnitName, hash: UnitHash, run: u64 },
    /// Read the texts of units.
    Fetch { hashes: BTreeSet<UnitHash> },
    /// Delete the presence, so that nothing new comes.
    Withdraw,
    /// Give the lease back, and with it the presence and every report.
    Revoke { lease: i64 },
    /// Read the units directory, and the states of what is in it.
    Look,
    /// Ask systemd for the states of these units.
    States { names: Vec<UnitName> },
    /// Let systemd read its files anew.
    Reload,
    /// Write the file and link it.
    Install { unit: UnitName, text: Arc<str> },
    /// Start it; where `reset` is set, let systemd forget that it failed first.
    Start { unit: UnitName, reset: bool },
    /// Stop it.
    Stop { unit: UnitName },
    /// Kill it.
    Kill { unit: UnitName },
    /// Take the file away, and let systemd forget that the unit failed.
    Uninstall { unit: UnitName },
    /// Ask whether the machine is going down.
    Stopping,
}

/// Units and what is reported of them.
pub type Reports = Vec<(UnitName, Report)>;

/// Units, the mod revision of each order as it was seen, and what is reported of each.
pub type Claims = Vec<(UnitName, i64, Report)>;

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of [`Call::Seek`].
    Sought(Result<Sought, Fault>),
    /// Of [`Call::Register`]: the lease, and the units whose report was not there to be taken over.
    Registered(Result<(Granted, Vec<UnitName>), Fault>),
    /// Of [`Call::KeepAlive`]: the TTL (zero: no such lease), and when it was asked for.
    Renewed(Result<Granted, Fault>),
    /// Of [`Call::Orders`]: as of a revision, each with its mod revision.
    Orders(Result<(i64, Orders), Fault>),
    /// Of [`Call::Claim`]: the units that are claimed now.
    Claimed(Result<Vec<UnitName>, Fault>),
    /// Of [`Call::Report`]: the units whose report was not there to be replaced.
    Reported(Result<Vec<UnitName>, Fault>),
    /// Of [`Call::Fetch`]: those that are there.
    Texts(Result<BTreeMap<UnitHash, Arc<str>>, Fault>),
    /// Of [`Call::Look`]: the files, and the states of their units.
    Looked(Result<Seen, Fault>),
    /// Of [`Call::States`].
    States(Result<BTreeMap<String, SystemdState>, Fault>),
    /// Of [`Call::Start`] and [`Call::Stop`].
    Job(Result<JobResult, Fault>),
    /// Of [`Call::Stopping`].
    Stopping(bool),
    /// Of every other.
    Done(Result<(), Fault>),
}

/// Orders by unit, each with its mod revision. None: there is one, and it cannot be read.
pub type Orders = BTreeMap<UnitName, Option<(Order, i64)>>;

/// What is in the units directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Texts by file name.
    pub files: BTreeMap<String, String>,
    /// States of these units.
    pub states: BTreeMap<String, SystemdState>,
}

/// Who holds the presence key.
#[derive(Clone, Debug, PartialEq)]
pub enum Sought {
    /// Nobody.
    Nobody,
    /// Another machine with this id, or this one before it was booted anew.
    Foreign {
        /// Its token.
        instance: String,
    },
    /// An earlier fleetd of this boot.
    Own {
        /// Its lease.
        lease: i64,
        /// The lease, renewed, if presence and TTL are as they should be. Otherwise both are to be made anew.
        kept: Option<Granted>,
        /// The reports under that lease.
        reports: Reports,
    },
}

/// A lease as the store tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The lease.
    pub lease: i64,
    /// Its TTL.
    pub ttl: Duration,
    /// When the request was sent, by the agent's clock.
    pub sent: Duration,
}

/// Why a call failed, as far as it matters for what is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store knows no such lease.
    NoLease,
    /// A condition did not hold: the world has moved, and the watch will tell.
    Moved,
    /// The store refused, is away, or did not answer: unknown whether it was done.
    Store(String),
    /// systemd says.
    Systemd(SystemdError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::NoLease => f.write_str("the machine's lease has ended"),
            Fault::Moved => f.write_str("the order is not in the store as it was seen"),
            Fault::Store(text) => write!(f, "the store: {text}"),
            Fault::Systemd(error) => write!(f, "{error}"),
        }
    }
}

/// A change of the machine's orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderChange {
    /// An order came or changed, at this mod revision.
    Put(UnitName, Order, i64),
    /// It went.
    Gone(UnitName),
    /// There is one, and it cannot be read: written by a newer version, or spoilt.
    Unreadable(UnitName),
    /// The machine's presence has gone: its lease has ended, or somebody has deleted the key.
    NoPresence,
    /// The watch has lost its place: read all orders again.
    Lost,
}

/// Everything that can happen to an agent.
pub enum Event {
    /// A call has ended.
    Ended(CallId, Outcome),
    /// The watch of this round saw changes.
    Orders(u64, Vec<OrderChange>),
    /// systemd has news.
    Systemd(Change),
    /// It shall end.
    Stop(Ending, oneshot::Sender<()>),
}
