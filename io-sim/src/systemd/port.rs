//! The Systemd port over the model: each verb is a message that takes a while to arrive, in order behind those before it.
//!
//! A caller that dies after it has sent its message changes nothing: the message arrives, and the answer is dropped. A bus
//! that drops takes every answer under way with it, whether the verb was carried out or not.

use super::definition::{check_name, enable};
use super::signals::Subscription;
use super::state::State;
use super::unit::{JobKind, Loaded, Phase};
use super::{SimSystemd, not_found};
use fleet::model::SystemdState;
use fleet::systemd::{Changes, JobResult, Systemd, SystemdError, SystemdResult};
use futures_channel::oneshot;
use kernel::BoxFuture;
use std::collections::BTreeMap;

/// The way back to a caller.
pub(super) struct Answer<T> {
    sender: oneshot::Sender<SystemdResult<T>>,
    /// The connection that it came by.
    connection: u64,
}

impl<T> Answer<T> {
    /// Answers, if the connection is still the same.
    pub fn give(self, connection: u64, result: SystemdResult<T>) {
        if self.connection == connection {
            // A caller that has gone does not want to know.
            let _ = self.sender.send(result);
        }
    }
}

fn gone() -> SystemdError {
    SystemdError::Gone("the bus is away".to_string())
}

impl SimSystemd {
    /// Sends a verb over the bus, to be carried out when it arrives.
    fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&SimSystemd, &mut State, Answer<T>) + Send + 'static,
    ) -> BoxFuture<'static, SystemdResult<T>> {
        let host = self.clone();
        Box::pin(async move {
            let Some(connection) = host.connection() else {
                host.pass(super::REFUSED_AFTER).await;
                return Err(gone());
            };
            let (sender, receiver) = oneshot::channel();
            host.arrives(move |host, state| verb(host, state, Answer { sender, connection }));
            receiver.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    /// A verb that is answered as soon as it arrives.
    fn ask_at_once<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&SimSystemd, &mut State) -> SystemdResult<T> + Send + 'static,
    ) -> BoxFuture<'static, SystemdResult<T>> {
        self.ask(move |host, state, answer| {
            let result = verb(host, state);
            answer.give(state.connection, result);
        })
    }
}

impl Systemd for SimSystemd {
    fn install<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        let (name, text) = (name.to_string(), text.to_string());
        self.ask_at_once(move |host, state| {
            check_name(&name).map_err(SystemdError::Refused)?;
            if state.draws.wrong(state.faults.files_permille) {
                return Err(SystemdError::Files(format!("{name}: no space left on device")));
            }
            if state.draws.wrong(state.faults.refuse_permille) {
                return Err(SystemdError::Refused(format!("{name}: cannot be enabled")));
            }
            if let Err(why) = enable(&name, &text) {
                state.files.remove(&name);
                return Err(SystemdError::Refused(why));
            }
            state.files.insert(name.clone(), text);
            let unread = state.units.get(&name).is_some_and(|unit| matches!(unit.loaded, Loaded::NotFound));
            if unread {
                state.read(&name);
            }
            state.says(host, &name);
            Ok(())
        })
    }

    fn uninstall<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        let name = name.to_string();
        self.ask_at_once(move |host, state| {
            state.files.remove(&name);
            state.forget_if_idle(&name);
            state.says(host, &name);
            Ok(())
        })
    }

    fn reload(&self) -> BoxFuture<'_, SystemdResult<()>> {
        self.ask(|host, state, answer| state.reload(host, answer))
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>> {
        let name = name.to_string();
        self.ask(move |host, state, answer| match state.read_if_new(&name) {
            Loaded::NotFound => {
                let text = format!("Unit {name} not found.");
                answer.give(state.connection, Err(SystemdError::NoSuchUnit(text)));
            }
            Loaded::Bad(why) => answer.give(state.connection, Err(SystemdError::Refused(why))),
            Loaded::Yes(_) => state.enqueue(host, &name, JobKind::Start, Some(answer)),
        })
    }

    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>> {
        let name = name.to_string();
        self.ask(move |host, state, answer| {
            if state.units.contains_key(&name) {
                state.enqueue(host, &name, JobKind::Stop, Some(answer));
            } else {
                answer.give(state.connection, Ok(JobResult::Done));
            }
        })
    }

    fn kill<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        let name = name.to_string();
        self.ask_at_once(move |host, state| {
            state.kill(host, &name, super::Ended::Asked);
            Ok(())
        })
    }

    fn reset_failed<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        let name = name.to_string();
        self.ask_at_once(move |host, state| {
            if let Some(unit) = state.units.get_mut(&name) {
                unit.starts.clear();
                if unit.phase == Phase::Failed {
                    state.becomes(host, &name, Phase::Dead);
                }
            }
            Ok(())
        })
    }

    fn installed(&self) -> BoxFuture<'_, SystemdResult<BTreeMap<String, String>>> {
        self.ask_at_once(|_, state| Ok(state.files.clone()))
    }

    fn states<'a>(
        &'a self,
        names: &'a [String],
    ) -> BoxFuture<'a, SystemdResult<BTreeMap<String, SystemdState>>> {
        let names = names.to_vec();
        self.ask_at_once(move |_, state| Ok(names.into_iter().map(|name| state.state_of(name)).collect()))
    }

    fn stopping(&self) -> BoxFuture<'_, SystemdResult<bool>> {
        self.ask_at_once(|_, state| Ok(state.stopping))
    }

    fn changes(&self) -> Box<dyn Changes> {
        let subscription: Subscription = self.lock().subscribers.add();
        Box::new(subscription)
    }
}

impl State {
    fn state_of(&mut self, name: String) -> (String, SystemdState) {
        let file = self.files.get(&name);
        let state = match (self.units.get(&name), file) {
            (Some(unit), _) => unit.state(),
            (None, None) => not_found(),
            // systemd loads a unit when it is asked about it.
            (None, Some(text)) => super::unit::Unit::new(Loaded::of(&name, Some(text))).state(),
        };
        (name, state)
    }
}
