//! Cases of the model against etcd's documented behaviour.

use super::*;
use crate::checkers::fixtures::*;

#[test]
fn a_put_counts_versions_and_a_delete_starts_anew() {
    let mut model = Model::new();
    model.apply(&put("a", "1", 0)).unwrap();
    model.apply(&put("a", "2", 0)).unwrap();
    let kv = model.range_at(&get("a"), 3).kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
    model.apply(&delete("a")).unwrap();
    assert_eq!(model.range_at(&get("a"), 4).kvs, []);
    assert_eq!(model.range_at(&get("a"), 3).kvs[0].version, 2, "the past stays readable");
    assert_eq!(model.apply(&delete("a")).unwrap().revision(), 4, "nothing deleted, no revision");
    model.apply(&put("a", "3", 0)).unwrap();
    assert_eq!(model.range_at(&get("a"), 5).kvs[0].version, 1);
}

#[test]
fn a_transaction_is_one_revision_and_reads_its_own_writes() {
    let mut model = Model::new();
    let txn = TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Version as i32,
            key: "a".into(),
            target_union: Some(TargetUnion::Version(0)),
            ..Default::default()
        }],
        success: vec![op(&put("a", "1", 0)), op(&put("b", "2", 0)), op(&Call::Range(get("a")))],
        failure: vec![op(&Call::Range(get("a")))],
    };
    let Reply::Txn(first) = model.apply(&Call::Txn(txn.clone())).unwrap() else { panic!("a txn") };
    assert!(first.succeeded);
    assert!(
        matches!(&first.responses[2].response, Some(OpResponse::ResponseRange(r)) if r.kvs[0].mod_revision == 2)
    );
    assert_eq!(model.changes()[&2].len(), 2);
    let Reply::Txn(second) = model.apply(&Call::Txn(txn)).unwrap() else { panic!("a txn") };
    assert!(!second.succeeded);
    assert_eq!(second.header.unwrap().revision, 2);
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let mut model = Model::new();
    let txn =
        TxnRequest { success: vec![op(&put("a", "1", 0)), op(&put("b", "1", 77))], ..Default::default() };
    assert_eq!(model.apply(&Call::Txn(txn)), Err(KvError::lease_not_found()));
    assert_eq!((model.revision(), model.changes().len()), (1, 0));
}

#[test]
fn a_revoked_lease_takes_its_keys_in_one_revision() {
    let mut model = Model::new();
    model.apply(&grant(7, 10)).unwrap();
    for key in ["b", "a", "c"] {
        model.apply(&put(key, "v", 7)).unwrap();
    }
    model.apply(&put("c", "kept", 0)).unwrap();
    assert_eq!(model.apply(&revoke(7)).unwrap().revision(), 6);
    let gone: Vec<_> = model.changes()[&6].iter().map(|event| event.kv.clone().unwrap().key).collect();
    assert_eq!(gone, ["a", "b"]);
    assert_eq!(model.apply(&revoke(7)), Err(KvError::lease_not_found()));
}

#[test]
fn compaction_has_its_bounds() {
    let mut model = Model::new();
    model.apply(&put("a", "1", 0)).unwrap();
    let compact = |revision| Call::Compact(CompactionRequest { revision, physical: false });
    assert_eq!(model.apply(&compact(3)), Err(KvError::future_revision()));
    assert!(model.apply(&compact(2)).is_ok());
    assert_eq!(model.apply(&compact(2)), Err(KvError::compacted()));
}
