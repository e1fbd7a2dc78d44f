//! The handle through which the state is used. Cheap to clone; every verb may be called from any thread, and none but those
//! marked as blocking waits for the disk longer than a read takes.

use crate::command::{Applied, Command};
use crate::file::{StateFile, aside, dir_of};
use crate::flush::{self, Flush};
use crate::hash_kv::{HashKv, hash_kv};
use crate::history::{self, HistoryError};
use crate::moment::Moment;
use crate::options::Options;
use crate::range::Query;
use crate::state::{Shared, State};
use crate::{Error, apply, suspect};
use bytes::Bytes;
use kernel::txn::{TxnRequest, TxnResponse};
use kernel::types::{KeyValue, RangeRequest, RangeResponse};
use kernel::watch::Event;
use kernel::{Disk, KvError};
use std::io;
use std::sync::Arc;

/// A lease, as the state knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The granted TTL in seconds.
    pub ttl: i64,
    /// The attached keys, sorted.
    pub keys: Vec<Bytes>,
}

/// How much there is, in bytes unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Length of the file. It grows ahead of need and holds free pages, so it may be several times `in_use`.
    pub total: u64,
    /// Rows, wherever they are, with their overhead.
    pub in_use: u64,
    /// Rows that the file does not have durably.
    pub overlay: u64,
    /// Keys in the index, a number.
    pub keys: u64,
    /// Leases, a number.
    pub leases: u64,
}

/// See the head of the file.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

impl Store {
    /// Opens the state at `path`, an empty one (revision 1, nothing applied) if there is none. Blocks, for as long as one scan
    /// over all rows takes. What a crash or an unfinished snapshot left is cleaned up.
    pub fn open(disk: Arc<dyn Disk>, path: &str, options: Options) -> Result<Store, Error> {
        if suspect::clear_up(&*disk, path)? {
            options.probe.sometimes("mvcc: a state file in doubt was copied");
        }
        let file = StateFile::open_or_create(&*disk, path, options.cache_bytes, options.planted);
        let file = file.inspect_err(|error| {
            if !matches!(error, Error::Damaged(_)) {
                suspect::mark(&*disk, path);
            }
        })?;
        let state = State::load(file)?.with(options.planted);
        Ok(Store { shared: Arc::new(Shared::new(disk, path.to_string(), options, state)) })
    }

    /// Puts a damaged state out of the way, so that the next [`Store::open`] makes an empty one. It is kept beside it until
    /// [`Store::forget_aside`].
    pub fn set_aside(disk: &dyn Disk, path: &str) -> Result<(), Error> {
        disk.rename(path, &aside(path))?;
        Ok(disk.sync_dir(dir_of(path))?)
    }

    /// Removes what was set aside, if anything was; whether there was something.
    pub fn forget_aside(disk: &dyn Disk, path: &str) -> Result<bool, Error> {
        match disk.remove(&aside(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            outcome => Ok(outcome.map(|()| true)?),
        }
    }

    /// Applies the log's entry at `index`. One that the state already holds (`index <= applied()`) is skipped, with
    /// [`Response::None`](crate::Response::None). An error means that this replica cannot tell what the command does: nothing
    /// has changed, and it must stop. Panics when entries between the last one and this are missing.
    pub fn apply(&self, index: u64, term: u64, command: &Command) -> Result<Applied, Error> {
        apply::apply(&self.shared, index, term, command)
    }

    /// Notes an entry that carries no command; `conf_state` when it has changed the membership.
    pub fn note_applied(&self, index: u64, term: u64, conf_state: Option<Bytes>) {
        apply::note(&self.shared, index, term, conf_state);
    }

    /// The last applied index, in memory.
    pub fn applied(&self) -> u64 {
        self.shared.read().meta.applied
    }

    /// The term of the entry at [`Store::applied`].
    pub fn applied_term(&self) -> u64 {
        self.shared.read().meta.term
    }

    /// The applied index that survives a crash: the log is needed from the entry behind it.
    pub fn checkpointed(&self) -> u64 {
        self.shared.read().checkpointed
    }

    /// Whether the state is as a snapshot brought it: then the log of this replica need not reach up to it.
    pub fn is_installed(&self) -> bool {
        let state = self.shared.read();
        state.installed_at == Some(state.meta.applied)
    }

    /// The membership that was noted last.
    pub fn conf_state(&self) -> Option<Bytes> {
        self.shared.read().meta.conf_state.clone()
    }

    /// The store's revision: 1 when empty, one more for each command that changed a key.
    pub fn revision(&self) -> i64 {
        self.shared.read().meta.revision
    }

    /// The lowest readable revision; 0 when nothing was compacted.
    pub fn compacted_revision(&self) -> i64 {
        self.shared.read().meta.compacted.max(0)
    }

    /// The compaction whose dropped rows have durably left the file; 0 when none has.
    pub fn removed_revision(&self) -> i64 {
        self.shared.read().removed.max(0)
    }

    /// A digest of every effect so far: equal on all replicas that have applied up to the same index.
    pub fn state_hash(&self) -> u64 {
        self.shared.read().meta.state_hash
    }

    /// Reads a range.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        let query = Query::new(request)?;
        let read = self.shared.steadily(|| {
            let (moment, state) = Moment::begin(&self.shared);
            match moment.readable(request.revision) {
                Ok(at) => query.run(&moment, Some(state), at).map(Ok),
                Err(refused) => Ok(Err(refused)),
            }
        });
        read.unwrap_or_else(|error| Err(self.shared.report(&error)))
    }

    /// Runs a transaction that writes nothing, whole at one revision.
    pub fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, KvError> {
        apply::read(&self.shared, request)
    }

    /// The changes of revision `from` and later, ascending, each revision whole: until they take `limit` bytes, but at least
    /// one revision if there is one.
    pub fn events(&self, from: i64, limit: usize) -> Result<Vec<(i64, Vec<Event>)>, HistoryError> {
        history::events(&self.shared, from, limit)
    }

    /// What `key` held before its change at `mod_revision`; `None` if it held nothing or that is compacted.
    pub fn prev_kv(&self, key: &[u8], mod_revision: i64) -> Result<Option<KeyValue>, KvError> {
        history::prev_kv(&self.shared, key, mod_revision)
    }

    /// Ids and granted TTLs (seconds) of all leases, by id.
    pub fn leases(&self) -> Vec<(i64, i64)> {
        self.shared.read().leases.all().collect()
    }

    /// Lease `id`, if it is there.
    pub fn lease(&self, id: i64) -> Option<Lease> {
        let (ttl, keys): (_, Vec<_>) = {
            let state = self.shared.read();
            let (ttl, keys) = state.leases.get(id)?;
            (ttl, keys.cloned().collect())
        };
        Some(Lease { ttl, keys: keys.iter().map(|key| Bytes::copy_from_slice(key)).collect() })
    }

    /// etcd's digest of history up to `revision` (0: the newest). Reads every row.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, KvError> {
        hash_kv(&self.shared, revision)
    }

    /// A digest of all readable rows and all leases. Reads every row.
    pub fn hash(&self) -> Result<u32, KvError> {
        let rows = self.hash_kv(0)?.hash;
        let fold = |hash, (id, ttl): (i64, i64)| {
            crc32c::crc32c_append(crc32c::crc32c_append(hash, &id.to_be_bytes()), &ttl.to_be_bytes())
        };
        Ok(self.leases().into_iter().fold(rows, fold))
    }

    /// What is found damaged: once there is something, this replica needs the state of another ([`crate::Loaded`]).
    pub fn damage(&self) -> Option<String> {
        self.shared.damage()
    }

    /// How much there is.
    pub fn sizes(&self) -> Sizes {
        let state = self.shared.read();
        Sizes {
            total: state.file.len(),
            in_use: state.row_bytes,
            overlay: state.overlay.bytes() as u64,
            keys: state.index.len() as u64,
            leases: state.leases.len() as u64,
        }
    }

    /// Whether more rows wait for the file than may: no new proposals until a flush has run.
    pub fn overlay_full(&self) -> bool {
        self.shared.read().overlay.bytes() >= self.shared.options.overlay_bytes
    }

    /// Work for the worker, when there is enough of it and none under way. Ask after each batch of entries, and after each
    /// flush: compaction goes on in small steps.
    pub fn flush_wanted(&self) -> Option<Flush> {
        flush::take(&self.shared, false)
    }

    /// Work for the worker whenever the file is behind at all, and none is under way.
    pub fn flush_now(&self) -> Option<Flush> {
        flush::take(&self.shared, true)
    }

    /// Makes what is applied durable, unless a flush is under way, which does so. Blocks.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.flush_now().map_or(Ok(()), Flush::run)
    }
}

impl crate::watch::History for Store {
    fn compacted_revision(&self) -> i64 {
        Store::compacted_revision(self)
    }

    fn events(
        &self,
        from: i64,
        budget_bytes: usize,
    ) -> Result<Vec<(i64, Vec<Event>)>, crate::watch::HistoryError> {
        Store::events(self, from, budget_bytes).map_err(|error| match error {
            HistoryError::Compacted(revision) => crate::watch::HistoryError::Compacted(revision),
            HistoryError::Failed(error) => crate::watch::HistoryError::Failed(error),
        })
    }

    fn prev_kv(&self, key: &[u8], mod_revision: i64) -> Result<Option<KeyValue>, KvError> {
        Store::prev_kv(self, key, mod_revision)
    }
}
