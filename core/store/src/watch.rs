//! Watch streams of a member: the hub of `mvcc`, with this member's headers and clock.

use crate::member::Member;
use crate::shared::Shared;
use kernel::types::ResponseHeader;
use kernel::{Clock, WatchStream};
use mvcc::watch::{Hub, StreamConfig};
use std::sync::Arc;

/// Opens a stream at `member`. With `require_leader` it ends when the member has known no leader for three election timeouts.
pub fn open(
    member: &Member,
    hub: &Hub,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    require_leader: bool,
) -> Box<dyn WatchStream> {
    let (cluster_id, member_id) = (member.config().cluster_id, member.config().member_id);
    let header = move |revision| {
        let (raft_term, _) = shared.term_and_leader();
        ResponseHeader { cluster_id, member_id, revision, raft_term }
    };
    let history = Arc::new(member.store().clone());
    Box::new(hub.stream(StreamConfig { history, clock, header: Arc::new(header), require_leader }))
}
