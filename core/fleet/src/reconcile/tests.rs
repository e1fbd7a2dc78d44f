//! From any state, carrying out the steps against a model of systemd leads to what is wanted, in few steps and without harm.

use super::*;
use quickcheck::{Arbitrary, Gen, quickcheck};

/// More steps than any way needs: stop, uninstall, reload, claim, fetch, install, reload, start, finish.
const MOST_STEPS: usize = 9;

fn hash(number: u8) -> UnitHash {
    UnitHash([number; 20])
}

fn order(number: u8, state: DesiredState, run: u64) -> Order {
    Order { hash: hash(number), state, run }
}

#[derive(Clone, Debug)]
struct Case {
    wish: Wish,
    actual: Actual,
}

impl Arbitrary for Case {
    fn arbitrary(g: &mut Gen) -> Case {
        let state = *g.choose(&[DesiredState::Loaded, DesiredState::Launched]).expect("not empty");
        let wish = match u8::arbitrary(g) % 4 {
            0 => Wish::Absent,
            _ => Wish::Ordered(order(u8::arbitrary(g) % 3, state, u64::arbitrary(g) % 3)),
        };
        let reported = bool::arbitrary(g);
        let activity = *g.choose(&[Activity::AtRest, Activity::Running]).expect("not empty");
        let actual = Actual {
            file: bool::arbitrary(g).then(|| hash(u8::arbitrary(g) % 3)),
            read: bool::arbitrary(g),
            activity,
            launched: bool::arbitrary(g),
            run: u64::arbitrary(g) % 3,
            reported,
            claimed: reported && bool::arbitrary(g),
            has_text: bool::arbitrary(g),
            finished: bool::arbitrary(g),
        };
        Case { wish, actual }
    }
}

/// Does `step` as a systemd and a store that obey would, and checks that it was allowed.
fn carry_out(step: Step, wish: &Wish, actual: &mut Actual) {
    let order = match wish {
        Wish::Ordered(order) => Some(order),
        _ => None,
    };
    if matches!(step, Step::Install | Step::Start) {
        assert!(actual.claimed && order.is_some(), "{step:?} without a claim: {actual:?}");
    }
    if step == Step::Uninstall {
        assert_eq!(actual.activity, Activity::AtRest, "uninstalled under a running unit");
    }
    if matches!(step, Step::Release | Step::Forget) {
        assert!(actual.file.is_none() && actual.read, "{step:?} before it is gone");
    }
    if matches!(step, Step::Stop | Step::Uninstall) {
        assert!(actual.file.is_some() || !actual.read, "{step:?} of what was not installed here");
    }
    match step {
        Step::Claim => (actual.claimed, actual.reported) = (true, true),
        Step::Fetch => actual.has_text = true,
        Step::Install => (actual.file, actual.read) = (order.map(|order| order.hash), false),
        Step::Reload => actual.read = true,
        Step::Start => {
            let order = order.expect("checked above");
            assert_eq!(order.state, DesiredState::Launched, "started what shall only be loaded");
            assert_eq!(actual.file, Some(order.hash), "started another text");
            assert!(actual.read, "started a text that systemd has not read");
            (actual.activity, actual.launched, actual.run) = (Activity::Running, true, order.run);
        }
        Step::Stop => {
            assert_eq!(actual.activity, Activity::Running, "stopped what is at rest");
            (actual.activity, actual.launched) = (Activity::AtRest, false);
        }
        Step::Uninstall => (actual.file, actual.read, actual.launched) = (None, false, false),
        Step::Settle => actual.launched = false,
        Step::Finish => actual.finished = false,
        Step::Release => (actual.reported, actual.claimed) = (false, false),
        Step::Forget => assert!(actual.file.is_none() && !actual.reported, "forgot what is there"),
    }
}

fn arrived(wish: &Wish, actual: &Actual) -> bool {
    match wish {
        Wish::Unknown => true,
        Wish::Absent => actual.file.is_none() && !actual.reported && actual.read,
        Wish::Ordered(order) => {
            let launched = order.state == DesiredState::Launched;
            actual.claimed
                && actual.file == Some(order.hash)
                && actual.read
                && actual.launched == launched
                && (!launched || actual.run == order.run)
        }
    }
}

quickcheck! {
    fn converges_in_few_steps(case: Case) -> bool {
        let Case { wish, mut actual } = case;
        for _ in 0..MOST_STEPS {
            match next_step(&wish, &actual, Footing::Firm) {
                Some(Step::Forget) | None => return arrived(&wish, &actual),
                Some(step) => carry_out(step, &wish, &mut actual),
            }
        }
        next_step(&wish, &actual, Footing::Firm).is_none_or(|step| step == Step::Forget)
    }

    fn a_change_of_mind_is_carried_out_from_where_it_finds_things(first: Case, second: Case, steps: u8) -> bool {
        let mut actual = first.actual;
        for _ in 0..steps % MOST_STEPS as u8 {
            match next_step(&first.wish, &actual, Footing::Firm) {
                Some(Step::Forget) | None => break,
                Some(step) => carry_out(step, &first.wish, &mut actual),
            }
        }
        // Another order is another text to fetch and another claim to make.
        actual.has_text = false;
        actual.claimed = false;
        for _ in 0..MOST_STEPS {
            match next_step(&second.wish, &actual, Footing::Firm) {
                Some(Step::Forget) | None => return arrived(&second.wish, &actual),
                Some(step) => carry_out(step, &second.wish, &mut actual),
            }
        }
        next_step(&second.wish, &actual, Footing::Firm).is_none_or(|step| step == Step::Forget)
    }

    fn an_unknown_activity_is_never_acted_upon(case: Case) -> bool {
        let actual = Actual { activity: Activity::Unknown, ..case.actual };
        [Footing::Firm, Footing::Shaky, Footing::Forbidden].into_iter().all(|footing| {
            let step = next_step(&case.wish, &actual, footing);
            !matches!(step, Some(Step::Stop | Step::Uninstall))
        })
    }

    fn a_unit_of_somebody_else_runs_on(case: Case, steps: u8) -> bool {
        // Without a file, and with everything read: whatever runs under this name was not put there by fleet.
        let mut actual = Actual { file: None, read: true, activity: Activity::Running, ..case.actual };
        for _ in 0..steps % 16 {
            match next_step(&Wish::Absent, &actual, Footing::Firm) {
                Some(Step::Forget) | None => break,
                Some(step) => carry_out(step, &Wish::Absent, &mut actual),
            }
        }
        actual.activity == Activity::Running
    }

    fn without_orders_nothing_is_touched(case: Case) -> bool {
        [Footing::Firm, Footing::Shaky].into_iter().all(|footing| {
            next_step(&Wish::Unknown, &case.actual, footing).is_none()
        })
    }

    fn on_shaky_ground_an_ordered_unit_is_left_as_it_is(case: Case) -> bool {
        !matches!(case.wish, Wish::Ordered(_)) || next_step(&case.wish, &case.actual, Footing::Shaky).is_none()
    }

    fn what_is_forbidden_is_stopped_and_not_started(case: Case) -> bool {
        let step = next_step(&case.wish, &case.actual, Footing::Forbidden);
        match case.actual.activity {
            Activity::Running => step == Some(Step::Stop) || case.actual.file.is_none(),
            _ => !matches!(step, Some(Step::Start | Step::Install | Step::Claim)),
        }
    }

    fn the_same_order_causes_nothing(case: Case) -> bool {
        let Wish::Ordered(order) = &case.wish else { return true };
        let launched = order.state == DesiredState::Launched;
        let settled = Actual {
            file: Some(order.hash), read: true, launched, run: order.run, reported: true, claimed: true,
            finished: false, ..case.actual
        };
        next_step(&case.wish, &settled, Footing::Firm).is_none()
    }
}

/// The way of a unit as words, from `actual` to where nothing is left to do.
fn way(wish: &Wish, mut actual: Actual) -> String {
    let mut words = Vec::new();
    while let Some(step) = next_step(wish, &actual, Footing::Firm) {
        words.push(step.as_str());
        if step == Step::Forget {
            break;
        }
        carry_out(step, wish, &mut actual);
        assert!(words.len() <= MOST_STEPS, "{words:?}");
    }
    words.join(" ")
}

#[test]
fn the_ways_of_a_unit() {
    let nothing = Actual {
        file: None,
        read: true,
        activity: Activity::AtRest,
        launched: false,
        run: 0,
        reported: false,
        claimed: false,
        has_text: false,
        finished: false,
    };
    let running = Actual {
        file: Some(hash(1)),
        activity: Activity::Running,
        launched: true,
        reported: true,
        claimed: true,
        ..nothing.clone()
    };
    let failed = Actual { activity: Activity::AtRest, ..running.clone() };
    let ran = Actual { finished: true, ..failed.clone() };
    let started_by_hand = Actual { launched: false, ..running.clone() };
    let wish = |number, state, run| Wish::Ordered(order(number, state, run));
    let (launched, loaded) = (DesiredState::Launched, DesiredState::Loaded);
    let rows = [
        ("new, launched", wish(1, launched, 0), &nothing, "claim fetch install reload start"),
        ("new, loaded", wish(1, loaded, 0), &nothing, "claim fetch install reload"),
        ("unchanged", wish(1, launched, 0), &running, ""),
        ("a oneshot that has run", wish(1, launched, 0), &ran, "finish"),
        ("failed by itself", wish(1, launched, 0), &failed, ""),
        ("launched, want loaded", wish(1, loaded, 0), &running, "stop"),
        ("failed, want loaded", wish(1, loaded, 0), &failed, "settle"),
        ("started by hand, want loaded", wish(1, loaded, 0), &started_by_hand, ""),
        ("run again", wish(1, launched, 1), &running, "stop start"),
        ("failed, run again", wish(1, launched, 1), &failed, "start"),
        ("another text", wish(2, launched, 0), &running, "fetch stop uninstall install reload start"),
        ("no order", Wish::Absent, &running, "stop uninstall reload release forget"),
        ("no order, failed", Wish::Absent, &failed, "uninstall reload release forget"),
    ];
    for (title, wish, actual, expected) in rows {
        assert_eq!(way(&wish, actual.clone()), expected, "{title}");
    }
}
