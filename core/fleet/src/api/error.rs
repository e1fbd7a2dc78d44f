//! What the API answers when it does not do what was asked: fleet's error document with a text that says what to do.

use crate::local::LocalError;
use crate::model::MachineId;
use crate::registry::RegistryError;
use serde_json::{Value, json};
use std::fmt;

/// A refusal. The code is HTTP's: what begins with 4 is the caller's to mend, 503 passes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub code: u16,
    /// What is wrong and what to do.
    pub message: String,
    /// The machine that could do it, and its address: where a client may go by itself.
    pub machine: Option<(MachineId, String)>,
}

impl ApiError {
    /// A refusal with a status.
    pub fn new(code: u16, message: impl Into<String>) -> ApiError {
        let message = message.into();
        assert!((400..600).contains(&code), "{code} is no refusal: {message}");
        ApiError { code, message, machine: None }
    }

    /// 400: the request makes no sense by itself.
    pub fn bad(message: impl Into<String>) -> ApiError {
        ApiError::new(400, message)
    }

    /// 404: there is no such thing.
    pub fn missing(message: impl Into<String>) -> ApiError {
        ApiError::new(404, message)
    }

    /// 409: it makes sense, but not in the present state.
    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(409, message)
    }

    /// 405, with what is possible.
    pub fn method(allowed: &str) -> ApiError {
        ApiError::new(405, format!("only {allowed} supported against this resource"))
    }

    /// 503: the store is away.
    pub fn store(reason: impl fmt::Display) -> ApiError {
        ApiError::new(503, format!("fleet server unable to communicate with etcd: {reason}"))
    }

    /// fleet's error document.
    pub fn document(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some((machine, address)) = &self.machine {
            error["machineID"] = json!(machine);
            error["primaryIP"] = json!(address);
        }
        json!({ "error": error })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<LocalError> for ApiError {
    fn from(error: LocalError) -> ApiError {
        match error {
            LocalError::Busy(text) => ApiError::new(503, text),
            LocalError::Failed(text) => ApiError::new(500, text),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> ApiError {
        match error {
            RegistryError::Store(error) => ApiError::store(error),
            RegistryError::Busy(_) => ApiError::new(503, error.to_string()),
            RegistryError::Malformed { .. } => ApiError::new(500, error.to_string()),
            RegistryError::BadKey(_) => ApiError::bad(error.to_string()),
        }
    }
}
