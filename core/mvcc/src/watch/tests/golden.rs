//! What exactly a client reads, one behaviour a test. A response reads `revision id: what`.

use super::*;
use kernel::KvError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "0")
}

fn show_event(event: &Event) -> String {
    let kv = event.kv.as_ref().unwrap();
    let what = match event.r#type() {
        EventType::Put => format!("{}={}@{}", text(&kv.key), text(&kv.value), kv.mod_revision),
        EventType::Delete => format!("{} deleted@{}", text(&kv.key), kv.mod_revision),
    };
    let before = event.prev_kv.as_ref().map(|kv| format!(" was {}@{}", text(&kv.value), kv.mod_revision));
    what + &before.unwrap_or_default()
}

fn show(response: &WatchResponse) -> String {
    let header = response.header.unwrap();
    assert_eq!((header.cluster_id, header.member_id, header.raft_term), (7, 8, 9));
    let mut words = vec![format!("{} {}:", header.revision, response.watch_id)];
    words.extend(response.created.then(|| "created".into()));
    words.extend(response.canceled.then(|| "canceled".into()));
    words
        .extend((response.compact_revision != 0).then(|| format!("compacted {}", response.compact_revision)));
    words.extend((!response.cancel_reason.is_empty()).then(|| format!("[{}]", response.cancel_reason)));
    words.extend(response.events.iter().map(show_event));
    words.extend(response.fragment.then(|| "...".into()));
    words.join(" ")
}

/// Reads all there is and compares it line by line.
fn expect(reader: &mut Reader, lines: &[&str]) {
    let told: Vec<String> = reader.drain().iter().map(show).collect();
    assert_eq!(told, lines);
}

fn put(key: char, value: char) -> Change {
    Change::Put(key as u8, value as u8)
}

fn delete(key: char) -> Change {
    Change::Delete(key as u8)
}

fn world() -> Arc<World> {
    World::new(Options::default())
}

fn narrow(buffer_responses: usize) -> Arc<World> {
    World::new(Options { buffer_responses, ..Options::default() })
}

#[test]
fn a_watcher_from_now_sees_what_comes() {
    let world = world();
    world.apply(&[put('a', '1')]);
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    world.apply(&[put('a', '2')]);
    world.apply(&[put('b', '2')]);
    world.apply(&[delete('a')]);
    expect(&mut reader, &["2 0: created", "3 0: a=2@3", "5 0: a deleted@5"]);
}

#[test]
fn a_watcher_from_the_past_gets_all_of_it_in_one_response() {
    let world = world();
    world.apply(&[put('a', '1')]);
    world.apply(&[put('b', '1'), put('a', '2')]);
    world.apply(&[delete('a')]);
    let mut reader = world.reader();
    reader.create(want("a", "c", 2));
    expect(&mut reader, &["4 0: created", "4 0: a=1@2 b=1@3 a=2@3 a deleted@4"]);
    world.apply(&[put('a', '3')]);
    expect(&mut reader, &["5 0: a=3@5"]);
}

#[test]
fn a_watcher_from_the_future_sees_nothing_before_it() {
    let world = world();
    let mut reader = world.reader();
    reader.create(want("a", "", 3));
    reader.progress();
    world.apply(&[put('a', '1')]);
    world.apply(&[put('a', '2')]);
    reader.progress();
    expect(&mut reader, &["1 0: created", "3 0: a=2@3", "3 -1:"]);
}

#[test]
fn ids_count_from_zero_and_step_over_those_taken() {
    let world = world();
    let mut reader = world.reader();
    reader.create(WatchCreateRequest { watch_id: 1, ..want("a", "", 0) });
    reader.create(want("a", "", 0));
    reader.create(want("a", "", 0));
    reader.create(WatchCreateRequest { watch_id: 2, ..want("a", "", 0) });
    reader.cancel(0);
    reader.cancel(0);
    reader.create(want("a", "", 0));
    expect(
        &mut reader,
        &[
            "1 1: created",
            "1 0: created",
            "1 2: created",
            "1 -1: created canceled [mvcc: duplicate watch ID provided on the WatchStream]",
            "1 0: canceled",
            "1 3: created",
        ],
    );
    world.apply(&[put('a', '1')]);
    expect(&mut reader, &["2 1: a=1@2", "2 2: a=1@2", "2 3: a=1@2"]);
}

#[test]
fn impossible_watchers_are_refused_with_etcds_words() {
    let world = world();
    let mut reader = world.reader();
    reader.create(want("b", "a", 0));
    reader.create(want("b", "b", 0));
    reader.create(want("a", "", -1));
    expect(
        &mut reader,
        &[
            "1 -1: created canceled [mvcc: watcher range is empty]",
            "1 -1: created canceled [mvcc: watcher range is empty]",
            "1 -1: created canceled [etcdserver: mvcc: required revision has been compacted]",
        ],
    );
    assert_eq!(world.hub.metrics(), Metrics { streams: 1, watchers: 0, lagging: 0 });
}

#[test]
fn a_compacted_start_is_created_then_canceled_without_a_reason() {
    let world = world();
    for value in ['1', '2', '3'] {
        world.apply(&[put('a', value)]);
    }
    world.compact(3);
    let mut reader = world.reader();
    reader.create(want("a", "", 2));
    reader.create(want("a", "", 3));
    expect(&mut reader, &["4 0: created", "4 1: created", "4 0: canceled compacted 3", "4 1: a=2@3 a=3@4"]);
    assert_eq!(world.hub.metrics(), Metrics { streams: 1, watchers: 1, lagging: 0 });
}

#[test]
fn a_slow_reader_is_caught_up_without_a_gap() {
    let world = narrow(2);
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    for value in ['1', '2', '3', '4'] {
        world.apply(&[put('a', value)]);
    }
    assert_eq!(world.hub.metrics().lagging, 1);
    expect(&mut reader, &["1 0: created", "2 0: a=1@2", "5 0: a=2@3 a=3@4 a=4@5"]);
    assert_eq!(world.hub.metrics().lagging, 0);
}

#[test]
fn a_slow_reader_overtaken_by_compaction_is_told() {
    let world = narrow(2);
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    for value in ['1', '2', '3'] {
        world.apply(&[put('a', value)]);
    }
    world.compact(4);
    expect(&mut reader, &["1 0: created", "2 0: a=1@2", "4 0: canceled compacted 4"]);
}

#[test]
fn a_watcher_whose_history_is_compacted_while_it_is_read_is_told() {
    let probe = kernel::Probe::counting();
    let world = World::new(Options { buffer_responses: 2, probe: probe.clone(), ..Options::default() });
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    for value in ['1', '2', '3'] {
        world.apply(&[put('a', value)]);
    }
    world.compact_before_the_next_reading(4);
    expect(&mut reader, &["1 0: created", "2 0: a=1@2", "4 0: canceled compacted 4"]);
    assert!(
        probe.counts().contains_key("watch: compacted while a watcher caught up"),
        "{:?}",
        probe.counts()
    );
}

#[test]
fn a_large_buffer_of_bytes_counts_as_full() {
    let world = World::new(Options { buffer_bytes: 1, ..Options::default() });
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    world.apply(&[put('a', '1')]);
    world.apply(&[put('a', '2')]);
    assert_eq!(world.hub.metrics().lagging, 1);
    expect(&mut reader, &["1 0: created", "2 0: a=1@2", "3 0: a=2@3"]);
}

#[test]
fn previous_values_come_unless_compacted_or_new() {
    let world = world();
    let mut reader = world.reader();
    reader.create(WatchCreateRequest { prev_kv: true, ..want("a", "", 0) });
    reader.create(want("a", "", 0));
    world.apply(&[put('a', '1')]);
    world.apply(&[put('a', '2')]);
    world.apply(&[delete('a')]);
    expect(
        &mut reader,
        &[
            "1 0: created",
            "1 1: created",
            "2 0: a=1@2",
            "2 1: a=1@2",
            "3 0: a=2@3 was 1@2",
            "3 1: a=2@3",
            "4 0: a deleted@4 was 2@3",
            "4 1: a deleted@4",
        ],
    );
    world.apply(&[put('a', '3')]);
    world.apply(&[put('a', '4')]);
    world.compact(6);
    expect(&mut reader, &["5 0: a=3@5", "5 1: a=3@5", "6 0: a=4@6", "6 1: a=4@6"]);
}

#[test]
fn filters_leave_out_kinds_and_whole_revisions() {
    let world = world();
    let mut reader = world.reader();
    let filtered =
        |filter: Filter| WatchCreateRequest { filters: vec![filter.into(), 99], ..want("a", "\0", 0) };
    reader.create(filtered(Filter::NoPut));
    reader.create(filtered(Filter::NoDelete));
    world.apply(&[put('a', '1'), put('b', '1')]);
    world.apply(&[delete('a'), put('c', '1')]);
    expect(
        &mut reader,
        &["1 0: created", "1 1: created", "2 1: a=1@2 b=1@2", "3 0: a deleted@3", "3 1: c=1@3"],
    );
}

#[test]
fn a_large_revision_is_cut_into_parts_only_when_asked() {
    let world = World::new(Options { fragment_bytes: 50, ..Options::default() });
    let mut reader = world.reader();
    reader.create(WatchCreateRequest { fragment: true, ..want("a", "\0", 0) });
    reader.create(want("a", "\0", 0));
    world.apply(&[put('a', '1'), put('b', '2'), put('c', '3')]);
    expect(
        &mut reader,
        &["1 0: created", "1 1: created", "2 0: a=1@2 b=2@2 ...", "2 0: c=3@2", "2 1: a=1@2 b=2@2 c=3@2"],
    );
}

#[test]
fn asked_progress_waits_for_every_watcher_of_the_stream() {
    let world = world();
    world.apply(&[put('a', '1')]);
    let mut reader = world.reader();
    reader.progress();
    reader.create(want("x", "", 0));
    reader.progress();
    reader.create(want("a", "", 1));
    reader.progress();
    expect(&mut reader, &["2 0: created", "2 -1:", "2 1: created", "2 1: a=1@2"]);
    reader.progress();
    expect(&mut reader, &["2 -1:"]);
}

#[test]
fn idle_watchers_hear_of_progress_each_interval() {
    let interval = Duration::from_secs(10);
    let world = World::new(Options { progress_interval: interval, ..Options::default() });
    let mut reader = world.reader();
    reader.create(WatchCreateRequest { progress_notify: true, ..want("a", "", 0) });
    reader.create(want("a", "", 0));
    expect(&mut reader, &["1 0: created", "1 1: created"]);
    world.clock.advance(interval / 2);
    world.apply(&[put('b', '1')]);
    expect(&mut reader, &[]);
    world.clock.advance(interval / 2 + interval / 10);
    expect(&mut reader, &["2 0:"]);
    world.apply(&[put('a', '1')]);
    expect(&mut reader, &["3 0: a=1@3", "3 1: a=1@3"]);
    world.clock.advance(interval + interval / 10);
    expect(&mut reader, &[]);
    world.clock.advance(interval + interval / 10);
    expect(&mut reader, &["3 0:"]);
    reader.cancel(0);
    world.clock.advance(interval * 2);
    expect(&mut reader, &["3 0: canceled"]);
}

#[test]
fn a_snapshot_is_caught_up_with() {
    let world = world();
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    world.store(&[put('a', '1')]);
    world.store(&[put('a', '2')]);
    world.hub.reset(world.revision());
    assert_eq!(world.hub.metrics().lagging, 1);
    expect(&mut reader, &["1 0: created", "3 0: a=1@2 a=2@3"]);
    world.store(&[put('a', '3')]);
    world.store(&[put('b', '3')]);
    world.compact(5);
    world.hub.reset(world.revision());
    expect(&mut reader, &["5 0: canceled compacted 5"]);
}

#[test]
fn the_end_of_a_member_ends_every_stream() {
    let world = world();
    let (mut bold, mut careful) = (world.reader(), world.reader_with(true));
    bold.create(want("a", "", 0));
    careful.create(want("a", "", 0));
    world.hub.cancel_leaderless(KvError::no_leader());
    assert_eq!(careful.next(), Some(Err(KvError::no_leader())));
    assert_eq!(careful.0.submit(WatchRequest { request_union: None }), Err(KvError::no_leader()));
    expect(&mut bold, &["1 0: created"]);
    world.hub.cancel_all(KvError::stopped());
    assert_eq!(bold.next(), Some(Err(KvError::stopped())));
    assert_eq!(world.hub.metrics(), Metrics::default());
    world.apply(&[put('a', '1')]);
}

#[test]
fn a_store_that_cannot_read_ends_the_streams_that_need_it() {
    let world = world();
    world.apply(&[put('a', '1')]);
    let (mut past, mut before, mut plain) = (world.reader(), world.reader(), world.reader());
    past.create(want("a", "", 2));
    before.create(WatchCreateRequest { prev_kv: true, ..want("a", "", 0) });
    plain.create(want("a", "", 0));
    world.apply(&[put('a', '2')]);
    world.break_down();
    assert_eq!(past.next(), Some(Err(KvError::corrupt())));
    assert!(before.next().is_some_and(|created| created.is_ok()));
    assert_eq!(
        [before.next(), before.next()],
        [Some(Err(KvError::corrupt())), Some(Err(KvError::corrupt()))]
    );
    expect(&mut plain, &["2 0: created", "3 0: a=2@3"]);
}

#[test]
fn a_dropped_stream_takes_its_watchers_with_it() {
    let world = narrow(1);
    world.apply(&[put('a', '1')]);
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    reader.create(want("a", "", 1));
    reader.create(want("a", "b", 0));
    assert_eq!(world.hub.metrics(), Metrics { streams: 1, watchers: 3, lagging: 1 });
    drop(reader);
    assert_eq!(world.hub.metrics(), Metrics::default());
    world.apply(&[put('a', '2')]);
}

#[test]
fn unread_answers_have_a_bound() {
    let world = world();
    let mut reader = world.reader();
    let refused = WatchRequestUnion::CreateRequest(want("b", "a", 0));
    let request = WatchRequest { request_union: Some(refused) };
    let taken = (0..20_000).take_while(|_| reader.0.submit(request.clone()).is_ok()).count();
    assert_eq!(taken, 16_384);
    assert_eq!(reader.0.submit(request), Err(KvError::too_many_requests()));
    assert_eq!(reader.drain().len(), 16_384);
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_long_history_of_others_is_read_a_batch_a_turn() {
    let world = World::new(Options { batch_bytes: 1, ..Options::default() });
    for value in ['1', '2', '3'] {
        world.apply(&[put('a', value)]);
    }
    let mut reader = world.reader();
    reader.create(want("x", "", 2));
    expect_created(&mut reader);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut turns = 0;
    while world.hub.metrics().lagging > 0 {
        let before = count.0.load(Ordering::Relaxed);
        assert!(reader.0.poll_response(&mut Context::from_waker(&waker)).is_pending());
        turns += 1;
        let woken = count.0.load(Ordering::Relaxed) - before;
        assert_eq!(woken, world.hub.metrics().lagging, "it comes back by itself until it is synced");
    }
    assert_eq!(turns, 2, "three batches, the first of them beside the answer");
}

/// Takes just the answer to the first creation.
fn expect_created(reader: &mut Reader) {
    let answer = reader.next().unwrap().unwrap();
    assert_eq!(show(&answer).split(' ').next_back(), Some("created"));
}

#[test]
fn whoever_waits_is_woken() {
    let world = world();
    let mut reader = world.reader();
    reader.create(want("a", "", 0));
    reader.drain();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let wakes_by = |reader: &mut Reader, act: &dyn Fn()| {
        let before = count.0.load(Ordering::Relaxed);
        assert!(reader.0.poll_response(&mut Context::from_waker(&waker)).is_pending());
        act();
        reader.drain();
        count.0.load(Ordering::Relaxed) - before
    };
    assert_eq!(wakes_by(&mut reader, &|| world.apply(&[put('b', '1')])), 0, "not concerned");
    assert_eq!(wakes_by(&mut reader, &|| world.apply(&[put('a', '1')])), 1, "an event");
    let snapshot = || {
        world.store(&[put('a', '2')]);
        world.hub.reset(world.revision());
    };
    assert_eq!(wakes_by(&mut reader, &snapshot), 1, "a snapshot");
}
