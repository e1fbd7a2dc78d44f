//! What a campaign has seen: sums over its reports.
//!
//! A class of fault counts as seen when it really did something, not when a plan had it. A named point that no run reached must stand
//! in a table of docs/faults.md that says why; the table is part of the program, so that what it does not explain is told.

use io_sim::Effect;
use io_sim::checkers::Failure;
use io_sim::load::{Kind, replay_line};
use io_sim::plan::Class;
use io_sim::runner::{Counts, Report};
use kernel::rng::mix;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::time::Duration;

include!(concat!(env!("OUT_DIR"), "/probes.rs"));

/// Where the explanations stand: a table whose rows open with a point's name.
const BOOK: &str = include_str!("../../docs/faults.md");
/// The heading above the table.
const EXPLAINED: &str = "## Points that campaigns do not reach";

/// The points that the book explains.
fn explained() -> BTreeSet<&'static str> {
    let table = BOOK.split_once(EXPLAINED).map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or(""));
    let name = |line: &'static str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name);
    table.lines().filter_map(name).collect()
}

/// Sums over reports.
#[derive(Default)]
pub struct Coverage {
    /// Runs.
    pub runs: u64,
    /// World time of all runs.
    pub simulated: Duration,
    /// Time of all runs, one after the other.
    pub busy: Duration,
    operations: Counts,
    events: u64,
    entries: u64,
    elections: u64,
    /// Of all traces, in whatever order they came.
    traces: u64,
    classes: BTreeMap<&'static str, u64>,
    happened: BTreeMap<&'static str, u64>,
    probes: BTreeMap<&'static str, u64>,
    /// Runs that failed, with what broke.
    pub failures: BTreeMap<(Kind, u64), Failure>,
    /// Kinds of run that there were.
    kinds: BTreeSet<Kind>,
}

impl Coverage {
    /// Adds one report.
    pub fn add(&mut self, kind: Kind, report: &Report) {
        self.kinds.insert(kind);
        self.runs += 1;
        self.simulated += report.simulated;
        self.busy += report.wall;
        self.operations.ok += report.operations.ok;
        self.operations.refused += report.operations.refused;
        self.operations.unknown += report.operations.unknown;
        self.events += report.events;
        self.entries += report.entries;
        self.elections += report.elections;
        self.traces ^= mix(report.trace_hash ^ mix(report.seed) ^ kind as u64);
        for class in report.classes.keys() {
            *self.classes.entry(class).or_default() += 1;
        }
        for (name, count) in &report.happened {
            *self.happened.entry(name).or_default() += count;
        }
        for (name, count) in &report.probes {
            *self.probes.entry(name).or_default() += count;
        }
        if let Some(failure) = &report.failure {
            self.failures.insert((kind, report.seed), failure.clone());
        }
    }

    /// Simulated seconds for each second of one core.
    pub fn ratio(&self) -> f64 {
        self.simulated.as_secs_f64() / self.busy.as_secs_f64().max(1e-9)
    }

    /// The classes of fault that these kinds of run may have.
    fn known_classes(&self) -> BTreeSet<&'static str> {
        // Every kind of run stands on a store.
        let own = self.kinds.iter().flat_map(|kind| kind.classes());
        own.chain(&Class::MILD).copied().collect()
    }

    /// Named points that no run reached and the book does not explain.
    fn never(&self) -> Vec<&'static str> {
        let explained = explained();
        let known = KNOWN.iter().copied().filter(|name| self.is_of_these_runs(name));
        known.filter(|name| !self.probes.contains_key(name) && !explained.contains(name)).collect()
    }

    /// Named points that no run reached, as the book says.
    fn as_explained(&self) -> Vec<&'static str> {
        explained().into_iter().filter(|name| !self.probes.contains_key(name)).collect()
    }

    /// Whether a point lies in a part that takes part in these runs.
    fn is_of_these_runs(&self, point: &str) -> bool {
        let has = |kind| self.kinds.contains(&kind) || self.kinds.contains(&Kind::Whole);
        match point.split(':').next().unwrap_or("") {
            "agent" | "engine" => has(Kind::Fleet),
            "flannel" | "holder" => has(Kind::Flannel),
            _ => self.kinds.contains(&Kind::Store),
        }
    }

    /// Classes of fault that no run had, or that never did anything.
    fn absent(&self) -> Vec<&'static str> {
        let known = self.known_classes().into_iter();
        known.filter(|class| self.seen(class) == 0).collect()
    }

    /// How often a class of fault did something; for one that is not counted where it happens, the runs that had it.
    fn seen(&self, class: &str) -> u64 {
        let runs = self.classes.get(class).copied().unwrap_or(0);
        let counted = Effect::ALL.iter().any(|(_, name)| *name == class);
        if counted { self.happened.get(class).copied().unwrap_or(0) } else { runs }
    }

    /// Whether every class of fault was seen, and every point reached or explained.
    pub fn is_complete(&self) -> bool {
        self.absent().is_empty() && self.never().is_empty()
    }

    /// The report as JSON; `wall` is how long the campaign took.
    pub fn json(&self, wall: Duration) -> Value {
        let failures = self.failures.iter().map(|((kind, seed), failure)| {
            json!({ "workload": kind.as_str(), "seed": seed, "checker": failure.checker, "invariant": failure.invariant,
                    "text": failure.text, "replay": replay_line(*kind, *seed) })
        });
        json!({
            "commit": env!("ORLOP_COMMIT"),
            "runs": self.runs,
            "seconds": wall.as_secs_f64(),
            "simulated_seconds": self.simulated.as_secs_f64(),
            "simulated_to_wall": self.ratio(),
            "calls": { "ok": self.operations.ok, "refused": self.operations.refused, "unknown": self.operations.unknown },
            "events": self.events,
            "entries": self.entries,
            "elections": self.elections,
            "traces": format!("{:016x}", self.traces),
            "fault_classes": self.classes,
            "fault_classes_never": self.absent(),
            "fault_effects": self.happened,
            "sometimes": self.probes,
            "sometimes_never": self.never(),
            "sometimes_explained": self.as_explained(),
            "complete": self.is_complete(),
            "failures": failures.collect::<Vec<_>>(),
        })
    }

    /// The report for people; `wall` is how long the campaign took.
    pub fn text(&self, wall: Duration) -> String {
        let mut text = String::new();
        self.write(&mut text, wall).expect("a string takes everything");
        text
    }

    fn write(&self, out: &mut String, wall: Duration) -> fmt::Result {
        let rate = self.runs as f64 / wall.as_secs_f64().max(1e-9);
        writeln!(
            out,
            "{} runs in {:.1} s ({rate:.1} a second), commit {}",
            self.runs,
            wall.as_secs_f64(),
            env!("ORLOP_COMMIT")
        )?;
        let hours = self.simulated.as_secs_f64() / 3_600.0;
        let events = self.events as f64 / self.busy.as_secs_f64().max(1e-9) / 1e6;
        writeln!(
            out,
            "{hours:.1} simulated hours, {:.0} times real time on a core, {events:.2} M events a second",
            self.ratio()
        )?;
        let Counts { ok, refused, unknown } = self.operations;
        writeln!(
            out,
            "{ok} calls answered, {refused} refused, {unknown} unknown; {} entries, {} elections",
            self.entries, self.elections
        )?;
        out.push_str("\nfault classes, the runs that had them, and how often they did something:\n");
        for class in self.known_classes() {
            writeln!(
                out,
                "  {:>8} {:>10}  {class}",
                self.classes.get(class).copied().unwrap_or(0),
                self.seen(class)
            )?;
        }
        out.push_str("\nwhat else went wrong:\n");
        let known = self.known_classes();
        for (name, count) in self.happened.iter().filter(|(name, _)| !known.contains(*name)) {
            writeln!(out, "  {count:>19}  {name}")?;
        }
        out.push_str("\nnamed rare branches, and how often they were reached:\n");
        for (name, count) in &self.probes {
            writeln!(out, "  {count:>8}  {name}")?;
        }
        self.as_explained().iter().try_for_each(|name| writeln!(out, " explained  {name}"))?;
        self.never().iter().try_for_each(|name| writeln!(out, "     never  {name}"))?;
        if self.failures.is_empty() {
            return out.write_str("\nevery invariant held\n");
        }
        writeln!(out, "\n{} runs failed:", self.failures.len())?;
        let mut kinds: BTreeMap<(Kind, &str, &str), Vec<u64>> = BTreeMap::new();
        for ((kind, seed), failure) in &self.failures {
            kinds.entry((*kind, failure.checker, failure.invariant)).or_default().push(*seed);
        }
        for ((kind, checker, invariant), seeds) in kinds {
            let few: Vec<_> = seeds.iter().take(8).map(u64::to_string).collect();
            let dots = if seeds.len() > few.len() { " ..." } else { "" };
            writeln!(out, "  {checker}/{invariant}: {} of them: {}{dots}", seeds.len(), few.join(" "))?;
            writeln!(out, "    {}", replay_line(kind, seeds[0]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_explains_points_that_exist() {
        let explained = explained();
        let unknown: Vec<_> = explained.iter().filter(|name| !KNOWN.contains(name)).collect();
        assert!(unknown.is_empty(), "docs/faults.md explains points that are not there: {unknown:?}");
        assert!(BOOK.contains(EXPLAINED));
    }

    #[test]
    fn an_empty_campaign_is_not_complete() {
        let mut coverage = Coverage::default();
        coverage.kinds.insert(Kind::Store);
        assert!(!coverage.is_complete());
        assert!(coverage.absent().contains(&"partition"));
    }

    #[test]
    fn a_campaign_is_judged_by_what_its_runs_can_have() {
        let judged = |kind| {
            let mut coverage = Coverage::default();
            coverage.kinds.insert(kind);
            (coverage.absent(), coverage.never())
        };
        let (classes, points) = judged(Kind::Store);
        assert!(classes.contains(&"bit-rot") && !classes.contains(&"late-signals"));
        assert!(points.contains(&"wal: rolled") && !points.iter().any(|point| point.starts_with("agent:")));
        let (classes, points) = judged(Kind::Fleet);
        assert!(classes.contains(&"late-signals") && classes.contains(&"slow-disk"));
        assert!(!classes.contains(&"bit-rot") && !classes.contains(&"deaf"));
        assert!(points.iter().all(|point| point.starts_with("agent:") || point.starts_with("engine:")));
    }
}
