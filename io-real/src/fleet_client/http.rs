//! Calls over HTTP/1.1.
//!
//! A connection carries one call at a time; one that is free is kept for the next call, so a `fleetctl` that waits for a unit does
//! not dial four times a second. A kept connection that the server has closed meanwhile is noticed before the call was sent,
//! and the call goes out on a new one; a call that may have been sent is never repeated here.

use super::endpoint::{Endpoint, Place};
use super::{Answer, Chunks, ClientError, Request, Transport};
use crate::tls::{self, TlsFiles, TlsFlags};
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use kernel::BoxFuture;
use rustls::pki_types::ServerName;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Free connections that are kept.
const MAX_IDLE: usize = 4;

/// What fleetctl calls the files.
const FLAGS: TlsFlags = TlsFlags { authorities: "--ca-file", certificate: "--cert-file", key: "--key-file" };

/// What may carry HTTP.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// A program, with its arguments, whose standard streams lead to the endpoint: a tunnel. None: dial.
    pub through: Option<Vec<String>>,
    /// TLS, for `https`.
    pub tls: TlsFiles,
    /// The token of the Authorization header, if the server asks for one.
    pub token: Option<String>,
    /// Longest time to make a connection.
    pub dial_timeout: Duration,
    /// Longest time from a call to the head of its answer. A body may take as long as it likes.
    pub answer_timeout: Duration,
}

/// HTTP/1.1 to one endpoint.
pub struct HttpTransport {
    options: Options,
    tls: Option<tokio_rustls::TlsConnector>,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

impl HttpTransport {
    /// Checks the settings; the first call dials.
    pub fn new(options: Options) -> Result<HttpTransport, ClientError> {
        let encrypted = matches!(options.endpoint.place, Place::Tcp { tls: true, .. });
        let tls = encrypted
            .then(|| tls::client_config(&options.tls, FLAGS))
            .transpose()
            .map_err(ClientError::Settings)?;
        if let Some(token) = &options.token
            && header::HeaderValue::from_str(token).is_err()
        {
            let text = "the token holds characters that cannot stand in a header: check --token-file";
            return Err(ClientError::Settings(text.to_string()));
        }
        Ok(HttpTransport { options, tls: tls.map(Into::into), idle: Arc::default() })
    }

    fn unreachable(&self, why: impl ToString) -> ClientError {
        ClientError::Unreachable { endpoint: self.options.endpoint.text.clone(), why: why.to_string() }
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, String> {
        if let Some(command) = &self.options.through {
            return program(command);
        }
        let (host, port) = match &self.options.endpoint.place {
            Place::Unix(path) => {
                let socket = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
                return Ok(Box::new(socket));
            }
            Place::Tcp { host, port, .. } => (host, *port),
        };
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Box::new(tcp))
    }

    async fn encrypted(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, String> {
        let (Some(connector), Place::Tcp { host, .. }) = (&self.tls, &self.options.endpoint.place) else {
            return Ok(stream);
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host:?} is no host name"))?;
        let tls = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        Ok(Box::new(tls))
    }

    async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let dialing = async {
            let stream = self.encrypted(self.stream().await?).await?;
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())
        };
        let limit = self.options.dial_timeout;
        let dialed = tokio::time::timeout(limit, dialing).await;
        let dialed = dialed.unwrap_or_else(|_| Err(format!("no connection within {limit:?}")));
        let (sender, connection) = dialed.map_err(|why| self.unreachable(why))?;
        // It ends when its sender is gone or the server closes it; the call on it learns of that by itself.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// A connection that can take a call now: one that was kept, or a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        loop {
            let kept = self.idle.lock().expect("no holder panics").pop();
            let Some(mut sender) = kept else { return self.dial().await };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }

    fn request(&self, request: &Request) -> Result<http::Request<Full<Bytes>>, ClientError> {
        let mut built = http::Request::builder()
            .method(request.method.clone())
            .uri(&request.target)
            .header(header::HOST, self.options.endpoint.authority())
            .header(header::USER_AGENT, concat!("orlop-fleetctl/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.options.token {
            built = built.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if request.body.is_some() {
            built = built.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(request.body.clone().unwrap_or_default()));
        let wrong = |error| ClientError::Settings(format!("the call {}: {error}", request.target));
        built.body(body).map_err(wrong)
    }

    async fn call(&self, request: Request) -> Result<Answer, ClientError> {
        loop {
            let mut sender = self.connection().await?;
            let limit = self.options.answer_timeout;
            let sending = sender.send_request(self.request(&request)?);
            match tokio::time::timeout(limit, sending).await {
                Ok(Ok(response)) => return Ok(self.answer(response, sender)),
                // Closed under our hands before anything was written: as if it had not been there.
                Ok(Err(error)) if error.is_canceled() => continue,
                Ok(Err(error)) => return Err(self.unreachable(error)),
                Err(_) => return Err(self.unreachable(format!("no answer within {limit:?}"))),
            }
        }
    }

    fn answer(&self, response: http::Response<Incoming>, sender: SendRequest<Full<Bytes>>) -> Answer {
        let (head, body) = response.into_parts();
        let headers = head.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())));
        Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: Box::new(HttpBody {
                body,
                sender: Some(sender),
                idle: self.idle.clone(),
                endpoint: self.options.endpoint.text.clone(),
            }),
        }
    }
}

/// The standard streams of a program that is ended when they are dropped.
fn program(command: &[String]) -> Result<Box<dyn Stream>, String> {
    let (name, arguments) = command.split_first().expect("a tunnel has a program");
    let mut child = tokio::process::Command::new(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    let output = child.stdout.take().expect("standard output is a pipe");
    let input = child.stdin.take().expect("standard input is a pipe");
    Ok(Box::new(Program { streams: tokio::io::join(output, input), _child: child }))
}

struct Program {
    streams: tokio::io::Join<tokio::process::ChildStdout, tokio::process::ChildStdin>,
    _child: tokio::process::Child,
}

impl AsyncRead for Program {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.streams).poll_read(context, buffer)
    }
}

impl AsyncWrite for Program {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.streams).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.streams).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.streams).poll_shutdown(context)
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Answer, ClientError>> {
        Box::pin(self.call(request))
    }

    fn endpoint(&self) -> String {
        self.options.endpoint.text.clone()
    }
}

/// A body on its way; gives its connection back at its end.
struct HttpBody {
    body: Incoming,
    sender: Option<SendRequest<Full<Bytes>>>,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
    endpoint: String,
}

impl Chunks for HttpBody {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ClientError>>> {
        Box::pin(async move {
            loop {
                match self.body.frame().await {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) if !bytes.is_empty() => return Some(Ok(bytes)),
                        _ => {}
                    },
                    Some(Err(error)) => {
                        let (endpoint, why) = (self.endpoint.clone(), error.to_string());
                        return Some(Err(ClientError::Unreachable { endpoint, why }));
                    }
                    None => {
                        self.give_back();
                        return None;
                    }
                }
            }
        })
    }
}

impl HttpBody {
    fn give_back(&mut self) {
        let mut idle = self.idle.lock().expect("no holder panics");
        if let Some(sender) = self.sender.take()
            && idle.len() < MAX_IDLE
        {
            idle.push(sender);
        }
    }
}
