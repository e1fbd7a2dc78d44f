//! What a planted bug makes of a peer's message.
//!
//! Raft itself is a crate that is not ours to break, so its classic mistakes are planted one step before it: it is told what a
//! wrong implementation would have concluded. Without a bug every message is passed on as it came.

use consensus::{Message, MessageKind};
use kernel::{Bug, Planted};

/// Above the index and the term of any log, and no more than what consensus lets pass.
const LONGEST: u64 = u64::MAX / 4;

/// `message`, as a member with the bug understands it.
pub fn understood(planted: Planted, mut message: Message) -> Message {
    match MessageKind::try_from(message.kind) {
        Ok(MessageKind::RequestVote | MessageKind::RequestPreVote) if planted.is(Bug::VoteForShorterLog) => {
            (message.log_term, message.index) = (LONGEST, LONGEST);
        }
        Ok(MessageKind::AppendResponse) if planted.is(Bug::RefusalCounts) => message.reject = false,
        _ => {}
    }
    message
}
