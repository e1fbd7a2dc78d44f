//! A server of this crate on a free port of loopback, with the means to stop it and to read its plain pages.

use io_real::served::Served;
use io_real::server::{Options, bind, serve};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// One running server.
pub struct Server {
    /// "127.0.0.1:port".
    pub endpoint: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Server {
    /// Serves `member`.
    pub async fn start(member: Arc<dyn Served>, options: Options) -> Server {
        let listeners = bind("127.0.0.1:0").await.unwrap();
        let endpoint = listeners[0].local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(serve(listeners, member, options, async {
            let _ = stopped.await;
        }));
        Server { endpoint, stop, running }
    }

    /// Stops it and waits until it has ended.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.running.await.unwrap();
    }

    /// The whole answer to a plain request: head and body.
    pub async fn ask(&self, method: &str, path: &str) -> String {
        let mut tcp = TcpStream::connect(&self.endpoint).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Status and body of a page.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask("GET", path).await;
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
    }
}
