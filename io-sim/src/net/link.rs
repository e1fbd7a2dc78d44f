//! One direction between two machines: how long things take on it, and whether they get through.

use kernel::rng::Stream;
use std::time::Duration;

/// What a directed link does to what is sent over it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// The least time under way.
    pub delay: Duration,
    /// Up to this much more, uniformly.
    pub jitter: Duration,
    /// Sendings of a million that take `tail` longer.
    pub tail_ppm: u64,
    /// How much longer.
    pub tail: Duration,
    /// Packets of a million that are lost. A connection repeats them (everything behind waits); a datagram is gone.
    pub loss_ppm: u64,
    /// Sendings of a million that break their connection.
    pub reset_ppm: u64,
    /// Sendings of a million that break their connection for the sender, while what was sent arrives late.
    pub split_ppm: u64,
    /// Frames of a million that arrive with bits turned over.
    pub corrupt_ppm: u64,
    /// Datagrams of a million that arrive twice. Within a connection nothing ever does.
    pub duplicate_ppm: u64,
    /// Bytes a second; 0 for no limit.
    pub bytes_per_second: u64,
}

impl Default for LinkConfig {
    /// Machines in one data centre.
    fn default() -> Self {
        LinkConfig {
            delay: Duration::from_micros(200),
            jitter: Duration::from_micros(300),
            tail_ppm: 1_000,
            tail: Duration::from_millis(20),
            loss_ppm: 0,
            reset_ppm: 0,
            split_ppm: 0,
            corrupt_ppm: 0,
            duplicate_ppm: 0,
            bytes_per_second: 0,
        }
    }
}

/// How long a sender waits before it repeats a lost packet, the first time; doubled for each further loss.
pub(super) const REPEAT_NS: u64 = 200_000_000;

/// Losses in a row after which a connection gives up.
const MAX_REPEATS: u32 = 6;

const MILLION: u64 = 1_000_000;

/// What becomes of one sending on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives after so many ns.
    Arrives(u64),
    /// The connection breaks.
    Breaks,
    /// The connection breaks for the sender; this arrives after so many ns, and everything so much later than it would have.
    Splits(u64, u64),
}

/// A link with its own stream of draws.
pub(super) struct Link {
    pub config: LinkConfig,
    /// How many faults cut it at present.
    pub cuts: u32,
    busy_until: u64,
    /// The latest arrival of anything, by whatever connection.
    latest: u64,
    draws: Stream,
    /// Draws of rarer things, so that these leave the others as they were.
    rare: Stream,
}

/// How late what a split connection had carried arrives at most, in ns.
const TRAIL_NS: u64 = 2_000_000_000;

impl Link {
    pub fn new(config: LinkConfig, seed: u64, from: u32, to: u32) -> Link {
        let entity = (u64::from(from) << 32) | u64::from(to);
        let (draws, rare) =
            (Stream::new(seed, "net link", entity), Stream::new(seed, "net link: rare", entity));
        Link { config, cuts: 0, busy_until: 0, latest: 0, draws, rare }
    }

    pub fn is_cut(&self) -> bool {
        self.cuts > 0
    }

    /// Time under way, in ns.
    pub fn delay(&mut self) -> u64 {
        let config = &self.config;
        let mut delay =
            config.delay.as_nanos() as u64 + self.draws.between(0, config.jitter.as_nanos() as u64);
        if config.tail_ppm > 0 && self.draws.chance(config.tail_ppm, MILLION) {
            delay += config.tail.as_nanos() as u64;
        }
        delay
    }

    /// Notes that something arrives at `at`; whether it overtakes what left before it.
    pub fn arrives(&mut self, at: u64) -> bool {
        let overtakes = at < self.latest;
        self.latest = self.latest.max(at);
        overtakes
    }

    /// Which bits of a frame of `bytes` turn over: none, mostly.
    pub fn corrupted_bit(&mut self, bytes: usize) -> Option<u64> {
        let corrupts = self.config.corrupt_ppm > 0 && bytes > 0;
        (corrupts && self.rare.chance(self.config.corrupt_ppm, MILLION))
            .then(|| self.rare.below(bytes as u64 * 8))
    }

    /// Whether something that is sent now must wait for what was sent before.
    pub fn is_busy(&self, now: u64) -> bool {
        self.busy_until > now
    }

    /// The limit of bytes is gone, and nothing waits for it any more.
    pub fn widen(&mut self, now: u64) {
        self.busy_until = self.busy_until.min(now);
        self.latest = self.latest.min(now);
    }

    /// Time until `bytes` that are sent at `now` have left, in ns.
    fn transmission(&mut self, now: u64, bytes: u64) -> u64 {
        if self.config.bytes_per_second == 0 {
            return 0;
        }
        let takes = u128::from(bytes) * 1_000_000_000 / u128::from(self.config.bytes_per_second);
        self.busy_until = self.busy_until.max(now).saturating_add(takes as u64);
        self.busy_until - now
    }

    /// What becomes of `bytes` sent on a connection at `now`.
    pub fn stream_fate(&mut self, now: u64, bytes: u64) -> Fate {
        if self.config.reset_ppm > 0 && self.draws.chance(self.config.reset_ppm, MILLION) {
            return Fate::Breaks;
        }
        let mut delay = self.transmission(now, bytes) + self.delay();
        let mut repeats = 0;
        while self.config.loss_ppm > 0 && self.draws.chance(self.config.loss_ppm, MILLION) {
            delay += REPEAT_NS << repeats;
            repeats += 1;
            if repeats == MAX_REPEATS {
                return Fate::Breaks;
            }
        }
        if self.config.split_ppm > 0 && self.rare.chance(self.config.split_ppm, MILLION) {
            return Fate::Splits(delay, self.rare.between(1_000_000, TRAIL_NS));
        }
        Fate::Arrives(delay)
    }

    /// The delays with which the copies of a datagram arrive: none when it is lost, two when it is doubled.
    pub fn datagram(&mut self, now: u64, bytes: u64) -> Vec<Duration> {
        if self.is_cut() || (self.config.loss_ppm > 0 && self.draws.chance(self.config.loss_ppm, MILLION)) {
            return Vec::new();
        }
        let left = self.transmission(now, bytes);
        let double = self.config.duplicate_ppm > 0 && self.draws.chance(self.config.duplicate_ppm, MILLION);
        let copies = if double { 2 } else { 1 };
        (0..copies).map(|_| Duration::from_nanos(left + self.delay())).collect()
    }

    /// A draw in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.draws.between(low, high)
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.draws.chance(1, n)
    }
}
