//! Rules by the iptables programs: chains FLANNEL-POSTRTG and FLANNEL-FWD, and a jump to each.
//!
//! A change is one run of `iptables-restore --noflush`: what it does to a table, it does at once. What is there is read from
//! `iptables -S`. A jump that is missing, or there twice, counts as a rule of somebody else, so the next look mends it.

use super::nft::FOREIGN;
use flannel::links::{LinksError, LinksResult};
use flannel::rules::{Means, Rule, RuleSet, Verdict};
use ipnet::IpNet;
use std::fmt::Write;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Our chain for packets that leave.
pub const POSTROUTING: &str = "FLANNEL-POSTRTG";
/// Our chain for packets that pass through.
pub const FORWARD: &str = "FLANNEL-FWD";

/// Seconds that a program waits for another that holds the lock.
const LOCK_WAIT: &str = "5";

/// The first version of the programs that can draw all ports at random.
const RANDOM_FULLY_SINCE: [u32; 3] = [1, 6, 2];

/// Where a chain of ours is.
struct Place {
    table: &'static str,
    from: &'static str,
    chain: &'static str,
    comment: &'static str,
}

const PLACES: [Place; 2] = [
    Place { table: "nat", from: "POSTROUTING", chain: POSTROUTING, comment: "flanneld masq" },
    Place { table: "filter", from: "FORWARD", chain: FORWARD, comment: "flanneld forward" },
];

fn program(v6: bool) -> &'static str {
    if v6 { "ip6tables" } else { "iptables" }
}

/// Whether the old iptables of the kernel, apart from nftables, has this table. Asking the program would make it.
pub fn legacy(v6: bool, table: &str) -> bool {
    let path = if v6 { "/proc/net/ip6_tables_names" } else { "/proc/net/ip_tables_names" };
    std::fs::read_to_string(path).is_ok_and(|names| names.lines().any(|name| name == table))
}

/// What a program did.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a program. `Unsupported` if it is missing.
async fn run(program: &str, arguments: &[&str], input: &str) -> LinksResult<Ran> {
    let lost = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => LinksError::Unsupported(format!(
            "{program} is missing: install iptables, or set \"EnableNFTables\": true in the network config"
        )),
        _ => LinksError::Lost(format!("{program}: {error}")),
    };
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(lost)?;
    let mut stdin = child.stdin.take().expect("it has a pipe");
    // It may end before it has read all; its own words tell why.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(lost)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_string();
    Ok(Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

/// The rules of a chain as `iptables -S` prints them; none if there is no such chain.
async fn printed(v6: bool, table: &str, chain: &str) -> LinksResult<Option<String>> {
    let ran = run(program(v6), &["-w", LOCK_WAIT, "-t", table, "-S", chain], "").await?;
    match ran.code {
        Some(0) => Ok(Some(ran.stdout)),
        // No such chain, or no such table.
        Some(1) | Some(3) => Ok(None),
        code => Err(LinksError::Refused(format!(
            "{} -S {chain} ended with {code:?}: {}",
            program(v6),
            ran.stderr
        ))),
    }
}

/// How often the jump to our chain is there.
async fn jumps(v6: bool, place: &Place) -> LinksResult<usize> {
    let printed = printed(v6, place.table, place.from).await?.unwrap_or_default();
    Ok(printed.lines().filter(|line| *line == jump(place)).count())
}

fn jump(place: &Place) -> String {
    format!("-A {} -m comment --comment \"{}\" -j {}", place.from, place.comment, place.chain)
}

/// What flannel's chains hold; none if there are none, or no programs to ask.
pub async fn read(v6: bool) -> LinksResult<Option<RuleSet>> {
    let mut lists = Vec::new();
    let mut any = false;
    for place in &PLACES {
        let chain = match printed(v6, place.table, place.chain).await {
            Err(LinksError::Unsupported(_)) => return Ok(None),
            chain => chain?,
        };
        let jumps = jumps(v6, place).await?;
        let mut rules: Vec<_> =
            chain.iter().flat_map(|text| text.lines()).filter_map(|line| rule(line, place)).collect();
        if jumps != usize::from(chain.is_some()) || (chain.is_some() && rules.is_empty()) {
            rules.push(FOREIGN);
        }
        any |= !rules.is_empty();
        lists.push(rules);
    }
    let forward = lists.pop().expect("two places");
    let postrouting = lists.pop().expect("two places");
    Ok(any.then_some(RuleSet { v6, means: Means::Iptables, postrouting, forward }))
}

/// Makes exactly these rules.
pub async fn put(rules: &RuleSet) -> LinksResult<()> {
    assert_eq!(rules.means, Means::Iptables, "the other means has its own file");
    let mut all = rules.postrouting.iter().chain(&rules.forward);
    if all.any(|rule| *rule == FOREIGN) {
        return Err(LinksError::Refused("iptables: a rule of somebody else cannot be made".to_string()));
    }
    let mut text = String::new();
    for (place, wish) in PLACES.iter().zip([&rules.postrouting, &rules.forward]) {
        let there = printed(rules.v6, place.table, place.chain).await?.is_some();
        let jumps = jumps(rules.v6, place).await?;
        text += &change(place, wish, there, jumps);
    }
    restore(rules.v6, &text).await
}

/// Removes what flannel had. `NotFound` if there was nothing.
pub async fn delete(v6: bool) -> LinksResult<()> {
    let mut text = String::new();
    for place in &PLACES {
        let there = printed(v6, place.table, place.chain).await?.is_some();
        let jumps = jumps(v6, place).await?;
        text += &change(place, &[], there, jumps);
    }
    match text.is_empty() {
        true => Err(LinksError::NotFound(format!("{} chains of flannel", program(v6)))),
        false => restore(v6, &text).await,
    }
}

async fn restore(v6: bool, text: &str) -> LinksResult<()> {
    if text.is_empty() {
        return Ok(());
    }
    let program = if v6 { "ip6tables-restore" } else { "iptables-restore" };
    let ran = run(program, &["--noflush", "-w", LOCK_WAIT], text).await?;
    match ran.code {
        Some(0) => Ok(()),
        // Another program held the lock, or changed the same table meanwhile.
        Some(4) => Err(LinksError::Busy(format!("{program}: {}", ran.stderr))),
        code => Err(LinksError::Refused(format!("{program} ended with {code:?}: {}", ran.stderr))),
    }
}

/// The lines for `iptables-restore` that make a chain hold exactly these rules; no chain if there are none.
fn change(place: &Place, rules: &[Rule], there: bool, jumps: usize) -> String {
    let mut text = String::new();
    let (chain, jump) = (place.chain, jump(place));
    let without = jump.replacen("-A", "-D", 1);
    if rules.is_empty() {
        text += &format!("{without}\n").repeat(jumps);
        if there {
            let _ = write!(text, "-F {chain}\n-X {chain}\n");
        }
    } else {
        // Makes the chain, or empties it.
        let _ = writeln!(text, ":{chain} - [0:0]");
        if jumps != 1 {
            text += &format!("{without}\n").repeat(jumps);
            let _ = writeln!(text, "{jump}");
        }
        for rule in rules {
            let _ = writeln!(text, "{}", line(rule, place));
        }
    }
    if text.is_empty() { text } else { format!("*{}\n{text}COMMIT\n", place.table) }
}

/// A rule as `iptables -S` prints it.
fn line(rule: &Rule, place: &Place) -> String {
    let mut line = format!("-A {}", place.chain);
    for (letter, net) in [("-s", rule.source), ("-d", rule.destination)] {
        if let Some((net, inside)) = net {
            let not = if inside { "" } else { "! " };
            let _ = write!(line, " {not}{letter} {}", net.trunc());
        }
    }
    if rule.marked {
        line += " -m mark --mark 0x4000/0x4000";
    }
    let _ = write!(line, " -m comment --comment \"{}\" -j ", place.comment);
    line += match rule.verdict {
        Verdict::Return => "RETURN",
        Verdict::Accept => "ACCEPT",
        Verdict::Masquerade { random_fully: false } => "MASQUERADE",
        Verdict::Masquerade { random_fully: true } => "MASQUERADE --random-fully",
        Verdict::Foreign => unreachable!("nobody wishes for a rule of somebody else"),
    };
    line
}

/// The rule in a line of `iptables -S`; none for a line that makes the chain.
fn rule(printed: &str, place: &Place) -> Option<Rule> {
    if printed.starts_with("-N ") {
        return None;
    }
    let understood = parse(printed).filter(|rule| line(rule, place) == printed);
    // What reads as a rule of ours but is not written as one says more than we understand.
    Some(understood.unwrap_or(FOREIGN))
}

fn parse(printed: &str) -> Option<Rule> {
    let mut rule = Rule { marked: false, source: None, destination: None, verdict: Verdict::Foreign };
    let mut inside = true;
    let mut words = printed.split(' ');
    while let Some(word) = words.next() {
        match word {
            "!" => inside = false,
            "-s" => {
                rule.source =
                    Some((words.next()?.parse::<IpNet>().ok()?, std::mem::replace(&mut inside, true)))
            }
            "-d" => {
                rule.destination = Some((words.next()?.parse().ok()?, std::mem::replace(&mut inside, true)));
            }
            "--mark" => rule.marked = true,
            "RETURN" => rule.verdict = Verdict::Return,
            "ACCEPT" => rule.verdict = Verdict::Accept,
            "MASQUERADE" => rule.verdict = Verdict::Masquerade { random_fully: false },
            "--random-fully" => rule.verdict = Verdict::Masquerade { random_fully: true },
            _ => {}
        }
    }
    (rule.verdict != Verdict::Foreign).then_some(rule)
}

/// Whether the FORWARD chain of the programs has the policy to drop.
pub async fn forward_drops(v6: bool) -> LinksResult<bool> {
    match printed(v6, "filter", "FORWARD").await {
        Err(LinksError::Unsupported(_)) => Ok(false),
        printed => Ok(printed?.is_some_and(|text| text.lines().any(|line| line == "-P FORWARD DROP"))),
    }
}

/// Whether the programs can draw all ports at random; false where there are none.
pub async fn random_fully(v6: bool) -> bool {
    let ran = run(program(v6), &["--version"], "").await;
    ran.is_ok_and(|ran| version(&ran.stdout).is_some_and(|version| version >= RANDOM_FULLY_SINCE))
}

/// The version in `iptables v1.8.9 (nf_tables)`.
fn version(printed: &str) -> Option<[u32; 3]> {
    let mut numbers = printed.split_whitespace().nth(1)?.strip_prefix('v')?.split('.').map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

#[cfg(test)]
#[path = "iptables_tests.rs"]
mod tests;
