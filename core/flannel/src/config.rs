//! The cluster's network config: the value of `<prefix>/config`, read as flannel reads it, refused with the field's name.
//!
//! Names match in any case and unknown ones are ignored. What is left out has flannel's default; the one surprise among them is
//! the backend, which is `udp` (its documentation says vxlan).

mod backend;
pub mod change;
mod range;
#[cfg(test)]
mod tests;

pub use crate::fields::FieldError as ConfigError;
pub use backend::{Backend, WireguardMode};
pub use range::{Prefix, Range, Range4, Range6};

use crate::fields::Fields;
use crate::subnet::SubnetKey;

/// What the whole cluster agrees on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The IPv4 network and how it is divided; none where EnableIPv4 is false. One of the two is always there.
    pub v4: Option<Range4>,
    /// The IPv6 network likewise; none unless EnableIPv6 is true.
    pub v6: Option<Range6>,
    /// EnableNFTables as written; none if it is not.
    pub rules: Option<bool>,
    /// How packets get from one machine to another.
    pub backend: Backend,
}

impl NetworkConfig {
    /// Reads the JSON text of the config key.
    pub fn parse(text: &str) -> Result<NetworkConfig, ConfigError> {
        let fields = Fields::parse("the network config", text)?;
        let v4 = match fields.flag("EnableIPv4", true)? {
            true => Some(Range4::read(&fields)?),
            false => None,
        };
        let v6 = match fields.flag("EnableIPv6", false)? {
            true => Some(Range6::read(&fields)?),
            false => None,
        };
        if v4.is_none() && v6.is_none() {
            let message = "without EnableIPv6 there is no network left; set one of the two to true";
            return Err(ConfigError::new("EnableIPv4", false, message));
        }
        let backend = Backend::read(fields.get("Backend").cloned())?;
        if v4.is_none() && matches!(backend, Backend::Udp { .. } | Backend::Ipip { .. }) {
            let message = "works over IPv4 only; use another Backend, or enable IPv4";
            return Err(ConfigError::new("Backend.Type", format!("{:?}", backend.name()), message));
        }
        Ok(NetworkConfig { v4, v6, rules: fields.optional_flag("EnableNFTables")?, backend })
    }

    /// Whether subnets that a machine holds lie in these networks, in each family that is enabled and in no other.
    pub fn holds(&self, own: &SubnetKey) -> bool {
        let v4 = self.v4.map(|range| range.network);
        let v6 = self.v6.map(|range| range.network);
        let holds_v4 =
            v4.zip(own.v4).map_or(v4.is_none() && own.v4.is_none(), |(net, own)| net.contains(&own));
        let holds_v6 =
            v6.zip(own.v6).map_or(v6.is_none() && own.v6.is_none(), |(net, own)| net.contains(&own));
        holds_v4 && holds_v6
    }

    /// The networks, for people: `10.5.0.0/16 and fd00:5::/48`.
    pub fn networks(&self) -> String {
        let v4 = self.v4.map(|range| range.network.to_string());
        let v6 = self.v6.map(|range| range.network.to_string());
        let named: Vec<String> = [v4, v6].into_iter().flatten().collect();
        named.join(" and ")
    }
}
