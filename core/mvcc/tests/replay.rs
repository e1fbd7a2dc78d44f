//! The whole state against the napkin model, and against itself: one replica never restarts; another flushes, crashes, is
//! replaced by a snapshot, and must not differ in anything that can be seen.

mod common;

use common::disk::MemDisk;
use common::model::Model;
use common::*;
use kernel::txn::*;
use kernel::types::*;
use kernel::watch::Event;
use mvcc::{Command, HistoryError, Options, SnapshotWriter, Store};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::sync::Arc;

/// What happens to the replicas.
#[derive(Clone, Debug)]
enum Step {
    /// Both apply an entry.
    Apply(Command),
    /// Both note an entry without a command.
    Note,
    /// The wanderer flushes once.
    Flush,
    /// The wanderer takes a flush and does not run it.
    DropFlush,
    /// The wanderer loses power and starts again.
    Crash(u64),
    /// The wanderer is replaced by a snapshot of the other.
    Snapshot,
}

fn small_key(g: &mut Gen) -> String {
    let keys = ["a", "a/1", "a/2", "b", "b/\u{7f}", "c", "zz"];
    (*g.choose(&keys).unwrap()).to_string()
}

fn arbitrary_put(g: &mut Gen) -> PutRequest {
    let (ignore_value, ignore_lease) =
        (u8::arbitrary(g).is_multiple_of(8), u8::arbitrary(g).is_multiple_of(8));
    let lease = if ignore_lease || u8::arbitrary(g) % 4 > 0 { 0 } else { i64::from(u8::arbitrary(g) % 4) };
    let value = if ignore_value { String::new() } else { format!("{}", u8::arbitrary(g)) };
    PutRequest { lease, ignore_value, ignore_lease, ..put_request(&small_key(g), &value) }
}

fn arbitrary_range_end(g: &mut Gen) -> String {
    match u8::arbitrary(g) % 4 {
        0 | 1 => String::new(),
        2 => "\0".to_string(),
        _ => small_key(g),
    }
}

fn arbitrary_txn(g: &mut Gen, depth: usize) -> TxnRequest {
    let compare = match u8::arbitrary(g) % 3 {
        0 => vec![],
        1 => vec![value_is(&small_key(g), &format!("{}", u8::arbitrary(g) % 16))],
        _ => {
            let side = TargetUnion::Version(i64::from(u8::arbitrary(g) % 4));
            let mut versions = condition(&small_key(g), CompareTarget::Version, CompareResult::Less, side);
            versions.range_end = key(&arbitrary_range_end(g));
            vec![versions]
        }
    };
    let branch = |g: &mut Gen| (0..usize::arbitrary(g) % 4).map(|_| arbitrary_op(g, depth)).collect();
    TxnRequest { compare, success: branch(g), failure: branch(g) }
}

fn arbitrary_op(g: &mut Gen, depth: usize) -> RequestOp {
    match u8::arbitrary(g) % 6 {
        0 => {
            let mut op = op_get(&small_key(g), &arbitrary_range_end(g));
            if let Some(Op::RequestRange(range)) = &mut op.request {
                range.revision = i64::from(u8::arbitrary(g) % 24);
            }
            op
        }
        1 => op_delete(&small_key(g), &arbitrary_range_end(g)),
        2 if depth > 0 => op_txn(arbitrary_txn(g, depth - 1)),
        _ => RequestOp { request: Some(Op::RequestPut(arbitrary_put(g))) },
    }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let lease = |g: &mut Gen| i64::from(u8::arbitrary(g) % 3) + 1;
        Step::Apply(match u8::arbitrary(g) % 24 {
            0..=7 => Command::Put(arbitrary_put(g)),
            8..=10 => delete(&small_key(g), &arbitrary_range_end(g)),
            11..=13 => Command::Txn(arbitrary_txn(g, 2)),
            14 | 15 => compact(i64::from(u8::arbitrary(g) % 32) + 1),
            16 => Command::lease_grant(lease(g), 60),
            17 => Command::lease_revoke(lease(g)),
            18 => return Step::Note,
            19 | 20 => return Step::Flush,
            21 => return Step::DropFlush,
            22 => return Step::Crash(u64::arbitrary(g)),
            _ => return Step::Snapshot,
        })
    }
}

/// A replica, its disk, and the log from which it recovers.
struct Wanderer {
    disk: Arc<MemDisk>,
    store: Store,
    log: Vec<Option<Command>>,
}

impl Wanderer {
    fn options() -> Options {
        Options {
            cache_bytes: 1 << 20,
            overlay_bytes: 4 << 10,
            checkpoint_bytes: 1 << 10,
            ..Options::default()
        }
    }

    fn new() -> Self {
        let disk = MemDisk::new();
        let store = open_with(&disk, Self::options());
        Wanderer { disk, store, log: Vec::new() }
    }

    fn crash(&mut self, seed: u64) {
        let durable = self.store.checkpointed();
        self.disk = self.disk.crashed(seed);
        self.store = open_with(&self.disk, Self::options());
        assert_eq!(self.store.applied(), durable, "the state is the last checkpoint");
        assert_eq!(self.store.checkpointed(), durable);
        for (index, entry) in (1..).zip(&self.log) {
            match entry {
                _ if index <= durable => {}
                Some(command) => drop(self.store.apply(index, 1, command).unwrap()),
                None => self.store.note_applied(index, 1, Some(key("members"))),
            }
        }
    }

    fn take_snapshot(&self, of: &Store) {
        let mut reader = of.snapshot().unwrap();
        let mut writer = SnapshotWriter::new(self.disk.clone(), PATH).unwrap();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            writer.write(&chunk).unwrap();
        }
        let staged = writer.finish().unwrap();
        assert_eq!(staged.applied(), of.applied());
        staged.install(&self.store).unwrap();
        assert_eq!(self.disk.names(), [PATH], "nothing else is left");
    }
}

fn events_since(store: &Store, from: i64) -> Result<Vec<(i64, Vec<Event>)>, HistoryError> {
    let mut all: Vec<(i64, Vec<Event>)> = Vec::new();
    loop {
        let from = all.last().map_or(from, |(main, _)| main + 1);
        let more = store.events(from, 200)?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

/// Everything of `store` that can be seen, against the model.
fn check(store: &Store, model: &Model) {
    assert_eq!((store.revision(), store.compacted_revision()), (model.revision, model.compacted));
    for revision in 0..=model.revision + 1 {
        let request = RangeRequest { revision, ..all() };
        assert_eq!(store.range(&request), model.range(&request), "at revision {revision}");
    }
    let from = model.compacted.max(2);
    let events: Vec<_> = model.events.range(from..).map(|(main, events)| (*main, events.clone())).collect();
    assert_eq!(events_since(store, from), Ok(events), "from {from}");
    if model.compacted > 1 {
        assert_eq!(store.events(model.compacted - 1, 1), Err(HistoryError::Compacted(model.compacted)));
    }
    for (main, events) in model.events.range(model.compacted + 1..) {
        for event in events {
            let key = &event.kv.as_ref().unwrap().key;
            let before = model.at(main - 1).get(key).cloned();
            assert_eq!(store.prev_kv(key, *main).unwrap(), before, "before {main}");
        }
    }
    assert_eq!(store.leases(), model.leases.clone().into_iter().collect::<Vec<_>>());
    for id in model.leases.keys() {
        let attached =
            model.at(model.revision).values().filter(|kv| kv.lease == *id).map(|kv| kv.key.clone());
        assert_eq!(store.lease(*id).unwrap().keys, attached.collect::<Vec<_>>());
    }
}

fn agree(a: &Store, b: &Store) {
    assert_eq!((a.applied(), a.revision(), a.state_hash()), (b.applied(), b.revision(), b.state_hash()));
    assert_eq!(a.conf_state(), b.conf_state());
    assert_eq!(a.hash(), b.hash());
    for revision in a.compacted_revision().max(1)..=a.revision() {
        assert_eq!(a.hash_kv(revision), b.hash_kv(revision));
    }
    assert_eq!((a.damage(), b.damage()), (None, None));
}

fn run(steps: Vec<Step>) -> bool {
    let (mut model, steady, mut wanderer) = (Model::new(), open(&MemDisk::new()), Wanderer::new());
    for step in steps {
        match step {
            Step::Apply(command) => {
                wanderer.log.push(Some(command.clone()));
                let applied = next(&wanderer.store, &command);
                assert_eq!(applied, next(&steady, &command), "replicas answer alike");
                let expected = model.apply(&command);
                assert_eq!(applied.result.clone().err(), expected.clone().err(), "{command:?}");
                assert_eq!(applied.events, expected.unwrap_or_default());
            }
            Step::Note => {
                wanderer.log.push(None);
                for store in [&steady, &wanderer.store] {
                    store.note_applied(store.applied() + 1, 1, Some(key("members")));
                }
            }
            Step::Flush => {
                if let Some(flush) = wanderer.store.flush_now() {
                    assert!(wanderer.store.flush_now().is_none(), "one flush at a time");
                    flush.run().unwrap();
                    assert_eq!(wanderer.store.checkpointed(), wanderer.store.applied());
                }
            }
            Step::DropFlush => drop(wanderer.store.flush_now()),
            Step::Crash(seed) => wanderer.crash(seed),
            Step::Snapshot => wanderer.take_snapshot(&steady),
        }
    }
    check(&steady, &model);
    check(&wanderer.store, &model);
    agree(&steady, &wanderer.store);
    settle(&wanderer.store);
    assert_eq!(wanderer.store.removed_revision(), model.compacted, "compaction ends");
    check(&wanderer.store, &model);
    agree(&steady, &wanderer.store);
    true
}

#[test]
fn replicas_agree_with_the_model_and_with_each_other() {
    let mut qc = QuickCheck::new().tests(400).rng(Gen::from_size_and_seed(60, 1));
    if let Some(tests) = option_env!("ORLOP_QUICKCHECK_TESTS").and_then(|text| text.parse().ok()) {
        qc = qc.tests(tests);
    }
    qc.quickcheck(run as fn(Vec<Step>) -> bool);
}
