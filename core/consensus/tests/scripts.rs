//! Short stories of a few members, told step by step: the expectation is the trace of what each wanted and heard.

mod network;

use consensus::*;
use network::{Network, expect, led_by_one};

#[test]
fn a_vote_leaves_only_when_it_is_on_disk() {
    let mut network = Network::new(1, 3, 0);
    network.campaign(1).unwrap();
    network.persist(1, 9);
    network.deliver(1, 2);
    network.persist(2, 9);
    network.deliver(2, 1);
    network.persist(1, 9);
    network.deliver(1, 2);
    let story = "
        1 starts, its log ends at 1
        2 starts, its log ends at 1
        3 starts, its log ends at 1
        1 wants then send RequestPreVote to 2, then send RequestPreVote to 3
        1 has 1 on disk
        2 hears RequestPreVote from 1
        2 wants then send RequestPreVoteResponse to 1
        2 has 1 on disk
        1 hears RequestPreVoteResponse from 2
        1 wants sync term 2 vote 1 commit 1, then send RequestVote to 2, then send RequestVote to 3
        1 has 2 on disk
        2 hears RequestVote from 1
        2 wants sync term 2 vote 1 commit 1, then send RequestVoteResponse to 1
    ";
    expect(&mut network, story);
    assert!(network.links.get(&(2, 1)).is_none_or(|link| link.is_empty()), "the vote is not durable yet");
    network.persist(2, 9);
    network.deliver(2, 1);
    network.persist(1, 9);
    let story = "
        2 has 2 on disk
        1 hears RequestVoteResponse from 2
        1 wants write 2/2, send Append 2/2 to 2, send Append 2/2 to 3
        1 has 3 on disk
    ";
    expect(&mut network, story);
}

#[test]
fn a_proposal_is_committed_by_a_quorum_of_disks() {
    let mut network = led_by_one(3, 0);
    network.propose(1, "x").unwrap();
    network.deliver(1, 2);
    network.persist(2, 9);
    network.deliver(2, 1);
    let story = "
        1 wants write 3/2, send Append 3/2 to 2, send Append 3/2 to 3
        2 hears Append from 1
        2 wants write 3/2, then send AppendResponse to 1
        2 has 6 on disk
        1 hears AppendResponse from 2
    ";
    expect(&mut network, story);
    assert_eq!(network.status(1).commit, 2, "one disk is no quorum");
    network.persist(1, 9);
    let story = "
        1 has 7 on disk
        1 wants note term 2 vote 1 commit 3, apply 3/2, send Append to 2, send Append to 3
    ";
    expect(&mut network, story);
    assert_eq!(network.status(1).commit, 3);
}

#[test]
fn leadership_is_handed_over() {
    let mut network = led_by_one(3, 1);
    assert!(!network.transfer(1, 1), "to itself");
    assert!(!network.transfer(1, 4), "to a stranger");
    assert!(!network.transfer(2, 3), "by a follower");
    assert!(network.transfer(1, 2));
    assert!(matches!(network.propose(1, "x"), Err(Error::NotReady(_))));
    network.settle();
    let story = "
        1 wants send TimeoutNow to 2
        1 has 7 on disk
        2 hears TimeoutNow from 1
        2 wants sync term 3 vote 2 commit 2, then send RequestVote to 1, then send RequestVote to 3
        2 has 6 on disk
        1 hears RequestVote from 2
        1 wants sync term 3 vote 2 commit 2, then send RequestVoteResponse to 2
        3 hears RequestVote from 2
        3 wants sync term 3 vote 2 commit 2, then send RequestVoteResponse to 2
        1 has 8 on disk
        3 has 6 on disk
        2 hears RequestVoteResponse from 1
        2 wants write 3/3, send Append 3/3 to 1, send Append 3/3 to 3
        1 hears Append from 2
        1 wants write 3/3, then send AppendResponse to 2
        3 hears Append from 2
        3 wants write 3/3, then send AppendResponse to 2
        2 hears RequestVoteResponse from 3
        1 has 9 on disk
        2 has 7 on disk
        3 has 7 on disk
        2 hears AppendResponse from 1
        2 wants note term 3 vote 2 commit 3, apply 3/3, send Append to 1
        1 hears Append from 2
        1 wants note term 3 vote 2 commit 3, apply 3/3, then send AppendResponse to 2
        2 hears AppendResponse from 3
        2 wants send Append to 3
        1 has 10 on disk
        2 has 9 on disk
        2 hears AppendResponse from 1
        3 hears Append from 2
        3 wants note term 3 vote 2 commit 3, apply 3/3, then send AppendResponse to 2
        3 has 8 on disk
        2 hears AppendResponse from 3
    ";
    expect(&mut network, story);
    assert_eq!(network.leader(), Some(2));
}

#[test]
fn a_transfer_to_a_dead_member_is_given_up() {
    let mut network = led_by_one(3, 0);
    network.crash(2, 0);
    assert!(network.transfer(1, 2));
    assert_eq!(network.status(1).transferee, 2);
    (0..10).for_each(|_| network.round());
    assert_eq!(network.status(1).transferee, 0);
    assert_eq!(network.propose(1, "x"), Ok(()));
}

#[test]
fn a_follower_asks_its_leader_for_a_read() {
    let mut network = led_by_one(3, 0);
    let context = network.read(2).unwrap();
    network.settle();
    let story = "
        2 wants send ReadIndex to 1
        2 has 6 on disk
        1 hears ReadIndex from 2
        1 wants send Heartbeat to 2, send Heartbeat to 3
        1 has 7 on disk
        2 hears Heartbeat from 1
        2 wants send HeartbeatResponse to 1
        3 hears Heartbeat from 1
        3 wants send HeartbeatResponse to 1
        1 hears HeartbeatResponse from 2
        1 wants send ReadIndexResponse 0/0 to 2
        1 hears HeartbeatResponse from 3
        1 has 8 on disk
        2 has 7 on disk
        3 has 6 on disk
        2 hears ReadIndexResponse from 1
        2 wants answer read at 2
        2 has 8 on disk
    ";
    expect(&mut network, story);
    assert_eq!(network.members[&2].answers, [ReadState { context, index: 2 }]);
}

#[test]
fn a_new_leader_answers_no_read_before_it_has_committed() {
    let mut network = Network::new(1, 3, 0);
    assert_eq!(network.read(2), Err(Error::NoLeader));
    assert_eq!(network.propose(2, "x"), Err(Error::NoLeader));
    network.campaign(1).unwrap();
    while network.status(1).role != Role::Leader {
        (1..=3).for_each(|id| network.persist(id, 9));
        [(1, 2), (1, 3), (2, 1), (3, 1)].into_iter().for_each(|(from, to)| _ = network.deliver(from, to));
    }
    assert!(matches!(network.read(1), Err(Error::NotReady(_))));
    network.settle();
    assert!(network.read(1).is_ok());
}

#[test]
fn a_leader_without_a_quorum_answers_no_read_and_steps_down() {
    let mut network = led_by_one(3, 0);
    network.cut.extend([(1, 2), (1, 3), (2, 1), (3, 1)]);
    network.read(1).unwrap();
    (0..20).for_each(|_| network.round());
    assert!(network.members[&1].answers.is_empty());
    assert_ne!(network.status(1).role, Role::Leader);
}

#[test]
fn a_follower_behind_the_log_gets_the_state() {
    let mut network = led_by_one(3, 0);
    network.crash(3, 0);
    for data in ["a", "b", "c"] {
        network.propose(1, data).unwrap();
        network.settle();
    }
    network.checkpoint(1, 0);
    assert_eq!(network.status(1).first_index, 6);
    network.trace.clear();
    network.start(3);
    network.round();
    network.round();
    let story = "
        3 starts, its log ends at 2
        3 wants apply 2/2
        3 has 1 on disk
        1 wants send Heartbeat to 2, send Heartbeat to 3
        1 has 13 on disk
        2 hears Heartbeat from 1
        2 wants send HeartbeatResponse to 1
        3 hears Heartbeat from 1
        3 wants send HeartbeatResponse to 1
        1 hears HeartbeatResponse from 2
        2 has 12 on disk
        3 has 2 on disk
        1 hears HeartbeatResponse from 3
        1 wants send Snapshot to 3
        1 has 14 on disk
        3 hears Snapshot from 1
        3 wants snapshot 5/2, sync term 2 vote 1 commit 5, then send AppendResponse to 1
        3 has 3 on disk
        1 hears AppendResponse from 3
        1 wants send Append to 3
        1 has 15 on disk
        3 hears Append from 1
        3 wants then send AppendResponse to 1
        3 has 4 on disk
        1 hears AppendResponse from 3
    ";
    expect(&mut network, story);
    assert_eq!(network.members[&3].state, network.members[&1].state);
    assert_eq!(network.status(3).applied, 5);
}

#[test]
fn a_peer_that_comes_back_with_less_is_counted_for_less() {
    let mut network = led_by_one(3, 0);
    for data in ["a", "b", "c"] {
        network.propose(1, data).unwrap();
    }
    network.settle();
    let peer = |network: &Network| {
        network.status(1).peers.iter().find(|peer| peer.id == 3).cloned().expect("a peer")
    };
    assert_eq!(peer(&network).matched, 5);
    network.crash(3, 0);
    let disk = &mut network.member(3).disk;
    disk.log.retain(|entry| entry.index <= 3);
    disk.quarantine = Some(5);
    network.start(3);
    let known = peer(&network);
    assert_eq!((known.matched, known.next, known.state), (0, 4, PeerState::Probe));
    assert!(matches!(network.campaign(3), Err(Error::Refused(_))));
    (0..3).for_each(|_| network.round());
    assert_eq!(peer(&network).matched, 5);
    assert_eq!(network.members[&3].disk.quarantine, None);
    assert_eq!(network.members[&3].state, network.members[&1].state);
}

#[test]
fn a_silent_member_neither_votes_nor_campaigns() {
    let mut network = led_by_one(3, 0);
    network.node(1).set_silent(true);
    assert_eq!(network.status(1).role, Role::Follower);
    network.crash(3, 0);
    (0..60).for_each(|_| network.round());
    assert_eq!(network.leader(), None, "member 2 has no vote but its own");
    assert_eq!(network.status(1).role, Role::Follower);
    network.node(1).set_silent(false);
    (0..60).for_each(|_| network.round());
    assert!(network.leader().is_some());
}

#[test]
fn one_that_abstains_votes_in_later_terms_only() {
    let mut network = led_by_one(3, 0);
    let led = network.status(1).term;
    network.crash(1, 0);
    network.node(3).set_silent(true);
    network.node(3).abstain(led + 1);
    assert!(!network.node(3).vote_is_durable());
    network.drain(3);
    network.settle();
    assert!(network.node(3).vote_is_durable());
    network.crash(3, 0);
    network.start(3);
    assert_eq!((network.status(3).term, network.status(3).vote), (led + 1, 3), "it survives a crash");
    (0..60).for_each(|_| network.round());
    let elected = network.leader().expect("two of three elect");
    assert!(network.status(elected).term > led + 1, "nobody had its vote in the term it abstained from");
}

#[test]
fn too_much_in_flight_is_busy() {
    let mut network = led_by_one(3, 0);
    let large = "x".repeat(10_000);
    assert_eq!(network.propose(1, &large), Ok(()));
    assert_eq!(network.propose(1, &large), Err(Error::Busy));
    assert!(matches!(network.propose(1, ""), Err(Error::Refused(_))));
    network.settle();
    assert_eq!(network.propose(1, &large), Ok(()));
}

#[test]
fn a_commit_alone_needs_no_sync() {
    let mut network = led_by_one(3, 0);
    network.propose(1, "x").unwrap();
    network.settle();
    let noted: Vec<&String> = network.trace.iter().filter(|line| line.contains("commit 3")).collect();
    assert_eq!(noted.len(), 3);
    assert!(noted.iter().all(|line| line.contains("note") && !line.contains("write")), "{noted:?}");
}
