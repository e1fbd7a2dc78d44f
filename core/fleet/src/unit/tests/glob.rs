//! Globs: Go's rules, its errors, and a slow model that tries everything.

use crate::unit::glob::{check, is_literal, matches, matches_any};
use quickcheck::{Arbitrary, Gen, quickcheck};

#[test]
fn rules() {
    // Most are Go's own cases of path.Match.
    let table = [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-x]", "-", true),
        ("[x\\-]", "z", false),
        ("*x", "xxx", true),
        ("", "", true),
        ("", "a", false),
        ("web@*.service", "web@1.service", true),
        ("web@[!1].service", "web@!.service", true),
        (r"dev-\x2da.device", r"dev-\x2da.device", true),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(check(pattern), Ok(()), "{pattern}");
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn malformed_patterns_match_nothing() {
    for pattern in
        ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "[^]", "a[", "*[", "[a\\", "\\", "a\\"]
    {
        assert!(check(pattern).is_err(), "{pattern}");
        assert!(!matches(pattern, "a") && !matches(pattern, "]"), "{pattern}");
    }
    assert_eq!(check("a[b"), Err("a \"[\" is not closed by \"]\"".into()));
    assert_eq!(check("[a-]"), Err("']' must be written \"\\]\" at that place of a [...]".into()));
}

#[test]
fn lists_and_literals() {
    let globs = ["a*".to_string(), "b".to_string()];
    assert!(matches_any(&globs, "ax") && matches_any(&globs, "b") && !matches_any(&globs, "c"));
    assert!(!matches_any(&[], "a"));
    assert!(is_literal("a.service") && !is_literal("a?") && !is_literal("[a]") && !is_literal("*"));
}

#[test]
fn stars_do_not_make_it_slow() {
    let pattern = "*a".repeat(60) + "b";
    assert!(!matches(&pattern, &"a".repeat(5000)));
}

/// A text of few different characters, so that patterns hit.
#[derive(Clone, Debug)]
struct Few(String);

impl Arbitrary for Few {
    fn arbitrary(g: &mut Gen) -> Self {
        let length = usize::arbitrary(g) % 9;
        Few((0..length).map(|_| *g.choose(&['a', 'b', 'é', '-', ']', '*']).unwrap()).collect())
    }
}

/// A pattern, often well-formed.
#[derive(Clone, Debug)]
struct Pattern(String);

impl Arbitrary for Pattern {
    fn arbitrary(g: &mut Gen) -> Self {
        const PIECES: [&str; 16] = [
            "a", "b", "é", "*", "*", "?", "[ab]", "[^a]", "[a-b]", "[é]", "\\*", "\\a", "[b-a]", "[\\]]",
            "[", "-",
        ];
        let length = usize::arbitrary(g) % 8;
        Pattern((0..length).map(|_| *g.choose(&PIECES).unwrap()).collect())
    }
}

/// The same rules, written for clearness alone: every way in which a star can be taken is tried. Texts have no slash.
fn model(pattern: &[char], text: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    let tail = |rest: &[char]| !text.is_empty() && model(rest, &text[1..]);
    match first {
        '*' => (0..=text.len()).any(|taken| model(rest, &text[taken..])),
        '?' => tail(rest),
        '\\' => text.first() == rest.first() && tail(&rest[1..]),
        '[' => {
            let negated = rest.first() == Some(&'^');
            let mut rest = &rest[usize::from(negated)..];
            let mut hit = false;
            let mut count = 0;
            while count == 0 || rest[0] != ']' {
                let low = model_char(&mut rest);
                let high = if rest[0] == '-' { model_char(&mut &rest[1..]) } else { low };
                if rest[0] == '-' {
                    rest = &rest[1..];
                    model_char(&mut rest);
                }
                hit |= text.first().is_some_and(|char| (low..=high).contains(char));
                count += 1;
            }
            hit != negated && tail(&rest[1..])
        }
        literal => text.first() == Some(literal) && tail(rest),
    }
}

fn model_char(rest: &mut &[char]) -> char {
    let escaped = usize::from(rest[0] == '\\');
    let char = rest[escaped];
    *rest = &rest[escaped + 1..];
    char
}

quickcheck! {
    fn agrees_with_the_model(pattern: Pattern, text: Few) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<char>>();
        let expected = check(&pattern.0).is_ok() && model(&chars(&pattern.0), &chars(&text.0));
        matches(&pattern.0, &text.0) == (expected || pattern.0 == text.0)
    }

    fn any_pattern_is_taken_or_refused(pattern: String, text: String) -> bool {
        check(&pattern).is_ok() || matches(&pattern, &text) == (pattern == text)
    }

    fn an_escaped_text_matches_itself_alone(text: Few, other: Few) -> bool {
        let escaped: String = text.0.chars().flat_map(|char| ['\\', char]).collect();
        matches(&escaped, &text.0) && (matches(&escaped, &other.0) == (text.0 == other.0 || escaped == other.0))
    }
}
