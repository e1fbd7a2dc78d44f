//! Starts a member from its configuration, serves clients, and ends in good order.
//!
//! The order of a start: the client port is taken first (a port in use is the commonest mistake, and nothing has been written
//! then), the data folder is opened, the member joins its peers; clients are served once there is a leader, as etcd does.
//! SIGTERM or SIGINT ends it: calls under way finish, leadership is handed over, a checkpoint is written, exit 0. A second
//! signal does not wait. A member that can no longer keep its promises ends the process at once, with exit 1.

use super::Refusal;
use super::config::EtcdConfig;
use super::urls::Url;
use super::witness::Witness;
use crate::log::Log;
use io_real::ports;
use io_real::server::{self, ClientListener};
use serde_json::json;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use store::{FatalError, Member};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often a starting member is asked whether it knows a leader.
const LEADER_POLL: Duration = Duration::from_millis(5);

/// How often what the member has noted goes to the log.
const NOTES_POLL: Duration = Duration::from_millis(200);

/// Longest wait for a member to come to rest when it stops.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What runs beside a member in its process, and is told how far the member is.
pub trait Companion {
    /// The client port is taken; the data folder is opened next.
    fn bound(&self, _config: &EtcdConfig) {}

    /// Clients are served.
    fn ready(&self, _member: &Member) -> impl Future<Output = ()> {
        async {}
    }

    /// The member is about to stop, and still answers.
    fn ending(&self) -> impl Future<Output = ()> {
        async {}
    }
}

/// Nothing runs beside it.
pub struct Alone;

impl Companion for Alone {}

/// Runs the member to its end.
pub fn run(config: EtcdConfig, log: &Log, companion: impl Companion) -> Result<(), Refusal> {
    log.end_on_panic();
    let runtime = io_real::process::runtime_builder()
        .enable_all()
        .build()
        .map_err(|error| Refusal::start(format!("cannot start threads: {error}")))?;
    runtime.block_on(serve(config, log, companion))
}

async fn serve(config: EtcdConfig, log: &Log, companion: impl Companion) -> Result<(), Refusal> {
    let mut signals = Signals::new()?;
    describe(&config, log);
    let listeners = bind(&config.listen_client).await?;
    companion.bound(&config);
    let member = start(&config).await?;
    tokio::spawn(log_notes(log.clone(), member.clone()));
    log.info("serving peer traffic", json!({ "address": config.member.listen_peer }));
    tokio::select! {
        () = wait_for_leader(&member) => {}
        name = signals.next() => return stop(&config, log, &member, name, signals).await,
        fatal = member.fatal() => end_at_once(log, &member, fatal),
    }
    for url in &config.listen_client {
        let message = "serving client traffic insecurely; this is strongly discouraged!";
        log.info(message, json!({ "address": url.address() }));
    }
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let serving =
        tokio::spawn(server::serve(listeners, Arc::new(member.clone()), config.serve.clone(), shutdown));
    log.info("ready to serve client requests", json!({}));
    notify_ready();
    companion.ready(&member).await;
    let name = tokio::select! {
        name = signals.next() => name,
        fatal = member.fatal() => end_at_once(log, &member, fatal),
    };
    let ending = async {
        companion.ending().await;
        drop(stopping);
        // The server ends by itself within its grace; a panic in it has already ended the process.
        let _ = serving.await;
    };
    tokio::select! {
        () = ending => {}
        _ = signals.next() => return Err(Refusal::start("interrupted while calls under way were finishing")),
        fatal = member.fatal() => end_at_once(log, &member, fatal),
    }
    stop(&config, log, &member, name, signals).await
}

fn describe(config: &EtcdConfig, log: &Log) {
    let this = config.this();
    let texts = |urls: &[Url]| urls.iter().map(Url::to_string).collect::<Vec<_>>();
    let cluster: Vec<String> = (config.member.members.iter())
        .flat_map(|peer| peer.peer_urls.iter().map(move |url| format!("{}={url}", peer.name)))
        .collect();
    log.info(
        "starting an etcd server",
        json!({
            "etcd-version": io_real::served::API_VERSION,
            "orlop-version": env!("CARGO_PKG_VERSION"),
            "name": config.name,
            "data-dir": config.data_dir,
            "local-member-id": format!("{:x}", config.member.member_id),
            "cluster-id": format!("{:x}", config.member.cluster_id),
            "initial-cluster": cluster.join(","),
            "initial-advertise-peer-urls": this.peer_urls,
            "listen-peer-urls": texts(&config.listen_peer),
            "advertise-client-urls": this.client_urls,
            "listen-client-urls": texts(&config.listen_client),
            "heartbeat-interval": crate::golang::format_duration(config.member.tick),
            "election-timeout": crate::golang::format_duration(config.member.election_timeout()),
        }),
    );
}

async fn bind(urls: &[Url]) -> Result<Vec<ClientListener>, Refusal> {
    let mut listeners = Vec::new();
    for url in urls {
        let address = url.address();
        listeners.extend(server::bind(&address).await.map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => "stop the program that listens there, or choose another port",
                ErrorKind::PermissionDenied => "choose a port above 1023",
                _ => "choose an address of this machine",
            };
            Refusal::start(format!(
                "listen tcp {address}: bind: {} (--listen-client-urls={url}: {remedy})",
                plain(&error)
            ))
        })?);
    }
    Ok(listeners)
}

/// The error as the system words it, in lower case and without its number, as etcd prints it.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

async fn start(config: &EtcdConfig) -> Result<Member, Refusal> {
    let dir = config.data_dir.display();
    if config.must_exist && !config.data_dir.join(&config.member.dir).exists() {
        return Err(Refusal::start(format!(
            "--initial-cluster-state=existing, but --data-dir={dir} holds no member: joining a running cluster is not \
             offered yet, use new to start a member of a static cluster"
        )));
    }
    let io = ports::io(&config.data_dir);
    let mut member = config.member.clone();
    if let Some(path) = &config.observations {
        let witness = Witness::open(path).map_err(|error| {
            let path = path.display();
            Refusal::start(format!(
                "--observations-file={path}: {error}: name a file in a folder that exists, or leave it out"
            ))
        })?;
        member.observer = Some(Arc::new(witness));
    }
    Member::start(io, member).await.map_err(|error| {
        let peers = config.listen_peer.iter().map(Url::to_string).collect::<Vec<_>>().join(",");
        Refusal::start(format!("{error} (--data-dir={dir}, --listen-peer-urls={peers})"))
    })
}

/// Logs what the member finds worth telling an operator: damage that was repaired, strangers that were refused.
async fn log_notes(log: Log, member: Member) {
    loop {
        take_notes(&log, &member);
        tokio::time::sleep(NOTES_POLL).await;
    }
}

fn take_notes(log: &Log, member: &Member) {
    member.shared().take_notes().iter().for_each(|note| log.warn(note, json!({})));
}

async fn wait_for_leader(member: &Member) {
    while member.status().leader == 0 {
        tokio::time::sleep(LEADER_POLL).await;
    }
}

async fn stop(
    config: &EtcdConfig,
    log: &Log,
    member: &Member,
    name: &str,
    mut signals: Signals,
) -> Result<(), Refusal> {
    let fields = json!({ "name": config.name, "data-dir": config.data_dir });
    log.info("received signal; shutting down", json!({ "signal": name }));
    log.info("closing etcd server", fields.clone());
    tokio::select! {
        ended = tokio::time::timeout(STOP_LIMIT, member.stop()) => match ended {
            Ok(()) => {
                take_notes(log, member);
                log.info("closed etcd server", fields);
            }
            Err(_) => log.warn("the member did not come to rest in time; it recovers from its log", fields),
        },
        _ = signals.next() => return Err(Refusal::start("interrupted while the member was stopping")),
        fatal = member.fatal() => end_at_once(log, member, fatal),
    }
    Ok(())
}

/// Ends the process without another word to anybody: what is in memory is not to be trusted.
fn end_at_once(log: &Log, member: &Member, fatal: FatalError) -> ! {
    take_notes(log, member);
    log.fatal("the member must end", json!({ "error": fatal.to_string() }));
    std::process::exit(1)
}

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Refusal> {
        let listen = |kind| {
            signal(kind).map_err(|error| Refusal::start(format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one's name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "terminated",
            _ = self.interrupt.recv() => "interrupt",
        }
    }
}

/// Tells systemd, if it started us as a service of type `notify`. Nobody else listens, so a failure means nothing.
pub fn notify_ready() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(b"READY=1", &address);
    }
}
