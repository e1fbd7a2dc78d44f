//! What the commands share: the client that the global flags describe, the ways to ssh, and what has been learned of machines.

use super::args::Line;
use super::failure::Failure;
use super::ssh::Ssh;
use crate::output;
use io_real::fleet_client::schema::{Machine, Unit};
use io_real::fleet_client::{Endpoint, FleetClient, HttpTransport, Options, Place, TlsFiles};
use io_real::tls::TlsFlags;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest wait for a connection to the API, when there is no ssh on the way.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the head of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One run of fleetctl.
pub struct Session {
    /// The API.
    pub client: FleetClient,
    /// How other machines are reached.
    pub ssh: Ssh,
    /// Whether results and progress are JSON.
    pub json: bool,
    machines: Mutex<Option<Arc<BTreeMap<String, Machine>>>>,
}

impl Session {
    /// The session that a command line describes. Nothing is sent yet.
    pub async fn new(line: &Line<'_>) -> Result<Session, Failure> {
        // journal's flag of this name is for journalctl.
        let json = line.text("lines").is_empty() && line.json()?;
        let ssh = Ssh::new(line)?;
        let client = client(line, &ssh).await?;
        if line.switch("debug")? {
            eprintln!("endpoint {}", client.endpoint());
        }
        Ok(Session { client, ssh, json, machines: Mutex::new(None) })
    }

    /// The live machines by id, asked for once.
    pub async fn machines(&self) -> Result<Arc<BTreeMap<String, Machine>>, Failure> {
        if let Some(known) = self.machines.lock().expect("no holder panics").clone() {
            return Ok(known);
        }
        let listed = self.client.machines().await;
        let listed =
            listed.map_err(|error| Failure::of("Error retrieving list of active machines", &error))?;
        let by_id: BTreeMap<_, _> = listed.into_iter().map(|machine| (machine.id.clone(), machine)).collect();
        let known = Arc::new(by_id);
        *self.machines.lock().expect("no holder panics") = Some(known.clone());
        Ok(known)
    }

    /// The cell of a machine. Its address is left out when the machines cannot be listed.
    pub async fn machine_cell(&self, id: &str, full: bool) -> String {
        let machines = self.machines().await.unwrap_or_default();
        super::cells::machine(id, &machines, full)
    }

    /// A unit that must be there.
    pub async fn unit(&self, name: &str) -> Result<Unit, Failure> {
        let found = self.client.unit(name).await;
        let found = found.map_err(|error| Failure::of(&format!("Error retrieving unit {name}"), &error))?;
        found.ok_or_else(|| Failure::error(format!("Unit {name} does not exist.")))
    }

    /// The one live machine whose id begins so.
    pub async fn find_machine(&self, beginning: &str) -> Result<Machine, Failure> {
        let machines = self.machines().await?;
        let mut fitting = machines.values().filter(|machine| machine.id.starts_with(beginning));
        match (fitting.next(), fitting.next()) {
            (Some(machine), None) => Ok(machine.clone()),
            (None, _) => Err(Failure::error(format!(
                "No live machine has an id that begins with {beginning:?}: see fleetctl list-machines --full"
            ))),
            (Some(one), Some(other)) => Err(Failure::error(format!(
                "More than one machine has an id that begins with {beginning:?}, {} and {} among them: give more of it",
                one.id, other.id
            ))),
        }
    }

    /// A line of progress: text for people, or a JSON document of one line.
    pub fn progress(&self, text: &str, document: &impl Serialize) {
        if self.json {
            print_json_line(document);
        } else {
            output::print_line(text);
        }
    }
}

/// A JSON document on several lines.
pub fn print_json(document: &impl Serialize) {
    let text = serde_json::to_string_pretty(document).expect("documents have text keys");
    output::print_line(&text);
}

/// A JSON document on one line.
pub fn print_json_line(document: &impl Serialize) {
    output::print_line(&serde_json::to_string(document).expect("documents have text keys"));
}

async fn client(line: &Line<'_>, ssh: &Ssh) -> Result<FleetClient, Failure> {
    let driver = line.text("driver");
    let old_way = !line.text("experimental-api").is_empty() && !line.switch("experimental-api")?;
    match driver.as_str() {
        "etcd" => return Ok(FleetClient::new(super::direct::transport(line).await?)),
        "API" | "api" if old_way => return Ok(FleetClient::new(super::direct::transport(line).await?)),
        "API" | "api" => {}
        _ => return Err(Failure::usage(format!("--driver {driver:?} is unknown: give API or etcd"))),
    }
    let settings = |error| Failure::of("Unable to initialize client", &error);
    let endpoints = line.text("endpoint");
    let mut endpoints = endpoints.split(',').map(str::trim);
    let endpoint = Endpoint::parse(endpoints.next().unwrap_or_default()).map_err(settings)?;
    if endpoints.next().is_some() {
        eprintln!("WARNING: several endpoints are given, only the first ({}) is used", endpoint.text);
    }
    let through = ssh.tunnel_to(&endpoint)?;
    let dial_timeout = if through.is_some() { DIAL_TIMEOUT + ssh.timeout } else { DIAL_TIMEOUT };
    let options = Options {
        through,
        tls: tls_files(line, &endpoint)?,
        token: token(&line.text("token-file"))?,
        endpoint,
        dial_timeout,
        answer_timeout: ANSWER_TIMEOUT + dial_timeout,
    };
    let transport = HttpTransport::new(options).map_err(settings)?;
    Ok(FleetClient::new(Arc::new(transport)))
}

/// What fleetctl calls the files.
pub(super) const FLAGS: TlsFlags =
    TlsFlags { authorities: "--ca-file", certificate: "--cert-file", key: "--key-file" };

/// The files that TLS wants.
pub(super) fn files(line: &Line) -> TlsFiles {
    let file = |name: &str| Some(line.text(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
    TlsFiles {
        authorities: file("ca-file"),
        certificate: file("cert-file"),
        key: file("key-file"),
        skip_verify: false,
    }
}

fn tls_files(line: &Line, endpoint: &Endpoint) -> Result<TlsFiles, Failure> {
    let files = files(line);
    let encrypted = matches!(endpoint.place, Place::Tcp { tls: true, .. });
    if files != TlsFiles::default() && matches!(endpoint.place, Place::Tcp { .. }) && !encrypted {
        let text = format!(
            "TLS files are given, but --endpoint {} is not encrypted: write https:// or leave the files out",
            endpoint.text
        );
        return Err(Failure::usage(text));
    }
    Ok(files)
}

fn token(path: &str) -> Result<Option<String>, Failure> {
    if path.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--token-file {path}: {error}")))?;
    match text.trim() {
        "" => Err(Failure::usage(format!("--token-file {path}: it is empty"))),
        token => Ok(Some(token.to_string())),
    }
}
