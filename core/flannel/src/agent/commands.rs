//! The commands of the extension backend: for each peer that comes and that goes, one at a time for each subnet.
//!
//! What a peer is and what the commands were told of it are kept apart, so that a peer that comes and goes while a command runs
//! is told of as it is in the end. A command that fails is run again after a pause.

use super::config::{COMMAND_LIMIT, COMMANDS};
use super::state::{Agent, Event, Peer};
use crate::config::Backend;
use crate::local::Command;
use crate::subnet::{Lease, SubnetKey};
use futures_util::future::{Either, select};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

impl Agent {
    /// Starts the commands that are due.
    pub(super) fn tend_commands(&mut self) {
        let now = self.ports.clock.now();
        let Some(place) = &self.place else { return };
        let Backend::Extension { post_startup, subnet_add, subnet_remove, .. } = place.config.backend.clone()
        else {
            return;
        };
        let Some(lease) = self.held(now).cloned() else { return };
        if self.started != Some(lease.key) {
            self.started = Some(lease.key);
            let mut env = variables(&lease);
            env.insert("NETWORK".to_owned(), network(&place.config));
            self.begin(lease.key, Command { line: post_startup, env, stdin: String::new() });
        }
        self.wish_peers();
        let running = self.commands.values().filter(|peer| peer.running.is_some()).count();
        let mut begun = Vec::new();
        for (key, peer) in &mut self.commands {
            let idle = peer.running.is_none() && peer.wish != peer.added && !peer.retry.holds(now);
            if !idle || running + begun.len() >= COMMANDS {
                continue;
            }
            // One that changed is taken away as it was before it is added as it is.
            let (line, told, after) = match (&peer.added, &peer.wish) {
                (None, Some(wish)) => (&subnet_add, wish, Some(wish.clone())),
                (Some(added), _) => (&subnet_remove, added, None),
                (None, None) => continue,
            };
            let command = Command { line: line.clone(), env: variables(told), stdin: data(told) };
            peer.running = Some(after);
            begun.push((*key, command));
        }
        assert!(running + begun.len() <= COMMANDS.max(running), "more commands run than may");
        begun.into_iter().for_each(|(key, command)| self.begin(key, command));
    }

    /// What the commands should know of the peers.
    fn wish_peers(&mut self) {
        let served = self.table.last.as_ref().map(|last| last.served.clone()).unwrap_or_default();
        for (key, lease) in self.picture.leases.iter().filter(|(key, _)| served.contains(key)) {
            // What a renewal changes is of no interest to a command.
            let lease = Lease { lease: 0, mod_revision: 0, ..Lease::clone(lease) };
            self.commands.entry(*key).or_default().wish = Some(lease);
        }
        self.commands.retain(|key, peer| {
            if !served.contains(key) {
                peer.wish = None;
            }
            peer.wish.is_some() || peer.added.is_some() || peer.running.is_some()
        });
    }

    fn begin(&self, key: SubnetKey, command: Command) {
        let (local, events, clock) =
            (self.ports.local.clone(), self.events.clone(), self.ports.clock.clone());
        let run = async move {
            if command.line.trim().is_empty() {
                return events.push(Event::Command(key, Ok(String::new())));
            }
            let late = clock.sleep_until(clock.now() + COMMAND_LIMIT);
            let outcome = match select(local.run(&command), late).await {
                Either::Left((outcome, _)) => outcome.map_err(|error| error.to_string()),
                Either::Right(_) => {
                    Err(format!("{}: did not end within {} s", command.line, COMMAND_LIMIT.as_secs()))
                }
            };
            events.push(Event::Command(key, outcome));
        };
        self.ports.spawn.spawn("flannel: command", Box::pin(run));
    }

    /// A command has ended.
    pub(super) fn command_ended(&mut self, key: &SubnetKey, outcome: Result<String, String>, now: Duration) {
        let running =
            self.commands.get_mut(key).and_then(|peer: &mut Peer| Some((peer.running.take()?, peer)));
        match (outcome, running) {
            (Ok(_), Some((after, peer))) => {
                peer.added = after;
                peer.retry.succeed();
            }
            (Err(text), Some((_, peer))) => {
                peer.retry.fail(now);
                self.trouble(format!("the command for {key} failed: {text}"), now);
            }
            // That of the start is for no peer, and is not run again.
            (Err(text), None) => self.trouble(format!("PostStartupCommand failed: {text}"), now),
            (Ok(_), None) => {}
        }
    }
}

/// What a command is told of a lease by its environment.
fn variables(lease: &Lease) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| {
        env.insert(name.to_owned(), value.unwrap_or_default());
    };
    set("SUBNET", lease.key.v4.map(|net| net.to_string()));
    set("IPV6SUBNET", lease.key.v6.map(|net| net.to_string()));
    set("PUBLIC_IP", Some(lease.value.public_ip.to_string()));
    set("PUBLIC_IPV6", lease.value.public_ipv6.map(|address| address.to_string()));
    env
}

fn network(config: &crate::config::NetworkConfig) -> String {
    let v4 = config.v4.map(|range| range.network.to_string());
    v4.or(config.v6.map(|range| range.network.to_string())).unwrap_or_default()
}

/// What the peer's own first command printed.
fn data(lease: &Lease) -> String {
    match &lease.value.data {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
