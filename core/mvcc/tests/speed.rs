//! How long an apply takes. Not part of the ordinary run: `cargo test --release -p mvcc --test speed -- --ignored --nocapture`.

mod common;

use common::disk::MemDisk;
use common::*;
use std::hint::black_box;

/// Seconds of processor time that this thread has used: the tests of core have no other clock.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn timed(what: &str, times: u64, mut work: impl FnMut(u64)) {
    let begun = cpu_seconds();
    (0..times).for_each(&mut work);
    println!("{what}: {:.2} us", (cpu_seconds() - begun) * 1e6 / times as f64);
}

#[test]
#[ignore = "a measurement"]
fn apply_and_read() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let value = "v".repeat(256);
    timed("put, new key", 200_000, |n| {
        black_box(next(&store, &put(&format!("key/{:012}", n * 7919 % 200_000), &value)));
    });
    timed("put, existing key", 200_000, |n| {
        black_box(next(&store, &put(&format!("key/{:012}", n * 7919 % 200_000), &value)));
    });
    timed("get from memory", 200_000, |n| {
        black_box(store.range(&get_request(&format!("key/{:012}", n * 7919 % 200_000), "")).unwrap());
    });
    timed("flush, a row", 1, |_| settle(&store));
    println!("rows: 400000, file {} MiB", store.sizes().total >> 20);
    timed("get from the file", 200_000, |n| {
        black_box(store.range(&get_request(&format!("key/{:012}", n * 7919 % 200_000), "")).unwrap());
    });
    timed("range of 1000 from the file", 100, |n| {
        let request =
            kernel::types::RangeRequest { limit: 1000, ..get_request(&format!("key/{:012}", n * 10), "\0") };
        black_box(store.range(&request).unwrap());
    });
    next(&store, &compact(store.revision())).result.unwrap();
    timed("compaction of 200000 rows, all", 1, |_| settle(&store));
    apply_beside_a_reader(&store);
    drop(store);
    timed("open, 200000 rows", 1, |_| drop(open(&disk)));
}

/// How long a put takes by the clock on the wall while another thread counts all keys again and again.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "waiting does not show in processor time"
)]
fn apply_beside_a_reader(store: &mvcc::Store) {
    let done = std::sync::atomic::AtomicBool::new(false);
    let (mut waits, mut counts) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let request = kernel::types::RangeRequest { count_only: true, ..all() };
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                black_box(store.range(&request).unwrap());
                counts += 1;
            }
        });
        for n in 0..20_000 {
            let begun = std::time::Instant::now();
            next(store, &put(&format!("key/{:012}", n * 7919 % 200_000), "v"));
            waits.push(begun.elapsed().as_micros());
            if n % 100 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    waits.sort_unstable();
    let at = |part: usize| waits[waits.len() * part / 1_000 - 1];
    println!(
        "put beside {counts} counts of 200000 keys: p50 {} p99 {} p99.9 {} max {} us",
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
}
