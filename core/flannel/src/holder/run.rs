//! The loop, and the task that follows the store for it.

use super::calls::{Call, Outcome, Ports};
use super::mind::{Mind, drawn};
use super::{INBOX, Offer, RETRY_FIRST, RETRY_MOST, Shared, is_taken};
use crate::registry::{Batch, Watch};
use futures_channel::oneshot;
use futures_util::future::select;
use kernel::inbox::{Inbox, Outlet, Woken, inbox};
use kernel::rng::Stream;
use kernel::{BoxFuture, Clock, KvError, Spawn};
use std::sync::Arc;
use std::time::Duration;

/// How long the watch waits when the loop has more to do than it can take.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// What can happen to a holder.
pub(super) enum Event {
    /// The agent's words.
    Offer(Box<Offer>),
    /// A call has ended.
    Ended(Outcome),
    /// The watch of this round saw something.
    Watched(u64, Batch),
    /// The watch has ended and will be tried again.
    Deaf(KvError),
}

struct Loop {
    spawn: Arc<dyn Spawn>,
    ports: Ports,
    mind: Mind,
    events: Inbox<Event>,
    shared: Arc<Shared>,
    seed: u64,
    /// Ends the watch when dropped.
    watch: Option<oneshot::Sender<()>>,
}

/// Starts the loop.
pub(super) fn start(
    spawn: Arc<dyn Spawn>,
    ports: Ports,
    mind: Mind,
    shared: Arc<Shared>,
    seed: u64,
) -> Inbox<Event> {
    let (events, outlet) = inbox(INBOX);
    let run = Loop { spawn: spawn.clone(), ports, mind, events: events.clone(), shared, seed, watch: None };
    spawn.spawn("flannel: lease", Box::pin(run.turns(outlet)));
    events
}

impl Loop {
    async fn turns(mut self, mut outlet: Outlet<Event>) {
        let mut batch = Vec::new();
        loop {
            let now = self.ports.clock.now();
            for call in self.mind.turn(now) {
                self.make(call);
            }
            self.shared.show(self.mind.picture());
            let mut timer: BoxFuture<'static, ()> = match self.mind.wake(now) {
                Some(wake) => self.ports.clock.sleep_until(wake),
                None => Box::pin(std::future::pending()),
            };
            if outlet.wait(&mut timer).await == Woken::Closed {
                return;
            }
            let now = self.ports.clock.now();
            outlet.take(INBOX, &mut batch);
            batch.drain(..).for_each(|event| match event {
                Event::Offer(offer) => self.mind.offered(*offer, now),
                Event::Ended(outcome) => self.mind.ended(outcome, now),
                Event::Watched(round, batch) => self.mind.watched(round, batch, now),
                Event::Deaf(error) => self.mind.failed("following the store", &error),
            });
        }
    }

    fn make(&mut self, call: Call) {
        let events = self.events.clone();
        if let Call::Watch { from, round } = call {
            let (stop, stopped) = oneshot::channel();
            let pauses = Stream::new(self.seed, "flannel watch", round);
            let watch = self.ports.registry.watch(from);
            let hear = hear(watch, round, events, self.ports.clock.clone(), pauses);
            // Whichever ends first: a newer watch has begun, or this one has lost its place.
            let hear = async move { drop(select(stopped, Box::pin(hear)).await) };
            self.spawn.spawn("flannel: watch", Box::pin(hear));
            self.watch = Some(stop);
            return;
        }
        let ports = self.ports.clone();
        let made = async move { events.push(Event::Ended(ports.carry_out(call).await)) };
        self.spawn.spawn("flannel: call", Box::pin(made));
    }
}

/// Follows the store until the loop ends or the watch has lost its place.
async fn hear(mut watch: Watch, round: u64, events: Inbox<Event>, clock: Arc<dyn Clock>, mut pauses: Stream) {
    let mut pause = RETRY_FIRST;
    loop {
        let batch = match watch.next().await {
            Ok(batch) => batch,
            Err(error) => {
                if !push(&events, Event::Deaf(error), &*clock).await {
                    return;
                }
                // Drawn, so that a thousand machines do not come back at one moment.
                clock.sleep_until(clock.now() + drawn(&mut pauses, pause)).await;
                pause = (pause * 2).min(RETRY_MOST);
                continue;
            }
        };
        pause = RETRY_FIRST;
        let is_over = batch == Batch::Resync;
        if !push(&events, Event::Watched(round, batch), &*clock).await || is_over {
            return;
        }
    }
}

/// Hands an event to the loop, waiting for room; false when the loop has ended.
async fn push(events: &Inbox<Event>, mut event: Event, clock: &dyn Clock) -> bool {
    loop {
        match is_taken(events.try_push(event)) {
            Ok(taken) => return taken,
            Err(back) => event = back,
        }
        clock.sleep_until(clock.now() + FULL_PAUSE).await;
    }
}
