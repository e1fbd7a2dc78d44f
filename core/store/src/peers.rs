//! Connections to the other members.
//!
//! Each member dials each other one and sends on the connection that it made, so a pair has two connections, one for each
//! direction, and what A sends to B arrives in the order in which it was sent. Outgoing messages wait in a bounded queue for
//! each peer; when it is full, or the connection breaks, they are dropped and the loop is told, because Raft repeats what
//! matters. On the receiving side the newest connection of a peer supersedes its older ones, so that frames which are late
//! on an old connection cannot arrive between newer ones. Snapshots travel on connections of their own (see `snapshot`).

use crate::event::Event;
use crate::frame::{Body, Hello};
use crate::identity::{CONNECT_TIMEOUT, Identity, timeout};
use crate::meter;
use crate::snapshot;
use bytes::Bytes;
use kernel::inbox::{Inbox, Outlet, Refused, Woken, inbox};
use kernel::net::FrameReceiver;
use kernel::{BoxFuture, Connection, Io, Listener};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

/// Frames sent in one go.
const SEND_BATCH: usize = 256;
/// The pause before a peer that could not be reached is dialled again.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);
/// The pause of a reader while the loop's inbox is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// The ways to all other members.
pub struct Links {
    queues: BTreeMap<u64, Inbox<Outgoing>>,
}

/// What a link is told.
#[allow(clippy::large_enum_variant, reason = "nearly all are bodies")]
enum Outgoing {
    /// Send this.
    Body(Body),
    /// The peer's process is another than the one that was dialled: what waits before this was meant for the dead.
    Redial,
}

impl Links {
    /// Starts to dial every other member; at most `most` frames wait for each, more are dropped.
    pub fn start(io: &Io, identity: &Identity, most: usize, events: &Inbox<Event>) -> Links {
        let mut queues = BTreeMap::new();
        for (&peer, address) in identity.peers.iter() {
            let (queue, outlet) = inbox(most);
            let link = Link {
                io: io.clone(),
                identity: identity.clone(),
                peer,
                address: address.clone(),
                outlet,
                batch: Vec::new(),
                events: events.clone(),
            };
            io.spawn.spawn("peer link", Box::pin(link.run()));
            queues.insert(peer, queue);
        }
        Links { queues }
    }

    /// Queues `body` for `peer`; false when it was dropped because the queue is full.
    pub fn send(&self, peer: u64, body: Body) -> bool {
        self.queues.get(&peer).is_none_or(|queue| queue.try_push(Outgoing::Body(body)).is_ok())
    }

    /// Makes a new connection to `peer`, which has begun a new life. The old connection may be half open: without this the
    /// link would find out only when its bytes have gone unacknowledged for seconds.
    pub fn redial(&self, peer: u64) {
        if let Some(queue) = self.queues.get(&peer) {
            queue.push(Outgoing::Redial);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.queues.values().for_each(Inbox::close);
    }
}

struct Link {
    io: Io,
    identity: Identity,
    peer: u64,
    address: String,
    outlet: Outlet<Outgoing>,
    /// Taken from the outlet, and not yet sent.
    batch: Vec<Outgoing>,
    events: Inbox<Event>,
}

impl Link {
    async fn run(mut self) {
        let mut never: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        loop {
            if self.batch.is_empty() && self.outlet.wait(&mut never).await == Woken::Closed {
                return;
            }
            let Some(connection) = self.dial().await else {
                self.outlet.take(usize::MAX, &mut self.batch);
                self.batch.clear();
                self.lost();
                let pause = self.io.clock.now() + REDIAL_PAUSE;
                self.io.clock.sleep_until(pause).await;
                continue;
            };
            if self.pump(connection).await == Woken::Closed {
                return;
            }
            self.lost();
        }
    }

    fn lost(&self) {
        self.identity.meter.count(self.peer, |traffic| meter::add(&traffic.send_failures));
        self.events.push(Event::PeerLost(self.peer));
    }

    async fn dial(&self) -> Option<Connection> {
        let connect = self.io.net.connect(&self.address);
        let mut connection = timeout(&self.io, CONNECT_TIMEOUT, connect).await?.ok()?;
        let hello = self.identity.hello_to(self.peer, false);
        connection.sender.send(vec![hello]).await.ok()?;
        Some(connection)
    }

    /// Sends what is queued until the connection breaks. The other end never sends here, so its half only shows the end.
    async fn pump(&mut self, connection: Connection) -> Woken {
        let Connection { mut sender, receiver } = connection;
        let mut ended: BoxFuture<'static, ()> = Box::pin(until_closed(receiver));
        loop {
            if self.batch.is_empty() {
                match self.outlet.wait(&mut ended).await {
                    Woken::Closed => return Woken::Closed,
                    Woken::Timer => return Woken::Timer,
                    Woken::Events => {}
                }
                self.outlet.take(SEND_BATCH, &mut self.batch);
            }
            let redial = self.batch.iter().rposition(|outgoing| matches!(outgoing, Outgoing::Redial));
            if let Some(last) = redial {
                self.io.probe.sometimes("peers: redialled a peer's new life");
                self.batch.drain(..=last);
                return Woken::Timer;
            }
            let frames: Vec<Bytes> = self.batch.drain(..).filter_map(Outgoing::into_frame).collect();
            let bytes = frames.iter().map(Bytes::len).sum();
            self.identity.meter.count(self.peer, |traffic| traffic.sending(frames.len(), bytes));
            let broken = {
                let mut send = sender.send(frames);
                poll_fn(|context| match ended.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(true),
                    Poll::Pending => send.as_mut().poll(context).map(|sent| sent.is_err()),
                })
                .await
            };
            if broken {
                return Woken::Timer;
            }
        }
    }
}

impl Outgoing {
    fn into_frame(self) -> Option<Bytes> {
        match self {
            Outgoing::Body(body) => Some(body.into_frame()),
            Outgoing::Redial => None,
        }
    }
}

async fn until_closed(mut receiver: Box<dyn FrameReceiver>) {
    while let Ok(Some(_)) = receiver.recv().await {}
}

/// The receiving side: accepts connections and reads frames into the loop's inbox.
pub struct Door {
    io: Io,
    identity: Identity,
    events: Inbox<Event>,
    /// For each peer the number of its newest connection.
    newest: Mutex<BTreeMap<u64, u64>>,
    snapshots: snapshot::Receiver,
}

impl Door {
    /// Starts to accept connections.
    pub fn open(
        io: &Io,
        identity: &Identity,
        events: &Inbox<Event>,
        listener: Box<dyn Listener>,
        snapshots: snapshot::Receiver,
    ) {
        let door = Arc::new(Door {
            io: io.clone(),
            identity: identity.clone(),
            events: events.clone(),
            newest: Mutex::default(),
            snapshots,
        });
        io.spawn.spawn("peer door", Box::pin(door.accept(listener)));
    }

    async fn accept(self: Arc<Self>, mut listener: Box<dyn Listener>) {
        loop {
            match listener.accept().await {
                Ok(connection) => {
                    let door = self.clone();
                    self.io.spawn.spawn("peer reader", Box::pin(async move { door.read(connection).await }));
                }
                Err(_) => self.io.clock.sleep_until(self.io.clock.now() + REDIAL_PAUSE).await,
            }
        }
    }

    async fn read(&self, mut connection: Connection) {
        let Some((hello, version)) = self.hello(&mut connection).await else { return };
        if hello.snapshot {
            let whole = self.snapshots.receive(&self.io, &self.events, connection).await;
            return self.identity.meter.count(hello.from, |traffic| {
                meter::add(if whole { &traffic.snapshots_received } else { &traffic.snapshots_refused });
            });
        }
        let number = {
            let mut newest = self.newest.lock().expect("no holder panics");
            let number = newest.entry(hello.from).or_default();
            *number += 1;
            *number
        };
        let from = hello.from;
        let (incarnation, last_index) = (hello.incarnation, hello.last_index);
        let up = Event::PeerUp { id: from, incarnation, last_index, version };
        if !self.deliver(up).await {
            return;
        }
        while let Ok(Some(frame)) = connection.receiver.recv().await {
            if !self.is_newest(from, number) {
                self.io.probe.sometimes("peers: a superseded connection still had frames");
                return;
            }
            self.identity.meter.count(from, |traffic| traffic.receiving(frame.len()));
            let Ok(body) = Body::decode(frame) else { break };
            if body.since() > version {
                break;
            }
            if !self.deliver(Event::Peer { from, body }).await {
                return;
            }
        }
        if self.is_newest(from, number) {
            self.deliver(Event::PeerGone(from)).await;
        }
    }

    fn is_newest(&self, from: u64, number: u64) -> bool {
        self.newest.lock().expect("no holder panics").get(&from) == Some(&number)
    }

    /// Reads and judges the first frame; with the version of the protocol that is spoken from there on.
    async fn hello(&self, connection: &mut Connection) -> Option<(Hello, u32)> {
        let first = timeout(&self.io, CONNECT_TIMEOUT, connection.receiver.recv()).await?;
        let Ok(Some(frame)) = first else { return None };
        let Ok(Body::Hello(hello)) = Body::decode(frame) else { return None };
        let mine = &self.identity.hello;
        let common = hello.common(mine.newest.max(1));
        let refusal = if common.is_none() {
            let (oldest, newest) = (hello.protocol, hello.newest.max(1));
            Some(format!(
                "it speaks peer protocols {oldest} to {newest}, this member {} to {}: upgrade one version at a time",
                mine.protocol,
                mine.newest.max(1)
            ))
        } else if hello.cluster_id != mine.cluster_id {
            Some(format!("its cluster id is {:x}, this member's is {:x}", hello.cluster_id, mine.cluster_id))
        } else if hello.to != mine.from {
            Some(format!("it looks for member {:x}, this is {:x}", hello.to, mine.from))
        } else if !self.identity.peers.contains_key(&hello.from) {
            Some("it is not a member of this cluster".to_string())
        } else {
            None
        };
        if let Some(why) = refusal {
            let why = format!(
                "refused peer {} ({:x}): {why}; check --initial-cluster and --initial-cluster-token",
                hello.name, hello.from
            );
            self.events.push(Event::PeerRefused(why));
            return None;
        }
        Some((hello, common?))
    }

    /// Hands an event to the loop, waiting while its inbox is full: that is the back-pressure on the sender.
    async fn deliver(&self, mut event: Event) -> bool {
        loop {
            match self.events.try_push(event) {
                Ok(()) => return true,
                Err(Refused::Closed(_)) => return false,
                Err(Refused::Full(back)) => event = back,
            }
            self.io.probe.sometimes("peers: the loop's inbox was full");
            self.io.clock.sleep_until(self.io.clock.now() + FULL_PAUSE).await;
        }
    }
}
