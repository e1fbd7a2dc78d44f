//! This machine keeps the contracts of the ports. `io-sim` runs the same cases in the invented world.

use io_real::ports::{RealClock, RealDisk, RealNet, RealSpawn};
use kernel::contract::{clock, disk, net, spawn};
use kernel::{BoxFuture, Clock, Disk, Net};
use std::sync::Arc;

/// Runs a case on a runtime of its own.
fn run(case: impl FnOnce(Arc<dyn Clock>) -> BoxFuture<'static, ()>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let _inside = runtime.enter();
    let case = case(clock);
    runtime.block_on(case);
}

#[test]
fn the_clock_keeps_its_contract() {
    for (name, case) in clock::CASES {
        println!("{name}");
        run(|clock| case(clock));
    }
}

#[test]
fn workers_keep_their_contract() {
    for (name, case) in spawn::CASES {
        println!("{name}");
        run(|clock| case(Arc::new(RealSpawn::new(tokio::runtime::Handle::current())), clock));
    }
}

#[test]
fn loopback_keeps_the_contract_of_the_net() {
    for (name, case) in net::CASES {
        println!("{name}");
        run(|clock| {
            let port: Arc<dyn Net> = Arc::new(RealNet);
            case(net::Stage { here: port.clone(), there: port, listen: "127.0.0.1:0".to_string(), clock })
        });
    }
}

/// A directory of this machine. Its process is this test's, which cannot crash and go on; the tests of the program kill real
/// ones.
struct Directory {
    disk: Arc<dyn Disk>,
    _root: tempfile::TempDir,
}

impl Directory {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let disk = Arc::new(RealDisk::new(root.path()));
        Directory { disk, _root: root }
    }
}

impl disk::Machine for Directory {
    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn crash(&mut self) -> bool {
        false
    }

    fn power_loss(&mut self) -> bool {
        false
    }
}

#[test]
fn the_disk_keeps_its_contract() {
    for (name, case) in disk::CASES {
        println!("{name}");
        case(&mut Directory::new());
    }
}
