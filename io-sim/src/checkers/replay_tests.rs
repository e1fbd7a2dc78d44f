//! Histories that lie, each in one way; the truthful one passes.

use super::*;
use crate::checkers::fixtures::*;
use kernel::types::*;

/// Puts 1 and 2 on key `a`, applied at 20 ms and 40 ms: revisions 2 and 3.
fn log() -> Replay {
    replay_of(&[(20, tagged_put("a", 1)), (40, tagged_put("a", 2))])
}

fn acknowledged(tag: Tag, invoked: u64, returned: u64, revision: i64) -> Operation {
    let header = Some(ResponseHeader { revision, ..Default::default() });
    let reply = Reply::Put(PutResponse { header, prev_kv: None });
    operation(tag, invoked, returned, tagged_put("a", tag), Outcome::Ok(reply))
}

fn read(invoked: u64, returned: u64, at: i64, serializable: bool) -> Operation {
    let request = RangeRequest { serializable, ..get("a") };
    let reply = Reply::Range(log().model.range_at(&request, at));
    operation(9, invoked, returned, Call::Range(request), Outcome::Ok(reply))
}

fn verdict(operations: Vec<Operation>) -> Result<(), &'static str> {
    log().check(&History { operations, watches: Vec::new() }).map_err(|failure| failure.invariant)
}

#[test]
fn the_truth_passes() {
    let truth = vec![
        acknowledged(1, 10, 25, 2),
        acknowledged(2, 30, 45, 3),
        read(50, 55, 3, false),
        read(50, 55, 2, true),
        operation(3, 0, 90, tagged_put("a", 3), Outcome::Unknown),
        operation(4, 0, 90, tagged_put("a", 4), Outcome::Refused(KvError::too_many_requests())),
    ];
    assert_eq!(verdict(truth), Ok(()));
}

#[test]
fn a_lost_write_is_caught() {
    assert_eq!(verdict(vec![acknowledged(3, 10, 25, 2)]), Err("acknowledged-write-lost"));
}

#[test]
fn a_stale_read_is_caught_unless_it_was_asked_for() {
    assert_eq!(verdict(vec![acknowledged(2, 30, 45, 3), read(50, 55, 2, false)]), Err("real-time"));
    assert_eq!(verdict(vec![acknowledged(2, 30, 45, 3), read(50, 55, 2, true)]), Ok(()));
}

#[test]
fn an_answer_from_the_future_is_caught() {
    assert_eq!(verdict(vec![read(10, 15, 2, false)]), Err("not-from-the-future"));
    assert_eq!(verdict(vec![acknowledged(1, 10, 15, 2)]), Err("applied-before-acknowledged"));
    assert_eq!(verdict(vec![acknowledged(1, 30, 35, 2)]), Err("not-before-asked"));
}

#[test]
fn a_wrong_answer_is_caught() {
    let mut wrong = read(50, 55, 3, false);
    if let Outcome::Ok(Reply::Range(answer)) = &mut wrong.outcome {
        answer.kvs[0].value = "x".into();
    }
    assert_eq!(verdict(vec![wrong]), Err("same-answer"));
    assert_eq!(verdict(vec![acknowledged(1, 10, 25, 3)]), Err("same-answer"));
}

#[test]
fn a_refusal_that_had_an_effect_is_caught() {
    let refused = operation(1, 10, 25, tagged_put("a", 1), Outcome::Refused(KvError::no_space()));
    assert_eq!(verdict(vec![refused]), Err("refused-has-no-effect"));
}

#[test]
fn a_request_in_the_log_twice_is_caught() {
    let twice = replay_of(&[(20, tagged_put("a", 1)), (40, tagged_put("a", 1))]);
    let unknown = operation(1, 10, 90, tagged_put("a", 1), Outcome::Unknown);
    let failure = twice.check(&History { operations: vec![unknown], watches: Vec::new() }).unwrap_err();
    assert_eq!(failure.invariant, "applied-once");
}

#[test]
fn errors_about_revisions_must_be_true() {
    let at = |revision| Call::Range(RangeRequest { revision, ..get("a") });
    let compacted = operation(5, 50, 55, at(2), Outcome::Refused(KvError::compacted()));
    assert_eq!(verdict(vec![compacted]), Err("compacted-is-true"));
    let future = operation(5, 50, 55, at(3), Outcome::Refused(KvError::future_revision()));
    assert_eq!(verdict(vec![acknowledged(2, 30, 45, 3), future]), Err("future-is-true"));
}

#[test]
fn a_delete_without_a_tag_is_found_by_its_revision() {
    let log = replay_of(&[(20, tagged_put("a", 1)), (40, delete("a"))]);
    let answer = |deleted, revision| {
        let header = Some(ResponseHeader { revision, ..Default::default() });
        let reply = DeleteRangeResponse { header, deleted, prev_kvs: Vec::new() };
        operation(2, 30, 45, delete("a"), Outcome::Ok(Reply::Delete(reply)))
    };
    let check = |operation| log.check(&History { operations: vec![operation], watches: Vec::new() });
    assert_eq!(check(answer(1, 3)), Ok(()));
    assert_eq!(check(answer(0, 3)), Ok(()), "an equal one may have come second");
    assert_eq!(check(answer(1, 2)).unwrap_err().invariant, "acknowledged-write-lost");
    assert_eq!(check(answer(0, 2)).unwrap_err().invariant, "same-answer");
}
