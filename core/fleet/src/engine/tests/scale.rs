//! The engine's own work at the size that fleet could not reach.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // It measures work done, outside of any world.

use super::bench::*;
use crate::engine::world::World;
use crate::registry::{Fence, Steps, Written};
use std::time::{Duration, Instant};

/// Ten thousand units on a thousand machines, from nothing but wishes: the engine's own work.
#[test]
fn places_ten_thousand_units_from_cold() {
    let mut bench = Bench::new();
    (0..1_000).for_each(|n| bench.arrive(&format!("{n:032x}")));
    (0..10_000).for_each(|n| {
        bench.submit(&format!("u{n}.service"), &format!("[Service]\nExecStart=/bin/a {}\n", n % 100));
    });
    let (lease, _) = now(bench.registry.grant(1_000)).unwrap();
    let Written::Done(fence) = now(bench.registry.lead(&"e".into(), lease)).unwrap() else {
        panic!("nobody leads")
    };
    let snapshot = bench.load();
    let mut watch = bench.registry.watch(snapshot.revision + 1, &crate::registry::Scope::All);
    let (mut own, mut writes) = (Duration::ZERO, 0);
    let begin = Instant::now();
    let mut world = World::new(snapshot, None, kernel::Planted::none(), Duration::ZERO);
    own += begin.elapsed();
    while let Some((id, steps)) = world.next_write(Duration::ZERO) {
        let done = now(bench.registry.decide(Fence(fence), &steps)).unwrap();
        assert!(matches!(done, Steps::Done(_)));
        writes += 1;
        let crate::registry::Batch::Changes(changes) = now(watch.next()).unwrap() else {
            panic!("no history is gone")
        };
        let begin = Instant::now();
        assert!(world.wrote(Duration::ZERO, id, &Ok(done)));
        changes.into_iter().for_each(|change| world.apply(change, Duration::ZERO));
        world.turn(Duration::ZERO);
        own += begin.elapsed();
    }
    let view = bench.load();
    assert_eq!(view.orders.len(), 10_000);
    assert!(view.jobs.values().all(|job| job.target.is_some()));
    println!("{writes} transactions, {own:?} of the engine's own");
    assert_eq!(writes, 10_000_usize.div_ceil(crate::registry::STEPS_MOST));
    assert!(own < Duration::from_secs(20), "{own:?}: something has become quadratic");
}
