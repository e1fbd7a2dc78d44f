//! Each reply in each format, against what etcdctl 3.5.1 printed for it.

use super::*;

fn header(revision: i64) -> Option<ResponseHeader> {
    let (cluster_id, member_id) = (6001611773266757492, 13049071153751544597);
    Some(ResponseHeader { cluster_id, member_id, revision, raft_term: 2 })
}

fn kv(key: &'static str, create: i64, modified: i64, version: i64, value: &'static [u8]) -> KeyValue {
    let (key, value) = (key.into(), bytes::Bytes::from_static(value));
    KeyValue { key, create_revision: create, mod_revision: modified, version, value, lease: 0 }
}

#[track_caller]
fn check(format: Format, reply: &Reply, expected: &str) {
    let printed = String::from_utf8(render(format, false, reply).expect("a format that is offered")).unwrap();
    assert_eq!(printed, expected);
}

#[track_caller]
fn refuses(format: Format, reply: &Reply, text: &str) {
    assert_eq!(render(format, false, reply), Err(Failure { code: 4, message: text.into() }));
}

fn get(value_only: bool) -> Reply {
    let kvs = vec![kv("b", 12, 12, 1, b"x\x01\xff\ny")];
    Reply::Get { response: RangeResponse { header: header(12), kvs, more: false, count: 1 }, value_only }
}

#[test]
fn get_in_every_format() {
    assert_eq!(render(Format::Simple, false, &get(false)).unwrap(), b"b\nx\x01\xff\ny\n");
    assert_eq!(render(Format::Simple, false, &get(true)).unwrap(), b"x\x01\xff\ny\n");
    assert_eq!(render(Format::Simple, true, &get(false)).unwrap(), b"\\x62\n\\x78\\x01\\xff\\x0a\\x79\n");
    check(
        Format::Json,
        &get(false),
        "{\"header\":{\"cluster_id\":6001611773266757492,\"member_id\":13049071153751544597,\"revision\":12,\"raft_term\":2},\
         \"kvs\":[{\"key\":\"Yg==\",\"create_revision\":12,\"mod_revision\":12,\"version\":1,\"value\":\"eAH/Cnk=\"}],\
         \"count\":1}\n",
    );
    check(
        Format::Fields,
        &get(false),
        concat!(
            "\"ClusterID\" : 6001611773266757492\n\"MemberID\" : 13049071153751544597\n\"Revision\" : 12\n",
            "\"RaftTerm\" : 2\n\"Key\" : \"b\"\n\"CreateRevision\" : 12\n\"ModRevision\" : 12\n\"Version\" : 1\n",
            "\"Value\" : \"x\\x01\\xff\\ny\"\n\"Lease\" : 0\n\"More\" : false\n\"Count\" : 1\n"
        ),
    );
    refuses(Format::Table, &get(false), "table not supported as output format");
    let encoded = render(Format::Protobuf, false, &get(false)).unwrap();
    assert_eq!(
        encoded,
        [
            &b"\x0a\x19\x08\xf4\x8e\xf8\x8a\xc2\xc3\x80\xa5\x53\x10\x95\xa6\xa1\x81\xbd\xa2\xe7\x8b\xb5\x01\x18\x0c\x20\x02"
                [..],
            &b"\x12\x10\x0a\x01b\x10\x0c\x18\x0c\x20\x01\x2a\x05x\x01\xff\x0ay\x20\x01"[..]
        ]
        .concat()
    );
}

#[test]
fn keys_without_values_leave_their_line() {
    let kvs = vec![kv("a", 2, 11, 10, b""), kv("b", 12, 12, 1, b"")];
    let reply = Reply::Get { response: RangeResponse { kvs, ..Default::default() }, value_only: false };
    check(Format::Simple, &reply, "a\n\nb\n\n");
}

#[test]
fn put_and_delete_show_what_was_there() {
    let put = Reply::Put(PutResponse { header: header(8), prev_kv: Some(kv("a", 2, 7, 6, b"2")) });
    check(Format::Simple, &put, "OK\na\n2\n");
    check(
        Format::Json,
        &put,
        "{\"header\":{\"cluster_id\":6001611773266757492,\"member_id\":13049071153751544597,\"revision\":8,\"raft_term\":2},\
         \"prev_kv\":{\"key\":\"YQ==\",\"create_revision\":2,\"mod_revision\":7,\"version\":6,\"value\":\"Mg==\"}}\n",
    );
    check(
        Format::Fields,
        &put,
        concat!(
            "\"ClusterID\" : 6001611773266757492\n\"MemberID\" : 13049071153751544597\n\"Revision\" : 8\n",
            "\"RaftTerm\" : 2\n\"PrevKey\" : \"a\"\n\"PrevCreateRevision\" : 2\n\"PrevModRevision\" : 7\n",
            "\"PrevVersion\" : 6\n\"PrevValue\" : \"2\"\n\"PrevLease\" : 0\n"
        ),
    );
    let prev_kvs = vec![kv("c", 13, 13, 1, b"1")];
    let delete = Reply::Delete(DeleteRangeResponse { header: None, deleted: 1, prev_kvs });
    check(Format::Simple, &delete, "1\nc\n1\n");
    check(Format::Fields, &Reply::Delete(DeleteRangeResponse::default()), FIELDS_OF_NO_DELETE);
}

const FIELDS_OF_NO_DELETE: &str =
    "\"ClusterID\" : 0\n\"MemberID\" : 0\n\"Revision\" : 0\n\"RaftTerm\" : 0\n\"Deleted\" : 0\n";

#[test]
fn txn_shows_each_operation() {
    let inner = Some(ResponseHeader { revision: 24, ..Default::default() });
    let op = |response| ResponseOp { response: Some(response) };
    let kvs = vec![kv("a", 2, 24, 15, b"5")];
    let reply = Reply::Txn(TxnResponse {
        header: header(24),
        succeeded: true,
        responses: vec![
            op(OpResponse::ResponsePut(PutResponse { header: inner, prev_kv: None })),
            op(OpResponse::ResponseRange(RangeResponse { header: inner, kvs, more: false, count: 1 })),
            op(OpResponse::ResponseDeleteRange(DeleteRangeResponse { header: inner, ..Default::default() })),
        ],
    });
    check(Format::Simple, &reply, "SUCCESS\n\nOK\n\na\n5\n\n0\n");
    check(
        Format::Json,
        &reply,
        "{\"header\":{\"cluster_id\":6001611773266757492,\"member_id\":13049071153751544597,\"revision\":24,\"raft_term\":2},\
         \"succeeded\":true,\"responses\":[{\"Response\":{\"response_put\":{\"header\":{\"revision\":24}}}},\
         {\"Response\":{\"response_range\":{\"header\":{\"revision\":24},\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":2,\
         \"mod_revision\":24,\"version\":15,\"value\":\"NQ==\"}],\"count\":1}}},\
         {\"Response\":{\"response_delete_range\":{\"header\":{\"revision\":24}}}}]}\n",
    );
    check(Format::Simple, &Reply::Txn(TxnResponse::default()), "FAILURE\n");
}

#[test]
fn watch_shows_each_event() {
    let event = |kind: EventType, kv, prev_kv| Event { r#type: kind as i32, kv: Some(kv), prev_kv };
    let gone = KeyValue { key: "wk".into(), mod_revision: 67, ..Default::default() };
    let events = vec![event(EventType::Delete, gone, Some(kv("wk", 65, 66, 2, b"2")))];
    let reply = Reply::Watch(WatchResponse { header: header(67), events, watch_id: 7, ..Default::default() });
    check(Format::Simple, &reply, "DELETE\nwk\n2\nwk\n\n");
    check(
        Format::Json,
        &reply,
        "{\"Header\":{\"cluster_id\":6001611773266757492,\"member_id\":13049071153751544597,\"revision\":67,\"raft_term\":2},\
         \"Events\":[{\"type\":1,\"kv\":{\"key\":\"d2s=\",\"mod_revision\":67},\"prev_kv\":{\"key\":\"d2s=\",\
         \"create_revision\":65,\"mod_revision\":66,\"version\":2,\"value\":\"Mg==\"}}],\"CompactRevision\":0,\
         \"Canceled\":false,\"Created\":false}\n",
    );
    check(
        Format::Fields,
        &reply,
        concat!(
            "\"ClusterID\" : 6001611773266757492\n\"MemberID\" : 13049071153751544597\n\"Revision\" : 67\n",
            "\"RaftTerm\" : 2\n\"Type\" : DELETE\n\"PrevKey\" : \"wk\"\n\"PrevCreateRevision\" : 65\n",
            "\"PrevModRevision\" : 66\n\"PrevVersion\" : 2\n\"PrevValue\" : \"2\"\n\"PrevLease\" : 0\n",
            "\"Key\" : \"wk\"\n\"CreateRevision\" : 0\n\"ModRevision\" : 67\n\"Version\" : 0\n\"Value\" : \"\"\n",
            "\"Lease\" : 0\n"
        ),
    );
}

#[test]
fn leases_in_every_format() {
    let (id, ttl) = (5986869442520136031, 60);
    let grant = Reply::Grant(LeaseGrantResponse { header: header(36), id, ttl, error: String::new() });
    check(Format::Simple, &grant, "lease 5315a209c60db95f granted with TTL(60s)\n");
    check(
        Format::Json,
        &grant,
        "{\"cluster_id\":6001611773266757492,\"member_id\":13049071153751544597,\"revision\":36,\"raft_term\":2,\
         \"ID\":5986869442520136031,\"TTL\":60,\"Error\":\"\"}\n",
    );
    let keep_alive = |ttl| Reply::KeepAlive(LeaseKeepAliveResponse { header: header(38), id: 0x1234, ttl });
    check(Format::Simple, &keep_alive(100), "lease 0000000000001234 keepalived with TTL(100)\n");
    check(Format::Simple, &keep_alive(0), "lease 0000000000001234 expired or revoked.\n");
    check(
        Format::Simple,
        &Reply::Revoke(0x1234, LeaseRevokeResponse::default()),
        "lease 0000000000001234 revoked\n",
    );
    let leases = vec![LeaseStatus { id: 0x1f }];
    let list = Reply::Leases(LeaseLeasesResponse { header: None, leases });
    check(Format::Simple, &list, "found 1 leases\n000000000000001f\n");
    check(Format::Json, &list, "{\"leases\":[{\"id\":31}]}\n");
}

#[test]
fn time_to_live_in_every_format() {
    let keys = vec!["lk".into(), "lk2".into()];
    let response = LeaseTimeToLiveResponse { header: None, id: 0x1234, ttl: 99, granted_ttl: 100, keys };
    let with_keys = Reply::TimeToLive { response: response.clone(), keys: true };
    check(
        Format::Simple,
        &with_keys,
        "lease 0000000000001234 granted with TTL(100s), remaining(99s), attached keys([lk lk2])\n",
    );
    check(
        Format::Json,
        &with_keys,
        "{\"id\":4660,\"ttl\":99,\"granted-ttl\":100,\"keys\":[\"bGs=\",\"bGsy\"]}\n",
    );
    let response = LeaseTimeToLiveResponse { ttl: -1, granted_ttl: 0, keys: vec![], ..response };
    let expired = Reply::TimeToLive { response, keys: false };
    check(Format::Simple, &expired, "lease 0000000000001234 already expired\n");
    check(Format::Json, &expired, "{\"id\":4660,\"ttl\":-1,\"granted-ttl\":0,\"keys\":null}\n");
}

fn members() -> Reply {
    let started = Member {
        id: 0xb5179d13d0285315,
        name: "rec".into(),
        peer_urls: vec!["http://127.0.0.1:24380".into()],
        client_urls: vec!["http://127.0.0.1:24379".into()],
        is_learner: false,
    };
    let added = Member {
        id: 0xba9690f0f30defe2,
        peer_urls: vec!["http://127.0.0.1:1".into()],
        is_learner: true,
        ..Default::default()
    };
    Reply::Members(MemberListResponse { header: header(0), members: vec![started, added] })
}

#[test]
fn members_in_every_format() {
    check(
        Format::Simple,
        &members(),
        "b5179d13d0285315, started, rec, http://127.0.0.1:24380, http://127.0.0.1:24379, false\n\
         ba9690f0f30defe2, unstarted, , http://127.0.0.1:1, , true\n",
    );
    check(
        Format::Table,
        &members(),
        "\
+------------------+-----------+------+------------------------+------------------------+------------+
|        ID        |  STATUS   | NAME |       PEER ADDRS       |      CLIENT ADDRS      | IS LEARNER |
+------------------+-----------+------+------------------------+------------------------+------------+
| b5179d13d0285315 |   started |  rec | http://127.0.0.1:24380 | http://127.0.0.1:24379 |      false |
| ba9690f0f30defe2 | unstarted |      |     http://127.0.0.1:1 |                        |       true |
+------------------+-----------+------+------------------------+------------------------+------------+
",
    );
    check(
        Format::Json,
        &members(),
        "{\"header\":{\"cluster_id\":6001611773266757492,\"member_id\":13049071153751544597,\"raft_term\":2},\"members\":[\
         {\"ID\":13049071153751544597,\"name\":\"rec\",\"peerURLs\":[\"http://127.0.0.1:24380\"],\
         \"clientURLs\":[\"http://127.0.0.1:24379\"]},\
         {\"ID\":13445093102105522146,\"peerURLs\":[\"http://127.0.0.1:1\"],\"isLearner\":true}]}\n",
    );
    let hex = String::from_utf8(render(Format::Json, true, &members()).unwrap()).unwrap();
    let expected = "{\"header\":{\"cluster_id\":\"534a021c215e0774\",\"member_id\":\"b5179d13d0285315\",\"raft_term\":2},\
                    \"members\":[{\"ID\":\"b5179d13d0285315\",\"name\":\"rec\",\"peerURLs\":[\"http://127.0.0.1:24380\"],\
                    \"clientURLS\":[\"http://127.0.0.1:24379\"]},";
    assert!(hex.starts_with(expected), "{hex}");
}

fn status(errors: Vec<String>) -> Reply {
    let status = StatusResponse {
        header: Some(ResponseHeader {
            cluster_id: 1,
            member_id: 0xbdc54de886900cec,
            revision: 1,
            raft_term: 2,
        }),
        version: "3.5.1".into(),
        db_size: 20480,
        leader: 13763505192385921341,
        raft_index: 26,
        raft_term: 2,
        raft_applied_index: 26,
        errors,
        db_size_in_use: 16384,
        ..Default::default()
    };
    Reply::Status(vec![("127.0.0.1:24401".into(), status)])
}

#[test]
fn status_in_every_format() {
    let alarm = AlarmMember { member_id: 13674421504665717996, alarm: AlarmType::Nospace as i32 };
    let reply = status(vec![alarm_text(&alarm)]);
    check(
        Format::Simple,
        &reply,
        "127.0.0.1:24401, bdc54de886900cec, 3.5.1, 20 kB, false, false, 2, 26, 26, \
         memberID:13674421504665717996 alarm:NOSPACE \n",
    );
    check(
        Format::Table,
        &reply,
        "\
+-----------------+------------------+---------+---------+-----------+------------+-----------+------------+\
--------------------+--------------------------------+
|    ENDPOINT     |        ID        | VERSION | DB SIZE | IS LEADER | IS LEARNER | RAFT TERM | RAFT INDEX | \
RAFT APPLIED INDEX |             ERRORS             |
+-----------------+------------------+---------+---------+-----------+------------+-----------+------------+\
--------------------+--------------------------------+
| 127.0.0.1:24401 | bdc54de886900cec |   3.5.1 |   20 kB |     false |      false |         2 |         26 |                 \
26 |  memberID:13674421504665717996 |
|                 |                  |         |         |           |            |           |            |                    \
|                 alarm:NOSPACE  |
+-----------------+------------------+---------+---------+-----------+------------+-----------+------------+\
--------------------+--------------------------------+
",
    );
    check(
        Format::Json,
        &status(vec![]),
        "[{\"Endpoint\":\"127.0.0.1:24401\",\"Status\":{\"header\":{\"cluster_id\":1,\"member_id\":13674421504665717996,\
         \"revision\":1,\"raft_term\":2},\"version\":\"3.5.1\",\"dbSize\":20480,\"leader\":13763505192385921341,\
         \"raftIndex\":26,\"raftTerm\":2,\"raftAppliedIndex\":26,\"dbSizeInUse\":16384}}]\n",
    );
    check(
        Format::Fields,
        &status(vec![]),
        "\"ClusterID\" : 1\n\"MemberID\" : 13674421504665717996\n\"Revision\" : 1\n\"RaftTerm\" : 2\n\
         \"Version\" : \"3.5.1\"\n\"DBSize\" : 20480\n\"Leader\" : 13763505192385921341\n\"IsLearner\" : false\n\
         \"RaftIndex\" : 26\n\"RaftTerm\" : 2\n\"RaftAppliedIndex\" : 26\n\"Errors\" : []\n\
         \"Endpoint\" : \"127.0.0.1:24401\"\n\n",
    );
    refuses(Format::Protobuf, &status(vec![]), "protobuf not supported as output format");
}

#[test]
fn health_and_hashes() {
    let took = Duration::from_nanos(3_182_385);
    let endpoint = "127.0.0.1:24401".to_string();
    let well = Health { endpoint: endpoint.clone(), healthy: true, took, error: String::new() };
    let ill = Health { healthy: false, error: "context deadline exceeded".into(), ..well.clone() };
    check(
        Format::Simple,
        &Reply::Health(vec![well.clone()]),
        "127.0.0.1:24401 is healthy: successfully committed proposal: took = 3.182385ms\n",
    );
    let both = Reply::Health(vec![well, ill]);
    check(
        Format::Json,
        &both,
        "[{\"endpoint\":\"127.0.0.1:24401\",\"health\":true,\"took\":\"3.182385ms\"},{\"endpoint\":\"127.0.0.1:24401\",\
         \"health\":false,\"took\":\"3.182385ms\",\"error\":\"context deadline exceeded\"}]\n",
    );
    check(
        Format::Table,
        &both,
        "\
+-----------------+--------+------------+---------------------------+
|    ENDPOINT     | HEALTH |    TOOK    |           ERROR           |
+-----------------+--------+------------+---------------------------+
| 127.0.0.1:24401 |   true | 3.182385ms |                           |
| 127.0.0.1:24401 |  false | 3.182385ms | context deadline exceeded |
+-----------------+--------+------------+---------------------------+
",
    );
    let hash =
        HashKvResponse { header: header(38), hash: 2858198716, compact_revision: 9, hash_revision: 38 };
    let reply = Reply::HashKv(vec![(endpoint, hash)]);
    check(Format::Simple, &reply, "127.0.0.1:24401, 2858198716\n");
    check(
        Format::Json,
        &reply,
        "[{\"Endpoint\":\"127.0.0.1:24401\",\"HashKV\":{\"header\":{\"cluster_id\":6001611773266757492,\
         \"member_id\":13049071153751544597,\"revision\":38,\"raft_term\":2},\"hash\":2858198716,\"compact_revision\":9}}]\n",
    );
}

#[test]
fn alarms_and_leaders() {
    let alarms = vec![AlarmMember { member_id: 13674421504665717996, alarm: AlarmType::Nospace as i32 }];
    let reply = Reply::Alarms(AlarmResponse { header: None, alarms });
    check(Format::Simple, &reply, "memberID:13674421504665717996 alarm:NOSPACE \n");
    check(Format::Json, &reply, "{\"alarms\":[{\"memberID\":13674421504665717996,\"alarm\":1}]}\n");
    check(Format::Json, &Reply::Alarms(AlarmResponse::default()), "{}\n");
    let moved = Reply::MoveLeader { from: 0xbf01, to: 0xbdc5, response: MoveLeaderResponse::default() };
    check(Format::Simple, &moved, "Leadership transferred from bf01 to bdc5\n");
}

#[test]
fn sizes_for_people() {
    for (bytes, text) in [
        (9, "9 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (24_576, "25 kB"),
        (2_147_483_648, "2.1 GB"),
        (0, "0 B"),
    ] {
        assert_eq!(human_bytes(bytes), text);
    }
}
