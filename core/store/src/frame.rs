//! What members say to each other: one frame of the Net port carries one of these, encoded by prost.

use bytes::Bytes;
use consensus::Message;
use prost::Message as _;

/// The version of this protocol; a member refuses a peer that speaks another.
pub const PROTOCOL: u32 = 1;

/// One frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// What it says.
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
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
}

/// Who connects.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// Version of the protocol.
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
