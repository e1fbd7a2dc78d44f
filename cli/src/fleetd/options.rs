//! Every option of fleetd as one table, and how a file, an environment and a command line become settings.
//!
//! A later source wins: the default, then the file (`/etc/fleet/fleet.conf`, lines of `name=value` before any section), then
//! `FLEET_NAME` in the environment, then `--name=value`. Names are fleet's; a dash does for an underscore. An option that fleet had and
//! that means nothing here is accepted and noted, one that is unknown is refused on the command line and noted elsewhere, so that
//! nothing that was asked for is ignored in silence.

use crate::etcd::Refusal;
use std::collections::BTreeMap;

/// Where the file is, unless `--config` says otherwise.
pub const CONFIG_FILE: &str = "/etc/fleet/fleet.conf";

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what it says.
    Honoured,
    /// fleet's, without a meaning here: accepted, and noted when it was set.
    Ignored,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its value when nothing says one.
    pub default: &'static str,
    /// What is done with it.
    pub fate: Fate,
    /// One line for people.
    pub help: &'static str,
}

macro_rules! options {
    ($($fate:ident { $($name:literal $default:literal $help:literal,)* })*) => {
        /// All options, in the order in which the help shows them.
        pub const OPTIONS: &[Definition] = &[$($(
            Definition { name: $name, default: $default, fate: Fate::$fate, help: $help },
        )*)*];
    };
}

options! {
    Honoured {
        "verbosity" "0" "Above 0: log what is done, not only what matters",
        "etcd_servers" "http://127.0.0.1:2379,http://127.0.0.1:4001" "The store: a list of etcd v3 servers",
        "etcd_request_timeout" "1.0" "Longest wait for an answer of the store, in seconds",
        "etcd_username" "" "User of the store",
        "etcd_password" "" "Its password",
        "etcd_cafile" "" "Authority of the store's certificates",
        "etcd_keyfile" "" "Key of this client of the store",
        "etcd_certfile" "" "Certificate of this client of the store",
        "etcd_key_prefix" "/_coreos.com/fleet/" "Where the cluster's keys are",
        "public_ip" "" "Address for people and ssh; found by the default route if empty",
        "metadata" "" "What this machine is: key=value,key=value",
        "agent_ttl" "3s" "Time without a sign of life until this machine's units go elsewhere",
        "engine_ttl" "2s" "Time without a sign of life until another engine leads",
        "token_limit" "100" "Rows on a page of the API",
        "disable_engine" "false" "Never lead",
        "units_directory" "/run/fleet/units/" "Where unit files are kept; in memory",
        "systemd_user" "false" "Drive the systemd of this user instead of the system's",
        "systemd_bus" "" "Address of the bus; the system's if empty",
        "capacity_cpu" "" "Cores for units: 2, 0.5, 500m; what the machine has if empty, 0 for unknown",
        "capacity_memory" "" "Memory for units: 512M, 1.5G; what the machine has if empty, 0 for unknown",
        "api_socket" "/var/run/fleet.sock" "Unix socket of the API; systemd's sockets take its place",
        "api_listen" "" "TCP addresses of the API: 10.0.0.1:49153, a list",
        "api_advertise" "" "How other machines reach this API: https://HOST:PORT; from api_listen if empty",
        "api_cert_file" "" "Certificate of the API's TCP port",
        "api_key_file" "" "Its key",
        "api_client_ca_file" "" "Only clients with a certificate of this authority are let in over TCP",
        "api_ca_file" "" "Authority of other machines' API certificates",
        "api_tokens_file" "" "Bearer tokens that let in over TCP, one a line; the first is shown to other machines",
        "api_insecure" "false" "Serve TCP beyond this machine to whoever comes: who reaches it is root on the cluster",
        "state_directory" "/run/fleet" "Where the lock and this boot's token are; in memory",
        "machine_id_file" "/etc/machine-id" "Where this machine's id is",
        "log_format" "console" "console or json",
    }
    Ignored {
        "engine_reconcile_interval" "2" "Nothing is polled",
        "disable_watches" "false" "Watches are how changes are heard of",
        "enable_grpc" "false" "One way to the store is enough",
        "verify_units" "false" "Deprecated in fleet",
        "authorized_keys_file" "~/.ssh/authorized_keys" "Deprecated in fleet",
    }
}

/// The values of all options, and what is to be said about where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// Remarks for the log.
    pub notes: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To run.
    Run(CommandLine),
    /// The help.
    Help,
    /// The version.
    Version,
}

/// A command line that was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `--config`, if it was given: that file must exist.
    pub config: Option<String>,
    given: Vec<(&'static str, String)>,
}

fn find(name: &str) -> Option<&'static Definition> {
    let name = name.replace('-', "_").to_lowercase();
    OPTIONS.iter().find(|option| option.name == name)
}

impl CommandLine {
    /// Reads the arguments behind the program's name: one dash or two, `-name value` or `-name=value`.
    pub fn read(args: &[String]) -> Result<Asked, Refusal> {
        let mut line = CommandLine::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let flag =
                arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|flag| !flag.is_empty());
            let Some(flag) = flag else {
                return Err(Refusal::usage(format!("{arg:?} is no option: fleetd takes options only")));
            };
            let (name, mut value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (flag, None),
            };
            match name {
                "help" | "h" => return Ok(Asked::Help),
                "version" | "v" => return Ok(Asked::Version),
                _ => {}
            }
            let option = find(name);
            if option.is_none() && name != "config" {
                return Err(Refusal::usage(format!("there is no option --{name}")));
            }
            if value.is_none() {
                let switch = option.is_some_and(|option| matches!(option.default, "true" | "false"));
                value = if switch { Some("true".into()) } else { args.next().cloned() };
            }
            let value =
                value.ok_or_else(|| Refusal::usage(format!("--{name} needs a value: --{name}=VALUE")))?;
            match option {
                Some(option) => line.given.push((option.name, value)),
                None => line.config = Some(value),
            }
        }
        Ok(Asked::Run(line))
    }
}

impl Settings {
    /// Puts the sources together.
    pub fn assemble(
        file: &str,
        environment: &[(String, String)],
        line: &CommandLine,
    ) -> Result<Settings, Refusal> {
        let values = OPTIONS.iter().map(|option| (option.name, option.default.to_string())).collect();
        let mut settings = Settings { values, notes: Vec::new() };
        settings.read_file(file)?;
        for (variable, value) in environment {
            let Some(name) = variable.strip_prefix("FLEET_") else { continue };
            match find(name) {
                Some(option) => settings.set(option, value),
                None => {
                    settings.notes.push(format!("{variable} is set, but there is no option of that name"))
                }
            }
        }
        for (name, value) in &line.given {
            settings.set(find(name).expect("it was found when the line was read"), value);
        }
        Ok(settings)
    }

    fn read_file(&mut self, text: &str) -> Result<(), Refusal> {
        let mut foreign_section = false;
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.trim());
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with('[') {
                foreign_section = true;
                self.notes.push(format!(
                    "line {number}: {line} begins a section; options stand before any section"
                ));
                continue;
            }
            if foreign_section {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| {
                Refusal::start(format!("configuration file, line {number}: {line:?} is not name=value"))
            })?;
            match find(name.trim()) {
                Some(option) => self.set(option, unquoted(value.trim())),
                None => {
                    let name = name.trim();
                    self.notes.push(format!("line {number}: there is no option {name}; it is ignored"));
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, option: &Definition, value: &str) {
        if option.fate == Fate::Ignored {
            self.notes.push(format!("option {} is accepted and has no effect: {}", option.name, option.help));
        }
        self.values.insert(option.name, value.to_string());
    }

    /// The value of an option.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("{name} is not in the table of options"))
    }

    /// All values, for the state that is dumped; secrets are left out.
    pub fn open_values(&self) -> BTreeMap<&'static str, &str> {
        self.values
            .iter()
            .filter(|(name, _)| **name != "etcd_password")
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }
}

/// A value in quotes is what stands between them.
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.or_else(|| value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''))).unwrap_or(value)
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: fleetd [--config FILE] [--OPTION=VALUE]...\n\nOptions, also as OPTION=VALUE in the file and FLEET_OPTION in the \
         environment:\n",
    );
    text += &format!("  {:<29}{}\n", "--config", format_args!("The file [{CONFIG_FILE}]"));
    for option in OPTIONS {
        let default =
            if option.default.is_empty() { String::new() } else { format!(" [{}]", option.default) };
        let fate = if option.fate == Fate::Ignored { "No effect. " } else { "" };
        text += &format!("  --{:<27}{fate}{}{default}\n", option.name, option.help);
    }
    text + "  --version                    Print the version\n"
}
