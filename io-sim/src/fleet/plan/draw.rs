//! A fleet plan from a seed, by swarm: which mishaps there are at all, how rich the units' wishes are, how much the operator does.
//!
//! Wishes stay satisfiable more often than not: a unit stands beside one with a lower number, and replaces one with a lower
//! number, so that there are no circles. What cannot be satisfied must be left out by the scheduler, and a checker says when it
//! was left out for nothing.

use super::*;
use crate::plan::Class;
use fleet::unit::PartitionPolicy;
use kernel::rng::Stream;

/// Nothing goes wrong, and nothing is asked, before this.
const QUIET_MS: u64 = 2_000;
/// When the mishaps end.
const CALM_MS: u64 = 40_000;
/// How long the fleet is looked at when it has settled.
const AT_REST_MS: u64 = 10_000;

impl FleetPlan {
    /// The plan that `seed` stands for.
    pub fn from_seed(seed: u64) -> FleetPlan {
        let mut draw = Stream::new(seed, "fleet plan", 0);
        let machines = draw.between(3, 12) as u16;
        let store = store(seed, &mut draw);
        let zones = pick(&mut draw, &[1, 2, 3]);
        let mut plan = FleetPlan { store, machines, zones, deeds: Vec::new(), mishaps: Vec::new() };
        plan.mishaps = mishaps(&mut Stream::new(seed, "fleet mishaps", 0), machines);
        let dropped = history_dropped(&mut Stream::new(seed, "fleet history dropped", 0), &plan.mishaps);
        plan.mishaps.extend(dropped);
        plan.mishaps.sort_by_key(|mishap| mishap.at_ms);
        plan.deeds = Operator::new(seed, &plan).draw();
        plan.store.end_ms = plan.settled_ms() + AT_REST_MS;
        plan
    }
}

fn pick<T: Copy>(draw: &mut Stream, choices: &[T]) -> T {
    choices[draw.below(choices.len() as u64) as usize]
}

/// A store of three whose own faults are mild: it has runs of its own.
fn store(seed: u64, draw: &mut Stream) -> Plan {
    let mut plan = Plan::swarm(seed);
    plan.members = 3;
    plan.clients = 1;
    plan.operations.clear();
    (plan.calm_ms, plan.end_ms) = (CALM_MS, CALM_MS + SETTLE_MS);
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
    let names = MishapKind::NAMES[..MishapKind::OF_THE_SWARM].iter().copied();
    let enabled: Vec<&str> = names.filter(|_| draw.chance(1, 3)).collect();
    let mut mishaps = Vec::new();
    for name in enabled {
        for _ in 0..draw.between(1, 4) {
            let at_ms = draw.between(QUIET_MS + 2_000, CALM_MS - 3_000);
            let for_ms = pick(draw, &[50, 700, 2_000, 5_000, 12_000]) + draw.below(500);
            let kind = kind_named(name, draw);
            let site = site(draw, machines);
            mishaps.push(Mishap { at_ms, for_ms, site, kind });
        }
    }
    mishaps.extend(company(&mishaps, draw));
    mishaps.sort_by_key(|mishap| mishap.at_ms);
    mishaps
}

/// What happens behind the back of an agent whose bus is away: without it, nothing would be missed in that time.
fn company(mishaps: &[Mishap], draw: &mut Stream) -> Vec<Mishap> {
    let away = mishaps.iter().filter(|mishap| mishap.kind == MishapKind::Bus);
    let behind = away.map(|bus| {
        let unit = draw.below(100);
        let kind = if draw.chance(1, 2) { MishapKind::CrashUnit(unit) } else { MishapKind::StopBehind(unit) };
        Mishap { at_ms: bus.at_ms + bus.for_ms / 2, for_ms: 0, site: bus.site.clone(), kind }
    });
    behind.collect()
}

/// The store drops its history, while watches are cut off from it if anything cuts them off.
fn history_dropped(draw: &mut Stream, mishaps: &[Mishap]) -> Vec<Mishap> {
    if !draw.chance(1, 6) {
        return Vec::new();
    }
    let deaf = |mishap: &&Mishap| {
        let kinds = [MishapKind::Partition, MishapKind::Pause, MishapKind::Stall];
        kinds.contains(&mishap.kind) && mishap.for_ms >= 2_000
    };
    let mut times: Vec<u64> =
        mishaps.iter().filter(deaf).map(|mishap| mishap.at_ms + mishap.for_ms - 300).collect();
    times.push(draw.between(QUIET_MS + 2_000, CALM_MS - 3_000));
    let compact =
        |at_ms| Mishap { at_ms, for_ms: 0, site: Site::Machines(vec![1]), kind: MishapKind::Compact };
    times.into_iter().filter(|at_ms| *at_ms < CALM_MS - 1_000).map(compact).collect()
}

fn site(draw: &mut Stream, machines: u16) -> Site {
    if draw.chance(1, 4) {
        return Site::Engine;
    }
    // Mostly one machine, at times half of them, at times all.
    let count = match draw.below(8) {
        0 => machines,
        1 => machines / 2,
        _ => 1,
    };
    let mut list: Vec<u16> = (1..=machines).collect();
    for position in (1..list.len()).rev() {
        list.swap(position, draw.below(position as u64 + 1) as usize);
    }
    list.truncate(usize::from(count.max(1)));
    list.sort_unstable();
    Site::Machines(list)
}

fn kind_named(name: &str, draw: &mut Stream) -> MishapKind {
    let permille = |draw: &mut Stream| pick(draw, &[100, 500, 1_000]);
    match name {
        "crash" => MishapKind::Crash,
        "restart" => MishapKind::Restart,
        "power-loss" => MishapKind::PowerLoss,
        "reboot" => MishapKind::Reboot,
        "pause" => MishapKind::Pause,
        "stall" => MishapKind::Stall,
        "partition" => MishapKind::Partition,
        "bus" => MishapKind::Bus,
        "slow-jobs" => MishapKind::SlowJobs(pick(draw, &[100, 1_000, 5_000])),
        "fail-jobs" => MishapKind::FailJobs(permille(draw)),
        "timeout-jobs" => MishapKind::TimeoutJobs(permille(draw)),
        "cancel-jobs" => MishapKind::CancelJobs(permille(draw)),
        "refuse" => MishapKind::Refuse(permille(draw)),
        "files" => MishapKind::Files(permille(draw)),
        "late-signals" => MishapKind::LateSignals(pick(draw, &[100, 2_000])),
        "slow-reload" => MishapKind::SlowReload(pick(draw, &[200, 3_000])),
        "crash-unit" => MishapKind::CrashUnit(draw.below(100)),
        "stop-behind" => MishapKind::StopBehind(draw.below(100)),
        "drift" => MishapKind::Drift(pick(draw, &[-500, 500])),
        other => unreachable!("{other} is not in MishapKind::NAMES"),
    }
}

/// Draws what the operator does.
struct Operator {
    draw: Stream,
    /// Which units do not go by themselves; a stream of its own.
    stubborn: Stream,
    machines: u16,
    zones: u16,
    units: u16,
    /// Parts of ten of the units that have each kind of wish, by swarm.
    zoned: u64,
    pinned: u64,
    rivals: u64,
    beside: u64,
    global: u64,
    replacing: u64,
    odd: u64,
    versions: BTreeMap<u16, u16>,
    deeds: Vec<Deed>,
}

impl Operator {
    fn new(seed: u64, plan: &FleetPlan) -> Self {
        let mut draw = Stream::new(seed, "fleet operator", 0);
        let units = draw.between(1, u64::from(plan.machines) * 3) as u16;
        let mut share = |most: u64| if draw.chance(1, 2) { draw.between(1, most) } else { 0 };
        let (zoned, pinned, rivals, beside) = (share(5), share(2), share(4), share(3));
        let (global, replacing, odd) = (share(2), share(2), share(4));
        Operator {
            machines: plan.machines,
            zones: plan.zones,
            units,
            zoned,
            pinned,
            rivals,
            beside,
            global,
            replacing,
            odd,
            versions: BTreeMap::new(),
            deeds: Vec::new(),
            draw,
            stubborn: Stream::new(seed, "fleet stubborn", 0),
        }
    }

    fn draw(mut self) -> Vec<Deed> {
        let together = self.draw.chance(1, 2);
        for unit in 1..=self.units {
            let at_ms = QUIET_MS + if together { 0 } else { self.draw.below(10_000) };
            let wish = self.put(unit);
            self.deeds.push(Deed { at_ms, wish });
        }
        for _ in 0..self.draw.below(12) {
            let at_ms = self.draw.between(QUIET_MS + 2_000, CALM_MS + 1_000);
            let wish = self.change();
            self.deeds.push(Deed { at_ms, wish });
        }
        self.open_all();
        self.deeds.sort_by_key(|deed| deed.at_ms);
        self.deeds
    }

    /// Machines that were cordoned or drained are open again in the end, half of the time.
    fn open_all(&mut self) {
        if self.draw.chance(1, 2) {
            return;
        }
        for machine in 1..=self.machines {
            let wish = Wish::Admission(machine, Admission::Open);
            if self
                .deeds
                .iter()
                .any(|deed| matches!(deed.wish, Wish::Admission(other, _) if other == machine))
            {
                self.deeds.push(Deed { at_ms: CALM_MS + 1_500, wish });
            }
        }
    }

    fn put(&mut self, unit: u16) -> Wish {
        let state = match self.draw.below(10) {
            0 => DesiredState::Loaded,
            1 => DesiredState::Inactive,
            _ => DesiredState::Launched,
        };
        Wish::Put(self.spec(unit), state)
    }

    fn change(&mut self) -> Wish {
        let unit = self.draw.between(1, self.units.into()) as u16;
        let machine = self.draw.between(1, self.machines.into()) as u16;
        match self.draw.below(12) {
            0..=2 => self.put(unit),
            3 => Wish::State(unit, DesiredState::Inactive),
            4 => Wish::State(unit, DesiredState::Loaded),
            5 | 6 => Wish::State(unit, DesiredState::Launched),
            7 => Wish::Destroy(unit),
            8 => Wish::Restart(unit),
            9 => {
                let to = pick(&mut self.draw, &[Admission::Cordon, Admission::Drain, Admission::Open]);
                Wish::Admission(machine, to)
            }
            10 => Wish::Gone(machine),
            _ => Wish::Rebalance(self.draw.between(1, 5)),
        }
    }

    fn some(&mut self, tenths: u64) -> bool {
        self.draw.chance(tenths, 10)
    }

    fn lower(&mut self, unit: u16) -> Option<u16> {
        (unit > 1).then(|| self.draw.between(1, u64::from(unit) - 1) as u16)
    }

    fn spec(&mut self, unit: u16) -> UnitSpec {
        let version = self.versions.entry(unit).or_insert(0);
        *version += 1;
        let mut spec = UnitSpec { version: *version, ..UnitSpec::plain(unit) };
        spec.run = match self.draw.below(10) {
            chosen if chosen >= self.odd => pick(&mut self.draw, &[RunKind::Forever, RunKind::Restarted]),
            0 => RunKind::Stubborn,
            1 => RunKind::Ends(self.draw.between(1, 20)),
            2 => RunKind::Fails(self.draw.between(1, 20)),
            _ => RunKind::Oneshot(self.draw.between(1, 5)),
        };
        spec.policy =
            pick(&mut self.draw, &[PartitionPolicy::Keep, PartitionPolicy::Stop, PartitionPolicy::Hold]);
        if spec.policy == PartitionPolicy::Stop {
            spec.grace_s = self.draw.between(0, 4);
            // A grace matters to a process that does not go by itself.
            if self.odd > 0 && spec.grace_s > 0 && self.stubborn.chance(1, 2) {
                spec.run = RunKind::Stubborn;
            }
        }
        self.wishes(&mut spec);
        spec
    }

    /// Adds wishes, of the combinations that fleet takes.
    fn wishes(&mut self, spec: &mut UnitSpec) {
        let unit = spec.unit;
        if self.some(self.pinned) {
            spec.machine = Some(self.draw.between(1, self.machines.into()) as u16);
            return;
        }
        if self.some(self.zoned) {
            spec.zone = Some(self.draw.below(self.zones.into()) as u16);
        }
        if self.some(self.global) {
            spec.global = true;
            spec.policy = PartitionPolicy::Keep;
            spec.grace_s = 0;
            return;
        }
        if self.some(self.rivals) {
            let rival = self.draw.between(1, self.units.into()) as u16;
            spec.conflicts = if rival == unit { Vec::new() } else { vec![rival] };
        } else if self.some(self.replacing) {
            spec.replaces = self.lower(unit);
        }
        if self.some(self.beside) {
            let other = self.lower(unit);
            let excluded = |other: &u16| spec.conflicts.contains(other) || spec.replaces == Some(*other);
            spec.beside = other.filter(|other| !excluded(other));
        }
    }
}
