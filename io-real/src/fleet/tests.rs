//! The edge with a service that is told what to answer, over real sockets of this machine.

use super::figures::{Figure, Figures};
use super::*;
use fleet::api::{Body, Request, Response, Service};
use fleet::local::{JournalRequest, Lines, Local};
use kernel::BoxFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TOKEN: &str = "0123456789abcdef-token";

/// Says what it was asked; `/stream` never ends.
struct Echo;

struct Endless(u32);

impl Lines for Endless {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<u8>>> {
        self.0 += 1;
        let number = self.0;
        Box::pin(async move {
            if number > 1 {
                std::future::pending::<()>().await;
            }
            Some(b"first\n".to_vec())
        })
    }
}

impl Service for Echo {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            if request.path == "/stream" {
                return Response {
                    status: 200,
                    headers: Vec::new(),
                    body: Body::Stream(Box::new(Endless(0)), "text/plain"),
                };
            }
            let said =
                format!("{} {} {} {}", request.method, request.path, request.query, request.body.len());
            Response {
                status: 200,
                headers: vec![("fleet-exit-code", "3".into())],
                body: Body::Text(said.into()),
            }
        })
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn run(listeners: Vec<Listener>, tokens: Option<Tokens>) -> Running {
    let figure = Figure { kind: "gauge", name: "fleet_units", help: "Units here.", value: 7.0 };
    let options = Options {
        version: "1.0".into(),
        tokens,
        tls: None,
        figures: Figures::new(Arc::new(move || vec![figure.clone()])),
        grace: Duration::from_secs(2),
    };
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(serve(listeners, Arc::new(Echo), options, shutdown));
    Running { stop, task }
}

async fn ask(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\n\r\n")
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub/fleet.sock");
    (folder, path)
}

#[tokio::test]
async fn serves_a_unix_socket_and_leaves_nothing_behind() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = socket();
    let running = run(vec![Listener::unix(&path).unwrap()], None);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let answer = ask(&path, &get("/fleet/v1/units?x=1")).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("server: fleetd/1.0\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("fleet-exit-code: 3\r\n") && answer.ends_with("GET /fleet/v1/units x=1 0"),
        "{answer}"
    );
    let page = ask(&path, &get("/metrics")).await;
    assert!(page.contains("fleet_units 7\n") && page.contains("process_resident_memory_bytes"), "{page}");
    assert!(page.contains("fleet_http_requests_total{method=\"GET\",code=\"200\"} 1\n"), "{page}");
    drop(running.stop);
    running.task.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn refuses_a_body_that_is_too_large() {
    let (_folder, path) = socket();
    let _running = run(vec![Listener::unix(&path).unwrap()], None);
    let size = server::BODY_BYTES_MAX + 1;
    let head =
        format!("PUT /x HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n");
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_stream_ends_with_the_server() {
    let (_folder, path) = socket();
    let running = run(vec![Listener::unix(&path).unwrap()], None);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(get("/stream").as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("first") {
        let mut piece = [0; 256];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "ended early");
        seen.extend(&piece[..read]);
    }
    drop(running.stop);
    stream.read_to_end(&mut seen).await.unwrap();
    assert!(seen.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&seen));
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_served_socket_is_not_taken_and_a_dead_one_is() {
    let (_folder, path) = socket();
    let first = Listener::unix(&path).unwrap();
    let refused = Listener::unix(&path).err().unwrap().to_string();
    assert!(refused.contains("another program serves this socket"), "{refused}");
    // As a killed process leaves it: the file without anybody behind.
    let elsewhere = path.with_file_name("left");
    std::fs::rename(&path, &elsewhere).unwrap();
    drop(first);
    std::fs::rename(&elsewhere, &path).unwrap();
    assert!(Listener::unix(&path).is_ok());
    std::fs::write(&path, "a file").unwrap();
    assert!(Listener::unix(&path).err().unwrap().to_string().contains("no socket"));
}

#[tokio::test]
async fn tcp_asks_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("# ours\n\n{TOKEN}\nanother-token-of-ours\n")).unwrap();
    let tokens = Tokens::read(&file).unwrap();
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    let _running = run(vec![listener], Some(tokens.clone()));
    let ask = async |authorization: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /x HTTP/1.1\r\nHost: f\r\nConnection: close\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let refused = ask("").await;
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("www-authenticate: Bearer"), "{refused}");
    assert!(ask("Authorization: Bearer 0123456789abcdef-toke\r\n").await.starts_with("HTTP/1.1 401"));
    assert!(ask(&format!("Authorization: Basic {TOKEN}\r\n")).await.starts_with("HTTP/1.1 401"));
    assert!(ask(&format!("Authorization: bearer {TOKEN}\r\n")).await.starts_with("HTTP/1.1 200"));
    assert_eq!(tokens.own(), TOKEN);
    // A changed file counts at once; a broken one changes nothing.
    std::fs::write(&file, "only-this-token-now\n").unwrap();
    tokens.read_again(&file).unwrap();
    assert!(ask(&format!("Authorization: Bearer {TOKEN}\r\n")).await.starts_with("HTTP/1.1 401"));
    std::fs::write(&file, "short\n").unwrap();
    assert!(tokens.read_again(&file).unwrap_err().to_string().contains("line 1"));
    assert!(ask("Authorization: Bearer only-this-token-now\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_program_that_is_missing_or_fails_is_told() {
    let programs = Programs::new(false);
    let request =
        JournalRequest { unit: "no-such.service".into(), lines: 1, follow: false, output: "nonsense".into() };
    // Whether journalctl is here or not, this cannot work, and the text says which program it was.
    let error = programs.journal(request).await.err().unwrap().to_string();
    assert!(error.contains("journalctl"), "{error}");
}

/// An authority and a certificate of it, both made here, for as long as the test runs. `None` without the openssl program.
fn pki(folder: &Path) -> Option<TlsFiles> {
    let openssl = |args: &str| {
        let args: Vec<&str> = args.split(' ').collect();
        let done = std::process::Command::new("openssl").args(args).current_dir(folder).output().ok()?;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -addext basicConstraints=critical,CA:TRUE"
    ))?;
    for name in ["server", "client"] {
        openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name} -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ))?;
    }
    let path = |name: &str| folder.join(name);
    Some(TlsFiles {
        certificate: path("server.pem"),
        key: path("server.key"),
        client_authority: Some(path("ca.pem")),
    })
}

#[tokio::test]
async fn tls_lets_in_who_has_a_certificate() {
    use crate::fleet_client::{
        Endpoint, HttpTransport, Options as ClientOptions, TlsFiles as ClientFiles, Transport,
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(files) = pki(folder.path()) else {
        crate::skip::skipped("there is no openssl here");
        return;
    };
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.address().unwrap().port();
    let options = Options {
        version: "1.0".into(),
        tokens: None,
        tls: Some(TlsServer::read(&files).unwrap()),
        figures: Figures::new(Arc::new(Vec::new)),
        grace: Duration::from_secs(2),
    };
    let _task = tokio::spawn(serve(vec![listener], Arc::new(Echo), options, std::future::pending::<()>()));
    let ask = async |identity: bool| {
        let path = |name: &str| identity.then(|| folder.path().join(name));
        let tls = ClientFiles {
            authorities: Some(folder.path().join("ca.pem")),
            certificate: path("client.pem"),
            key: path("client.key"),
            skip_verify: false,
        };
        let transport = HttpTransport::new(ClientOptions {
            endpoint: Endpoint::parse(&format!("https://localhost:{port}")).unwrap(),
            through: None,
            tls,
            token: None,
            dial_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
        });
        let request =
            crate::fleet_client::Request { method: http::Method::GET, target: "/x".into(), body: None };
        transport.unwrap().send(request).await.map(|answer| answer.status)
    };
    assert_eq!(ask(true).await, Ok(200));
    assert!(ask(false).await.is_err(), "without a certificate nobody is let in");
    let missing = TlsFiles { key: folder.path().join("none"), ..files };
    assert!(TlsServer::read(&missing).err().unwrap().to_string().contains("none"));
}
