//! Stories about disks, which a plan alone cannot tell: a plan for the traffic, and a script that puts on the calendar what
//! happens to single files of single members.

use io_sim::cluster::Cluster;
use io_sim::plan::Plan;
use io_sim::runner::{self, Options, Report};
use kernel::Open;
use std::time::Duration;

/// The end of the faults and of the run, in milliseconds: late enough that the calm is judged for liveness too.
const CALM_MS: u64 = 14_000;
const END_MS: u64 = 33_000;

/// A run to be: a cluster of `members` under traffic, with whatever is added.
pub struct Story {
    members: u8,
    calm_ms: u64,
    end_ms: u64,
    knobs: String,
    faults: String,
}

impl Story {
    /// A cluster with one segment of log that holds the whole run, and a state that is never checkpointed: what is lost in
    /// the log is lost.
    pub fn of(members: u8) -> Story {
        let knobs = "segment=1048576 checkpoint=100000000".to_string();
        Story { members, calm_ms: CALM_MS, end_ms: END_MS, knobs, faults: String::new() }
    }

    /// With a log that rolls all the time, frequent checkpoints, and snapshots for whoever is a little behind.
    pub fn of_small_files(members: u8) -> Story {
        Story { knobs: "segment=8192 checkpoint=4096 catch-up=20".to_string(), ..Story::of(members) }
    }

    /// With other knobs, as in a plan.
    pub fn knobs(self, knobs: &str) -> Story {
        Story { knobs: knobs.to_string(), ..self }
    }

    /// With more knobs, as in a plan.
    pub fn more_knobs(mut self, knobs: &str) -> Story {
        self.knobs = format!("{} {knobs}", self.knobs);
        self
    }

    /// With more faults or operations of the plan, a line each.
    pub fn with(mut self, faults: &str) -> Story {
        self.faults += faults;
        self.faults += "\n";
        self
    }

    /// Ends before liveness would be judged: for stories in which the cluster must stop.
    pub fn without_a_calm(mut self) -> Story {
        self.calm_ms = self.end_ms;
        self
    }

    /// Tells it with the small randomness of `seed`, and demands that every checker is content.
    pub fn run(&self, seed: u64, script: impl FnOnce(&Cluster) + Send + 'static) -> Report {
        let report = runner::run_scripted(&self.plan(seed), Options::default(), script);
        assert!(report.passed(), "{report}\nprobes {:#?}", report.probes);
        report
    }

    /// Tells it with a bug; what failed, if anything did.
    #[cfg(orlop_mutations)]
    pub fn planted(
        &self,
        seed: u64,
        bug: kernel::Bug,
        script: impl FnOnce(&Cluster) + Send + 'static,
    ) -> Option<io_sim::checkers::Failure> {
        let options = Options { planted: kernel::Planted::bug(bug), ..Options::default() };
        runner::run_scripted(&self.plan(seed), options, script).failure
    }

    fn plan(&self, seed: u64) -> Plan {
        let Story { members, calm_ms, end_ms, knobs, faults } = self;
        let text = format!(
            "plan seed={seed} members={members} clients=3 calm={calm_ms}ms end={end_ms}ms\nknobs {knobs}\n{faults}\n{}",
            traffic(end_ms - 3_000)
        );
        Plan::parse(&text).unwrap_or_else(|error| panic!("the story is no plan: {error}\n{text}"))
    }
}

/// Writes and reads, ten a second, by three clients who ask different members.
fn traffic(until_ms: u64) -> String {
    let line = |step: u64| {
        let (tag, at, client, key) = (step + 1, 1_000 + step * 100, step % 3 + 1, step % 5);
        match step % 4 {
            0 | 1 => format!("op {tag} put at={at}ms client={client} key={key} size=40\n"),
            2 => format!("op {tag} get at={at}ms client={client} key={key}\n"),
            _ => format!("op {tag} cas at={at}ms client={client} key={key}\n"),
        }
    };
    (0..(until_ms - 1_000) / 100).map(line).collect()
}

/// More traffic, as lines of a plan: values that do not fit into a cache, written and read again after a while.
pub fn large_values(from_ms: u64, until_ms: u64) -> String {
    let line = |step: u64| {
        let (tag, at, client) = (50_000 + step, from_ms + step * 50, step % 3 + 1);
        match step % 2 {
            0 => format!("op {tag} put at={at}ms client={client} key={} size=12000\n", 10 + step / 2 % 40),
            _ => format!("op {tag} get at={at}ms client={client} key={}\n", 10 + step * 7 % 40),
        }
    };
    (0..(until_ms - from_ms) / 50).map(line).collect()
}

/// Puts an act on the calendar, so many milliseconds from the beginning.
pub fn at(cluster: &Cluster, ms: u64, act: impl FnOnce(&Cluster) + Send + 'static) {
    let there = cluster.clone();
    cluster.world().at(Duration::from_millis(ms), move |_| act(&there));
}

/// Fails the run unless `holds`.
pub fn demand(cluster: &Cluster, holds: bool, otherwise: impl Into<String>) {
    if !holds {
        cluster.world().fail(io_sim::NodeId::WORLD, otherwise);
    }
}

/// Who leads; fails the run when nobody ever did.
pub fn leader(cluster: &Cluster) -> u8 {
    let leader = cluster.leader();
    demand(cluster, leader.is_some(), "nobody leads yet");
    leader.unwrap_or(1)
}

/// A member that does not lead.
pub fn follower(cluster: &Cluster) -> u8 {
    leader(cluster) % cluster.plan().members + 1
}

/// A record in a segment of the log; see docs/file-format.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its first byte.
    pub at: u64,
    /// Its index.
    pub index: u64,
    /// Its kind: 2 is an entry, 3 a hard state, 5 a marker.
    pub kind: u8,
}

/// Where a record's payload begins, counted from its start.
const HEAD: u64 = 64;

impl Found {
    /// A byte in the middle of its head, which every record has.
    pub fn inside(&self) -> u64 {
        self.at + HEAD - 16
    }

    /// Whether it can hold term and vote.
    pub fn holds_a_vote(&self) -> bool {
        self.kind == 3 || self.kind == 5
    }
}

/// The newest segment of a running member's log, and the records in it.
pub fn newest_segment(cluster: &Cluster, member: u8) -> (String, Vec<Found>) {
    let node = cluster.node(member);
    let files = cluster.world().files(node);
    let newest = files.into_iter().rfind(|(path, _)| path.ends_with(".seg"));
    let (path, len) = newest.expect("a member that runs has a log");
    let io = cluster.world().io(node).expect("the member runs");
    let file = io.disk.open(&path, Open::Existing).expect("the segment is there");
    let mut bytes = vec![0; len as usize];
    file.read_at(0, &mut bytes).expect("the segment can be read");
    (path, records(&bytes))
}

fn records(segment: &[u8]) -> Vec<Found> {
    const FIRST: usize = 24;
    let number = |at: usize| u64::from_le_bytes(segment[at..at + 8].try_into().expect("eight bytes"));
    let sequence = number(FIRST + 8);
    let mut all = Vec::new();
    let mut at = FIRST;
    while at + 64 <= segment.len() && number(at + 8) == sequence && sequence != 0 {
        let length = u32::from_le_bytes(segment[at + 4..at + 8].try_into().expect("four bytes")) as usize;
        all.push(Found { at: at as u64, index: number(at + 32), kind: segment[at + 56] });
        at = (at + 64 + length).next_multiple_of(8);
    }
    all
}

/// Cuts a member's power and turns one bit in each record of its newest segment that `chosen` picks.
pub fn rot(cluster: &Cluster, member: u8, chosen: impl FnOnce(&[Found]) -> Vec<Found>) {
    let (path, records) = newest_segment(cluster, member);
    let picked = chosen(&records);
    demand(cluster, !picked.is_empty(), format!("no record to damage among {}", records.len()));
    let node = cluster.node(member);
    cluster.world().power_loss(node);
    for record in picked {
        let turned = cluster.world().flip_bit(node, &path, record.inside(), 3);
        demand(cluster, turned, format!("no byte {} in {path}", record.inside()));
    }
}

/// The entry in the middle.
pub fn middle_entry(records: &[Found]) -> Vec<Found> {
    let entries: Vec<Found> = records.iter().filter(|record| record.kind == 2).copied().collect();
    entries.get(entries.len() / 2).copied().into_iter().collect()
}

/// The newest term and vote that an entry behind it bears witness to, and everything behind that entry.
pub fn last_vote(records: &[Found]) -> Vec<Found> {
    let witness = (1..records.len())
        .rev()
        .find(|place| records[*place].kind == 2 && records[..*place].iter().any(Found::holds_a_vote));
    let Some(witness) = witness else { return Vec::new() };
    let vote = records[..witness].iter().rfind(|record| record.holds_a_vote());
    vote.into_iter().chain(&records[witness + 1..]).copied().collect()
}
