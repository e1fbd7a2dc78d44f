//! The encodings, byte by byte: each expectation is a tag, a length and a value put together by hand from the field
//! numbers, so a wrong number or a wrong type shows.

use crate::*;
use prost::Message;
use quickcheck::quickcheck;

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 })
}

/// `header()` as field 1 of a response.
const HEADER: [u8; 10] = [0x0a, 8, 8, 1, 16, 2, 24, 3, 32, 4];

fn expect(message: impl Message, body: &[u8]) {
    assert_eq!(message.encode_to_vec(), [&HEADER[..], body].concat());
}

#[test]
fn status_has_the_numbers_of_3_6() {
    let status = StatusResponse {
        header: header(),
        version: "3".into(),
        db_size: 5,
        leader: 6,
        raft_index: 7,
        raft_term: 8,
        raft_applied_index: 9,
        errors: vec!["e".into()],
        db_size_in_use: 10,
        is_learner: true,
        storage_version: "s".into(),
        db_size_quota: 11,
        downgrade_info: Some(DowngradeInfo { enabled: true, target_version: "t".into() }),
    };
    let front = [0x12, 1, b'3', 24, 5, 32, 6, 40, 7, 48, 8, 56, 9, 0x42, 1, b'e', 72, 10, 80, 1];
    let back = [0x5a, 1, b's', 96, 11, 0x6a, 5, 8, 1, 0x12, 1, b't'];
    expect(status, &[&front[..], &back[..]].concat());
}

#[test]
fn a_member_names_its_urls_in_fields_three_and_four() {
    let member = Member {
        id: 9,
        name: "n".into(),
        peer_urls: vec!["p".into(), "q".into()],
        client_urls: vec!["c".into()],
        is_learner: true,
    };
    let bytes = [8, 9, 0x12, 1, b'n', 0x1a, 1, b'p', 0x1a, 1, b'q', 0x22, 1, b'c', 40, 1];
    assert_eq!(member.encode_to_vec(), bytes);
    let added = MemberAddResponse { header: header(), member: Some(member.clone()), members: vec![member] };
    let body = [&[0x12, 16][..], &bytes, &[0x1a, 16], &bytes].concat();
    expect(added, &body);
}

#[test]
fn hashes_and_snapshots_keep_their_widths() {
    expect(
        HashKvResponse { header: header(), hash: u32::MAX, compact_revision: 2, hash_revision: 3 },
        &[16, 0xff, 0xff, 0xff, 0xff, 0x0f, 24, 2, 32, 3],
    );
    expect(
        SnapshotResponse { header: header(), remaining_bytes: 1, blob: b"b"[..].into(), version: "v".into() },
        &[16, 1, 0x1a, 1, b'b', 0x22, 1, b'v'],
    );
}

#[test]
fn alarms_and_downgrades_number_their_enums_from_zero() {
    let alarm = AlarmRequest {
        action: AlarmAction::Deactivate.into(),
        member_id: 7,
        alarm: AlarmType::Corrupt.into(),
    };
    assert_eq!(alarm.encode_to_vec(), [8, 2, 16, 7, 24, 2]);
    let downgrade = DowngradeRequest { action: DowngradeAction::Cancel.into(), version: "3.6".into() };
    assert_eq!(downgrade.encode_to_vec(), [8, 2, 0x12, 3, b'3', b'.', b'6']);
}

#[test]
fn auth_keeps_hashed_passwords_apart() {
    let user = AuthUserAddRequest {
        name: "u".into(),
        password: "p".into(),
        options: Some(UserAddOptions { no_password: true }),
        hashed_password: "h".into(),
    };
    assert_eq!(user.encode_to_vec(), [0x0a, 1, b'u', 0x12, 1, b'p', 0x1a, 2, 8, 1, 0x22, 1, b'h']);
    let grant = AuthRoleGrantPermissionRequest {
        name: "r".into(),
        perm: Some(Permission {
            perm_type: PermissionType::Readwrite.into(),
            key: b"k"[..].into(),
            range_end: b"l"[..].into(),
        }),
    };
    assert_eq!(grant.encode_to_vec(), [0x0a, 1, b'r', 0x12, 8, 8, 2, 0x12, 1, b'k', 0x1a, 1, b'l']);
    expect(AuthStatusResponse { header: header(), enabled: true, auth_revision: 5 }, &[16, 1, 24, 5]);
}

#[test]
fn serving_is_one() {
    let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
    assert_eq!(serving.encode_to_vec(), [8, 1]);
}

quickcheck! {
    /// Bytes from a stranger are decoded or refused; they never panic.
    fn strange_bytes_are_harmless(bytes: Vec<u8>) -> bool {
        let bytes = &bytes[..];
        let outcomes = [
            StatusResponse::decode(bytes).is_ok(),
            MemberAddResponse::decode(bytes).is_ok(),
            AuthRoleGetResponse::decode(bytes).is_ok(),
            RangeStreamResponse::decode(bytes).is_ok(),
            WatchRequest::decode(bytes).is_ok(),
            TxnRequest::decode(bytes).is_ok(),
        ];
        bytes.is_empty() <= outcomes.iter().all(|decoded| *decoded)
    }

    fn members_survive_the_wire(id: u64, name: String, urls: Vec<String>, is_learner: bool) -> bool {
        let member = Member { id, name, peer_urls: urls.clone(), client_urls: urls, is_learner };
        Member::decode(&member.encode_to_vec()[..]) == Ok(member)
    }
}
