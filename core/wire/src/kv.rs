//! The one message of `etcdserverpb.KV` that only the edge sees: a part of a streamed range.

use kernel::types::RangeResponse;

/// One part of a streamed range; header, count and `more` are in the last only (3.7).
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeStreamResponse {
    /// The part: a slice of the keys that no other part repeats.
    #[prost(message, optional, tag = "1")]
    pub range_response: Option<RangeResponse>,
}
