//! Names of units.
//!
//! A name is checked once, where it enters ([`UnitName::parse`], and when it is read from JSON), so that whoever holds a
//! [`UnitName`] may put it into a key, a path of the units directory or a call to systemd without looking again: it has
//! no slash, is not empty, and ends in a type that systemd knows.
//!
//! ```text
//! web@8080.service      kind "service", prefix "web", template "web@.service", instance "8080"
//! web@.service          kind "service", prefix "web", a template: it can be stored, not placed
//! web.service           kind "service", prefix "web", neither
//! ```

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes: fleet's limit, one more than systemd's own.
pub const NAME_LENGTH_MAX: usize = 256;

/// The types of unit that systemd knows today.
const KINDS: [&str; 11] = [
    "automount",
    "device",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "socket",
    "swap",
    "target",
    "timer",
];

/// The types of which fleet takes templates and instances.
const TEMPLATE_KINDS: [&str; 5] = ["path", "service", "socket", "target", "timer"];

/// Types that fleet took, and systemd has given up (in versions 228 and 236).
const PAST_KINDS: [&str; 2] = ["busname", "snapshot"];

/// The name of a unit, checked by the API's rules. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitName(#[serde(deserialize_with = "checked")] Arc<str>);

/// Why a text is no name of a unit. The text names it and says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError(String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NameError {}

impl UnitName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, too long, without a type that systemd knows, has a character outside of `A-Za-z0-9:_.\@-`, or
    /// begins with `@`.
    pub fn parse(text: &str) -> Result<UnitName, NameError> {
        check(text).map_err(NameError)?;
        assert!(!text.contains('/'), "a name that was checked is one component of a path");
        Ok(UnitName(text.into()))
    }

    /// The unit that an argument of a command names: the last component of a path, with `.service` appended when it does
    /// not end in a type of unit. Not checked: that is for [`UnitName::parse`].
    pub fn from_argument(argument: &str) -> String {
        let trimmed = argument.trim_end_matches('/');
        let base = trimmed.rsplit('/').next().unwrap_or(trimmed);
        let known = base.rsplit_once('.').is_some_and(|(_, kind)| is_known(kind));
        assert!(!base.contains('/'), "the last component of a path has no slash");
        if known { base.to_owned() } else { format!("{base}.service") }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type: what follows the last dot.
    pub fn kind(&self) -> &str {
        self.split().1
    }

    /// The name without its type: systemd's `%N` is this.
    pub fn stem(&self) -> &str {
        self.split().0
    }

    /// What comes before the first `@`, or before the type when there is none.
    pub fn prefix(&self) -> &str {
        let stem = self.stem();
        stem.split_once('@').map_or(stem, |(prefix, _)| prefix)
    }

    /// What stands between the first `@` and the type. None for a template and for a plain unit.
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance).filter(|instance| !instance.is_empty())
    }

    /// Whether it is a template: `web@.service`. It has no copies of its own.
    pub fn is_template(&self) -> bool {
        self.stem().split_once('@').is_some_and(|(_, instance)| instance.is_empty())
    }

    /// The template's name, of an instance and of a template itself. None for a plain unit.
    pub fn template(&self) -> Option<String> {
        self.stem().contains('@').then(|| format!("{}@.{}", self.prefix(), self.kind()))
    }

    fn split(&self) -> (&str, &str) {
        let (stem, kind) = self.0.rsplit_once('.').expect("a name that was checked has a dot");
        assert!(!stem.is_empty() && !kind.is_empty(), "there is something before and after the dot");
        (stem, kind)
    }
}

fn is_known(kind: &str) -> bool {
    KINDS.contains(&kind) || PAST_KINDS.contains(&kind)
}

/// The rules, in the order in which fleet told of them.
fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a unit's name cannot be empty".into());
    }
    if text.len() > NAME_LENGTH_MAX {
        return Err(format!(
            "a unit's name of {} bytes is too long: {NAME_LENGTH_MAX} are allowed",
            text.len()
        ));
    }
    let Some((stem, kind)) = text.rsplit_once('.') else {
        return Err(format!(
            "unit name {text:?} has no type: end it in .service, or in another type of unit"
        ));
    };
    if PAST_KINDS.contains(&kind) {
        return Err(format!("unit name {text:?}: systemd has no units of type {kind:?} any more"));
    }
    if !KINDS.contains(&kind) {
        let known = KINDS.join(", ");
        return Err(format!("unit name {text:?}: {kind:?} is no type of unit; known are {known}"));
    }
    if text.contains('@') && !TEMPLATE_KINDS.contains(&kind) {
        let known = TEMPLATE_KINDS.join(", ");
        return Err(format!("unit name {text:?}: no templates of type {kind:?}; there are some of {known}"));
    }
    if let Some(other) = stem.chars().find(|char| !is_allowed(*char)) {
        return Err(format!("unit name {text:?}: character {other:?} is not one of A-Za-z0-9:_.\\@-"));
    }
    if stem.is_empty() || stem.starts_with('@') {
        return Err(format!("unit name {text:?}: something must stand before the type and before \"@\""));
    }
    Ok(())
}

fn is_allowed(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, ':' | '_' | '.' | '\\' | '@' | '-')
}

fn checked<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    let text = String::deserialize(deserializer)?;
    UnitName::parse(&text).map(|name| name.0).map_err(serde::de::Error::custom)
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for UnitName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        UnitName::parse(text)
    }
}

impl TryFrom<&str> for UnitName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        UnitName::parse(text)
    }
}

impl AsRef<str> for UnitName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> String {
        name.as_str().to_owned()
    }
}
