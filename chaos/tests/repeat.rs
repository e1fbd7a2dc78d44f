//! A seed and a commit are one run, to the byte of its trace: in another process, and on however many threads.

use std::process::Command;

/// What the program prints.
fn output(args: &[&str]) -> Vec<u8> {
    let ran =
        Command::new(env!("CARGO_BIN_EXE_orlop-chaos")).args(args).output().expect("the program starts");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

#[test]
fn two_processes_write_one_trace() {
    for args in [["replay", "5", "--workload", "store"], ["replay", "3", "--workload", "whole"]] {
        let args = [&args[..], &["--trace"][..]].concat();
        let (one, other) = (output(&args), output(&args));
        assert!(one.len() > 10_000, "a trace of {} bytes", one.len());
        assert!(one == other, "two processes have two traces of {args:?}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let campaign = |jobs: &str| {
        let args = [
            "run",
            "--seeds",
            "12",
            "--workload",
            "store",
            "--no-bugbase",
            "--output",
            "json",
            "--jobs",
            jobs,
        ];
        let text = String::from_utf8(output(&args)).expect("text");
        let of_run = |line: &&str| line.contains("\"traces\"") || line.contains("\"events\"");
        text.lines().filter(of_run).map(str::to_string).collect::<Vec<_>>()
    };
    let one = campaign("1");
    assert_eq!(one.len(), 2, "{one:?}");
    assert_eq!(one, campaign("2"));
}
