//! How long a cluster takes from power on until every container reaches every other, in the simulated world.
//!
//! `cargo run --release -p sim-tests --example flannel_cold_start [MACHINES]`: 1,000 where nothing is said. Ends with status 1 where it
//! takes more than ten simulated seconds.

use sim_tests::overlay::cold_start;
use std::process::ExitCode;
use std::time::Duration;

/// The bound.
const MOST: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let count = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse());
    let Ok(count) = count else {
        eprintln!("the number of machines is a number: flannel_cold_start 1000");
        return ExitCode::from(2);
    };
    let outcome = cold_start(count);
    println!("{outcome}");
    if outcome.took <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
