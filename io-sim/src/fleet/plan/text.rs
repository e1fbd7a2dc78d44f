//! The text form of fleet's lines; the store's are handed to the store's plan.

use super::*;
use crate::plan::{Fields, Pair, ParseError, Parsed, flag};
use fleet::unit::PartitionPolicy;
use std::fmt;

impl FleetPlan {
    /// Whether a text is a plan of a fleet run (and not of the store alone).
    pub fn is_meant_by(text: &str) -> bool {
        text.lines().any(|line| line.split_whitespace().next() == Some("fleet"))
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<FleetPlan, ParseError> {
        let is_ours =
            |line: &str| matches!(line.split_whitespace().next(), Some("fleet" | "deed" | "mishap"));
        // Lines of the other part become empty, so that line numbers stay.
        let of_store: Vec<&str> = text.lines().map(|line| if is_ours(line) { "" } else { line }).collect();
        let store = Plan::parse(&of_store.join("\n"))?;
        let mut plan = FleetPlan { store, machines: 0, zones: 1, deeds: Vec::new(), mishaps: Vec::new() };
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| is_ours(line)) {
            let line = line.split('#').next().unwrap_or("");
            parse_line(line, &mut plan).map_err(|text| ParseError { line: number, text })?;
        }
        if plan.machines == 0 {
            let text = "there is no line that starts with 'fleet', as in 'fleet machines=3'".to_string();
            return Err(ParseError { line: 1, text });
        }
        Ok(plan)
    }
}

fn parse_line(line: &str, plan: &mut FleetPlan) -> Parsed<()> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or("");
    if kind == "fleet" {
        let fields = Fields::new(words)?;
        plan.machines = fields.required("machines")?;
        plan.zones = fields.number("zones", 1)?;
        if plan.machines == 0 || plan.machines > MAX_MACHINES || plan.zones == 0 {
            return Err(format!("a fleet has 1 to {MAX_MACHINES} machines and at least one zone"));
        }
        return fields.done();
    }
    if plan.machines == 0 {
        return Err(format!("the line 'fleet machines=…' stands before the first '{kind}'"));
    }
    let name = words.next().ok_or_else(|| format!("'{kind}' is followed by what it is"))?;
    let fields = Fields::new(words)?;
    let at_ms = fields.required("at")?;
    if kind == "deed" {
        let wish = parse_wish(name, &fields, plan.machines)?;
        plan.deeds.push(Deed { at_ms, wish });
    } else {
        let for_ms = fields.number("for", 0)?;
        let site = parse_site(fields.take("on").unwrap_or("engine"), plan.machines)?;
        plan.mishaps.push(Mishap { at_ms, for_ms, site, kind: parse_kind(name, &fields)? });
    }
    fields.done()
}

fn parse_site(text: &str, machines: u16) -> Parsed<Site> {
    if text == "engine" {
        return Ok(Site::Engine);
    }
    numbers("on", text)
        .and_then(|list| list.into_iter().map(|machine| known(machine, machines)).collect())
        .map(Site::Machines)
}

fn known(machine: u16, machines: u16) -> Parsed<u16> {
    let is_there = (1..=machines).contains(&machine);
    is_there.then_some(machine).ok_or_else(|| format!("machine {machine} is none of 1 to {machines}"))
}

fn numbers(name: &str, text: &str) -> Parsed<Vec<u16>> {
    let list: Option<Vec<u16>> = text.split(',').map(|number| number.parse().ok()).collect();
    list.ok_or_else(|| format!("'{name}={text}' is no list of numbers, as in '{name}=1,3'"))
}

fn parse_wish(name: &str, fields: &Fields<'_>, machines: u16) -> Parsed<Wish> {
    let state = || -> Parsed<DesiredState> {
        let text = fields.take("state").unwrap_or("launched");
        DesiredState::parse(text)
            .ok_or_else(|| format!("'state={text}' is none of inactive, loaded, launched"))
    };
    Ok(match name {
        "put" => Wish::Put(parse_spec(fields)?, state()?),
        "state" => Wish::State(fields.required("unit")?, state()?),
        "destroy" => Wish::Destroy(fields.required("unit")?),
        "restart" => Wish::Restart(fields.required("unit")?),
        "admission" => {
            let to = match fields.take("to").unwrap_or("open") {
                "open" => Admission::Open,
                "cordon" => Admission::Cordon,
                "drain" => Admission::Drain,
                other => return Err(format!("'to={other}' is none of open, cordon, drain")),
            };
            Wish::Admission(known(fields.required("machine")?, machines)?, to)
        }
        "gone" => Wish::Gone(known(fields.required("machine")?, machines)?),
        "rebalance" => Wish::Rebalance(fields.required("most")?),
        other => {
            return Err(format!(
                "'{other}' is no deed: put, state, destroy, restart, admission, gone, rebalance"
            ));
        }
    })
}

fn parse_spec(fields: &Fields<'_>) -> Parsed<UnitSpec> {
    let optional = |name: &str| -> Parsed<Option<u16>> {
        let list = fields.take(name).map(|text| numbers(name, text)).transpose()?;
        Ok(list.and_then(|list| list.first().copied()))
    };
    Ok(UnitSpec {
        unit: fields.required("unit")?,
        version: fields.number("version", 1)?,
        run: parse_run(fields.take("run").unwrap_or("forever"))?,
        zone: optional("zone")?,
        machine: optional("machine")?,
        conflicts: fields.take("conflicts").map_or(Ok(Vec::new()), |text| numbers("conflicts", text))?,
        beside: optional("beside")?,
        global: fields.flag("global"),
        replaces: optional("replaces")?,
        policy: match fields.take("policy").unwrap_or("keep") {
            "keep" => PartitionPolicy::Keep,
            "stop" => PartitionPolicy::Stop,
            "hold" => PartitionPolicy::Hold,
            other => return Err(format!("'policy={other}' is none of keep, stop, hold")),
        },
        grace_s: fields.number("grace", 0)?,
    })
}

fn parse_run(text: &str) -> Parsed<RunKind> {
    let (word, seconds) = text.split_once(':').unwrap_or((text, "0"));
    let seconds = seconds.parse().map_err(|_| format!("'run={text}' does not end with seconds"))?;
    Ok(match word {
        "forever" => RunKind::Forever,
        "restarted" => RunKind::Restarted,
        "stubborn" => RunKind::Stubborn,
        "ends" => RunKind::Ends(seconds),
        "fails" => RunKind::Fails(seconds),
        "oneshot" => RunKind::Oneshot(seconds),
        _ => {
            return Err(format!(
                "'run={text}' is none of forever, restarted, stubborn, ends:N, fails:N, oneshot:N"
            ));
        }
    })
}

fn parse_kind(name: &str, fields: &Fields<'_>) -> Parsed<MishapKind> {
    Ok(match name {
        "crash" => MishapKind::Crash,
        "restart" => MishapKind::Restart,
        "power-loss" => MishapKind::PowerLoss,
        "reboot" => MishapKind::Reboot,
        "pause" => MishapKind::Pause,
        "stall" => MishapKind::Stall,
        "partition" => MishapKind::Partition,
        "bus" => MishapKind::Bus,
        "slow-jobs" => MishapKind::SlowJobs(fields.required("by")?),
        "fail-jobs" => MishapKind::FailJobs(fields.required("permille")?),
        "timeout-jobs" => MishapKind::TimeoutJobs(fields.required("permille")?),
        "cancel-jobs" => MishapKind::CancelJobs(fields.required("permille")?),
        "refuse" => MishapKind::Refuse(fields.required("permille")?),
        "files" => MishapKind::Files(fields.required("permille")?),
        "late-signals" => MishapKind::LateSignals(fields.required("by")?),
        "slow-reload" => MishapKind::SlowReload(fields.required("by")?),
        "crash-unit" => MishapKind::CrashUnit(fields.required("nth")?),
        "stop-behind" => MishapKind::StopBehind(fields.required("nth")?),
        "drift" => MishapKind::Drift(fields.required("ppm")?),
        "compact" => MishapKind::Compact,
        other => return Err(format!("'{other}' is no mishap: {}", MishapKind::NAMES.join(", "))),
    })
}

impl fmt::Display for FleetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)?;
        writeln!(f, "fleet machines={}{}", self.machines, Pair("zones", self.zones, 1, ""))?;
        self.mishaps.iter().try_for_each(|mishap| writeln!(f, "{mishap}"))?;
        self.deeds.iter().try_for_each(|deed| writeln!(f, "{deed}"))
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at_ms;
        match &self.wish {
            Wish::Put(spec, state) => write!(f, "deed put at={at}ms state={state} {spec}"),
            Wish::State(unit, state) => write!(f, "deed state at={at}ms unit={unit} state={state}"),
            Wish::Destroy(unit) => write!(f, "deed destroy at={at}ms unit={unit}"),
            Wish::Restart(unit) => write!(f, "deed restart at={at}ms unit={unit}"),
            Wish::Admission(machine, to) => {
                let to = match to {
                    Admission::Open => "open",
                    Admission::Cordon => "cordon",
                    Admission::Drain => "drain",
                };
                write!(f, "deed admission at={at}ms machine={machine} to={to}")
            }
            Wish::Gone(machine) => write!(f, "deed gone at={at}ms machine={machine}"),
            Wish::Rebalance(most) => write!(f, "deed rebalance at={at}ms most={most}"),
        }
    }
}

impl fmt::Display for UnitSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit={} version={} run={}", self.unit, self.version, self.run)?;
        let optional = [
            ("zone", self.zone),
            ("machine", self.machine),
            ("beside", self.beside),
            ("replaces", self.replaces),
        ];
        for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            write!(f, " {name}={value}")?;
        }
        if !self.conflicts.is_empty() {
            write!(f, " conflicts={}", list(&self.conflicts))?;
        }
        f.write_str(&flag("global", self.global))?;
        match self.policy {
            PartitionPolicy::Keep => Ok(()),
            PartitionPolicy::Hold => f.write_str(" policy=hold"),
            PartitionPolicy::Stop => {
                write!(f, " policy=stop{}", Pair("grace", self.grace_s, 0, "s"))
            }
        }
    }
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunKind::Forever => f.write_str("forever"),
            RunKind::Restarted => f.write_str("restarted"),
            RunKind::Stubborn => f.write_str("stubborn"),
            RunKind::Ends(seconds) => write!(f, "ends:{seconds}"),
            RunKind::Fails(seconds) => write!(f, "fails:{seconds}"),
            RunKind::Oneshot(seconds) => write!(f, "oneshot:{seconds}"),
        }
    }
}

fn list(numbers: &[u16]) -> String {
    numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, long) = (self.at_ms, Pair("for", self.for_ms, 0, "ms"));
        write!(f, "mishap {} at={at}ms{long} on={}", self.kind.name(), self.site)?;
        match self.kind {
            MishapKind::SlowJobs(by) | MishapKind::LateSignals(by) | MishapKind::SlowReload(by) => {
                write!(f, " by={by}ms")
            }
            MishapKind::FailJobs(permille)
            | MishapKind::TimeoutJobs(permille)
            | MishapKind::CancelJobs(permille)
            | MishapKind::Refuse(permille)
            | MishapKind::Files(permille) => write!(f, " permille={permille}"),
            MishapKind::CrashUnit(nth) | MishapKind::StopBehind(nth) => write!(f, " nth={nth}"),
            MishapKind::Drift(ppm) => write!(f, " ppm={ppm}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Site::Engine => f.write_str("engine"),
            Site::Machines(machines) => f.write_str(&list(machines)),
        }
    }
}
