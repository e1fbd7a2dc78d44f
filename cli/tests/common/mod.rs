//! Real processes for the tests of the program: members of a cluster on loopback, orlop's or etcd's, with one set of flags.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub fn orlop() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_orlop"))
}

/// A program that a test compares with, named by the environment variable `name`. Without it the test is skipped, which
/// `.ci/run` treats as a failure.
pub fn reference(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).map(PathBuf::from).filter(|path| path.exists());
    if path.is_none() {
        io_real::skip::skipped(&format!("{name} does not name a program; .ci/run fetches it"));
    }
    path
}

/// Which server a member runs.
#[derive(Clone)]
pub enum Server {
    /// `orlop etcd`.
    Orlop,
    /// A real etcd at this path.
    Etcd(PathBuf),
}

/// A static cluster on 127.0.0.2 and up.
pub struct Cluster {
    server: Server,
    dir: tempfile::TempDir,
    port: u16,
    size: usize,
    members: Vec<Option<Child>>,
}

impl Cluster {
    /// Starts `size` members and waits until each serves. Client port `port`, peer port one above.
    pub fn start(server: Server, size: usize, port: u16) -> Cluster {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut cluster = Cluster { server, dir, port, size, members: Vec::new() };
        cluster.members.resize_with(size, || None);
        (0..size).for_each(|member| cluster.start_member(member));
        cluster.wait_ready();
        cluster
    }

    /// Address of a member's client port.
    pub fn endpoint(&self, member: usize) -> String {
        format!("127.0.0.{}:{}", member + 2, self.port)
    }

    /// All of them.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.size).map(|member| self.endpoint(member)).collect()
    }

    fn peer_url(&self, member: usize) -> String {
        format!("http://127.0.0.{}:{}", member + 2, self.port + 1)
    }

    /// Starts a member that does not run.
    pub fn start_member(&mut self, member: usize) {
        assert!(self.members[member].is_none(), "member {member} runs");
        let all =
            (0..self.size).map(|i| format!("n{}={}", i + 1, self.peer_url(i))).collect::<Vec<_>>().join(",");
        let client = format!("http://{}", self.endpoint(member));
        let mut command = match &self.server {
            Server::Orlop => {
                let mut command = Command::new(orlop());
                command.arg("etcd");
                command
            }
            Server::Etcd(path) => Command::new(path),
        };
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log(member)).expect("a log file");
        command
            .args(["--name", &format!("n{}", member + 1)])
            .args(["--data-dir", &self.data_dir(member).to_string_lossy()])
            .args(["--listen-peer-urls", &self.peer_url(member)])
            .args(["--initial-advertise-peer-urls", &self.peer_url(member)])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--initial-cluster", &all, "--initial-cluster-state", "new"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        self.members[member] = Some(command.spawn().expect("the server starts"));
    }

    /// Where a member keeps its data.
    pub fn data_dir(&self, member: usize) -> PathBuf {
        self.dir.path().join(format!("n{}", member + 1))
    }

    fn log(&self, member: usize) -> PathBuf {
        self.dir.path().join(format!("n{}.log", member + 1))
    }

    /// What a member has printed so far.
    pub fn printed(&self, member: usize) -> String {
        fs::read_to_string(self.log(member)).unwrap_or_default()
    }

    /// Waits until every member serves.
    pub fn wait_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(30);
        for member in 0..self.size {
            while !healthy(&self.endpoint(member)) {
                let ended = self.members[member].as_mut().and_then(|child| child.try_wait().ok().flatten());
                assert!(ended.is_none(), "member {member} ended: {ended:?}\n{}", self.printed(member));
                assert!(Instant::now() < until, "member {member} is not ready\n{}", self.printed(member));
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Ends a member as a power switch does, as far as a process can.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
    }

    /// Waits for a member that ends by itself.
    pub fn wait_end(&mut self, member: usize) -> std::process::ExitStatus {
        let until = Instant::now() + Duration::from_secs(20);
        let mut child = self.members[member].take().expect("it was started");
        loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                return status;
            }
            if Instant::now() >= until {
                let _ = child.kill();
                panic!("member {member} does not end\n{}", self.printed(member));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The pid of a running member.
    pub fn pid(&self, member: usize) -> Option<u32> {
        self.members[member].as_ref().map(Child::id)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.size).for_each(|member| self.kill(member));
    }
}

/// Whether a member answers `/health` with yes: it has a leader and can read.
pub fn healthy(endpoint: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(endpoint) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let request = format!("GET /health HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.contains(r#""health":"true""#)
}

/// Runs a program to its end with `input`; its exit code, standard output and standard error.
pub fn run(
    program: &Path,
    args: &[&str],
    environment: &[(&str, &str)],
    input: &str,
) -> (i32, String, String) {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(args)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the client reads");
    let output = child.wait_with_output().expect("the client ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
