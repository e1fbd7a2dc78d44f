//! `orlop`: etcd, fleet and their tools as one program with many names.
//!
//! The name under which it was started (a symlink `etcd`, `fleetctl`, `flanneld`, ...) picks the program, and otherwise the first argument
//! does. Each program keeps the flags, variables and exit codes of the one it stands for, and has a file or folder here;
//! what they share is no more than Go's notations ([`golang`]) and a standard output that survives `| head` ([`output`]).
#![forbid(unsafe_code)]

#[cfg(orlop_mutations)]
compile_error!(
    "orlop must not be built with --cfg orlop_mutations: that cfg plants bugs for the mutation test"
);

mod bench;
mod cni;
mod etcd;
mod etcdctl;
mod flanneld;
mod fleetctl;
mod fleetd;
mod golang;
mod lock;
mod log;
mod node;
mod output;
mod security;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Small requests by the hundred thousand: the system's allocator took a sixth of a loaded server's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The names of symlinks. `flannel` is what runtimes call the plugin.
const NAMES: [&str; 6] = ["etcd", "etcdctl", "flannel", "flanneld", "fleetctl", "fleetd"];

const USAGE: &str = "\
Usage: orlop <program> [arguments]

Programs:
  etcd      an etcd v3 server
  etcdctl   a client for any etcd v3 server
  fleetd    units for this machine, and the engine that places them
  fleetctl  a client for any fleet
  flanneld  one flat network for the containers of all machines
  cni       flannel's plugin for container runtimes (as a symlink: flannel)
  bench     a load generator for any etcd v3 server
  node      everything on this machine; with --dev, one member and no configuration

`orlop <program> --help` tells more. A symlink named as a program runs that program.
";

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let started_as = args.first().map(Path::new).and_then(Path::file_name).map(OsStr::to_os_string);
    let by_name = started_as.filter(|name| NAMES.iter().any(|known| name == known));
    let program = match by_name {
        Some(name) => name,
        // What follows is the program's own command line, its name first.
        None if args.len() > 1 => {
            args.remove(0);
            args[0].clone()
        }
        None => OsString::from("--help"),
    };
    match program.to_string_lossy().as_ref() {
        "etcdctl" => etcdctl::main(args),
        "fleetctl" => fleetctl::main(args),
        "fleetd" => fleetd::main(args),
        "flanneld" => flanneld::main(args),
        "cni" | "flannel" => cni::main(args),
        "bench" => bench::main(args),
        "etcd" => etcd::main(args),
        "node" => node::main(args),
        "--help" | "-h" | "help" => {
            output::print(USAGE.as_bytes());
            ExitCode::SUCCESS
        }
        "--version" | "-V" | "version" => {
            output::print_line(concat!("orlop ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("orlop: there is no program {other:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
