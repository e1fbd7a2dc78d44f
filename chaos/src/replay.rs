//! One run, again. Standard output holds nothing but what follows from the plan, so two replays are equal to the byte.

use crate::args::{Replay, Single};
use io_sim::fleet;
use io_sim::fleet::plan::FleetPlan;
use io_sim::plan::Plan;
use io_sim::runner::{Options, Report, run_with};
use std::io::{self, Write};

/// A run to be.
enum Load {
    Store(Plan),
    Fleet(FleetPlan),
}

impl Load {
    fn of_seed(seed: u64, workload: Single) -> Load {
        match workload {
            Single::Store => Load::Store(Plan::from_seed(seed)),
            Single::Fleet => Load::Fleet(FleetPlan::from_seed(seed)),
        }
    }

    fn of(what: &str, workload: Single) -> Result<Load, String> {
        if let Ok(seed) = what.parse() {
            return Ok(Load::of_seed(seed, workload));
        }
        let text = std::fs::read_to_string(what)
            .map_err(|error| format!("{what:?} is neither a seed nor a plan that can be read: {error}"))?;
        let plan = if FleetPlan::is_meant_by(&text) {
            FleetPlan::parse(&text).map(Load::Fleet)
        } else {
            Plan::parse(&text).map(Load::Store)
        };
        plan.map_err(|error| format!("{what}: {error}"))
    }

    fn run(&self, options: Options) -> Report {
        match self {
            Load::Store(plan) => run_with(plan, options),
            Load::Fleet(plan) => fleet::runner::run_with(plan, options),
        }
    }
}

/// Replays a seed or a plan; whether it passed.
pub fn replay(args: &Replay) -> Result<bool, String> {
    let load = Load::of(&args.what, args.workload)?;
    let mut options = Options::default();
    if args.trace {
        let mut out = io::BufWriter::new(io::stdout());
        // A reader that has gone (`| head`) is no failure.
        options.trace = Some(Box::new(move |line| drop(writeln!(out, "{line}"))));
    }
    let report = load.run(options);
    let _ = writeln!(io::stdout(), "{report}");
    Ok(report.passed())
}

/// Prints the plan of a seed.
pub fn print_plan(seed: u64, workload: Single) -> Result<bool, String> {
    let text = match Load::of_seed(seed, workload) {
        Load::Store(plan) => plan.to_string(),
        Load::Fleet(plan) => plan.to_string(),
    };
    let _ = write!(io::stdout(), "{text}");
    Ok(true)
}
