//! Nonsense is refused with its reason, and never panics.

use super::*;
use crate::{Config, Consensus, Restored};
use bytes::Bytes;
use quickcheck::{Arbitrary, Gen, QuickCheck};

fn view(role: Role) -> View {
    View { id: 1, role, term: 5, last_index: 10, sender_is_member: true }
}

fn message_of(kind: MessageKind) -> Message {
    let term = if matches!(kind, MessageKind::Propose | MessageKind::ReadIndex) { 0 } else { 5 };
    Message { kind: kind as i32, to: 1, from: 2, term, ..Default::default() }
}

#[track_caller]
fn refused(mut wrong: Message, view: &View, why: &str) {
    let error = message(&mut wrong, view).expect_err("nonsense").to_string();
    assert!(error.contains(why) && error.contains("member 2"), "{error}");
}

#[test]
fn the_envelope_is_checked() {
    let follower = view(Role::Follower);
    let good = message_of(MessageKind::Append);
    assert_eq!(message(&mut good.clone(), &follower), Ok(()));
    refused(Message { kind: 99, ..good.clone() }, &follower, "kind 99 is unknown");
    refused(Message { to: 3, ..good.clone() }, &follower, "meant for member 3");
    refused(Message { term: 0, ..good.clone() }, &follower, "Append with term 0");
    refused(Message { commit: u64::MAX, ..good.clone() }, &follower, "absurd number");
    let own = message(&mut Message { from: 1, ..good }, &follower).expect_err("from itself").to_string();
    assert!(own.contains("no peer"), "{own}");
}

#[test]
fn a_stranger_may_lead_and_ask_for_votes_and_nothing_else() {
    let stranger = View { sender_is_member: false, ..view(Role::Leader) };
    for kind in [MessageKind::Append, MessageKind::RequestVote, MessageKind::Heartbeat] {
        assert_eq!(message(&mut message_of(kind), &stranger), Ok(()), "{kind:?}");
    }
    for kind in [
        MessageKind::AppendResponse,
        MessageKind::RequestVoteResponse,
        MessageKind::Propose,
        MessageKind::ReadIndex,
    ] {
        refused(message_of(kind), &stranger, "not in the configuration");
    }
}

#[test]
fn appends_must_fit_together() {
    let follower = view(Role::Follower);
    let entry = |index, term| Entry { index, term, ..Default::default() };
    let append =
        |index, log_term, entries| Message { index, log_term, entries, ..message_of(MessageKind::Append) };
    assert_eq!(message(&mut append(4, 2, vec![entry(5, 2), entry(6, 5)]), &follower), Ok(()));
    refused(append(4, 0, vec![]), &follower, "index 4 of term 0");
    refused(append(4, 2, vec![entry(6, 2)]), &follower, "entry 6 follows entry 4");
    refused(append(4, 2, vec![entry(5, 3), entry(6, 2)]), &follower, "term 2 after term 3");
    refused(append(4, 2, vec![entry(5, 6)]), &follower, "in term 5");
    refused(append(4, 3, vec![entry(5, 2)]), &follower, "after term 3");
    refused(append(4, 2, vec![Entry { kind: 7, ..entry(5, 2) }]), &follower, "unknown kind 7");
}

#[test]
fn nobody_has_accepted_what_the_leader_does_not_have() {
    let response = Message { index: 11, ..message_of(MessageKind::AppendResponse) };
    refused(response.clone(), &view(Role::Leader), "this log ends at 10");
    assert_eq!(message(&mut response.clone(), &view(Role::Follower)), Ok(()), "it means another leader");
    assert_eq!(message(&mut Message { reject: true, ..response }, &view(Role::Leader)), Ok(()));
}

#[test]
fn a_commit_beyond_the_log_is_dropped_from_a_heartbeat() {
    let mut heartbeat = Message { commit: 11, ..message_of(MessageKind::Heartbeat) };
    assert_eq!(message(&mut heartbeat, &view(Role::Follower)), Ok(()));
    assert_eq!(heartbeat.commit, 0);
    let mut heartbeat = Message { commit: 10, ..message_of(MessageKind::Heartbeat) };
    assert_eq!(message(&mut heartbeat, &view(Role::Follower)), Ok(()));
    assert_eq!(heartbeat.commit, 10);
}

#[test]
fn a_forwarded_change_is_encoded_anew() {
    let mut unknown_field = vec![0x7a, 1, 0xff];
    unknown_field.extend(convert::conf_change_data(&ConfChange::one(ChangeKind::AddLearner, 4)));
    let change = |data: Vec<u8>| Message {
        entries: vec![Entry { kind: EntryKind::ConfChange as i32, data: data.into(), ..Default::default() }],
        ..message_of(MessageKind::Propose)
    };
    let mut good = change(unknown_field);
    assert_eq!(message(&mut good, &view(Role::Leader)), Ok(()));
    assert_eq!(good.entries[0].data, convert::conf_change_data(&ConfChange::one(ChangeKind::AddLearner, 4)));
    refused(change(vec![0xff; 4]), &view(Role::Leader), "cannot be read");
    refused(change(vec![]), &view(Role::Follower), "does not lead");
    refused(message_of(MessageKind::Propose), &view(Role::Leader), "without entries");
}

#[test]
fn configurations_are_ones_that_changes_lead_to() {
    let joint = |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64]| ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        voters_outgoing: outgoing.to_vec(),
        learners_next: next.to_vec(),
        auto_leave: !outgoing.is_empty(),
    };
    assert_eq!(conf_state(&joint(&[1, 2], &[5], &[2, 3, 4], &[4])), Ok(()));
    let wrong = [
        (joint(&[], &[1], &[], &[]), "without voters"),
        (joint(&[1, 0], &[], &[], &[]), "member 0"),
        (joint(&[1, 2], &[2], &[], &[]), "vote too"),
        (joint(&[1, 2], &[3], &[3], &[]), "vote too"),
        (joint(&[1, 2], &[], &[3], &[4]), "not leaving voters"),
        (ConfState { auto_leave: true, ..joint(&[1], &[], &[], &[]) }, "cannot be left"),
    ];
    for (state, why) in wrong {
        let error = conf_state(&state).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
}

/// A message out of small numbers, so that it is often almost right.
#[derive(Clone, Debug)]
struct Nonsense(Message);

impl Arbitrary for Nonsense {
    fn arbitrary(g: &mut Gen) -> Self {
        let small = |g: &mut Gen| match u8::arbitrary(g) {
            255 => u64::MAX,
            254 => ABSURD,
            byte => u64::from(byte % 8),
        };
        let index = small(g);
        let entries = (0..u8::arbitrary(g) % 4).map(|at| Entry {
            index: if u8::arbitrary(g) < 20 { small(g) } else { index.saturating_add(1 + u64::from(at)) },
            term: small(g),
            kind: if u8::arbitrary(g) < 200 { 0 } else { i32::from(u8::arbitrary(g) % 3) },
            data: Bytes::from(vec![u8::arbitrary(g); [0, 3, 8][usize::from(u8::arbitrary(g) % 3)]]),
            context: Bytes::new(),
        });
        let entries: Vec<Entry> = entries.collect();
        let voters = (1..=3 + u64::arbitrary(g) % 2).collect();
        let conf_state = bool::arbitrary(g).then(|| ConfState::new(voters, vec![small(g)]));
        let mark = SnapshotMark { index: small(g), term: small(g), conf_state };
        Nonsense(Message {
            kind: i32::from(u8::arbitrary(g) % 15),
            to: 1,
            from: 2 + u64::from(u8::arbitrary(g) % 3),
            term: small(g),
            log_term: small(g),
            index,
            entries,
            commit: small(g),
            commit_term: small(g),
            snapshot: bool::arbitrary(g).then_some(mark),
            reject: bool::arbitrary(g),
            reject_hint: small(g),
            quiet_ms: small(g),
            context: if bool::arbitrary(g) { Bytes::new() } else { Bytes::from_static(b"CampaignTransfer") },
        })
    }
}

/// What happens around a message: ticks, disk writes that come late, proposals, reads.
fn live(node: &mut Consensus, what: u8) {
    match what % 8 {
        0..=2 => (0..=what / 16).for_each(|_| node.tick()),
        3 => drop(node.propose(Bytes::from_static(b"x"))),
        4 => drop(node.read_index(u64::from(what))),
        5 => drop(node.campaign()),
        _ => {}
    }
    let mut last = None;
    while let Some(output) = node.take_output() {
        if let Some(entry) = output.committed.last() {
            node.advance_applied(entry.index);
        }
        last = Some(output.number);
    }
    if let Some(number) = last.filter(|_| what >= 64) {
        node.persisted(number);
    }
}

#[test]
fn no_message_makes_a_member_panic() {
    fn property(seed: u64, voters: u8, story: Vec<(Nonsense, u8)>) -> bool {
        let config = Config {
            id: 1,
            election_tick: 5,
            heartbeat_tick: 1,
            max_size_per_msg: 64,
            max_inflight_msgs: 2,
            max_uncommitted_bytes: 128,
            max_committed_bytes: 64,
            seed,
        };
        let conf_state = ConfState::new((1..=1 + u64::from(voters) % 3).collect(), vec![]);
        let mut node = Consensus::new(config, Restored::founding(conf_state)).expect("a good start");
        for (Nonsense(message), what) in story {
            let before = node.status();
            if node.step(message).is_err() {
                assert_eq!(node.status(), before, "a refused message has changed something");
            }
            live(&mut node, what);
        }
        true
    }
    QuickCheck::new()
        .rng(Gen::new(100))
        .tests(2000)
        .quickcheck(property as fn(u64, u8, Vec<(Nonsense, u8)>) -> bool);
}
