//! `/machines`: who is there, with what, and whether new units may come.

use super::error::ApiError;
use super::message::{Request, Response};
use super::query::Query;
use super::schema::{AdmissionDocument, MachineDocument, MachinePage};
use super::{Api, patch, units};
use crate::model::{Machine, MachineId};
use crate::registry::{MachineRecord, Written};

impl Api {
    pub(super) async fn list_machines(&self, query: &Query) -> Result<Response, ApiError> {
        let token = self.page_token(query)?;
        let page = self.registry.machines(self.cut(&token)).await?;
        let next =
            page.rows.last().filter(|_| page.more).map(|machine| token.next(machine.id.as_str()).encode());
        let machines = page.rows.into_iter().map(document).collect();
        Ok(Response::ok(&MachinePage { machines, next_page_token: next.unwrap_or_default() }))
    }

    /// Changes metadata: all operations are checked, then applied in order.
    pub(super) async fn patch_machines(&self, request: &Request) -> Result<Response, ApiError> {
        units::check_content_type(&request.content_types)?;
        for change in patch::parse(&request.body)? {
            // An empty value hides the configured one.
            let value = change.value.as_deref().unwrap_or_default();
            self.registry.put_metadata(&change.machine, &change.key, Some(value)).await?;
        }
        Ok(Response::empty(204))
    }

    pub(super) async fn put_admission(&self, id: &str, request: &Request) -> Result<Response, ApiError> {
        units::check_content_type(&request.content_types)?;
        let document: AdmissionDocument = units::decode(&request.body)?;
        let machine = self.heard_of(id).await?;
        self.registry.set_admission(&machine, document.admission).await?;
        Ok(Response::empty(204))
    }

    /// Declares that a machine will not come back.
    pub(super) async fn post_gone(&self, id: &str) -> Result<Response, ApiError> {
        let machine = MachineId::from(id);
        match self.registry.set_gone(&machine).await? {
            Written::Done(_) => Ok(Response::empty(204)),
            Written::Moved => {
                let message = format!(
                    "machine {id} is there: drain it, or stop its fleetd, before it is declared gone"
                );
                Err(ApiError::conflict(message))
            }
        }
    }

    /// A machine of which something is written; 404 for any other.
    async fn heard_of(&self, id: &str) -> Result<MachineId, ApiError> {
        let missing = || ApiError::missing(format!("machine {id} does not exist: give its whole id"));
        if id.contains('/') {
            return Err(missing());
        }
        let machine = MachineId::from(id);
        let (_, record) = self.registry.machine(&machine).await?;
        if record == MachineRecord::default() { Err(missing()) } else { Ok(machine) }
    }
}

fn document(machine: Machine) -> MachineDocument {
    MachineDocument {
        id: machine.id.to_string(),
        primary_ip: machine.primary_ip,
        metadata: machine.metadata,
        admission: machine.admission,
        leaving: machine.leaving,
        capacity: machine.capacity,
        version: machine.version,
        api: machine.api.unwrap_or_default(),
    }
}
