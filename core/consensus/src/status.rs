//! What a member can say about itself: for metrics, for the operator, and for decisions such as promoting a learner.

/// The part a member plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows a leader, or waits for one; learners too.
    #[default]
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads its term.
    Leader,
}

/// How the leader feeds a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// One message at a time, to learn where its log ends.
    Probe,
    /// A stream of appends.
    Replicate,
    /// It receives a snapshot; nothing else is sent until that is reported.
    Snapshot,
}

/// What a leader knows about one member, itself included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub id: u64,
    /// Does not vote.
    pub learner: bool,
    /// The peer's log is known to be durable up to here.
    pub matched: u64,
    /// The next index to send.
    pub next: u64,
    /// How it is fed.
    pub state: PeerState,
    /// It was heard of since the last check of the quorum, which is made once in an election timeout.
    pub active: bool,
}

/// A member's view of itself at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Who.
    pub id: u64,
    /// Its part.
    pub role: Role,
    /// The leader that it knows; 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// Its vote in that term; 0 for none.
    pub vote: u64,
    /// Last index known to be committed.
    pub commit: u64,
    /// Last index reported as applied.
    pub applied: u64,
    /// First index in the log in memory.
    pub first_index: u64,
    /// Last index in the log, whether durable or not.
    pub last_index: u64,
    /// Bytes of the log in memory.
    pub log_bytes: usize,
    /// Whether this member votes in the configuration it has applied.
    pub voter: bool,
    /// The member to which leadership is being handed; 0 for none.
    pub transferee: u64,
    /// Everybody, in order of id; empty unless this member leads.
    pub peers: Vec<PeerStatus>,
}
