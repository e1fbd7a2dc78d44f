//! Who leads: the life of an engine outside of its tenures.

use super::Context;
use super::tenure::{self, Ending, Mandate};
use crate::registry::{Batch, Fence, RegistryError, Scope, Written};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use kernel::rng::Stream;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An engine that sees the leader go waits up to so long, by chance, before it tries.
const SPREAD_MILLIS: u64 = 300;
/// Pause after the store failed.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an engine whose tenure has ended tries to give its lease back.
const RESIGNATION: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
pub(super) async fn run(context: Context) {
    let stopped = context.stopped.clone();
    let mut random = Stream::new(context.seed, "fleet-engine", 0);
    loop {
        let elected = match select(stopped.clone(), elected(&context, &mut random).boxed()).await {
            Either::Left(_) => return,
            Either::Right((elected, _)) => elected,
        };
        let Ok(mandate) = elected else {
            let pause = context.clock.sleep_until(context.clock.now() + PAUSE);
            match select(stopped.clone(), pause).await {
                Either::Left(_) => return,
                Either::Right(_) => continue,
            }
        };
        context.leads.store(true, Ordering::SeqCst);
        context.registry.meter.leads(Some(context.clock.now()));
        let ending = tenure::run(&context, mandate).await;
        context.leads.store(false, Ordering::SeqCst);
        context.registry.meter.leads(None);
        // A lease that may run on would keep everybody from leading until it ends.
        give_back(&context, mandate.lease).await;
        if ending == Ending::Stopped {
            return;
        }
    }
}

/// Waits until nobody leads, and then until this engine does.
async fn elected(context: &Context, random: &mut Stream) -> Result<Mandate, RegistryError> {
    let Context { registry, config, clock, .. } = context;
    loop {
        let (revision, leader) = registry.leader().await?;
        if leader.is_some() {
            let mut watch = registry.watch(revision + 1, &Scope::Leader);
            // Whatever it says, looking is the way to know.
            let _: Batch = watch.next().await?;
            let spread = Duration::from_millis(random.below(SPREAD_MILLIS));
            clock.sleep_until(clock.now() + spread).await;
            continue;
        }
        let since = clock.now();
        let (lease, seconds) = registry.grant(config.lease_ttl.as_secs() as i64).await?;
        let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        match registry.lead(&config.machine, lease).await {
            Ok(Written::Done(revision)) => return Ok(Mandate { fence: Fence(revision), lease, ttl, since }),
            Ok(Written::Moved) => registry.revoke(lease).await?,
            Err(error) => {
                // If it was written after all, the key goes with the lease.
                give_back(context, lease).await;
                return Err(error);
            }
        }
    }
}

/// Ends the lease, and with it the leadership, if the store can be reached.
async fn give_back(context: &Context, lease: i64) {
    let clock = &context.clock;
    let resign = async {
        let _ = context.registry.revoke(lease).await;
    };
    select(resign.boxed(), clock.sleep_until(clock.now() + RESIGNATION)).await;
}
