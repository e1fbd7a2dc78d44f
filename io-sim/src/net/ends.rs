//! How connections end, and how their ends learn of it.

use super::conn::{Conn, End};
use super::network::{EndId, GIVE_UP_NS, Network, State, wake_all};
use crate::sched::{Effect, NodeId, Owner};
use std::sync::Arc;

/// A break of so many leaves one end untold.
const HALF_OPEN_ONE_IN: u64 = 4;

impl Network {
    /// Breaks every connection between two machines.
    pub fn reset(self: &Arc<Self>, a: NodeId, b: NodeId) {
        let between = |conn: &Conn| {
            let nodes = conn.owners.map(|owner| owner.node);
            nodes == [a, b] || nodes == [b, a]
        };
        let mut state = self.lock();
        for id in state.ids(between) {
            self.sched.effect(Effect::Reset);
            self.break_conn(&mut state, id);
        }
    }

    /// Every connection between two machines is dead, and nobody is told.
    pub fn reset_silently(self: &Arc<Self>, a: NodeId, b: NodeId) {
        let now = self.sched.now_ns();
        let mut state = self.lock();
        let between = |conn: &Conn| {
            let nodes = conn.owners.map(|owner| owner.node);
            !conn.dead && (nodes == [a, b] || nodes == [b, a])
        };
        for id in state.ids(between) {
            self.sched.effect(Effect::HalfOpen);
            let conn = state.conns.get_mut(&id).expect("just listed");
            conn.dead = true;
            conn.held_since = None;
            conn.pipes.iter_mut().for_each(|pipe| pipe.lose_unarrived(now));
            self.probe_both(&mut state, id);
        }
    }

    /// The connection breaks for the end that sends; what it has sent trails behind, then the other end sees the end.
    pub(super) fn split_conn(self: &Arc<Self>, state: &mut State, id: EndId, late: u64) {
        let now = self.sched.now_ns();
        let conn = state.conns.get_mut(&id.conn).expect("the caller has it");
        if conn.dead {
            return;
        }
        self.sched.effect(Effect::Duplicate);
        conn.dead = true;
        conn.held_since = None;
        conn.pipes[1 - id.end].lose_unarrived(now);
        let arrivals = conn.pipes[id.end].trail(now, late);
        let (from, to) = (conn.owners[id.end].node, conn.owners[1 - id.end].node);
        self.sched.trace(from, || format!("net connection {} to {to} breaks, what was sent trails", id.conn));
        for at in arrivals {
            self.arrival(EndId { conn: id.conn, end: 1 - id.end }, at);
        }
        let after = state.link(from, to).delay();
        self.tell(state, id, after);
        self.probe_both(state, id.conn);
    }

    /// A frame's checksum does not fit: the end gives its connection up, as the real one does.
    pub(super) fn refuse_frame(self: &Arc<Self>, state: &mut State, id: EndId) {
        self.sched.effect(Effect::Corrupt);
        if let Some(conn) = state.conns.get_mut(&id.conn) {
            conn.ends[id.end] = End::Broken;
            conn.told[id.end] = true;
        }
        self.break_conn(state, id.conn);
    }

    /// An end of a dead connection has sent something: it learns, sooner or later.
    pub(super) fn find_out(self: &Arc<Self>, state: &mut State, id: EndId, from: NodeId, to: NodeId) {
        let cut = state.link(from, to).is_cut() || state.link(to, from).is_cut();
        let after = if cut || self.sched.owner(to).is_none() {
            state.link(from, to).between(GIVE_UP_NS.0, GIVE_UP_NS.1)
        } else {
            state.link(from, to).delay() + state.link(to, from).delay()
        };
        self.tell(state, id, after);
    }

    /// A sender that waits for room on a dead connection: kernels probe a window that stays shut, and so it learns too.
    pub(super) fn probe(self: &Arc<Self>, state: &mut State, id: EndId) {
        let Some(conn) = state.conns.get(&id.conn) else { return };
        if conn.dead && conn.ends[id.end] == End::Open && conn.pipes[id.end].sender_waker.is_some() {
            let (from, to) = (conn.owners[id.end].node, conn.owners[1 - id.end].node);
            self.find_out(state, id, from, to);
        }
    }

    /// Both ends of a connection that has just died.
    pub(super) fn probe_both(self: &Arc<Self>, state: &mut State, conn: u64) {
        (0..2).for_each(|end| self.probe(state, EndId { conn, end }));
    }

    /// After so many ns the end knows that its connection is broken.
    fn tell(self: &Arc<Self>, state: &mut State, id: EndId, after: u64) {
        let conn = state.conns.get_mut(&id.conn).expect("the caller has it");
        if std::mem::replace(&mut conn.told[id.end], true) {
            return;
        }
        let net = self.clone();
        let at = self.sched.now_ns().saturating_add(after);
        self.sched.call_at(
            Owner::WORLD,
            at,
            Box::new(move || {
                let mut state = net.lock();
                let Some(conn) = state.conns.get_mut(&id.conn) else { return };
                if conn.ends[id.end] == End::Open {
                    conn.ends[id.end] = End::Broken;
                }
                let wakers = conn.take_wakers(id.end);
                drop(state);
                wake_all(wakers);
            }),
        );
    }

    /// The connection breaks; what has not arrived is lost.
    pub(super) fn break_conn(self: &Arc<Self>, state: &mut State, id: u64) {
        let now = self.sched.now_ns();
        let Some(conn) = state.conns.get_mut(&id) else { return };
        if conn.dead {
            return;
        }
        conn.dead = true;
        conn.held_since = None;
        conn.pipes.iter_mut().for_each(|pipe| pipe.lose_unarrived(now));
        let [a, b] = conn.owners.map(|owner| owner.node);
        self.sched.trace(a, || format!("net connection {id} to {b} breaks"));
        let link = state.link(a, b);
        let untold = link.once_in(HALF_OPEN_ONE_IN).then(|| link.between(0, 1) as usize);
        if untold.is_some() {
            self.sched.effect(Effect::HalfOpen);
        }
        let delays = [link.delay(), link.delay()];
        for end in (0..2).filter(|end| Some(*end) != untold) {
            self.tell(state, EndId { conn: id, end }, delays[end]);
        }
        self.probe_both(state, id);
    }

    /// Something is held: the connection gives up when that lasts.
    pub(super) fn arm_give_up(self: &Arc<Self>, state: &mut State, id: u64, now: u64) {
        let conn = state.conns.get_mut(&id).expect("the caller has it");
        if conn.held_since.is_some() || conn.dead {
            return;
        }
        conn.held_since = Some(now);
        let [a, b] = conn.owners.map(|owner| owner.node);
        let at = now + state.link(a, b).between(GIVE_UP_NS.0, GIVE_UP_NS.1);
        let net = self.clone();
        let give_up = move || {
            let mut state = net.lock();
            if state.conns.get(&id).is_some_and(|conn| conn.held_since == Some(now)) {
                net.break_conn(&mut state, id);
            }
        };
        self.sched.call_at(Owner::WORLD, at, Box::new(give_up));
    }
}
