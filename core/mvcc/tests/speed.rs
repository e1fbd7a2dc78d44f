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
    drop(store);
    timed("open, 200000 rows", 1, |_| drop(open(&disk)));
}
