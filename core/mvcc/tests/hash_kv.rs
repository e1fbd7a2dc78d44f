//! HashKV against a real etcd 3.5.1: the numbers are what its `endpoint hashkv` said for this very history.

mod common;

use common::disk::MemDisk;
use common::*;
use kernel::txn::TxnRequest;
use kernel::types::ResponseHeader;
use kernel::{Code, KvError};
use mvcc::{Command, Response, Store};

/// One step of the history, or a question and etcd's answer to it.
enum Step {
    Do(Command),
    Hash { at: i64, hash: u32, compacted: i64 },
}

fn hash(at: i64, hash: u32, compacted: i64) -> Step {
    Step::Hash { at, hash, compacted }
}

fn transaction() -> Command {
    let inner = TxnRequest {
        compare: vec![version_is("d", 0)],
        success: vec![op_put("f", "inner"), op_get("f", "")],
        failure: vec![op_put("f", "wrong")],
    };
    Command::Txn(TxnRequest {
        compare: vec![value_is("a", "3")],
        success: vec![op_put("d", "1"), op_get("d", ""), op_put("e", "2"), op_delete("a", ""), op_txn(inner)],
        failure: vec![],
    })
}

fn history() -> Vec<Step> {
    use Step::Do;
    vec![
        hash(0, 1084519789, -1),
        Do(put("a", "1")),
        Do(put("b", "2")),
        Do(put("a", "3")),
        hash(0, 2069675932, -1),
        Do(delete("b", "")),
        hash(0, 1125682900, -1),
        Do(Command::lease_grant(7, 1000)),
        Do(put_leased("c", "x", 7)),
        Do(put_leased("c/2", "y", 7)),
        hash(0, 1882242028, -1),
        Do(transaction()),
        hash(0, 2406389232, -1),
        hash(3, 1827592406, -1),
        hash(4, 2069675932, -1),
        hash(6, 1163067898, -1),
        Do(compact(4)),
        hash(0, 3262791267, 4),
        hash(5, 1468967122, 4),
        hash(6, 897220960, 4),
        Do(put("d", "9")),
        Do(put("b", "again")),
        hash(0, 105982449, 4),
        // The delete of b is exactly at the compacted revision.
        Do(compact(5)),
        hash(0, 3931863702, 5),
        hash(6, 2614931744, 5),
        Do(compact(8)),
        hash(0, 2649811833, 8),
        Do(Command::lease_revoke(7)),
        hash(0, 263060291, 8),
        // Nothing is left: what compaction left on disk counts.
        Do(delete("\0", "\0")),
        hash(0, 1621616299, 8),
        Do(put("z", "1")),
        hash(0, 1338285286, 8),
        Do(compact(13)),
        hash(0, 765405192, 13),
        Do(delete("z", "")),
        hash(0, 1495317303, 13),
        Do(compact(14)),
        hash(0, 1084519789, 14),
        Do(put("y", "1")),
        hash(0, 2220250611, 14),
    ]
}

fn run(after_each: impl Fn(&Store)) {
    let store = open(&MemDisk::new());
    for (number, step) in history().into_iter().enumerate() {
        match step {
            Step::Do(command) => {
                next(&store, &command).result.unwrap();
                after_each(&store);
            }
            Step::Hash { at, hash, compacted } => {
                let got = store.hash_kv(at).unwrap();
                assert_eq!((got.hash, got.compact_revision), (hash, compacted), "step {number}");
            }
        }
    }
}

#[test]
fn equals_etcds_with_everything_in_memory() {
    run(|_| ());
}

#[test]
fn equals_etcds_with_everything_in_the_file() {
    run(settle);
}

#[test]
fn equals_etcds_with_compaction_half_done() {
    run(|store| {
        if let Some(flush) = store.flush_now() {
            drop(flush);
        }
    });
}

#[test]
fn refuses_what_is_compacted_or_not_there_yet() {
    let store = open(&MemDisk::new());
    next(&store, &put("a", "1"));
    next(&store, &put("a", "2"));
    next(&store, &compact(3)).result.unwrap();
    assert_eq!(store.hash_kv(2).unwrap_err(), KvError::compacted());
    assert_eq!(store.hash_kv(4).unwrap_err(), KvError::future_revision());
    assert_eq!(store.hash_kv(4).unwrap_err().code, Code::OutOfRange);
}

/// The same transaction's answer, as the real etcd gave it.
#[test]
fn a_nested_transaction_answers_as_etcd_does() {
    let store = open(&MemDisk::new());
    for command in [put("a", "1"), put("b", "2"), put("a", "3"), delete("b", "")] {
        next(&store, &command).result.unwrap();
    }
    let Response::Txn(outer) = next(&store, &transaction()).result.unwrap() else {
        panic!("a transaction was asked")
    };
    let revision = |main| Some(ResponseHeader { revision: main, ..Default::default() });
    assert_eq!((outer.succeeded, outer.header), (true, revision(6)));
    let Some(kernel::txn::OpResponse::ResponseRange(range)) = &outer.responses[1].response else {
        panic!("a range")
    };
    assert_eq!((range.header, range.count, range.kvs[0].mod_revision), (revision(6), 1, 6));
    let Some(kernel::txn::OpResponse::ResponseTxn(inner)) = &outer.responses[4].response else {
        panic!("inner")
    };
    assert_eq!((inner.succeeded, inner.header), (true, revision(0)));
}
