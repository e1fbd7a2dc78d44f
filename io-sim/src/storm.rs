//! The faults of a plan, put on the world's calendar: each begins at its time and ends at its own end or at the calm.
//!
//! What cannot begin does nothing (a crash of a member that is down), and ends add up: links are computed from all
//! faults that are on, cuts are counted by the network, a member is started again by the first end that finds it down.

use crate::clock::MAX_DRIFT_PPM;
use crate::cluster::Cluster;
use crate::net::LinkConfig;
use crate::plan::{Class, Fault, Target, Way};
use crate::sched::NodeId;
use crate::world::World;
use kernel::rng::Stream;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The storm over one cluster; clones share it.
#[derive(Clone)]
pub struct Storm(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    /// Every machine, clients too.
    nodes: Vec<NodeId>,
    links: Mutex<BTreeMap<usize, (Vec<NodeId>, Class)>>,
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
            drifts: drifts.collect(),
        }));
        world.set_all_links(&storm.usual_link());
        for member in cluster.members() {
            let node = cluster.node(member);
            world.set_drift(node, storm.usual_drift(member));
            world.disk_speed(node, |speed| speed.base = Duration::from_micros(plan.knobs.sync_us));
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
            storm.begin(number, fault.class, &members);
            world.at(end, move |world| {
                world.sched().trace(NodeId::WORLD, || format!("ends: {fault}"));
                storm.end(number, fault.class, &members);
            });
        });
    }

    fn aim(&self, target: &Target) -> Vec<u8> {
        match target {
            Target::Leader => self.0.cluster.leader().into_iter().collect(),
            Target::Members(members) => members.clone(),
        }
    }

    fn begin(&self, number: usize, class: Class, members: &[u8]) {
        let world = self.0.cluster.world();
        match class {
            Class::Partition { way } => return self.each_cut(members, way, World::cut),
            Class::Loss { .. } | Class::SlowLink { .. } => {
                return self.change_links(number, Some((class, members)));
            }
            _ => {}
        }
        for member in members {
            let node = self.0.cluster.node(*member);
            match class {
                Class::Crash => world.crash(node),
                Class::PowerLoss => world.power_loss(node),
                Class::PowerLossAfter { operations } => {
                    world.disk_faults(node, |faults| faults.power_loss_in = Some(operations.max(1)));
                }
                Class::Pause => world.pause(node),
                Class::SlowDisk { by_ms } => {
                    world.disk_speed(node, |speed| speed.base += Duration::from_millis(by_ms));
                }
                Class::FailSync => world.disk_faults(node, |faults| faults.fail_sync_in = Some(1)),
                Class::FullDisk => {
                    let used = world.disk_used_bytes(node);
                    world.disk_faults(node, |faults| faults.quota_bytes = Some(used));
                }
                Class::Drift { ppm } => world.set_drift(node, limited(ppm)),
                Class::WallJump { by_ms } => world.jump_wall(node, by_ms),
                Class::Wipe => {
                    world.power_loss(node);
                    world.wipe(node);
                }
                Class::BitRot { bits } => {
                    world.power_loss(node);
                    self.rot(number, node, bits);
                }
                Class::LyingSync => world.disk_faults(node, |faults| faults.lying_syncs = true),
                Class::Partition { .. } | Class::Loss { .. } | Class::SlowLink { .. } => {}
            }
        }
    }

    fn end(&self, number: usize, class: Class, members: &[u8]) {
        let world = self.0.cluster.world();
        match class {
            Class::Partition { way } => return self.each_cut(members, way, World::heal),
            Class::Loss { .. } | Class::SlowLink { .. } => return self.change_links(number, None),
            _ => {}
        }
        for member in members {
            let node = self.0.cluster.node(*member);
            match class {
                Class::Crash | Class::PowerLoss | Class::Wipe | Class::BitRot { .. } => {
                    self.0.cluster.start(*member);
                }
                Class::LyingSync => {
                    world.power_loss(node);
                    world.disk_faults(node, |faults| faults.lying_syncs = false);
                    self.0.cluster.start(*member);
                }
                Class::PowerLossAfter { .. } => {
                    world.disk_faults(node, |faults| faults.power_loss_in = None);
                    self.0.cluster.start(*member);
                }
                Class::Pause => world.resume(node),
                Class::SlowDisk { by_ms } => {
                    let by = Duration::from_millis(by_ms);
                    world.disk_speed(node, |speed| speed.base = speed.base.saturating_sub(by));
                }
                Class::FailSync => world.disk_faults(node, |faults| faults.fail_sync_in = None),
                Class::FullDisk => world.disk_faults(node, |faults| faults.quota_bytes = None),
                Class::Drift { .. } => world.set_drift(node, self.usual_drift(*member)),
                Class::WallJump { .. }
                | Class::Partition { .. }
                | Class::Loss { .. }
                | Class::SlowLink { .. } => {}
            }
        }
    }

    /// Turns over bits of what is stored, wherever chance falls.
    fn rot(&self, number: usize, node: NodeId, bits: u64) {
        let world = self.0.cluster.world();
        let mut draw = Stream::new(self.0.cluster.plan().seed, "rot", number as u64);
        let files: Vec<_> = world.files(node).into_iter().filter(|(_, len)| *len > 0).collect();
        for _ in 0..bits {
            let Some((path, len)) = files.get(draw.below(files.len().max(1) as u64) as usize) else { return };
            world.flip_bit(node, path, draw.below(*len), draw.below(8) as u8);
        }
    }

    fn each_cut(&self, inside: &[u8], way: Way, act: impl Fn(&World, NodeId, NodeId)) {
        let cluster = &self.0.cluster;
        for outside in cluster.members().filter(|member| !inside.contains(member)) {
            for member in inside {
                let (here, there) = (cluster.node(*member), cluster.node(outside));
                if way != Way::In {
                    act(cluster.world(), here, there);
                }
                if way != Way::Out {
                    act(cluster.world(), there, here);
                }
            }
        }
    }

    /// Turns one fault of links on or off, and gives every link what all faults that are on make of it.
    fn change_links(&self, number: usize, fault: Option<(Class, &[u8])>) {
        let mut active = self.0.links.lock().expect("no holder panics");
        match fault {
            Some((class, members)) => {
                let nodes = members.iter().map(|member| self.0.cluster.node(*member)).collect();
                active.insert(number, (nodes, class));
            }
            None => drop(active.remove(&number)),
        }
        for from in &self.0.nodes {
            for to in self.0.nodes.iter().filter(|to| *to != from) {
                let mut link = self.usual_link();
                for (_, class) in
                    active.values().filter(|(nodes, _)| nodes.contains(from) || nodes.contains(to))
                {
                    worsen(&mut link, *class);
                }
                self.0.cluster.world().set_link(*from, *to, link);
            }
        }
    }
}

fn limited(ppm: i64) -> i64 {
    ppm.clamp(-MAX_DRIFT_PPM, MAX_DRIFT_PPM)
}

fn worsen(link: &mut LinkConfig, class: Class) {
    match class {
        // One packet in so many is lost and repeated; one in ten times as many breaks its connection.
        Class::Loss { permille } => {
            link.loss_ppm = (link.loss_ppm + permille * 1_000).min(900_000);
            link.reset_ppm = (link.reset_ppm + permille * 100).min(90_000);
        }
        Class::SlowLink { by_ms } => link.delay += Duration::from_millis(by_ms),
        _ => {}
    }
}
