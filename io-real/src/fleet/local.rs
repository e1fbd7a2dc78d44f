//! The journal and the status of a unit, from `journalctl` and `systemctl`.
//!
//! Child processes, a bounded number of them; who stops reading ends his. Names of units are checked before they come here,
//! and none can be taken for an option: they stand behind `--unit=` or `--`.

use fleet::local::{JournalRequest, Lines, Local, LocalError, StatusText};
use kernel::BoxFuture;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Child processes at a time.
pub const CHILDREN_MAX: usize = 32;

/// Bytes of a piece, and of an error text.
const PIECE_BYTES: usize = 16 << 10;

/// Bytes of a status; more is cut.
const STATUS_BYTES_MAX: u64 = 1 << 20;

/// Longest run of `systemctl status`.
const STATUS_LIMIT: Duration = Duration::from_secs(10);

/// The programs of this machine.
pub struct Programs {
    user: bool,
    room: Arc<Semaphore>,
}

impl Programs {
    /// For units of the system, or of the user's own systemd.
    pub fn new(user: bool) -> Programs {
        Programs { user, room: Arc::new(Semaphore::new(CHILDREN_MAX)) }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if self.user {
            command.arg("--user");
        }
        command.arg("--no-pager").stdin(Stdio::null()).kill_on_drop(true);
        // Nobody looks at a terminal.
        command.env("SYSTEMD_COLORS", "0").env("SYSTEMD_URLIFY", "0");
        command
    }

    fn room(&self) -> Result<OwnedSemaphorePermit, LocalError> {
        self.room.clone().try_acquire_owned().map_err(|_| {
            LocalError::Busy(format!(
                "{CHILDREN_MAX} journals and statuses are being read here: try again later"
            ))
        })
    }

    async fn open_journal(&self, request: JournalRequest) -> Result<Box<dyn Lines>, LocalError> {
        let room = self.room()?;
        let mut command = self.command("journalctl");
        command.arg(format!("--unit={}", request.unit)).arg(format!("--lines={}", request.lines));
        command.arg(format!("--output={}", request.output));
        if request.follow {
            command.arg("--follow");
        }
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()), "journalctl")?;
        let mut output = child.stdout.take().expect("it was asked for");
        let first = piece(&mut output).await;
        if first.is_none() {
            let said = complaint(&mut child).await;
            let ended = child.wait().await.map_err(|error| failed("journalctl", &error))?;
            if !ended.success() {
                return Err(LocalError::Failed(format!("journalctl: {said}")));
            }
        }
        Ok(Box::new(Journal { first, output, _child: child, _room: room }))
    }

    async fn read_status(&self, unit: &str) -> Result<StatusText, LocalError> {
        let _room = self.room()?;
        let mut command = self.command("systemctl");
        command.args(["status", "-l", "--", unit]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command, "systemctl")?;
        let mut text = Vec::new();
        let output = child.stdout.take().expect("it was asked for");
        let reading = async {
            output.take(STATUS_BYTES_MAX).read_to_end(&mut text).await?;
            let said = complaint(&mut child).await;
            child.wait().await.map(|ended| (ended, said))
        };
        let ended = tokio::time::timeout(STATUS_LIMIT, reading).await;
        let (ended, said) = match ended {
            Ok(ended) => ended.map_err(|error| failed("systemctl", &error))?,
            Err(_) => {
                let limit = STATUS_LIMIT.as_secs();
                return Err(LocalError::Failed(format!("systemctl status did not end within {limit} s")));
            }
        };
        if text.is_empty() {
            text = said.into_bytes();
        }
        Ok(StatusText { text, code: ended.code().unwrap_or(1) })
    }
}

impl Local for Programs {
    fn journal(&self, request: JournalRequest) -> BoxFuture<'_, Result<Box<dyn Lines>, LocalError>> {
        Box::pin(self.open_journal(request))
    }

    fn status<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<StatusText, LocalError>> {
        Box::pin(self.read_status(unit))
    }
}

fn spawn(command: &mut Command, program: &str) -> Result<Child, LocalError> {
    command.spawn().map_err(|error| failed(program, &error))
}

fn failed(program: &str, error: &std::io::Error) -> LocalError {
    LocalError::Failed(format!("{program} could not be run on this machine: {error}"))
}

/// The next piece; `None` at the end or when the pipe breaks.
async fn piece(output: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; PIECE_BYTES];
    let read = output.read(&mut bytes).await.ok().filter(|read| *read > 0)?;
    bytes.truncate(read);
    Some(bytes)
}

/// What the program said on standard error, its beginning.
async fn complaint(child: &mut Child) -> String {
    let Some(mut errors) = child.stderr.take() else { return String::new() };
    let bytes = piece(&mut errors).await.unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_string()
}

/// A journal that is being read. Dropping it ends `journalctl`.
struct Journal {
    first: Option<Vec<u8>>,
    output: ChildStdout,
    _child: Child,
    _room: OwnedSemaphorePermit,
}

impl Lines for Journal {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            match self.first.take() {
                Some(first) => Some(first),
                None => piece(&mut self.output).await,
            }
        })
    }
}
