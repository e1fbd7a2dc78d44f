//! Streams of a client: watches and lease renewals.
//!
//! A server of etcd sends the head of its answer together with its first message, so whoever waits for the head before
//! asking for anything waits for ever. Both streams here therefore start the call and go on without its head; the first
//! `next` takes it up.

use super::calls::stub;
use super::link::Wire;
use crate::grpc::REQUIRE_LEADER;
use crate::grpc::status::into_error;
use crate::grpc::stubs::{lease_client::LeaseClient, watch_client::WatchClient};
use futures_util::Stream;
use kernel::kv::KvResult;
use kernel::{BoxFuture, Code, KvError, WatchStream};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use wire::{LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchRequest, WatchResponse};

/// Requests that may wait for the connection; sending waits for room beyond it.
const REQUESTS: usize = 128;

/// A call with two streams.
struct Bidi<Out, In> {
    requests: mpsc::Sender<Out>,
    state: State<In>,
}

enum State<In> {
    Opening(BoxFuture<'static, Result<Response<Streaming<In>>, Status>>),
    Open(Box<Streaming<In>>),
    Ended(KvError),
}

impl<Out, In> Bidi<Out, In> {
    async fn next(&mut self) -> Result<In, KvError> {
        loop {
            let error = match &mut self.state {
                State::Opening(head) => match head.await {
                    Ok(response) => {
                        self.state = State::Open(Box::new(response.into_inner()));
                        continue;
                    }
                    Err(status) => into_error(status),
                },
                State::Open(stream) => match stream.message().await {
                    Ok(Some(message)) => return Ok(message),
                    Ok(None) => KvError::new(Code::Unavailable, "the server ended the stream"),
                    Err(status) => into_error(status),
                },
                State::Ended(error) => return Err(error.clone()),
            };
            self.state = State::Ended(error.clone());
            return Err(error);
        }
    }

    async fn send(&mut self, request: Out) -> Result<(), KvError> {
        let ended = || KvError::new(Code::Unavailable, "the stream has ended");
        self.requests.send(request).await.map_err(|_| ended())
    }
}

/// The sending half, as the stubs want it.
struct Outgoing<T>(mpsc::Receiver<T>);

impl<T> Stream for Outgoing<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// A stream of watchers on a server.
pub(super) struct ClientWatch(Bidi<WatchRequest, WatchResponse>);

impl ClientWatch {
    /// Starts the call.
    pub async fn open(wire: Wire) -> ClientWatch {
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let mut request = Request::new(Outgoing(outgoing));
        // Without a leader events would not come, and silence would look like peace.
        request.metadata_mut().insert(REQUIRE_LEADER, tonic::metadata::MetadataValue::from_static("true"));
        let head = async move { stub!(WatchClient, wire).watch(request).await };
        ClientWatch(Bidi { requests, state: start(Box::pin(head)).await })
    }
}

impl WatchStream for ClientWatch {
    fn request(&mut self, request: WatchRequest) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(self.0.send(request))
    }

    fn next(&mut self) -> BoxFuture<'_, KvResult<WatchResponse>> {
        Box::pin(self.0.next())
    }
}

/// Renewals of leases over one call.
pub struct KeepAliveStream(Bidi<LeaseKeepAliveRequest, LeaseKeepAliveResponse>);

impl KeepAliveStream {
    /// Starts the call and renews lease `id`.
    pub(super) async fn open(wire: Wire, id: i64) -> Result<KeepAliveStream, KvError> {
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let head = async move { stub!(LeaseClient, wire).lease_keep_alive(Outgoing(outgoing)).await };
        let mut stream = KeepAliveStream(Bidi { requests, state: start(Box::pin(head)).await });
        stream.renew(id).await?;
        Ok(stream)
    }

    /// Renews lease `id`; the answer comes by [`KeepAliveStream::next`].
    pub async fn renew(&mut self, id: i64) -> Result<(), KvError> {
        self.0.send(LeaseKeepAliveRequest { id }).await
    }

    /// The next answer; a TTL of 0 says that the lease does not exist. An error ends the stream. Cancel-safe.
    pub async fn next(&mut self) -> Result<LeaseKeepAliveResponse, KvError> {
        self.0.next().await
    }
}

/// Polls the call once, which puts it on the connection.
async fn start<In>(mut head: BoxFuture<'static, Result<Response<Streaming<In>>, Status>>) -> State<In> {
    match poll_fn(|context| Poll::Ready(head.as_mut().poll(context))).await {
        Poll::Pending => State::Opening(head),
        Poll::Ready(Ok(response)) => State::Open(Box::new(response.into_inner())),
        Poll::Ready(Err(status)) => State::Ended(into_error(status)),
    }
}
