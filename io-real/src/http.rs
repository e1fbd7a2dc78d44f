//! The plain pages on the client port: `/health`, `/livez`, `/readyz`, `/version` and `/metrics`.
//!
//! Their paths, parameters, texts and status codes are etcd's, because probes and load balancers are configured with them.

use crate::meter::Meter;
use crate::metrics;
use crate::served::{API_VERSION, Served};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::Full;
use kernel::types::RangeRequest;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tonic::body::Body;

/// Longest wait of a check that asks the quorum.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The checks of `/livez` and `/readyz`, in the order they are reported.
const LIVE: &[Check] = &[Check::SerializableRead];
const READY: &[Check] =
    &[Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner];

/// Answers a request that is not gRPC.
pub(crate) async fn serve(
    served: Arc<dyn Served>,
    meter: &Meter,
    method: &Method,
    uri: &Uri,
) -> Response<Body> {
    let path = uri.path();
    let known = matches!(path, "/health" | "/version" | "/metrics") || group(path).is_some();
    if !known {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    let query = Query::parse(uri.query().unwrap_or_default());
    match path {
        "/health" => health(served.as_ref(), meter, &query).await,
        "/version" => page(StatusCode::OK, JSON, version()),
        "/metrics" => page(StatusCode::OK, PROMETHEUS, metrics::page(served.as_ref(), meter)),
        _ => probe(served.as_ref(), path, &query).await,
    }
}

fn version() -> String {
    format!(r#"{{"etcdserver":"{API_VERSION}","etcdcluster":"{API_VERSION}","storage":"{API_VERSION}"}}"#)
}

/// The parameters of a request: a name may come several times, and values are words that need no decoding.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Query<'a> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        Query(parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| *key == name)
    }

    fn all(&self, name: &str) -> BTreeSet<&'a str> {
        self.0
            .iter()
            .filter(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| *value)
            .collect()
    }

    fn first(&self, name: &str) -> &'a str {
        self.0.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| *value)
    }
}

async fn health(served: &dyn Served, meter: &Meter, query: &Query<'_>) -> Response<Body> {
    match complaint(served, query).await {
        None => {
            meter.health_successes.fetch_add(1, Relaxed);
            text(StatusCode::OK, r#"{"health":"true","reason":""}"#)
        }
        Some(reason) => {
            meter.health_failures.fetch_add(1, Relaxed);
            let reason = reason.replace('\\', "\\\\").replace('"', "\\\"");
            let body = format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}\n");
            text(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

/// What is wrong, if anything: an alarm, no leader, a read that fails.
async fn complaint(served: &dyn Served, query: &Query<'_>) -> Option<String> {
    let serializable = query.first("serializable") == "true";
    let standing = served.standing();
    if standing.no_space && !query.all("exclude").contains("NOSPACE") {
        return Some("ALARM NOSPACE".to_string());
    }
    if !standing.corrupt.is_empty() && !query.all("exclude").contains("CORRUPT") {
        return Some("ALARM CORRUPT".to_string());
    }
    if !serializable && standing.leader == 0 {
        return Some("RAFT NO LEADER".to_string());
    }
    read(served, serializable).await.err().map(|error| format!("RANGE ERROR:{error}"))
}

/// One key, whichever, of which nothing is returned: the cheapest read there is.
async fn read(served: &dyn Served, serializable: bool) -> Result<(), String> {
    let everything = Bytes::from_static(b"\0");
    let request = RangeRequest {
        key: everything.clone(),
        range_end: everything,
        limit: 1,
        keys_only: true,
        serializable,
        ..Default::default()
    };
    match tokio::time::timeout(CHECK_TIMEOUT, served.range(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err("context deadline exceeded".to_string()),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::DataCorruption => "data_corruption",
            Check::SerializableRead => "serializable_read",
            Check::LinearizableRead => "linearizable_read",
            Check::NonLearner => "non_learner",
        }
    }

    async fn run(self, served: &dyn Served) -> Result<(), String> {
        match self {
            Check::DataCorruption => match served.standing().corrupt {
                what if what.is_empty() => Ok(()),
                what => Err(format!("alarm activated: CORRUPT: {what}")),
            },
            Check::SerializableRead => {
                read(served, true).await.map_err(|error| format!("range error: {error}"))
            }
            Check::LinearizableRead => {
                read(served, false).await.map_err(|error| format!("range error: {error}"))
            }
            Check::NonLearner if served.standing().is_learner => Err("not supported for learner".to_string()),
            Check::NonLearner => Ok(()),
        }
    }
}

/// The checks behind a path: all of a group, or the one that is named below it.
fn group(path: &str) -> Option<Vec<Check>> {
    let (checks, below) = match (path.strip_prefix("/livez"), path.strip_prefix("/readyz")) {
        (Some(below), _) => (LIVE, below),
        (_, Some(below)) => (READY, below),
        (None, None) => return None,
    };
    match below.strip_prefix('/') {
        None if below.is_empty() => Some(checks.to_vec()),
        None => None,
        Some(name) => checks.iter().find(|check| check.name() == name).map(|check| vec![*check]),
    }
}

async fn probe(served: &dyn Served, path: &str, query: &Query<'_>) -> Response<Body> {
    let mut checks = group(path).expect("only known paths come here");
    let (excluded, allowed) = (query.all("exclude"), query.all("allowlist"));
    if !excluded.is_empty() && !allowed.is_empty() {
        return text(StatusCode::BAD_REQUEST, "exclude and allowlist are both given: choose one\n");
    }
    let named = if excluded.is_empty() { &allowed } else { &excluded };
    if let Some(unknown) = named.iter().find(|name| !checks.iter().any(|check| check.name() == **name)) {
        return text(StatusCode::BAD_REQUEST, format!("no check at {path} is named {unknown:?}\n"));
    }
    checks.retain(|check| {
        !excluded.contains(check.name()) && (allowed.is_empty() || allowed.contains(check.name()))
    });
    let (mut report, mut well) = (String::new(), true);
    for check in checks {
        match check.run(served).await {
            Ok(()) => report += &format!("[+]{} ok\n", check.name()),
            Err(error) => {
                well = false;
                report += &format!("[-]{} failed: {error}\n", check.name());
            }
        }
    }
    match (well, query.has("verbose")) {
        (true, true) => text(StatusCode::OK, report + "ok\n"),
        (true, false) => text(StatusCode::OK, "ok\n"),
        (false, _) => text(StatusCode::SERVICE_UNAVAILABLE, report),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    page(status, TEXT, body)
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
