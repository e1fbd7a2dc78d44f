//! Requests and responses of the API as values: whoever speaks HTTP converts, and nothing in here knows a socket.

use super::error::ApiError;
use crate::local::Lines;
use kernel::BoxFuture;
use serde::Serialize;

/// The media type of everything that is not a text for people.
pub const JSON: &str = "application/json";

/// The media type of what `journalctl` and `systemctl` print.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path as it was sent: still percent-encoded, without the query.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub query: String,
    /// The values of every Content-Type header.
    pub content_types: Vec<String>,
    /// The body, whole. Who reads it from the network bounds it.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub fn get(path: &str, query: &str) -> Request {
        Request { method: "GET".into(), path: path.into(), query: query.into(), ..Request::default() }
    }

    /// A request with a JSON body.
    pub fn json(method: &str, path: &str, body: &str) -> Request {
        Request {
            method: method.into(),
            path: path.into(),
            content_types: vec![JSON.into()],
            body: body.into(),
            ..Request::default()
        }
    }
}

/// A response.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers beside Content-Type and Content-Length.
    pub headers: Vec<(&'static str, String)>,
    /// What follows them.
    pub body: Body,
}

/// The body of a response.
pub enum Body {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(Vec<u8>),
    /// A text for people.
    Text(Vec<u8>),
    /// Pieces, as they come; the second field is their media type.
    Stream(Box<dyn Lines>, &'static str),
}

impl Response {
    /// A response without a body.
    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Body::Empty }
    }

    /// 200 and a document.
    pub fn ok(document: &impl Serialize) -> Response {
        Response::document(200, document)
    }

    /// A document with a status.
    pub fn document(status: u16, document: &impl Serialize) -> Response {
        let bytes = serde_json::to_vec(document).expect("the schema has string keys only");
        Response { status, headers: Vec::new(), body: Body::Json(bytes) }
    }

    /// The document, if it is one. For tests and for whoever looks into an answer.
    pub fn text(&self) -> &str {
        match &self.body {
            Body::Json(bytes) | Body::Text(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Body::Empty | Body::Stream(..) => "",
        }
    }
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Response {
        Response::document(error.code, &error.document())
    }
}

/// Whoever answers requests.
pub trait Service: Send + Sync {
    /// Answers one request. Never fails: a failure is a response too.
    fn handle(&self, request: Request) -> BoxFuture<'_, Response>;
}

/// The APIs of other machines.
pub trait Peers: Send + Sync {
    /// Asks the API at `api` (`http://HOST:PORT` or `https://HOST:PORT`) the same, as a forwarded request. An error is a text
    /// that says what did not work; the other's refusal is a response.
    fn ask<'a>(&'a self, api: &'a str, request: &'a Request) -> BoxFuture<'a, Result<Response, String>>;
}
