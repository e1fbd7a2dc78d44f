//! One leadership, from the election to its end: waits for events, tells the [`World`], sends what it wants written.

use super::Context;
use super::waits::Waits;
use super::world::World;
use crate::meter::task;
use crate::registry::{Alive, Batch, Fence, RegistryError, Scope, Snapshot, Steps, Watch};
use std::time::Duration;

/// Pause before a load or a watch that failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// A lease under which this engine leads.
#[derive(Clone, Copy)]
pub(super) struct Mandate {
    /// What each of its transactions compares.
    pub fence: Fence,
    pub lease: i64,
    /// What the store granted.
    pub ttl: Duration,
    /// When the lease was asked for: it cannot have begun before.
    pub since: Duration,
}

/// Why a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The engine was stopped.
    Stopped,
    /// The lease ended or may have ended, or another engine leads.
    Deposed,
}

enum Event {
    Stop,
    /// It is time to renew the lease.
    Renew,
    /// The answer to a renewal that was sent at this moment.
    Renewed(Duration, Result<Alive, RegistryError>),
    /// Look whether the lease still runs.
    Lapse,
    Loaded(Box<Result<Snapshot, RegistryError>>),
    Watched(Watch, Result<Batch, RegistryError>),
    /// The answer to a transaction of steps of these kinds.
    Wrote(u64, Vec<&'static str>, Result<Steps, RegistryError>),
    Timer(Duration),
}

struct Tenure<'a> {
    context: &'a Context,
    mandate: Mandate,
    waits: Waits<Event>,
    /// By this engine's clock the lease runs at least until then.
    valid_until: Duration,
    world: Option<World>,
    /// The earliest timer that is set.
    timer: Option<Duration>,
}

/// Leads until the end.
pub(super) async fn run(context: &Context, mandate: Mandate) -> Ending {
    let valid_until = valid_until(mandate.since, mandate.ttl);
    let mut tenure = Tenure { context, mandate, waits: Waits::new(), valid_until, world: None, timer: None };
    let stopped = context.stopped.clone();
    tenure.waits.add(async move {
        stopped.await;
        Event::Stop
    });
    tenure.sleep(mandate.since + mandate.ttl / 3, Event::Renew);
    tenure.sleep(valid_until, Event::Lapse);
    tenure.load(Duration::ZERO);
    loop {
        let event = tenure.waits.next().await;
        if let Some(ending) = tenure.take(event) {
            return ending;
        }
        tenure.turn();
    }
}

/// A lease whose last renewal was sent at `sent` runs at least until then by any clock that the decision page allows.
fn valid_until(sent: Duration, ttl: Duration) -> Duration {
    sent + ttl - ttl / 10
}

impl Tenure<'_> {
    fn now(&self) -> Duration {
        self.context.clock.now()
    }

    fn take(&mut self, event: Event) -> Option<Ending> {
        let now = self.now();
        if let Event::Renewed(sent, Ok(Alive::For(seconds))) = &event {
            let ttl = Duration::from_secs(u64::try_from(*seconds).unwrap_or(0));
            self.valid_until = self.valid_until.max(valid_until(*sent, ttl));
            self.sleep(*sent + ttl / 3, Event::Renew);
        }
        if now >= self.valid_until {
            self.context.probe.sometimes("engine: its lease may have ended");
            return Some(Ending::Deposed);
        }
        match event {
            Event::Stop => return Some(Ending::Stopped),
            Event::Renew => self.renew(),
            Event::Renewed(_, Ok(Alive::Ended)) => return Some(Ending::Deposed),
            Event::Renewed(_, Ok(Alive::For(_))) => {}
            Event::Renewed(_, Err(_)) => self.sleep(now + self.mandate.ttl / 10, Event::Renew),
            Event::Lapse => self.sleep(self.valid_until, Event::Lapse),
            Event::Loaded(loaded) => match *loaded {
                Ok(snapshot) => self.begin(snapshot),
                Err(_) => self.load(now + PAUSE),
            },
            Event::Watched(watch, batch) => return self.watched(watch, batch),
            Event::Wrote(id, tasks, answer) => {
                if matches!(answer, Ok(Steps::Moved)) {
                    self.context.probe.sometimes("engine: a step was overtaken");
                }
                // Of several of which one was overtaken each is tried again by itself.
                if answer.is_err() || (matches!(answer, Ok(Steps::Moved)) && tasks.len() == 1) {
                    self.context.registry.meter.failed(&tasks);
                }
                if self.world.as_mut().is_some_and(|world| !world.wrote(now, id, &answer)) {
                    return Some(Ending::Deposed);
                }
            }
            Event::Timer(due) => self.timer = self.timer.filter(|timer| *timer != due),
        }
        None
    }

    fn renew(&mut self) {
        let (registry, lease, sent) = (self.context.registry.clone(), self.mandate.lease, self.now());
        self.waits.add(async move { Event::Renewed(sent, registry.keep_alive(lease).await) });
    }

    fn load(&mut self, at: Duration) {
        let (registry, pause) = (self.context.registry.clone(), self.context.clock.sleep_until(at));
        self.waits.add(async move {
            pause.await;
            Event::Loaded(Box::new(registry.load().await))
        });
    }

    fn begin(&mut self, snapshot: Snapshot) {
        let now = self.now();
        let watch = self.context.registry.watch(snapshot.revision + 1, &Scope::All);
        let registry = &self.context.registry;
        let world = World::new(snapshot, self.world.take(), registry.planted, now);
        self.world = Some(world.counting(registry.meter.clone()));
        self.follow(watch, Duration::ZERO);
    }

    fn follow(&mut self, mut watch: Watch, at: Duration) {
        let pause = self.context.clock.sleep_until(at);
        self.waits.add(async move {
            pause.await;
            let batch = watch.next().await;
            Event::Watched(watch, batch)
        });
    }

    fn watched(&mut self, watch: Watch, batch: Result<Batch, RegistryError>) -> Option<Ending> {
        let now = self.now();
        match batch {
            Ok(Batch::Changes(changes)) => {
                if changes.iter().any(|change| change.deposes(self.mandate.fence.0)) {
                    return Some(Ending::Deposed);
                }
                let world = self.world.as_mut().expect("a watch follows a load");
                changes.into_iter().for_each(|change| world.apply(change, now));
                self.follow(watch, Duration::ZERO);
            }
            // The view stays as it is until there is a better one.
            Ok(Batch::Resync) => {
                self.context.probe.sometimes("engine: history was compacted under its watch");
                self.load(Duration::ZERO);
            }
            Err(_) => self.follow(watch, now + PAUSE),
        }
        None
    }

    /// Lets the world decide, sends what may be sent, and sets the timer.
    fn turn(&mut self) {
        let now = self.now();
        let Some(world) = &mut self.world else { return };
        world.turn(now);
        let meter = &self.context.registry.meter;
        meter.turned(self.context.clock.now().saturating_sub(now), world.unplaced());
        while let Some((id, steps)) = world.next_write(now) {
            meter.sent(&steps);
            let (registry, fence) = (self.context.registry.clone(), self.mandate.fence);
            let tasks = steps.iter().map(task).collect();
            self.waits.add(async move { Event::Wrote(id, tasks, registry.decide(fence, &steps).await) });
        }
        if let Some(wake) = world.wake().filter(|wake| self.timer.is_none_or(|timer| *wake < timer)) {
            self.timer = Some(wake);
            self.sleep(wake, Event::Timer(wake));
        }
    }

    fn sleep(&mut self, until: Duration, event: Event) {
        let sleep = self.context.clock.sleep_until(until);
        self.waits.add(async move {
            sleep.await;
            event
        });
    }
}
