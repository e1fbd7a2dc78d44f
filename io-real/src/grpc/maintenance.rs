//! `etcdserverpb.Maintenance`: the state of this member, and what an operator does to it.

use super::status::from_error;
use super::stubs::maintenance_server::Maintenance;
use super::{Answers, Edge, answer, not_offered};
use crate::served::{API_VERSION, Standing};
use kernel::{Code, KvError};
use tonic::{Request, Response, Status};
use wire::*;

#[tonic::async_trait]
impl Maintenance for Edge {
    type SnapshotStream = Answers<SnapshotResponse>;

    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let request = self.admit(request)?;
        match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => {
                let alarms = alarms(&self.served.standing(), &request);
                Ok(Response::new(AlarmResponse { header: Some(self.header()), alarms }))
            }
            // The space alarm ends when there is space again, CORRUPT when what is damaged is mended. What is left to be taken back
            // by hand is a difference between members of which nobody can tell who is right.
            Ok(AlarmAction::Deactivate) => {
                let standing = self.served.standing();
                let corrupt = AlarmMember { member_id: standing.member_id, alarm: AlarmType::Corrupt as i32 };
                let wanted = alarms(&standing, &request).contains(&corrupt) && self.served.disarm().await;
                let alarms = if wanted { vec![corrupt] } else { Vec::new() };
                Ok(Response::new(AlarmResponse { header: Some(self.header()), alarms }))
            }
            Ok(AlarmAction::Activate) => Err(not_offered("raising an alarm by hand")),
            Err(_) => Err(from_error(KvError::new(
                Code::InvalidArgument,
                format!("alarm action {}: not one of 0 (get), 1 (activate), 2 (deactivate)", request.action),
            ))),
        }
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.admit(request)?;
        let standing = self.served.standing();
        Ok(Response::new(StatusResponse {
            header: Some(self.header()),
            version: API_VERSION.to_string(),
            db_size: standing.db_size as i64,
            leader: standing.leader,
            raft_index: standing.committed,
            raft_term: standing.term,
            raft_applied_index: standing.applied,
            errors: complaints(&standing),
            db_size_in_use: standing.db_size_in_use as i64,
            is_learner: standing.is_learner,
            storage_version: API_VERSION.to_string(),
            db_size_quota: standing.db_quota as i64,
            downgrade_info: Some(DowngradeInfo::default()),
        }))
    }

    /// The store reuses the space it frees, so there is nothing that needs to be done.
    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.admit(request)?;
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.admit(request)?;
        let hash = self.served.hash().await;
        answer(hash.map(|hash| HashResponse { header: Some(self.header()), hash }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let request = self.admit(request)?;
        let found = self.served.hash_kv(request.revision).await;
        answer(found.map(|found| HashKvResponse {
            header: Some(self.header()),
            hash: found.hash,
            compact_revision: found.compact_revision,
            hash_revision: found.hash_revision,
        }))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(not_offered("saving a snapshot"))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        let request = self.admit(request)?;
        let moved = self.served.move_leader(request.target_id).await;
        answer(moved.map(|()| MoveLeaderResponse { header: None }))
    }

    async fn downgrade(&self, _: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        Err(not_offered("a downgrade"))
    }
}

/// The alarms that a request selects: those of this member, and those that the others have told it of.
fn alarms(standing: &Standing, request: &AlarmRequest) -> Vec<AlarmMember> {
    let mut alarms = Vec::new();
    let mut add = |kind: AlarmType, own: bool, others: &[u64]| {
        let mut members: Vec<u64> = others.iter().copied().chain(own.then_some(standing.member_id)).collect();
        members.sort_unstable();
        let selected = [AlarmType::None as i32, kind as i32].contains(&request.alarm);
        let members = members.into_iter().filter(|id| selected && [0, *id].contains(&request.member_id));
        alarms.extend(members.map(|member_id| AlarmMember { member_id, alarm: kind as i32 }));
    };
    add(AlarmType::Nospace, standing.no_space, &standing.full_peers);
    add(AlarmType::Corrupt, !standing.corrupt.is_empty(), &standing.corrupt_peers);
    alarms
}

/// What is wrong with a member, as Status says it.
fn complaints(standing: &Standing) -> Vec<String> {
    let mut complaints = Vec::new();
    if standing.leader == 0 {
        complaints.push(KvError::no_leader().message);
    }
    if standing.no_space {
        complaints.push(format!("memberID:{} alarm:NOSPACE ", standing.member_id));
    }
    if !standing.corrupt.is_empty() {
        complaints.push(format!("memberID:{} alarm:CORRUPT ", standing.member_id));
        complaints.push(standing.corrupt.clone());
    }
    complaints
}
