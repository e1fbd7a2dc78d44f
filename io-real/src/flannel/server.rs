//! A small server for small pages: HTTP/1.1, GET and HEAD, a bounded number of connections, each with a bounded time for a
//! request. Dropping [`Pages`] ends it and all connections.

use super::Source;
use super::page::{Page, page};
use crate::fleet::EdgeError;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// Connections open at a time; further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 32;

/// Longest time from the opening of a connection, or the last answer, to the whole head of the next request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest life of a connection: who looks rarely must not keep others from looking.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// Wait after a connection could not be accepted, which is mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Buffer of a connection, in bytes: also the longest head of a request.
const BUFFER_BYTES: usize = 8 << 10;

/// Pages that are served until this is dropped.
pub struct Pages {
    serving: JoinHandle<()>,
    address: SocketAddr,
}

/// Takes the port, so that a mistake is told before anything is touched.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, EdgeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| EdgeError(format!("healthz-ip, healthz-port: cannot listen at {address}: {error}")))
}

impl Pages {
    /// Serves the pages of `source`.
    pub fn serve(listener: TcpListener, source: Arc<dyn Source>) -> Pages {
        let address = listener.local_addr().expect("a bound socket has an address");
        Pages { serving: tokio::spawn(accept(listener, source)), address }
    }

    /// Where they are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Takes connections for ever. Dropping it cuts them all.
async fn accept(listener: TcpListener, source: Arc<dyn Source>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    loop {
        let place = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let source = source.clone();
                open.spawn(async move {
                    // Its end is the client's affair: it has gone, did not speak HTTP, or took too long.
                    let _ = tokio::time::timeout(CONNECTION_LIFE, run(stream, source)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
        while open.try_join_next().is_some() {}
    }
}

async fn run(stream: TcpStream, source: Arc<dyn Source>) {
    let answer = service_fn(move |request| {
        let answer = answer(&*source, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(BUFFER_BYTES);
    // See above: an error here is the client's affair.
    let _ = protocol.serve_connection(TokioIo::new(stream), answer).await;
}

fn answer(source: &dyn Source, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = respond((405, "text/plain; charset=utf-8", "only GET\n".into()));
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    respond(page(source, request.uri().path()))
}

fn respond((status, kind, text): Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status of HTTP");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
