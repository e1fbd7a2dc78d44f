//! A token bucket: so many at once, then so many a second.

use std::time::Duration;

/// Something that may be done now and then.
#[derive(Clone, Debug)]
pub struct Bucket {
    burst: u32,
    interval: Duration,
    tokens: u32,
    /// The moment up to which tokens were put in.
    filled: Duration,
}

impl Bucket {
    /// A full bucket: `burst` at once, and one more each `interval`.
    pub fn new(burst: u32, interval: Duration) -> Bucket {
        assert!(burst > 0 && !interval.is_zero(), "a bucket that lets nothing or everything through is none");
        Bucket { burst, interval, tokens: burst, filled: Duration::ZERO }
    }

    /// Whether it may be done at `now`, which never goes back.
    pub fn take(&mut self, now: Duration) -> bool {
        let earned = now.saturating_sub(self.filled).as_nanos() / self.interval.as_nanos();
        let room = self.burst - self.tokens;
        if earned >= u128::from(room) {
            self.tokens = self.burst;
            self.filled = now.max(self.filled);
        } else {
            let earned = u32::try_from(earned).expect("less than the room");
            self.tokens += earned;
            self.filled += self.interval * earned;
        }
        let may = self.tokens > 0;
        self.tokens -= u32::from(may);
        debug_assert!(self.tokens <= self.burst);
        may
    }
}
