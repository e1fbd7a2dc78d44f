//! Runs flanneld to its end.
//!
//! The order of a start: the rights, the lock, the port of the pages, the kernel, then the agent; the store need not be there
//! yet. systemd is told READY=1 when the machine's containers can use the network. SIGTERM or SIGINT ends it and leaves the data path as
//! it is; a second signal does not wait. SIGUSR1 prints the state as JSON on standard output.

use super::config::FlanneldConfig;
use super::parts::Parts;
use crate::etcd::Refusal;
use crate::log::Log;
use crate::output::print_line;
use io_real::client::{self, Client};
use kernel::Kv;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often a flanneld that starts is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(50);

/// Runs it.
pub fn run(config: &FlanneldConfig, settings: &Value, log: &Log) -> Result<(), Refusal> {
    log.end_on_panic();
    // One thread is plenty for one machine's leases, and each further one would cost memory; packets have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::start(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(serve(config, settings, log))
}

async fn serve(config: &FlanneldConfig, settings: &Value, log: &Log) -> Result<(), Refusal> {
    let mut signals = Signals::new()?;
    let parts = Parts::start(config, store(config).await?, log).await?;
    log.info(
        "starting flanneld",
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "etcd-endpoints": config.servers,
            "etcd-prefix": config.prefix,
            "subnet-file": config.subnet_file,
            "pages": parts.pages(),
        }),
    );
    let trimming = tokio::spawn(io_real::trim::keep_small());
    let mut is_ready = false;
    let name = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Dump => print_line(&json!({ "agent": parts.status(), "settings": settings }).to_string()),
                Asked::End(name) => break name,
            },
            () = tokio::time::sleep(READY_POLL), if !is_ready => {
                is_ready = parts.status().ready;
                if is_ready {
                    io_real::trim::give_back();
                    crate::etcd::serve::notify_ready();
                }
            }
        }
    };
    log.info("received signal; shutting down, packets go on", json!({ "signal": name }));
    tokio::select! {
        () = parts.stop() => {}
        () = signals.end() => return Err(Refusal::start("interrupted while flanneld was stopping")),
    }
    trimming.abort();
    log.info("flanneld has ended", json!({}));
    Ok(())
}

/// The way to the store.
async fn store(config: &FlanneldConfig) -> Result<Arc<dyn Kv>, Refusal> {
    let options = config.security.apply(client::Options::default());
    let options = options.map_err(|why| Refusal::start(format!("--{why}")))?;
    let client = Client::connect(config.servers.clone(), options)
        .await
        .map_err(|error| Refusal::start(format!("--etcd-endpoints={}: {error}", config.servers.join(","))))?;
    Ok(Arc::new(client))
}

/// What a signal asks for.
enum Asked {
    Dump,
    End(&'static str),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    dump: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Refusal> {
        let listen = |kind| {
            signal(kind).map_err(|error| Refusal::start(format!("cannot listen for signals: {error}")))
        };
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            dump: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("terminated"),
            _ = self.interrupt.recv() => Asked::End("interrupt"),
            _ = self.dump.recv() => Asked::Dump,
        }
    }

    /// Waits for one that asks for an end.
    async fn end(&mut self) {
        while !matches!(self.next().await, Asked::End(_)) {}
    }
}
