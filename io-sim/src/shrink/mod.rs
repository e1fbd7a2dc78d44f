//! From a plan that fails to a small one that fails the same way: same checker and same invariant, whatever the text.
//!
//! First the bulk goes: the end is cut off; whole classes of fault, clients and keys are taken away; large pieces of what is left; members,
//! clients and machines. Each candidate is tried with a few seeds of the small randomness (delays, torn sectors): what was a
//! matter of chance in a long run needs little with other dice, and one by one its operations would take thousands of runs.
//!
//! Then the details, with the dice as they fell: the same passes, with faults and operations delta-debugged to the last one, less waiting,
//! and smaller numbers, until nothing changes. Where much is left even then, once more with other dice.
//!
//! The result depends on the plan alone, not on the number of threads: of the candidates of a pass the first that fails
//! is taken. Only a budget of time makes it depend on the machine.

mod ddmin;
mod draft;
mod passes;

pub use ddmin::ddmin;
use draft::Draft;
pub use draft::Role;

use crate::checkers::Failure;
use crate::load::Load;
use crate::pool;
use crate::runner::Report;
use kernel::Planted;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seeds of the small randomness that are tried for each candidate where chance may help.
const DICE: u64 = 4;
/// Pieces into which faults and operations are cut at most while the bulk goes.
const BULK_PIECES: usize = 16;
/// With no more faults than this and no more operations than [`FEW_OPERATIONS`] other dice are not tried.
const FEW_FAULTS: usize = 1;
/// See [`FEW_FAULTS`].
const FEW_OPERATIONS: usize = 3;

/// How to shrink.
#[derive(Clone)]
pub struct Settings {
    /// The bug that is planted in every run.
    pub planted: Planted,
    /// Runs at a time.
    pub jobs: usize,
    /// When to stop with the best so far.
    pub budget: Duration,
    /// Stops with the best so far when set, as by Ctrl-C.
    pub stop: Arc<AtomicBool>,
}

/// Where the work stands after a pass.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The pass.
    pub pass: &'static str,
    /// Faults left.
    pub faults: usize,
    /// Operations left.
    pub operations: usize,
    /// Runs so far.
    pub runs: u64,
    /// Time so far.
    pub elapsed: Duration,
}

/// What came of it.
pub struct Shrunk {
    /// The small plan.
    pub load: Load,
    /// Its report: it fails as the first one did.
    pub report: Report,
    /// Faults and operations of the first plan.
    pub before: (usize, usize),
    /// Faults and operations of the small one.
    pub after: (usize, usize),
    /// Runs made.
    pub runs: u64,
    /// Time taken.
    pub wall: Duration,
    /// Whether nothing is left to try; otherwise the budget ended it, or somebody.
    pub finished: bool,
}

impl Shrunk {
    /// What failed.
    pub fn failure(&self) -> &Failure {
        self.report.failure.as_ref().expect("a shrunk plan fails")
    }
}

/// Says whether candidates still fail.
trait Judge {
    /// The first that still fails, and the world time of its end.
    fn first(&mut self, candidates: &[Draft]) -> Option<(usize, Duration)>;
    /// Runs made so far.
    fn runs(&self) -> u64;
    /// Whether no more candidates are judged.
    fn is_over(&self) -> bool;
}

/// Whether two failures are the same one.
pub fn same(one: &Failure, other: &Failure) -> bool {
    one.checker == other.checker && one.invariant == other.invariant
}

/// Shrinks `load`, and reports each pass to `tell`. An error if it does not fail.
pub fn shrink(load: &Load, settings: &Settings, mut tell: impl FnMut(Step)) -> Result<Shrunk, String> {
    let began = Instant::now();
    let report = load.run_planted(settings.planted);
    let Some(failure) = report.failure.clone() else {
        return Err("this plan does not fail: there is nothing to shrink".to_string());
    };
    let court =
        Court { settings, began, wanted: failure, hopeless: BTreeSet::new(), runs: AtomicU64::new(1) };
    let best = Draft::new(&load.to_string());
    let before = counts(&best);
    let mut session = Session { best, moment: report.simulated, dice: 1, judge: court };
    let finished = session.go(&mut |pass, session| {
        let (faults, operations) = counts(&session.best);
        tell(Step { pass, faults, operations, runs: session.judge.runs(), elapsed: began.elapsed() });
    });
    let text = session.best.to_string();
    let load = Load::parse(&text).expect("what was run was parsed");
    let report = load.run_planted(settings.planted);
    assert!(
        report.failure.as_ref().is_some_and(|failure| same(failure, &session.judge.wanted)),
        "a plan that failed once fails again"
    );
    let runs = session.judge.runs() + 1;
    Ok(Shrunk { load, report, before, after: counts(&session.best), runs, wall: began.elapsed(), finished })
}

fn counts(draft: &Draft) -> (usize, usize) {
    (draft.count(Role::Fault), draft.count(Role::Operation))
}

/// The judge that runs plans.
struct Court<'a> {
    settings: &'a Settings,
    began: Instant,
    wanted: Failure,
    /// Hashes of the texts that do not fail so.
    hopeless: BTreeSet<u64>,
    runs: AtomicU64,
}

impl Judge for Court<'_> {
    fn first(&mut self, candidates: &[Draft]) -> Option<(usize, Duration)> {
        let texts: Vec<(usize, String)> = candidates.iter().map(Draft::to_string).enumerate().collect();
        let texts: Vec<_> =
            texts.into_iter().filter(|(_, text)| !self.hopeless.contains(&hash(text))).collect();
        let is_over = || self.is_over();
        let found = pool::first(texts.len(), self.settings.jobs, is_over, |item| {
            let load = Load::parse(&texts[item].1).ok()?;
            self.runs.fetch_add(1, Ordering::Relaxed);
            let report = load.run_planted(self.settings.planted);
            let failure = report.failure.as_ref()?;
            same(failure, &self.wanted).then_some(report.simulated)
        });
        // What was not judged for want of time is not asked again.
        let judged = found.as_ref().map_or(texts.len(), |(item, _)| *item);
        self.hopeless.extend(texts[..judged].iter().map(|(_, text)| hash(text)));
        found.map(|(item, moment)| (texts[item].0, moment))
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.settings.stop.load(Ordering::Relaxed) || self.began.elapsed() >= self.settings.budget
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The best so far, and who judges what is tried next.
struct Session<J> {
    best: Draft,
    /// World time at which the best fails.
    moment: Duration,
    /// Seeds of the small randomness that each candidate is tried with.
    dice: u64,
    judge: J,
}

impl<J: Judge> Session<J> {
    /// All passes until nothing changes; whether it came to that.
    fn go(&mut self, tell: &mut dyn FnMut(&'static str, &Self)) -> bool {
        self.bulk(tell);
        loop {
            let before = self.best.to_string();
            self.tail();
            tell("cut the end", self);
            for role in [Role::Fault, Role::Operation] {
                self.groups(role);
                tell(if role == Role::Fault { "classes of fault" } else { "kinds of operation" }, self);
                self.lines(role, usize::MAX);
                tell(if role == Role::Fault { "faults" } else { "operations" }, self);
            }
            self.each(passes::shapes);
            tell("members, clients, machines", self);
            self.each(passes::sooner);
            tell("waiting", self);
            self.each(passes::numbers);
            tell("numbers", self);
            if self.judge.is_over() {
                return false;
            }
            if before == self.best.to_string() {
                let (faults, operations) = counts(&self.best);
                if self.dice > 1 || (faults <= FEW_FAULTS && operations <= FEW_OPERATIONS) {
                    return true;
                }
                self.dice = DICE;
            }
        }
    }

    /// What takes much away with few runs, with other dice too.
    fn bulk(&mut self, tell: &mut dyn FnMut(&'static str, &Self)) {
        self.tail();
        tell("cut the end", self);
        self.dice = DICE;
        for role in [Role::Fault, Role::Operation] {
            self.groups(role);
            self.lines(role, BULK_PIECES);
            tell(if role == Role::Fault { "most faults" } else { "most operations" }, self);
        }
        self.each(passes::shapes);
        tell("most members, clients, machines", self);
        self.dice = 1;
    }

    /// Tries candidates, each with every seed of the dice; the first that fails is the new best.
    fn first(&mut self, candidates: &[Draft]) -> Option<usize> {
        let seed = self.best.plan_number("seed").unwrap_or(0);
        let throws = candidates
            .iter()
            .enumerate()
            .flat_map(|(at, draft)| (0..self.dice).map(move |by| (at, thrown(draft, seed, by))));
        // The best itself would fail again and again, and nothing would come of it.
        let (places, throws): (Vec<usize>, Vec<Draft>) =
            throws.filter(|(_, draft)| *draft != self.best).unzip();
        let (found, moment) = self.judge.first(&throws)?;
        self.best = throws[found].clone();
        self.moment = moment;
        Some(places[found])
    }

    /// Cuts what follows the failing moment, then tries earlier ends until none will do.
    fn tail(&mut self) {
        let moment_ms = self.moment.as_millis() as u64 + 1;
        self.first(&[passes::cut_after(&self.best, moment_ms)]);
        while self.first(&passes::tails(&self.best)).is_some() {}
    }

    fn groups(&mut self, role: Role) {
        self.each(|best| passes::groups(best, role).iter().map(|group| best.without(group)).collect());
    }

    /// Delta-debugs the lines of `role`, cut into `most` pieces at most.
    fn lines(&mut self, role: Role, most: usize) {
        let (whole, places) = (self.best.clone(), self.best.places(role));
        ddmin(places.len(), most, |parts| {
            let without = |part: &Vec<usize>| {
                let gone: Vec<_> = (0..places.len()).filter(|at| part.binary_search(at).is_err()).collect();
                whole.without(&gone.iter().map(|at| places[*at]).collect::<Vec<_>>())
            };
            self.first(&parts.iter().map(without).collect::<Vec<_>>())
        });
    }

    /// Tries the candidates of a pass in order. After one that failed the pass goes on behind it.
    fn each(&mut self, candidates: impl Fn(&Draft) -> Vec<Draft>) {
        let mut from = 0;
        loop {
            let all = candidates(&self.best);
            let Some(found) = self.first(all.get(from..).unwrap_or_default()) else { return };
            from += found;
        }
    }
}

/// The draft with the `by`-th seed after `seed`.
fn thrown(draft: &Draft, seed: u64, by: u64) -> Draft {
    let Some(place) = draft.frame("plan") else { return draft.clone() };
    draft.with(place, |line| line.set("seed", seed.wrapping_add(by)))
}

#[cfg(test)]
mod tests;
