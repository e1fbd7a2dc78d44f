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

mod config;
mod draw;
mod text;

pub use config::Retuning;

use crate::links::{Meddling, machine_of, same_half};
use crate::plan::Plan;
use flannel::subnet::LeaseValue;

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
    /// Which families of addresses the network has.
    pub families: Families,
    /// Peers on the same link are reached by plain routes (DirectRouting of vxlan and ipip).
    pub direct: bool,
    /// Machines of even and of odd numbers are in two subnets, with a router between them.
    pub halves: bool,
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
    /// WireGuard, one device a family.
    Wireguard,
}

impl Backend {
    /// All, by flannel's names.
    pub const ALL: [(&str, Backend); 5] = [
        ("vxlan", Backend::Vxlan),
        ("host-gw", Backend::HostGw),
        ("ipip", Backend::Ipip),
        ("udp", Backend::Udp),
        ("wireguard", Backend::Wireguard),
    ];

    /// flannel's name.
    pub fn name(self) -> &'static str {
        Backend::ALL.into_iter().find(|(_, other)| *other == self).expect("all are listed").0
    }
}

/// Families of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

impl Families {
    /// All, by their names in the text form.
    pub const ALL: [(&str, Families); 3] =
        [("ipv4", Families::V4), ("ipv6", Families::V6), ("dual", Families::Dual)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Families::ALL.into_iter().find(|(_, other)| *other == self).expect("all are listed").0
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
    /// The machine's watch of the store is stuck: it hears of no change, though its requests are answered.
    Deaf,
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
    /// Somebody writes another network config, and the first one again at the end.
    Retune(Retuning),
    /// So many operations of a thousand fail with EEXIST.
    Exists(u64),
    /// So many operations of a thousand fail with EBUSY.
    Busy(u64),
    /// So many operations of a thousand fail with ENOBUFS.
    NoBuffers(u64),
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
    /// Somebody overwrites the machine's lease with what makes no sense.
    Spoil,
}

impl MishapKind {
    /// The names of all kinds but those of [`Meddling`], as they stand in the text form.
    pub const NAMES: [&str; 22] = [
        "crash",
        "restart",
        "power-loss",
        "gone",
        "pause",
        "partition",
        "deaf",
        "drift",
        "revoke",
        "delete-key",
        "malformed",
        "stranger",
        "compact",
        "exists",
        "busy",
        "no-buffers",
        "lost",
        "hints-lost",
        "hints-late",
        "slow",
        "sever",
        "spoil",
    ];

    /// How many of the names, from the first, the swarm draws from; the others have streams of their own.
    pub(super) const OF_THE_SWARM: usize = 21;

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            MishapKind::Crash => "crash",
            MishapKind::Restart => "restart",
            MishapKind::PowerLoss => "power-loss",
            MishapKind::Gone => "gone",
            MishapKind::Pause => "pause",
            MishapKind::Partition => "partition",
            MishapKind::Deaf => "deaf",
            MishapKind::Drift(_) => "drift",
            MishapKind::Revoke => "revoke",
            MishapKind::DeleteKey => "delete-key",
            MishapKind::Malformed => "malformed",
            MishapKind::Stranger => "stranger",
            MishapKind::Compact => "compact",
            MishapKind::Meddle(meddling) => meddling.name(),
            MishapKind::Retune(retuning) => retuning.name(),
            MishapKind::Exists(_) => "exists",
            MishapKind::Busy(_) => "busy",
            MishapKind::NoBuffers(_) => "no-buffers",
            MishapKind::Lost(_) => "lost",
            MishapKind::HintsLost(_) => "hints-lost",
            MishapKind::HintsLate(_) => "hints-late",
            MishapKind::Slow(_) => "slow",
            MishapKind::Sever => "sever",
            MishapKind::Spoil => "spoil",
        }
    }

    /// Whether a machine may lose its lease by it, however short it is.
    pub fn takes_lease(self) -> bool {
        matches!(self, MishapKind::Revoke | MishapKind::DeleteKey | MishapKind::Spoil | MishapKind::Gone)
    }
}

/// What a run may be like, besides what goes wrong in it.
pub const TRAITS: [&str; 9] = [
    "ipv6",
    "dual-stack",
    "direct-routing",
    "two-underlays",
    "host-gw",
    "ipip",
    "udp",
    "wireguard",
    "scarce-subnets",
];

const CLASSES_COUNT: usize =
    MishapKind::NAMES.len() + Meddling::ALL.len() + Retuning::ALL.len() + TRAITS.len();

/// The names of all kinds, those of [`Meddling`], of [`Retuning`] and of [`TRAITS`] among them.
pub const CLASSES: [&str; CLASSES_COUNT] = {
    let mut classes = [""; CLASSES_COUNT];
    let mut place = 0;
    while place < classes.len() {
        let (kinds, meddlings) = (MishapKind::NAMES.len(), MishapKind::NAMES.len() + Meddling::ALL.len());
        classes[place] = if place < kinds {
            MishapKind::NAMES[place]
        } else if place < meddlings {
            Meddling::ALL[place - kinds].0
        } else if place < meddlings + Retuning::ALL.len() {
            Retuning::ALL[place - meddlings].0
        } else {
            TRAITS[place - meddlings - Retuning::ALL.len()]
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

    /// Which of [`TRAITS`] the run has.
    pub fn traits(&self) -> impl Iterator<Item = &'static str> + use<> {
        let is = [
            self.families == Families::V6,
            self.families == Families::Dual,
            self.direct,
            self.halves,
            self.backend == Backend::HostGw,
            self.backend == Backend::Ipip,
            self.backend == Backend::Udp,
            self.backend == Backend::Wireguard,
            self.subnets < self.machines,
        ];
        TRAITS.into_iter().zip(is).filter(|(_, is)| *is).map(|(name, _)| name)
    }

    /// The machine whose lease has this value.
    pub fn machine_of(&self, value: &LeaseValue) -> Option<u16> {
        let address = match self.families {
            Families::V6 => value.public_ipv6?.into(),
            _ => value.public_ip.into(),
        };
        machine_of(address).filter(|machine| *machine <= self.machines)
    }

    /// Whether packets between two machines go by a plain route, though the backend is another than host-gw.
    pub fn is_direct(&self, one: u16, other: u16) -> bool {
        self.direct && (!self.halves || same_half(one, other))
    }
}
