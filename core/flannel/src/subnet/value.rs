//! A lease's value: `{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"..."}}`.
//!
//! PublicIP and PublicIPv6 are always there, the rest only if it says something; fields stand in flannel's order. Readers are
//! kinder: any case, any order, more fields than these, and from flannel before 0.18 fewer.

use crate::fields::{FieldError, Fields};
use crate::links::Mac;
use serde_json::{Map, Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whose lease it is, and how to reach that machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseValue {
    /// The machine's address; unspecified (0.0.0.0) on a machine of IPv6 only.
    pub public_ip: Ipv4Addr,
    /// The machine's IPv6 address.
    pub public_ipv6: Option<Ipv6Addr>,
    /// The backend; none for `udp` and `alloc`.
    pub backend_type: Option<String>,
    /// What the backend tells its peers about IPv4.
    pub data: Option<Value>,
    /// What it tells them about IPv6.
    pub data_v6: Option<Value>,
}

/// What a vxlan machine tells its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanData {
    /// Network identifier; flannel before 0.12 did not say it.
    pub vni: Option<u32>,
    /// The MAC of its device.
    pub mac: Mac,
}

/// What a WireGuard machine tells its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireguardData {
    /// Its public key, in base64.
    pub public_key: String,
    /// The UDP port that it listens on.
    pub port: u16,
}

/// Fields of a backend's data whose order in flannel is not the alphabet's.
const ORDERED: [&str; 4] = ["VNI", "VtepMAC", "PublicKey", "Port"];

impl LeaseValue {
    /// Reads a lease's value.
    pub fn parse(text: &str) -> Result<LeaseValue, FieldError> {
        let fields = Fields::parse("the lease", text)?;
        let form = "\"192.0.2.1\"";
        Ok(LeaseValue {
            public_ip: fields.parsed("PublicIP", form)?.unwrap_or(Ipv4Addr::UNSPECIFIED),
            public_ipv6: fields.parsed("PublicIPv6", "\"2001:db8::1\"")?,
            backend_type: fields.text("BackendType")?.filter(|text| !text.is_empty()).map(str::to_owned),
            data: fields.get("BackendData").cloned(),
            data_v6: fields.get("BackendV6Data").cloned(),
        })
    }

    /// The value as flannel would write it, to the byte.
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\"PublicIP\":\"{}\",\"PublicIPv6\":", self.public_ip);
        match self.public_ipv6 {
            Some(address) => text.push_str(&format!("\"{address}\"")),
            None => text.push_str("null"),
        }
        if let Some(backend) = self.backend_type.as_ref().filter(|backend| !backend.is_empty()) {
            text.push_str(&format!(",\"BackendType\":{}", Value::from(backend.as_str())));
        }
        for (name, data) in [("BackendData", &self.data), ("BackendV6Data", &self.data_v6)] {
            if let Some(data) = data {
                text.push_str(&format!(",\"{name}\":{}", ordered(data)));
            }
        }
        text.push('}');
        escape(&text)
    }

    /// What it says about a vxlan device, of IPv6 or of IPv4.
    pub fn vxlan(&self, v6: bool) -> Result<VxlanData, FieldError> {
        let fields = self.fields(v6)?;
        let vni = match fields.get("VNI") {
            Some(_) => Some(fields.number("VNI", 0, u32::MAX, 0)?),
            None => None,
        };
        let missing = || FieldError::new("VtepMAC", "", "is missing in the lease");
        let mac = fields.parsed("VtepMAC", "\"0e:2a:ff:00:01:a0\"")?.ok_or_else(missing)?;
        Ok(VxlanData { vni, mac })
    }

    /// What it says about a WireGuard device, of IPv6 or of IPv4. Older flannel does not say the port: then it is `port`, that of
    /// the cluster's config.
    pub fn wireguard(&self, v6: bool, port: u16) -> Result<WireguardData, FieldError> {
        let fields = self.fields(v6)?;
        let missing = || FieldError::new("PublicKey", "", "is missing in the lease");
        let public_key = fields.text("PublicKey")?.ok_or_else(missing)?.to_owned();
        Ok(WireguardData { public_key, port: fields.port("Port", port)? })
    }

    fn fields(&self, v6: bool) -> Result<Fields, FieldError> {
        let (name, data) = if v6 { ("BackendV6Data", &self.data_v6) } else { ("BackendData", &self.data) };
        match data {
            Some(data) => Fields::of(name, data.clone()),
            None => Err(FieldError::new(name, "", "is missing in the lease")),
        }
    }
}

impl VxlanData {
    /// As a lease says it.
    pub fn to_value(&self) -> Value {
        json!({"VNI": self.vni.unwrap_or(1), "VtepMAC": self.mac.to_string()})
    }
}

impl WireguardData {
    /// As a lease says it.
    pub fn to_value(&self) -> Value {
        json!({"PublicKey": self.public_key, "Port": self.port})
    }
}

/// A backend's data, its fields in flannel's order: this JSON library sorts them.
fn ordered(data: &Value) -> String {
    let Value::Object(fields) = data else { return data.to_string() };
    let known = ORDERED.iter().filter_map(|name| fields.get_key_value(*name));
    let other = fields.iter().filter(|(name, _)| !ORDERED.contains(&name.as_str()));
    let text = |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.as_str()));
    let all: Vec<String> = known.chain(other).map(text).collect();
    assert!(all.len() == Map::len(fields), "no field is lost or doubled");
    format!("{{{}}}", all.join(","))
}

/// Go writes these characters as escapes; in JSON they occur inside strings only.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(char)))
            }
            char => escaped.push(char),
        }
    }
    escaped
}
