//! The sealed room lets nothing in but the seed: what code may reach without a port repeats, and follows the world's time.

use io_sim::{LinkConfig, NodeId, World, run_sealed};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn std_time_follows_the_world() {
    run_sealed(1, |world| {
        let (instant, system) = (Instant::now(), SystemTime::now());
        world.run_until(ms(123_456));
        let passed = instant.elapsed();
        assert!(passed >= ms(123_456) && passed < ms(123_457), "{passed:?}");
        assert!(system.elapsed().unwrap() >= ms(123_456));
    });
}

#[test]
fn hash_order_and_system_time_come_from_the_seed() {
    let run = |seed| {
        run_sealed(seed, |_| {
            let map: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
            (map.into_keys().collect::<Vec<_>>(), SystemTime::now())
        })
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}

#[test]
fn threads_cannot_be_started() {
    let started = run_sealed(1, |_| std::panic::catch_unwind(|| std::thread::spawn(|| ())).is_ok());
    assert!(!started);
}

#[test]
fn a_panic_of_the_runner_reaches_the_caller() {
    let caught = std::panic::catch_unwind(|| run_sealed(1, |_| panic!("on purpose")));
    assert!(caught.is_err());
}

/// Five nodes that talk, write and sync under faults; the digest and every line of the trace.
fn eventful_run(seed: u64) -> ((u64, u64), Vec<String>) {
    run_sealed(seed, |world| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        world.sched().set_trace(Some(Box::new(move |at, node, line| {
            sink.lock().unwrap().push(format!("{at:?} {node} {line}"));
        })));
        world.set_all_links(&LinkConfig { loss_ppm: 20_000, reset_ppm: 5_000, ..LinkConfig::default() });
        let nodes: Vec<NodeId> = (0..5).map(|number| world.add_node(&format!("n{number}"))).collect();
        for node in nodes.clone() {
            begin(world, node);
        }
        world.on_death(|world, death| world.after(ms(300), move |world| begin(world, death.node)));
        for (index, node) in nodes.into_iter().enumerate() {
            let at = ms(1000 + 700 * index as u64);
            let peer = NodeId(node.0 % 5 + 1);
            match index % 3 {
                0 => world
                    .at(at, move |world| world.disk_faults(node, |faults| faults.power_loss_in = Some(3))),
                1 => world.at(at, move |world| world.crash(node)),
                _ => world.at(at, move |world| world.power_loss(node)),
            }
            world.at(at, move |world| world.cut(node, peer));
            world.at(at + ms(400), move |world| world.heal(node, peer));
        }
        world.run_until(ms(8000));
        assert_eq!(world.failures(), []);
        let lines = lines.lock().unwrap().clone();
        (world.digest(), lines)
    })
}

/// A process that takes connections, sends to everybody, and writes to its disk beside that.
fn begin(world: &World, node: NodeId) {
    let io = world.start(node);
    let worker = io.spawn.worker("disk");
    let name = world.name(node);
    let (net, spawn) = (io.net.clone(), io.spawn.clone());
    world.spawn_on(node, "accepts", async move {
        let mut listener = net.listen(&format!("{name}:1")).await.unwrap();
        while let Ok(mut connection) = listener.accept().await {
            spawn.spawn(
                "drains",
                Box::pin(async move { while let Ok(Some(_)) = connection.receiver.recv().await {} }),
            );
        }
    });
    for peer in 0..5 {
        let (net, clock) = (io.net.clone(), io.clock.clone());
        world.spawn_on(node, "sends", async move {
            loop {
                if let Ok(mut connection) = net.connect(&format!("n{peer}:1")).await {
                    while connection.sender.send(vec![bytes::Bytes::from_static(b"hello"); 3]).await.is_ok() {
                        clock.sleep_until(clock.now() + ms(20)).await;
                    }
                }
                clock.sleep_until(clock.now() + ms(50)).await;
            }
        });
    }
    let (disk, clock) = (io.disk.clone(), io.clock.clone());
    world.spawn_on(node, "writes", async move {
        for round in 0u64.. {
            let disk = disk.clone();
            let write = move || {
                let file = disk.open("log", kernel::Open::Any)?;
                file.write_at(round * 100, &[round as u8; 100])?;
                file.sync()
            };
            if let Some(Err(_)) | None = kernel::spawn::run_on(&worker, write).await {
                return;
            }
            clock.sleep_until(clock.now() + ms(5)).await;
        }
    });
}

#[test]
fn one_seed_is_one_run_to_the_line() {
    for seed in 0..10 {
        let (first, second) = (eventful_run(seed), eventful_run(seed));
        let parted = first.1.iter().zip(&second.1).find(|(first, second)| first != second);
        assert_eq!(parted, None, "seed {seed}: the traces part here");
        assert_eq!(first.0, second.0, "seed {seed}");
        assert!(first.0.1 > 10_000, "seed {seed}: {} events are too few to prove anything", first.0.1);
    }
    assert_ne!(eventful_run(0).0, eventful_run(1).0);
}
