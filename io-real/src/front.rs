//! The door: hands each request to the service that its path names, counts it, and gives plain pages to the rest.
//!
//! Going by the path directly spares every call the router, its layers and their allocations.

use crate::grpc::Edge;
use crate::grpc::stubs::KvServer;
use crate::grpc::stubs::auth_server::AuthServer;
use crate::grpc::stubs::cluster_server::ClusterServer;
use crate::grpc::stubs::health_server::HealthServer;
use crate::grpc::stubs::lease_server::LeaseServer;
use crate::grpc::stubs::maintenance_server::MaintenanceServer;
use crate::grpc::stubs::watch_server::WatchServer;
use crate::http;
use crate::lively::Lively;
use crate::meter::Meter;
use crate::served::Served;
use crate::stopping::Stopping;
use ::http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use kernel::BoxFuture;
use std::convert::Infallible;
use std::sync::Arc;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;

/// How gRPC answers say what they are.
const GRPC: &[u8] = b"application/grpc";

/// How the codec begins its refusal of a message that is too large.
const TOO_LARGE: &str = "Error, decoded message length too large:";

/// Every service of one member, by path. Clones share it.
#[derive(Clone)]
pub(crate) struct Front {
    served: Arc<dyn Served>,
    meter: Arc<Meter>,
    kv: KvServer<Edge>,
    watch: WatchServer<Edge>,
    lease: LeaseServer<Edge>,
    cluster: ClusterServer<Edge>,
    maintenance: MaintenanceServer<Edge>,
    auth: AuthServer<Edge>,
    health: HealthServer<Edge>,
    lively: Option<Lively>,
}

impl Front {
    /// Takes messages of up to `max_message_bytes`. Calls are told to `lively`, where there is one.
    pub fn new(
        served: Arc<dyn Served>,
        max_message_bytes: usize,
        stopping: Stopping,
        lively: Option<Lively>,
    ) -> Front {
        let edge = Arc::new(Edge::new(served.clone(), stopping));
        let limit = max_message_bytes;
        Front {
            served,
            meter: Arc::new(Meter::new()),
            kv: KvServer::from_arc(edge.clone()).max_decoding_message_size(limit),
            watch: WatchServer::from_arc(edge.clone()).max_decoding_message_size(limit),
            lease: LeaseServer::from_arc(edge.clone()).max_decoding_message_size(limit),
            cluster: ClusterServer::from_arc(edge.clone()).max_decoding_message_size(limit),
            maintenance: MaintenanceServer::from_arc(edge.clone()).max_decoding_message_size(limit),
            auth: AuthServer::from_arc(edge.clone()).max_decoding_message_size(limit),
            health: HealthServer::from_arc(edge).max_decoding_message_size(limit),
            lively,
        }
    }

    fn call_grpc(&self, method: usize, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        let call = self.meter.begin(method);
        let under_way = self.lively.as_ref().map(Lively::asked);
        let answer = self.route(request);
        Box::pin(async move {
            let Ok(mut response) = answer.await;
            drop(under_way);
            call.answered(refine(response.headers_mut()));
            response
        })
    }

    fn route(&self, request: Request<Incoming>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        let path = request.uri().path();
        let service = path.get(1..).and_then(|path| path.split('/').next()).unwrap_or_default();
        match service {
            "etcdserverpb.KV" => self.kv.clone().call(request),
            "etcdserverpb.Watch" => self.watch.clone().call(request),
            "etcdserverpb.Lease" => self.lease.clone().call(request),
            "etcdserverpb.Cluster" => self.cluster.clone().call(request),
            "etcdserverpb.Maintenance" => self.maintenance.clone().call(request),
            "etcdserverpb.Auth" => self.auth.clone().call(request),
            _ => self.health.clone().call(request),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Some(method) = Meter::method(request.uri().path()) {
            let answer = self.call_grpc(method, request);
            return Box::pin(async move { Ok(answer.await) });
        }
        if is_grpc(request.headers()) {
            let unknown = Status::unimplemented(format!("unknown method {}", request.uri().path()));
            return Box::pin(async move { Ok(unknown.into_http()) });
        }
        let (served, meter) = (self.served.clone(), self.meter.clone());
        Box::pin(async move {
            let (parts, _) = request.into_parts();
            Ok(http::serve(served, &meter, &parts.method, &parts.uri).await)
        })
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(GRPC))
}

/// The status of an answer that is nothing but a status, 0 for any other. What the codec says about a message that is too
/// large is put into the code and the words of Go's gRPC, which etcd's clients know.
fn refine(headers: &mut HeaderMap) -> usize {
    let Some(status) = Status::from_header_map(headers) else { return Code::Ok as usize };
    let numbers = status.message().strip_prefix(TOO_LARGE).filter(|_| status.code() == Code::OutOfRange);
    let Some(numbers) = numbers else { return status.code() as usize };
    let mut numbers = numbers.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let (found, limit) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let text = format!("grpc: received message larger than max ({found} vs. {limit})");
    let refined = Status::new(Code::ResourceExhausted, text);
    refined.add_header(headers).expect("the text is plain ASCII");
    Code::ResourceExhausted as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_large_is_refused_in_the_words_that_clients_know() {
        let text =
            "Error, decoded message length too large: found 3145741 bytes, the limit is: 2097152 bytes";
        let mut headers = HeaderMap::new();
        Status::out_of_range(text).add_header(&mut headers).unwrap();
        assert_eq!(refine(&mut headers), Code::ResourceExhausted as usize);
        let refined = Status::from_header_map(&headers).unwrap();
        assert_eq!(refined.code(), Code::ResourceExhausted);
        assert_eq!(refined.message(), "grpc: received message larger than max (3145741 vs. 2097152)");
    }

    #[test]
    fn other_statuses_stay_as_they_are() {
        let compacted = crate::grpc::status::from_error(kernel::KvError::compacted());
        let mut headers = HeaderMap::new();
        assert_eq!(refine(&mut headers), 0);
        compacted.add_header(&mut headers).unwrap();
        assert_eq!(refine(&mut headers), Code::OutOfRange as usize);
        assert_eq!(Status::from_header_map(&headers).unwrap().message(), compacted.message());
    }
}
