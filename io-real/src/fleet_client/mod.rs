//! A client of fleet's HTTP API: of `orlop fleetd`, and of fleet 1.0, whose API is a part of it.
//!
//! A call is a [`Request`] given to a [`Transport`]; [`FleetClient`] knows the paths and the shapes. The transport of every day is
//! [`http::HttpTransport`]: HTTP/1.1 over a unix socket, TCP, TLS, or the standard streams of a program such as ssh. Another
//! may answer from the same process. What a server leaves out is empty here, what it says beyond is kept ([`schema`]), so a
//! client and a server of different versions understand each other as far as they can.

mod calls;
mod endpoint;
mod http;
pub mod schema;

pub use crate::tls::TlsFiles;
pub use calls::{FleetClient, escape};
pub use endpoint::{Endpoint, Place};
pub use http::{HttpTransport, Options};

use bytes::Bytes;
use kernel::BoxFuture;
use std::fmt;

/// The path under which the API is found.
pub const ROOT: &str = "/fleet/v1";

/// One call.
#[derive(Clone, Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: ::http::Method,
    /// Path and query, encoded.
    pub target: String,
    /// JSON, if the method wants a body.
    pub body: Option<Vec<u8>>,
}

/// The answer to a call.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Header fields, names in lower case, those that are not text left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn Chunks>,
}

/// A body in pieces, which may come over hours.
pub trait Chunks: Send {
    /// The next piece, never empty; none at the end. Cancel-safe.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ClientError>>>;
}

/// What carries calls to a server.
pub trait Transport: Send + Sync {
    /// Sends a call; ready when the answer's head is there.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Answer, ClientError>>;

    /// The server's address, for texts.
    fn endpoint(&self) -> String;
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The settings are wrong: nothing was tried.
    Settings(String),
    /// No connection, or it was lost: unknown whether the call was carried out if it changes something.
    Unreachable {
        /// The server's address.
        endpoint: String,
        /// What went wrong.
        why: String,
    },
    /// The server said no.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words, or else those of the status.
        message: String,
    },
    /// The server's answer is not one of this API.
    Garbled(String),
}

impl ClientError {
    /// The HTTP status of a refusal, 0 for another failure.
    pub fn status(&self) -> u16 {
        match self {
            ClientError::Refused { status, .. } => *status,
            _ => 0,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Settings(text) | ClientError::Garbled(text) => f.write_str(text),
            ClientError::Unreachable { endpoint, why } => {
                write!(f, "cannot reach fleetd at {endpoint}: {why}")
            }
            ClientError::Refused { status, message } => write!(f, "{message} (HTTP status {status})"),
        }
    }
}

impl std::error::Error for ClientError {}
