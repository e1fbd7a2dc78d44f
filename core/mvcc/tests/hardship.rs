//! A disk that is full, a disk that rots, a snapshot that is damaged on its way, and threads that do everything at once.

mod common;

use common::disk::MemDisk;
use common::*;
use kernel::KvError;
use mvcc::{Command, Error, HistoryError, Options, SnapshotWriter, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn small() -> Options {
    Options { cache_bytes: 1 << 20, overlay_bytes: 32 << 10, checkpoint_bytes: 4 << 10, ..Options::default() }
}

#[test]
fn a_full_disk_loses_nothing_and_is_tried_again() {
    let disk = MemDisk::new();
    let store = open_with(&disk, small());
    next(&store, &put("before", "1"));
    settle(&store);
    for room in [0, 600, 5_000, 9_000] {
        disk.set_room(room);
        for n in 0..40 {
            next(&store, &put(&format!("k{n}"), &"v".repeat(500)));
        }
        let refused = store.flush_wanted().expect("4 KiB are behind").run();
        assert!(matches!(refused, Err(Error::Full(_))), "{refused:?} with room for {room}");
        assert_eq!(store.range(&all()).unwrap().count, 41, "reads go on");
        assert_eq!(store.range(&get_request("before", "")).unwrap().kvs.len(), 1, "also from the file");
    }
    assert!(store.overlay_full(), "no more writes are taken in");
    let before = (store.hash_kv(0), store.applied());
    disk.set_room(u64::MAX);
    settle(&store);
    assert_eq!(store.checkpointed(), store.applied());
    assert!(!store.overlay_full());
    drop(store);
    let again = open(&disk.crashed(7));
    assert_eq!((again.hash_kv(0), again.applied()), before);
}

/// Power goes at every write of the very first start: the next start is as good as a first one.
#[test]
fn a_first_start_that_is_cut_short_is_begun_again() {
    for writes in 0.. {
        let disk = MemDisk::new();
        disk.cut_after(writes);
        let opened = Store::open(disk.clone(), PATH, small());
        let ended = opened.is_ok();
        drop(opened);
        for seed in 0..8 {
            let store = open(&disk.crashed(seed));
            assert_eq!((store.applied(), store.revision()), (0, 1));
        }
        if ended {
            assert!(writes > 3, "a start writes more than {writes} times");
            return;
        }
    }
}

/// Power goes at every write of a checkpoint: the next start finds the checkpoint before it or this one, whole.
#[test]
fn a_flush_that_is_cut_short_leaves_a_whole_checkpoint() {
    let mut outcomes = [0, 0];
    for changes in 0.. {
        let disk = MemDisk::new();
        let store = open_with(&disk, small());
        let hash_at = |store: &Store| (store.applied(), store.state_hash(), store.hash_kv(0).unwrap());
        (0..20).for_each(|n| drop(next(&store, &put(&format!("k{}", n % 7), &"v".repeat(300)))));
        settle(&store);
        let before = hash_at(&store);
        (0..40).for_each(|n| drop(next(&store, &put(&format!("k{}", n % 9), &"w".repeat(300)))));
        next(&store, &compact(30)).result.unwrap();
        let after = hash_at(&store);
        disk.cut_after(changes);
        let ended = store.flush_now().unwrap().run().is_ok();
        for seed in 0..8 {
            let found = hash_at(&open(&disk.crashed(seed)));
            assert!(
                found == after || !ended && found == before,
                "cut after {changes}, seed {seed}: {found:?}"
            );
            outcomes[usize::from(found == after)] += 1;
        }
        if ended {
            assert!(outcomes.iter().all(|times| *times > 0), "both ends were met: {outcomes:?}");
            return;
        }
    }
}

#[test]
fn a_value_that_rots_is_never_served() {
    let disk = MemDisk::new();
    let store = open(&disk);
    next(&store, &put("good", "kept"));
    next(&store, &put("bad", "the value that rots"));
    settle(&store);
    drop(store);
    // A page that was never read: the cache of the first handle is gone.
    assert!(disk.rot("state/db", b"the value that rots") > 0);
    match Store::open(disk, PATH, small()) {
        // A start checks every page before it reads a row.
        Err(Error::Damaged(what)) => assert!(what.contains("corrupted"), "{what}"),
        other => panic!("{:?} from a rotten file", other.map(|store| store.range(&all()))),
    }
}

#[test]
fn a_row_that_rots_under_a_running_replica_is_not_served() {
    let disk = MemDisk::new();
    let store = open_with(&disk, Options { cache_bytes: 0, ..small() });
    next(&store, &put("bad", "the value that rots"));
    settle(&store);
    assert!(disk.rot("state/db", b"the value that rots") > 0);
    assert_eq!(store.damage(), None);
    assert_eq!(store.range(&all()), Err(KvError::state_damaged()));
    assert!(store.damage().unwrap().contains("are not what was written there"));
    assert_eq!(store.events(2, 1), Err(HistoryError::Failed(KvError::state_damaged())));
    let before = (store.applied(), store.state_hash());
    let keep = kernel::types::PutRequest { ignore_value: true, ..put_request("bad", "") };
    let error = store.apply(2, 1, &Command::Put(keep)).unwrap_err();
    assert!(store.is_damage(&error), "{error}");
    assert_eq!((store.applied(), store.state_hash()), before, "nothing has changed");
}

fn chunks(store: &Store) -> Vec<Vec<u8>> {
    let mut reader = store.snapshot().unwrap();
    std::iter::from_fn(|| reader.next_chunk().unwrap()).map(|chunk| chunk.to_vec()).collect()
}

fn receive(disk: &Arc<MemDisk>, chunks: &[Vec<u8>]) -> Result<mvcc::Staged, Error> {
    let mut writer = SnapshotWriter::new(disk.clone(), PATH)?;
    chunks.iter().try_for_each(|chunk| writer.write(chunk))?;
    writer.finish()
}

fn filled(keys: usize) -> (Arc<MemDisk>, Store) {
    let disk = MemDisk::new();
    let store = open(&disk);
    next(&store, &Command::lease_grant(3, 60));
    for n in 0..keys {
        next(&store, &put_leased(&format!("k{n}"), &"v".repeat(1000), 3));
        if n == keys / 2 {
            settle(&store);
        }
    }
    (disk, store)
}

#[test]
fn a_snapshot_that_is_damaged_on_its_way_is_refused() {
    let (_, store) = filled(600);
    let whole = chunks(&store);
    assert!(whole.len() >= 3, "{} chunks", whole.len());
    let target = MemDisk::new();
    let mut bad = Vec::new();
    bad.push(whole[..whole.len() - 1].to_vec());
    bad.push(whole[1..].to_vec());
    bad.push([&whole[..1], &whole[..]].concat());
    let mut swapped = whole.clone();
    swapped.swap(0, 1);
    bad.push(swapped);
    for place in [0, 5, 100] {
        let mut flipped = whole.clone();
        flipped[1][place] ^= 1;
        bad.push(flipped);
    }
    bad.push(vec![]);
    for (number, chunks) in bad.iter().enumerate() {
        let refused = receive(&target, chunks).map(|_| ());
        assert!(matches!(refused, Err(Error::BadSnapshot(_))), "case {number}: {refused:?}");
    }
    let other = open(&target);
    assert_eq!(
        (other.applied(), target.names()),
        (0, vec![PATH.to_string()]),
        "leftovers go at the next start"
    );
    receive(&target, &whole).unwrap().install(&other).unwrap();
    assert_eq!((other.hash_kv(0), other.state_hash()), (store.hash_kv(0), store.state_hash()));
    assert_eq!(other.lease(3), store.lease(3));
}

#[test]
fn a_snapshot_survives_a_crash_right_after_it_was_installed() {
    let (_, store) = filled(20);
    let target = MemDisk::new();
    let other = open(&target);
    receive(&target, &chunks(&store)).unwrap().install(&other).unwrap();
    let again = open(&target.crashed(1));
    assert_eq!((again.hash_kv(0), again.applied()), (store.hash_kv(0), store.applied()));
}

#[test]
fn a_flush_of_the_state_that_a_snapshot_replaced_does_nothing() {
    let (_, store) = filled(20);
    let target = MemDisk::new();
    let other = open(&target);
    next(&other, &put("mine", "1"));
    let flush = other.flush_now().unwrap();
    receive(&target, &chunks(&store)).unwrap().install(&other).unwrap();
    let later = other.flush_now();
    flush.run().unwrap();
    assert!(later.is_none(), "what was installed is durable");
    assert_eq!((other.hash_kv(0), other.applied()), (store.hash_kv(0), store.applied()));
    next(&other, &put("more", "1"));
    settle(&other);
    assert_eq!(open(&target.crashed(2)).hash_kv(0), other.hash_kv(0));
}

#[test]
fn a_snapshot_of_the_past_is_refused() {
    let (_, store) = filled(5);
    let old = chunks(&store);
    next(&store, &put("newer", "1"));
    let target = MemDisk::new();
    let other = open(&target);
    receive(&target, &chunks(&store)).unwrap().install(&other).unwrap();
    let refused = receive(&target, &old).unwrap().install(&other);
    assert!(matches!(refused, Err(Error::BadSnapshot(_))), "{refused:?}");
    assert_eq!(other.hash_kv(0), store.hash_kv(0));
}

#[test]
fn a_snapshot_is_of_one_moment_whatever_happens_after() {
    let (_, store) = filled(600);
    let (hash, applied) = (store.hash_kv(0), store.applied());
    let mut reader = store.snapshot().unwrap();
    let target = MemDisk::new();
    let other = open(&target);
    let mut writer = SnapshotWriter::new(target.clone(), PATH).unwrap();
    let mut round = 0;
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write(&chunk).unwrap();
        next(&store, &delete(&format!("k{round}"), ""));
        next(&store, &compact(store.revision())).result.unwrap();
        settle(&store);
        round += 1;
    }
    writer.finish().unwrap().install(&other).unwrap();
    assert_eq!((other.hash_kv(0), other.applied()), (hash, applied));
}

#[test]
fn compaction_goes_on_after_a_crash_and_gives_the_room_back() {
    let disk = MemDisk::new();
    let store = open_with(&disk, small());
    for n in 0..5_000 {
        next(&store, &put(&format!("k{}", n % 10), &format!("{n}")));
    }
    settle(&store);
    next(&store, &compact(4_990)).result.unwrap();
    let full = store.sizes().in_use;
    store.flush_wanted().expect("compaction is work").run().unwrap();
    assert_eq!(store.removed_revision(), 0, "one step does not remove 4,979 rows");
    let store = open_with(&disk.crashed(3), small());
    assert_eq!((store.compacted_revision(), store.removed_revision()), (4_990, 0));
    while let Some(flush) = store.flush_wanted() {
        flush.run().unwrap();
    }
    assert_eq!(store.removed_revision(), 4_990);
    assert!(store.sizes().in_use < full / 100, "{} of {full} bytes are left", store.sizes().in_use);
    assert_eq!(store.range(&all()).unwrap().count, 10);
}

/// A writer, a flusher, readers and a sender of snapshots on real threads: every reader sees whole revisions.
#[test]
fn threads_see_whole_revisions() {
    let disk = MemDisk::new();
    let store = open_with(&disk, small());
    next(&store, &put("left", "0"));
    next(&store, &put("right", "0"));
    let done = AtomicBool::new(false);
    let both = |n: u64| {
        let success = vec![op_put("left", &n.to_string()), op_put("right", &n.to_string())];
        Command::Txn(kernel::txn::TxnRequest { compare: vec![], success, failure: vec![] })
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..4_000 {
                next(&store, &both(n));
                if n.is_multiple_of(500) {
                    next(&store, &compact(store.revision() - 100));
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.flush_wanted().map_or(Ok(()), mvcc::Flush::run).unwrap();
            }
        });
        for back in [0, 40] {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let revision = if back == 0 { 0 } else { (store.revision() - back).max(3) };
                    let request = kernel::types::RangeRequest { revision, ..all() };
                    let kvs = match store.range(&request) {
                        Err(error) => {
                            assert_eq!(error, KvError::compacted());
                            continue;
                        }
                        Ok(answer) => answer.kvs,
                    };
                    assert_eq!(kvs[0].value, kvs[1].value, "both sides of one revision");
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert!(!chunks(&store).is_empty());
            }
        });
    });
    settle(&store);
    let again = open(&{ disk.crashed(5) });
    assert_eq!((again.hash_kv(0), again.state_hash()), (store.hash_kv(0), store.state_hash()));
}
