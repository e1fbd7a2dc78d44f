//! Apply: one command, one change of the state, the same on every replica.
//!
//! The command is worked out first ([`Plan`]), reading whatever it needs; then, in one step under the lock, its rows are taken
//! in and the applied index moves. A refused command moves the applied index only.

use crate::Error;
use crate::command::{Applied, Command, Response};
use crate::moment::Moment;
use crate::plan::{Plan, Stop};
use crate::range::header;
use crate::state::{Shared, State, Write};
use bytes::Bytes;
use kernel::lease::{LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeResponse};
use kernel::txn::{TxnRequest, TxnResponse};
use kernel::types::CompactionResponse;
use kernel::watch::Event;
use kernel::{Bug, KvError};

/// The longest TTL, in seconds.
const TTL_MOST: i64 = 9_000_000_000;

/// What a command comes to besides rows.
enum Effect {
    None,
    Grant { id: i64, ttl: i64 },
    Revoke { id: i64 },
    Compact { revision: i64 },
}

/// A command that has been worked out.
struct Outcome {
    writes: Vec<Write>,
    effect: Effect,
    response: Response,
}

/// Applies the entry at `index`. See [`Store::apply`](crate::Store::apply).
pub(crate) fn apply(shared: &Shared, index: u64, term: u64, command: &Command) -> Result<Applied, Error> {
    let _writer = shared.writer();
    let (applied, revision, first) = {
        let state = shared.read();
        (state.meta.applied, state.meta.revision, !state.touched)
    };
    // The bug: recovery does not notice that the state already holds the entry.
    let again = first && applied > 0 && shared.options.planted.is(Bug::ApplyTwice);
    if index <= applied && !again {
        shared.options.probe.sometimes("mvcc: an entry was skipped, the state has it");
        return Ok(Applied { result: Ok(Response::None), revision, events: Vec::new() });
    }
    assert!(index <= applied + 1, "entry {index} came after {applied}: those between are missing");
    if again {
        apply_now(shared, index, term, command)?;
    }
    apply_now(shared, index, term, command)
}

fn apply_now(shared: &Shared, index: u64, term: u64, command: &Command) -> Result<Applied, Error> {
    let outcome = work_out(shared, command);
    let mut state = shared.write();
    let result = match outcome {
        Ok(outcome) => Ok(commit(&mut state, outcome)),
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Failed(error)) => {
            drop(state);
            shared.report(&error);
            return Err(error);
        }
    };
    state.touched = true;
    state.meta.applied = state.meta.applied.max(index);
    state.meta.term = term;
    let (result, events) = match result {
        Ok((response, events)) => (Ok(response), events),
        Err(error) => (Err(error), Vec::new()),
    };
    Ok(Applied { result, revision: state.meta.revision, events })
}

/// Runs a transaction that only reads. It needs several looks at the state, all of them at one moment; apply does not wait.
pub(crate) fn read(shared: &Shared, request: &TxnRequest) -> Result<TxnResponse, KvError> {
    let read = shared.steadily(|| {
        let mut plan = Plan::at(shared, Moment::pinned(shared));
        let response = match plan.txn(request) {
            Ok(response) => response,
            Err(Stop::Refused(error)) => return Ok(Err(error)),
            Err(Stop::Failed(error)) => return Err(error),
        };
        assert!(plan.into_writes().is_empty(), "a transaction that writes goes through the log");
        Ok(Ok(response))
    });
    read.unwrap_or_else(|error| Err(shared.report(&error)))
}

/// Notes an entry that asks nothing of the state.
pub(crate) fn note(shared: &Shared, index: u64, term: u64, conf_state: Option<Bytes>) {
    let _writer = shared.writer();
    let mut state = shared.write();
    if index <= state.meta.applied {
        return;
    }
    state.meta.applied = index;
    state.meta.term = term;
    if conf_state.is_some() {
        state.meta.conf_state = conf_state;
    }
}

fn commit(state: &mut State, outcome: Outcome) -> (Response, Vec<Event>) {
    let main = state.meta.revision + 1;
    let events = outcome.writes.iter().map(|write| write.row.event(main)).collect();
    state.commit(outcome.writes);
    match outcome.effect {
        Effect::None => {}
        Effect::Grant { id, ttl } => state.grant(id, ttl),
        Effect::Revoke { id } => state.revoke(id),
        Effect::Compact { revision } => state.compact(revision),
    }
    (outcome.response, events)
}

fn work_out(shared: &Shared, command: &Command) -> Result<Outcome, Stop> {
    let mut plan = Plan::new(shared);
    let (response, effect) = match command {
        Command::Put(request) => (Response::Put(plan.put(request)?), Effect::None),
        Command::DeleteRange(request) => (Response::DeleteRange(plan.delete_range(request)?), Effect::None),
        Command::Txn(request) => (Response::Txn(plan.txn(request)?), Effect::None),
        Command::Compact(request) => compact(shared, request.revision)?,
        Command::LeaseGrant(request) => grant(shared, request)?,
        Command::LeaseRevoke(request) => revoke(shared, &mut plan, request.id)?,
    };
    Ok(Outcome { writes: plan.into_writes(), effect, response })
}

fn compact(shared: &Shared, revision: i64) -> Result<(Response, Effect), KvError> {
    let state = shared.read();
    if revision <= state.meta.compacted {
        return Err(KvError::compacted());
    }
    if revision > state.meta.revision {
        return Err(KvError::future_revision());
    }
    let response = CompactionResponse { header: Some(header(state.meta.revision)) };
    Ok((Response::Compact(response), Effect::Compact { revision }))
}

fn grant(shared: &Shared, request: &LeaseGrantRequest) -> Result<(Response, Effect), KvError> {
    let LeaseGrantRequest { id, ttl } = *request;
    let state = shared.read();
    if id == 0 {
        return Err(KvError::lease_not_found());
    }
    if ttl > TTL_MOST {
        return Err(KvError::lease_ttl_too_large());
    }
    if state.leases.exists(id) {
        return Err(KvError::lease_exists());
    }
    let header = Some(header(state.meta.revision));
    let response = LeaseGrantResponse { header, id, ttl, error: String::new() };
    Ok((Response::LeaseGrant(response), Effect::Grant { id, ttl }))
}

fn revoke(shared: &Shared, plan: &mut Plan<'_>, id: i64) -> Result<(Response, Effect), Stop> {
    let keys: Vec<Bytes> = match shared.read().leases.get(id) {
        Some((_, keys)) => keys.map(|key| Bytes::copy_from_slice(key)).collect(),
        None => return Err(KvError::lease_not_found().into()),
    };
    for key in keys {
        plan.delete(key)?;
    }
    let response = LeaseRevokeResponse { header: Some(header(plan.revision())) };
    Ok((Response::LeaseRevoke(response), Effect::Revoke { id }))
}
