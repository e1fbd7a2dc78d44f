//! What an agent is told at start, and the numbers that bound it.

use crate::holder::{LEASE_TTL, RENEW_MARGIN};
use crate::interface::Asked;
use crate::registry::DEFAULT_PREFIX;
use std::sync::Arc;
use std::time::Duration;

/// Events that may wait for the loop; the kernel's hints wait beyond it.
pub const INBOX: usize = 4_096;
/// Events handled in one turn.
pub const TURN_EVENTS: usize = 1_024;
/// How long a hint of the kernel waits for others.
pub const HINT_DELAY: Duration = Duration::from_millis(50);
/// After a look that found nothing to do the next hint waits twice as long, up to so many doublings: somebody else is busy with
/// entries that are not ours. What is damaged then is still mended within a second.
pub const HINT_DOUBLINGS: u32 = 4;
/// Time without a look after which hints wait no longer than [`HINT_DELAY`] again.
pub const HINT_CALM: Duration = Duration::from_secs(5);
/// Time between two looks: peers that come one after the other are served together.
pub const LOOK_SPACING: Duration = Duration::from_millis(50);
/// So much longer for each peer, as a look costs more: thousands that come at once must not cost each machine a look each.
pub const LOOK_SPACING_PEER: Duration = Duration::from_micros(200);
/// Peers that count for that; what is damaged among more is still mended within a second or so.
pub const LOOK_PEERS: usize = 1_000;
/// First pause after something failed; doubled each time.
pub const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest pause after something failed.
pub const RETRY_MOST: Duration = Duration::from_secs(5);
/// Pause between tries as long as this machine is not ready for a lease: no interface, a config that it cannot follow.
pub const PREPARE_RETRY: Duration = Duration::from_secs(1);
/// Time between full looks, whatever the kernel hints. With rules by iptables, of which the kernel gives no hints, it is
/// [`FlannelConfig::resync`] if that is less.
pub const RESYNC: Duration = Duration::from_secs(300);
/// How long a command of the extension backend may take.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Commands of the extension backend that run at a time, never two for one subnet.
pub const COMMANDS: usize = 8;
/// What is waited for is told when it has been waited for so long.
pub const WAIT_TOLD: Duration = Duration::from_secs(2);
/// The same trouble is told of again after so long.
pub const TROUBLE_PERIOD: Duration = Duration::from_secs(60);

/// A line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whether something is wrong; otherwise something has happened.
    pub trouble: bool,
    /// What.
    pub text: String,
}

/// Takes lines for the operator, in their order. Must not block.
pub type Log = Arc<dyn Fn(Line) + Send + Sync>;

/// What a flanneld is told at start.
#[derive(Clone, Debug)]
pub struct FlannelConfig {
    /// `-etcd-prefix`.
    pub prefix: String,
    /// Which interface, and which public addresses.
    pub asked: Asked,
    /// `-subnet-lease-renew-margin`.
    pub margin: Duration,
    /// Time that a lease lives without renewal; flannel's is a day.
    pub ttl: Duration,
    /// `-ip-masq`.
    pub masquerade: bool,
    /// Ports of masqueraded packets are drawn: unless `-ip-masq-fully-random-disable`.
    pub random_fully: bool,
    /// `-iptables-forward-rules`.
    pub forward: bool,
    /// `-ip-blackhole-route`.
    pub blackhole: bool,
    /// `-iptables-resync`.
    pub resync: Duration,
}

impl Default for FlannelConfig {
    fn default() -> Self {
        FlannelConfig {
            prefix: DEFAULT_PREFIX.to_owned(),
            asked: Asked::default(),
            margin: RENEW_MARGIN,
            ttl: LEASE_TTL,
            masquerade: false,
            random_fully: true,
            forward: true,
            blackhole: false,
            resync: Duration::from_secs(5),
        }
    }
}
