//! The delegate's configuration: what the network's says, completed by what flanneld knows.

use super::call::Network;
use super::error::{CniError, Kind};
use super::subnet::Subnet;
use serde_json::{Map, Value, json};

/// Makes it. A field that the network's configuration sets stays as it is.
pub fn configuration(network: Network, subnet: &Subnet) -> Result<Value, CniError> {
    let mut config = network.delegate.unwrap_or_default();
    if config.get("type").is_some_and(|name| !name.is_string()) {
        return Err(wrong("'delegate' dictionary, if present, must have (string) 'type' field"));
    }
    for field in ["name", "ipam"] {
        if config.contains_key(field) {
            let text =
                format!("'delegate' dictionary must not have '{field}' field, it'll be set by flannel");
            return Err(wrong(&text));
        }
    }
    if let Some(runtime) = network.runtime_config {
        config.insert("runtimeConfig".into(), runtime.into());
    }
    config.insert("name".into(), network.name.into());
    let mut default = |field: &str, value: Value| {
        config.entry(field).or_insert(value);
    };
    default("type", "bridge".into());
    // One of the two masquerades.
    default("ipMasq", (!subnet.masquerade).into());
    default("mtu", subnet.mtu.into());
    if config["type"] == "bridge" {
        config.entry("isGateway").or_insert(true.into());
    }
    if let Some(version) = network.version {
        config.insert("cniVersion".into(), version.into());
    }
    config.insert("ipam".into(), addresses(network.ipam.unwrap_or_default(), subnet)?);
    Ok(config.into())
}

/// The configuration of the plugin that manages addresses.
fn addresses(mut ipam: Map<String, Value>, subnet: &Subnet) -> Result<Value, CniError> {
    ipam.entry("type").or_insert("host-local".into());
    let ranges: Vec<Value> = subnet.subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    ipam.insert("ranges".into(), ranges.into());
    let routes = ipam.entry("routes").or_insert(json!([]));
    if routes.is_null() {
        *routes = json!([]);
    }
    let routes = routes.as_array_mut().ok_or_else(|| wrong("'ipam' has 'routes' that are no list"))?;
    routes.extend(subnet.networks.iter().map(|network| json!({ "dst": network })));
    Ok(ipam.into())
}

fn wrong(text: &str) -> CniError {
    CniError::new(Kind::Configuration, text)
}
