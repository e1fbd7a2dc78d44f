//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Runs Orlop in an invented world, and looks for broken promises.
#[derive(Parser)]
#[command(name = "orlop-chaos", version = env!("ORLOP_COMMIT"), max_term_width = 110)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run many seeds and report what broke and what was covered.
    Run(Run),
    /// Run one seed or one plan again.
    Replay(Replay),
    /// Print the plan that a seed stands for.
    Plan {
        /// The seed.
        seed: u64,
        /// Of what.
        #[arg(long, value_enum, default_value_t = Single::Store)]
        workload: Single,
    },
}

/// What is run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// The store and its clients.
    Store,
    /// Machines, units and an operator, over a store.
    Fleet,
    /// Each seed as both.
    All,
}

/// One kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Single {
    /// The store and its clients.
    Store,
    /// Machines, units and an operator, over a store.
    Fleet,
}

impl Workload {
    /// The kinds of run that each seed is run as.
    pub fn kinds(self) -> &'static [Single] {
        match self {
            Workload::Store => &[Single::Store],
            Workload::Fleet => &[Single::Fleet],
            Workload::All => &[Single::Store, Single::Fleet],
        }
    }
}

impl Single {
    /// Its word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Single::Store => "store",
            Single::Fleet => "fleet",
        }
    }
}

/// Arguments of `run`.
#[derive(ClapArgs)]
pub struct Run {
    /// What to run.
    #[arg(long, value_enum, default_value_t = Workload::Store)]
    pub workload: Workload,
    /// How many seeds; without it and without --minutes, 1000.
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub from: u64,
    /// Runs at a time; as many as there are cores by default.
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
    /// Stop after so many minutes.
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// Stop at the first failure.
    #[arg(long)]
    pub first: bool,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Form of a report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Arguments of `replay`.
#[derive(ClapArgs)]
pub struct Replay {
    /// A seed, or a file with a plan.
    #[arg(value_name = "SEED|PLAN")]
    pub what: String,
    /// What a seed stands for; a plan says it itself.
    #[arg(long, value_enum, default_value_t = Single::Store)]
    pub workload: Single,
    /// Print every event.
    #[arg(long)]
    pub trace: bool,
}
