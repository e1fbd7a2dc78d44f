//! The hub: every watcher of a member, and what becomes of each revision.

use super::index::{Index, Kinds, Span, WatcherId};
use super::queue::{Batch, Delivery, Item, Queue, Shape};
use super::stream::{Stream, StreamConfig};
use super::{Metrics, Options};
use kernel::watch::{Event, WatchCreateRequest, WatchResponse};
use kernel::{Bug, KvError, Planted};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

/// Where watchers of all streams meet the changes. Clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    options: Options,
    state: Mutex<State>,
}

pub(super) struct State {
    /// The last revision that was published.
    pub(super) revision: i64,
    /// The watchers that are synced.
    pub(super) index: Index,
    pub(super) streams: BTreeMap<u64, Entry>,
    next_stream: u64,
    watchers: usize,
    planted: Planted,
}

/// What the hub knows of a stream.
pub(super) struct Entry {
    pub(super) queue: Arc<Queue>,
    pub(super) watchers: BTreeMap<i64, Watcher>,
    /// (next, watch id) of those that lag: the furthest behind comes first.
    pub(super) lagging: BTreeSet<(i64, i64)>,
    next_id: i64,
    require_leader: bool,
}

/// One watcher. Lagging exactly when `next` stands in its stream's `lagging`.
pub(super) struct Watcher {
    pub(super) span: Span,
    pub(super) kinds: Kinds,
    pub(super) shape: Shape,
    /// The first revision that it asked for.
    start: i64,
    /// Every event before this revision has been given to it. Not moved while it is synced: what is published meanwhile
    /// counts as given.
    pub(super) next: i64,
    /// It was synced once and fell behind since.
    pub(super) fell_behind: bool,
}

impl Hub {
    /// A hub for a store whose last revision is `revision`.
    pub fn new(revision: i64, options: Options) -> Hub {
        let index = Index::new(options.seed);
        let planted = options.planted;
        let streams = BTreeMap::new();
        let state = State { revision, index, streams, next_stream: 0, watchers: 0, planted };
        Hub(Arc::new(Shared { options, state: Mutex::new(state) }))
    }

    /// A new stream without watchers. Dropping it ends them all.
    pub fn stream(&self, config: StreamConfig) -> Stream {
        let options = &self.0.options;
        let queue = Arc::new(Queue::new(options.buffer_responses, options.buffer_bytes));
        let mut state = self.lock();
        let id = state.next_stream;
        state.next_stream += 1;
        state.streams.insert(id, Entry::new(queue.clone(), config.require_leader));
        drop(state);
        Stream::new(self.clone(), id, queue, config)
    }

    /// Hands the events of `revision` to those who watch their keys. Called by apply for each revision in turn, when the
    /// store already shows it and before its outcome is told to the client.
    pub fn publish(&self, revision: i64, events: &[Event]) {
        let mut state = self.lock();
        assert_eq!(
            revision,
            state.revision + 1,
            "revisions are published one by one (reset after a snapshot)"
        );
        state.revision = revision;
        let pairs = state.index.matches(events);
        let mut wakers = Vec::new();
        let mut shared: Option<Arc<Batch>> = None;
        for group in pairs.chunk_by(|left, right| left.0 == right.0) {
            let batch = shared.get_or_insert_with(|| Batch::new(events.to_vec()));
            let woken = state.deliver(group, events, batch, &self.0.options);
            wakers.extend(woken);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells the hub that a snapshot was installed, and that the store is at `revision` now: whatever happened between is
    /// for watchers to catch up with, or to be told that it was compacted.
    pub fn reset(&self, revision: i64) {
        let mut state = self.lock();
        assert!(revision >= state.revision, "a snapshot never takes back what was published");
        if revision == state.revision {
            return;
        }
        let published = std::mem::replace(&mut state.revision, revision);
        if state.planted.is(Bug::InstallForgetsWatchers) {
            return;
        }
        let State { index, streams, .. } = &mut *state;
        let mut wakers = Vec::new();
        for (stream, entry) in streams {
            entry.fall_behind(*stream, index, published + 1, revision);
            wakers.extend(entry.note_lagging());
        }
        drop(state);
        self.0.options.probe.sometimes("watch: a snapshot moved the watchers");
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends every stream with `reason` and goes on from `revision`, which may lie before what was published: that was of a state
    /// which turned out to be wrong.
    pub fn begin_anew(&self, revision: i64, reason: KvError) {
        self.end_streams(reason, |_| true);
        self.lock().revision = revision;
    }

    /// Ends every stream with `reason`: the member stops.
    pub fn cancel_all(&self, reason: KvError) {
        self.end_streams(reason, |_| true);
    }

    /// Ends the streams that were opened on condition that there is a leader.
    pub fn cancel_leaderless(&self, reason: KvError) {
        self.end_streams(reason, |entry| entry.require_leader);
    }

    /// How much the hub carries now.
    pub fn metrics(&self) -> Metrics {
        let state = self.lock();
        let lagging = state.streams.values().map(|entry| entry.lagging.len()).sum();
        Metrics { streams: state.streams.len(), watchers: state.watchers, lagging }
    }

    /// The last revision published.
    pub fn revision(&self) -> i64 {
        self.lock().revision
    }

    fn end_streams(&self, reason: KvError, which: impl Fn(&Entry) -> bool) {
        let mut state = self.lock();
        let ending: Vec<u64> =
            state.streams.iter().filter(|(_, entry)| which(entry)).map(|(id, _)| *id).collect();
        let mut wakers = Vec::new();
        for id in ending {
            let entry = state.close(id).expect("it was found under this lock");
            wakers.extend(entry.queue.end(reason.clone()));
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends a stream that nobody reads any more.
    pub(super) fn close(&self, stream: u64) {
        // A broken lock means that a panic is under way, and a second one would hide it.
        if let Ok(mut state) = self.0.state.lock() {
            state.close(stream);
        }
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no holder panics")
    }
}

impl State {
    /// Ends a stream and all of its watchers.
    pub(super) fn close(&mut self, stream: u64) -> Option<Entry> {
        let entry = self.streams.remove(&stream)?;
        self.watchers -= entry.watchers.len();
        for (watch, watcher) in &entry.watchers {
            if !entry.is_lagging(*watch, watcher) {
                self.index.remove(&watcher.span, WatcherId { stream, watch: *watch });
            }
        }
        Some(entry)
    }

    /// Makes a watcher, or says why not; the texts are etcd's. It lags at first when it asks for what is past.
    pub(super) fn create(&mut self, stream: u64, request: &WatchCreateRequest) -> Result<i64, String> {
        if request.start_revision < 0 {
            return Err(KvError::compacted().message);
        }
        let span = Span::of(&request.key, &request.range_end).ok_or("mvcc: watcher range is empty")?;
        let entry = self.streams.get_mut(&stream).ok_or(KvError::watch_canceled().message)?;
        let watch = entry.choose_id(request.watch_id)?;
        let now = self.revision + 1;
        let next = if request.start_revision == 0 { now } else { request.start_revision };
        if next > self.revision {
            self.index.insert(&span, WatcherId { stream, watch });
        } else {
            entry.lagging.insert((next, watch));
        }
        let kinds = Kinds::without(&request.filters);
        let shape = Shape { prev_kv: request.prev_kv, fragment: request.fragment };
        let start = request.start_revision;
        entry.watchers.insert(watch, Watcher { span, kinds, shape, start, next, fell_behind: false });
        self.watchers += 1;
        Ok(watch)
    }

    /// Ends a watcher; returns whether there was one.
    pub(super) fn cancel(&mut self, id: WatcherId) -> bool {
        let Some(entry) = self.streams.get_mut(&id.stream) else { return false };
        let Some(watcher) = entry.watchers.remove(&id.watch) else { return false };
        if !entry.lagging.remove(&(watcher.next, id.watch)) {
            self.index.remove(&watcher.span, id);
        }
        self.watchers -= 1;
        true
    }

    /// The revision up to which these watchers are complete: all synced, and none waiting for a later revision.
    pub(super) fn complete<'a>(&self, stream: u64, mut ids: impl Iterator<Item = &'a i64>) -> Option<i64> {
        let entry = self.streams.get(&stream)?;
        let is_complete = |watch: &i64| {
            let watcher = entry.watchers.get(watch)?;
            let synced = !entry.is_lagging(*watch, watcher) || self.planted.is(Bug::ProgressBeforeEvents);
            (synced && watcher.start <= self.revision).then_some(())
        };
        ids.all(|watch| is_complete(watch).is_some()).then_some(self.revision)
    }

    /// Gives one watcher its events of the revision just published; it lags from here when its stream has no room.
    fn deliver(
        &mut self,
        group: &[(WatcherId, usize)],
        events: &[Event],
        batch: &Arc<Batch>,
        options: &Options,
    ) -> Option<Waker> {
        let id = group[0].0;
        let entry = self.streams.get_mut(&id.stream).expect("an indexed watcher has a stream");
        let watcher = entry.watchers.get_mut(&id.watch).expect("an indexed watcher exists");
        if self.revision < watcher.next {
            return None;
        }
        let picks: Vec<usize> =
            group.iter().map(|pair| pair.1).filter(|at| watcher.kinds.wants(&events[*at])).collect();
        if picks.is_empty() {
            return None;
        }
        let delivery = Delivery {
            watch_id: id.watch,
            revision: self.revision,
            batch: batch.clone(),
            picks: (picks.len() < events.len()).then_some(picks),
            shape: watcher.shape,
        };
        match entry.queue.offer(Item::Events(delivery)) {
            Ok(waker) => waker,
            Err(_) => {
                watcher.next = self.revision;
                watcher.fell_behind = true;
                self.index.remove(&watcher.span, id);
                entry.lagging.insert((watcher.next, id.watch));
                options.probe.sometimes("watch: a stream was full and its watcher lags");
                entry.note_lagging()
            }
        }
    }
}

impl Entry {
    fn new(queue: Arc<Queue>, require_leader: bool) -> Entry {
        Entry { queue, watchers: BTreeMap::new(), lagging: BTreeSet::new(), next_id: 0, require_leader }
    }

    fn choose_id(&mut self, wanted: i64) -> Result<i64, String> {
        if wanted != 0 {
            let taken = self.watchers.contains_key(&wanted);
            return if taken {
                Err("mvcc: duplicate watch ID provided on the WatchStream".into())
            } else {
                Ok(wanted)
            };
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    fn is_lagging(&self, watch: i64, watcher: &Watcher) -> bool {
        self.lagging.contains(&(watcher.next, watch))
    }

    /// Every synced watcher has been given all before `next`, and lags if there is anything up to `revision` that it wants.
    fn fall_behind(&mut self, stream: u64, index: &mut Index, next: i64, revision: i64) {
        for (watch, watcher) in &mut self.watchers {
            if self.lagging.contains(&(watcher.next, *watch)) {
                continue;
            }
            watcher.next = watcher.next.max(next);
            if watcher.next <= revision {
                watcher.fell_behind = true;
                index.remove(&watcher.span, WatcherId { stream, watch: *watch });
                self.lagging.insert((watcher.next, *watch));
            }
        }
    }

    /// Tells the buffer how many watchers lag. The caller wakes.
    pub(super) fn note_lagging(&self) -> Option<Waker> {
        self.queue.set_lagging(self.lagging.len())
    }

    /// Queues the end of a watcher. The caller wakes.
    pub(super) fn tell_compacted(
        &self,
        watch_id: i64,
        revision: i64,
        compact_revision: i64,
    ) -> Option<Waker> {
        let response = WatchResponse { watch_id, canceled: true, compact_revision, ..Default::default() };
        self.queue.answer(revision, response)
    }
}
