//! Every flag of flanneld as one table, and how an environment and a command line become settings.
//!
//! A flag on the command line wins over `FLANNELD_NAME` in the environment, which wins over the default. Flags are read as Go reads
//! them: one dash or two, `-name value` or `-name=value`, and a switch takes no value of its own. Nothing that was asked for
//! is ignored in silence: a flag of the Kubernetes mode is refused by its name, one without a meaning here is noted.

use crate::etcd::Refusal;
use crate::golang::parse_bool;
use std::collections::BTreeMap;

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what it says.
    Honoured,
    /// flannel's, without a meaning here: accepted, and noted when it was set.
    Ignored,
    /// Of the mode in which flannel keeps its leases in Kubernetes: refused unless it says what holds without that mode.
    Kubernetes,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its value when nothing says one. `true` and `false` make it a switch.
    pub default: &'static str,
    /// What is done with it.
    pub fate: Fate,
    /// One line for people.
    pub help: &'static str,
}

macro_rules! flags {
    ($($fate:ident { $($name:literal $default:literal $help:literal,)* })*) => {
        /// All flags, in the order in which the help shows them.
        pub const FLAGS: &[Definition] = &[$($(
            Definition { name: $name, default: $default, fate: Fate::$fate, help: $help },
        )*)*];
    };
}

flags! {
    Honoured {
        "etcd-endpoints" "http://127.0.0.1:4001,http://127.0.0.1:2379" "The store: a list of etcd v3 servers",
        "etcd-prefix" "/coreos.com/network" "Where the network's keys are",
        "etcd-keyfile" "" "Key of this client of the store",
        "etcd-certfile" "" "Certificate of this client of the store",
        "etcd-cafile" "" "Authority of the store's certificates",
        "etcd-username" "" "User of the store",
        "etcd-password" "" "Its password",
        "iface" "" "Interface for traffic between machines, by name or address; may be repeated, the first that fits",
        "iface-regex" "" "The same by a regular expression over addresses, then names; after --iface",
        "iface-can-reach" "" "The interface by which the kernel reaches this address",
        "public-ip" "" "Address by which other machines reach this one; the interface's if empty",
        "public-ipv6" "" "The same of IPv6",
        "subnet-file" "/run/flannel/subnet.env" "Where the subnet, the MTU and the rest are written",
        "subnet-lease-renew-margin" "60" "Minutes before its end at which the lease is renewed, 1 to 1439",
        "ip-masq" "false" "Masquerade what leaves the network",
        "ip-masq-fully-random-disable" "false" "Masquerade without random ports",
        "iptables-resync" "5" "Seconds between looks at rules that are made by the iptables programs",
        "iptables-forward-rules" "true" "Let the network's packets through this machine's forward chain",
        "ip-blackhole-route" "false" "Drop what comes for containers of the own subnet that do not exist",
        "healthz-ip" "0.0.0.0" "Address of /healthz, /readyz, /metrics and /status",
        "healthz-port" "0" "Port of them; 0 serves none",
        "v" "0" "Above 0: log what is done, not only what matters",
        "log-format" "console" "console or json (not in flannel)",
    }
    Ignored {
        "vmodule" "" "Levels by source file mean nothing here",
        "log_backtrace_at" "" "There are no lines of Go here",
    }
    Kubernetes {
        "kube-subnet-mgr" "false" "Leases in Kubernetes are not offered: the store is etcd",
        "kube-api-url" "" "Of the Kubernetes mode",
        "kubeconfig-file" "" "Of the Kubernetes mode",
        "kube-annotation-prefix" "flannel.alpha.coreos.com" "Of the Kubernetes mode",
        "net-config-path" "/etc/kube-flannel/net-conf.json" "Of the Kubernetes mode",
        "set-node-network-unavailable" "true" "Of the Kubernetes mode",
    }
}

/// The flags that may be given several times.
const REPEATED: [&str; 2] = ["iface", "iface-regex"];

/// The values of all flags, and what is to be said about where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<&'static str, Vec<String>>,
    /// Remarks for the log.
    pub notes: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To run.
    Run(Settings),
    /// The help.
    Help,
    /// The version.
    Version,
}

impl Definition {
    fn is_switch(&self) -> bool {
        matches!(self.default, "true" | "false")
    }

    /// The flag's name in the environment.
    fn variable(&self) -> String {
        format!("FLANNELD_{}", self.name.replace('-', "_").to_uppercase())
    }
}

fn find(name: &str) -> Option<&'static Definition> {
    FLAGS.iter().find(|flag| flag.name == name)
}

impl Settings {
    /// Reads the arguments behind the program's name, and the environment.
    pub fn read(args: &[String], environment: &[(String, String)]) -> Result<Asked, Refusal> {
        let mut settings = Settings { values: BTreeMap::new(), notes: Vec::new() };
        for (variable, value) in environment.iter().filter(|(name, _)| name.starts_with("FLANNELD_")) {
            match FLAGS.iter().find(|flag| flag.variable() == *variable) {
                Some(flag) => settings.set(flag, vec![value.clone()])?,
                None if variable == "FLANNELD_VERSION" => {}
                None => settings.notes.push(format!("{variable} is set, but there is no flag of that name")),
            }
        }
        let mut given: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let flag =
                arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|flag| !flag.is_empty());
            let Some(flag) = flag else {
                return Err(Refusal::usage(format!("{arg:?} is no flag: flanneld takes flags only")));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (flag, None),
            };
            match name {
                "help" | "h" => return Ok(Asked::Help),
                "version" if value.as_deref().is_none_or(|value| parse_bool(value) == Some(true)) => {
                    return Ok(Asked::Version);
                }
                "version" => continue,
                _ => {}
            }
            let flag = find(name).ok_or_else(|| Refusal::usage(format!("there is no flag --{name}")))?;
            let value = match value {
                Some(value) => Some(value),
                None if flag.is_switch() => Some("true".to_string()),
                None => args.next().cloned(),
            };
            let value =
                value.ok_or_else(|| Refusal::usage(format!("--{name} needs a value: --{name}=VALUE")))?;
            let values = given.entry(flag.name).or_default();
            if !REPEATED.contains(&flag.name) {
                values.clear();
            }
            values.push(value);
        }
        for (name, values) in given {
            settings.set(find(name).expect("it was found when it was read"), values)?;
        }
        Ok(Asked::Run(settings))
    }

    fn set(&mut self, flag: &'static Definition, values: Vec<String>) -> Result<(), Refusal> {
        let same = |value: &String| {
            value == flag.default || (flag.is_switch() && parse_bool(value) == parse_bool(flag.default))
        };
        match flag.fate {
            Fate::Kubernetes if !values.iter().all(same) => {
                return Err(Refusal::start(format!(
                    "--{}={} belongs to the mode in which flannel keeps its leases in Kubernetes, which is not offered: leave it \
                     out, and name a store with --etcd-endpoints",
                    flag.name,
                    values.join(",")
                )));
            }
            Fate::Ignored => {
                self.notes.push(format!("flag --{} is accepted and has no effect: {}", flag.name, flag.help));
            }
            Fate::Honoured | Fate::Kubernetes => {}
        }
        self.values.insert(flag.name, values);
        Ok(())
    }

    /// The value of a flag.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(values) => values.last().map_or("", String::as_str),
            None => find(name).unwrap_or_else(|| panic!("{name} is not in the table of flags")).default,
        }
    }

    /// All values of a flag that may be repeated.
    pub fn list(&self, name: &str) -> Vec<String> {
        assert!(REPEATED.contains(&name), "{name} is not among the repeated flags");
        let values = self.values.get(name).cloned().unwrap_or_default();
        values.into_iter().filter(|value| !value.is_empty()).collect()
    }

    /// All values that were given, for the state that is shown; secrets are left out.
    pub fn open_values(&self) -> BTreeMap<&'static str, String> {
        let open = self.values.iter().filter(|(name, _)| **name != "etcd-password");
        open.map(|(name, values)| (*name, values.join(","))).collect()
    }
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: flanneld [--FLAG=VALUE]...\n\nFlags, also as FLANNELD_FLAG in the environment, with _ for -:\n",
    );
    for flag in FLAGS {
        let default = if flag.default.is_empty() { String::new() } else { format!(" [{}]", flag.default) };
        let fate = match flag.fate {
            Fate::Honoured => "",
            Fate::Ignored => "No effect. ",
            Fate::Kubernetes => "Refused. ",
        };
        text += &format!("  --{:<30}{fate}{}{default}\n", flag.name, flag.help);
    }
    text + "  --version                       Print the version\n"
}
