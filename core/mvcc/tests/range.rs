//! Ranges with every option against filtering by hand, and transactions that read what they write.

mod common;

use common::disk::MemDisk;
use common::model::Model;
use common::*;
use kernel::KvError;
use kernel::txn::*;
use kernel::types::*;
use mvcc::{Command, Response, Store};
use quickcheck::{Arbitrary, Gen, QuickCheck};

#[derive(Clone, Debug)]
struct Asked(RangeRequest);

impl Arbitrary for Asked {
    fn arbitrary(g: &mut Gen) -> Self {
        let keys = ["a", "b", "c", "d", "e", "\0"];
        let pick = |g: &mut Gen| key(g.choose(&keys).unwrap());
        let bound = |g: &mut Gen| if bool::arbitrary(g) { 0 } else { i64::from(u8::arbitrary(g) % 24) };
        Asked(RangeRequest {
            key: pick(g),
            range_end: if bool::arbitrary(g) { pick(g) } else { key("\0") },
            limit: i64::from(u8::arbitrary(g) % 5) - 1,
            revision: if bool::arbitrary(g) { 0 } else { i64::from(u8::arbitrary(g) % 28) },
            sort_order: i32::from(u8::arbitrary(g) % 3),
            sort_target: i32::from(u8::arbitrary(g) % 5),
            keys_only: bool::arbitrary(g),
            count_only: u8::arbitrary(g).is_multiple_of(4),
            min_mod_revision: bound(g),
            max_mod_revision: bound(g),
            min_create_revision: bound(g),
            max_create_revision: bound(g),
            ..Default::default()
        })
    }
}

/// Puts and deletes on five keys; half of them in the file, the history before revision 6 compacted.
fn filled() -> (Store, Model) {
    let (store, mut model) = (open(&MemDisk::new()), Model::new());
    let mut apply = |command: Command| {
        next(&store, &command).result.unwrap();
        model.apply(&command).unwrap();
    };
    apply(Command::lease_grant(5, 60));
    for n in 0..24 {
        let k = ["a", "b", "c", "d", "e"][n * n % 5];
        match n % 7 {
            3 => apply(delete(k, "")),
            5 => apply(put_leased(k, &format!("{}", 100 - n), 5)),
            _ => apply(put(k, &format!("{}", 100 - n))),
        }
        if n == 12 {
            settle(&store);
        }
    }
    apply(compact(6));
    (store, model)
}

#[test]
fn every_option_selects_what_filtering_by_hand_does() {
    let (store, model) = filled();
    let prop = move |Asked(request): Asked| {
        assert_eq!(store.range(&request), model.range(&request));
        true
    };
    QuickCheck::new().tests(5_000).quickcheck_any(prop);
}

trait Any {
    fn quickcheck_any(self, prop: impl Fn(Asked) -> bool + Send + 'static);
}

impl Any for QuickCheck {
    fn quickcheck_any(mut self, prop: impl Fn(Asked) -> bool + Send + 'static) {
        struct Prop<F>(F);
        impl<F: Fn(Asked) -> bool + Send + 'static> quickcheck::Testable for Prop<F> {
            fn result(&self, g: &mut Gen) -> quickcheck::TestResult {
                quickcheck::TestResult::from_bool((self.0)(Asked::arbitrary(g)))
            }
        }
        self.quickcheck(Prop(prop));
    }
}

#[test]
fn a_sort_option_that_does_not_exist_is_refused() {
    let (store, _) = filled();
    let refused = |request| store.range(&request).unwrap_err();
    assert_eq!(refused(RangeRequest { sort_order: 3, ..all() }), KvError::invalid_sort_option());
    assert_eq!(refused(RangeRequest { sort_target: 5, ..all() }), KvError::invalid_sort_option());
}

fn run(store: &Store, txn: TxnRequest) -> Result<TxnResponse, KvError> {
    next(store, &Command::Txn(txn)).result.map(|response| match response {
        Response::Txn(response) => response,
        other => panic!("{other:?} answers a transaction"),
    })
}

fn ranges(response: &TxnResponse) -> Vec<Vec<(String, String)>> {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let of = |op: &ResponseOp| match &op.response {
        Some(OpResponse::ResponseRange(range)) => {
            Some(range.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect())
        }
        _ => None,
    };
    response.responses.iter().filter_map(of).collect()
}

#[test]
fn a_transaction_reads_its_own_writes_and_the_past_as_it_was() {
    let store = open(&MemDisk::new());
    next(&store, &put("a", "old"));
    next(&store, &put("c", "old"));
    settle(&store);
    let mut past = op_get("\0", "\0");
    if let Some(Op::RequestRange(range)) = &mut past.request {
        range.revision = 3;
    }
    let success = vec![
        op_put("b", "new"),
        op_delete("a", ""),
        op_get("\0", "\0"),
        op_put("d", "new"),
        op_get("b", "z"),
        past,
    ];
    let response = run(&store, TxnRequest { compare: vec![], success, failure: vec![] }).unwrap();
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(
        ranges(&response),
        [
            pairs(&[("b", "new"), ("c", "old")]),
            pairs(&[("b", "new"), ("c", "old"), ("d", "new")]),
            pairs(&[("a", "old"), ("c", "old")]),
        ]
    );
    assert_eq!((store.revision(), response.header.unwrap().revision), (4, 4));
}

#[test]
fn a_transaction_that_fails_at_its_end_changes_nothing() {
    let store = open(&MemDisk::new());
    next(&store, &put("a", "1"));
    let before = (store.state_hash(), store.range(&all()), store.revision());
    let mut future = op_get("a", "");
    if let Some(Op::RequestRange(range)) = &mut future.request {
        range.revision = 99;
    }
    let unleased =
        RequestOp { request: Some(Op::RequestPut(PutRequest { lease: 9, ..put_request("z", "1") })) };
    let last = [
        (future, KvError::future_revision()),
        (unleased, KvError::lease_not_found()),
        (op_put("b", "2"), KvError::duplicate_key()),
        (op_delete("a", "c"), KvError::duplicate_key()),
    ];
    for (op, error) in last {
        let success = vec![op_put("b", "1"), op_delete("a", ""), op];
        assert_eq!(run(&store, TxnRequest { compare: vec![], success, failure: vec![] }), Err(error));
        assert_eq!((store.state_hash(), store.range(&all()), store.revision()), before);
    }
    assert_eq!(store.applied(), 5, "a refused entry is applied all the same");
}

#[test]
fn a_reading_transaction_bumps_nothing_and_sees_one_revision() {
    let store = open(&MemDisk::new());
    next(&store, &put("a", "1"));
    settle(&store);
    let txn =
        TxnRequest { compare: vec![value_is("a", "1")], success: vec![op_get("a", "")], failure: vec![] };
    let response = store.read_txn(&txn).unwrap();
    assert!(response.succeeded);
    assert_eq!(response.header.unwrap().revision, 2);
    assert_eq!(response, run(&store, txn).unwrap());
    assert_eq!(store.revision(), 2);
}

#[test]
fn puts_return_and_keep_what_was_there() {
    let store = open(&MemDisk::new());
    next(&store, &Command::lease_grant(4, 60));
    next(&store, &put_leased("a", "1", 4));
    settle(&store);
    let keep = PutRequest { ignore_value: true, ignore_lease: true, prev_kv: true, ..put_request("a", "") };
    let Response::Put(answer) = next(&store, &Command::Put(keep)).result.unwrap() else {
        panic!("a put was asked")
    };
    let before = answer.prev_kv.unwrap();
    assert_eq!((&before.value[..], before.lease, before.version), (&b"1"[..], 4, 1));
    let now = store.range(&get_request("a", "")).unwrap().kvs.remove(0);
    assert_eq!((&now.value[..], now.lease, now.version, now.create_revision), (&b"1"[..], 4, 2, 2));
    next(&store, &put("a", "2"));
    assert!(store.lease(4).unwrap().keys.is_empty(), "a put without a lease detaches the key");
}

#[test]
fn revoking_deletes_the_keys_in_order_at_one_revision() {
    let store = open(&MemDisk::new());
    next(&store, &Command::lease_grant(4, 60));
    for k in ["c", "a", "b"] {
        next(&store, &put_leased(k, "x", 4));
    }
    let applied = next(&store, &Command::lease_revoke(4));
    let keys: Vec<_> = applied.events.iter().map(|event| event.kv.clone().unwrap()).collect();
    assert_eq!(keys.iter().map(|kv| &kv.key[..]).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
    assert!(keys.iter().all(|kv| kv.mod_revision == 5));
    assert_eq!((applied.revision, store.lease(4)), (5, None));
    assert_eq!(next(&store, &Command::lease_revoke(4)).result, Err(KvError::lease_not_found()));
}

#[test]
fn an_entry_that_was_applied_is_skipped() {
    let probe = kernel::Probe::counting();
    let store = open_with(&MemDisk::new(), mvcc::Options { probe: probe.clone(), ..Default::default() });
    next(&store, &put("a", "1"));
    let again = store.apply(1, 1, &put("a", "1")).unwrap();
    assert_eq!((again.result, again.events.len(), store.revision()), (Ok(Response::None), 0, 2));
    assert_eq!(probe.counts().get("mvcc: an entry was skipped, the state has it"), Some(&1));
}

#[test]
#[should_panic(expected = "those between are missing")]
fn a_gap_in_the_log_stops_the_replica() {
    let store = open(&MemDisk::new());
    let _ = store.apply(2, 1, &put("a", "1"));
}
