//! The Net port between invented machines: connections that keep their promises within, and break in every way they may.

mod conn;
mod ends;
mod link;
mod network;

pub use link::LinkConfig;
pub(crate) use network::Network;

use crate::sched::{Effect, NodeId, Owner};
use bytes::Bytes;
use conn::End;
use kernel::net::{FrameReceiver, FrameSender, MAX_FRAME_BYTES};
use kernel::{BoxFuture, Connection, Listener, Net};
use network::{Answer, EndId};
use std::future::poll_fn;
use std::io;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};

/// A second, in ns: how long an unanswered connection attempt waits before it asks again.
const ASK_AGAIN_NS: u64 = 1_000_000_000;

/// The Net port of one process.
pub(crate) struct SimNet {
    pub net: Arc<Network>,
    pub owner: Owner,
}

fn parse(addr: &str) -> io::Result<(&str, u16)> {
    addr.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("address {addr:?} is not of the form host:port"))
    })
}

impl SimNet {
    fn listen_now(&self, addr: &str) -> io::Result<Box<dyn Listener>> {
        let (host, port) = parse(addr)?;
        if self.net.resolve(self.owner.node, host) != Some(self.owner.node) {
            let text = format!("{host:?} is not a name of this machine");
            return Err(Error::new(ErrorKind::AddrNotAvailable, text));
        }
        if !self.net.sched.is_current(self.owner) {
            return Err(ended());
        }
        let port = self.net.listen(self.owner, port)?;
        let addr = format!("{host}:{port}");
        Ok(Box::new(SimListener { net: self.net.clone(), owner: self.owner, port, addr }))
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::NotConnected, "the process has ended")
}

impl Net for SimNet {
    fn listen(&self, addr: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let listener = self.listen_now(addr);
        Box::pin(async move { listener })
    }

    fn connect(&self, addr: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let (net, owner, addr) = (self.net.clone(), self.owner, addr.to_string());
        Box::pin(async move {
            let (host, port) = parse(&addr)?;
            let unknown = || Error::new(ErrorKind::NotFound, format!("no machine is called {host:?}"));
            let to = net.resolve(owner.node, host).ok_or_else(unknown)?;
            connect(net, owner, to, port).await
        })
    }
}

async fn connect(net: Arc<Network>, owner: Owner, to: NodeId, port: u16) -> io::Result<Connection> {
    let sleep = |ns: u64| net.sched.sleep(owner, net.sched.now_ns() + ns);
    let give_up = net.sched.now_ns() + net.patience(owner.node, to);
    while net.sched.now_ns() < give_up {
        if let Some(there) = net.passage(owner.node, to) {
            sleep(there).await;
            let answer = net.attempt(owner, to, port);
            // Made at once, so that a connection whose connector gives up is closed.
            let connection = match answer {
                Answer::Accepted(id) => Some(Some(halves(&net, id))),
                Answer::Refused => Some(None),
                Answer::Silence => None,
            };
            if let Some(connection) = connection {
                while net.passage(to, owner.node).is_none() && net.sched.now_ns() < give_up {
                    sleep(ASK_AGAIN_NS).await;
                }
                if let Some(back) = net.passage(to, owner.node) {
                    sleep(back).await;
                    let refused = || Error::new(ErrorKind::ConnectionRefused, "nobody listens there");
                    return connection.ok_or_else(refused);
                }
                break;
            }
        }
        sleep(ASK_AGAIN_NS).await;
    }
    Err(Error::new(ErrorKind::TimedOut, "the other machine does not answer"))
}

fn halves(net: &Arc<Network>, id: EndId) -> Connection {
    let sender = Box::new(SimSender(Half { net: net.clone(), id }));
    let receiver = Box::new(SimReceiver(Half { net: net.clone(), id }));
    Connection { sender, receiver }
}

struct SimListener {
    net: Arc<Network>,
    owner: Owner,
    port: u16,
    addr: String,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(poll_fn(|context| {
            let mut state = self.net.lock();
            let listening = state.listeners.get_mut(&(self.owner.node, self.port));
            let listening = listening.filter(|listening| listening.owner == self.owner).ok_or_else(ended)?;
            let Some(conn) = listening.backlog.pop_front() else {
                listening.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            drop(state);
            Poll::Ready(Ok(halves(&self.net, EndId { conn, end: 1 })))
        }))
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.net.stop_listening(self.owner, Some(self.port));
    }
}

/// What both halves have in common: dropping either closes the end.
struct Half {
    net: Arc<Network>,
    id: EndId,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.net.drop_half(self.id);
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::ConnectionReset, "the connection is broken")
}

struct SimSender(Half);

impl FrameSender for SimSender {
    fn send(&mut self, frames: Vec<Bytes>) -> BoxFuture<'_, io::Result<()>> {
        if let Some(frame) = frames.iter().find(|frame| frame.len() > MAX_FRAME_BYTES) {
            let text = format!("a frame of {} bytes exceeds {MAX_FRAME_BYTES}", frame.len());
            return Box::pin(async move { Err(Error::new(ErrorKind::InvalidInput, text)) });
        }
        let mut left = frames;
        Box::pin(poll_fn(move |context| self.poll_send(&mut left, context)))
    }
}

impl SimSender {
    fn poll_send(&mut self, left: &mut Vec<Bytes>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Half { net, id } = &self.0;
        let now = net.sched.now_ns();
        let mut state = net.lock();
        loop {
            let window = state.window;
            let conn = state.conns.get_mut(&id.conn).expect("a held half keeps its connection");
            if conn.ends[id.end] != End::Open || conn.pipes[1 - id.end].is_finished(now) {
                return Poll::Ready(Err(broken()));
            }
            if !net.sched.is_current(conn.owners[id.end]) {
                return Poll::Ready(Err(ended()));
            }
            if left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let pipe = &mut conn.pipes[id.end];
            let room = window.saturating_sub(pipe.queue.len());
            if room == 0 {
                pipe.sender_waker = Some(context.waker().clone());
                net.sched.effect(Effect::BackPressure);
                net.probe(&mut state, *id);
                return Poll::Pending;
            }
            let rest = left.split_off(room.min(left.len()));
            let first = std::mem::replace(left, rest);
            net.transmit(&mut state, *id, first);
        }
    }
}

struct SimReceiver(Half);

impl FrameReceiver for SimReceiver {
    fn recv(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(poll_fn(|context| self.poll_recv(context)))
    }
}

impl SimReceiver {
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Half { net, id } = &self.0;
        let now = net.sched.now_ns();
        let mut state = net.lock();
        let conn = state.conns.get_mut(&id.conn).expect("a held half keeps its connection");
        let (end, me) = (conn.ends[id.end], conn.owners[id.end].node);
        let pipe = &mut conn.pipes[1 - id.end];
        if pipe.has_arrived(now) {
            let pace = state.paces.get(&me).copied().unwrap_or(0);
            let pipe = &mut state.conns.get_mut(&id.conn).expect("as above").pipes[1 - id.end];
            if pace > 0 && pipe.taken_from > now {
                let at = pipe.taken_from;
                pipe.receiver_waker = Some(context.waker().clone());
                net.sched.effect(Effect::SlowPeer);
                net.arrival(*id, at);
                return Poll::Pending;
            }
            pipe.taken_from = now + pace;
            return self.take(state);
        }
        if pipe.is_finished(now) {
            return Poll::Ready(Ok(None));
        }
        if end != End::Open {
            return Poll::Ready(Err(broken()));
        }
        pipe.receiver_waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes the frame that has arrived, and looks whether it is what was sent.
    fn take(&self, mut state: MutexGuard<'_, network::State>) -> Poll<io::Result<Option<Bytes>>> {
        let Half { net, id } = &self.0;
        let pipe =
            &mut state.conns.get_mut(&id.conn).expect("a held half keeps its connection").pipes[1 - id.end];
        let sent = pipe.take(net.sched.now_ns()).expect("the caller has seen it");
        let waker = pipe.sender_waker.take();
        let is_whole = sent.left_with.is_none_or(|crc| crc == crc32fast::hash(&sent.frame));
        if !is_whole {
            net.refuse_frame(&mut state, *id);
        }
        drop(state);
        network::wake_all([waker]);
        if is_whole {
            return Poll::Ready(Ok(Some(sent.frame)));
        }
        Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "a frame's checksum does not fit")))
    }
}
