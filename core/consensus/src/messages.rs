//! The types of consensus that reach a network or a disk. Written by hand for prost; the field numbers are the format.
//!
//! A field number is never reused and an enum value never changes its meaning: two members of different versions speak
//! these to each other, and a log written by one version is read by the next.

use bytes::Bytes;

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EntryKind {
    /// A proposal's bytes; empty for the entry with which a leader begins its term.
    Normal = 0,
    /// An encoded [`ConfChange`].
    ConfChange = 1,
}

/// One entry of the replicated log.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entry {
    /// Position in the log, from 1.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Term of the leader that created it.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// What `data` is.
    #[prost(enumeration = "EntryKind", tag = "3")]
    pub kind: i32,
    /// The payload.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// Opaque to consensus; travels with the entry.
    #[prost(bytes = "bytes", tag = "5")]
    pub context: Bytes,
}

/// What a member must not forget: its term, its vote in it, and (as a hint) how far it knew the log to be committed.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HardState {
    /// Latest term seen.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Candidate voted for in `term`; 0 for none.
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    /// Highest index known to be committed.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}

/// Who takes part. `voters_outgoing` is not empty while two configurations are in force together (joint consensus).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfState {
    /// Members that vote.
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
    /// Members that receive the log and do not vote.
    #[prost(uint64, repeated, tag = "2")]
    pub learners: Vec<u64>,
    /// Voters of the configuration that is being left; empty outside of joint consensus.
    #[prost(uint64, repeated, tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners when the old configuration is left.
    #[prost(uint64, repeated, tag = "4")]
    pub learners_next: Vec<u64>,
    /// The leader leaves the joint configuration by itself.
    #[prost(bool, tag = "5")]
    pub auto_leave: bool,
}

/// Where a snapshot of the state machine stands in the log. The state itself travels outside of consensus.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SnapshotMark {
    /// Last index that the snapshot holds.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Term of the entry at `index`.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// Configuration in force at `index`.
    #[prost(message, optional, tag = "3")]
    pub conf_state: Option<ConfState>,
}

/// What happens to one member in a [`ConfChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ChangeKind {
    /// It becomes a voter: new, or promoted from learner.
    AddVoter = 0,
    /// It is removed.
    Remove = 1,
    /// It becomes a learner: new, or demoted from voter.
    AddLearner = 2,
}

/// One member's part of a [`ConfChange`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Change {
    /// What happens.
    #[prost(enumeration = "ChangeKind", tag = "1")]
    pub kind: i32,
    /// To whom.
    #[prost(uint64, tag = "2")]
    pub id: u64,
}

/// How the new configuration is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Transition {
    /// At once when only one member changes, through joint consensus (left by itself) otherwise.
    Auto = 0,
    /// Through joint consensus, left by itself.
    Joint = 1,
    /// Through joint consensus, left by an empty [`ConfChange`] that the user proposes.
    JointExplicit = 2,
}

/// A change of membership. Without changes and with [`Transition::Auto`] it leaves a joint configuration.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfChange {
    /// How to get there.
    #[prost(enumeration = "Transition", tag = "1")]
    pub transition: i32,
    /// What changes.
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<Change>,
    /// Opaque to consensus; comes back with the committed entry.
    #[prost(bytes = "bytes", tag = "3")]
    pub context: Bytes,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MessageKind {
    /// Nothing: a message whose kind was not set.
    Unspecified = 0,
    /// A follower hands proposals to its leader.
    Propose = 1,
    /// Entries, from the leader.
    Append = 2,
    /// Accepted up to `index`, or rejected with a hint.
    AppendResponse = 3,
    /// A candidate asks for a vote.
    RequestVote = 4,
    /// The answer.
    RequestVoteResponse = 5,
    /// Would you vote for me in the next term?
    RequestPreVote = 6,
    /// The answer.
    RequestPreVoteResponse = 7,
    /// A follower is behind the log and gets the state instead.
    Snapshot = 8,
    /// I lead; and, with a context, do you agree that I still do?
    Heartbeat = 9,
    /// The answer, with the context.
    HeartbeatResponse = 10,
    /// The leader asks its chosen successor to campaign at once.
    TimeoutNow = 11,
    /// A follower asks its leader at which index a read is safe.
    ReadIndex = 12,
    /// The answer.
    ReadIndexResponse = 13,
}

/// One message between two members. Which fields matter depends on the kind.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// What it says.
    #[prost(enumeration = "MessageKind", tag = "1")]
    pub kind: i32,
    /// The receiver.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// The sender.
    #[prost(uint64, tag = "3")]
    pub from: u64,
    /// The sender's term; 0 in `Propose` and `ReadIndex`, which belong to no term.
    #[prost(uint64, tag = "4")]
    pub term: u64,
    /// Term of the entry at `index` (append), of the hint (rejected append), of the last entry (vote).
    #[prost(uint64, tag = "5")]
    pub log_term: u64,
    /// The entry before `entries` (append), the accepted or rejected one (response), the last one (vote), the safe one (read).
    #[prost(uint64, tag = "6")]
    pub index: u64,
    /// The entries.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    /// The sender's commit index.
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    /// Term of the entry at `commit` (votes).
    #[prost(uint64, tag = "9")]
    pub commit_term: u64,
    /// Where the snapshot stands.
    #[prost(message, optional, tag = "10")]
    pub snapshot: Option<SnapshotMark>,
    /// The answer is no.
    #[prost(bool, tag = "11")]
    pub reject: bool,
    /// Where a rejected append may fit.
    #[prost(uint64, tag = "12")]
    pub reject_hint: u64,
    /// Of a read (heartbeat), or the sign of a forced election (vote).
    #[prost(bytes = "bytes", tag = "13")]
    pub context: Bytes,
    /// Of a granted vote: for so many milliseconds its sender has heard no leader. Set and read by the owner, not by consensus.
    #[prost(uint64, tag = "14")]
    pub quiet_ms: u64,
}

impl Entry {
    /// A member of the log that changes the configuration.
    pub fn is_conf_change(&self) -> bool {
        self.kind == EntryKind::ConfChange as i32
    }
}

impl ConfState {
    /// A configuration of voters and learners, not joint.
    pub fn new(voters: Vec<u64>, learners: Vec<u64>) -> Self {
        ConfState { voters, learners, ..Default::default() }
    }

    /// Whether `id` has a part in it, whatever part.
    pub fn contains(&self, id: u64) -> bool {
        let all = [&self.voters, &self.learners, &self.voters_outgoing];
        all.iter().any(|members| members.contains(&id))
    }

    /// Whether two configurations are in force together.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }
}

impl ConfChange {
    /// One change, entered at once.
    pub fn one(kind: ChangeKind, id: u64) -> Self {
        ConfChange { changes: vec![Change { kind: kind as i32, id }], ..Default::default() }
    }

    /// Several changes, entered together through joint consensus.
    pub fn joint(changes: impl IntoIterator<Item = (ChangeKind, u64)>) -> Self {
        let changes = changes.into_iter().map(|(kind, id)| Change { kind: kind as i32, id }).collect();
        ConfChange { transition: Transition::Joint as i32, changes, context: Bytes::new() }
    }

    /// Leaves a joint configuration.
    pub fn leave_joint() -> Self {
        ConfChange::default()
    }
}

impl Message {
    /// Whether this is the message with which a snapshot is announced; the owner sends the state along with it.
    pub fn is_snapshot(&self) -> bool {
        self.kind == MessageKind::Snapshot as i32
    }

    /// The index of the snapshot that this message announces; 0 when it announces none.
    pub fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |mark| mark.index)
    }
}
