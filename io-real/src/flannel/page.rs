//! What each page says.

use super::Source;
use crate::fleet::figures::Figure;
use crate::process;
use std::fmt::Write;

/// A page: its status, its media type, its text.
pub(super) type Page = (u16, &'static str, String);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page at `path`.
pub(super) fn page(source: &dyn Source, path: &str) -> Page {
    match path {
        "/healthz" => (200, TEXT, "flanneld is running\n".into()),
        "/readyz" if source.is_ready() => (200, TEXT, "flanneld is ready\n".into()),
        "/readyz" => (503, TEXT, format!("flanneld is not ready: {}\n", source.state())),
        "/metrics" => (200, PROMETHEUS, metrics(&source.figures())),
        "/status" => (200, JSON, format!("{}\n", source.status())),
        _ => (404, TEXT, "there are /healthz, /readyz, /metrics and /status\n".into()),
    }
}

/// Prometheus' text form, the process's own figures behind the daemon's.
fn metrics(figures: &[Figure]) -> String {
    let mut page = String::new();
    let mut row = |kind: &str, name: &str, help: &str, value: f64| {
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            .expect("a string takes everything");
    };
    for Figure { kind, name, help, value } in figures {
        row(kind, name, help, *value);
    }
    for (kind, name, help, value) in process::figures() {
        row(kind, name, help, value);
    }
    page
}
