//! Rows that a reader wants: named under the state lock, fetched without it.

use crate::Error;
use crate::file::{ROWS, StateFile};
use crate::revision::Revision;
use crate::row::Row;
use crate::state::{Shared, State};
use kernel::KvError;
use kernel::types::KeyValue;
use redb::ReadTransaction;
use std::sync::Arc;

/// A row, as far as memory has it.
pub(crate) enum Spot {
    /// All that is asked for is known.
    Known(KeyValue),
    /// The row is in memory.
    Here(Row),
    /// The row is in the file.
    Stored(Revision),
}

/// Rows to be fetched, with the view of the file that has those which are not in memory. The transaction goes before the file.
pub(crate) struct Wanted {
    spots: Vec<Spot>,
    view: Option<(ReadTransaction, Arc<StateFile>)>,
}

impl State {
    /// Where the row at `at` is now.
    pub fn spot(&self, at: Revision) -> Spot {
        match self.overlay.get(at) {
            Some(row) => Spot::Here(row.clone()),
            None => Spot::Stored(at),
        }
    }

    /// Pins the rows of `spots`, so that they can be fetched after the lock is gone.
    pub fn want(&self, spots: Vec<Spot>) -> Result<Wanted, Error> {
        let stored = spots.iter().any(|spot| matches!(spot, Spot::Stored(_)));
        let view = if stored { Some((self.file.read()?, self.file.clone())) } else { None };
        Ok(Wanted { spots, view })
    }
}

impl Wanted {
    /// The KeyValues, in the order in which they were wanted.
    pub fn fetch(self) -> Result<Vec<KeyValue>, Error> {
        let table = match &self.view {
            Some((view, _)) => Some(view.open_table(ROWS)?),
            None => None,
        };
        let mut found = Vec::with_capacity(self.spots.len());
        for spot in self.spots {
            found.push(match spot {
                Spot::Known(kv) => kv,
                Spot::Here(row) => row.key_value(),
                Spot::Stored(at) => {
                    let key = at.to_key();
                    let stored = table.as_ref().expect("a stored row came with a view").get(&key)?;
                    let missing =
                        || Error::Damaged(format!("the row at revision {}.{} is missing", at.main, at.sub));
                    let file = &self.view.as_ref().expect("a stored row came with a view").1;
                    file.checked(&key, stored.ok_or_else(missing)?.value())?.1.key_value()
                }
            });
        }
        Ok(found)
    }
}

impl Shared {
    /// Runs `pick` under the state lock and fetches what it wants after it.
    pub fn fetch<T>(
        &self,
        pick: impl Fn(&State) -> Result<(T, Vec<Spot>), KvError>,
    ) -> Result<Result<(T, Vec<KeyValue>), KvError>, Error> {
        self.steadily(|| {
            let (picked, wanted) = {
                let state = self.read();
                match pick(&state) {
                    Ok((picked, spots)) => (picked, state.want(spots)),
                    Err(refused) => return Ok(Err(refused)),
                }
            };
            Ok(Ok((picked, wanted?.fetch()?)))
        })
    }

    /// [`Shared::fetch`] for a client, who is told a failure of this replica as an error.
    pub fn fetch_for_client<T>(
        &self,
        pick: impl Fn(&State) -> Result<(T, Vec<Spot>), KvError>,
    ) -> Result<(T, Vec<KeyValue>), KvError> {
        self.fetch(pick).unwrap_or_else(|error| Err(self.report(&error)))
    }
}
