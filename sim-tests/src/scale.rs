//! How long a fleet takes to start everything, in simulated time: a data centre that gets its power back, and a flood of new units.
//!
//! `cargo run --release -p sim-tests --example thousand_machines` tells both for a thousand machines and ten thousand units. The store has
//! three members, a message takes between them what the plan's knobs say, and systemd its usual time for a reload and a start.

use io_sim::fleet::plan::FleetPlan;
use io_sim::fleet::runner::{Fleet, run_scripted};
use io_sim::runner::Options;
use io_sim::systemd::Run;
use std::fmt;
use std::time::{Duration, Instant};

/// How a start went.
pub struct Start {
    what: &'static str,
    machines: u16,
    units: u16,
    /// From what began it to the last unit's start, in simulated time.
    pub took: Duration,
    /// How long the run took here.
    pub wall: Duration,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Start { what, machines, units, took, wall } = self;
        write!(
            f,
            "{machines} machines, {units} units: all started {took:?} after {what}, each once; {wall:.1?} here"
        )
    }
}

/// Everything is submitted beforehand; then all machines get power at once.
///
/// # Panics
/// When a checker is not content, or a unit is not started exactly once.
pub fn cold_start(machines: u16, units: u16) -> Start {
    let plan = plan(machines, units, 2_000);
    let power_on = Duration::from_secs(100);
    let script = move |fleet: &Fleet| {
        (1..=machines).for_each(|machine| fleet.machines.hold(machine));
        let hosts = fleet.machines.clone();
        let on = move |_: &io_sim::World| (1..=machines).for_each(|machine| hosts.release(machine));
        fleet.machines.world().at(power_on, on);
    };
    tell("power on", plan, script, move |_| power_on)
}

/// The machines are up; all units are submitted at one moment. What begins it is the last acknowledgement.
///
/// # Panics
/// As [`cold_start`].
pub fn flood(machines: u16, units: u16) -> Start {
    let submitted = |seen: &io_sim::fleet::checkers::Seen| {
        seen.done.iter().map(|done| done.returned).max().expect("deeds were done")
    };
    tell("the last was submitted", plan(machines, units, 10_000), |_| (), submitted)
}

fn plan(machines: u16, units: u16, at_ms: u64) -> FleetPlan {
    let deeds: String = (1..=units).map(|unit| format!("deed put at={at_ms}ms unit={unit}\n")).collect();
    let head = "plan seed=1 members=3 clients=1 calm=120000ms end=150000ms\n";
    FleetPlan::parse(&format!("{head}fleet machines={machines}\n{deeds}")).expect("a plan")
}

fn tell(
    what: &'static str,
    plan: FleetPlan,
    script: impl FnOnce(&Fleet) + Send + 'static,
    begins: impl FnOnce(&io_sim::fleet::checkers::Seen) -> Duration + Send + 'static,
) -> Start {
    let (machines, units) = (plan.machines, plan.deeds.len() as u16);
    let began = Instant::now();
    let (report, took) = run_scripted(&plan, Options::default(), script, move |_, seen| {
        let runs: Vec<&Run> = seen.runs.values().flatten().collect();
        assert_eq!(runs.len(), usize::from(units), "each unit is started once");
        let last = runs.iter().map(|run| run.from).max().expect("units were started");
        last.saturating_sub(begins(seen))
    });
    assert!(report.passed(), "{report}");
    let took = took.expect("a run that passed was looked at");
    Start { what, machines, units, took, wall: began.elapsed() }
}
