//! Latencies of a run, and what is computed from them: pure.

use kernel::KvError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The percentiles that reports show.
pub const PERCENTILES: [f64; 8] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Seconds from a request's start to its answer.
    pub latencies: Vec<f64>,
    /// Seconds from a request's intended start to its answer; `None` without a rate.
    pub intended: Option<Vec<f64>>,
    /// Failed requests by their text.
    pub errors: BTreeMap<String, u64>,
    /// How long the run took.
    pub elapsed: Duration,
    /// What was measured on the way, to be told before the report.
    pub remarks: Vec<String>,
}

impl Outcome {
    /// Nothing measured yet.
    pub fn new(with_rate: bool) -> Outcome {
        Outcome { intended: with_rate.then(Vec::new), ..Outcome::default() }
    }

    /// Counts one request that has ended now. A failed one has no latency: a quick refusal is not a fast answer.
    pub fn record(&mut self, start: Instant, intended: Instant, result: Result<(), KvError>) {
        match result {
            Ok(()) => {
                self.latencies.push(start.elapsed().as_secs_f64());
                if let Some(list) = &mut self.intended {
                    list.push(intended.elapsed().as_secs_f64());
                }
            }
            Err(error) => *self.errors.entry(error.message).or_default() += 1,
        }
    }

    /// Adds another's measurements.
    pub fn merge(&mut self, other: Outcome) {
        self.latencies.extend(other.latencies);
        if let (Some(mine), Some(theirs)) = (&mut self.intended, other.intended) {
            mine.extend(theirs);
        }
        for (text, count) in other.errors {
            *self.errors.entry(text).or_default() += count;
        }
        self.remarks.extend(other.remarks);
    }

    /// Answered requests per second.
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Figures of a set of latencies, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// All of them, ascending.
    pub sorted: Vec<f64>,
    /// Their mean.
    pub average: f64,
    /// Their standard deviation.
    pub stddev: f64,
}

impl Summary {
    /// Of these latencies.
    pub fn of(latencies: &[f64]) -> Summary {
        let mut sorted = latencies.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len().max(1) as f64;
        let average = sorted.iter().sum::<f64>() / count;
        let variance = sorted.iter().map(|value| (value - average).powi(2)).sum::<f64>() / count;
        Summary { sorted, average, stddev: variance.sqrt() }
    }

    /// The latency that `percent` of all requests did not exceed (nearest rank); 0 of nothing.
    pub fn percentile(&self, percent: f64) -> f64 {
        assert!((0.0..=100.0).contains(&percent), "a percentile lies between 0 and 100: {percent}");
        // The small step back keeps a product that should be whole from being rounded up.
        let rank = (percent * self.sorted.len() as f64 / 100.0 - 1e-6).ceil() as usize;
        self.sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
    }

    /// The quickest; 0 of nothing.
    pub fn fastest(&self) -> f64 {
        self.sorted.first().copied().unwrap_or(0.0)
    }

    /// The slowest; 0 of nothing.
    pub fn slowest(&self) -> f64 {
        self.sorted.last().copied().unwrap_or(0.0)
    }

    /// Upper bounds of `count` equal steps from the fastest to the slowest, the fastest itself first, and how many
    /// latencies lie at or below each but above the one before.
    pub fn histogram(&self, count: usize) -> Vec<(f64, usize)> {
        let step = (self.slowest() - self.fastest()) / count as f64;
        let mut bounds: Vec<f64> = (0..count).map(|index| self.fastest() + step * index as f64).collect();
        bounds.push(self.slowest());
        let mut before = 0;
        let bucket = |bound: f64| {
            let upto = self.sorted.partition_point(|&value| value <= bound);
            let inside = upto.saturating_sub(before);
            before = before.max(upto);
            (bound, inside)
        };
        bounds.into_iter().map(bucket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let summary = Summary::of(&(1..=1000).rev().map(f64::from).collect::<Vec<_>>());
        assert_eq!([50.0, 99.0, 99.9, 100.0].map(|p| summary.percentile(p)), [500.0, 990.0, 999.0, 1000.0]);
        assert_eq!((summary.fastest(), summary.slowest(), summary.average), (1.0, 1000.0, 500.5));
        assert!((summary.stddev - 288.675).abs() < 0.001);
        assert_eq!(Summary::of(&[]).percentile(99.0), 0.0);
    }

    #[test]
    fn percentiles_rise_and_the_histogram_counts_all() {
        fn holds(values: Vec<u16>) -> bool {
            let summary = Summary::of(&values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>());
            let rising =
                PERCENTILES.windows(2).all(|pair| summary.percentile(pair[0]) <= summary.percentile(pair[1]));
            let counted: usize = summary.histogram(10).iter().map(|(_, count)| count).sum();
            rising && counted == values.len()
        }
        quickcheck::quickcheck(holds as fn(Vec<u16>) -> bool);
    }

    #[test]
    fn failures_have_no_latency() {
        let mut outcome = Outcome::new(false);
        let now = Instant::now();
        outcome.record(now, now, Ok(()));
        outcome.record(now, now, Err(KvError::no_space()));
        assert_eq!(outcome.latencies.len(), 1);
        assert_eq!(outcome.errors.into_iter().collect::<Vec<_>>(), [(KvError::no_space().message, 1)]);
    }
}
