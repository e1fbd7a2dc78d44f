use super::*;
use crate::txn::*;
use crate::watch::*;
use futures_util::FutureExt;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::collections::BTreeMap;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

fn put(kv: &MapKv, key: &str, value: &str, lease: i64) -> i64 {
    let request = PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        lease,
        ..Default::default()
    };
    now(kv.put(request)).unwrap().header.unwrap().revision
}

fn prefix(of: &str) -> RangeRequest {
    RangeRequest { key: of.to_owned().into(), range_end: after_prefix(of.as_bytes()), ..Default::default() }
}

fn watch(kv: &MapKv, key: &str, start_revision: i64) -> Box<dyn WatchStream> {
    let mut stream = now(kv.watch()).unwrap();
    let range = prefix(key);
    let create = WatchCreateRequest {
        key: range.key,
        range_end: range.range_end,
        start_revision,
        ..Default::default()
    };
    let request = WatchRequest { request_union: Some(WatchRequestUnion::CreateRequest(create)) };
    now(stream.request(request)).unwrap();
    assert!(now(stream.next()).unwrap().created);
    stream
}

/// The next response as `key@revision`, a deletion with a minus before it.
fn events(stream: &mut Box<dyn WatchStream>) -> Vec<String> {
    let Some(response) = stream.next().now_or_never() else { return Vec::new() };
    let say = |event: &Event| {
        let kv = event.kv.as_ref().unwrap();
        let sign = if event.r#type() == EventType::Delete { "-" } else { "" };
        format!("{sign}{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision)
    };
    response.unwrap().events.iter().map(say).collect()
}

#[test]
fn reads_old_revisions_by_pages() {
    let kv = MapKv::new();
    (0..5).for_each(|n| assert_eq!(put(&kv, &format!("a/{n}"), "old", 0), n + 2));
    put(&kv, "a/3", "new", 0);
    kv.unset("a/4");
    let request = RangeRequest { limit: 2, revision: 6, ..prefix("a/") };
    let page = now(kv.range(request.clone())).unwrap();
    assert_eq!((page.kvs.len(), page.more, page.count, page.header.unwrap().revision), (2, true, 5, 8));
    let rest = RangeRequest { key: "a/3".into(), ..request };
    let page = now(kv.range(rest)).unwrap();
    assert_eq!((page.kvs.len(), page.more, page.count), (2, false, 2));
    assert_eq!(page.kvs[0].value, "old");
    assert_eq!(now(kv.range(prefix("a/"))).unwrap().count, 4);
}

#[test]
fn compaction_keeps_the_newest_and_refuses_the_old() {
    let kv = MapKv::new();
    put(&kv, "a", "1", 0);
    put(&kv, "a", "2", 0);
    put(&kv, "b", "1", 0);
    kv.unset("b");
    now(kv.compact(CompactionRequest { revision: 4, physical: false })).unwrap();
    let at = |revision| {
        now(kv.range(RangeRequest {
            key: "a".into(),
            range_end: vec![0].into(),
            revision,
            ..Default::default()
        }))
    };
    assert_eq!(at(3), Err(KvError::compacted()));
    assert_eq!(at(6), Err(KvError::future_revision()));
    assert_eq!((at(4).unwrap().count, at(5).unwrap().count), (2, 1));
    assert_eq!(
        now(kv.compact(CompactionRequest { revision: 4, physical: false })),
        Err(KvError::compacted())
    );
}

#[test]
fn a_transaction_is_one_revision_or_nothing() {
    let kv = MapKv::new();
    let absent = Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: "a".into(),
        target_union: Some(TargetUnion::CreateRevision(0)),
        ..Default::default()
    };
    let put = |key: &str| {
        let put = PutRequest { key: key.to_owned().into(), ..Default::default() };
        RequestOp { request: Some(Op::RequestPut(put)) }
    };
    let request = TxnRequest { compare: vec![absent], success: vec![put("a"), put("b")], failure: vec![] };
    let first = now(kv.txn(request.clone())).unwrap();
    assert_eq!((first.succeeded, first.header.unwrap().revision), (true, 2));
    let second = now(kv.txn(request)).unwrap();
    assert_eq!((second.succeeded, second.header.unwrap().revision), (false, 2));
    let twice = TxnRequest { compare: vec![], success: vec![put("c"), put("c")], failure: vec![] };
    assert_eq!(now(kv.txn(twice)), Err(KvError::duplicate_key()));
    assert_eq!(kv.dump("").len(), 2);
}

#[test]
fn leases_end_and_take_their_keys() {
    let kv = MapKv::new();
    let id = now(kv.lease_grant(LeaseGrantRequest { ttl: 3, id: 0 })).unwrap().id;
    put(&kv, "held", "", id);
    put(&kv, "moved", "", id);
    put(&kv, "moved", "", 0);
    let mut stream = watch(&kv, "", 0);
    kv.expire(Duration::from_secs(2));
    assert_eq!(now(kv.lease_keep_alive(LeaseKeepAliveRequest { id })).unwrap().ttl, 3);
    kv.expire(Duration::from_millis(4_999));
    assert_eq!(kv.dump("").len(), 2);
    kv.expire(Duration::from_secs(5));
    assert_eq!(events(&mut stream), ["-held@5"]);
    assert_eq!(now(kv.lease_keep_alive(LeaseKeepAliveRequest { id })).unwrap().ttl, 0);
    let missing = PutRequest { key: "a".into(), lease: id, ..Default::default() };
    assert_eq!(now(kv.put(missing)), Err(KvError::lease_not_found()));
}

#[test]
fn watches_from_history_and_live() {
    let kv = MapKv::new();
    put(&kv, "a/1", "", 0);
    put(&kv, "b", "", 0);
    put(&kv, "a/2", "", 0);
    let mut all = watch(&kv, "a/", 1);
    let mut late = watch(&kv, "a/", 4);
    assert_eq!(events(&mut all), ["a/1@2", "a/2@4"]);
    assert_eq!(events(&mut late), ["a/2@4"]);
    kv.unset("a/1");
    assert_eq!(events(&mut all), ["-a/1@5"]);
    assert_eq!(events(&mut all), [""; 0]);
    now(kv.compact(CompactionRequest { revision: 5, physical: false })).unwrap();
    let mut old = watch(&kv, "a/", 4);
    let answer = now(old.next()).unwrap();
    assert!(answer.canceled);
    assert_eq!(answer.compact_revision, 5);
    let cancel = WatchRequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 });
    now(all.request(WatchRequest { request_union: Some(cancel) })).unwrap();
    assert!(now(all.next()).unwrap().canceled);
    put(&kv, "a/1", "", 0);
    assert_eq!(events(&mut all), [""; 0]);
    assert_eq!(events(&mut late), ["-a/1@5"]);
}

#[test]
fn a_cut_line_fails_calls_and_ends_streams() {
    let kv = MapKv::new();
    let mine = kv.client();
    let mut stream = watch(&mine, "a", 0);
    mine.cut();
    assert!(!now(mine.range(prefix("a"))).unwrap_err().is_definite());
    kv.set("a", "1");
    mine.mend();
    assert!(now(stream.next()).is_err());
    assert_eq!(now(mine.range(prefix("a"))).unwrap().count, 1);
    mine.lose_answers(1);
    let request = PutRequest { key: "a".into(), value: "2".into(), ..Default::default() };
    assert_eq!(now(mine.put(request.clone())), Err(KvError::timeout()));
    assert_eq!(kv.dump("a"), [("a".to_owned(), "2".to_owned())]);
    assert!(now(mine.put(request)).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete(u8, u8),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Step {
        let key = |g: &mut Gen| b'a' + u8::arbitrary(g) % 6;
        if bool::arbitrary(g) { Step::Put(key(g)) } else { Step::Delete(key(g), key(g)) }
    }
}

quickcheck! {
    /// Every revision reads as a map that was copied at that moment, and the watched events lead from each to the next.
    fn old_revisions_are_copies_of_then(steps: Vec<Step>) -> bool {
        let kv = MapKv::new();
        let mut model = BTreeMap::new();
        let mut copies = vec![(1, model.clone())];
        for (n, step) in steps.iter().enumerate() {
            match *step {
                Step::Put(key) => {
                    model.insert(vec![key], n.to_string());
                    put(&kv, &(key as char).to_string(), &n.to_string(), 0);
                }
                Step::Delete(from, to) => {
                    model.retain(|key, _| !(vec![from]..vec![to]).contains(key));
                    let (key, range_end) = (vec![from].into(), vec![to].into());
                    now(kv.delete_range(DeleteRangeRequest { key, range_end, prev_kv: false })).unwrap();
                }
            }
            copies.push((kv.revision(), model.clone()));
        }
        copies.iter().all(|(revision, copy)| {
            let request = RangeRequest { key: "a".into(), range_end: vec![0].into(), revision: *revision, ..Default::default() };
            let found = now(kv.range(request)).unwrap().kvs;
            found.iter().map(|kv| (kv.key.to_vec(), String::from_utf8(kv.value.to_vec()).unwrap())).eq(copy.clone())
        })
    }
}
