//! `orlop node --dev`: one member on this machine without any configuration.
//!
//! It is `orlop etcd` with a data folder of its own and a greeting that says what listens where and what to try first. Where
//! systemd is reachable and this user may drive it, a fleetd runs beside the member, in the same process, and its store is
//! the member itself: no socket is between them. With `--network` a flanneld runs there likewise ([`overlay`]). What this machine or this
//! user cannot have is told in a line, and the rest runs.

mod overlay;

use crate::etcd::config::EtcdConfig;
use crate::etcd::flags::{Asked, Settings};
use crate::etcd::{Refusal, serve};
use crate::flanneld::Parts;
use crate::fleetd::Beside;
use crate::log::Log;
use crate::output::print_line;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Everything on this machine, in one process.
#[derive(Parser)]
#[command(name = "node")]
struct Cli {
    /// One member, no configuration
    #[arg(long)]
    dev: bool,
    /// The data folder [default: $XDG_DATA_HOME/orlop or ~/.local/share/orlop]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Leave systemd alone: run the store only
    #[arg(long)]
    no_fleet: bool,
    /// Join this machine's containers to a network of this range (such as 10.5.0.0/16), by vxlan
    #[arg(long, value_name = "CIDR")]
    network: Option<String>,
    /// Where clients are served
    #[arg(long, default_value = "http://127.0.0.1:2379")]
    listen_client_urls: String,
    /// Where other members would be served
    #[arg(long, default_value = "http://127.0.0.1:2380")]
    listen_peer_urls: String,
    /// Least grave level that is logged
    #[arg(long, default_value = "warn")]
    log_level: String,
}

/// Runs the node. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match run(Cli::parse_from(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("Error: {}", refusal.message);
            ExitCode::from(refusal.code)
        }
    }
}

fn run(cli: Cli) -> Result<(), Refusal> {
    if !cli.dev {
        return Err(Refusal::usage(
            "`orlop node` is offered only with --dev for now; to run members of a cluster use `orlop etcd`",
        ));
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let data_dir = cli.data_dir.clone().or_else(|| default_data_dir(variable)).ok_or_else(|| {
        Refusal::usage("neither XDG_DATA_HOME nor HOME is set: say where the data goes with --data-dir")
    })?;
    let config = configure(&cli, data_dir)?;
    let log = Log::open(&config.log).map_err(Refusal::start)?;
    let network = cli.network.as_deref().map(overlay::configuration).transpose()?;
    let (fleetd, flanneld) = Default::default();
    serve::run(config, &log, Node { log: log.clone(), fleet: !cli.no_fleet, network, fleetd, flanneld })
}

/// The other parts of a node beside its member.
struct Node {
    log: Log,
    fleet: bool,
    network: Option<String>,
    fleetd: tokio::sync::Mutex<Option<Beside>>,
    flanneld: tokio::sync::Mutex<Option<Parts>>,
}

impl Node {
    async fn start_fleet(&self, member: &store::Member) {
        match Beside::start(Arc::new(member.clone()), &self.log).await {
            Ok(fleetd) => {
                print_line(&format!("\nUnits run here: {} fleetctl list-machines", program()));
                *self.fleetd.lock().await = Some(fleetd);
            }
            Err(refusal) => print_line(&format!("\nNo units run here: {}", refusal.message)),
        }
    }

    async fn start_network(&self, member: &store::Member, config: &str) {
        match overlay::start(Arc::new(member.clone()), config, &self.log).await {
            Ok((flanneld, note)) => {
                note.iter().for_each(|note| print_line(&format!("\n{note}")));
                print_line("\nContainers have a network here: /run/flannel/subnet.env says which part of it");
                *self.flanneld.lock().await = Some(flanneld);
            }
            Err(refusal) => print_line(&format!("\nNo network for containers here: {}", refusal.message)),
        }
    }
}

impl serve::Companion for Node {
    fn bound(&self, config: &EtcdConfig) {
        greet(config);
    }

    async fn ready(&self, member: &store::Member) {
        if self.fleet {
            self.start_fleet(member).await;
        }
        if let Some(config) = &self.network {
            self.start_network(member, config).await;
        }
        print_line("\nReady. Stop with Ctrl-C.");
    }

    async fn ending(&self) {
        if let Some(flanneld) = self.flanneld.lock().await.take() {
            flanneld.stop().await;
        }
        if let Some(fleetd) = self.fleetd.lock().await.take() {
            fleetd.stop().await;
        }
    }
}

/// As it was started, so that printed commands work as they stand.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "orlop".to_string())
}

/// The data folder by the XDG rules: a relative XDG_DATA_HOME does not count.
fn default_data_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let xdg = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let base = xdg
        .or_else(|| variable("HOME").filter(|home| home.is_absolute()).map(|home| home.join(".local/share")));
    base.map(|base| base.join("orlop"))
}

fn configure(cli: &Cli, data_dir: PathBuf) -> Result<EtcdConfig, Refusal> {
    let data_dir =
        data_dir.to_str().ok_or_else(|| Refusal::usage("--data-dir must be UTF-8: choose another folder"))?;
    let line = [
        ("data-dir", data_dir),
        ("listen-client-urls", &cli.listen_client_urls),
        ("advertise-client-urls", &cli.listen_client_urls),
        ("listen-peer-urls", &cli.listen_peer_urls),
        ("log-level", &cli.log_level),
        ("log-format", "console"),
    ];
    let line = line.map(|(name, value)| format!("--{name}={value}"));
    match Settings::read(&line, &[])? {
        Asked::Run(settings) => EtcdConfig::new(&settings),
        Asked::Help | Asked::Version => unreachable!("neither is in the line above"),
    }
}

fn greet(config: &EtcdConfig) {
    let program = program();
    let endpoint = config.listen_client[0].address();
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    print_line(&format!(
        "\
orlop {} (etcd API {})

  clients   {}
  peers     {}
  data      {}

Try, in another terminal:

  {program} etcdctl --endpoints {endpoint} put greeting hello
  {program} etcdctl --endpoints {endpoint} get greeting
  {program} etcdctl --endpoints {endpoint} watch --prefix \"\"",
        env!("CARGO_PKG_VERSION"),
        io_real::served::API_VERSION,
        config.listen_client[0],
        config.listen_peer[0],
        data_dir.display(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(args: &[&str]) -> Result<EtcdConfig, Refusal> {
        let cli = Cli::try_parse_from(["node", "--dev"].iter().chain(args)).expect("flags of the node");
        configure(&cli, PathBuf::from("/tmp/orlop"))
    }

    #[test]
    fn one_member_on_etcds_ports() {
        let config = configured(&[]).unwrap();
        assert_eq!(config.listen_client[0].address(), "127.0.0.1:2379");
        assert_eq!(config.member.listen_peer, "127.0.0.1:2380");
        assert_eq!(config.member.members.len(), 1);
        assert_eq!(config.this().client_urls, ["http://127.0.0.1:2379"]);
        let bad = configured(&["--listen-client-urls", "127.0.0.1:1"]).err().unwrap();
        assert!(bad.message.contains("-listen-client-urls"), "{}", bad.message);
    }

    #[test]
    fn a_network_is_checked_before_anything_starts() {
        let text = overlay::configuration("10.5.0.0/16").unwrap();
        assert_eq!(text, r#"{"Backend":{"Type":"vxlan"},"Network":"10.5.0.0/16"}"#);
        let refused = overlay::configuration("10.5.0.0").unwrap_err();
        assert!(refused.message.contains("--network=10.5.0.0"), "{}", refused.message);
    }

    #[test]
    fn data_goes_where_xdg_says() {
        let given = |xdg: Option<&str>, home: Option<&str>| {
            let (xdg, home) = (xdg.map(PathBuf::from), home.map(PathBuf::from));
            default_data_dir(move |name| if name == "HOME" { home.clone() } else { xdg.clone() })
        };
        assert_eq!(given(Some("/data"), Some("/home/u")), Some("/data/orlop".into()));
        assert_eq!(given(Some("data"), Some("/home/u")), Some("/home/u/.local/share/orlop".into()));
        assert_eq!(given(None, Some("/home/u")), Some("/home/u/.local/share/orlop".into()));
        assert_eq!(given(None, None), None);
    }
}
