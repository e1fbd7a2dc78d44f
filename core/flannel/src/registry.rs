//! The store, as flannel uses it: the only module that knows its keys.
//!
//! [`Registry::load`] reads the config and all leases in one transaction; [`Registry::watch`] goes on from there. Writes compare the
//! revision that they rest on. A key or value that somebody spoilt is told of ([`Spoilt`]) and never fatal: it must not cost
//! the peers that are in good order.
//!
//! Nothing but leases is ever written below `subnets`: flannel's own watch takes everything that begins so for a lease.

mod load;
#[cfg(test)]
mod tests;
mod watch;
mod write;

pub use load::Loaded;
pub use watch::{Batch, Event, Watch};
pub use write::{Created, Written};

use crate::subnet::{Lease, LeaseValue, SubnetKey};
use bytes::Bytes;
use kernel::types::KeyValue;
use kernel::{Kv, Planted};
use std::sync::Arc;

/// flannel's default of `-etcd-prefix`.
pub const DEFAULT_PREFIX: &str = "/coreos.com/network";

/// The store below one prefix. A clone shares it.
#[derive(Clone)]
pub struct Registry {
    kv: Arc<dyn Kv>,
    prefix: Arc<str>,
    /// A bug that is planted here or in whoever uses it.
    pub(crate) planted: Planted,
}

/// A key below `subnets` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoilt {
    /// The key as it is in the store.
    pub name: String,
    /// The subnets it names; none if it is the key that cannot be read.
    pub key: Option<SubnetKey>,
    /// What is wrong.
    pub why: String,
    /// The revision of its last change.
    pub mod_revision: i64,
}

impl Registry {
    /// The store below `prefix`; slashes at its end do not matter.
    pub fn new(kv: Arc<dyn Kv>, prefix: &str) -> Registry {
        Registry { kv, prefix: prefix.trim_end_matches('/').into(), planted: Planted::none() }
    }

    /// The same with a planted bug.
    pub fn with(self, planted: Planted) -> Registry {
        Registry { planted, ..self }
    }

    /// The config's key, as an operator would type it.
    pub fn config_key(&self) -> String {
        format!("{}/config", self.prefix)
    }

    /// A lease's key, as an operator would type it.
    pub fn lease_key(&self, key: &SubnetKey) -> String {
        format!("{}/subnets/{key}", self.prefix)
    }

    /// All leases' keys: the first possible, and the first after them.
    fn leases(&self) -> (Bytes, Bytes) {
        // '0' is the byte after '/'.
        (format!("{}/subnets/", self.prefix).into(), format!("{}/subnets0", self.prefix).into())
    }

    /// What a key below `subnets` says.
    fn read(&self, kv: &KeyValue) -> Result<Lease, Spoilt> {
        let spoilt = |key, why| {
            let name = String::from_utf8_lossy(&kv.key).into_owned();
            Spoilt { name, key, why, mod_revision: kv.mod_revision }
        };
        let key = self.subnet(&kv.key).map_err(|why| spoilt(None, why))?;
        let text =
            std::str::from_utf8(&kv.value).map_err(|_| spoilt(Some(key), "is not UTF-8".to_owned()))?;
        let value = LeaseValue::parse(text).map_err(|error| spoilt(Some(key), error.to_string()))?;
        Ok(Lease { key, value, lease: kv.lease, mod_revision: kv.mod_revision })
    }

    /// The subnets that a key names.
    fn subnet(&self, key: &[u8]) -> Result<SubnetKey, String> {
        let text = std::str::from_utf8(key).map_err(|_| "the key is not UTF-8".to_owned())?;
        let folder = format!("{}/subnets/", self.prefix);
        SubnetKey::parse(text.strip_prefix(&folder).ok_or("the key is not below subnets/")?)
    }
}
