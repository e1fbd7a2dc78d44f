//! From the words of `get`, `put` and `del` to requests: pure, and shared by the commands and by the lines of `txn`.

use super::args::{Line, lease_id};
use super::failure::Failure;
use bytes::Bytes;
use std::io::{IsTerminal, Read};
use wire::{DeleteRangeRequest, PutRequest, RangeRequest, SortOrder, SortTarget};

const ONE_CHOICE: &str = "`--prefix` and `--from-key` cannot be set at the same time, choose one";
const ONE_ARGUMENT: &str =
    "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";

/// The first key beyond all keys with this prefix; `\0` (no bound) when there is none.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|&byte| byte < 0xff) else { return Bytes::from_static(b"\0") };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

/// What `get` asks for.
pub fn get(line: &Line) -> Result<RangeRequest, Failure> {
    let (key, range_end) = key_range(line, "get")?;
    let (keys_only, count_only) = (line.switch("keys-only")?, line.switch("count-only")?);
    if keys_only && count_only {
        return Err(Failure::arguments(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ));
    }
    let serializable = match line.text("consistency") {
        "s" => true,
        "l" => false,
        other => return Err(Failure::feature(format!("unknown consistency flag \"{other}\""))),
    };
    let (sort_order, sort_target) = sorting(line)?;
    Ok(RangeRequest {
        key,
        range_end,
        limit: line.int("limit")?,
        revision: line.int("rev")?.max(0),
        sort_order: sort_order as i32,
        sort_target: sort_target as i32,
        serializable,
        keys_only,
        count_only,
        ..Default::default()
    })
}

fn sorting(line: &Line) -> Result<(SortOrder, SortTarget), Failure> {
    let order = match line.text("order").to_uppercase().as_str() {
        "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        "" => SortOrder::None,
        _ => return Err(Failure::feature(format!("bad sort order {}", line.text("order")))),
    };
    let target = match line.text("sort-by").to_uppercase().as_str() {
        "CREATE" => SortTarget::Create,
        "KEY" | "" => SortTarget::Key,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(Failure::feature(format!("bad sort target {}", line.text("sort-by")))),
    };
    // Ascending by key is the order of the store: asking for nothing saves the server a sort.
    match (order, target) {
        (SortOrder::Ascend, SortTarget::Key) => Ok((SortOrder::None, target)),
        _ => Ok((order, target)),
    }
}

/// What `del` asks for.
pub fn delete(line: &Line) -> Result<DeleteRangeRequest, Failure> {
    let (key, range_end) = key_range(line, "del")?;
    Ok(DeleteRangeRequest { key, range_end, prev_kv: line.switch("prev-kv")? })
}

/// Key and range end of `get` and `del`. An empty key with `--prefix` or `--from-key` means every key.
fn key_range(line: &Line, command: &str) -> Result<(Bytes, Bytes), Failure> {
    let args = line.args();
    let Some(key) = args.first().cloned() else {
        let message =
            format!("{command} command needs one argument as key and an optional argument as range_end");
        return Err(Failure::arguments(message));
    };
    let (prefix, from_key) = (line.switch("prefix")?, line.switch("from-key")?);
    if prefix && from_key {
        return Err(Failure::arguments(ONE_CHOICE));
    }
    if let Some(range_end) = args.get(1) {
        if prefix || from_key {
            return Err(Failure::arguments(ONE_ARGUMENT));
        }
        return Ok((key, range_end.clone()));
    }
    let all = Bytes::from_static(b"\0");
    Ok(match (prefix, from_key, key.is_empty()) {
        (false, false, _) => (key, Bytes::new()),
        (_, _, true) => (all.clone(), all),
        (true, _, _) => (key.clone(), prefix_end(&key)),
        (_, true, _) => (key, all),
    })
}

/// What `put` asks for. The value is the second argument, or all of standard input.
pub fn put(line: &Line, input: impl FnOnce() -> Option<Bytes>) -> Result<PutRequest, Failure> {
    const NEEDS: &str = "put command needs 1 argument and input from stdin or 2 arguments";
    let args = line.args();
    let key = args.first().cloned().ok_or_else(|| Failure::arguments(NEEDS))?;
    let ignore_value = line.switch("ignore-value")?;
    let value = match args.get(1) {
        Some(value) => value.clone(),
        None if ignore_value => Bytes::new(),
        None => input().ok_or_else(|| Failure::arguments(NEEDS))?,
    };
    Ok(PutRequest {
        key,
        value,
        lease: lease_id(line.text("lease"), "")?,
        prev_kv: line.switch("prev-kv")?,
        ignore_value,
        ignore_lease: line.switch("ignore-lease")?,
    })
}

/// All of standard input; `None` when it is a terminal or another character device, where nobody meant to type a value.
pub fn standard_input() -> Option<Bytes> {
    use std::os::unix::fs::FileTypeExt;
    let input = std::io::stdin();
    let is_device = std::fs::metadata("/dev/stdin").is_ok_and(|meta| meta.file_type().is_char_device());
    if input.is_terminal() || is_device {
        return None;
    }
    let mut value = Vec::new();
    input.lock().read_to_end(&mut value).ok()?;
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::super::args::{Line, command};
    use super::*;

    fn parsed<T>(words: &[&str], make: fn(&Line) -> Result<T, Failure>) -> Result<T, Failure> {
        let matches =
            command().try_get_matches_from(["etcdctl"].iter().chain(words)).expect("a known command line");
        make(&Line(matches.subcommand().expect("a command").1))
    }

    fn range(words: &[&str]) -> (Bytes, Bytes) {
        let request = parsed(words, get).expect("a good range");
        (request.key, request.range_end)
    }

    #[test]
    fn ranges() {
        let pair =
            |key: &'static [u8], end: &'static [u8]| (Bytes::from_static(key), Bytes::from_static(end));
        assert_eq!(range(&["get", "a"]), pair(b"a", b""));
        assert_eq!(range(&["get", "a", "c"]), pair(b"a", b"c"));
        assert_eq!(range(&["get", "--prefix", "ab"]), pair(b"ab", b"ac"));
        assert_eq!(range(&["get", "ab", "--prefix=false"]), pair(b"ab", b""));
        assert_eq!(range(&["get", "", "--prefix"]), pair(b"\0", b"\0"));
        assert_eq!(range(&["get", "a", "--from-key"]), pair(b"a", b"\0"));
        assert_eq!(range(&["get", "--", "-k"]), pair(b"-k", b""));
    }

    #[test]
    fn a_prefix_ends_behind_all_its_keys() {
        fn holds(prefix: Vec<u8>, tail: Vec<u8>, other: Vec<u8>) -> bool {
            let end = prefix_end(&prefix);
            let within = |key: &[u8]| key >= &prefix[..] && (end == b"\0"[..] || *key < end[..]);
            within(&[prefix.clone(), tail].concat()) && within(&other) == other.starts_with(&prefix)
        }
        quickcheck::quickcheck(holds as fn(Vec<u8>, Vec<u8>, Vec<u8>) -> bool);
        assert_eq!(prefix_end(b"a\xff\xff"), &b"b"[..]);
        assert_eq!(prefix_end(b"\xff"), &b"\0"[..]);
    }

    #[test]
    fn what_get_asks_for() {
        let words = [
            "get",
            "a",
            "--rev",
            "-5",
            "--limit=7",
            "--order",
            "descend",
            "--sort-by",
            "modify",
            "--consistency=s",
        ];
        let request = parsed(&words, get).unwrap();
        assert_eq!((request.revision, request.limit, request.serializable), (0, 7, true));
        assert_eq!(
            (request.sort_order, request.sort_target),
            (SortOrder::Descend as i32, SortTarget::Mod as i32)
        );
    }

    #[test]
    fn refusals_in_etcdctls_words() {
        let cases: [(&[&str], u8, &str); 7] = [
            (&["get"], 128, "get command needs one argument as key and an optional argument as range_end"),
            (&["get", "a", "--prefix", "--from-key"], 128, ONE_CHOICE),
            (&["get", "a", "b", "--prefix"], 128, ONE_ARGUMENT),
            (&["get", "a", "--order=FOO"], 4, "bad sort order FOO"),
            (&["get", "a", "--sort-by=FOO"], 4, "bad sort target FOO"),
            (&["get", "a", "--consistency=x"], 4, "unknown consistency flag \"x\""),
            (
                &["get", "a", "--limit=x"],
                1,
                "invalid argument \"x\" for \"--limit\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
        ];
        for (words, code, message) in cases {
            assert_eq!(parsed(words, get), Err(Failure { code, message: message.into() }), "{words:?}");
        }
    }

    #[test]
    fn values_come_from_the_line_or_from_the_input() {
        let put_of = |words: &[&str], input: Option<&'static str>| {
            let matches = command().try_get_matches_from(["etcdctl", "put"].iter().chain(words)).unwrap();
            put(&Line(matches.subcommand().unwrap().1), || input.map(Bytes::from))
        };
        assert_eq!(put_of(&["k", "v"], Some("unread")).unwrap().value, "v");
        assert_eq!(put_of(&["k"], Some("piped")).unwrap().value, "piped");
        assert_eq!(put_of(&["k", "--ignore-value"], None).unwrap().value, "");
        assert_eq!(put_of(&["k", "v", "--lease", "1f"], None).unwrap().lease, 0x1f);
        assert_eq!(put_of(&["k"], None).unwrap_err().code, 128);
        assert_eq!(
            put_of(&["k", "v", "--lease=zz"], None),
            Err(Failure::arguments(
                "bad lease ID (strconv.ParseInt: parsing \"zz\": invalid syntax), expecting ID in Hex"
            ))
        );
    }
}
