//! A store in memory behind the Kv port, for the unit tests of the port's users.
//!
//! [`MapKv`] answers as one etcd member would: revisions, old versions until they are compacted, transactions, leases that take
//! their keys with them, watches with history. Every call is applied at once, in the order in which the futures are polled,
//! so a test that runs its tasks in one order gets one story. Nothing is bounded, nothing is durable.
//!
//! A clone shares the store *and* the line to it; [`MapKv::client`] shares the store by a line of its own, which a test
//! can cut ([`MapKv::cut`]) or make lose answers ([`MapKv::lose_answers`]), to see what its user does then.
//!
//! Leases run by a Clock ([`MapKv::on`]), looked at before each call and by [`MapKv::keep_time`]; or, with
//! [`MapKv::new`], by hand: [`MapKv::expire`] says what time it is.

mod state;
mod stream;
#[cfg(test)]
mod tests;

use crate::lease::*;
use crate::txn::{TxnRequest, TxnResponse};
use crate::types::*;
use crate::{BoxFuture, Clock, Kv, KvError, WatchStream, kv::KvResult};
use bytes::Bytes;
use state::State;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often [`MapKv::keep_time`] looks for leases that have ended.
const EXPIRY_PERIOD: Duration = Duration::from_millis(100);

/// The store, by one line to it.
#[derive(Clone)]
pub struct MapKv {
    store: Arc<Store>,
    line: Arc<Line>,
}

struct Store {
    state: Mutex<State>,
    clock: Option<Arc<dyn Clock>>,
}

/// What can go wrong between one user and the store.
#[derive(Default)]
struct Line {
    cut: AtomicBool,
    /// How often it was cut: a stream does not survive that, even when nobody read it meanwhile.
    cuts: AtomicU64,
    /// So many writes will be applied and yet answered with a time-out.
    losing: AtomicU64,
    /// Calls that have been made by this line, watches aside.
    calls: AtomicU64,
}

impl MapKv {
    /// An empty store at revision 1 whose leases end by [`MapKv::expire`] only.
    #[allow(clippy::new_without_default)]
    pub fn new() -> MapKv {
        MapKv::over(None)
    }

    /// An empty store whose leases end by `clock`.
    pub fn on(clock: Arc<dyn Clock>) -> MapKv {
        MapKv::over(Some(clock))
    }

    fn over(clock: Option<Arc<dyn Clock>>) -> MapKv {
        let store = Store { state: Mutex::new(State::new()), clock };
        MapKv { store: Arc::new(store), line: Arc::default() }
    }

    /// The same store by a line of its own.
    pub fn client(&self) -> MapKv {
        MapKv { store: self.store.clone(), line: Arc::default() }
    }

    /// From now on every call by this line fails without effect, and its watch streams end.
    pub fn cut(&self) {
        self.line.cut.store(true, Ordering::SeqCst);
        self.line.cuts.fetch_add(1, Ordering::SeqCst);
        self.lock().wake_all();
    }

    /// The line works again; streams that ended stay ended.
    pub fn mend(&self) {
        self.line.cut.store(false, Ordering::SeqCst);
    }

    /// The next `writes` writes by this line are applied, but answered with a time-out.
    pub fn lose_answers(&self, writes: u64) {
        self.line.losing.store(writes, Ordering::SeqCst);
    }

    /// How many calls were made by this line (watch streams aside).
    pub fn calls(&self) -> u64 {
        self.line.calls.load(Ordering::SeqCst)
    }

    /// Ends every lease whose time is over at `now` (a time of the store's clock; of the test's choice without one).
    pub fn expire(&self, now: Duration) {
        let mut state = self.lock();
        state.advance(now);
    }

    /// Ends leases as the clock goes on, so that watchers hear of it without anybody calling. Never returns; to be spawned.
    pub async fn keep_time(self) {
        let clock = self.store.clock.clone().expect("keep_time is for a store made with a clock");
        loop {
            clock.sleep_until(clock.now() + EXPIRY_PERIOD).await;
            self.expire(clock.now());
        }
    }

    /// The store's revision.
    pub fn revision(&self) -> i64 {
        self.lock().revision()
    }

    /// All keys that begin with `prefix`, as they are now.
    pub fn dump(&self, prefix: &str) -> Vec<(String, String)> {
        let state = self.lock();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let first = if prefix.is_empty() { "\0" } else { prefix };
        let range_end = after_prefix(prefix.as_bytes());
        let all = RangeRequest { key: first.to_owned().into(), range_end, ..Default::default() };
        let found = state.range(&all).expect("a range of the newest revision cannot fail");
        found.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
    }

    /// Writes a key without a call being counted or lost: what somebody else did.
    pub fn set(&self, key: &str, value: &str) {
        let request =
            PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        self.lock().put(&request).expect("a plain put cannot fail");
    }

    /// Deletes a key likewise.
    pub fn unset(&self, key: &str) {
        let request = DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() };
        self.lock().delete(&request).expect("a plain delete cannot fail");
    }

    /// A test that failed while it held the store must not fail once more as its streams are dropped.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.store.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut(&self) -> bool {
        self.line.cut.load(Ordering::SeqCst)
    }

    fn cuts(&self) -> u64 {
        self.line.cuts.load(Ordering::SeqCst)
    }

    /// One call: nothing happens on a line that is cut.
    fn call<'a, T: Send + 'a>(
        &'a self,
        writes: bool,
        apply: impl FnOnce(&mut State) -> KvResult<T> + Send + 'a,
    ) -> BoxFuture<'a, KvResult<T>> {
        Box::pin(async move {
            self.line.calls.fetch_add(1, Ordering::SeqCst);
            if self.is_cut() {
                return Err(KvError::timeout_connection_lost());
            }
            let mut state = self.lock();
            if let Some(clock) = &self.store.clock {
                state.advance(clock.now());
            }
            let answer = apply(&mut state)?;
            let lost = writes
                && self
                    .line
                    .losing
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok();
            if lost { Err(KvError::timeout()) } else { Ok(answer) }
        })
    }
}

/// The end of the range of all keys with this prefix.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte < 0xff) else { return Bytes::from_static(&[0]) };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

impl Kv for MapKv {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>> {
        self.call(false, move |state| state.range(&request))
    }

    fn put(&self, request: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>> {
        self.call(true, move |state| state.put(&request))
    }

    fn delete_range(&self, request: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>> {
        self.call(true, move |state| state.delete(&request))
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>> {
        self.call(true, move |state| state.txn(&request))
    }

    fn compact(&self, request: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>> {
        self.call(true, move |state| state.compact(request.revision))
    }

    fn lease_grant(&self, request: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>> {
        self.call(true, move |state| state.lease_grant(request))
    }

    fn lease_revoke(&self, request: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>> {
        self.call(true, move |state| state.lease_revoke(request.id))
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>> {
        self.call(false, move |state| Ok(state.lease_keep_alive(request.id)))
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>> {
        self.call(false, move |state| Ok(state.lease_time_to_live(request)))
    }

    fn lease_leases(&self, _: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>> {
        self.call(false, move |state| Ok(state.lease_leases()))
    }

    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        Box::pin(async move {
            if self.is_cut() {
                return Err(KvError::timeout_connection_lost());
            }
            Ok(Box::new(stream::MapStream::open(self.clone())) as Box<dyn WatchStream>)
        })
    }
}
