//! The report of a failing run, seen by a browser: headless Chromium opens the page from the file system, and says what is on
//! the first screen and what becomes of zoom, filters, search and clicks.
//!
//! The run is a plan whose every disk lies about its syncs before all machines lose power, so it fails without a planted bug. The
//! page is driven by a script that is put behind its own (`probe.js`); it leaves its findings in the document, which Chromium
//! prints. Without Chromium the test says that it is skipped; `ORLOP_SKIP_IS_FAILURE` makes that a failure.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROBE: &str = include_str!("probe.js");
const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/lost.plan");
/// Names under which Chromium is installed.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    let found = {
        let mut found = found;
        found.find(|program| program.exists())
    };
    if found.is_none() {
        println!("skipped: no chromium in PATH: apt-get install chromium");
        let strict = std::env::var_os("ORLOP_SKIP_IS_FAILURE").is_some();
        assert!(!strict, "chromium is missing, and a skip is a failure here");
    }
    found
}

/// The page of the failing run, in a file.
fn page(folder: &Path) -> PathBuf {
    let page = folder.join("run.html");
    let output = Command::new(env!("CARGO_BIN_EXE_orlop-chaos"))
        .args(["report", PLAN, "-o"])
        .arg(&page)
        .output()
        .expect("orlop-chaos starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(1),
        "the plan fails: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    page
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
    let page = page(folder.path());
    let found = probed(&browser, &page, "1600,1000");
    println!("{found:#}");
    assert_eq!(found["error"], Value::Null);
    // Without scrolling, the failing operation and the fault behind it: as words, and as labels in the picture.
    for what in ["operation", "fault", "invariant", "flagOfOperation", "flagOfFault"] {
        assert_eq!(found["onScreen"][what], true, "{what} is not on the first screen");
    }
    let text = |what: &str| found[what].as_str().unwrap_or_default().to_string();
    assert!(text("operation").contains("op "), "{}", text("operation"));
    assert!(text("fault").contains("lying-sync"), "{}", text("fault"));
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
    let found = probed(&browser, &page(folder.path()), "1100,720");
    for what in ["operation", "fault", "invariant"] {
        assert_eq!(found["onScreen"][what], true, "{what} is not on the first screen");
    }
}
