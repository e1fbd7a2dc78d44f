//! How long things take: one counted stream for each purpose. The ranges were measured on real systemd hosts.

use kernel::rng::Stream;
use std::time::Duration;

/// The streams of one machine.
pub(super) struct Draws {
    calls: Stream,
    jobs: Stream,
    exits: Stream,
    kills: Stream,
    signals: Stream,
    reloads: Stream,
    faults: Stream,
}

fn micros(stream: &mut Stream, low: u64, high: u64) -> Duration {
    Duration::from_micros(stream.between(low, high))
}

impl Draws {
    pub fn new(seed: u64, entity: u64) -> Draws {
        let stream = |name| Stream::new(seed, name, entity);
        Draws {
            calls: stream("systemd calls"),
            jobs: stream("systemd jobs"),
            exits: stream("systemd exits"),
            kills: stream("systemd kills"),
            signals: stream("systemd signals"),
            reloads: stream("systemd reloads"),
            faults: stream("systemd faults"),
        }
    }

    /// A message over the bus.
    pub fn call(&mut self) -> Duration {
        micros(&mut self.calls, 100, 1_000)
    }

    /// From the call to the job's first act.
    pub fn job(&mut self) -> Duration {
        micros(&mut self.jobs, 2_000, 20_000)
    }

    /// From SIGTERM to the end of a process that heeds it.
    pub fn exit(&mut self) -> Duration {
        micros(&mut self.exits, 500, 60_000)
    }

    /// From SIGKILL to the end.
    pub fn kill(&mut self) -> Duration {
        micros(&mut self.kills, 200, 5_000)
    }

    /// A signal on its way, which may be later by up to `late`.
    pub fn signal(&mut self, late: Duration) -> Duration {
        let most = u64::try_from(late.as_micros()).unwrap_or(u64::MAX - 20_000);
        micros(&mut self.signals, 100, 10_000 + most)
    }

    /// A reload of all units.
    pub fn reload(&mut self) -> Duration {
        micros(&mut self.reloads, 30_000, 80_000)
    }

    /// Whether something goes wrong that does so `permille` times in a thousand.
    pub fn wrong(&mut self, permille: u64) -> bool {
        permille > 0 && self.faults.chance(permille, 1_000)
    }
}
