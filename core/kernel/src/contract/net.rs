//! What the Net port promises.
//!
//! The cases run where nothing breaks by itself. [`each_connection_carries_a_prefix`] is for a network that does break: it
//! says what may be lost (an end of what was sent on one connection) and what may not (anything else).

use crate::net::{FrameReceiver, FrameSender, MAX_FRAME_BYTES, WINDOW_FRAMES};
use crate::{BoxFuture, Clock, Connection, Listener, Net};
use bytes::Bytes;
use futures_util::future::{Either, join, select};
use std::io::{ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

/// Where a case plays. The two sides may be one machine.
#[derive(Clone)]
pub struct Stage {
    /// The side that connects.
    pub here: Arc<dyn Net>,
    /// The side that listens.
    pub there: Arc<dyn Net>,
    /// Where `there` may listen: a host, and port 0. `here` reaches it by `local_addr()`.
    pub listen: String,
    /// For deadlines.
    pub clock: Arc<dyn Clock>,
}

/// A case of this suite.
pub type Case = (&'static str, fn(Stage) -> BoxFuture<'static, ()>);

/// Every case.
pub const CASES: &[Case] = &[
    ("frames arrive in order, both ways", |stage| Box::pin(fifo_both_ways(stage))),
    ("frames arrive whole and unchanged, of any size", |stage| Box::pin(whole_and_unchanged(stage))),
    ("a frame that is too large is refused and breaks nothing", |stage| Box::pin(too_large(stage))),
    ("a sender without a reader waits, and loses nothing", |stage| Box::pin(back_pressure(stage))),
    ("the end is seen after all frames", |stage| Box::pin(end_after_frames(stage))),
    ("a sender learns that the other end has gone", |stage| Box::pin(sender_learns(stage))),
    ("dropping one half breaks the connection", |stage| Box::pin(dropped_halves(stage))),
    ("a dropped recv loses no frame", |stage| Box::pin(recv_is_cancel_safe(stage))),
    ("connections are accepted in order", |stage| Box::pin(accepted_in_order(stage))),
    ("an address is taken once, and is free again afterwards", |stage| Box::pin(addresses(stage))),
    ("nobody answers where nobody listens", |stage| Box::pin(nobody_listens(stage))),
    ("each connection carries a prefix of what was sent on it", |stage| {
        Box::pin(each_connection_carries_a_prefix(stage))
    }),
];

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(10);

impl Stage {
    async fn listener(&self) -> Box<dyn Listener> {
        self.there.listen(&self.listen).await.expect("the address of the stage is free")
    }

    /// A listener and a connection to it: (listener, connecting end, accepted end).
    async fn connected(&self) -> (Box<dyn Listener>, Connection, Connection) {
        let mut listener = self.listener().await;
        let (connected, accepted) = join(self.here.connect(&listener.local_addr()), listener.accept()).await;
        let (connected, accepted) = (connected.expect("connects"), accepted.expect("accepts"));
        (listener, connected, accepted)
    }

    /// The value of `future`, or `None` after `after`.
    async fn within<T>(&self, after: Duration, future: impl Future<Output = T> + Unpin) -> Option<T> {
        match select(future, self.clock.sleep_until(self.clock.now() + after)).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }
}

/// A frame of `len` bytes that no other number has.
fn frame(number: usize, len: usize) -> Bytes {
    let first = (number as u32).wrapping_mul(31);
    let mut bytes: Vec<u8> =
        (0..len as u32).map(|index| first.wrapping_add(index ^ (index >> 8)) as u8).collect();
    let tag = (number as u64).to_le_bytes();
    let tagged = len.min(tag.len());
    bytes[..tagged].copy_from_slice(&tag[..tagged]);
    Bytes::from(bytes)
}

async fn expect_frames(receiver: &mut dyn FrameReceiver, frames: &[Bytes]) {
    for (index, expected) in frames.iter().enumerate() {
        let got = receiver.recv().await.expect("nothing breaks").expect("nothing closes");
        assert!(got == *expected, "frame {index} of {} bytes differs from what was sent", expected.len());
    }
}

async fn send_in_parts(sender: &mut dyn FrameSender, frames: &[Bytes]) {
    for (index, part) in frames.chunks(7).enumerate() {
        assert!(index < frames.len(), "a part has a frame");
        sender.send(part.to_vec()).await.expect("nothing breaks");
    }
}

async fn fifo_both_ways(stage: Stage) {
    let (_listener, mut a, mut b) = stage.connected().await;
    let there: Vec<Bytes> = (0..300).map(|number| frame(number, 8 + number % 50)).collect();
    let back: Vec<Bytes> = (1000..1200).map(|number| frame(number, 8 + number % 90)).collect();
    join(
        join(send_in_parts(&mut *a.sender, &there), expect_frames(&mut *b.receiver, &there)),
        join(send_in_parts(&mut *b.sender, &back), expect_frames(&mut *a.receiver, &back)),
    )
    .await;
}

async fn whole_and_unchanged(stage: Stage) {
    let (_listener, mut a, mut b) = stage.connected().await;
    let sizes = [0, 1, 7, 512, 4095, 4096, 65_535, 65_537, 1 << 20, MAX_FRAME_BYTES];
    let frames: Vec<Bytes> = sizes.into_iter().enumerate().map(|(number, len)| frame(number, len)).collect();
    join(send_in_parts(&mut *a.sender, &frames), expect_frames(&mut *b.receiver, &frames)).await;
}

async fn too_large(stage: Stage) {
    let (_listener, mut a, mut b) = stage.connected().await;
    let refused = a.sender.send(vec![Bytes::from(vec![0; MAX_FRAME_BYTES + 1])]).await;
    assert_eq!(refused.expect_err("it is too large").kind(), ErrorKind::InvalidInput);
    let small = [frame(1, 100)];
    join(send_in_parts(&mut *a.sender, &small), expect_frames(&mut *b.receiver, &small)).await;
}

async fn back_pressure(stage: Stage) {
    let (_listener, mut a, mut b) = stage.connected().await;
    // Far more than the window and every buffer of a system hold.
    let frames: Vec<Bytes> = (0..WINDOW_FRAMES * 8).map(|number| frame(number, 2048)).collect();
    let mut sending: BoxFuture<'_, ()> = Box::pin(async {
        for part in frames.chunks(64) {
            a.sender.send(part.to_vec()).await.expect("nothing breaks");
        }
    });
    let early = stage.within(Duration::from_secs(1), &mut sending).await;
    assert!(early.is_none(), "{} frames left although nobody reads", frames.len());
    join(sending, expect_frames(&mut *b.receiver, &frames)).await;
}

async fn end_after_frames(stage: Stage) {
    let (_listener, mut a, mut b) = stage.connected().await;
    let frames: Vec<Bytes> = (0..50).map(|number| frame(number, 1000)).collect();
    send_in_parts(&mut *a.sender, &frames).await;
    drop(a);
    expect_frames(&mut *b.receiver, &frames).await;
    assert_eq!(b.receiver.recv().await.expect("it ended in order"), None);
}

/// Sends until it fails.
async fn send_until_broken(stage: &Stage, sender: &mut dyn FrameSender) {
    let deadline = stage.clock.now() + PATIENCE;
    while sender.send(vec![frame(0, 100)]).await.is_ok() {
        assert!(stage.clock.now() < deadline, "a sender never learns that the other end has gone");
        stage.clock.sleep_until(stage.clock.now() + Duration::from_millis(5)).await;
    }
}

async fn sender_learns(stage: Stage) {
    let (_listener, mut a, b) = stage.connected().await;
    drop(b);
    send_until_broken(&stage, &mut *a.sender).await;
    assert!(a.sender.send(vec![frame(1, 10)]).await.is_err(), "a broken connection stays broken");
}

async fn dropped_halves(stage: Stage) {
    let (listener, a, mut b) = stage.connected().await;
    let Connection { sender, receiver } = a;
    drop(sender);
    let end = stage.within(PATIENCE, b.receiver.recv()).await.expect("the other end learns of it");
    assert!(!matches!(end, Ok(Some(_))), "nothing was sent");
    drop((listener, receiver, b));

    let (_listener, a, mut b) = stage.connected().await;
    let Connection { sender, receiver } = a;
    drop(receiver);
    send_until_broken(&stage, &mut *b.sender).await;
    drop(sender);
}

async fn recv_is_cancel_safe(stage: Stage) {
    let (_listener, mut a, mut b) = stage.connected().await;
    let frames: Vec<Bytes> = (0..40).map(|number| frame(number, 3000)).collect();
    let sending = async {
        for one in &frames {
            a.sender.send(vec![one.clone()]).await.expect("nothing breaks");
            stage.clock.sleep_until(stage.clock.now() + Duration::from_millis(1)).await;
        }
    };
    let receiving = async {
        let mut got: Vec<Bytes> = Vec::new();
        while got.len() < frames.len() {
            // A deadline that mostly passes first, so that most futures are dropped unfinished.
            if let Some(one) = stage.within(Duration::from_micros(300), b.receiver.recv()).await {
                got.push(one.expect("nothing breaks").expect("nothing closes"));
            }
        }
        got
    };
    let ((), got) = join(sending, receiving).await;
    assert!(got == frames, "frames were lost or changed by dropping recv()");
}

async fn accepted_in_order(stage: Stage) {
    let mut listener = stage.listener().await;
    let mut connections = Vec::new();
    for number in 0..5 {
        let mut connection = stage.here.connect(&listener.local_addr()).await.expect("connects");
        connection.sender.send(vec![frame(number, 8)]).await.expect("nothing breaks");
        connections.push(connection);
    }
    for number in 0..5 {
        let mut accepted = listener.accept().await.expect("accepts");
        expect_frames(&mut *accepted.receiver, &[frame(number, 8)]).await;
    }
}

async fn addresses(stage: Stage) {
    let first = stage.listener().await;
    let second = stage.listener().await;
    assert_ne!(first.local_addr(), second.local_addr(), "port 0 picks a free port each time");
    let addr = first.local_addr();
    assert!(!addr.ends_with(":0"), "local_addr() has the real port: {addr}");
    let taken = stage.there.listen(&addr).await;
    assert_eq!(taken.err().map(|error| error.kind()), Some(ErrorKind::AddrInUse), "{addr} is taken");
    drop(first);
    stage.there.listen(&addr).await.expect("the address is free again");
}

async fn nobody_listens(stage: Stage) {
    let listener = stage.listener().await;
    let addr = listener.local_addr();
    drop(listener);
    // It may also hang: callers set their own deadline.
    let outcome = stage.within(PATIENCE, stage.here.connect(&addr)).await;
    assert!(!matches!(outcome, Some(Ok(_))), "something answers at {addr}");
}

/// Connections that are made in turn; on each, numbered frames are sent until it breaks or enough were sent.
const CONNECTIONS: usize = 5;
const FRAMES: usize = 40;

/// What arrives on a connection is a prefix of what was sent on it: for a network that breaks connections, and for any.
pub async fn each_connection_carries_a_prefix(stage: Stage) {
    let mut listener = stage.listener().await;
    let addr = listener.local_addr();
    for turn in 0..CONNECTIONS {
        let connecting = stage.here.connect(&addr);
        let accepting = listener.accept();
        let connected = stage.within(PATIENCE * 3, Box::pin(join(connecting, accepting))).await;
        let Some((Ok(connected), Ok(accepted))) = connected else { continue };
        let (sent, got) =
            join(send_numbers(&stage, turn, connected), take_numbers(&stage, turn, accepted)).await;
        assert!(got <= sent, "connection {turn} delivered {got} frames of {sent}");
    }
}

fn numbered(turn: usize, number: usize) -> Bytes {
    frame(turn * FRAMES + number, 64)
}

/// Sends until it is told that the connection is broken; returns how many frames were handed over at most.
async fn send_numbers(stage: &Stage, turn: usize, mut connection: Connection) -> usize {
    for number in 0..FRAMES {
        let sending = connection.sender.send(vec![numbered(turn, number)]);
        let outcome: Option<Result<()>> = stage.within(PATIENCE, sending).await;
        if !matches!(outcome, Some(Ok(()))) {
            return number + 1;
        }
        stage.clock.sleep_until(stage.clock.now() + Duration::from_millis(1)).await;
    }
    FRAMES
}

/// Takes frames, which must be the numbers from 0 on with no gap, until the end, an error or a long silence.
async fn take_numbers(stage: &Stage, turn: usize, mut connection: Connection) -> usize {
    let mut next = 0;
    while let Some(Ok(Some(got))) = stage.within(PATIENCE, connection.receiver.recv()).await {
        assert!(got == numbered(turn, next), "connection {turn} delivers another frame than number {next}");
        next += 1;
    }
    next
}
