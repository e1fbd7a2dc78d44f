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
