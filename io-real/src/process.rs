//! What Linux says about this process, under the names that every Prometheus client library uses.

use rustix::process::{Resource, getrlimit};
use std::fs;

/// Clock ticks a second in /proc; a constant of Linux's user interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// Kind, name, help and value of each figure that could be read.
pub(crate) fn figures() -> Vec<(&'static str, &'static str, &'static str, f64)> {
    let mut figures = Vec::new();
    let mut add = |kind, name, help, value: Option<f64>| {
        if let Some(value) = value {
            figures.push((kind, name, help, value));
        }
    };
    let stat = Stat::read();
    let stat = stat.as_ref();
    let max_fds = getrlimit(Resource::Nofile).current.map(|limit| limit as f64);
    let open_fds = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    let start = stat.and_then(|stat| Some(boot_time()? + stat.start_seconds));
    let cpu = stat.map(|stat| stat.cpu_seconds);
    let resident = stat.map(|stat| stat.resident_pages * rustix::param::page_size() as f64);
    add("counter", "process_cpu_seconds_total", "User and system CPU time spent.", cpu);
    add("gauge", "process_max_fds", "Most file descriptors it may open.", max_fds);
    add("gauge", "process_open_fds", "File descriptors open.", open_fds);
    add("gauge", "process_resident_memory_bytes", "Memory resident.", resident);
    add("gauge", "process_virtual_memory_bytes", "Memory mapped.", stat.map(|stat| stat.virtual_bytes));
    add("gauge", "process_start_time_seconds", "Start, in seconds since 1970.", start);
    figures
}

/// The fields used of /proc/self/stat.
struct Stat {
    cpu_seconds: f64,
    start_seconds: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The second field is the program's name in brackets and may hold anything, so counting starts behind it, at field 3.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            start_seconds: field(22)? / TICKS_PER_SECOND,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// The niceness that the threads of a member ask for.
const NICENESS: i32 = -10;

/// Asks for a raised priority for this thread; where that is not allowed it goes on without.
pub(crate) fn raise_priority() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

/// The runtime of a member: a thread for every second processor, because the other half of the work (syncs, the B-tree, the
/// clients on the same machine) has threads of its own, and a request that changes threads pays for it.
/// `TOKIO_WORKER_THREADS` overrides it.
///
/// Its threads ask for a raised priority, as those that sync do: a heartbeat that waits behind busy processes costs an
/// election, and in a cluster of one the same thread writes the log.
pub fn runtime_builder() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        builder.worker_threads(processors.div_ceil(2));
    }
    builder.on_thread_start(raise_priority);
    builder
}

/// Asks the kernel for small pages only, before the program's first allocation. The allocator keeps heaps for each thread, and huge
/// pages would make each of them cost two megabytes as soon as it holds a byte; what is allocated before `main` begins would get one
/// whatever `main` says. Where that is not possible the process is larger, and nothing else.
extern "C" fn use_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

// SAFETY: what stands in this section is a pointer to a function of C's calling convention, which the C library calls once,
// on the only thread, before `main`. The function makes one system call, touches no state of Rust's or C's, and cannot unwind. The
// number puts it before the allocator's own beginning, which has none.
#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array.00099")]
static USE_SMALL_PAGES: extern "C" fn() = use_small_pages;

/// User and system CPU time spent; 0 when it cannot be read.
pub(crate) fn cpu_seconds() -> f64 {
    Stat::read().map_or(0.0, |stat| stat.cpu_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_size_and_an_age() {
        let figures = figures();
        assert_eq!(figures.len(), 6, "{figures:?}");
        let value = |name| figures.iter().find(|figure| figure.1 == name).unwrap().3;
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_start_time_seconds") > 1.5e9);
        assert!(value("process_open_fds") >= 3.0);
    }

    #[test]
    fn a_program_name_may_hold_brackets_and_spaces() {
        let tail = (3..=24).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let stat = Stat::parse(&format!("1 (a) b (c)) {tail}")).unwrap();
        assert_eq!((stat.cpu_seconds, stat.resident_pages), (0.29, 24.0));
    }
}
