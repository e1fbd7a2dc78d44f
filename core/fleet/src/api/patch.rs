//! Changes of machines' metadata: the JSON patch that `PATCH /machines` takes.
//!
//! Each operation names `/MACHINE/metadata/KEY`. fleet's documents write the value as a string, fleet's program takes an object
//! with a `value` in it: both are taken. All operations are checked before the first is applied. `remove` hides a
//! configured value as well; machines that are not there may be named, for what is set outlives a machine's absence.

use super::error::ApiError;
use crate::model::MachineId;
use serde::Deserialize;
use serde_json::Value;

/// Operations in one request.
pub const PATCH_OPERATIONS_MAX: usize = 1_024;

/// The longest metadata value, in bytes.
pub const METADATA_VALUE_BYTES_MAX: usize = 4_096;

/// One checked operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataChange {
    /// The machine.
    pub machine: MachineId,
    /// The key.
    pub key: String,
    /// Its new value; `None` hides it.
    pub value: Option<String>,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default)]
    op: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    value: Value,
}

/// Reads and checks a whole patch.
pub fn parse(body: &[u8]) -> Result<Vec<MetadataChange>, ApiError> {
    let operations: Vec<Operation> = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad(format!("unable to decode body: {error}")))?;
    if operations.len() > PATCH_OPERATIONS_MAX {
        let message =
            format!("{} operations: at most {PATCH_OPERATIONS_MAX} go in one request", operations.len());
        return Err(ApiError::bad(message));
    }
    operations.into_iter().map(Operation::check).collect()
}

impl Operation {
    fn check(self) -> Result<MetadataChange, ApiError> {
        let (machine, key) = split_path(&self.path)?;
        let value = match self.op.as_str() {
            "add" | "replace" => Some(text_of(&self.value, &self.path)?),
            "remove" => None,
            other => {
                return Err(ApiError::bad(format!(
                    "op {other:?} of {}: use add, replace or remove",
                    self.path
                )));
            }
        };
        Ok(MetadataChange { machine: machine.into(), key: key.into(), value })
    }
}

fn split_path(path: &str) -> Result<(&str, &str), ApiError> {
    let wrong = || ApiError::bad(format!("path {path:?} is not /MACHINE/metadata/KEY"));
    let mut parts = path.strip_prefix('/').ok_or_else(wrong)?.split('/');
    let (Some(machine), Some("metadata"), Some(key), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if machine.is_empty() || !key.bytes().all(allowed) || key.is_empty() {
        return Err(ApiError::bad(format!(
            "path {path:?}: a key has letters, digits, '_', '.' and '-' only"
        )));
    }
    Ok((machine, key))
}

/// The string itself, or the one in `{"value": …}`.
fn text_of(value: &Value, path: &str) -> Result<String, ApiError> {
    let text = value.as_str().or_else(|| value.get("value").and_then(Value::as_str));
    let text = text.filter(|text| !text.is_empty()).ok_or_else(|| {
        ApiError::bad(format!(
            "value {value} of {path} is not a text that says something: use op remove to hide a key"
        ))
    })?;
    if text.len() > METADATA_VALUE_BYTES_MAX {
        return Err(ApiError::bad(format!("value of {path}: at most {METADATA_VALUE_BYTES_MAX} bytes")));
    }
    Ok(text.into())
}
