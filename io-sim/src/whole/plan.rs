//! A plan of a whole run as data: a fleet's plan and a flannel plan over one store, and what strikes whole machines.
//!
//! In the text form lines of all three stand beside each other. A `mishap` is fleet's, unless it says `of=flanneld`, or its
//! name begins with `machine-`:
//!
//! ```text
//! plan seed=7 members=3 clients=2 calm=40000ms end=115000ms
//! whole
//! fleet machines=5 zones=2
//! flannel machines=5 subnets=20 ttl=20s
//! mishap crash at=8000ms for=500ms on=2
//! mishap crash at=9000ms for=500ms on=2 of=flanneld
//! mishap machine-power-loss at=12000ms for=3000ms on=1,4
//! ```

use crate::flannel::plan::{FlannelPlan, Mishap as NetMishap, MishapKind as NetKind};
use crate::fleet::plan::{FleetPlan, Mishap as UnitMishap, MishapKind as UnitKind, Site};
use crate::plan::{Class, Fault, Fields, Pair, ParseError, Parsed, Plan, Target, Way};
use kernel::rng::Stream;
use std::fmt;

/// How long everything is looked at when all has settled.
const AT_REST_MS: u64 = 10_000;
/// Machines of a drawn plan.
const MACHINES: (u64, u64) = (3, 7);
/// What a line of flannel's mishaps says beside what it says in flannel's own plans.
const OF_FLANNELD: &str = "of=flanneld";

/// Everything that makes a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholePlan {
    /// The store, the units and what goes wrong with them. Its store's operations are done by clients.
    pub fleet: FleetPlan,
    /// The network, over the same store.
    pub flannel: FlannelPlan,
    /// What strikes whole machines, by time.
    pub troubles: Vec<Trouble>,
}

/// Something that strikes whole machines for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// World time in milliseconds.
    pub at_ms: u64,
    /// For how long, in milliseconds. The calm ends every trouble.
    pub for_ms: u64,
    /// On these machines.
    pub machines: Vec<u16>,
    /// What.
    pub kind: TroubleKind,
}

/// What strikes a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// Its power goes, and it boots at the end.
    PowerLoss,
    /// Everything on it stands still.
    Pause,
    /// It is cut off from all other machines.
    Partition,
    /// Its clock runs fast (above 0) or slow, by so many parts per million.
    Drift(i64),
}

impl TroubleKind {
    /// The names of all kinds, as they stand in the text form.
    pub const NAMES: [&str; 4] =
        ["machine-power-loss", "machine-pause", "machine-partition", "machine-drift"];

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            TroubleKind::PowerLoss => "machine-power-loss",
            TroubleKind::Pause => "machine-pause",
            TroubleKind::Partition => "machine-partition",
            TroubleKind::Drift(_) => "machine-drift",
        }
    }

    fn parse(name: &str, fields: &Fields<'_>) -> Parsed<TroubleKind> {
        Ok(match name {
            "machine-power-loss" => TroubleKind::PowerLoss,
            "machine-pause" => TroubleKind::Pause,
            "machine-partition" => TroubleKind::Partition,
            "machine-drift" => TroubleKind::Drift(fields.required("ppm")?),
            other => return Err(format!("'{other}' is none of {}", TroubleKind::NAMES.join(", "))),
        })
    }

    /// The same as a fault of the store, as a mishap of fleet and as one of flannel.
    fn parts(self) -> (Class, UnitKind, NetKind) {
        match self {
            TroubleKind::PowerLoss => (Class::PowerLoss, UnitKind::PowerLoss, NetKind::PowerLoss),
            TroubleKind::Pause => (Class::Pause, UnitKind::Pause, NetKind::Pause),
            TroubleKind::Partition => {
                (Class::Partition { way: Way::Both }, UnitKind::Partition, NetKind::Partition)
            }
            TroubleKind::Drift(ppm) => (Class::Drift { ppm }, UnitKind::Drift(ppm), NetKind::Drift(ppm)),
        }
    }
}

impl WholePlan {
    /// The plan that `seed` stands for.
    pub fn from_seed(seed: u64) -> WholePlan {
        let mut draw = Stream::new(seed, "whole plan", 0);
        let machines = draw.between(MACHINES.0, MACHINES.1) as u16;
        let (mut fleet, mut flannel) = (FleetPlan::from_seed(seed), FlannelPlan::from_seed(seed));
        let clients = Plan::from_seed(seed);
        shrink_fleet(&mut fleet, machines, &mut draw);
        shrink_flannel(&mut flannel, machines, &mut draw);
        fleet.store.clients = clients.clients;
        fleet.store.operations = clients.operations;
        let calm_ms = fleet.store.calm_ms;
        let troubles = troubles(&mut draw, machines, calm_ms);
        let mut plan = WholePlan { fleet, flannel, troubles };
        plan.unite();
        let settled_ms = plan.fleet.settled_ms().max(plan.flannel.settled_ms());
        plan.fleet.store.end_ms = settled_ms + AT_REST_MS;
        plan.unite();
        plan
    }

    /// The store's plan.
    pub fn store(&self) -> &Plan {
        &self.fleet.store
    }

    /// Both stand on one store.
    fn unite(&mut self) {
        self.flannel.store = self.fleet.store.clone();
    }

    /// The same plan without troubles of machines: each stands in it as what it does to the machine's parts.
    pub fn apart(&self) -> WholePlan {
        let mut plan = self.clone();
        for Trouble { at_ms, for_ms, machines, kind } in std::mem::take(&mut plan.troubles) {
            let (class, unit, net) = kind.parts();
            let members: Vec<u8> = machines.iter().filter_map(|machine| plan.member_on(*machine)).collect();
            if !members.is_empty() {
                plan.fleet.store.faults.push(Fault {
                    at_ms,
                    for_ms,
                    target: Target::Members(members),
                    class,
                });
            }
            let site = Site::Machines(machines.clone());
            plan.fleet.mishaps.push(UnitMishap { at_ms, for_ms, site, kind: unit });
            plan.flannel.mishaps.push(NetMishap { at_ms, for_ms, machines, kind: net });
        }
        plan.unite();
        plan
    }

    /// The member of the store on a machine.
    pub fn member_on(&self, machine: u16) -> Option<u8> {
        u8::try_from(machine).ok().filter(|member| *member <= self.store().members)
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<WholePlan, ParseError> {
        // Lines of the other parts become empty, so that line numbers stay.
        let only = |parts: [Part; 2]| {
            let lines = text.lines().map(|line| if parts.contains(&Part::of(line)) { line } else { "" });
            lines.map(|line| line.replace(OF_FLANNELD, "")).collect::<Vec<_>>().join("\n")
        };
        let fleet = FleetPlan::parse(&only([Part::Store, Part::Fleet]))?;
        let flannel = FlannelPlan::parse(&only([Part::Store, Part::Flannel]))?;
        let mut plan = WholePlan { fleet, flannel, troubles: Vec::new() };
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| Part::of(line) == Part::Whole) {
            let line = line.split('#').next().unwrap_or("").trim();
            if line != "whole" {
                let trouble = parse_trouble(line, plan.fleet.machines);
                plan.troubles.push(trouble.map_err(|text| ParseError { line: number, text })?);
            }
        }
        if plan.fleet.machines != plan.flannel.machines
            || u16::from(plan.store().members) > plan.fleet.machines
        {
            let text = "fleet and flannel have the same machines, and no fewer than the store has members"
                .to_string();
            return Err(ParseError { line: 1, text });
        }
        Ok(plan)
    }
}

/// Whose a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Store,
    Fleet,
    Flannel,
    Whole,
}

impl Part {
    fn of(line: &str) -> Part {
        let mut words = line.split_whitespace();
        let of_flanneld = || line.split_whitespace().any(|word| word == OF_FLANNELD);
        match (words.next(), words.next()) {
            (Some("whole"), _) => Part::Whole,
            (Some("mishap"), Some(kind)) if kind.starts_with("machine-") => Part::Whole,
            (Some("mishap"), _) if of_flanneld() => Part::Flannel,
            (Some("fleet" | "deed" | "mishap"), _) => Part::Fleet,
            (Some("flannel"), _) => Part::Flannel,
            _ => Part::Store,
        }
    }
}

fn parse_trouble(line: &str, machines: u16) -> Parsed<Trouble> {
    let mut words = line.split_whitespace().skip(1);
    let name = words.next().ok_or("'mishap' is followed by what it is")?;
    let fields = Fields::new(words)?;
    let (at_ms, for_ms) = (fields.required("at")?, fields.number("for", 0)?);
    let list = fields.take("on").unwrap_or("1");
    let numbers: Option<Vec<u16>> = list.split(',').map(|number| number.parse().ok()).collect();
    let numbers = numbers.filter(|list| list.iter().all(|machine| (1..=machines).contains(machine)));
    let on = numbers.ok_or_else(|| format!("'on={list}' is no list of machines, as in 'on=1,3'"))?;
    let kind = TroubleKind::parse(name, &fields)?;
    fields.done().map(|()| Trouble { at_ms, for_ms, machines: on, kind })
}

/// Fewer machines, and about half of the mishaps: much goes wrong elsewhere.
fn shrink_fleet(plan: &mut FleetPlan, machines: u16, draw: &mut Stream) {
    plan.machines = machines;
    plan.mishaps.retain_mut(|mishap| {
        if let Site::Machines(list) = &mut mishap.site {
            list.retain(|machine| *machine <= machines);
        }
        let strikes = !matches!(&mishap.site, Site::Machines(list) if list.is_empty());
        strikes && draw.chance(1, 2)
    });
    plan.deeds.retain(|deed| crate::fleet::plan::fits(&deed.wish, machines));
}

fn shrink_flannel(plan: &mut FlannelPlan, machines: u16, draw: &mut Stream) {
    plan.machines = machines;
    plan.subnets = plan.subnets.max(machines + 1);
    plan.mishaps.retain_mut(|mishap| {
        mishap.machines.retain(|machine| *machine <= machines);
        !mishap.machines.is_empty() && draw.chance(1, 2)
    });
}

fn troubles(draw: &mut Stream, machines: u16, calm_ms: u64) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for name in TroubleKind::NAMES {
        if !draw.chance(1, 2) {
            continue;
        }
        for _ in 0..draw.between(1, 3) {
            let (at_ms, for_ms) = (draw.between(4_000, calm_ms - 3_000), draw.between(200, 9_000));
            let ppm = if draw.chance(1, 2) { 500 } else { -500 };
            let kind = match name {
                "machine-power-loss" => TroubleKind::PowerLoss,
                "machine-pause" => TroubleKind::Pause,
                "machine-partition" => TroubleKind::Partition,
                _ => TroubleKind::Drift(ppm),
            };
            let mut list: Vec<u16> = (1..=machines).filter(|_| draw.chance(1, 3)).collect();
            if list.is_empty() {
                list.push(draw.between(1, machines.into()) as u16);
            }
            troubles.push(Trouble { at_ms, for_ms, machines: list, kind });
        }
    }
    troubles.sort_by_key(|trouble| trouble.at_ms);
    troubles
}

impl fmt::Display for WholePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store().fmt(f)?;
        writeln!(f, "whole")?;
        let of = |text: &str, part: Part| {
            text.lines().filter(|line| Part::of(line) == part).map(String::from).collect()
        };
        let units: Vec<String> = of(&self.fleet.to_string(), Part::Fleet);
        units.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        for line in self.flannel.to_string().lines() {
            match Part::of(line) {
                Part::Flannel => writeln!(f, "{line}")?,
                // flannel's own plans say nothing about whose a mishap is.
                Part::Fleet => writeln!(f, "{line} {OF_FLANNELD}")?,
                Part::Store | Part::Whole => {}
            }
        }
        self.troubles.iter().try_for_each(|trouble| writeln!(f, "{trouble}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.machines.iter().map(u16::to_string).collect();
        let long = Pair("for", self.for_ms, 0, "ms");
        write!(f, "mishap {} at={}ms{long} on={}", self.kind.name(), self.at_ms, list.join(","))?;
        match self.kind {
            TroubleKind::Drift(ppm) => write!(f, " ppm={ppm}"),
            _ => Ok(()),
        }
    }
}
