//! An error as a container runtime reads it: a number, a text, and the cause.

use serde_json::{Value, json};
use std::fmt::Display;

/// What went wrong, by the numbers of CNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A version of CNI that is not spoken here.
    Version = 1,
    /// A variable of the environment is missing or wrong.
    Environment = 4,
    /// Reading or writing failed.
    Io = 5,
    /// Not JSON.
    Decode = 6,
    /// The configuration is wrong.
    Configuration = 7,
    /// Nothing is wrong with the request; the runtime should try it again.
    TryLater = 11,
    /// The plugin cannot serve an ADD now (answer to STATUS).
    NotAvailable = 50,
    /// Anything else.
    Internal = 999,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq)]
pub enum CniError {
    /// This plugin's own.
    Own {
        /// What went wrong.
        kind: Kind,
        /// The field or variable, its value, and what to do.
        message: String,
        /// The cause, if there is more to say.
        details: String,
    },
    /// The delegate's, as it said it.
    Delegate(Value),
}

impl CniError {
    /// An error of this plugin.
    pub fn new(kind: Kind, message: impl Into<String>) -> CniError {
        CniError::Own { kind, message: message.into(), details: String::new() }
    }

    /// With its cause.
    pub fn because(mut self, cause: impl Display) -> CniError {
        if let CniError::Own { details, .. } = &mut self {
            *details = cause.to_string();
        }
        self
    }

    /// The same, of another kind.
    pub fn with_kind(mut self, other: Kind) -> CniError {
        if let CniError::Own { kind, .. } = &mut self {
            *kind = other;
        }
        self
    }

    /// What goes to standard output.
    pub fn document(&self, version: &str) -> Vec<u8> {
        let document = match self {
            CniError::Delegate(document) => document.clone(),
            CniError::Own { kind, message, details } => {
                let mut document = json!({ "cniVersion": version, "code": *kind as u32, "msg": message });
                if !details.is_empty() {
                    document["details"] = Value::from(details.as_str());
                }
                document
            }
        };
        format!("{document}\n").into_bytes()
    }
}
