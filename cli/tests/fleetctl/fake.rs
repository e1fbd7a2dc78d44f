//! A fleet that is a few lines of state behind a unix socket: its API as fleet 1.0 had it, and, if wanted, what came after.
//!
//! It does what it is told after so many looks (`lag`), so that a client which does not wait is found out, and it keeps a list of
//! the calls that change something.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// The machines.
pub const MACHINES: [(&str, &str, &str); 2] = [
    ("113f16a7c3ea4a2eb4b1ef6a2e1a4b10", "172.17.8.103", "us-east"),
    ("c1d2e3f4a5b64c7d8e9f0a1b2c3d4e5f", "172.17.8.104", ""),
];

/// Rows on a page, so that listings have several.
const PAGE: usize = 2;

/// A unit of the cluster.
#[derive(Clone, Default)]
struct Held {
    options: Value,
    desired: String,
    current: String,
    machine: usize,
    /// Looks until what is desired is so.
    lag: u32,
    run: u64,
    destroyed: bool,
}

/// The state of the cluster.
#[derive(Default)]
pub struct Cluster {
    units: BTreeMap<String, Held>,
    /// Looks until a change shows.
    pub lag: u32,
    /// Whether it offers what fleet 1.0 did not.
    pub modern: bool,
    /// systemd's active state of what is started.
    pub active: String,
    /// Calls that change something, in order.
    pub calls: Vec<String>,
    /// Answers to paths beyond fleet 1.0.
    pub answers: BTreeMap<String, (u16, String)>,
}

/// A fake fleet, and the folder in which fleetctl is run.
pub struct Fake {
    /// Working folder of fleetctl.
    pub dir: tempfile::TempDir,
    /// What is there.
    pub cluster: Arc<Mutex<Cluster>>,
}

impl Fake {
    /// A fleet of two machines and no units.
    pub fn start() -> Fake {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cluster = Arc::new(Mutex::new(Cluster { active: "active".into(), ..Cluster::default() }));
        let listener = UnixListener::bind(dir.path().join("fleet.sock")).expect("a socket");
        let served = cluster.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let cluster = served.clone();
                std::thread::spawn(move || serve(stream, &cluster));
            }
        });
        Fake { dir, cluster }
    }

    /// The address of its API.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.dir.path().join("fleet.sock").display())
    }

    /// Writes a file into the working folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// A command `fleetctl ARGS` that talks to this fleet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orlop"));
        command.arg("fleetctl").args(args).current_dir(self.dir.path());
        command.env_clear().env("FLEETCTL_ENDPOINT", self.endpoint()).env("HOME", self.dir.path());
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        command
    }

    /// Runs fleetctl.
    pub fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().expect("fleetctl runs"))
    }

    /// The calls that changed something since this was asked last.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.cluster.lock().unwrap().calls)
    }
}

/// What fleetctl did.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// From what a process left.
pub fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Puts a program that is a shell script into a folder of programs, and returns the folder.
pub fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = dir.join("bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), format!("#!/bin/sh\n{text}\n")).expect("a script");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.join(name), mode).expect("a program");
    folder
}

fn serve(stream: UnixStream, cluster: &Mutex<Cluster>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (method, target) =
            (words.next().unwrap_or("").to_string(), words.next().unwrap_or("").to_string());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let (status, text) = cluster.lock().unwrap().answer(&method, &target, &body);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        if writer.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

impl Cluster {
    fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> (u16, String) {
        let path = target.strip_prefix("/fleet/v1/").expect("the API's root");
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if method != "GET" {
            let state = body.get("desiredState").and_then(Value::as_str).unwrap_or_default();
            let with = if body.get("options").is_some() { "options " } else { "" };
            self.calls.push(format!("{method} {path} {with}{state}").trim_end().to_string());
        }
        if let Some(answer) = self.answers.get(path) {
            return answer.clone();
        }
        let words: Vec<&str> = path.split('/').collect();
        match (method, &words[..]) {
            ("GET", ["units"]) => self.units(query),
            ("GET", ["units", name]) => self.unit(name),
            ("PUT", ["units", name]) => self.put(name, &body),
            ("DELETE", ["units", name]) => self.delete(name),
            ("GET", ["state"]) => self.states(query),
            ("GET", ["machines"]) => (200, json!({ "machines": machines() }).to_string()),
            ("POST", ["units", name, "restart"]) if self.modern => {
                let lag = self.lag;
                let unit = self.units.get_mut(*name).expect("a unit that is there");
                (unit.run, unit.lag) = (unit.run + 1, lag);
                (204, String::new())
            }
            // As Go's HTTP server says it.
            _ => (404, "404 page not found\n".to_string()),
        }
    }

    fn put(&mut self, name: &str, body: &Value) -> (u16, String) {
        let lag = self.lag;
        let count = self.units.len();
        let unit = self.units.entry(name.to_string()).or_insert_with(|| Held {
            machine: count % MACHINES.len(),
            current: "inactive".into(),
            ..Held::default()
        });
        if let Some(options) = body.get("options").filter(|options| !options.is_null()) {
            unit.options = options.clone();
        }
        unit.desired = body["desiredState"].as_str().unwrap_or("inactive").to_string();
        unit.lag = lag;
        (201, String::new())
    }

    fn delete(&mut self, name: &str) -> (u16, String) {
        let lag = self.lag;
        match self.units.get_mut(name).filter(|unit| !unit.destroyed) {
            Some(unit) => {
                (unit.destroyed, unit.lag) = (true, lag);
                (204, String::new())
            }
            None => (404, json!({ "error": { "code": 404, "message": "unit does not exist" } }).to_string()),
        }
    }

    fn unit(&mut self, name: &str) -> (u16, String) {
        self.look();
        match self.units.get(name).filter(|unit| !unit.destroyed) {
            Some(unit) => (200, document(name, unit).to_string()),
            None => (404, json!({ "error": { "code": 404, "message": "unit does not exist" } }).to_string()),
        }
    }

    fn units(&mut self, query: &str) -> (u16, String) {
        self.look();
        let there = self.units.iter().filter(|(_, unit)| !unit.destroyed);
        page("units", there.map(|(name, unit)| document(name, unit)).collect(), query)
    }

    fn states(&mut self, query: &str) -> (u16, String) {
        self.look();
        let asked = query.split('&').find_map(|part| part.strip_prefix("unitName="));
        let known = self.units.iter().filter(|(name, unit)| {
            unit.current != "inactive" && asked.is_none_or(|asked| asked == name.as_str())
        });
        let rows = known.map(|(name, unit)| {
            let launched = unit.current == "launched";
            let active = if launched { self.active.as_str() } else { "inactive" };
            let sub = if active == "active" { "running" } else { "dead" };
            json!({
                "name": name, "hash": "", "machineID": MACHINES[unit.machine].0, "systemdLoadState": "loaded",
                "systemdActiveState": active, "systemdSubState": sub,
                "run": if unit.lag == 0 { unit.run } else { 0 },
            })
        });
        page("states", rows.collect(), query)
    }

    /// Time passes by looks.
    fn look(&mut self) {
        for unit in self.units.values_mut() {
            unit.lag = unit.lag.saturating_sub(1);
            if unit.lag == 0 {
                unit.current.clone_from(&unit.desired);
            }
        }
        self.units.retain(|_, unit| !(unit.destroyed && unit.lag == 0));
    }
}

fn document(name: &str, unit: &Held) -> Value {
    let mut document = json!({
        "name": name, "options": unit.options, "desiredState": unit.desired, "currentState": unit.current,
    });
    if unit.current != "inactive" {
        document["machineID"] = json!(MACHINES[unit.machine].0);
    }
    if unit.run > 0 {
        document["run"] = json!(unit.run);
    }
    document
}

fn machines() -> Vec<Value> {
    let machine = |(id, ip, region): (&str, &str, &str)| {
        let mut document = json!({ "id": id, "primaryIP": ip });
        if !region.is_empty() {
            document["metadata"] = json!({ "region": region, "disk": "ssd" });
        }
        document
    };
    MACHINES.into_iter().map(machine).collect()
}

fn page(name: &str, rows: Vec<Value>, query: &str) -> (u16, String) {
    let token = query.split('&').find_map(|part| part.strip_prefix("nextPageToken="));
    let first: usize = token.map_or(0, |token| token.parse().expect("a token of ours"));
    let mut document = json!({});
    let rest: Vec<Value> = rows.iter().skip(first).take(PAGE).cloned().collect();
    if !rest.is_empty() {
        document[name] = json!(rest);
    }
    if first + PAGE < rows.len() {
        document["nextPageToken"] = json!((first + PAGE).to_string());
    }
    (200, document.to_string())
}
