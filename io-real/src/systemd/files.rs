//! The directory that holds fleet's unit files, and the links by which systemd finds them. A file appears whole: it is written
//! under a name that no unit has, and renamed. Nothing is synced to disk, because the directory is meant to be in memory (`/run`)
//! and a reboot forgets it.
//!
//! A link is what systemd makes when it is asked to link a file, one symbolic link in its directory of runtime units. Asked, it
//! searches all its directories each time, which takes milliseconds of the one thread that also starts units; to make the link
//! here takes microseconds. Where this process may not write, the bus is asked.

use fleet::systemd::{SystemdError, SystemdResult};
use fleet::unit::UnitName;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Begins the name of a file that is being written.
const UNFINISHED: &str = ".unfinished-";

/// The units directory.
pub struct UnitFiles {
    directory: PathBuf,
    /// Where systemd finds it.
    seen_as: PathBuf,
    /// systemd's directory of runtime units, if links are made here.
    links: Option<PathBuf>,
    written: AtomicU64,
}

impl UnitFiles {
    /// Opens `directory`, made if need be, and clears what a crash left half written.
    pub fn open(directory: &Path, seen_as: &Path, links: Option<&Path>) -> SystemdResult<UnitFiles> {
        let failed = |error| refused(directory, &error);
        fs::create_dir_all(directory).map_err(failed)?;
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) {
                fs::remove_file(&path).map_err(|error| refused(&path, &error))?;
            }
        }
        Ok(UnitFiles {
            directory: directory.to_path_buf(),
            seen_as: seen_as.to_path_buf(),
            links: links.map(Path::to_path_buf),
            written: AtomicU64::new(0),
        })
    }

    /// The path that systemd knows the file of `name` by.
    pub fn seen_path(&self, name: &str) -> String {
        self.seen_as.join(name).to_string_lossy().into_owned()
    }

    /// The text of `name`, if there is such a file.
    pub fn read(&self, name: &str) -> SystemdResult<Option<String>> {
        let path = self.directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(&path, &error)),
        }
    }

    /// Writes `text` as the file of `name`.
    pub fn write(&self, name: &str, text: &str) -> SystemdResult<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.directory.join(format!("{UNFINISHED}{number}"));
        let path = self.directory.join(name);
        let write = || -> Result<(), Error> {
            // It is in memory by custom: somebody may have cleared it.
            fs::create_dir_all(&self.directory)?;
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|error| {
            // What could not be finished is in nobody's way; the next start clears it if this cannot.
            let _ = fs::remove_file(&unfinished);
            refused(&path, &error)
        })
    }

    /// Takes the file of `name` away.
    pub fn remove(&self, name: &str) -> SystemdResult<()> {
        let path = self.directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(refused(&path, &error)),
            _ => Ok(()),
        }
    }

    /// Makes the link to the file of `name`. False if that is not for this process to do. A file that somebody put in its place
    /// is refused.
    pub fn link(&self, name: &str) -> SystemdResult<bool> {
        let Some(links) = &self.links else {
            return Ok(false);
        };
        let (link, target) = (links.join(name), self.seen_as.join(name));
        let make = || -> Result<(), Error> {
            fs::create_dir_all(links)?;
            match fs::read_link(&link) {
                Ok(there) if there == target => return Ok(()),
                Ok(_) => fs::remove_file(&link)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            symlink(&target, &link)
        };
        match make() {
            Err(error) if is_forbidden(&error) => Ok(false),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let text = format!(
                    "{} is a file that is not fleet's: remove it, or rename the unit",
                    link.display()
                );
                Err(SystemdError::Refused(text))
            }
            made => made.map(|()| true).map_err(|error| refused(&link, &error)),
        }
    }

    /// Takes the link to the file of `name` away, and leaves what is not such a link. False if that is not for this process
    /// to do.
    pub fn unlink(&self, name: &str) -> SystemdResult<bool> {
        let Some(links) = &self.links else {
            return Ok(false);
        };
        let link = links.join(name);
        if !fs::read_link(&link).is_ok_and(|there| there == self.seen_as.join(name)) {
            return Ok(true);
        }
        match fs::remove_file(&link) {
            Err(error) if is_forbidden(&error) => Ok(false),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(refused(&link, &error)),
            _ => Ok(true),
        }
    }

    /// All files that are named as units are.
    pub fn list(&self) -> SystemdResult<BTreeMap<String, String>> {
        let failed = |error| refused(&self.directory, &error);
        let mut files = BTreeMap::new();
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(files),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if UnitName::parse(&name).is_ok()
                && let Some(text) = self.read(&name)?
            {
                files.insert(name, text);
            }
        }
        Ok(files)
    }
}

fn is_forbidden(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn refused(path: &Path, error: &Error) -> SystemdError {
    SystemdError::Files(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_whole_public_and_named_as_units() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("fleet/units");
        let files = UnitFiles::open(&directory, Path::new("/run/fleet/units"), None).expect("opens");
        assert_eq!(files.seen_path("a.service"), "/run/fleet/units/a.service");
        files.write("a.service", "one").expect("writes");
        files.write("a.service", "two").expect("writes over");
        assert_eq!(files.read("a.service"), Ok(Some("two".to_string())));
        let mode = fs::metadata(directory.join("a.service")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        fs::write(directory.join("README"), "no unit").expect("writes");
        fs::write(directory.join(format!("{UNFINISHED}7")), "half").expect("writes");
        let files = UnitFiles::open(&directory, &directory, None).expect("opens again");
        assert_eq!(files.list(), Ok(BTreeMap::from([("a.service".to_string(), "two".to_string())])));
        assert!(!directory.join(format!("{UNFINISHED}7")).exists());
        files.remove("a.service").expect("removes");
        files.remove("a.service").expect("nothing to remove is fine");
        assert_eq!(files.read("a.service"), Ok(None));
        fs::remove_dir_all(&directory).expect("removes");
        assert_eq!(files.list(), Ok(BTreeMap::new()), "a directory that was cleared is empty");
        files.write("a.service", "three").expect("made again");
        fs::remove_dir_all(&directory).expect("removes");
        fs::write(&directory, "in the way").expect("writes");
        let error = files.write("a.service", "three").expect_err("no directory");
        assert!(matches!(&error, SystemdError::Files(text) if text.contains("a.service")), "{error:?}");
    }

    #[test]
    fn links_are_made_once_and_only_ours_are_taken_away() {
        let home = tempfile::tempdir().expect("a directory");
        let (directory, links) = (home.path().join("units"), home.path().join("systemd"));
        let seen_as = Path::new("/run/fleet/units");
        let files = UnitFiles::open(&directory, seen_as, Some(&links)).expect("opens");
        symlink("/elsewhere/a.service", home.path().join("other")).expect("links");
        for _ in 0..2 {
            assert_eq!(files.link("a.service"), Ok(true));
            assert_eq!(fs::read_link(links.join("a.service")).expect("a link"), seen_as.join("a.service"));
        }
        for _ in 0..2 {
            assert_eq!(files.unlink("a.service"), Ok(true));
            assert!(fs::symlink_metadata(links.join("a.service")).is_err(), "it is gone");
        }
        symlink("/elsewhere/a.service", links.join("a.service")).expect("links");
        assert_eq!(files.unlink("a.service"), Ok(true));
        assert!(fs::symlink_metadata(links.join("a.service")).is_ok(), "somebody else's");
        assert_eq!(files.link("a.service"), Ok(true), "the unit is fleet's now");
        fs::write(links.join("b.service"), "an operator's").expect("writes");
        assert!(
            matches!(files.link("b.service"), Err(SystemdError::Refused(text)) if text.contains("b.service"))
        );
        assert_eq!(files.unlink("b.service"), Ok(true));
        assert_eq!(fs::read_to_string(links.join("b.service")).expect("is there"), "an operator's");
        let files = UnitFiles::open(&directory, seen_as, None).expect("opens");
        assert_eq!((files.link("c.service"), files.unlink("c.service")), (Ok(false), Ok(false)));
    }
}
