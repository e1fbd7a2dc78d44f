//! The index and the interval tree against a list that is searched from end to end.

use super::super::index::{Index, Span, WatcherId};
use super::super::intervals::{End, Intervals};
use super::Change;
use super::*;
use quickcheck::quickcheck;

fn end_of(byte: u8) -> End {
    if byte.is_multiple_of(7) { End::Never } else { End::Before(Bytes::copy_from_slice(&[byte % 16])) }
}

quickcheck! {
    fn intervals_find_what_a_list_finds(steps: Vec<(bool, u8, u8, u8)>, seed: u64) -> bool {
        let mut tree = Intervals::new(seed);
        let mut list: Vec<(Bytes, End, u8)> = Vec::new();
        for (add, start, end, holder) in steps {
            let pair = (Bytes::copy_from_slice(&[start % 16]), end_of(end), holder % 4);
            if add {
                tree.insert(&pair.0, &pair.1, pair.2);
                list.push(pair.clone());
                list.sort();
                list.dedup();
            } else {
                let was_there = list.contains(&pair);
                list.retain(|other| *other != pair);
                assert_eq!(tree.remove(&pair.0, &pair.1, pair.2), was_there);
            }
            for key in 0..18u8 {
                let mut found = Vec::new();
                tree.find(&[key], &mut found);
                found.sort();
                let holds = |(start, end, _): &&(Bytes, End, u8)| {
                    start[..] <= [key][..] && (*end == End::Never || *end > End::Before(Bytes::copy_from_slice(&[key])))
                };
                let mut expected: Vec<u8> = list.iter().filter(holds).map(|pair| pair.2).collect();
                expected.sort();
                assert_eq!(found, expected, "key {key} in {list:?}");
            }
        }
        true
    }

    fn an_index_gives_each_watcher_its_positions(watchers: Vec<(u8, Option<u8>)>, keys: Vec<u8>, seed: u64) -> bool {
        let mut index = Index::new(seed);
        let mut spans = Vec::new();
        for (key, end) in watchers {
            let end = end.map_or(vec![], |end| vec![end]);
            let Some(span) = Span::of(&[key], &end) else { continue };
            let id = WatcherId { stream: spans.len() as u64 % 3, watch: spans.len() as i64 };
            index.insert(&span, id);
            spans.push((id, key, end));
        }
        let world = World::new(Options::default());
        let events: Vec<Event> = keys.iter().map(|key| world.event(&Change::Put(*key, 0), 2)).collect();
        let mut expected = Vec::new();
        for (id, key, end) in &spans {
            let wants = |at: u8| match end[..] {
                [] => at == *key,
                [0] => at >= *key,
                [end] => (*key..end).contains(&at),
                _ => unreachable!("ends have at most one byte"),
            };
            let positions = keys.iter().enumerate().filter(|(_, at)| wants(**at));
            expected.extend(positions.map(|(position, _)| (*id, position)));
        }
        expected.sort();
        index.matches(&events) == expected
    }
}

#[test]
fn ten_thousand_nested_ranges_make_no_deep_tree() {
    let mut tree = Intervals::new(1);
    for number in 0..10_000u32 {
        let end = End::Before(Bytes::copy_from_slice(&(u32::MAX - number).to_be_bytes()));
        tree.insert(&Bytes::copy_from_slice(&number.to_be_bytes()), &end, number);
    }
    assert!(tree.depth() < 60, "depth {}", tree.depth());
    let mut found = Vec::new();
    tree.find(&5_000u32.to_be_bytes(), &mut found);
    assert_eq!(found.len(), 5_001);
}

#[test]
fn spans_are_what_the_two_fields_say() {
    assert_eq!(Span::of(b"a", b""), Some(Span::Key("a".into())));
    assert_eq!(Span::of(b"a", b"\0"), Some(Span::Range("a".into(), End::Never)));
    assert_eq!(Span::of(b"", b"\0"), Some(Span::Range(Bytes::from_static(b"\0"), End::Never)));
    assert_eq!(Span::of(b"a", b"b"), Some(Span::Range("a".into(), End::Before("b".into()))));
    assert_eq!(Span::of(b"a", b"a"), None);
    assert_eq!(Span::of(b"b", b"a"), None);
}
