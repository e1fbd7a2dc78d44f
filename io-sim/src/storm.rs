//! The faults of a plan, put on the world's calendar: each begins at its time and ends at its own end or at the calm.
//!
//! What cannot begin does nothing (a crash of a member that is down), and ends add up: links are computed from all
//! faults that are on, cuts are counted by the network, a member is started again by the first end that finds it down.

mod disks;
mod links;

use crate::clock::MAX_DRIFT_PPM;
use crate::cluster::Cluster;
use crate::net::LinkConfig;
use crate::plan::{Class, Fault, Target};
use crate::sched::{Effect, NodeId};
use crate::world::World;
use disks::Liars;
use kernel::rng::Stream;
use links::Worsened;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a member that is told to stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// How often somebody looks whether a member that is killed while it recovers has died again.
const AGAIN: Duration = Duration::from_millis(250);

/// The storm over one cluster; clones share it.
#[derive(Clone)]
pub struct Storm(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    /// Every machine, clients too.
    nodes: Vec<NodeId>,
    links: Mutex<Worsened>,
    liars: Mutex<Liars>,
    drifts: Vec<i64>,
}

impl Storm {
    /// Gives the cluster the links, clocks and disks of its plan, and puts the plan's faults on the calendar.
    pub fn gather(cluster: &Cluster) -> Storm {
        let (world, plan) = (cluster.world(), cluster.plan());
        let count = u32::from(plan.members) + u32::from(plan.clients);
        let bound = plan.knobs.drift_ppm.min(MAX_DRIFT_PPM as u64);
        let drifts = cluster.members().map(|member| {
            let mut draw = Stream::new(plan.seed, "drift", member.into());
            draw.between(0, 2 * bound) as i64 - bound as i64
        });
        let storm = Storm(Arc::new(Inner {
            cluster: cluster.clone(),
            nodes: (1..=count).map(NodeId).collect(),
            links: Mutex::default(),
            liars: Mutex::default(),
            drifts: drifts.collect(),
        }));
        world.set_all_links(&storm.usual_link());
        world.set_window(plan.knobs.window as usize);
        for member in cluster.members() {
            let node = cluster.node(member);
            world.set_drift(node, storm.usual_drift(member));
            world.disk_speed(node, |speed| speed.base = Duration::from_micros(plan.knobs.sync_us));
            world.set_large_sectors(node, plan.knobs.large_sectors);
        }
        for (number, fault) in plan.faults.iter().enumerate() {
            storm.schedule(number, fault);
        }
        let calm = cluster.clone();
        world.at(Duration::from_millis(plan.calm_ms), move |_| {
            calm.members().for_each(|member| calm.start(member))
        });
        storm
    }

    /// The most that any clock of the run goes fast or slow, in parts per million.
    pub fn worst_drift_ppm(&self) -> u32 {
        let plan = self.0.cluster.plan();
        let faults = plan.faults.iter().filter_map(|fault| match fault.class {
            Class::Drift { ppm } => Some(limited(ppm).unsigned_abs()),
            _ => None,
        });
        faults.fold(plan.knobs.drift_ppm, u64::max).min(MAX_DRIFT_PPM as u64) as u32
    }

    fn usual_drift(&self, member: u8) -> i64 {
        self.0.drifts[usize::from(member) - 1]
    }

    fn usual_link(&self) -> LinkConfig {
        let knobs = &self.0.cluster.plan().knobs;
        LinkConfig {
            delay: Duration::from_micros(knobs.delay_us),
            jitter: Duration::from_micros(knobs.jitter_us),
            ..LinkConfig::default()
        }
    }

    fn schedule(&self, number: usize, fault: &Fault) {
        let calm_ms = self.0.cluster.plan().calm_ms;
        if fault.at_ms >= calm_ms {
            return;
        }
        let end = Duration::from_millis((fault.at_ms + fault.for_ms).min(calm_ms));
        let (storm, fault) = (self.clone(), fault.clone());
        self.0.cluster.world().at(Duration::from_millis(fault.at_ms), move |world| {
            let members = storm.aim(&fault.target);
            world.sched().trace(NodeId::WORLD, || format!("begins: {fault} (members {members:?})"));
            storm.begin(number, fault.class, &members, end);
            world.at(end, move |world| {
                world.sched().trace(NodeId::WORLD, || format!("ends: {fault}"));
                storm.end(number, fault.class, &members);
            });
        });
    }

    fn aim(&self, target: &Target) -> Vec<u8> {
        let leader = self.0.cluster.leader();
        match target {
            Target::Leader => leader.into_iter().collect(),
            Target::Follower => {
                let next = leader.map(|leader| leader % self.0.cluster.plan().members + 1);
                next.filter(|next| Some(*next) != leader).into_iter().collect()
            }
            Target::Members(members) => members.clone(),
        }
    }

    fn begin(&self, number: usize, class: Class, members: &[u8], end: Duration) {
        if self.begin_on_links(number, class, members, end) {
            return;
        }
        if class == Class::RollingRestart {
            return self.roll(members, end);
        }
        for member in members {
            if self.begin_on_disk(number, class, *member, end) {
                continue;
            }
            self.begin_on_process(class, *member, end);
        }
    }

    fn begin_on_process(&self, class: Class, member: u8, end: Duration) {
        let (world, node) = (self.0.cluster.world(), self.0.cluster.node(member));
        match class {
            Class::Crash => world.crash(node),
            Class::PowerLoss => world.power_loss(node),
            Class::CrashInRecovery { operations } => self.kill_in_recovery(member, operations, end),
            Class::Pause if world.is_up(node) => world.pause(node),
            Class::Suspend if world.is_up(node) => world.suspend(node),
            Class::SlowCpu { by_us } => world.slow_down(node, Duration::from_micros(by_us)),
            Class::Drift { ppm } => {
                world.sched().effect(Effect::Drift);
                world.set_drift(node, limited(ppm));
            }
            Class::WallJump { by_ms } => {
                world.sched().effect(Effect::WallJump);
                world.jump_wall(node, by_ms);
            }
            Class::Skew { by_ms } => {
                world.sched().effect(Effect::Skew);
                world.jump_wall(node, by_ms);
            }
            _ => {}
        }
    }

    fn end(&self, number: usize, class: Class, members: &[u8]) {
        if self.end_on_links(number, class, members) {
            return;
        }
        let cluster = &self.0.cluster;
        let world = cluster.world();
        for member in members {
            let node = cluster.node(*member);
            if self.end_on_disk(number, class, *member) {
                continue;
            }
            match class {
                Class::Crash | Class::PowerLoss | Class::RollingRestart => cluster.start(*member),
                Class::CrashInRecovery { .. } => {
                    world.disk_faults(node, |faults| faults.power_loss_in_any = None);
                    cluster.start(*member);
                }
                Class::Pause => world.resume(node),
                Class::Suspend => world.wake(node),
                Class::SlowCpu { .. } => world.slow_down(node, Duration::ZERO),
                Class::Drift { .. } => world.set_drift(node, self.usual_drift(*member)),
                Class::Skew { by_ms } => world.jump_wall(node, -by_ms),
                _ => {}
            }
        }
    }

    /// Stops and starts the members, one after the other, until `end`.
    fn roll(&self, members: &[u8], end: Duration) {
        let world = self.0.cluster.world();
        let each = end.saturating_sub(world.now()) / members.len().max(1) as u32;
        for (turn, member) in (0..).zip(members.iter().copied()) {
            let cluster = self.0.cluster.clone();
            world.after(each * turn, move |_| cluster.restart(member, STOP_LIMIT, each / 3));
        }
    }

    /// Kills a member's machine, and again in the middle of each recovery, a little later each time.
    fn kill_in_recovery(&self, member: u8, operations: u64, end: Duration) {
        let (world, node) = (self.0.cluster.world(), self.0.cluster.node(member));
        if self.0.cluster.member(member).is_some() {
            world.power_loss(node);
        }
        if world.now() + AGAIN >= end {
            return;
        }
        if !world.is_up(node) {
            world.disk_faults(node, |faults| faults.power_loss_in_any = Some(operations));
            self.0.cluster.start(member);
        }
        let storm = self.clone();
        world.after(AGAIN, move |world| {
            let serves = storm.0.cluster.member(member).is_some();
            if serves {
                world.disk_faults(node, |faults| faults.power_loss_in_any = None);
            } else {
                storm.kill_in_recovery(member, operations.saturating_mul(2), end);
            }
        });
    }
}

fn limited(ppm: i64) -> i64 {
    ppm.clamp(-MAX_DRIFT_PPM, MAX_DRIFT_PPM)
}

/// Does something to every way between those inside and those outside of a target.
fn each_cut(cluster: &Cluster, inside: &[u8], mut act: impl FnMut(&World, NodeId, NodeId)) {
    for outside in cluster.members().filter(|member| !inside.contains(member)) {
        for member in inside {
            act(cluster.world(), cluster.node(*member), cluster.node(outside));
        }
    }
}
