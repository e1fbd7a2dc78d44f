//! The agent's loop, and the two tasks that listen for it: to the orders, and to systemd.

use super::calls::{Ports, spawned};
use super::config::{INBOX, RETRY_FIRST, TURN_EVENTS};
use super::event::{Call, Event, OrderChange};
use super::mind::Mind;
use super::status::AgentStatus;
use crate::registry::{self, Batch, Change, Scope};
use futures_channel::oneshot;
use futures_util::future::select;
use kernel::inbox::{Inbox, Outlet, Refused, Woken, inbox};
use kernel::{BoxFuture, Clock, Probe, Spawn};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a listener waits when the loop has more to do than it can take.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// The loop and what it holds.
pub(super) struct Loop {
    spawn: Arc<dyn Spawn>,
    ports: Ports,
    mind: Mind,
    events: Inbox<Event>,
    status: Arc<Mutex<AgentStatus>>,
    /// Ends the watch of orders when dropped.
    watch: Option<oneshot::Sender<()>>,
}

/// Starts the loop and its listeners.
pub(super) fn start(
    spawn: Arc<dyn Spawn>,
    probe: Probe,
    ports: Ports,
    status: Arc<Mutex<AgentStatus>>,
) -> Inbox<Event> {
    let (events, outlet) = inbox(INBOX);
    let mut mind = Mind::new((*ports.config).clone(), probe, ports.clock.now());
    mind.planted = ports.registry.planted;
    let changes = ports.systemd.changes();
    spawn.spawn("agent: systemd", Box::pin(hear_systemd(changes, events.clone(), ports.clock.clone())));
    let run = Loop { spawn: spawn.clone(), ports, mind, events: events.clone(), status, watch: None };
    spawn.spawn("agent", Box::pin(run.turns(outlet)));
    events
}

impl Loop {
    async fn turns(mut self, mut outlet: Outlet<Event>) {
        let mut batch = Vec::new();
        loop {
            let now = self.ports.clock.now();
            for (id, call) in self.mind.turn(now) {
                self.make(id, call);
            }
            *self.status.lock().expect("no holder panics") = self.mind.status(now);
            if self.mind.is_over() {
                return;
            }
            let mut timer: BoxFuture<'static, ()> = match self.mind.wake(now) {
                Some(wake) => self.ports.clock.sleep_until(wake),
                None => Box::pin(std::future::pending()),
            };
            if outlet.wait(&mut timer).await == Woken::Closed {
                return;
            }
            let now = self.ports.clock.now();
            outlet.take(TURN_EVENTS, &mut batch);
            batch.drain(..).for_each(|event| self.mind.hear(event, now));
        }
    }

    fn make(&mut self, id: u64, call: Call) {
        if let Call::Watch { from, round } = call {
            return self.watch(from, round);
        }
        let events = self.events.clone();
        let end = move |outcome| events.push(Event::Ended(id, outcome));
        self.spawn.spawn("agent: call", spawned(self.ports.clone(), call, end));
    }

    fn watch(&mut self, from: i64, round: u64) {
        let (stop, stopped) = oneshot::channel();
        let machine = self.ports.config.machine.id.clone();
        let watch = self.ports.registry.watch(from, &Scope::Machine(machine));
        let (events, clock) = (self.events.clone(), self.ports.clock.clone());
        let hear = async move {
            // Whichever ends first: a newer watch has begun, or this one has lost its place.
            drop(select(stopped, Box::pin(hear_orders(watch, round, events, clock))).await);
        };
        self.spawn.spawn("agent: orders", Box::pin(hear));
        self.watch = Some(stop);
    }
}

async fn hear_orders(mut watch: registry::Watch, round: u64, events: Inbox<Event>, clock: Arc<dyn Clock>) {
    loop {
        let changes = match watch.next().await {
            Ok(Batch::Changes(changes)) => order_changes(changes),
            Ok(Batch::Resync) => vec![OrderChange::Lost],
            Err(_) => {
                clock.sleep_until(clock.now() + RETRY_FIRST).await;
                continue;
            }
        };
        let lost = changes.contains(&OrderChange::Lost);
        if !changes.is_empty() && !push(&events, Event::Orders(round, changes), &*clock).await {
            return;
        }
        if lost {
            return;
        }
    }
}

fn order_changes(changes: Vec<Change>) -> Vec<OrderChange> {
    let mut told: Vec<(i64, OrderChange)> = Vec::new();
    for Change { revision, event } in changes {
        match event {
            registry::Event::Order { unit, order: Some(order), .. } => {
                told.push((revision, OrderChange::Put(unit, order, revision)));
            }
            registry::Event::Order { unit, order: None, .. } => {
                told.push((revision, OrderChange::Gone(unit)))
            }
            registry::Event::Presence { presence: None, .. } => {
                told.push((revision, OrderChange::NoPresence));
            }
            // What cannot be read is told of as gone, and then explained.
            registry::Event::Note { why: Some(_), key } => match told.last_mut() {
                Some((of, change)) if *of == revision => obscure(change, &key),
                _ => {}
            },
            _ => {}
        }
    }
    told.into_iter().map(|(_, change)| change).collect()
}

fn obscure(change: &mut OrderChange, key: &str) {
    if let OrderChange::Gone(unit) = change
        && key.rsplit('/').next() == Some(unit.as_str())
    {
        *change = OrderChange::Unreadable(unit.clone());
    }
}

async fn hear_systemd(
    mut changes: Box<dyn crate::systemd::Changes>,
    events: Inbox<Event>,
    clock: Arc<dyn Clock>,
) {
    loop {
        let change = changes.next().await;
        if !push(&events, Event::Systemd(change), &*clock).await {
            return;
        }
    }
}

/// Hands an event to the loop, waiting for room; false when the loop has ended.
async fn push(events: &Inbox<Event>, mut event: Event, clock: &dyn Clock) -> bool {
    loop {
        match events.try_push(event) {
            Ok(()) => return true,
            Err(Refused::Closed(_)) => return false,
            Err(Refused::Full(back)) => event = back,
        }
        clock.sleep_until(clock.now() + FULL_PAUSE).await;
    }
}
