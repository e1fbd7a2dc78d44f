//! How many events a second the world sustains, by kind of work: `cargo run --release -p io-sim --example throughput`; and how many
//! simulated seconds a second of one core the whole store takes, with five members, every fault and every checker.
//!
//! The wall clock is read outside of the rooms, where it is the real one.

use bytes::Bytes;
use io_sim::plan::Plan;
use io_sim::{NodeId, World, run_sealed, runner};
use std::time::{Duration, Instant};

type Work = fn(&World, &[NodeId]);

const WORKS: [(&str, Work, u64); 3] = [
    ("timers", timers, 1000),
    ("frames between five nodes", frames, 200),
    ("jobs that write and sync", jobs, 200),
];

/// Runs of the store that are measured, by their number; `throughput store N` says another.
const RUNS: usize = 60;

fn main() {
    let mut args = std::env::args().skip(1);
    let (only, runs) = (args.next(), args.next().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS));
    if only.as_deref() == Some("store") {
        return store(runs);
    }
    for (name, work, seconds) in WORKS {
        let start = Instant::now();
        let events = run_sealed(1, move |world| {
            let nodes: Vec<NodeId> = (0..5).map(|number| world.add_node(&format!("n{number}"))).collect();
            nodes.iter().for_each(|node| _ = world.start(*node));
            work(world, &nodes);
            world.run_until(Duration::from_secs(seconds));
            assert_eq!(world.failures(), []);
            world.digest().1
        });
        let wall = start.elapsed().as_secs_f64();
        let rate = events as f64 / wall / 1e6;
        println!(
            "{name}: {events} events, {rate:.2} M/s, {:.0} simulated seconds a second",
            seconds as f64 / wall
        );
    }
    store(runs);
}

/// Drawn plans of five members, one after the other, on this core.
fn store(runs: usize) {
    let plans: Vec<Plan> = (1..).map(Plan::from_seed).filter(|plan| plan.members == 5).take(runs).collect();
    let (start, mut simulated, mut events, mut calls) = (Instant::now(), 0.0, 0, 0);
    for plan in &plans {
        let report = runner::run(plan);
        assert!(report.passed(), "{report}");
        simulated += report.simulated.as_secs_f64();
        (events, calls) = (events + report.events, calls + report.operations.total());
    }
    let wall = start.elapsed().as_secs_f64();
    println!(
        "{runs} runs of five members: {:.0} simulated seconds a second, {:.2} M events a second, {:.1} calls a simulated second",
        simulated / wall,
        events as f64 / wall / 1e6,
        calls as f64 / simulated
    );
}

fn timers(world: &World, nodes: &[NodeId]) {
    for node in nodes {
        for _ in 0..10 {
            let clock = world.io(*node).expect("it is up").clock;
            world.spawn_on(*node, "timer", async move {
                loop {
                    clock.sleep_until(clock.now() + Duration::from_millis(10)).await;
                }
            });
        }
    }
}

fn frames(world: &World, nodes: &[NodeId]) {
    for node in nodes {
        let (io, name) = (world.io(*node).expect("it is up"), world.name(*node));
        world.spawn_on(*node, "echo", async move {
            let mut listener = io.net.listen(&format!("{name}:1")).await.expect("the port is free");
            while let Ok(mut connection) = listener.accept().await {
                let echo = async move {
                    while let Ok(Some(frame)) = connection.receiver.recv().await {
                        if connection.sender.send(vec![frame]).await.is_err() {
                            return;
                        }
                    }
                };
                io.spawn.spawn("echo", Box::pin(echo));
            }
        });
    }
    for (index, node) in nodes.iter().enumerate() {
        for peer in (0..5).filter(|peer| *peer != index) {
            let net = world.io(*node).expect("it is up").net;
            world.spawn_on(*node, "asks", async move {
                let mut connection = net.connect(&format!("n{peer}:1")).await.expect("somebody listens");
                loop {
                    connection
                        .sender
                        .send(vec![Bytes::from_static(&[7; 100])])
                        .await
                        .expect("nothing breaks");
                    connection.receiver.recv().await.expect("nothing breaks");
                }
            });
        }
    }
}

fn jobs(world: &World, nodes: &[NodeId]) {
    for node in nodes {
        let io = world.io(*node).expect("it is up");
        world.spawn_on(*node, "writes", async move {
            let worker = io.spawn.worker("log");
            let file = io.disk.open("log", kernel::Open::New).expect("an empty disk");
            for round in 0u64.. {
                let file = file.clone();
                let write = move || file.write_at(round % 1000 * 300, &[1; 300]).and_then(|()| file.sync());
                kernel::spawn::run_on(&worker, write)
                    .await
                    .expect("the worker lives")
                    .expect("the disk is well");
            }
        });
    }
}
