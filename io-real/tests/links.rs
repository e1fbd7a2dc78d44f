//! The Links port against this machine's kernel, each test in a network of its own.

use flannel::contract_links::{self, Stage};
use io_real::links::NetLinks;
use io_real::namespaces::Namespaces;
use io_real::ports::RealClock;
use std::sync::Arc;

/// Runs asynchronous work in the network of machine 0.
fn inside<T: Send>(machines: &Namespaces, work: impl AsyncFnOnce() -> T + Send) -> T {
    machines.inside(0, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    })
}

fn stage() -> Stage {
    Stage {
        links: Arc::new(NetLinks::open().unwrap()),
        other: Arc::new(NetLinks::open().unwrap()),
        clock: Arc::new(RealClock::new()),
        underlay: "eth0".to_string(),
        local: "192.168.99.1/24".parse().unwrap(),
        gateway: "192.168.99.254".parse().unwrap(),
    }
}

#[test]
fn the_kernel_keeps_the_contract() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up(1).unwrap();
    inside(&machines, async || {
        for (name, case) in contract_links::CASES {
            println!("{name}");
            case(stage()).await;
        }
    });
}
