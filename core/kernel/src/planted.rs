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
    pub const STORE: [Bug; 7] = [
        Bug::AckBeforeSync,
        Bug::VoteTwice,
        Bug::ReadFromDeposed,
        Bug::ApplyTwice,
        Bug::DropRecordOnRoll,
        Bug::FollowerExpiresLease,
        Bug::SkipSlowWatcherEvent,
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
