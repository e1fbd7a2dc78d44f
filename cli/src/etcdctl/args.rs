//! The command line of etcdctl: every command and flag as one table, and how their values are read.
//!
//! Flags behave as etcdctl's do: anywhere on the line, a boolean may be written `--prefix=false`, a value may begin with a
//! dash, and what is wrong is told in the same words with the same exit code. Global flags also come from `ETCDCTL_…`
//! variables; giving both is refused, as etcdctl refuses it, because one of them would be silently ignored.

use super::failure::Failure;
use crate::golang::{parse_bool, parse_duration, parse_int, parse_uint};
use bytes::Bytes;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use io_real::client::Login;
use io_real::tls::{TlsFiles, TlsFlags};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// Global flags that take a value: name, default, help.
const GLOBAL_VALUES: [(&str, &str, &str); 13] = [
    ("endpoints", "127.0.0.1:2379", "gRPC endpoints, separated by commas"),
    ("write-out", "simple", "the output format (fields, json, protobuf, simple, table)"),
    ("dial-timeout", "2s", "dial timeout for client connections"),
    ("command-timeout", "5s", "timeout for short running commands (excluding dial timeout)"),
    ("keepalive-time", "2s", "keepalive time for client connections"),
    ("keepalive-timeout", "6s", "keepalive timeout for client connections"),
    ("user", "", "username[:password] for authentication"),
    ("password", "", "password for authentication"),
    ("cacert", "", "CA bundle that verifies secure servers"),
    ("cert", "", "TLS certificate of this client"),
    ("key", "", "TLS key of this client"),
    ("discovery-srv", "", "domain to query for SRV records of endpoints (not offered yet)"),
    ("discovery-srv-name", "", "service name of that query (not offered yet)"),
];

/// Global booleans: name, default, help.
const GLOBAL_SWITCHES: [(&str, &str, &str); 5] = [
    ("hex", "false", "print byte strings as hex encoded strings"),
    ("debug", "false", "print the settings before the command runs"),
    ("insecure-transport", "true", "disable transport security for client connections"),
    ("insecure-skip-tls-verify", "false", "skip verification of server certificates"),
    ("insecure-discovery", "true", "accept insecure SRV records (no effect without discovery)"),
];

/// Commands of etcdctl that are refused for now.
pub const NOT_YET: [&str; 10] =
    ["auth", "check", "completion", "downgrade", "elect", "lock", "make-mirror", "role", "snapshot", "user"];

/// Sub-commands of `member` that are refused for now.
pub const MEMBER_NOT_YET: [&str; 4] = ["add", "promote", "remove", "update"];

/// The whole command line.
pub fn command() -> Command {
    Command::new("etcdctl")
        .about("A client for any etcd v3 server")
        .disable_version_flag(true)
        .args(GLOBAL_VALUES.map(|(name, default, help)| global(value(name, default, help))))
        .args(GLOBAL_SWITCHES.map(|(name, default, help)| global(switch(name, help).default_value(default))))
        .mut_arg("write-out", |arg| arg.short('w'))
        .mut_arg("discovery-srv", |arg| arg.short('d'))
        .mut_arg("endpoints", |arg| arg.action(ArgAction::Append))
        .subcommands([get(), put(), del(), txn(), watch(), compaction(), version(), defrag(), move_leader()])
        .subcommands([lease(), member(), endpoint(), alarm()])
        .subcommands(NOT_YET.map(refused))
}

/// The commands that a line of a transaction may hold.
pub fn operations() -> Command {
    Command::new("txn").disable_help_subcommand(true).no_binary_name(true).subcommands([get(), put(), del()])
}

/// A `watch` typed into an interactive session.
pub fn watch_line() -> Command {
    watch().disable_help_flag(true).no_binary_name(true)
}

fn get() -> Command {
    Command::new("get").about("Gets the key or a range of keys").arg(positional("key [range_end]")).args([
        value("consistency", "l", "Linearizable(l) or Serializable(s)"),
        value("order", "", "order of results; ASCEND or DESCEND (ASCEND by default)"),
        value("sort-by", "", "sort target; CREATE, KEY, MODIFY, VALUE, or VERSION"),
        value("limit", "0", "maximum number of results"),
        value("rev", "0", "the revision to read at"),
        switch("prefix", "get keys with matching prefix"),
        switch("from-key", "get keys that are greater than or equal to the given key"),
        switch("keys-only", "get only the keys"),
        switch("count-only", "get only the count"),
        switch("print-value-only", "only write values when using the simple output format"),
    ])
}

fn put() -> Command {
    Command::new("put")
        .about("Puts the given key into the store")
        .arg(positional("key <value or standard input>"))
        .args([
            value("lease", "0", "lease ID (in hexadecimal) to attach to the key"),
            switch("prev-kv", "return the previous key-value pair"),
            switch("ignore-value", "update the key using its current value"),
            switch("ignore-lease", "update the key using its current lease"),
        ])
}

fn del() -> Command {
    Command::new("del")
        .about("Removes the key or the keys [key, range_end)")
        .arg(positional("key [range_end]"))
        .args([
            switch("prefix", "delete keys with matching prefix"),
            switch("prev-kv", "return deleted key-value pairs"),
            switch("from-key", "delete keys that are greater than or equal to the given key"),
        ])
}

fn txn() -> Command {
    Command::new("txn")
        .about("Runs one transaction, read from standard input")
        .arg(positional("none"))
        .arg(switch("interactive", "prompt for the three parts").short('i'))
}

fn watch() -> Command {
    Command::new("watch")
        .about("Watches events on keys or prefixes")
        .arg(positional("key [range_end]"))
        .arg(
            Arg::new("exec")
                .last(true)
                .num_args(1..)
                .value_parser(clap::value_parser!(OsString))
                .help("a program to run for each event"),
        )
        .args([
            value("rev", "0", "revision to start watching"),
            switch("prefix", "watch on a prefix"),
            switch("prev-kv", "get the previous key-value pair before each event"),
            switch("progress-notify", "get notes of progress from the server while nothing happens"),
            switch("interactive", "read watch and progress commands from standard input").short('i'),
        ])
}

fn compaction() -> Command {
    Command::new("compaction")
        .about("Compacts the history of events")
        .arg(positional("revision"))
        .arg(switch("physical", "wait until the space was given back to the store"))
}

fn version() -> Command {
    Command::new("version").about("Prints the version of etcdctl").arg(positional("none"))
}

fn defrag() -> Command {
    Command::new("defrag")
        .about("Defragments the members with the given endpoints")
        .arg(positional("none"))
        .arg(cluster())
        .arg(value("data-dir", "", "a data folder to defragment without its member (not offered)"))
}

fn move_leader() -> Command {
    Command::new("move-leader")
        .about("Transfers leadership to another member")
        .arg(positional("transferee-member-id"))
}

fn lease() -> Command {
    Command::new("lease").about("Lease related commands").subcommands([
        Command::new("grant").about("Creates leases").arg(positional("ttl")),
        Command::new("revoke").about("Revokes leases").arg(positional("leaseID")),
        Command::new("timetolive")
            .about("Gets lease information")
            .arg(positional("leaseID"))
            .arg(switch("keys", "get keys attached to this lease")),
        Command::new("list").about("Lists all active leases").arg(positional("none")),
        Command::new("keep-alive")
            .about("Keeps leases alive (renew)")
            .arg(positional("leaseID"))
            .arg(switch("once", "reset the keep-alive time to its original value and exit immediately")),
    ])
}

fn member() -> Command {
    Command::new("member")
        .about("Membership related commands")
        .subcommand(Command::new("list").about("Lists all members in the cluster").arg(positional("none")))
        .subcommands(MEMBER_NOT_YET.map(refused))
}

fn endpoint() -> Command {
    Command::new("endpoint").about("Endpoint related commands").subcommands([
        Command::new("health").about("Checks the health of endpoints").args([positional("none"), cluster()]),
        Command::new("status").about("Prints the status of endpoints").args([positional("none"), cluster()]),
        Command::new("hashkv").about("Prints the hash of the key-value history of endpoints").args([
            positional("none"),
            cluster(),
            value("rev", "0", "the revision to hash up to"),
        ]),
    ])
}

fn alarm() -> Command {
    Command::new("alarm").about("Alarm related commands").subcommands([
        Command::new("list").about("Lists all alarms").arg(positional("none")),
        Command::new("disarm").about("Disarms all alarms").arg(positional("none")),
    ])
}

fn refused(name: &'static str) -> Command {
    Command::new(name)
        .about("Not offered yet")
        .disable_help_subcommand(true)
        .arg(Arg::new("rest").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true).hide(true))
}

fn cluster() -> Arg {
    switch("cluster", "use all endpoints from the cluster's member list")
}

fn global(arg: Arg) -> Arg {
    let name = format!("ETCDCTL_{}", arg.get_id().as_str().to_uppercase().replace('-', "_"));
    arg.global(true).env(name).hide_env_values(true)
}

fn value(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .default_value(default)
        .allow_hyphen_values(true)
        .action(ArgAction::Set)
        .help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .action(ArgAction::Set)
        .hide_default_value(true)
        .help(help)
}

fn positional(shown: &'static str) -> Arg {
    Arg::new("args").num_args(0..).value_name(shown).value_parser(clap::value_parser!(OsString))
}

/// A parsed command line.
pub struct Line<'a>(pub &'a ArgMatches);

impl Line<'_> {
    /// The positional arguments.
    pub fn args(&self) -> Vec<Bytes> {
        let values = self.0.get_many::<OsString>("args").into_iter().flatten();
        values.map(|value| Bytes::copy_from_slice(value.as_bytes())).collect()
    }

    /// The only positional argument as text, or `message`.
    pub fn only_arg(&self, message: &str) -> Result<String, Failure> {
        match &self.args()[..] {
            [one] => Ok(String::from_utf8_lossy(one).into_owned()),
            _ => Err(Failure::arguments(message)),
        }
    }

    /// A flag as it was written.
    pub fn text(&self, name: &str) -> &str {
        self.0.get_one::<String>(name).map_or("", String::as_str)
    }

    /// A boolean.
    pub fn switch(&self, name: &str) -> Result<bool, Failure> {
        let text = self.text(name);
        let error = || format!("strconv.ParseBool: parsing \"{text}\": invalid syntax");
        parse_bool(text).ok_or_else(|| invalid(name, text, &error()))
    }

    /// An integer.
    pub fn int(&self, name: &str) -> Result<i64, Failure> {
        parse_int(self.text(name), 10).map_err(|error| invalid(name, self.text(name), &error))
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Result<Duration, Failure> {
        parse_duration(self.text(name)).map_err(|error| invalid(name, self.text(name), &error))
    }

    /// The endpoints, in the order given.
    pub fn endpoints(&self) -> Vec<String> {
        let values = self.0.get_many::<String>("endpoints").into_iter().flatten();
        values.flat_map(|value| value.split(',')).map(|one| one.trim().to_string()).collect()
    }
}

fn invalid(name: &str, text: &str, why: &str) -> Failure {
    Failure::error(format!("invalid argument \"{text}\" for \"--{name}\" flag: {why}"))
}

/// A lease id in hexadecimal; `what` says whose it is.
pub fn lease_id(text: &str, what: &str) -> Result<i64, Failure> {
    // Ids with the highest bit set are printed as unsigned, so both readings are accepted.
    let parsed =
        parse_int(text, 16).or_else(|error| parse_uint(text, 16).map(|id| id as i64).map_err(|_| error));
    parsed.map_err(|error| Failure::arguments(format!("bad lease ID{what} ({error}), expecting ID in Hex")))
}

/// The settings that only a later version can honour: what is set among them, if anything.
pub fn refuse_unoffered(line: &Line) -> Result<(), Failure> {
    for name in ["discovery-srv", "discovery-srv-name"] {
        if !line.text(name).is_empty() {
            return Err(Failure::feature(format!(
                "--{name} is set, but discovery is not offered yet: name the --endpoints"
            )));
        }
    }
    Ok(())
}

/// Who the client says it is.
pub fn login(line: &Line) -> Result<Option<Login>, Failure> {
    let (user, password) = (line.text("user"), line.text("password"));
    if user.is_empty() {
        return Ok(None);
    }
    let (name, password) = match user.split_once(':') {
        Some((name, written)) if password.is_empty() => (name, written),
        _ if !password.is_empty() => (user, password),
        _ => {
            return Err(Failure::arguments(format!(
                "--user={user} has no password: write --user={user}:PASSWORD, or add --password"
            )));
        }
    };
    Ok(Some(Login { name: name.to_string(), password: password.to_string() }))
}

/// The files that TLS wants.
pub fn tls_files(line: &Line) -> Result<TlsFiles, Failure> {
    let file = |name| Some(line.text(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(TlsFiles {
        authorities: file("cacert"),
        certificate: file("cert"),
        key: file("key"),
        skip_verify: line.switch("insecure-skip-tls-verify")?,
    })
}

/// What etcdctl calls them.
pub const TLS_FLAGS: TlsFlags = TlsFlags { authorities: "--cacert", certificate: "--cert", key: "--key" };

/// A variable of the environment that a flag on the command line shadows.
pub fn shadowed(matches: &ArgMatches, is_set: impl Fn(&str) -> bool) -> Option<String> {
    let names = GLOBAL_VALUES.iter().chain(&GLOBAL_SWITCHES).map(|(name, ..)| *name);
    names
        .filter(|name| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine))
        .map(|name| format!("ETCDCTL_{}", name.to_uppercase().replace('-', "_")))
        .find(|variable| is_set(variable))
}

/// What clap found wrong, in etcdctl's words.
pub fn usage_failure(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    Failure::error(match error.kind() {
        ErrorKind::UnknownArgument if name.starts_with("--") => format!("unknown flag: {name}"),
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            format!("unknown shorthand flag: '{}' in {name}", name.chars().nth(1).unwrap_or('-'))
        }
        ErrorKind::InvalidSubcommand => {
            let name = context(ContextKind::InvalidSubcommand);
            format!("unknown command \"{name}\" for \"etcdctl\"\nRun 'etcdctl --help' for usage.")
        }
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            format!("flag needs an argument: {name}")
        }
        _ => error.to_string().trim_start_matches("error: ").trim_end().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(words: &[&str]) -> Failure {
        let parsed = command().try_get_matches_from(["etcdctl"].iter().chain(words));
        usage_failure(&parsed.expect_err("a wrong command line"))
    }

    #[test]
    fn clap_agrees_with_the_tables() {
        command().debug_assert();
        operations().debug_assert();
        watch_line().debug_assert();
    }

    #[test]
    fn wrong_lines_in_etcdctls_words() {
        assert_eq!(failure(&["get", "--foo"]), Failure::error("unknown flag: --foo"));
        assert_eq!(failure(&["put", "-k", "v"]), Failure::error("unknown shorthand flag: 'k' in -k"));
        assert_eq!(failure(&["get", "a", "--user"]), Failure::error("flag needs an argument: --user"));
        let unknown = "unknown command \"foo\" for \"etcdctl\"\nRun 'etcdctl --help' for usage.";
        assert_eq!(failure(&["foo"]), Failure::error(unknown));
    }

    #[test]
    fn global_flags_stand_anywhere() {
        let line =
            ["etcdctl", "--endpoints=a:1,b:2", "get", "k", "-w", "json", "--endpoints", "c:3", "--hex"];
        let matches = command().try_get_matches_from(line).unwrap();
        let line = Line(matches.subcommand().unwrap().1);
        assert_eq!((line.text("write-out"), line.switch("hex")), ("json", Ok(true)));
        assert!(line.endpoints().contains(&"c:3".to_string()));
    }

    #[test]
    fn a_user_comes_with_a_password() {
        let login = |words: &[&'static str]| {
            let words = ["etcdctl", "get", "k"].iter().chain(words).copied();
            let matches = command().try_get_matches_from(words).unwrap();
            login(&Line(matches.subcommand().unwrap().1))
        };
        let root = |password: &str| Ok(Some(Login { name: "root".into(), password: password.into() }));
        assert_eq!(login(&[]), Ok(None));
        assert_eq!(login(&["--user=root:a:b"]), root("a:b"));
        assert_eq!(login(&["--user=root", "--password=x"]), root("x"));
        assert!(login(&["--user=root"]).unwrap_err().message.contains("--password"));
    }

    #[test]
    fn what_is_not_offered_is_refused_only_when_it_is_set() {
        let check = |word: &'static str| {
            let matches = command().try_get_matches_from(["etcdctl", "get", "k", word]).unwrap();
            refuse_unoffered(&Line(matches.subcommand().unwrap().1))
        };
        assert_eq!(check("--discovery-srv="), Ok(()));
        for word in ["--discovery-srv=d", "--discovery-srv-name=n"] {
            let refused = check(word).expect_err(word);
            assert_eq!(refused.code, 4, "{word}");
            let flag = word.split('=').next().unwrap();
            assert!(
                refused.message.contains(flag) && refused.message.contains("not offered yet"),
                "{}",
                refused.message
            );
        }
    }
}
