//! A server that stays awake for a moment after an answer, for the client which asks again at once.
//!
//! A lone client asks, waits, and asks again: the server's thread falls asleep in between, and so does its processor. Waking
//! both takes tens of microseconds, which is a good part of what a small request takes, and of a virtual machine's processor
//! more still. So after an answer the thread looks at its sockets again and again for [`AWAKE`] instead of sleeping on
//! them. Other tasks go first at each look, and the moment is short, so a busy server never comes here and an idle
//! one is asleep.
//!
//! It is a wager that the next request comes soon, so it keeps books: after [`PATIENCE`] moments in vain it tries only every
//! [`RARELY`]th answer, until one is worth it again. Clients that come seldom cost next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long it stays awake after an answer.
const AWAKE: Duration = Duration::from_micros(150);

/// Moments in vain, one after the other, until it tries rarely.
const PATIENCE: u32 = 8;

/// Of how many answers one is followed by a moment awake when the last moments were in vain.
const RARELY: u64 = 64;

/// What has been asked and answered. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Lively(Arc<Shared>);

#[derive(Default)]
struct Shared {
    asked: AtomicU64,
    answered: AtomicU64,
    news: Notify,
}

/// A request under way. It is answered, or given up, when this is dropped.
pub(crate) struct UnderWay(Lively);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.answered.fetch_add(1, Relaxed);
        self.0.0.news.notify_one();
    }
}

impl Lively {
    /// A request has come.
    pub fn asked(&self) -> UnderWay {
        self.0.asked.fetch_add(1, Relaxed);
        UnderWay(self.clone())
    }

    /// Stays awake after answers, for ever.
    pub async fn keep(self) {
        let mut books = Books::default();
        loop {
            self.0.news.notified().await;
            let answered = self.0.answered.load(Relaxed);
            // While other requests are under way there is enough to do.
            if self.0.asked.load(Relaxed) == answered && books.is_worth_it(answered) {
                books.note(self.stay_awake().await);
            }
        }
    }

    /// True when a request came meanwhile.
    async fn stay_awake(&self) -> bool {
        let asked = self.0.asked.load(Relaxed);
        let began = Instant::now();
        while began.elapsed() < AWAKE {
            tokio::task::yield_now().await;
            if self.0.asked.load(Relaxed) != asked {
                return true;
            }
        }
        false
    }
}

/// How the last moments went.
#[derive(Default)]
struct Books {
    /// Moments in vain since the last that was not.
    vain: u32,
}

impl Books {
    /// Whether to stay awake after this many answers.
    fn is_worth_it(&self, answered: u64) -> bool {
        self.vain < PATIENCE || answered.is_multiple_of(RARELY)
    }

    /// A moment is over: whether a request came.
    fn note(&mut self, came: bool) {
        self.vain = if came { 0 } else { self.vain.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_sees_the_request_that_comes_at_once() {
        let lively = Lively::default();
        let next = lively.clone();
        let request = tokio::spawn(async move { next.asked() });
        assert!(lively.stay_awake().await);
        drop(request);
    }

    #[tokio::test]
    async fn it_sleeps_when_nobody_asks() {
        let lively = Lively::default();
        let began = Instant::now();
        assert!(!lively.stay_awake().await);
        assert!(began.elapsed() >= AWAKE);
    }

    #[test]
    fn after_moments_in_vain_it_tries_rarely_until_one_is_not() {
        let mut books = Books::default();
        let tries = |books: &mut Books, comes: bool| {
            let worth = |answered: &u64| {
                let worth = books.is_worth_it(*answered);
                if worth {
                    books.note(comes);
                }
                worth
            };
            (1..=10 * RARELY).filter(worth).count() as u64
        };
        assert_eq!(tries(&mut books, true), 10 * RARELY);
        assert_eq!(tries(&mut books, false), u64::from(PATIENCE) + 10);
        assert_eq!(tries(&mut books, true), 1 + 9 * RARELY);
    }
}
