//! A plan of a flannel run as data: the store below with its faults, the machines, their network, and what goes wrong.
//!
//! The store's part is a [`Plan`] of its own, in its own text form; flannel's lines stand beside it:
//!
//! ```text
//! plan seed=7 members=3 clients=1 calm=30000ms end=92000ms
//! fault crash at=9000ms for=2000ms on=leader
//! flannel machines=5 backend=vxlan subnets=20 ttl=20s
//! mishap power-loss at=8000ms for=6000ms on=2
//! mishap delete-route at=9000ms on=1,3
//! ```
//!
//! As with the store's plans, any part of a plan is a plan.

mod draw;
mod text;

use crate::links::Meddling;
use crate::plan::Plan;

/// The most machines a plan may have.
pub const MAX_MACHINES: u16 = 2_000;

/// Everything that makes a flannel run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlannelPlan {
    /// The store: its members and their faults; and the seed, the calm and the end of the run. Its operations are not used.
    pub store: Plan,
    /// Machines with a flanneld: numbered from 1.
    pub machines: u16,
    /// How packets travel.
    pub backend: Backend,
    /// Subnets that there are for them; with fewer than machines, some wait.
    pub subnets: u16,
    /// Time of a lease without renewal, in seconds.
    pub ttl_s: u64,
    /// What goes wrong, by time.
    pub mishaps: Vec<Mishap>,
}

/// How packets travel between machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// VXLAN.
    Vxlan,
    /// Plain routes.
    HostGw,
    /// IP in IP.
    Ipip,
    /// Datagrams of the daemon's own.
    Udp,
}

impl Backend {
    /// All, by flannel's names.
    pub const ALL: [(&str, Backend); 4] = [
        ("vxlan", Backend::Vxlan),
        ("host-gw", Backend::HostGw),
        ("ipip", Backend::Ipip),
        ("udp", Backend::Udp),
    ];

    /// flannel's name.
    pub fn name(self) -> &'static str {
        Backend::ALL.into_iter().find(|(_, other)| *other == self).expect("all are listed").0
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// World time in milliseconds.
    pub at_ms: u64,
    /// For how long, in milliseconds. The calm ends every mishap.
    pub for_ms: u64,
    /// On these machines.
    pub machines: Vec<u16>,
    /// What.
    pub kind: MishapKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MishapKind {
    /// flanneld dies, and is started again at the end. The kernel keeps its tables.
    Crash,
    /// flanneld is told to stop, and is started again at the end.
    Restart,
    /// The machine loses power, and boots at the end.
    PowerLoss,
    /// The machine loses power and never comes back.
    Gone,
    /// flanneld stands still.
    Pause,
    /// The machine is cut off from the store's members.
    Partition,
    /// flanneld's clock runs fast (above 0) or slow, by so many parts per million.
    Drift(i64),
    /// Somebody revokes the machine's lease.
    Revoke,
    /// Somebody deletes the machine's key.
    DeleteKey,
    /// Somebody writes a key below the leases that makes no sense.
    Malformed,
    /// Somebody writes a lease of a subnet outside of the machines' share, which makes sense.
    Stranger,
    /// The store drops its history.
    Compact,
    /// Somebody meddles with the kernel.
    Meddle(Meddling),
    /// So many operations of a thousand fail with EEXIST.
    Exists(u64),
    /// So many operations of a thousand fail with EBUSY.
    Busy(u64),
    /// So many answers of a thousand are lost.
    Lost(u64),
    /// So many hints of a thousand are lost.
    HintsLost(u64),
    /// Hints are late by up to so many milliseconds.
    HintsLate(u64),
    /// Each request to the kernel takes so many milliseconds longer.
    Slow(u64),
    /// The stream of hints breaks.
    Sever,
}

impl MishapKind {
    /// The names of all kinds but those of [`Meddling`], as they stand in the text form.
    pub const NAMES: [&str; 19] = [
        "crash",
        "restart",
        "power-loss",
        "gone",
        "pause",
        "partition",
        "drift",
        "revoke",
        "delete-key",
        "malformed",
        "stranger",
        "compact",
        "exists",
        "busy",
        "lost",
        "hints-lost",
        "hints-late",
        "slow",
        "sever",
    ];

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            MishapKind::Crash => "crash",
            MishapKind::Restart => "restart",
            MishapKind::PowerLoss => "power-loss",
            MishapKind::Gone => "gone",
            MishapKind::Pause => "pause",
            MishapKind::Partition => "partition",
            MishapKind::Drift(_) => "drift",
            MishapKind::Revoke => "revoke",
            MishapKind::DeleteKey => "delete-key",
            MishapKind::Malformed => "malformed",
            MishapKind::Stranger => "stranger",
            MishapKind::Compact => "compact",
            MishapKind::Meddle(meddling) => meddling.name(),
            MishapKind::Exists(_) => "exists",
            MishapKind::Busy(_) => "busy",
            MishapKind::Lost(_) => "lost",
            MishapKind::HintsLost(_) => "hints-lost",
            MishapKind::HintsLate(_) => "hints-late",
            MishapKind::Slow(_) => "slow",
            MishapKind::Sever => "sever",
        }
    }

    /// Whether a machine may lose its lease by it, however short it is.
    pub fn takes_lease(self) -> bool {
        matches!(self, MishapKind::Revoke | MishapKind::DeleteKey | MishapKind::Gone)
    }
}

/// The names of all kinds, those of [`Meddling`] among them.
pub const CLASSES: [&str; MishapKind::NAMES.len() + Meddling::ALL.len()] = {
    let mut classes = [""; MishapKind::NAMES.len() + Meddling::ALL.len()];
    let mut place = 0;
    while place < classes.len() {
        classes[place] = match place < MishapKind::NAMES.len() {
            true => MishapKind::NAMES[place],
            false => Meddling::ALL[place - MishapKind::NAMES.len()].0,
        };
        place += 1;
    }
    classes
};

impl FlannelPlan {
    /// All machines.
    pub fn all_machines(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.machines
    }

    /// Machines that never come back.
    pub fn is_gone(&self, machine: u16) -> bool {
        let gone = |mishap: &Mishap| mishap.kind == MishapKind::Gone && mishap.at_ms < self.store.calm_ms;
        self.mishaps.iter().any(|mishap| gone(mishap) && mishap.machines.contains(&machine))
    }

    /// World time in milliseconds from which on everything must be as wished: leases of the dead have ended (a new leader of the
    /// store gives each its whole time again), and every pause between two tries is over.
    pub fn settled_ms(&self) -> u64 {
        self.store.calm_ms + 2 * self.ttl_s * 1_000 + 25_000
    }

    /// The network config.
    pub fn config(&self) -> String {
        format!(
            r#"{{"Network":"10.5.0.0/16","SubnetLen":24,"SubnetMin":"10.5.1.0","SubnetMax":"10.5.{}.0","Backend":{{"Type":"{}"}}}}"#,
            self.subnets,
            self.backend.name()
        )
    }
}
