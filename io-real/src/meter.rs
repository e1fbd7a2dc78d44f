//! Counts the gRPC calls of a server by method and outcome.
//!
//! Counting happens where calls are handed to their service, from the head of the answer: a refused call has its status
//! there; every other counts as done well when its answer begins, streams too.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One gRPC method.
pub(crate) struct Method {
    /// "/package.Service/Name".
    pub path: &'static str,
    /// "package.Service".
    pub service: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How the Go middleware, whose metrics these are, calls its shape.
    pub kind: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The methods that go through the log; transactions that only read are counted too.
const WRITES: [&str; 6] = [
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",
];

/// The names of the status codes in metrics, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// What one method has done.
#[derive(Default)]
struct Calls {
    started: AtomicU64,
    open: AtomicU64,
    handled: [AtomicU64; CODES.len()],
}

/// A call without an answer yet; dropped before it has one, the client has gone.
pub(crate) struct Call {
    meter: Arc<Meter>,
    method: usize,
}

impl Call {
    /// The answer begins, with this status.
    pub fn answered(self, code: usize) {
        if let Some(count) = self.meter.calls[self.method].handled.get(code) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.meter.calls[self.method].open.fetch_sub(1, Relaxed);
    }
}

/// What a server has done.
pub(crate) struct Meter {
    calls: Vec<Calls>,
    /// Answers of `/health` that were good.
    pub health_successes: AtomicU64,
    /// Answers of `/health` that were not.
    pub health_failures: AtomicU64,
}

impl Meter {
    pub fn new() -> Meter {
        let calls = METHODS.iter().map(|_| Calls::default()).collect();
        Meter { calls, health_successes: AtomicU64::new(0), health_failures: AtomicU64::new(0) }
    }

    /// The number of the method at `path`, if there is one.
    pub fn method(path: &str) -> Option<usize> {
        METHODS.iter().position(|method| method.path == path)
    }

    /// A call of `method` begins.
    pub fn begin(self: &Arc<Meter>, method: usize) -> Call {
        self.calls[method].started.fetch_add(1, Relaxed);
        self.calls[method].open.fetch_add(1, Relaxed);
        Call { meter: self.clone(), method }
    }

    /// Calls that write and have no answer yet.
    pub fn writes_under_way(&self) -> u64 {
        let writes = METHODS.iter().zip(&self.calls).filter(|(method, _)| WRITES.contains(&method.path));
        writes.map(|(_, calls)| calls.open.load(Relaxed)).sum()
    }

    /// Both families of counters, in Prometheus' text form. Methods that were never called are left out.
    pub fn write(&self, out: &mut String) {
        let called = || METHODS.iter().zip(&self.calls).filter(|(_, calls)| calls.started.load(Relaxed) > 0);
        head(out, "grpc_server_started_total", "counter", "RPCs started on the server.");
        for (method, calls) in called() {
            let started = calls.started.load(Relaxed);
            line(out, "grpc_server_started_total", "", method, started);
        }
        head(out, "grpc_server_handled_total", "counter", "RPCs answered by the server, by status.");
        for (method, calls) in called() {
            for (code, count) in CODES.iter().zip(&calls.handled) {
                let count = count.load(Relaxed);
                if count > 0 {
                    line(out, "grpc_server_handled_total", &format!("grpc_code=\"{code}\","), method, count);
                }
            }
        }
    }
}

/// Begins a family of metrics.
pub(crate) fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes everything");
}

fn line(out: &mut String, name: &str, code: &str, method: &Method, count: u64) {
    let Method { service, name: method, kind, .. } = method;
    writeln!(
        out,
        "{name}{{{code}grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"{kind}\"}} {count}"
    )
    .expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let meter = Arc::new(Meter::new());
        let put = Meter::method("/etcdserverpb.KV/Put").unwrap();
        let call = meter.begin(put);
        assert_eq!(meter.writes_under_way(), 1);
        call.answered(3);
        assert_eq!(meter.writes_under_way(), 0);
        let mut page = String::new();
        meter.write(&mut page);
        let labels = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1";
        assert!(page.contains(&format!("grpc_server_started_total{{{labels}")), "{page}");
        assert!(
            page.contains(&format!("grpc_server_handled_total{{grpc_code=\"InvalidArgument\",{labels}")),
            "{page}"
        );
        assert!(!page.contains("Range"), "{page}");
    }

    #[test]
    fn a_call_whose_client_has_gone_is_not_under_way() {
        let meter = Arc::new(Meter::new());
        drop(meter.begin(Meter::method(WRITES[0]).unwrap()));
        assert_eq!(meter.writes_under_way(), 0);
    }

    #[test]
    fn paths_are_etcds() {
        for path in ["/etcdserverpb.Maintenance/HashKV", WRITES[3], WRITES[5], "/grpc.health.v1.Health/Check"]
        {
            assert!(Meter::method(path).is_some(), "{path}");
        }
        assert_eq!(Meter::method("/etcdserverpb.KV/Nothing"), None);
    }
}
