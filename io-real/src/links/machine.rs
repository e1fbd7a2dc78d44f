//! The Local port over this machine: the file subnet.env, the commands of the extension backend, and WireGuard's key file.

use flannel::links::{KEY_LEN, Secret};
use flannel::local::{Command, Local, LocalError, OUTPUT_LIMIT};
use kernel::BoxFuture;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Who may read subnet.env: everyone.
const MODE: u32 = 0o644;

/// Who may read the key: root.
const KEY_MODE: u32 = 0o400;

/// The name of the key file, in the folder of subnet.env; flannel's is /run/flannel/wgkey.
const KEY_FILE: &str = "wgkey";

/// The variable that names another key file.
const KEY_VARIABLE: &str = "WIREGUARD_KEY_FILE";

/// This machine's file subnet.env and its programs.
pub struct LocalMachine {
    env_file: PathBuf,
    key_file: PathBuf,
}

impl LocalMachine {
    /// With subnet.env at this path, and the key file beside it unless the environment names another.
    pub fn new(env_file: impl Into<PathBuf>) -> LocalMachine {
        let env_file = env_file.into();
        let named = std::env::var_os(KEY_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let key_file = named.unwrap_or_else(|| env_file.with_file_name(KEY_FILE));
        LocalMachine { env_file, key_file }
    }

    fn failed(&self, what: &str, error: &io::Error) -> LocalError {
        LocalError(format!("{}: cannot {what} it: {error}", self.env_file.display()))
    }
}

impl Local for LocalMachine {
    fn read_env(&self) -> BoxFuture<'_, Result<Option<String>, LocalError>> {
        Box::pin(async {
            match fs::read_to_string(&self.env_file) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.failed("read", &error)),
            }
        })
    }

    fn write_env<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), LocalError>> {
        Box::pin(async { replace(&self.env_file, text, MODE).map_err(|error| self.failed("write", &error)) })
    }

    fn wireguard_key(&self) -> BoxFuture<'_, Result<Secret, LocalError>> {
        Box::pin(async { key(&self.key_file) })
    }

    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<String, LocalError>> {
        Box::pin(run(command))
    }
}

/// The key in this file; if there is no file, one with a new key is made.
fn key(path: &Path) -> Result<Secret, LocalError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        LocalError(format!("{}: cannot {what} it: {error}", path.display()))
    };
    match fs::read_to_string(path) {
        Ok(text) => text.parse().map_err(|why: String| failed("use", &why)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut key = [0; KEY_LEN];
            File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut key))
                .map_err(|error| LocalError(format!("/dev/urandom: cannot draw a key from it: {error}")))?;
            // What the kernel makes of any 32 bytes; so the file holds what the kernel tells.
            key[0] &= 248;
            key[KEY_LEN - 1] = key[KEY_LEN - 1] & 127 | 64;
            let secret = Secret(key);
            let text = secret.to_base64() + "\n";
            replace(path, &text, KEY_MODE).map_err(|error| failed("write", &error))?;
            Ok(secret)
        }
        Err(error) => Err(failed("read", &error)),
    }
}

/// Puts a file in place of another at once. The new one is on the disk before it has the name, so that a power cut leaves one
/// or the other.
fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let mut fresh_name = name.to_os_string();
    fresh_name.push(".new");
    let fresh = folder.join(fresh_name);
    // One that an earlier life left behind may be nobody's to open.
    let _ = fs::remove_file(&fresh);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

async fn run(command: &Command) -> Result<String, LocalError> {
    let failed = |why: String| LocalError(format!("command {:?}: {why}", command.line));
    let words = words(&command.line, &command.env);
    let Some((program, arguments)) = words.split_first() else {
        return Err(failed("there is no program in it".to_string()));
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(&command.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot start: {error}")))?;
    let mut stdin = child.stdin.take().expect("it has a pipe");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let write = async {
        // A program need not read what it is told.
        let _ = stdin.write_all(command.stdin.as_bytes()).await;
        drop(stdin);
    };
    // All at once: a program that waits for one of them would wait for ever.
    let (_, output, errors, status) =
        tokio::join!(write, read(stdout.expect("a pipe")), read(stderr.expect("a pipe")), child.wait());
    let status = status.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("{status}: {}", errors.trim())));
    }
    Ok(output)
}

/// Reads to the end; what is beyond the limit is read too, so that the writer does not wait, and forgotten.
async fn read(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut part).await {
        let room = OUTPUT_LIMIT - kept.len();
        kept.extend_from_slice(&part[..count.min(room)]);
    }
    assert!(kept.len() <= OUTPUT_LIMIT, "no more than the limit");
    String::from_utf8_lossy(&kept).into_owned()
}

/// The words of a command, with its variables replaced: first split, then replaced, so that a value with blanks stays one word.
fn words(line: &str, env: &BTreeMap<String, String>) -> Vec<String> {
    line.split_whitespace().map(|word| expand(word, env)).collect()
}

/// Replaces `$NAME` and `${NAME}`; a name that is nowhere is nothing.
fn expand(word: &str, env: &BTreeMap<String, String>) -> String {
    let value = |name: &str| env.get(name).cloned().or_else(|| std::env::var(name).ok()).unwrap_or_default();
    let mut parts = word.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|part| part.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            part.split_at(end)
        });
        match name.is_empty() {
            true => expanded.push('$'),
            false => expanded += &value(name),
        }
        expanded += rest;
    }
    expanded
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
