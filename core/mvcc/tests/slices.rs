//! Reads of many keys on real threads, while every key changes at every revision and history is compacted behind them.

mod common;

use common::disk::MemDisk;
use common::*;
use kernel::types::RangeRequest;
use kernel::{KvError, Probe};
use mvcc::{Command, Options, Store};
use std::sync::atomic::{AtomicBool, Ordering};

const KEYS: u64 = 1_700;
const ROUNDS: u64 = 60;

/// Sets all keys to `n`, or deletes the even ones, in one revision.
fn round(n: u64) -> Command {
    let name = |k: u64| format!("k{k:05}");
    let success = (0..KEYS).map(|k| match n % 3 {
        2 if k % 2 == 0 => op_delete(&name(k), ""),
        _ => op_put(&name(k), &n.to_string()),
    });
    Command::Txn(kernel::txn::TxnRequest { compare: vec![], success: success.collect(), failure: vec![] })
}

/// A read sees one round: as many keys as it left, all of them of its revision.
fn check(store: &Store, back: i64) {
    let revision = if back == 0 { 0 } else { (store.revision() - back).max(2) };
    let answer = match store.range(&RangeRequest { revision, ..all() }) {
        Err(error) if revision > 0 => return assert_eq!(error, KvError::compacted()),
        answer => answer.unwrap(),
    };
    let newest = answer.header.unwrap().revision;
    let at = if revision == 0 { newest } else { revision };
    let left = if (at - 2) % 3 == 2 { KEYS / 2 } else { KEYS };
    assert_eq!((answer.kvs.len() as u64, answer.count as u64), (left, left), "at {at} of {newest}");
    let value = (at - 2).to_string();
    assert!(answer.kvs.iter().all(|kv| kv.mod_revision == at && kv.value == value), "at {at} of {newest}");
}

#[test]
fn long_reads_see_one_revision_while_everything_changes() {
    let probe = Probe::counting();
    let options = Options { checkpoint_bytes: 256 << 10, probe: probe.clone(), ..Options::default() };
    let store = open_with(&MemDisk::new(), options);
    next(&store, &round(0));
    let done = AtomicBool::new(false);
    let running = || !done.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..ROUNDS {
                next(&store, &round(n));
                if n % 2 == 0 {
                    next(&store, &compact(store.revision())).result.unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while running() {
                store.flush_wanted().map_or(Ok(()), mvcc::Flush::run).unwrap();
            }
        });
        for back in [0, 0, 1] {
            let store = &store;
            scope.spawn(move || {
                while running() {
                    check(store, back);
                }
            });
        }
        scope.spawn(|| {
            while running() {
                let hashed = store.hash_kv(0).unwrap();
                assert!(hashed.hash_revision >= hashed.compact_revision);
                assert_eq!(store.damage(), None);
            }
        });
    });
    assert!(probe.counts()["mvcc: a reader paused between two slices"] > 50);
    settle(&store);
    assert_eq!(store.removed_revision(), store.compacted_revision(), "no pin is left behind");
}
