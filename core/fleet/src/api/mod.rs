//! What clients see: fleet's HTTP API, version 1, as a function of requests over the registry, and what was added since.
//!
//! A [`Request`] is a value and a [`Response`] is one, so HTTP itself, sockets and TLS are somebody else's
//! (io-real's `fleet` edge), and a test needs none of them. [`route`] finds the resource, [`schema`] has the documents,
//! [`token`] makes the pages of a listing; each page is read from the key behind the last one's, so that a
//! listing of any length is one pass over the keys and holds one page in memory.

mod advice;
mod discovery;
pub mod error;
mod events;
mod machines;
pub mod message;
mod onsite;
pub mod patch;
pub mod query;
pub mod route;
pub mod schema;
mod states;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
pub mod token;
mod units;

pub use advice::LOOKS_MAX;
pub use error::ApiError;
pub use events::EVENT_STREAMS_MAX;
pub use message::{Body, Peers, Request, Response, Service};
pub use onsite::FORWARDED;
pub use schema::*;

use crate::local::Local;
use crate::model::MachineId;
use crate::registry::{Cut, Registry};
use kernel::BoxFuture;
use query::Query;
use route::Resource;
use std::sync::Arc;
use token::PageToken;

/// Rows on a page when nothing is configured: fleet's `token_limit`.
pub const TOKEN_LIMIT: u16 = 100;

/// What the API needs to know of its server.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The machine that it runs on.
    pub machine: MachineId,
    /// Rows on a page, at least 1.
    pub token_limit: u16,
}

/// The API of one server. Clones share its bounds.
#[derive(Clone)]
pub struct Api {
    registry: Registry,
    config: ApiConfig,
    local: Option<Arc<dyn Local>>,
    peers: Option<Arc<dyn Peers>>,
    streams: Arc<()>,
    looks: Arc<()>,
}

impl Api {
    /// An API over a registry, that offers no journals and asks no other machines.
    pub fn new(registry: Registry, config: ApiConfig) -> Api {
        assert!(config.token_limit > 0, "a page of no rows would never end");
        Api { registry, config, local: None, peers: None, streams: Arc::new(()), looks: Arc::new(()) }
    }

    /// With the journals and statuses of this machine.
    pub fn with_local(self, local: Arc<dyn Local>) -> Api {
        Api { local: Some(local), ..self }
    }

    /// With a way to the APIs of other machines.
    pub fn with_peers(self, peers: Arc<dyn Peers>) -> Api {
        Api { peers: Some(peers), ..self }
    }

    async fn answer(&self, request: &Request) -> Result<Response, ApiError> {
        let resource = Resource::of(&request.path)?;
        resource.check_method(&request.method)?;
        let query = &Query::parse(&request.query)?;
        match (&resource, request.method.as_str()) {
            (Resource::Units, _) => self.list_units(query).await,
            (Resource::Unit(name), "PUT") => self.put_unit(name, request).await,
            (Resource::Unit(name), "DELETE") => self.delete_unit(name).await,
            (Resource::Unit(name), _) => self.get_unit(name).await,
            (Resource::Restart(name), _) => self.restart_unit(name).await,
            (Resource::Journal(name), _) => self.get_journal(name, query, request).await,
            (Resource::Status(name), _) => self.get_status(name, query, request).await,
            (Resource::States, _) => self.list_states(query).await,
            (Resource::State(name), _) => self.get_state(name, query).await,
            (Resource::Machines, "PATCH") => self.patch_machines(request).await,
            (Resource::Machines, _) => self.list_machines(query).await,
            (Resource::Admission(id), _) => self.put_admission(id, request).await,
            (Resource::Gone(id), _) => self.post_gone(id).await,
            (Resource::Events, _) => self.get_events(query).await,
            (Resource::Why(name), _) => self.get_why(name).await,
            (Resource::Rollout(name), _) => self.get_rollout(name).await,
            (Resource::Plan, _) => self.post_plan(request).await,
            (Resource::Discovery, _) => Ok(Response::ok(&discovery::document())),
            (Resource::Rebalance, _) => self.post_rebalance(query).await,
        }
    }

    /// Where the page that is asked for begins.
    fn page_token(&self, query: &Query) -> Result<PageToken, ApiError> {
        let limit = self.config.token_limit;
        query.one("nextPageToken")?.map_or(Ok(PageToken::first(limit)), |text| PageToken::decode(text, limit))
    }

    fn cut<'a>(&self, token: &'a PageToken) -> Cut<'a> {
        Cut { after: token.after.as_deref(), skip: token.skip(), most: token.limit.into() }
    }
}

impl Service for Api {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.answer(&request).await.unwrap_or_else(Response::from) })
    }
}
