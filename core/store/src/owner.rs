//! Whose a data directory is, found out before anything in it is touched.
//!
//! The log's first record carries the ids that it was made with. A directory without a log may hold what a first start that was
//! cut off leaves, and nothing else: a real etcd keeps its data under the same names (`member/wal`, `member/snap`), and must
//! find them again as they were.

use crate::amnesia;
use crate::config::MemberConfig;
use crate::error::StartError;
use bytes::Bytes;
use kernel::Disk;
use prost::Message as _;
use std::io;
use wal::Wal;

/// What may lie in the member's directory, beside the state and what its name begins, and in that of its log, before there is a
/// log.
const OWN: [&str; 3] = ["lock", amnesia::MARK, "wal"];
const OWN_STATE: &str = "state.redb";
const OWN_LOG: [&str; 2] = ["next", "spare"];

/// What the log's first record says about whose it is.
#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    /// The cluster.
    #[prost(fixed64, tag = "1")]
    cluster_id: u64,
    /// The member.
    #[prost(fixed64, tag = "2")]
    member_id: u64,
    /// The member's name when the directory was made.
    #[prost(string, tag = "3")]
    name: String,
}

/// The metadata of this member's log.
pub(crate) fn metadata(config: &MemberConfig) -> Bytes {
    let name = config.this_member().map(|member| member.name.clone()).unwrap_or_default();
    let (cluster_id, member_id) = (config.cluster_id, config.member_id);
    Metadata { cluster_id, member_id, name }.encode_to_vec().into()
}

/// Refuses a directory that belongs to somebody else; otherwise says whether it holds a log. Changes nothing.
pub(crate) fn check(disk: &dyn Disk, config: &MemberConfig, wal_dir: &str) -> Result<bool, StartError> {
    let unreadable = |path: &str, error: io::Error| {
        StartError::Io(format!(
            "cannot access data directory: cannot list {path}: {error}: choose a folder that can be read and written"
        ))
    };
    let dir = &config.dir;
    if Wal::exists(disk, wal_dir).map_err(|error| unreadable(wal_dir, error))? {
        let found = Wal::metadata(disk, wal_dir).map_err(|error| StartError::Damaged(error.to_string()))?;
        // Without a whole first block it is damaged, which opening it judges.
        return found.map_or(Ok(true), |found| check_ids(config, dir, found));
    }
    for (path, known) in [(dir.as_str(), &OWN[..]), (wal_dir, &OWN_LOG[..])] {
        let names = match disk.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            names => names.map_err(|error| unreadable(path, error))?,
        };
        if let Some(name) =
            names.iter().find(|name| !known.contains(&name.as_str()) && !name.starts_with(OWN_STATE))
        {
            return Err(StartError::Foreign(format!(
                "the data directory holds {path}/{name}, which this program did not write, perhaps the data of an etcd: \
                 nothing was changed; choose an empty --data-dir"
            )));
        }
    }
    Ok(false)
}

fn check_ids(config: &MemberConfig, dir: &str, metadata: Bytes) -> Result<bool, StartError> {
    let found = Metadata::decode(metadata)
        .map_err(|error| StartError::Damaged(format!("the log's owner cannot be read: {error}")))?;
    if found.cluster_id != config.cluster_id {
        return Err(StartError::Foreign(format!(
            "the data directory {dir} belongs to cluster {:x}, but the flags make cluster {:x}: check --initial-cluster \
             and --initial-cluster-token, or choose another --data-dir",
            found.cluster_id, config.cluster_id
        )));
    }
    if found.member_id != config.member_id {
        return Err(StartError::Foreign(format!(
            "the data directory {dir} belongs to member {:x} ({:?}), but the flags make member {:x}: check --name and \
             --initial-advertise-peer-urls, or choose another --data-dir",
            found.member_id, found.name, config.member_id
        )));
    }
    Ok(true)
}
