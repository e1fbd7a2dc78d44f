//! Runs fleetd to its end.
//!
//! The order of a start: the lock, the sockets (so that a mistake is told before anything is touched), the store's client, systemd,
//! then agent and engine; neither needs the store to be there yet. SIGTERM or SIGINT ends it and leaves units running; a second
//! signal does not wait. SIGUSR1 prints the state as JSON on standard output. SIGHUP reads the configuration, the tokens and
//! the certificates again: what is wrong there is logged and changes nothing.

use super::config::FleetdConfig;
use super::machine;
use super::options::{CommandLine, Settings};
use super::parts::{Front, Identity, Parts, Ways, connect};
use crate::etcd::Refusal;
use crate::lock;
use crate::log::Log;
use crate::output::print_line;
use io_real::client::{self, Client};
use io_real::fleet::figures::Figures;
use io_real::fleet::{EdgeError, Listener, Options, TlsServer, Tokens, serve};
use kernel::Kv;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Longest wait for requests under way when fleetd stops.
const GRACE: Duration = Duration::from_secs(5);

/// Longest wait for an answer of the store, as a part of agent_ttl: a little less than from one keep-alive to the next, so that the client
/// turns to another member before the agent gives the call up.
const ASKING: f64 = 0.3;

/// How often what the agent is about is looked at for the log.
const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Reads the configuration again, with the settings it was made of.
pub type Reload = Box<dyn Fn() -> Result<(FleetdConfig, Value), Refusal>>;

/// Runs it.
pub fn run(config: FleetdConfig, settings: Value, reload: Reload, log: &Log) -> Result<(), Refusal> {
    log.end_on_panic();
    // One thread is plenty for one machine's units, and each further one would cost memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::start(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(Daemon::serve(config, settings, reload, log))
}

impl From<EdgeError> for Refusal {
    fn from(error: EdgeError) -> Refusal {
        Refusal::start(error.to_string())
    }
}

/// A fleetd in a process that has a store of its own: no signals, no reload, no TCP.
pub struct Beside {
    front: Arc<Front>,
    stop: tokio::sync::oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<()>,
    watching: tokio::task::JoinHandle<()>,
    _lock: std::fs::File,
}

impl Beside {
    /// Starts it with the defaults of every option, over this store.
    pub async fn start(kv: Arc<dyn Kv>, log: &Log) -> Result<Beside, Refusal> {
        let settings = Settings::assemble("", &[], &CommandLine::default())?;
        let config = FleetdConfig::new(&settings)?;
        let lock = lock::take("fleetd", "state_directory", &config.state_directory)?;
        let id = machine::id(&config.machine_id_file)?;
        let identity = Identity { id, instance: machine::instance(&config.state_directory)? };
        let listener = Listener::unix(&config.api.socket)?;
        let io = io_real::ports::io(&config.state_directory);
        let ways = Ways { kv, systemd: connect(&config).await? };
        let parts = Parts::start(&config, &identity, ways, io, None);
        let front = Arc::new(Front::new(parts));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let options = edge(&front, None, None);
        let serving = tokio::spawn(serve(vec![listener], front.clone(), options, shutdown));
        let watching = tokio::spawn(watch_status(log.clone(), front.clone()));
        Ok(Beside { front, stop, serving, watching, _lock: lock })
    }

    /// Ends it; units run on.
    pub async fn stop(self) {
        drop(self.stop);
        self.front.stop().await;
        // The server ends by itself within its grace; a panic in it has already ended the process.
        let _ = self.serving.await;
        self.watching.abort();
    }
}

fn edge(front: &Arc<Front>, tokens: Option<Tokens>, tls: Option<TlsServer>) -> Options {
    let front = front.clone();
    let figures = Figures::new(Arc::new(move || front.parts().figures()));
    Options { version: env!("CARGO_PKG_VERSION").into(), tokens, tls, figures, grace: GRACE }
}

/// A fleetd that runs.
struct Daemon<'a> {
    config: FleetdConfig,
    settings: Value,
    reload: Reload,
    log: &'a Log,
    identity: Identity,
    front: Arc<Front>,
    tokens: Option<Tokens>,
    tls: Option<TlsServer>,
}

impl Daemon<'_> {
    async fn serve(config: FleetdConfig, settings: Value, reload: Reload, log: &Log) -> Result<(), Refusal> {
        let mut signals = Signals::new()?;
        let _lock = lock::take("fleetd", "state_directory", &config.state_directory)?;
        let id = machine::id(&config.machine_id_file)?;
        let identity = Identity { id, instance: machine::instance(&config.state_directory)? };
        let listeners = listen(&config)?;
        let tokens = config.api.tokens.as_deref().map(Tokens::read).transpose()?;
        let tls = config.api.tls.as_ref().map(TlsServer::read).transpose()?;
        let parts = start(&config, &identity, ways(&config, &identity).await?, tokens.clone());
        log.info("starting fleetd", describe(&config, &parts, &listeners));
        let front = Arc::new(Front::new(parts));
        let daemon = Daemon { config, settings, reload, log, identity, front, tokens, tls };
        daemon.run(listeners, &mut signals).await
    }

    async fn run(mut self, listeners: Vec<Listener>, signals: &mut Signals) -> Result<(), Refusal> {
        let watching = tokio::spawn(watch_status(self.log.clone(), self.front.clone()));
        let trimming = tokio::spawn(io_real::trim::keep_small());
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let options = edge(&self.front, self.tokens.clone(), self.tls.clone());
        let serving = tokio::spawn(serve(listeners, self.front.clone(), options, shutdown));
        crate::etcd::serve::notify_ready();
        let name = loop {
            match signals.next().await {
                Asked::Dump => print_line(&self.front.parts().state(self.settings.clone()).to_string()),
                Asked::Reload => self.reload().await,
                Asked::End(name) => break name,
            }
        };
        self.log.info("received signal; shutting down, units run on", json!({ "signal": name }));
        drop(stopping);
        let ending = async {
            // The engine and the agent first: what they say last still goes to the store.
            self.front.stop().await;
            // The server ends by itself within its grace; a panic in it has already ended the process.
            let _ = serving.await;
        };
        tokio::select! {
            () = ending => {}
            () = signals.end() => return Err(Refusal::start("interrupted while fleetd was stopping")),
        }
        watching.abort();
        trimming.abort();
        self.log.info("fleetd has ended", json!({}));
        Ok(())
    }

    async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(what) => self.log.info("configuration read again", json!({ "changed": what })),
            Err(refusal) => {
                let error = json!({ "error": refusal.message });
                self.log.warn("configuration read again, and not taken: what ran before runs on", error);
            }
        }
    }

    /// Takes what has changed. Sockets stay as they are: another address needs a restart, and is told.
    async fn try_reload(&mut self) -> Result<&'static str, Refusal> {
        let (config, settings) = (self.reload)()?;
        let (old, new) = (&self.config.api, &config.api);
        let edge = |api: &super::config::ApiSettings| {
            (api.socket.clone(), api.listen.clone(), api.tokens.is_some(), api.tls.is_some())
        };
        if edge(old) != edge(new) {
            return Err(Refusal::start(
                "api_socket, api_listen, and whether there are tokens or TLS, change with a restart only: units are not \
                 disturbed by one",
            ));
        }
        if let (Some(tokens), Some(path)) = (&self.tokens, &new.tokens) {
            tokens.read_again(path)?;
        }
        if let (Some(tls), Some(files)) = (&self.tls, &new.tls) {
            tls.read_again(files)?;
        }
        if config == self.config {
            return Ok("tokens and certificates");
        }
        // A configuration that cannot work must not take down what does, so its ways are made first.
        let ways = ways(&config, &self.identity).await?;
        self.front.stop().await;
        self.front.replace(start(&config, &self.identity, ways, self.tokens.clone()));
        (self.config, self.settings) = (config, settings);
        Ok("agent and engine were started anew")
    }
}

/// Makes the sockets: those that systemd passed, or the unix socket; and the TCP ports.
fn listen(config: &FleetdConfig) -> Result<Vec<Listener>, Refusal> {
    let mut listeners = Listener::passed()?;
    if listeners.is_empty() {
        listeners.push(Listener::unix(&config.api.socket)?);
    }
    for address in &config.api.listen {
        config.api.check_exposure(*address)?;
        listeners.push(Listener::tcp(*address)?);
    }
    for address in listeners.iter().filter_map(Listener::address) {
        config.api.check_exposure(address)?;
    }
    Ok(listeners)
}

/// The ways to the store that the configuration names, and to systemd.
async fn ways(config: &FleetdConfig, identity: &Identity) -> Result<Ways, Refusal> {
    // A member that does not answer a keep-alive is left before the next one is due.
    let limit = config.request_timeout.min(config.agent_ttl.mul_f64(ASKING));
    let options = client::Options {
        dial_timeout: limit,
        command_timeout: Some(limit),
        first: client::nearest(&config.servers, identity.id.as_str()),
        moves_whole: true,
        ..client::Options::default()
    };
    let options = config.security.apply(options).map_err(Refusal::start)?;
    let client = Client::connect(config.servers.clone(), options)
        .await
        .map_err(|error| Refusal::start(format!("etcd_servers={}: {error}", config.servers.join(","))))?;
    Ok(Ways { kv: Arc::new(client), systemd: connect(config).await? })
}

fn start(config: &FleetdConfig, identity: &Identity, ways: Ways, tokens: Option<Tokens>) -> Parts {
    Parts::start(config, identity, ways, io_real::ports::io(&config.state_directory), tokens)
}

fn describe(config: &FleetdConfig, parts: &Parts, listeners: &[Listener]) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "machine-id": parts.machine.id,
        "public-ip": parts.machine.primary_ip,
        "metadata": parts.machine.metadata,
        "etcd-servers": config.servers,
        "etcd-key-prefix": config.prefix,
        "agent-ttl": crate::golang::format_duration(config.agent_ttl),
        "engine": config.engine,
        "units-directory": config.units_directory,
        "api": listeners.iter().map(Listener::place).collect::<Vec<_>>(),
    })
}

/// Logs what the agent is about, and which units trouble it, whenever that changes.
async fn watch_status(log: Log, front: Arc<Front>) {
    let (mut summary, mut troubles) = (String::new(), BTreeMap::new());
    loop {
        if let Some(status) = front.parts().fleetd.agent() {
            if status.summary != summary {
                log.info(
                    "agent",
                    json!({ "state": status.summary, "units": status.units, "lease": status.lease }),
                );
            }
            for (unit, trouble) in
                status.troubles.iter().filter(|(unit, text)| troubles.get(*unit) != Some(*text))
            {
                log.warn("unit in trouble", json!({ "unit": unit, "trouble": trouble }));
            }
            if !status.jobs.is_empty() {
                log.debug("jobs under way", json!(status.jobs));
            }
            (summary, troubles) = (status.summary, status.troubles);
        }
        tokio::time::sleep(STATUS_PERIOD).await;
    }
}

/// What a signal asks for.
enum Asked {
    Dump,
    Reload,
    End(&'static str),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    dump: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Refusal> {
        let listen = |kind| {
            signal(kind).map_err(|error| Refusal::start(format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            dump: listen(SignalKind::user_defined1())?,
            reload: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("terminated"),
            _ = self.interrupt.recv() => Asked::End("interrupt"),
            _ = self.dump.recv() => Asked::Dump,
            _ = self.reload.recv() => Asked::Reload,
        }
    }

    /// Waits for one that asks for an end.
    async fn end(&mut self) {
        while !matches!(self.next().await, Asked::End(_)) {}
    }
}
