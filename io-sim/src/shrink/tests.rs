//! The passes, with a judge that only reads: what it wants must remain, and nothing else.

use super::*;
use crate::load::Kind;

/// Fails while the text has all of these words, at the moment of the `end`.
struct Reader {
    wanted: Vec<&'static str>,
    runs: u64,
    most: u64,
}

impl Judge for Reader {
    fn first(&mut self, candidates: &[Draft]) -> Option<(usize, Duration)> {
        candidates
            .iter()
            .position(|draft| {
                let text = draft.to_string();
                self.runs += 1;
                let parses = Load::parse(&text).is_ok();
                parses && self.runs < self.most && self.wanted.iter().all(|word| text.contains(word))
            })
            .map(|found| (found, Duration::from_millis(candidates[found].plan_number("end").unwrap_or(0))))
    }

    fn runs(&self) -> u64 {
        self.runs
    }

    fn is_over(&self) -> bool {
        self.runs >= self.most
    }
}

fn shrunk(load: &Load, wanted: &[&'static str], most: u64) -> (Draft, bool) {
    let judge = Reader { wanted: wanted.to_vec(), runs: 0, most };
    let best = Draft::new(&load.to_string());
    let end = Duration::from_millis(best.plan_number("end").unwrap());
    let mut session = Session { best, moment: end, dice: 1, judge };
    let finished = session.go(&mut |_, _| ());
    (session.best, finished)
}

#[test]
fn what_matters_remains_and_nothing_else() {
    let (best, finished) = shrunk(&Load::from_seed(Kind::Store, 7), &["fault wipe", "op 22 put"], u64::MAX);
    assert!(finished);
    assert_eq!(counts(&best), (1, 1), "{best}");
    assert_eq!(best.plan_number("members"), Some(1), "{best}");
}

#[test]
fn a_plan_of_a_fleet_is_shrunk_by_the_same_passes() {
    let (best, finished) = shrunk(&Load::from_seed(Kind::Fleet, 7), &["mishap crash", "unit=12"], u64::MAX);
    assert!(finished);
    assert_eq!(counts(&best), (1, 1), "{best}");
    assert_eq!(best.0[best.frame("fleet").unwrap()].number("machines"), Some(1), "{best}");
}

#[test]
fn one_that_is_over_keeps_the_best_so_far() {
    let load = Load::from_seed(Kind::Store, 7);
    let all = counts(&Draft::new(&load.to_string()));
    let (best, finished) = shrunk(&load, &["fault wipe", "op 22 put"], 6);
    assert!(!finished);
    let left = counts(&best);
    assert!(left < all && left.0 >= 1 && left.1 >= 1, "{left:?} of {all:?}");
}

quickcheck::quickcheck! {
    fn a_draft_is_the_plan_that_it_was_made_of(seed: u64) -> bool {
        Kind::ALL.iter().all(|kind| {
            let load = Load::from_seed(*kind, seed);
            Load::parse(&Draft::new(&load.to_string()).to_string()) == Ok(load)
        })
    }
}
