//! Linearizability of one key as a black box: Wing and Gong's search with Lowe's memo, on a linked list.
//!
//! Verifies: there is an order of the operations on one key that respects real time and gives each the answer it got.
//! Uses nothing but the history, so a bug in the log, or in our reading of it, cannot hide here. Operations with an
//! unknown outcome may take effect at any later time, or never.
//!
//! Does not verify: anything across keys, revisions, leases, or reads that may be stale (leave those out). The problem
//! is NP-complete: the search gives up after a number of steps and says [`Verdict::Unknown`]. Keep it to about a
//! thousand operations and ten clients on a key.

use crate::history::*;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;

/// What an operation does to the register that a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Reads this value, `None` when there is no key.
    Read(Option<Bytes>),
    /// Writes this value, `None` to delete.
    Write(Option<Bytes>),
}

/// An operation on one key. `returned` is `None` when its outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was asked.
    pub invoked: Duration,
    /// When it was answered.
    pub returned: Option<Duration>,
    /// What it did.
    pub act: Act,
}

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Violation,
    /// The search gave up.
    Unknown,
}

/// One end of an operation in the time-ordered list.
#[derive(Clone, Copy)]
struct Node {
    operation: usize,
    is_call: bool,
    next: usize,
    previous: usize,
}

/// The list of calls and returns that are not yet in the order, with a sentinel at 0.
struct List {
    nodes: Vec<Node>,
    call_of: Vec<usize>,
    return_of: Vec<Option<usize>>,
}

impl List {
    fn new(events: &[Event]) -> List {
        let calls = events.iter().enumerate().map(|(operation, event)| (event.invoked, false, operation));
        let returns =
            events.iter().enumerate().filter_map(|(operation, e)| Some((e.returned?, true, operation)));
        let mut ends: Vec<_> = calls.chain(returns).collect();
        // At one instant calls come first: what merely touches in time counts as concurrent.
        ends.sort();
        let mut list = List {
            nodes: vec![Node { operation: usize::MAX, is_call: false, next: 0, previous: 0 }],
            call_of: vec![0; events.len()],
            return_of: vec![None; events.len()],
        };
        for (position, (_, is_return, operation)) in (1..).zip(ends) {
            list.nodes.push(Node { operation, is_call: !is_return, next: 0, previous: position - 1 });
            list.nodes[position - 1].next = position;
            if is_return {
                list.return_of[operation] = Some(position);
            } else {
                list.call_of[operation] = position;
            }
        }
        let last = list.nodes.len() - 1;
        list.nodes[0].previous = last;
        list
    }

    fn unlink(&mut self, position: usize) {
        let Node { next, previous, .. } = self.nodes[position];
        self.nodes[previous].next = next;
        self.nodes[next].previous = previous;
    }

    fn relink(&mut self, position: usize) {
        let Node { next, previous, .. } = self.nodes[position];
        self.nodes[previous].next = position;
        self.nodes[next].previous = position;
    }

    fn lift(&mut self, operation: usize) {
        self.unlink(self.call_of[operation]);
        if let Some(position) = self.return_of[operation] {
            self.unlink(position);
        }
    }

    /// Undoes [`List::lift`]; lifts are undone in the reverse order.
    fn put_back(&mut self, operation: usize) {
        if let Some(position) = self.return_of[operation] {
            self.relink(position);
        }
        self.relink(self.call_of[operation]);
    }
}

fn applied(act: &Act, state: &Option<Bytes>) -> Option<Option<Bytes>> {
    match act {
        Act::Read(seen) => (seen == state).then(|| state.clone()),
        Act::Write(value) => Some(value.clone()),
    }
}

/// Searches for an order of `events`, from a key that does not exist, in at most `steps` steps.
pub fn check(events: &[Event], steps: u64) -> Verdict {
    let mut list = List::new(events);
    let mut open = events.iter().filter(|event| event.returned.is_some()).count();
    let mut state: Option<Bytes> = None;
    let mut ordered: Vec<(usize, Option<Bytes>)> = Vec::new();
    let mut taken = vec![0u64; events.len().div_ceil(64)];
    let mut seen: BTreeSet<(Vec<u64>, Option<Bytes>)> = BTreeSet::new();
    let mut position = list.nodes[0].next;
    for _ in 0..steps {
        if open == 0 {
            return Verdict::Linearizable;
        }
        let node = list.nodes[position];
        if position != 0 && node.is_call {
            let operation = node.operation;
            position = node.next;
            let Some(after) = applied(&events[operation].act, &state) else { continue };
            taken[operation / 64] |= 1 << (operation % 64);
            if !seen.insert((taken.clone(), after.clone())) {
                taken[operation / 64] &= !(1 << (operation % 64));
                continue;
            }
            ordered.push((operation, std::mem::replace(&mut state, after)));
            list.lift(operation);
            open -= usize::from(events[operation].returned.is_some());
            position = list.nodes[0].next;
            continue;
        }
        // A return that nothing before it explains, or the end: take the last choice back and try the next one.
        let Some((operation, before)) = ordered.pop() else { return Verdict::Violation };
        state = before;
        taken[operation / 64] &= !(1 << (operation % 64));
        open += usize::from(events[operation].returned.is_some());
        list.put_back(operation);
        position = list.nodes[list.call_of[operation]].next;
    }
    Verdict::Unknown
}

/// The operations of `history` on `key` that are about that key alone. `None` when an operation on several keys or a
/// lease touches it too, so that the key cannot be judged by itself.
pub fn events_of(history: &History, key: &Bytes) -> Option<Vec<Event>> {
    let mut events = Vec::new();
    for operation in &history.operations {
        let act = match (&operation.call, &operation.outcome) {
            (_, Outcome::Refused(_)) => continue,
            (Call::Range(request), Outcome::Ok(Reply::Range(answer)))
                if request.range_end.is_empty() && request.key == key && request.revision == 0 =>
            {
                if request.serializable || request.keys_only || request.count_only {
                    continue;
                }
                Act::Read(answer.kvs.first().map(|kv| kv.value.clone()))
            }
            (Call::Put(put), _) if put.key == key && put.lease == 0 => Act::Write(Some(put.value.clone())),
            (Call::Put(put), _) if put.key == key => return None,
            (Call::Delete(delete), _) if delete.range_end.is_empty() && delete.key == key => Act::Write(None),
            (Call::Delete(delete), _) if super::range::covers(&delete.key, &delete.range_end, key) => {
                return None;
            }
            (Call::Txn(txn), _) if touches(txn, key) => return None,
            _ => continue,
        };
        let returned = matches!(operation.outcome, Outcome::Ok(_)).then_some(operation.returned);
        events.push(Event { invoked: operation.invoked, returned, act });
    }
    Some(events)
}

fn touches(txn: &kernel::txn::TxnRequest, key: &Bytes) -> bool {
    use kernel::txn::Op;
    txn.success.iter().chain(&txn.failure).any(|operation| match &operation.request {
        Some(Op::RequestPut(put)) => put.key == key,
        Some(Op::RequestDeleteRange(delete)) => super::range::covers(&delete.key, &delete.range_end, key),
        Some(Op::RequestTxn(inner)) => touches(inner, key),
        _ => false,
    })
}

#[cfg(test)]
#[path = "wgl_tests.rs"]
mod tests;
