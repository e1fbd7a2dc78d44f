//! `list-units`, `list-unit-files`, `list-machines`: fleet's tables, column by column.

use super::args::Line;
use super::cells;
use super::failure::Failure;
use super::session::{Session, print_json};
use super::tabs;
use crate::output;
use fleet::unit::UnitFile;
use io_real::fleet_client::schema::{Machine, Unit, UnitState};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a cell may need beside its row.
struct Shown {
    full: bool,
    machines: BTreeMap<String, Machine>,
}

/// A column: its name, and its cell of a row.
type Column<T> = (&'static str, fn(&T, &Shown) -> String);

const UNIT_COLUMNS: [Column<UnitState>; 7] = [
    ("active", |state, _| cells::or_dash(&state.systemd_active_state)),
    ("error", |state, _| cells::or_dash(&text_of(state.more.get("error")))),
    ("hash", |state, shown| cells::or_dash(&cells::hash(&state.hash, shown.full))),
    ("load", |state, _| cells::or_dash(&state.systemd_load_state)),
    ("machine", |state, shown| machine(&state.machine_id, shown)),
    ("sub", |state, _| cells::or_dash(&state.systemd_sub_state)),
    ("unit", |state, _| state.name.clone()),
];

const FILE_COLUMNS: [Column<Unit>; 9] = [
    ("desc", |unit, _| cells::or_dash(&file(unit).map_or(String::new(), |file| file.description()))),
    ("dstate", |unit, _| cells::or_dash(&unit.desired_state)),
    ("error", |unit, _| cells::or_dash(&text_of(unit.more.get("error")))),
    ("global", |unit, _| cells::is_global(unit).to_string()),
    ("hash", |unit, shown| {
        cells::or_dash(
            &file(unit).map_or(String::new(), |file| cells::hash(&file.hash().to_string(), shown.full)),
        )
    }),
    (
        "state",
        |unit, _| if cells::is_global(unit) { "-".into() } else { cells::or_dash(&unit.current_state) },
    ),
    ("target", target),
    ("tmachine", target),
    ("unit", |unit, _| unit.name.clone()),
];

const MACHINE_COLUMNS: [Column<Machine>; 6] = [
    ("admission", |machine, _| match text_of(machine.more.get("admission")).as_str() {
        "" | "open" if machine.more.get("leaving") == Some(&Value::Bool(true)) => "leaving".to_string(),
        "" => "open".to_string(),
        other => other.to_string(),
    }),
    ("api", |machine, _| cells::or_dash(&text_of(machine.more.get("api")))),
    ("ip", |machine, _| cells::or_dash(&machine.primary_ip)),
    ("machine", |machine, shown| cells::id(&machine.id, shown.full)),
    ("metadata", |machine, _| cells::metadata(&machine.metadata)),
    ("version", |machine, _| cells::or_dash(&text_of(machine.more.get("version")))),
];

fn text_of(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_string()
}

fn machine(id: &str, shown: &Shown) -> String {
    if id.is_empty() { "-".into() } else { cells::machine(id, &shown.machines, shown.full) }
}

fn target(unit: &Unit, shown: &Shown) -> String {
    if cells::is_global(unit) { "global".into() } else { machine(&unit.machine_id, shown) }
}

/// The unit's file. A server that holds one that cannot be written down does not exist, but is not believed either.
fn file(unit: &Unit) -> Option<UnitFile> {
    UnitFile::from_options(unit.options.clone()).ok()
}

/// One row for each copy of a unit on a machine.
pub async fn units(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let columns = columns(line, &UNIT_COLUMNS)?;
    let states = session.client.states("").await;
    let states =
        states.map_err(|error| Failure::of("Error retrieving list of units from repository", &error))?;
    show(session, line, &columns, &states).await
}

/// One row for each unit.
pub async fn unit_files(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let columns = columns(line, &FILE_COLUMNS)?;
    if columns.iter().any(|(name, _)| *name == "tmachine") {
        eprintln!("WARNING: the field \"tmachine\" is the old name of \"target\"");
    }
    let units = session.client.units().await;
    let units =
        units.map_err(|error| Failure::of("Error retrieving list of units from repository", &error))?;
    show(session, line, &columns, &units).await
}

/// One row for each live machine.
pub async fn machines(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let columns = columns(line, &MACHINE_COLUMNS)?;
    let machines: Vec<Machine> = session.machines().await?.values().cloned().collect();
    show(session, line, &columns, &machines).await
}

/// The columns that `--fields` names.
fn columns<T>(line: &Line, known: &[Column<T>]) -> Result<Vec<Column<T>>, Failure> {
    let fields = line.text("fields");
    let find = |name: &str| {
        known.iter().find(|(field, _)| *field == name).copied().ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(field, _)| *field).collect();
            Failure::usage(format!("--fields holds {name:?}: give some of {}", names.join(",")))
        })
    };
    fields.split(',').map(find).collect()
}

async fn show<T: Serialize>(
    session: &Session,
    line: &Line<'_>,
    columns: &[Column<T>],
    rows: &[T],
) -> Result<(), Failure> {
    if session.json {
        print_json(&rows);
        return Ok(());
    }
    let with_machines = columns.iter().any(|(name, _)| matches!(*name, "machine" | "target" | "tmachine"));
    // Without the machines only their addresses are missing: the list is worth showing all the same.
    let machines = if with_machines && !rows.is_empty() { session.machines().await.ok() } else { None };
    let shown =
        Shown { full: line.switch("full")?, machines: machines.as_deref().cloned().unwrap_or_default() };
    let mut table = Vec::new();
    if !line.switch("no-legend")? {
        table.push(columns.iter().map(|(name, _)| name.to_uppercase()).collect());
    }
    table.extend(rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row, &shown)).collect()));
    output::print(tabs::table(&table).as_bytes());
    Ok(())
}
