//! How an agent ends.
//!
//! It leaves (units run on, and the store is told to wait a while for the next fleetd), or it purges (units stop, and each is
//! released as it comes to rest, so that others take over at once). Told to leave, it first asks systemd whether the whole
//! machine is going down: then it purges, and only the files stay.
//!
//! Either is bounded in time, because a supervisor waits. What could not be done by then the end of the lease does.

use super::config::*;
use super::event::{Call, CallId};
use super::mind::{Mind, Pending};
use super::unit::Unit;
use crate::reconcile::Activity;
use futures_channel::oneshot;
use std::time::Duration;

/// An ending under way.
#[derive(Debug)]
pub(super) struct Leaving {
    stage: Stage,
    until: Duration,
    /// Who waits for it.
    waiters: Vec<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Ask whether the machine is going down.
    Asking,
    /// What was begun in the store shall end before the lease is changed.
    Settling,
    /// Presence and reports move to a lease that lasts.
    Moving,
    /// Units stop.
    Purging {
        going_down: bool,
    },
    /// The lease is given back.
    Revoking,
    Over,
}

impl Leaving {
    pub(super) fn wake(&self) -> Duration {
        self.until
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }
}

impl Mind {
    fn stage(&self) -> Option<Stage> {
        self.leaving.as_ref().map(|leaving| leaving.stage)
    }

    /// Whether units are to be left alone because the agent is about to end.
    pub(super) fn is_leaving(&self) -> bool {
        !matches!(self.stage(), None | Some(Stage::Asking | Stage::Purging { .. }))
    }

    /// Whether no unit shall be left.
    pub(super) fn is_purging(&self) -> bool {
        matches!(self.stage(), Some(Stage::Purging { .. }))
    }

    /// Whether presence and reports are on their way to a lease that lasts.
    pub(super) fn is_moving(&self) -> bool {
        self.stage() == Some(Stage::Moving)
    }

    /// Whether the machine itself is going down.
    pub(super) fn is_going_down(&self) -> bool {
        self.stage() == Some(Stage::Purging { going_down: true })
    }

    pub(super) fn begin_ending(&mut self, ending: Ending, done: oneshot::Sender<()>, now: Duration) {
        if let Some(leaving) = &mut self.leaving {
            leaving.waiters.push(done);
            return;
        }
        let (stage, limit) = match ending {
            Ending::Leave => (Stage::Asking, LEAVE_LIMIT),
            Ending::Purge => (Stage::Purging { going_down: false }, PURGE_LIMIT),
        };
        self.leaving = Some(Leaving { stage, until: now + limit, waiters: vec![done] });
        match ending {
            Ending::Leave => drop(self.ask(Pending::Stopping, Call::Stopping)),
            Ending::Purge => drop(self.ask(Pending::Withdraw, Call::Withdraw)),
        }
    }

    pub(super) fn asked_whether_down(&mut self, down: bool, now: Duration) {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.stage == Stage::Asking) else {
            return;
        };
        leaving.stage = if down { Stage::Purging { going_down: true } } else { Stage::Settling };
        if down {
            self.probe.sometimes("agent: the machine is going down");
            leaving.until = now + PURGE_LIMIT;
            self.ask(Pending::Withdraw, Call::Withdraw);
        }
    }

    pub(super) fn tend_ending(&mut self, now: Duration) {
        while let Some(before) = self.stage() {
            self.go_on_ending(before, now);
            if self.stage() == Some(before) {
                break;
            }
        }
        if self.is_over() {
            for waiter in self.leaving.iter_mut().flat_map(|leaving| leaving.waiters.drain(..)) {
                // Whoever does not wait any more need not be told.
                let _ = waiter.send(());
            }
        }
    }

    fn go_on_ending(&mut self, stage: Stage, now: Duration) {
        let late = self.leaving.as_ref().is_some_and(|leaving| now >= leaving.until);
        match stage {
            Stage::Asking if late => self.advance(Stage::Settling),
            Stage::Settling if !self.writes() && self.begun_until(now).is_none() => match self.tenure.lease()
            {
                Some(lease) => {
                    self.advance(Stage::Moving);
                    self.register(Some(lease), RESTART_GRACE);
                }
                None => self.advance(Stage::Over),
            },
            Stage::Purging { .. } if self.units.is_empty() && !self.writes() => self.give_back(),
            Stage::Purging { .. } if late => {
                let rests = |unit: &Unit| unit.activity() == Activity::AtRest || unit.file.is_none();
                // What still runs keeps its report until the lease ends by itself: others have been told to wait for that.
                if self.units.values().all(rests) { self.give_back() } else { self.advance(Stage::Over) }
            }
            Stage::Settling | Stage::Moving | Stage::Revoking if late => self.advance(Stage::Over),
            _ => {}
        }
    }

    /// Whether something that changes the store is under way. A keep-alive does not.
    fn writes(&self) -> bool {
        let reads = |pending: &Pending| {
            matches!(pending, Pending::KeepAlive(_) | Pending::Orders(_) | Pending::Look | Pending::States)
        };
        let systemd = |id: &CallId, pending: &Pending| match pending {
            Pending::Unit { name, .. } => {
                let job = self.units.get(name).and_then(|unit| unit.job.as_ref()).filter(|job| job.id == *id);
                !job.is_some_and(|job| job.step.is_store())
            }
            Pending::Kill | Pending::Reload | Pending::Stopping => true,
            _ => false,
        };
        self.pending.iter().any(|(id, pending)| !reads(pending) && !systemd(id, pending))
    }

    /// Until when a job that was begun a moment ago may tell what became of it: what was started shall be told of as started, or the
    /// next fleetd would take it for somebody else's. None: there is none.
    pub(super) fn begun_until(&self, now: Duration) -> Option<Duration> {
        let begun = self.pending.values().filter_map(|pending| match pending {
            Pending::Unit { since, .. } => Some(*since + JOB_PATIENCE),
            _ => None,
        });
        begun.filter(|until| *until > now).max()
    }

    fn give_back(&mut self) {
        match self.tenure.lease() {
            Some(lease) => {
                self.advance(Stage::Revoking);
                self.ask(Pending::Revoke, Call::Revoke { lease });
            }
            None => self.advance(Stage::Over),
        }
    }

    /// The reports are under the lease that lasts, or they are not: no more can be done.
    pub(super) fn left(&mut self) {
        self.advance(Stage::Over);
    }

    pub(super) fn revoked(&mut self) {
        self.advance(Stage::Over);
    }

    fn advance(&mut self, stage: Stage) {
        let leaving = self.leaving.as_mut().expect("only an ending goes on");
        assert!(leaving.stage != Stage::Over, "an ending that is over goes on to {stage:?}");
        leaving.stage = stage;
    }
}
