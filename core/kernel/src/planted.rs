//! Bugs that the mutation test plants, to prove that the simulator finds them.
//!
//! Without `--cfg orlop_mutations` a [`Planted`] is an empty value and [`Planted::is`] is constantly false; the `orlop`
//! program refuses to compile with that cfg, so no production build can carry one.

/// The bugs, each at one place in `core/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A write is acknowledged before the log was synced.
    AckBeforeSync,
    /// The vote of a term is forgotten over a restart, so that it is given twice.
    VoteTwice,
    /// A leader serves a linearizable read without asking a quorum whether it still leads.
    ReadFromDeposed,
    /// Recovery applies an entry that the state already holds.
    ApplyTwice,
    /// The last record of a segment is dropped when the log rolls to the next one.
    DropRecordOnRoll,
    /// A follower expires leases by its own clock.
    FollowerExpiresLease,
    /// A watcher that lagged misses one event when it catches up.
    SkipSlowWatcherEvent,
    /// A member grants its vote to a candidate whose log is shorter than its own.
    VoteForShorterLog,
    /// A leader takes a follower's refusal of an append for its acceptance.
    RefusalCounts,
    /// A new leader answers reads at the commit index that it knows, before an entry of its own term is committed.
    ReadBeforeOwnTerm,
    /// Votes and acknowledgements leave before what they promise is on disk.
    PromiseBeforePersist,
    /// A leader counts its own copy of an entry before it is on disk.
    CountUnsynced,
    /// A confirmation of leadership serves reads too that arrived after it was asked for.
    ReadsJoinLate,
    /// A linearizable read does not wait until the index that was confirmed is applied.
    ReadBeforeApplied,
    /// A proposal that may be in the log already is handed to the next leader again.
    ProposeAgain,
    /// A proposal whose fate is open is answered as one that was certainly refused.
    LostMeansRefused,
    /// Recovery keeps the entries behind one that a later leader has replaced.
    KeepConflictingSuffix,
    /// A new segment is used before its name is durable.
    SegmentNameNotSynced,
    /// Segments are given up that no checkpoint covers yet.
    ReleaseBeforeCheckpoint,
    /// A member whose disk was wiped votes before it knows what it had promised.
    WipedVotesAtOnce,
    /// A checkpoint counts as durable before it is synced.
    CheckpointWithoutSync,
    /// A checkpoint stores the applied index of the one before.
    AppliedNotWithRows,
    /// A checkpoint leaves a revoked lease in the file.
    CheckpointKeepsRevoked,
    /// A flush drops the rows from memory too that came while it ran.
    FlushDropsNewerRows,
    /// A snapshot leaves out the leases.
    SnapshotWithoutLeases,
    /// A snapshot does not say up to where the history is compacted.
    SnapshotWithoutCompaction,
    /// Compaction takes the version away that a read at the compacted revision sees.
    CompactOneTooFar,
    /// Compaction removes the newest version of a live key.
    CompactNewest,
    /// A command that only deletes makes no revision.
    DeleteNotCounted,
    /// The condition of an inner transaction sees what the outer one has written.
    CompareSeesOwnWrites,
    /// A watcher from a compacted revision goes on where history begins, instead of an error.
    WatchFromCompacted,
    /// Of several changes at one revision history gives the first.
    OneEventARevision,
    /// The previous value of an event is looked up at the event's own revision.
    PrevKvOfSelf,
    /// A put without a lease leaves the key attached to its old one.
    PutKeepsLease,
    /// Progress is told to a watcher that lags.
    ProgressBeforeEvents,
    /// A snapshot moves the revision without letting the watchers catch up.
    InstallForgetsWatchers,
    /// A watcher that has caught up is told the last revision again.
    CatchUpRepeatsLast,
    /// A lease is renewed whose deadline has passed, and whose end may be in the log.
    RenewAfterExpiry,
    /// A new leader sets no deadline for the leases that it finds.
    NewLeaderForgetsLeases,
    /// A new leader gives the leases that it finds half of their time.
    NewLeaderHurriesLeases,
    /// A leader renews a lease without asking a quorum whether it still leads.
    RenewUnconfirmed,
    /// What is read from the state's file is served though it is not what was written.
    ServeDamaged,
    /// What the scrub finds counts as nothing.
    ScrubIgnored,
    /// A member whose log lost its votes takes part in elections as if it had given none.
    LostVoteVotes,
    /// A part of a snapshot is taken though its checksum is wrong.
    SnapshotUnchecked,
    /// Over a restart a member forgets that it lost what it had acknowledged.
    QuarantineForgotten,
    /// A state that was fetched takes over without what was applied here since.
    RepairGoesBack,
    /// The engine frees a unit that it took from a machine before the machine has let go of it.
    FreeBeforeRelease,
    /// The engine frees a unit with the policy `hold` whose machine is cut off.
    HoldGivenUp,
    /// The engine does not wait for the grace of a unit with the policy `stop`.
    StopWithoutGrace,
    /// The agent installs and starts a unit before its claim is in the store.
    StartBeforeClaim,
    /// The agent takes a unit's file away, and says that it has let go, while its process runs.
    UninstallBeforeRest,
    /// The agent goes on as if nothing was missed when signals were lost.
    IgnoreResync,
    /// The agent lets a unit with the policy `stop` run on when it is cut off.
    CutOffRunsOn,
    /// The scheduler looks at the patterns of the newcomer only, not at those of the units that are there.
    ConflictOneWay,
    /// A lease of flannel's is created without the compare that its key is free.
    CreateUncompared,
    /// A machine holds on to its subnet though it could not renew the lease in time.
    ExpiryIgnored,
    /// One key below the leases that cannot be read costs all peers.
    SpoiltDropsAll,
    /// Leases that went while nobody watched are still known after everything was read anew.
    GoneKeptOverResync,
    /// The forwarding entry of a peer's old MAC stays when the peer has another.
    OldForwardingStays,
    /// Hints of the kernel that were lost are no reason to look.
    HintLossIgnored,
    /// The subnet of the last time is taken without a look at who holds it now.
    PreviousUnchecked,
    /// What is to go from the kernel's tables goes before what takes its place is there.
    DeleteBeforeAdd,
    /// A renewal counts as one though the store says that there is no such lease.
    RenewalOfNothing,
}

impl Bug {
    /// Those of fleet.
    pub const FLEET: [Bug; 8] = [
        Bug::FreeBeforeRelease,
        Bug::HoldGivenUp,
        Bug::StopWithoutGrace,
        Bug::StartBeforeClaim,
        Bug::UninstallBeforeRest,
        Bug::IgnoreResync,
        Bug::CutOffRunsOn,
        Bug::ConflictOneWay,
    ];

    /// Those of flannel.
    pub const FLANNEL: [Bug; 9] = [
        Bug::CreateUncompared,
        Bug::ExpiryIgnored,
        Bug::SpoiltDropsAll,
        Bug::GoneKeptOverResync,
        Bug::OldForwardingStays,
        Bug::HintLossIgnored,
        Bug::PreviousUnchecked,
        Bug::DeleteBeforeAdd,
        Bug::RenewalOfNothing,
    ];

    /// Those of the store, in the order of the list in the mutation test.
    pub const STORE: [Bug; 41] = [
        Bug::AckBeforeSync,
        Bug::VoteTwice,
        Bug::ReadFromDeposed,
        Bug::ApplyTwice,
        Bug::DropRecordOnRoll,
        Bug::FollowerExpiresLease,
        Bug::SkipSlowWatcherEvent,
        Bug::VoteForShorterLog,
        Bug::RefusalCounts,
        Bug::ReadBeforeOwnTerm,
        Bug::PromiseBeforePersist,
        Bug::CountUnsynced,
        Bug::ReadsJoinLate,
        Bug::ReadBeforeApplied,
        Bug::ProposeAgain,
        Bug::LostMeansRefused,
        Bug::KeepConflictingSuffix,
        Bug::SegmentNameNotSynced,
        Bug::ReleaseBeforeCheckpoint,
        Bug::WipedVotesAtOnce,
        Bug::CheckpointWithoutSync,
        Bug::AppliedNotWithRows,
        Bug::CheckpointKeepsRevoked,
        Bug::FlushDropsNewerRows,
        Bug::SnapshotWithoutLeases,
        Bug::SnapshotWithoutCompaction,
        Bug::CompactOneTooFar,
        Bug::CompactNewest,
        Bug::DeleteNotCounted,
        Bug::CompareSeesOwnWrites,
        Bug::WatchFromCompacted,
        Bug::OneEventARevision,
        Bug::PrevKvOfSelf,
        Bug::PutKeepsLease,
        Bug::ProgressBeforeEvents,
        Bug::InstallForgetsWatchers,
        Bug::CatchUpRepeatsLast,
        Bug::RenewAfterExpiry,
        Bug::NewLeaderForgetsLeases,
        Bug::NewLeaderHurriesLeases,
        Bug::RenewUnconfirmed,
    ];
}

/// At most one planted bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted(#[cfg(orlop_mutations)] Option<Bug>);

impl Planted {
    /// Nothing planted.
    pub const fn none() -> Self {
        Planted(
            #[cfg(orlop_mutations)]
            None,
        )
    }

    /// Plants `bug`. Exists only in mutation builds.
    #[cfg(orlop_mutations)]
    pub const fn bug(bug: Bug) -> Self {
        Planted(Some(bug))
    }

    /// Whether `bug` is planted.
    #[cfg(orlop_mutations)]
    pub fn is(self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }

    /// Whether `bug` is planted: never in this build.
    #[cfg(not(orlop_mutations))]
    pub const fn is(self, _bug: Bug) -> bool {
        false
    }
}
