//! What the runtime asks for: the order in `CNI_` variables, the network's configuration on standard input.
//!
//! Both come from outside and are checked before anything is done with them: a container's id becomes the name of a file.

use super::VERSIONS;
use super::error::{CniError, Kind};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Longest name of an interface in Linux, in bytes.
const INTERFACE_NAME_MAX: usize = 15;

/// The order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Connect a container.
    Add,
    /// Disconnect it.
    Del,
    /// See whether it is connected.
    Check,
    /// Drop what belongs to no container.
    Gc,
    /// Say whether an ADD could be served.
    Status,
    /// Say which versions are spoken.
    Version,
}

impl Command {
    /// The first version of CNI that has the order, and how that version names it.
    fn since(self) -> (&'static str, &'static str) {
        match self {
            Command::Add => ("0.1.0", "ADD"),
            Command::Del => ("0.1.0", "DEL"),
            Command::Version => ("0.1.0", "VERSION"),
            Command::Check => ("0.4.0", "CHECK"),
            Command::Gc => ("1.1.0", "GC"),
            Command::Status => ("1.1.0", "STATUS"),
        }
    }

    /// Refuses an order that the configuration's version of CNI does not have.
    pub fn is_in(self, network: &Network) -> Result<(), CniError> {
        let place = |version: &str| VERSIONS.iter().position(|known| *known == version);
        let ((since, name), version) = (self.since(), network.version.as_deref().unwrap_or(VERSIONS[0]));
        match place(version) >= place(since) {
            true => Ok(()),
            false => Err(CniError::new(Kind::Version, format!("config version does not allow {name}"))
                .because(format!("config is {version:?}, {name} came with {since:?}"))),
        }
    }
}

/// The variables of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The order.
    pub command: Command,
    /// The container's id; empty where the order concerns none.
    pub container: String,
    /// Folders in which plugins are.
    pub path: Vec<PathBuf>,
    /// All `CNI_` variables, for the delegate.
    pub variables: Vec<(String, String)>,
}

impl Call {
    /// Checks the variables.
    pub fn read(variables: &[(String, String)]) -> Result<Call, CniError> {
        let value = |name: &str| {
            variables.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
        };
        let command = match value("CNI_COMMAND") {
            "ADD" => Command::Add,
            "DEL" => Command::Del,
            "CHECK" => Command::Check,
            "GC" => Command::Gc,
            "STATUS" => Command::Status,
            "VERSION" => Command::Version,
            other => return Err(wrong(format!("unknown CNI_COMMAND: {other}"))),
        };
        let needed: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
            Command::Gc | Command::Status => &["CNI_PATH"],
            Command::Version => &[],
        };
        let missing: Vec<&str> = needed.iter().copied().filter(|name| value(name).is_empty()).collect();
        if !missing.is_empty() {
            return Err(wrong(format!("required env variables [{}] missing", missing.join(","))));
        }
        let (container, interface) = (value("CNI_CONTAINERID"), value("CNI_IFNAME"));
        if needed.contains(&"CNI_CONTAINERID") && !is_word(container) {
            return Err(wrong(format!(
                "CNI_CONTAINERID={container:?}: expected letters, digits, dots, dashes and underscores, a letter or digit first"
            )));
        }
        if needed.contains(&"CNI_IFNAME") && !is_interface(interface) {
            return Err(wrong(format!(
                "CNI_IFNAME={interface:?}: expected a name of an interface, such as eth0"
            )));
        }
        Ok(Call {
            command,
            container: container.to_string(),
            path: std::env::split_paths(value("CNI_PATH")).collect(),
            variables: variables.to_vec(),
        })
    }
}

fn wrong(message: String) -> CniError {
    CniError::new(Kind::Environment, message)
}

/// What CNI allows as the id of a container or the name of a network.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_interface(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= INTERFACE_NAME_MAX
        && !matches!(text, "." | "..")
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

/// The network's configuration.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Network {
    /// Version of CNI; 0.1.0 if it says none. Passed on only if it was said.
    #[serde(rename = "cniVersion")]
    pub version: Option<String>,
    /// The network's name.
    #[serde(default)]
    pub name: String,
    /// Where flanneld wrote the subnet.
    #[serde(rename = "subnetFile", default = "subnet_file")]
    pub subnet_file: PathBuf,
    /// Where configurations are kept.
    #[serde(rename = "dataDir", default = "data_dir")]
    pub data_dir: PathBuf,
    /// What the delegate's configuration begins with.
    pub delegate: Option<Map<String, Value>>,
    /// What its address management begins with.
    pub ipam: Option<Map<String, Value>>,
    /// What the runtime adds for one container: passed on.
    #[serde(rename = "runtimeConfig")]
    pub runtime_config: Option<Map<String, Value>>,
    /// Of GC: what the runtime still knows.
    #[serde(rename = "cni.dev/valid-attachments", default)]
    pub valid_attachments: Value,
}

fn subnet_file() -> PathBuf {
    "/run/flannel/subnet.env".into()
}

fn data_dir() -> PathBuf {
    "/var/lib/cni/flannel".into()
}

impl Network {
    /// Reads and checks it.
    pub fn read(input: &[u8]) -> Result<Network, CniError> {
        let mut network: Network = serde_json::from_slice(input).map_err(|error| {
            CniError::new(Kind::Decode, "the network's configuration on standard input cannot be read")
                .because(error)
        })?;
        let version = network.version.as_deref().filter(|version| !version.is_empty());
        if let Some(version) = version.filter(|version| !VERSIONS.contains(version)) {
            return Err(CniError::new(Kind::Version, "incompatible CNI versions")
                .because(format!("config is {version:?}, plugin supports {VERSIONS:?}")));
        }
        network.version = version.map(str::to_string);
        if !is_word(&network.name) {
            let text = format!(
                "name {:?}: expected letters, digits, dots, dashes and underscores, a letter or digit first",
                network.name
            );
            return Err(CniError::new(Kind::Configuration, text));
        }
        // As in flannel, an empty path is one that was not said.
        if network.subnet_file.as_os_str().is_empty() {
            network.subnet_file = subnet_file();
        }
        if network.data_dir.as_os_str().is_empty() {
            network.data_dir = data_dir();
        }
        Ok(network)
    }
}

/// The version that the input asks for, for an answer that comes before the input is understood.
pub fn version_of(input: &[u8]) -> String {
    let newest = VERSIONS[VERSIONS.len() - 1];
    let input: Value = serde_json::from_slice(input).unwrap_or_default();
    input["cniVersion"].as_str().filter(|version| VERSIONS.contains(version)).unwrap_or(newest).to_string()
}
