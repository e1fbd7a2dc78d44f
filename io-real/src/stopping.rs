//! The word that a server is stopping: said once, heard by every connection and stream.

use tokio::sync::watch;

/// Says it.
pub(crate) struct Stop(watch::Sender<bool>);

/// Hears it. Clones hear it too.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<bool>);

/// The two ends.
pub(crate) fn stopping() -> (Stop, Stopping) {
    let (stop, stopping) = watch::channel(false);
    (Stop(stop), Stopping(stopping))
}

impl Stop {
    /// The server stops now.
    pub fn say(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Whether it was said.
    pub fn said(&self) -> bool {
        *self.0.borrow()
    }

    /// Ready when it is said, or when the server is gone. Cancel-safe.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|said| *said).await;
    }
}
