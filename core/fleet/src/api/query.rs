//! The query of a request: names with values, percent-decoded, each name at most once where it matters.

use super::error::ApiError;

/// The parameters of a request, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the text behind the question mark.
    pub fn parse(text: &str) -> Result<Query, ApiError> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        });
        Ok(Query(pairs.collect::<Result<_, ApiError>>()?))
    }

    /// The one value of a name; `None` when it is not there or empty. Twice is a mistake of the caller.
    pub fn one(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            Some(_) => {
                Err(ApiError::bad(format!("the parameter {name} is given more than once: give it once")))
            }
            None => Ok(first.filter(|value| !value.is_empty())),
        }
    }

    /// A switch: absent is false, and its name alone is true.
    pub fn switch(&self, name: &str) -> Result<bool, ApiError> {
        if !self.0.iter().any(|(key, _)| key == name) {
            return Ok(false);
        }
        match self.one(name)? {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(ApiError::bad(format!("{name}={other:?} is neither true nor false"))),
        }
    }

    /// A number, or `default`.
    pub fn number(&self, name: &str, default: u32) -> Result<u32, ApiError> {
        self.one(name)?.map_or(Ok(default), |text| {
            text.parse()
                .map_err(|_| ApiError::bad(format!("{name}={text:?} is not a number from 0 to {}", u32::MAX)))
        })
    }
}

/// Undoes percent-encoding.
pub fn decode(text: &str) -> Result<String, ApiError> {
    let wrong = || ApiError::bad(format!("{text:?} is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(wrong);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}
