//! The same core on madsim's own executor and network: an independent check of our scheduler.
//!
//! If our scheduler or network promised more than they may (an order that real ones do not keep, a wake-up that never fails to come),
//! the store could lean on it and every simulation would agree. Here nothing of ours orders events: madsim picks the next task, delays
//! messages and cuts nodes off. Members are killed and cut off while one client writes and reads through all of them; checked are
//! one leader a term, one log, and that no acknowledged write is lost or read out of date.

mod ports;

use bytes::Bytes;
use io_sim::checkers::leaders::Leaders;
use io_sim::checkers::logs::{Applied, Logs};
use io_sim::{NodeId, World};
use kernel::rng::Stream;
use kernel::types::{KeyValue, PutRequest, RangeRequest};
use kernel::{Kv, Planted, Probe};
use madsim::Config;
use madsim::runtime::{Handle, Runtime};
use madsim::time::{TimeHandle, sleep, timeout};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::{Member, MemberConfig, Observation, Observer, Peer};

const MEMBERS: u8 = 3;
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;
/// When faults end, and when the run does.
const CALM: Duration = Duration::from_secs(25);
const END: Duration = Duration::from_secs(50);
/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(4);

struct Seen {
    leaders: Leaders,
    logs: Logs,
    running: Vec<Option<Member>>,
}

/// A cluster; clones share it.
#[derive(Clone)]
struct Cluster {
    disks: Arc<World>,
    seen: Arc<Mutex<Seen>>,
}

impl Cluster {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// The life of one process.
    async fn live(self, member: u8) {
        let io = ports::ports(&self.disks, NodeId(member.into()));
        let running = Member::start(io, self.config(member)).await.expect("the disk is sound");
        self.seen().running[usize::from(member) - 1] = Some(running.clone());
        let error = running.fatal().await;
        panic!("member {member} must end: {error}");
    }

    fn config(&self, member: u8) -> MemberConfig {
        let peers = (1..=MEMBERS).map(|id| Peer {
            id: id.into(),
            name: format!("m{id}"),
            peer_addr: format!("m{id}:2380"),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
        });
        MemberConfig {
            listen_peer: format!("m{member}:2380"),
            wal_segment_bytes: 16 << 10,
            checkpoint_bytes: 4 << 10,
            catch_up_entries: 20,
            observer: Some(Arc::new(Watchman { cluster: self.clone(), member })),
            ..MemberConfig::new(member.into(), 1, peers.collect())
        }
    }

    fn member(&self, member: u8) -> Option<Member> {
        self.seen().running[usize::from(member) - 1].clone()
    }

    /// Kills a member, its power too where asked. The disk's fence falls first: what its destructors try reaches nothing.
    fn kill(&self, member: u8, node: madsim::task::NodeId, power: bool) {
        if power {
            self.disks.power_loss(NodeId(member.into()));
        } else {
            self.disks.crash(NodeId(member.into()));
        }
        let gone = self.seen().running[usize::from(member) - 1].take();
        Handle::current().kill(node);
        drop(gone);
    }
}

struct Watchman {
    cluster: Cluster,
    member: u8,
}

impl Observer for Watchman {
    fn observe(&self, what: Observation) {
        let (member, now) = (u64::from(self.member), TimeHandle::current().elapsed());
        let mut seen = self.cluster.seen();
        let judged = match what {
            Observation::Restored { applied, revision, .. } => seen.logs.restored(member, applied, revision),
            Observation::BecameLeader { term } => seen.leaders.elected(member, term),
            Observation::Applied { index, term, command, state_hash, revision } => {
                seen.logs.applied(member, now, Applied { index, term, command, state_hash, revision })
            }
            Observation::Installed { index, state_hash } => seen.logs.installed(member, index, state_hash),
        };
        drop(seen);
        judged.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// What one client knows of the number that it writes.
#[derive(Default)]
struct Known {
    /// The last that is certain.
    settled: u64,
    /// Those of unknown outcome: each may come at any later time, once.
    doubtful: BTreeSet<u64>,
    /// Calls that were answered.
    answers: u64,
}

impl Known {
    /// Somebody has read `value`.
    fn read(&mut self, value: u64) {
        if value != self.settled {
            assert!(self.doubtful.remove(&value), "read {value}, where {} is settled", self.settled);
            self.settled = value;
        }
        self.answers += 1;
    }
}

fn number(kvs: &[KeyValue]) -> u64 {
    kvs.first().map_or(0, |kv| std::str::from_utf8(&kv.value).unwrap().parse().unwrap())
}

fn key() -> Bytes {
    Bytes::from_static(b"number")
}

/// One client who writes numbers under one key, one after the other, and reads.
async fn client(cluster: Cluster, mut draw: Stream) -> Known {
    let (mut known, mut newest) = (Known::default(), 0);
    while TimeHandle::current().elapsed() < END {
        sleep(Duration::from_millis(draw.between(20, 150))).await;
        let Some(member) = cluster.member(draw.between(1, MEMBERS.into()) as u8) else { continue };
        if draw.chance(1, 2) {
            newest += 1;
            let value = newest.to_string().into_bytes().into();
            let put = PutRequest { key: key(), value, ..Default::default() };
            if let Ok(Ok(_)) = timeout(PATIENCE, member.put(put)).await {
                (known.settled, known.answers) = (newest, known.answers + 1);
            } else {
                known.doubtful.insert(newest);
            }
        } else {
            let range = RangeRequest { key: key(), ..Default::default() };
            if let Ok(Ok(read)) = timeout(PATIENCE, member.range(range)).await {
                known.read(number(&read.kvs));
            }
        }
    }
    known
}

async fn storm(cluster: Cluster, nodes: Vec<madsim::task::NodeId>, mut draw: Stream) {
    while TimeHandle::current().elapsed() < CALM {
        sleep(Duration::from_millis(draw.between(500, 2_500))).await;
        let member = draw.between(1, MEMBERS.into()) as u8;
        let node = nodes[usize::from(member) - 1];
        let long = Duration::from_millis(draw.between(100, 3_000));
        match draw.below(3) {
            0 => {
                ports::cut_off(node, true);
                sleep(long).await;
                ports::cut_off(node, false);
            }
            kind => {
                cluster.kill(member, node, kind == 1);
                sleep(long).await;
                Handle::current().restart(node);
            }
        }
    }
}

/// The applied log's length, how many calls were answered, and how often somebody was elected.
fn run(seed: u64) -> (usize, u64, usize) {
    let world = World::new(seed, Probe::default(), Planted::none());
    let seen =
        Seen { leaders: Leaders::of(MEMBERS), logs: Logs::default(), running: vec![None; MEMBERS.into()] };
    let cluster = Cluster { disks: Arc::new(world), seen: Arc::new(Mutex::new(seen)) };
    let runtime = Runtime::with_seed_and_config(seed, Config::default());
    let mut nodes = Vec::new();
    for member in 1..=MEMBERS {
        assert_eq!(cluster.disks.add_node(&format!("m{member}")), NodeId(member.into()));
        let lives = cluster.clone();
        let node = runtime.create_node().name(format!("m{member}")).ip(ports::address(member));
        nodes.push(node.init(move || lives.clone().live(member)).build().id());
    }
    let watched = cluster.clone();
    let answers = runtime.block_on(async move {
        let weather = madsim::task::spawn(storm(watched.clone(), nodes, Stream::new(seed, "storm", 0)));
        let mut known = client(watched.clone(), Stream::new(seed, "client", 0)).await;
        weather.await.expect("the storm ends");
        for member in 1..=MEMBERS {
            let served = watched.member(member).expect("it was started again");
            let range = RangeRequest { key: key(), ..Default::default() };
            let read =
                timeout(PATIENCE, served.range(range)).await.expect("in the calm every member answers");
            known.read(number(&read.expect("with a value").kvs));
        }
        known.answers
    });
    let seen = cluster.seen();
    (seen.logs.entries().len(), answers, seen.leaders.elections())
}

#[test]
fn the_store_keeps_its_promises_on_another_executor() {
    let mut elections = 0;
    for seed in SEEDS {
        // Each on a thread of its own, as madsim wants it.
        let (entries, answers, elected) =
            std::thread::spawn(move || run(seed)).join().expect("the run holds");
        assert!(answers > 150 && entries > 100, "seed {seed}: {answers} answers, {entries} entries");
        elections += elected;
    }
    assert!(elections > SEEDS.count(), "leaders were lost: {elections} elections");
}
