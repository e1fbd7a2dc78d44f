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
            // The space alarm clears itself when there is space again, so there is never one to clear by hand.
            Ok(AlarmAction::Get | AlarmAction::Deactivate) => {
                let alarms = self.alarms(&request);
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

impl Edge {
    /// The alarms that a request selects; to be cleared there are none.
    fn alarms(&self, request: &AlarmRequest) -> Vec<AlarmMember> {
        let standing = self.served.standing();
        let space = AlarmMember { member_id: standing.member_id, alarm: AlarmType::Nospace as i32 };
        let selected = request.action == AlarmAction::Get as i32
            && [0, space.member_id].contains(&request.member_id)
            && [AlarmType::None as i32, space.alarm].contains(&request.alarm);
        if standing.no_space && selected { vec![space] } else { Vec::new() }
    }
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
    complaints
}
