//! Bearer tokens: who may speak to the API over TCP.
//!
//! The file holds one token a line; blank lines and lines that begin with `#` do not count. Which token was sent is found
//! by comparing it with every one, each in time that depends on lengths only, so that the answer's time tells nothing about
//! how much of a guess was right.

use super::EdgeError;
use std::path::Path;
use std::sync::{Arc, RwLock};

/// The shortest token that is accepted, in bytes: a shorter one can be guessed.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The tokens in force. Clones share them, so that a changed file can be read again while the server runs.
#[derive(Clone)]
pub struct Tokens(Arc<RwLock<Vec<Vec<u8>>>>);

impl Tokens {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Tokens, EdgeError> {
        Ok(Tokens(Arc::new(RwLock::new(read(path)?))))
    }

    /// Reads the file again; when that fails, what was in force stays.
    pub fn read_again(&self, path: &Path) -> Result<(), EdgeError> {
        *self.0.write().expect("no holder panics") = read(path)?;
        Ok(())
    }

    /// The first token: what this machine shows to others.
    pub fn own(&self) -> String {
        let tokens = self.0.read().expect("no holder panics");
        String::from_utf8(tokens[0].clone()).expect("tokens are checked to be ASCII")
    }

    /// Whether an Authorization header holds a token.
    pub fn admit(&self, authorization: Option<&[u8]>) -> bool {
        let sent = authorization.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
        });
        let Some(sent) = sent else { return false };
        let tokens = self.0.read().expect("no holder panics");
        // Every token is compared, whichever matched.
        tokens.iter().fold(false, |admitted, token| admitted | same(token, sent))
    }
}

fn read(path: &Path) -> Result<Vec<Vec<u8>>, EdgeError> {
    let wrong = |why: String| EdgeError(format!("api_tokens_file={}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let token = line.trim();
        if token.is_empty() || token.starts_with('#') {
            continue;
        }
        if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let number = number + 1;
            return Err(wrong(format!(
                "line {number}: a token has at least {TOKEN_BYTES_MIN} printable ASCII characters"
            )));
        }
        tokens.push(token.as_bytes().to_vec());
    }
    if tokens.is_empty() {
        return Err(wrong("no token in it: write one a line, or leave the option out".into()));
    }
    Ok(tokens)
}

/// Equality in time that depends on the lengths only.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (a, b)| sum | std::hint::black_box(a ^ b));
    std::hint::black_box(difference) == 0 && one.len() == other.len()
}
