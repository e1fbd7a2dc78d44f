//! `submit`, `load`, `start`, `stop`, `unload`, `destroy`: what the operator wants of units.
//!
//! Each command writes wishes, and then waits until the cluster has fulfilled them. A wish that stands already is not written again
//! and not waited for, so a command may be repeated. `start --replace` writes contents and wish at once: the unit is
//! replaced at the pace that it asks for and is never taken down first.

use super::args::Line;
use super::cells::is_global;
use super::failure::Failure;
use super::resolve::{self, Found};
use super::session::Session;
use super::wait::{self, Goal, Patience};
use fleet::unit::UnitName;
use io_real::fleet_client::schema::Unit;
use serde_json::json;
use std::collections::BTreeMap;

/// What the commands that may add units differ in.
#[derive(Clone, Copy)]
pub struct Verb {
    /// The command.
    pub name: &'static str,
    /// The state that is wanted.
    pub state: &'static str,
    /// States from which contents may be replaced.
    replaceable: &'static [&'static str],
}

/// `submit`.
pub const SUBMIT: Verb = Verb { name: "submit", state: "inactive", replaceable: &["inactive"] };
/// `load`.
pub const LOAD: Verb = Verb { name: "load", state: "loaded", replaceable: &["inactive", "loaded"] };
/// `start`.
pub const START: Verb =
    Verb { name: "start", state: "launched", replaceable: &["inactive", "loaded", "launched"] };

/// The arguments, of which there must be some.
pub fn given(line: &Line) -> Result<Vec<String>, Failure> {
    match line.args() {
        none if none.is_empty() => Err(Failure::usage("No units given")),
        some => Ok(some),
    }
}

/// `submit`, `load` and `start`.
pub async fn up(session: &Session, line: &Line<'_>, verb: Verb) -> Result<(), Failure> {
    let arguments = resolve::expand(&given(line)?)?;
    let patience = Patience::read(line)?;
    let scaled = if line.switch("scale")? { super::scale::wanted(&arguments)? } else { BTreeMap::new() };
    let replaced = ensure(session, line, &arguments, verb, patience).await?;
    if verb.state != "inactive" {
        let triggered = set(session, &arguments, verb, &replaced).await?;
        wait_up(session, verb, triggered, patience).await?;
    }
    super::scale::take_down(session, &scaled, patience).await
}

/// Sees to it that every unit is in the registry, with the contents that are wanted. Returns those whose contents were
/// replaced, which have their wish already.
async fn ensure(
    session: &Session,
    line: &Line<'_>,
    arguments: &[String],
    verb: Verb,
    patience: Patience,
) -> Result<Vec<String>, Failure> {
    let replace = line.switch("replace")?;
    let (mut created, mut replaced) = (Vec::new(), Vec::new());
    for argument in arguments {
        let name = UnitName::from_argument(argument);
        let known = session.client.unit(&name).await;
        let known = known.map_err(|error| Failure::of(&format!("Error retrieving unit {name}"), &error))?;
        match known {
            None => {
                let found = resolve::text_for(session, argument).await;
                let found = found.map_err(|failure| behind("Error creating units", failure))?;
                put(session, &name, &found, "inactive").await?;
                created.push((name, Goal::Known));
            }
            Some(unit) if replace => {
                if replace_one(session, argument, &unit, verb).await? {
                    replaced.push(name);
                }
            }
            Some(unit) => resolve::warn_if_other(argument, &unit, &resolve::contents(&unit)?, "unit ")?,
        }
    }
    wait::until(session, created, patience.at_least_once()).await?;
    Ok(replaced)
}

async fn put(session: &Session, name: &str, found: &Found, state: &str) -> Result<(), Failure> {
    let options = found.file.options().to_vec();
    let unit = Unit { name: name.into(), options, desired_state: state.into(), ..Unit::default() };
    let put = session.client.put_unit(&unit).await;
    put.map_err(|error| Failure::of(&format!("Error creating units: failed creating unit {name}"), &error))
}

/// Replaces a unit's contents if they are others. Returns whether it did.
async fn replace_one(session: &Session, argument: &str, unit: &Unit, verb: Verb) -> Result<bool, Failure> {
    let found = resolve::local(argument)?.ok_or_else(|| {
        let text = format!("Error creating units: --replace: there is no file for {argument}");
        Failure::error(text)
    })?;
    if found.file == resolve::contents(unit)? {
        let text = format!("Found same Unit({}) in Registry, nothing to do", unit.name);
        session.progress(&text, &json!({ "unit": unit.name, "same": true }));
        return Ok(false);
    }
    if !verb.replaceable.contains(&unit.desired_state.as_str()) {
        let (name, state, command) = (&unit.name, &unit.desired_state, verb.name);
        eprintln!(
            "WARNING: {name} is {state}: {command} does not replace it, the command for that state does"
        );
        return Ok(false);
    }
    put(session, &unit.name, &found, verb.state).await?;
    Ok(true)
}

/// Writes the wish for units that have another. Returns what is to be waited for.
async fn set(
    session: &Session,
    arguments: &[String],
    verb: Verb,
    replaced: &[String],
) -> Result<Vec<Unit>, Failure> {
    let tried = format!("Error {}ing units", verb.name);
    let mut triggered = Vec::new();
    for argument in arguments {
        let name = UnitName::from_argument(argument);
        let unit = session.unit(&name).await.map_err(|failure| behind(&tried, failure))?;
        if unit.desired_state == verb.state && !replaced.contains(&name) {
            if verb.state == "launched" {
                hint_if_failed(session, &unit).await;
            }
            continue;
        }
        if unit.desired_state != verb.state {
            let set = session.client.set_desired(&name, verb.state).await;
            set.map_err(|error| Failure::of(&tried, &error))?;
        }
        triggered.push(unit);
    }
    Ok(triggered)
}

/// A start that was asked for before is not asked for again; who tries that on a failed unit wants to know.
async fn hint_if_failed(session: &Session, unit: &Unit) {
    let states = session.client.states(&unit.name).await.unwrap_or_default();
    for state in states.iter().filter(|state| state.systemd_active_state == "failed") {
        let machine = session.machine_cell(&state.machine_id, false).await;
        let name = &unit.name;
        eprintln!(
            "{name} is launched already, and failed on {machine}: fleetctl restart {name} starts it again"
        );
    }
}

async fn wait_up(
    session: &Session,
    verb: Verb,
    triggered: Vec<Unit>,
    patience: Patience,
) -> Result<(), Failure> {
    let (global, single): (Vec<Unit>, Vec<Unit>) = triggered.into_iter().partition(is_global);
    for unit in &global {
        let text = format!("Triggered global unit {} {}", unit.name, verb.name);
        session.progress(&text, &json!({ "unit": unit.name, "triggered": verb.name }));
    }
    if patience == Patience::None {
        trigger_only(session, verb.name, single.iter().map(|unit| unit.name.as_str()));
        return Ok(());
    }
    let goals = single.iter().map(|unit| (unit.name.clone(), Goal::Current(verb.state))).collect();
    wait::until(session, goals, patience).await?;
    if verb.state != "launched" {
        return Ok(());
    }
    let mut goals = Vec::new();
    for unit in &single {
        goals.push((unit.name.clone(), wait::active(session, &unit.name).await?));
    }
    wait::until(session, goals, patience).await
}

/// Says what was asked for and is not waited for.
pub fn trigger_only<'a>(session: &Session, verb: &str, names: impl Iterator<Item = &'a str>) {
    for name in names {
        let document = json!({ "unit": name, "triggered": verb });
        session.progress(&format!("Triggered unit {name} {verb}"), &document);
    }
}

/// `stop` and `unload`.
pub async fn down(
    session: &Session,
    line: &Line<'_>,
    name: &'static str,
    state: &'static str,
) -> Result<(), Failure> {
    let patience = Patience::read(line)?;
    let (units, missing) = resolve::registered(session, &given(line)?).await?;
    for name in &missing {
        eprintln!("Unit {name} not found in registry");
    }
    let mut failed = !missing.is_empty();
    let mut goals = Vec::new();
    for unit in units {
        let global = is_global(&unit);
        if !global && name == "stop" && unit.current_state == "inactive" {
            eprintln!("Unable to stop unit {} in state inactive", unit.name);
            failed = true;
            continue;
        }
        if unit.desired_state == state && (global || unit.current_state == state) {
            continue;
        }
        let set = session.client.set_desired(&unit.name, state).await;
        set.map_err(|error| Failure::of(&format!("Failed to {name} unit {}", unit.name), &error))?;
        if global {
            let text = format!("Triggered global unit {} {name}", unit.name);
            session.progress(&text, &json!({ "unit": unit.name, "triggered": name }));
        } else {
            goals.push((unit.name, Goal::Current(state)));
        }
    }
    let names: Vec<String> = goals.iter().map(|(name, _)| name.clone()).collect();
    if patience == Patience::None {
        trigger_only(session, name, names.iter().map(String::as_str));
    } else {
        wait::until(session, goals, patience).await?;
    }
    let done = if name == "stop" { "stopped" } else { "unloaded" };
    if !failed {
        eprintln!("Successfully {done} units [{}].", names.join(" "));
        return Ok(());
    }
    Err(Failure::quiet(1))
}

/// `destroy`. A unit that is not there is as it should be.
pub async fn destroy(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let patience = Patience::read(line)?;
    let (units, missing) = resolve::registered(session, &given(line)?).await?;
    for name in &missing {
        eprintln!("Unit {name} not found in registry");
    }
    let names = units.into_iter().map(|unit| unit.name).collect();
    destroy_named(session, names, patience).await
}

/// Destroys units, and waits until no machine has them any more.
pub async fn destroy_named(session: &Session, names: Vec<String>, patience: Patience) -> Result<(), Failure> {
    let (mut failed, mut goals) = (false, Vec::new());
    for name in names {
        if let Err(error) = session.client.destroy(&name).await {
            eprintln!("Error destroying unit {name}: {error}");
            failed = true;
        } else if patience == Patience::None {
            session.progress(&format!("Destroyed {name}"), &json!({ "unit": name, "destroyed": true }));
        } else {
            goals.push((name, Goal::Absent));
        }
    }
    wait::until(session, goals, patience).await?;
    if failed { Err(Failure::quiet(1)) } else { Ok(()) }
}

/// A failure with what was tried before its text.
fn behind(tried: &str, failure: Failure) -> Failure {
    Failure { message: format!("{tried}: {}", failure.message), ..failure }
}
