//! A flannel plan from a seed, by swarm: which mishaps there are at all, how many machines, and whether subnets are scarce.

use super::*;
use crate::plan::Class;
use kernel::rng::Stream;

/// Nothing goes wrong before this.
const QUIET_MS: u64 = 1_000;
/// When the mishaps end.
const CALM_MS: u64 = 30_000;
/// How long the machines are looked at when all has settled.
const AT_REST_MS: u64 = 2_000;

impl FlannelPlan {
    /// The plan that `seed` stands for.
    pub fn from_seed(seed: u64) -> FlannelPlan {
        let mut draw = Stream::new(seed, "flannel plan", 0);
        let machines = if draw.chance(1, 8) { draw.between(13, 40) } else { draw.between(3, 12) } as u16;
        let scarce = draw.chance(1, 4);
        let subnets = match scarce {
            true => draw.between(u64::from(machines).div_ceil(2), machines.into()) as u16,
            false => pick(&mut draw, &[machines + 1, 50, 200]),
        };
        // The one that most networks have is drawn twice as often.
        let backends = Backend::ALL.map(|(_, backend)| backend);
        let backend = pick(&mut draw, &[&backends[..], &[Backend::Vxlan]].concat());
        let ttl_s = pick(&mut draw, &[10, 15, 20]);
        let store = store(seed, &mut draw);
        let mut mishaps = mishaps(&mut Stream::new(seed, "flannel mishaps", 0), machines);
        mishaps.extend(spoilt(&mut Stream::new(seed, "flannel spoilt leases", 0), machines));
        mishaps.extend(slept_while_looking(&mut Stream::new(seed, "flannel sleepers", 0), machines));
        mishaps.sort_by_key(|mishap| mishap.at_ms);
        let (families, direct, halves) = ways(&mut Stream::new(seed, "flannel ways", 0), backend);
        let mut plan =
            FlannelPlan { store, machines, backend, families, direct, halves, subnets, ttl_s, mishaps };
        plan.store.end_ms = plan.settled_ms() + AT_REST_MS;
        plan
    }
}

/// The families, whether there are plain routes, and whether there are two subnets between machines: what the backend can.
fn ways(draw: &mut Stream, backend: Backend) -> (Families, bool, bool) {
    let families = match backend {
        Backend::Udp | Backend::Ipip => Families::V4,
        _ => pick(draw, &[Families::V4, Families::V4, Families::V6, Families::Dual, Families::Dual]),
    };
    let direct = matches!(backend, Backend::Vxlan | Backend::Ipip) && draw.chance(1, 3);
    (families, direct, backend != Backend::HostGw && draw.chance(1, 3))
}

fn pick<T: Copy>(draw: &mut Stream, choices: &[T]) -> T {
    choices[draw.below(choices.len() as u64) as usize]
}

/// A store of three whose own faults are mild: it has runs of its own.
fn store(seed: u64, draw: &mut Stream) -> Plan {
    let mut plan = Plan::swarm(seed);
    (plan.members, plan.clients) = (3, 1);
    plan.operations.clear();
    (plan.calm_ms, plan.end_ms) = (CALM_MS, CALM_MS + AT_REST_MS);
    plan.knobs =
        crate::plan::Knobs { delay_us: pick(draw, &[100, 500, 2_000, 20_000]), ..Default::default() };
    let trouble = draw.chance(1, 2);
    plan.faults.retain(|fault| {
        let is_known = match &fault.target {
            crate::plan::Target::Leader | crate::plan::Target::Follower => true,
            crate::plan::Target::Members(members) => members.iter().all(|member| *member <= 3),
        };
        trouble && is_known && Class::MILD.contains(&fault.class.name()) && fault.at_ms > QUIET_MS
    });
    plan
}

fn mishaps(draw: &mut Stream, machines: u16) -> Vec<Mishap> {
    let meddlings = Meddling::ALL.into_iter().map(|(name, _)| name);
    let kinds = MishapKind::NAMES[..MishapKind::OF_THE_SWARM].iter().copied();
    let names: Vec<&str> = kinds.chain(meddlings).filter(|_| draw.chance(1, 4)).collect();
    let retunings = Retuning::ALL.into_iter().map(|(name, _)| name).filter(|_| draw.chance(1, 12));
    let retunings: Vec<&str> = retunings.collect();
    let names: Vec<&str> = names.into_iter().chain(retunings).collect();
    let mut mishaps = Vec::new();
    for name in names {
        let most = if name == "gone" { 1 } else { 4 };
        for _ in 0..draw.between(1, most) {
            let at_ms = draw.between(QUIET_MS, CALM_MS - 2_000);
            let for_ms = pick(draw, &[50, 700, 2_000, 5_000, 12_000, 25_000]) + draw.below(500);
            let count =
                if name == "gone" { machines / 4 } else { pick(draw, &[1, 1, 1, machines / 2, machines]) };
            let kind = kind_named(name, draw);
            mishaps.push(Mishap { at_ms, for_ms, machines: some(draw, machines, count), kind });
        }
    }
    if draw.chance(1, 6) {
        mishaps.extend(blind_spot(draw, machines));
    }
    if draw.chance(1, 8) {
        mishaps.extend(robbed_in_the_dark(draw, machines));
    }
    mishaps.sort_by_key(|mishap| mishap.at_ms);
    mishaps
}

/// Somebody revokes the lease of a machine whose watch is stuck: only the next renewal can tell it.
fn robbed_in_the_dark(draw: &mut Stream, machines: u16) -> [Mishap; 2] {
    let list = some(draw, machines, 1);
    let from = draw.between(QUIET_MS + 2_000, 4_000);
    let mishap = |at_ms, for_ms, kind| Mishap { at_ms, for_ms, machines: list.clone(), kind };
    [mishap(from, CALM_MS - from, MishapKind::Deaf), mishap(from + 500, 0, MishapKind::Revoke)]
}

/// Somebody overwrites leases.
fn spoilt(draw: &mut Stream, machines: u16) -> Vec<Mishap> {
    if !draw.chance(1, 8) {
        return Vec::new();
    }
    let one = |draw: &mut Stream| {
        let (at_ms, count) = (draw.between(QUIET_MS + 3_000, CALM_MS - 2_000), pick(draw, &[1, machines]));
        Mishap { at_ms, for_ms: 0, machines: some(draw, machines, count), kind: MishapKind::Spoil }
    };
    (0..draw.between(1, 3)).map(|_| one(draw)).collect()
}

/// Kernels that answer slowly, and machines that stand still for longer than their leases while they wait for such an answer.
fn slept_while_looking(draw: &mut Stream, machines: u16) -> Vec<Mishap> {
    if !draw.chance(1, 8) {
        return Vec::new();
    }
    let (from, count) = (draw.between(QUIET_MS + 2_000, 6_000), pick(draw, &[1, machines.div_ceil(2)]));
    let list = some(draw, machines, count);
    let mishap = |at_ms, for_ms, kind| Mishap { at_ms, for_ms, machines: list.clone(), kind };
    let touch =
        MishapKind::Meddle(pick(draw, &[Meddling::DeleteRoute, Meddling::DeleteLink, Meddling::Down]));
    let still = from + 500 + draw.below(1_500);
    vec![
        mishap(from, CALM_MS - from, MishapKind::Slow(pick(draw, &[200, 700]))),
        mishap(from + 500, 0, touch),
        mishap(still, CALM_MS - 1_000 - still, MishapKind::Pause),
    ]
}

/// Somebody meddles while every hint of it is lost, so late that nothing else may make the daemon look again.
fn blind_spot(draw: &mut Stream, machines: u16) -> Vec<Mishap> {
    let count = pick(draw, &[1, machines]);
    let list = some(draw, machines, count);
    let from = draw.between(CALM_MS - 6_000, CALM_MS - 3_000);
    let mishap = |at_ms, for_ms, kind| Mishap { at_ms, for_ms, machines: list.clone(), kind };
    let mut spot = vec![mishap(from, CALM_MS - from, MishapKind::HintsLost(1_000))];
    for _ in 0..draw.between(1, 3) {
        let kind = MishapKind::Meddle(pick(draw, &Meddling::ALL).1);
        let at_ms = draw.between(from + 1, CALM_MS - 500);
        spot.push(mishap(at_ms, 0, kind));
    }
    spot
}

fn some(draw: &mut Stream, machines: u16, count: u16) -> Vec<u16> {
    let mut list: Vec<u16> = (1..=machines).collect();
    for position in (1..list.len()).rev() {
        list.swap(position, draw.below(position as u64 + 1) as usize);
    }
    list.truncate(usize::from(count.max(1)));
    list.sort_unstable();
    list
}

fn kind_named(name: &str, draw: &mut Stream) -> MishapKind {
    let mut permille = |of: &[u64]| pick(draw, of);
    match name {
        "crash" => MishapKind::Crash,
        "restart" => MishapKind::Restart,
        "power-loss" => MishapKind::PowerLoss,
        "gone" => MishapKind::Gone,
        "pause" => MishapKind::Pause,
        "partition" => MishapKind::Partition,
        "deaf" => MishapKind::Deaf,
        "drift" => {
            let ppm = permille(&[500, 20_000]) as i64;
            MishapKind::Drift(if permille(&[0, 1]) == 0 { -ppm } else { ppm })
        }
        "revoke" => MishapKind::Revoke,
        "delete-key" => MishapKind::DeleteKey,
        "malformed" => MishapKind::Malformed,
        "stranger" => MishapKind::Stranger,
        "compact" => MishapKind::Compact,
        "exists" => MishapKind::Exists(permille(&[50, 500])),
        "busy" => MishapKind::Busy(permille(&[50, 500])),
        "no-buffers" => MishapKind::NoBuffers(permille(&[50, 500])),
        "lost" => MishapKind::Lost(permille(&[50, 500])),
        "hints-lost" => MishapKind::HintsLost(permille(&[100, 1_000])),
        "hints-late" => MishapKind::HintsLate(permille(&[100, 2_000])),
        "slow" => MishapKind::Slow(permille(&[10, 500])),
        "sever" => MishapKind::Sever,
        "spoil" => MishapKind::Spoil,
        other if other.starts_with("config-") => {
            let found = Retuning::ALL.into_iter().find(|(name, _)| *name == other);
            MishapKind::Retune(found.expect("a name of the list").1)
        }
        other => {
            let found = Meddling::ALL.into_iter().find(|(name, _)| *name == other);
            MishapKind::Meddle(found.expect("a name of one of the two lists").1)
        }
    }
}
