//! Power lost and processes killed at every step of a script and of its recovery, and random histories.

use crate::testing::disk::Fault;
use crate::testing::world::World;
use crate::testing::{entry, snapshot, state};
use crate::{Error, Record};
use kernel::rng::Stream;

/// A life with appends, truncation, rolls, markers, releases (one recycled, one removed) and an installed snapshot.
fn live(world: &mut World) -> Result<(), Error> {
    world.save(&[state(1, 1)], true)?;
    for index in 1..=12 {
        world.save(&[entry(index, 1, 500)], index % 3 != 0)?;
        if index % 4 == 0 {
            world.mark()?;
        }
    }
    world.save(&[entry(11, 2, 700), entry(12, 2, 9), state(2, 3)], true)?;
    world.release(6)?;
    for index in 13..=20 {
        world.save(&[entry(index, 2, 600), state(2, index)], true)?;
    }
    world.release(19)?;
    world.save(&[snapshot(40, 3), state(3, 1)], true)?;
    world.save(&[entry(41, 3, 5000)], true)?;
    world.save(&[entry(42, 3, 1)], false)?;
    world.mark()?;
    world.release(41)?;
    world.save(&[entry(43, 3, 100)], false)
}

/// Makes the disk come back as after `fault`.
fn come_back(world: &World, fault: Fault, seed: u64) {
    match fault {
        Fault::Kill => world.disk.restart(),
        _ => world.disk.lose_power(seed),
    }
}

fn steps_of_life() -> u64 {
    let mut world = World::new();
    let before = world.disk.steps();
    live(&mut world).unwrap();
    world.disk.steps() - before
}

#[test]
fn case_01_power_loss_at_every_step() {
    let steps = steps_of_life();
    assert!(steps > 80, "the script does something");
    for at in 0..steps {
        for seed in 0..12 {
            let mut world = World::new();
            world.disk.plan(at, Fault::PowerLoss);
            live(&mut world).expect_err("the power is off");
            come_back(&world, Fault::PowerLoss, seed);
            world.reopen().unwrap();
            let next = world.last() + 1;
            world.save(&[entry(next, 9, 50)], true).unwrap();
            world.disk.lose_power(seed + 1);
            world.reopen().unwrap();
        }
    }
}

#[test]
fn case_01_a_kill_at_every_step_and_then_a_power_loss() {
    for at in 0..steps_of_life() {
        let mut world = World::new();
        world.disk.plan(at, Fault::Kill);
        live(&mut world).expect_err("the process is gone");
        world.disk.restart();
        world.reopen().unwrap();
        // What was recovered counts as durable, though only the page cache may have held it.
        for seed in 0..4 {
            world.disk.lose_power(seed);
            world.reopen().unwrap();
        }
    }
}

#[test]
fn case_17_power_loss_at_every_step_of_recovery() {
    let mut reached = 0;
    for at in 0..steps_of_life() {
        for recovery in 0..8 {
            let mut world = World::new();
            world.disk.plan(at, Fault::PowerLoss);
            live(&mut world).expect_err("the power is off");
            come_back(&world, Fault::PowerLoss, at);
            world.disk.plan(recovery, Fault::PowerLoss);
            if world.reopen().is_err() {
                reached += 1;
                world.disk.lose_power(recovery);
                world.reopen().unwrap();
            }
        }
    }
    assert!(reached > 200, "recovery was cut off {reached} times");
}

#[test]
fn case_01_power_loss_at_every_step_of_creation() {
    use crate::testing::{DIR, create, disk::TestDisk, options};
    use crate::{OnDamage, Wal};
    use std::sync::Arc;
    let whole = TestDisk::default();
    drop(create(&whole));
    for at in 0..whole.steps() {
        for seed in 0..8 {
            let disk = TestDisk::default();
            disk.plan(at, Fault::PowerLoss);
            let made = Wal::create(Arc::new(disk.clone()), DIR, "m".into(), options());
            assert!(made.is_err(), "the power is off");
            disk.lose_power(seed);
            if Wal::exists(&disk, DIR).unwrap() {
                let (_, recovered) = Wal::open(Arc::new(disk), DIR, OnDamage::Refuse, options()).unwrap();
                assert_eq!(recovered.entries, []);
            } else {
                Wal::create(Arc::new(disk), DIR, "m".into(), options()).unwrap();
            }
        }
    }
}

/// One random batch that the rules of raft allow.
fn batch(random: &mut Stream, world: &World, floor: u64, term: u64) -> Vec<Record> {
    let mut last = world.last();
    let mut records = Vec::new();
    if random.chance(1, 25) {
        last += random.between(1, 5);
        records.push(snapshot(last, term));
    } else if random.chance(1, 6) && last > floor {
        last = random.between(floor, last - 1);
    }
    for _ in 0..random.below(4) {
        last += 1;
        let size = if random.chance(1, 12) { 3000 + random.below(3000) } else { random.below(400) };
        records.push(entry(last, term, size as usize));
    }
    if random.chance(1, 2) {
        records.push(state(term, random.below(5)));
    }
    records
}

/// A random life of `length` verbs, with every kind of fault; panics where the log breaks its promise.
fn random_life(seed: u64, length: u64) -> u64 {
    let mut random = Stream::new(seed, "life", 0);
    let mut world = World::new();
    let mut crashes = 0;
    for round in 0..length {
        let term = 1 + round / 8;
        if random.chance(1, 6) {
            let fault = [Fault::PowerLoss, Fault::Kill, Fault::Io, Fault::Full][random.below(4) as usize];
            world.disk.plan(random.below(6), fault);
        }
        // What is at or below the floor is committed: never replaced.
        let installed = world.saved.iter().rev().find(|record| record.kind == crate::Kind::Snapshot);
        let floor = world.released.max(installed.map_or(0, |record| record.index));
        let done = match random.below(10) {
            0 => world.mark(),
            1 => world.release(random.between(floor, world.last().max(floor))).map(|_| ()),
            _ => {
                let records = batch(&mut random, &world, floor, term);
                world.save(&records, random.chance(2, 3))
            }
        };
        let lives_on = matches!(done, Ok(()) | Err(Error::Full(_)));
        if lives_on && !random.chance(1, 12) {
            continue;
        }
        crashes += 1;
        loop {
            let fault = if random.chance(1, 2) { Fault::Kill } else { Fault::PowerLoss };
            come_back(&world, fault, random.next_u64());
            if random.chance(1, 3) {
                let fault = [Fault::PowerLoss, Fault::Kill, Fault::Io, Fault::Full][random.below(4) as usize];
                world.disk.plan(random.below(6), fault);
            }
            match world.reopen() {
                Ok(_) => break,
                Err(Error::Io { .. } | Error::Full(_)) => continue,
                Err(other) => panic!("{other} after a crash alone, seed {seed}"),
            }
        }
    }
    crashes
}

#[test]
fn random_lives_keep_what_was_synced() {
    let crashes: u64 = (0..400).map(|seed| random_life(seed, 120)).sum();
    assert!(crashes > 4000, "{crashes} crashes were survived");
}

quickcheck::quickcheck! {
    fn any_random_life_keeps_what_was_synced(seed: u64) -> bool {
        random_life(seed, 60) < 60
    }
}
