//! What one machine must do next about one unit: pure, and one small step at a time.
//!
//! The agent asks [`next_step`] for each unit on its own, carries the step out, writes down what it then sees, and asks again until
//! there is nothing to do. So no list of tasks can grow stale, a unit that fails holds up nobody else, and a change of mind in
//! the middle (an order that goes away during an install) needs no cleaning up: the next answer starts from what is there.
//!
//! A unit comes to be: claim, fetch the text, install, reload, start. It goes: stop, wait until it is at rest, uninstall, reload,
//! release. A new text is one after the other, under the same claim. Four rules keep it from doing harm:
//!
//! - Nothing that systemd would notice is done for an order that was not claimed under the present lease.
//! - A file is taken away only when systemd says that the unit is at rest, and a report is released only when there is no file.
//! - A unit without a file in the units directory was not installed by fleet, and is not stopped.
//! - Where something is not known (the orders, the unit's state), nothing is done. [`Footing`] says how much is known.
//!
//! A unit that has failed is not started again: that is for systemd's `Restart=`, or for the operator, who raises `run`.

use crate::model::{DesiredState, Order};
use crate::unit::UnitHash;

#[cfg(test)]
mod tests;

/// What the cluster wants of a unit on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The orders are not known: leave the unit alone.
    Unknown,
    /// There is no order: nothing of it shall be here.
    Absent,
    /// This order.
    Ordered(Order),
}

/// What systemd last said about a unit's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// Not asked yet, or something happened since.
    Unknown,
    /// No process of it can be running.
    AtRest,
    /// It runs, or may.
    Running,
}

/// What is there of a unit on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actual {
    /// Hash of its file in the units directory.
    pub file: Option<UnitHash>,
    /// Whether systemd has read the unit files anew since this one came, changed or went.
    pub read: bool,
    /// Whether it runs.
    pub activity: Activity,
    /// Whether the agent has started it since it was installed, and has not stopped it since.
    pub launched: bool,
    /// The order's `run` that was carried out last.
    pub run: u64,
    /// Whether its report is in the store, under the present lease as far as is known.
    pub reported: bool,
    /// Whether the present order was in the store at a moment when the report was.
    pub claimed: bool,
    /// Whether the text of the order is at hand.
    pub has_text: bool,
    /// Whether it is a oneshot that has run, and the cluster has not been told.
    pub finished: bool,
}

/// How much the agent may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Footing {
    /// The lease lives, and the orders were read under it.
    Firm,
    /// The lease may have ended. Orders may be given to others: only what needs no claim goes on.
    Shaky,
    /// As shaky, and the unit's partition policy is `stop`: it must not run.
    Forbidden,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Put the report, if the order is still in the store as it was seen.
    Claim,
    /// Get the text of the order.
    Fetch,
    /// Write the file and link it.
    Install,
    /// Let systemd read all files anew: one for all units that wait for it.
    Reload,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Take links and file away.
    Uninstall,
    /// Write down that it is not launched any more: it came to rest by itself.
    Settle,
    /// Tell the cluster that the oneshot has run.
    Finish,
    /// Delete the report.
    Release,
    /// Nothing is left of it: forget it.
    Forget,
}

impl Step {
    /// The word for it in a report's `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Claim => "claim",
            Step::Fetch => "fetch",
            Step::Install => "install",
            Step::Reload => "reload",
            Step::Start => "start",
            Step::Stop => "stop",
            Step::Uninstall => "uninstall",
            Step::Settle => "settle",
            Step::Finish => "finish",
            Step::Release => "release",
            Step::Forget => "forget",
        }
    }
}

impl Step {
    /// Whether it changes the store.
    pub fn is_store(self) -> bool {
        matches!(self, Step::Claim | Step::Finish | Step::Release)
    }
}

/// The next thing to do about a unit; `None` when all is as it should be, or when something must be learnt first.
pub fn next_step(wish: &Wish, actual: &Actual, footing: Footing) -> Option<Step> {
    if footing == Footing::Forbidden && actual.file.is_some() && actual.activity != Activity::AtRest {
        return (actual.activity == Activity::Running).then_some(Step::Stop);
    }
    match wish {
        Wish::Unknown => None,
        Wish::Absent => remove(actual),
        Wish::Ordered(_) if footing != Footing::Firm => None,
        Wish::Ordered(order) => build(order, actual),
    }
}

fn remove(actual: &Actual) -> Option<Step> {
    match (actual.file.is_some(), actual.read, actual.activity) {
        (true, _, Activity::Unknown) => None,
        (true, _, Activity::Running) | (false, false, Activity::Running) => Some(Step::Stop),
        (true, _, Activity::AtRest) => Some(Step::Uninstall),
        // A timer or socket may start what systemd still knows: the report stays until it does not.
        (false, false, _) => Some(Step::Reload),
        // Without a file, a unit of this name is somebody else's: whether it runs is no concern of ours.
        (false, true, _) if actual.reported => Some(Step::Release),
        (false, true, _) => Some(Step::Forget),
    }
}

fn build(order: &Order, actual: &Actual) -> Option<Step> {
    if !actual.claimed {
        return Some(Step::Claim);
    }
    match actual.file {
        Some(hash) if hash == order.hash => {}
        // The new text first: a unit is not stopped for one that cannot be had.
        _ if !actual.has_text => return Some(Step::Fetch),
        Some(_) => return make_room(actual),
        None => return Some(Step::Install),
    }
    if !actual.read {
        return Some(Step::Reload);
    }
    match order.state {
        DesiredState::Launched => launch(order, actual),
        DesiredState::Loaded | DesiredState::Inactive => calm(actual),
    }
}

/// Another text is installed: away with it.
fn make_room(actual: &Actual) -> Option<Step> {
    match actual.activity {
        Activity::Unknown => None,
        Activity::Running => Some(Step::Stop),
        Activity::AtRest => Some(Step::Uninstall),
    }
}

fn launch(order: &Order, actual: &Actual) -> Option<Step> {
    if !actual.launched {
        return Some(Step::Start);
    }
    if actual.run == order.run {
        return actual.finished.then_some(Step::Finish);
    }
    match actual.activity {
        Activity::Unknown => None,
        Activity::Running => Some(Step::Stop),
        Activity::AtRest => Some(Step::Start),
    }
}

/// Loaded, not launched: what the agent has started is stopped; what somebody else has started (a socket, a timer, a hand) is
/// left alone.
fn calm(actual: &Actual) -> Option<Step> {
    match actual.activity {
        _ if !actual.launched => None,
        Activity::Unknown => None,
        Activity::Running => Some(Step::Stop),
        Activity::AtRest => Some(Step::Settle),
    }
}
