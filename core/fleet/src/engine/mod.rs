//! The engine: of those on all machines one leads, and turns the operator's wish into orders.
//!
//! An engine that does not lead watches one key, that of the leader, and asks for nothing. When the key goes, it waits a moment of
//! its own (so that not all come at once), takes a lease, and tries to create the key; the revision of that creation is its
//! fence, which each of its transactions compares. The leader loads the registry, follows it, and decides: what
//! is written is what the view, the scheduler and the roll-outs ask for, in transactions of many steps, several at a time.
//!
//! A leader stops deciding the moment its lease may have ended by its own clock, and drops what is queued. What was under way
//! may still be applied: the fence and the compares of each step make that harmless.
//!
//! In a cluster where nothing changes, the leader renews its lease and does nothing else.

mod election;
mod groups;
mod locate;
mod look;
mod tenure;
mod texts;
mod waits;
mod world;
mod writes;

#[cfg(test)]
mod tests;

pub use locate::STOP_SLACK;
pub use look::{look, why};

use crate::model::MachineId;
use crate::registry::Registry;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, pending};
use kernel::{Clock, Io, Probe, Spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Default of [`EngineConfig::lease_ttl`]: so long after a leader's death another may lead. Shorter than an agent's, so that when both die with
/// one machine there is an engine again by the time at which the machine counts as away.
pub const LEASE_TTL: Duration = Duration::from_secs(2);

/// What an engine is told at its start.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The machine it runs on.
    pub machine: MachineId,
    /// Whole seconds without a renewal until its leadership ends.
    pub lease_ttl: Duration,
}

/// A running engine. Dropping it lets it run on; [`Engine::stop`] ends it.
pub struct Engine {
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
    leads: Arc<AtomicBool>,
}

/// What the parts of an engine share.
#[derive(Clone)]
struct Context {
    clock: Arc<dyn Clock>,
    seed: u64,
    probe: Probe,
    registry: Registry,
    config: EngineConfig,
    leads: Arc<AtomicBool>,
    stopped: Stopped,
}

type Stopped = Shared<BoxFuture<'static, ()>>;

impl Engine {
    /// Starts an engine.
    pub fn start(io: Io, registry: Registry, config: EngineConfig) -> Engine {
        Engine::over(io.spawn, io.clock, io.seed, io.probe, registry, config)
    }

    fn over(
        spawn: Arc<dyn Spawn>,
        clock: Arc<dyn Clock>,
        seed: u64,
        probe: Probe,
        registry: Registry,
        config: EngineConfig,
    ) -> Engine {
        assert!(config.lease_ttl >= Duration::from_secs(1), "a lease lasts whole seconds, at least one");
        let (stop, stopping) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel();
        let leads = Arc::new(AtomicBool::new(false));
        // A handle that was dropped never says stop.
        let stopped = async move {
            if stopping.await.is_err() {
                pending::<()>().await;
            }
        };
        let stopped = stopped.boxed().shared();
        let context = Context { clock, seed, probe, registry, config, leads: leads.clone(), stopped };
        let task = async move {
            election::run(context).await;
            let _ = ending.send(());
        };
        spawn.spawn("fleet-engine", task.boxed());
        Engine { stop: Some(stop), ended, leads }
    }

    /// Whether it leads now, as far as it knows.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::SeqCst)
    }

    /// Ends it; if it leads, it resigns first so that another need not wait.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.ended.await;
    }
}
