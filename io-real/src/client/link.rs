//! One connection to one endpoint: dialled when it is first needed, and again when it was lost.
//!
//! A call takes a [`Wire`], a cheap clone of the live connection; calls share it, HTTP/2 keeps them apart. Only one task
//! dials at a time, the others wait for its result.

use crate::client::Options;
use crate::grpc::status::root;
use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kernel::{BoxFuture, Code, KvError};
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;

/// Receive windows of a stream and of a connection, in bytes: large ranges and watches should not wait for the window.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 5 << 20;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// "host:port".
    pub address: String,
    /// The same as the origin of requests.
    pub origin: Uri,
}

impl Endpoint {
    /// Reads "host:port" or "http://host:port".
    pub fn parse(text: &str) -> Result<Endpoint, KvError> {
        let wrong = |why: &str| KvError::new(Code::InvalidArgument, format!("endpoint {text:?}: {why}"));
        if text.starts_with("https://") || text.starts_with("unixs:") {
            return Err(wrong("TLS is not offered yet, give http://host:port"));
        }
        if text.starts_with("unix:") {
            return Err(wrong("unix sockets are not offered, give host:port"));
        }
        let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let origin = Uri::builder().scheme("http").authority(address).path_and_query("/").build();
        let origin = origin.map_err(|_| wrong("not of the form host:port"))?;
        if origin.host().is_none_or(str::is_empty) || origin.port_u16().is_none() {
            return Err(wrong("not of the form host:port"));
        }
        Ok(Endpoint { address: address.to_string(), origin })
    }
}

/// A connection that is there or can be made.
pub(super) struct Link {
    pub endpoint: Endpoint,
    live: Mutex<Option<SendRequest<Body>>>,
    dialing: tokio::sync::Mutex<()>,
    dial_timeout: Duration,
    keep_alive_time: Duration,
    keep_alive_timeout: Duration,
}

impl Link {
    pub fn new(endpoint: Endpoint, options: &Options) -> Link {
        Link {
            endpoint,
            live: Mutex::new(None),
            dialing: tokio::sync::Mutex::new(()),
            dial_timeout: options.dial_timeout,
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
        let sender = match tokio::time::timeout(self.dial_timeout, self.dial()).await {
            Ok(Ok(sender)) => sender,
            Ok(Err(why)) => return Err(failed(why)),
            Err(_) => return Err(failed(format!("no answer within {:?}", self.dial_timeout))),
        };
        *self.live.lock().expect("no holder panics") = Some(sender.clone());
        Ok(self.over(sender))
    }

    fn live_wire(&self) -> Option<Wire> {
        let live = self.live.lock().expect("no holder panics");
        live.as_ref().filter(|sender| !sender.is_closed()).map(|sender| self.over(sender.clone()))
    }

    fn over(&self, sender: SendRequest<Body>) -> Wire {
        Wire { sender, origin: self.endpoint.origin.clone() }
    }

    async fn dial(&self) -> Result<SendRequest<Body>, String> {
        let tcp = TcpStream::connect(&self.endpoint.address).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(self.keep_alive_time)
            .keep_alive_timeout(self.keep_alive_timeout)
            .handshake(TokioIo::new(tcp))
            .await
            .map_err(|error| root(&error).to_string())?;
        // It ends when the last sender is gone or the peer is lost; the calls on it learn of that by themselves.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// A live connection, as the stubs want it.
#[derive(Clone)]
pub(super) struct Wire {
    sender: SendRequest<Body>,
    /// Scheme and authority of requests.
    pub origin: Uri,
}

impl tower_service::Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
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
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.address, "127.0.0.1:2379", "{text}");
            assert_eq!(endpoint.origin.to_string(), "http://127.0.0.1:2379/", "{text}");
        }
        assert_eq!(Endpoint::parse("[::1]:2379").unwrap().address, "[::1]:2379");
    }

    #[test]
    fn a_wrong_endpoint_is_named_with_the_remedy() {
        let tls = Endpoint::parse("https://etcd.example:2379").unwrap_err();
        assert_eq!(tls.code, Code::InvalidArgument);
        assert!(tls.message.contains("https://etcd.example:2379") && tls.message.contains("TLS"), "{tls}");
        for text in ["", "localhost", "http://", "unix:///run/x", ":2379", "a b:1", "h:99999"] {
            assert_eq!(Endpoint::parse(text).unwrap_err().code, Code::InvalidArgument, "{text}");
        }
    }
}
