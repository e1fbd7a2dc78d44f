//! Watch streams of a member: the hub of `mvcc`, with this member's headers and clock.

use crate::shared::Shared;
use kernel::types::ResponseHeader;
use kernel::{Clock, WatchStream};
use mvcc::Store;
use mvcc::watch::{Hub, StreamConfig};
use std::sync::Arc;

/// Opens a stream of the member `member_id` of `cluster_id`, over its `store`. With `require_leader` it ends when the member has known no leader for three election timeouts.
pub fn open(
    (cluster_id, member_id): (u64, u64),
    store: &Store,
    hub: &Hub,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    require_leader: bool,
) -> Box<dyn WatchStream> {
    let header = move |revision| {
        let (raft_term, _) = shared.term_and_leader();
        ResponseHeader { cluster_id, member_id, revision, raft_term }
    };
    let history = Arc::new(store.clone());
    Box::new(hub.stream(StreamConfig { history, clock, header: Arc::new(header), require_leader }))
}
