//! The command line of fleetctl: every command and flag as one table.
//!
//! Command names may be cut to a unique beginning, and a beginning that was unique among fleet 1.0's commands keeps its meaning
//! although there are more commands now. Flags may stand anywhere, booleans may be written `--full=false`. Global flags also
//! come from `FLEETCTL_` variables, which a flag on the line overrides; an empty variable is as none.

use super::failure::Failure;
use crate::golang::parse_bool;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::time::Duration;

/// Global flags that take a value: name, default, help.
const GLOBAL_VALUES: [(&str, &str, &str); 13] = [
    (
        "endpoint",
        "unix:///var/run/fleet.sock",
        "the fleet API (unix:///PATH, http://… or https://…), or etcd's with --driver etcd",
    ),
    ("driver", "API", "how to reach the cluster: API, or etcd for the store itself"),
    ("etcd-key-prefix", "/_coreos.com/fleet/", "where fleet's keys are, with --driver etcd"),
    ("key-file", "", "TLS key of this client"),
    ("cert-file", "", "TLS certificate of this client"),
    ("ca-file", "", "authorities that the server's certificate is checked against"),
    ("token-file", "", "file with the token that the API asks for"),
    ("tunnel", "", "HOST[:PORT] of an ssh server through which everything goes"),
    ("ssh-username", "core", "user name for ssh"),
    ("ssh-timeout", "10.0", "longest time to make an ssh connection, in seconds"),
    ("known-hosts-file", "~/.fleetctl/known_hosts", "host keys that were accepted before"),
    ("request-timeout", "3.0", "longest time of one request to the store, in seconds, with --driver etcd"),
    ("strict-host-key-checking", "true", "refuse machines whose host key is another than before"),
];

/// Global flags of fleet 1.0 that mean the same as another: the old name and the new one.
const OLD_NAMES: [(&str, &str); 3] =
    [("etcd-keyfile", "key-file"), ("etcd-certfile", "cert-file"), ("etcd-cafile", "ca-file")];

/// The commands of fleet 1.0.
const OF_FLEET: [&str; 17] = [
    "cat",
    "destroy",
    "fd-forward",
    "help",
    "journal",
    "list-machines",
    "list-unit-files",
    "list-units",
    "load",
    "restart",
    "ssh",
    "start",
    "status",
    "stop",
    "submit",
    "unload",
    "verify",
];

/// The whole command line.
pub fn command() -> Command {
    let mut command = Command::new("fleetctl")
        .about("Runs units on the machines of a cluster")
        .disable_version_flag(true)
        .infer_subcommands(true)
        .subcommand_value_name("command")
        .args(GLOBAL_VALUES.map(|(name, default, help)| value(name, default, help).global(true)))
        .arg(switch("debug", "tell more about what is done").global(true))
        .arg(switch("version", "print the version").short('v'))
        .arg(switch("experimental-api", "ignored").default_value("true").global(true).hide(true))
        .subcommands(wishes())
        .subcommands(looks())
        .subcommands(lists())
        .subcommands(insights())
        .subcommands(machines())
        .subcommand(Command::new("version").about("Prints the version").arg(output()));
    for (old, new) in OLD_NAMES {
        command = command.mut_arg(new, |arg| arg.alias(old));
    }
    for (beginning, name) in beginnings() {
        command = command.mut_subcommand(name, |subcommand| subcommand.alias(beginning));
    }
    command
}

/// The beginnings that named one command in fleet 1.0, with the command.
fn beginnings() -> Vec<(String, &'static str)> {
    let known: Vec<&'static str> = OF_FLEET.into_iter().chain(["version"]).collect();
    let mut found = Vec::new();
    for name in known.iter().filter(|name| **name != "help") {
        for end in 1..name.len() {
            let beginning = &name[..end];
            let one = known.iter().filter(|other| other.starts_with(beginning)).count() == 1;
            if one && !known.contains(&beginning) {
                found.push((beginning.to_string(), *name));
            }
        }
    }
    found
}

fn wishes() -> Vec<Command> {
    let replace = || switch("replace", "replace units that are there with other contents");
    let sign = || switch("sign", "no longer offered").hide(true);
    let no_block = || switch("no-block", "do not wait");
    let attempts =
        || value("block-attempts", "0", "how often to wait two seconds before giving up; 0 is without end");
    let scale =
        switch("scale", "the instances that are named shall be all there are: NAME@{1..3} leaves three");
    vec![
        with("submit", "Adds units to the cluster, without running them", "UNIT...")
            .args([replace(), sign()]),
        with("load", "Gives units to machines, without starting them", "UNIT...").args([
            no_block(),
            attempts(),
            replace(),
            sign(),
        ]),
        with("start", "Starts units, and adds those that are not there", "UNIT...").args([
            no_block(),
            attempts(),
            replace(),
            sign(),
            scale,
        ]),
        with("stop", "Stops units; they stay on their machines", "UNIT...").args([no_block(), attempts()]),
        with("unload", "Stops units and takes them from their machines", "UNIT...")
            .args([no_block(), attempts()]),
        with("destroy", "Stops units and takes them out of the cluster", "UNIT...")
            .args([no_block(), attempts()]),
        with("restart", "Stops units and starts them where they are", "UNIT...")
            .args([no_block(), attempts()]),
    ]
    .into_iter()
    .map(|command| command.arg(output()))
    .collect()
}

fn looks() -> Vec<Command> {
    let port = || value("ssh-port", "22", "port of ssh on the machines");
    let machine = || value("machine", "", "the machine (or the beginning of its id)");
    vec![
        with("cat", "Prints a unit's file", "UNIT").arg(output()),
        with("status", "Prints what systemd says of units", "UNIT...").args([port(), machine(), output()]),
        with("journal", "Prints what a unit has logged", "UNIT").args([
            value("lines", "10", "how many lines").short('n'),
            switch("follow", "go on with what is logged from now on").short('f').alias("f"),
            switch("sudo", "run journalctl by sudo, over ssh"),
            value("output", "short", "format, as journalctl knows them"),
            port(),
            machine(),
        ]),
        with("ssh", "Opens a shell on a machine, or runs a command there", "MACHINE|UNIT [COMMAND...]").args(
            [
                machine(),
                value("unit", "", "the machine of this unit"),
                switch("forward-agent", "let the machine use the keys of this ssh-agent")
                    .short('A')
                    .alias("A"),
                port(),
            ],
        ),
        with("fd-forward", "Connects standard input and output with a unix socket", "SOCKET"),
        with("verify", "No longer offered", "UNIT").hide(true),
    ]
}

fn lists() -> Vec<Command> {
    let list = |name: &'static str, about: &'static str, fields: &'static str| {
        with(name, about, "").args([
            switch("full", "do not shorten ids and hashes").short('l').alias("l"),
            switch("no-legend", "leave out the line of headers"),
            value("fields", fields, "the columns, separated by commas"),
            output(),
        ])
    };
    vec![
        list("list-units", "Lists what machines say of their units", "unit,machine,active,sub"),
        list("list-unit-files", "Lists the units of the cluster", "unit,hash,dstate,state,target"),
        list("list-machines", "Lists the live machines", "machine,ip,metadata"),
    ]
}

fn insights() -> Vec<Command> {
    vec![
        with("plan", "Tells what starting units would do, and does nothing", "UNIT...").args([
            value("state", "launched", "the state to plan for: launched, loaded or inactive"),
            switch("destroy", "plan to destroy the units"),
            output(),
        ]),
        with("why", "Tells why a unit is where it is, or nowhere", "UNIT").arg(output()),
        with("events", "Prints what happens in the cluster, as it happens", "").arg(output()),
        with("rollout", "Tells how far the replacement of a unit is", "UNIT")
            .args([switch("follow", "go on until it has ended").short('f'), output()]),
    ]
}

fn machines() -> Vec<Command> {
    vec![
        with("drain", "Moves all units off machines", "MACHINE...").args([
            switch("no-block", "do not wait"),
            value("block-attempts", "0", "how often to wait two seconds before giving up; 0 is without end"),
            output(),
        ]),
        with("cordon", "Lets no new unit come to machines", "MACHINE...").arg(output()),
        with("uncordon", "Lets units come to machines again", "MACHINE...").arg(output()),
        with("declare-gone", "Says that a machine will not come back with its units running", "MACHINE")
            .args([switch("yes", "do not ask").short('y'), output()]),
        with("rebalance", "Moves units from machines with many to machines with few", "")
            .args([switch("dry-run", "only tell what would move"), output()]),
    ]
}

fn with(name: &'static str, about: &'static str, arguments: &'static str) -> Command {
    Command::new(name).about(about).arg(Arg::new("args").num_args(0..).value_name(arguments))
}

fn output() -> Arg {
    value("output", "text", "text or json")
}

fn value(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).default_value(default).action(ArgAction::Set).help(help);
    arg.allow_hyphen_values(true).overrides_with(name)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .action(ArgAction::Set)
        .overrides_with(name)
        .help(help)
}

/// A parsed command line, and the environment behind it.
pub struct Line<'a> {
    matches: &'a ArgMatches,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Line<'a> {
    /// A line; `variable` looks into the environment.
    pub fn new(matches: &'a ArgMatches, variable: &'a dyn Fn(&str) -> Option<String>) -> Line<'a> {
        Line { matches, variable }
    }

    /// The arguments that are no flags.
    pub fn args(&self) -> Vec<String> {
        let found = self.matches.try_get_many::<String>("args");
        found.ok().flatten().into_iter().flatten().cloned().collect()
    }

    /// The only argument, or else `message`.
    pub fn only_arg(&self, message: &str) -> Result<String, Failure> {
        match &self.args()[..] {
            [one] => Ok(one.clone()),
            _ => Err(Failure::usage(message)),
        }
    }

    /// A flag as it was written; a global one may come from its variable.
    pub fn text(&self, name: &str) -> String {
        let written = self.matches.try_get_one::<String>(name).ok().flatten().cloned().unwrap_or_default();
        if self.given(name) || !is_global(name) {
            return written;
        }
        let old = OLD_NAMES.iter().find(|(_, new)| *new == name).map(|(old, _)| *old);
        let names = std::iter::once(name).chain(old);
        let variables = names.map(|name| format!("FLEETCTL_{}", name.to_uppercase().replace('-', "_")));
        let mut values = variables.filter_map(|name| (self.variable)(&name));
        values.find(|value| !value.is_empty()).unwrap_or(written)
    }

    /// Whether a flag stands on the line.
    pub fn given(&self, name: &str) -> bool {
        let known = self.matches.try_contains_id(name).unwrap_or(false);
        known && self.matches.value_source(name) == Some(ValueSource::CommandLine)
    }

    /// A boolean.
    pub fn switch(&self, name: &str) -> Result<bool, Failure> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(false);
        }
        parse_bool(&text).ok_or_else(|| invalid(name, &text, "true or false"))
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Result<u64, Failure> {
        let text = self.text(name);
        text.parse().map_err(|_| invalid(name, &text, "a whole number"))
    }

    /// A time in seconds, with decimals.
    pub fn seconds(&self, name: &str) -> Result<Duration, Failure> {
        let text = self.text(name);
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds
            .filter(|time| !time.is_zero())
            .ok_or_else(|| invalid(name, &text, "a number of seconds above 0"))
    }

    /// Whether the result shall be JSON.
    pub fn json(&self) -> Result<bool, Failure> {
        match self.text("output").as_str() {
            "text" | "" => Ok(false),
            "json" => Ok(true),
            other => Err(invalid("output", other, "text or json")),
        }
    }
}

fn is_global(name: &str) -> bool {
    matches!(name, "debug" | "experimental-api") || GLOBAL_VALUES.iter().any(|(global, ..)| *global == name)
}

fn invalid(name: &str, text: &str, wanted: &str) -> Failure {
    let variable = format!("FLEETCTL_{}", name.to_uppercase().replace('-', "_"));
    let place = if is_global(name) { format!(" (or {variable})") } else { String::new() };
    Failure::usage(format!("--{name}{place} is {text:?}: give {wanted}"))
}

/// What clap found wrong, in few words.
pub fn usage_failure(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    Failure::usage(match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("unknown flag: {}\nRun 'fleetctl --help' for usage.", context(ContextKind::InvalidArg))
        }
        ErrorKind::InvalidSubcommand => {
            let name = context(ContextKind::InvalidSubcommand);
            format!("unknown command \"{name}\" for \"fleetctl\"\nRun 'fleetctl --help' for usage.")
        }
        _ => error.to_string().trim_start_matches("error: ").trim_end().to_string(),
    })
}
