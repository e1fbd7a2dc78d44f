//! What a unit's `[X-Fleet]` section asks for.
//!
//! This is the value that the scheduler, the rollout and the agent work with; `read` makes it from a unit file, and refuses there
//! what cannot be meant, so that nobody after it has to.

use super::{MetadataTerm, Resources};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// `StopGrace` when nothing is said. Another machine waits as long, and a second more, before it starts the unit.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// `HealthyAfter` when nothing is said.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// `HealthyWithin` when nothing is said.
pub const HEALTHY_WITHIN: Duration = Duration::from_secs(300);
/// The weight of a soft term when nothing is said: it outweighs ten units of load.
pub const WEIGHT: i64 = 10;
/// The greatest weight of a soft term, either way.
pub const WEIGHT_MAX: i64 = 1000;
/// Characters of a machine's id by which `MachineID` may name it.
pub const SHORT_ID_CHARS: usize = 8;

/// A unit's `[X-Fleet]` section, checked, with specifiers replaced and old spellings merged.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// `Requires`: names of units that must be launched for this one to be; it is stopped when one of them is not wanted any more.
    pub requires: Vec<String>,
    /// `After`: names of units that, when wanted, must be active (or done) somewhere before this one is started.
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

impl Default for Requirements {
    /// What a unit without an `[X-Fleet]` section asks for.
    fn default() -> Self {
        Requirements {
            machine_id: None,
            machine_of: Vec::new(),
            metadata: Vec::new(),
            conflicts: Vec::new(),
            global: false,
            replaces: Vec::new(),
            prefer_metadata: Vec::new(),
            prefer_machine_of: Vec::new(),
            avoid_machine_of: Vec::new(),
            resources: Resources::default(),
            placement: PlacementRule::default(),
            partition: PartitionPolicy::default(),
            stop_grace: STOP_GRACE,
            requires: Vec::new(),
            after: Vec::new(),
            max_unavailable: None,
            healthy_after: HEALTHY_AFTER,
            healthy_within: HEALTHY_WITHIN,
            roll_back: false,
            oneshot: false,
        }
    }
}

impl Requirements {
    /// Whether the machine with that id is the one that `MachineID` asks for. True when it asks for none.
    pub fn fits_id(&self, id: impl AsRef<str>) -> bool {
        let id = id.as_ref();
        assert!(!id.is_empty(), "a machine has an id");
        let Some(wanted) = self.machine_id.as_deref() else { return true };
        wanted == id || id.char_indices().nth(SHORT_ID_CHARS).is_some_and(|(end, _)| wanted == &id[..end])
    }

    /// Whether a machine with this metadata meets all of `MachineMetadata`.
    pub fn fits_metadata(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.metadata.iter().all(|term| term.holds(metadata))
    }
}

/// The hard constraints on a machine, as they would be written; empty when there are none.
impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.machine_id.iter().map(|id| format!("MachineID={id}")));
        words.extend(self.machine_of.iter().map(|glob| format!("MachineOf={glob}")));
        words.extend(self.metadata.iter().map(|term| format!("MachineMetadata={term}")));
        words.extend(self.conflicts.iter().map(|glob| format!("Conflicts={glob}")));
        words.extend(self.replaces.iter().map(|glob| format!("Replaces={glob}")));
        if self.resources.cpu_millis > 0 {
            words.push(format!("CPU={}m", self.resources.cpu_millis));
        }
        if self.resources.memory_bytes > 0 {
            words.push(format!("Memory={}", self.resources.memory_bytes));
        }
        if self.global {
            words.push("Global=true".into());
        }
        f.write_str(&words.join(", "))
    }
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
