//! Clocks that are wrong in the ways in which real ones are.
//!
//! Each node has a face: monotonic time is a line through an anchor, `local = anchor_local + (world - anchor_world) * rate`,
//! so a change of drift only sets a new anchor and time never goes back. Wall time is monotonic time plus an epoch plus a
//! skew, and the skew may jump. A sleep is promised in local time; it is kept by turning the deadline into world time
//! (rounded up, so it never ends early) and, when the drift changes, by looking again.

use crate::sched::{Owner, Sched, WorldSleep};
use kernel::{BoxFuture, Clock};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// 2026-01-01T00:00:00Z, when every invented world begins.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// One part in a million, in parts of 10^9.
const PPM: i64 = 1_000;

const BILLION: i128 = 1_000_000_000;

/// The fastest drift either way: a tenth. Real clocks stay within 500 ppm; broken virtual machines do not.
pub const MAX_DRIFT_PPM: i64 = 100_000;

/// A node's clock, which outlives its processes.
pub(crate) struct Face(Mutex<Line>);

struct Line {
    anchor_world: u64,
    anchor_local: u64,
    drift_ppb: i64,
    wall_skew_ns: i64,
    /// The machine sleeps, and its monotonic clock stands still.
    asleep: bool,
}

impl Line {
    fn local(&self, world: u64) -> u64 {
        if self.asleep {
            return self.anchor_local;
        }
        let passed = i128::from(world.saturating_sub(self.anchor_world));
        self.anchor_local + (passed * (BILLION + i128::from(self.drift_ppb)) / BILLION) as u64
    }

    /// The first world time at which `local` is reached.
    fn world(&self, local: u64) -> u64 {
        if self.asleep {
            return u64::MAX;
        }
        let rate = BILLION + i128::from(self.drift_ppb);
        let wanted = i128::from(local.saturating_sub(self.anchor_local));
        let passed = (wanted * BILLION + rate - 1) / rate;
        self.anchor_world.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn move_anchor(&mut self, world: u64) {
        self.anchor_local = self.local(world);
        self.anchor_world = world;
    }
}

impl Face {
    /// A clock without drift or skew that shows `since_boot` at world time `world`.
    pub fn new(world: u64, since_boot: u64) -> Face {
        let line = Line {
            anchor_world: world,
            anchor_local: since_boot,
            drift_ppb: 0,
            wall_skew_ns: 0,
            asleep: false,
        };
        Face(Mutex::new(line))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Line) -> T) -> T {
        f(&mut self.0.lock().expect("no holder panics"))
    }

    pub fn local(&self, world: u64) -> u64 {
        self.with(|line| line.local(world))
    }

    /// From `world` on the clock gains `ppm` microseconds a second. The caller nudges the sleepers.
    pub fn set_drift(&self, world: u64, ppm: i64) {
        assert!(ppm.abs() <= MAX_DRIFT_PPM, "drift {ppm} ppm is beyond {MAX_DRIFT_PPM}");
        self.with(|line| {
            line.move_anchor(world);
            line.drift_ppb = ppm * PPM;
        });
    }

    /// Moves the wall clock, either way.
    pub fn jump_wall(&self, by_ns: i64) {
        self.with(|line| line.wall_skew_ns = line.wall_skew_ns.saturating_add(by_ns));
    }

    /// The machine falls asleep at `world`: monotonic time stands still, wall time goes on.
    pub fn fall_asleep(&self, world: u64) {
        self.with(|line| {
            line.move_anchor(world);
            line.asleep = true;
        });
    }

    /// The machine wakes. The caller nudges the sleepers.
    pub fn wake(&self, world: u64) {
        self.with(|line| {
            if std::mem::take(&mut line.asleep) {
                let slept = world.saturating_sub(line.anchor_world);
                line.anchor_world = world;
                line.wall_skew_ns = line.wall_skew_ns.saturating_add(slept as i64);
            }
        });
    }

    /// The machine boots: monotonic time starts again at `since_boot`; the wall clock keeps what it shows.
    pub fn reboot(&self, world: u64, since_boot: u64) {
        self.with(|line| {
            let lost = line.local(world) as i64 - since_boot as i64;
            line.anchor_world = world;
            line.anchor_local = since_boot;
            line.asleep = false;
            line.wall_skew_ns = line.wall_skew_ns.saturating_add(lost);
        });
    }

    fn wall(&self, world: u64) -> Duration {
        self.with(|line| {
            let shown =
                EPOCH.as_nanos() as i128 + i128::from(line.local(world)) + i128::from(line.wall_skew_ns);
            Duration::from_nanos(shown.clamp(0, i128::from(u64::MAX)) as u64)
        })
    }
}

/// The Clock port of one process.
pub(crate) struct SimClock {
    pub sched: Sched,
    pub owner: Owner,
    pub face: Arc<Face>,
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.face.local(self.sched.now_ns()))
    }

    fn wall(&self) -> Duration {
        self.face.wall(self.sched.now_ns())
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        Box::pin(LocalSleep {
            face: self.face.clone(),
            sched: self.sched.clone(),
            deadline: u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX),
            sleep: self.sched.sleep(self.owner, u64::MAX),
        })
    }
}

struct LocalSleep {
    face: Arc<Face>,
    sched: Sched,
    deadline: u64,
    sleep: WorldSleep,
}

impl Future for LocalSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let now = self.sched.now_ns();
        let (local, due) = self.face.with(|line| (line.local(now), line.world(self.deadline)));
        if local >= self.deadline {
            return Poll::Ready(());
        }
        assert!(due > now, "a deadline that is not reached lies ahead");
        self.sleep.reset(due);
        let fired = Pin::new(&mut self.sleep).poll(context);
        assert!(fired.is_pending(), "an alarm set for a later time has not gone off");
        Poll::Pending
    }
}
