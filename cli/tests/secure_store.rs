//! Clients of ours and a real etcd that wants TLS from both sides, and knows its users.

mod common;

use common::{orlop, reference};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where the server listens.
const ENDPOINT: &str = "localhost:29379";

/// A server that ends with the test.
struct Secure {
    folder: tempfile::TempDir,
    server: Child,
    etcdctl: PathBuf,
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Secure {
    fn start() -> Option<Secure> {
        let etcd = reference("ORLOP_TEST_ETCD")?;
        let etcdctl = reference("ORLOP_TEST_ETCDCTL")?;
        let folder = tempfile::tempdir().expect("a folder");
        certificates(folder.path());
        let url = format!("https://{ENDPOINT}");
        let server = Command::new(etcd)
            .current_dir(folder.path())
            .args(["--data-dir=data", "--cert-file=server.pem", "--key-file=server.key"])
            .args([
                "--trusted-ca-file=ca.pem",
                "--client-cert-auth",
                "--listen-peer-urls=http://127.0.0.1:29380",
            ])
            .args(["--listen-client-urls=https://127.0.0.1:29379", "--advertise-client-urls", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        let secure = Secure { folder, server, etcdctl };
        let until = Instant::now() + Duration::from_secs(30);
        while !secure.real(&["endpoint", "health"]).status.success() {
            assert!(Instant::now() < until, "etcd does not serve");
            std::thread::sleep(Duration::from_millis(100));
        }
        for line in ["user add root:secret", "user grant-role root root", "auth enable"] {
            let done = secure.real(&line.split(' ').collect::<Vec<_>>());
            assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Some(secure)
    }

    fn real(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.etcdctl);
        command.env("ETCDCTL_API", "3");
        self.run(command, &["--cacert=ca.pem", "--cert=client.pem", "--key=client.key"], args)
    }

    fn ours(&self, flags: &[&str], args: &[&str]) -> Output {
        let mut command = Command::new(orlop());
        command.arg("etcdctl");
        self.run(command, flags, args)
    }

    fn run(&self, mut command: Command, flags: &[&str], args: &[&str]) -> Output {
        command.current_dir(self.folder.path()).arg("--endpoints").arg(ENDPOINT).args(flags).args(args);
        command.output().expect("the client starts")
    }
}

/// An authority, and a certificate of it for the server and for the client.
fn certificates(folder: &Path) {
    let openssl = |args: &str| {
        let done =
            Command::new("openssl").args(args.split(' ')).current_dir(folder).output().expect("openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -addext basicConstraints=critical,CA:TRUE"
    ));
    for (name, subject) in [("server", "/CN=server"), ("client", "/O=clients")] {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.pem -subj {subject} -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ));
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_store_with_tls_and_users_is_read_and_written() {
    let Some(secure) = Secure::start() else { return };
    let files = ["--cacert=ca.pem", "--cert=client.pem", "--key=client.key"];
    let user = |extra: &'static str| files.iter().copied().chain([extra]).collect::<Vec<_>>();
    let root = user("--user=root:secret");

    assert_eq!(text(&secure.ours(&root, &["put", "a", "1"])), "OK\n");
    assert_eq!(text(&secure.ours(&root, &["get", "a"])), "a\n1\n");
    let lease = text(&secure.ours(&root, &["lease", "grant", "60"]));
    let id = lease.split(' ').nth(1).expect("an id");
    assert!(text(&secure.ours(&root, &["lease", "keep-alive", "--once", id])).contains("keepalived"));

    let nobody = secure.ours(&files, &["get", "a"]);
    assert!(!nobody.status.success() && text(&nobody).contains("permission denied"), "{}", text(&nobody));
    let wrong = secure.ours(&user("--user=root:wrong"), &["get", "a"]);
    assert!(
        !wrong.status.success() && text(&wrong).contains("invalid user ID or password"),
        "{}",
        text(&wrong)
    );

    // Whom the client does not know, it does not talk to, unless it is told to.
    let quick = ["--command-timeout=2s", "--cert=client.pem", "--key=client.key", "--user=root:secret"];
    let stranger = secure.ours(&quick, &["get", "a"]);
    assert!(!stranger.status.success(), "{}", text(&stranger));
    let trusting = [&quick[..], &["--insecure-skip-tls-verify"]].concat();
    assert_eq!(text(&secure.ours(&trusting, &["get", "a"])), "a\n1\n");

    let missing = secure.ours(&["--cacert=none.pem"], &["get", "a"]);
    assert!(text(&missing).contains("--cacert none.pem"), "{}", text(&missing));
}
