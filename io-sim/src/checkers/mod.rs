//! What must hold, one file each. Each file opens with what it verifies and what it does not.
//!
//! Two kinds of evidence come in: the [`History`](crate::history::History) of the clients, and the observations of
//! members (leaders elected, entries applied). [`logs`] and [`leaders`] judge observations as they come, so that a run
//! stops at the first wrong one; the others judge the whole run at its end. No checker knows how the store is made.

pub mod leaders;
pub mod leases;
pub mod liveness;
pub mod logs;
pub mod model;
pub mod range;
pub mod replay;
pub mod watch;
pub mod wgl;

use std::fmt;

/// A broken invariant. Two failures are the same failure when checker and invariant are equal; the text may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The checker that found it.
    pub checker: &'static str,
    /// The invariant's name within the checker.
    pub invariant: &'static str,
    /// What was seen, for people.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.checker, self.invariant, self.text)
    }
}

/// The outcome of one check.
pub type Checked = Result<(), Failure>;

/// Fails with `invariant` of `checker` unless `holds`; the text is only made when it is needed.
pub(crate) fn ensure(
    holds: bool,
    checker: &'static str,
    invariant: &'static str,
    text: impl FnOnce() -> String,
) -> Checked {
    if holds { Ok(()) } else { Err(Failure { checker, invariant, text: text() }) }
}

#[cfg(test)]
pub(crate) mod fixtures;
