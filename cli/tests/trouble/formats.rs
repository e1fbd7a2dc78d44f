//! Data of an earlier release, opened by this one.
//!
//! `fixtures/format-1.bin` holds the files of a single member as release 0.1.0 left them when it was killed: a checkpoint, and two
//! writes behind it in the log. What is all zeros in them is left out: for each file `path length (2) ǀ path ǀ length (8) ǀ
//! number of parts (4)`, and for each part `offset (8) ǀ length (4) ǀ bytes`, little-endian. It is never made anew: a later
//! release must go on to read it. See docs/file-format.md on what may change.

use crate::process::{Alone, client, runtime};
use bytes::Bytes;
use kernel::Kv;
use kernel::types::RangeRequest;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

const FORMAT_1: &[u8] = include_bytes!("../fixtures/format-1.bin");
/// What the release that made it said of its keys.
const HASH_KV: u32 = 642_926_580;

fn take<'a>(rest: &mut &'a [u8], count: u64) -> &'a [u8] {
    let (taken, left) = rest.split_at(usize::try_from(count).expect("a small file"));
    *rest = left;
    taken
}

fn number(rest: &mut &[u8], bytes: u64) -> u64 {
    take(rest, bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn unpack(mut rest: &[u8], to: &Path) {
    while !rest.is_empty() {
        let length = number(&mut rest, 2);
        let path = to.join(std::str::from_utf8(take(&mut rest, length)).expect("a path"));
        fs::create_dir_all(path.parent().expect("it has a folder")).unwrap();
        let file = fs::File::create(&path).unwrap();
        file.set_len(number(&mut rest, 8)).unwrap();
        for _ in 0..number(&mut rest, 4) {
            let (offset, length) = (number(&mut rest, 8), number(&mut rest, 4));
            file.write_all_at(take(&mut rest, length), offset).unwrap();
        }
    }
}

#[test]
fn data_of_format_1_is_opened_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    // Its ids come from the URLs with which it was made.
    let mut member = Alone::new(&folder.path().join("data"), 24_979);
    unpack(FORMAT_1, &member.dir);
    let mut expected: BTreeMap<String, String> =
        (1..=20).filter(|n| *n != 3).map(|n| (format!("key{n}"), format!("value {n}"))).collect();
    for (key, value) in
        [("key4", "again"), ("key5", "after the checkpoint"), ("key21", "new"), ("leased", "yes")]
    {
        expected.insert(key.to_string(), value.to_string());
    }
    let runtime = runtime();
    for life in 0..3 {
        member.start();
        runtime.block_on(async {
            let client = client(&member.endpoint()).await;
            if life == 0 {
                assert_eq!(client.hash_kv(0).await.unwrap().hash, HASH_KV);
            }
            let everything = Bytes::from_static(b"\0");
            let request =
                RangeRequest { key: everything.clone(), range_end: everything, ..Default::default() };
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let found = client.range(request).await.unwrap().kvs;
            let found: BTreeMap<_, _> = found.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect();
            assert_eq!(found, expected, "life {life}");
            let key = format!("life{life}");
            let put = kernel::types::PutRequest {
                key: key.clone().into(),
                value: "1".into(),
                ..Default::default()
            };
            client.put(put).await.unwrap();
            expected.insert(key, "1".to_string());
        });
        member.end(if life == 1 { "KILL" } else { "TERM" });
    }
}
