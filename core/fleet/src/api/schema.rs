//! The documents of the API: fleet's names, fleet's habit of leaving out what is empty, and what was added since.

use crate::model::{Admission, MachineId, Report, Resources};
use crate::unit::{UnitName, UnitOption};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitDocument {
    /// Its name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Its file.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "or_null")]
    pub options: Vec<UnitOption>,
    /// What the operator wants.
    #[serde(skip_serializing_if = "is_default")]
    pub desired_state: String,
    /// What is. Not there for global units.
    #[serde(skip_serializing_if = "is_default")]
    pub current_state: String,
    /// Where it is placed. Not there for global units.
    #[serde(rename = "machineID", skip_serializing_if = "is_default")]
    pub machine_id: String,
    /// How often a start has been asked for again. (Not in fleet 1.0.)
    #[serde(skip_serializing_if = "is_default")]
    pub run: u64,
    /// A oneshot that has run to its end, with these contents and as often as was asked for. (Not in fleet 1.0.)
    #[serde(skip_serializing_if = "is_default")]
    pub done: bool,
    /// Why its text cannot be followed, so that it stays as it is. (Not in fleet 1.0.)
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
}

/// `null` is an empty value: clients in Go write a list without elements so.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A page of units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitPage {
    /// The units, by name.
    #[serde(skip_serializing_if = "is_default")]
    pub units: Vec<UnitDocument>,
    /// Where it goes on.
    #[serde(skip_serializing_if = "is_default")]
    pub next_page_token: String,
}

/// What one machine says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitStateDocument {
    /// The unit.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Hash of the text that is installed there.
    #[serde(skip_serializing_if = "is_default")]
    pub hash: String,
    /// The machine.
    #[serde(rename = "machineID", skip_serializing_if = "is_default")]
    pub machine_id: String,
    /// systemd's word.
    #[serde(skip_serializing_if = "is_default")]
    pub systemd_load_state: String,
    /// systemd's word.
    #[serde(skip_serializing_if = "is_default")]
    pub systemd_active_state: String,
    /// systemd's word.
    #[serde(skip_serializing_if = "is_default")]
    pub systemd_sub_state: String,
    /// The last of the starts asked for again that was carried out. (Not in fleet 1.0.)
    #[serde(skip_serializing_if = "is_default")]
    pub run: u64,
    /// Why the last thing that fleet tried there did not work. (Not in fleet 1.0.)
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
}

impl UnitStateDocument {
    /// From a machine's report.
    pub fn new(name: &UnitName, machine: &MachineId, report: &Report) -> UnitStateDocument {
        UnitStateDocument {
            name: name.as_str().into(),
            hash: report.hash.to_string(),
            machine_id: machine.as_str().into(),
            systemd_load_state: report.state.load.clone(),
            systemd_active_state: report.state.active.clone(),
            systemd_sub_state: report.state.sub.clone(),
            run: report.run,
            error: report.error.clone(),
        }
    }
}

/// A page of unit states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatePage {
    /// The states, by unit, then by machine.
    #[serde(skip_serializing_if = "is_default")]
    pub states: Vec<UnitStateDocument>,
    /// Where it goes on.
    #[serde(skip_serializing_if = "is_default")]
    pub next_page_token: String,
}

/// A machine. What follows `metadata` is not in fleet 1.0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachineDocument {
    /// Its id.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// Its address for people and ssh.
    #[serde(rename = "primaryIP", skip_serializing_if = "is_default")]
    pub primary_ip: String,
    /// What is configured, overlaid with what was set through the API.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: BTreeMap<String, String>,
    /// `cordon` or `drain`; not there when it is open.
    #[serde(skip_serializing_if = "is_default")]
    pub admission: Admission,
    /// Its fleetd was stopped and is waited for: nothing new comes there.
    #[serde(skip_serializing_if = "is_default")]
    pub leaving: bool,
    /// What it has for units; not there when it does not say.
    #[serde(skip_serializing_if = "is_default")]
    pub capacity: Resources,
    /// fleetd's version.
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// Where its own API answers.
    #[serde(skip_serializing_if = "is_default")]
    pub api: String,
}

/// A page of machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachinePage {
    /// The machines, by id.
    #[serde(skip_serializing_if = "is_default")]
    pub machines: Vec<MachineDocument>,
    /// Where it goes on.
    #[serde(skip_serializing_if = "is_default")]
    pub next_page_token: String,
}

/// What a client sends to open or close a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionDocument {
    /// `open`, `cordon` or `drain`.
    pub admission: Admission,
}

/// A change that is only tried: units to add or replace, and names to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PlanRequest {
    /// Units with options and a desired state (launched where none is said).
    #[serde(deserialize_with = "or_null")]
    pub units: Vec<UnitDocument>,
    /// Names of units to remove.
    #[serde(deserialize_with = "or_null")]
    pub removals: Vec<String>,
}
