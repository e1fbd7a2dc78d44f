//! What becomes of the lease, of the reports under it, and of the orders read under it.
//!
//! A lease that was got anew is of no use by itself: reports are put under it with the presence (so that nobody thinks the machine
//! empty), and then the orders are read again. An order that is there *after* our report was is claimed: the engine that takes
//! it away from now on waits for us.

use super::event::{Call, Fault, Granted, Orders, Reports, Sought};
use super::mind::{Mind, Pending};
use super::unit::Unit;
use crate::unit::UnitName;
use std::time::Duration;

impl Mind {
    pub(super) fn sought(&mut self, result: Result<Sought, Fault>, now: Duration) {
        self.foreign = None;
        match result {
            Ok(Sought::Nobody) if self.look.is_known() => self.register(None, self.config.ttl),
            // Whatever runs here must be told of when the machine shows itself: first see what does.
            Ok(Sought::Nobody) | Err(_) => self.tenure.put_off(now),
            Ok(Sought::Foreign { instance }) => {
                self.probe.sometimes("agent: waits for somebody else's presence to end");
                self.foreign = Some(instance);
                self.tenure.put_off(now);
            }
            Ok(Sought::Own { lease, kept, reports }) => {
                self.probe.sometimes("agent: found its own presence");
                self.remember(reports);
                match kept {
                    Some(granted) => self.tenure.held(granted.lease, granted.ttl, granted.sent),
                    None => self.register(Some(lease), self.config.ttl),
                }
            }
        }
    }

    /// What an earlier life of this agent said about its units.
    fn remember(&mut self, reports: Reports) {
        for (name, report) in reports {
            self.units.entry(name).or_default().remember(report);
        }
    }

    /// Gets a lease and puts under it what there is to tell.
    pub(super) fn register(&mut self, from: Option<i64>, ttl: Duration) {
        assert!(from != Some(0), "lease 0 means no lease");
        assert!(self.look.was_tried(), "a machine that shows itself has looked at itself");
        let here = self.units.iter().filter(|(_, unit)| unit.file.is_some() || unit.actual().reported);
        let reports: Reports = here.map(|(name, unit)| (name.clone(), unit.report())).collect();
        let leaving = self.is_moving();
        self.ask(Pending::Register(reports.clone()), Call::Register { reports, from, ttl, leaving });
    }

    pub(super) fn registered(
        &mut self,
        reports: Reports,
        result: Result<(Granted, Vec<UnitName>), Fault>,
        now: Duration,
    ) {
        if self.is_moving() {
            return self.left();
        }
        match result {
            Ok((granted, lost)) => {
                self.void_reports();
                for (name, report) in reports.into_iter().filter(|(name, _)| !lost.contains(name)) {
                    self.units.entry(name).or_default().written = Some(report);
                }
                self.tenure.held(granted.lease, granted.ttl, granted.sent);
            }
            // Half of it may have been done: the next look will tell.
            Err(_) => self.tenure.put_off(now),
        }
    }

    pub(super) fn renewed(&mut self, lease: i64, result: Result<Granted, Fault>, now: Duration) {
        let granted = match result {
            Ok(granted) => granted,
            Err(Fault::NoLease) => Granted { lease, ttl: Duration::ZERO, sent: now },
            Err(_) => return self.tenure.unanswered(lease, now),
        };
        if !self.tenure.answered(lease, granted.sent, granted.ttl, now) {
            self.probe.sometimes("agent: lost its lease");
            self.void_reports();
        }
    }

    /// The lease is gone, and every report with it.
    fn void_reports(&mut self) {
        for unit in self.units.values_mut() {
            (unit.written, unit.maybe_written) = (None, false);
        }
    }

    pub(super) fn tend_orders(&mut self, now: Duration) {
        let term = self.tenure.term();
        if self.tenure.lease().is_some() && self.orders.is_due(term, now) {
            self.orders.asking = true;
            self.ask(Pending::Orders(term), Call::Orders);
        }
    }

    pub(super) fn orders_read(&mut self, term: u64, result: Result<(i64, Orders), Fault>, now: Duration) {
        self.orders.asking = false;
        let Ok((revision, mut orders)) = result else { return self.orders.put_off(now) };
        let gone: Vec<UnitName> =
            self.units.keys().filter(|name| !orders.contains_key(*name)).cloned().collect();
        gone.into_iter().for_each(|name| self.set_order(name, None));
        while let Some((name, order)) = orders.pop_first() {
            match order {
                Some(order) => self.set_order(name, Some(order)),
                None => self.obscure(&name),
            }
        }
        self.units.values_mut().for_each(Unit::guess);
        let round = self.orders.read(term);
        assert!(revision > 0, "a store that was read has a revision");
        self.tell(Call::Watch { from: revision + 1, round });
    }
}
