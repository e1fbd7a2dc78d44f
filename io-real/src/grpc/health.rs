//! `grpc.health.v1.Health`: whether this server serves, for load balancers.
//!
//! The server as a whole and each of its services serve from the first request to the stop.

use super::stubs::health_server::Health;
use super::{Answers, Edge};
use futures_util::stream;
use tonic::{Request, Response, Status};
use wire::{HealthCheckRequest, HealthCheckResponse, ServingStatus};

/// The names that may be asked about; the empty one is the server.
const SERVICES: [&str; 7] = [
    "",
    "etcdserverpb.KV",
    "etcdserverpb.Watch",
    "etcdserverpb.Lease",
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Auth",
];

#[tonic::async_trait]
impl Health for Edge {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(answer(serving(self.stopping.said()))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.get_ref().service.as_str());
        let first = if known { serving(self.stopping.said()) } else { ServingStatus::ServiceUnknown };
        let answers = stream::unfold((self.stopping.clone(), None), move |(mut stopping, last)| async move {
            let status = match last {
                None => first,
                // The stop is the only change there is, and the last.
                Some(ServingStatus::NotServing) => return None,
                Some(_) => {
                    stopping.wait().await;
                    ServingStatus::NotServing
                }
            };
            Some((Ok(answer(status)), (stopping, Some(status))))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn serving(stopping: bool) -> ServingStatus {
    if stopping { ServingStatus::NotServing } else { ServingStatus::Serving }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}
