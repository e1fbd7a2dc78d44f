//! Snapshots between members: how a follower whose log ends before the leader's begins gets the state itself.
//!
//! Raft asks for one by a message that names an index. The leader reads its state, consistent at what it has applied, in
//! bounded chunks on a worker, and sends them over a connection of their own, so that the state never stands in memory as a
//! whole and ordinary messages do not wait behind it. The receiver writes the chunks beside its own state, checks the
//! whole, and only then shows the raft message to consensus; consensus decides whether the snapshot is wanted, and the loop
//! puts it in place of the state before anything that follows it in the log.
//!
//! A member whose state is damaged gets one in the same way, by asking for it (see `repair`); consensus hears nothing of it.

use crate::event::{Arrived, Event, Fetched};
use crate::frame::{Body, SnapshotVerdict, StateEnd};
use crate::identity::{CONNECT_TIMEOUT, Identity, timeout};
use crate::meter;
use bytes::Bytes;
use consensus::Message;
use futures_channel::oneshot;
use kernel::inbox::Inbox;
use kernel::spawn::run_on;
use kernel::{Connection, Io, Worker};
use mvcc::{SnapshotReader, SnapshotWriter, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the other end may take for one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the state to the follower that `message` is for, beside everything else; the loop is told how it ended.
pub fn send(io: &Io, identity: &Identity, store: &Store, events: &Inbox<Event>, message: Message) {
    let (io, identity, store, events) = (io.clone(), identity.clone(), store.clone(), events.clone());
    let spawn = io.spawn.clone();
    let task = async move {
        let to = message.to;
        let ok = transfer(&io, &identity, &store, to, Some(message)).await.is_some();
        counted(&io, &identity, to, ok);
        events.push(Event::SnapshotSent { to, ok });
    };
    spawn.spawn("snapshot sender", Box::pin(task));
}

/// Sends the state to a member that has asked for it, beside everything else; the loop is told when that has ended.
pub fn lend(io: &Io, identity: &Identity, store: &Store, events: &Inbox<Event>, to: u64) {
    let (io, identity, store, events) = (io.clone(), identity.clone(), store.clone(), events.clone());
    let spawn = io.spawn.clone();
    let task = async move {
        let ok = transfer(&io, &identity, &store, to, None).await.is_some();
        counted(&io, &identity, to, ok);
        events.push(Event::StateLent(to));
    };
    spawn.spawn("state lender", Box::pin(task));
}

fn counted(io: &Io, identity: &Identity, to: u64, ok: bool) {
    identity.meter.count(to, |traffic| {
        meter::add(if ok { &traffic.snapshots_sent } else { &traffic.snapshots_failed });
    });
    if !ok {
        io.probe.sometimes("snapshot: sending failed");
    }
}

/// Sends the state to `to`, announced by `message` if Raft wants it sent.
async fn transfer(
    io: &Io,
    identity: &Identity,
    store: &Store,
    to: u64,
    mut message: Option<Message>,
) -> Option<()> {
    let address = identity.peers.get(&to)?;
    let mut connection = timeout(io, CONNECT_TIMEOUT, io.net.connect(address)).await?.ok()?;
    let worker = io.spawn.worker("snapshot reader");
    let from = store.clone();
    let mut reader = run_on(&worker, move || from.snapshot()).await?.ok()?;
    if let Some(message) = &mut message {
        announce(message, &reader);
    }
    let index = reader.applied();
    connection.sender.send(vec![identity.hello_to(to, true)]).await.ok()?;
    loop {
        let (back, chunk) = run_on(&worker, move || next_chunk(reader)).await?;
        reader = back;
        let Some(chunk) = chunk.ok()? else { break };
        let send = connection.sender.send(vec![Body::SnapshotChunk(chunk).into_frame()]);
        timeout(io, STEP_TIMEOUT, send).await?.ok()?;
    }
    let end = message.map_or(Body::StateEnd(StateEnd { index }), Body::SnapshotEnd);
    connection.sender.send(vec![end.into_frame()]).await.ok()?;
    let verdict = timeout(io, STEP_TIMEOUT, connection.receiver.recv()).await?.ok()??;
    match Body::decode(verdict).ok()? {
        Body::SnapshotVerdict(verdict) if verdict.refused.is_empty() => Some(()),
        _ => None,
    }
}

/// The state may be newer than the mark with which consensus asked for it; the follower is told what it really gets.
fn announce(message: &mut Message, reader: &SnapshotReader) {
    if let Some(mark) = &mut message.snapshot {
        assert!(reader.applied() >= mark.index, "a mark never lies ahead of the state");
        (mark.index, mark.term) = (reader.applied(), reader.term());
        // The membership does not change at run time yet, so the mark's configuration holds at the newer index as well.
    }
}

fn next_chunk(mut reader: SnapshotReader) -> (SnapshotReader, Result<Option<Bytes>, mvcc::Error>) {
    let chunk = reader.next_chunk();
    (reader, chunk)
}

/// The receiving side; takes one snapshot at a time.
#[derive(Clone)]
pub struct Receiver {
    path: String,
    worker: Arc<dyn Worker>,
    /// The state in whose place what comes may be put.
    store: Store,
    busy: Arc<AtomicBool>,
}

impl Receiver {
    /// Takes snapshots for the state at `path`, inside the member's data directory; what arrives is written beside it.
    /// `busy` says whether one is coming.
    pub fn new(path: String, worker: Arc<dyn Worker>, store: Store, busy: Arc<AtomicBool>) -> Self {
        Receiver { path, worker, store, busy }
    }

    /// Takes a snapshot from a connection whose hello announced one; whether it came whole.
    pub async fn receive(&self, io: &Io, events: &Inbox<Event>, mut connection: Connection) -> bool {
        if self.busy.swap(true, Ordering::AcqRel) {
            io.probe.sometimes("snapshot: refused a second one");
            return false;
        }
        let outcome = self.collect(io, events, &mut connection).await;
        self.busy.store(false, Ordering::Release);
        let whole = outcome.is_ok();
        let refused = outcome.err().unwrap_or_default();
        let verdict = Body::SnapshotVerdict(SnapshotVerdict { refused }).into_frame();
        if connection.sender.send(vec![verdict]).await.is_ok() {
            // The sender closes once it has read the verdict.
            let _ = timeout(io, STEP_TIMEOUT, connection.receiver.recv()).await;
        }
        whole
    }

    async fn collect(
        &self,
        io: &Io,
        events: &Inbox<Event>,
        connection: &mut Connection,
    ) -> Result<(), String> {
        let (disk, path, planted) = (io.disk.clone(), self.path.clone(), io.planted);
        let opened = run_on(&self.worker, move || SnapshotWriter::new(disk, &path));
        let opened = opened.await.map(|opened| opened.map(|writer| writer.with(planted)));
        let mut writer = opened.ok_or("the worker has ended")?.map_err(|error| error.to_string())?;
        loop {
            let frame =
                timeout(io, STEP_TIMEOUT, connection.receiver.recv()).await.ok_or("the sender is silent")?;
            let frame = frame.map_err(|error| error.to_string())?.ok_or("the sender has gone")?;
            match Body::decode(frame)? {
                Body::SnapshotChunk(chunk) => {
                    let written = run_on(&self.worker, move || {
                        let result = writer.write(&chunk);
                        (writer, result)
                    });
                    let (back, result) = written.await.ok_or("the worker has ended")?;
                    writer = back;
                    result.map_err(|error| error.to_string())?;
                }
                Body::SnapshotEnd(message) => return self.finish(writer, message, events).await,
                Body::StateEnd(end) => return self.finish_state(writer, end, events).await,
                _ => return Err("a snapshot's connection carried something else".to_string()),
            }
        }
    }

    async fn finish(
        &self,
        writer: SnapshotWriter,
        message: Message,
        events: &Inbox<Event>,
    ) -> Result<(), String> {
        let staged = run_on(&self.worker, move || writer.finish()).await;
        let staged = staged.ok_or("the worker has ended")?.map_err(|error| error.to_string())?;
        if staged.applied() != message.snapshot_index() {
            return Err(format!("state at {}, announced at {}", staged.applied(), message.snapshot_index()));
        }
        let (decided, decision) = oneshot::channel();
        events.push(Event::SnapshotArrived(Arrived { message, staged, _decided: decided }));
        // While the loop decides no other snapshot may overwrite the file.
        let _ = decision.await;
        Ok(())
    }

    async fn finish_state(
        &self,
        writer: SnapshotWriter,
        end: StateEnd,
        events: &Inbox<Event>,
    ) -> Result<(), String> {
        let store = self.store.clone();
        let loaded =
            run_on(&self.worker, move || writer.finish().and_then(|staged| staged.load(&store))).await;
        let loaded = loaded.ok_or("the worker has ended")?.map_err(|error| error.to_string())?;
        let index = loaded.store().applied();
        if index != end.index {
            return Err(format!("state at {index}, announced at {}", end.index));
        }
        let (decided, decision) = oneshot::channel();
        events.push(Event::StateArrived(Fetched { loaded, _decided: decided }));
        let _ = decision.await;
        Ok(())
    }
}
