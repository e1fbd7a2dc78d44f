//! Serves a [`Service`] over HTTP/1.1, within fixed bounds.
//!
//! A request is read whole (its body is bounded in bytes and in time), turned into a value, answered, and turned back. At
//! most [`CONNECTIONS_MAX`] connections are open: further ones wait in the system's queue. Who comes over TCP shows a token
//! if there are any, and speaks TLS if it is configured; the unix socket is guarded by its file mode.
//!
//! A stop goes in three steps: no new connections; requests under way finish and streams end; after the grace what is
//! still open is cut.

use super::figures::{Figures, PROMETHEUS};
use super::guard::Tokens;
use super::listen::Listener;
use super::tls::TlsServer;
use crate::stopping::{Stopping, stopping};
use bytes::Bytes;
use fleet::api::message::{JSON, TEXT};
use fleet::api::{ApiError, Body, Request, Response, Service};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections open at a time, streams included.
pub const CONNECTIONS_MAX: usize = 512;

/// Largest body of a request, in bytes: a plan with some hundred units.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// Longest wait for a request's body, and for a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(30);

/// Wait after a connection could not be accepted, which is mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Buffer of a connection, in bytes: also the longest head of a request.
const BUFFER_BYTES: usize = 16 << 10;

/// How the API is served.
#[derive(Clone)]
pub struct Options {
    /// What `Server` says behind `fleetd/`.
    pub version: String,
    /// Who may come over TCP; `None` is everybody.
    pub tokens: Option<Tokens>,
    /// TLS of the TCP sockets.
    pub tls: Option<TlsServer>,
    /// What `/metrics` says.
    pub figures: Figures,
    /// Longest wait for requests under way when the server stops.
    pub grace: Duration,
}

/// Serves on every listener until `shutdown` is ready, then ends in order and returns.
pub async fn serve(
    listeners: Vec<Listener>,
    service: Arc<dyn Service>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = stopping();
    let server = HeaderValue::try_from(format!("fleetd/{}", options.version)).expect("a version is ASCII");
    let grace = options.grace;
    let front = Front { service, options, server, stopping, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(front.clone().accept(listener));
    }
    drop(front);
    shutdown.await;
    stop.say();
    let all_ended = async { while accepting.join_next().await.is_some() {} };
    // Beyond the grace dropping the set cuts what is left.
    let _ = tokio::time::timeout(grace, all_ended).await;
}

/// What each connection gets.
#[derive(Clone)]
struct Front {
    service: Arc<dyn Service>,
    options: Options,
    server: HeaderValue,
    stopping: Stopping,
    room: Arc<Semaphore>,
}

type EdgeBody = UnsyncBoxBody<Bytes, Infallible>;

impl Front {
    /// Takes connections until the stop, then waits for them. Dropping it cuts them all.
    async fn accept(self, listener: Listener) {
        let mut stopping = self.stopping.clone();
        let mut open = JoinSet::new();
        loop {
            let room = self.room.clone().acquire_owned();
            let room = tokio::select! {
                room = room => room.expect("the semaphore is never closed"),
                () = stopping.wait() => break,
            };
            tokio::select! {
                taken = self.take(&listener, &mut open, room) => if !taken {
                    tokio::time::sleep(ACCEPT_RETRY).await;
                },
                () = stopping.wait() => break,
            }
            while open.try_join_next().is_some() {}
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }

    /// Takes one connection, which keeps `room` while it is open. False if there was none to take.
    async fn take(
        &self,
        listener: &Listener,
        open: &mut JoinSet<()>,
        room: tokio::sync::OwnedSemaphorePermit,
    ) -> bool {
        let front = self.clone();
        match listener {
            Listener::Unix(socket, _) => match socket.accept().await {
                Ok((stream, _)) => open.spawn(async move {
                    front.run(stream, false).await;
                    drop(room);
                }),
                Err(_) => return false,
            },
            Listener::Tcp(socket) => match socket.accept().await {
                Ok((stream, _)) => open.spawn(async move {
                    // Small answers must not wait for the next ones; without the option it works too, only slower.
                    let _ = stream.set_nodelay(true);
                    front.run_tcp(stream).await;
                    drop(room);
                }),
                Err(_) => return false,
            },
        };
        true
    }

    async fn run_tcp(self, stream: tokio::net::TcpStream) {
        let Some(tls) = &self.options.tls else { return self.run(stream, true).await };
        let mut stopping = self.stopping.clone();
        let handshake = tokio::time::timeout(PATIENCE, tls.acceptor().accept(stream));
        tokio::select! {
            // Who does not finish a handshake is not served: no answer would be understood.
            shaken = handshake => if let Ok(Ok(stream)) = shaken {
                self.run(stream, true).await;
            },
            () = stopping.wait() => {}
        }
    }

    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, over_tcp: bool) {
        let mut stopping = self.stopping.clone();
        let answer = service_fn(move |request| {
            let front = self.clone();
            async move { Ok::<_, Infallible>(front.answer(request, over_tcp).await) }
        });
        let mut protocol = http1::Builder::new();
        protocol.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(BUFFER_BYTES);
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), answer));
        tokio::select! {
            // Its end is the client's affair: it has gone, or did not speak HTTP.
            _ = connection.as_mut() => return,
            () = stopping.wait() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    async fn answer(&self, request: http::Request<Incoming>, over_tcp: bool) -> http::Response<EdgeBody> {
        let method = request.method().clone();
        let mut response = match self.admit(&request, over_tcp) {
            Err(refused) => self.http(refused.into()),
            Ok(()) if request.uri().path() == "/metrics" => self.metrics(&method),
            Ok(()) => match read(request).await {
                Ok(request) => self.http(self.service.handle(request).await),
                Err(refused) => self.http(refused.into()),
            },
        };
        if response.status() == http::StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.headers_mut().insert(header::SERVER, self.server.clone());
        self.options.figures.count(&method, response.status());
        response
    }

    /// Refuses who comes over TCP without a token where tokens are configured.
    fn admit(&self, request: &http::Request<Incoming>, over_tcp: bool) -> Result<(), ApiError> {
        let Some(tokens) = self.options.tokens.as_ref().filter(|_| over_tcp) else { return Ok(()) };
        let sent = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match tokens.admit(sent) {
            true => Ok(()),
            false => Err(ApiError::new(
                401,
                "a bearer token of this cluster is needed: send Authorization: Bearer TOKEN",
            )),
        }
    }

    fn metrics(&self, method: &http::Method) -> http::Response<EdgeBody> {
        if method != http::Method::GET && method != http::Method::HEAD {
            return self.http(ApiError::method("GET").into());
        }
        let mut response = http::Response::new(full(self.options.figures.page().into()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS));
        response
    }

    fn http(&self, response: Response) -> http::Response<EdgeBody> {
        let (kind, body) = match response.body {
            Body::Empty => (None, full(Bytes::new())),
            Body::Json(bytes) => (Some(JSON), full(bytes.into())),
            Body::Text(bytes) => (Some(TEXT), full(bytes.into())),
            Body::Stream(lines, kind) => (Some(kind), stream(lines, self.stopping.clone())),
        };
        let mut answer = http::Response::new(body);
        *answer.status_mut() = http::StatusCode::from_u16(response.status).expect("a status of HTTP");
        let headers = answer.headers_mut();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in response.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        answer
    }
}

fn full(bytes: Bytes) -> EdgeBody {
    Full::new(bytes).boxed_unsync()
}

/// The pieces as they come, until their end or the server's.
fn stream(lines: Box<dyn fleet::local::Lines>, stopping: Stopping) -> EdgeBody {
    let pieces = futures_util::stream::unfold((lines, stopping), |(mut lines, mut stopping)| async move {
        let piece = tokio::select! {
            piece = lines.next() => piece?,
            () = stopping.wait() => return None,
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(piece))), (lines, stopping)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// Reads a request whole.
async fn read(request: http::Request<Incoming>) -> Result<Request, ApiError> {
    let (head, body) = request.into_parts();
    let too_large =
        || ApiError::new(413, format!("the body is larger than {BODY_BYTES_MAX} bytes: send less at a time"));
    // What is announced to be too large need not come.
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => return Err(ApiError::bad(format!("the body could not be read: {error}"))),
        Err(_) => {
            return Err(ApiError::new(408, format!("the body did not come within {} s", PATIENCE.as_secs())));
        }
    };
    Ok(Request {
        method: head.method.as_str().into(),
        path: head.uri.path().into(),
        query: head.uri.query().unwrap_or_default().into(),
        content_types: content_types(&head.headers),
        body,
    })
}

fn content_types(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONTENT_TYPE).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}
