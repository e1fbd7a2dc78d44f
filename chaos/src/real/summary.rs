//! What happened in real runs: counted as it is seen, not as it was planned.

use super::relay;
use super::tracer::Injected;
use io_sim::checkers::Failure;
use io_sim::runner::Counts;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Which checkers a real run goes through, and what they have instead of a view into the world.
pub const CHECKERS: &str = "leaders, logs (state hashes too), replay, wgl, watch, leases, liveness: all that judge a simulated run, over the \
                            clients' history and the members' observation files";

/// What happened to the machines.
#[derive(Clone, Debug, Default)]
pub struct Happened {
    /// Cuts between members that began, and the frames that met one.
    pub cuts: u64,
    /// Frames that met a cut.
    pub frames_cut: u64,
    /// Processes killed.
    pub kills: u64,
    /// Running machines that lost power.
    pub power_cuts: u64,
    /// Members that were asked to end, and started again.
    pub restarts: u64,
    /// Pauses.
    pub pauses: u64,
    /// Disks that were filled to the last block.
    pub full_disks: u64,
    /// Disks that were wiped, and those whose bits were turned.
    pub wiped: u64,
    /// Disks whose bits were turned.
    pub rotten: u64,
    /// What tracers did.
    pub injected: Injected,
    /// Members that ended by themselves, rightly.
    pub ended_by_themselves: u64,
    /// Disks that were replaced, because their member refused them.
    pub replaced: u64,
    /// Starts of members, and those with shifted clocks.
    pub starts: u64,
    /// Starts with shifted clocks.
    pub shifted: u64,
    /// Frames passed, lost, doubled and damaged, and connections broken.
    pub frames: [u64; 5],
    /// Faults that began, by class.
    classes: BTreeMap<&'static str, u64>,
    /// Faults that cannot be done to real machines, and why.
    not_here: BTreeMap<&'static str, (u64, &'static str)>,
}

impl Happened {
    /// A fault of this class began.
    pub fn began(&mut self, class: &'static str) {
        *self.classes.entry(class).or_default() += 1;
    }

    /// A fault of this class cannot be done.
    pub fn not_here(&mut self, class: &'static str, why: &'static str) {
        self.not_here.entry(class).or_insert((0, why)).0 += 1;
    }

    /// Takes what lines counted.
    pub fn lines(&mut self, lines: &[&relay::Counts]) {
        let sum = |count: fn(&relay::Counts) -> &AtomicU64| {
            lines.iter().map(|line| count(line).load(Relaxed)).sum::<u64>()
        };
        self.frames = [
            sum(|line| &line.passed),
            sum(|line| &line.lost),
            sum(|line| &line.duplicated),
            sum(|line| &line.corrupted),
            sum(|line| &line.reset),
        ];
    }

    /// Takes what tracers wrote.
    pub fn disks(&mut self, accounts: &[PathBuf]) {
        self.injected = Injected::of(accounts);
    }

    fn figures(&self) -> [(&'static str, u64); 23] {
        let [passed, lost, doubled, damaged, reset] = self.frames;
        [
            ("cuts", self.cuts),
            ("frames stopped by cuts", self.frames_cut),
            ("kills", self.kills),
            ("power cuts", self.power_cuts),
            ("orderly restarts", self.restarts),
            ("pauses", self.pauses),
            ("full disks", self.full_disks),
            ("failed syncs", self.injected.failed),
            ("lying syncs", self.injected.lied),
            ("failed reads and writes", self.injected.errors),
            ("slowed disk calls", self.injected.slowed),
            ("wiped disks", self.wiped),
            ("rotten disks", self.rotten),
            ("replaced disks", self.replaced),
            ("members that ended by themselves", self.ended_by_themselves),
            ("starts", self.starts),
            ("starts with shifted clocks", self.shifted),
            ("frames passed", passed),
            ("frames lost", lost),
            ("frames doubled", doubled),
            ("frames damaged", damaged),
            ("connections broken", reset),
            ("faults", self.classes.values().sum()),
        ]
    }

    fn add(&mut self, other: &Happened) {
        self.cuts += other.cuts;
        self.frames_cut += other.frames_cut;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.pauses += other.pauses;
        self.restarts += other.restarts;
        self.full_disks += other.full_disks;
        self.wiped += other.wiped;
        self.rotten += other.rotten;
        self.injected.failed += other.injected.failed;
        self.injected.lied += other.injected.lied;
        self.injected.errors += other.injected.errors;
        self.injected.slowed += other.injected.slowed;
        self.ended_by_themselves += other.ended_by_themselves;
        self.replaced += other.replaced;
        self.starts += other.starts;
        self.shifted += other.shifted;
        self.frames.iter_mut().zip(other.frames).for_each(|(sum, more)| *sum += more);
        for (class, count) in &other.classes {
            *self.classes.entry(class).or_default() += count;
        }
        for (class, (count, why)) in &other.not_here {
            self.not_here.entry(class).or_insert((0, why)).0 += count;
        }
    }

    fn json(&self) -> Value {
        let figures: BTreeMap<String, u64> =
            self.figures().iter().map(|(name, count)| (name.replace(' ', "_"), *count)).collect();
        let not_here: BTreeMap<_, _> = (self.not_here.iter())
            .map(|(class, (count, why))| (class, json!({ "faults": count, "why": why })))
            .collect();
        json!({ "counts": figures, "fault_classes": self.classes, "not_applicable": not_here })
    }
}

/// What came of one run.
pub struct Outcome {
    /// The plan's seed.
    pub seed: u64,
    /// Members and clients.
    pub size: (u8, u8),
    /// The first broken invariant.
    pub failure: Option<Failure>,
    /// How long it ran.
    pub ran: Duration,
    /// Calls that ended.
    pub calls: Counts,
    /// Entries of the log.
    pub entries: u64,
    /// Elections won.
    pub elections: u64,
    /// What happened to the machines.
    pub happened: Happened,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { ok, refused, unknown } = self.calls;
        match &self.failure {
            Some(failure) => writeln!(f, "seed {}: FAILED {failure}", self.seed)?,
            None => writeln!(f, "seed {}: passed", self.seed)?,
        }
        write!(
            f,
            "  {:.0} s, {} members, {ok} calls answered, {refused} refused, {unknown} unknown, {} entries, {} elections",
            self.ran.as_secs_f64(),
            self.size.0,
            self.entries,
            self.elections
        )?;
        let seen = self
            .happened
            .figures()
            .into_iter()
            .filter(|(name, count)| *count > 0 && !["frames passed", "starts", "faults"].contains(name));
        let seen: Vec<String> = seen.map(|(name, count)| format!("{count} {name}")).collect();
        if seen.is_empty() { Ok(()) } else { write!(f, "\n  {}", seen.join(", ")) }
    }
}

/// All runs of a call.
#[derive(Default)]
pub struct Summary {
    /// Each of them.
    pub runs: Vec<Outcome>,
}

impl Summary {
    fn total(&self) -> Happened {
        let mut total = Happened::default();
        self.runs.iter().for_each(|run| total.add(&run.happened));
        total
    }

    /// Whether every invariant held in every run.
    pub fn passed(&self) -> bool {
        self.runs.iter().all(|run| run.failure.is_none())
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let runs = self.runs.iter().map(|run| {
            let failure = run.failure.as_ref().map(|failure| {
                json!({ "checker": failure.checker, "invariant": failure.invariant, "text": failure.text })
            });
            let Counts { ok, refused, unknown } = run.calls;
            json!({
                "seed": run.seed, "members": run.size.0, "clients": run.size.1, "failure": failure,
                "seconds": run.ran.as_secs_f64(), "entries": run.entries, "elections": run.elections,
                "calls": { "ok": ok, "refused": refused, "unknown": unknown }, "happened": run.happened.json(),
            })
        });
        json!({
            "commit": env!("ORLOP_COMMIT"),
            "passed": self.passed(),
            "checkers": CHECKERS,
            "runs": runs.collect::<Vec<_>>(),
            "total": self.total().json(),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let total = self.total();
        writeln!(out, "\n{} real runs, commit {}", self.runs.len(), env!("ORLOP_COMMIT"))?;
        writeln!(out, "\nwhat happened, as it was seen:")?;
        for (name, count) in total.figures() {
            writeln!(out, "  {count:>10}  {name}")?;
        }
        writeln!(out, "\nfaults of the plans that began, by class:")?;
        for (class, count) in &total.classes {
            writeln!(out, "  {count:>10}  {class}")?;
        }
        for (class, (count, why)) in &total.not_here {
            writeln!(out, "  {count:>10}  {class}: not applicable, {why}")?;
        }
        writeln!(out, "\nchecked by {CHECKERS}")?;
        let failed: Vec<&Outcome> = self.runs.iter().filter(|run| run.failure.is_some()).collect();
        if failed.is_empty() {
            return writeln!(out, "every invariant held");
        }
        writeln!(out, "{} runs failed:", failed.len())?;
        for run in failed {
            let failure = run.failure.as_ref().expect("filtered");
            writeln!(out, "  seed {}: {}/{}", run.seed, failure.checker, failure.invariant)?;
        }
        Ok(())
    }
}
