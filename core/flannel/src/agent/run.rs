//! The loop: hear what has happened, do what follows, show how it is, wait.
//!
//! Verbs of this machine's own kernel are awaited in place, one after the other: they are short, and nothing could be decided before
//! they end. What may take long (the store, a user's command) runs beside the loop and comes back as an event.

use super::config::*;
use super::listen;
use super::state::{Agent, Event, Ports, Table};
use super::status::Status;
use crate::env::SubnetEnv;
use crate::holder::{Holder, HolderConfig, Picture, Standing};
use crate::registry::Registry;
use futures_channel::oneshot;
use futures_util::future::select;
use kernel::BoxFuture;
use kernel::inbox::{Inbox, Outlet, Woken};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest wait.
const IDLE: Duration = Duration::from_secs(60);
/// How often the TUN device is asked whether it carries packets still.
const TUNNEL_WATCH: Duration = Duration::from_secs(5);
/// The shortest wait: what became due while a turn was taken.
const SOON: Duration = Duration::from_millis(1);

/// What an agent is started with.
pub(super) struct Start {
    pub(super) ports: Ports,
    pub(super) registry: Registry,
    pub(super) config: FlannelConfig,
    pub(super) log: Log,
    pub(super) shown: Arc<Mutex<Status>>,
    pub(super) events: Inbox<Event>,
}

/// Reads what the last time left, begins to follow the store and the kernel, and runs until it is stopped.
pub(super) async fn run(start: Start, outlet: Outlet<Event>) {
    let Start { ports, registry, config, log, shown, events } = start;
    let began = ports.clock.now();
    let env = ports.local.read_env().await;
    let previous = env.as_ref().ok().and_then(|text| SubnetEnv::parse(text.as_ref()?).previous());
    let holder = HolderConfig { ttl: config.ttl, margin: config.margin, previous };
    let poke = events.clone();
    let poke = Box::new(move || poke.push(Event::Store));
    let planted = registry.planted;
    let (spawn, clock, probe) = (ports.spawn.clone(), ports.clock.clone(), ports.probe.clone());
    let holder = Holder::start(spawn, clock, registry, holder, ports.seed, probe, poke);
    let (listening, ended) = oneshot::channel::<()>();
    let listen = listen::listen(ports.links.clone(), events.clone(), ports.clock.clone());
    ports
        .spawn
        .spawn("flannel: kernel", Box::pin(async move { drop(select(ended, Box::pin(listen)).await) }));
    let picture = Picture {
        config: None,
        leases: Arc::default(),
        revision: 0,
        standing: Standing::Waiting(String::new()),
        notes: Vec::new(),
    };
    let mut agent = Agent {
        ports,
        config,
        events,
        planted,
        log,
        shown,
        status: Status::default(),
        holder,
        picture,
        began,
        previous,
        place: None,
        preparing: None,
        refused: None,
        told: None,
        table: Table::new(),
        tunnel: None,
        commands: BTreeMap::new(),
        started: None,
        env: None,
        waiting: None,
        told_waiting: None,
        trouble: None,
        stopping: None,
        _listening: listening,
    };
    if let Err(error) = env {
        agent.trouble(format!("{error}; the subnet of the last time is not asked for"), Duration::ZERO);
    }
    agent.look_at_store();
    agent.turns(outlet).await;
}

/// Whether two standings call for the same tables: a renewal changes nothing there.
fn is_same(one: &Standing, other: &Standing) -> bool {
    match (one, other) {
        (Standing::Held { lease, .. }, Standing::Held { lease: other, .. }) => lease == other,
        _ => one == other,
    }
}

impl Agent {
    async fn turns(mut self, mut outlet: Outlet<Event>) {
        let mut batch = Vec::new();
        loop {
            self.turn().await;
            self.show();
            if let Some(stopped) = self.stopping.take() {
                // Device, routes, rules, subnet.env and lease stay: packets go on over a restart. The TUN device ends with us.
                drop(self);
                let _ = stopped.send(());
                return;
            }
            let now = self.ports.clock.now();
            let wake = self.wake(now);
            assert!(wake > now, "a loop that does not wait would take the machine");
            let mut timer: BoxFuture<'static, ()> = self.ports.clock.sleep_until(wake);
            if outlet.wait(&mut timer).await == Woken::Closed {
                return;
            }
            let now = self.ports.clock.now();
            outlet.take(TURN_EVENTS, &mut batch);
            batch.drain(..).for_each(|event| self.hear(event, now));
        }
    }

    fn hear(&mut self, event: Event, now: Duration) {
        match event {
            Event::Store => self.look_at_store(),
            Event::Hint(hint) => self.hinted(&hint, now),
            Event::Command(key, outcome) => self.command_ended(&key, outcome, now),
            Event::Stop(done) => self.stopping = Some(done),
        }
    }

    async fn turn(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        self.tell_waiting();
        self.tend_config();
        if self.place.is_none() {
            self.prepare().await;
        }
        self.tend_failed_tunnel();
        self.tend_tables().await;
        self.tend_commands();
    }

    /// Takes in what the holder shows.
    fn look_at_store(&mut self) {
        let now = self.ports.clock.now();
        let mut picture = self.holder.take();
        let notes = std::mem::take(&mut picture.notes);
        notes.iter().for_each(|text| self.say(text));
        if picture.standing != self.picture.standing {
            self.tell_standing(&picture.standing, &notes, now);
        }
        let leases =
            Arc::ptr_eq(&picture.leases, &self.picture.leases) || picture.leases == self.picture.leases;
        let same = leases && is_same(&picture.standing, &self.picture.standing);
        self.picture = picture;
        if !same {
            self.table.soil(now);
        }
    }

    fn tell_standing(&mut self, standing: &Standing, notes: &[String], now: Duration) {
        self.waiting = None;
        match (standing, &self.picture.standing) {
            (Standing::Held { lease, .. }, Standing::Held { lease: old, .. }) if lease.key == old.key => {}
            (Standing::Held { lease, .. }, _) => {
                self.told_waiting = None;
                self.say(format!("holds the lease of {}", lease.key));
            }
            (Standing::Waiting(why), _) if why.is_empty() || notes.contains(why) => {}
            (Standing::Waiting(_), _) => self.waiting = Some(now + WAIT_TOLD),
            (Standing::Lost(why), _) => {
                self.ports.probe.sometimes("flannel: the lease was lost");
                self.trouble(format!("{why}: traffic stops until there is a lease again"), now);
            }
        }
    }

    /// Tells what is waited for, once it has lasted.
    fn tell_waiting(&mut self) {
        let now = self.ports.clock.now();
        if let (Some(when), Standing::Waiting(why)) = (self.waiting, &self.picture.standing)
            && when <= now
        {
            // It may have waited for something else in between, for a moment that was not worth a line.
            if self.told_waiting.as_ref() != Some(why) {
                self.say(why);
                self.told_waiting = Some(why.clone());
            }
            self.waiting = None;
        }
    }

    /// A TUN device that failed is opened anew at the next look, which is now. Its threads cannot say so by themselves.
    fn tend_failed_tunnel(&mut self) {
        if self.tunnel.as_ref().is_some_and(|tunnel| tunnel.device.failure().is_some()) {
            self.table.soil(self.ports.clock.now());
        }
    }

    /// When to take a turn though nothing was heard.
    fn wake(&self, now: Duration) -> Duration {
        let soon = now + SOON;
        let mut wake = vec![now + IDLE];
        match self.place {
            None => wake.extend(self.preparing.map(|at| at.max(soon))),
            Some(_) => wake.push(self.table.due().max(soon)),
        }
        if let Standing::Held { until, .. } = self.picture.standing {
            wake.push(until);
        }
        wake.extend(self.waiting);
        wake.extend(self.tunnel.is_some().then_some(now + TUNNEL_WATCH));
        let idle = self.commands.values().filter(|peer| peer.running.is_none());
        wake.extend(idle.filter_map(|peer| peer.retry.until()));
        let soonest = wake.into_iter().filter(|wake| *wake > now).min();
        soonest.expect("there always is a time to look again")
    }
}
