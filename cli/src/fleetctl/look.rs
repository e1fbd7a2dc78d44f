//! `cat`, `status`, `journal`, `ssh`: looking at a unit where it is.
//!
//! Status and journal are asked of the API, which asks the machine that has the unit. Where it cannot (fleet 1.0 has no such thing,
//! and a machine may offer no API to others) the command runs on the machine itself: here, if it is this one, else over ssh.

use super::args::Line;
use super::cells::is_global;
use super::failure::Failure;
use super::resolve;
use super::session::{Session, print_json};
use super::ssh;
use super::wait;
use super::wish;
use crate::output;
use fleet::unit::UnitName;
use http::Method;
use io_real::fleet_client::schema::{Machine, Unit};
use io_real::fleet_client::{Answer, ClientError, escape};
use serde_json::{Value, json};

/// Who this machine is.
const MACHINE_ID: &str = "/etc/machine-id";

/// The header with which the API tells `systemctl`'s exit code.
const EXIT_CODE: &str = "fleet-exit-code";

/// Prints a unit's file, without one byte more.
pub async fn cat(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let name = UnitName::from_argument(&line.only_arg("One unit file must be provided")?);
    let unit = session.unit(&name).await?;
    let file = resolve::contents(&unit)?;
    if session.json {
        print_json(
            &json!({ "name": name, "hash": file.hash(), "options": unit.options, "text": file.text() }),
        );
    } else {
        output::print(file.text().as_bytes());
    }
    Ok(())
}

/// Prints what systemd says of units. Ends with the first exit code of systemctl that is not 0, after all were shown.
pub async fn status(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let (units, missing) = resolve::registered(session, &wish::given(line)?).await?;
    let mut code = 0;
    let mut first = true;
    let mut documents = Vec::new();
    for name in &missing {
        eprintln!("Unit {name} does not exist.");
        code = 1;
    }
    for unit in &units {
        let machines = machines_of(session, unit, &line.text("machine")).await?;
        if machines.is_empty() {
            let why = wait::why(session, &unit.name).await;
            let why = if why.is_empty() { why } else { format!(" {why}.") };
            eprintln!("Unit {} does not appear to be loaded.{why}", unit.name);
            code = if code == 0 { 1 } else { code };
        }
        for machine in machines {
            if session.json {
                documents.push(status_document(session, &unit.name, &machine).await?);
                continue;
            }
            // As systemctl itself parts its units.
            if !std::mem::take(&mut first) {
                output::print(b"\n");
            }
            if is_global(unit) {
                output::print_line(&format!("On {}:", session.machine_cell(&machine, false).await));
            }
            let ended = status_on(session, &unit.name, &machine).await?;
            code = if code == 0 { ended } else { code };
        }
    }
    for document in &documents {
        let ended = document["exitCode"].as_u64().and_then(|ended| u8::try_from(ended).ok()).unwrap_or(1);
        code = if code == 0 { ended } else { code };
    }
    if session.json {
        print_json(&documents);
    }
    if code == 0 { Ok(()) } else { Err(Failure::quiet(code)) }
}

/// What the API tells of one unit on one machine: the states, systemctl's text and exit code.
async fn status_document(session: &Session, name: &str, machine: &str) -> Result<Value, Failure> {
    let tried = format!("Error retrieving status of {name}");
    let failed = |error| Failure::of(&tried, &error);
    let mut answer =
        session.client.call(Method::GET, &status_path(name, machine), None::<Value>).await.map_err(failed)?;
    let code = exit_code(&answer);
    let mut text = Vec::new();
    while let Some(piece) = answer.body.next().await {
        text.extend_from_slice(&piece.map_err(|error| Failure::error(format!("{tried}: {error}")))?);
    }
    let states = session.client.states(name).await.map_err(failed)?;
    let state = states.into_iter().find(|state| state.machine_id == machine);
    Ok(json!({
        "unit": name, "machineID": machine, "state": state, "exitCode": code,
        "text": String::from_utf8_lossy(&text),
    }))
}

fn status_path(name: &str, machine: &str) -> String {
    format!("units/{}/status?machineID={}", escape(name), escape(machine))
}

/// systemctl's exit code, as the API tells it.
fn exit_code(answer: &Answer) -> u8 {
    let code = answer.headers.iter().find(|(header, _)| header == EXIT_CODE);
    code.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

async fn status_on(session: &Session, name: &str, machine: &str) -> Result<u8, Failure> {
    match session.client.call(Method::GET, &status_path(name, machine), None::<Value>).await {
        Ok(answer) => {
            let code = exit_code(&answer);
            copy(answer).await?;
            Ok(code)
        }
        Err(error) if must_go_there(&error) => {
            run_on(session, machine, &["systemctl", "status", "-l", name], &error).await
        }
        Err(error) => Err(Failure::of(&format!("Error retrieving status of {name}"), &error)),
    }
}

/// Prints a unit's journal, and goes on with it if that is asked for.
pub async fn journal(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let name = UnitName::from_argument(&line.only_arg("One unit file must be provided.")?);
    let (lines, follow, format) = (line.number("lines")?, line.switch("follow")?, line.text("output"));
    let unit = session.unit(&name).await?;
    let machines = machines_of(session, &unit, &line.text("machine")).await?;
    let machine = match &machines[..] {
        [] => return Err(Failure::error(format!("Unit {name} does not appear to be running."))),
        [one] => one,
        many => {
            let text = format!(
                "Unit {name} runs on {} machines: say which by --machine, one of {}",
                many.len(),
                many.join(", ")
            );
            return Err(Failure::usage(text));
        }
    };
    let sudo = line.switch("sudo")?;
    let query =
        format!("lines={lines}&follow={follow}&output={}&machineID={}", escape(&format), escape(machine));
    let path = format!("units/{}/journal?{query}", escape(&name));
    let why = if sudo {
        ClientError::Settings("--sudo is for ssh".to_string())
    } else {
        match session.client.call(Method::GET, &path, None::<Value>).await {
            Ok(answer) => return copy(answer).await,
            Err(error) if must_go_there(&error) => error,
            Err(error) => return Err(Failure::of(&format!("Error retrieving journal of {name}"), &error)),
        }
    };
    let lines = lines.to_string();
    let mut words = if sudo { vec!["sudo"] } else { Vec::new() };
    words.extend([
        "journalctl",
        "--unit",
        name.as_str(),
        "--no-pager",
        "-n",
        lines.as_str(),
        "--output",
        format.as_str(),
    ]);
    words.extend(follow.then_some("-f"));
    match run_on(session, machine, &words, &why).await? {
        0 => Ok(()),
        code => Err(Failure::quiet(code)),
    }
}

/// Whether the API is no way to this machine.
fn must_go_there(error: &ClientError) -> bool {
    matches!(error.status(), 404 | 405 | 409 | 501 | 502)
}

/// The machines that have a unit; the one that is asked for, if one is.
async fn machines_of(session: &Session, unit: &Unit, asked: &str) -> Result<Vec<String>, Failure> {
    let tried = format!("Error retrieving state of {}", unit.name);
    let mut found: Vec<String> = if is_global(unit) || !asked.is_empty() {
        let states = session.client.states(&unit.name).await.map_err(|error| Failure::of(&tried, &error))?;
        states.into_iter().map(|state| state.machine_id).collect()
    } else if unit.current_state == "inactive" {
        Vec::new()
    } else {
        vec![unit.machine_id.clone()]
    };
    found.retain(|id| !id.is_empty() && id.starts_with(asked));
    Ok(found)
}

/// Runs a command on a machine: here, if it is this one.
async fn run_on(session: &Session, machine: &str, words: &[&str], why: &ClientError) -> Result<u8, Failure> {
    let local = std::fs::read_to_string(MACHINE_ID).is_ok_and(|id| id.trim() == machine);
    if local {
        return ssh::run(&words.iter().map(|word| word.to_string()).collect::<Vec<_>>());
    }
    let machines = session.machines().await?;
    let address = machines.get(machine).map(|machine| machine.primary_ip.as_str()).unwrap_or_default();
    if address.is_empty() {
        let id = super::cells::id(machine, false);
        return Err(Failure::error(format!(
            "Machine {id} has no known address for ssh, and the API does not help: {why}"
        )));
    }
    let quoted: Vec<String> = words.iter().map(|word| ssh::shell_quote(word)).collect();
    session.ssh.run(address, Some(&quoted.join(" ")))
}

/// Copies a body to standard output, piece by piece.
async fn copy(mut answer: Answer) -> Result<(), Failure> {
    while let Some(piece) = answer.body.next().await {
        output::print(&piece.map_err(|error| Failure::error(error.to_string()))?);
    }
    Ok(())
}

/// Opens a shell on a machine, or runs a command there; ends with its exit code.
pub async fn shell(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let (by_machine, by_unit) = (line.text("machine"), line.text("unit"));
    let mut words = line.args();
    let machine = match (by_machine.is_empty(), by_unit.is_empty()) {
        (false, false) => return Err(Failure::usage("Both --machine and --unit are given: give only one")),
        (false, true) => session.find_machine(&by_machine).await?,
        (true, false) => machine_of_unit(session, &by_unit).await?,
        (true, true) if words.is_empty() => {
            return Err(Failure::usage("One machine or unit must be provided"));
        }
        (true, true) => guess(session, &words.remove(0)).await?,
    };
    if machine.primary_ip.is_empty() {
        return Err(Failure::error(format!("Could not determine address of machine {}.", machine.id)));
    }
    let command = words.join(" ");
    match session
        .ssh
        .run(&machine.primary_ip, Some(command.as_str()).filter(|command| !command.is_empty()))?
    {
        0 => Ok(()),
        code => Err(Failure::quiet(code)),
    }
}

async fn machine_of_unit(session: &Session, argument: &str) -> Result<Machine, Failure> {
    let name = UnitName::from_argument(argument);
    let unit = session.unit(&name).await?;
    let machines = machines_of(session, &unit, "").await?;
    let [machine] = &machines[..] else {
        let text = format!("Unit {name} is on {} machines: give one of them by --machine", machines.len());
        return Err(Failure::error(text));
    };
    session.find_machine(machine).await
}

/// A machine's id (its beginning) or a unit, whichever there is.
async fn guess(session: &Session, word: &str) -> Result<Machine, Failure> {
    let machine = session.find_machine(word).await;
    let unit = session.client.unit(&UnitName::from_argument(word)).await;
    let unit = unit.map_err(|error| Failure::of("Unable to proceed", &error))?;
    match (machine, unit) {
        (Ok(_), Some(_)) => {
            let text = format!("{word:?} is a machine and a unit: say --machine or --unit");
            Err(Failure::usage(text))
        }
        (Ok(machine), None) => Ok(machine),
        (Err(_), Some(unit)) => machine_of_unit(session, &unit.name).await,
        (Err(failure), None) if failure.message.starts_with("More than one") => Err(failure),
        (Err(_), None) => Err(Failure::error(format!("There is no machine and no unit {word:?}"))),
    }
}
