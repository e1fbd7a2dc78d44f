//! `/metrics`: what was counted, in the text form that Prometheus reads.

use crate::process;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

/// The media type.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The methods that are counted by name: a client cannot make the table grow.
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];

/// One figure of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// `counter`, `gauge` or `summary`; of a summary the sum and the count follow each other.
    pub kind: &'static str,
    /// The name, with its unit and its labels.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// How much.
    pub value: f64,
}

/// Where the daemon's own figures come from.
pub type Source = Arc<dyn Fn() -> Vec<Figure> + Send + Sync>;

/// What is counted at the edge, and where the rest comes from. Clones count together.
#[derive(Clone)]
pub struct Figures {
    requests: Arc<Mutex<BTreeMap<(&'static str, u16), u64>>>,
    source: Source,
}

impl Figures {
    /// With the daemon's own figures from `source`.
    pub fn new(source: Source) -> Figures {
        Figures { requests: Arc::default(), source }
    }

    pub(super) fn count(&self, method: &http::Method, status: http::StatusCode) {
        let method = METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        let mut requests = self.requests.lock().expect("no holder panics");
        *requests.entry((method, status.as_u16())).or_default() += 1;
    }

    /// The page.
    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        let head = |page: &mut String, kind: &str, name: &str, help: &str| {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        let mut told = "";
        for Figure { kind, name, help, value } in (self.source)() {
            // What differs in its labels only, or is part of one summary, stands under one head.
            let family = name.split('{').next().unwrap_or(name);
            let part = |suffix| family.strip_suffix(suffix).filter(|_| kind == "summary");
            let family = part("_sum").or(part("_count")).unwrap_or(family);
            if family != told {
                head(&mut page, kind, family, help);
                told = family;
            }
            let _ = writeln!(page, "{name} {value}");
        }
        let name = "fleet_http_requests_total";
        head(&mut page, "counter", name, "Requests answered, by method and status.");
        for ((method, code), count) in self.requests.lock().expect("no holder panics").iter() {
            let _ = writeln!(page, "{name}{{method=\"{method}\",code=\"{code}\"}} {count}");
        }
        for (kind, name, help, value) in process::figures() {
            head(&mut page, kind, name, help);
            let _ = writeln!(page, "{name} {value}");
        }
        page
    }
}
