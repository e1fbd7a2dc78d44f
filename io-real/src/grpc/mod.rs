//! etcd's gRPC services: one file a service, each converting and calling, none deciding.
//!
//! All of them are one [`Edge`]: a member, and the word that the server is stopping, which ends streams.

mod auth;
mod cluster;
pub(crate) mod codec;
mod health;
mod kv;
mod lease;
mod maintenance;
pub(crate) mod status;
pub(crate) mod stubs;
mod watch;

use crate::served::Served;
use crate::stopping::Stopping;
use kernel::KvError;
use kernel::kv::KvResult;
use kernel::types::ResponseHeader;
use status::from_error;
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Metadata by which a client asks to be refused when the member knows no leader.
pub(crate) const REQUIRE_LEADER: &str = "hasleader";

/// Metadata that says which version of the API the client was made for.
const CLIENT_VERSION: &str = "client-api-version";

/// A stream of answers.
type Answers<T> = std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

/// Every service of one member.
pub(crate) struct Edge {
    served: Arc<dyn Served>,
    stopping: Stopping,
}

impl Edge {
    pub fn new(served: Arc<dyn Served>, stopping: Stopping) -> Edge {
        Edge { served, stopping }
    }

    /// Refuses what every service refuses.
    fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        let metadata = request.metadata();
        if requires_leader(metadata) && self.served.leader() == 0 {
            return Err(from_error(KvError::no_leader()));
        }
        if metadata.get(CLIENT_VERSION).is_some_and(|version| version.to_str().is_err()) {
            return Err(from_error(KvError::invalid_client_api_version()));
        }
        Ok(request.into_inner())
    }

    /// The header of an answer that tells of this member and its newest revision.
    fn header(&self) -> ResponseHeader {
        let standing = self.served.standing();
        ResponseHeader {
            cluster_id: standing.cluster_id,
            member_id: standing.member_id,
            revision: standing.revision,
            raft_term: standing.term,
        }
    }

    /// The header of an answer that has nothing to do with the keys.
    fn header_without_revision(&self) -> ResponseHeader {
        ResponseHeader { revision: 0, ..self.header() }
    }
}

fn requires_leader(metadata: &MetadataMap) -> bool {
    metadata.get(REQUIRE_LEADER).is_some_and(|value| value.as_encoded_bytes() == b"true")
}

/// The outcome of a call, as the stubs want it.
fn answer<T>(outcome: KvResult<T>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(from_error)
}

/// What is not offered yet, said so that nobody searches for a fault.
fn not_offered(what: &str) -> Status {
    Status::unimplemented(format!("orlop: {what} is not offered yet"))
}
