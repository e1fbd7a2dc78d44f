//! What a kernel does wrong, switchable while a run goes on; and how long things take, each from a stream of its own.

use kernel::rng::Stream;
use std::time::Duration;

/// What goes wrong at present; nothing by default. Chances are in a thousand, drawn for each operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinksFaults {
    /// Operations that fail with EEXIST: somebody was faster (see `port`).
    pub exists_permille: u64,
    /// Operations that fail with EBUSY.
    pub busy_permille: u64,
    /// Operations that fail with ENOBUFS.
    pub no_buffers_permille: u64,
    /// Operations whose answer is lost, done or not.
    pub lost_permille: u64,
    /// Hints that are lost on their way: the listener hears of a loss instead.
    pub hint_lost_permille: u64,
    /// Hints come up to so much later.
    pub hint_late: Duration,
    /// Everything that is asked takes so much longer.
    pub slow: Duration,
}

/// What becomes of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    Exists,
    Busy,
    NoBuffers,
    LostBefore,
    LostAfter,
}

/// The streams of one machine.
pub(super) struct Draws {
    calls: Stream,
    hints: Stream,
    macs: Stream,
    faults: Stream,
    /// For those who meddle.
    pub foreign: Stream,
}

impl Draws {
    pub fn new(seed: u64, entity: u64) -> Draws {
        let stream = |name| Stream::new(seed, name, entity);
        Draws {
            calls: stream("links calls"),
            hints: stream("links hints"),
            macs: stream("links macs"),
            faults: stream("links faults"),
            foreign: stream("links foreign"),
        }
    }

    /// A request of so many operations.
    pub fn call(&mut self, operations: usize) -> Duration {
        Duration::from_micros(self.calls.between(20, 200) + 5 * operations as u64)
    }

    /// A hint on its way, which may be later by up to `late`.
    pub fn hint(&mut self, late: Duration) -> Duration {
        let most = u64::try_from(late.as_micros()).unwrap_or(u64::MAX - 2_000);
        Duration::from_micros(self.hints.between(20, 1_000 + most))
    }

    /// A MAC of the locally administered kind.
    pub fn mac(&mut self) -> flannel::links::Mac {
        let mut octets = [0; 6];
        octets.iter_mut().for_each(|octet| *octet = self.macs.below(256) as u8);
        octets[0] = (octets[0] | 2) & !1;
        flannel::links::Mac(octets)
    }

    /// A number that no other device of this machine has, as good as certainly.
    pub fn number(&mut self) -> u64 {
        self.macs.below(u64::MAX)
    }

    /// Whether something goes wrong that does so `permille` times in a thousand.
    pub fn wrong(&mut self, permille: u64) -> bool {
        permille > 0 && self.faults.chance(permille, 1_000)
    }

    /// What becomes of the next operation.
    pub fn luck(&mut self, faults: &LinksFaults) -> Luck {
        if self.wrong(faults.exists_permille) {
            Luck::Exists
        } else if self.wrong(faults.busy_permille) {
            Luck::Busy
        } else if self.wrong(faults.no_buffers_permille) {
            Luck::NoBuffers
        } else if self.wrong(faults.lost_permille) {
            if self.faults.chance(1, 2) { Luck::LostBefore } else { Luck::LostAfter }
        } else {
            Luck::Good
        }
    }
}
