//! A cluster in an invented world: members as processes that start, die and are started again, and what they are seen
//! to do.
//!
//! A member is `store::Member` on the ports of its node, nothing else. Its observer feeds [`Evidence`], whose checkers
//! judge each observation as it comes; the first broken invariant stops the run. A member that says it must end (its
//! log failed) is ended at once, as a supervisor would see it, and started again a little later.

use crate::checkers::leaders::Leaders;
use crate::checkers::logs::{Applied, Logs};
use crate::checkers::{Checked, Failure};
use crate::plan::Plan;
use crate::sched::{Effect, NodeId};
use crate::world::{End, World};
use futures_util::future::select;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::{FatalError, Member, MemberConfig, Observation, Observer, Peer, StartError};

/// How long the supervisor waits before it starts a member that ended by itself.
const RESTART: Duration = Duration::from_millis(500);
/// Time between two passes of a member over its cold data.
const SCRUB_PAUSE: Duration = Duration::from_secs(5);
/// The port on which members listen for each other.
const PEER_PORT: u16 = 2380;

/// What was seen inside of members.
pub struct Evidence {
    /// The applied log.
    pub logs: Logs,
    /// The elections.
    pub leaders: Leaders,
    /// The last election.
    pub elected: Duration,
    /// The first broken invariant.
    pub failure: Option<Failure>,
}

/// A handle to the cluster; clones share it.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    world: World,
    plan: Arc<Plan>,
    nodes: Vec<NodeId>,
    evidence: Mutex<Evidence>,
    running: Mutex<Vec<Option<Member>>>,
    script: Mutex<Script>,
}

/// What a script by hand says about members beyond the plan.
#[derive(Default)]
struct Script {
    /// Members that may end by themselves, or not start; nobody starts them again.
    fragile: BTreeSet<u8>,
    /// How those ended.
    ends: Vec<(u8, String)>,
    /// The newest version of the peers' protocol that single members speak.
    protocols: BTreeMap<u8, u32>,
    /// Members whose disks have lost, or hide, what they had promised to keep.
    damaged: BTreeSet<u8>,
}

struct Watchman {
    cluster: Cluster,
    member: u8,
}

impl Observer for Watchman {
    fn observe(&self, what: Observation) {
        let world = &self.cluster.0.world;
        let node = self.cluster.node(self.member);
        world.sched().trace(node, || describe(&what));
        let now = world.now();
        self.cluster.judge(node, |evidence| evidence.take(self.member.into(), now, what));
    }
}

fn describe(what: &Observation) -> String {
    match what {
        Observation::Applied { index, term, command, state_hash, revision } => {
            format!(
                "applies {index} of term {term}: {} bytes, revision {revision}, state {state_hash:016x}",
                command.len()
            )
        }
        other => format!("{other:?}"),
    }
}

impl Evidence {
    fn take(&mut self, member: u64, now: Duration, what: Observation) -> Checked {
        match what {
            Observation::Restored { applied, revision, .. } => self.logs.restored(member, applied, revision),
            Observation::BecameLeader { term } => {
                self.elected = now;
                self.leaders.elected(member, term)
            }
            Observation::Applied { index, term, command, state_hash, revision } => {
                self.logs.applied(member, now, Applied { index, term, command, state_hash, revision })
            }
            Observation::Installed { index, state_hash } => self.logs.installed(member, index, state_hash),
        }
    }
}

impl Cluster {
    /// Adds the plan's machines to `world`. Nothing runs yet.
    pub fn new(world: &World, plan: Arc<Plan>) -> Cluster {
        let nodes: Vec<_> = (1..=plan.members).map(|member| world.add_node(&host(member))).collect();
        let running = Mutex::new(vec![None; nodes.len()]);
        let leaders = Leaders::of(plan.members);
        let evidence = Evidence { logs: Logs::default(), leaders, elected: Duration::ZERO, failure: None };
        let cluster = Cluster(Arc::new(Inner {
            world: world.clone(),
            plan,
            nodes,
            evidence: Mutex::new(evidence),
            running,
            script: Mutex::default(),
        }));
        let watched = cluster.clone();
        world.on_death(move |_, death| watched.forget(death.node, death.end));
        cluster
    }

    /// The world it is in.
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The machine of `member`, counted from 1.
    pub fn node(&self, member: u8) -> NodeId {
        self.0.nodes[usize::from(member) - 1]
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.0.plan.members
    }

    /// What was seen so far.
    pub fn evidence(&self) -> MutexGuard<'_, Evidence> {
        self.0.evidence.lock().expect("no holder panics")
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Option<Member>>> {
        self.0.running.lock().expect("no holder panics")
    }

    /// The running member, if it serves.
    pub fn member(&self, member: u8) -> Option<Member> {
        self.slots()[usize::from(member) - 1].clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.script.lock().expect("no holder panics")
    }

    /// From now on `member` may end by itself, or not start, without failing the run. Nobody starts it again but the script and
    /// the calm.
    pub fn may_end(&self, member: u8) {
        self.script().fragile.insert(member);
    }

    /// From its next start on, `member` speaks the peers' protocol up to `version` only, as an older release does.
    pub fn speaks(&self, member: u8, version: u32) {
        self.script().protocols.insert(member, version);
    }

    /// The disk of `member` has lost, or hides, what it had promised to keep: an operator replaces it where the member cannot go on.
    pub fn is_damaged(&self, member: u8) {
        self.script().damaged.insert(member);
    }

    /// How `member` has ended by itself so far, oldest first; only of those that may.
    pub fn ends(&self, member: u8) -> Vec<String> {
        let script = self.script();
        script.ends.iter().filter(|(who, _)| *who == member).map(|(_, how)| how.clone()).collect()
    }

    /// Who was last elected.
    pub fn leader(&self) -> Option<u8> {
        self.evidence().leaders.newest().and_then(|member| u8::try_from(member).ok())
    }

    fn forget(&self, node: NodeId, _: End) {
        if let Some(position) = self.0.nodes.iter().position(|candidate| *candidate == node) {
            let gone = self.slots()[position].take();
            if gone.is_none() {
                self.0.world.sched().effect(Effect::CrashInRecovery);
            }
            drop(gone);
        }
    }

    /// Runs a check; a failure is kept, and stops the world.
    pub fn judge(&self, node: NodeId, check: impl FnOnce(&mut Evidence) -> Checked) {
        let mut evidence = self.evidence();
        let Err(failure) = check(&mut evidence) else { return };
        let text = failure.to_string();
        evidence.failure.get_or_insert(failure);
        drop(evidence);
        self.0.world.fail(node, text);
    }

    /// Starts a member's process, unless it runs.
    pub fn start(&self, member: u8) {
        let node = self.node(member);
        if self.0.world.is_up(node) {
            return;
        }
        let io = self.0.world.start(node);
        let cluster = self.clone();
        self.0.world.spawn_on(node, "main", async move {
            match Member::start(io, cluster.config(member)).await {
                Ok(running) => cluster.serve(member, running).await,
                Err(error) => cluster.does_not_start(member, error),
            }
        });
    }

    async fn serve(&self, member: u8, running: Member) {
        self.slots()[usize::from(member) - 1] = Some(running.clone());
        let error = running.fatal().await;
        let node = self.node(member);
        self.0.world.sched().trace(node, || format!("must end: {error}"));
        let excused = match error {
            FatalError::Log(_) | FatalError::State(_) => self.disk_may_fail(),
            FatalError::Diverged(_) => false,
        };
        self.ended(member, excused, format!("member {member} must end: {error}"));
    }

    fn does_not_start(&self, member: u8, error: StartError) {
        let node = self.node(member);
        self.0.world.sched().trace(node, || format!("does not start: {error}"));
        let excused = matches!(error, StartError::Io(_)) && self.disk_may_fail();
        self.ended(member, excused, format!("member {member} does not start: {error}"));
    }

    /// Whether the plan does anything to disks that a member may see as an error, and is not over with it.
    fn disk_may_fail(&self) -> bool {
        let names = [
            "fail-sync",
            "full-disk",
            "power-loss-after",
            "crash-in-recovery",
            "write-error",
            "short-write",
            "read-error",
        ];
        let calm = Duration::from_millis(self.0.plan.calm_ms);
        self.0.world.now() <= calm + RESTART
            && self.0.plan.faults.iter().any(|fault| names.contains(&fault.class.name()))
    }

    /// The process ends by itself; the supervisor starts it again, unless that was wrong of it.
    fn ended(&self, member: u8, excused: bool, text: String) {
        let node = self.node(member);
        if self.script().fragile.contains(&member) {
            self.script().ends.push((member, text));
            return self.0.world.after(Duration::ZERO, move |world| world.crash(node));
        }
        if self.script().damaged.contains(&member) {
            return self.replace_disk(member);
        }
        if !excused {
            return self
                .judge(node, |_| Err(Failure { checker: "cluster", invariant: "members-live", text }));
        }
        let cluster = self.clone();
        // Not from within the process's own task: it is about to be dropped.
        self.0.world.after(Duration::ZERO, move |world| {
            world.crash(node);
            world.after(RESTART, move |_| cluster.start(member));
        });
    }

    /// Stops a member in good order, or ends it after `limit`; it starts again `down` later.
    pub fn restart(&self, member: u8, limit: Duration, down: Duration) {
        let node = self.node(member);
        let Some(running) = self.member(member) else { return };
        let (cluster, world) = (self.clone(), self.0.world.clone());
        let owner = world.sched().owner(node);
        world.sched().effect(Effect::RollingRestart);
        world.clone().spawn_on(NodeId::WORLD, "told to stop", async move {
            let stopped = Box::pin(async move { running.stop().await });
            select(stopped, world.sleep_until(world.now() + limit)).await;
            // Not in the middle of a turn of a task.
            world.after(Duration::ZERO, move |world| {
                // Unless it has died, or even been started again, in the meantime.
                if world.sched().owner(node) == owner {
                    world.crash(node);
                }
                world.after(down, move |_| cluster.start(member));
            });
        });
    }

    /// What an operator does with a member whose disk is damaged beyond what it can mend by itself.
    fn replace_disk(&self, member: u8) {
        let (cluster, node) = (self.clone(), self.node(member));
        self.0.world.probe().sometimes("cluster: a damaged disk was replaced");
        self.0.world.after(Duration::ZERO, move |world| {
            world.power_loss(node);
            world.disk_makes_good(node);
            world.wipe(node);
            world.after(RESTART, move |_| cluster.start(member));
        });
    }

    fn config(&self, member: u8) -> MemberConfig {
        let knobs = &self.0.plan.knobs;
        let peers = self.members().map(|member| Peer {
            id: member.into(),
            name: host(member),
            peer_addr: format!("{}:{PEER_PORT}", host(member)),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
        });
        MemberConfig {
            listen_peer: format!("{}:{PEER_PORT}", host(member)),
            tick: Duration::from_millis(knobs.tick_ms),
            election_ticks: knobs.election_ticks as usize,
            wal_segment_bytes: knobs.wal_segment_bytes,
            checkpoint_bytes: knobs.checkpoint_bytes,
            overlay_bytes: knobs.overlay_bytes as usize,
            catch_up_entries: knobs.catch_up_entries,
            cache_bytes: knobs.cache_bytes as usize,
            watch_buffer: knobs.watch_buffer as usize,
            inbox: knobs.inbox as usize,
            waiting_proposals: knobs.waiting as usize,
            peer_queue: knobs.queue as usize,
            max_inflight: knobs.inflight as usize,
            progress_interval: Duration::from_secs(3),
            protocol: self.script().protocols.get(&member).copied().unwrap_or(store::PROTOCOL),
            scrub_pause: SCRUB_PAUSE,
            corrupt_check: Duration::from_millis(knobs.corrupt_check_ms),
            observer: Some(Arc::new(Watchman { cluster: self.clone(), member })),
            ..MemberConfig::new(member.into(), 1, peers.collect())
        }
    }

    /// Lets go of every member, so that nothing is held in a circle.
    pub fn let_go(&self) {
        let gone = std::mem::take(&mut *self.slots());
        drop(gone);
    }
}

fn host(member: u8) -> String {
    format!("m{member}")
}
