//! The page, seen by a browser: headless Chromium opens it from the file system, and says what is on the first screen and what
//! becomes of zoom, filters, search and clicks.
//!
//! The events are those of a small run; its failure is made up, so that no bug has to be planted: an operation that was answered is
//! said to be lost, by one of four faults. Builds that can plant bugs look at the page of a real failure too. The page is driven by a script that is put behind its own (`probe.js`); it leaves its
//! findings in the document, which Chromium prints. Without Chromium the tests say that they are skipped;
//! `ORLOP_SKIP_IS_FAILURE` makes that a failure.

use super::blame::{self, Blame};
use super::{marked, page};
use io_sim::checkers::Failure;
use io_sim::load::Load;
use kernel::Planted;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROBE: &str = include_str!("probe.js");
/// Names under which Chromium is installed.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    let found = all.find(|program| program.exists());
    if found.is_none() {
        io_real::skip::skipped("no chromium in PATH: apt-get install chromium");
    }
    found
}

/// The page of a run that fails, in a file.
fn written(folder: &Path) -> PathBuf {
    let load = Load::parse(include_str!("example.plan")).expect("a plan");
    let (mut report, marks) = marked(&load, Planted::none());
    let text =
        "operation 4 of client 2 on member 1 (3s to 3.004s): acknowledged, but not in the log".to_string();
    let failure = Failure { checker: "replay", invariant: "acknowledged-write-lost", text };
    let needed: Vec<String> =
        load.to_string().lines().filter(|line| line.contains("at=2400ms")).map(String::from).collect();
    assert_eq!(needed.len(), 1, "one fault begins at that time");
    let failed = blame::json(&failure, &Blame { needed, runs: 4, complete: true }, report.simulated);
    report.failure = Some(failure);
    let path = folder.join("run.html");
    std::fs::write(&path, page(&load, &report, marks, Some(failed))).expect("written");
    path
}

/// What the probe found in the page, in a window of this size.
fn probed(browser: &Path, page: &Path, size: &str) -> Value {
    let text = std::fs::read_to_string(page).expect("the page");
    let with_probe = page.with_file_name("probed.html");
    std::fs::write(&with_probe, text + "<script>" + PROBE + "</script>").expect("written");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .arg(format!("--user-data-dir={}", page.with_file_name("profile").display()))
        .arg(format!("--window-size={size}"))
        .args(["--virtual-time-budget=10000", "--timeout=60000", "--dump-dom"])
        .arg(format!("file://{}", with_probe.display()))
        .output()
        .expect("chromium starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = dom.split("<pre id=\"probe\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.unwrap_or_else(|| panic!("no findings:\n{}", String::from_utf8_lossy(&output.stderr)));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"))
}

#[test]
fn the_first_screen_shows_what_broke_and_the_page_can_be_handled() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let found = probed(&browser, &written(folder.path()), "1600,1000");
    println!("{found:#}");
    assert_eq!(found["error"], Value::Null);
    // Without scrolling, the failing operation and the fault behind it: as words, and as labels in the picture.
    for what in ["operation", "fault", "invariant", "flagOfOperation", "flagOfFault"] {
        assert_eq!(found["onScreen"][what], true, "{what} is not on the first screen");
    }
    let text = |what: &str| found[what].as_str().unwrap_or_default().to_string();
    assert!(text("operation").contains("op 4: put"), "{}", text("operation"));
    assert!(text("fault").contains("slow-disk on m1, m2, m3"), "{}", text("fault"));
    assert!(!text("fault").contains("slow-link") && !text("fault").contains("pause"), "{}", text("fault"));
    for what in [
        "picture",
        "zoomed",
        "wholeRun",
        "backToFailure",
        "moved",
        "kindFiltered",
        "machineFiltered",
        "searched",
        "walkedHits",
        "clicked",
        "neighbours",
        "keyboard",
    ] {
        assert_eq!(found["works"][what], true, "{what} does not work");
    }
}

#[test]
fn a_small_window_shows_it_too() {
    let Some(browser) = browser() else { return };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let found = probed(&browser, &written(folder.path()), "1100,720");
    for what in ["operation", "fault", "invariant"] {
        assert_eq!(found["onScreen"][what], true, "{what} is not on the first screen");
    }
}

/// A read that joins a question about the leader's commit which was asked before it: the first seed that shows it, as
/// `report SEED --plant reads-join-late` does it.
#[cfg(orlop_mutations)]
#[test]
fn the_page_of_a_planted_bug_shows_the_stale_read_and_the_faults_behind_it() {
    use io_sim::hunt;
    let Some(browser) = browser() else { return };
    let (kind, bug) = hunt::named("reads-join-late").expect("a bug");
    let planted = hunt::plant(bug).expect("this build can plant");
    let jobs = crate::args::jobs(None);
    let (seed, failure) = hunt::hunt(kind, planted, 1, 1_000, jobs, || false).found.expect("it is found");
    let load = Load::from_seed(kind, seed);
    let (report, marks) = marked(&load, planted);
    let blame = blame::blame(&load, &failure, planted, super::BLAME);
    let failed = blame::json(&failure, &blame, report.simulated);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("run.html");
    std::fs::write(&path, page(&load, &report, marks, Some(failed))).expect("written");
    let found = probed(&browser, &path, "1400,820");
    println!("seed {seed}: {failure}\n{blame:?}\n{found:#}");
    assert!(!blame.needed.is_empty(), "it needs a fault");
    for what in ["operation", "fault", "invariant", "flagOfOperation", "flagOfFault"] {
        assert_eq!(found["onScreen"][what], true, "{what} is not on the first screen");
    }
    let operation = found["operation"].as_str().unwrap_or_default();
    assert!(operation.contains("get key="), "{operation}");
}
