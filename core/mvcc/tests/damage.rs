//! A medium that goes bad under a running replica and between two of its lives: whatever is read is what was written, or an error
//! that says so; and a state that was fetched takes the place of a damaged one.

mod common;

use common::disk::MemDisk;
use common::*;
use kernel::KvError;
use kernel::rng::Stream;
use mvcc::{Command, Error, HashKv, Loaded, Options, Scrub, SnapshotWriter, Step, Store};
use std::sync::Arc;

const BLOCK: usize = 4096;

/// Nothing is kept in memory that could hide the medium.
fn bare() -> Options {
    Options { cache_bytes: 0, overlay_bytes: 1 << 20, checkpoint_bytes: 64 << 10, ..Options::default() }
}

fn filled() -> (Arc<MemDisk>, Store) {
    let disk = MemDisk::new();
    let store = open_with(&disk, bare());
    for n in 0..150 {
        next(&store, &put(&format!("k{:03}", n % 90), &format!("value {n} ").repeat(20)));
    }
    settle(&store);
    (disk, store)
}

/// The blocks of the file that are not all zeros.
fn used(disk: &MemDisk) -> Vec<usize> {
    let bytes = disk.bytes(PATH);
    let blocks = bytes.chunks(BLOCK).enumerate();
    blocks.filter(|(_, block)| block.iter().any(|byte| *byte != 0)).map(|(number, _)| number).collect()
}

/// Asks the store everything that needs the file; each answer must be `expected` or an error that sends clients elsewhere.
fn ask_everything(store: &Store, expected: &(HashKv, Vec<kernel::types::KeyValue>), what: &str) -> bool {
    let elsewhere = Err(KvError::state_damaged());
    let range = store.range(&all()).map(|answer| answer.kvs);
    assert!(range.as_ref() == Ok(&expected.1) || range == elsewhere, "{what}: {range:?}");
    let hash = store.hash_kv(0);
    assert!(
        hash == Ok(expected.0) || hash == elsewhere.clone().map(|_: Vec<_>| unreachable!()),
        "{what}: {hash:?}"
    );
    let events = store.events(1, usize::MAX);
    if let Ok(events) = &events {
        assert_eq!(events.len(), 150, "{what}");
    }
    let mut reader = store.snapshot();
    let mut sent = true;
    while let Ok(open) = &mut reader {
        match open.next_chunk() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => {
                sent = false;
                break;
            }
        }
    }
    range.is_ok() && hash.is_ok() && events.is_ok() && sent
}

/// Runs `spoil` on each used block of a running replica's file.
fn spoil_each(spoil: impl Fn(&MemDisk, usize), unspoil: impl Fn(&MemDisk)) {
    let (disk, store) = filled();
    let expected = (store.hash_kv(0).unwrap(), store.range(&all()).unwrap().kvs);
    drop(store);
    let sound = disk.bytes(PATH);
    let (mut noticed, mut unharmed) = (0, 0);
    for block in used(&disk) {
        let store = open_with(&disk, bare());
        let opened = disk.bytes(PATH);
        spoil(&disk, block);
        let whole = ask_everything(&store, &expected, &format!("block {block}"));
        assert_eq!(whole, store.damage().is_none(), "block {block}: {:?}", store.damage());
        let mut scrub = Scrub::new(&store);
        let found = loop {
            match scrub.step(64 << 10) {
                Step::More(_) => {}
                Step::Done => break false,
                Step::Damaged => break true,
            }
        };
        assert!(found || whole, "block {block} is damaged, and the scrub says nothing");
        *if found { &mut noticed } else { &mut unharmed } += 1;
        drop(store);
        unspoil(&disk);
        disk.change(PATH, |bytes| *bytes = opened);
    }
    disk.change(PATH, |bytes| *bytes = sound);
    assert!(noticed > 10 && noticed > unharmed, "{noticed} noticed, {unharmed} not in use");
}

#[test]
fn a_bit_that_rots_in_any_block_is_never_served() {
    spoil_each(|disk, block| disk.change(PATH, |bytes| bytes[block * BLOCK + 1234] ^= 8), |_| ());
}

#[test]
fn a_block_that_cannot_be_read_is_damage_and_no_panic() {
    spoil_each(
        |disk, block| disk.make_unreadable(PATH, Some(block * BLOCK + 512..block * BLOCK + 1024)),
        |disk| disk.make_unreadable(PATH, None),
    );
}

#[test]
fn a_write_that_went_elsewhere_is_never_served() {
    spoil_each(
        |disk, block| {
            disk.change(PATH, |bytes| {
                let other = bytes[2 * BLOCK..3 * BLOCK].to_vec();
                bytes[block * BLOCK..][..BLOCK].copy_from_slice(&other);
                // The block itself is no other.
                bytes[block * BLOCK] ^= u8::from(block == 2);
            });
        },
        |_| (),
    );
}

#[test]
fn a_write_that_never_arrived_is_never_served() {
    let (disk, store) = filled();
    let old = disk.bytes(PATH);
    for n in 0..60 {
        next(&store, &put(&format!("k{n:03}"), &format!("newer {n} ").repeat(20)));
    }
    settle(&store);
    let expected = store.range(&all()).unwrap().kvs;
    let new = disk.bytes(PATH);
    let changed =
        (0..old.len() / BLOCK).filter(|at| old[at * BLOCK..][..BLOCK] != new[at * BLOCK..][..BLOCK]);
    let mut noticed = 0;
    for block in changed {
        let target = MemDisk::new();
        let copy = open_with(&target, bare());
        receive(&target, &store).install(&copy).unwrap();
        drop(copy);
        // A file of its own, opened as it should be, and then with one block as it was.
        target.change(PATH, |bytes| *bytes = new.clone());
        let Ok(copy) = Store::open(target.clone(), PATH, bare()) else { continue };
        target.change(PATH, |bytes| {
            bytes[block * BLOCK..][..BLOCK].copy_from_slice(&old[block * BLOCK..][..BLOCK])
        });
        match copy.range(&all()) {
            Ok(answer) => assert_eq!(answer.kvs, expected, "block {block}"),
            Err(error) => {
                assert_eq!(error, KvError::state_damaged());
                noticed += 1;
            }
        }
    }
    assert!(noticed > 3, "{noticed}");
}

#[test]
fn a_start_refuses_what_rotted_or_comes_up_right() {
    let (disk, store) = filled();
    let expected = (store.state_hash(), store.hash_kv(0).unwrap());
    drop(store);
    let sound = disk.bytes(PATH);
    let blocks = used(&disk);
    let (mut refused, mut up) = (0, 0);
    for seed in 0..400 {
        let mut draws = Stream::new(seed, "rot", 0);
        for _ in 0..draws.between(1, 4) {
            let block = blocks[draws.below(blocks.len() as u64) as usize];
            let at = block * BLOCK + draws.below(BLOCK as u64) as usize;
            disk.change(PATH, |bytes| bytes[at] ^= 1 << draws.below(8));
        }
        match Store::open(disk.clone(), PATH, bare()) {
            Ok(store) => {
                // redb may fall back to the checkpoint before; then the log brings the rest.
                let found = (store.state_hash(), store.hash_kv(0).unwrap());
                assert!(found == expected || store.applied() < 150, "seed {seed}");
                up += 1;
            }
            Err(Error::Damaged(_)) => refused += 1,
            Err(other) => panic!("seed {seed}: {other}"),
        }
        disk.change(PATH, |bytes| *bytes = sound.clone());
    }
    assert!(refused > 50 && up > 20, "{refused} refused, {up} up");
}

#[test]
fn a_start_says_of_a_block_that_cannot_be_read_that_it_is_damage() {
    let (disk, store) = filled();
    drop(store);
    let mut refused = 0;
    for block in used(&disk) {
        let before = disk.bytes(PATH);
        disk.make_unreadable(PATH, Some(block * BLOCK..block * BLOCK + 1));
        match Store::open(disk.clone(), PATH, bare()) {
            Ok(_) => {}
            Err(Error::Damaged(what)) => {
                assert!(what.contains("cannot be read"), "{what}");
                refused += 1;
            }
            Err(other) => panic!("block {block}: {other}"),
        }
        disk.make_unreadable(PATH, None);
        disk.change(PATH, |bytes| *bytes = before);
    }
    assert!(refused > 10, "{refused}");
}

fn receive(disk: &Arc<MemDisk>, from: &Store) -> mvcc::Staged {
    let mut reader = from.snapshot().unwrap();
    let mut writer = SnapshotWriter::new(disk.clone(), PATH).unwrap();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write(&chunk).unwrap();
    }
    writer.finish().unwrap()
}

/// A replica and another with the same log, of which the first is damaged.
fn damaged() -> (Arc<MemDisk>, Store, Store) {
    let (_, other) = filled();
    let (disk, store) = filled();
    assert_eq!(store.state_hash(), other.state_hash());
    for block in used(&disk).into_iter().skip(1) {
        disk.change(PATH, |bytes| bytes[block * BLOCK + 77] ^= 1);
    }
    assert_eq!(store.range(&all()), Err(KvError::state_damaged()));
    (disk, store, other)
}

#[test]
fn a_fetched_state_is_brought_forward_and_takes_over() {
    let (disk, store, other) = damaged();
    let loaded: Loaded = receive(&disk, &other).load(&store).unwrap();
    // Both go on: what needs nothing that is damaged is applied.
    for n in 0..5 {
        let command = put(&format!("later{n}"), "1");
        next(&store, &command);
        next(&other, &command);
    }
    assert!(store.flush_now().unwrap().run().is_err(), "the file is lost");
    for n in 0..5 {
        let index = loaded.store().applied() + 1;
        loaded.store().apply(index, 1, &put(&format!("later{n}"), "1")).unwrap();
    }
    assert_eq!(loaded.store().state_hash(), store.state_hash());
    loaded.take_over(&store).unwrap();
    assert_eq!(store.damage(), None);
    assert_eq!((store.hash_kv(0), store.applied()), (other.hash_kv(0), other.applied()));
    settle(&store);
    let again = open(&disk.crashed(4));
    assert_eq!((again.hash_kv(0), again.state_hash()), (other.hash_kv(0), other.state_hash()));
    assert!(!again.is_installed(), "a checkpoint was made since");
}

#[test]
fn a_fetched_state_that_is_behind_does_not_take_over() {
    let (disk, store, other) = damaged();
    let loaded = receive(&disk, &other).load(&store).unwrap();
    next(&store, &put("later", "1"));
    assert!(matches!(loaded.take_over(&store), Err(Error::BadSnapshot(_))));
    assert!(store.damage().is_some());
}

#[test]
fn a_state_says_whether_a_snapshot_brought_it() {
    let (_, other) = filled();
    let disk = MemDisk::new();
    let store = open(&disk);
    receive(&disk, &other).install(&store).unwrap();
    assert!(store.is_installed());
    let again = open(&disk.crashed(1));
    assert!(again.is_installed() && again.applied() == other.applied());
    next(&again, &put("more", "1"));
    assert!(!again.is_installed());
}

#[test]
fn a_state_can_be_set_aside() {
    let (disk, store) = filled();
    drop(store);
    Store::set_aside(&*disk, PATH).unwrap();
    let store = open(&disk);
    assert_eq!((store.applied(), disk.names().len()), (0, 2), "{:?}", disk.names());
    assert!(Store::forget_aside(&*disk, PATH).unwrap());
    assert!(!Store::forget_aside(&*disk, PATH).unwrap());
    assert_eq!(disk.names(), [PATH]);
}

#[test]
fn a_scrub_of_a_sound_state_that_changes_meanwhile_finds_nothing() {
    let (disk, store) = filled();
    let mut scrub = Scrub::new(&store);
    let (mut steps, mut bytes) = (0, 0);
    loop {
        match scrub.step(8 << 10) {
            Step::More(read) => bytes += read,
            Step::Done => break,
            Step::Damaged => panic!("{:?}", store.damage()),
        }
        steps += 1;
        next(&store, &Command::Put(put_request(&format!("k{:03}", steps % 90), &"w".repeat(300))));
        if steps % 3 == 0 {
            settle(&store);
        }
    }
    assert!(bytes > 100_000 && steps > 10, "{bytes} bytes in {steps} steps");
    drop(store);
    assert_eq!(open(&disk.crashed(1)).damage(), None);
}
