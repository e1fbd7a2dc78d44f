//! Carrying out what the mind asks for: one future a call, over the registry and systemd. Nothing here decides or remembers.

use super::config::{AgentConfig, STORE_LIMIT, VERB_LIMIT};
use super::event::*;
use crate::model::MachineId;
use crate::registry::{Alive, Announced, Claim, Done, Presence, Registry, RegistryError, Released, Written};
use crate::systemd::{Systemd, SystemdError};
use crate::unit::UnitName;
use futures_util::future::{Either, select};
use kernel::{BoxFuture, Clock, KvError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What calls are carried out with. A clone shares it.
#[derive(Clone)]
pub(super) struct Ports {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Registry,
    pub(super) systemd: Arc<dyn Systemd>,
    pub(super) config: Arc<AgentConfig>,
}

type Stored<T> = Result<T, Fault>;

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Fault {
        match error {
            RegistryError::Store(error) if error == KvError::lease_not_found() => Fault::NoLease,
            RegistryError::Store(error) => Fault::Store(error.to_string()),
            other => Fault::Store(other.to_string()),
        }
    }
}

impl Ports {
    /// Does it, in bounded time where nobody else sees to that.
    pub(super) async fn carry_out(&self, call: Call) -> Outcome {
        match call {
            Call::Seek => Outcome::Sought(self.within(STORE_LIMIT, self.seek()).await),
            Call::Register { reports, from, ttl, leaving } => {
                let presence = Presence { leaving, ..self.presence() };
                let registered = self.register(presence, reports, from, ttl);
                Outcome::Registered(self.within(STORE_LIMIT, registered).await)
            }
            Call::KeepAlive { lease, limit } => {
                Outcome::Renewed(self.within(limit, self.keep_alive(lease)).await)
            }
            Call::Orders => Outcome::Orders(self.within(STORE_LIMIT, self.orders()).await),
            Call::Claim { lease, claims } => {
                Outcome::Claimed(self.within(STORE_LIMIT, self.claim(lease, claims)).await)
            }
            Call::Report { lease, reports } => {
                let told = self.registry.report(self.id(), lease, &reports);
                Outcome::Reported(self.within(STORE_LIMIT, async { Ok(told.await?) }).await)
            }
            Call::Release { unit, going_down } => {
                Outcome::Done(self.within(STORE_LIMIT, self.release(&unit, going_down)).await)
            }
            Call::Finish { unit, hash, run } => {
                let done = Done { hash, run, machine: self.id().clone() };
                // A unit that is not there any more needs no such word.
                let told = async { Ok(self.registry.put_done(&unit, &done).await.map(drop)?) };
                Outcome::Done(self.within(STORE_LIMIT, told).await)
            }
            Call::Fetch { hashes } => {
                let texts = async { Ok(self.registry.texts(&hashes).await?) };
                let texts = self.within(STORE_LIMIT, texts).await;
                Outcome::Texts(texts.map(|texts| {
                    texts.into_iter().map(|(hash, text)| (hash, Arc::from(text.as_str()))).collect()
                }))
            }
            Call::Withdraw => {
                let gone = async { Ok(self.registry.withdraw(self.id()).await?) };
                Outcome::Done(self.within(STORE_LIMIT, gone).await)
            }
            Call::Revoke { lease } => {
                let gone = async { Ok(self.registry.revoke(lease).await?) };
                Outcome::Done(self.within(STORE_LIMIT, gone).await)
            }
            Call::Watch { .. } => unreachable!("a watch is not a call that ends"),
            verb => self.verb(verb).await,
        }
    }

    async fn verb(&self, call: Call) -> Outcome {
        let systemd = &self.systemd;
        match call {
            Call::Look => Outcome::Looked(self.bounded(self.look()).await),
            Call::States { names } => {
                let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
                Outcome::States(self.bounded(systemd.states(&names)).await)
            }
            Call::Reload => Outcome::Done(self.bounded(systemd.reload()).await),
            Call::Install { unit, text } => {
                Outcome::Done(self.bounded(systemd.install(unit.as_str(), &text)).await)
            }
            Call::Uninstall { unit } => Outcome::Done(self.bounded(self.uninstall(&unit)).await),
            // How long a job takes is the unit's affair.
            Call::Start { unit, reset } => {
                if reset {
                    // A unit that failed too often is refused otherwise. If it cannot be forgotten, the start will tell.
                    let _ = self.bounded(systemd.reset_failed(unit.as_str())).await;
                }
                Outcome::Job(systemd.start(unit.as_str()).await.map_err(Fault::Systemd))
            }
            Call::Stop { unit } => Outcome::Job(systemd.stop(unit.as_str()).await.map_err(Fault::Systemd)),
            Call::Kill { unit } => Outcome::Done(self.bounded(systemd.kill(unit.as_str())).await),
            Call::Stopping => Outcome::Stopping(self.bounded(systemd.stopping()).await.unwrap_or(false)),
            other => unreachable!("{other:?} is no verb of systemd"),
        }
    }

    fn id(&self) -> &MachineId {
        &self.config.machine.id
    }

    /// `future`, or a fault when it takes longer than `limit`.
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = Stored<T>> + Send) -> Stored<T> {
        let late = self.clock.sleep_until(self.clock.now() + limit);
        match select(Box::pin(future), late).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Fault::Store(format!("no answer within {limit:?}"))),
        }
    }

    async fn bounded<T>(&self, future: impl Future<Output = Result<T, SystemdError>> + Send) -> Stored<T> {
        let late = self.clock.sleep_until(self.clock.now() + VERB_LIMIT);
        let outcome = match select(Box::pin(future), late).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(SystemdError::Gone(format!("no answer within {VERB_LIMIT:?}"))),
        };
        outcome.map_err(Fault::Systemd)
    }

    fn presence(&self) -> Presence {
        let machine = &self.config.machine;
        Presence {
            id: machine.id.clone(),
            primary_ip: machine.primary_ip.clone(),
            metadata: machine.metadata.clone(),
            capabilities: BTreeMap::new(),
            version: machine.version.clone(),
            capacity: machine.capacity,
            api: machine.api.clone(),
            leaving: false,
            instance: self.config.instance.clone(),
        }
    }

    async fn seek(&self) -> Stored<Sought> {
        let (_, record) = self.registry.machine(self.id()).await?;
        let Some(presence) = record.presence else { return Ok(Sought::Nobody) };
        if presence.instance != self.config.instance {
            return Ok(Sought::Foreign { instance: presence.instance });
        }
        let lease = record.lease;
        let (granted, names) = self.registry.held(self.id(), lease).await?;
        let reports = self.registry.machine_reports(self.id(), &names).await?;
        let reports = reports.into_iter().map(|(name, seen)| (name, seen.value)).collect();
        let same = presence == self.presence() && granted == seconds(self.config.ttl);
        let kept = match same {
            true => Some(self.keep_alive(lease).await?).filter(|granted| !granted.ttl.is_zero()),
            false => None,
        };
        Ok(Sought::Own { lease, kept, reports })
    }

    async fn register(
        &self,
        presence: Presence,
        reports: Reports,
        from: Option<i64>,
        ttl: Duration,
    ) -> Stored<(Granted, Vec<UnitName>)> {
        // Before the request: the store counts from when it has it.
        let sent = self.clock.now();
        let (lease, granted) = self.registry.grant(seconds(ttl)).await?;
        let granted = Granted { lease, ttl: Duration::from_secs(granted.max(1) as u64), sent };
        let Some(old) = from else {
            return match self.registry.announce(&presence, lease, &reports).await? {
                Announced::Done(_) => Ok((granted, Vec::new())),
                Announced::Taken { .. } => {
                    // Nothing but what this very call has put is under it.
                    self.registry.revoke(lease).await?;
                    Err(Fault::Moved)
                }
            };
        };
        // Who sees the mark of a leaving machine takes an order without a report for one that nobody has claimed: the mark comes last.
        let early = match presence.leaving {
            true => Some(self.registry.report(self.id(), lease, &reports).await?),
            false => None,
        };
        if self.registry.renew_presence(&presence, lease).await? == Written::Moved {
            return Err(Fault::Moved);
        }
        let lost = match early {
            Some(lost) => lost,
            None => self.registry.report(self.id(), lease, &reports).await?,
        };
        // By now nothing is under the old one. If it cannot be revoked it ends by itself.
        let _ = self.registry.revoke(old).await;
        Ok((granted, lost))
    }

    async fn keep_alive(&self, lease: i64) -> Stored<Granted> {
        let sent = self.clock.now();
        let ttl = match self.registry.keep_alive(lease).await? {
            Alive::For(seconds) => Duration::from_secs(seconds.max(1) as u64),
            Alive::Ended => Duration::ZERO,
        };
        Ok(Granted { lease, ttl, sent })
    }

    async fn orders(&self) -> Stored<(i64, Orders)> {
        let (revision, orders) = self.registry.machine_orders(self.id()).await?;
        let orders =
            orders.into_iter().map(|(name, seen)| (name, seen.map(|seen| (seen.value, seen.revision))));
        Ok((revision, orders.collect()))
    }

    async fn claim(&self, lease: i64, claims: Claims) -> Stored<Vec<UnitName>> {
        let claims = claims.into_iter();
        let claims: Vec<Claim> =
            claims.map(|(unit, order_revision, report)| Claim { unit, order_revision, report }).collect();
        Ok(self.registry.claim(self.id(), lease, &claims).await?)
    }

    async fn release(&self, unit: &UnitName, going_down: bool) -> Stored<()> {
        match self.registry.release(self.id(), unit, going_down).await? {
            Released::Done => Ok(()),
            Released::Ordered => Err(Fault::Moved),
        }
    }

    async fn look(&self) -> Result<Seen, SystemdError> {
        let files = self.systemd.installed().await?;
        let names: Vec<String> = files.keys().cloned().collect();
        let states = if names.is_empty() { BTreeMap::new() } else { self.systemd.states(&names).await? };
        Ok(Seen { files, states })
    }

    /// A unit that has failed is kept in systemd's memory for that alone.
    async fn uninstall(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.systemd.reset_failed(unit.as_str()).await?;
        self.systemd.uninstall(unit.as_str()).await
    }
}

/// A TTL as the store counts it.
fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1)
}

/// Boxes a call, so that it can be spawned.
pub(super) fn spawned(
    ports: Ports,
    call: Call,
    end: impl FnOnce(Outcome) + Send + 'static,
) -> BoxFuture<'static, ()> {
    Box::pin(async move { end(ports.carry_out(call).await) })
}
