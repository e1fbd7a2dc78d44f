//! What systemd's signals mean to fleet.
//!
//! A unit's state is announced by `PropertiesChanged`, except for the first one after systemd took the unit into its memory:
//! that is part of `UnitNew`. But `UnitNew` is also sent whenever a unit is merely looked at that is not in memory, as when its
//! state is asked for. To pass it on would make the agent ask, and so on for ever. A unit that changes right after it came
//! into memory has a job; so jobs are passed on when they begin and end, and `UnitNew` only while the unit has one. Without a job
//! it is taken to say inactive and dead, and what repeats that is no news either.
//!
//! Units that were never installed here are nobody's business: systemd touches dozens of them whenever it loads one.

use super::link::{SYSTEMD, Shared};
use fleet::systemd::{Change, JobResult};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use zbus::Message;
use zbus::message::Type;
use zbus::wire::{ObjectPath, Variant};

/// Where units are on the bus.
const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/";

/// Whether the connection is still of use.
pub enum Heard {
    /// It is.
    Fine,
    /// It is not, and why.
    Lost(String),
}

/// The listener of one connection.
pub struct Signals<'a> {
    shared: &'a Shared,
    owner: String,
    /// Units with a job.
    busy: BTreeSet<String>,
    /// Active and sub state as last announced, of known units in systemd's memory.
    announced: BTreeMap<String, (String, String)>,
    /// A reload that was asked for here is under way.
    own_reload: bool,
}

impl<'a> Signals<'a> {
    /// Hears systemd, which is called `owner` on the bus.
    pub fn new(shared: &'a Shared, owner: String) -> Self {
        Signals { shared, owner, busy: BTreeSet::new(), announced: BTreeMap::new(), own_reload: false }
    }

    /// Takes one message. Anything but signals of systemd and of the bus itself is passed over: any process may send us a
    /// signal that looks like systemd's, but none under its name.
    pub fn hear(&mut self, message: &Message) -> Heard {
        if message.message_type() != Type::Signal {
            return Heard::Fine;
        }
        let header = message.header();
        let sender = header.sender().map(|name| name.as_str());
        let (Some(member), Some(interface)) = (header.member(), header.interface()) else {
            return Heard::Fine;
        };
        let outcome = match (interface.as_str(), member.as_str()) {
            ("org.freedesktop.DBus", "NameOwnerChanged") if sender == Some("org.freedesktop.DBus") => {
                self.name_owner_changed(message)
            }
            ("org.freedesktop.systemd1.Manager", member) if sender == Some(self.owner.as_str()) => {
                self.manager_says(member, message)
            }
            ("org.freedesktop.DBus.Properties", "PropertiesChanged")
                if sender == Some(self.owner.as_str()) =>
            {
                let path = header.path().map(|path| path.as_str()).unwrap_or_default();
                self.properties_changed(path, message)
            }
            _ => Ok(Heard::Fine),
        };
        outcome.unwrap_or_else(|error| Heard::Lost(format!("a signal that cannot be read: {error}")))
    }

    fn name_owner_changed(&self, message: &Message) -> zbus::Result<Heard> {
        let body = message.body();
        let (name, _old, new): (&str, &str, &str) = body.deserialize()?;
        // That it came may be told after we already asked who it is.
        if name == SYSTEMD && new != self.owner {
            return Ok(Heard::Lost("systemd left the bus".to_string()));
        }
        Ok(Heard::Fine)
    }

    fn manager_says(&mut self, member: &str, message: &Message) -> zbus::Result<Heard> {
        let body = message.body();
        match member {
            "JobNew" => {
                let (_, _, unit): (u32, ObjectPath<'_>, &str) = body.deserialize()?;
                self.busy.insert(unit.to_string());
                self.tell(unit);
            }
            "JobRemoved" => {
                let (_, job, unit, result): (u32, ObjectPath<'_>, &str, &str) = body.deserialize()?;
                self.busy.remove(unit);
                self.tell(unit);
                if !self.shared.jobs.ended(job.as_str(), job_result(result)) {
                    return Ok(Heard::Lost("more jobs end than can be kept".to_string()));
                }
            }
            "UnitNew" => {
                let (unit, _): (&str, ObjectPath<'_>) = body.deserialize()?;
                if self.busy.contains(unit) {
                    self.tell(unit);
                } else if self.shared.is_known(unit) {
                    self.announced.insert(unit.to_string(), ("inactive".to_string(), "dead".to_string()));
                }
            }
            "UnitRemoved" => {
                let (unit, _): (&str, ObjectPath<'_>) = body.deserialize()?;
                self.announced.remove(unit);
            }
            "Reloading" => self.reloading(body.deserialize()?),
            _ => {}
        }
        Ok(Heard::Fine)
    }

    /// Whoever reloads here looks again by itself. If somebody else did, units may have come, gone or changed.
    fn reloading(&mut self, begins: bool) {
        if begins {
            let own = &self.shared.own_reloads;
            self.own_reload =
                own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok();
        } else if !std::mem::take(&mut self.own_reload) {
            self.shared.hub.tell(&Change::Resync);
        }
    }

    fn properties_changed(&mut self, path: &str, message: &Message) -> zbus::Result<Heard> {
        let Some(unit) = unit_of(path).filter(|unit| self.shared.is_known(unit)) else {
            return Ok(Heard::Fine);
        };
        let body = message.body();
        let (_, changed, _): (&str, BTreeMap<&str, Variant<'_>>, Vec<&str>) = body.deserialize()?;
        let word = |property| match changed.get(property) {
            Some(Variant::Str(text)) => Some(text.as_str().to_string()),
            _ => None,
        };
        match (word("ActiveState"), word("SubState")) {
            (Some(active), Some(sub)) => {
                let state = (active, sub);
                if self.announced.get(&unit) != Some(&state) {
                    self.tell(&unit);
                    self.announced.insert(unit, state);
                }
            }
            _ => self.tell(&unit),
        }
        Ok(Heard::Fine)
    }

    fn tell(&self, unit: &str) {
        if self.shared.is_known(unit) {
            self.shared.hub.tell(&Change::Unit(unit.to_string()));
        }
    }
}

/// systemd's word for how a job ended.
fn job_result(word: &str) -> JobResult {
    match word {
        "done" => JobResult::Done,
        "canceled" => JobResult::Canceled,
        "timeout" => JobResult::Timeout,
        "dependency" => JobResult::Dependency,
        "skipped" | "once" => JobResult::Skipped,
        // failed, assert, unsupported, collected, invalid, and what later versions say: it was not done.
        _ => JobResult::Failed,
    }
}

/// The name of the unit at `path`: systemd writes each byte but ASCII letters and digits as `_` and two hexadecimal digits.
fn unit_of(path: &str) -> Option<String> {
    let escaped = path.strip_prefix(UNIT_PATH)?;
    let mut name = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'_' => {
                let mut digit = || (bytes.next()? as char).to_digit(16).map(|digit| digit as u8);
                digit()? * 16 + digit()?
            }
            _ => byte,
        });
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_by_their_paths() {
        for (path, name) in [
            ("/org/freedesktop/systemd1/unit/a_2eservice", Some("a.service")),
            ("/org/freedesktop/systemd1/unit/e_401_2dx_2eservice", Some("e@1-x.service")),
            ("/org/freedesktop/systemd1/unit/broken_2", None),
            ("/org/freedesktop/systemd1/unit/broken_zz", None),
            ("/org/freedesktop/systemd1/job/7", None),
        ] {
            assert_eq!(unit_of(path).as_deref(), name, "{path}");
        }
    }

    quickcheck::quickcheck! {
        fn any_name_survives_its_path(name: String) -> bool {
            let escaped: String = name
                .bytes()
                .map(|byte| match byte {
                    byte if byte.is_ascii_alphanumeric() => (byte as char).to_string(),
                    byte => format!("_{byte:02x}"),
                })
                .collect();
            unit_of(&format!("{UNIT_PATH}{escaped}")) == Some(name)
        }
    }
}
