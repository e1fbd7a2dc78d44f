//! What a fleetd counts of its own work, for `/metrics`: the engine's turns and steps, and the registry's calls to the store.
//!
//! The names are those under which fleet 1.0 counted. [`Metered`] is the store with a count and a clock around it, so that no reader
//! or writer of the registry has to think of it.

use crate::registry::Step;
use kernel::kv::KvResult;
use kernel::lease::*;
use kernel::txn::{TxnRequest, TxnResponse};
use kernel::types::*;
use kernel::{BoxFuture, Clock, Kv, WatchStream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// What was counted. Clones count together.
#[derive(Clone, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

/// The counts of one moment. All begin with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Since when this engine leads, by its clock; none while it does not.
    pub leads_since: Option<Duration>,
    /// Turns of the engine, and how long they took together.
    pub turns: u64,
    /// See [`Counts::turns`].
    pub turn_time: Duration,
    /// Steps that were sent to the store, by [`task`].
    pub tasks: BTreeMap<&'static str, u64>,
    /// Those that were not done: something that they rest on had changed, or the store did not do them.
    pub failed_tasks: BTreeMap<&'static str, u64>,
    /// Units that were given up on a machine that is away.
    pub machine_away: u64,
    /// Wanted units that could not stay where they were.
    pub run_failures: u64,
    /// Units that no machine could take, each time that one came to be so.
    pub schedule_failures: u64,
    /// Units that no machine can take at present.
    pub unplaced: usize,
    /// Calls to the store, by what they are: get, get_all, set, lease.
    pub operations: BTreeMap<&'static str, Operations>,
}

/// Calls of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// That were answered.
    pub done: u64,
    /// That failed.
    pub failed: u64,
    /// How long those that were answered took together.
    pub time: Duration,
}

/// Under what a step is counted. fleet had the first two.
pub fn task(step: &Step) -> &'static str {
    match step {
        Step::Assign { .. } | Step::AssignCopy { .. } => "attemptscheduleunit",
        Step::Unassign { .. } | Step::TakeBack { .. } | Step::Free { .. } => "unscheduleunit",
        Step::SetOrder { .. } => "changeorder",
        Step::Halt { .. } => "haltrollout",
        Step::DropTarget { .. }
        | Step::DropDone { .. }
        | Step::DropText { .. }
        | Step::DropGone { .. }
        | Step::DropRebalance { .. } => "cleanup",
    }
}

impl Meter {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().expect("no holder panics")
    }

    /// What was counted so far.
    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// The engine leads since then, or not any more.
    pub(crate) fn leads(&self, since: Option<Duration>) {
        let mut counts = self.counts();
        counts.leads_since = since;
        counts.unplaced = 0;
    }

    /// The engine took a turn, after which so many units have no machine.
    pub(crate) fn turned(&self, took: Duration, unplaced: usize) {
        let mut counts = self.counts();
        counts.turns += 1;
        counts.turn_time += took;
        counts.schedule_failures += unplaced.saturating_sub(counts.unplaced) as u64;
        counts.unplaced = unplaced;
    }

    /// A wanted unit could not stay where it was.
    pub(crate) fn could_not_stay(&self) {
        self.counts().run_failures += 1;
    }

    /// Steps are sent.
    pub(crate) fn sent(&self, steps: &[Step]) {
        let mut counts = self.counts();
        for step in steps {
            *counts.tasks.entry(task(step)).or_default() += 1;
            counts.machine_away += u64::from(matches!(step, Step::Free { lost: true, .. }));
        }
    }

    /// Steps of these kinds were not done.
    pub(crate) fn failed(&self, tasks: &[&'static str]) {
        let mut counts = self.counts();
        tasks.iter().for_each(|task| *counts.failed_tasks.entry(task).or_default() += 1);
    }

    fn called(&self, kind: &'static str, took: Duration, ok: bool) {
        let mut counts = self.counts();
        let operations = counts.operations.entry(kind).or_default();
        if ok {
            operations.done += 1;
            operations.time += took;
        } else {
            operations.failed += 1;
        }
    }
}

/// A store whose calls are counted.
pub struct Metered {
    kv: Arc<dyn Kv>,
    clock: Arc<dyn Clock>,
    meter: Meter,
}

impl Metered {
    /// Counts the calls to `kv` in `meter`.
    pub fn new(kv: Arc<dyn Kv>, clock: Arc<dyn Clock>, meter: Meter) -> Metered {
        Metered { kv, clock, meter }
    }

    fn count<'a, T: 'a>(
        &'a self,
        kind: &'static str,
        call: BoxFuture<'a, KvResult<T>>,
    ) -> BoxFuture<'a, KvResult<T>> {
        let began = self.clock.now();
        Box::pin(async move {
            let result = call.await;
            self.meter.called(kind, self.clock.now().saturating_sub(began), result.is_ok());
            result
        })
    }
}

impl Kv for Metered {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>> {
        let kind = if request.range_end.is_empty() { "get" } else { "get_all" };
        self.count(kind, self.kv.range(request))
    }

    fn put(&self, request: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>> {
        self.count("set", self.kv.put(request))
    }

    fn delete_range(&self, request: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>> {
        self.count("set", self.kv.delete_range(request))
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>> {
        self.count("set", self.kv.txn(request))
    }

    fn compact(&self, request: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>> {
        self.count("set", self.kv.compact(request))
    }

    fn lease_grant(&self, request: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>> {
        self.count("lease", self.kv.lease_grant(request))
    }

    fn lease_revoke(&self, request: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>> {
        self.count("lease", self.kv.lease_revoke(request))
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>> {
        self.count("lease", self.kv.lease_keep_alive(request))
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>> {
        self.count("lease", self.kv.lease_time_to_live(request))
    }

    fn lease_leases(&self, request: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>> {
        self.count("lease", self.kv.lease_leases(request))
    }

    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        self.kv.watch()
    }
}
