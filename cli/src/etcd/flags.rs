//! Every flag of etcd as one table, and how a command line and an environment become settings.
//!
//! The notation is Go's: one dash or two, `-flag value` or `-flag=value`, a boolean alone means true, and the first word
//! that is no flag ends them. A flag of a feature that is not offered yet is known here and accepted at its default, so that
//! an operator is told "not offered yet" instead of "unknown", and nothing that was asked for is ignored in silence.

use super::Refusal;
use crate::golang::{parse_bool, parse_duration};
use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Text,
    Switch,
    Int,
    Duration,
    Urls,
}

/// What is done with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does what it says.
    Honoured,
    /// Any value is accepted: it tunes something that this store does not have.
    Harmless,
    /// Orlop's own, which etcd does not have: for tests that want to see inside, or rare paths to be common.
    Own,
    /// Only its default is accepted for now.
    NotYet,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its value when nothing else says one.
    pub default: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What is done with it.
    pub fate: Fate,
}

macro_rules! flags {
    ($($fate:ident { $($name:literal $takes:ident $default:literal,)* })*) => {
        /// All flags.
        pub const FLAGS: &[Flag] = &[$($(
            Flag { name: $name, default: $default, takes: Takes::$takes, fate: Fate::$fate },
        )*)*];
    };
}

flags! {
    Honoured {
        "name" Text "default",
        "data-dir" Text "",
        "snapshot-catchup-entries" Int "5000",
        "heartbeat-interval" Int "100",
        "election-timeout" Int "1000",
        "listen-peer-urls" Urls "http://localhost:2380",
        "listen-client-urls" Urls "http://localhost:2379",
        "initial-advertise-peer-urls" Urls "http://localhost:2380",
        "advertise-client-urls" Urls "http://localhost:2379",
        "initial-cluster" Text "",
        "initial-cluster-state" Text "new",
        "initial-cluster-token" Text "etcd-cluster",
        "max-txn-ops" Int "128",
        "max-request-bytes" Int "1572864",
        "max-concurrent-streams" Int "4294967295",
        "grpc-keepalive-interval" Duration "2h",
        "grpc-keepalive-timeout" Duration "20s",
        "watch-progress-notify-interval" Duration "10m",
        "experimental-watch-progress-notify-interval" Duration "10m",
        "experimental-initial-corrupt-check" Switch "false",
        "experimental-corrupt-check-time" Duration "0s",
        "corrupt-check-time" Duration "0s",
        "scrub-bytes-per-second" Int "4194304",
        "scrub-interval" Duration "1h",
        "log-level" Text "info",
        "log-format" Text "json",
        "log-outputs" Text "default",
        "logger" Text "zap",
    }
    Own {
        "observations-file" Text "",
        "wal-segment-bytes" Int "67108864",
        "checkpoint-bytes" Int "8388608",
        "overlay-bytes" Int "33554432",
    }
    Harmless {
        "snapshot-count" Int "10000",
        "initial-election-tick-advance" Switch "true",
        "max-snapshots" Int "5",
        "max-wals" Int "5",
        "backend-bbolt-freelist-type" Text "map",
        "backend-batch-interval" Duration "0s",
        "backend-batch-limit" Int "0",
        "grpc-keepalive-min-time" Duration "5s",
        "strict-reconfig-check" Switch "true",
        "enable-grpc-gateway" Switch "true",
        "memory-mlock" Switch "false",
        "experimental-memory-mlock" Switch "false",
        "bcrypt-cost" Int "10",
        "auth-token-ttl" Int "300",
        "self-signed-cert-validity" Int "1",
        "discovery-fallback" Text "exit",
        "warning-apply-duration" Duration "100ms",
        "warning-unary-request-duration" Duration "300ms",
        "experimental-warning-apply-duration" Duration "100ms",
        "experimental-warning-unary-request-duration" Duration "300ms",
        "compaction-batch-limit" Int "1000",
        "compaction-sleep-interval" Duration "10ms",
        "experimental-compaction-batch-limit" Int "1000",
        "experimental-compaction-sleep-interval" Duration "10ms",
        "bootstrap-defrag-threshold-megabytes" Int "0",
        "experimental-bootstrap-defrag-threshold-megabytes" Int "0",
        "experimental-txn-mode-write-with-shared-buffer" Switch "true",
        "experimental-snapshot-catchup-entries" Int "5000",
        "experimental-stop-grpc-service-on-defrag" Switch "false",
        "downgrade-check-time" Duration "5s",
        "experimental-downgrade-check-time" Duration "5s",
        "max-learners" Int "1",
        "experimental-max-learners" Int "1",
        "metrics" Text "basic",
        "v2-deprecation" Text "not-yet",
        "log-rotation-config-json" Text "",
        "proxy-failure-wait" Int "5000",
        "proxy-refresh-interval" Int "30000",
        "proxy-dial-timeout" Int "1000",
        "proxy-write-timeout" Int "5000",
        "proxy-read-timeout" Int "0",
        "distributed-tracing-address" Text "localhost:4317",
        "distributed-tracing-service-name" Text "etcd",
        "distributed-tracing-instance-id" Text "",
        "distributed-tracing-sampling-rate" Int "0",
    }
    NotYet {
        "config-file" Text "",
        "wal-dir" Text "",
        "listen-client-http-urls" Urls "",
        "listen-metrics-urls" Urls "",
        "quota-backend-bytes" Int "0",
        "socket-reuse-port" Switch "false",
        "socket-reuse-address" Switch "false",
        "feature-gates" Text "",
        "pre-vote" Switch "true",
        "auto-compaction-mode" Text "periodic",
        "auto-compaction-retention" Text "0",
        "discovery" Text "",
        "discovery-proxy" Text "",
        "discovery-srv" Text "",
        "discovery-srv-name" Text "",
        "discovery-token" Text "",
        "discovery-endpoints" Text "",
        "force-new-cluster" Switch "false",
        "unsafe-no-fsync" Switch "false",
        "enable-v2" Switch "false",
        "proxy" Text "off",
        "cert-file" Text "",
        "key-file" Text "",
        "client-cert-file" Text "",
        "client-key-file" Text "",
        "client-cert-auth" Switch "false",
        "client-crl-file" Text "",
        "client-cert-allowed-hostname" Text "",
        "trusted-ca-file" Text "",
        "auto-tls" Switch "false",
        "peer-cert-file" Text "",
        "peer-key-file" Text "",
        "peer-client-cert-file" Text "",
        "peer-client-key-file" Text "",
        "peer-client-cert-auth" Switch "false",
        "peer-trusted-ca-file" Text "",
        "peer-crl-file" Text "",
        "peer-auto-tls" Switch "false",
        "peer-cert-allowed-cn" Text "",
        "peer-cert-allowed-hostname" Text "",
        "peer-skip-client-san-verification" Switch "false",
        "experimental-peer-skip-client-san-verification" Switch "false",
        "cipher-suites" Text "",
        "tls-min-version" Text "TLS1.2",
        "tls-max-version" Text "",
        "auth-token" Text "simple",
        "cors" Text "*",
        "host-whitelist" Text "*",
        "enable-pprof" Switch "false",
        "enable-log-rotation" Switch "false",
        "enable-distributed-tracing" Switch "false",
        "experimental-enable-distributed-tracing" Switch "false",
        "experimental-compact-hash-check-enabled" Switch "false",
        "experimental-compact-hash-check-time" Duration "1m",
        "compact-hash-check-time" Duration "1m",
        "experimental-enable-lease-checkpoint" Switch "false",
        "experimental-enable-lease-checkpoint-persist" Switch "false",
        "experimental-enable-v2v3" Text "",
        "experimental-set-member-localaddr" Switch "false",
    }
}

impl Flag {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("ETCD_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// The values that were given; all others are defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    given: BTreeMap<&'static str, String>,
    /// Variables that look like ours and are not.
    pub unknown_variables: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Help,
    Version,
    Run(Settings),
}

impl Settings {
    /// Reads a command line (without the program's name) and an environment.
    pub fn read(args: &[String], environment: &[(String, String)]) -> Result<Asked, Refusal> {
        let mut settings = Settings::default();
        let mut rest = args.iter();
        while let Some(word) = rest.next() {
            let Some(body) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                return Err(Refusal::start(format!("'{word}' is not a valid flag")));
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (body, None),
            };
            match name {
                "h" | "help" => return Ok(Asked::Help),
                "version" => return Ok(Asked::Version),
                "" => return Err(Refusal::usage(format!("bad flag syntax: {word}"))),
                _ => {}
            }
            let flag = FLAGS.iter().find(|flag| flag.name == name);
            let flag =
                flag.ok_or_else(|| Refusal::usage(format!("flag provided but not defined: -{name}")))?;
            let value = match (inline, flag.takes) {
                (Some(value), _) => value,
                (None, Takes::Switch) => "true".to_string(),
                (None, _) => {
                    let next = rest.next().cloned();
                    next.ok_or_else(|| Refusal::usage(format!("flag needs an argument: -{name}")))?
                }
            };
            settings.set(flag, value).map_err(Refusal::usage)?;
        }
        settings.read_environment(environment)?;
        Ok(Asked::Run(settings))
    }

    fn read_environment(&mut self, environment: &[(String, String)]) -> Result<(), Refusal> {
        let by_flags = self.given.clone();
        for (variable, value) in environment.iter().filter(|(variable, _)| variable.starts_with("ETCD_")) {
            let Some(flag) = FLAGS.iter().find(|flag| flag.variable() == *variable) else {
                self.unknown_variables.push(variable.clone());
                continue;
            };
            if value.is_empty() {
                continue;
            }
            if by_flags.contains_key(flag.name) {
                return Err(Refusal::start(format!(
                    "conflicting environment variable {variable} is shadowed by corresponding command-line flag --{} \
                     (either unset environment variable or disable flag)",
                    flag.name
                )));
            }
            self.set(flag, value.clone()).map_err(|_| {
                Refusal::start(format!("invalid value {value:?} for {variable}: {}", expected(flag.takes)))
            })?;
        }
        Ok(())
    }

    /// Sets a flag; the error is the text of Go's flag package.
    fn set(&mut self, flag: &Flag, value: String) -> Result<(), String> {
        let valid = match flag.takes {
            Takes::Text => true,
            Takes::Switch if parse_bool(&value).is_none() => {
                return Err(format!("invalid boolean value {value:?} for -{}: parse error", flag.name));
            }
            Takes::Switch => true,
            Takes::Int => value.parse::<i64>().is_ok(),
            Takes::Duration => parse_duration(&value).is_ok(),
            Takes::Urls => match super::urls::parse_list(&value) {
                Ok(_) => true,
                Err(error) => {
                    return Err(format!("invalid value {value:?} for flag -{}: {error}", flag.name));
                }
            },
        };
        if !valid {
            return Err(format!("invalid value {value:?} for flag -{}: parse error", flag.name));
        }
        self.given.insert(flag.name, value);
        Ok(())
    }

    /// The value of a flag.
    pub fn text(&self, name: &str) -> &str {
        let flag = FLAGS.iter().find(|flag| flag.name == name).expect("asked only for flags of the table");
        self.given.get(name).map_or(flag.default, String::as_str)
    }

    /// Whether a flag was given.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The first flag that asks for something not offered yet.
    pub fn not_yet(&self) -> Option<(&'static Flag, &str)> {
        FLAGS.iter().filter(|flag| flag.fate == Fate::NotYet).find_map(|flag| {
            let value = self.given.get(flag.name)?;
            (!same_value(flag, value)).then_some((flag, value.as_str()))
        })
    }
}

/// Whether `value` means what the default means.
fn same_value(flag: &Flag, value: &str) -> bool {
    match flag.takes {
        Takes::Switch => parse_bool(value) == parse_bool(flag.default),
        Takes::Int => value.parse::<i64>().ok() == flag.default.parse().ok(),
        Takes::Duration => parse_duration(value) == parse_duration(flag.default),
        Takes::Text | Takes::Urls => value == flag.default || value.is_empty(),
    }
}

fn expected(takes: Takes) -> &'static str {
    match takes {
        Takes::Switch => "must be true or false",
        Takes::Int => "must be a whole number",
        Takes::Duration => "must be a duration such as 5s or 1m30s",
        Takes::Text | Takes::Urls => "must be URLs such as http://127.0.0.1:2379, separated by commas",
    }
}

/// The help text: each flag with its default.
pub fn help() -> String {
    let mut out = String::from(
        "Usage:\n\n  etcd [flags]\n    Start an etcd server.\n\n  etcd --version\n    Show the version of etcd.\n\n  \
         etcd -h | --help\n    Show the help information about etcd.\n\nEach flag --a-b can also be set by ETCD_A_B.\n",
    );
    for (fate, title) in [
        (Fate::Honoured, "Flags:"),
        (Fate::Own, "Flags that etcd does not have, for tests of the store itself:"),
        (Fate::Harmless, "Flags that are accepted and have no effect here:"),
        (Fate::NotYet, "Flags that are accepted only at their default for now:"),
    ] {
        out += &format!("\n{title}\n");
        for flag in FLAGS.iter().filter(|flag| flag.fate == fate) {
            out += &format!("  --{} '{}'\n", flag.name, flag.default);
        }
    }
    out
}
