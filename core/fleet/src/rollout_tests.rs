use super::*;
use quickcheck::{Arbitrary, Gen, TestResult, quickcheck};

const SECOND: Duration = Duration::from_secs(1);

fn version(number: u8) -> Version {
    Version { hash: UnitHash([number; 20]), run: 0 }
}

fn pace(at_once: u32) -> Pace {
    Pace { at_once, healthy_after: 2 * SECOND, healthy_within: 10 * SECOND, forced: false }
}

fn id(number: usize) -> CopyId {
    CopyId { unit: UnitName::parse("g.service").unwrap(), machine: format!("m{number:03}").as_str().into() }
}

fn group(count: usize) -> BTreeMap<CopyId, Copy> {
    let old = version(1);
    let copy = Copy { wanted: version(2), ordered: old, reported: Some(old), health: Health::Up };
    (0..count).map(|number| (id(number), copy.clone())).collect()
}

/// The engine's and the agents' part: what was advanced is ordered, and done when `done` says so.
fn order(copies: &mut BTreeMap<CopyId, Copy>, turn: &Turn) {
    for id in &turn.advance {
        let copy = copies.get_mut(id).unwrap();
        copy.ordered = copy.wanted;
    }
}

fn carry_out(copies: &mut BTreeMap<CopyId, Copy>, health: Health) {
    for copy in copies.values_mut().filter(|copy| copy.reported != Some(copy.ordered)) {
        copy.reported = Some(copy.ordered);
        copy.health = health.clone();
    }
}

#[test]
fn goes_on_when_a_copy_is_healthy() {
    let (mut rollout, mut copies) = (Rollout::default(), group(3));
    let first = rollout.step(SECOND, &pace(1), &copies);
    assert_eq!((&first.advance, first.wake), (&vec![id(0)], Some(11 * SECOND)));
    order(&mut copies, &first);
    assert_eq!(rollout.step(2 * SECOND, &pace(1), &copies).advance, []);
    carry_out(&mut copies, Health::Up);
    let waiting = rollout.step(3 * SECOND, &pace(1), &copies);
    assert_eq!((waiting.advance, waiting.wake), (vec![], Some(5 * SECOND)));
    assert_eq!(rollout.step(5 * SECOND, &pace(1), &copies).advance, [id(1)]);
}

#[test]
fn a_copy_that_flaps_is_not_healthy() {
    let (mut rollout, mut copies) = (Rollout::default(), group(2));
    let turn = rollout.step(SECOND, &pace(1), &copies);
    order(&mut copies, &turn);
    carry_out(&mut copies, Health::Up);
    for second in 2..11 {
        copies.get_mut(&id(0)).unwrap().health = if second % 2 == 1 { Health::Up } else { Health::Down };
        assert_eq!(rollout.step(second * SECOND, &pace(1), &copies).advance, []);
    }
    let (failed, reason) = rollout.step(11 * SECOND, &pace(1), &copies).failed.unwrap();
    assert_eq!((failed, reason.as_str()), (id(0), "it was not healthy within 10 s"));
}

#[test]
fn a_failure_of_the_version_before_says_nothing() {
    let (mut rollout, mut copies) = (Rollout::default(), group(2));
    copies.get_mut(&id(1)).unwrap().health = Health::Failed("exit code 1".into());
    let turn = rollout.step(SECOND, &pace(1), &copies);
    assert_eq!(turn.advance, [id(1)], "what does not run goes first");
    order(&mut copies, &turn);
    assert_eq!(rollout.step(2 * SECOND, &pace(1), &copies).failed, None);
    carry_out(&mut copies, Health::Failed("exit code 2".into()));
    assert_eq!(rollout.step(3 * SECOND, &pace(1), &copies).failed, Some((id(1), "exit code 2".into())));
}

#[test]
fn an_order_that_was_not_written_is_asked_for_again() {
    let (mut rollout, copies) = (Rollout::default(), group(2));
    assert_eq!(rollout.step(SECOND, &pace(1), &copies).advance, [id(0)]);
    assert_eq!(rollout.step(2 * SECOND, &pace(1), &copies).advance, [id(0)]);
}

#[test]
fn the_way_back_goes_on_past_failures() {
    let (mut rollout, mut copies) = (Rollout::default(), group(2));
    let forced = Pace { forced: true, ..pace(1) };
    let turn = rollout.step(SECOND, &forced, &copies);
    order(&mut copies, &turn);
    carry_out(&mut copies, Health::Failed("exit code 2".into()));
    let turn = rollout.step(2 * SECOND, &forced, &copies);
    assert_eq!((turn.failed, turn.advance), (None, vec![id(1)]));
}

#[test]
fn another_engine_takes_up_what_was_begun() {
    let (mut rollout, mut copies) = (Rollout::default(), group(3));
    let turn = rollout.step(SECOND, &pace(1), &copies);
    order(&mut copies, &turn);
    carry_out(&mut copies, Health::Up);
    let mut next = Rollout::default();
    assert_eq!(next.step(2 * SECOND, &pace(1), &copies).advance, []);
    assert_eq!(next.step(4 * SECOND, &pace(1), &copies).advance, [id(1)]);
    let settled: BTreeMap<_, _> =
        copies.iter().map(|(id, copy)| (id.clone(), Copy { wanted: copy.ordered, ..copy.clone() })).collect();
    let turn = Rollout::default().step(SECOND, &pace(1), &settled);
    assert_eq!(turn, Turn::default(), "a group at rest is left alone");
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    Slow(u8),
    Fails,
}

impl Arbitrary for Fate {
    fn arbitrary(g: &mut Gen) -> Fate {
        match u8::arbitrary(g) % 8 {
            0 => Fate::Fails,
            1..4 => Fate::Slow(u8::arbitrary(g) % 7),
            _ => Fate::Well,
        }
    }
}

quickcheck! {
    /// However copies fare, and whenever a new engine takes over: never more than allowed are away from health at a time, all
    /// get there if all fare well, and after a failure nothing more is replaced.
    fn keeps_the_pace(fates: Vec<Fate>, at_once: u8, restarts: Vec<u8>) -> TestResult {
        let at_once = u32::from(at_once % 5) + 1;
        if fates.is_empty() || fates.len() > 30 {
            return TestResult::discard();
        }
        let (mut rollout, mut copies) = (Rollout::default(), group(fates.len()));
        let mut ordered_at = BTreeMap::new();
        for second in 1..1_000u32 {
            let now = second * SECOND;
            if restarts.contains(&(second as u8)) && second < 256 {
                rollout = Rollout::default();
            }
            for ((id, copy), fate) in copies.iter_mut().zip(&fates) {
                let Some(at) = ordered_at.get(id) else { continue };
                let (delay, health) = match fate {
                    Fate::Well => (1, Health::Up),
                    Fate::Slow(delay) => (u32::from(*delay), Health::Up),
                    Fate::Fails => (1, Health::Failed("it failed".into())),
                };
                if second >= at + delay {
                    (copy.reported, copy.health) = (Some(copy.ordered), health);
                }
            }
            let turn = rollout.step(now, &pace(at_once), &copies);
            if let Some((failed, _)) = turn.failed {
                let number = copies.keys().position(|id| *id == failed).unwrap();
                return TestResult::from_bool(turn.advance.is_empty() && matches!(fates[number], Fate::Fails));
            }
            order(&mut copies, &turn);
            ordered_at.extend(turn.advance.into_iter().map(|id| (id, second)));
            let away = copies.values().filter(|copy| copy.reported != Some(copy.wanted) && copy.ordered == copy.wanted);
            if away.count() > at_once as usize {
                return TestResult::failed();
            }
        }
        TestResult::from_bool(copies.values().all(|copy| copy.reported == Some(copy.wanted)))
    }
}
