//! The text form of a plan: one event a line, `name=value` pairs in any order, `#` opens a comment.
//!
//! ```text
//! plan seed=7 members=3 clients=2 calm=30000ms end=60000ms
//! knobs tick=100ms election=10 segment=4096 ...
//! op 17 put at=1250ms client=2 key=3 size=16
//! fault partition at=1300ms for=800ms on=leader way=out
//! ```
//!
//! Numbers keep their unit as a suffix. What is left out has its default, and a default is left out when a plan is
//! printed, so that lines stay short. A name that nobody asks for is an error: a typing mistake must not become
//! another plan.

use super::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// A text that is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it and what would be right.
    pub text: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

impl std::error::Error for ParseError {}

pub(crate) type Parsed<T> = Result<T, String>;

/// The `name=value` pairs of a line; takes each once.
pub(crate) struct Fields<'a>(RefCell<BTreeMap<&'a str, &'a str>>);

impl<'a> Fields<'a> {
    pub(crate) fn new(words: impl Iterator<Item = &'a str>) -> Parsed<Self> {
        let mut fields = BTreeMap::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, "yes"));
            if fields.insert(name, value).is_some() {
                return Err(format!("'{name}' is given twice"));
            }
        }
        Ok(Fields(RefCell::new(fields)))
    }

    pub(crate) fn take(&self, name: &str) -> Option<&'a str> {
        self.0.borrow_mut().remove(name)
    }

    pub(crate) fn number<T: TryFrom<i128>>(&self, name: &str, default: i128) -> Parsed<T> {
        let Some(text) = self.take(name) else { return cast(name, default) };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: i128 = digits.parse().map_err(|_| format!("'{name}={text}' is not a number"))?;
        cast(name, number)
    }

    pub(crate) fn required<T: TryFrom<i128>>(&self, name: &str) -> Parsed<T> {
        if !self.0.borrow().contains_key(name) {
            return Err(format!("'{name}=' is missing"));
        }
        self.number(name, 0)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.take(name).is_some()
    }

    pub(crate) fn done(&self) -> Parsed<()> {
        match self.0.borrow().keys().next() {
            Some(name) => Err(format!("'{name}' is not known here")),
            None => Ok(()),
        }
    }
}

fn cast<T: TryFrom<i128>>(name: &str, number: i128) -> Parsed<T> {
    T::try_from(number).map_err(|_| format!("'{name}={number}' is out of range"))
}

impl Plan {
    /// Reads the text form. Lines may come in any order, the `plan` line first.
    pub fn parse(text: &str) -> Result<Plan, ParseError> {
        let mut plan: Option<Plan> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or("").trim();
            if !line.is_empty() {
                parse_line(line, &mut plan).map_err(|text| ParseError { line: number, text })?;
            }
        }
        plan.ok_or_else(|| ParseError {
            line: 1,
            text: "there is no line that starts with 'plan'".to_string(),
        })
    }
}

fn parse_line(line: &str, plan: &mut Option<Plan>) -> Parsed<()> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or("");
    let Some(plan) = plan else {
        if kind != "plan" {
            return Err(format!("the first line must start with 'plan', not with '{kind}'"));
        }
        *plan = Some(parse_plan(&Fields::new(words)?)?);
        return Ok(());
    };
    match kind {
        "knobs" => plan.knobs = parse_knobs(&Fields::new(words)?)?,
        "op" => {
            let tag = words.next().and_then(|word| word.parse().ok()).filter(|tag| *tag > 0);
            let tag = tag.ok_or("'op' is followed by the operation's number, from 1 up")?;
            let deed = words.next().ok_or("the operation's kind is missing, as in 'op 1 put ...'")?;
            plan.operations.push(parse_operation(tag, deed, &Fields::new(words)?, plan.clients)?);
        }
        "fault" => {
            let class = words.next().ok_or("the fault's class is missing, as in 'fault crash ...'")?;
            plan.faults.push(parse_fault(class, &Fields::new(words)?, plan.members)?);
        }
        other => {
            return Err(format!("a line starts with 'plan', 'knobs', 'op' or 'fault', not with '{other}'"));
        }
    }
    Ok(())
}

fn parse_plan(fields: &Fields<'_>) -> Parsed<Plan> {
    let plan = Plan {
        seed: fields.required("seed")?,
        members: fields.number("members", 3)?,
        clients: fields.number("clients", 1)?,
        calm_ms: fields.required("calm")?,
        end_ms: fields.required("end")?,
        knobs: Knobs::default(),
        operations: Vec::new(),
        faults: Vec::new(),
    };
    if plan.members == 0 || plan.members > MAX_MEMBERS || plan.clients == 0 {
        return Err(format!("a plan has 1 to {MAX_MEMBERS} members and at least one client"));
    }
    fields.done().map(|()| plan)
}

fn parse_knobs(fields: &Fields<'_>) -> Parsed<Knobs> {
    let usual = Knobs::default();
    let knobs = Knobs {
        wal_segment_bytes: fields.number("segment", usual.wal_segment_bytes.into())?,
        checkpoint_bytes: fields.number("checkpoint", usual.checkpoint_bytes.into())?,
        catch_up_entries: fields.number("catch-up", usual.catch_up_entries.into())?,
        overlay_bytes: fields.number("overlay", usual.overlay_bytes.into())?,
        tick_ms: fields.number("tick", usual.tick_ms.into())?,
        election_ticks: fields.number("election", usual.election_ticks.into())?,
        delay_us: fields.number("delay", usual.delay_us.into())?,
        jitter_us: fields.number("jitter", usual.jitter_us.into())?,
        sync_us: fields.number("sync", usual.sync_us.into())?,
        drift_ppm: fields.number("drift", usual.drift_ppm.into())?,
        window: fields.number("window", usual.window.into())?,
        inflight: fields.number("inflight", usual.inflight.into())?,
        queue: fields.number("queue", usual.queue.into())?,
        inbox: fields.number("inbox", usual.inbox.into())?,
        waiting: fields.number("waiting", usual.waiting.into())?,
        watch_buffer: fields.number("watch-buffer", usual.watch_buffer.into())?,
        cache_bytes: fields.number("cache", usual.cache_bytes.into())?,
        large_sectors: fields.flag("large-sectors"),
        corrupt_check_ms: fields.number("corrupt-check", usual.corrupt_check_ms.into())?,
    };
    let waits = [knobs.window, knobs.inflight, knobs.queue, knobs.inbox, knobs.waiting, knobs.watch_buffer];
    if waits.contains(&0) || knobs.window > kernel::net::WINDOW_FRAMES as u64 {
        let text = "'window', 'inflight', 'queue', 'inbox', 'waiting' and 'watch-buffer' are 1 or more, 'window' at most 4096";
        return Err(text.to_string());
    }
    fields.done().map(|()| knobs)
}

fn parse_operation(tag: u32, deed: &str, fields: &Fields<'_>, clients: u8) -> Parsed<Operation> {
    let at_ms = fields.required("at")?;
    let client = fields.number("client", 1)?;
    if client == 0 || client > clients {
        return Err(format!("'client={client}' is not one of 1 to {clients}"));
    }
    let deed = parse_deed(deed, fields)?;
    fields.done().map(|()| Operation { tag, at_ms, client, deed })
}

fn parse_deed(name: &str, fields: &Fields<'_>) -> Parsed<Deed> {
    let range = || -> Parsed<(u8, u8)> {
        let key = fields.required("key")?;
        Ok((key, fields.number("last", i128::from(key))?))
    };
    Ok(match name {
        "put" => Deed::Put {
            key: fields.required("key")?,
            size: fields.number("size", 8)?,
            lease: fields.number("lease", 0)?,
            prev: fields.flag("prev"),
        },
        "get" => {
            let (key, last) = range()?;
            let (back, limit) = (fields.number("back", 0)?, fields.number("limit", 0)?);
            Deed::Get { key, last, back, limit, stale: fields.flag("stale") }
        }
        "delete" => {
            let (key, last) = range()?;
            Deed::Delete { key, last, prev: fields.flag("prev") }
        }
        "cas" => Deed::Cas { key: fields.required("key")? },
        "txn" => Deed::Txn { key: fields.required("key")?, inner: fields.flag("inner") },
        "compact" => Deed::Compact { back: fields.number("back", 0)?, physical: fields.flag("physical") },
        "grant" => Deed::Grant { ttl: fields.required("ttl")? },
        "keep-alive" => Deed::KeepAlive { lease: fields.required("lease")? },
        "revoke" => Deed::Revoke { lease: fields.required("lease")? },
        "watch" => {
            let (key, last) = range()?;
            let (from, slow_ms) = (fields.number("from", 0)?, fields.number("slow", 0)?);
            Deed::Watch {
                key,
                last,
                from,
                slow_ms,
                for_ms: fields.number("for", 0)?,
                prev: fields.flag("prev"),
                only: parse_only(fields.take("only").unwrap_or("all"))?,
                beside: fields.number("beside", 0)?,
            }
        }
        other => {
            return Err(format!(
                "'{other}' is no operation: put, get, delete, cas, txn, compact, grant, keep-alive, revoke, watch"
            ));
        }
    })
}

fn parse_only(word: &str) -> Parsed<Only> {
    match word {
        "all" => Ok(Only::All),
        "puts" => Ok(Only::Puts),
        "deletes" => Ok(Only::Deletes),
        other => Err(format!("'only={other}' is none of all, puts, deletes")),
    }
}

fn parse_fault(class: &str, fields: &Fields<'_>, members: u8) -> Parsed<Fault> {
    let at_ms = fields.required("at")?;
    let for_ms = fields.number("for", 0)?;
    let target = parse_target(fields.take("on").unwrap_or("leader"), members)?;
    let class = Class::parse(class, fields)?;
    fields.done().map(|()| Fault { at_ms, for_ms, target, class })
}

fn parse_target(text: &str, members: u8) -> Parsed<Target> {
    match text {
        "leader" => return Ok(Target::Leader),
        "follower" => return Ok(Target::Follower),
        _ => {}
    }
    let parsed: Option<Vec<u8>> = text.split(',').map(|member| member.parse().ok()).collect();
    match parsed {
        Some(list) if list.iter().all(|member| (1..=members).contains(member)) => Ok(Target::Members(list)),
        _ => Err(format!(
            "'on={text}' is neither 'leader' nor 'follower' nor a list of members from 1 to {members}, as in 'on=1,3'"
        )),
    }
}

/// Writes ` name=value` unless the value is its default.
pub(crate) struct Pair<T>(pub &'static str, pub T, pub T, pub &'static str);

impl<T: fmt::Display + PartialEq> fmt::Display for Pair<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == self.2 { Ok(()) } else { write!(f, " {}={}{}", self.0, self.1, self.3) }
    }
}

pub(crate) fn flag(name: &'static str, set: bool) -> String {
    if set { format!(" {name}") } else { String::new() }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, members, clients, calm_ms, end_ms, .. } = self;
        writeln!(f, "plan seed={seed} members={members} clients={clients} calm={calm_ms}ms end={end_ms}ms")?;
        writeln!(f, "{}", self.knobs)?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "{operation}"))
    }
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Knobs::default();
        f.write_str("knobs")?;
        Pair("segment", self.wal_segment_bytes, usual.wal_segment_bytes, "").fmt(f)?;
        Pair("checkpoint", self.checkpoint_bytes, usual.checkpoint_bytes, "").fmt(f)?;
        Pair("catch-up", self.catch_up_entries, usual.catch_up_entries, "").fmt(f)?;
        Pair("overlay", self.overlay_bytes, usual.overlay_bytes, "").fmt(f)?;
        Pair("tick", self.tick_ms, usual.tick_ms, "ms").fmt(f)?;
        Pair("election", self.election_ticks, usual.election_ticks, "").fmt(f)?;
        Pair("delay", self.delay_us, usual.delay_us, "us").fmt(f)?;
        Pair("jitter", self.jitter_us, usual.jitter_us, "us").fmt(f)?;
        Pair("sync", self.sync_us, usual.sync_us, "us").fmt(f)?;
        Pair("drift", self.drift_ppm, usual.drift_ppm, "ppm").fmt(f)?;
        Pair("window", self.window, usual.window, "").fmt(f)?;
        Pair("inflight", self.inflight, usual.inflight, "").fmt(f)?;
        Pair("queue", self.queue, usual.queue, "").fmt(f)?;
        Pair("inbox", self.inbox, usual.inbox, "").fmt(f)?;
        Pair("waiting", self.waiting, usual.waiting, "").fmt(f)?;
        Pair("watch-buffer", self.watch_buffer, usual.watch_buffer, "").fmt(f)?;
        Pair("cache", self.cache_bytes, usual.cache_bytes, "").fmt(f)?;
        Pair("corrupt-check", self.corrupt_check_ms, usual.corrupt_check_ms, "ms").fmt(f)?;
        f.write_str(&flag("large-sectors", self.large_sectors))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {} {} at={}ms", self.tag, self.deed.name(), self.at_ms)?;
        Pair("client", self.client, 1, "").fmt(f)?;
        match self.deed {
            Deed::Put { key, size, lease, prev } => {
                let (size, lease) = (Pair("size", size, 8, ""), Pair("lease", lease, 0, ""));
                write!(f, " key={key}{size}{lease}{}", flag("prev", prev))
            }
            Deed::Get { key, last, back, limit, stale } => {
                let (last, back) = (Pair("last", last, key, ""), Pair("back", back, 0, ""));
                write!(f, " key={key}{last}{back}{}{}", Pair("limit", limit, 0, ""), flag("stale", stale))
            }
            Deed::Delete { key, last, prev } => {
                write!(f, " key={key}{}{}", Pair("last", last, key, ""), flag("prev", prev))
            }
            Deed::Cas { key } => write!(f, " key={key}"),
            Deed::Txn { key, inner } => write!(f, " key={key}{}", flag("inner", inner)),
            Deed::Compact { back, physical } => {
                write!(f, "{}{}", Pair("back", back, 0, ""), flag("physical", physical))
            }
            Deed::Grant { ttl } => write!(f, " ttl={ttl}s"),
            Deed::KeepAlive { lease } | Deed::Revoke { lease } => write!(f, " lease={lease}"),
            Deed::Watch { key, last, from, slow_ms, for_ms, prev, only, beside } => {
                let (last, from) = (Pair("last", last, key, ""), Pair("from", from, 0, ""));
                let (slow, long) = (Pair("slow", slow_ms, 0, "ms"), Pair("for", for_ms, 0, "ms"));
                let only = match only {
                    Only::All => "",
                    Only::Puts => " only=puts",
                    Only::Deletes => " only=deletes",
                };
                write!(
                    f,
                    " key={key}{last}{from}{slow}{long}{}{only}{}",
                    flag("prev", prev),
                    Pair("beside", beside, 0, "")
                )
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fault {} at={}ms{} on={}",
            self.class.name(),
            self.at_ms,
            Pair("for", self.for_ms, 0, "ms"),
            self.target
        )?;
        self.class.fmt(f)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = match self {
            Target::Leader => return f.write_str("leader"),
            Target::Follower => return f.write_str("follower"),
            Target::Members(members) => members,
        };
        for (position, member) in members.iter().enumerate() {
            if position > 0 {
                f.write_char(',')?;
            }
            write!(f, "{member}")?;
        }
        Ok(())
    }
}
