//! One connection to one endpoint: dialled when it is first needed, and again when it was lost.
//!
//! A call takes a [`Wire`], a cheap clone of the live connection; calls share it, HTTP/2 keeps them apart. Only one task
//! dials at a time, the others wait for its result. Where there is a login, the first call on a connection is that one, and it
//! is done again before the token can have grown too old; every other call carries the token.

use crate::client::calls::stub;
use crate::client::{Login, Options};
use crate::grpc::status::{into_error, root};
use crate::grpc::stubs::auth_client::AuthClient;
use crate::tls::{TlsFiles, TlsFlags, client_config};
use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use kernel::{BoxFuture, Code, KvError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::body::Body;

/// Receive windows of a stream and of a connection, in bytes: large ranges and watches should not wait for the window.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 5 << 20;

/// How long a token is used. etcd lets one die that was not used for five minutes.
const TOKEN_AGE: Duration = Duration::from_secs(120);

/// TLS for HTTP/2: as given, or with the authorities of the system.
pub(super) fn tls(given: Option<&Arc<ClientConfig>>) -> Result<Arc<ClientConfig>, KvError> {
    const FLAGS: TlsFlags = TlsFlags { authorities: "an authority", certificate: "certificate", key: "key" };
    let config = match given {
        Some(config) => config.clone(),
        None => client_config(&TlsFiles::default(), FLAGS)
            .map_err(|why| KvError::new(Code::InvalidArgument, why))?,
    };
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// "host:port".
    pub address: String,
    /// The same as the origin of requests.
    pub origin: Uri,
    /// Whether it wants TLS.
    pub tls: bool,
}

impl Endpoint {
    /// Reads "host:port", "http://host:port" or "https://host:port"; `tls` is for the first.
    pub fn parse(text: &str, tls: bool) -> Result<Endpoint, KvError> {
        let wrong = |why: &str| KvError::new(Code::InvalidArgument, format!("endpoint {text:?}: {why}"));
        if text.starts_with("unix:") || text.starts_with("unixs:") {
            return Err(wrong("unix sockets are not offered, give host:port"));
        }
        let (tls, address) = match text.split_once("://") {
            Some(("https", address)) => (true, address),
            Some(("http", address)) => (false, address),
            _ => (tls, text),
        };
        let address = address.trim_end_matches('/');
        let scheme = if tls { "https" } else { "http" };
        let origin = Uri::builder().scheme(scheme).authority(address).path_and_query("/").build();
        let origin = origin.map_err(|_| wrong("not of the form host:port"))?;
        if origin.host().is_none_or(str::is_empty) || origin.port_u16().is_none() {
            return Err(wrong("not of the form host:port"));
        }
        Ok(Endpoint { address: address.to_string(), origin, tls })
    }
}

/// A connection that is there, and what its calls carry.
#[derive(Clone)]
struct Live {
    sender: SendRequest<Body>,
    /// The token, and when it was given.
    token: Option<(http::HeaderValue, Instant)>,
    /// The task that carries it.
    carrier: Carrier,
}

/// Runs what hyper spawns for one connection, and remembers the first of it: the task that reads and writes the socket. The
/// connection's own future only hands requests to that one, so that ending it alone ends no stream.
#[derive(Clone, Default)]
struct Carrier(Arc<OnceLock<AbortHandle>>);

impl<F> hyper::rt::Executor<F> for Carrier
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let spawned = tokio::spawn(task).abort_handle();
        self.0.get_or_init(|| spawned);
    }
}

impl Carrier {
    /// Ends the connection, with all calls and streams on it.
    fn end(&self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

/// A connection that is there or can be made.
pub(super) struct Link {
    pub endpoint: Endpoint,
    live: Mutex<Option<Live>>,
    dialing: tokio::sync::Mutex<()>,
    dial_timeout: Duration,
    tls: Option<Arc<ClientConfig>>,
    login: Option<Login>,
    keep_alive_time: Duration,
    keep_alive_timeout: Duration,
}

impl Link {
    pub fn new(endpoint: Endpoint, options: &Options) -> Link {
        let endpoint_tls = options.tls.clone().filter(|_| endpoint.tls);
        Link {
            endpoint,
            live: Mutex::new(None),
            dialing: tokio::sync::Mutex::new(()),
            dial_timeout: options.dial_timeout,
            tls: endpoint_tls,
            login: options.login.clone(),
            keep_alive_time: options.keep_alive_time,
            keep_alive_timeout: options.keep_alive_timeout,
        }
    }

    /// The live connection, dialled if there is none. An error means that nothing was sent.
    pub async fn wire(&self) -> Result<Wire, KvError> {
        if let Some(wire) = self.live_wire() {
            return Ok(wire);
        }
        let _only_one = self.dialing.lock().await;
        if let Some(wire) = self.live_wire() {
            return Ok(wire);
        }
        let failed = |why: String| {
            KvError::new(Code::Unavailable, format!("cannot connect to {}: {why}", self.endpoint.address))
        };
        let (sender, carrier) = match tokio::time::timeout(self.dial_timeout, self.dial()).await {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(why)) => return Err(failed(why)),
            Err(_) => return Err(failed(format!("no answer within {:?}", self.dial_timeout))),
        };
        let token = match &self.login {
            Some(login) => Some((self.log_in(login, sender.clone()).await?, Instant::now())),
            None => None,
        };
        let live = Live { sender, token, carrier };
        *self.live.lock().expect("no holder panics") = Some(live.clone());
        Ok(self.over(live))
    }

    /// Takes another connection, and logs in again, for the next call.
    pub fn forget(&self) {
        self.live.lock().expect("no holder panics").take();
    }

    /// Ends the connection, with all calls and streams on it.
    pub fn cut(&self) {
        if let Some(live) = self.live.lock().expect("no holder panics").take() {
            live.carrier.end();
        }
    }

    fn live_wire(&self) -> Option<Wire> {
        let fresh = |live: &&Live| live.token.as_ref().is_none_or(|(_, since)| since.elapsed() < TOKEN_AGE);
        let live = self.live.lock().expect("no holder panics");
        live.as_ref()
            .filter(|live| !live.sender.is_closed())
            .filter(fresh)
            .map(|live| self.over(live.clone()))
    }

    fn over(&self, live: Live) -> Wire {
        let token = live.token.map(|(token, _)| token);
        Wire { sender: live.sender, origin: self.endpoint.origin.clone(), token }
    }

    async fn log_in(&self, login: &Login, sender: SendRequest<Body>) -> Result<http::HeaderValue, KvError> {
        let wire = Wire { sender, origin: self.endpoint.origin.clone(), token: None };
        let request =
            wire::AuthenticateRequest { name: login.name.clone(), password: login.password.clone() };
        let answer = stub!(AuthClient, wire).authenticate(request).await.map_err(into_error)?;
        http::HeaderValue::from_str(&answer.into_inner().token)
            .map_err(|_| KvError::new(Code::Internal, "the server gave a token that no header can carry"))
    }

    async fn dial(&self) -> Result<(SendRequest<Body>, Carrier), String> {
        let tcp = TcpStream::connect(&self.endpoint.address).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(config) = &self.tls else { return self.speak(tcp).await };
        let host = self.endpoint.origin.host().unwrap_or_default().trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let tls = TlsConnector::from(config.clone()).connect(name, tcp).await;
        self.speak(tls.map_err(|error| format!("TLS: {error}"))?).await
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(SendRequest<Body>, Carrier), String> {
        let carrier = Carrier::default();
        let (sender, connection) = http2::Builder::new(carrier.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(self.keep_alive_time)
            .keep_alive_timeout(self.keep_alive_timeout)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| root(&error).to_string())?;
        // It ends when the last sender is gone or the peer is lost; the calls on it learn of that by themselves.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok((sender, carrier))
    }
}

/// A live connection, as the stubs want it.
#[derive(Clone)]
pub(super) struct Wire {
    sender: SendRequest<Body>,
    /// Scheme and authority of requests.
    pub origin: Uri,
    /// What each call says of who calls.
    token: Option<http::HeaderValue>,
}

impl tower_service::Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(token) = &self.token {
            request.headers_mut().insert("token", token.clone());
        }
        let answer = self.sender.send_request(request);
        Box::pin(async move { answer.await.map_err(|error| Status::from_error(Box::new(error))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_operators_write_them() {
        for text in ["127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2379/"] {
            let endpoint = Endpoint::parse(text, false).unwrap();
            assert_eq!(endpoint.address, "127.0.0.1:2379", "{text}");
            assert_eq!(endpoint.origin.to_string(), "http://127.0.0.1:2379/", "{text}");
        }
        let tls = Endpoint::parse("https://etcd.example:2379", false).unwrap();
        assert!(tls.tls && tls.origin.scheme_str() == Some("https"));
        assert_eq!(Endpoint::parse("[::1]:2379", false).unwrap().address, "[::1]:2379");
    }

    #[test]
    fn a_wrong_endpoint_is_named_with_the_remedy() {
        for text in ["", "localhost", "http://", "unix:///run/x", ":2379", "a b:1", "h:99999"] {
            assert_eq!(Endpoint::parse(text, false).unwrap_err().code, Code::InvalidArgument, "{text}");
        }
    }
}
