//! The store of a stage: a cluster of members on its first machines.

use crate::stage::{program, spawned};
use io_real::namespaces::Namespaces;
use std::process::Child;

/// The members. Dropping it ends them.
pub struct Store {
    members: Vec<Option<Child>>,
    addresses: Vec<String>,
}

impl Store {
    /// Starts `size` members, one on each of the first machines.
    pub fn start(net: &Namespaces, size: usize) -> Store {
        assert!((1..=net.count()).contains(&size), "{size} members on {} machines", net.count());
        let addresses = (0..size).map(|member| net.address(member)).collect();
        let mut store = Store { members: (0..size).map(|_| None).collect(), addresses };
        (0..size).for_each(|member| store.start_member(net, member));
        store
    }

    /// Starts a member that does not run.
    pub fn start_member(&mut self, net: &Namespaces, member: usize) {
        assert!(self.members[member].is_none(), "member {member} runs");
        let url = |number: usize, port: u16| format!("http://{}:{port}", self.addresses[number]);
        let all = (0..self.addresses.len()).map(|number| format!("n{number}={}", url(number, 2380)));
        let mut etcd = net.command(member, program());
        etcd.arg("etcd").args(["--log-level=warn", &format!("--name=n{member}")]);
        etcd.arg(format!("--data-dir={}", net.directory().join(format!("store-{member}")).display()));
        for flag in ["listen-client-urls", "advertise-client-urls"] {
            etcd.arg(format!("--{flag}={}", url(member, 2379)));
        }
        for flag in ["listen-peer-urls", "initial-advertise-peer-urls"] {
            etcd.arg(format!("--{flag}={}", url(member, 2380)));
        }
        etcd.arg(format!("--initial-cluster={}", all.collect::<Vec<_>>().join(",")));
        self.members[member] = Some(spawned(etcd, net.directory().join(format!("store-{member}.log"))));
    }

    /// Ends a member as a power cut would.
    pub fn kill_member(&mut self, member: usize) {
        let mut child = self.members[member].take().expect("it runs");
        child.kill().and_then(|()| child.wait()).expect("a child of ours");
    }

    /// Where they are, for flags of clients.
    pub fn endpoints(&self) -> String {
        let all = self.addresses.iter().map(|address| format!("http://{address}:2379"));
        all.collect::<Vec<_>>().join(",")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for child in self.members.iter_mut().flatten() {
            // Ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
