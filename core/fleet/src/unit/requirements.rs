//! What a unit's `[X-Fleet]` section asks for.

use super::Resources;
use std::time::Duration;

/// A unit's `[X-Fleet]` section, checked, with specifiers replaced and old spellings merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// `MachineID`: the full id, or its first 8 characters.
    pub machine_id: Option<String>,
    /// `MachineOf`: for each glob, a unit that it matches must be on the same machine.
    pub machine_of: Vec<String>,
    /// `MachineMetadata`: all of these must hold. Plain `key=value` terms of one key are one term with several values.
    pub metadata: Vec<MetadataTerm>,
    /// `Conflicts`: globs of units that must not be on the same machine; symmetric.
    pub conflicts: Vec<String>,
    /// `Global`: one copy on every machine that fits.
    pub global: bool,
    /// `Replaces`: globs of units whose machine it takes; they go elsewhere.
    pub replaces: Vec<String>,
    /// `PreferMachineMetadata`: soft terms, with weights.
    pub prefer_metadata: Vec<(MetadataTerm, i64)>,
    /// `PreferMachineOf`: soft affinity to units matching a glob, with weights.
    pub prefer_machine_of: Vec<(String, i64)>,
    /// `AvoidMachineOf`: soft conflicts with units matching a glob, with weights.
    pub avoid_machine_of: Vec<(String, i64)>,
    /// `CPU` and `Memory`: what it needs. Zero is nothing said.
    pub resources: Resources,
    /// `Placement`: how to choose among machines that fit.
    pub placement: PlacementRule,
    /// `Partition`: what happens while its machine is cut off.
    pub partition: PartitionPolicy,
    /// `StopGrace`: with `Partition=stop`, the time the unit has to stop before it is killed; nobody else starts it
    /// before that has passed as well.
    pub stop_grace: Duration,
    /// `Requires`: units that must be launched for this one to be; it is stopped when one of them is not wanted any more.
    pub requires: Vec<String>,
    /// `After`: units that, when wanted, must be active (or done) somewhere before this one is started.
    pub after: Vec<String>,
    /// `MaxUnavailable`: at most so many copies (of a global unit, or instances of a template) are being replaced at a time.
    /// None: all at once, as fleet does.
    pub max_unavailable: Option<u32>,
    /// `HealthyAfter`: a replaced copy counts as healthy when it has been active for so long.
    pub healthy_after: Duration,
    /// `HealthyWithin`: a copy that is not healthy after so long has failed.
    pub healthy_within: Duration,
    /// `RollBack`: return every copy to the text before when one fails; otherwise the replacement stops there.
    pub roll_back: bool,
    /// `Type=oneshot` in `[Service]` without `RemainAfterExit=yes`: it is done when it has run once.
    pub oneshot: bool,
}

/// One condition on a machine's metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataTerm {
    /// The metadata key.
    pub key: String,
    /// How its value is compared.
    pub test: MetadataTest,
}

/// How a metadata value is compared. Only [`MetadataTest::NotIn`] and [`MetadataTest::Absent`] hold on a machine without the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataTest {
    /// `key=value`, once or several times: one of these.
    In(Vec<String>),
    /// `key!=value`: none of these.
    NotIn(Vec<String>),
    /// `key<number`.
    Less(i64),
    /// `key<=number`.
    AtMost(i64),
    /// `key>number`.
    Greater(i64),
    /// `key>=number`.
    AtLeast(i64),
    /// `key~glob`: matches the glob.
    Like(String),
    /// `key`: there is such a key, whatever its value.
    Present,
    /// `!key`: there is no such key.
    Absent,
}

/// How to choose among machines that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlacementRule {
    /// The machine with the fewest units, then the lowest id: fleet's way.
    #[default]
    Spread,
    /// The fullest machine that still fits.
    Pack,
}

/// What happens to a unit whose machine is cut off from the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionPolicy {
    /// It runs on, and a second copy may start elsewhere: fleet's way.
    #[default]
    Keep,
    /// The cut-off agent stops it before anyone else may start it.
    Stop,
    /// It runs on, and nobody starts it elsewhere until the machine is back or declared gone.
    Hold,
}
