//! The sealed room: one fresh thread, one madsim runtime, and our own scheduler inside of its single future.
//!
//! The room is there for what code may reach without asking a port: hash seeds, `std::time`, `getrandom`. Inside, all of it
//! comes from the seed, std time follows the world's, and a thread cannot be started. The thread is fresh because std draws
//! the keys of its hash maps once a thread; a second run on it would begin with other keys. What madsim offers beyond
//! that (its executor, its network) is not used: see `sched`.

use crate::world::World;
use kernel::{Planted, Probe};
use madsim::runtime::Runtime;
use madsim::time::TimeHandle;

/// What a run is made with.
#[derive(Clone, Default)]
pub struct Room {
    /// The seed of everything.
    pub seed: u64,
    /// Where rare branches report that they were reached.
    pub probe: Probe,
    /// The bug to plant.
    pub planted: Planted,
}

/// Runs `f` with an empty world of `seed` on a fresh thread, and returns what it returns.
///
/// A panic of `f` itself (not of a task in the world, which is a failure of the run) goes on in the caller.
pub fn run_sealed<T: Send + 'static>(seed: u64, f: impl FnOnce(&World) -> T + Send + 'static) -> T {
    Room { seed, ..Room::default() }.run(f)
}

impl Room {
    /// As [`run_sealed`].
    pub fn run<T: Send + 'static>(self, f: impl FnOnce(&World) -> T + Send + 'static) -> T {
        let thread = std::thread::Builder::new().name(format!("seed {}", self.seed));
        let running = thread.spawn(move || self.run_here(f)).expect("the system has a thread left");
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn run_here<T>(self, f: impl FnOnce(&World) -> T) -> T {
        let runtime = Runtime::with_seed_and_config(self.seed, madsim::Config::default());
        runtime.block_on(async move {
            let world = World::new(self.seed, self.probe, self.planted);
            let time = TimeHandle::current();
            world.sched().set_mover(Box::new(move |step| time.advance(step)));
            let result = f(&world);
            world.shut_down();
            result
        })
    }
}
