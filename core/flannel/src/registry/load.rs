//! Reading everything, at one revision.

use super::{Registry, Spoilt};
use crate::subnet::Lease;
use kernel::txn::{Op, OpResponse, RequestOp, ResponseOp, TxnRequest};
use kernel::types::{KeyValue, RangeRequest, RangeResponse};
use kernel::{Code, KvError};

/// Leases of one page: about a megabyte.
pub const PAGE_LEASES: i64 = 5_000;

/// What the store holds at one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The revision.
    pub revision: i64,
    /// The text of the network config; none if there is no such key. Bytes that are not UTF-8 are replaced.
    pub config: Option<String>,
    /// The leases, by key as the store orders them.
    pub leases: Vec<Lease>,
    /// What cannot be read.
    pub spoilt: Vec<Spoilt>,
}

impl Registry {
    /// Reads the config and all leases in one transaction; with more than [`PAGE_LEASES`] the rest follows as of that revision.
    pub async fn load(&self) -> Result<Loaded, KvError> {
        let (key, range_end) = self.leases();
        let mut rest = RangeRequest { key, range_end, limit: PAGE_LEASES, ..Default::default() };
        let config = RangeRequest { key: self.config_key().into(), ..Default::default() };
        let success =
            [config, rest.clone()].map(|range| RequestOp { request: Some(Op::RequestRange(range)) });
        let request = TxnRequest { success: success.into(), ..Default::default() };
        let answer = self.kv.txn(request).await?;
        let mut loaded =
            Loaded { revision: answer.header.unwrap_or_default().revision, ..Default::default() };
        let mut ranges = answer.responses.into_iter().filter_map(range);
        let (Some(config), Some(mut page)) = (ranges.next(), ranges.next()) else {
            return Err(KvError::new(Code::Internal, "the store left out an answer of a transaction"));
        };
        loaded.config = config.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
        rest.revision = loaded.revision;
        loop {
            let next = page.kvs.last().filter(|_| page.more).map(after);
            page.kvs.iter().for_each(|kv| match self.read(kv) {
                Ok(lease) => loaded.leases.push(lease),
                Err(spoilt) => loaded.spoilt.push(spoilt),
            });
            let Some(next) = next else { return Ok(loaded) };
            rest.key = next;
            page = self.kv.range(rest.clone()).await?;
        }
    }
}

/// The first possible key after this one.
fn after(kv: &KeyValue) -> bytes::Bytes {
    let mut next = kv.key.to_vec();
    next.push(0);
    next.into()
}

pub(super) fn range(response: ResponseOp) -> Option<RangeResponse> {
    match response.response {
        Some(OpResponse::ResponseRange(range)) => Some(range),
        _ => None,
    }
}
