//! Waits for systemd's jobs. A verb that makes a job learns its path from the reply, and its end from a signal; the two come on
//! different ways, so the signal may be seen first. While any such verb is under way, results that nobody waits for yet are kept.

use super::link::gone;
use fleet::systemd::{JobResult, SystemdResult};
use futures_channel::oneshot;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Results kept for replies that are still to come. Beyond it signals count as lost.
const MOST_KEPT: usize = 10_000;

/// The jobs of one bus.
#[derive(Default)]
pub struct Jobs {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Counts connections: paths of different ones are not the same jobs.
    connection: u64,
    /// Verbs whose reply is awaited.
    calls: usize,
    waiting: BTreeMap<String, Vec<oneshot::Sender<JobResult>>>,
    ended: BTreeMap<String, JobResult>,
}

/// A verb under way. While it lives, results are kept.
pub struct Call<'a> {
    jobs: &'a Jobs,
    connection: u64,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no holder panics")
    }

    /// To be called before the verb is sent.
    pub fn begin(&self) -> Call<'_> {
        let mut table = self.lock();
        table.calls += 1;
        Call { jobs: self, connection: table.connection }
    }

    /// The job at `path` has ended. False when too many results are kept: then some must be given up.
    #[must_use]
    pub fn ended(&self, path: &str, result: JobResult) -> bool {
        let mut table = self.lock();
        if let Some(waiting) = table.waiting.remove(path) {
            for waiter in waiting {
                // One that no longer waits needs no answer.
                let _ = waiter.send(result);
            }
        }
        // Kept even if somebody waited: another verb may be about to learn that it shares this job.
        if table.calls > 0 {
            table.ended.insert(path.to_string(), result);
        }
        table.ended.len() <= MOST_KEPT
    }

    /// The connection ended: nobody will hear of these jobs again.
    pub fn forget(&self) {
        let mut table = self.lock();
        table.connection += 1;
        table.waiting.clear();
        table.ended.clear();
    }
}

impl Call<'_> {
    /// Waits for the end of the job at `path`, which the reply named.
    pub async fn wait(self, path: &str) -> SystemdResult<JobResult> {
        let end = {
            let mut table = self.jobs.lock();
            if table.connection != self.connection {
                return Err(gone("the connection ended before the job did"));
            }
            if let Some(result) = table.ended.get(path) {
                return Ok(*result);
            }
            let (waiter, end) = oneshot::channel();
            table.waiting.entry(path.to_string()).or_default().push(waiter);
            end
        };
        drop(self);
        end.await.map_err(|_| gone("the connection ended before the job did"))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut table = self.jobs.lock();
        assert!(table.calls > 0, "each call is counted once");
        table.calls -= 1;
        if table.calls == 0 {
            table.ended.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::systemd::SystemdError;
    use futures_util::FutureExt;

    #[test]
    fn a_result_may_come_before_or_after_the_reply() {
        let jobs = Jobs::default();
        let (early, shared) = (jobs.begin(), jobs.begin());
        assert!(jobs.ended("/1", JobResult::Failed));
        assert_eq!(early.wait("/1").now_or_never(), Some(Ok(JobResult::Failed)));
        assert_eq!(shared.wait("/1").now_or_never(), Some(Ok(JobResult::Failed)));
        assert!(jobs.lock().ended.is_empty(), "no call is under way");
        let mut late = Box::pin(jobs.begin().wait("/2"));
        assert_eq!((&mut late).now_or_never(), None);
        assert!(jobs.ended("/2", JobResult::Done));
        assert_eq!(late.now_or_never(), Some(Ok(JobResult::Done)));
        assert!(jobs.lock().waiting.is_empty());
    }

    #[test]
    fn a_connection_that_ends_takes_its_jobs_with_it() {
        let jobs = Jobs::default();
        let mut waits = Box::pin(jobs.begin().wait("/1"));
        assert_eq!((&mut waits).now_or_never(), None);
        let calls = jobs.begin();
        jobs.forget();
        for end in [waits.now_or_never(), calls.wait("/1").now_or_never()] {
            assert!(matches!(end, Some(Err(SystemdError::Gone(_)))), "{end:?}");
        }
        let mut anew = Box::pin(jobs.begin().wait("/1"));
        assert_eq!((&mut anew).now_or_never(), None, "the same path, another job");
    }
}
