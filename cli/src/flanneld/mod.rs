//! `orlop flanneld`: one machine's part of flannel, with flannel's flags, variables, signals and exit codes.
//!
//! [`options`] reads the environment and the command line, [`config`] finds every contradiction, both pure; [`machine`] asks
//! what this process may do, [`parts`] puts kernel, store and agent together, [`figures`] counts, and [`serve`] runs it all until a signal.

pub mod config;
mod figures;
mod machine;
pub mod options;
mod parts;
mod serve;
#[cfg(test)]
mod tests;

pub use parts::Parts;

use crate::etcd::Refusal;
use crate::log::Log;
use config::FlanneldConfig;
use options::{Asked, Settings};
use serde_json::json;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let environment: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let run = match Settings::read(&args, &environment) {
        Ok(Asked::Help) => {
            crate::output::print(options::help().as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Version) => {
            crate::output::print_line(concat!("flanneld version ", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(settings)) => start(&settings),
        Err(refusal) => Err(refusal),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            match refusal.code {
                2 => eprintln!("{}\nRun 'flanneld --help' for usage.", refusal.message),
                _ => eprintln!("flanneld: {}", refusal.message),
            }
            ExitCode::from(refusal.code)
        }
    }
}

fn start(settings: &Settings) -> Result<(), Refusal> {
    let config = FlanneldConfig::new(settings)?;
    let log = Log::open(&config.log).map_err(Refusal::start)?;
    settings.notes.iter().for_each(|note| log.warn(note, json!({})));
    serve::run(&config, &json!(settings.open_values()), &log)
}
