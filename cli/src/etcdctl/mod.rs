//! `orlop etcdctl`: etcdctl's commands over any etcd v3 server.
//!
//! A command goes the same way through four places: `args` reads the line, `request` (or `txn`) makes the request, a file
//! of commands sends it, `print` shows the reply. Exit codes are etcdctl's; everything that went wrong is one line on
//! standard error that begins with `Error: `.

mod args;
mod cluster;
mod failure;
mod kv;
mod lease;
mod print;
mod request;
mod session;
mod txn;
mod watch;

use args::Line;
use failure::Failure;
use session::Session;
use std::ffi::OsString;
use std::process::ExitCode;

/// The version of etcd's API that this client speaks.
const API_VERSION: &str = "3.7";

/// Runs etcdctl. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("Error: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(args: Vec<OsString>) -> Result<(), Failure> {
    check_api_version()?;
    let matches = match args::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            crate::output::print(error.render().to_string().as_bytes());
            return Ok(());
        }
        Err(error) => return Err(args::usage_failure(&error)),
    };
    if let Some(variable) = args::shadowed(&matches, |name| std::env::var_os(name).is_some()) {
        let flag = variable["ETCDCTL_".len()..].to_lowercase().replace('_', "-");
        let advice = "unset the variable or leave out the flag";
        return Err(Failure::error(format!("{variable} and --{flag} are both set: {advice}")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start: {error}")))?;
    runtime.block_on(dispatch(&matches))
}

/// Only the v3 API is spoken; `ETCDCTL_API=3`, which older scripts set, is accepted.
fn check_api_version() -> Result<(), Failure> {
    match std::env::var("ETCDCTL_API").as_deref() {
        Ok("3" | "") | Err(_) => Ok(()),
        Ok(other) => {
            Err(Failure::error(format!("unsupported API version: {other} (ETCDCTL_API must be 3 or unset)")))
        }
    }
}

async fn dispatch(matches: &clap::ArgMatches) -> Result<(), Failure> {
    let Some((name, inner)) = matches.subcommand() else {
        return print_help(&[]);
    };
    if args::NOT_YET.contains(&name) {
        return Err(not_yet(name));
    }
    let line = Line(inner);
    match name {
        "get" => kv::get(&line).await,
        "put" => kv::put(&line).await,
        "del" => kv::delete(&line).await,
        "txn" => kv::txn(&line).await,
        "compaction" => kv::compaction(&line).await,
        "watch" => watch::watch(&line).await,
        "defrag" => cluster::defrag(&line).await,
        "move-leader" => cluster::move_leader(&line).await,
        "version" => version(),
        group => match inner.subcommand() {
            None => print_help(&[group]),
            Some((verb, inner)) => dispatch_group(group, verb, &Line(inner)).await,
        },
    }
}

async fn dispatch_group(group: &str, verb: &str, line: &Line<'_>) -> Result<(), Failure> {
    match (group, verb) {
        ("lease", "grant") => lease::grant(line).await,
        ("lease", "revoke") => lease::revoke(line).await,
        ("lease", "timetolive") => lease::time_to_live(line).await,
        ("lease", "list") => lease::list(line).await,
        ("lease", "keep-alive") => lease::keep_alive(line).await,
        ("member", "list") => cluster::members(line).await,
        ("endpoint", "health") => cluster::health(line).await,
        ("endpoint", "status") => cluster::status(line).await,
        ("endpoint", "hashkv") => cluster::hash_kv(line).await,
        ("alarm", "list") => cluster::alarms(line).await,
        ("alarm", "disarm") => cluster::disarm(line).await,
        _ => Err(not_yet(&format!("{group} {verb}"))),
    }
}

fn not_yet(command: &str) -> Failure {
    Failure::feature(format!(
        "`etcdctl {command}` is not offered yet by this version of orlop: use the original for it"
    ))
}

fn print_help(path: &[&str]) -> Result<(), Failure> {
    let mut command = args::command();
    command.build();
    for name in path {
        command = command.find_subcommand(name).cloned().unwrap_or(command);
    }
    crate::output::print(command.render_help().to_string().as_bytes());
    Ok(())
}

fn version() -> Result<(), Failure> {
    crate::output::print_line(&format!("etcdctl version: {API_VERSION}.0\nAPI version: {API_VERSION}"));
    Ok(())
}
