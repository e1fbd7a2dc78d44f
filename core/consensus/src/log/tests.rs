//! The log in memory against a plain map.

use super::*;
use quickcheck::quickcheck;
use std::collections::BTreeMap;

fn entry(index: u64, term: u64, length: usize) -> Entry {
    Entry { index, term, data: vec![0; length].into(), ..Default::default() }
}

fn log(base: (u64, u64), last: u64) -> Log {
    let entries = (base.0 + 1..=last).map(|index| entry(index, 7, 10)).collect();
    Log::new(base, entries, HardState::default(), ConfState::default())
}

fn mark(index: u64, members: Vec<u64>) -> SnapshotMark {
    SnapshotMark { index, term: 1, conf_state: Some(ConfState::new(members, vec![])) }
}

quickcheck! {
    /// Appends (which may cut), and forgetting, in any order.
    fn the_log_is_a_map_from_index_to_term(steps: Vec<(u8, u8)>) -> bool {
        let mut log = log((3, 1), 3);
        let mut model = BTreeMap::from([(3, 1)]);
        let mut lengths = BTreeMap::new();
        for (term, (what, how)) in (2..).zip(steps) {
            let (base, last) = (log.base_index, log.last());
            let chosen = base + u64::from(how) % (last - base + 1);
            if what % 3 == 0 {
                log.compact(chosen);
                model = model.split_off(&chosen);
                lengths = lengths.split_off(&(chosen + 1));
            } else {
                let new: Vec<Entry> = (chosen + 1..=chosen + 1 + u64::from(what % 5))
                    .map(|index| entry(index, term, usize::from(how)))
                    .collect();
                model.split_off(&(chosen + 1));
                lengths.split_off(&(chosen + 1));
                model.extend(new.iter().map(|entry| (entry.index, entry.term)));
                lengths.extend(new.iter().map(|entry| (entry.index, size(entry))));
                log.append(new);
            }
            let known: BTreeMap<u64, u64> = (0..log.last() + 5).filter_map(|i| Some((i, log.term_at(i)?))).collect();
            if known != model || log.bytes() != lengths.values().sum::<usize>() {
                return false;
            }
        }
        true
    }
}

#[test]
fn a_range_is_bounded_in_bytes_and_holds_one_entry_at_least() {
    let log = log((0, 0), 10);
    let one = size(&entry(1, 7, 10)) as u64;
    let taken =
        |low, high, bytes| log.range(low, high, bytes).iter().map(|entry| entry.index).collect::<Vec<_>>();
    assert_eq!(taken(2, 5, u64::MAX), [2, 3, 4]);
    assert_eq!(taken(2, 9, 3 * one), [2, 3, 4]);
    assert_eq!(taken(2, 9, 0), [2]);
    assert_eq!(taken(9, 99, u64::MAX), [9, 10]);
    assert!(taken(11, 12, u64::MAX).is_empty());
}

#[test]
fn what_is_forgotten_is_said_to_be_compacted() {
    let mut log = log((0, 0), 10);
    log.compact(4);
    let context = || GetEntriesContext::empty(false);
    assert_eq!(log.entries(4, 6, None, context()), Err(StorageError::Compacted.into()));
    assert_eq!(log.entries(5, 7, None, context()).map(|entries| entries.len()), Ok(2));
    assert_eq!(log.term(4), Ok(7), "the base keeps its term");
    assert_eq!(log.term(3), Err(StorageError::Compacted.into()));
    assert_eq!(log.term(11), Err(StorageError::Unavailable.into()));
}

#[test]
fn only_a_snapshot_that_helps_is_handed_out() {
    let mut log = log((0, 0), 10);
    log.compact(4);
    assert!(log.snapshot(0, 2).is_err());
    assert!(log.snapshot_wanted());
    log.offer(mark(3, vec![1, 2]));
    assert!(!log.snapshot_wanted());
    assert!(log.snapshot(0, 2).is_err(), "it ends below the log");
    log.offer(mark(6, vec![1]));
    assert!(log.snapshot(0, 2).is_err(), "it does not know the receiver");
    log.offer(mark(8, vec![1, 2]));
    log.offer(mark(7, vec![1, 2]));
    assert_eq!(log.snapshot(0, 2).map(|snapshot| snapshot.get_metadata().index), Ok(8));
    assert!(log.snapshot(9, 2).is_err(), "more was asked for");
}

#[test]
fn after_a_snapshot_the_log_begins_anew() {
    let mut log = log((0, 0), 10);
    log.restart_after(&mark(20, vec![1]));
    assert_eq!((log.first(), log.last(), log.bytes()), (21, 20, 0));
    assert_eq!(log.term_at(20), Some(1));
    log.append(vec![entry(21, 9, 0)]);
    assert_eq!(log.term_at(21), Some(9));
}
