//! Catching up: one bounded batch of history for the watchers of one stream that lag.
//!
//! A pass takes the watchers that are furthest behind, reads one batch from the lowest revision among them, matches it
//! against just those, and then, under the hub's lock, queues what each wants and moves it forward. A watcher whose events
//! find no room stays where it was. What apply publishes during the pass is after the batch, so such a watcher simply has
//! another pass to go.

use super::hub::{Hub, State};
use super::index::{Index, Kinds, Span, WatcherId};
use super::queue::{Batch, Delivery, Item};
use super::{History, HistoryError};
use kernel::Bug;
use kernel::kv::KvResult;
use kernel::watch::Event;
use std::collections::BTreeMap;
use std::task::Waker;

/// Watchers that one pass looks after.
const MOST_WATCHERS: usize = 512;

/// A watcher that lags, as the pass found it.
struct Laggard {
    watch: i64,
    next: i64,
    span: Span,
    kinds: Kinds,
}

/// What a pass read for each watcher.
struct Haul {
    /// Complete up to this revision.
    until: i64,
    events: BTreeMap<i64, Vec<Event>>,
}

/// One pass over the watchers of `stream`. Reads history without any lock. An error means that the stream cannot go on.
pub(super) fn catch_up(hub: &Hub, stream: u64, history: &dyn History) -> KvResult<()> {
    let (published, laggards) = choose(&hub.lock(), stream);
    let Some(from) = laggards.first().map(|laggard| laggard.next) else { return Ok(()) };
    let compacted = history.compacted_revision();
    let ignores = hub.options().planted.is(Bug::WatchFromCompacted);
    let from = if ignores { from.max(compacted) } else { from };
    if from < compacted {
        cancel_compacted(hub, stream, compacted);
        return Ok(());
    }
    match history.events(from, hub.options().batch_bytes) {
        Ok(read) => {
            let haul = sort_out(&laggards, read, published, hub.options().seed);
            settle(hub, stream, &laggards, haul);
        }
        Err(HistoryError::Compacted(compacted)) => {
            assert!(from < compacted, "history refuses {from}, but keeps {compacted} and later");
            hub.options().probe.sometimes("watch: compacted while a watcher caught up");
            cancel_compacted(hub, stream, compacted);
        }
        Err(HistoryError::Failed(error)) => return Err(error),
    }
    Ok(())
}

/// The watchers that are furthest behind, those first, and what they have to catch up with.
fn choose(state: &State, stream: u64) -> (i64, Vec<Laggard>) {
    let Some(entry) = state.streams.get(&stream) else { return (state.revision, Vec::new()) };
    let laggard = |(next, watch): &(i64, i64)| {
        let watcher = &entry.watchers[watch];
        Laggard { watch: *watch, next: *next, span: watcher.span.clone(), kinds: watcher.kinds }
    };
    (state.revision, entry.lagging.iter().take(MOST_WATCHERS).map(laggard).collect())
}

/// Ends every watcher of the stream that still needs something before the compacted revision.
fn cancel_compacted(hub: &Hub, stream: u64, compacted: i64) {
    let mut guard = hub.lock();
    let state = &mut *guard;
    let Some(entry) = state.streams.get(&stream) else { return };
    let lost: Vec<i64> = entry.lagging.range(..(compacted, i64::MIN)).map(|(_, watch)| *watch).collect();
    let mut waker = None;
    for watch in lost {
        hub.options().probe.sometimes("watch: a watcher was overtaken by compaction");
        state.cancel(WatcherId { stream, watch });
        let entry = &state.streams[&stream];
        waker = entry.tell_compacted(watch, state.revision, compacted).or(waker);
        waker = entry.note_lagging().or(waker);
    }
    drop(guard);
    waker.into_iter().for_each(Waker::wake);
}

/// Gives each watcher what it wants of what was read, leaving out what is not published yet: apply will bring that.
fn sort_out(laggards: &[Laggard], read: Vec<(i64, Vec<Event>)>, published: i64, seed: u64) -> Haul {
    assert!(read.is_sorted_by(|left, right| left.0 < right.0), "history is in order");
    let until = read.last().map_or(published, |last| last.0.min(published));
    let mut index = Index::new(seed);
    let by_watch: BTreeMap<i64, &Laggard> = laggards.iter().map(|laggard| (laggard.watch, laggard)).collect();
    for laggard in laggards {
        index.insert(&laggard.span, WatcherId { stream: 0, watch: laggard.watch });
    }
    let flat: Vec<(i64, Event)> = read
        .into_iter()
        .take_while(|(revision, _)| *revision <= published)
        .flat_map(|(revision, events)| events.into_iter().map(move |event| (revision, event)))
        .collect();
    let mut events: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    for (id, position) in index.matches(flat.iter().map(|(_, event)| event)) {
        let (revision, event) = &flat[position];
        let laggard = by_watch[&id.watch];
        if *revision >= laggard.next && laggard.kinds.wants(event) {
            events.entry(id.watch).or_default().push(event.clone());
        }
    }
    Haul { until, events }
}

/// Queues what was hauled and moves the watchers forward, as far as there is room.
fn settle(hub: &Hub, stream: u64, laggards: &[Laggard], mut haul: Haul) {
    let mut guard = hub.lock();
    let state = &mut *guard;
    let Some(entry) = state.streams.get_mut(&stream) else { return };
    let mut wakers = Vec::new();
    for laggard in laggards {
        let place = (laggard.next, laggard.watch);
        // Only the stream's owner, whose pass this is, moves or ends a watcher that lags.
        assert!(entry.lagging.contains(&place), "watcher {} lags where it was found", laggard.watch);
        if haul.until < laggard.next {
            continue;
        }
        let watcher = entry.watchers.get_mut(&laggard.watch).expect("one that lags exists");
        let mut events = haul.events.remove(&laggard.watch).unwrap_or_default();
        if hub.options().planted.is(Bug::SkipSlowWatcherEvent) && watcher.fell_behind && !events.is_empty() {
            events.remove(0);
        }
        if !events.is_empty() {
            let (watch_id, shape) = (laggard.watch, watcher.shape);
            let delivery =
                Delivery { watch_id, revision: haul.until, batch: Batch::new(events), picks: None, shape };
            match entry.queue.offer(Item::Events(delivery)) {
                Ok(waker) => wakers.extend(waker),
                Err(_) => {
                    hub.options().probe.sometimes("watch: the buffer filled up while catching up");
                    continue;
                }
            }
        }
        entry.lagging.remove(&place);
        watcher.next = haul.until + 1;
        if hub.options().planted.is(Bug::CatchUpRepeatsLast) && std::mem::take(&mut watcher.fell_behind) {
            watcher.next = haul.until;
        }
        if watcher.next > state.revision {
            watcher.fell_behind = false;
            state.index.insert(&watcher.span, WatcherId { stream, watch: laggard.watch });
        } else {
            entry.lagging.insert((watcher.next, laggard.watch));
        }
    }
    wakers.extend(entry.note_lagging());
    drop(guard);
    wakers.into_iter().for_each(Waker::wake);
}
