//! `orlop cni`: flannel's plugin for container runtimes (CNI 1.1 and all before it), also under the name `flannel`.
//!
//! A runtime runs it once for each container, with the order in `CNI_` variables and the network's configuration on standard
//! input. The plugin makes no interface itself: it reads what flanneld wrote to subnet.env ([`subnet`]), makes of it the
//! configuration of another plugin, mostly `bridge` ([`delegate`]), keeps that for the day when the container goes
//! ([`saved`]), and runs the other plugin ([`plugins`]). What that one says is passed on as it is.

mod call;
mod delegate;
mod error;
mod plugins;
mod saved;
mod subnet;
#[cfg(test)]
mod tests;

use call::{Call, Command, Network};
use error::{CniError, Kind};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

/// The versions of CNI that it speaks.
pub const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Largest configuration that is read, in bytes.
const INPUT_BYTES_MAX: u64 = 8 << 20;

/// Runs it. Arguments mean nothing to a plugin of CNI.
pub fn main(_args: Vec<OsString>) -> ExitCode {
    if std::env::var_os("CNI_COMMAND").is_none() {
        eprintln!(
            "flannel of Orlop {}: a CNI plugin, run by a container runtime with CNI_COMMAND and the network's configuration on \
             standard input\nCNI versions: {}",
            env!("CARGO_PKG_VERSION"),
            VERSIONS.join(", ")
        );
        return ExitCode::SUCCESS;
    }
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with("CNI_"))
        .collect();
    let mut input = Vec::new();
    let answer = match std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut input) {
        Ok(_) => answer(&variables, &input),
        Err(error) => Err(CniError::new(Kind::Io, "cannot read the configuration from standard input")
            .because(error)
            .document(VERSIONS[VERSIONS.len() - 1])),
    };
    match answer {
        Ok(document) => {
            crate::output::print(&document);
            ExitCode::SUCCESS
        }
        Err(document) => {
            crate::output::print(&document);
            ExitCode::FAILURE
        }
    }
}

/// What goes to standard output: a result, or an error in CNI's form.
fn answer(variables: &[(String, String)], input: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let version = call::version_of(input);
    let run = || {
        let call = Call::read(variables)?;
        if call.command == Command::Version {
            let document = json!({ "cniVersion": version, "supportedVersions": VERSIONS });
            return Ok(format!("{document}\n").into_bytes());
        }
        let network = Network::read(input)?;
        call.command.is_in(&network)?;
        match call.command {
            Command::Add => add(&call, network),
            Command::Del => delete(&call, &network).map(|()| Vec::new()),
            Command::Check | Command::Version => Ok(Vec::new()),
            Command::Status => status(&call, network).map(|()| Vec::new()),
            Command::Gc => collect(&call, network).map(|()| Vec::new()),
        }
    };
    run().map_err(|error: CniError| error.document(&version))
}

fn add(call: &Call, network: Network) -> Result<Vec<u8>, CniError> {
    let subnet = subnet::read(&network.subnet_file)?;
    let data_dir = network.data_dir.clone();
    let config = delegate::configuration(network, &subnet)?;
    // Kept first: what a delegate leaves behind when it fails is taken away by the runtime's DEL, which needs it.
    saved::keep(&data_dir, &call.container, &config)?;
    plugins::run(call, &config)
}

fn delete(call: &Call, network: &Network) -> Result<(), CniError> {
    let Some(text) = saved::read(&network.data_dir, &call.container)? else {
        // Deleted before, or never added: as good as done.
        return Ok(());
    };
    match serde_json::from_slice::<Value>(&text) {
        Ok(config) if config.is_object() => {
            plugins::run(call, &config)?;
        }
        // A second attempt would find the same, and hold up the container's end for ever.
        _ => eprintln!(
            "flannel: the configuration kept for container {} cannot be read; its interface stays until the next boot",
            call.container
        ),
    }
    saved::forget(&network.data_dir, &call.container)
}

/// Ready for the next ADD when the subnet is known and the delegate is ready, too.
fn status(call: &Call, network: Network) -> Result<(), CniError> {
    let subnet = subnet::read(&network.subnet_file).map_err(|error| error.with_kind(Kind::NotAvailable))?;
    let config = delegate::configuration(network, &subnet)?;
    plugins::run(call, &config).map(drop)
}

/// Lets the delegate drop what belongs to no container that the runtime still knows, then forgets their configurations.
fn collect(call: &Call, network: Network) -> Result<(), CniError> {
    let (data_dir, name) = (network.data_dir.clone(), network.name.clone());
    let valid = network.valid_attachments.clone();
    let containers = valid.as_array().into_iter().flatten();
    let containers = containers.filter_map(|one| one["containerID"].as_str().map(str::to_string)).collect();
    let subnet = subnet::read(&network.subnet_file)?;
    let mut config = delegate::configuration(network, &subnet)?;
    config["cni.dev/valid-attachments"] = valid;
    plugins::run(call, &config)?;
    saved::forget_others(&data_dir, &name, &containers)
}
