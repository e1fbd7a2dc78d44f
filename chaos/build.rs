//! Tells the program which commit it was built from, and the names of all `sometimes` points in `core/`, so that a campaign can
//! say which of them it never reached.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-changed=../core");
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/refs/heads");
    let described =
        process::Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let commit = described.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let commit =
        commit.map_or("unknown".to_string(), |text| String::from_utf8_lossy(&text).trim().to_string());
    println!("cargo::rustc-env=ORLOP_COMMIT={commit}");

    let mut names = BTreeSet::new();
    collect(Path::new("../core"), &mut names);
    let list = names.iter().map(|name| format!("    {name:?},\n")).collect::<String>();
    let text = format!("/// Every named point in `core/`.\npub const KNOWN: &[&str] = &[\n{list}];\n");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("probes.rs");
    fs::write(out, text).expect("the output folder is writable");
}

/// Adds what stands in quotes behind each `sometimes(` under `dir`, tests aside.
fn collect(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().to_string();
        if path.is_dir() && name != "tests" {
            collect(&path, names);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let calls = text.split("sometimes(").skip(1);
            names.extend(
                calls.filter_map(|rest| {
                    rest.trim_start().strip_prefix('"')?.split('"').next().map(String::from)
                }),
            );
        }
    }
}
