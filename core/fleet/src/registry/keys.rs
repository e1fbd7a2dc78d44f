//! The keys, as text and back.

use super::RegistryError;
use crate::model::MachineId;
use crate::unit::{UnitHash, UnitName};
use bytes::Bytes;
use std::sync::Arc;

/// A key under the prefix, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Text(UnitHash),
    Object(UnitName),
    Desired(UnitName),
    Run(UnitName),
    Target(UnitName),
    Done(UnitName),
    Previous(UnitName),
    Halt(UnitName),
    Order(MachineId, UnitName),
    Report(UnitName, MachineId),
    Presence(MachineId),
    Metadata(MachineId, String),
    Admission(MachineId),
    Gone(MachineId),
    Leader,
    Version,
    Rebalance,
}

/// Makes and reads keys. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Keys {
        Keys { prefix: format!("{}/", prefix.trim_end_matches('/')).into() }
    }

    /// The first key of everything, and the first key after it.
    pub(super) fn all(&self) -> (Bytes, Bytes) {
        self.below("")
    }

    /// All keys below a folder (which ends in a slash): the first, and the first after the last.
    pub(super) fn below(&self, folder: &str) -> (Bytes, Bytes) {
        let first = format!("{}{folder}", self.prefix);
        assert!(first.ends_with('/'), "{first} is no folder");
        let end = format!("{}0", &first[..first.len() - 1]); // '0' is the byte after '/'.
        (first.into(), end.into())
    }

    /// All reports of a unit.
    pub(super) fn reports(&self, unit: &UnitName) -> (Bytes, Bytes) {
        self.below(&format!("states/{unit}/"))
    }

    /// All orders of a machine.
    pub(super) fn orders(&self, machine: &MachineId) -> (Bytes, Bytes) {
        self.below(&format!("agent/{machine}/"))
    }

    /// All that is known of a machine.
    pub(super) fn machine(&self, machine: &MachineId) -> (Bytes, Bytes) {
        self.below(&format!("machines/{machine}/"))
    }

    pub(super) fn text(&self, key: &Key) -> Bytes {
        let path = match key {
            Key::Text(hash) => format!("unit/{hash}"),
            Key::Object(unit) => format!("job/{unit}/object"),
            Key::Desired(unit) => format!("job/{unit}/target-state"),
            Key::Run(unit) => format!("job/{unit}/run"),
            Key::Target(unit) => format!("job/{unit}/target"),
            Key::Done(unit) => format!("job/{unit}/done"),
            Key::Previous(unit) => format!("job/{unit}/previous"),
            Key::Halt(unit) => format!("job/{unit}/halt"),
            Key::Order(machine, unit) => format!("agent/{machine}/{unit}"),
            Key::Report(unit, machine) => format!("states/{unit}/{machine}"),
            Key::Presence(machine) => format!("machines/{machine}/object"),
            Key::Metadata(machine, name) => format!("machines/{machine}/metadata/{name}"),
            Key::Admission(machine) => format!("machines/{machine}/admission"),
            Key::Gone(machine) => format!("machines/{machine}/gone"),
            Key::Leader => "lease/engine-leader".to_owned(),
            Key::Version => "engine/version".to_owned(),
            Key::Rebalance => "engine/rebalance".to_owned(),
        };
        format!("{}{path}", self.prefix).into()
    }

    /// Takes a key apart; says what is wrong with it otherwise.
    pub(super) fn parse(&self, key: &[u8]) -> Result<Key, String> {
        let text = std::str::from_utf8(key).map_err(|_| "it is not UTF-8".to_owned())?;
        let path = text.strip_prefix(&*self.prefix).ok_or("it is not under the prefix")?;
        let parts: Vec<&str> = path.split('/').collect();
        let unit = |text: &str| UnitName::parse(text).map_err(|error| error.to_string());
        let machine = |text: &str| {
            if text.is_empty() { Err("it names no machine".to_owned()) } else { Ok(text.into()) }
        };
        Ok(match parts.as_slice() {
            ["unit", hash] => Key::Text(UnitHash::parse(hash).ok_or("it does not end in a unit's hash")?),
            ["job", name, "object"] => Key::Object(unit(name)?),
            ["job", name, "target-state"] => Key::Desired(unit(name)?),
            ["job", name, "run"] => Key::Run(unit(name)?),
            ["job", name, "target"] => Key::Target(unit(name)?),
            ["job", name, "done"] => Key::Done(unit(name)?),
            ["job", name, "previous"] => Key::Previous(unit(name)?),
            ["job", name, "halt"] => Key::Halt(unit(name)?),
            ["agent", id, name] => Key::Order(machine(id)?, unit(name)?),
            ["states", name, id] => Key::Report(unit(name)?, machine(id)?),
            ["machines", id, "object"] => Key::Presence(machine(id)?),
            ["machines", id, "metadata", name] if !name.is_empty() => {
                Key::Metadata(machine(id)?, (*name).to_owned())
            }
            ["machines", id, "admission"] => Key::Admission(machine(id)?),
            ["machines", id, "gone"] => Key::Gone(machine(id)?),
            ["lease", "engine-leader"] => Key::Leader,
            ["engine", "version"] => Key::Version,
            ["engine", "rebalance"] => Key::Rebalance,
            _ => return Err("no such key is known".to_owned()),
        })
    }
}

/// A text from outside as one part of a key.
pub(super) fn part(text: &str) -> Result<&str, RegistryError> {
    if text.is_empty() || text.contains('/') { Err(RegistryError::BadKey(text.to_owned())) } else { Ok(text) }
}
