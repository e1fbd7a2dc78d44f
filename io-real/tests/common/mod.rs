//! What the tests of this crate share: a real etcd as a child process, and ports that are free.
#![allow(dead_code)]

pub mod fake;
pub mod relay;
pub mod served;
pub mod suite;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Names the etcd binary to test against; tests that need it are skipped without.
const ETCD_VARIABLE: &str = "ORLOP_TEST_ETCD";

/// A port on loopback that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One running etcd with a data folder of its own; ended and removed when dropped.
pub struct Etcd {
    process: Child,
    /// "127.0.0.1:port" for clients.
    pub endpoint: String,
    _folder: tempfile::TempDir,
}

impl Etcd {
    /// Starts one, or says why not and returns `None`.
    pub fn start() -> Option<Etcd> {
        let Some(binary) = std::env::var_os(ETCD_VARIABLE) else {
            io_real::skip::skipped(&format!("{ETCD_VARIABLE} does not name an etcd binary"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let endpoint = format!("127.0.0.1:{}", free_port());
        let (client, peer) = (format!("http://{endpoint}"), format!("http://127.0.0.1:{}", free_port()));
        let process = Command::new(binary)
            .args(["--name", "m0", "--log-level", "error", "--data-dir"])
            .arg(folder.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m0={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the named etcd binary starts");
        Some(Etcd { process, endpoint, _folder: folder })
    }

    /// Ends it at once, as a power loss would.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
