//! JSON objects as Go reads them: the case of a name does not matter, unknown names are ignored, null is the same as nothing.
//!
//! flannel's config and lease values were always read that way, and its users (and its own tests) write names in any case.

use serde_json::{Map, Value};
use std::fmt;

/// A field that cannot be used. Text: `SubnetLen 31: must be 30 or less, so that a subnet has room for two hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name as documented, or what the whole text is.
    pub field: String,
    /// Its value as JSON, cut off if long; empty if the field is missing.
    pub value: String,
    /// What is wrong with it, and what to write.
    pub message: String,
}

/// Most characters of a value that an error repeats.
const VALUE_SHOWN: usize = 120;

impl FieldError {
    /// An error about a field with this value.
    pub(crate) fn new(field: &str, value: impl fmt::Display, message: impl Into<String>) -> FieldError {
        let value = value.to_string().chars().take(VALUE_SHOWN).collect();
        FieldError { field: field.to_owned(), value, message: message.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.is_empty() {
            true => write!(f, "{}: {}", self.field, self.message),
            false => write!(f, "{} {}: {}", self.field, self.value, self.message),
        }
    }
}

impl std::error::Error for FieldError {}

/// The fields of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a text that is `what` (for the error).
    pub(crate) fn parse(what: &str, text: &str) -> Result<Fields, FieldError> {
        match serde_json::from_str(text) {
            Ok(value) => Fields::of(what, value),
            Err(error) => Err(FieldError::new(what, text, format!("is not JSON: {error}"))),
        }
    }

    /// The fields of a value that is `what`.
    pub(crate) fn of(what: &str, value: Value) -> Result<Fields, FieldError> {
        match value {
            Value::Object(fields) => Ok(Fields(fields)),
            other => Err(FieldError::new(what, other, "must be a JSON object, like {\"Name\": value}")),
        }
    }

    /// The value of a field. The exact name wins over one of another case.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let any_case =
            || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        self.0.get(name).or_else(any_case).filter(|value| !value.is_null())
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, FieldError> {
        let read = |value: &'_ Value| FieldError::new(name, value, "must be a text in quotation marks");
        self.get(name).map(|value| value.as_str().ok_or_else(|| read(value))).transpose()
    }

    /// A text that is read as a `T`; `form` says how to write it.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        form: &str,
    ) -> Result<Option<T>, FieldError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => {
                Err(FieldError::new(name, format!("{text:?}"), format!("cannot be read; write it as {form}")))
            }
        }
    }

    /// true or false; `default` if the field is missing.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, FieldError> {
        Ok(self.optional_flag(name)?.unwrap_or(default))
    }

    /// true, false or nothing.
    pub(crate) fn optional_flag(&self, name: &str) -> Result<Option<bool>, FieldError> {
        let wrong =
            |value: &Value| FieldError::new(name, value, "must be true or false, without quotation marks");
        self.get(name).map(|value| value.as_bool().ok_or_else(|| wrong(value))).transpose()
    }

    /// A whole number in `least..=most`; `default` if the field is missing.
    pub(crate) fn number(&self, name: &str, least: u32, most: u32, default: u32) -> Result<u32, FieldError> {
        assert!(least <= most, "{name} has no possible value");
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let form = || format!("must be a whole number from {least} to {most}, without quotation marks");
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| FieldError::new(name, value, form()))
    }

    /// A UDP port; `default` if the field is missing.
    pub(crate) fn port(&self, name: &str, default: u16) -> Result<u16, FieldError> {
        let number = self.number(name, 0, u32::from(u16::MAX), u32::from(default))?;
        Ok(u16::try_from(number).expect("the number is within a port's range"))
    }
}
