//! All machines' networking at once: who listens, which connections exist, how each directed link behaves.
//!
//! What may happen to a connection, and how its ends learn of it:
//! - A *cut* link holds what is under way. Healed soon, everything arrives late and in order; after five to twenty seconds
//!   the connection gives up and both ends see it broken. An idle connection survives any cut.
//! - A *break* (a reset, a packet lost too often) loses what has not arrived. Mostly both ends are told after a while; now
//!   and then one is not, and finds out when it sends (half-open).
//! - A *process crash* closes connections as its kernel would: in order behind the frames, or with a reset.
//! - A *power loss* says nothing. The other end finds out when it sends: soon if the machine is up again, late if not.

use super::conn::{Conn, End, HELD, Pipe, Sent};
use super::link::{Fate, Link, LinkConfig, REPEAT_NS};
use crate::sched::{Effect, Kind, NodeId, Owner, Sched};
use bytes::Bytes;
use kernel::net::WINDOW_FRAMES;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

/// Connections that may wait to be accepted; more are refused.
const BACKLOG: usize = 128;

/// How long a connection or a connection attempt goes unanswered before it gives up, in ns.
pub(super) const GIVE_UP_NS: (u64, u64) = (5_000_000_000, 20_000_000_000);

/// The first port that `port 0` may pick.
const FIRST_FREE_PORT: u16 = 49_152;

/// The network.
pub(crate) struct Network {
    pub sched: Sched,
    state: Mutex<State>,
}

pub(super) struct State {
    seed: u64,
    hosts: BTreeMap<String, NodeId>,
    usual: LinkConfig,
    links: BTreeMap<(NodeId, NodeId), Link>,
    pub listeners: BTreeMap<(NodeId, u16), Listening>,
    pub conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    pub window: usize,
    /// Which machine nodes are on, where several share one.
    machines: BTreeMap<NodeId, u32>,
    /// Machines that take in frames slowly: ns for each.
    pub paces: BTreeMap<NodeId, u64>,
    /// What happens to each frame on its way, besides delay.
    mangle: Option<Mangle>,
}

/// Changes a frame from one machine to another, or swallows it.
pub(crate) type Mangle = Box<dyn FnMut(NodeId, NodeId, Bytes) -> Option<Bytes> + Send>;

pub(super) struct Listening {
    pub owner: Owner,
    pub backlog: VecDeque<u64>,
    pub waker: Option<Waker>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndId {
    pub conn: u64,
    pub end: usize,
}

/// What came of an attempt to connect that has reached the other machine.
pub(super) enum Answer {
    Accepted(EndId),
    Refused,
    Silence,
}

impl Network {
    pub fn new(sched: Sched, seed: u64) -> Arc<Network> {
        let state = State {
            seed,
            hosts: BTreeMap::new(),
            usual: LinkConfig::default(),
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 1,
            window: WINDOW_FRAMES,
            machines: BTreeMap::new(),
            paces: BTreeMap::new(),
            mangle: None,
        };
        Arc::new(Network { sched, state: Mutex::new(state) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    pub fn add_host(&self, name: &str, node: NodeId) {
        let taken = self.lock().hosts.insert(name.to_string(), node);
        assert!(taken.is_none(), "two nodes are called {name:?}");
    }

    /// Sets what every link does, except those of a machine to itself.
    pub fn set_all_links(self: &Arc<Self>, config: &LinkConfig) {
        let mut state = self.lock();
        state.usual = config.clone();
        let all: Vec<(NodeId, NodeId)> = state.links.keys().copied().collect();
        all.into_iter().for_each(|(from, to)| self.configure(&mut state, from, to, config.clone()));
    }

    pub fn set_link(self: &Arc<Self>, from: NodeId, to: NodeId, config: LinkConfig) {
        self.configure(&mut self.lock(), from, to, config);
    }

    fn configure(self: &Arc<Self>, state: &mut State, from: NodeId, to: NodeId, config: LinkConfig) {
        if is_within(&state.machines, from, to) {
            return;
        }
        let link = state.link(from, to);
        let was_limited = link.config.bytes_per_second > 0;
        link.config = config;
        if !was_limited || link.config.bytes_per_second > 0 {
            return;
        }
        // What the narrow link had queued leaves at once.
        let now = self.sched.now_ns();
        link.widen(now);
        let by = now + link.delay();
        let hurried = state.pipes_between(from, to).map(|(conn, pipe)| (conn, pipe.hurry(by)));
        let hurried: Vec<u64> = hurried.filter_map(|(conn, hurries)| hurries.then_some(conn)).collect();
        for conn in hurried {
            let end = usize::from(state.conns[&conn].owners[1].node == to);
            self.arrival(EndId { conn, end }, by);
        }
    }

    /// From now on these nodes are one machine to the network: nothing delays or cuts what they say to each other.
    pub fn share_machine(&self, nodes: &[NodeId]) {
        let mut state = self.lock();
        let Some(first) = nodes.first() else { return };
        for node in nodes {
            state.machines.insert(*node, first.0);
            state.links.retain(|(from, to), _| from != node && to != node);
        }
    }

    /// Frames that may wait in a connection: at most what the port promises.
    pub fn set_window(&self, frames: usize) {
        assert!((1..=WINDOW_FRAMES).contains(&frames), "a window of {frames} frames");
        self.lock().window = frames;
    }

    /// From now on a machine takes so many ns to take in a frame; 0 for none.
    pub fn set_pace(&self, node: NodeId, pace: u64) {
        match pace {
            0 => _ = self.lock().paces.remove(&node),
            pace => _ = self.lock().paces.insert(node, pace),
        }
    }

    /// Cuts `from` to `to`. Cuts count: as many heals make it whole.
    pub fn cut(self: &Arc<Self>, from: NodeId, to: NodeId) {
        let now = self.sched.now_ns();
        let mut state = self.lock();
        if is_within(&state.machines, from, to) {
            return;
        }
        state.link(from, to).cuts += 1;
        let held: Vec<u64> =
            state.pipes_between(from, to).filter_map(|(conn, pipe)| pipe.hold(now).then_some(conn)).collect();
        for conn in held {
            self.arm_give_up(&mut state, conn, now);
        }
    }

    /// Takes one cut away; nothing when there is none.
    pub fn heal(self: &Arc<Self>, from: NodeId, to: NodeId) {
        let now = self.sched.now_ns();
        let mut state = self.lock();
        let link = state.link(from, to);
        if link.cuts == 0 {
            return;
        }
        link.cuts -= 1;
        if link.is_cut() {
            return;
        }
        let delay = link.delay();
        let released: Vec<(u64, Vec<u64>)> =
            state.pipes_between(from, to).map(|(conn, pipe)| (conn, pipe.release(now, || delay))).collect();
        for (conn, arrivals) in released {
            let entry = state.conns.get_mut(&conn).expect("just listed");
            if !entry.pipes.iter().any(Pipe::is_held) {
                entry.held_since = None;
            }
            let end = if entry.owners[1].node == to { 1 } else { 0 };
            for at in arrivals {
                self.arrival(EndId { conn, end }, at);
            }
        }
    }

    /// A process ends and its kernel tidies up: some connections are reset here, the rest close when their halves drop.
    pub fn process_ends(self: &Arc<Self>, owner: Owner) {
        self.stop_listening(owner, None);
        let mut state = self.lock();
        for id in state.ids(|conn| conn.owners.contains(&owner)) {
            let [a, b] = state.conns[&id].owners;
            if state.link(a.node, b.node).once_in(2) {
                self.break_conn(&mut state, id);
            }
        }
    }

    /// The power of a machine goes: its connections are dead, and nobody is told.
    pub fn power_goes(self: &Arc<Self>, node: NodeId) {
        let now = self.sched.now_ns();
        let mut state = self.lock();
        for id in state.ids(|conn| conn.owners.iter().any(|owner| owner.node == node)) {
            let conn = state.conns.get_mut(&id).expect("just listed");
            conn.dead = true;
            conn.held_since = None;
            for (end, owner) in conn.owners.into_iter().enumerate() {
                // What has left the machine may still arrive; what goes there does not.
                if owner.node == node {
                    conn.pipes[1 - end].lose_unarrived(now);
                }
            }
            self.probe_both(&mut state, id);
        }
        drop(state);
        if let Some(owner) = self.sched.owner(node) {
            self.stop_listening(owner, None);
        }
    }

    /// Frees the owner's ports (or one of them); what waited to be accepted there closes.
    pub(super) fn stop_listening(self: &Arc<Self>, owner: Owner, port: Option<u16>) {
        let mut waiting = Vec::new();
        self.lock().listeners.retain(|(_, taken), listening| {
            let ends = listening.owner == owner && port.is_none_or(|port| port == *taken);
            if ends {
                waiting.extend(listening.backlog.drain(..));
            }
            !ends
        });
        for conn in waiting {
            let id = EndId { conn, end: 1 };
            self.drop_half(id);
            self.drop_half(id);
        }
    }

    /// Delays of the copies of a datagram from one machine to another.
    pub fn datagram(&self, from: NodeId, to: NodeId, bytes: u64) -> Vec<Duration> {
        let now = self.sched.now_ns();
        let mut state = self.lock();
        let link = state.link(from, to);
        let copies = link.datagram(now, bytes);
        if copies.is_empty() {
            self.sched.effect(if link.is_cut() { Effect::Held } else { Effect::Loss });
        }
        copies
    }

    /// The node that a host name stands for, as seen from `me`.
    pub(super) fn resolve(&self, me: NodeId, host: &str) -> Option<NodeId> {
        match host {
            "" | "0.0.0.0" | "127.0.0.1" | "localhost" | "[::]" | "[::1]" => Some(me),
            name => self.lock().hosts.get(name).copied(),
        }
    }

    pub(super) fn listen(&self, owner: Owner, port: u16) -> Result<u16> {
        let mut state = self.lock();
        let taken = |port: u16| state.listeners.contains_key(&(owner.node, port));
        let port = match port {
            0 => (FIRST_FREE_PORT..=u16::MAX).find(|port| !taken(*port)),
            port => Some(port).filter(|port| !taken(*port)),
        };
        let port = port.ok_or_else(|| Error::new(ErrorKind::AddrInUse, "the port is taken"))?;
        state
            .listeners
            .insert((owner.node, port), Listening { owner, backlog: VecDeque::new(), waker: None });
        Ok(port)
    }

    /// A connection attempt reaches `to`.
    pub(super) fn attempt(self: &Arc<Self>, from: Owner, to: NodeId, port: u16) -> Answer {
        if self.sched.owner(to).is_none() {
            return Answer::Silence;
        }
        let mut state = self.lock();
        let conn = state.next_conn;
        let Some(listening) = state.listeners.get_mut(&(to, port)) else { return Answer::Refused };
        if listening.backlog.len() >= BACKLOG {
            return Answer::Refused;
        }
        listening.backlog.push_back(conn);
        let (owner, waker) = (listening.owner, listening.waker.take());
        state.next_conn += 1;
        state.conns.insert(conn, Conn::new([from, owner]));
        drop(state);
        self.sched.note(Kind::Net, to, conn);
        self.sched.trace(to, || format!("net connection {conn} from {}", from.node));
        if let Some(waker) = waker {
            waker.wake();
        }
        Answer::Accepted(EndId { conn, end: 0 })
    }

    /// Time from one machine to another now, in ns; `None` when the way is cut.
    pub(super) fn passage(&self, from: NodeId, to: NodeId) -> Option<u64> {
        let mut state = self.lock();
        let link = state.link(from, to);
        if link.is_cut() { None } else { Some(link.delay()) }
    }

    /// A drawn patience, in ns.
    pub(super) fn patience(&self, from: NodeId, to: NodeId) -> u64 {
        self.lock().link(from, to).between(GIVE_UP_NS.0, GIVE_UP_NS.1)
    }

    /// From now on every frame goes through `mangle`; `None` ends that.
    pub fn set_mangle(&self, mangle: Option<Mangle>) {
        self.lock().mangle = mangle;
    }

    /// Puts frames on the way. There is room for them in the window.
    pub(super) fn transmit(self: &Arc<Self>, state: &mut State, id: EndId, frames: Vec<Bytes>) {
        let now = self.sched.now_ns();
        let bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        let conn = state.conns.get_mut(&id.conn).expect("a held half keeps its connection");
        let (from, to) = (conn.owners[id.end].node, conn.owners[1 - id.end].node);
        self.sched.note(Kind::Net, from, (id.conn << 40) ^ ((frames.len() as u64) << 24) ^ bytes);
        self.sched.trace(from, || format!("net {} frames, {bytes} bytes to {to}", frames.len()));
        if conn.dead {
            self.find_out(state, id, from, to);
            return;
        }
        let frames = match &mut state.mangle {
            Some(mangle) => frames.into_iter().filter_map(|frame| mangle(from, to, frame)).collect(),
            None => frames,
        };
        let link = state.link(from, to);
        let sent: Vec<Sent> = frames.into_iter().map(|frame| self.carried(link, frame)).collect();
        if link.is_cut() {
            self.sched.effect(Effect::Held);
            let conn = state.conns.get_mut(&id.conn).expect("as above");
            sent.into_iter().for_each(|sent| _ = conn.pipes[id.end].push(HELD, sent));
            self.arm_give_up(state, id.conn, now);
            return;
        }
        if link.is_busy(now) {
            self.sched.effect(Effect::Bandwidth);
        }
        let fate = link.stream_fate(now, bytes);
        let (Fate::Arrives(after) | Fate::Splits(after, _)) = fate else {
            self.sched.effect(Effect::Reset);
            return self.break_conn(state, id.conn);
        };
        if link.arrives(now + after) {
            self.sched.effect(Effect::Reorder);
        }
        if after >= REPEAT_NS && link.config.loss_ppm > 0 {
            self.sched.effect(Effect::Loss);
        }
        let conn = state.conns.get_mut(&id.conn).expect("as above");
        let mut at = now;
        sent.into_iter().for_each(|sent| at = conn.pipes[id.end].push(now + after, sent));
        match fate {
            Fate::Splits(_, late) => self.split_conn(state, id, late),
            _ if at != HELD => self.arrival(EndId { conn: id.conn, end: 1 - id.end }, at),
            _ => {}
        }
    }

    /// A frame as it goes over a link.
    fn carried(&self, link: &mut Link, frame: Bytes) -> Sent {
        let Some(bit) = link.corrupted_bit(frame.len()) else {
            return Sent { at: 0, frame, left_with: None };
        };
        let left_with = Some(crc32fast::hash(&frame));
        let mut bytes = frame.to_vec();
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        Sent { at: 0, frame: bytes.into(), left_with }
    }

    /// At `at` something arrives at an end: wakes its halves.
    pub(super) fn arrival(self: &Arc<Self>, id: EndId, at: u64) {
        let net = self.clone();
        self.sched.call_at(
            Owner::WORLD,
            at,
            Box::new(move || {
                let mut state = net.lock();
                let Some(conn) = state.conns.get_mut(&id.conn) else { return };
                let wakers = conn.take_wakers(id.end);
                drop(state);
                wake_all(wakers);
            }),
        );
    }

    /// A half of an end was dropped: the connection closes in order, behind what was sent.
    pub(super) fn drop_half(self: &Arc<Self>, id: EndId) {
        let now = self.sched.now_ns();
        let mut state = self.lock();
        let Some(conn) = state.conns.get_mut(&id.conn) else { return };
        conn.halves[id.end] -= 1;
        if conn.is_over() {
            state.conns.remove(&id.conn);
            return;
        }
        let was_open = conn.ends[id.end] == End::Open;
        conn.ends[id.end] = End::Closed;
        let wakers = conn.take_wakers(id.end);
        let (from, to) = (conn.owners[id.end].node, conn.owners[1 - id.end].node);
        if was_open && !conn.dead {
            let link = state.link(from, to);
            let at = if link.is_cut() { HELD } else { now + link.delay() };
            let conn = state.conns.get_mut(&id.conn).expect("as above");
            match conn.pipes[id.end].close(at) {
                HELD => self.arm_give_up(&mut state, id.conn, now),
                at => self.arrival(EndId { conn: id.conn, end: 1 - id.end }, at),
            }
        }
        drop(state);
        wake_all(wakers);
    }
}

pub(super) fn wake_all(wakers: impl IntoIterator<Item = Option<Waker>>) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl State {
    pub(super) fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        let State { usual, machines, seed, links, .. } = self;
        links.entry((from, to)).or_insert_with(|| {
            let config = if is_within(machines, from, to) { loopback() } else { usual.clone() };
            Link::new(config, *seed, from.0, to.0)
        })
    }

    fn pipes_between(&mut self, from: NodeId, to: NodeId) -> impl Iterator<Item = (u64, &mut Pipe)> {
        self.conns.iter_mut().flat_map(move |(id, conn)| {
            let nodes = conn.owners.map(|owner| owner.node);
            let ends = [[from, to], [to, from]];
            conn.pipes.iter_mut().zip(ends).filter(move |(_, way)| nodes == *way).map(|(pipe, _)| (*id, pipe))
        })
    }

    pub(super) fn ids(&self, wanted: impl Fn(&Conn) -> bool) -> Vec<u64> {
        self.conns.iter().filter(|(_, conn)| wanted(conn)).map(|(id, _)| *id).collect()
    }
}

/// Whether two nodes are one machine.
fn is_within(machines: &BTreeMap<NodeId, u32>, from: NodeId, to: NodeId) -> bool {
    from == to || machines.get(&from).is_some_and(|machine| machines.get(&to) == Some(machine))
}

/// A machine talking to itself.
fn loopback() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_micros(10),
        jitter: Duration::from_micros(20),
        tail_ppm: 0,
        ..LinkConfig::default()
    }
}
