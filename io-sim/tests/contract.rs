//! The invented world keeps the contracts of the ports, over many seeds.
//!
//! `io-real` runs the same cases against this machine. Here each case gets a fresh room for each seed, so that tie-breaks,
//! delays and what a power loss leaves behind all vary.

use io_sim::{LinkConfig, NodeId, World, run_sealed};
use kernel::contract::{clock, disk, net, spawn};
use kernel::{BoxFuture, Disk};
use std::sync::Arc;
use std::time::Duration;

const SEEDS: u64 = 20;

/// Longer than any case takes.
const END: Duration = Duration::from_secs(3600);

/// Runs a case of its own node in a room of its own, for each seed.
fn for_each_seed(
    name: &'static str,
    case: impl Fn(&World, NodeId) -> BoxFuture<'static, ()> + Send + Sync + 'static,
) {
    let case = Arc::new(case);
    for seed in 0..SEEDS {
        let case = case.clone();
        run_sealed(seed, move |world| {
            let node = world.add_node("here");
            let done = world.complete(END, case(world, node));
            assert!(done.is_some(), "{name}, seed {seed}: {:?}", world.failures());
        });
    }
}

#[test]
fn clocks_keep_their_contract() {
    for (name, case) in clock::CASES {
        for_each_seed(name, |world, node| {
            let ppm = (world.seed() as i64 % 3 - 1) * io_sim::MAX_DRIFT_PPM;
            world.set_drift(node, ppm);
            case(world.start(node).clock)
        });
    }
}

#[test]
fn workers_keep_their_contract() {
    for (name, case) in spawn::CASES {
        for_each_seed(name, |world, node| {
            let io = world.start(node);
            case(io.spawn, io.clock)
        });
    }
}

fn stage(world: &World, node: NodeId) -> net::Stage {
    let other = world.add_node("there");
    let (here, there) = (world.start(node), world.start(other));
    net::Stage { here: here.net, there: there.net, listen: "there:0".to_string(), clock: here.clock }
}

#[test]
fn networks_keep_their_contract() {
    for (name, case) in net::CASES {
        for_each_seed(name, |world, node| case(stage(world, node)));
    }
}

#[test]
fn a_machine_talks_to_itself() {
    for (name, case) in net::CASES {
        for_each_seed(name, |world, node| {
            let io = world.start(node);
            let listen = "127.0.0.1:0".to_string();
            case(net::Stage { here: io.net.clone(), there: io.net, listen, clock: io.clock })
        });
    }
}

/// Breaks, losses, cuts and a slow line all at once: within a connection there are still no gaps and no repetitions.
#[test]
fn a_bad_network_loses_only_ends_of_connections() {
    for_each_seed("each connection carries a prefix, on a bad network", |world, node| {
        let stage = stage(world, node);
        let bad = LinkConfig {
            jitter: Duration::from_millis(30),
            tail_ppm: 50_000,
            loss_ppm: 100_000,
            reset_ppm: 30_000,
            duplicate_ppm: 500_000,
            bytes_per_second: 100_000,
            ..LinkConfig::default()
        };
        world.set_all_links(&bad);
        let (a, b) = (node, NodeId(node.0 + 1));
        for second in 1..40 {
            let (from, to) = if second % 2 == 0 { (a, b) } else { (b, a) };
            world.at(Duration::from_millis(second * 700), move |world| world.cut(from, to));
            world.at(Duration::from_millis(second * 700 + second * 50), move |world| world.heal(from, to));
        }
        Box::pin(net::each_connection_carries_a_prefix(stage))
    });
}

struct Simulated<'w> {
    world: &'w World,
    node: NodeId,
}

impl disk::Machine for Simulated<'_> {
    fn disk(&self) -> Arc<dyn Disk> {
        self.world.io(self.node).expect("the node is up").disk
    }

    fn crash(&mut self) -> bool {
        self.world.crash(self.node);
        self.world.start(self.node);
        true
    }

    fn power_loss(&mut self) -> bool {
        self.world.power_loss(self.node);
        self.world.start(self.node);
        true
    }
}

#[test]
fn disks_keep_their_contract() {
    for seed in 0..SEEDS {
        run_sealed(seed, move |world| {
            for (index, (_, case)) in disk::CASES.iter().enumerate() {
                let node = world.add_node(&format!("n{index}"));
                world.set_large_sectors(node, seed % 2 == 1);
                world.start(node);
                case(&mut Simulated { world, node });
            }
        });
    }
}
