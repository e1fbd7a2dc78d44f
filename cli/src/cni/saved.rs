//! The configurations that delegates were run with, one file for each container, as flannel's own plugin keeps them.
//!
//! A container may outlive a change of the network's configuration, and of the subnet: it is taken down with what it was set
//! up with. So a file is on the disk before the delegate runs, and goes only after it has undone its work.

use super::error::{CniError, Kind};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Keeps one.
pub fn keep(directory: &Path, container: &str, config: &Value) -> Result<(), CniError> {
    let write = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // No container's id begins with a dot.
        let new = directory.join(format!(".{container}.new"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(config.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, directory.join(container))?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| failed("write", directory, container, &error))
}

/// Reads one; none if there is none.
pub fn read(directory: &Path, container: &str) -> Result<Option<Vec<u8>>, CniError> {
    match fs::read(directory.join(container)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", directory, container, &error)),
    }
}

/// Removes one.
pub fn forget(directory: &Path, container: &str) -> Result<(), CniError> {
    match fs::remove_file(directory.join(container)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", directory, container, &error)),
    }
}

/// Removes those of network `name` whose container is not among `containers`.
pub fn forget_others(directory: &Path, name: &str, containers: &BTreeSet<String>) -> Result<(), CniError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", directory, "", &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed("read", directory, "", &error))?;
        let Ok(container) = entry.file_name().into_string() else { continue };
        if containers.contains(&container) || container.starts_with('.') {
            continue;
        }
        let text = read(directory, &container)?.unwrap_or_default();
        let config: Value = serde_json::from_slice(&text).unwrap_or_default();
        if config["name"] == name {
            forget(directory, &container)?;
        }
    }
    Ok(())
}

fn failed(verb: &str, directory: &Path, container: &str, error: &io::Error) -> CniError {
    let path = directory.join(container);
    CniError::new(Kind::Io, format!("cannot {verb} {} (dataDir)", path.display())).because(error)
}
