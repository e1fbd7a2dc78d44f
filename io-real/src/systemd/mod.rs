//! The Systemd port over D-Bus.
//!
//! `link` keeps one connection, `signals` understands what comes over it, `jobs` ties the reply of a verb to the end of its
//! job, `changes` tells subscribers, `files` is the units directory. Here are the verbs.
//!
//! Unit files are linked into systemd's runtime directory rather than written there, as fleet did: `systemctl status` then
//! shows which units are fleet's, and `linked-runtime` says that a reboot forgets them.

mod changes;
mod files;
mod jobs;
mod link;
mod proxy;
mod signals;

use files::UnitFiles;
use fleet::model::SystemdState;
use fleet::systemd::{Changes, JobResult, Systemd, SystemdError, SystemdResult};
use fleet::unit::UnitName;
use kernel::BoxFuture;
use link::{Shared, gone};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const SIGKILL: i32 = 9;

/// What helps when the bus cannot be reached.
const RETRY_HINT: &str = "is dbus running, and may this user call it?";

/// Which systemd, and where its unit files go.
#[derive(Clone, Debug)]
pub struct BusConfig {
    /// Address of the bus. By default that of the system, which `DBUS_SYSTEM_BUS_ADDRESS` may name.
    pub address: Option<String>,
    /// The bus of the user's session rather than of the system, if no address is given.
    pub user: bool,
    /// Holds the unit files; made if it is not there. Should be in memory, as `/run/fleet/units` is.
    pub units_directory: PathBuf,
    /// The units directory as systemd sees it, where that is another path (a systemd in a container).
    pub units_seen_as: Option<PathBuf>,
    /// systemd's directory of runtime units, as this process sees it: links to unit files are made there directly. Without it, or
    /// where it cannot be written, systemd is asked over the bus, which takes milliseconds a unit.
    pub links_directory: Option<PathBuf>,
}

impl BusConfig {
    /// The machine's own systemd.
    pub fn system(units_directory: impl Into<PathBuf>) -> Self {
        let elsewhere = std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS").is_some();
        BusConfig {
            address: None,
            user: false,
            units_directory: units_directory.into(),
            units_seen_as: None,
            // Another bus may be that of another systemd, which keeps its links elsewhere.
            links_directory: (!elsewhere).then(|| PathBuf::from("/run/systemd/system")),
        }
    }

    /// The systemd of this user's session. Links are made over the bus.
    pub fn user(units_directory: impl Into<PathBuf>) -> Self {
        BusConfig { user: true, links_directory: None, ..BusConfig::system(units_directory) }
    }

    /// The systemd on the bus at `address`. Links are made over the bus.
    pub fn at(address: impl Into<String>, units_directory: impl Into<PathBuf>) -> Self {
        let address = Some(address.into());
        BusConfig { address, links_directory: None, ..BusConfig::system(units_directory) }
    }

    /// Names the bus in errors.
    fn place(&self) -> String {
        match (&self.address, self.user) {
            (Some(address), _) => format!("bus {address}"),
            (None, false) => "system bus".to_string(),
            (None, true) => "session bus".to_string(),
        }
    }
}

/// One machine's systemd. Lives as long as this value; needs a tokio runtime.
pub struct Bus {
    shared: Arc<Shared>,
    files: Arc<UnitFiles>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bus {
    /// Connects. Errors: the units directory cannot be made, or the bus cannot be reached. A bus that goes away later is waited
    /// for.
    pub async fn connect(config: BusConfig) -> SystemdResult<Bus> {
        let seen_as = config.units_seen_as.as_ref().unwrap_or(&config.units_directory);
        let files =
            Arc::new(UnitFiles::open(&config.units_directory, seen_as, config.links_directory.as_deref())?);
        let known = files.list()?.into_keys().collect();
        let (shared, task) = link::open(config, known).await?;
        Ok(Bus { shared, files, task })
    }

    /// Runs `work` on the units directory off the tasks' threads.
    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&UnitFiles) -> SystemdResult<T> + Send + 'static,
    ) -> SystemdResult<T> {
        let files = self.files.clone();
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.unwrap_or_else(|error| Err(SystemdError::Files(format!("the work was given up: {error}"))))
    }

    async fn write_and_link(&self, name: &str, text: &str) -> SystemdResult<()> {
        let (unit, new) = (name.to_string(), text.to_string());
        let old = self
            .with_files(move |files| {
                let old = files.read(&unit)?;
                if old.as_ref() != Some(&new) {
                    files.write(&unit, &new)?;
                }
                Ok(old)
            })
            .await?;
        // What the old text asked for may not be asked for any more.
        if old.is_some_and(|old| old != text && has_install_section(&old)) {
            self.shared.manager()?.disable_unit_files(&[name], true).await.map_err(refusal)?;
        }
        let unit = name.to_string();
        let linked = self.with_files(move |files| files.link(&unit)).await?;
        let path = self.files.seen_path(name);
        if !linked {
            self.shared.manager()?.link_unit_files(&[&path], true, true).await.map_err(refusal)?;
        }
        if has_install_section(text) {
            self.shared.manager()?.enable_unit_files(&[&path], true, true).await.map_err(refusal)?;
        }
        Ok(())
    }

    async fn unlink_and_remove(&self, name: &str) -> SystemdResult<()> {
        let unit = name.to_string();
        let (enabled, there, unlinked) = self
            .with_files(move |files| {
                let text = files.read(&unit)?;
                let enabled = text.as_deref().is_some_and(has_install_section);
                // systemd takes the link away itself where it disables the unit.
                Ok((enabled, text.is_some(), !enabled && files.unlink(&unit)?))
            })
            .await?;
        if enabled || !unlinked {
            let disabled = self.shared.manager()?.disable_unit_files(&[name], true).await.map_err(refusal);
            match disabled {
                // It says so of a unit that it knows from nowhere.
                Err(SystemdError::Refused(_) | SystemdError::NoSuchUnit(_)) if !there => {}
                outcome => drop(outcome?),
            }
        }
        let name = name.to_string();
        self.with_files(move |files| files.remove(&name)).await
    }

    async fn run_job(&self, name: &str, start: bool) -> SystemdResult<JobResult> {
        let manager = self.shared.manager()?;
        let call = self.shared.jobs.begin();
        let reply = match start {
            true => manager.start_unit(name, "replace").await,
            false => manager.stop_unit(name, "replace").await,
        };
        let job = reply.map_err(refusal)?;
        call.wait(job.as_str()).await
    }
}

impl Systemd for Bus {
    fn install<'a>(&'a self, name: &'a str, text: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            check(name)?;
            self.shared.know(name);
            let outcome = self.write_and_link(name, text).await;
            if matches!(outcome, Err(SystemdError::Refused(_) | SystemdError::NoSuchUnit(_))) {
                // The links that were made go as well. That this may fail too changes nothing about the answer.
                let _ = self.unlink_and_remove(name).await;
            }
            outcome
        })
    }

    fn uninstall<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            check(name)?;
            self.unlink_and_remove(name).await
        })
    }

    fn reload(&self) -> BoxFuture<'_, SystemdResult<()>> {
        Box::pin(async {
            let manager = self.shared.manager()?;
            let own = &self.shared.own_reloads;
            own.fetch_add(1, Ordering::Relaxed);
            manager.reload().await.map_err(|error| {
                // It never began, so nothing will be said of it. If that is wrong, one more look at everything does no harm.
                let _ = own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
                refusal(error)
            })
        })
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>> {
        Box::pin(self.run_job(name, true))
    }

    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<JobResult>> {
        Box::pin(async move { unknown_is_fine(self.run_job(name, false).await, JobResult::Done) })
    }

    fn kill<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            match self.shared.manager()?.kill_unit(name, "all", SIGKILL).await {
                Err(zbus::Error::MethodError(error, _, _)) if error.ends_with(".NoSuchProcess") => Ok(()),
                outcome => unknown_is_fine(outcome.map_err(refusal), ()),
            }
        })
    }

    fn reset_failed<'a>(&'a self, name: &'a str) -> BoxFuture<'a, SystemdResult<()>> {
        Box::pin(async move {
            unknown_is_fine(self.shared.manager()?.reset_failed_unit(name).await.map_err(refusal), ())
        })
    }

    fn installed(&self) -> BoxFuture<'_, SystemdResult<BTreeMap<String, String>>> {
        Box::pin(self.with_files(UnitFiles::list))
    }

    fn states<'a>(
        &'a self,
        names: &'a [String],
    ) -> BoxFuture<'a, SystemdResult<BTreeMap<String, SystemdState>>> {
        Box::pin(async move {
            let unknown = |name: &String| (name.clone(), SystemdState::new("not-found", "inactive", "dead"));
            let mut states: BTreeMap<_, _> = names.iter().map(unknown).collect();
            // A template has no state, and asking for it would fail the whole call.
            let asked: Vec<&str> = names.iter().map(String::as_str).filter(|name| has_state(name)).collect();
            if asked.is_empty() {
                return Ok(states);
            }
            let rows = self.shared.manager()?.list_units_by_names(&asked).await.map_err(refusal)?;
            // Rows come in the order of the names; a row's own name may be another, where the one asked for is an alias.
            let in_order = rows.len() == asked.len();
            for (index, (id, _, load, active, sub, ..)) in rows.into_iter().enumerate() {
                let name = if in_order { asked[index].to_string() } else { id };
                states.entry(name).and_modify(|state| *state = SystemdState { load, active, sub });
            }
            Ok(states)
        })
    }

    fn stopping(&self) -> BoxFuture<'_, SystemdResult<bool>> {
        Box::pin(async {
            let state = self.shared.manager()?.system_state().await;
            state.map(|state| state == "stopping").map_err(refusal)
        })
    }

    fn changes(&self) -> Box<dyn Changes> {
        self.shared.hub.subscribe()
    }
}

fn check(name: &str) -> SystemdResult<()> {
    UnitName::parse(name).map(drop).map_err(|error| SystemdError::Refused(error.to_string()))
}

fn has_state(name: &str) -> bool {
    UnitName::parse(name).is_ok_and(|name| !name.is_template())
}

/// As systemd reads it: a line that is this section's head.
fn has_install_section(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "[Install]")
}

fn unknown_is_fine<T>(outcome: SystemdResult<T>, value: T) -> SystemdResult<T> {
    match outcome {
        Err(SystemdError::NoSuchUnit(_)) => Ok(value),
        other => other,
    }
}

/// What an error of a call means to the agent: try again when the bus is back, or not.
fn refusal(error: zbus::Error) -> SystemdError {
    use zbus::fdo::Error as Bus;
    match error {
        zbus::Error::MethodError(name, text, _) => {
            let text = text.unwrap_or_else(|| name.to_string());
            match name.as_str() {
                "org.freedesktop.systemd1.NoSuchUnit" => SystemdError::NoSuchUnit(text),
                _ => SystemdError::Refused(text),
            }
        }
        zbus::Error::FDO(ref of_bus) => match **of_bus {
            Bus::NoReply(_)
            | Bus::Disconnected(_)
            | Bus::ServiceUnknown(_)
            | Bus::NameHasNoOwner(_)
            | Bus::NoServer(_)
            | Bus::NoNetwork(_)
            | Bus::Timeout(_)
            | Bus::TimedOut(_)
            | Bus::IOError(_)
            | Bus::LimitsExceeded(_) => gone(error),
            _ => SystemdError::Refused(of_bus.to_string()),
        },
        error => gone(error),
    }
}
