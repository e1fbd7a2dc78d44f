//! One daemon of a kind on a machine: a lock that ends with the process, however it ends.

use crate::etcd::Refusal;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// Makes sure that no other `program` of this machine runs. `setting` names the option that `directory` comes from. The lock is
/// free when the file is dropped.
pub fn take(program: &str, setting: &str, directory: &Path) -> Result<File, Refusal> {
    let path = directory.join(format!("{program}.lock"));
    let wrong = |error: std::io::Error| {
        Refusal::start(format!("{setting}={}: {error} ({})", directory.display(), path.display()))
    };
    fs::create_dir_all(directory).map_err(wrong)?;
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the text.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(Refusal::start(format!(
                "another {program} runs on this machine (process {holder}, which holds {}): stop it first",
                path.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(wrong(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(wrong)?;
    Ok(file)
}
