//! The ids of members and of the cluster: hashes that every member computes alike from the same flags.
//!
//! The scheme is etcd's, so a cluster made from the same flags has the same ids: a member's id is the first eight bytes of
//! SHA-1 over its sorted peer URLs and the cluster token, the cluster's over its members' ids in ascending order.

use sha1::{Digest, Sha1};

/// The id of a member known at the cluster's start. `peer_urls` must be sorted.
pub fn member_id(peer_urls: &[String], token: &str) -> u64 {
    assert!(peer_urls.is_sorted(), "the hash depends on the order");
    first_bytes(&[peer_urls.concat().as_bytes(), token.as_bytes()].concat())
}

/// The id of the cluster of these members.
pub fn cluster_id(members: impl Iterator<Item = u64>) -> u64 {
    let mut members: Vec<u64> = members.collect();
    members.sort_unstable();
    first_bytes(&members.iter().flat_map(|id| id.to_be_bytes()).collect::<Vec<u8>>())
}

fn first_bytes(data: &[u8]) -> u64 {
    let hash = Sha1::digest(data);
    u64::from_be_bytes(*hash.first_chunk().expect("a SHA-1 hash has 20 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_etcd_computed_them() {
        let id = |url: &str| member_id(&[url.to_string()], "etcd-cluster");
        assert_eq!(id("http://localhost:2380"), 0x8e9e05c52164694d);
        assert_eq!(id("http://127.0.0.1:24380"), 0xb5179d13d0285315);
        assert_eq!(cluster_id([0xb5179d13d0285315].into_iter()), 0x534a021c215e0774);
        let three = ["http://127.0.0.1:24411", "http://127.0.0.1:24412", "http://127.0.0.1:24413"].map(id);
        assert_eq!(three, [0xbdc54de886900cec, 0x727f8e6a0e54b9b4, 0xbf01cb0ce068413d]);
        assert_eq!(cluster_id(three.into_iter()), 0xfa42c3c5a49a2dce);
    }
}
