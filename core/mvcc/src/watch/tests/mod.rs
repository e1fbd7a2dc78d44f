//! A world for the hub: a store that is a map of revisions, a clock that is set by hand, and readers that write down what
//! they are told.

mod golden;
mod model;
mod pieces;

use super::*;
use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use kernel::kv::KvResult;
use kernel::watch::*;
use kernel::{BoxFuture, Clock};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll};

/// A store in which nothing is hard: every event ever, and what of it is still shown.
pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) clock: Arc<HandClock>,
    state: Mutex<WorldState>,
}

#[derive(Default)]
struct WorldState {
    log: BTreeMap<i64, Vec<Event>>,
    compacted: i64,
    broken: bool,
    /// What happens while somebody reads history, one revision a reading: the store shows it before the reading (`true`) or
    /// after it; it is published after it in any case.
    races: VecDeque<(bool, Vec<Change>)>,
    /// A compaction that comes between the look at what is kept and the reading.
    late_compaction: Option<i64>,
}

impl WorldState {
    fn read(&self, from: i64, budget_bytes: usize) -> Result<Vec<(i64, Vec<Event>)>, HistoryError> {
        if from < self.compacted {
            return Err(HistoryError::Compacted(self.compacted));
        }
        let mut read = Vec::new();
        let mut bytes = 0;
        for (revision, events) in self.log.range(from..) {
            bytes += events.iter().map(prost::Message::encoded_len).sum::<usize>();
            if bytes > budget_bytes && !read.is_empty() {
                break;
            }
            read.push((*revision, events.clone()));
        }
        Ok(read)
    }
}

/// A change of one key.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(u8, u8),
    Delete(u8),
}

impl World {
    pub(super) fn new(options: Options) -> Arc<World> {
        let clock = Arc::default();
        Arc::new(World { hub: Hub::new(1, options), clock, state: Mutex::default() })
    }

    pub(super) fn revision(&self) -> i64 {
        self.state.lock().unwrap().log.last_key_value().map_or(1, |last| *last.0)
    }

    /// Every event from `from` up to `until`, compacted or not.
    pub(super) fn truth(&self, from: i64, until: i64) -> Vec<Event> {
        let state = self.state.lock().unwrap();
        if from > until {
            Vec::new()
        } else {
            state.log.range(from..=until).flat_map(|pair| pair.1.clone()).collect()
        }
    }

    /// Puts a revision into the store, which the hub does not hear of.
    pub(super) fn store(&self, changes: &[Change]) -> (i64, Vec<Event>) {
        let revision = self.revision() + 1;
        let events: Vec<Event> = changes.iter().map(|change| self.event(change, revision)).collect();
        self.state.lock().unwrap().log.insert(revision, events.clone());
        (revision, events)
    }

    /// One revision, stored and published.
    pub(super) fn apply(&self, changes: &[Change]) {
        let (revision, events) = self.store(changes);
        self.hub.publish(revision, &events);
    }

    pub(super) fn compact(&self, revision: i64) {
        self.state.lock().unwrap().compacted = revision;
    }

    pub(super) fn compact_before_the_next_reading(&self, revision: i64) {
        self.state.lock().unwrap().late_compaction = Some(revision);
    }

    pub(super) fn race(&self, early: bool, changes: Vec<Change>) {
        self.state.lock().unwrap().races.push_back((early, changes));
    }

    /// From now on nothing can be read.
    pub(super) fn break_down(&self) {
        self.state.lock().unwrap().broken = true;
    }

    fn is_broken(&self) -> bool {
        self.state.lock().unwrap().broken
    }

    fn last(&self, key: &[u8], before: i64) -> Option<KeyValue> {
        let state = self.state.lock().unwrap();
        let mut events = state.log.range(..before).rev().flat_map(|pair| pair.1.iter());
        let event = events.find(|event| event.kv.as_ref().unwrap().key == key)?;
        if event.r#type == EventType::Put as i32 { event.kv.clone() } else { None }
    }

    fn event(&self, change: &Change, mod_revision: i64) -> Event {
        match change {
            Change::Put(key, value) => {
                let key = Bytes::copy_from_slice(&[*key]);
                let before = self.last(&key, mod_revision);
                let create_revision = before.as_ref().map_or(mod_revision, |kv| kv.create_revision);
                let version = before.map_or(1, |kv| kv.version + 1);
                let value = Bytes::copy_from_slice(&[*value]);
                let kv = KeyValue { key, create_revision, mod_revision, version, value, lease: 0 };
                Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv: None }
            }
            Change::Delete(key) => {
                let kv =
                    KeyValue { key: Bytes::copy_from_slice(&[*key]), mod_revision, ..Default::default() };
                Event { r#type: EventType::Delete.into(), kv: Some(kv), prev_kv: None }
            }
        }
    }

    pub(super) fn reader(self: &Arc<Self>) -> Reader {
        self.reader_with(false)
    }

    pub(super) fn reader_with(self: &Arc<Self>, require_leader: bool) -> Reader {
        let header = |revision| ResponseHeader { cluster_id: 7, member_id: 8, revision, raft_term: 9 };
        let (history, clock, header) = (self.clone(), self.clock.clone(), Arc::new(header));
        Reader(self.hub.stream(StreamConfig { history, clock, header, require_leader }))
    }
}

impl History for World {
    fn compacted_revision(&self) -> i64 {
        self.state.lock().unwrap().compacted
    }

    fn events(&self, from: i64, budget_bytes: usize) -> Result<Vec<(i64, Vec<Event>)>, HistoryError> {
        if self.is_broken() {
            return Err(HistoryError::Failed(KvError::corrupt()));
        }
        let late = self.state.lock().unwrap().late_compaction.take();
        late.into_iter().for_each(|revision| self.compact(revision));
        let race = self.state.lock().unwrap().races.pop_front();
        let stored = race.map(|(early, changes)| if early { Ok(self.store(&changes)) } else { Err(changes) });
        let read = self.state.lock().unwrap().read(from, budget_bytes);
        match stored {
            Some(Ok((revision, events))) => self.hub.publish(revision, &events),
            Some(Err(changes)) => self.apply(&changes),
            None => {}
        }
        read
    }

    fn prev_kv(&self, key: &[u8], mod_revision: i64) -> KvResult<Option<KeyValue>> {
        if self.is_broken() {
            return Err(KvError::corrupt());
        }
        Ok(if mod_revision - 1 < self.compacted_revision() { None } else { self.last(key, mod_revision) })
    }
}

/// A clock that stands still unless it is set.
#[derive(Default)]
pub(super) struct HandClock(Arc<Mutex<Duration>>);

impl HandClock {
    pub(super) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> Duration {
        self.now()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let now = self.0.clone();
        Box::pin(poll_fn(
            move |_| if *now.lock().unwrap() >= deadline { Poll::Ready(()) } else { Poll::Pending },
        ))
    }
}

/// The client's side of a stream.
pub(super) struct Reader(pub(super) Stream);

impl Reader {
    pub(super) fn create(&mut self, request: WatchCreateRequest) {
        let union = WatchRequestUnion::CreateRequest(request);
        self.0.submit(WatchRequest { request_union: Some(union) }).unwrap();
    }

    pub(super) fn cancel(&mut self, watch_id: i64) {
        let union = WatchRequestUnion::CancelRequest(WatchCancelRequest { watch_id });
        self.0.submit(WatchRequest { request_union: Some(union) }).unwrap();
    }

    pub(super) fn progress(&mut self) {
        let union = WatchRequestUnion::ProgressRequest(WatchProgressRequest {});
        self.0.submit(WatchRequest { request_union: Some(union) }).unwrap();
    }

    /// The next response, polling on as long as the stream catches up.
    pub(super) fn next(&mut self) -> Option<KvResult<WatchResponse>> {
        for _ in 0..10_000 {
            match self.0.poll_response(&mut Context::from_waker(noop_waker_ref())) {
                Poll::Ready(outcome) => return Some(outcome),
                Poll::Pending if self.0.is_catching_up() => {}
                Poll::Pending => return None,
            }
        }
        panic!("the stream catches up for ever");
    }

    /// Everything that can be read now.
    pub(super) fn drain(&mut self) -> Vec<WatchResponse> {
        std::iter::from_fn(|| self.next()).map(|outcome| outcome.unwrap()).collect()
    }
}

/// A request for `key` up to `range_end` from `start_revision`.
pub(super) fn want(key: &'static str, range_end: &'static str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { key: key.into(), range_end: range_end.into(), start_revision, ..Default::default() }
}
