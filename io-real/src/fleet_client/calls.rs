//! The calls of the API, one function each.

use super::schema::{ErrorBody, Machine, Page, Unit, UnitState};
use super::{Answer, ClientError, ROOT, Request, Transport};
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Longest body that is read whole, in bytes. A page holds a hundred rows; only streams are longer.
const MAX_BODY_BYTES: usize = 64 << 20;

/// A client of one server. Cheap to clone.
#[derive(Clone)]
pub struct FleetClient {
    transport: Arc<dyn Transport>,
}

impl FleetClient {
    /// A client over this transport.
    pub fn new(transport: Arc<dyn Transport>) -> FleetClient {
        FleetClient { transport }
    }

    /// The server's address, for texts.
    pub fn endpoint(&self) -> String {
        self.transport.endpoint()
    }

    /// Every unit, by name.
    pub async fn units(&self) -> Result<Vec<Unit>, ClientError> {
        self.list("units", "").await
    }

    /// One unit, if there is such a one.
    pub async fn unit(&self, name: &str) -> Result<Option<Unit>, ClientError> {
        maybe(self.json(Method::GET, &format!("units/{}", escape(name)), None).await)
    }

    /// Creates a unit, or replaces its contents.
    pub async fn put_unit(&self, unit: &Unit) -> Result<(), ClientError> {
        let document =
            json!({ "name": unit.name, "options": unit.options, "desiredState": unit.desired_state });
        self.done(Method::PUT, &format!("units/{}", escape(&unit.name)), Some(document)).await
    }

    /// Says what is wanted of a unit: inactive, loaded, launched.
    pub async fn set_desired(&self, name: &str, state: &str) -> Result<(), ClientError> {
        let document = json!({ "name": name, "desiredState": state });
        self.done(Method::PUT, &format!("units/{}", escape(name)), Some(document)).await
    }

    /// Takes a unit out of the cluster. Returns whether there was one.
    pub async fn destroy(&self, name: &str) -> Result<bool, ClientError> {
        let done = self.done(Method::DELETE, &format!("units/{}", escape(name)), None).await;
        maybe(done).map(|found| found.is_some())
    }

    /// What machines say of their units, by unit and machine; of one unit if `unit` is not empty.
    pub async fn states(&self, unit: &str) -> Result<Vec<UnitState>, ClientError> {
        let filter = if unit.is_empty() { String::new() } else { format!("unitName={}", escape(unit)) };
        self.list("state", &filter).await
    }

    /// The live machines, by id.
    pub async fn machines(&self) -> Result<Vec<Machine>, ClientError> {
        self.list("machines", "").await
    }

    /// A call with a JSON answer. `path` is below [`ROOT`]; names in it are escaped ([`escape`]).
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, ClientError> {
        let bytes = whole(self.call(method, path, body).await?).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::Garbled(format!("the answer to {ROOT}/{path} is not understood: {error}"))
        })
    }

    /// A call whose answer says nothing beyond that it was done.
    pub async fn done(&self, method: Method, path: &str, body: Option<Value>) -> Result<(), ClientError> {
        whole(self.call(method, path, body).await?).await.map(|_| ())
    }

    /// A call whose answer is read piece by piece. What is not 2xx is an error.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<impl Serialize>,
    ) -> Result<Answer, ClientError> {
        let body = body.map(|body| serde_json::to_vec(&body).expect("a value with text keys"));
        let answer = self.transport.send(Request { method, target: format!("{ROOT}/{path}"), body }).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let status = answer.status;
        let bytes = whole(answer).await?;
        let said = serde_json::from_slice::<ErrorBody>(&bytes).map(|body| body.error.message);
        let message = said.ok().filter(|message| !message.is_empty()).unwrap_or_else(|| {
            let code = http::StatusCode::from_u16(status).ok();
            code.and_then(|code| code.canonical_reason()).unwrap_or("refused without a word").to_string()
        });
        Err(ClientError::Refused { status, message })
    }

    async fn list<T: DeserializeOwned>(&self, what: &str, filter: &str) -> Result<Vec<T>, ClientError> {
        let mut rows = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = filter.to_string();
            if !token.is_empty() {
                let joint = if query.is_empty() { "" } else { "&" };
                query += &format!("{joint}nextPageToken={}", escape(&token));
            }
            let path = if query.is_empty() { what.to_string() } else { format!("{what}?{query}") };
            let mut page: Page = self.json(Method::GET, &path, None).await?;
            let collection = if what == "state" { "states" } else { what };
            if let Some(found) = page.rows.remove(collection).filter(|found| !found.is_null()) {
                let garbled = |error| ClientError::Garbled(format!("{ROOT}/{path}: {error}"));
                rows.extend(serde_json::from_value::<Vec<T>>(found).map_err(garbled)?);
            }
            if page.next.is_empty() {
                return Ok(rows);
            }
            if page.next == token {
                return Err(ClientError::Garbled(format!("{ROOT}/{path}: the next page is this page")));
            }
            token = page.next;
        }
    }
}

/// No such thing is an answer too.
fn maybe<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.status() == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// A body read to its end.
async fn whole(mut answer: Answer) -> Result<Vec<u8>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(ClientError::Garbled(format!("an answer of more than {MAX_BODY_BYTES} bytes")));
        }
    }
    Ok(bytes)
}

/// Percent-encodes what cannot stand in a path segment or a query value.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':' => {
                out.push(byte as char);
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_paths() {
        assert_eq!(escape("web@1.service"), "web@1.service");
        assert_eq!(escape(r"a\x2d b/c=ü"), "a%5Cx2d%20b%2Fc%3D%C3%BC");
    }
}
