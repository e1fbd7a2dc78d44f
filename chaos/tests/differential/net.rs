//! Net: frames of any size both ways over a connection, refusals, and what each end sees when the other goes.
//!
//! Compared: the frames that arrive, in order and to the byte; that a frame which is too large is refused and breaks nothing; that
//! after an end has gone the other gets a prefix of what was sent and then learns of it, receiving and sending; that an address
//! is taken once. When within a break a frame is lost is each world's own, so after one only what the contract says is compared.

use bytes::Bytes;
use futures_util::future::{Either, join, select};
use io_real::ports::{RealClock, RealNet};
use io_sim::run_sealed;
use kernel::net::{FrameReceiver, FrameSender, MAX_FRAME_BYTES};
use kernel::{Clock, Connection, Net};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Sequences tried.
const SEQUENCES: u64 = 150;
/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames that may be on the way unread: less than any buffer of a connection.
const QUEUED: usize = 20;

/// Which end acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Connecting,
    Accepting,
}

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// One end sends frames of these lengths at once, while the other takes everything that is on the way.
    Exchange { by: Side, lens: Vec<u32> },
    /// One end sends some small frames, and nobody reads.
    Queue { by: Side, lens: Vec<u8> },
    /// One end tries frames of which one is too large.
    TooLarge { by: Side },
    /// A receive is given up before anything has come, or not; nothing may be lost by it.
    GiveUp { by: Side },
    /// Somebody tries to listen where somebody does.
    ListenTwice,
}

/// A script, and who drops which half of its end when it is over.
#[derive(Clone, Debug)]
struct Script {
    steps: Vec<Step>,
    leaves: Side,
    half: bool,
}

impl Arbitrary for Side {
    fn arbitrary(g: &mut Gen) -> Side {
        *g.choose(&[Side::Connecting, Side::Accepting]).expect("not empty")
    }
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Step {
        let by = Side::arbitrary(g);
        let sizes = [0, 1, 7, 8, 9, 1_460, 65_535, 65_536, 300_000];
        match u8::arbitrary(g) % 9 {
            0..=3 => {
                let count = usize::arbitrary(g) % 6;
                let mut lens: Vec<u32> = (0..count).map(|_| *g.choose(&sizes).expect("not empty")).collect();
                if u8::arbitrary(g).is_multiple_of(40) {
                    lens.push(MAX_FRAME_BYTES as u32);
                }
                Step::Exchange { by, lens }
            }
            4 | 5 => {
                Step::Queue { by, lens: (0..usize::arbitrary(g) % 4).map(|_| u8::arbitrary(g)).collect() }
            }
            6 => Step::TooLarge { by },
            7 => Step::GiveUp { by },
            _ => Step::ListenTwice,
        }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Step>> {
        match self {
            Step::Exchange { by, lens } => {
                let by = *by;
                Box::new(lens.shrink().map(move |lens| Step::Exchange { by, lens }))
            }
            _ => quickcheck::empty_shrinker(),
        }
    }
}

impl Arbitrary for Script {
    fn arbitrary(g: &mut Gen) -> Script {
        Script { steps: Vec::arbitrary(g), leaves: Side::arbitrary(g), half: bool::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Script>> {
        let (leaves, half) = (self.leaves, self.half);
        Box::new(self.steps.shrink().map(move |steps| Script { steps, leaves, half }))
    }
}

/// What was seen, as far as the contract fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Frames: length and a hash of their bytes.
    Frames(Vec<(usize, u32)>),
    Refused(ErrorKind),
    /// What came was no prefix of what was sent, or a step failed that must not.
    Wrong(String),
    /// A receive that was given up.
    GivenUp,
    /// The end of the connection: learned by receiving and by sending.
    Ended {
        received: bool,
        sent: bool,
    },
}

/// A frame that no other number has.
fn frame(number: usize, len: usize) -> Bytes {
    (0..len).map(|index| (number.wrapping_mul(131) ^ index ^ (index >> 8)) as u8).collect()
}

fn mark(frame: &Bytes) -> (usize, u32) {
    (frame.len(), frame.iter().fold(7, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add((*byte).into())))
}

/// Both ends of a connection, and what is on the way to each.
struct Pair {
    ends: [Connection; 2],
    on_the_way: [Vec<Bytes>; 2],
    number: usize,
}

impl Pair {
    /// The sender of `by`, the other's receiver, and what is on the way between them.
    fn way(&mut self, by: Side) -> (&mut dyn FrameSender, &mut dyn FrameReceiver, &mut Vec<Bytes>) {
        let [a, b] = &mut self.ends;
        let [to_a, to_b] = &mut self.on_the_way;
        match by {
            Side::Connecting => (&mut *a.sender, &mut *b.receiver, to_b),
            Side::Accepting => (&mut *b.sender, &mut *a.receiver, to_a),
        }
    }

    fn frames(&mut self, lens: impl Iterator<Item = usize>) -> Vec<Bytes> {
        lens.map(|len| {
            self.number += 1;
            frame(self.number, len)
        })
        .collect()
    }

    async fn exchange(&mut self, by: Side, lens: &[u32]) -> Seen {
        let frames = self.frames(lens.iter().map(|len| *len as usize));
        let (sender, receiver, on_the_way) = self.way(by);
        on_the_way.extend(frames.iter().cloned());
        let due = std::mem::take(on_the_way);
        let taking = async {
            let mut got = Vec::new();
            while got.len() < due.len() {
                match receiver.recv().await {
                    Ok(Some(frame)) => got.push(frame),
                    other => return Err(format!("{} of {} came, then {other:?}", got.len(), due.len())),
                }
            }
            Ok(got)
        };
        match join(sender.send(frames), taking).await {
            (Ok(()), Ok(got)) if got == due => Seen::Frames(got.iter().map(mark).collect()),
            (Ok(()), Ok(_)) => Seen::Wrong("other frames came than were sent".to_string()),
            (sent, got) => Seen::Wrong(format!("{sent:?}, {:?}", got.err())),
        }
    }

    async fn queue(&mut self, by: Side, lens: &[u8]) -> Seen {
        let room = QUEUED.saturating_sub(self.way(by).2.len());
        let frames = self.frames(lens.iter().take(room).map(|len| usize::from(*len)));
        let (sender, _, on_the_way) = self.way(by);
        on_the_way.extend(frames.iter().cloned());
        match sender.send(frames).await {
            Ok(()) => Seen::Frames(Vec::new()),
            Err(error) => Seen::Wrong(error.to_string()),
        }
    }

    async fn too_large(&mut self, by: Side) -> Seen {
        let frames = vec![Bytes::from_static(b"before"), Bytes::from(vec![0; MAX_FRAME_BYTES + 1])];
        match self.way(by).0.send(frames).await {
            Ok(()) => Seen::Wrong("a frame that is too large was sent".to_string()),
            Err(error) => Seen::Refused(error.kind()),
        }
    }

    async fn give_up(&mut self, by: Side, clock: &dyn Clock) -> Seen {
        let (_, receiver, on_the_way) = self.way(by);
        match select(receiver.recv(), clock.sleep_until(clock.now() + Duration::from_millis(1))).await {
            Either::Right(_) => Seen::GivenUp,
            // It had come: that is as good.
            Either::Left((Ok(Some(frame)), _)) if on_the_way.first() == Some(&frame) => {
                on_the_way.remove(0);
                Seen::GivenUp
            }
            Either::Left((other, _)) => Seen::Wrong(format!("{other:?}")),
        }
    }

    /// One end goes; the other reads what came, and then learns of it.
    async fn part(self, leaves: Side, half: bool, clock: &dyn Clock) -> Vec<Seen> {
        let [a, b] = self.ends;
        let [to_a, to_b] = self.on_the_way;
        let (gone, stays, due) = match leaves {
            Side::Connecting => (a, b, to_b),
            Side::Accepting => (b, a, to_a),
        };
        let Connection { sender, receiver } = gone;
        // Either half breaks the connection; the other one is held until the end.
        let (sender, receiver) = (Some(sender).filter(|_| !half), Some(receiver).filter(|_| half));
        let _held = (sender, receiver);
        let Connection { mut sender, mut receiver } = stays;
        let (mut count, mut seen) = (0, Vec::new());
        let received = loop {
            match select(receiver.recv(), clock.sleep_until(clock.now() + PATIENCE)).await {
                Either::Left((Ok(Some(frame)), _)) if due.get(count) == Some(&frame) => count += 1,
                Either::Left((Ok(Some(_)), _)) => {
                    seen.push(Seen::Wrong(format!("frame {count} of a broken connection is another")));
                    break true;
                }
                Either::Left(_) => break true,
                Either::Right(_) => break false,
            }
        };
        let mut sent = false;
        for _ in 0..200 {
            sent = sender.send(vec![Bytes::from_static(b"anybody there?")]).await.is_err();
            if sent {
                break;
            }
            clock.sleep_until(clock.now() + Duration::from_millis(5)).await;
        }
        seen.push(Seen::Ended { received, sent });
        seen
    }
}

async fn play(
    here: Arc<dyn Net>,
    there: Arc<dyn Net>,
    host: String,
    clock: Arc<dyn Clock>,
    script: Script,
) -> Vec<Seen> {
    let mut listener = there.listen(&format!("{host}:0")).await.expect("an address is free");
    let address = listener.local_addr();
    let (a, b) = join(here.connect(&address), listener.accept()).await;
    let ends = [a.expect("connects"), b.expect("accepts")];
    let mut pair = Pair { ends, on_the_way: [Vec::new(), Vec::new()], number: 0 };
    let mut seen = Vec::new();
    for step in &script.steps {
        let one = match step {
            Step::Exchange { by, lens } => pair.exchange(*by, lens).await,
            Step::Queue { by, lens } => pair.queue(*by, lens).await,
            Step::TooLarge { by } => pair.too_large(*by).await,
            Step::GiveUp { by } => pair.give_up(*by, &*clock).await,
            Step::ListenTwice => match there.listen(&address).await {
                Ok(_) => Seen::Wrong("an address was taken twice".to_string()),
                Err(error) => Seen::Refused(error.kind()),
            },
        };
        seen.push(one);
    }
    // Everything that waits is taken, so that what is compared does not depend on who was faster.
    for by in [Side::Connecting, Side::Accepting] {
        seen.push(pair.exchange(by, &[3]).await);
    }
    seen.extend(pair.part(script.leaves, script.half, &*clock).await);
    seen
}

fn really(script: Script) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let net: Arc<dyn Net> = Arc::new(RealNet);
    let _inside = runtime.enter();
    let clock = Arc::new(RealClock::new());
    runtime.block_on(play(net.clone(), net, "127.0.0.1".to_string(), clock, script))
}

fn invented(script: Script) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    run_sealed(script.steps.len() as u64, move |world| {
        let nodes = ["here", "there"].map(|name| world.add_node(name));
        let [here, there] = nodes.map(|node| world.start(node));
        let playing = play(here.net, there.net, "there".to_string(), here.clock, script);
        let done = world.complete(Duration::from_secs(3_600), async move {
            *into.lock().expect("no holder panics") = playing.await;
        });
        assert!(done.is_some(), "{:?}", world.failures());
    });
    let seen = seen.lock().expect("no holder panics");
    seen.clone()
}

/// Frames that a step took depend on what was given up before; all of them together do not.
fn together(seen: Vec<Seen>) -> (Vec<(usize, u32)>, Vec<Seen>) {
    let mut frames = Vec::new();
    let mut others = Vec::new();
    for one in seen {
        match one {
            Seen::Frames(some) => frames.extend(some),
            other => others.push(other),
        }
    }
    frames.sort_unstable();
    (frames, others)
}

fn agree(script: Script) -> bool {
    let (real, invented) = (really(script.clone()), invented(script.clone()));
    let wrong = real.iter().chain(&invented).any(|seen| matches!(seen, Seen::Wrong(_)));
    let gave_up = script.steps.iter().any(|step| matches!(step, Step::GiveUp { .. }));
    // A receive that was given up may have taken a frame or not, so frames are compared one by one only without one.
    let same =
        if gave_up { together(real.clone()).1 == together(invented.clone()).1 } else { real == invented };
    if wrong || !same {
        println!("really:    {real:?}\ninvented:  {invented:?}");
    }
    !wrong && same
}

#[test]
fn networks_of_both_worlds_agree() {
    QuickCheck::new().tests(SEQUENCES).rng(Gen::new(12)).quickcheck(agree as fn(Script) -> bool);
}
