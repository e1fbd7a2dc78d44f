//! Random lives of watchers, judged by one rule: a response with header revision `r` says that its watcher is complete up to
//! `r`. So the events in it must be exactly what the uncompacted truth holds for that watcher from where it was up to `r`;
//! from that follow order, uniqueness, whole revisions and the absence of gaps.

use super::*;
use kernel::Probe;
use quickcheck::{Arbitrary, Gen, QuickCheck};

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Change>),
    /// Happens while the next batch of history is read.
    Race(bool, Vec<Change>),
    /// Revisions that come by snapshot.
    Install(Vec<Change>),
    /// Compacts so that this many revisions stay.
    Compact(u8),
    Create {
        stream: u8,
        key: u8,
        end: u8,
        back: Option<i8>,
        filter: u8,
    },
    Cancel {
        stream: u8,
        id: u8,
    },
    Progress(u8),
    Read {
        stream: u8,
        most: u8,
    },
}

fn changes(g: &mut Gen) -> Vec<Change> {
    let first = u8::arbitrary(g) % 8;
    let count = 1 + u8::arbitrary(g) % 3;
    // A revision changes a key at most once.
    let mut change = |key: u8| match bool::arbitrary(g) {
        true => Change::Put(key, u8::arbitrary(g)),
        false => Change::Delete(key),
    };
    (first..first + count).map(|key| change(1 + key % 8)).collect()
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let stream = u8::arbitrary(g) % 2;
        match u8::arbitrary(g) % 20 {
            0..8 => Step::Apply(changes(g)),
            8 => Step::Race(bool::arbitrary(g), changes(g)),
            9 => Step::Install(changes(g)),
            10 => Step::Compact(u8::arbitrary(g) % 8),
            11..14 => {
                let back = bool::arbitrary(g).then(|| i8::arbitrary(g) % 8);
                let (key, end) = (u8::arbitrary(g) % 10, u8::arbitrary(g) % 12);
                Step::Create { stream, key, end, back, filter: u8::arbitrary(g) % 6 }
            }
            14 => Step::Cancel { stream, id: u8::arbitrary(g) % 8 },
            15 => Step::Progress(stream),
            _ => Step::Read { stream, most: u8::arbitrary(g) % 6 },
        }
    }
}

/// What the client knows of a watcher of its.
#[derive(Clone, Debug)]
struct Known {
    request: WatchCreateRequest,
    /// Complete up to just before this.
    next: i64,
}

impl Known {
    fn wants(&self, event: &Event) -> bool {
        let key = &event.kv.as_ref().unwrap().key[..];
        let start = if self.request.key.is_empty() { &[0] } else { &self.request.key[..] };
        let in_range = match &self.request.range_end[..] {
            [] => key == start,
            [0] => key >= start,
            end => start <= key && key < end,
        };
        in_range && !self.request.filters.contains(&event.r#type)
    }
}

struct Client {
    reader: Reader,
    /// Creations that were asked for and not answered, in order.
    asked: VecDeque<WatchCreateRequest>,
    watchers: BTreeMap<i64, Known>,
}

impl Client {
    fn judge(&mut self, world: &World, response: WatchResponse) {
        let revision = response.header.unwrap().revision;
        if response.created {
            let request = self.asked.pop_front().expect("each creation is answered once");
            assert_eq!(response.canceled, response.watch_id == -1);
            if !response.canceled {
                let next = if request.start_revision == 0 { revision + 1 } else { request.start_revision };
                let known = Known { request, next };
                assert!(self.watchers.insert(response.watch_id, known).is_none(), "an id is given once");
            }
        } else if response.canceled {
            let known = self.watchers.remove(&response.watch_id).expect("a watcher ends once");
            if response.compact_revision != 0 {
                assert!(known.next < response.compact_revision, "{known:?} needs nothing that was compacted");
                assert!(response.compact_revision <= world.compacted_revision());
            }
        } else if response.watch_id == -1 {
            let ids: Vec<i64> = self.watchers.keys().copied().collect();
            ids.into_iter().for_each(|id| self.complete(world, id, revision, &[]));
        } else {
            assert!(!response.events.is_empty(), "nobody asked to hear of nothing");
            self.complete(world, response.watch_id, revision, &response.events);
        }
    }

    fn complete(&mut self, world: &World, id: i64, revision: i64, events: &[Event]) {
        let known = self.watchers.get_mut(&id).expect("a watcher is told something while it lives");
        let next = known.next;
        let mut truth = world.truth(next, revision);
        truth.retain(|event| known.wants(event));
        assert_eq!(events, truth, "watcher {id} from {next} up to {revision}: {known:?}");
        known.next = next.max(revision + 1);
    }

    /// Reads and judges up to `most` responses; returns how many there were.
    fn read(&mut self, world: &World, most: usize) -> usize {
        for count in 0..most {
            let Some(outcome) = self.reader.next() else { return count };
            self.judge(world, outcome.unwrap());
        }
        most
    }
}

fn live(steps: Vec<Step>, buffer: u8, batch: u8, probe: &Probe) {
    let options = Options {
        buffer_responses: 1 + usize::from(buffer % 4),
        batch_bytes: 1 + usize::from(batch),
        probe: probe.clone(),
        ..Options::default()
    };
    let world = World::new(options);
    let client = || Client { reader: world.reader(), asked: VecDeque::new(), watchers: BTreeMap::new() };
    let mut clients = [client(), client()];
    for step in steps {
        take(step, &world, &mut clients);
    }
    // Catching up one client may bring changes for the other, even where it finds nothing for itself.
    loop {
        let before = world.revision();
        let read: usize = clients.iter_mut().map(|client| client.read(&world, usize::MAX)).sum();
        if read == 0 && world.revision() == before {
            break;
        }
    }
    for client in &mut clients {
        let revision = world.revision();
        let ids: Vec<i64> = client.watchers.keys().copied().collect();
        ids.into_iter().for_each(|id| client.complete(&world, id, revision, &[]));
        assert!(client.asked.is_empty());
    }
    assert_eq!(world.hub.metrics().lagging, 0, "who read all is synced");
    assert_eq!(world.hub.metrics().watchers, clients.iter().map(|client| client.watchers.len()).sum());
}

fn take(step: Step, world: &Arc<World>, clients: &mut [Client; 2]) {
    match step {
        Step::Apply(changes) => world.apply(&changes),
        Step::Race(early, changes) => world.race(early, changes),
        Step::Install(changes) => {
            world.store(&changes);
            world.store(&changes);
            world.hub.reset(world.revision());
        }
        Step::Compact(keep) => {
            let target = world.revision() - i64::from(keep);
            if target > world.compacted_revision() {
                world.compact(target);
            }
        }
        Step::Create { stream, key, end, back, filter } => {
            let start_revision = back.map_or(0, |back| world.revision() - i64::from(back));
            let request = WatchCreateRequest {
                key: Bytes::copy_from_slice(if key == 9 { &[] } else { std::slice::from_ref(&key) }),
                range_end: Bytes::copy_from_slice(if end > 9 { &[] } else { std::slice::from_ref(&end) }),
                start_revision,
                filters: if filter < 2 { vec![i32::from(filter)] } else { vec![] },
                ..Default::default()
            };
            let client = &mut clients[usize::from(stream)];
            client.asked.push_back(request.clone());
            client.reader.create(request);
        }
        Step::Cancel { stream, id } => clients[usize::from(stream)].reader.cancel(i64::from(id)),
        Step::Progress(stream) => clients[usize::from(stream)].reader.progress(),
        Step::Read { stream, most } => {
            clients[usize::from(stream)].read(world, usize::from(most));
        }
    }
}

#[test]
fn every_watcher_gets_its_part_of_history_once_and_whole() {
    let probe = Probe::counting();
    // quickcheck takes plain functions only, so the probe is asked for in a run of its own beneath.
    fn property(steps: Vec<Step>, buffer: u8, batch: u8) -> bool {
        live(steps, buffer, batch, &Probe::default());
        true
    }
    QuickCheck::new().tests(1_500).quickcheck(property as fn(Vec<Step>, u8, u8) -> bool);
    let mut g = Gen::new(200);
    for _ in 0..100 {
        live(Vec::arbitrary(&mut g), u8::arbitrary(&mut g), u8::arbitrary(&mut g), &probe);
    }
    let reached = probe.counts();
    for name in [
        "watch: a stream was full and its watcher lags",
        "watch: a snapshot moved the watchers",
        "watch: a watcher was overtaken by compaction",
        "watch: the buffer filled up while catching up",
        "watch: progress was asked of a stream that lags",
    ] {
        assert!(reached.contains_key(name), "{name} was never reached: {reached:?}");
    }
}
