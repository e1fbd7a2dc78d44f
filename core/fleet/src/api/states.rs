//! `/state`: what machines say of units.

use super::Api;
use super::error::ApiError;
use super::message::Response;
use super::query::Query;
use super::schema::{StatePage, UnitStateDocument};
use crate::model::MachineId;
use crate::registry::{Cut, ReportRow};
use crate::unit::UnitName;

/// Copies of one unit that are looked at when one of them is asked for.
pub(super) const COPIES_MOST: usize = 10_000;

impl Api {
    pub(super) async fn list_states(&self, query: &Query) -> Result<Response, ApiError> {
        let token = self.page_token(query)?;
        let machine = query.one("machineID")?.map(MachineId::from);
        let unit = match query.one("unitName")?.map(UnitName::parse) {
            None => None,
            Some(Ok(unit)) => Some(unit),
            // Of a name that no unit can have no machine says anything.
            Some(Err(_)) => return Ok(Response::ok(&StatePage::default())),
        };
        let page = self.registry.reports(unit.as_ref(), machine.as_ref(), self.cut(&token)).await?;
        let last = page.rows.last().filter(|_| page.more);
        let next = last.map(|row| token.next(&format!("{}/{}", row.unit, row.machine)).encode());
        let states = page.rows.iter().map(document).collect();
        Ok(Response::ok(&StatePage { states, next_page_token: next.unwrap_or_default() }))
    }

    /// One state of a unit: that of the machine asked for, or of the first by id.
    pub(super) async fn get_state(&self, name: &str, query: &Query) -> Result<Response, ApiError> {
        let missing = || ApiError::missing(format!("no machine says anything of unit {name}"));
        let unit = UnitName::parse(name).map_err(|_| missing())?;
        let machine = query.one("machineID")?.map(MachineId::from);
        let copies = self.copies(&unit, machine.as_ref(), 1).await?;
        copies.first().map(|row| Response::ok(&document(row))).ok_or_else(missing)
    }

    /// What machines say of a unit.
    pub(super) async fn copies(
        &self,
        unit: &UnitName,
        machine: Option<&MachineId>,
        most: usize,
    ) -> Result<Vec<ReportRow>, ApiError> {
        let cut = Cut { after: None, skip: 0, most };
        Ok(self.registry.reports(Some(unit), machine, cut).await?.rows)
    }
}

fn document(row: &ReportRow) -> UnitStateDocument {
    UnitStateDocument::new(&row.unit, &row.machine, &row.report)
}
