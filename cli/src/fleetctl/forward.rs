//! `fd-forward SOCKET`: standard input and output joined to a unix socket. It is the far end of `--tunnel`.

use super::args::Line;
use super::failure::Failure;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Joins them until the socket's side has ended. The end of our input is passed on, and what is still to come is waited for.
pub async fn forward(line: &Line<'_>) -> Result<(), Failure> {
    let path = line.only_arg("Provide a single argument: the path of a unix socket")?;
    let socket = UnixStream::connect(&path).await;
    let socket = socket.map_err(|error| Failure::error(format!("cannot connect to {path}: {error}")))?;
    let (mut from_socket, mut to_socket) = socket.into_split();
    let upwards = tokio::spawn(async move { copy(&mut tokio::io::stdin(), &mut to_socket).await });
    let downwards = copy(&mut from_socket, &mut tokio::io::stdout()).await;
    upwards.abort();
    downwards.map_err(|error| Failure::error(format!("{path}: {error}")))
}

async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    tokio::io::copy(from, to).await?;
    to.shutdown().await
}
