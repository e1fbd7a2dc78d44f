//! Whoever has the store's keys at hand: writes the config, and at times things that he should not.

use super::machines::{Machines, kv};
use super::plan::{FlannelPlan, MishapKind, Retuning};
use crate::fleet::SimKv;
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
/// When, after the calm has begun, he looks whether everything is as it was meant.
const TIDY_UPS: [Duration; 3] = [Duration::from_secs(4), Duration::from_secs(9), Duration::from_secs(15)];
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
        Operator::called(machines, "op")
    }

    /// The same, with another name.
    pub fn called(machines: &Machines, name: &str) -> Operator {
        let node = machines.world().add_node(name);
        Operator { machines: machines.clone(), node, kv: Arc::new(kv(machines.store(), node)) }
    }

    /// The leases as he sees them.
    pub fn registry(&self) -> Registry {
        Registry::new(self.kv.clone(), DEFAULT_PREFIX)
    }

    /// Begins: writes the config until the store has it.
    pub fn begin(&self) {
        self.machines.world().start(self.node);
        self.retune(None);
        self.tidy_up();
    }

    /// Writes another config, if the store can be reached; with none the plan's own, until the store has it.
    pub fn retune(&self, retuning: Option<Retuning>) {
        let operator = self.clone();
        self.machines.world().spawn_on(self.node, "config", async move {
            match retuning.map(|retuning| operator.machines.plan().retuned(retuning)) {
                Some(Some(text)) => drop(operator.put("config", &text, 0).await),
                Some(None) => {
                    let key = format!("{DEFAULT_PREFIX}/config").into();
                    // Once is enough for a mishap.
                    let _ = operator.kv.delete_range(DeleteRangeRequest { key, ..Default::default() }).await;
                }
                None => operator.write_config().await,
            }
        });
    }

    /// Sees to it, once it is calm, that the config is the plan's own and that nobody who asked for a restart waits for one.
    fn tidy_up(&self) {
        let world = self.machines.world();
        let calm = Duration::from_millis(self.machines.plan().store.calm_ms);
        for after in TIDY_UPS {
            let operator = self.clone();
            world.at(calm + after, move |world| {
                let again = operator.clone();
                world.spawn_on(operator.node, "tidy up", async move {
                    let loaded = again.registry().load().await.ok();
                    if loaded.and_then(|loaded| loaded.config) != Some(again.machines.plan().config()) {
                        again.write_config().await;
                    }
                });
                operator.machines.restart_refusers();
            });
        }
    }

    /// Writes the plan's config, until the store has it.
    async fn write_config(&self) {
        let config = self.machines.plan().config();
        while !self.put("config", &config, 0).await {
            self.pause().await;
        }
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

    /// Writes leases of so many machines that are not there, in subnets of a large network that no
    /// machine of the plan gets; a script's deed.
    pub fn crowd(&self, count: u16) {
        let operator = self.clone();
        self.machines.world().spawn_on(self.node, "crowd", async move {
            for number in 0..count {
                let [high, low] = number.to_be_bytes();
                let name = format!("subnets/10.{}.{low}.0-24", 100 + u16::from(high));
                let mac = format!("02:00:00:00:{high:02x}:{low:02x}");
                let value = format!(
                    r#"{{"PublicIP":"172.16.{high}.{low}","BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}"#
                );
                while !operator.put(&name, &value, 0).await {
                    operator.pause().await;
                }
            }
        });
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
                let Some(lease) = of_machine(self.machines.plan(), &loaded, machine) else { return true };
                self.take_away(lease, kind).await
            }
        }
    }

    async fn take_away(&self, lease: &Lease, kind: MishapKind) -> bool {
        if kind == MishapKind::Revoke {
            let done = self.kv.lease_revoke(LeaseRevokeRequest { id: lease.lease }).await;
            return done.is_ok_or_definite();
        }
        if kind == MishapKind::Spoil {
            return self.put(&format!("subnets/{}", lease.key), "{", lease.lease).await;
        }
        let key = self.registry().lease_key(&lease.key).into();
        self.kv.delete_range(DeleteRangeRequest { key, ..Default::default() }).await.is_ok()
    }
}

/// The lease of a machine, if it has one.
fn of_machine<'a>(plan: &FlannelPlan, loaded: &'a Loaded, machine: u16) -> Option<&'a Lease> {
    loaded.leases.iter().find(|lease| plan.machine_of(&lease.value) == Some(machine))
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
