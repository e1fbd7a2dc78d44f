//! The values, as bytes and back. Every reader says in words what is wrong with a value.

use super::record::Presence;
use crate::model::{Admission, DesiredState, MachineId, Order};
use crate::unit::{UnitHash, UnitName};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `unit/HASH`.
#[derive(Serialize, Deserialize)]
struct Raw {
    #[serde(rename = "Raw")]
    raw: String,
}

/// `job/NAME/object`: fleet's bytes of a hash are a list of numbers.
#[derive(Serialize, Deserialize)]
struct Object {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "UnitHash")]
    hash: [u8; 20],
}

/// `lease/engine-leader`.
#[derive(Serialize, Deserialize)]
struct LeaderValue {
    #[serde(rename = "MachineID")]
    machine: MachineId,
    #[serde(rename = "Version")]
    version: u32,
}

/// The version of what the engine writes; fleet 1.0 wrote the same number.
pub(super) const ENGINE_VERSION: u32 = 1;

pub(super) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("the registry's values have text keys only").into()
}

pub(super) fn text(raw: &str) -> Bytes {
    json(&Raw { raw: raw.to_owned() })
}

pub(super) fn object(unit: &UnitName, hash: UnitHash) -> Bytes {
    json(&Object { name: unit.to_string(), hash: hash.0 })
}

pub(super) fn leader(machine: &MachineId) -> Bytes {
    json(&LeaderValue { machine: machine.clone(), version: ENGINE_VERSION })
}

pub(super) fn plain(value: impl ToString) -> Bytes {
    value.to_string().into()
}

pub(super) fn admission(admission: Admission) -> Bytes {
    match admission {
        Admission::Open => "open",
        Admission::Cordon => "cordon",
        Admission::Drain => "drain",
    }
    .into()
}

pub(super) fn read_json<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

pub(super) fn read_utf8(value: &[u8]) -> Result<String, String> {
    String::from_utf8(value.to_vec()).map_err(|_| "its value is not UTF-8".to_owned())
}

pub(super) fn read_text(value: &[u8]) -> Result<String, String> {
    Ok(read_json::<Raw>(value)?.raw)
}

pub(super) fn read_object(unit: &UnitName, value: &[u8]) -> Result<UnitHash, String> {
    let object: Object = read_json(value)?;
    if object.name != unit.as_str() {
        return Err(format!("its value names {:?}", object.name));
    }
    Ok(UnitHash(object.hash))
}

pub(super) fn read_desired(value: &[u8]) -> Result<DesiredState, String> {
    let text = read_utf8(value)?;
    DesiredState::parse(&text).ok_or_else(|| format!("{text:?} is not inactive, loaded or launched"))
}

pub(super) fn read_number(value: &[u8]) -> Result<u64, String> {
    let text = read_utf8(value)?;
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

pub(super) fn read_hash(value: &[u8]) -> Result<UnitHash, String> {
    let text = read_utf8(value)?;
    UnitHash::parse(&text).ok_or_else(|| format!("{text:?} is not a unit's hash"))
}

pub(super) fn read_machine(value: &[u8]) -> Result<MachineId, String> {
    let text = read_utf8(value)?;
    if text.is_empty() || text.contains('/') {
        return Err(format!("{text:?} is not a machine's id"));
    }
    Ok(text.as_str().into())
}

pub(super) fn read_order(value: &[u8]) -> Result<Order, String> {
    let order: Order = read_json(value)?;
    if order.state == DesiredState::Inactive {
        return Err("an order to be inactive is no order".to_owned());
    }
    Ok(order)
}

pub(super) fn read_presence(machine: &MachineId, value: &[u8]) -> Result<Presence, String> {
    let presence: Presence = read_json(value)?;
    if presence.id != *machine {
        return Err(format!("its value names machine {:?}", presence.id.as_str()));
    }
    Ok(presence)
}

pub(super) fn read_admission(value: &[u8]) -> Result<Admission, String> {
    match value {
        b"open" => Ok(Admission::Open),
        b"cordon" => Ok(Admission::Cordon),
        b"drain" => Ok(Admission::Drain),
        _ => Err(format!("{:?} is not open, cordon or drain", String::from_utf8_lossy(value))),
    }
}

pub(super) fn read_leader(value: &[u8]) -> Result<MachineId, String> {
    Ok(read_json::<LeaderValue>(value)?.machine)
}
