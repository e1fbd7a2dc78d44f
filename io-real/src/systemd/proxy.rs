//! What is used of systemd's own interface on the bus.

use zbus::wire::OwnedObjectPath;

/// What became of a link: its kind, where it is, where it points to.
pub type LinkChange = (String, String, String);

/// One row of a listing: name, description, load, active and sub state, the unit that is followed, path, job id, job type, job path.
pub type UnitRow =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// The manager: systemd as a whole.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<UnitRow>>;
    fn link_unit_files(&self, files: &[&str], runtime: bool, force: bool) -> zbus::Result<Vec<LinkChange>>;
    fn enable_unit_files(
        &self,
        files: &[&str],
        runtime: bool,
        force: bool,
    ) -> zbus::Result<(bool, Vec<LinkChange>)>;
    fn disable_unit_files(&self, names: &[&str], runtime: bool) -> zbus::Result<Vec<LinkChange>>;
    #[zbus(property)]
    fn system_state(&self) -> zbus::Result<String>;
}
