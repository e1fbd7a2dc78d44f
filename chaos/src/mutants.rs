//! `mutants`: the seeds that it takes to find each planted bug, over several hunts; and what shrinking leaves of the first find.

use crate::args::{Mutants, Output, jobs};
use io_sim::hunt::{self, Hunt};
use io_sim::load::{Kind, Load};
use io_sim::shrink::{self, Settings};
use kernel::{Bug, Planted};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What shrinking shall leave of a planted bug's plan at most: faults and operations.
const SMALL: (usize, usize) = (10, 20);

/// What came of one bug.
struct Outcome {
    kind: Kind,
    bug: Bug,
    hunts: Vec<Hunt>,
    shrunk: Option<Small>,
}

/// What shrinking left of a plan.
struct Small {
    seed: u64,
    before: (usize, usize),
    after: (usize, usize),
    runs: u64,
    wall: Duration,
    finished: bool,
}

impl Small {
    fn is_small(&self) -> bool {
        self.after.0 <= SMALL.0 && self.after.1 <= SMALL.1
    }
}

/// Hunts for every bug; whether each was found in every hunt.
pub fn mutants(args: &Mutants) -> Result<bool, String> {
    if !hunt::CAN_PLANT {
        return Err(format!("bugs cannot be planted in this build. One that can: {}", hunt::BUILD));
    }
    let bugs: Vec<(Kind, Bug)> =
        if args.bugs.is_empty() { hunt::bugs().collect() } else { args.bugs.clone() };
    let mut all = Vec::new();
    for (kind, bug) in bugs {
        let outcome = outcome_of(args, kind, bug)?;
        if args.output == Output::Text {
            println!("{}", line(&outcome));
        }
        all.push(outcome);
    }
    let found = all.iter().all(|outcome| outcome.hunts.iter().all(|hunt| hunt.found.is_some()));
    match args.output {
        Output::Text => println!("{}", summary(&all)),
        Output::Json => {
            let bugs: Vec<Value> = all.iter().map(json_of).collect();
            println!(
                "{:#}",
                json!({ "commit": env!("ORLOP_COMMIT"), "seeds": args.seeds, "found": found, "bugs": bugs })
            );
        }
    }
    Ok(found)
}

fn outcome_of(args: &Mutants, kind: Kind, bug: Bug) -> Result<Outcome, String> {
    let planted = hunt::plant(bug)?;
    let jobs = jobs(args.jobs);
    let from = (0..args.hunts).map(|number| 1 + number * hunt::STRIDE);
    let hunts: Vec<Hunt> =
        from.map(|from| hunt::hunt(kind, planted, from, args.seeds, jobs, || false)).collect();
    let seed = hunts.iter().find_map(|hunt| hunt.found.as_ref()).map(|(seed, _)| *seed);
    let shrunk = match (args.shrink, seed) {
        (Some(budget), Some(seed)) => Some(small(kind, seed, planted, jobs, budget)?),
        _ => None,
    };
    Ok(Outcome { kind, bug, hunts, shrunk })
}

fn small(kind: Kind, seed: u64, planted: Planted, jobs: usize, budget: Duration) -> Result<Small, String> {
    let settings = Settings { planted, jobs, budget, stop: Arc::new(AtomicBool::new(false)) };
    let shrunk = shrink::shrink(&Load::from_seed(kind, seed), &settings, |_| ())?;
    let (before, after) = (shrunk.before, shrunk.after);
    Ok(Small { seed, before, after, runs: shrunk.runs, wall: shrunk.wall, finished: shrunk.finished })
}

/// The middle and the largest number of seeds; none where half of the hunts, or any, found nothing.
fn spread(hunts: &[Hunt]) -> (Option<u64>, Option<u64>) {
    let mut needed: Vec<u64> = hunts.iter().map(|hunt| hunt.needed().unwrap_or(u64::MAX)).collect();
    needed.sort_unstable();
    let real = |count: Option<&u64>| count.copied().filter(|count| *count != u64::MAX);
    (real(needed.get(needed.len() / 2)), real(needed.last()))
}

fn text(count: Option<u64>) -> String {
    count.map_or("none".to_string(), |count| count.to_string())
}

fn line(outcome: &Outcome) -> String {
    let Outcome { kind, bug, hunts, shrunk } = outcome;
    let (median, worst) = spread(hunts);
    let first = hunts.iter().find_map(|hunt| hunt.found.as_ref());
    let what = first.map_or("not found".to_string(), |(seed, failure)| {
        format!("seed {seed}: {}/{}", failure.checker, failure.invariant)
    });
    let wall: f64 = hunts.iter().map(|hunt| hunt.wall.as_secs_f64()).sum();
    let (median, worst) = (text(median), text(worst));
    let less = shrunk.as_ref().map_or(String::new(), |small| {
        let ((faults, operations), (fewer, less)) = (small.before, small.after);
        let wall = small.wall.as_secs_f64();
        format!("  {faults:>3} faults -> {fewer:>2}  {operations:>4} operations -> {less:>3}  {wall:>5.1} s")
    });
    let name = hunt::name(*bug);
    format!("{kind:<7} {name:<28} median {median:>5}  worst {worst:>5}  {wall:>6.1} s{less}  {what}")
}

/// The medians of all bugs as a few numbers, and how many plans became small.
fn summary(all: &[Outcome]) -> String {
    let spreads = all.iter().map(|outcome| spread(&outcome.hunts));
    let (medians, worst): (Vec<_>, Vec<_>) = spreads.unzip();
    let most = |counts: &[Option<u64>]| {
        if counts.contains(&None) { None } else { counts.iter().flatten().max().copied() }
    };
    let mut sorted: Vec<u64> = medians.iter().map(|median| median.unwrap_or(u64::MAX)).collect();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().filter(|middle| *middle != u64::MAX);
    let hunted = format!(
        "{} bugs: the medians' median {}, the highest median {}, the worst hunt {}",
        all.len(),
        text(middle),
        text(most(&medians)),
        text(most(&worst))
    );
    let shrunk: Vec<&Small> = all.iter().filter_map(|outcome| outcome.shrunk.as_ref()).collect();
    if shrunk.is_empty() {
        return hunted;
    }
    let small = shrunk.iter().filter(|small| small.is_small()).count();
    let ((faults, operations), count) = (SMALL, shrunk.len());
    format!("{hunted}\n{small} of {count} shrank to at most {faults} faults and {operations} operations")
}

fn json_of(outcome: &Outcome) -> Value {
    let (median, worst) = spread(&outcome.hunts);
    let hunts = outcome.hunts.iter().map(|hunt| {
        let found = hunt.found.as_ref().map(|(seed, failure)| {
            json!({ "seed": seed, "checker": failure.checker, "invariant": failure.invariant, "text": failure.text })
        });
        json!({ "from": hunt.from, "needed": hunt.needed(), "runs": hunt.runs, "seconds": hunt.wall.as_secs_f64(), "found": found })
    });
    let shrunk = outcome.shrunk.as_ref().map(|small| {
        json!({ "seed": small.seed, "faults": [small.before.0, small.after.0],
                "operations": [small.before.1, small.after.1], "small": small.is_small(), "runs": small.runs,
                "seconds": small.wall.as_secs_f64(), "finished": small.finished })
    });
    json!({ "workload": outcome.kind.as_str(), "bug": hunt::name(outcome.bug), "median": median, "worst": worst,
            "hunts": hunts.collect::<Vec<_>>(), "shrunk": shrunk })
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_sim::checkers::Failure;

    fn hunt(needed: Option<u64>) -> Hunt {
        let failure = Failure { checker: "logs", invariant: "same-entry", text: String::new() };
        let found = needed.map(|needed| (10 + needed, failure));
        Hunt { from: 11, runs: 0, found, wall: Duration::ZERO }
    }

    fn outcome(hunts: &[Option<u64>], after: Option<(usize, usize)>) -> Outcome {
        let small = |after| Small {
            seed: 13,
            before: (70, 400),
            after,
            runs: 9,
            wall: Duration::from_secs(5),
            finished: true,
        };
        let hunts = hunts.iter().map(|needed| hunt(*needed)).collect();
        Outcome { kind: Kind::Store, bug: Bug::VoteTwice, hunts, shrunk: after.map(small) }
    }

    #[test]
    fn the_spread_counts_a_hunt_that_found_nothing_as_the_worst() {
        assert_eq!(spread(&[hunt(Some(9)), hunt(Some(1)), hunt(Some(4))]), (Some(4), Some(9)));
        assert_eq!(spread(&[hunt(None), hunt(Some(1)), hunt(Some(4))]), (Some(4), None));
        assert_eq!(spread(&[hunt(None), hunt(None), hunt(Some(4))]), (None, None));
        assert!(line(&outcome(&[Some(3)], None)).ends_with("s  seed 13: logs/same-entry"));
        assert!(line(&outcome(&[Some(3)], Some((1, 2)))).contains("70 faults ->  1   400 operations ->   2"));
    }

    #[test]
    fn the_summary_has_the_medians_and_counts_what_became_small() {
        let all = [
            outcome(&[Some(3), Some(5), Some(90)], Some((10, 20))),
            outcome(&[Some(7)], Some((11, 1))),
            outcome(&[Some(200)], Some((1, 21))),
        ];
        let text = summary(&all);
        assert!(
            text.contains("3 bugs: the medians' median 7, the highest median 200, the worst hunt 200"),
            "{text}"
        );
        assert!(text.ends_with("1 of 3 shrank to at most 10 faults and 20 operations"), "{text}");
        let text = summary(&[outcome(&[Some(3), None], None), outcome(&[Some(1)], None)]);
        assert!(
            text.ends_with("the medians' median none, the highest median none, the worst hunt none"),
            "{text}"
        );
    }
}
