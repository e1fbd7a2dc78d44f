//! Scrubbing: cold data is read in the background, at a bounded rate, so that damage is found while there is something to mend it
//! with, and not years later by the one start that needs it.
//!
//! One pass after the other, with a pause between: first every block and row of the state, then every sealed segment of the log.
//! The steps are small and run on a worker of their own, with sleeps between them that keep to the rate, so nobody waits for
//! them. What is found is only reported here. Damage to the state the loop finds at the store, and begins a repair; a damaged
//! segment is told to it by an event.

use crate::config::MemberConfig;
use crate::event::Event;
use crate::meter::{self, Meter};
use kernel::inbox::Inbox;
use kernel::spawn::run_on;
use kernel::{Bug, Io, Worker};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use wal::Wal;

/// Bytes of one step; the rate decides how many there are in a second.
const STEP_BYTES: u64 = 64 << 10;

/// What is scrubbed. The loop holds it, and the scrub ends when the loop has ended.
pub struct Cold {
    store: mvcc::Store,
    wal: Arc<Mutex<Wal>>,
}

struct Scrubber {
    io: Io,
    cold: Weak<Cold>,
    events: Inbox<Event>,
    meter: Arc<Meter>,
    worker: Arc<dyn Worker>,
    rate: u64,
    pause: Duration,
}

/// The member is gone.
struct Gone;

/// Starts to scrub, unless the configuration says never.
pub fn start(
    io: &Io,
    config: &MemberConfig,
    store: &mvcc::Store,
    wal: &Arc<Mutex<Wal>>,
    events: &Inbox<Event>,
    meter: &Arc<Meter>,
) -> Arc<Cold> {
    let cold = Arc::new(Cold { store: store.clone(), wal: wal.clone() });
    if config.scrub_bytes > 0 {
        let scrubber = Scrubber {
            io: io.clone(),
            cold: Arc::downgrade(&cold),
            events: events.clone(),
            meter: meter.clone(),
            worker: io.spawn.worker("scrub"),
            rate: config.scrub_bytes,
            pause: config.scrub_pause,
        };
        io.spawn.spawn("scrub", Box::pin(scrubber.run()));
    }
    cold
}

impl Scrubber {
    async fn run(self) {
        loop {
            self.sleep(self.pause).await;
            if self.pass().await.is_err() {
                return;
            }
            meter::add(&self.meter.scrub_passes);
            self.io.probe.sometimes("scrub: a pass is over");
        }
    }

    async fn sleep(&self, duration: Duration) {
        self.io.clock.sleep_until(self.io.clock.now() + duration).await;
    }

    async fn pass(&self) -> Result<(), Gone> {
        let mut state = self.job(|cold| mvcc::Scrub::new(&cold.store)).await?;
        loop {
            let (back, step) = self
                .job(move |_| {
                    let step = state.step(STEP_BYTES);
                    (state, step)
                })
                .await?;
            state = back;
            match step {
                mvcc::Step::More(bytes) => self.read(bytes).await,
                mvcc::Step::Done => break,
                mvcc::Step::Damaged => {
                    self.io.probe.sometimes("scrub: damage in the state");
                    break;
                }
            }
        }
        // It goes with the pass: it holds the file open that a repair may replace.
        drop(state);
        let mut log = self.job(|cold| cold.wal.lock().expect("no holder panics").scrub()).await?;
        loop {
            let (back, step) = self
                .job(move |cold| {
                    let step = log.step(STEP_BYTES);
                    // A segment that was released meanwhile may hold anything.
                    let real = match &step {
                        wal::Step::Damaged(damage) => {
                            cold.wal.lock().expect("no holder panics").holds(&damage.segment)
                        }
                        _ => true,
                    };
                    (log, if real { step } else { wal::Step::More(0) })
                })
                .await?;
            log = back;
            match step {
                wal::Step::More(bytes) => self.read(bytes).await,
                wal::Step::Done => return Ok(()),
                wal::Step::Damaged(_) if self.io.planted.is(Bug::ScrubIgnored) => {}
                wal::Step::Damaged(damage) => drop(self.events.try_push(Event::LogDamaged(damage))),
            }
        }
    }

    /// Does a piece of work on the worker.
    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cold) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let cold = self.cold.upgrade().ok_or(Gone)?;
        run_on(&self.worker, move || work(&cold)).await.ok_or(Gone)
    }

    /// Counts what was read, and waits as long as the rate wants.
    async fn read(&self, bytes: u64) {
        self.meter.scrubbed_bytes.fetch_add(bytes, Relaxed);
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        if nanoseconds > 0 {
            self.sleep(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))).await;
        }
    }
}
