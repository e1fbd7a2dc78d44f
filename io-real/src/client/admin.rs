//! The calls of an operator: members, maintenance, health.
//!
//! Most of them concern the one member that answers, so a tool that asks several members makes a client for each.

use super::Client;
use super::calls::{once, repeat, stub};
use crate::grpc::stubs::{
    cluster_client::ClusterClient, health_client::HealthClient, maintenance_client::MaintenanceClient,
};
use kernel::KvError;
use wire::*;

impl Client {
    /// The members; confirmed by a quorum if `linearizable`.
    pub async fn member_list(&self, linearizable: bool) -> Result<MemberListResponse, KvError> {
        repeat!(self, ClusterClient, member_list, MemberListRequest { linearizable }).await
    }

    /// Adds a member that the others will reach at `peer_urls`.
    pub async fn member_add(
        &self,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> Result<MemberAddResponse, KvError> {
        once!(self, ClusterClient, member_add, MemberAddRequest { peer_urls, is_learner }).await
    }

    /// Removes a member, for ever.
    pub async fn member_remove(&self, id: u64) -> Result<MemberRemoveResponse, KvError> {
        once!(self, ClusterClient, member_remove, MemberRemoveRequest { id }).await
    }

    /// Changes where a member is reached.
    pub async fn member_update(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<MemberUpdateResponse, KvError> {
        once!(self, ClusterClient, member_update, MemberUpdateRequest { id, peer_urls }).await
    }

    /// Makes a learner a voter.
    pub async fn member_promote(&self, id: u64) -> Result<MemberPromoteResponse, KvError> {
        once!(self, ClusterClient, member_promote, MemberPromoteRequest { id }).await
    }

    /// The state of the member that answers.
    pub async fn status(&self) -> Result<StatusResponse, KvError> {
        repeat!(self, MaintenanceClient, status, StatusRequest {}).await
    }

    /// Hash over the keys of the member that answers, up to `revision`; 0 for the newest.
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse, KvError> {
        repeat!(self, MaintenanceClient, hash_kv, HashKvRequest { revision }).await
    }

    /// Hash over the whole store of the member that answers.
    pub async fn hash(&self) -> Result<HashResponse, KvError> {
        repeat!(self, MaintenanceClient, hash, HashRequest {}).await
    }

    /// Lists, raises or clears alarms.
    pub async fn alarm(&self, request: AlarmRequest) -> Result<AlarmResponse, KvError> {
        once!(self, MaintenanceClient, alarm, request).await
    }

    /// Hands leadership to `target_id`; to be asked of the leader.
    pub async fn move_leader(&self, target_id: u64) -> Result<MoveLeaderResponse, KvError> {
        once!(self, MaintenanceClient, move_leader, MoveLeaderRequest { target_id }).await
    }

    /// Gives free space of the answering member's store back to the file system.
    pub async fn defragment(&self) -> Result<DefragmentResponse, KvError> {
        once!(self, MaintenanceClient, defragment, DefragmentRequest {}).await
    }

    /// Whether a gRPC service serves; the empty name means the server.
    pub async fn health(&self, service: &str) -> Result<HealthCheckResponse, KvError> {
        repeat!(self, HealthClient, check, HealthCheckRequest { service: service.to_string() }).await
    }
}
