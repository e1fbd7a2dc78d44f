//! The client of fleet's API against servers that behave in turn well, briefly, slowly and wrongly.

use http::Method;
use io_real::fleet_client::{ClientError, Endpoint, FleetClient, HttpTransport, Options, TlsFiles};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// What a server does with the request of that number on a connection: bytes to send, and whether to close after them.
type Script = fn(target: &str, number: usize) -> (String, bool);

/// A server on a socket that counts its connections.
struct Server {
    dir: tempfile::TempDir,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start(script: Script) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, script));
            }
        });
        Server { dir, connections }
    }

    fn client(&self) -> FleetClient {
        let endpoint = Endpoint::parse(&format!("unix://{}", self.dir.path().join("s").display())).unwrap();
        let options = Options {
            endpoint,
            through: None,
            tls: TlsFiles::default(),
            token: Some("secret".into()),
            dial_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_millis(300),
        };
        FleetClient::new(Arc::new(HttpTransport::new(options).unwrap()))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(stream: UnixStream, script: Script) {
    let mut stream = BufReader::new(stream);
    for number in 0.. {
        let (mut target, mut length, mut authorized) = (String::new(), 0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(rest) = line.to_lowercase().strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap();
            }
            authorized |= line.to_lowercase().starts_with("authorization: bearer secret");
            match line.split(' ').nth(1) {
                Some(word) if target.is_empty() => target = word.to_string(),
                _ if line.trim().is_empty() => break,
                _ => {}
            }
        }
        assert!(authorized, "every call carries the token");
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        let (bytes, close) = script(&target, number);
        stream.write_all(bytes.as_bytes()).await.unwrap();
        if close {
            return;
        }
    }
}

fn document(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn calls_share_a_connection_and_survive_its_end() {
    let kept = Server::start(|_, _| (document(200, r#"{"name":"a.service"}"#), false));
    let client = kept.client();
    for _ in 0..5 {
        assert_eq!(client.unit("a.service").await.unwrap().unwrap().name, "a.service");
    }
    assert_eq!(kept.connections(), 1);
    let closing = Server::start(|_, _| (document(200, r#"{"name":"a.service"}"#), true));
    let client = closing.client();
    for _ in 0..5 {
        client.unit("a.service").await.unwrap();
        // The end of the connection may or may not have been seen when the next call goes out.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(closing.connections(), 5);
}

#[tokio::test]
async fn refusals_carry_the_servers_words() {
    let server = Server::start(|target, _| match target {
        "/fleet/v1/units/absent.service" => {
            (document(404, r#"{"error":{"code":404,"message":"gone"}}"#), false)
        }
        "/fleet/v1/machines" => (document(503, r#"{"error":{"code":503,"message":"no etcd"}}"#), false),
        _ => (document(500, "oops"), false),
    });
    let client = server.client();
    assert_eq!(client.unit("absent.service").await, Ok(None));
    assert_eq!(client.destroy("absent.service").await, Ok(false));
    let refused = |status, message: &str| ClientError::Refused { status, message: message.into() };
    assert_eq!(client.machines().await, Err(refused(503, "no etcd")));
    assert_eq!(client.units().await, Err(refused(500, "Internal Server Error")));
}

#[tokio::test]
async fn pages_are_joined_and_a_page_without_end_is_not_followed() {
    let server = Server::start(|target, _| match target {
        "/fleet/v1/units" => (document(200, r#"{"units":[{"name":"a"}],"nextPageToken":"t=="}"#), false),
        "/fleet/v1/units?nextPageToken=t%3D%3D" => (document(200, r#"{"units":[{"name":"b"}]}"#), false),
        _ => (document(200, r#"{"states":null,"nextPageToken":"x"}"#), false),
    });
    let client = server.client();
    let names: Vec<String> = client.units().await.unwrap().into_iter().map(|unit| unit.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(matches!(client.states("").await, Err(ClientError::Garbled(text)) if text.contains("page")));
}

#[tokio::test]
async fn a_silent_or_lost_server_is_told_from_a_refusing_one() {
    let silent = Server::start(|_, _| (String::new(), false));
    let error = silent.client().machines().await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { why, .. } if why.contains("300ms")), "{error}");
    let lost = Server::start(|_, _| ("HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{".to_string(), true));
    let error = lost.client().machines().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let garbled = Server::start(|_, _| (document(200, "<html>"), false));
    assert!(matches!(garbled.client().machines().await, Err(ClientError::Garbled(_))));
    drop(std::fs::remove_file(garbled.dir.path().join("s")));
    let error = garbled.client().machines().await.unwrap_err().to_string();
    assert!(error.starts_with("cannot reach fleetd at unix:///"), "{error}");
}

#[tokio::test]
async fn a_stream_is_read_while_other_calls_go_on() {
    let server = Server::start(|target, _| match target {
        "/fleet/v1/events" => {
            ("HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n".to_string(), false)
        }
        _ => (document(204, ""), false),
    });
    let client = server.client();
    let mut events = client.call(Method::GET, "events", None::<Value>).await.unwrap();
    assert_eq!(events.body.next().await.unwrap().unwrap(), "{}");
    client.set_desired("a.service", "launched").await.unwrap();
    assert_eq!(server.connections(), 2);
    let later = tokio::time::timeout(Duration::from_millis(500), events.body.next()).await;
    assert!(later.is_err(), "a stream may be silent for longer than an answer may take");
}
