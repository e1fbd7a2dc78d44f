//! What the agent knows, and what it wants done about it: everything but the waiting.
//!
//! [`Mind::hear`] takes in one event and writes down what is known now. [`Mind::turn`] then looks at everything and says which
//! calls to make; [`Mind::wake`] says when to look again though nothing was heard. No clock, no task, no port: a test tells
//! it a story and reads the calls.
//!
//! A turn looks at all units of the machine. There are hundreds of them at most, a turn takes in whatever has been heard by then,
//! and what need not be remembered (who must be looked at again) cannot be forgotten.

use super::batches::{Look, Orders, Reload, Reporting, Seeing};
use super::config::{AgentConfig, KILL_PERIOD, RELOAD_DELAY, RELOAD_PATIENCE, RETRY_FIRST};
use super::ending::Leaving;
use super::event::{Call, CallId, Claims, Event, OrderChange, Outcome, Reports};
use super::tenure::{Need, Tenure};
use super::unit::{Sight, Unit};
use crate::model::Order;
use crate::systemd::Change;
use crate::unit::UnitName;
use kernel::{Bug, Planted, Probe};
use std::collections::BTreeMap;
use std::time::Duration;

/// The agent's state.
pub struct Mind {
    pub(super) config: AgentConfig,
    pub(super) probe: Probe,
    /// Nothing outside the mutation test.
    pub(super) planted: Planted,
    pub(super) tenure: Tenure,
    pub(super) units: BTreeMap<UnitName, Unit>,
    pub(super) orders: Orders,
    pub(super) look: Look,
    pub(super) seeing: Seeing,
    pub(super) reload: Reload,
    pub(super) reporting: Reporting,
    pub(super) leaving: Option<Leaving>,
    /// The token of whoever holds our presence key, while we wait for it to go.
    pub(super) foreign: Option<String>,
    /// Calls under way.
    pub(super) pending: BTreeMap<CallId, Pending>,
    /// When the oldest job that keeps another from beginning counts no longer.
    pub(super) crowded_until: Option<Duration>,
    next_id: CallId,
    out: Vec<(CallId, Call)>,
}

/// A call under way, and what must be known when it ends.
#[derive(Debug)]
pub(super) enum Pending {
    Seek,
    Register(Reports),
    KeepAlive(i64),
    /// Under the lease of this term.
    Orders(u64),
    Report {
        lease: i64,
        reports: Reports,
    },
    /// A job of a unit, since when, and whether it moves files.
    Unit {
        name: UnitName,
        since: Duration,
        files: bool,
    },
    Claim {
        lease: i64,
        claims: Claims,
    },
    /// For these units.
    Fetch(Vec<UnitName>),
    Kill,
    Look,
    States,
    Reload,
    Stopping,
    Withdraw,
    Revoke,
}

impl Mind {
    /// An agent that knows nothing yet.
    pub fn new(config: AgentConfig, probe: Probe, now: Duration) -> Mind {
        let tenure = Tenure::new(now, config.ttl);
        Mind {
            config,
            probe,
            planted: Planted::none(),
            tenure,
            units: BTreeMap::new(),
            orders: Orders::default(),
            look: Look::default(),
            seeing: Seeing::default(),
            reload: Reload::default(),
            reporting: Reporting::default(),
            leaving: None,
            foreign: None,
            pending: BTreeMap::new(),
            crowded_until: None,
            next_id: 1,
            out: Vec::new(),
        }
    }

    /// Takes in one event.
    pub fn hear(&mut self, event: Event, now: Duration) {
        match event {
            Event::Ended(id, outcome) => {
                if let Some(pending) = self.pending.remove(&id) {
                    self.ended(id, pending, outcome, now);
                }
            }
            Event::Orders(round, changes) if round == self.orders.round => {
                changes.into_iter().for_each(|change| self.order_changed(change, now));
            }
            Event::Orders(..) => {}
            Event::Systemd(Change::Unit(name)) => {
                let known = UnitName::parse(&name).ok().and_then(|name| self.units.get_mut(&name));
                known.into_iter().for_each(Unit::look_again);
            }
            Event::Systemd(Change::Resync) => {
                self.probe.sometimes("agent: systemd was lost sight of");
                if !self.planted.is(Bug::IgnoreResync) {
                    self.look.want();
                }
            }
            Event::Stop(ending, done) => self.begin_ending(ending, done, now),
        }
    }

    /// What is to be done now.
    pub fn turn(&mut self, now: Duration) -> Vec<(CallId, Call)> {
        self.tend_lease(now);
        if !self.is_leaving() {
            self.tend_orders(now);
            self.tend_look(now);
            self.tend_units(now);
            self.tend_reload(now);
            self.tend_states(now);
            self.tend_reports(now);
        }
        self.tend_ending(now);
        std::mem::take(&mut self.out)
    }

    /// When to take a turn though nothing was heard; always later than `now`.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        let calm = [
            self.tenure.wake(),
            self.orders.wake(),
            self.look.wake(),
            self.seeing.wake(),
            self.reload.wake(RELOAD_DELAY),
            self.reload.wake(RELOAD_PATIENCE),
            self.reporting.wake(),
            self.crowded_until,
            self.leaving.as_ref().map(Leaving::wake),
            self.leaving.as_ref().and_then(|_| self.begun_until(now)),
        ];
        let edge = self.tenure.edge();
        let units = self.units.values().flat_map(|unit| {
            let strict = unit.stops_when_cut_off();
            let kill = unit.killed.unwrap_or(edge + unit.stop_grace()) + KILL_PERIOD;
            [
                unit.trouble.as_ref().map(|trouble| trouble.until),
                unit.trouble.as_ref().map(|trouble| trouble.since + RETRY_FIRST),
                strict.then_some(edge),
                strict.then_some(edge + unit.stop_grace()),
                strict.then_some(kill),
                unit.tells_at(),
            ]
        });
        calm.into_iter().chain(units).flatten().filter(|time| *time > now).min()
    }

    /// Whether the agent has ended.
    pub fn is_over(&self) -> bool {
        self.leaving.as_ref().is_some_and(Leaving::is_over)
    }

    /// Makes a call.
    pub(super) fn ask(&mut self, pending: Pending, call: Call) -> CallId {
        let id = self.next_id;
        self.next_id += 1;
        let before = self.pending.insert(id, pending);
        assert!(before.is_none(), "two calls have the id {id}");
        self.out.push((id, call));
        id
    }

    /// Makes a call that has no end of its own.
    pub(super) fn tell(&mut self, call: Call) {
        let id = self.next_id;
        self.next_id += 1;
        self.out.push((id, call));
    }

    fn tend_lease(&mut self, now: Duration) {
        if self.leaving.is_some() && self.tenure.lease().is_none() {
            // Nobody shall be told to come who would find the door closing.
            return;
        }
        if !self.look.was_tried() {
            // A machine that shows itself says what is on it.
            return;
        }
        match self.tenure.due(now) {
            Some(Need::Seek) => {
                self.ask(Pending::Seek, Call::Seek);
            }
            Some(Need::KeepAlive(lease)) => {
                let limit = self.tenure.beat_limit();
                self.ask(Pending::KeepAlive(lease), Call::KeepAlive { lease, limit });
            }
            None => {}
        }
    }

    fn ended(&mut self, id: CallId, pending: Pending, outcome: Outcome, now: Duration) {
        match (pending, outcome) {
            (Pending::Seek, Outcome::Sought(result)) => self.sought(result, now),
            (Pending::Register(reports), Outcome::Registered(result)) => {
                self.registered(reports, result, now);
            }
            (Pending::KeepAlive(lease), Outcome::Renewed(result)) => self.renewed(lease, result, now),
            (Pending::Orders(term), Outcome::Orders(result)) => self.orders_read(term, result, now),
            (Pending::Report { lease, reports }, Outcome::Reported(result)) => {
                self.reported(lease, reports, result, now);
            }
            (Pending::Claim { lease, claims }, Outcome::Claimed(result)) => {
                self.claimed(id, lease, claims, result, now);
            }
            (Pending::Fetch(names), Outcome::Texts(result)) => self.fetched(id, names, result, now),
            (Pending::Unit { name, .. }, outcome) => self.job_ended(&name, id, outcome, now),
            (Pending::Look, Outcome::Looked(result)) => self.looked(result, now),
            (Pending::States, Outcome::States(result)) => self.seen(result, now),
            (Pending::Reload, Outcome::Done(result)) => self.reloaded(result, now),
            (Pending::Stopping, Outcome::Stopping(down)) => self.asked_whether_down(down, now),
            (Pending::Revoke, _) => self.revoked(),
            (Pending::Kill | Pending::Withdraw, _) => {}
            (pending, outcome) => unreachable!("{pending:?} ended with {outcome:?}"),
        }
    }

    fn order_changed(&mut self, change: OrderChange, now: Duration) {
        match change {
            OrderChange::Put(name, order, revision) => self.set_order(name, Some((order, revision))),
            OrderChange::Gone(name) => self.set_order(name, None),
            OrderChange::Unreadable(name) => self.obscure(&name),
            // On the way out, we have deleted it ourselves.
            OrderChange::NoPresence if self.leaving.is_some() => {}
            OrderChange::NoPresence => {
                self.probe.sometimes("agent: its presence has gone");
                self.tenure.vacated(now);
            }
            OrderChange::Lost => {
                self.probe.sometimes("agent: the watch of orders has lost its place");
                self.orders.lost();
            }
        }
    }

    /// The order for a unit is this now.
    pub(super) fn set_order(&mut self, name: UnitName, order: Option<(Order, i64)>) {
        if order.is_none() && !self.units.contains_key(&name) {
            return;
        }
        let unit = self.units.entry(name).or_default();
        let content = |order: &Option<(Order, i64)>| order.as_ref().map(|(order, _)| order.clone());
        if content(&unit.order) != content(&order) {
            unit.forgive();
            unit.finished = false;
            if order.is_none() && unit.sight != Sight::Fresh {
                unit.look_again();
            }
        }
        (unit.order, unit.obscure) = (order, false);
    }

    /// There is an order that says nobody knows what: a unit that is here stays as it is.
    pub(super) fn obscure(&mut self, name: &UnitName) {
        if let Some(unit) = self.units.get_mut(name) {
            self.probe.sometimes("agent: an order cannot be read");
            unit.obscure = true;
        }
    }
}
