//! The ports of `kernel`, once, for this machine.

mod clock;
mod disk;
mod net;
mod spawn;

pub use clock::RealClock;
pub use disk::RealDisk;
pub use net::RealNet;
pub use spawn::RealSpawn;

use kernel::{Io, Planted, Probe};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;

/// The ports of this process, with its data under `root`, which need not exist. Call it inside a tokio runtime.
pub fn io(root: &Path) -> Io {
    Io {
        clock: Arc::new(RealClock::new()),
        disk: Arc::new(RealDisk::new(root)),
        net: Arc::new(RealNet),
        spawn: Arc::new(RealSpawn::new(tokio::runtime::Handle::current())),
        seed: fresh_seed(),
        probe: Probe::default(),
        planted: Planted::none(),
    }
}

/// A seed that no other process has: the standard library keys its hashers from the system's generator.
fn fresh_seed() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
