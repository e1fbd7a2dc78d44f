//! Starts that agree with themselves, and some that do not.

use super::*;

fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    range.map(|index| Entry { index, term, data: "x".into(), ..Default::default() }).collect()
}

fn restored(mark: (u64, u64), entries: Vec<Entry>, applied: u64) -> Restored {
    let conf_state = Some(ConfState::new(vec![1, 2, 3], vec![]));
    let snapshot = SnapshotMark { index: mark.0, term: mark.1, conf_state };
    Restored { hard_state: HardState { term: 5, vote: 2, commit: 0 }, snapshot, entries, applied }
}

/// First and last index of the log, and what the crate starts with.
fn open(restored: Restored) -> Result<(u64, u64, HardState), Error> {
    use raft::Storage;
    let log = restored.into_log()?;
    let start = log.initial_state().expect("it is in memory").hard_state;
    Ok((log.first(), log.last(), convert::hard_state_from_raft(&start)))
}

fn why(restored: Restored) -> String {
    open(restored).expect_err("it contradicts itself").to_string()
}

#[test]
fn a_founder_begins_behind_the_configuration() {
    let founding = Restored::founding(ConfState::new(vec![1], vec![]));
    assert_eq!(open(founding), Ok((2, 1, HardState { term: 1, vote: 0, commit: 1 })));
    assert_eq!(open(Restored::joining()), Ok((1, 0, HardState::default())));
}

#[test]
fn the_commit_index_is_made_to_fit_the_log_and_the_state() {
    let commit = |mut restored: Restored, commit| {
        restored.hard_state.commit = commit;
        open(restored).map(|(_, _, state)| state.commit)
    };
    let log = || restored((10, 5), entries(11..=20, 5), 12);
    assert_eq!(commit(log(), 15), Ok(15));
    assert_eq!(commit(log(), 99), Ok(20), "entries were lost");
    assert_eq!(commit(log(), 3), Ok(12), "the state is ahead of a commit that was not synced");
}

#[test]
fn a_term_below_the_last_entry_is_raised_without_a_vote() {
    let (_, _, state) = open(restored((10, 5), entries(11..=12, 9), 10)).unwrap();
    assert_eq!(state, HardState { term: 9, vote: 0, commit: 10 });
    let (_, _, state) = open(restored((10, 5), entries(11..=12, 5), 10)).unwrap();
    assert_eq!((state.term, state.vote), (5, 2));
}

#[test]
fn entries_below_the_mark_are_kept_for_those_behind() {
    let (first, last, _) = open(restored((10, 5), entries(4..=20, 5), 10)).unwrap();
    assert_eq!((first, last), (5, 20), "the first stands for all before it");
    let (first, last, _) = open(restored((10, 5), entries(1..=20, 5), 10)).unwrap();
    assert_eq!((first, last), (1, 20));
}

#[test]
fn a_log_that_ends_before_the_state_or_contradicts_it_does_not_count() {
    let (first, last, _) = open(restored((10, 5), entries(4..=9, 5), 10)).unwrap();
    assert_eq!((first, last), (11, 10));
    let (first, last, _) = open(restored((10, 5), entries(4..=20, 4), 10)).unwrap();
    assert_eq!((first, last), (11, 10));
}

#[test]
fn contradictions_are_named() {
    assert!(why(restored((10, 5), entries(12..=20, 5), 10)).contains("entries 11 to 11 are missing"));
    assert!(why(restored((10, 5), entries(11..=20, 5), 9)).contains("the state ends at index 9"));
    assert!(why(restored((10, 5), entries(11..=20, 5), 21)).contains("the log ends at 20"));
    assert!(why(restored((10, 0), vec![], 10)).contains("term 0"));
    let gap = [entries(11..=12, 5), entries(14..=15, 5)].concat();
    assert!(why(restored((10, 5), gap, 10)).contains("entry 14 follows entry 12"));
    let falling = [entries(11..=12, 5), entries(13..=14, 4)].concat();
    assert!(why(restored((10, 5), falling, 10)).contains("term 4 after term 5"));
    let mut nobody = restored((10, 5), vec![], 10);
    nobody.snapshot.conf_state = None;
    assert!(why(nobody).contains("no voters"));
    let mut twice = restored((10, 5), vec![], 10);
    twice.snapshot.conf_state = Some(ConfState::new(vec![1, 1], vec![]));
    assert!(why(twice).contains("twice"));
}
