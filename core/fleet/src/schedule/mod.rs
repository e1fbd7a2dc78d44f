//! Which machine runs what, and why: a pure function of machines, units and constraints, computed incrementally.
//!
//! ```text
//!  set_machine, set_job, set_place, …          decide()
//!        │                                        │
//!        v                                        v
//!   view: units, machines, patterns ── dirty ──> check   units that do not belong where they are
//!   with dense numbers and indexes               fill    copies of global units
//!                                                place   free units, alone or in groups
//!                                                gate    which orders may say launched
//! ```
//!
//! All names become dense numbers, so that "the machines that …" is a bit set, and the constraints of a unit are met by the
//! intersection of a few of them: one for its metadata terms (shared by all units with the same terms), less one for each
//! glob that it conflicts with or that conflicts with it (shared likewise). Of what is left the first in a list ordered by load is taken.
//! Each change notes what it may have made possible or impossible; a decision looks at that only.
//!
//! [`Scheduler::explain`] answers the same questions machine by machine, slowly, in words. [`plan()`] tries a change in a clone.

mod bits;
mod check;
mod choose;
mod decide;
mod decision;
mod declare;
mod explain;
mod explanation;
mod fit;
mod gate;
mod group;
mod ids;
mod machines;
mod pass;
mod patterns;
mod plan;
mod rebalance;
mod scheduler;
mod units;
mod view;

pub use decision::{Decision, Place};
pub use explanation::{Constraint, EXAMPLES, Exclusion, Explanation, Standing};
pub use plan::{Plan, PlanAction, PlanStep, plan};
pub use scheduler::Scheduler;

#[cfg(test)]
mod tests;
