//! Amounts as people write them: `1.5G` of memory, `500m` of a processor, `5min`.
//!
//! All are decimal numbers with a unit. They are counted exactly, in whole bytes, thousandths of a core and microseconds: what
//! would be lost by rounding is refused.

use std::time::Duration;

/// Digits after the point that are understood.
const FRACTION_DIGITS_MAX: usize = 9;

/// Units of memory: of 1024, as systemd has it, with or without `B` or `iB`.
const MEMORY_UNITS: [(&str, u64); 6] =
    [("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40), ("P", 1 << 50)];

/// Units of time, in microseconds, as systemd spells them. A number without one is in seconds.
const TIME_UNITS: [(&str, u64); 23] = [
    ("", 1_000_000),
    ("us", 1),
    ("usec", 1),
    ("ms", 1_000),
    ("msec", 1_000),
    ("s", 1_000_000),
    ("sec", 1_000_000),
    ("second", 1_000_000),
    ("seconds", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("minute", 60_000_000),
    ("minutes", 60_000_000),
    ("h", 3_600_000_000),
    ("hr", 3_600_000_000),
    ("hour", 3_600_000_000),
    ("hours", 3_600_000_000),
    ("d", 86_400_000_000),
    ("day", 86_400_000_000),
    ("days", 86_400_000_000),
    ("w", 604_800_000_000),
    ("week", 604_800_000_000),
    ("weeks", 604_800_000_000),
];

/// Reads an amount of memory in bytes: `512M`, `1.5G`, `1073741824`.
///
/// # Errors
/// With what would be right.
pub fn memory(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let unit = unit.strip_suffix("iB").or(unit.strip_suffix('B')).unwrap_or(unit).to_ascii_uppercase();
    let known = MEMORY_UNITS.iter().find(|(name, _)| *name == unit);
    known.and_then(|(_, bytes)| scale(number, *bytes)).ok_or_else(|| {
        "write a whole number of bytes, or a number with K, M, G, T or P (of 1024), as in 512M or 1.5G".into()
    })
}

/// Reads processor time in thousandths of a core: `2`, `0.5`, `500m`.
///
/// # Errors
/// With what would be right.
pub fn cpu(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let millis = match unit {
        "" => scale(number, 1000),
        "m" => scale(number, 1),
        _ => None,
    };
    millis.ok_or_else(|| "write cores or thousandths of a core, as in 2, 0.5 or 500m".into())
}

/// Reads a span of time: `10s`, `5min`, `1h 30min`, `90` (seconds).
///
/// # Errors
/// With what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a span of time, as in 10s, 5min or 1h 30min".to_string();
    let mut rest = text.trim();
    let mut micros: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !is_number(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let known = TIME_UNITS.iter().find(|(name, _)| *name == unit);
        let part = known.and_then(|(_, micros)| scale(number, *micros)).ok_or_else(wrong)?;
        micros = micros.checked_add(part).ok_or_else(wrong)?;
        assert!(after.len() < rest.len(), "each turn reads a number at least");
        rest = after.trim_start();
    }
    Ok(Duration::from_micros(micros))
}

fn is_number(char: char) -> bool {
    char.is_ascii_digit() || char == '.'
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    assert!(!text.starts_with(char::is_whitespace), "blanks are trimmed");
    let (number, unit) = text.split_at(text.find(|c: char| !is_number(c)).unwrap_or(text.len()));
    (number, unit.trim_start())
}

/// A decimal number times a unit, if that is a whole number.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let one = 10_u128.pow(FRACTION_DIGITS_MAX as u32);
    let fraction: u128 = format!("{fraction:0<FRACTION_DIGITS_MAX$}").parse().ok()?;
    assert!(fraction < one, "a fraction is less than one");
    let scaled = u128::from(whole.parse::<u64>().ok()?).checked_mul(one)?.checked_add(fraction)?;
    let product = scaled.checked_mul(u128::from(unit))?;
    if product % one == 0 { u64::try_from(product / one).ok() } else { None }
}
