//! `--driver etcd`: the store itself, without a fleetd on the way.
//!
//! The API is a function of requests over the registry, so the client's calls are answered in this very process, by the code that
//! a fleetd runs. What needs the machine of a unit (journals, statuses) is refused there as by any fleetd that knows no way
//! to it, and goes over ssh.

use super::args::Line;
use super::failure::Failure;
use bytes::Bytes;
use fleet::api::{Api, ApiConfig, Body, Request, Service, TOKEN_LIMIT};
use fleet::local::Lines;
use fleet::model::MachineId;
use fleet::registry::Registry;
use io_real::client::{Client, Options};
use io_real::fleet_client::{self, Answer, Chunks, ClientError, Transport};
use kernel::BoxFuture;
use std::sync::Arc;

/// Where etcd listens when nothing is said.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:2379";

/// The machine that this fleetctl answers for: none.
const NOWHERE: &str = "fleetctl";

/// The API in this process, over the store at `--endpoint`.
pub async fn transport(line: &Line<'_>) -> Result<Arc<dyn Transport>, Failure> {
    let written = line.text("endpoint");
    // The default is a fleetd's socket.
    let endpoints = if written.starts_with("unix:") || written.starts_with("file:") {
        DEFAULT_ENDPOINT
    } else {
        &written
    };
    if !line.text("tunnel").is_empty() {
        return Err(Failure::usage("--driver etcd does not go through --tunnel: use --driver API with it"));
    }
    let options = Options { command_timeout: Some(line.seconds("request-timeout")?), ..Options::default() };
    let options =
        options.secured(&super::session::files(line), super::session::FLAGS).map_err(Failure::usage)?;
    let servers = endpoints.split(',').map(|endpoint| endpoint.trim().to_string()).collect();
    let client = Client::connect(servers, options).await;
    let client = client.map_err(|error| Failure::usage(format!("--endpoint: {}", error.message)))?;
    let registry = Registry::new(Arc::new(client), &line.text("etcd-key-prefix"));
    let config = ApiConfig { machine: MachineId::from(NOWHERE), token_limit: TOKEN_LIMIT };
    Ok(Arc::new(Direct { api: Api::new(registry, config), endpoints: endpoints.to_string() }))
}

struct Direct {
    api: Api,
    endpoints: String,
}

impl Transport for Direct {
    fn send(&self, request: fleet_client::Request) -> BoxFuture<'_, Result<Answer, ClientError>> {
        Box::pin(async move {
            let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
            let content_types = request.body.iter().map(|_| "application/json".to_string()).collect();
            let request = Request {
                method: request.method.to_string(),
                path: path.to_string(),
                query: query.to_string(),
                content_types,
                body: request.body.clone().unwrap_or_default(),
            };
            let response = self.api.handle(request).await;
            let headers =
                response.headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
            Ok(Answer { status: response.status, headers, body: chunks(response.body) })
        })
    }

    fn endpoint(&self) -> String {
        self.endpoints.clone()
    }
}

fn chunks(body: Body) -> Box<dyn Chunks> {
    match body {
        Body::Empty => Box::new(Whole(Bytes::new())),
        Body::Json(bytes) | Body::Text(bytes) => Box::new(Whole(bytes.into())),
        Body::Stream(lines, _) => Box::new(Pieces(lines)),
    }
}

/// A body that is there.
struct Whole(Bytes);

impl Chunks for Whole {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ClientError>>> {
        let bytes = std::mem::take(&mut self.0);
        Box::pin(std::future::ready((!bytes.is_empty()).then_some(Ok(bytes))))
    }
}

/// A body that comes.
struct Pieces(Box<dyn Lines>);

impl Chunks for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ClientError>>> {
        Box::pin(async move {
            loop {
                let piece = self.0.next().await?;
                if !piece.is_empty() {
                    return Some(Ok(piece.into()));
                }
            }
        })
    }
}
