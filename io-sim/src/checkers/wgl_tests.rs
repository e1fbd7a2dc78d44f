//! Small histories by hand, and random ones that are linearizable by construction.

use super::*;
use kernel::rng::Stream;

fn event(invoked: u64, returned: impl Into<Option<u64>>, act: Act) -> Event {
    let returned = returned.into().map(Duration::from_millis);
    Event { invoked: Duration::from_millis(invoked), returned, act }
}

fn read(value: &'static str) -> Act {
    Act::Read((!value.is_empty()).then(|| Bytes::from(value)))
}

fn write(value: &'static str) -> Act {
    Act::Write((!value.is_empty()).then(|| Bytes::from(value)))
}

#[test]
fn reads_in_real_time_order_pass_and_stale_ones_do_not() {
    let fresh = [
        event(0, 10, write("a")),
        event(20, 30, read("a")),
        event(40, 50, write("")),
        event(60, 70, read("")),
    ];
    assert_eq!(check(&fresh, 1_000), Verdict::Linearizable);
    let stale = [event(0, 10, write("a")), event(20, 30, write("b")), event(40, 50, read("a"))];
    assert_eq!(check(&stale, 1_000), Verdict::Violation);
}

#[test]
fn concurrent_operations_may_go_either_way_but_not_both() {
    let either = [event(0, 100, write("a")), event(0, 100, write("b")), event(110, 120, read("a"))];
    assert_eq!(check(&either, 1_000), Verdict::Linearizable);
    let both = [either.as_slice(), &[event(130, 140, read("b"))]].concat();
    assert_eq!(check(&both, 1_000), Verdict::Violation);
}

#[test]
fn an_unknown_write_may_happen_late_or_never() {
    let never = [event(0, 10, write("a")), event(5, None, write("b")), event(20, 30, read("a"))];
    assert_eq!(check(&never, 1_000), Verdict::Linearizable);
    let late = [never.as_slice(), &[event(40, 50, read("b")), event(60, 70, read("b"))]].concat();
    assert_eq!(check(&late, 1_000), Verdict::Linearizable);
    let and_back = [late.as_slice(), &[event(80, 90, read("a"))]].concat();
    assert_eq!(check(&and_back, 1_000), Verdict::Violation);
}

#[test]
fn it_gives_up_rather_than_search_for_ever() {
    let events: Vec<_> =
        (0..30).map(|_| event(0, 100, write("a"))).chain([event(200, 210, read("b"))]).collect();
    assert_eq!(check(&events, 1_000), Verdict::Unknown);
}

/// Operations of several clients that take effect at a point inside of their time: linearizable by construction.
fn truthful(seed: u64) -> Vec<Event> {
    let mut stream = Stream::new(seed, "wgl", 0);
    let mut points: Vec<u64> = (0..60).map(|_| stream.below(1_000)).collect();
    points.sort_unstable();
    points.dedup();
    let mut state = None;
    let mut events = Vec::new();
    for point in points {
        let act = if stream.chance(1, 2) {
            state = stream.chance(4, 5).then(|| Bytes::from(point.to_string()));
            Act::Write(state.clone())
        } else {
            Act::Read(state.clone())
        };
        let returned = stream.chance(9, 10).then(|| point + stream.below(40));
        events.push(event(point.saturating_sub(stream.below(40)), returned, act));
    }
    events
}

quickcheck::quickcheck! {
    fn what_is_linearizable_by_construction_passes(seed: u64) -> bool {
        check(&truthful(seed), 10_000_000) == Verdict::Linearizable
    }

    fn a_value_that_nobody_wrote_is_caught(seed: u64) -> bool {
        let mut events = truthful(seed);
        events.push(event(2_000, 2_001, read("nobody")));
        check(&events, 10_000_000) != Verdict::Linearizable
    }
}
