//! Group commit: what consensus wants on disk, in order, one write and one sync at a time.
//!
//! While the worker writes and syncs one group, everything that consensus hands out meanwhile waits and becomes the next
//! group, so a sync costs the same for one entry as for a thousand. The messages that promise what a group holds wait with
//! it and are given back, to be sent, only when the group is durable: no other code path can send them.

use crate::event::{Event, Saved};
use consensus::{Entry, HardState, Message, Output};
use kernel::inbox::Inbox;
use kernel::spawn::Job;
use kernel::{Bug, Io, Worker};
use prost::Message as _;
use std::sync::{Arc, Mutex};
use wal::{Kind, Record, Wal};

/// Ticks without a write after which the log counts as idle.
const IDLE_TICKS: u32 = 5;

/// Records that the loop of a cluster of one writes itself.
const SMALL_GROUP: usize = 4;

/// The log and what waits for it.
pub struct Persist {
    io: Io,
    worker: Arc<dyn Worker>,
    wal: Arc<Mutex<Wal>>,
    events: Inbox<Event>,
    waiting: Group,
    /// A newer commit index that the log does not have. It is only a hint for recovery, so it travels with the next group that
    /// is written anyway, instead of a write of its own behind every commit.
    commit: Option<Record>,
    under_way: Option<Durable>,
    /// Something was saved since the last persist marker.
    unmarked: bool,
    /// Nobody but clients waits for the loop, so it may write a small group itself.
    alone: bool,
    /// Ticks since the last group was written.
    idle_ticks: u32,
    /// A marker, a release or a cleared quarantine is under way beside no group.
    chore: bool,
    /// The group that the disk had no room for.
    refused: Option<Group>,
}

#[derive(Default)]
struct Group {
    records: Vec<Record>,
    sync: bool,
    durable: Durable,
}

/// What becomes true when a group is durable.
#[derive(Default)]
pub struct Durable {
    /// The newest output in the group.
    pub number: u64,
    /// Messages that may leave now.
    pub messages: Vec<Message>,
}

impl Persist {
    /// A log, and the worker that writes it. In a cluster of one (`alone`) the loop writes a small group itself when nothing else
    /// waits: no heartbeat is late for it, and the only client there is gets its answer without two changes of thread.
    pub fn new(
        io: &Io,
        worker: Arc<dyn Worker>,
        wal: Arc<Mutex<Wal>>,
        events: Inbox<Event>,
        alone: bool,
    ) -> Self {
        Persist {
            io: io.clone(),
            worker,
            wal,
            events,
            waiting: Group::default(),
            commit: None,
            under_way: None,
            // What recovery found counts as persisted, and may have no marker yet.
            unmarked: true,
            alone,
            idle_ticks: 0,
            chore: false,
            refused: None,
        }
    }

    /// Whether the disk had no room for the last group.
    pub fn is_full(&self) -> bool {
        self.refused.is_some()
    }

    /// Whether the loop is about to write itself, if no more than these `events` are there.
    pub fn may_inline(&self, events: usize) -> bool {
        self.alone && events <= SMALL_GROUP && self.is_idle()
    }

    /// Whether this is the only member, whose loop writes small groups itself.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none() && !self.chore && self.waiting.durable.number == 0 && self.refused.is_none()
    }

    /// Adds an output to the next group. `mark` is a snapshot that was installed before it.
    pub fn add(&mut self, output: &mut Output, mark: Option<Record>) {
        let group = &mut self.waiting;
        group.records.extend(mark);
        group.records.extend(output.entries.drain(..).map(entry_record));
        if let Some(state) = output.hard_state.take() {
            let record = hard_state_record(&state);
            if output.must_sync {
                self.commit = None;
                group.records.push(record);
            } else {
                self.commit = Some(record);
            }
        }
        group.sync |= output.must_sync;
        group.durable.number = output.number;
        group.durable.messages.append(&mut output.send_after_persist);
    }

    /// Starts to write what waits, unless something is being written. What needs no write is durable at once and returned.
    pub fn start(&mut self) -> Option<Durable> {
        if self.under_way.is_some()
            || self.chore
            || self.refused.is_some()
            || self.waiting.durable.number == 0
        {
            return None;
        }
        let mut group = std::mem::take(&mut self.waiting);
        if group.records.is_empty() {
            return Some(group.durable);
        }
        group.records.extend(self.commit.take());
        if self.io.planted.is(Bug::AckBeforeSync) {
            group.sync = false;
        }
        self.under_way = Some(group.durable);
        self.unmarked |= group.sync;
        self.write(group.records, group.sync);
        None
    }

    fn write(&mut self, records: Vec<Record>, sync: bool) {
        self.idle_ticks = 0;
        let wal = self.wal.clone();
        self.run(records.len() <= SMALL_GROUP, move || {
            match wal.lock().expect("no holder panics").save(&records, sync) {
                Ok(()) => Saved::Group,
                Err(wal::Error::Full(_)) => Saved::Full(records, sync),
                Err(error) => Saved::Failed(error.to_string()),
            }
        });
    }

    /// Gives the worker a job, whose outcome goes straight into the loop's inbox: no task in between has to wake up.
    fn run(&self, small: bool, job: impl FnOnce() -> Saved + Send + 'static) {
        let events = self.events.clone();
        let job: Job = Box::new(move || events.push(Event::Saved(job())));
        let queued = if self.alone && small && self.events.is_empty() {
            self.worker.run_inline(job)
        } else {
            Err(job)
        };
        if let Err(job) = queued {
            drop(self.worker.run(job));
        }
    }

    /// The job has ended: what is durable now, or why the process must end.
    pub fn finished(&mut self, saved: Saved) -> Result<Option<Durable>, String> {
        match saved {
            Saved::Group => Ok(self.under_way.take()),
            Saved::Chore => {
                self.chore = false;
                Ok(None)
            }
            Saved::Later => {
                self.chore = false;
                self.unmarked = true;
                Ok(None)
            }
            Saved::Full(records, sync) => {
                self.io.probe.sometimes("log: the disk is full");
                let durable = self.under_way.take().expect("a group was under way");
                self.refused = Some(Group { records, sync, durable });
                Ok(None)
            }
            Saved::Failed(why) => Err(why),
        }
    }

    /// Tries again to write the group that the disk had no room for. Called once a tick.
    pub fn retry(&mut self) {
        if self.under_way.is_none()
            && !self.chore
            && let Some(group) = self.refused.take()
        {
            self.under_way = Some(group.durable);
            self.write(group.records, group.sync);
        }
    }

    /// Writes a persist marker behind a tail that has none, when the log has been idle for a while: while it is in use the next
    /// record is the marker, and nobody should wait behind one. Called once a tick.
    pub fn mark_if_idle(&mut self) {
        self.idle_ticks += 1;
        if self.unmarked && self.idle_ticks >= IDLE_TICKS && self.is_idle() {
            self.unmarked = false;
            self.do_chore(|wal| wal.mark());
        }
    }

    /// Gives up segments that hold nothing above `index`, and notes the checkpoint that recovery may expect. Done when the
    /// log is next idle for it; false when it is busy now, and the caller comes back.
    pub fn release(&mut self, index: u64) -> bool {
        let free = self.under_way.is_none() && !self.chore && self.refused.is_none();
        if free {
            self.do_chore(move |wal| wal.release(index).map(|_| ()));
        }
        free
    }

    /// Notes durably that everything which was lost here has come back from the leader. As [`Persist::release`].
    pub fn clear_quarantine(&mut self) -> bool {
        let free = self.under_way.is_none() && !self.chore && self.refused.is_none();
        if free {
            self.do_chore(|wal| wal.clear_quarantine());
        }
        free
    }

    fn do_chore(&mut self, chore: impl FnOnce(&mut Wal) -> Result<(), wal::Error> + Send + 'static) {
        self.chore = true;
        let wal = self.wal.clone();
        self.run(false, move || match chore(&mut wal.lock().expect("no holder panics")) {
            Ok(()) => Saved::Chore,
            Err(wal::Error::Full(_)) => Saved::Later,
            Err(error) => Saved::Failed(error.to_string()),
        });
    }
}

fn entry_record(entry: Entry) -> Record {
    let (index, term) = (entry.index, entry.term);
    Record { kind: Kind::Entry, index, term, payload: entry.encode_to_vec().into() }
}

fn hard_state_record(state: &HardState) -> Record {
    Record {
        kind: Kind::HardState,
        index: state.commit,
        term: state.term,
        payload: state.encode_to_vec().into(),
    }
}

/// The record which says that the state holds everything up to `index`, because a snapshot was installed.
pub fn snapshot_record(index: u64, term: u64) -> Record {
    Record { kind: Kind::Snapshot, index, term, payload: bytes::Bytes::new() }
}
