//! The report of a run, for people or for a program.

use super::stats::{Outcome, PERCENTILES, Summary};
use serde_json::{Value, json};
use std::fmt::Write;

/// Steps of the histogram, and the width of its longest bar.
const STEPS: usize = 10;
const BAR: usize = 40;

/// The report as etcd's tool writes it.
pub fn text(outcome: &Outcome, precise: bool) -> String {
    let summary = Summary::of(&outcome.latencies);
    let digits = if precise { 6 } else { 4 };
    let mut out = String::new();
    for remark in &outcome.remarks {
        let _ = writeln!(out, "{remark}");
    }
    let _ = writeln!(out, "\nSummary:\n  Total:\t{:.digits$} secs.", outcome.elapsed.as_secs_f64());
    for (name, value) in [
        ("Slowest", summary.slowest()),
        ("Fastest", summary.fastest()),
        ("Average", summary.average),
        ("Stddev", summary.stddev),
    ] {
        let _ = writeln!(out, "  {name}:\t{value:.digits$} secs.");
    }
    let _ = writeln!(out, "  Requests/sec:\t{:.4}\n\nResponse time histogram:", outcome.per_second());
    let histogram = summary.histogram(STEPS);
    let most = histogram.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    for (bound, count) in histogram {
        let _ = writeln!(out, "  {bound:.digits$} [{count}]\t|{}", "∎".repeat(count * BAR / most));
    }
    distribution(&mut out, "Latency distribution:", &summary, digits);
    if let Some(intended) = &outcome.intended {
        distribution(
            &mut out,
            "Latency distribution from the intended start:",
            &Summary::of(intended),
            digits,
        );
    }
    if !outcome.errors.is_empty() {
        let _ = writeln!(out, "\nError distribution:");
    }
    for (text, count) in &outcome.errors {
        let _ = writeln!(out, "  [{count}]\t{text}");
    }
    out
}

fn distribution(out: &mut String, title: &str, summary: &Summary, digits: usize) {
    let _ = writeln!(out, "\n{title}");
    for percent in PERCENTILES {
        let _ = writeln!(out, "  {percent}% in {:.digits$} secs.", summary.percentile(percent));
    }
}

/// The report as one object on one line.
pub fn json(outcome: &Outcome, settings: Value) -> String {
    let mut report = json!({
        "requests_per_second": outcome.per_second(),
        "latency_ms": latencies(&outcome.latencies),
        "errors": outcome.errors.values().sum::<u64>(),
        "error_texts": outcome.errors,
        "requests": outcome.latencies.len(),
        "elapsed_seconds": outcome.elapsed.as_secs_f64(),
        "remarks": outcome.remarks,
        "settings": settings,
    });
    if let Some(intended) = &outcome.intended {
        report["latency_from_intended_start_ms"] = latencies(intended);
    }
    format!("{report}\n")
}

fn latencies(seconds: &[f64]) -> Value {
    let summary = Summary::of(seconds);
    let millis = |value: f64| value * 1e3;
    json!({
        "p10": millis(summary.percentile(10.0)),
        "p25": millis(summary.percentile(25.0)),
        "p50": millis(summary.percentile(50.0)),
        "p75": millis(summary.percentile(75.0)),
        "p90": millis(summary.percentile(90.0)),
        "p95": millis(summary.percentile(95.0)),
        "p99": millis(summary.percentile(99.0)),
        "p99_9": millis(summary.percentile(99.9)),
        "avg": millis(summary.average),
        "min": millis(summary.fastest()),
        "max": millis(summary.slowest()),
        "stddev": millis(summary.stddev),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome() -> Outcome {
        let latencies = vec![0.001, 0.002, 0.003, 0.004];
        let errors = [("etcdserver: no leader".to_string(), 2)].into();
        Outcome { latencies, errors, elapsed: Duration::from_secs(2), ..Outcome::default() }
    }

    #[test]
    fn for_people() {
        let report = text(&outcome(), false);
        for line in [
            "  Total:\t2.0000 secs.\n",
            "  Slowest:\t0.0040 secs.\n",
            "  Requests/sec:\t2.0000\n",
            "  50% in 0.0020 secs.\n",
            "  99.9% in 0.0040 secs.\n",
            "  [2]\tetcdserver: no leader\n",
        ] {
            assert!(report.contains(line), "{line:?} is missing in:\n{report}");
        }
    }

    #[test]
    fn for_programs() {
        let report: Value = serde_json::from_str(&json(&outcome(), json!({ "clients": 1 }))).unwrap();
        assert_eq!(report["requests_per_second"], 2.0);
        assert_eq!(report["latency_ms"]["p50"], 2.0);
        assert_eq!(report["errors"], 2);
        assert_eq!(report["settings"]["clients"], 1);
        assert_eq!(report.get("latency_from_intended_start_ms"), None);
    }
}
