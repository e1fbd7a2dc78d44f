#[path = "../../tests/common/disk.rs"]
#[allow(dead_code, reason = "the tests of the whole state use all of it")]
mod disk;

use super::*;
use crate::{Command, Options, SnapshotWriter, Store};
use disk::MemDisk;
use kernel::Probe;
use kernel::types::*;
use quickcheck::{Arbitrary, Gen, quickcheck};

const PAUSED: &str = "mvcc: a reader paused between two slices";

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete(u8, u8),
    Compact(u8),
    Flush,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let key = u8::arbitrary(g) % 12;
        match u8::arbitrary(g) % 8 {
            0..4 => Step::Put(key),
            4 => Step::Delete(key, key + 1 + u8::arbitrary(g) % 4),
            5 => Step::Compact(u8::arbitrary(g) % 4),
            _ => Step::Flush,
        }
    }
}

fn open(probe: Probe) -> Store {
    let options = Options { cache_bytes: 1 << 20, probe, ..Options::default() };
    Store::open(MemDisk::new(), "db", options).unwrap()
}

fn apply(store: &Store, command: &Command) {
    // A compaction may be refused; that is an entry all the same.
    let _ = store.apply(store.applied() + 1, 1, command).unwrap();
}

fn put(key: &[u8], value: String) -> Command {
    let key = key.to_vec().into();
    Command::Put(PutRequest { key, value: value.into(), ..Default::default() })
}

fn compact(revision: i64) -> Command {
    Command::Compact(CompactionRequest { revision, physical: false })
}

fn settle(store: &Store) {
    while let Some(flush) = store.flush_now() {
        flush.run().unwrap();
    }
}

fn play(store: &Store, step: &Step) {
    match *step {
        Step::Put(key) => apply(store, &put(&[key], store.applied().to_string())),
        Step::Delete(from, end) => {
            let (key, range_end) = (vec![from].into(), vec![end].into());
            apply(store, &Command::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv: false }));
        }
        Step::Compact(back) => apply(store, &compact(store.revision() - i64::from(back))),
        // Compaction takes several flushes: this is one.
        Step::Flush => store.flush_now().map_or(Ok(()), crate::Flush::run).unwrap(),
    }
}

fn everything(revision: i64) -> RangeRequest {
    let all = || vec![0].into();
    RangeRequest { key: all(), range_end: all(), revision, ..Default::default() }
}

/// Walks as [`Moment::collect_from`] does, in slices of `most`, with `steps` played in the pauses.
fn walk<'s>(
    store: &Store,
    moment: &Moment<'s>,
    state: Locked<'s>,
    at: i64,
    most: usize,
    mut steps: impl FnMut(),
) -> Result<Vec<KeyValue>, Error> {
    let (mut state, mut spots) = (state, Vec::new());
    let mut walk = Walk::new(Span::new(&[0], &[0]), at);
    while !walk.step(&state, most, |_, seen| spots.push(state.spot(seen.at))) {
        moment.pause(state);
        steps();
        state = moment.resume()?;
    }
    let wanted = state.want(spots)?;
    drop(state);
    steps();
    assert!(store.damage().is_none());
    wanted.fetch()
}

quickcheck! {
    fn a_walk_that_others_interrupt_is_of_its_revision(
        before: Vec<Step>, between: Vec<Vec<Step>>, most: u8, back: u8
    ) -> bool {
        let store = open(Probe::default());
        before.iter().for_each(|step| play(&store, step));
        let at = (store.revision() - i64::from(back % 6)).max(store.compacted_revision()).max(1);
        let naive = store.range(&everything(at)).unwrap().kvs;
        let newest = store.range(&everything(0)).unwrap().kvs;
        let mut between = between.iter();
        let mut play_next = || between.next().into_iter().flatten().for_each(|step| play(&store, step));
        for (revision, expected) in [(at, naive), (0, newest)] {
            // The second walk begins when much has changed, so what it should see is asked for again.
            let expected = if revision == 0 { store.range(&everything(0)).unwrap().kvs } else { expected };
            let (moment, state) = Moment::begin(&store.shared);
            let at = moment.readable(revision).unwrap();
            let found = walk(&store, &moment, state, at, 1 + usize::from(most % 5), &mut play_next).unwrap();
            assert_eq!(found, expected, "at {at} of {}", store.revision());
        }
        settle(&store);
        store.removed_revision() == store.compacted_revision()
    }
}

#[test]
fn compaction_waits_for_the_reader_and_not_for_the_next() {
    let store = open(Probe::default());
    (0..4).for_each(|_| apply(&store, &put(b"k", "v".to_string())));
    settle(&store);
    let old = Moment::pinned(&store.shared);
    apply(&store, &compact(5));
    let new = Moment::pinned(&store.shared);
    settle(&store);
    assert_eq!((store.compacted_revision(), store.removed_revision()), (5, 0));
    assert!(store.flush_wanted().is_none(), "there is nothing to do until the reader is through");
    assert_eq!((old.readable(2), new.readable(2)), (Ok(2), Err(KvError::compacted())));
    let wish = Wish {
        span: Span::new(b"k", b""),
        at: 2,
        enough: 1,
        pick: |state: &State, _: &[u8], seen: Seen| Some(state.spot(seen.at)),
    };
    assert_eq!(old.collect(&wish).unwrap().1[0].mod_revision, 2);
    drop(old);
    settle(&store);
    assert_eq!(store.removed_revision(), 5, "a reader that came later holds nothing back");
    drop(new);
}

#[test]
fn a_walk_whose_state_was_replaced_begins_again() {
    let (store, other) = (open(Probe::default()), MemDisk::new());
    (0..6u8).for_each(|key| apply(&store, &put(&[key + 1], "v".to_string())));
    let probe = Probe::counting();
    let options = Options { probe: probe.clone(), ..Options::default() };
    let target = Store::open(other.clone(), "db", options).unwrap();
    apply(&target, &put(b"mine", "v".to_string()));
    let install = || {
        let mut reader = store.snapshot().unwrap();
        let mut writer = SnapshotWriter::new(other.clone(), "db").unwrap();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            writer.write(&chunk).unwrap();
        }
        writer.finish().unwrap().install(&target).unwrap();
    };
    let attempts = Cell::new(0);
    let found = target.shared.steadily(|| {
        attempts.set(attempts.get() + 1);
        let (moment, state) = Moment::begin(&target.shared);
        let first = attempts.get() == 1;
        let found = walk(&target, &moment, state, moment.revision, 1, || {
            if first && attempts.replace(2) == 1 {
                install();
            }
        })?;
        Ok((moment.revision, found.len()))
    });
    assert_eq!((found.unwrap(), attempts.get()), ((7, 6), 3), "once on the old state, once on the new");
    let counts = probe.counts();
    assert_eq!(counts.get("mvcc: a read began again on the file opened anew"), Some(&1), "{counts:?}");
}

#[test]
fn no_read_holds_the_lock_for_more_than_a_slice() {
    let probe = Probe::counting();
    let store = open(probe.clone());
    let keys = 5 * SLICE_KEYS + 1;
    for n in 0..keys {
        apply(&store, &put(format!("k{n:06}").as_bytes(), n.to_string()));
    }
    let mut seen = 0;
    let mut pauses = |what: &str, expected: u64| {
        let count = probe.counts().get(PAUSED).copied().unwrap_or(0);
        assert_eq!(count - seen, expected, "{what}");
        seen = count;
    };
    let count = store.range(&RangeRequest { count_only: true, ..everything(0) }).unwrap().count;
    assert_eq!(count, keys as i64);
    pauses("a count", 5);
    let few = store.range(&RangeRequest { limit: 3, ..everything(0) }).unwrap();
    assert_eq!((few.kvs.len(), few.count, few.more), (3, keys as i64, true));
    pauses("a count beyond a limit", 5);
    store.range(&RangeRequest { key: "k000007".into(), ..Default::default() }).unwrap();
    pauses("a get", 0);
    let op = kernel::txn::Op::RequestRange(everything(0));
    let success = vec![kernel::txn::RequestOp { request: Some(op) }];
    store.read_txn(&kernel::txn::TxnRequest { compare: vec![], success, failure: vec![] }).unwrap();
    pauses("a reading transaction", 5);
    store.hash_kv(0).unwrap();
    pauses("a hash: six slices, and the look at what there is", 7);
}
