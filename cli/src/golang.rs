//! The few habits of Go that etcd's users see: durations, quoting, integer errors.
//!
//! etcd's flags take durations as Go writes them (`1m30s`), its `fields` format quotes as Go's `%q`, and its messages carry
//! Go's texts for a bad integer. Scripts match all three, so they are kept to the letter here, in one place.

use std::fmt::Write;
use std::time::Duration;

/// Parses a duration as Go writes it: `300ms`, `1.5h`, `2h45m`, `0`. The error is Go's text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let invalid = || format!("time: invalid duration {}", quote(text.as_bytes()));
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let value: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_end);
        nanos += value * unit_nanos(text, unit)?;
        rest = after;
    }
    if nanos > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

fn unit_nanos(text: &str, unit: &str) -> Result<f64, String> {
    Ok(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "" => return Err(format!("time: missing unit in duration {}", quote(text.as_bytes()))),
        _ => {
            let (unit, text) = (quote(unit.as_bytes()), quote(text.as_bytes()));
            return Err(format!("time: unknown unit {unit} in duration {text}"));
        }
    })
}

/// A duration as Go prints it: `2.987616ms`, `1m0s`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".to_string(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => return format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {}
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / unit` with all its digits and no trailing zeros. `unit` is a power of ten.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
}

/// Bytes as Go's `%q` quotes a string.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn quote_char(out: &mut String, c: char) {
    let code = c as u32;
    let _ = match c {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        '\x07' => out.write_str("\\a"),
        '\x08' => out.write_str("\\b"),
        '\x0c' => out.write_str("\\f"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\x0b' => out.write_str("\\v"),
        _ if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
        _ if is_printable(c) => out.write_char(c),
        _ if code > 0xffff => write!(out, "\\U{code:08x}"),
        _ => write!(out, "\\u{code:04x}"),
    };
}

/// Behind a letter, `escape_debug` leaves alone exactly what can be printed, combining marks included.
fn is_printable(c: char) -> bool {
    let mut pair = String::from("a");
    pair.push(c);
    c == '\'' || pair.escape_debug().count() == 2
}

/// Undoes [`quote`] (or Go's raw quoting by backquotes) at the start of `text`: the bytes and what follows the closing quote.
pub fn unquote_prefix(text: &str) -> Option<(Vec<u8>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let end = raw.find('`')?;
        return Some((raw.as_bytes()[..end].to_vec(), &raw[end + 1..]));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut out = Vec::new();
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((out, rest)),
            '\n' => return None,
            '\\' => rest = unescape(rest, &mut out)?,
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// One escape, behind its backslash: appends what it stands for and returns what follows it.
fn unescape<'a>(rest: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let kind = rest.chars().next()?;
    let after = &rest[kind.len_utf8()..];
    let simple = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' | '"' => kind as u8,
        'x' => u8::from_str_radix(after.get(..2)?, 16).ok()?,
        '0'..='7' => u8::from_str_radix(rest.get(..3)?, 8).ok()?,
        'u' | 'U' => {
            let width = if kind == 'u' { 4 } else { 8 };
            let c = char::from_u32(u32::from_str_radix(after.get(..width)?, 16).ok()?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return after.get(width..);
        }
        _ => return None,
    };
    out.push(simple);
    match kind {
        'x' => after.get(2..),
        '0'..='7' => rest.get(3..),
        _ => Some(after),
    }
}

/// Parses a signed integer in `base`; the error is Go's text.
pub fn parse_int(text: &str, base: u32) -> Result<i64, String> {
    i64::from_str_radix(text, base).map_err(|error| int_error("ParseInt", text, &error))
}

/// Parses an unsigned integer in `base`; the error is Go's text.
pub fn parse_uint(text: &str, base: u32) -> Result<u64, String> {
    u64::from_str_radix(text, base).map_err(|error| int_error("ParseUint", text, &error))
}

fn int_error(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {why}", quote(text.as_bytes()))
}

/// Parses a boolean as Go's flags do.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_go_does() {
        for (text, millis) in
            [("5s", 5_000), ("300ms", 300), ("1.5h", 5_400_000), ("2h45m", 9_900_000), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("x"), Err("time: invalid duration \"x\"".into()));
        assert_eq!(parse_duration("5"), Err("time: missing unit in duration \"5\"".into()));
        for (nanos, text) in [
            (2_987_616, "2.987616ms"),
            (5_000_310_504, "5.000310504s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (63_233, "63.233µs"),
            (7, "7ns"),
            (0, "0s"),
        ] {
            assert_eq!(format_duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quote(b"x\x01\xff\ny"), r#""x\x01\xff\ny""#);
        assert_eq!(quote("é \u{a0}\"\\'".as_bytes()), "\"é \\u00a0\\\"\\\\'\"");
    }

    #[test]
    fn unquotes_what_it_quotes() {
        fn holds(bytes: Vec<u8>) -> bool {
            unquote_prefix(&(quote(&bytes) + " tail")) == Some((bytes, " tail"))
        }
        quickcheck::quickcheck(holds as fn(Vec<u8>) -> bool);
        assert_eq!(unquote_prefix("`a\\n`b"), Some((b"a\\n".to_vec(), "b")));
        assert_eq!(unquote_prefix("\"open"), None);
        assert_eq!(unquote_prefix("plain"), None);
    }

    #[test]
    fn bad_integers_say_what_go_says() {
        assert_eq!(parse_int("zz", 16), Err("strconv.ParseInt: parsing \"zz\": invalid syntax".into()));
        assert_eq!(
            parse_int("99999999999999999999", 10),
            Err("strconv.ParseInt: parsing \"99999999999999999999\": value out of range".into())
        );
        assert_eq!(parse_uint("b5179d13d0285315", 16), Ok(0xb5179d13d0285315));
    }
}
