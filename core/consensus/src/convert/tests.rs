//! What goes to the crate and comes back is what it was.

use super::*;
use quickcheck::{Arbitrary, Gen, quickcheck};

fn bytes(g: &mut Gen) -> Bytes {
    Vec::<u8>::arbitrary(g).into()
}

/// A message as the network may bring it, of a known kind and with sorted configurations.
#[derive(Clone, Debug)]
struct Any(Message);

impl Arbitrary for Any {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut sorted = || {
            let mut ids = Vec::<u64>::arbitrary(g);
            ids.sort_unstable();
            ids
        };
        let state = ConfState {
            voters: sorted(),
            learners: sorted(),
            voters_outgoing: sorted(),
            learners_next: sorted(),
            auto_leave: bool::arbitrary(g),
        };
        let conf_state = bool::arbitrary(g).then_some(state);
        let mark = SnapshotMark { index: u64::arbitrary(g), term: u64::arbitrary(g), conf_state };
        let entries = Vec::<(u64, u64, bool)>::arbitrary(g).into_iter().map(|(index, term, change)| Entry {
            index,
            term,
            kind: i32::from(change),
            data: bytes(g),
            context: bytes(g),
        });
        Any(Message {
            entries: entries.collect(),
            kind: 1 + (u8::arbitrary(g) % 13) as i32,
            to: u64::arbitrary(g),
            from: u64::arbitrary(g),
            term: u64::arbitrary(g),
            log_term: u64::arbitrary(g),
            index: u64::arbitrary(g),
            commit: u64::arbitrary(g),
            commit_term: u64::arbitrary(g),
            snapshot: bool::arbitrary(g).then_some(mark),
            reject: bool::arbitrary(g),
            reject_hint: u64::arbitrary(g),
            context: bytes(g),
            // Not of Raft: it is put on after the conversion.
            quiet_ms: 0,
        })
    }
}

quickcheck! {
    fn a_message_comes_back_as_it_was(message: Any) -> bool {
        let there = message_to_raft(message.0.clone()).expect("a known kind");
        message_from_raft(there) == Some(message.0)
    }

    fn a_message_survives_the_wire(message: Any) -> bool {
        Message::decode(Bytes::from(message.0.encode_to_vec())) == Ok(message.0)
    }

    fn a_hard_state_comes_back_as_it_was(term: u64, vote: u64, commit: u64) -> bool {
        let state = HardState { term, vote, commit };
        hard_state_from_raft(&hard_state_to_raft(state)) == state
    }
}

#[test]
fn messages_that_never_leave_a_member_have_no_form() {
    let message = pb::Message { msg_type: pb::MessageType::MsgHup, ..Default::default() };
    assert_eq!(message_from_raft(message), None);
    for kind in [0, 14, -1] {
        assert!(message_to_raft(Message { kind, ..Default::default() }).is_err(), "kind {kind}");
    }
}

#[test]
fn the_format_of_a_change_is_the_one_that_the_crate_reads() {
    let change = ConfChange::joint([
        (ChangeKind::AddVoter, 1),
        (ChangeKind::Remove, 300),
        (ChangeKind::AddLearner, 3),
    ]);
    let expected = [8, 1, 18, 2, 16, 1, 18, 5, 8, 1, 16, 172, 2, 18, 4, 8, 2, 16, 3];
    assert_eq!(conf_change_data(&change), expected.as_slice());
    let crates = conf_change_to_raft(&change);
    assert_eq!(crates.enter_joint(), Some(true));
    assert!(conf_change_to_raft(&ConfChange::leave_joint()).leave_joint());
    assert!(conf_change_data(&ConfChange::leave_joint()).is_empty());
}
