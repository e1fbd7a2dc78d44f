//! `etcdserverpb.Cluster`: who the members are. They cannot be changed yet while a cluster runs.

use super::stubs::cluster_server::Cluster;
use super::{Edge, answer, not_offered};
use tonic::{Request, Response, Status};
use wire::*;

const CHANGE: &str = "changing the members of a running cluster";

#[tonic::async_trait]
impl Cluster for Edge {
    async fn member_add(&self, _: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        Err(not_offered(CHANGE))
    }

    async fn member_remove(
        &self,
        _: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(not_offered(CHANGE))
    }

    async fn member_update(
        &self,
        _: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(not_offered(CHANGE))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let request = self.admit(request)?;
        let members = self.served.members(request.linearizable).await;
        answer(
            members
                .map(|members| MemberListResponse { header: Some(self.header_without_revision()), members }),
        )
    }

    async fn member_promote(
        &self,
        _: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(not_offered(CHANGE))
    }
}
