//! `etcdserverpb.Watch`: one stream of requests in, one stream of answers out, on one task.
//!
//! The stream of answers is polled only while the connection has room, and requests are taken only while it is polled: a
//! client that does not read can neither grow a buffer here nor make more watchers. The stream ends when the client has
//! said its last word, when the member ends it, and when the server stops.

use super::status::from_error;
use super::stubs::watch_server::Watch;
use super::{Answers, Edge, requires_leader};
use crate::stopping::Stopping;
use futures_util::stream;
use kernel::{KvError, WatchStream};
use tonic::{Request, Response, Status, Streaming};
use wire::{WatchRequest, WatchResponse};

#[tonic::async_trait]
impl Watch for Edge {
    type WatchStream = Answers<WatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let require_leader = requires_leader(request.metadata());
        let requests = self.admit(request)?;
        let watch = self.served.open_watch(require_leader).await.map_err(from_error)?;
        let session = Session { requests, watch, stopping: self.stopping.clone() };
        let answers = stream::unfold(Some(session), |session| async move {
            let mut session = session?;
            match session.step().await {
                Ok(Some(response)) => Some((Ok(response), Some(session))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One open stream.
struct Session {
    requests: Streaming<WatchRequest>,
    watch: Box<dyn WatchStream>,
    stopping: Stopping,
}

/// What happens to a session.
enum Happening {
    Request(Result<Option<WatchRequest>, Status>),
    Response(Result<WatchResponse, KvError>),
    Stopping,
}

impl Session {
    /// The next answer; `None` when the client has said its last word.
    async fn step(&mut self) -> Result<Option<WatchResponse>, Status> {
        loop {
            match self.happening().await {
                Happening::Request(Ok(Some(request))) => {
                    self.watch.request(request).await.map_err(from_error)?
                }
                Happening::Request(Ok(None)) => return Ok(None),
                Happening::Request(Err(_)) => return Err(from_error(KvError::watch_canceled())),
                Happening::Response(outcome) => return outcome.map(Some).map_err(from_error),
                Happening::Stopping => return Err(from_error(KvError::stopped())),
            }
        }
    }

    async fn happening(&mut self) -> Happening {
        tokio::select! {
            request = self.requests.message() => Happening::Request(request),
            response = self.watch.next() => Happening::Response(response),
            () = self.stopping.wait() => Happening::Stopping,
        }
    }
}
