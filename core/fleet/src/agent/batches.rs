//! What is done for all units in one go: looking at systemd, reading its files anew, telling the cluster. And the view of the
//! orders, which is one for all of them.

use super::config::*;
use super::event::{Call, Fault, Reports, Seen};
use super::mind::{Mind, Pending};
use super::unit::{Installed, Sight, Unit};
use crate::model::SystemdState;
use crate::reconcile::Step;
use crate::unit::UnitName;
use std::collections::BTreeMap;
use std::time::Duration;

/// The view of this machine's orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Whether they were ever read.
    pub(super) known: bool,
    /// Under which lease they were read last, and watched since; 0 when the watch has lost its place.
    term: u64,
    pub(super) asking: bool,
    retry: Duration,
    /// Counts watches: what an earlier one says does not count.
    pub(super) round: u64,
}

impl Orders {
    pub(super) fn is_due(&self, term: u64, now: Duration) -> bool {
        !self.asking && self.term != term && self.retry <= now
    }

    /// Whether they were read under the lease of this term.
    pub(super) fn is_of(&self, term: u64) -> bool {
        self.known && self.term == term
    }

    pub(super) fn lost(&mut self) {
        self.term = 0;
    }

    pub(super) fn put_off(&mut self, now: Duration) {
        self.retry = now + RETRY_FIRST;
    }

    /// They were read; which round of watching begins.
    pub(super) fn read(&mut self, term: u64) -> u64 {
        assert!(term > 0, "orders are read under a lease");
        (self.known, self.term) = (true, term);
        self.round += 1;
        self.round
    }

    pub(super) fn wake(&self) -> Option<Duration> {
        (!self.asking).then_some(self.retry)
    }
}

/// Whether the units directory has been looked at.
#[derive(Debug, Default)]
pub(super) struct Look {
    stage: LookStage,
    once: bool,
    tried: bool,
    retry: Duration,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum LookStage {
    #[default]
    Wanted,
    Asking,
    /// Asked for, and then wanted once more.
    Again,
    Known,
}

impl Look {
    pub(super) fn want(&mut self) {
        self.stage = match self.stage {
            LookStage::Asking | LookStage::Again => LookStage::Again,
            _ => LookStage::Wanted,
        };
    }

    /// Whether what is known of files holds now.
    pub(super) fn is_known(&self) -> bool {
        self.stage == LookStage::Known
    }

    /// Whether a look has ended, well or not.
    pub(super) fn was_tried(&self) -> bool {
        self.tried
    }

    /// Whether it was ever known.
    pub(super) fn is_known_once(&self) -> bool {
        self.once
    }

    pub(super) fn wake(&self) -> Option<Duration> {
        (self.stage == LookStage::Wanted).then_some(self.retry)
    }
}

/// Asking for states.
#[derive(Debug, Default)]
pub(super) struct Seeing {
    asking: bool,
    retry: Duration,
}

impl Seeing {
    pub(super) fn wake(&self) -> Option<Duration> {
        (!self.asking).then_some(self.retry)
    }
}

/// Reading all files anew.
#[derive(Debug, Default)]
pub(super) struct Reload {
    /// Since when a unit waits for it.
    wanted: Option<Duration>,
    asking: bool,
}

impl Reload {
    pub(super) fn want(&mut self, now: Duration) {
        self.wanted.get_or_insert(now);
    }

    pub(super) fn wake(&self, patience: Duration) -> Option<Duration> {
        self.wanted.filter(|_| !self.asking).map(|wanted| wanted + patience)
    }
}

/// Telling the cluster.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// Since when there is something to tell.
    since: Option<Duration>,
    /// What is being told.
    asking: Option<Vec<UnitName>>,
    retry: Duration,
}

impl Reporting {
    /// Whether a report of this unit is on its way.
    pub(super) fn is_telling(&self, name: &UnitName) -> bool {
        self.asking.as_ref().is_some_and(|names| names.contains(name))
    }

    fn due(&self) -> Option<Duration> {
        Some((self.since? + REPORT_DELAY).max(self.retry))
    }

    pub(super) fn wake(&self) -> Option<Duration> {
        self.due().filter(|_| self.asking.is_none())
    }
}

impl Mind {
    fn moves_files(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Unit { files: true, .. }))
    }

    pub(super) fn tend_look(&mut self, now: Duration) {
        if self.look.stage == LookStage::Wanted && self.look.retry <= now && !self.moves_files() {
            self.look.stage = LookStage::Asking;
            for unit in self.units.values_mut() {
                unit.sight = if unit.file.is_some() { Sight::Asked } else { Sight::Stale };
            }
            self.ask(Pending::Look, Call::Look);
        }
    }

    pub(super) fn looked(&mut self, result: Result<Seen, Fault>, now: Duration) {
        let again = self.look.stage == LookStage::Again;
        assert!(matches!(self.look.stage, LookStage::Asking | LookStage::Again), "looked without asking");
        self.look.tried = true;
        let Ok(Seen { files, states }) = result else {
            (self.look.stage, self.look.retry) = (LookStage::Wanted, now + RETRY_FIRST);
            return;
        };
        (self.look.stage, self.look.once) = (LookStage::Known, true);
        if again {
            self.look.stage = LookStage::Wanted;
        }
        for (name, unit) in &mut self.units {
            if unit.file.is_some() && !files.contains_key(name.as_str()) {
                self.probe.sometimes("agent: a file has gone behind its back");
                unit.uninstalled();
            }
        }
        for (name, text) in files {
            // Whatever else lies there was not put there by fleet.
            let Ok(name) = UnitName::parse(&name) else { continue };
            let installed = Installed::read(&name, &text);
            let unit = self.units.entry(name).or_default();
            if unit.file.as_ref().map(|file| file.hash) != Some(installed.hash) {
                (unit.file, unit.unread, unit.reading) = (Some(installed), true, false);
                unit.sight = Sight::Asked;
            }
        }
        self.take_states(states, now);
    }

    pub(super) fn tend_states(&mut self, now: Duration) {
        if self.seeing.asking || self.seeing.retry > now || !self.look.is_known_once() {
            return;
        }
        let purging = self.is_purging();
        let stale = |unit: &Unit| unit.sight == Sight::Stale && unit.is_watched(purging);
        let stale = self.units.iter_mut().filter(|(_, unit)| stale(unit));
        let mut names = Vec::new();
        for (name, unit) in stale {
            unit.sight = Sight::Asked;
            names.push(name.clone());
        }
        if !names.is_empty() {
            self.seeing.asking = true;
            self.ask(Pending::States, Call::States { names });
        }
    }

    pub(super) fn seen(&mut self, result: Result<BTreeMap<String, SystemdState>, Fault>, now: Duration) {
        assert!(self.seeing.asking, "states came that nobody has asked for");
        self.seeing.asking = false;
        match result {
            Ok(states) => self.take_states(states, now),
            Err(_) => {
                self.seeing.retry = now + RETRY_FIRST;
                let asked = self.units.values_mut().filter(|unit| unit.sight == Sight::Asked);
                asked.for_each(|unit| unit.sight = Sight::Stale);
            }
        }
    }

    /// States as of a moment after they were asked for. Where something happened since, they are old already.
    /// States as of a moment after they were asked for.
    fn take_states(&mut self, states: BTreeMap<String, SystemdState>, now: Duration) {
        for (name, unit) in &mut self.units {
            let Some(state) = states.get(name.as_str()) else { continue };
            unit.saw(state, now);
            if self.orders.known {
                unit.guess();
            }
        }
    }

    pub(super) fn tend_reload(&mut self, now: Duration) {
        let Some(wanted) = self.reload.wanted.filter(|_| !self.reload.asking) else { return };
        let patience = if self.moves_files() { RELOAD_PATIENCE } else { RELOAD_DELAY };
        if now < wanted + patience {
            return;
        }
        (self.reload.asking, self.reload.wanted) = (true, None);
        // Files that move just now may be read half: they wait for the next.
        let moving: Vec<UnitName> = self.moving_files();
        let units = self.units.iter_mut().filter(|(name, unit)| unit.unread && !moving.contains(name));
        units.for_each(|(_, unit)| unit.reading = true);
        self.ask(Pending::Reload, Call::Reload);
    }

    fn moving_files(&self) -> Vec<UnitName> {
        let moving = self.pending.values().filter_map(|pending| match pending {
            Pending::Unit { name, files: true, .. } => Some(name.clone()),
            _ => None,
        });
        moving.collect()
    }

    pub(super) fn reloaded(&mut self, result: Result<(), Fault>, now: Duration) {
        assert!(self.reload.asking, "a reload has ended that was not begun");
        self.reload.asking = false;
        for unit in self.units.values_mut().filter(|unit| unit.reading) {
            unit.reading = false;
            match &result {
                Ok(()) => {
                    unit.unread = false;
                    unit.succeed(Step::Reload);
                    unit.look_again();
                }
                Err(fault) => unit.fault(Step::Reload, fault, now),
            }
        }
    }

    pub(super) fn tend_reports(&mut self, now: Duration) {
        let Some(lease) = self.tenure.lease() else { return };
        if self.reporting.asking.is_some() {
            return;
        }
        let news = self.units.iter().filter(|(_, unit)| unit.has_news() && unit.may_tell(now));
        let reports: Reports =
            news.take(REPORT_BATCH).map(|(name, unit)| (name.clone(), unit.report())).collect();
        if reports.is_empty() {
            self.reporting.since = None;
            return;
        }
        assert!(reports.len() <= REPORT_BATCH, "{} reports are more than a batch", reports.len());
        self.reporting.since.get_or_insert(now);
        if self.reporting.due().is_some_and(|due| due <= now) {
            self.reporting.asking = Some(reports.iter().map(|(name, _)| name.clone()).collect());
            self.reporting.since = None;
            self.ask(Pending::Report { lease, reports: reports.clone() }, Call::Report { lease, reports });
        }
    }

    pub(super) fn reported(
        &mut self,
        lease: i64,
        reports: Reports,
        result: Result<Vec<UnitName>, Fault>,
        now: Duration,
    ) {
        assert!(self.reporting.asking.is_some(), "one batch of reports at a time");
        self.reporting.asking = None;
        let lost = match result {
            Ok(lost) if self.tenure.lease() == Some(lease) => lost,
            Ok(_) => return,
            Err(fault) => {
                if fault == Fault::NoLease {
                    self.tenure.doubt(now);
                }
                self.reporting.retry = now + REPORT_RETRY;
                return;
            }
        };
        for (name, report) in reports {
            let Some(unit) = self.units.get_mut(&name) else { continue };
            if lost.contains(&name) {
                // Somebody has deleted it: the unit is to be claimed again before anything else is done about it.
                unit.written = None;
            } else if unit.written.is_some() {
                unit.written = Some(report);
                unit.told(now);
            }
        }
    }
}
