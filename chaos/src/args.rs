//! The command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use io_sim::hunt;
use io_sim::load::Kind;
use kernel::{Bug, Planted};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Where the bugbase stands in a checkout.
const BUGBASE: &str = "sim-tests/bugbase";

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
    /// Make a small plan of one that fails, which fails the same way.
    Shrink(Shrink),
    /// Count the seeds that it takes to find each planted bug.
    Mutants(Mutants),
    /// The failures that are kept, and run first.
    Bugbase(Bugbase),
    /// Write a run as a page for a browser.
    Report(ReportArgs),
    /// Show where two runs begin to differ.
    Diff(Diff),
    /// Run plans of the store on real processes, in network namespaces of their own. Needs root.
    Real(Real),
    /// Print the plan that a seed stands for.
    Plan {
        /// The seed.
        seed: u64,
        /// Of what.
        #[arg(long, value_name = "KIND", value_parser = kind(), default_value = "store")]
        workload: Kind,
    },
}

/// What is run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// The store and its clients.
    Store,
    /// Machines, units and an operator, over a store.
    Fleet,
    /// Machines of a flat network and whoever meddles with them, over a store.
    Flannel,
    /// Store, fleet and flannel on the same machines.
    Whole,
    /// Each seed as all of these.
    All,
}

impl Workload {
    /// The kinds of run that each seed is run as.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Workload::Store => &[Kind::Store],
            Workload::Fleet => &[Kind::Fleet],
            Workload::Flannel => &[Kind::Flannel],
            Workload::Whole => &[Kind::Whole],
            Workload::All => Kind::ALL,
        }
    }
}

/// Reads a kind of run.
fn kind() -> impl TypedValueParser<Value = Kind> {
    let words = PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.as_str()));
    words.map(|word| Kind::named(&word).expect("only kinds are possible"))
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
    /// Fail also if a class of fault was never seen, or a named point neither reached nor explained in docs/faults.md.
    #[arg(long)]
    pub complete: bool,
    /// Stop at the first failure.
    #[arg(long)]
    pub first: bool,
    /// The folder of what once failed, which is run first.
    #[arg(long, value_name = "FOLDER", default_value = BUGBASE, conflicts_with = "no_bugbase")]
    pub bugbase: PathBuf,
    /// Run the seeds only.
    #[arg(long)]
    pub no_bugbase: bool,
    #[command(flatten)]
    pub plant: Plant,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// The bug to plant.
#[derive(ClapArgs)]
pub struct Plant {
    /// Plant a bug in every run (in builds that can: see `mutants`).
    #[arg(long, value_name = "BUG", hide = !hunt::CAN_PLANT)]
    plant: Option<String>,
}

impl Plant {
    /// What every run gets; an error in builds that cannot plant.
    pub fn planted(&self) -> Result<Planted, String> {
        self.plant.as_deref().map_or(Ok(Planted::none()), |word| hunt::plant(hunt::named(word)?.1))
    }

    /// What a line that replays a run must say besides.
    pub fn words(&self) -> String {
        self.plant.as_ref().map_or(String::new(), |word| format!(" --plant {word}"))
    }
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
    /// A seed, a file with a plan, or - for standard input.
    #[arg(value_name = "SEED|PLAN|-")]
    pub what: String,
    /// What a seed stands for; a plan says it itself.
    #[arg(long, value_name = "KIND", value_parser = kind(), default_value = "store")]
    pub workload: Kind,
    /// Print events: those of the world (faults, processes, leaders), calls too, messages too, or all (the disks' too).
    #[arg(long, value_enum, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "all", require_equals = true)]
    pub trace: Option<Level>,
    /// Stop at a world time (12.5s, 800ms) or at the n-th event of the trace (all levels are counted).
    #[arg(long, value_name = "TIME|EVENT", value_parser = parse_stop)]
    pub stop_at: Option<StopAt>,
    #[command(flatten)]
    pub plant: Plant,
}

/// What of a trace is printed; each level has the ones above.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Faults, processes, leaders, units, and what else there is.
    World,
    /// Calls and watchers too.
    Calls,
    /// Messages and applied entries too.
    Net,
    /// The disks' work too.
    All,
}

impl Level {
    /// The level in the terms of the trace.
    pub fn of_trace(self) -> io_sim::trace::Level {
        match self {
            Level::World => io_sim::trace::Level::World,
            Level::Calls => io_sim::trace::Level::Calls,
            Level::Net => io_sim::trace::Level::Net,
            Level::All => io_sim::trace::Level::All,
        }
    }
}

/// Where a replay stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// At a world time.
    Time(Duration),
    /// Behind so many events.
    Event(u64),
}

/// Reads a time with its unit, or a number of events.
fn parse_stop(text: &str) -> Result<StopAt, String> {
    if let Ok(event) = text.parse() {
        return Ok(StopAt::Event(event));
    }
    parse_duration(text).map(StopAt::Time)
}

/// Reads a duration: 800ms, 12.5s, 2m.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{text:?} is no duration, as in 800ms, 12.5s or 2m")),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * scale);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("{text:?} is no duration, as in 800ms, 12.5s or 2m"))
}

/// Arguments of `shrink`.
#[derive(ClapArgs)]
pub struct Shrink {
    /// A seed, a file with a plan, or - for standard input.
    #[arg(value_name = "SEED|PLAN|-")]
    pub what: String,
    /// What a seed stands for; a plan says it itself.
    #[arg(long, value_name = "KIND", value_parser = kind(), default_value = "store")]
    pub workload: Kind,
    /// Stop with the best so far after this time.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "2m")]
    pub budget: Duration,
    /// Runs at a time; as many as there are cores by default. The result does not depend on it.
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
    /// Write the plan to this file, not to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep the plan in the bugbase under this name, where tests and campaigns run it first.
    #[arg(long, value_name = "NAME")]
    pub test: Option<String>,
    /// The folder of the bugbase.
    #[arg(long, value_name = "FOLDER", default_value = BUGBASE)]
    pub bugbase: PathBuf,
    #[command(flatten)]
    pub plant: Plant,
}

/// Arguments of `mutants`.
#[derive(ClapArgs)]
pub struct Mutants {
    /// Only these bugs.
    #[arg(long, value_name = "BUG,..", value_delimiter = ',', value_parser = parse_bug)]
    pub bugs: Vec<(Kind, Bug)>,
    /// Hunts for each bug, from seeds that are far apart.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub hunts: u64,
    /// Seeds after which a hunt is given up.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub seeds: u64,
    /// Shrink what the first hunt found too, each for at most so long, and tell what is left.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, num_args = 0..=1, default_missing_value = "2m",
          require_equals = true)]
    pub shrink: Option<Duration>,
    /// Runs at a time; as many as there are cores by default.
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

fn parse_bug(word: &str) -> Result<(Kind, Bug), String> {
    hunt::named(word)
}

/// Arguments of `bugbase`.
#[derive(ClapArgs)]
pub struct Bugbase {
    /// Its folder.
    #[arg(long, value_name = "FOLDER", default_value = BUGBASE, global = true)]
    pub bugbase: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub what: Keep,
}

/// What to do with the bugbase.
#[derive(Subcommand)]
pub enum Keep {
    /// Print every entry with its reason.
    List,
    /// Keep a seed, or a plan under a name.
    Add {
        /// A seed, a file with a plan, or - for standard input.
        #[arg(value_name = "SEED|PLAN|-")]
        what: String,
        /// What a seed stands for.
        #[arg(long, value_name = "KIND", value_parser = kind(), default_value = "store")]
        workload: Kind,
        /// The name of a plan; lower-case letters, digits and '-'.
        #[arg(long)]
        name: Option<String>,
        /// What it found, in one line.
        #[arg(long)]
        reason: String,
    },
    /// Run every entry.
    Run,
}

/// Arguments of `real`.
#[derive(ClapArgs)]
#[command(group = ArgGroup::new("what").required(true).args(["plan", "seed"]))]
pub struct Real {
    /// A file with a plan, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<String>,
    /// A seed, or the first and the last of several.
    #[arg(long, value_name = "N|A..B", value_parser = parse_seeds)]
    pub seed: Option<RangeInclusive<u64>>,
    /// The program that is tested; `orlop` beside this one by default.
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// The folder for what is kept of runs that fail.
    #[arg(long, value_name = "FOLDER", default_value = "orlop-real")]
    pub keep: PathBuf,
    /// Form of the report.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Already in namespaces of its own; the number is that of the process which made them.
    #[arg(long, hide = true)]
    pub inside: Option<u32>,
}

/// Reads one seed, or the first and the last of several, both included.
fn parse_seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse::<u64>().ok();
    match (number(first), number(last.trim_start_matches('='))) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!(
            "{text:?} is neither a seed, as in 7, nor the first and the last of several, as in 1..20"
        )),
    }
}

/// Arguments of `report`.
#[derive(ClapArgs)]
pub struct ReportArgs {
    /// A seed, a file with a plan, or - for standard input.
    #[arg(value_name = "SEED|PLAN|-")]
    pub what: String,
    /// What a seed stands for.
    #[arg(long, value_name = "KIND", value_parser = kind(), default_value = "store")]
    pub workload: Kind,
    /// The page.
    #[arg(short, long, value_name = "FILE", default_value = "run.html")]
    pub out: PathBuf,
    #[command(flatten)]
    pub plant: Plant,
}

/// Arguments of `diff`.
#[derive(ClapArgs)]
pub struct Diff {
    /// A seed, a file with a plan, or a file with a trace.
    #[arg(value_name = "A")]
    pub one: String,
    /// Another, or the same.
    #[arg(value_name = "B")]
    pub other: String,
    /// What a seed stands for.
    #[arg(long, value_name = "KIND", value_parser = kind(), default_value = "store")]
    pub workload: Kind,
    /// Lines before and after the first difference.
    #[arg(short = 'C', long, value_name = "N", default_value_t = 5)]
    pub context: usize,
}

/// The jobs that were asked for, or one for each core.
pub fn jobs(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_stop_is_a_time_or_an_event() {
        assert_eq!(parse_stop("120"), Ok(StopAt::Event(120)));
        assert_eq!(parse_stop("1.5s"), Ok(StopAt::Time(Duration::from_millis(1_500))));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5h", "s", "-1s", "1e99s"] {
            assert!(parse_stop(wrong).unwrap_err().contains("no duration"), "{wrong}");
        }
    }

    #[test]
    fn seeds_are_one_or_several() {
        assert_eq!(parse_seeds("7"), Ok(7..=7));
        assert_eq!(parse_seeds("1..20"), Ok(1..=20));
        for wrong in ["", "a", "5..1", "1..", "..3", "1-2"] {
            assert!(parse_seeds(wrong).unwrap_err().contains("1..20"), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
