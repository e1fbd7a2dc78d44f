//! Amounts: what is read, and what is refused rather than rounded.

use crate::unit::amount::{cpu, duration, memory};
use quickcheck::quickcheck;

#[test]
fn memory_is_in_units_of_1024() {
    let table = [
        ("0", 0),
        ("1073741824", 1 << 30),
        ("512M", 512 << 20),
        ("512 M", 512 << 20),
        ("1.5G", 3 << 29),
        ("1.5GiB", 3 << 29),
        ("2kB", 2048),
        ("0.5K", 512),
        ("1T", 1 << 40),
        ("16B", 16),
    ];
    for (text, bytes) in table {
        assert_eq!(memory(text), Ok(bytes), "{text}");
    }
    for text in
        ["", "M", "-1", "1.0.0", "1X", "0.3", "1.", ".5G", "1e3", "20000P", "99999999999999999999", "1 M M"]
    {
        assert!(memory(text).is_err(), "{text}");
    }
}

#[test]
fn processors_are_in_thousandths() {
    for (text, millis) in [("2", 2000), ("0.5", 500), ("500m", 500), ("1.234", 1234), ("0", 0)] {
        assert_eq!(cpu(text), Ok(millis), "{text}");
    }
    for text in ["", "0.0001", "0.5m", "1c", "-1", "half", "m"] {
        assert!(cpu(text).unwrap_err().contains("500m"), "{text}");
    }
}

#[test]
fn times_are_spelled_as_for_systemd() {
    let table = [
        ("10s", 10_000),
        ("5min", 300_000),
        ("90", 90_000),
        ("1h 30min", 5_400_000),
        ("1h30m", 5_400_000),
        ("1.5 s", 1_500),
        ("250ms", 250),
        ("1d", 86_400_000),
        ("0", 0),
    ];
    for (text, millis) in table {
        assert_eq!(duration(text).map(|time| time.as_millis()), Ok(millis), "{text}");
    }
    for text in ["", " ", "s", "-1s", "10 parsecs", "1s,2s", "infinity", "99999999999999w", "10é"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

quickcheck! {
    fn nothing_panics(text: String) -> bool {
        let _ = (memory(&text), cpu(&text), duration(&text));
        true
    }

    fn numbers_come_back(number: u32) -> bool {
        memory(&format!("{number}K")) == Ok(u64::from(number) * 1024)
            && cpu(&format!("{}.{:03}", number / 1000, number % 1000)) == Ok(u64::from(number))
            && duration(&format!("{number}ms")).map(|time| time.as_millis()) == Ok(u128::from(number))
    }
}
