//! The edge comes before the lease can end, whatever two clocks do that drift by no more than they may.

use super::*;
use quickcheck::{TestResult, quickcheck};

/// The worst drift that decision 0006 assumes, in parts of a million.
const MAX_DRIFT_PPM: i64 = 500;

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// What a clock that drifts by `ppm` shows after `time`.
fn shown(time: Duration, ppm: i64) -> Duration {
    let nanos = time.as_nanos() as i128;
    Duration::from_nanos((nanos + nanos * i128::from(ppm) / 1_000_000) as u64)
}

quickcheck! {
    fn the_edge_comes_before_the_end(
        ttl: u8, sent: u32, way: u16, agent_ppm: i16, store_ppm: i16
    ) -> TestResult {
        let ttl = Duration::from_secs(u64::from(ttl.max(1)));
        let (agent_ppm, store_ppm) = (i64::from(agent_ppm) % MAX_DRIFT_PPM, i64::from(store_ppm) % MAX_DRIFT_PPM);
        // In true time: a keep-alive is sent, and reaches the store a while later, which then counts the TTL by its clock.
        let sent = millis(u64::from(sent));
        let mut ends = sent + millis(u64::from(way));
        while shown(ends - sent - millis(u64::from(way)), store_ppm) < ttl {
            ends += millis(1);
        }
        let mut tenure = Tenure::new(Duration::ZERO, ttl);
        tenure.due(Duration::ZERO);
        tenure.held(1, ttl, shown(sent, agent_ppm));
        TestResult::from_bool(!tenure.is_certain(shown(ends, agent_ppm)))
    }

    fn an_older_answer_never_brings_the_edge_back(answers: Vec<(u16, u16)>) -> bool {
        let ttl = Duration::from_secs(3);
        let mut tenure = Tenure::new(Duration::ZERO, ttl);
        tenure.due(Duration::ZERO);
        tenure.held(7, ttl, Duration::ZERO);
        let mut edge = tenure.edge();
        answers.into_iter().all(|(sent, took)| {
            let sent = millis(u64::from(sent));
            tenure.answered(7, sent, ttl, sent + millis(u64::from(took)));
            let grew = tenure.edge() >= edge;
            edge = tenure.edge();
            grew
        })
    }
}

#[test]
fn a_lease_that_is_gone_ends_at_once() {
    let ttl = Duration::from_secs(3);
    let mut tenure = Tenure::new(Duration::ZERO, ttl);
    assert_eq!(tenure.due(Duration::ZERO), Some(Need::Seek));
    assert_eq!(tenure.due(Duration::ZERO), None, "one at a time");
    tenure.held(7, ttl, millis(10));
    assert_eq!((tenure.lease(), tenure.edge(), tenure.wake()), (Some(7), millis(2_710), Some(millis(1_010))));
    assert_eq!(tenure.due(millis(1_010)), Some(Need::KeepAlive(7)));
    tenure.unanswered(7, millis(2_010));
    assert_eq!(tenure.wake(), Some(millis(2_260)), "sooner than the next beat");
    assert!(tenure.is_certain(millis(2_709)) && !tenure.is_certain(millis(2_710)));
    assert_eq!(tenure.due(millis(2_260)), Some(Need::KeepAlive(7)));
    assert!(!tenure.answered(7, millis(2_260), Duration::ZERO, millis(2_300)));
    assert_eq!((tenure.lease(), tenure.edge()), (None, millis(2_300)));
    assert_eq!(tenure.due(millis(2_300)), Some(Need::Seek));
    tenure.put_off(millis(2_400));
    assert_eq!(tenure.wake(), Some(millis(3_400)));
    // What belongs to an earlier lease changes nothing.
    tenure.held(8, ttl, millis(3_400));
    assert!(tenure.answered(7, millis(3_400), Duration::ZERO, millis(3_500)));
    assert_eq!((tenure.lease(), tenure.term()), (Some(8), 2));
}
