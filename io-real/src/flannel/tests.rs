//! The pages, asked for over a socket.

use super::{Pages, Source, bind};
use crate::fleet::figures::Figure;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Default)]
struct Fake {
    ready: AtomicBool,
}

impl Source for Fake {
    fn is_ready(&self) -> bool {
        self.ready.load(SeqCst)
    }

    fn state(&self) -> String {
        "no config at /coreos.com/network/config".into()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure { kind: "gauge", name: "flannel_peers", help: "Peers served.", value: 3.0 }]
    }

    fn status(&self) -> Value {
        json!({ "ready": self.is_ready() })
    }
}

async fn ask(pages: &Pages, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(pages.address()).await.expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it takes the request");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it answers");
    text
}

#[tokio::test]
async fn pages_say_how_the_daemon_is() {
    let fake = Arc::new(Fake::default());
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let pages = Pages::serve(listener, fake.clone());
    assert!(ask(&pages, "GET", "/healthz").await.starts_with("HTTP/1.1 200 "));
    let early = ask(&pages, "GET", "/readyz").await;
    assert!(early.starts_with("HTTP/1.1 503 ") && early.contains("no config at"), "{early}");
    fake.ready.store(true, SeqCst);
    assert!(ask(&pages, "GET", "/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&pages, "GET", "/status").await.ends_with("{\"ready\":true}\n"));
    let metrics = ask(&pages, "GET", "/metrics").await;
    assert!(metrics.contains("# TYPE flannel_peers gauge\nflannel_peers 3\n"), "{metrics}");
    assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
    assert!(ask(&pages, "GET", "/other").await.starts_with("HTTP/1.1 404 "));
    let refused = ask(&pages, "POST", "/healthz").await;
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD"), "{refused}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = bind(first.local_addr().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("healthz-port"), "{error}");
}
