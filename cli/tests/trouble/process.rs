//! One `orlop etcd` process of a test: its flags, its end, its words, and what lies in its data folder.

use crate::common::{healthy, orlop};
use bytes::Bytes;
use io_real::client::{Client, Options};
use kernel::types::{PutRequest, RangeRequest};
use kernel::{Kv, KvError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Longest wait for a process to start or to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A member that is a cluster by itself, on 127.0.0.1.
pub struct Alone {
    pub dir: PathBuf,
    port: u16,
    log: PathBuf,
    prefix: Vec<String>,
    child: Option<Child>,
}

impl Alone {
    /// A member that does not run yet, with its data in `dir` and its words in `dir.log`.
    pub fn new(dir: &Path, port: u16) -> Alone {
        let log = dir.with_extension("log");
        Alone { dir: dir.to_path_buf(), port, log, prefix: Vec::new(), child: None }
    }

    /// As [`Alone::new`], with its words elsewhere.
    pub fn with_log(mut self, log: &Path) -> Alone {
        self.log = log.to_path_buf();
        self
    }

    /// Under another program from the next start on, or under none. It must become the server, so that a signal reaches it.
    pub fn under(&mut self, prefix: &[&str]) {
        self.prefix = prefix.iter().map(ToString::to_string).collect();
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its flags.
    pub fn flags(&self) -> Vec<String> {
        flags(&self.dir, self.port)
    }

    /// Starts it and waits until it serves.
    pub fn start(&mut self) {
        self.spawn();
        assert!(self.ready_or_ended(), "it ended\n{}", self.printed());
    }

    /// Waits until it serves (true) or has ended by itself.
    pub fn ready_or_ended(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while !healthy(&self.endpoint()) {
            let child = self.child.as_mut().expect("it was started");
            if child.try_wait().expect("a child of ours").is_some() {
                return false;
            }
            assert!(Instant::now() < until, "it is not ready\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(30));
        }
        true
    }

    /// Starts it and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let mut command = match self.prefix.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(orlop());
                command
            }
            None => Command::new(orlop()),
        };
        command.arg("etcd").args(self.flags()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// Sends it a signal and waits for its end.
    pub fn end(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.as_ref().expect("it runs").id();
        send_signal(pid, signal);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let ended = wait(&mut child);
        ended.unwrap_or_else(|| panic!("it does not end\n{}", self.printed()))
    }

    /// What it has printed so far, in all its lives.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The flags of a member alone: client port `port`, peer port one above.
pub fn flags(dir: &Path, port: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
    vec![
        "--name=n1".to_string(),
        format!("--data-dir={}", dir.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=n1={peer}"),
    ]
}

pub fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.expect("kill is a program").success(), "{signal} reaches {pid}");
}

/// The end of a child; killed and `None` when it does not come.
pub fn wait(child: &mut Child) -> Option<ExitStatus> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("a child of ours");
    let _ = child.wait();
    None
}

/// Runs a server that must refuse to start: its exit code and what it says on standard error.
pub fn refusal(program: &Path, args: &[String]) -> (i32, String) {
    let words = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(words.reopen().expect("a handle")).spawn().expect("it starts");
    let status = wait(&mut child);
    let said = fs::read_to_string(words.path()).expect("its words");
    let status = status.unwrap_or_else(|| panic!("not refused: {args:?}\n{said}"));
    (status.code().unwrap_or(-1), said)
}

/// `orlop etcd` with these flags must be refused with `code`, and say all of `texts`.
pub fn refused(args: &[String], code: i32, texts: &[&str]) -> String {
    let all: Vec<String> = std::iter::once("etcd".to_string()).chain(args.iter().cloned()).collect();
    let (found, said) = refusal(&orlop(), &all);
    assert_eq!(found, code, "{args:?}\n{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in what {args:?} says:\n{said}");
    }
    said
}

/// Every file below `dir`: its length, a hash of its bytes, and when it was last written.
pub fn image(dir: &Path) -> BTreeMap<PathBuf, (u64, u64, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.insert(path.clone(), (0, 0, SystemTime::UNIX_EPOCH));
            files.extend(image(&path));
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let written = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
        files.insert(path, (bytes.len() as u64, hasher.finish(), written));
    }
    files
}

/// A client of one member.
pub async fn client(endpoint: &str) -> Client {
    let options = Options {
        dial_timeout: Duration::from_millis(500),
        command_timeout: Some(Duration::from_secs(5)),
        ..Options::default()
    };
    Client::connect(vec![endpoint.to_string()], options).await.expect("an endpoint of ours")
}

/// Puts `key`, with a value of `bytes` bytes that is made of the key.
pub async fn put(client: &Client, key: &str, bytes: usize) -> Result<(), KvError> {
    let request =
        PutRequest { key: Bytes::from(key.to_string()), value: value(key, bytes), ..Default::default() };
    client.put(request).await.map(drop)
}

fn value(key: &str, bytes: usize) -> Bytes {
    key.bytes().cycle().take(bytes).collect()
}

/// Every key from `prefix` on that a member holds. The values must be what [`put`] wrote.
pub async fn keys(client: &Client, prefix: &str, serializable: bool) -> BTreeSet<String> {
    let end = format!("{prefix}\u{7f}");
    let request = RangeRequest {
        key: Bytes::from(prefix.to_string()),
        range_end: Bytes::from(end),
        serializable,
        ..Default::default()
    };
    let found = client.range(request).await.expect("a healthy member answers");
    let checked = |kv: &kernel::types::KeyValue| {
        let key = String::from_utf8(kv.key.to_vec()).expect("keys of ours");
        assert_eq!(kv.value, value(&key, kv.value.len()), "{key} has a value that nobody wrote");
        key
    };
    found.kvs.iter().map(checked).collect()
}

/// A runtime for the test's clients.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}
