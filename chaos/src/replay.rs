//! One run, again. Standard output holds nothing but what follows from the plan, so two replays are equal to the byte.

use crate::args::Replay;
use io_sim::plan::Plan;
use io_sim::runner::{Options, run_with};
use std::io::{self, Write};

fn load(what: &str) -> Result<Plan, String> {
    if let Ok(seed) = what.parse() {
        return Ok(Plan::from_seed(seed));
    }
    let text = std::fs::read_to_string(what)
        .map_err(|error| format!("{what:?} is neither a seed nor a plan that can be read: {error}"))?;
    Plan::parse(&text).map_err(|error| format!("{what}: {error}"))
}

/// Replays a seed or a plan; whether it passed.
pub fn replay(args: &Replay) -> Result<bool, String> {
    let plan = load(&args.what)?;
    let mut options = Options::default();
    if args.trace {
        let mut out = io::BufWriter::new(io::stdout());
        // A reader that has gone (`| head`) is no failure.
        options.trace = Some(Box::new(move |line| drop(writeln!(out, "{line}"))));
    }
    let report = run_with(&plan, options);
    let _ = writeln!(io::stdout(), "{report}");
    Ok(report.passed())
}

/// Prints the plan of a seed.
pub fn print_plan(seed: u64) -> Result<bool, String> {
    let _ = write!(io::stdout(), "{}", Plan::from_seed(seed));
    Ok(true)
}
