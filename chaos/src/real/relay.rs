//! The line between a machine and the bridge, as a thread that passes frames: late, out of order, twice, damaged, or not at all.
//!
//! Each machine's `eth0` is the end of one; its other end is a port of the bridge. So a frame from one machine to another passes
//! two lines, and one from a client only that of the member: a delay of the plan is halved here. TCP above repeats what is
//! lost and puts in order what is not, as it does on a real line; damage is made so that TCP does not notice, and only between
//! members, whose frames carry a checksum of their own (clients speak gRPC, which has none, and would rightly believe it).

use super::frame::Segment;
use io_real::rig;
use kernel::rng::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Frames that one line holds at most; more are lost, as on any line.
const MAX_FRAMES: usize = 20_000;
/// Longest wait until a thread looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);
/// The largest frame of a device with the usual MTU, with room to spare.
const FRAME_BYTES: usize = 2_048;
/// Parts that chances are given in.
const MILLION: u64 = 1_000_000;

/// What a line is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How long each frame is under way.
    pub delay: Duration,
    /// The most that is added to it by chance, which also changes the order.
    pub jitter: Duration,
    /// Frames lost, in a million.
    pub loss_ppm: u64,
    /// Segments with payload that break their connection, in a million.
    pub reset_ppm: u64,
    /// Frames that arrive twice, in a million.
    pub duplicate_ppm: u64,
    /// Segments between members that arrive with a bit turned, in a million.
    pub corrupt_ppm: u64,
    /// Nothing passes: the machine has no power.
    pub dark: bool,
}

/// What came to pass on a line.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames passed.
    pub passed: AtomicU64,
    /// Frames lost.
    pub lost: AtomicU64,
    /// Connections broken.
    pub reset: AtomicU64,
    /// Frames that came twice.
    pub duplicated: AtomicU64,
    /// Segments damaged.
    pub corrupted: AtomicU64,
}

/// A running line.
pub struct Relay {
    weather: Arc<Mutex<Weather>>,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Machine,
    Bridge,
}

impl Relay {
    /// Makes `eth0` in the namespace at `namespace` and `port` in this one, and passes frames between them. `peer_port` is where
    /// members speak with each other.
    pub fn start(namespace: &Path, port: &str, peer_port: u16, draw: Stream) -> io::Result<Relay> {
        let ends =
            Ends { machine: rig::ethernet(Some(namespace), "eth0")?, bridge: rig::ethernet(None, port)? };
        let (weather, counts, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mut line = Line {
            weather: Arc::clone(&weather),
            counts: Arc::clone(&counts),
            stop: Arc::clone(&stop),
            peer_port,
            draw,
            under_way: BTreeMap::new(),
            number: 0,
        };
        let thread = std::thread::Builder::new().name(port.to_string()).spawn(move || line.run(&ends))?;
        Ok(Relay { weather, counts, stop, thread: Some(thread) })
    }

    /// Changes what the line is like.
    pub fn set(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.weather.lock().expect("no holder panics"));
    }

    /// What came to pass so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Both ends of a line.
struct Ends {
    machine: File,
    bridge: File,
}

struct Line {
    weather: Arc<Mutex<Weather>>,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    peer_port: u16,
    draw: Stream,
    under_way: BTreeMap<(Instant, u64), (Towards, Vec<u8>)>,
    number: u64,
}

impl Line {
    fn run(&mut self, ends: &Ends) {
        let mut buffer = [0; FRAME_BYTES];
        while !self.stop.load(Relaxed) {
            let next = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let wait = next.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK));
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            let mut ready = [&ends.machine, &ends.bridge].map(|end| PollFd::new(end, PollFlags::IN));
            if poll(&mut ready, Some(&wait)).is_err() {
                continue;
            }
            let ready = ready.map(|end| end.revents().contains(PollFlags::IN));
            for (end, towards, ready) in
                [(&ends.machine, Towards::Bridge, ready[0]), (&ends.bridge, Towards::Machine, ready[1])]
            {
                // An error other than "nothing there" is of a device that is down: what it had is lost.
                while let (true, Ok(length)) = (ready, (&*end).read(&mut buffer)) {
                    self.take(towards, &buffer[..length]);
                }
            }
            self.deliver(ends);
        }
    }

    fn take(&mut self, towards: Towards, frame: &[u8]) {
        let weather = *self.weather.lock().expect("no holder panics");
        let now = Instant::now();
        let copies = fate(frame, &weather, self.peer_port, &mut self.draw, &self.counts);
        for (late, frame) in copies {
            if self.under_way.len() >= MAX_FRAMES {
                self.counts.lost.fetch_add(1, Relaxed);
                return;
            }
            self.number += 1;
            self.under_way.insert((now + late, self.number), (towards, frame));
        }
    }

    fn deliver(&mut self, ends: &Ends) {
        let now = Instant::now();
        while let Some(first) = self.under_way.first_entry() {
            if first.key().0 > now {
                return;
            }
            let (towards, frame) = first.remove();
            let end = if towards == Towards::Machine { &ends.machine } else { &ends.bridge };
            // A device that is down takes nothing.
            let _ = (&*end).write(&frame);
        }
    }
}

/// What becomes of a frame: the copies that arrive, each with its delay.
fn fate(
    frame: &[u8],
    weather: &Weather,
    peer_port: u16,
    draw: &mut Stream,
    counts: &Counts,
) -> Vec<(Duration, Vec<u8>)> {
    let mut happens = |ppm: u64, count: &AtomicU64| {
        let happens = ppm > 0 && draw.chance(ppm, MILLION);
        count.fetch_add(happens.into(), Relaxed);
        happens
    };
    if weather.dark || happens(weather.loss_ppm, &counts.lost) {
        return Vec::new();
    }
    let mut frame = frame.to_vec();
    let segment = Segment::of(&frame).filter(|segment| segment.len() > 0);
    let twice = happens(weather.duplicate_ppm, &counts.duplicated);
    if let Some(segment) = segment {
        if happens(weather.reset_ppm, &counts.reset) {
            segment.reset(&mut frame);
        } else if segment.is_of(peer_port) && happens(weather.corrupt_ppm, &counts.corrupted) {
            segment.flip(&mut frame, draw.below(8 * segment.len() as u64) as usize);
        }
    }
    counts.passed.fetch_add(1, Relaxed);
    let jitter = weather.jitter.as_micros() as u64 + 1;
    let mut late = || weather.delay + Duration::from_micros(draw.below(jitter));
    if twice { vec![(late(), frame.clone()), (late(), frame)] } else { vec![(late(), frame)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(weather: Weather, frames: usize) -> (usize, Counts) {
        let (mut draw, counts) = (Stream::new(1, "test", 0), Counts::default());
        let arrived = (0..frames).map(|_| fate(&[0; 60], &weather, 1, &mut draw, &counts).len()).sum();
        (arrived, counts)
    }

    #[test]
    fn a_clear_line_passes_all_and_a_dark_one_nothing() {
        assert_eq!(outcomes(Weather::default(), 100).0, 100);
        assert_eq!(outcomes(Weather { dark: true, ..Weather::default() }, 100).0, 0);
    }

    #[test]
    fn what_is_lost_or_doubled_is_counted() {
        let weather = Weather { loss_ppm: 200_000, duplicate_ppm: 300_000, ..Weather::default() };
        let (arrived, counts) = outcomes(weather, 1_000);
        let (lost, doubled) = (counts.lost.load(Relaxed), counts.duplicated.load(Relaxed));
        assert!(
            (100..300).contains(&lost) && (150..350).contains(&doubled),
            "{lost} lost, {doubled} doubled"
        );
        assert_eq!(arrived as u64, 1_000 - lost + doubled);
    }

    #[test]
    fn frames_are_as_late_as_the_weather_says() {
        let weather = Weather {
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(2),
            ..Weather::default()
        };
        let (mut draw, counts) = (Stream::new(1, "test", 0), Counts::default());
        for _ in 0..100 {
            let (late, _) = fate(&[0; 60], &weather, 1, &mut draw, &counts)[0];
            assert!((5..=7).contains(&late.as_millis()), "{late:?}");
        }
    }
}
