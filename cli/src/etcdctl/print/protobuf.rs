//! The protobuf format: the encoded message, with nothing behind it.

use super::*;
use prost::Message;

/// `None` where etcdctl offers no protobuf: lists made by asking several endpoints are no message.
pub(super) fn render(reply: &Reply) -> Option<Vec<u8>> {
    // Lease replies are encoded as their header alone, as etcdctl does.
    let header = |header: &Option<ResponseHeader>| header.unwrap_or_default().encode_to_vec();
    Some(match reply {
        Reply::Get { response, .. } => response.encode_to_vec(),
        Reply::Put(response) => response.encode_to_vec(),
        Reply::Delete(response) => response.encode_to_vec(),
        Reply::Txn(response) => response.encode_to_vec(),
        Reply::Watch(response) => WatchResponse { watch_id: 0, ..response.clone() }.encode_to_vec(),
        Reply::Grant(response) => header(&response.header),
        Reply::Revoke(_, response) => header(&response.header),
        Reply::KeepAlive(response) => header(&response.header),
        Reply::TimeToLive { response, .. } => header(&response.header),
        Reply::Leases(response) => header(&response.header),
        Reply::Members(response) => response.encode_to_vec(),
        Reply::Alarms(response) => response.encode_to_vec(),
        Reply::MoveLeader { response, .. } => response.encode_to_vec(),
        Reply::Status(_) | Reply::Health(_) | Reply::HashKv(_) => return None,
    })
}
