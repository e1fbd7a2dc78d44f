//! `plan`, `why`, `events`, `rollout`: what would happen, why, what happens, how far it is. Only `orlop fleetd` can tell.

use super::args::Line;
use super::failure::Failure;
use super::resolve;
use super::session::{Session, print_json, print_json_line};
use super::tabs;
use super::wish;
use crate::output;
use fleet::unit::UnitName;
use http::Method;
use io_real::fleet_client::{ClientError, escape};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Longest event that is put together, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Time from look to look at a rollout when no event says that something happened.
const LOOK: Duration = Duration::from_secs(2);

/// `plan`'s exit codes: something would change or be nowhere; it could not be told.
const CHANGES: u8 = 1;
const NO_PLAN: u8 = 2;

/// A failure of something that fleet 1.0 does not have.
pub fn needs_orlop(session: &Session, command: &str, error: &ClientError) -> Failure {
    if matches!(error.status(), 405 | 501)
        || (error.status() == 404 && error.to_string().starts_with("Not Found"))
    {
        let endpoint = session.client.endpoint();
        return Failure::error(format!(
            "{command}: the server at {endpoint} does not offer this; orlop fleetd does"
        ));
    }
    Failure::of(command, error)
}

/// A field's text, empty when it is not there or no text.
pub fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Tells what would happen. Exit code 0: nothing; 1: something, or a unit would be nowhere; 2: it could not be told.
pub async fn planned(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    match plan(session, line).await {
        Ok(true) => Err(Failure::quiet(CHANGES)),
        Ok(false) => Ok(()),
        Err(failure) => Err(no_plan(failure)),
    }
}

/// The end of a plan that could not be made.
pub fn no_plan(failure: Failure) -> Failure {
    Failure { code: NO_PLAN, ..failure }
}

/// Prints what would happen; whether that is anything.
async fn plan(session: &Session, line: &Line<'_>) -> Result<bool, Failure> {
    let arguments = resolve::expand(&wish::given(line)?)?;
    let state = line.text("state");
    if !["launched", "loaded", "inactive"].contains(&state.as_str()) {
        return Err(Failure::usage(format!("--state is {state:?}: give launched, loaded or inactive")));
    }
    let (mut units, mut removals) = (Vec::new(), Vec::new());
    if line.switch("destroy")? {
        let (found, missing) = resolve::registered(session, &arguments).await?;
        for name in missing {
            eprintln!("Unit {name} not found in registry");
        }
        removals.extend(found.into_iter().map(|unit| unit.name));
    } else {
        for argument in &arguments {
            let name = UnitName::from_argument(argument);
            let options = contents(session, argument, &name).await?;
            units.push(json!({ "name": name, "options": options, "desiredState": state }));
        }
    }
    let body = json!({ "units": units, "removals": removals });
    let plan = session.client.json::<Value>(Method::POST, "plan", Some(body)).await;
    let plan = plan.map_err(|error| needs_orlop(session, "plan", &error))?;
    let list = |name: &str| plan.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (steps, refused) = (list("steps"), list("refused"));
    if session.json {
        print_json(&plan);
    } else {
        print_plan(session, &steps, &refused).await;
    }
    Ok(!refused.is_empty() || !steps.is_empty())
}

/// The contents to plan with: the local file if there is one, else those of the registry.
async fn contents(session: &Session, argument: &str, name: &str) -> Result<Value, Failure> {
    if let Some(found) = resolve::local(argument)? {
        return Ok(json!(found.file.options()));
    }
    let known = session.client.unit(name).await;
    match known.map_err(|error| Failure::of(&format!("Error retrieving unit {name}"), &error))? {
        Some(unit) => Ok(json!(unit.options)),
        None => Ok(json!(resolve::text_for(session, argument).await?.file.options())),
    }
}

async fn print_plan(session: &Session, steps: &[Value], refused: &[Value]) {
    if steps.is_empty() && refused.is_empty() {
        output::print_line("Nothing would change.");
    }
    if !steps.is_empty() {
        let mut rows = vec![["UNIT", "ACTION", "MACHINE", "REASON"].map(str::to_string).to_vec()];
        for step in steps {
            let machine = session.machine_cell(field(step, "machine"), false).await;
            let action = match field(step, "from") {
                "" => field(step, "action").to_string(),
                from => format!("{} from {}", field(step, "action"), super::cells::id(from, false)),
            };
            rows.push(vec![
                field(step, "unit").to_string(),
                action,
                machine,
                field(step, "reason").to_string(),
            ]);
        }
        output::print(tabs::table(&rows).as_bytes());
    }
    for pair in refused {
        let (unit, why) = (pair.get(0).and_then(Value::as_str), pair.get(1).map(|why| field(why, "text")));
        output::print_line(&format!("{} would be nowhere: {}", unit.unwrap_or("?"), why.unwrap_or_default()));
    }
}

/// Tells why a unit is where it is, or nowhere.
pub async fn why(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let name = UnitName::from_argument(&line.only_arg("One unit must be provided")?);
    session.unit(&name).await?;
    let path = format!("units/{}/why", escape(&name));
    let why = session.client.json::<Value>(Method::GET, &path, None).await;
    let why = why.map_err(|error| needs_orlop(session, "why", &error))?;
    if session.json {
        print_json(&why);
    } else {
        output::print_line(field(&why, "text"));
    }
    Ok(())
}

/// Prints events until it is interrupted, or the server goes away.
pub async fn events(session: &Session) -> Result<(), Failure> {
    let answer = session.client.call(Method::GET, "events", None::<Value>).await;
    let mut answer = answer.map_err(|error| needs_orlop(session, "events", &error))?;
    let mut line = Vec::new();
    while let Some(piece) = answer.body.next().await {
        line.extend_from_slice(&piece.map_err(|error| Failure::error(format!("events: {error}")))?);
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let rest = line.split_off(end + 1);
            show_event(session, &std::mem::replace(&mut line, rest));
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(Failure::error(format!("events: an event of more than {MAX_LINE_BYTES} bytes")));
        }
    }
    Err(Failure::error("events: the server has ended the stream; run it again to go on from now"))
}

fn show_event(session: &Session, line: &[u8]) {
    match serde_json::from_slice::<Value>(line) {
        Ok(event) if session.json => print_json_line(&event),
        Ok(event) => output::print_line(&event_text(&event)),
        Err(_) => output::print(line),
    }
}

/// An event as `revision type unit machine what-is-new`.
fn event_text(event: &Value) -> String {
    let fields = event.as_object().cloned().unwrap_or_default();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let mut words: Vec<String> = fields.get("revision").map(plain).into_iter().collect();
    words.extend(fields.get("type").map(plain));
    if field(event, "change") == "delete" {
        words.push("gone".to_string());
    }
    words.extend(fields.get("unit").map(plain));
    let machine = fields.get("machineID").and_then(Value::as_str);
    words.extend(machine.map(|id| format!("on {}", super::cells::id(id, false))));
    let named = ["revision", "type", "change", "unit", "machineID"];
    let rest = fields.iter().filter(|(name, _)| !named.contains(&name.as_str()));
    words.extend(rest.map(|(name, value)| match value.as_object() {
        Some(inner) => {
            inner.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(" ")
        }
        None => format!("{name}={}", plain(value)),
    }));
    words.join(" ")
}

/// Tells how far the replacement of a unit is; with `--follow`, until it has ended. Exit code 1 when it stands still.
pub async fn rollout(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let name = UnitName::from_argument(&line.only_arg("One unit must be provided")?);
    let follow = line.switch("follow")?;
    session.unit(&name).await?;
    let path = format!("units/{}/rollout", escape(&name));
    let mut bell = None;
    let mut last = Value::Null;
    loop {
        let rollout = session.client.json::<Value>(Method::GET, &path, None).await;
        let rollout = rollout.map_err(|error| needs_orlop(session, "rollout", &error))?;
        if rollout != last {
            show_rollout(session, &name, &rollout);
        }
        let (ended, halted) = (flag(&rollout, "done"), !rollout.get("halt").is_none_or(Value::is_null));
        if halted {
            return Err(Failure::quiet(1));
        }
        if ended || !follow {
            return Ok(());
        }
        last = rollout;
        match &mut bell {
            None => bell = Some(super::wait::Bell::new(session).await),
            Some(bell) => bell.rings_before(Instant::now() + LOOK).await,
        }
    }
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn show_rollout(session: &Session, name: &str, rollout: &Value) {
    if session.json {
        return print_json_line(rollout);
    }
    match field(rollout, "text") {
        "" => output::print_line(&format!("{name}: {}", event_text(rollout))),
        text => output::print_line(&format!("{name}: {text}")),
    }
}
