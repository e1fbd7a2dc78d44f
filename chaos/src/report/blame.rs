//! What a failure is about, and which faults it needs.
//!
//! The checkers name the operation, the watcher or the lease, and the member, in their words. Which fault is behind a failure is not
//! guessed but tried: the plan runs again with one fault after the other taken away, from the last to the first; what can go without
//! the same invariant holding again stays away. What is left is *needed*: without any one of these the run does not fail like
//! this. A plan is deterministic, so the answer is true of this run; there may be another such set.

use io_sim::checkers::Failure;
use io_sim::load::Load;
use io_sim::runner::Options;
use kernel::Planted;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// First words of lines that are faults.
const FAULTS: [&str; 2] = ["fault", "mishap"];

/// What is known of why a run fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// Lines of the plan: faults that this failure needs.
    pub needed: Vec<String>,
    /// Runs that it took to know.
    pub runs: u32,
    /// Whether the time was enough to try them all.
    pub complete: bool,
}

/// Looks for the faults that `failure` of `load` needs, for about as long as `budget`.
pub fn blame(load: &Load, failure: &Failure, planted: Planted, budget: Duration) -> Blame {
    needed(&load.to_string(), budget, |load| {
        let report = load.run(Options { planted, trace: None });
        let other = report.failure.as_ref();
        other.is_some_and(|other| (other.checker, other.invariant) == (failure.checker, failure.invariant))
    })
}

/// The faults that the plan `text` needs to fail, where `fails` says whether a part of it does.
fn needed(text: &str, budget: Duration, mut fails: impl FnMut(&Load) -> bool) -> Blame {
    let until = Instant::now() + budget;
    let mut runs = 0;
    let mut fails_without = |gone: &BTreeSet<usize>| {
        let kept = text.lines().enumerate().filter(|(number, _)| !gone.contains(number));
        let rest = kept.map(|(_, line)| format!("{line}\n")).collect::<String>();
        let Ok(rest) = Load::parse(&rest) else { return true };
        runs += 1;
        fails(&rest)
    };
    let mut faults: Vec<usize> = (text.lines().enumerate())
        .filter(|(_, line)| line.split(' ').next().is_some_and(|word| FAULTS.contains(&word)))
        .map(|(number, _)| number)
        .collect();
    let mut gone = BTreeSet::new();
    let mut needed = Vec::new();
    let mut complete = true;
    while let Some(fault) = faults.pop() {
        if Instant::now() > until {
            complete = false;
            break;
        }
        gone.insert(fault);
        if !fails_without(&gone) {
            gone.remove(&fault);
            needed.push(fault);
        }
    }
    needed.sort_unstable();
    let needed = text.lines().enumerate().filter(|(number, _)| needed.contains(number));
    Blame { needed: needed.map(|(_, line)| line.to_string()).collect(), runs, complete }
}

/// What the words of a failure are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The operation of the plan: a call, a watcher, or the grant of a lease.
    pub operation: Option<u64>,
    /// The member.
    pub member: Option<u64>,
}

impl About {
    /// Reads what a checker said.
    pub fn of(text: &str) -> About {
        let operation = ["operation", "watcher", "lease", "op"].iter().find_map(|word| number(text, word));
        About { operation, member: number(text, "member").or_else(|| number(text, "on m")) }
    }
}

/// The number behind the first `word` that has one.
fn number(text: &str, word: &str) -> Option<u64> {
    text.match_indices(word).find_map(|(at, _)| {
        if text[..at].ends_with(|c: char| c.is_alphanumeric()) {
            return None;
        }
        let rest = text[at + word.len()..].trim_start_matches([' ', '#']);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

/// The failure as the page has it; `at` is when the run ended.
pub fn json(failure: &Failure, blame: &Blame, at: Duration) -> Value {
    let about = About::of(&failure.text);
    json!({
        "checker": failure.checker,
        "invariant": failure.invariant,
        "text": failure.text,
        "operation": about.operation,
        "member": about.member,
        "at": at.as_micros() as u64,
        "needed": blame.needed,
        "runs": blame.runs,
        "complete": blame.complete,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkers_name_what_they_are_about() {
        let told = [
            ("operation 17 of client 2 on member 3 (1s to 2s): expected", Some(17), Some(3)),
            ("watcher 9 of b\"k\" on member 1 from revision 4", Some(9), Some(1)),
            ("lease 210 (ttl 3 s, granted at 1s) expired", Some(210), None),
            ("after index 4 member 2 has state hash 1", None, Some(2)),
            ("the operations on k000 have no order that explains their answers", None, None),
        ];
        for (text, operation, member) in told {
            assert_eq!(About::of(text), About { operation, member }, "{text}");
        }
    }

    #[test]
    fn the_faults_that_a_failure_needs_are_found_among_others() {
        let text = include_str!("example.plan");
        let both = |load: &Load| {
            let text = load.to_string();
            text.contains("fault slow-disk") && text.contains("fault slow-link")
        };
        let blame = needed(text, Duration::from_secs(60), both);
        assert!(blame.complete && blame.runs == 4, "{blame:?}");
        let classes: Vec<_> = blame.needed.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(classes, ["slow-link", "slow-disk"]);
        let none = needed(text, Duration::from_secs(60), |_| true);
        assert_eq!(none, Blame { needed: Vec::new(), runs: 4, complete: true });
        assert!(!needed(text, Duration::ZERO, both).complete);
    }
}
