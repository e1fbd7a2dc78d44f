//! A watcher's record with one lie at a time.

use super::*;
use crate::checkers::fixtures::*;
use crate::history::Call;
use kernel::txn::TxnRequest;
use kernel::types::*;

/// Revisions 2 (a), 3 (x, outside), 4 (a and b together), 5 (delete a), compacted at 3 at the end.
fn log() -> Replay {
    let both =
        TxnRequest { success: vec![op(&put("a", "2", 0)), op(&put("b", "2", 0))], ..Default::default() };
    replay_of(&[
        (10, put("a", "1", 0)),
        (20, put("x", "1", 0)),
        (30, Call::Txn(both)),
        (40, delete("a")),
        (50, Call::Compact(CompactionRequest { revision: 3, physical: false })),
    ])
}

fn response(at: u64, revision: i64, events: Vec<Event>) -> (Duration, WatchResponse) {
    let header = Some(ResponseHeader { revision, ..Default::default() });
    (ms(at), WatchResponse { header, events, ..Default::default() })
}

fn created(at: u64, revision: i64) -> (Duration, WatchResponse) {
    let (at, mut response) = response(at, revision, Vec::new());
    response.created = true;
    (at, response)
}

/// The events of `revision` that match, without previous values.
fn events(revision: i64) -> Vec<Event> {
    let all = log().model.changes()[&revision].clone();
    all.into_iter().map(|event| Event { prev_kv: None, ..event }).collect()
}

fn judge(
    start_revision: i64,
    responses: Vec<(Duration, WatchResponse)>,
    open: bool,
) -> Result<(), &'static str> {
    let span = WatchSpan { member: 1, invoked: ms(5), start_revision, responses };
    let watch = WatchRecord {
        tag: 1,
        key: "a".into(),
        range_end: "c".into(),
        only: Only::All,
        prev_kv: false,
        open,
        spans: vec![span],
    };
    check(&[watch], &log(), ms(45)).map_err(|failure| failure.invariant)
}

#[test]
fn the_whole_truth_passes() {
    let all = vec![
        created(6, 1),
        response(15, 2, events(2)),
        response(45, 5, [events(4), events(5)].concat()),
        response(60, 5, vec![]),
    ];
    assert_eq!(judge(0, all.clone(), true), Ok(()));
    assert_eq!(judge(1, all, true), Ok(()));
}

#[test]
fn a_gap_a_repetition_and_a_wrong_order_are_caught() {
    assert_eq!(judge(1, vec![created(6, 1), response(45, 5, events(4))], false), Err("no-gap"));
    let twice = vec![response(15, 2, events(2)), response(16, 2, events(2))];
    assert_eq!(judge(1, twice, false), Err("ordered-unique"));
    let swapped = [events(5), events(4)].concat();
    assert_eq!(judge(5, vec![response(45, 5, swapped)], false), Err("ordered-unique"));
}

#[test]
fn a_split_revision_is_caught() {
    let first = events(4)[..1].to_vec();
    assert_eq!(judge(3, vec![response(45, 5, first)], false), Err("atomic"));
}

#[test]
fn a_wrong_event_is_caught() {
    let mut wrong = events(2);
    wrong[0].kv.as_mut().unwrap().value = "x".into();
    assert_eq!(judge(1, vec![response(15, 2, wrong)], false), Err("true-event"));
    let mut unasked = events(5);
    unasked[0].prev_kv = Some(KeyValue::default());
    assert_eq!(judge(5, vec![response(45, 5, unasked)], false), Err("prev-kv"));
}

#[test]
fn false_progress_and_false_compaction_are_caught() {
    assert_eq!(judge(1, vec![created(6, 1), response(45, 5, vec![])], false), Err("progress-is-true"));
    let cancel = |at, to| {
        let response = WatchResponse { canceled: true, compact_revision: to, ..Default::default() };
        (ms(at), response)
    };
    assert_eq!(judge(1, vec![cancel(55, 3)], false), Ok(()));
    assert_eq!(judge(1, vec![cancel(45, 3)], false), Err("compacted-is-true"));
    assert_eq!(judge(4, vec![cancel(55, 3)], false), Err("compacted-is-true"));
}

#[test]
fn silence_is_caught() {
    assert_eq!(judge(1, vec![created(6, 1)], true), Err("arrives-in-the-end"));
    assert_eq!(judge(1, vec![created(6, 1)], false), Ok(()));
    assert_eq!(judge(0, vec![created(6, 1), response(15, 2, events(2))], true), Err("arrives-in-the-end"));
    assert_eq!(judge(0, vec![created(6, 3), response(3, 5, events(4))], false), Err("not-from-the-future"));
}
