//! The API's values as a client reads them.
//!
//! Every field may be missing (fleet leaves out what is empty), and fields that this version does not know are kept in `more`,
//! so that `fleetctl --output json` shows what the server said and nothing less.

use fleet::unit::UnitOption;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A unit as the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Its file.
    pub options: Vec<UnitOption>,
    /// What the operator wants: inactive, loaded, launched.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub desired_state: String,
    /// How far the cluster is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_state: String,
    /// The machine it was given to.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// What else the server says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What one machine says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UnitState {
    /// The unit.
    pub name: String,
    /// The hash of the text that it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// The machine.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// systemd's load state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_load_state: String,
    /// systemd's active state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_active_state: String,
    /// systemd's sub state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_sub_state: String,
    /// What else the server says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A live machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Machine {
    /// Its id.
    pub id: String,
    /// Its address for people and ssh.
    #[serde(rename = "primaryIP", skip_serializing_if = "String::is_empty")]
    pub primary_ip: String,
    /// Its metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What else the server says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// One page of a listing. The rows stand under the collection's own name.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default, rename = "nextPageToken")]
    pub next: String,
    #[serde(flatten)]
    pub rows: Map<String, Value>,
}

/// The body of an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub error: ErrorText,
}

/// The text of an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorText {
    #[serde(default)]
    pub message: String,
}
