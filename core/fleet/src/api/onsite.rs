//! `/units/NAME/journal` and `/units/NAME/status`: what only the machine that runs the unit can tell.
//!
//! If that is another machine and it says where its API is, it is asked on the client's behalf (once: a forwarded request is never
//! forwarded again). If it does not say, the answer is 409 with the machine's id and address, and the client goes there by
//! its own means.

use super::Api;
use super::error::ApiError;
use super::message::{Body, Request, Response, TEXT};
use super::query::Query;
use super::states::COPIES_MOST;
use crate::local::{JournalRequest, Local};
use crate::model::MachineId;
use crate::unit::UnitName;

/// Lines of a journal when the request does not say, as in fleetctl.
const LINES: u32 = 10;

/// The parameter by which one server tells another that it asks for somebody: it is answered there or not at all.
pub const FORWARDED: &str = "forwarded";

/// Lines of a journal that may be asked for at once; more are read by following.
const LINES_MAX: u32 = 100_000;

impl Api {
    pub(super) async fn get_journal(
        &self,
        name: &str,
        query: &Query,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let output = query.one("output")?.unwrap_or("short").to_string();
        if !output.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') || output.starts_with('-') {
            return Err(ApiError::bad(format!(
                "output={output:?} is no format of journalctl: short, json, cat, …"
            )));
        }
        let (lines, follow) = (query.number("lines", LINES)?, query.switch("follow")?);
        if lines > LINES_MAX {
            return Err(ApiError::bad(format!("lines={lines}: at most {LINES_MAX} at once")));
        }
        let (unit, here) = match self.place(name, query, request).await? {
            Where::Here(unit, here) => (unit, here),
            Where::There(response) => return Ok(response),
        };
        let asked = JournalRequest { unit: unit.to_string(), lines, follow, output };
        let journal = here.journal(asked).await?;
        Ok(Response { status: 200, headers: Vec::new(), body: Body::Stream(journal, TEXT) })
    }

    pub(super) async fn get_status(
        &self,
        name: &str,
        query: &Query,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let (unit, here) = match self.place(name, query, request).await? {
            Where::Here(unit, here) => (unit, here),
            Where::There(response) => return Ok(response),
        };
        let status = here.status(unit.as_str()).await?;
        let headers = vec![("fleet-exit-code", status.code.to_string())];
        Ok(Response { status: 200, headers, body: Body::Text(status.text) })
    }

    /// Finds the machine, and asks it if it is another one.
    async fn place(&self, name: &str, query: &Query, request: &Request) -> Result<Where<'_>, ApiError> {
        let (unit, _) = self.known(name).await?;
        let machine = self.which(&unit, query.one("machineID")?).await?;
        if machine == self.config.machine {
            let local = self.local.as_deref().ok_or_else(|| {
                ApiError::new(501, format!("machine {machine} does not offer journals and statuses"))
            })?;
            return Ok(Where::Here(unit, local));
        }
        let (_, record) = self.registry.machine(&machine).await?;
        let there = record.machine();
        let forwarded = query.switch(FORWARDED)?;
        let api = there.as_ref().and_then(|there| there.api.as_deref()).filter(|_| !forwarded);
        let Some((api, peers)) = api.zip(self.peers.as_deref()) else {
            let message = format!(
                "unit {unit} is on machine {machine}, whose API cannot be asked from here: go there by ssh"
            );
            let address = there.map(|there| there.primary_ip).unwrap_or_default();
            return Err(ApiError { machine: Some((machine, address)), ..ApiError::conflict(message) });
        };
        let answer = peers.ask(api, request).await;
        let unreachable =
            |why| ApiError::new(502, format!("machine {machine} at {api} does not answer: {why}"));
        answer.map(Where::There).map_err(unreachable)
    }

    /// The machine that is meant: the one asked for, else this one if it has a copy, else the only one.
    async fn which(&self, unit: &UnitName, asked: Option<&str>) -> Result<MachineId, ApiError> {
        let copies = self.copies(unit, None, COPIES_MOST).await?;
        let machines: Vec<&MachineId> = copies.iter().map(|row| &row.machine).collect();
        let list = || machines.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(asked) = asked {
            let found = machines.iter().find(|machine| machine.as_str() == asked);
            return found.map(|machine| (*machine).clone()).ok_or_else(|| {
                ApiError::conflict(format!("unit {unit} is not on machine {asked}; it is on: {}", list()))
            });
        }
        match machines.as_slice() {
            [] => Err(ApiError::conflict(format!("unit {unit} is on no machine: see units/{unit}/why"))),
            [only] => Ok((*only).clone()),
            many if many.contains(&&self.config.machine) => Ok(self.config.machine.clone()),
            _ => Err(ApiError::bad(format!(
                "unit {unit} is on several machines, say which by machineID: {}",
                list()
            ))),
        }
    }
}

/// Where the answer comes from.
enum Where<'a> {
    Here(UnitName, &'a dyn Local),
    There(Response),
}
