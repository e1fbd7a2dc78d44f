//! What the cluster knows about its members: who votes, by consensus, and under which name and URLs clients find each, by what
//! each member publishes about itself through the log when it starts.
//!
//! Both live in the state beside the applied index (as one opaque value there), so they survive restarts and travel in
//! snapshots.

use crate::config::{MemberConfig, Peer};
use bytes::Bytes;
use consensus::ConfState;
use prost::Message as _;

/// What a member publishes about itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Attributes {
    /// The member.
    #[prost(fixed64, tag = "1")]
    pub member: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The URLs that it advertises to clients.
    #[prost(string, repeated, tag = "3")]
    pub client_urls: Vec<String>,
}

/// The members at one index of the log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Membership {
    /// Who votes.
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    /// What members have published, by member.
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attributes>,
}

impl Attributes {
    /// What the member of `config` has to publish.
    pub fn of(config: &MemberConfig) -> Attributes {
        let (name, client_urls) =
            config.this_member().map(|me| (me.name.clone(), me.client_urls.clone())).unwrap_or_default();
        Attributes { member: config.member_id, name, client_urls }
    }
}

impl Membership {
    /// The membership of a cluster that was never changed, before anybody has published anything.
    pub fn founding(config: &MemberConfig) -> Membership {
        let mut voters: Vec<u64> = config.members.iter().map(|member| member.id).collect();
        voters.sort_unstable();
        let conf_state = Some(ConfState { voters, ..Default::default() });
        Membership { conf_state, attributes: Vec::new() }
    }

    /// Reads what [`Membership::to_bytes`] wrote.
    pub fn from_bytes(bytes: Bytes) -> Result<Membership, String> {
        Membership::decode(bytes)
            .map_err(|error| format!("the membership in the state cannot be read: {error}"))
    }

    /// Its form in the state.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Replaces what a member has published.
    pub fn publish(&mut self, published: Attributes) {
        self.attributes.retain(|one| one.member != published.member);
        self.attributes.push(published);
        self.attributes.sort_by_key(|one| one.member);
    }

    /// Whether exactly this has been published already.
    pub fn has_published(&self, attributes: &Attributes) -> bool {
        self.attributes.contains(attributes)
    }

    /// The members as clients see them: a member that has published nothing yet has no name and no client URLs.
    pub fn members(&self, config: &MemberConfig) -> Vec<Peer> {
        let published = |id| self.attributes.iter().find(|one| one.member == id).cloned().unwrap_or_default();
        let members = config.members.iter().map(|member| {
            let Attributes { name, client_urls, .. } = published(member.id);
            Peer { name, client_urls, ..member.clone() }
        });
        members.collect()
    }
}
