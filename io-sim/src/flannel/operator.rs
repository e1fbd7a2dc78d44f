//! Whoever has the store's keys at hand: writes the config, and at times things that he should not.

use super::machines::{Machines, kv};
use super::plan::MishapKind;
use crate::fleet::SimKv;
use crate::links::underlay_address;
use crate::sched::NodeId;
use flannel::registry::{DEFAULT_PREFIX, Loaded, Registry};
use flannel::subnet::Lease;
use kernel::Kv;
use kernel::lease::LeaseRevokeRequest;
use kernel::types::{CompactionRequest, DeleteRangeRequest, PutRequest};
use std::sync::Arc;
use std::time::Duration;

/// How often a deed is tried.
const ATTEMPTS: u32 = 5;
/// How long he waits before he tries again.
const AGAIN: Duration = Duration::from_millis(500);
/// A subnet that is in no machine's share, and a text that is no lease.
pub const SPOILT: [(&str, &str); 3] = [
    ("10.5.250.0-24", "not a lease"),
    ("10.5.251.0-24", r#"{"PublicIP":"192.168.0","BackendType":7}"#),
    ("somebody's", "{}"),
];

/// The operator of a run; clones share him.
#[derive(Clone)]
pub struct Operator {
    machines: Machines,
    node: NodeId,
    kv: Arc<SimKv>,
}

impl Operator {
    /// Adds his machine to the world.
    pub fn new(machines: &Machines) -> Operator {
        let node = machines.world().add_node("op");
        Operator { machines: machines.clone(), node, kv: Arc::new(kv(machines.store(), node)) }
    }

    /// The leases as he sees them.
    pub fn registry(&self) -> Registry {
        Registry::new(self.kv.clone(), DEFAULT_PREFIX)
    }

    /// Begins: writes the config until the store has it.
    pub fn begin(&self) {
        let (operator, config) = (self.clone(), self.machines.plan().config());
        self.machines.world().start(self.node);
        self.machines.world().spawn_on(self.node, "operator", async move {
            while !operator.put("config", &config, 0).await {
                operator.pause().await;
            }
        });
    }

    async fn pause(&self) {
        let world = self.machines.world();
        world.sleep_until(world.now() + AGAIN).await;
    }

    async fn put(&self, name: &str, value: &str, lease: i64) -> bool {
        let key = format!("{DEFAULT_PREFIX}/{name}").into();
        let request = PutRequest { key, value: value.to_owned().into(), lease, ..Default::default() };
        self.kv.put(request).await.is_ok()
    }

    /// Does one deed about a machine; tries a few times.
    pub fn perform(&self, machine: u16, kind: MishapKind) {
        let operator = self.clone();
        self.machines.world().spawn_on(self.node, "deed", async move {
            for _ in 0..ATTEMPTS {
                if operator.attempt(machine, kind).await {
                    return;
                }
                operator.pause().await;
            }
        });
    }

    async fn attempt(&self, machine: u16, kind: MishapKind) -> bool {
        match kind {
            MishapKind::Malformed => {
                let (name, value) = SPOILT[usize::from(machine) % SPOILT.len()];
                self.put(&format!("subnets/{name}"), value, 0).await
            }
            MishapKind::Stranger => {
                let value = r#"{"PublicIP":"192.168.240.1","BackendType":"strange"}"#;
                self.put("subnets/10.5.240.0-24", value, 0).await
            }
            MishapKind::Compact => {
                let Ok(loaded) = self.registry().load().await else { return false };
                let request = CompactionRequest { revision: loaded.revision, physical: false };
                let done = self.kv.compact(request).await;
                done.is_ok_or_definite()
            }
            _ => {
                let Ok(loaded) = self.registry().load().await else { return false };
                let Some(lease) = of_machine(&loaded, machine) else { return true };
                self.take_away(lease, kind).await
            }
        }
    }

    async fn take_away(&self, lease: &Lease, kind: MishapKind) -> bool {
        if kind == MishapKind::Revoke {
            let done = self.kv.lease_revoke(LeaseRevokeRequest { id: lease.lease }).await;
            return done.is_ok_or_definite();
        }
        let key = self.registry().lease_key(&lease.key).into();
        self.kv.delete_range(DeleteRangeRequest { key, ..Default::default() }).await.is_ok()
    }
}

/// The lease of a machine, if it has one.
fn of_machine(loaded: &Loaded, machine: u16) -> Option<&Lease> {
    loaded.leases.iter().find(|lease| lease.value.public_ip == underlay_address(machine))
}

/// Whether there is no use in trying again.
trait Decided {
    fn is_ok_or_definite(&self) -> bool;
}

impl<T> Decided for kernel::kv::KvResult<T> {
    fn is_ok_or_definite(&self) -> bool {
        self.as_ref().map_or_else(kernel::KvError::is_definite, |_| true)
    }
}
