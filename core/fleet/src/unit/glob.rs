//! Globs over names of units and values of metadata: the patterns of Go's `path.Match`, which fleet used.
//!
//! ```text
//! *        any characters, but no slash
//! ?        any one character, but no slash
//! [a-z_]   one of these characters; [^a-z] one that is not; neither a "-" nor a "]" stands for itself without "\"
//! \c       the character c
//! ```
//!
//! The pattern must match the whole text. A malformed pattern matches nothing but itself; [`check`] tells what is wrong with it,
//! so that it is refused before it is used. A pattern also matches the text that it is, letter by letter: names of units may have a
//! backslash (`dev-\x2dsda.device`), and must be able to stand for themselves.
//!
//! Matching needs no memory and never goes back further than the last star, as in Go.

/// The longest pattern, in bytes: four times the longest name. It bounds the time that a match takes.
pub const PATTERN_LENGTH_MAX: usize = 1024;

/// One step of a pattern.
enum Token<'a> {
    Star,
    AnyChar,
    Literal(char),
    /// What stands between the brackets, known to be well-formed.
    Class {
        negated: bool,
        ranges: &'a str,
    },
}

/// Whether a pattern matches a text.
pub fn matches(pattern: &str, text: &str) -> bool {
    pattern == text || matches_by_rule(pattern, text)
}

/// Whether some pattern of a list matches a text.
pub fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whether a pattern can match more than one text.
pub fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '['])
}

/// Looks whether a pattern is well-formed.
///
/// # Errors
/// With what is wrong with it.
pub fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > PATTERN_LENGTH_MAX {
        return Err(format!("{} bytes are too long: {PATTERN_LENGTH_MAX} are allowed", pattern.len()));
    }
    let mut rest = pattern;
    while let Some((_, after)) = token(rest)? {
        assert!(after.len() < rest.len(), "a token takes a character at least");
        rest = after;
    }
    Ok(())
}

fn matches_by_rule(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // After the last star: the pattern that follows it, and the text from where that was tried last.
    let mut last_star: Option<(&str, &str)> = None;
    loop {
        // A match takes the whole pattern, so there is none for a malformed one.
        let Ok(step) = token(pattern) else { return false };
        match step {
            None if text.is_empty() => return true,
            Some((Token::Star, after)) => {
                last_star = Some((after, text));
                pattern = after;
                continue;
            }
            Some((token, after)) => {
                if let Some(rest) = one(&token, text) {
                    (pattern, text) = (after, rest);
                    continue;
                }
            }
            None => {}
        }
        // The star takes one character more, if it may.
        let Some((after, tried)) = last_star else { return false };
        let Some(rest) = one(&Token::AnyChar, tried) else { return false };
        assert!(rest.len() < tried.len(), "a star takes more each time, so that matching ends");
        last_star = Some((after, rest));
        (pattern, text) = (after, rest);
    }
}

/// The text after its first character, if the token matches that.
fn one<'a>(token: &Token<'_>, text: &'a str) -> Option<&'a str> {
    let char = text.chars().next()?;
    let fits = match token {
        Token::Star => unreachable!("a star is no single character"),
        Token::AnyChar => char != '/',
        Token::Literal(literal) => char == *literal,
        Token::Class { negated, ranges } => in_class(ranges, char) != *negated,
    };
    fits.then(|| &text[char.len_utf8()..])
}

fn in_class(ranges: &str, char: char) -> bool {
    let mut rest = ranges;
    while !rest.is_empty() {
        let (low, high, after) = range(rest).expect("the class was checked");
        assert!(after.len() < rest.len(), "a range takes a character at least");
        if (low..=high).contains(&char) {
            return true;
        }
        rest = after;
    }
    false
}

/// The first token of a pattern and what follows it; none at the end.
fn token(pattern: &str) -> Result<Option<(Token<'_>, &str)>, String> {
    let mut chars = pattern.chars();
    let token = match chars.next() {
        None => return Ok(None),
        Some('*') => Token::Star,
        Some('?') => Token::AnyChar,
        Some('[') => return class(chars.as_str()).map(Some),
        Some('\\') => Token::Literal(chars.next().ok_or("a backslash at the end stands before nothing")?),
        Some(literal) => Token::Literal(literal),
    };
    Ok(Some((token, chars.as_str())))
}

/// Reads a class whose opening bracket is read already.
fn class(pattern: &str) -> Result<(Token<'_>, &str), String> {
    let (negated, ranges) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let mut rest = ranges;
    while rest.len() == ranges.len() || !rest.starts_with(']') {
        (_, _, rest) = range(rest)?;
    }
    let ranges = &ranges[..ranges.len() - rest.len()];
    assert!(!ranges.is_empty() && rest.starts_with(']'), "a class has a range at least, and an end");
    Ok((Token::Class { negated, ranges }, &rest[1..]))
}

/// The first range of a class: its lowest and highest character, and what follows.
fn range(text: &str) -> Result<(char, char, &str), String> {
    let (low, rest) = class_char(text)?;
    let Some(after) = rest.strip_prefix('-') else { return Ok((low, low, rest)) };
    let (high, rest) = class_char(after)?;
    Ok((low, high, rest))
}

fn class_char(text: &str) -> Result<(char, &str), String> {
    let mut chars = text.chars();
    let char = match chars.next() {
        None => return Err("a \"[\" is not closed by \"]\"".into()),
        Some(char @ ('-' | ']')) => {
            return Err(format!("{char:?} must be written \"\\{char}\" at that place of a [...]"));
        }
        Some('\\') => chars.next().ok_or("a backslash at the end stands before nothing")?,
        Some(char) => char,
    };
    Ok((char, chars.as_str()))
}
