//! What a range returns, computed the naive way: collect, filter, sort, cut. Shared by the replay model and its tests;
//! written from etcd's documented behaviour and not from `mvcc`, so that one mistake is not made twice.

use kernel::types::*;

/// Whether `key` lies in the range from `start` to `end` in etcd's notation (empty: one key; `\0`: no upper bound).
pub fn covers(start: &[u8], end: &[u8], key: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        _ => key >= start && key < end,
    }
}

fn within(value: i64, low: i64, high: i64) -> bool {
    (low == 0 || value >= low) && (high == 0 || value <= high)
}

fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let target = SortTarget::try_from(request.sort_target).unwrap_or(SortTarget::Key);
    match target {
        SortTarget::Key => {}
        SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
        SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
        SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
        SortTarget::Value => kvs.sort_by(|a, b| a.value.cmp(&b.value)),
    }
    if request.sort_order == SortOrder::Descend as i32 {
        kvs.reverse();
    }
}

/// The answer to `request`, given every live key of its range in ascending order. The header is left out.
pub fn answer(request: &RangeRequest, mut kvs: Vec<KeyValue>) -> RangeResponse {
    let count = kvs.len() as i64;
    if request.count_only {
        return RangeResponse { count, ..Default::default() };
    }
    kvs.retain(|kv| {
        within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
            && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
    });
    sort(request, &mut kvs);
    let limit = usize::try_from(request.limit).unwrap_or(0);
    let more = limit > 0 && kvs.len() > limit;
    if more {
        kvs.truncate(limit);
    }
    if request.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value.clear());
    }
    RangeResponse { header: None, kvs, more, count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn kv(key: &'static str, mod_revision: i64) -> KeyValue {
        KeyValue { key: Bytes::from(key), mod_revision, value: Bytes::from("v"), ..Default::default() }
    }

    #[test]
    fn the_count_is_of_the_whole_range_and_the_limit_comes_last() {
        let request = RangeRequest {
            limit: 1,
            min_mod_revision: 3,
            sort_target: SortTarget::Mod as i32,
            sort_order: SortOrder::Descend as i32,
            keys_only: true,
            ..Default::default()
        };
        let answered = answer(&request, vec![kv("a", 2), kv("b", 3), kv("c", 4)]);
        assert_eq!((answered.count, answered.more, answered.kvs.len()), (3, true, 1));
        assert_eq!(answered.kvs[0].key, "c");
        assert!(answered.kvs[0].value.is_empty());
    }

    #[test]
    fn ends_are_read_as_etcd_reads_them() {
        assert!(covers(b"b", b"", b"b") && !covers(b"b", b"", b"c"));
        assert!(covers(b"b", b"\0", b"z") && !covers(b"b", b"\0", b"a"));
        assert!(covers(b"b", b"d", b"c") && !covers(b"b", b"d", b"d"));
    }
}
