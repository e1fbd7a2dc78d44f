//! The APIs of other machines, asked on somebody's behalf.

use super::{EdgeError, Tokens};
use crate::fleet_client::{
    Answer, Chunks, Endpoint, HttpTransport, Options, Request as Call, TlsFiles, Transport,
};
use fleet::api::{Body, FORWARDED, Peers, Request, Response};
use fleet::local::Lines;
use kernel::BoxFuture;
use std::path::PathBuf;
use std::time::Duration;

/// Longest time to make a connection, and from a call to the head of its answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of an answer that is not a stream; more is cut.
const BODY_BYTES_MAX: usize = 4 << 20;

/// How other machines are asked.
#[derive(Clone)]
pub struct HttpPeers {
    /// Authority of their certificates; that of the system if none is given.
    pub authority: Option<PathBuf>,
    /// This machine's certificate and key, where clients must have one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The tokens, of which the first is shown.
    pub tokens: Option<Tokens>,
}

impl HttpPeers {
    fn transport(&self, api: &str) -> Result<HttpTransport, EdgeError> {
        let wrong = |error: crate::fleet_client::ClientError| EdgeError(error.to_string());
        let (certificate, key) = self.identity.clone().unzip();
        HttpTransport::new(Options {
            endpoint: Endpoint::parse(api).map_err(wrong)?,
            through: None,
            tls: TlsFiles { authorities: self.authority.clone(), certificate, key, skip_verify: false },
            token: self.tokens.as_ref().map(Tokens::own),
            dial_timeout: DIAL_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
        })
        .map_err(wrong)
    }

    async fn forward(&self, api: &str, request: &Request) -> Result<Response, String> {
        let transport = self.transport(api).map_err(|error| error.to_string())?;
        let method = request.method.parse().map_err(|_| format!("{} is no method", request.method))?;
        let joint = if request.query.is_empty() { "" } else { "&" };
        let target = format!("{}?{}{joint}{FORWARDED}=true", request.path, request.query);
        let answer =
            transport.send(Call { method, target, body: None }).await.map_err(|error| error.to_string())?;
        respond(answer).await
    }
}

impl Peers for HttpPeers {
    fn ask<'a>(&'a self, api: &'a str, request: &'a Request) -> BoxFuture<'a, Result<Response, String>> {
        Box::pin(self.forward(api, request))
    }
}

/// Their answer as ours: a text with its exit code, a stream as it comes, a refusal as it is.
async fn respond(mut answer: Answer) -> Result<Response, String> {
    let field =
        |name: &str| answer.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let code = field("fleet-exit-code").map(|code| ("fleet-exit-code", code));
    let status = answer.status;
    if status == 200 && code.is_none() {
        return Ok(Response {
            status,
            headers: Vec::new(),
            body: Body::Stream(Box::new(Pieces(answer.body)), fleet::api::message::TEXT),
        });
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.body.next().await {
        bytes.extend(piece.map_err(|error| error.to_string())?);
        bytes.truncate(BODY_BYTES_MAX);
    }
    let body = if status == 200 { Body::Text(bytes) } else { Body::Json(bytes) };
    Ok(Response { status, headers: code.into_iter().collect(), body })
}

struct Pieces(Box<dyn Chunks>);

impl Lines for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move { self.0.next().await?.ok().map(|bytes| bytes.to_vec()) })
    }
}
