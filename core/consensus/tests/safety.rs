//! What Raft promises, over random schedules of ticks, deliveries, disk writes, crashes, broken links and changes of
//! membership. The promises themselves are asserted in `network`, after each step.

mod network;

use consensus::*;
use network::Network;
use quickcheck::{Gen, QuickCheck};

/// One step of a schedule: what to do, and to whom.
type Step = (u8, u8, u8);

const MEMBERS: u64 = 5;

fn pick(byte: u8) -> u64 {
    1 + u64::from(byte) % MEMBERS
}

fn perform(network: &mut Network, (what, whom, how): Step) {
    let (one, other) = (pick(whom), pick(how));
    let running = network.runs(one);
    match what {
        0..=69 => {
            for _ in 0..=how % 4 {
                let links: Vec<(u64, u64)> = network.links.keys().copied().collect();
                if let Some((from, to)) = links.get(usize::from(whom) % links.len().max(1)) {
                    network.deliver(*from, *to);
                }
            }
        }
        70..=109 => network.persist(one, usize::from(how) % 5),
        110..=149 => (0..=how % 6).for_each(|_| network.tick(one)),
        150..=179 if running => drop(network.propose(one, &format!("{what}-{whom}-{how}"))),
        180..=189 if running => drop(network.read(one)),
        190..=199 if running => network.crash(one, usize::from(how) % 3),
        190..=204 if !running => network.start(one),
        205..=209 => network.break_link(one, other),
        210..=215 => network.checkpoint(one, u64::from(how) % 4),
        216..=221 if running => drop(network.change(one, change(how))),
        222..=225 if running => drop(network.transfer(one, other)),
        226..=228 => drop(network.cut.insert((one, other))),
        229..=232 => network.cut.clear(),
        233..=236 => lose_tail(network, one, u64::from(how) % 8),
        237..=255 => (0..how % 16).for_each(|_| network.round()),
        _ => {}
    }
    let ids: Vec<u64> = network.members.keys().copied().collect();
    ids.into_iter().for_each(|id| network.leave_quarantine(id));
}

fn change(how: u8) -> ConfChange {
    let id = pick(how / 8);
    match how % 8 {
        0 | 1 => ConfChange::one(ChangeKind::AddVoter, id),
        2 => ConfChange::one(ChangeKind::AddLearner, id),
        3 => ConfChange::one(ChangeKind::Remove, id),
        4 => ConfChange::joint([(ChangeKind::AddVoter, id), (ChangeKind::Remove, 1 + id % MEMBERS)]),
        5 => ConfChange::joint([(ChangeKind::AddLearner, id), (ChangeKind::AddVoter, 1 + id % MEMBERS)]),
        6 => ConfChange {
            transition: Transition::JointExplicit as i32,
            ..ConfChange::one(ChangeKind::AddVoter, id)
        },
        _ => ConfChange::leave_joint(),
    }
}

/// Damages the end of a stopped member's log, of one member at a time: more is beyond what Raft can bear.
fn lose_tail(network: &mut Network, id: u64, lost: u64) {
    if network.members.values().any(|member| member.disk.quarantine.is_some()) {
        return;
    }
    if network.runs(id) {
        network.crash(id, 0);
    }
    let disk = &mut network.member(id).disk;
    let Some(last) = disk.log.last().map(|entry| entry.index) else { return };
    let end = last.saturating_sub(lost).max(disk.checkpoint.mark.index);
    if end < last {
        disk.log.retain(|entry| entry.index <= end);
        disk.quarantine = Some(last);
    }
}

fn run(seed: u64, schedule: &[Step]) -> Network {
    let mut network = Network::new(seed, 3, MEMBERS - 3);
    for step in schedule {
        perform(&mut network, *step);
        network.check_logs();
    }
    network
}

/// Whether a member that takes no part in elections is missed: what it lost can then not be sent again by anyone.
fn too_many_are_silent(network: &Network) -> bool {
    let speaks = |id: &&u64| network.members[*id].disk.quarantine.is_none();
    let majority =
        |voters: &Vec<u64>| voters.is_empty() || 2 * voters.iter().filter(speaks).count() > voters.len();
    let states = network.members.values().map(|member| &member.conf_state);
    states.into_iter().any(|state| !majority(&state.voters) || !majority(&state.voters_outgoing))
}

/// Everybody comes back, every link works; a leader is found and everything that was committed is everywhere it should be.
fn heals(mut network: Network) {
    network.cut.clear();
    for id in 1..=MEMBERS {
        if !network.runs(id) {
            network.start(id);
        }
    }
    let done =
        |network: &Network| network.leader().is_some_and(|leader| !network.status(leader).peers.is_empty());
    for _ in 0..300 {
        network.round();
    }
    if network.leader().is_none() && too_many_are_silent(&network) {
        return;
    }
    assert!(done(&network), "no leader after everything has healed:\n{}", network.trace.join("\n"));
    let leader = network.leader().expect("there is one");
    let before = network.committed.len();
    network.propose(leader, "after all").expect("the leader takes proposals");
    (0..20).for_each(|_| network.round());
    assert_eq!(network.committed.len(), before + 1, "the last proposal was not committed");
    let everything: Vec<network::Applied> =
        network.committed.iter().map(|(index, (term, data))| (*index, *term, data.clone())).collect();
    for peer in network.status(leader).peers {
        let state = &network.members[&peer.id].state;
        assert!(*state == everything, "member {} has not applied what was committed", peer.id);
    }
    network.check_logs();
}

#[test]
fn promises_hold_over_random_schedules() {
    fn property(seed: u64, schedule: Vec<Step>) -> bool {
        heals(run(seed, &schedule));
        true
    }
    QuickCheck::new().rng(Gen::new(500)).tests(150).quickcheck(property as fn(u64, Vec<Step>) -> bool);
}

#[test]
fn a_seed_and_a_schedule_repeat_to_the_letter() {
    fn property(seed: u64, schedule: Vec<Step>) -> bool {
        run(seed, &schedule).trace == run(seed, &schedule).trace
    }
    QuickCheck::new().rng(Gen::new(300)).tests(20).quickcheck(property as fn(u64, Vec<Step>) -> bool);
}

#[test]
fn another_seed_elects_at_another_time() {
    let rounds = |seed| {
        let mut network = Network::new(seed, 3, 0);
        (0..100)
            .take_while(|_| {
                network.round();
                network.leader().is_none()
            })
            .count()
    };
    let times: std::collections::BTreeSet<usize> = (0..8).map(rounds).collect();
    assert!(times.len() > 1, "all seeds elect after {times:?} ticks");
}
