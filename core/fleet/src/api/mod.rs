//! What clients see: fleet's HTTP API, version 1, as a function of requests over the registry, and what was added since.
//!
//! A [`Request`] is a value and a [`Response`] is one, so HTTP itself, sockets and TLS are somebody else's
//! (io-real's `fleet` edge), and a test needs none of them. [`route`] finds the resource, [`schema`] has the documents,
//! [`token`] makes the pages of a listing; each page is read from the key behind the last one's, so that a
//! listing of any length is one pass over the keys and holds one page in memory.

mod discovery;
pub mod error;
pub mod message;
pub mod patch;
pub mod query;
pub mod route;
pub mod schema;
#[cfg(test)]
mod tests;
pub mod token;

pub use error::ApiError;
pub use message::{Body, Request, Response, Service};
pub use schema::*;
