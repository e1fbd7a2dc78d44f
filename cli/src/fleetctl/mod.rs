//! `orlop fleetctl`: fleet's commands, for `orlop fleetd` and for fleet 1.0.
//!
//! `args` reads the line, `session` makes the client, a file of commands does the work: `wish` changes what is wanted (and `wait`
//! waits for it), `list` and `look` show, `insight` explains, `machines` opens and closes machines. Output and exit codes are
//! fleet's where scripts read them; where they differ on purpose, docs/compatibility.md says so. Results go to standard
//! output, everything else to standard error.

mod args;
mod cells;
mod direct;
mod failure;
mod forward;
mod insight;
mod list;
mod look;
mod machines;
mod resolve;
mod restart;
mod scale;
mod session;
mod ssh;
mod tabs;
#[cfg(test)]
mod tests;
mod wait;
mod wish;

use args::Line;
use failure::Failure;
use session::Session;
use std::ffi::OsString;
use std::process::ExitCode;

/// The version that is told: that of the fleet whose commands these are, and our own.
const VERSION: &str = concat!("1.0.0+orlop.", env!("CARGO_PKG_VERSION"));

/// Runs fleetctl. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    match run(args, &variable) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("{}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(args: Vec<OsString>, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let matches = match args::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            crate::output::print(error.render().to_string().as_bytes());
            return Ok(());
        }
        Err(error) => return Err(args::usage_failure(&error)),
    };
    if Line::new(&matches, variable).switch("version")? {
        return version(false);
    }
    let Some((name, inner)) = matches.subcommand() else {
        crate::output::print(args::command().render_help().to_string().as_bytes());
        return Ok(());
    };
    let line = Line::new(inner, variable);
    match name {
        "version" => return version(line.json()?),
        "verify" => return Err(signed()),
        "fd-forward" => return forward::forward(&line),
        _ if line.switch("sign")? => return Err(signed()),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start: {error}")))?;
    runtime.block_on(dispatch(name, &line))
}

async fn dispatch(name: &str, line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line).await;
    let session =
        session.map_err(|failure| if name == "plan" { insight::no_plan(failure) } else { failure })?;
    match name {
        "submit" => wish::up(&session, line, wish::SUBMIT).await,
        "load" => wish::up(&session, line, wish::LOAD).await,
        "start" => wish::up(&session, line, wish::START).await,
        "stop" => wish::down(&session, line, "stop", "loaded").await,
        "unload" => wish::down(&session, line, "unload", "inactive").await,
        "destroy" => wish::destroy(&session, line).await,
        "restart" => restart::restart(&session, line).await,
        "cat" => look::cat(&session, line).await,
        "status" => look::status(&session, line).await,
        "journal" => look::journal(&session, line).await,
        "ssh" => look::shell(&session, line).await,
        "plan" => insight::planned(&session, line).await,
        "why" => insight::why(&session, line).await,
        "events" => insight::events(&session).await,
        "rollout" => insight::rollout(&session, line).await,
        "drain" => machines::admit(&session, line, "drain", "drains").await,
        "cordon" => machines::admit(&session, line, "cordon", "is closed to new units").await,
        "uncordon" => machines::admit(&session, line, "open", "is open to units").await,
        "declare-gone" => machines::gone(&session, line).await,
        "rebalance" => machines::rebalance(&session, line).await,
        "list-units" => list::units(&session, line).await,
        "list-unit-files" => list::unit_files(&session, line).await,
        "list-machines" => list::machines(&session, line).await,
        other => Err(Failure::usage(format!("the command {other} is not known"))),
    }
}

fn signed() -> Failure {
    Failure::usage("Signed units are no longer offered: leave out verify and --sign")
}

fn version(json: bool) -> Result<(), Failure> {
    if json {
        session::print_json_line(&serde_json::json!({ "version": VERSION }));
    } else {
        crate::output::print_line(&format!("fleetctl version {VERSION}"));
    }
    Ok(())
}
