//! A member: the handle that everything outside of the store holds.

use crate::amnesia::{self, Amnesia};
use crate::apply::Applier;
use crate::config::{MemberConfig, Observation, Peer};
use crate::error::{FatalError, StartError};
use crate::event::Event;
use crate::frame::{Hello, OLDEST_PROTOCOL, PROTOCOL};
use crate::identity::Identity;
use crate::lease::Leases;
use crate::marks::Marks;
use crate::membership::Membership;
use crate::meter::Meter;
use crate::node::{Node, Run};
use crate::peers::{Door, Links};
use crate::persist::Persist;
use crate::reads::Reads;
use crate::recovery::{self, Recovery};
use crate::scrub;
use crate::shared::{Shared, Status};
use crate::snapshot;
use crate::timed::timed;
use consensus::{Config, Consensus};
use futures_channel::oneshot;
use kernel::inbox::{Inbox, Outlet, inbox};
use kernel::kv::KvResult;
use kernel::rng::Stream;
use kernel::spawn::run_on;
use kernel::{Io, KvError, Listener, WatchStream, Worker};
use mvcc::watch::Hub;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a fragment may take beyond the largest request, in bytes.
const FRAGMENT_OVERHEAD: usize = 512 << 10;
/// How long a read waits for its confirmation before it is asked for again.
const READ_RETRY: Duration = Duration::from_millis(500);
/// How often a physical compaction is looked at while a caller waits for it.
const COMPACTION_POLL: Duration = Duration::from_millis(10);

/// A running member. Clones share it.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    io: Io,
    config: MemberConfig,
    shared: Arc<Shared>,
    store: mvcc::Store,
    hub: Hub,
    events: Inbox<Event>,
    lease_ids: Mutex<Stream>,
    /// Held as long as the member lives.
    _lock: Box<dyn std::any::Any + Send + Sync>,
}

impl Member {
    /// Checks the configuration, reads or makes the data directory, listens for peers, and starts to take part. Until it
    /// returns `Ok` nothing is promised to anybody.
    pub async fn start(io: Io, config: MemberConfig) -> Result<Member, StartError> {
        check_config(&config)?;
        let listener = listen(&io, &config).await?;
        let log_worker = io.spawn.worker("log");
        let others = config.members.iter().map(|member| member.id).filter(|id| *id != config.member_id);
        let meter = Arc::new(Meter::new(others));
        let (its_io, its_config) = (timed(&io, &recovery::wal_dir(&config), &meter), config.clone());
        let recovered = run_on(&log_worker, move || recovery::recover(&its_io, &its_config)).await;
        let recovery =
            recovered.ok_or_else(|| StartError::Io("the log's thread did not start".to_string()))??;
        assemble(io, config, log_worker, recovery, listener, meter)
    }

    /// What it was told at start.
    pub fn config(&self) -> &MemberConfig {
        &self.0.config
    }

    /// Its newest status.
    pub fn status(&self) -> Status {
        self.0.shared.status()
    }

    /// Its status, counters and notes.
    pub fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Its state. Whoever wants a linearizable view calls [`Member::read_barrier`] first.
    pub fn store(&self) -> &mvcc::Store {
        &self.0.store
    }

    /// The members of the cluster, as far as this member has applied the log.
    pub fn members(&self) -> Vec<Peer> {
        let stored = self.0.store.conf_state().and_then(|bytes| Membership::from_bytes(bytes).ok());
        stored.unwrap_or_default().members(&self.0.config)
    }

    /// Ready when the process must end at once; nothing may be acknowledged after it.
    pub async fn fatal(&self) -> FatalError {
        self.0.shared.fatal().await
    }

    /// Ends the member in good order: hands leadership over, writes a checkpoint. Ready when the disk is at rest.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.0.events.push(Event::Stop(done));
        let _ = ended.await;
    }

    /// Gives leadership to member `to`; only the leader can.
    pub async fn move_leader(&self, to: u64) -> KvResult<()> {
        let (reply, outcome) = oneshot::channel();
        self.0.events.push(Event::MoveLeader { to, reply });
        outcome.await.unwrap_or_else(|_| Err(KvError::stopped()))
    }

    /// Takes back the alarm CORRUPT where it cannot end by itself, because two members differ and no majority says who is right;
    /// whether there was such an alarm. What is being repaired is not taken back.
    pub async fn disarm(&self) -> bool {
        let (reply, disarmed) = oneshot::channel();
        self.0.events.push(Event::Disarm(reply));
        disarmed.await.unwrap_or(false)
    }

    pub(crate) fn events(&self) -> &Inbox<Event> {
        &self.0.events
    }

    pub(crate) fn draw_lease_id(&self) -> i64 {
        let drawn = self.0.lease_ids.lock().expect("no holder panics").next_u64();
        // Positive, and never 0, which means "choose for me".
        ((drawn >> 1) as i64).max(1)
    }

    /// Waits until what a compaction dropped has been given back to the store, and that is durable.
    pub(crate) async fn wait_compacted(&self, revision: i64) -> KvResult<()> {
        let clock = &self.0.io.clock;
        let until = clock.now() + self.0.config.request_timeout();
        while self.0.store.removed_revision() < revision {
            if clock.now() >= until {
                return Err(KvError::timeout());
            }
            clock.sleep_until(clock.now() + COMPACTION_POLL).await;
        }
        Ok(())
    }

    /// A stream of watchers. With `require_leader` it ends when this member has been without a leader for too long.
    pub fn open_watch(&self, require_leader: bool) -> Box<dyn WatchStream> {
        let inner = &self.0;
        let ids = (inner.config.cluster_id, inner.config.member_id);
        let clock = inner.io.clock.clone();
        crate::watch::open(ids, &inner.store, &inner.hub, clock, inner.shared.clone(), require_leader)
    }

    /// What the watchers cost now.
    pub fn watch_metrics(&self) -> mvcc::watch::Metrics {
        self.0.hub.metrics()
    }
}

fn check_config(config: &MemberConfig) -> Result<(), StartError> {
    let bad = |text: String| Err(StartError::Config(text));
    if config.this_member().is_none() {
        return bad(format!(
            "member {:x} is not in the list of members: check --name and --initial-cluster",
            config.member_id
        ));
    }
    let mut ids: Vec<u64> = config.members.iter().map(|member| member.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != config.members.len() || ids.contains(&0) {
        return bad(
            "two members of --initial-cluster have one id: their names and peer URLs must differ".to_string()
        );
    }
    if config.protocol < OLDEST_PROTOCOL || config.protocol > PROTOCOL {
        return bad(format!(
            "peer protocol {}: this program speaks {OLDEST_PROTOCOL} to {PROTOCOL}",
            config.protocol
        ));
    }
    if config.election_ticks < 2 || config.tick.is_zero() {
        return bad("--election-timeout must be at least twice --heartbeat-interval, and both more than 0"
            .to_string());
    }
    Ok(())
}

async fn listen(io: &Io, config: &MemberConfig) -> Result<Option<Box<dyn Listener>>, StartError> {
    if config.listen_peer.is_empty() {
        return Ok(None);
    }
    let listening = io.net.listen(&config.listen_peer).await.map_err(|error| {
        StartError::Io(format!(
            "cannot listen for peers on {}: {error}; is another process using it? Choose another with --listen-peer-urls",
            config.listen_peer
        ))
    })?;
    Ok(Some(listening))
}

fn assemble(
    io: Io,
    config: MemberConfig,
    log_worker: Arc<dyn Worker>,
    recovery: Recovery,
    listener: Option<Box<dyn Listener>>,
    meter: Arc<Meter>,
) -> Result<Member, StartError> {
    let Recovery { wal, store, restored, quarantine, unproven, membership, lock, notes } = recovery;
    let mut draws = Stream::new(io.seed, "member", config.member_id);
    let incarnation = draws.next_u64();
    let shared = Arc::new(Shared::new(draws.next_u64() >> 1, meter.clone()));
    notes.into_iter().for_each(|note| shared.note(note));
    let (events, outlet) = inbox(config.inbox);
    let last_index = restored.entries.last().map_or(restored.snapshot.index, |entry| entry.index);
    let identity = identity(&config, incarnation, last_index, meter);
    let applier = Applier::new(config.member_id, config.observer.clone(), store.applied_term(), membership);
    applier.observe(Observation::Restored {
        applied: store.applied(),
        revision: store.revision(),
        term: restored.hard_state.term,
    });
    let others = identity.peers.keys().copied();
    let newborn = last_index <= amnesia::BIRTH && restored.hard_state.term <= amnesia::BIRTH;
    let amnesia = unproven.then(|| Amnesia::new(incarnation, others, newborn));
    let silent = quarantine.is_some() || amnesia.is_some();
    let consensus = consensus(&config, draws.next_u64(), restored, silent)?;
    let receiving = Arc::new(AtomicBool::new(false));
    if let Some(listener) = listener {
        let receiver = receiver(&io, &config, &store, receiving.clone());
        Door::open(&io, &identity, &events, listener, receiver);
    }
    let hub = hub(&io, &config, store.revision(), draws.next_u64());
    let member = Member(Arc::new(Inner {
        io: io.clone(),
        config: config.clone(),
        shared: shared.clone(),
        store: store.clone(),
        hub: hub.clone(),
        events: events.clone(),
        lease_ids: Mutex::new(Stream::new(io.seed, "lease ids", config.member_id)),
        _lock: lock,
    }));
    let wal = Arc::new(Mutex::new(wal));
    let node = Node {
        _cold: scrub::start(&io, &config, &store, &wal, &events, &shared.meter),
        receiving,
        marks: Marks::new(config.members.len()),
        links: Links::start(&io, &identity, config.peer_queue, &events),
        persist: Persist::new(&io, log_worker, wal, events.clone(), config.members.len() == 1),
        state_worker: io.spawn.worker("state"),
        reads: Reads::new(draws.next_u64(), READ_RETRY).with(io.planted),
        leases: Leases::new(io.planted),
        run: Run::default(),
        io: io.clone(),
        config,
        shared,
        store,
        consensus,
        identity,
        hub,
        events,
        quarantine,
        amnesia,
        applier,
    };
    start_loop(&io, node, outlet);
    Ok(member)
}

fn receiver(
    io: &Io,
    config: &MemberConfig,
    store: &mvcc::Store,
    busy: Arc<AtomicBool>,
) -> snapshot::Receiver {
    let path = format!("{}/state.redb", config.dir);
    snapshot::Receiver::new(path, io.spawn.worker("snapshot"), store.clone(), busy)
}

fn hub(io: &Io, config: &MemberConfig, revision: i64, seed: u64) -> Hub {
    let options = mvcc::watch::Options {
        progress_interval: config.progress_interval,
        buffer_responses: config.watch_buffer,
        fragment_bytes: config.max_request_bytes + FRAGMENT_OVERHEAD,
        seed,
        planted: io.planted,
        probe: io.probe.clone(),
        ..Default::default()
    };
    Hub::new(revision, options)
}

fn start_loop(io: &Io, node: Node, outlet: Outlet<Event>) {
    io.spawn.spawn("member", Box::pin(node.run(outlet)));
}

fn identity(config: &MemberConfig, incarnation: u64, last_index: u64, meter: Arc<Meter>) -> Identity {
    let others = config.members.iter().filter(|member| member.id != config.member_id);
    let peers = others.map(|member| (member.id, member.peer_addr.clone())).collect();
    let name = config.this_member().map(|member| member.name.clone()).unwrap_or_default();
    let hello = Hello {
        protocol: OLDEST_PROTOCOL,
        cluster_id: config.cluster_id,
        from: config.member_id,
        to: 0,
        incarnation,
        last_index,
        snapshot: false,
        name,
        // Version 1 knew of no other.
        newest: if config.protocol > 1 { config.protocol.min(PROTOCOL) } else { 0 },
    };
    Identity { hello, peers: Arc::new(peers), meter }
}

fn consensus(
    config: &MemberConfig,
    seed: u64,
    restored: consensus::Restored,
    silent: bool,
) -> Result<Consensus, StartError> {
    let raft = Config {
        id: config.member_id,
        election_tick: config.election_ticks,
        heartbeat_tick: 1,
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: config.max_inflight,
        max_uncommitted_bytes: 256 << 20,
        max_committed_bytes: 4 << 20,
        seed,
    };
    let mut consensus =
        Consensus::new(raft, restored).map_err(|error| StartError::Damaged(error.to_string()))?;
    consensus.set_silent(silent);
    // A cluster of one need not wait for its own election.
    if config.members.len() == 1 && !silent {
        consensus.campaign().map_err(|error| StartError::Damaged(error.to_string()))?;
    }
    Ok(consensus)
}
