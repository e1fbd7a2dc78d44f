//! Faults of the network: cuts, which the network counts, and worse links, which are computed anew from all faults that are on
//! whenever one begins or ends.

use super::{Storm, each_cut};
use crate::cluster::Cluster;
use crate::net::LinkConfig;
use crate::plan::{Class, Way};
use crate::sched::{Effect, NodeId};
use crate::world::World;
use std::collections::BTreeMap;
use std::time::Duration;

/// Faults that make links worse and are on, by their place in the plan.
#[derive(Default)]
pub(super) struct Worsened(BTreeMap<usize, (Vec<NodeId>, Class)>);

impl Storm {
    /// Begins a fault of the network; false when it is none.
    pub(super) fn begin_on_links(&self, number: usize, class: Class, members: &[u8], end: Duration) -> bool {
        let cluster = &self.0.cluster;
        let world = cluster.world();
        match class {
            Class::Partition { way } => {
                each_way(cluster, members, way, World::cut);
                let all = usize::from(cluster.plan().members);
                if !members.is_empty() && members.len() < all {
                    world.sched().effect(Effect::Partition);
                }
                if members.len() == 1 && all > 2 && cluster.leader() == members.first().copied() {
                    world.sched().effect(Effect::IsolatedLeader);
                }
            }
            Class::Partial => {
                each_pair(cluster, members, World::cut);
                if members.len() > 1 && members.len() < usize::from(cluster.plan().members) {
                    world.sched().effect(Effect::Partial);
                }
            }
            Class::Flap { every_ms } => self.flap(members, Duration::from_millis(every_ms), end, false),
            Class::Reset => each_cut(cluster, members, World::reset_connections),
            Class::HalfOpen => each_cut(cluster, members, World::half_open),
            Class::SlowPeer { by_ms } => {
                members.iter().for_each(|member| {
                    world.set_pace(cluster.node(*member), Duration::from_millis(by_ms));
                });
            }
            _ if worsens(class) => {
                if matches!(class, Class::SlowLink { .. }) && !members.is_empty() {
                    world.sched().effect(Effect::SlowLink);
                }
                self.change_links(number, Some((class, members)));
            }
            _ => return false,
        }
        true
    }

    /// Ends a fault of the network; false when it is none.
    pub(super) fn end_on_links(&self, number: usize, class: Class, members: &[u8]) -> bool {
        let cluster = &self.0.cluster;
        match class {
            Class::Partition { way } => each_way(cluster, members, way, World::heal),
            Class::Partial => each_pair(cluster, members, World::heal),
            Class::SlowPeer { .. } => {
                members
                    .iter()
                    .for_each(|member| cluster.world().set_pace(cluster.node(*member), Duration::ZERO));
            }
            // A flap ends by itself.
            Class::Flap { .. } | Class::Reset | Class::HalfOpen => {}
            _ if worsens(class) => self.change_links(number, None),
            _ => return false,
        }
        true
    }

    /// Cuts or heals, and the other the next time, until `end`, when all is whole.
    fn flap(&self, members: &[u8], every: Duration, end: Duration, is_cut: bool) {
        let cluster = &self.0.cluster;
        let (world, over) = (cluster.world(), cluster.world().now() >= end);
        if is_cut {
            each_way(cluster, members, Way::Both, World::heal);
        } else if !over {
            each_way(cluster, members, Way::Both, World::cut);
            world.sched().effect(Effect::Flap);
        }
        if !over {
            let (storm, members) = (self.clone(), members.to_vec());
            let next = (world.now() + every).min(end);
            world.at(next, move |_| storm.flap(&members, every, end, !is_cut));
        }
    }

    /// Turns one fault of links on or off, and gives every link what all faults that are on make of it.
    fn change_links(&self, number: usize, fault: Option<(Class, &[u8])>) {
        let mut active = self.0.links.lock().expect("no holder panics");
        match fault {
            Some((class, members)) => {
                let nodes = members.iter().map(|member| self.0.cluster.node(*member)).collect();
                active.0.insert(number, (nodes, class));
            }
            None => drop(active.0.remove(&number)),
        }
        for from in &self.0.nodes {
            for to in self.0.nodes.iter().filter(|to| *to != from) {
                let mut link = self.usual_link();
                for (_, class) in
                    active.0.values().filter(|(nodes, _)| nodes.contains(from) || nodes.contains(to))
                {
                    worsen(&mut link, *class);
                }
                self.0.cluster.world().set_link(*from, *to, link);
            }
        }
    }
}

/// Does something to the ways between those inside and those outside of a target, in one direction or both.
fn each_way(cluster: &Cluster, inside: &[u8], way: Way, act: impl Fn(&World, NodeId, NodeId)) {
    each_cut(cluster, inside, |world, here, there| {
        if way != Way::In {
            act(world, here, there);
        }
        if way != Way::Out {
            act(world, there, here);
        }
    });
}

/// Does something to the ways between each two of a target.
fn each_pair(cluster: &Cluster, members: &[u8], act: impl Fn(&World, NodeId, NodeId)) {
    for one in members {
        for other in members.iter().filter(|other| *other != one) {
            act(cluster.world(), cluster.node(*one), cluster.node(*other));
        }
    }
}

fn worsens(class: Class) -> bool {
    matches!(
        class,
        Class::Loss { .. }
            | Class::SlowLink { .. }
            | Class::Reorder { .. }
            | Class::Duplicate { .. }
            | Class::Corrupt { .. }
            | Class::Bandwidth { .. }
    )
}

fn worsen(link: &mut LinkConfig, class: Class) {
    match class {
        // One packet in so many is lost and repeated; one in ten times as many breaks its connection.
        Class::Loss { permille } => {
            link.loss_ppm = (link.loss_ppm + permille * 1_000).min(900_000);
            link.reset_ppm = (link.reset_ppm + permille * 100).min(90_000);
        }
        Class::SlowLink { by_ms } => link.delay += Duration::from_millis(by_ms),
        Class::Reorder { by_ms } => link.jitter += Duration::from_millis(by_ms),
        Class::Duplicate { permille } => {
            link.split_ppm = (link.split_ppm + permille * 1_000).min(500_000);
            link.duplicate_ppm = link.split_ppm;
        }
        Class::Corrupt { permille } => link.corrupt_ppm = (link.corrupt_ppm + permille * 1_000).min(500_000),
        Class::Bandwidth { bytes } => {
            let held = Some(link.bytes_per_second).filter(|held| *held > 0);
            link.bytes_per_second = held.map_or(bytes, |held| held.min(bytes));
        }
        _ => {}
    }
}
