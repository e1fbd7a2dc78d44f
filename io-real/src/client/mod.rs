//! A client of any etcd v3 server.
//!
//! Calls are spread over a fixed number of connections, each of which knows every endpoint and stays with one until it
//! fails. Connecting happens before sending, so a call tries one endpoint after the other until one takes the connection,
//! and an endpoint that is down costs nothing but the attempt. Once a request may have left, only reads are sent again:
//! whether a write was applied is then the caller's to find out ([`KvError::is_definite`]).

mod admin;
mod calls;
mod link;
mod streams;

pub use streams::KeepAliveStream;

use crate::grpc::status::into_error;
use crate::tls::{TlsFiles, TlsFlags, client_config};
use kernel::{Code, KvError};
use link::{Endpoint, Link, Wire};
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tonic::Status;

/// Who a client says it is, to a server that asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:(not shown)", self.name)
    }
}

/// How a client connects and how long it waits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest wait for one connection to be made.
    pub dial_timeout: Duration,
    /// Longest wait for the answer of a call, connecting included; `None` waits for ever. Streams have no limit.
    pub command_timeout: Option<Duration>,
    /// Connections, at least 1. Calls take turns.
    pub connections: usize,
    /// The endpoint, by its place in the list, that is tried first; beyond the end it begins anew. Many clients of one cluster
    /// differ in it, so that not all of them hang on one member.
    pub first: usize,
    /// Whether everything moves on when calls do: an endpoint that a call waited for in vain may be on a machine without power, which
    /// says no farewell, and a watch on the same connection would be deaf until it is probed.
    pub moves_whole: bool,
    /// Silence after which a connection with calls under way is probed. Servers of etcd refuse less than 5 s.
    pub keep_alive_time: Duration,
    /// Longest wait for the answer to a probe until the connection counts as lost.
    pub keep_alive_timeout: Duration,
    /// TLS, for endpoints with `https://` and for those without a scheme; none means, for the first, the authorities of the system
    /// and no certificate, and for the others no TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Who logs in on each connection.
    pub login: Option<Login>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            dial_timeout: Duration::from_secs(2),
            command_timeout: Some(Duration::from_secs(5)),
            connections: 1,
            first: 0,
            moves_whole: false,
            keep_alive_time: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(6),
            tls: None,
            login: None,
        }
    }
}

impl Options {
    /// With TLS from these files, if there is any; `flags` is what they are called where they are set.
    ///
    /// # Errors
    /// A text that names the flag and the file.
    pub fn secured(mut self, files: &TlsFiles, flags: TlsFlags) -> Result<Options, String> {
        if *files != TlsFiles::default() {
            self.tls = Some(client_config(files, flags)?);
        }
        Ok(self)
    }
}

/// Which of these endpoints to try first ([`Options::first`]): one on this machine, which dies with whoever asks it and with nobody
/// else; otherwise one by `seed`, so that clients with different seeds spread. Only endpoints that name an address are known to
/// be here.
pub fn nearest(endpoints: &[String], seed: &str) -> usize {
    let is_here = |text: &String| {
        let endpoint = Endpoint::parse(text, false).ok();
        let host = endpoint.as_ref().and_then(|endpoint| endpoint.origin.host());
        let address: Option<IpAddr> = host.and_then(|host| host.trim_matches(['[', ']']).parse().ok());
        // Only an address of this machine can be bound to.
        address.is_some_and(|address| UdpSocket::bind((address, 0)).is_ok())
    };
    let spread = || crc32fast::hash(seed.as_bytes()) as usize % endpoints.len().max(1);
    endpoints.iter().position(is_here).unwrap_or_else(spread)
}

/// A client. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    slots: Vec<Slot>,
    turn: AtomicUsize,
    command_timeout: Option<Duration>,
}

/// One connection at a time, to any of the endpoints.
struct Slot {
    links: Vec<Link>,
    current: AtomicUsize,
    moves_whole: bool,
}

impl Client {
    /// A client of the servers at `endpoints` ("host:port", "http://host:port" or "https://host:port"). Connections are made when
    /// they are first needed; the only errors here are an endpoint that cannot be understood, and TLS without an authority.
    pub async fn connect(endpoints: Vec<String>, mut options: Options) -> Result<Client, KvError> {
        if endpoints.is_empty() {
            return Err(KvError::new(
                Code::InvalidArgument,
                "no endpoint given: name at least one as host:port",
            ));
        }
        let tls = options.tls.is_some();
        let endpoints =
            endpoints.iter().map(|text| Endpoint::parse(text, tls)).collect::<Result<Vec<_>, _>>()?;
        if endpoints.iter().any(|endpoint| endpoint.tls) {
            options.tls = Some(link::tls(options.tls.as_ref())?);
        }
        let slots = (0..options.connections.max(1)).map(|number| Slot {
            links: endpoints.iter().map(|endpoint| Link::new(endpoint.clone(), &options)).collect(),
            current: AtomicUsize::new((options.first + number) % endpoints.len()),
            moves_whole: options.moves_whole,
        });
        let slots = slots.collect();
        let shared = Shared { slots, turn: AtomicUsize::new(0), command_timeout: options.command_timeout };
        Ok(Client { shared: Arc::new(shared) })
    }

    /// Connects every connection now, so that a measurement does not contain it. The error of the first that cannot.
    pub async fn warm_up(&self) -> Result<(), KvError> {
        for slot in &self.shared.slots {
            slot.connect().await?;
        }
        Ok(())
    }

    /// The endpoints, as "host:port", in the order given.
    pub fn endpoints(&self) -> Vec<&str> {
        self.shared.slots[0].links.iter().map(|link| link.endpoint.address.as_str()).collect()
    }

    /// The connection whose turn it is.
    fn slot(&self) -> &Slot {
        let slots = &self.shared.slots;
        match slots.as_slice() {
            [only] => only,
            several => &several[self.shared.turn.fetch_add(1, Relaxed) % several.len()],
        }
    }

    /// A call that may change something: sent once, over the first connection that can be made.
    async fn once<T, F>(&self, send: impl FnOnce(Wire) -> F) -> Result<T, KvError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let slot = self.slot();
        let calling = async {
            let wire = slot.wire().await?;
            send(wire).await.map(tonic::Response::into_inner).map_err(|status| slot.heard(into_error(status)))
        };
        self.limited(slot, calling).await
    }

    /// A call that only reads: asks the other endpoints too before it reports that one is unavailable.
    async fn repeat<T, F>(&self, send: impl Fn(Wire) -> F) -> Result<T, KvError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let slot = self.slot();
        let calling = async {
            // A single endpoint gets a second chance too: the connection may have been one that the server just closed.
            for _ in 1..slot.links.len().max(2) {
                let wire = slot.wire().await?;
                let asked = slot.current.load(Relaxed);
                match send(wire).await.map_err(into_error) {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(error) if error.code == Code::Unavailable => slot.turn_away(asked),
                    Err(error) if error.code == Code::Unauthenticated => drop(slot.heard(error)),
                    Err(error) => return Err(error),
                }
            }
            let wire = slot.wire().await?;
            send(wire).await.map(tonic::Response::into_inner).map_err(|status| slot.heard(into_error(status)))
        };
        self.limited(slot, calling).await
    }

    async fn limited<T>(
        &self,
        slot: &Slot,
        calling: impl Future<Output = Result<T, KvError>>,
    ) -> Result<T, KvError> {
        let Some(limit) = self.shared.command_timeout else {
            return calling.await;
        };
        let asked = slot.current.load(Relaxed);
        match tokio::time::timeout(limit, calling).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // Who does not answer may hang: the next call asks somebody else.
                slot.turn_away(asked);
                Err(KvError::new(Code::DeadlineExceeded, "context deadline exceeded"))
            }
        }
    }
}

impl Slot {
    /// As [`Slot::connect`]. To a call it does not matter why there is no connection: it may be made when the store has come to itself.
    async fn wire(&self) -> Result<Wire, KvError> {
        self.connect().await.map_err(|error| KvError::new(Code::Unavailable, error.message))
    }

    /// A live connection to the current endpoint, or to the first after it that takes one. The code of the error is that of a server
    /// that refused the login, if any did.
    async fn connect(&self) -> Result<Wire, KvError> {
        let mut failures: Vec<String> = Vec::new();
        let mut code = Code::Unavailable;
        for _ in 0..self.links.len() {
            let current = self.current.load(Relaxed);
            match self.links[current].wire().await {
                Ok(wire) => return Ok(wire),
                Err(error) => {
                    failures.push(error.message);
                    code = if code == Code::Unavailable { error.code } else { code };
                }
            }
            // Only if no other call has moved on already.
            let next = (current + 1) % self.links.len();
            let _ = self.current.compare_exchange(current, next, Relaxed, Relaxed);
        }
        Err(KvError::new(code, failures.join("; ")))
    }

    /// A server that knows our token no more gets another login with the next call.
    fn heard(&self, error: KvError) -> KvError {
        if error.code == Code::Unauthenticated {
            self.links.iter().for_each(Link::forget);
        }
        error
    }

    /// Tries the endpoint after this one first from now on, unless another call has moved on already.
    fn turn_away(&self, from: usize) {
        let next = (from + 1) % self.links.len();
        let moved = self.current.compare_exchange(from, next, Relaxed, Relaxed).is_ok();
        if moved && self.moves_whole && next != from {
            self.links[from].cut();
        }
    }
}
