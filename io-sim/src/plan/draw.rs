//! A plan from a seed, by swarm: each seed draws which classes of fault it has at all, how many, and for whom; which
//! knobs are small; and what its clients like to do. Few things at a time, often, finds more than everything always.
//!
//! The atlas: disks that fail to sync are a fixed minority of a plan's members, because a failed sync may lose what
//! the cache pretended to have; so are disks that rot or are wiped, and these are the same members. Everything else
//! is survivable by all members at once. A [`Target`] names at most a majority.

use super::*;
use kernel::rng::Stream;

/// Nothing goes wrong before this time, so that most runs begin with a leader.
pub(super) const QUIET_MS: u64 = 1_500;
/// When the faults end.
pub(super) const CALM_MS: u64 = 30_000;
/// When the run ends.
pub(super) const END_MS: u64 = 60_000;
/// No call is made in the last part, so that every outcome is known.
pub(super) const LAST_CALL_MS: u64 = 5_000;

impl Plan {
    /// The plan that `seed` stands for. Part of the project's memory: seeds that once failed are kept by number.
    pub fn from_seed(seed: u64) -> Plan {
        let mut plan = Plan::swarm(seed);
        wide::widen(&mut plan);
        mean::add(&mut plan);
        rare::add(&mut plan);
        plan
    }

    /// The plan without its mean corners, for the store beneath something else.
    pub(crate) fn swarm(seed: u64) -> Plan {
        let mut draw = Stream::new(seed, "plan", 0);
        let members = [1, 3, 3, 3, 5, 5][draw.below(6) as usize];
        let clients = draw.between(1, 5) as u8;
        let knobs = knobs(&mut Stream::new(seed, "plan knobs", 0));
        let mut plan = Plan {
            seed,
            members,
            clients,
            calm_ms: CALM_MS,
            end_ms: END_MS,
            operations: Vec::new(),
            faults: Vec::new(),
            knobs,
        };
        plan.faults = faults(&mut Stream::new(seed, "plan faults", 0), members);
        plan.faults.extend(damage(&mut Stream::new(seed, "plan damage", 0), &plan));
        plan.faults.sort_by_key(|fault| fault.at_ms);
        plan.operations = Workload::new(seed, &plan).draw();
        plan
    }
}

pub(super) fn pick<T: Copy>(draw: &mut Stream, choices: &[T]) -> T {
    choices[draw.below(choices.len() as u64) as usize]
}

fn knobs(draw: &mut Stream) -> Knobs {
    Knobs {
        wal_segment_bytes: pick(draw, &[4 << 10, 8 << 10, 32 << 10, 1 << 20]),
        checkpoint_bytes: pick(draw, &[1 << 10, 8 << 10, 64 << 10, 256 << 10]),
        catch_up_entries: pick(draw, &[1, 10, 50, 1_000]),
        overlay_bytes: pick(draw, &[64 << 10, 32 << 20]),
        tick_ms: pick(draw, &[100, 100, 100, 50]),
        election_ticks: 10,
        delay_us: pick(draw, &[100, 500, 2_000, 20_000]),
        jitter_us: pick(draw, &[50, 500, 5_000, 30_000]),
        sync_us: pick(draw, &[100, 500, 5_000, 20_000]),
        drift_ppm: pick(draw, &[0, 0, 500, 20_000]),
        ..Knobs::default()
    }
}

/// The classes of a plan that is not [`wide`], damage aside.
const CLASSES: [&str; 12] = [
    "partition",
    "crash",
    "power-loss",
    "power-loss-after",
    "pause",
    "slow-disk",
    "fail-sync",
    "full-disk",
    "drift",
    "wall-jump",
    "loss",
    "slow-link",
];

fn faults(draw: &mut Stream, members: u8) -> Vec<Fault> {
    let enabled: Vec<&str> = CLASSES.into_iter().filter(|_| draw.chance(2, 5)).collect();
    let mut bad_disks: Vec<u8> = (1..=members).collect();
    shuffle(draw, &mut bad_disks);
    bad_disks.truncate(usize::from(members - 1) / 2);
    let mut faults = Vec::new();
    for class in enabled {
        for _ in 0..draw.between(1, 4) {
            let at_ms = draw.between(QUIET_MS, CALM_MS - 2_000);
            let for_ms = pick(draw, &[50, 400, 1_500, 3_000, 8_000]) + draw.below(500);
            let class = class_named(class, draw);
            let target = match class {
                Class::FailSync if bad_disks.is_empty() => continue,
                Class::FailSync => Target::Members(vec![pick(draw, &bad_disks)]),
                _ => target(draw, members),
            };
            faults.push(Fault { at_ms, for_ms, target, class });
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

/// Disks that lose what they had promised to keep, in one plan of four. One that lies about syncs is not among them: see [`wide`].
fn damage(draw: &mut Stream, plan: &Plan) -> Vec<Fault> {
    let most = usize::from(plan.members - 1) / 2;
    if most == 0 || !draw.chance(1, 4) {
        return Vec::new();
    }
    // Whoever may fail a sync is struck first: the minority is one and the same.
    let failing = plan.faults.iter().filter(|fault| fault.class == Class::FailSync);
    let mut bad: Vec<u8> = failing
        .flat_map(|fault| match &fault.target {
            Target::Members(members) => members.clone(),
            Target::Leader | Target::Follower => Vec::new(),
        })
        .collect();
    let mut others: Vec<u8> = (1..=plan.members).filter(|member| !bad.contains(member)).collect();
    shuffle(draw, &mut others);
    bad.sort_unstable();
    bad.dedup();
    bad.extend(others);
    bad.truncate(most);
    let one = |draw: &mut Stream| Fault {
        at_ms: draw.between(QUIET_MS + 1_500, CALM_MS - 9_000),
        for_ms: pick(draw, &[50, 1_500, 6_000]) + draw.below(500),
        target: Target::Members(vec![pick(draw, &bad)]),
        class: match draw.below(2) {
            0 => Class::Wipe,
            _ => Class::BitRot { bits: pick(draw, &[1, 8, 200]) },
        },
    };
    let count = draw.between(1, 3);
    (0..count).map(|_| one(draw)).collect()
}

pub(super) fn shuffle(draw: &mut Stream, list: &mut [u8]) {
    for position in (1..list.len()).rev() {
        list.swap(position, draw.below(position as u64 + 1) as usize);
    }
}

pub(super) fn target(draw: &mut Stream, members: u8) -> Target {
    if draw.chance(1, 3) {
        return Target::Leader;
    }
    let mut list: Vec<u8> = (1..=members).collect();
    shuffle(draw, &mut list);
    // Mostly one, at times a majority, at times everybody at once.
    let count = match draw.below(8) {
        0 => members,
        1 | 2 => members / 2 + 1,
        _ => 1,
    };
    list.truncate(usize::from(count));
    list.sort_unstable();
    Target::Members(list)
}

pub(super) fn class_named(name: &str, draw: &mut Stream) -> Class {
    match name {
        "partition" => Class::Partition { way: pick(draw, &[Way::Both, Way::Both, Way::In, Way::Out]) },
        "crash" => Class::Crash,
        "power-loss" => Class::PowerLoss,
        "power-loss-after" => Class::PowerLossAfter { operations: draw.between(1, 60) },
        "pause" => Class::Pause,
        "slow-disk" => Class::SlowDisk { by_ms: pick(draw, &[5, 50, 400]) },
        "fail-sync" => Class::FailSync,
        "full-disk" => Class::FullDisk,
        "drift" => Class::Drift { ppm: pick(draw, &[-20_000, -1_000, 1_000, 20_000]) },
        "wall-jump" => Class::WallJump { by_ms: pick(draw, &[-3_600_000, -1_500, 1_500, 86_400_000]) },
        "loss" => Class::Loss { permille: pick(draw, &[5, 50, 200]) },
        "slow-link" => Class::SlowLink { by_ms: pick(draw, &[20, 150, 700]) },
        other => unreachable!("{other} is drawn elsewhere"),
    }
}

/// Draws what the clients do.
struct Workload {
    draw: Stream,
    clients: u8,
    /// Keys in use: few make conflicts, many make ranges.
    keys: u64,
    /// Mean milliseconds between two operations of the whole cluster.
    pace_ms: u64,
    /// Weights of the deeds, by swarm.
    weights: [u64; 7],
    leases: Vec<u32>,
    tag: u32,
    operations: Vec<Operation>,
}

impl Workload {
    fn new(seed: u64, plan: &Plan) -> Self {
        let mut draw = Stream::new(seed, "plan workload", 0);
        let weights = [40, 25, 8, 10, 8, 3, 4].map(|weight| if draw.chance(3, 4) { weight } else { 1 });
        Workload {
            keys: pick(&mut draw, &[2, 8, 30]),
            pace_ms: pick(&mut draw, &[60, 100, 100, 250]),
            draw,
            clients: plan.clients,
            weights,
            leases: Vec::new(),
            tag: 0,
            operations: Vec::new(),
        }
    }

    fn draw(mut self) -> Vec<Operation> {
        let mut now = 600;
        while now < END_MS - LAST_CALL_MS {
            now += 1 + self.draw.below(2 * self.pace_ms);
            self.one(now);
        }
        for _ in 0..self.draw.between(1, 5) {
            let at_ms = self.draw.between(500, CALM_MS);
            let deed = self.watch();
            self.push(at_ms, deed);
        }
        self.operations.sort_by_key(|operation| (operation.at_ms, operation.tag));
        self.operations
    }

    fn push(&mut self, at_ms: u64, deed: Deed) -> u32 {
        self.tag += 1;
        let client = self.draw.between(1, self.clients.into()) as u8;
        self.operations.push(Operation { tag: self.tag, at_ms, client, deed });
        self.tag
    }

    fn key(&mut self) -> u8 {
        self.draw.below(self.keys) as u8
    }

    fn range(&mut self) -> (u8, u8) {
        let (a, b) = (self.key(), self.key());
        if self.draw.chance(2, 3) { (a, a) } else { (a.min(b), a.max(b)) }
    }

    fn lease(&mut self) -> u32 {
        let position = self.draw.below(self.leases.len() as u64) as usize;
        self.leases[position]
    }

    fn one(&mut self, at_ms: u64) {
        let mut choice = self.draw.below(self.weights.iter().sum());
        let kind = self.weights.iter().position(|weight| {
            let hit = choice < *weight;
            choice = choice.saturating_sub(*weight);
            hit
        });
        let deed = match kind.expect("the choice is below the sum") {
            0 => self.put(),
            1 => self.get(),
            2 => {
                let (key, last) = self.range();
                Deed::Delete { key, last, prev: self.draw.chance(1, 3) }
            }
            3 => Deed::Cas { key: self.key() },
            4 => Deed::Txn { key: self.key(), inner: self.draw.chance(1, 3) },
            5 => Deed::Compact { back: self.draw.below(20) as u16, physical: self.draw.chance(1, 4) },
            _ => return self.lease_life(at_ms),
        };
        self.push(at_ms, deed);
    }

    fn put(&mut self) -> Deed {
        let leased = !self.leases.is_empty() && self.draw.chance(1, 6);
        let lease = if leased { self.lease() } else { 0 };
        let size = pick(&mut self.draw, &[8, 16, 60, 400, 3_000]);
        Deed::Put { key: self.key(), size, lease, prev: self.draw.chance(1, 4) }
    }

    fn get(&mut self) -> Deed {
        let (key, last) = self.range();
        let back = if self.draw.chance(1, 5) { self.draw.below(25) as u16 } else { 0 };
        let limit = if self.draw.chance(1, 5) { self.draw.between(1, 3) as u8 } else { 0 };
        Deed::Get { key, last, back, limit, stale: self.draw.chance(1, 4) }
    }

    /// A lease is granted, renewed for a while, and left to expire or revoked.
    fn lease_life(&mut self, at_ms: u64) {
        let ttl = self.draw.between(2, 6);
        let lease = self.push(at_ms, Deed::Grant { ttl: ttl as u16 });
        self.leases.push(lease);
        let pace = ttl * 1_000 / self.draw.between(2, 4);
        let last = END_MS - LAST_CALL_MS;
        let mut now = at_ms;
        for _ in 0..self.draw.below(12) {
            now += pace;
            if now < last {
                self.push(now, Deed::KeepAlive { lease });
            }
        }
        if self.draw.chance(1, 4) && now + 500 < last {
            self.push(now + 500, Deed::Revoke { lease });
        }
    }

    fn watch(&mut self) -> Deed {
        let (key, last) = if self.draw.chance(1, 2) { (0, self.keys as u8) } else { self.range() };
        let from = pick(&mut self.draw, &[0, 0, -1, -5, -40, 3]);
        let slow_ms = pick(&mut self.draw, &[0, 0, 200, 2_000]);
        let for_ms = if self.draw.chance(1, 3) { self.draw.between(1_000, 20_000) } else { 0 };
        Deed::Watch {
            key,
            last,
            from,
            slow_ms,
            for_ms,
            prev: self.draw.chance(1, 2),
            only: Only::All,
            beside: 0,
        }
    }
}
