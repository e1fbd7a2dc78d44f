//! The parts of a running flanneld put together: the kernel, a store, the agent, and the pages that show it.

use super::config::FlanneldConfig;
use super::figures::figures;
use super::machine;
use crate::etcd::Refusal;
use crate::lock;
use crate::log::Log;
use flannel::agent::{Line, Status};
use flannel::daemon::Flanneld;
use io_real::flannel::{Pages, Source, bind};
use io_real::fleet::figures::Figure;
use io_real::links::{LocalMachine, NetLinks};
use io_real::tun::RealTun;
use kernel::Kv;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// What runs.
pub struct Parts {
    flanneld: Flanneld,
    pages: Option<Pages>,
    _lock: File,
}

impl Parts {
    /// Starts agent and pages over this store. What cannot work is told before anything is touched; the store, the config and
    /// the interface may come later.
    pub async fn start(config: &FlanneldConfig, kv: Arc<dyn Kv>, log: &Log) -> Result<Parts, Refusal> {
        machine::check_rights()?;
        let folder = config.subnet_file.parent().unwrap_or(Path::new("/"));
        let lock = lock::take("flanneld", "subnet-file's folder", folder)?;
        let listener = match config.health {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let links =
            NetLinks::open().map_err(|error| Refusal::start(format!("no way to the kernel: {error}")))?;
        let local = LocalMachine::new(config.subnet_file.clone());
        let flanneld = Flanneld::start(
            io_real::ports::io(folder),
            kv,
            Arc::new(links),
            Arc::new(RealTun),
            Arc::new(local),
            config.agent(),
            lines(log),
        );
        let source = Arc::new(Shown(flanneld.clone()));
        let pages = listener.map(|listener| Pages::serve(listener, source));
        Ok(Parts { flanneld, pages, _lock: lock })
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.flanneld.status()
    }

    /// Where the pages are served.
    pub fn pages(&self) -> Option<String> {
        self.pages.as_ref().map(|pages| format!("http://{}", pages.address()))
    }

    /// Ends it. Packets go on: device, routes, rules, lease and subnet.env stay, except for what a TUN device takes with it.
    pub async fn stop(self) {
        self.flanneld.stop().await;
    }
}

/// The agent's lines, on the log.
fn lines(log: &Log) -> flannel::agent::Log {
    let log = log.clone();
    Arc::new(move |line: Line| match line.trouble {
        true => log.warn(&line.text, json!({})),
        false => log.info(&line.text, json!({})),
    })
}

/// The agent, as the pages show it.
struct Shown(Flanneld);

impl Source for Shown {
    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn state(&self) -> String {
        let status = self.0.status();
        status.last_error.unwrap_or(status.state)
    }

    fn figures(&self) -> Vec<Figure> {
        figures(&self.0.status())
    }

    fn status(&self) -> Value {
        json!({ "version": env!("CARGO_PKG_VERSION"), "agent": self.0.status() })
    }
}
