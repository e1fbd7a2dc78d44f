//! `/units`: what the operator wants.

use super::error::ApiError;
use super::message::{JSON, Request, Response};
use super::schema::{UnitDocument, UnitPage};
use super::{Api, query::Query};
use crate::model::DesiredState;
use crate::registry::{UnitRow, Written};
use crate::unit::{Requirements, UnitFile, UnitName};

impl Api {
    pub(super) async fn list_units(&self, query: &Query) -> Result<Response, ApiError> {
        let token = self.page_token(query)?;
        let page = self.registry.units(self.cut(&token)).await?;
        let next = page.rows.last().filter(|_| page.more).map(|row| token.next(row.name.as_str()).encode());
        let units = page.rows.iter().map(document).collect();
        Ok(Response::ok(&UnitPage { units, next_page_token: next.unwrap_or_default() }))
    }

    pub(super) async fn get_unit(&self, name: &str) -> Result<Response, ApiError> {
        Ok(Response::ok(&document(&self.known(name).await?.1)))
    }

    /// The unit of that name; 404 when there is none. A name that no unit can have is one that none has.
    pub(super) async fn known(&self, name: &str) -> Result<(UnitName, UnitRow), ApiError> {
        let missing = || ApiError::missing(format!("unit {name} does not exist"));
        let name = UnitName::parse(name).map_err(|_| missing())?;
        let row = self.registry.unit(&name).await?.ok_or_else(missing)?;
        Ok((name, row))
    }

    pub(super) async fn delete_unit(&self, name: &str) -> Result<Response, ApiError> {
        let missing = || ApiError::missing(format!("unit {name} does not exist"));
        let name = UnitName::parse(name).map_err(|_| missing())?;
        match self.registry.delete_job(&name).await? {
            Written::Done(_) => Ok(Response::empty(204)),
            Written::Moved => Err(missing()),
        }
    }

    /// Creates a unit, replaces its text, or changes what is wanted of it.
    pub(super) async fn put_unit(&self, name: &str, request: &Request) -> Result<Response, ApiError> {
        let wish = Wish::read(name, request)?;
        match self.registry.unit(&wish.name).await? {
            None => {
                let file = wish.file.as_ref().ok_or_else(|| {
                    ApiError::conflict(
                        "unit does not exist and options field empty: send the options of its file",
                    )
                })?;
                self.write(&wish, file, wish.desired.or(Some(DesiredState::Inactive))).await
            }
            Some(row) => match wish.file.as_ref().filter(|file| file.hash() != row.hash) {
                Some(file) => self.write(&wish, file, wish.desired).await,
                None => self.change(&wish).await,
            },
        }
    }

    async fn write(
        &self,
        wish: &Wish,
        file: &UnitFile,
        desired: Option<DesiredState>,
    ) -> Result<Response, ApiError> {
        self.registry.put_job(&wish.name, file.hash(), &file.text(), desired).await?;
        Ok(Response::empty(201))
    }

    async fn change(&self, wish: &Wish) -> Result<Response, ApiError> {
        let desired = wish.desired.ok_or_else(|| {
            ApiError::conflict(
                "must provide DesiredState to update existing unit: inactive, loaded or launched",
            )
        })?;
        match self.registry.set_desired(&wish.name, desired).await? {
            Written::Done(_) => Ok(Response::empty(204)),
            Written::Moved => {
                Err(ApiError::conflict(format!("unit {} was destroyed meanwhile: try again", wish.name)))
            }
        }
    }

    /// Asks for another start of a unit that is launched.
    pub(super) async fn restart_unit(&self, name: &str) -> Result<Response, ApiError> {
        let (name, row) = self.known(name).await?;
        if row.job.desired != DesiredState::Launched {
            let message =
                format!("unit {name} is wanted {}: start it instead of restarting it", row.job.desired);
            return Err(ApiError::conflict(message));
        }
        match self.registry.bump_run(&name).await? {
            Written::Done(_) => Ok(Response::empty(204)),
            Written::Moved => Err(ApiError::missing(format!("unit {name} does not exist"))),
        }
    }
}

/// A checked PUT.
struct Wish {
    name: UnitName,
    file: Option<UnitFile>,
    desired: Option<DesiredState>,
}

impl Wish {
    fn read(name: &str, request: &Request) -> Result<Wish, ApiError> {
        check_content_type(&request.content_types)?;
        let document: UnitDocument = decode(&request.body)?;
        if !document.name.is_empty() && document.name != name {
            let given = &document.name;
            let message = format!("name in URL {name:?} differs from unit name in request body {given:?}");
            return Err(ApiError::bad(message));
        }
        let name = UnitName::parse(name).map_err(|error| ApiError::bad(error.to_string()))?;
        let desired = desired_state(&document.desired_state)?;
        let file = file(&name, &document)?;
        if name.is_template() && desired.is_some_and(|desired| desired != DesiredState::Inactive) {
            let message = format!("cannot activate template {name}: submit it, and start its instances");
            return Err(ApiError::bad(message));
        }
        Ok(Wish { name, file, desired })
    }
}

/// A body that is a document.
pub(super) fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad(format!("unable to decode body: {error}")))
}

/// Refuses what is not said to be JSON, once.
pub(super) fn check_content_type(types: &[String]) -> Result<(), ApiError> {
    let media = |value: &String| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match types {
        [one] if media(one) == JSON => Ok(()),
        _ => Err(ApiError::new(415, format!("send exactly one Content-Type: {JSON}"))),
    }
}

/// What is wanted, if something is said.
pub(super) fn desired_state(text: &str) -> Result<Option<DesiredState>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || ApiError::bad(format!("desiredState {text:?} is none of inactive, loaded, launched"));
    DesiredState::parse(text).map(Some).ok_or_else(wrong)
}

/// The file of a document, if it has options, with its requirements checked.
pub(super) fn file(name: &UnitName, document: &UnitDocument) -> Result<Option<UnitFile>, ApiError> {
    if document.options.is_empty() {
        return Ok(None);
    }
    let file = UnitFile::from_options(document.options.clone())
        .map_err(|error| ApiError::bad(format!("options of {name}: {error}")))?;
    Requirements::read(name, &file).map_err(|error| ApiError::bad(format!("options of {name}: {error}")))?;
    Ok(Some(file))
}

/// A unit as clients see it. What placement and states of a global unit are is in its unit states.
pub(super) fn document(row: &UnitRow) -> UnitDocument {
    // Whatever of it can be shown is shown, even if it cannot be followed.
    let file = UnitFile::parse(&row.text).unwrap_or_default();
    let read = Requirements::of_text(&row.name, &row.text);
    let global = read.as_ref().is_ok_and(|(_, requirements)| requirements.global);
    let placed = row.job.target.as_ref().filter(|_| !global);
    UnitDocument {
        name: row.name.to_string(),
        options: file.options().to_vec(),
        desired_state: row.job.desired.to_string(),
        current_state: if global { String::new() } else { row.current().to_string() },
        machine_id: placed.map(|machine| machine.value.to_string()).unwrap_or_default(),
        run: row.job.run,
        done: row.job.is_done(),
        error: read.err().unwrap_or_default(),
    }
}
