//! A run to be, of whichever kind: what the tools that find, replay, shrink and keep failures work with.
//!
//! The tools know a plan by its text and a run by its report; everything else about a kind of run stands here, in one
//! `match` each. To add a kind: a variant of [`Kind`] and of [`Load`], and what the compiler then asks for.

use crate::flannel::plan::{CLASSES, FlannelPlan};
use crate::fleet::plan::{FleetPlan, MishapKind};
use crate::plan::{Class, ParseError, Plan};
use crate::runner::{Options, Report};
use crate::whole::plan::{TroubleKind, WholePlan};
use crate::{flannel, fleet, runner, whole};
use kernel::{Bug, Planted};
use std::fmt;

/// One kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The store and its clients.
    Store,
    /// Machines, units and an operator, over a store.
    Fleet,
    /// Machines of a flat network and whoever meddles with them, over a store.
    Flannel,
    /// Store, fleet and flannel on the same machines.
    Whole,
}

/// A run to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Of the store.
    Store(Plan),
    /// Of a fleet.
    Fleet(FleetPlan),
    /// Of a flat network.
    Flannel(FlannelPlan),
    /// Of a whole cluster.
    Whole(Box<WholePlan>),
}

impl Kind {
    /// All kinds.
    pub const ALL: &'static [Kind] = &[Kind::Store, Kind::Fleet, Kind::Flannel, Kind::Whole];

    /// Its word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Store => "store",
            Kind::Fleet => "fleet",
            Kind::Flannel => "flannel",
            Kind::Whole => "whole",
        }
    }

    /// The kind with this word.
    pub fn named(word: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// The bugs that runs of this kind shall find.
    pub fn bugs(self) -> &'static [Bug] {
        match self {
            Kind::Store => &Bug::STORE,
            Kind::Fleet => &Bug::FLEET,
            Kind::Flannel => &Bug::FLANNEL,
            // Each is found where it is at home.
            Kind::Whole => &[],
        }
    }

    /// The classes of fault that runs of this kind are there for. What is not a store's run has some of the store's besides:
    /// [`Class::MILD`].
    pub fn classes(self) -> &'static [&'static str] {
        match self {
            Kind::Store => &Class::NAMES,
            Kind::Fleet => &MishapKind::NAMES,
            Kind::Flannel => &CLASSES,
            Kind::Whole => &TroubleKind::NAMES,
        }
    }

    /// The first word of a line that only plans of this kind have. The store's have none.
    fn mark(self) -> Option<&'static str> {
        match self {
            Kind::Store => None,
            Kind::Fleet => Some("fleet"),
            Kind::Flannel => Some("flannel"),
            Kind::Whole => Some("whole"),
        }
    }

    /// Which kind of plan a text is meant to be.
    pub fn meant_by(text: &str) -> Kind {
        let has = |mark| text.lines().any(|line| line.split_whitespace().next() == Some(mark));
        // A whole plan has the marks of its parts too.
        let marked = Kind::ALL.iter().rev().copied().find(|kind| kind.mark().is_some_and(has));
        marked.unwrap_or(Kind::Store)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Load {
    /// What `seed` stands for.
    pub fn from_seed(kind: Kind, seed: u64) -> Load {
        match kind {
            Kind::Store => Load::Store(Plan::from_seed(seed)),
            Kind::Fleet => Load::Fleet(FleetPlan::from_seed(seed)),
            Kind::Flannel => Load::Flannel(FlannelPlan::from_seed(seed)),
            Kind::Whole => Load::Whole(Box::new(WholePlan::from_seed(seed))),
        }
    }

    /// Reads the text form of a plan; the text says of which kind it is.
    pub fn parse(text: &str) -> Result<Load, ParseError> {
        match Kind::meant_by(text) {
            Kind::Store => Plan::parse(text).map(Load::Store),
            Kind::Fleet => FleetPlan::parse(text).map(Load::Fleet),
            Kind::Flannel => FlannelPlan::parse(text).map(Load::Flannel),
            Kind::Whole => WholePlan::parse(text).map(|plan| Load::Whole(Box::new(plan))),
        }
    }

    /// The kind of the run.
    pub fn kind(&self) -> Kind {
        match self {
            Load::Store(_) => Kind::Store,
            Load::Fleet(_) => Kind::Fleet,
            Load::Flannel(_) => Kind::Flannel,
            Load::Whole(_) => Kind::Whole,
        }
    }

    /// Runs it, on a fresh thread of its own.
    pub fn run(&self, options: Options) -> Report {
        match self {
            Load::Store(plan) => runner::run_with(plan, options),
            Load::Fleet(plan) => fleet::runner::run_with(plan, options),
            Load::Flannel(plan) => flannel::runner::run_with(plan, options),
            Load::Whole(plan) => whole::runner::run_with(plan, options),
        }
    }

    /// Runs it with `planted`, untraced.
    pub fn run_planted(&self, planted: Planted) -> Report {
        self.run(Options { planted, trace: None })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Store(plan) => plan.fmt(f),
            Load::Fleet(plan) => plan.fmt(f),
            Load::Flannel(plan) => plan.fmt(f),
            Load::Whole(plan) => plan.fmt(f),
        }
    }
}

/// The command that runs a seed again.
pub fn replay_line(kind: Kind, seed: u64) -> String {
    let of = if kind == Kind::Store { String::new() } else { format!(" --workload {kind}") };
    format!("cargo run -p chaos --bin orlop-chaos -- replay {seed}{of} --trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn every_kind_survives_its_text(seed: u64) -> bool {
            Kind::ALL.iter().all(|kind| {
                let load = Load::from_seed(*kind, seed);
                load.kind() == *kind && Load::parse(&load.to_string()) == Ok(load)
            })
        }
    }
}
