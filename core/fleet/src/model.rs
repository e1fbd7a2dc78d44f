//! The values that every part of fleet speaks of: names, states, machines, orders.

pub use crate::unit::Resources;
use crate::unit::{Requirements, UnitFile, UnitHash, UnitName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A machine's id: the content of its `/etc/machine-id`, 32 hexadecimal digits by custom, never empty and without a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(pub Arc<str>);

impl MachineId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for MachineId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MachineId {
    fn from(text: &str) -> Self {
        MachineId(text.into())
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the operator wants of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// Known to the cluster, on no machine.
    #[default]
    Inactive,
    /// Placed on a machine and known to its systemd, not started by fleet.
    Loaded,
    /// Placed and started.
    Launched,
}

impl DesiredState {
    /// fleet's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            DesiredState::Inactive => "inactive",
            DesiredState::Loaded => "loaded",
            DesiredState::Launched => "launched",
        }
    }

    /// From fleet's word.
    pub fn parse(text: &str) -> Option<DesiredState> {
        [DesiredState::Inactive, DesiredState::Loaded, DesiredState::Launched]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl fmt::Display for DesiredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What systemd says of a unit, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SystemdState {
    /// loaded, not-found, bad-setting, error, masked, …
    #[serde(rename = "loadState")]
    pub load: String,
    /// active, reloading, inactive, failed, activating, deactivating.
    #[serde(rename = "activeState")]
    pub active: String,
    /// The finer state, which depends on the unit's type: running, exited, dead, …
    #[serde(rename = "subState")]
    pub sub: String,
}

impl SystemdState {
    /// A state in systemd's words.
    pub fn new(load: &str, active: &str, sub: &str) -> Self {
        SystemdState { load: load.into(), active: active.into(), sub: sub.into() }
    }

    /// Whether no process of the unit can be running: inactive or failed.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// Whether new units may go to a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// They may.
    #[default]
    Open,
    /// Nothing new; what is there stays.
    Cordon,
    /// Nothing new; what is there (global units aside) moves away.
    Drain,
}

/// A machine as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Who it is.
    pub id: MachineId,
    /// Address for people and ssh; empty when unknown.
    pub primary_ip: String,
    /// Configured metadata, overlaid with what was set through the API.
    pub metadata: BTreeMap<String, String>,
    /// What it has for units. Zero means unknown: only units that ask for nothing of it fit.
    pub capacity: Resources,
    /// Whether new units may come.
    pub admission: Admission,
    /// Its fleetd was stopped and is waited for: what is there stays, nothing new comes.
    pub leaving: bool,
    /// Where its API answers over TCP, if it does: `http://HOST:PORT` or `https://HOST:PORT`.
    pub api: Option<String>,
    /// fleetd's version.
    pub version: String,
}

impl Machine {
    /// Whether new units may come.
    pub fn is_open(&self) -> bool {
        self.admission == Admission::Open && !self.leaving
    }
}

/// A unit that the cluster knows.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: UnitName,
    /// The file that shall run.
    pub file: Arc<UnitFile>,
    /// Hash of its canonical text.
    pub hash: UnitHash,
    /// Its `[X-Fleet]` section, specifiers replaced.
    pub requirements: Arc<Requirements>,
    /// What the operator wants.
    pub desired: DesiredState,
}

/// What the engine tells the agent of one machine about one unit: key `agent/MACHINE/UNIT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The text to run, under `unit/HASH`.
    pub hash: UnitHash,
    /// Loaded or launched (an order to be inactive is no order).
    pub state: DesiredState,
    /// Counts each request to start again (`fleetctl restart`, a oneshot that shall run once more).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub run: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What an agent says about one unit: key `states/UNIT/MACHINE`, under the agent's lease. While it exists, the unit may be
/// running there: it is written before the unit is first touched (the claim) and deleted after it has come to rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// systemd's view; empty words in a claim that has no news yet.
    #[serde(flatten)]
    pub state: SystemdState,
    /// The text that is installed there.
    #[serde(rename = "unitHash")]
    pub hash: UnitHash,
    /// Whether start was called for it since it was installed: fleet's "launched".
    #[serde(default)]
    pub launched: bool,
    /// Start may be called any moment, or may have been, without a word of it here: the order says launched. What an agent that
    /// comes back finds running then is its own, and no socket's or operator's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starting: bool,
    /// The order's `run` that was carried out last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub run: u64,
    /// Why the last thing that was tried did not work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}
