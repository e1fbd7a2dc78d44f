//! Listens on the client port: HTTP/2 for gRPC and HTTP/1 for plain pages on one socket, told apart by the first bytes.
//!
//! A stop goes in three steps: no new connections; streams are told and calls under way may finish; after a bounded time
//! what is still open is cut.

use crate::front::Front;
use crate::lively::Lively;
use crate::served::Served;
use crate::stopping::{Stopping, stopping};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a message may have beyond the request that it carries.
const OVERHEAD_BYTES: usize = 512 << 10;

/// Receive windows of a stream and of a connection, in bytes: a request of the largest size should not wait for the window.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Wait after a connection could not be accepted, which is mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Limits of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Largest request, in bytes.
    pub max_request_bytes: usize,
    /// Calls and streams that one connection may have open.
    pub max_concurrent_streams: u32,
    /// Silence after which a connection is probed.
    pub keep_alive_interval: Duration,
    /// Longest wait for the answer to a probe until the connection is given up.
    pub keep_alive_timeout: Duration,
    /// Longest wait for calls under way when the server stops.
    pub grace: Duration,
    /// Stay awake for a moment after each answer, where the runtime has one thread: for a member without others, whose
    /// clients wait for nothing else.
    pub lively: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_request_bytes: 1_572_864,
            max_concurrent_streams: u32::MAX,
            keep_alive_interval: Duration::from_secs(7_200),
            keep_alive_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(5),
            lively: false,
        }
    }
}

/// Listens at `address` ("host:port"; every address that the name has).
pub async fn bind(address: &str) -> io::Result<Vec<ClientListener>> {
    let mut listeners = Vec::new();
    for address in tokio::net::lookup_host(address).await? {
        listeners.push(ClientListener(TcpListener::bind(address).await?));
    }
    Ok(listeners)
}

/// A socket that listens for clients.
pub struct ClientListener(TcpListener);

impl ClientListener {
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves `member` on every listener until `shutdown` is ready, then ends in order and returns.
pub async fn serve(
    listeners: Vec<ClientListener>,
    member: Arc<dyn Served>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = stopping();
    let one_thread = tokio::runtime::Handle::current().metrics().num_workers() == 1;
    let lively = (options.lively && one_thread).then(Lively::default);
    let limit = options.max_request_bytes + OVERHEAD_BYTES;
    let front = Front::new(member, limit, stopping.clone(), lively.clone());
    let connections = Connections { front, protocol: Arc::new(protocol(&options)), stopping };
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(connections.clone().accept(listener.0));
    }
    drop(connections);
    match lively {
        Some(lively) => tokio::select! { () = shutdown => {}, () = lively.keep() => {} },
        None => shutdown.await,
    }
    stop.say();
    let all_ended = async { while accepting.join_next().await.is_some() {} };
    // Beyond the grace dropping the set cuts what is left.
    let _ = tokio::time::timeout(options.grace, all_ended).await;
}

fn protocol(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout);
    protocol.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    protocol
}

/// What each connection gets.
#[derive(Clone)]
struct Connections {
    front: Front,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    stopping: Stopping,
}

impl Connections {
    /// Takes connections until the stop, then waits for them. Dropping it cuts them all.
    async fn accept(self, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((tcp, _)) => {
                        open.spawn(self.clone().run(tcp));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
                },
                Some(_) = open.join_next() => {}
                () = stopping.wait() => break,
            }
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }

    async fn run(self, tcp: TcpStream) {
        // Small answers must not wait for the next ones; a socket without the option works too, only slower.
        let _ = tcp.set_nodelay(true);
        let mut stopping = self.stopping.clone();
        let mut connection = pin!(self.protocol.serve_connection(TokioIo::new(tcp), self.front.clone()));
        tokio::select! {
            // Its end is the client's affair: it has gone, or did not speak HTTP.
            _ = connection.as_mut() => return,
            () = stopping.wait() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}
