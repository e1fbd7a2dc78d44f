//! Stories of who takes part: learners, joint consensus, removal, and members alone.

mod network;

use consensus::*;
use network::{expect, led_by_one};

#[test]
fn a_learner_receives_the_log_and_is_promoted() {
    let mut network = led_by_one(3, 1);
    network.change(1, ConfChange::one(ChangeKind::AddLearner, 4)).unwrap();
    network.settle();
    network.round();
    network.round();
    network.round();
    let status = network.status(1);
    let learner = status.peers.iter().find(|peer| peer.id == 4).expect("the learner is known");
    assert!(learner.learner && learner.matched == status.last_index, "{learner:?}");
    assert!(!network.status(4).voter);
    assert!(matches!(network.campaign(4), Err(Error::Refused(_))));
    network.trace.clear();
    network.change(1, ConfChange::one(ChangeKind::AddVoter, 4)).unwrap();
    network.settle();
    let story = "
        1 wants write 4/2, send Append 4/2 to 2, send Append 4/2 to 4, send Append 4/2 to 3
        1 has 13 on disk
        2 hears Append from 1
        2 wants write 4/2, then send AppendResponse to 1
        3 hears Append from 1
        3 wants write 4/2, then send AppendResponse to 1
        4 hears Append from 1
        4 wants write 4/2, then send AppendResponse to 1
        2 has 9 on disk
        3 has 9 on disk
        4 has 5 on disk
        1 hears AppendResponse from 2
        1 wants note term 2 vote 1 commit 4, apply 4/2, send Append to 2, send Append to 4, send Append to 3
        1 hears AppendResponse from 3
        1 hears AppendResponse from 4
        1 has 14 on disk
        2 hears Append from 1
        2 wants note term 2 vote 1 commit 4, apply 4/2, then send AppendResponse to 1
        3 hears Append from 1
        3 wants note term 2 vote 1 commit 4, apply 4/2, then send AppendResponse to 1
        4 hears Append from 1
        4 wants note term 2 vote 0 commit 4, apply 4/2, then send AppendResponse to 1
        2 has 10 on disk
        3 has 10 on disk
        4 has 6 on disk
        1 hears AppendResponse from 2
        1 hears AppendResponse from 3
        1 hears AppendResponse from 4
    ";
    expect(&mut network, story);
    assert!(network.status(4).voter);
    assert_eq!(network.members[&4].conf_state, ConfState::new(vec![1, 2, 3, 4], vec![]));
}

#[test]
fn two_members_are_replaced_together() {
    let mut network = led_by_one(3, 2);
    let swap = [
        (ChangeKind::AddVoter, 4),
        (ChangeKind::AddVoter, 5),
        (ChangeKind::Remove, 2),
        (ChangeKind::Remove, 3),
    ];
    network.change(1, ConfChange::joint(swap)).unwrap();
    assert!(matches!(network.change(1, ConfChange::leave_joint()), Err(Error::NotReady(_))));
    network.persist(1, 9);
    while !network.members[&1].conf_state.is_joint() {
        (1..=3).for_each(|id| network.persist(id, 9));
        [(1, 2), (2, 1)].into_iter().for_each(|(from, to)| _ = network.deliver(from, to));
    }
    let joint = network.members[&1].conf_state.clone();
    assert_eq!((joint.voters, joint.voters_outgoing), (vec![1, 4, 5], vec![1, 2, 3]));
    (0..6).for_each(|_| network.round());
    for id in [1, 4, 5] {
        assert_eq!(network.members[&id].conf_state, ConfState::new(vec![1, 4, 5], vec![]), "member {id}");
    }
    assert_eq!(network.propose(1, "x"), Ok(()));
    network.settle();
    assert_eq!(network.members[&5].state.last().expect("applied").2, "x");
}

#[test]
fn impossible_changes_are_refused_before_they_enter_the_log() {
    let mut network = led_by_one(1, 1);
    let last = network.status(1).last_index;
    let impossible = [
        ConfChange::one(ChangeKind::Remove, 1),
        ConfChange::leave_joint(),
        ConfChange::one(ChangeKind::AddVoter, 0),
        ConfChange { transition: 9, ..ConfChange::one(ChangeKind::AddVoter, 2) },
    ];
    for change in impossible {
        assert!(matches!(network.change(1, change.clone()), Err(Error::Refused(_))), "{change:?}");
    }
    assert_eq!(network.status(1).last_index, last);
}

#[test]
fn a_leader_that_is_removed_hands_over() {
    let mut network = led_by_one(3, 0);
    network.change(1, ConfChange::one(ChangeKind::Remove, 1)).unwrap();
    network.settle();
    let story = "
        1 wants write 3/2, send Append 3/2 to 2, send Append 3/2 to 3
        1 has 7 on disk
        2 hears Append from 1
        2 wants write 3/2, then send AppendResponse to 1
        3 hears Append from 1
        3 wants write 3/2, then send AppendResponse to 1
        2 has 6 on disk
        3 has 6 on disk
        1 hears AppendResponse from 2
        1 wants note term 2 vote 1 commit 3, apply 3/2, send Append to 2, send Append to 3
        1 wants then send TimeoutNow to 2
        1 hears AppendResponse from 3
        1 has 9 on disk
        2 hears Append from 1
        2 wants note term 2 vote 1 commit 3, apply 3/2, then send AppendResponse to 1
        3 hears Append from 1
        3 wants note term 2 vote 1 commit 3, apply 3/2, then send AppendResponse to 1
        2 has 7 on disk
        3 has 7 on disk
        2 hears TimeoutNow from 1
        2 wants sync term 3 vote 2 commit 3, then send RequestVote to 3
        1 hears AppendResponse from 2
        1 hears AppendResponse from 3
        2 has 8 on disk
        3 hears RequestVote from 2
        3 wants sync term 3 vote 2 commit 3, then send RequestVoteResponse to 2
        3 has 8 on disk
        2 hears RequestVoteResponse from 3
        2 wants write 4/3, send Append 4/3 to 3
        2 has 9 on disk
        3 hears Append from 2
        3 wants write 4/3, then send AppendResponse to 2
        3 has 9 on disk
        2 hears AppendResponse from 3
        2 wants note term 3 vote 2 commit 4, apply 4/3, send Append to 3
        2 has 10 on disk
        3 hears Append from 2
        3 wants note term 3 vote 2 commit 4, apply 4/3, then send AppendResponse to 2
        3 has 10 on disk
        2 hears AppendResponse from 3
    ";
    expect(&mut network, story);
    assert_eq!(network.status(1).role, Role::Follower);
    assert!(matches!(network.leader(), Some(2 | 3)));
}

#[test]
fn a_single_voter_leads_in_public_only_when_its_vote_is_on_disk() {
    let mut network = led_by_one(1, 1);
    network.change(1, ConfChange::one(ChangeKind::AddLearner, 2)).unwrap();
    (0..4).for_each(|_| network.round());
    network.crash(1, 9);
    network.start(1);
    network.trace.clear();
    network.campaign(1).unwrap();
    assert_eq!(network.status(1).role, Role::Leader);
    assert!(
        network.links.get(&(1, 2)).is_none_or(|link| link.is_empty()),
        "nothing leaves before the vote is durable"
    );
    network.persist(1, 9);
    let story = "
        1 wants write 4/3, sync term 3 vote 1 commit 3, then send Append 4/3 to 2
        1 has 1 on disk
        1 wants note term 3 vote 1 commit 4, apply 4/3
    ";
    expect(&mut network, story);
}

#[test]
fn a_member_does_not_campaign_ahead_of_its_disk() {
    let mut network = led_by_one(2, 0);
    network.change(1, ConfChange::one(ChangeKind::Remove, 1)).unwrap();
    network.settle();
    // Member 2 is now alone. Its disk stalls with an entry that it has taken, and it must not elect itself on top of it.
    assert_eq!(network.leader(), Some(2));
    let status = network.status(2);
    let entry =
        Entry { index: status.last_index + 1, term: status.term + 1, data: "x".into(), ..Default::default() };
    let append = Message {
        kind: MessageKind::Append as i32,
        to: 2,
        from: 1,
        term: entry.term,
        index: status.last_index,
        log_term: status.term,
        entries: vec![entry],
        ..Default::default()
    };
    network.node(2).step(append).unwrap();
    network.drain(2);
    (0..50).for_each(|_| network.tick(2));
    assert_eq!(network.status(2).role, Role::Follower);
    assert_eq!(network.campaign(2), Err(Error::NotReady("the disk, before this member may campaign")));
    network.persist(2, 9);
    network.tick(2);
    assert_eq!(network.status(2).role, Role::Leader);
}
