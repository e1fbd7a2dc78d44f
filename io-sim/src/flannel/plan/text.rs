//! The text form of flannel's lines; the store's are handed to the store's plan.

use super::config::MOST_SUBNETS;
use super::*;
use crate::plan::{Fields, Pair, ParseError, Parsed, flag};
use std::fmt;

impl FlannelPlan {
    /// Whether a text is a plan of a flannel run.
    pub fn is_meant_by(text: &str) -> bool {
        text.lines().any(|line| line.split_whitespace().next() == Some("flannel"))
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<FlannelPlan, ParseError> {
        let is_ours = |line: &str| matches!(line.split_whitespace().next(), Some("flannel" | "mishap"));
        // Lines of the other part become empty, so that line numbers stay.
        let of_store: Vec<&str> = text.lines().map(|line| if is_ours(line) { "" } else { line }).collect();
        let store = Plan::parse(&of_store.join("\n"))?;
        let backend = Backend::Vxlan;
        let mut plan = FlannelPlan {
            store,
            machines: 0,
            backend,
            families: Families::V4,
            direct: false,
            halves: false,
            subnets: 0,
            ttl_s: 0,
            mishaps: Vec::new(),
        };
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| is_ours(line)) {
            let line = line.split('#').next().unwrap_or("");
            parse_line(line, &mut plan).map_err(|text| ParseError { line: number, text })?;
        }
        if plan.machines == 0 {
            let text = "there is no line that starts with 'flannel', as in 'flannel machines=3'".to_string();
            return Err(ParseError { line: 1, text });
        }
        Ok(plan)
    }
}

fn parse_line(line: &str, plan: &mut FlannelPlan) -> Parsed<()> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or("");
    if kind == "flannel" {
        let fields = Fields::new(words)?;
        plan.machines = fields.required("machines")?;
        plan.subnets = fields.number("subnets", 200)?;
        (plan.direct, plan.halves) = (fields.flag("direct"), fields.flag("halves"));
        let name = fields.take("family").unwrap_or("ipv4");
        let known = Families::ALL.into_iter().find(|(other, _)| *other == name);
        plan.families = known.ok_or_else(|| format!("'family={name}' is none of ipv4, ipv6, dual"))?.1;
        plan.ttl_s = fields.number("ttl", 20)?;
        let name = fields.take("backend").unwrap_or("vxlan");
        let known = Backend::ALL.into_iter().find(|(other, _)| *other == name);
        plan.backend = known
            .ok_or_else(|| format!("'backend={name}' is none of vxlan, host-gw, ipip, udp, wireguard"))?
            .1;
        if plan.machines == 0 || plan.machines > MAX_MACHINES || plan.ttl_s < 5 {
            return Err(format!("there are 1 to {MAX_MACHINES} machines, and leases of 5 seconds or more"));
        }
        if !(1..=MOST_SUBNETS).contains(&plan.subnets) {
            return Err(format!("there are 1 to {MOST_SUBNETS} subnets"));
        }
        if plan.families != Families::V4 && matches!(plan.backend, Backend::Udp | Backend::Ipip) {
            return Err(format!("backend {} carries IPv4 only", plan.backend.name()));
        }
        if plan.halves && plan.backend == Backend::HostGw {
            return Err("with host-gw all machines are on one link, without 'halves'".to_string());
        }
        return fields.done();
    }
    if plan.machines == 0 {
        return Err("the line 'flannel machines=…' stands before the first 'mishap'".to_string());
    }
    let name = words.next().ok_or("'mishap' is followed by what it is")?;
    let fields = Fields::new(words)?;
    let (at_ms, for_ms) = (fields.required("at")?, fields.number("for", 0)?);
    let list = fields.take("on").unwrap_or("1");
    let machines: Option<Vec<u16>> = list.split(',').map(|number| number.parse().ok()).collect();
    let machines = machines.filter(|list| list.iter().all(|machine| (1..=plan.machines).contains(machine)));
    let machines = machines.ok_or_else(|| format!("'on={list}' is no list of machines, as in 'on=1,3'"))?;
    plan.mishaps.push(Mishap { at_ms, for_ms, machines, kind: parse_kind(name, &fields)? });
    fields.done()
}

fn parse_kind(name: &str, fields: &Fields<'_>) -> Parsed<MishapKind> {
    if let Some((_, meddling)) = Meddling::ALL.into_iter().find(|(other, _)| *other == name) {
        return Ok(MishapKind::Meddle(meddling));
    }
    if let Some((_, retuning)) = Retuning::ALL.into_iter().find(|(other, _)| *other == name) {
        return Ok(MishapKind::Retune(retuning));
    }
    Ok(match name {
        "crash" => MishapKind::Crash,
        "restart" => MishapKind::Restart,
        "power-loss" => MishapKind::PowerLoss,
        "gone" => MishapKind::Gone,
        "pause" => MishapKind::Pause,
        "partition" => MishapKind::Partition,
        "deaf" => MishapKind::Deaf,
        "drift" => MishapKind::Drift(fields.required("ppm")?),
        "revoke" => MishapKind::Revoke,
        "delete-key" => MishapKind::DeleteKey,
        "malformed" => MishapKind::Malformed,
        "stranger" => MishapKind::Stranger,
        "compact" => MishapKind::Compact,
        "exists" => MishapKind::Exists(fields.required("permille")?),
        "busy" => MishapKind::Busy(fields.required("permille")?),
        "no-buffers" => MishapKind::NoBuffers(fields.required("permille")?),
        "lost" => MishapKind::Lost(fields.required("permille")?),
        "hints-lost" => MishapKind::HintsLost(fields.required("permille")?),
        "hints-late" => MishapKind::HintsLate(fields.required("by")?),
        "slow" => MishapKind::Slow(fields.required("by")?),
        "sever" => MishapKind::Sever,
        "spoil" => MishapKind::Spoil,
        other => return Err(format!("'{other}' is no mishap: {}", MishapKind::NAMES.join(", "))),
    })
}

impl fmt::Display for FlannelPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)?;
        let (machines, backend, subnets) = (self.machines, self.backend.name(), self.subnets);
        write!(f, "flannel machines={machines} backend={backend} subnets={subnets} ttl={}s", self.ttl_s)?;
        let (direct, halves) = (flag("direct", self.direct), flag("halves", self.halves));
        writeln!(f, "{}{direct}{halves}", Pair("family", self.families.name(), "ipv4", ""))?;
        self.mishaps.iter().try_for_each(|mishap| writeln!(f, "{mishap}"))
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.machines.iter().map(u16::to_string).collect();
        let (at, long) = (self.at_ms, Pair("for", self.for_ms, 0, "ms"));
        write!(f, "mishap {} at={at}ms{long} on={}", self.kind.name(), list.join(","))?;
        match self.kind {
            MishapKind::Exists(permille)
            | MishapKind::Busy(permille)
            | MishapKind::NoBuffers(permille)
            | MishapKind::Lost(permille)
            | MishapKind::HintsLost(permille) => write!(f, " permille={permille}"),
            MishapKind::HintsLate(by) | MishapKind::Slow(by) => write!(f, " by={by}ms"),
            MishapKind::Drift(ppm) => write!(f, " ppm={ppm}"),
            _ => Ok(()),
        }
    }
}
