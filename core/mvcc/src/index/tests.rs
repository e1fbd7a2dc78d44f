use super::*;
use quickcheck::quickcheck;
use std::collections::{BTreeMap, BTreeSet};

fn at(main: i64) -> Revision {
    Revision::first(main)
}

/// A key's rows: true for a put.
type Rows = BTreeMap<i64, bool>;

fn build(changes: &[(u8, bool)]) -> (Index, BTreeMap<u8, Rows>) {
    let (mut index, mut model) = (Index::default(), BTreeMap::<u8, Rows>::new());
    for (main, (key, put)) in (2..).zip(changes) {
        let key = key % 4;
        let rows = model.entry(key).or_default();
        if *put {
            let newest = index.newest(&[key]);
            let created = newest.map_or(main, |newest| newest.created);
            index.put(&[key], Newest { at: at(main), created, version: newest.map_or(1, |n| n.version + 1) });
            rows.insert(main, true);
        } else if index.newest(&[key]).is_some() {
            index.delete(&[key], at(main));
            rows.insert(main, false);
        }
    }
    (index, model)
}

fn seen(rows: &Rows, main: i64) -> Option<i64> {
    rows.range(..=main).next_back().filter(|(_, put)| **put).map(|(main, _)| *main)
}

/// What a compaction at `main` keeps: all behind it, what a read there sees, and a delete exactly there.
fn survivors(rows: &Rows, main: i64) -> BTreeSet<i64> {
    let deleted_there = rows.get(&main).filter(|put| !**put).map(|_| main);
    rows.range(main + 1..).map(|(main, _)| *main).chain(seen(rows, main)).chain(deleted_there).collect()
}

quickcheck! {
    fn a_read_at_any_revision_sees_the_last_put_unless_deleted(changes: Vec<(u8, bool)>) -> bool {
        let (index, model) = build(&changes);
        model.iter().all(|(key, rows)| {
            (0..changes.len() as i64 + 3).all(|main| index.at(&[*key], main) == seen(rows, main).map(at))
        })
    }

    fn compactions_drop_what_no_read_reaches_and_only_that(changes: Vec<(u8, bool)>, cuts: Vec<u8>, step: u8) -> bool {
        let (mut index, model) = build(&changes);
        let (mut dropped, mut cut) = (Vec::new(), 0);
        for more in cuts.iter().take(4) {
            cut += i64::from(more % 8) + 1;
            index.compact(cut);
            // Half of the time the next compaction comes before this one is through.
            index.prune(usize::from(step % 4), &mut dropped);
        }
        while !index.prune(1 + usize::from(step % 4), &mut dropped) {}
        assert!(index.pruned());
        let dropped: Vec<_> = dropped.iter().map(|row| row.main).collect();
        let unique: BTreeSet<_> = dropped.iter().copied().collect();
        assert_eq!(unique.len(), dropped.len(), "no row is dropped twice");
        for (key, rows) in &model {
            let kept: BTreeSet<_> = rows.keys().copied().filter(|main| !unique.contains(main)).collect();
            let expected = if cut > 0 { survivors(rows, cut) } else { rows.keys().copied().collect() };
            assert_eq!(kept, expected, "key {key} after a compaction at {cut}");
            for main in cut.max(1)..changes.len() as i64 + 3 {
                assert_eq!(index.at(&[*key], main), seen(rows, main).map(at));
            }
        }
        let living = model.values().filter(|rows| cut == 0 || !survivors(rows, cut).is_empty());
        index.len() == living.filter(|rows| !rows.is_empty()).count()
    }
}

#[test]
fn the_worked_example_of_the_head() {
    let build = || {
        let mut index = Index::default();
        index.put(b"k", Newest { at: at(2), created: 2, version: 1 });
        index.put(b"k", Newest { at: at(4), created: 2, version: 2 });
        index.delete(b"k", at(6));
        index.put(b"k", Newest { at: at(8), created: 8, version: 1 });
        index
    };
    for (cut, gone) in [(3, vec![]), (5, vec![2]), (6, vec![2, 4]), (7, vec![2, 4, 6])] {
        let (mut index, mut dropped) = (build(), Vec::new());
        index.compact(cut);
        assert!(index.prune(100, &mut dropped));
        assert_eq!(dropped, gone.into_iter().map(at).collect::<Vec<_>>(), "compaction at {cut}");
    }
}

#[test]
fn spans_select_as_requests_mean_them() {
    let mut index = Index::default();
    for (main, key) in (2..).zip(["a", "a/1", "b"]) {
        index.put(key.as_bytes(), Newest { at: at(main), created: main, version: 1 });
    }
    let found = |key: &str, end: &str| {
        let span = Span::new(key.as_bytes(), end.as_bytes());
        index.existing(span).map(|(_, newest)| newest.at.main).collect::<Vec<_>>()
    };
    assert_eq!(found("a", ""), [2]);
    assert_eq!(found("a", "b"), [2, 3]);
    assert_eq!(found("a/", "\0"), [3, 4]);
    assert_eq!(found("\0", "\0"), [2, 3, 4]);
    assert_eq!(found("b", "a"), [], "a range that ends before it begins is empty");
    assert_eq!(found("a", "a"), []);
}
