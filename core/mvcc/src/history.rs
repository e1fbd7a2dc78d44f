//! What happened before: the changes since a revision, and what a key held before one of them.

use crate::Error;
use crate::file::scan_rows;
use crate::overlay::rows_from;
use crate::revision::Revision;
use crate::row::Row;
use crate::state::Shared;
use kernel::types::KeyValue;
use kernel::watch::Event;
use kernel::{Bug, KvError, Planted};

/// Why history was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryError {
    /// It begins later: at this revision.
    Compacted(i64),
    /// This replica cannot read it.
    Failed(KvError),
}

/// Gathers rows into whole revisions until there are bytes enough.
struct Gathered {
    limit: usize,
    bytes: usize,
    revisions: Vec<(i64, Vec<Event>)>,
    planted: Planted,
}

impl Gathered {
    /// Adds a row; false, and nothing added, when it would begin a revision beyond the limit.
    fn add(&mut self, at: Revision, row: &Row) -> bool {
        match self.revisions.last_mut() {
            Some((main, _)) if *main == at.main && self.planted.is(Bug::OneEventARevision) => {}
            Some((main, events)) if *main == at.main => events.push(row.event(at.main)),
            Some(_) if self.bytes >= self.limit => return false,
            _ => self.revisions.push((at.main, vec![row.event(at.main)])),
        }
        self.bytes += row.cost();
        true
    }
}

/// See [`Store::events`](crate::Store::events).
pub(crate) fn events(
    shared: &Shared,
    from: i64,
    limit: usize,
) -> Result<Vec<(i64, Vec<Event>)>, HistoryError> {
    let gathered = shared.steadily(|| gather(shared, from, limit));
    gathered.unwrap_or_else(|error| Err(HistoryError::Failed(shared.report(&error))))
}

#[expect(clippy::type_complexity, reason = "two kinds of failure, of which one tries again")]
fn gather(
    shared: &Shared,
    from: i64,
    limit: usize,
) -> Result<Result<Vec<(i64, Vec<Event>)>, HistoryError>, Error> {
    let mut gathered = Gathered { limit, bytes: 0, revisions: Vec::new(), planted: shared.options.planted };
    let from = Revision::first(from.max(1));
    shared.prepare_to_hold();
    let (held, view) = {
        let state = shared.read();
        if from.main < state.meta.compacted {
            return Ok(Err(HistoryError::Compacted(state.meta.compacted)));
        }
        let first = state.overlay.first();
        let view = match first {
            Some(first) if first <= from => None,
            _ => Some((state.file.clone(), state.file.read()?, first)),
        };
        (state.overlay.hold(from), view)
    };
    let mut all = true;
    if let Some((file, view, first)) = view {
        scan_rows(&file, &view, from, |at, row| {
            // What the overlay had when it was looked at is taken from there.
            if first.is_some_and(|first| at >= first) {
                return Ok(false);
            }
            all = gathered.add(at, &row);
            Ok(all)
        })?;
    }
    let mut in_memory = held.iter().flat_map(|part| rows_from(part, from));
    let _ = all && in_memory.all(|(at, row)| gathered.add(*at, row));
    Ok(Ok(gathered.revisions))
}

/// See [`Store::prev_kv`](crate::Store::prev_kv).
pub(crate) fn prev_kv(shared: &Shared, key: &[u8], mod_revision: i64) -> Result<Option<KeyValue>, KvError> {
    let before = if shared.options.planted.is(Bug::PrevKvOfSelf) { mod_revision } else { mod_revision - 1 };
    let (_, found) = shared.fetch_for_client(|state| {
        let readable = before >= state.meta.compacted.max(1) && before <= state.meta.revision;
        let row = if readable { state.index.at(key, before) } else { None };
        Ok(((), row.map(|at| state.spot(at)).into_iter().collect()))
    })?;
    Ok(found.into_iter().next())
}
