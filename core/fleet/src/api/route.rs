//! Which resource a path names, and which methods that resource has.
//!
//! Both prefixes, `/fleet/v1` and the old `/v1-alpha`, lead to the same resources. A name in a path is percent-decoded after
//! the path was split, so that a name may hold what it likes.

use super::error::ApiError;
use super::query::decode;

/// The prefixes under which the API is served.
pub const PREFIXES: [&str; 2] = ["/fleet/v1", "/v1-alpha"];

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/units`
    Units,
    /// `/units/NAME`
    Unit(String),
    /// `/units/NAME/why`
    Why(String),
    /// `/units/NAME/restart`
    Restart(String),
    /// `/units/NAME/journal`
    Journal(String),
    /// `/units/NAME/status`
    Status(String),
    /// `/units/NAME/rollout`
    Rollout(String),
    /// `/state`
    States,
    /// `/state/NAME`
    State(String),
    /// `/machines`
    Machines,
    /// `/machines/ID/admission`
    Admission(String),
    /// `/machines/ID/gone`
    Gone(String),
    /// `/plan`
    Plan,
    /// `/rebalance`
    Rebalance,
    /// `/events`
    Events,
    /// `/discovery`
    Discovery,
}

impl Resource {
    /// The resource of a path. 404 when there is none, 405 at the root of the API, as fleet answered.
    pub fn of(path: &str) -> Result<Resource, ApiError> {
        let no_root = || ApiError::new(405, "there is no resource here: see /fleet/v1/discovery");
        if path == "/" {
            return Err(no_root());
        }
        let missing = || ApiError::missing(format!("no resource at {path}: see /fleet/v1/discovery"));
        let below = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix)).ok_or_else(missing)?;
        if below.is_empty() || below == "/" {
            return Err(no_root());
        }
        let segments = below.strip_prefix('/').ok_or_else(missing)?.split('/');
        let segments = segments.map(decode).collect::<Result<Vec<_>, _>>()?;
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        if words[1..].iter().any(|word| word.is_empty()) {
            return Err(missing());
        }
        let resource = match *words.as_slice() {
            ["units"] => Resource::Units,
            ["units", name] => Resource::Unit(name.into()),
            ["units", name, "why"] => Resource::Why(name.into()),
            ["units", name, "restart"] => Resource::Restart(name.into()),
            ["units", name, "journal"] => Resource::Journal(name.into()),
            ["units", name, "status"] => Resource::Status(name.into()),
            ["units", name, "rollout"] => Resource::Rollout(name.into()),
            ["state"] => Resource::States,
            ["state", name] => Resource::State(name.into()),
            ["machines"] => Resource::Machines,
            ["machines", id, "admission"] => Resource::Admission(id.into()),
            ["machines", id, "gone"] => Resource::Gone(id.into()),
            ["plan"] => Resource::Plan,
            ["rebalance"] => Resource::Rebalance,
            ["events"] => Resource::Events,
            ["discovery"] => Resource::Discovery,
            _ => return Err(missing()),
        };
        Ok(resource)
    }

    /// The methods that the resource has.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Resource::Unit(_) => &["GET", "PUT", "DELETE"],
            Resource::Machines => &["GET", "PATCH"],
            Resource::Admission(_) => &["PUT"],
            Resource::Restart(_) | Resource::Gone(_) | Resource::Plan | Resource::Rebalance => &["POST"],
            _ => &["GET"],
        }
    }

    /// Refuses a method that the resource does not have. The discovery document answers 400, as fleet did.
    pub fn check_method(&self, method: &str) -> Result<(), ApiError> {
        let methods = self.methods();
        if methods.contains(&method) || (method == "HEAD" && methods.contains(&"GET")) {
            return Ok(());
        }
        let mut refused = ApiError::method(&methods.join(", "));
        if *self == Resource::Discovery {
            refused.code = 400;
        }
        Err(refused)
    }
}
