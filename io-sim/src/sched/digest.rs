//! The running hash of everything that happened, in order: two runs of one seed are the same run exactly when their
//! digests agree. Noting an event costs two multiplications and formats nothing.

use kernel::rng::mix;

/// Kinds of event, as they enter the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A task was started.
    Spawn = 1,
    /// A task was polled.
    Poll = 2,
    /// A timer went off.
    Timer = 3,
    /// A closure that was put on the calendar ran.
    Call = 4,
    /// A process started.
    Start = 5,
    /// A process ended.
    Kill = 6,
    /// A disk verb.
    Disk = 7,
    /// Frames left, or a connection changed.
    Net = 8,
    /// Something that a user of the world chose to note.
    Note = 9,
}

/// A running hash and the number of events in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    hash: u64,
    events: u64,
}

impl Digest {
    /// Adds an event: when (ns of world time), what, where, and one number that tells it from its like.
    pub fn note(&mut self, at: u64, kind: Kind, node: u32, detail: u64) {
        let place = (u64::from(node) << 8) | kind as u64;
        self.hash = mix(mix(self.hash ^ at) ^ detail ^ place.rotate_left(32));
        self.events += 1;
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events so far.
    pub fn events(&self) -> u64 {
        self.events
    }
}
