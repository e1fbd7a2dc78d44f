//! Ten thousand units on a thousand machines, in the simulator: how long until each is started, in simulated time.
//!
//! `cargo run --release -p sim-tests --example thousand_machines [MACHINES UNITS]`. Ends with an error when either story takes longer
//! than two seconds.

use sim_tests::scale;
use std::process::ExitCode;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u16>());
    let (machines, units) = match (args.next(), args.next()) {
        (None, None) => (1_000, 10_000),
        (Some(Ok(machines)), Some(Ok(units))) => (machines, units),
        _ => {
            eprintln!("give no argument, or two numbers: machines (up to 2000) and units");
            return ExitCode::from(2);
        }
    };
    let starts = [scale::cold_start(machines, units), scale::flood(machines, units)];
    starts.iter().for_each(|start| println!("{start}"));
    let worst = starts.iter().map(|start| start.took).max().unwrap_or_default();
    if worst <= BOUND {
        return ExitCode::SUCCESS;
    }
    eprintln!("{worst:?} is more than {BOUND:?}");
    ExitCode::FAILURE
}
