//! `orlop-chaos`: many seeds, or one again.
//!
//! `run` draws a plan from each seed and runs it in a sealed world, on all cores, until the seeds or the minutes are
//! over; it prints each failure with the command that replays it, and says at the end what the campaign covered.
//! `replay` runs one seed or one plan file, with a trace if asked: the same bytes each time. `plan` prints the plan of
//! a seed, to be read, cut and replayed. `shrink` makes a small plan of one that fails; `diff` shows where two runs part;
//! `report` draws a run as a page; `bugbase` keeps what once failed; `mutants` measures how many seeds a planted bug takes. Each takes `--workload`.
//! `real` does a plan of the store to real processes.
//! Exit codes: 0 all held, 1 an invariant broke (or two runs differ, or a bug was not found), 2 wrong usage.
#![forbid(unsafe_code)]

mod args;
mod campaign;
mod coverage;
mod diff;
mod keep;
mod mutants;
mod progress;
mod real;
mod replay;
mod report;
mod shrink;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match args::Args::parse().command {
        args::Command::Run(run) => campaign::run(&run),
        args::Command::Replay(replay) => replay::replay(&replay),
        args::Command::Shrink(shrink) => shrink::shrink(&shrink),
        args::Command::Mutants(mutants) => mutants::mutants(&mutants),
        args::Command::Bugbase(bugbase) => keep::bugbase(&bugbase),
        args::Command::Report(report) => report::report(&report),
        args::Command::Diff(diff) => diff::diff(&diff),
        args::Command::Real(real) => real::real(&real),
        args::Command::Plan { seed, workload } => replay::print_plan(seed, workload),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(text) => {
            eprintln!("orlop-chaos: {text}");
            ExitCode::from(2)
        }
    }
}
