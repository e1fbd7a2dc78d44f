//! `orlop fleetd`: one machine's part of fleet, with fleet's options, file, variables and signals.
//!
//! [`options`] reads file, environment and command line, [`config`] finds every contradiction, both pure; [`machine`] asks the
//! machine who it is; [`parts`] puts systemd, agent, engine and API together, and [`serve`] runs them until a signal.

pub mod config;
mod figures;
pub mod machine;
pub mod options;
pub mod parts;
mod serve;
#[cfg(test)]
mod tests;

pub use serve::Beside;

use crate::etcd::Refusal;
use crate::log::Log;
use config::FleetdConfig;
use options::{Asked, CONFIG_FILE, CommandLine, Settings};
use serde_json::json;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

/// Runs it. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let run = match CommandLine::read(&args) {
        Ok(Asked::Help) => {
            crate::output::print(options::help().as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Version) => {
            crate::output::print_line(concat!("fleetd version ", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(line)) => start(line),
        Err(refusal) => Err(refusal),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            match refusal.code {
                2 => eprintln!("{}\nRun 'fleetd --help' for usage.", refusal.message),
                _ => eprintln!("fleetd: {}", refusal.message),
            }
            ExitCode::from(refusal.code)
        }
    }
}

fn start(line: CommandLine) -> Result<(), Refusal> {
    let read = move || {
        let settings = read_settings(&line)?;
        Ok::<_, Refusal>((FleetdConfig::new(&settings)?, settings))
    };
    let (config, settings) = read()?;
    let log = Log::open(&config.log).map_err(Refusal::start)?;
    settings.notes.iter().for_each(|note| log.warn(note, json!({})));
    let reload_log = log.clone();
    let reload = move || {
        let (config, settings) = read()?;
        settings.notes.iter().for_each(|note| reload_log.warn(note, json!({})));
        Ok((config, json!(settings.open_values())))
    };
    serve::run(config, json!(settings.open_values()), Box::new(reload), &log)
}

/// The settings from file, environment and command line. The usual file may be missing, one that was named may not.
fn read_settings(line: &CommandLine) -> Result<Settings, Refusal> {
    let path = line.config.as_deref().unwrap_or(CONFIG_FILE);
    let file = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && line.config.is_none() => String::new(),
        Err(error) => return Err(Refusal::start(format!("--config={path}: {error}"))),
    };
    let environment: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    Settings::assemble(&file, &environment, line)
}
