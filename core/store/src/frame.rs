//! What members say to each other: one frame of the Net port carries one of these, encoded by prost.

use bytes::Bytes;
use consensus::Message;
use prost::Message as _;

/// The newest version of this protocol that this program speaks. Version 2 brought [`Body::StateAsk`], [`Body::StateEnd`],
/// [`Body::Standing`], [`Body::HashAsk`] and [`Body::HashAnswer`].
pub const PROTOCOL: u32 = 2;
/// The oldest version that it still speaks. Two members speak the newest that both know, and refuse each other only if one knows
/// none that the other speaks.
pub const OLDEST_PROTOCOL: u32 = 1;

/// One frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// What it says.
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub body: Option<Body>,
}

/// The kinds of frame.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// The first frame of every connection.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// A raft message.
    #[prost(message, tag = "2")]
    Raft(Message),
    /// A question about a lease, to the leader.
    #[prost(message, tag = "3")]
    LeaseAsk(LeaseAsk),
    /// The leader's answer.
    #[prost(message, tag = "4")]
    LeaseAnswer(LeaseAnswer),
    /// A part of a snapshot.
    #[prost(bytes = "bytes", tag = "5")]
    SnapshotChunk(Bytes),
    /// All parts were sent; carries the raft message that announces the snapshot.
    #[prost(message, tag = "6")]
    SnapshotEnd(Message),
    /// The receiver's verdict on the snapshot.
    #[prost(message, tag = "7")]
    SnapshotVerdict(SnapshotVerdict),
    /// A question of a member that has no past of its own (see `amnesia`).
    #[prost(message, tag = "8")]
    PastAsk(PastAsk),
    /// What the member asked knows of the past.
    #[prost(message, tag = "9")]
    PastAnswer(PastAnswer),
    /// The leader remembers more of the addressee's log than the addressee has.
    #[prost(message, tag = "10")]
    Reminder(Reminder),
    /// A member whose state is damaged asks for that of the addressee.
    #[prost(message, tag = "11")]
    StateAsk(StateAsk),
    /// All parts of a state that was asked for were sent.
    #[prost(message, tag = "12")]
    StateEnd(StateEnd),
    /// How the sender stands, once a second.
    #[prost(message, tag = "13")]
    Standing(Standing),
    /// A member that checks itself asks for a digest of the addressee's keys.
    #[prost(message, tag = "14")]
    HashAsk(HashAsk),
    /// The digest.
    #[prost(message, tag = "15")]
    HashAnswer(HashAnswer),
}

/// Who connects.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// The oldest version of the protocol that the sender speaks. Version 1 refuses a peer in whose hello this is not 1.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The sender's cluster.
    #[prost(fixed64, tag = "2")]
    pub cluster_id: u64,
    /// The sender.
    #[prost(fixed64, tag = "3")]
    pub from: u64,
    /// Whom the sender means.
    #[prost(fixed64, tag = "4")]
    pub to: u64,
    /// Differs between two lives of one member.
    #[prost(fixed64, tag = "5")]
    pub incarnation: u64,
    /// The end of the sender's log when it started to live.
    #[prost(uint64, tag = "6")]
    pub last_index: u64,
    /// The connection carries a snapshot and nothing else.
    #[prost(bool, tag = "7")]
    pub snapshot: bool,
    /// The sender's name, for messages to people.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The newest version of the protocol that the sender speaks; 0, from version 1, which has no such field, means 1.
    #[prost(uint32, tag = "9")]
    pub newest: u32,
}

impl Hello {
    /// The version that a member which speaks up to `mine` and the sender have in common; none if there is none.
    pub fn common(&self, mine: u32) -> Option<u32> {
        let common = self.newest.max(1).min(mine);
        (common >= self.protocol.max(OLDEST_PROTOCOL)).then_some(common)
    }
}

/// Send me your state.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StateAsk {
    /// One of an older index is of no use.
    #[prost(uint64, tag = "1")]
    pub at_least: u64,
}

/// What was sent before is a whole state.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StateEnd {
    /// The index of its last entry.
    #[prost(uint64, tag = "1")]
    pub index: u64,
}

/// What is HashKV of your keys?
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HashAsk {
    /// Up to this revision.
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

/// Answer to a [`HashAsk`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HashAnswer {
    /// From the question.
    #[prost(int64, tag = "1")]
    pub revision: i64,
    /// The compacted revision from which it was made.
    #[prost(sint64, tag = "2")]
    pub compacted: i64,
    /// The digest.
    #[prost(fixed32, tag = "3")]
    pub hash: u32,
}

/// How a member stands.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Standing {
    /// An index that it has applied; 0 for none.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Its state hash after that index.
    #[prost(fixed64, tag = "2")]
    pub state_hash: u64,
    /// What it stores is damaged, or not what the others have.
    #[prost(bool, tag = "3")]
    pub corrupt: bool,
    /// It refuses writes for want of space.
    #[prost(bool, tag = "4")]
    pub no_space: bool,
}

/// Renews a lease, or asks for its remaining time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseAsk {
    /// Comes back with the answer.
    #[prost(uint64, tag = "1")]
    pub request: u64,
    /// The lease.
    #[prost(int64, tag = "2")]
    pub lease: i64,
    /// Renew it, not just look.
    #[prost(bool, tag = "3")]
    pub renew: bool,
}

/// Answer to a [`LeaseAsk`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct LeaseAnswer {
    /// From the question.
    #[prost(uint64, tag = "1")]
    pub request: u64,
    /// Seconds; of a renewal the full TTL (0 where there is no such lease), else what remains (-1 where there is none).
    #[prost(int64, tag = "2")]
    pub ttl: i64,
    /// The member asked does not lead: ask again.
    #[prost(bool, tag = "3")]
    pub not_leader: bool,
}

/// How far has the cluster come, as far as you know?
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PastAsk {
    /// Comes back with the answer: differs between two lives of one member.
    #[prost(fixed64, tag = "1")]
    pub life: u64,
}

/// Answer to a [`PastAsk`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PastAnswer {
    /// From the question.
    #[prost(fixed64, tag = "1")]
    pub life: u64,
    /// The term of the member asked.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// The end of its log, or up to where it once reached.
    #[prost(uint64, tag = "3")]
    pub last_index: u64,
}

/// You have forgotten something.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Reminder {
    /// Up to where the addressee had acknowledged entries in an earlier life.
    #[prost(uint64, tag = "1")]
    pub acknowledged: u64,
}

/// Whether a snapshot arrived whole.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotVerdict {
    /// Empty when it did.
    #[prost(string, tag = "1")]
    pub refused: String,
}

impl Body {
    /// The version of the protocol that brought this kind. A peer that speaks less must not be sent one: it would break the
    /// connection.
    pub fn since(&self) -> u32 {
        match self {
            Body::StateAsk(_)
            | Body::StateEnd(_)
            | Body::Standing(_)
            | Body::HashAsk(_)
            | Body::HashAnswer(_) => 2,
            _ => 1,
        }
    }

    /// The frame that carries it.
    pub fn into_frame(self) -> Bytes {
        Frame { body: Some(self) }.encode_to_vec().into()
    }

    /// Reads a frame.
    pub fn decode(frame: Bytes) -> Result<Body, String> {
        let frame =
            Frame::decode(frame).map_err(|error| format!("a peer's frame cannot be read: {error}"))?;
        frame.body.ok_or_else(|| "a peer sent a frame of a kind that this version does not know".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(protocol: u32, newest: u32) -> Hello {
        Hello { protocol, newest, ..Hello::default() }
    }

    #[test]
    fn two_members_speak_the_newest_that_both_know() {
        assert_eq!(hello(1, 0).common(1), Some(1), "version 1 says nothing of a newest");
        assert_eq!(hello(1, 0).common(2), Some(1));
        assert_eq!(hello(1, 2).common(1), Some(1));
        assert_eq!(hello(1, 2).common(2), Some(2));
        assert_eq!(hello(1, 9).common(2), Some(2));
        assert_eq!(hello(3, 9).common(2), None, "it has forgotten what this one speaks");
    }

    #[test]
    fn a_hello_of_version_1_reads_as_it_was_written() {
        // Written by version 1: fields 1 to 8.
        #[derive(Clone, PartialEq, prost::Message)]
        struct Old {
            #[prost(uint32, tag = "1")]
            protocol: u32,
            #[prost(fixed64, tag = "2")]
            cluster_id: u64,
            #[prost(string, tag = "8")]
            name: String,
        }
        let old = Old { protocol: 1, cluster_id: 7, name: "a".to_string() };
        let read = Hello::decode(old.encode_to_vec().as_slice()).unwrap();
        assert_eq!((read.cluster_id, read.name.as_str(), read.common(PROTOCOL)), (7, "a", Some(1)));
        let new = Hello {
            protocol: OLDEST_PROTOCOL,
            newest: PROTOCOL,
            cluster_id: 7,
            name: "b".into(),
            ..Hello::default()
        };
        let read = Old::decode(new.encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            read,
            Old { protocol: 1, cluster_id: 7, name: "b".to_string() },
            "version 1 takes it for its like"
        );
    }
}
