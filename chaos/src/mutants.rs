//! `mutants`: the seeds that it takes to find each planted bug, over several hunts.

use crate::args::{Mutants, Output, jobs};
use io_sim::hunt::{self, Hunt};
use io_sim::load::Kind;
use kernel::Bug;
use serde_json::{Value, json};

/// Hunts for every bug; whether each was found in every hunt.
pub fn mutants(args: &Mutants) -> Result<bool, String> {
    if !hunt::CAN_PLANT {
        return Err(format!("bugs cannot be planted in this build. One that can: {}", hunt::BUILD));
    }
    let bugs: Vec<(Kind, Bug)> =
        if args.bugs.is_empty() { hunt::bugs().collect() } else { args.bugs.clone() };
    let mut all = Vec::new();
    for (kind, bug) in bugs {
        let planted = hunt::plant(bug)?;
        let from = (0..args.hunts).map(|number| 1 + number * hunt::STRIDE);
        let hunts: Vec<Hunt> =
            from.map(|from| hunt::hunt(kind, planted, from, args.seeds, jobs(args.jobs), || false)).collect();
        if args.output == Output::Text {
            println!("{}", line(kind, bug, &hunts));
        }
        all.push((kind, bug, hunts));
    }
    let found = all.iter().all(|(_, _, hunts)| hunts.iter().all(|hunt| hunt.found.is_some()));
    if args.output == Output::Json {
        let bugs: Vec<Value> = all.iter().map(|(kind, bug, hunts)| json_of(*kind, *bug, hunts)).collect();
        println!(
            "{:#}",
            json!({ "commit": env!("ORLOP_COMMIT"), "seeds": args.seeds, "found": found, "bugs": bugs })
        );
    }
    Ok(found)
}

/// The middle and the largest number of seeds; none where half of the hunts, or any, found nothing.
fn spread(hunts: &[Hunt]) -> (Option<u64>, Option<u64>) {
    let mut needed: Vec<u64> = hunts.iter().map(|hunt| hunt.needed().unwrap_or(u64::MAX)).collect();
    needed.sort_unstable();
    let real = |count: Option<&u64>| count.copied().filter(|count| *count != u64::MAX);
    (real(needed.get(needed.len() / 2)), real(needed.last()))
}

fn line(kind: Kind, bug: Bug, hunts: &[Hunt]) -> String {
    let (median, worst) = spread(hunts);
    let text = |count: Option<u64>| count.map_or("none".to_string(), |count| count.to_string());
    let first = hunts.iter().find_map(|hunt| hunt.found.as_ref());
    let what = first.map_or("not found".to_string(), |(seed, failure)| {
        format!("seed {seed}: {}/{}", failure.checker, failure.invariant)
    });
    let wall: f64 = hunts.iter().map(|hunt| hunt.wall.as_secs_f64()).sum();
    let (median, worst) = (text(median), text(worst));
    format!("{kind:<6} {:<24} median {median:>5}  worst {worst:>5}  {wall:>6.1} s  {what}", hunt::name(bug))
}

fn json_of(kind: Kind, bug: Bug, hunts: &[Hunt]) -> Value {
    let (median, worst) = spread(hunts);
    let hunts = hunts.iter().map(|hunt| {
        let found = hunt.found.as_ref().map(|(seed, failure)| {
            json!({ "seed": seed, "checker": failure.checker, "invariant": failure.invariant, "text": failure.text })
        });
        json!({ "from": hunt.from, "needed": hunt.needed(), "runs": hunt.runs, "seconds": hunt.wall.as_secs_f64(), "found": found })
    });
    json!({ "workload": kind.as_str(), "bug": hunt::name(bug), "median": median, "worst": worst,
            "hunts": hunts.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use io_sim::checkers::Failure;
    use std::time::Duration;

    fn hunt(needed: Option<u64>) -> Hunt {
        let failure = Failure { checker: "logs", invariant: "same-entry", text: String::new() };
        let found = needed.map(|needed| (10 + needed, failure));
        Hunt { from: 11, runs: 0, found, wall: Duration::ZERO }
    }

    #[test]
    fn the_spread_counts_a_hunt_that_found_nothing_as_the_worst() {
        assert_eq!(spread(&[hunt(Some(9)), hunt(Some(1)), hunt(Some(4))]), (Some(4), Some(9)));
        assert_eq!(spread(&[hunt(None), hunt(Some(1)), hunt(Some(4))]), (Some(4), None));
        assert_eq!(spread(&[hunt(None), hunt(None), hunt(Some(4))]), (None, None));
        assert!(line(Kind::Store, Bug::VoteTwice, &[hunt(Some(3))]).contains("seed 13: logs/same-entry"));
    }
}
