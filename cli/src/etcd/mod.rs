//! `orlop etcd`: an etcd v3 server with etcd's flags, variables and exit codes.
//!
//! [`flags`] reads the command line, [`config`] finds every contradiction and makes a member's configuration of it, both
//! pure; [`serve`] starts the member and waits for its end.

pub mod config;
pub mod flags;
mod ids;
pub mod serve;
#[cfg(test)]
mod tests;
mod urls;
mod witness;

use crate::log::Log;
use flags::{Asked, Settings};
use std::ffi::OsString;
use std::process::ExitCode;

/// Why the server does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 2 for a wrong command line, 1 for everything else.
    pub code: u8,
    /// The flag, its value, and what to do.
    pub message: String,
}

impl Refusal {
    /// The command line is wrong by itself.
    pub fn usage(message: impl Into<String>) -> Refusal {
        Refusal { code: 2, message: message.into() }
    }

    /// The settings contradict each other or the machine.
    pub fn start(message: impl Into<String>) -> Refusal {
        Refusal { code: 1, message: message.into() }
    }
}

/// Runs the server. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let environment: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let run = match Settings::read(&args, &environment) {
        Ok(Asked::Help) => {
            crate::output::print(flags::help().as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Version) => {
            let (api, own) = (io_real::served::API_VERSION, env!("CARGO_PKG_VERSION"));
            crate::output::print_line(&format!("etcd Version: {api}\nOrlop Version: {own}"));
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(settings)) => start(&args, &settings),
        Err(refusal) => Err(refusal),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            match refusal.code {
                2 => eprintln!("{}\nRun 'etcd --help' for usage.", refusal.message),
                _ => Log::early()
                    .fatal("failed to start etcd", serde_json::json!({ "error": refusal.message })),
            }
            ExitCode::from(refusal.code)
        }
    }
}

fn start(args: &[String], settings: &Settings) -> Result<(), Refusal> {
    let config = config::EtcdConfig::new(settings)?;
    let log = Log::open(&config.log).map_err(Refusal::start)?;
    log.info("Running: ", serde_json::json!({ "args": args }));
    for variable in &settings.unknown_variables {
        log.warn(
            "unrecognized environment variable",
            serde_json::json!({ "environment-variable": variable }),
        );
    }
    serve::run(config, &log, serve::Alone)
}
