//! Page tokens: where a listing goes on.
//!
//! fleet's token is four bytes, the server's page limit and the number of the page, both 16-bit numbers with the low byte
//! first, in URL-safe base64. Page N then means that N-1 pages are read and thrown away. Here the name of the last row
//! follows those four bytes, so that a page is read from the key behind it: a listing costs one pass whatever its length, and no
//! row appears twice when others come and go. A token of four bytes alone, as somebody may have kept it from fleet, is
//! understood too.

use super::error::ApiError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

/// The longest token that is looked at, in bytes of base64: two names of 256 bytes and some.
const TOKEN_BYTES_MAX: usize = 1_024;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// Rows on a page. A token of another server setting is refused.
    pub limit: u16,
    /// The number of the page, from 1; stays at its greatest value beyond that.
    pub page: u16,
    /// The last row of the page before; `None` in a token as fleet made them.
    pub after: Option<String>,
}

impl PageToken {
    /// The first page.
    pub fn first(limit: u16) -> PageToken {
        PageToken { limit, page: 1, after: None }
    }

    /// The page behind this one, whose last row is `last`.
    pub fn next(&self, last: &str) -> PageToken {
        PageToken { limit: self.limit, page: self.page.saturating_add(1), after: Some(last.into()) }
    }

    /// The rows to skip from the beginning, for a token that names no row.
    pub fn skip(&self) -> usize {
        match &self.after {
            Some(_) => 0,
            None => usize::from(self.limit) * usize::from(self.page.saturating_sub(1)),
        }
    }

    /// The token as text.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        bytes.extend(self.limit.to_le_bytes());
        bytes.extend(self.page.to_le_bytes());
        bytes.extend(self.after.as_deref().unwrap_or_default().as_bytes());
        URL_SAFE.encode(bytes)
    }

    /// Reads a token; its limit must be the server's.
    pub fn decode(text: &str, limit: u16) -> Result<PageToken, ApiError> {
        let wrong = || {
            ApiError::bad(format!(
                "nextPageToken {text:?} was not made by this server: begin anew without it"
            ))
        };
        if text.len() > TOKEN_BYTES_MAX {
            return Err(wrong());
        }
        let bytes = URL_SAFE.decode(text).map_err(|_| wrong())?;
        let (head, tail) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        let number = |low: u8, high: u8| u16::from_le_bytes([low, high]);
        let after = std::str::from_utf8(tail).map_err(|_| wrong())?;
        let after = (!after.is_empty()).then(|| after.to_string());
        let token = PageToken { limit: number(head[0], head[1]), page: number(head[2], head[3]), after };
        if token.limit != limit {
            let message = format!(
                "nextPageToken is of pages of {} rows, this server has {limit}: begin anew without it",
                token.limit
            );
            return Err(ApiError::bad(message));
        }
        if token.page == 0 {
            return Err(wrong());
        }
        Ok(token)
    }
}
