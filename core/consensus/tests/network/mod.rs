//! A network of members in memory, for tests: each step is a call, nothing happens by itself.
//!
//! A member's disk takes an output only when the test says so ([`Network::persist`]); a crash loses what the disk has not
//! taken. Links are first-in first-out and lose messages only by breaking, when all that is on them is lost and the sender
//! is told, as with a connection. What Raft promises is checked after each step, over all members and all time:
//! one leader a term, one entry an index once it is committed, and no read older than its question.

// Each test program uses a part of it.
#![allow(dead_code)]

mod describe;
mod member;

use bytes::Bytes;
use consensus::*;
use describe::describe;
pub use member::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message under way, and the state that a snapshot's message brings along.
#[derive(Clone)]
pub struct Letter {
    pub message: Message,
    pub checkpoint: Option<Checkpoint>,
}

/// Several members, the links between them, and what is known to be true.
pub struct Network {
    pub members: BTreeMap<u64, Member>,
    pub links: BTreeMap<(u64, u64), VecDeque<Letter>>,
    pub cut: BTreeSet<(u64, u64)>,
    pub leaders: BTreeMap<u64, u64>,
    pub committed: BTreeMap<u64, (u64, Bytes)>,
    pub questions: BTreeMap<u64, u64>,
    pub trace: Vec<String>,
    seed: u64,
}

pub fn config(id: u64, seed: u64) -> Config {
    Config {
        id,
        election_tick: 10,
        heartbeat_tick: 2,
        max_size_per_msg: 1 << 10,
        max_inflight_msgs: 4,
        max_uncommitted_bytes: 1 << 14,
        max_committed_bytes: 1 << 10,
        seed,
    }
}

impl Network {
    /// Members `1..=voters` found a cluster; the next `spare` ones wait to be added.
    pub fn new(seed: u64, voters: u64, spare: u64) -> Self {
        let founders = ConfState::new((1..=voters).collect(), vec![]);
        let mut network = Network {
            members: BTreeMap::new(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            questions: BTreeMap::new(),
            trace: Vec::new(),
            seed,
        };
        for id in 1..=voters + spare {
            let mut disk = Disk::default();
            if id <= voters {
                let founding = Restored::founding(founders.clone());
                disk.checkpoint.mark = founding.snapshot;
                disk.hard_state = founding.hard_state;
            }
            let member = Member {
                node: None,
                disk,
                waiting: VecDeque::new(),
                state: vec![],
                conf_state: ConfState::default(),
                arrived: None,
                answers: vec![],
            };
            network.members.insert(id, member);
            network.start(id);
        }
        network
    }

    pub fn member(&mut self, id: u64) -> &mut Member {
        self.members.get_mut(&id).expect("a member of the network")
    }

    pub fn node(&mut self, id: u64) -> &mut Consensus {
        self.member(id).node.as_mut().expect("the member runs")
    }

    pub fn runs(&self, id: u64) -> bool {
        self.members[&id].node.is_some()
    }

    pub fn status(&self, id: u64) -> Status {
        self.members[&id].node.as_ref().map(Consensus::status).unwrap_or_default()
    }

    /// The running leader of the highest term.
    pub fn leader(&self) -> Option<u64> {
        let running =
            self.members.keys().map(|id| self.status(*id)).filter(|status| status.role == Role::Leader);
        running.max_by_key(|status| status.term).map(|status| status.id)
    }

    pub fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    /// Starts a member from its disk, and tells the others.
    pub fn start(&mut self, id: u64) {
        let seed = self.seed;
        let member = self.member(id);
        assert!(member.node.is_none(), "member {id} runs already");
        let disk = &mut member.disk;
        let mark = disk.checkpoint.mark.clone();
        // The duty of the owner: a log that contradicts the state is cut before anything is appended to it.
        if disk.log.iter().any(|entry| entry.index == mark.index && entry.term != mark.term) {
            disk.log.clear();
        }
        let restored = Restored {
            hard_state: disk.hard_state,
            applied: mark.index,
            snapshot: mark.clone(),
            entries: disk.log.clone(),
        };
        let mut node = Consensus::new(config(id, seed), restored).expect("a disk that agrees with itself");
        node.set_silent(disk.quarantine.is_some());
        if mark.index > 0 {
            node.offer_snapshot(mark.clone());
        }
        let last_index = node.status().last_index;
        member.state = disk.checkpoint.state.clone();
        member.conf_state = mark.conf_state.unwrap_or_default();
        member.node = Some(node);
        self.note(format!("{id} starts, its log ends at {last_index}"));
        let others: Vec<u64> = self.members.keys().copied().filter(|other| *other != id).collect();
        for other in others.into_iter().filter(|other| self.runs(*other)).collect::<Vec<_>>() {
            self.node(other).peer_restarted(id, last_index);
            self.drain(other);
        }
        self.drain(id);
    }

    /// Stops a member. Of the outputs that its disk had not confirmed, the first `written` reached it all the same.
    pub fn crash(&mut self, id: u64, written: usize) {
        self.note(format!("{id} crashes"));
        let member = self.member(id);
        let count = written.min(member.waiting.len());
        for output in member.waiting.drain(..).take(count) {
            member.disk.write(&output);
        }
        member.node = None;
        member.arrived = None;
        let links: Vec<(u64, u64)> =
            self.links.keys().copied().filter(|link| link.0 == id || link.1 == id).collect();
        for (from, to) in links {
            self.break_link(from, to);
        }
    }

    /// Loses all that is on a link, and tells its sender.
    pub fn break_link(&mut self, from: u64, to: u64) {
        let lost = self.links.remove(&(from, to)).unwrap_or_default();
        if !self.runs(from) {
            return;
        }
        self.node(from).report_unreachable(to);
        if lost.iter().any(|letter| letter.message.is_snapshot()) {
            self.node(from).report_snapshot(to, false);
        }
        self.drain(from);
    }

    /// Carries out everything that a member wants, except for its disk writes.
    pub fn drain(&mut self, id: u64) {
        if !self.runs(id) {
            return;
        }
        while let Some(mut output) = self.node(id).take_output() {
            self.note(format!("{id} wants {}", describe(&output)));
            self.send(id, std::mem::take(&mut output.send_now));
            let member = self.member(id);
            if let Some(mark) = &output.snapshot {
                let arrived = member.arrived.take().expect("a snapshot is installed that has arrived");
                assert_eq!(arrived.mark, *mark);
                member.state = arrived.state.clone();
                member.conf_state = mark.conf_state.clone().expect("a snapshot has a configuration");
                member.disk.checkpoint = arrived;
            }
            let committed = std::mem::take(&mut output.committed);
            let reads = std::mem::take(&mut output.reads);
            member.waiting.push_back(output);
            member.answers.extend(&reads);
            for read in reads {
                let oldest = self.questions[&read.context];
                assert!(
                    read.index >= oldest,
                    "a read at {}, but {oldest} was committed when it was asked",
                    read.index
                );
            }
            self.apply(id, committed);
        }
        self.check_leaders();
        if self.node(id).snapshot_wanted() {
            self.checkpoint(id, u64::MAX);
        }
    }

    fn apply(&mut self, id: u64, committed: Vec<Entry>) {
        for entry in committed {
            let value = (entry.term, entry.data.clone());
            let known = self.committed.entry(entry.index).or_insert_with(|| value.clone());
            assert_eq!(*known, value, "two entries were committed at index {}", entry.index);
            let member = self.member(id);
            let last = member.state.last().map_or(1, |applied| applied.0);
            assert!(entry.index == last + 1, "member {id} applies {} after {last}", entry.index);
            assert!(member.is_durable(&entry), "member {id} applies {}, which it may lose", entry.index);
            member.state.push((entry.index, entry.term, entry.data.clone()));
            if entry.is_conf_change() {
                let change = prost::Message::decode(entry.data.clone()).expect("an encoded change");
                if let Ok(state) = self.node(id).apply_conf_change(&change) {
                    self.member(id).conf_state = state;
                }
            }
            self.node(id).advance_applied(entry.index);
        }
    }

    fn send(&mut self, id: u64, messages: Vec<Message>) {
        for message in messages {
            assert_eq!(message.from, id);
            let to = message.to;
            if self.cut.contains(&(id, to))
                || self.members.get(&to).is_none_or(|member| member.node.is_none())
            {
                self.node(id).report_unreachable(to);
                if message.is_snapshot() {
                    self.node(id).report_snapshot(to, false);
                }
                continue;
            }
            let checkpoint = message.is_snapshot().then(|| self.members[&id].disk.checkpoint.clone());
            let mut letter = Letter { message, checkpoint };
            if let Some(checkpoint) = &letter.checkpoint {
                letter.message.snapshot = Some(checkpoint.mark.clone());
            }
            self.links.entry((id, to)).or_default().push_back(letter);
        }
    }

    /// The disk of `id` confirms its first `count` outputs.
    pub fn persist(&mut self, id: u64, count: usize) {
        let member = self.member(id);
        let count = count.min(member.waiting.len());
        if count == 0 || member.node.is_none() {
            return;
        }
        let outputs: Vec<Output> = member.waiting.drain(..count).collect();
        for output in &outputs {
            member.disk.write(output);
        }
        let number = outputs.last().expect("one at least").number;
        self.note(format!("{id} has {number} on disk"));
        self.node(id).persisted(number);
        for output in outputs {
            self.send(id, output.send_after_persist);
        }
        self.drain(id);
    }

    /// Delivers the first message of a link; false when there is none.
    pub fn deliver(&mut self, from: u64, to: u64) -> bool {
        let Some(letter) = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return false;
        };
        let is_snapshot = letter.message.is_snapshot();
        let name = MessageKind::try_from(letter.message.kind).expect("a known kind");
        let member = self.member(to);
        if is_snapshot {
            member.arrived = letter.checkpoint;
        }
        let outcome = self.node(to).step(letter.message);
        let outcome = outcome.map_or_else(|error| format!(": {error}"), |()| String::new());
        self.note(format!("{to} hears {name:?} from {from}{outcome}"));
        self.drain(to);
        if is_snapshot {
            self.node(from).report_snapshot(to, true);
            self.drain(from);
        }
        true
    }

    pub fn tick(&mut self, id: u64) {
        if self.runs(id) {
            self.node(id).tick();
            self.drain(id);
        }
    }

    pub fn propose(&mut self, id: u64, data: &str) -> Result<(), Error> {
        let result = self.node(id).propose(Bytes::copy_from_slice(data.as_bytes()));
        self.drain(id);
        result
    }

    pub fn change(&mut self, id: u64, change: ConfChange) -> Result<(), Error> {
        let result = self.node(id).propose_conf_change(change);
        self.drain(id);
        result
    }

    pub fn transfer(&mut self, id: u64, to: u64) -> bool {
        let begun = self.node(id).transfer_leader(to);
        self.drain(id);
        begun
    }

    pub fn campaign(&mut self, id: u64) -> Result<(), Error> {
        let result = self.node(id).campaign();
        self.drain(id);
        result
    }

    /// Asks for a read; remembers what was committed by then.
    pub fn read(&mut self, id: u64) -> Result<u64, Error> {
        let context = id << 32 | self.questions.len() as u64;
        let newest = self.committed.last_key_value().map_or(0, |(index, _)| *index);
        self.questions.insert(context, newest);
        let result = self.node(id).read_index(context);
        self.drain(id);
        result.map(|()| context)
    }

    /// Makes the state of `id` durable, offers it, and forgets all but the last `keep` entries before it.
    pub fn checkpoint(&mut self, id: u64, keep: u64) {
        let member = self.member(id);
        let Some(&(index, term, _)) = member.state.last() else { return };
        if member.node.is_none() || member.disk.checkpoint.mark.index >= index {
            return;
        }
        let mark = SnapshotMark { index, term, conf_state: Some(member.conf_state.clone()) };
        member.disk.checkpoint = Checkpoint { mark: mark.clone(), state: member.state.clone() };
        let node = member.node.as_mut().expect("it runs");
        node.offer_snapshot(mark);
        node.compact(index.saturating_sub(keep));
        self.note(format!("{id} has a checkpoint at {index}"));
    }

    /// Delivers and persists until nothing is left to do.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let ids: Vec<u64> = self.members.keys().copied().collect();
            let mut busy = false;
            for id in ids {
                busy |= self.runs(id) && !self.members[&id].waiting.is_empty();
                self.persist(id, usize::MAX);
            }
            let links: Vec<(u64, u64)> = self.links.keys().copied().collect();
            for (from, to) in links {
                busy |= self.deliver(from, to);
            }
            if !busy {
                return;
            }
        }
        panic!("the network does not come to rest");
    }

    /// A tick for everybody, and rest.
    pub fn round(&mut self) {
        let ids: Vec<u64> = self.members.keys().copied().collect();
        for id in ids {
            self.tick(id);
            self.leave_quarantine(id);
        }
        self.settle();
    }

    /// Ends the silence of a member that has again what it had lost.
    pub fn leave_quarantine(&mut self, id: u64) {
        let member = self.member(id);
        let applied = member.state.last().map_or(0, |applied| applied.0);
        if member.node.is_some() && member.disk.quarantine.is_some_and(|lost| applied >= lost) {
            member.disk.quarantine = None;
            self.node(id).set_silent(false);
        }
    }

    fn check_leaders(&mut self) {
        let leading: Vec<Status> = self.members.keys().map(|id| self.status(*id)).collect();
        for status in leading.into_iter().filter(|status| status.role == Role::Leader) {
            let known = *self.leaders.entry(status.term).or_insert(status.id);
            assert_eq!(known, status.id, "two leaders in term {}", status.term);
        }
    }

    /// Checks that logs which agree on an entry agree on all before it.
    pub fn check_logs(&self) {
        let log = |member: &Member| {
            member.node.as_ref().map_or(vec![], |node| node.entries(node.status().first_index, u64::MAX))
        };
        let logs: Vec<Vec<Entry>> = self.members.values().map(log).collect();
        for (at, one) in logs.iter().enumerate() {
            for other in &logs[at + 1..] {
                let terms: BTreeMap<u64, &Entry> = other.iter().map(|entry| (entry.index, entry)).collect();
                let agree =
                    |entry: &&Entry| terms.get(&entry.index).is_some_and(|same| same.term == entry.term);
                let Some(last) = one.iter().rev().find(agree) else { continue };
                for entry in one.iter().filter(|entry| entry.index <= last.index) {
                    if let Some(same) = terms.get(&entry.index) {
                        assert_eq!(
                            *same, entry,
                            "logs agree at {} and differ at {}",
                            last.index, entry.index
                        );
                    }
                }
            }
        }
    }
}

/// A cluster whose first member leads term 2 with its first entry committed; the trace begins after that.
pub fn led_by_one(voters: u64, spare: u64) -> Network {
    let mut network = Network::new(1, voters, spare);
    network.campaign(1).expect("a voter may campaign");
    network.settle();
    network.round();
    network.round();
    assert_eq!(network.leader(), Some(1));
    network.trace.clear();
    network
}

/// Asserts that the trace since the last call is `story`, but for indentation.
#[track_caller]
pub fn expect(network: &mut Network, story: &str) {
    let told = std::mem::take(&mut network.trace).join("\n");
    let expected: Vec<&str> = story.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(told == expected.join("\n"), "the story went differently:\n{told}\n");
}
