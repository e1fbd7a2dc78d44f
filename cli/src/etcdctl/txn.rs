//! The language of `etcdctl txn`: three parts, each ended by an empty line.
//!
//! ```text
//! mod("key1") > "0"          compares: create, mod, ver, val, lease; = != > <
//!
//! put key1 "overwrote-key1"  done when all compares hold: get, put, del with their flags
//!
//! put key1 "created-key1"    done when they do not
//!
//! ```
//!
//! A word may stand in double quotes with Go's escapes, or in single quotes as it is.

use super::args::{self, Line, lease_id};
use super::failure::Failure;
use super::request;
use crate::golang::{parse_int, quote, unquote_prefix};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use wire::*;

/// Reads a transaction. `read_line` gives the next line with its end, empty at the end of input; `prompt` is told what the
/// next part is.
pub fn read(
    mut read_line: impl FnMut() -> std::io::Result<String>,
    mut prompt: impl FnMut(&str),
) -> Result<TxnRequest, Failure> {
    let mut part = |title: &str| -> Result<Vec<String>, Failure> {
        prompt(title);
        let mut lines = Vec::new();
        loop {
            let line = read_line().map_err(|error| Failure::input(error.to_string()))?;
            if !line.ends_with('\n') {
                return Err(Failure::input("EOF"));
            }
            match line.trim() {
                "" => return Ok(lines),
                line => lines.push(line.to_string()),
            }
        }
    };
    let all = |lines: Vec<String>, parse: fn(&str) -> Result<RequestOp, Failure>| {
        lines.iter().map(|line| parse(line)).collect::<Result<Vec<_>, _>>()
    };
    let compare = part("compares:")?.iter().map(|line| parse_compare(line)).collect::<Result<Vec<_>, _>>()?;
    let success = all(part("success requests (get, put, del):")?, parse_operation)?;
    let failure = all(part("failure requests (get, put, del):")?, parse_operation)?;
    Ok(TxnRequest { compare, success, failure })
}

/// `target("key") op "value"`.
fn parse_compare(line: &str) -> Result<Compare, Failure> {
    let malformed = |why: String| Failure::input(format!("malformed comparison: {line}{why}"));
    let (target, rest) = line.split_once('(').ok_or_else(|| malformed(String::new()))?;
    let (key, op, value) = scan_compare(rest)
        .map_err(|(key, op)| malformed(format!("; got {target}({}) {op} \"\"", quote(&key))))?;
    let value_text = String::from_utf8_lossy(&value).into_owned();
    let number = || {
        parse_int(&value_text, 10).map_err(|_| Failure::input(format!("invalid txn compare request: {line}")))
    };
    let (target, union) = match target.trim() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.into())),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(lease_id(&value_text, "")?)),
        other => return Err(malformed(format!(" (unknown target {other})"))),
    };
    let result = match op.as_str() {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        other => return Err(malformed(format!(" (unknown result op {other})"))),
    };
    Ok(Compare {
        result: result as i32,
        target: target as i32,
        key: key.into(),
        target_union: Some(union),
        range_end: Default::default(),
    })
}

/// Key, relation and value behind `target(`; on failure, as much of key and relation as was read.
#[expect(clippy::type_complexity, reason = "a scanner's result, used once")]
fn scan_compare(rest: &str) -> Result<(Vec<u8>, String, Vec<u8>), (Vec<u8>, String)> {
    let (key, rest) = unquote_prefix(rest.trim_start()).ok_or_else(Default::default)?;
    let Some(rest) = rest.strip_prefix(')') else { return Err((key, String::new())) };
    let rest = rest.trim_start();
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let op = rest[..end].to_string();
    match unquote_prefix(rest[end..].trim_start()) {
        Some((value, _)) => Ok((key, op, value)),
        None => Err((key, op)),
    }
}

/// `get …`, `put …` or `del …`.
fn parse_operation(line: &str) -> Result<RequestOp, Failure> {
    let words = split_words(line).ok_or_else(|| Failure::input(format!("invalid txn request: {line}")))?;
    if words.len() < 2 {
        return Err(Failure::input(format!("invalid txn compare request: {line}")));
    }
    let invalid = |_| Failure::input(format!("invalid txn request: {line}"));
    let matches = args::operations().try_get_matches_from(words).map_err(invalid)?;
    let (name, matches) =
        matches.subcommand().ok_or_else(|| Failure::input(format!("invalid txn request: {line}")))?;
    let line = Line(matches);
    let op = match name {
        "get" => Op::RequestRange(request::get(&line)?),
        "put" => Op::RequestPut(request::put(&line, || None)?),
        _ => Op::RequestDeleteRange(request::delete(&line)?),
    };
    Ok(RequestOp { request: Some(op) })
}

/// Splits a line into words; `None` when a quote does not close.
pub fn split_words(line: &str) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' => unquote_prefix(rest)?,
            '\'' => {
                let (word, after) = rest[1..].split_once('\'')?;
                (word.as_bytes().to_vec(), after)
            }
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest.as_bytes()[..end].to_vec(), &rest[end..])
            }
        };
        words.push(OsString::from_vec(word));
        rest = after.trim_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TxnRequest, Failure> {
        let mut lines = text.split_inclusive('\n');
        read(|| Ok(lines.next().unwrap_or_default().to_string()), |_| {})
    }

    #[test]
    fn three_parts() {
        let txn = parse("mod(\"a\") > \"0\"\nval(\"b c\") != \"x\\ty\"\n\n put a 5\nget \"k 1\" --prefix\n\ndel 'q \"r'\n\n").unwrap();
        assert_eq!(txn.compare[0].target_union, Some(TargetUnion::ModRevision(0)));
        assert_eq!(txn.compare[0].result, CompareResult::Greater as i32);
        assert_eq!(txn.compare[1].key, "b c");
        assert_eq!(txn.compare[1].target_union, Some(TargetUnion::Value("x\ty".into())));
        let put = PutRequest { key: "a".into(), value: "5".into(), ..Default::default() };
        assert_eq!(txn.success[0].request, Some(Op::RequestPut(put)));
        let get = RangeRequest { key: "k 1".into(), range_end: "k 2".into(), ..Default::default() };
        assert_eq!(txn.success[1].request, Some(Op::RequestRange(get)));
        let delete = DeleteRangeRequest { key: "q \"r".into(), ..Default::default() };
        assert_eq!(txn.failure[0].request, Some(Op::RequestDeleteRange(delete)));
    }

    #[test]
    fn a_prompt_for_each_part() {
        let mut seen = Vec::new();
        let mut lines = ["\n"; 3].into_iter();
        let txn = read(|| Ok(lines.next().unwrap().into()), |title| seen.push(title.to_string())).unwrap();
        assert_eq!(txn, TxnRequest::default());
        assert_eq!(
            seen,
            ["compares:", "success requests (get, put, del):", "failure requests (get, put, del):"]
        );
    }

    #[test]
    fn refusals_in_etcdctls_words() {
        let input = |message: &str| Err(Failure { code: 3, message: message.into() });
        let cases = [
            ("", "EOF"),
            ("\nget a\n", "EOF"),
            ("foo\n\n\n\n", "malformed comparison: foo"),
            ("xx(\"a\") = \"1\"\n\n\n\n", "malformed comparison: xx(\"a\") = \"1\" (unknown target xx)"),
            ("mod(\"a\") = \"x\"\n\n\n\n", "invalid txn compare request: mod(\"a\") = \"x\""),
            ("mod(a) = \"1\"\n\n\n\n", "malformed comparison: mod(a) = \"1\"; got mod(\"\")  \"\""),
            ("mod(\"a\") = 1\n\n\n\n", "malformed comparison: mod(\"a\") = 1; got mod(\"a\") = \"\""),
            (
                "ver(\"a\") <> \"1\"\n\n\n\n",
                "malformed comparison: ver(\"a\") <> \"1\" (unknown result op <>)",
            ),
            ("\nfrob a\n\n\n", "invalid txn request: frob a"),
            ("\ntxn\n\n\n", "invalid txn compare request: txn"),
            ("\nget a --bogus\n\n\n", "invalid txn request: get a --bogus"),
            ("\nput \"open x\n\n\n", "invalid txn request: put \"open x"),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text), input(message), "{text:?}");
        }
        let needs = "put command needs 1 argument and input from stdin or 2 arguments";
        assert_eq!(parse("\nput a\n\n\n"), Err(Failure::arguments(needs)));
    }

    #[test]
    fn words_and_quotes() {
        let words = |line| {
            split_words(line).map(|words| words.iter().map(|w| w.to_string_lossy().into_owned()).collect())
        };
        assert_eq!(
            words("a  \"b\\\"c\" 'd \\n e' f\"g"),
            Some(vec!["a".into(), "b\"c".into(), "d \\n e".into(), "f\"g".into()])
        );
        assert_eq!(words("   "), Some(Vec::<String>::new()));
        assert_eq!(words("'open"), None);
    }
}
