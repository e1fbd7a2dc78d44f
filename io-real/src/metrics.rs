//! The page `/metrics`: Prometheus' text form, with etcd's names, so that existing dashboards and alerts go on working.
//!
//! Each metric is one row of a table here; what has no value in this house (Go's runtime, v2 stores) is left out rather
//! than reported as zero.

use crate::meter::{Meter, head};
use crate::process;
use crate::served::{API_VERSION, BUCKETS, PeerTally, Reading, Served, Standing, Tally};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The kinds of metric on this page.
const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// The whole page.
pub(crate) fn page(served: &dyn Served, meter: &Meter) -> String {
    let mut out = String::with_capacity(8 << 10);
    let standing = served.standing();
    write_standing(&mut out, &standing);
    let tally = served.tally();
    write_tally(&mut out, &tally, meter.writes_under_way());
    write_measurements(&mut out, &tally);
    write_peers(&mut out, &tally.peers);
    row(
        &mut out,
        COUNTER,
        "etcd_server_health_success",
        "Good answers of /health.",
        meter.health_successes.load(Relaxed),
    );
    row(
        &mut out,
        COUNTER,
        "etcd_server_health_failures",
        "Bad answers of /health.",
        meter.health_failures.load(Relaxed),
    );
    meter.write(&mut out);
    for (kind, name, help, value) in process::figures() {
        head(&mut out, name, kind, help);
        writeln!(out, "{name} {value}").expect("a string takes everything");
    }
    out
}

fn write_standing(out: &mut String, standing: &Standing) {
    let leads = standing.leader != 0 && standing.leader == standing.member_id;
    row(out, GAUGE, "etcd_server_has_leader", "Whether a leader is known.", u64::from(standing.leader != 0));
    row(out, GAUGE, "etcd_server_is_leader", "Whether this member leads.", u64::from(leads));
    row(
        out,
        GAUGE,
        "etcd_server_is_learner",
        "Whether this member does not vote.",
        u64::from(standing.is_learner),
    );
    row(out, GAUGE, "etcd_server_proposals_committed_total", "Highest committed index.", standing.committed);
    row(out, GAUGE, "etcd_server_proposals_applied_total", "Highest applied index.", standing.applied);
    row(out, GAUGE, "etcd_server_quota_backend_bytes", "Space quota in bytes.", standing.db_quota);
    row(out, GAUGE, "etcd_mvcc_db_total_size_in_bytes", "Bytes of the state on disk.", standing.db_size);
    row(
        out,
        GAUGE,
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Bytes of it in use.",
        standing.db_size_in_use,
    );
    let revision = "etcd_debugging_mvcc_current_revision";
    row(out, GAUGE, revision, "Newest revision.", standing.revision as u64);
    let compacted = "etcd_debugging_mvcc_compact_revision";
    head(out, compacted, GAUGE, "Revision below which history is gone.");
    writeln!(out, "{compacted} {}", standing.compacted_revision).expect("a string takes everything");
    row(
        out,
        GAUGE,
        "orlop_no_space",
        "Whether writes are refused for want of space.",
        u64::from(standing.no_space),
    );
    row(
        out,
        GAUGE,
        "orlop_corrupt",
        "Whether something stored here is damaged, or not as the other members have it, and not mended yet.",
        u64::from(!standing.corrupt.is_empty()),
    );
    labelled(out, "etcd_server_id", "Id of this member.", "server_id", &format!("{:x}", standing.member_id));
    labelled(
        out,
        "etcd_server_version",
        "Version of etcd whose API is served.",
        "server_version",
        API_VERSION,
    );
    let minor = API_VERSION.rsplit_once('.').map_or(API_VERSION, |(minor, _)| minor);
    labelled(out, "etcd_cluster_version", "Version that all members serve.", "cluster_version", minor);
}

fn write_tally(out: &mut String, tally: &Tally, pending: u64) {
    row(out, COUNTER, "etcd_server_leader_changes_seen_total", "Leader changes seen.", tally.leader_changes);
    row(out, COUNTER, "etcd_server_proposals_failed_total", "Proposals that failed.", tally.proposals_failed);
    row(out, GAUGE, "etcd_server_proposals_pending", "Writing calls under way.", pending);
    let streams = "etcd_debugging_mvcc_watch_stream_total";
    row(out, GAUGE, streams, "Watch streams open.", tally.watch_streams);
    row(out, GAUGE, "etcd_debugging_mvcc_watcher_total", "Watchers on them.", tally.watchers);
    row(out, GAUGE, "etcd_debugging_mvcc_slow_watcher_total", "Watchers that lag.", tally.slow_watchers);
    row(out, GAUGE, "etcd_debugging_mvcc_keys_total", "Keys.", tally.keys);
    row(out, GAUGE, "orlop_leases", "Leases.", tally.leases);
    row(out, COUNTER, "orlop_linearizable_reads_total", "Reads confirmed by a quorum.", tally.reads);
    row(
        out,
        COUNTER,
        "orlop_serializable_reads_total",
        "Reads of this member's own state.",
        tally.serializable_reads,
    );
    let damages = "orlop_state_damages_total";
    row(out, COUNTER, damages, "Times that the state was found damaged, or wrong.", tally.state_damages);
    let repairs = "orlop_state_repairs_total";
    row(out, COUNTER, repairs, "Times that a peer's state took a damaged one's place.", tally.state_repairs);
    let segments = "orlop_log_damages_total";
    row(out, COUNTER, segments, "Sealed segments of the log found damaged.", tally.log_damages);
    let scrubbed = "orlop_scrubbed_bytes_total";
    row(
        out,
        COUNTER,
        scrubbed,
        "Bytes of cold data read to see whether they are whole.",
        tally.scrubbed_bytes,
    );
    row(out, COUNTER, "orlop_scrub_passes_total", "Passes over all cold data.", tally.scrub_passes);
    let refused = "orlop_peer_messages_refused_total";
    row(out, COUNTER, refused, "Messages of peers that made no sense.", tally.refused_messages);
}

fn write_measurements(out: &mut String, tally: &Tally) {
    let syncs = "etcd_disk_wal_fsync_duration_seconds";
    histogram(out, syncs, "Time that a sync of the log takes.", &tally.log_syncs);
    let commits = "etcd_disk_backend_commit_duration_seconds";
    histogram(out, commits, "Time that a checkpoint of the state takes.", &tally.checkpoints);
    // A gauge, and so named, in etcd too.
    row(out, GAUGE, "etcd_disk_wal_write_bytes_total", "Bytes written to the log.", tally.log_bytes);
    row(
        out,
        COUNTER,
        "etcd_server_slow_apply_total",
        "Entries whose apply took more than 100 ms.",
        tally.slow_applies,
    );
    row(
        out,
        COUNTER,
        "etcd_server_slow_read_indexes_total",
        "Read indexes asked for again because no answer came in time.",
        tally.slow_read_indexes,
    );
    row(
        out,
        COUNTER,
        "etcd_server_read_indexes_failed_total",
        "Linearizable reads given up.",
        tally.failed_read_indexes,
    );
}

/// A family of metrics with a row for each peer: its name, what it is, the label that names the peer, and the value.
type PeerMetric = (&'static str, &'static str, &'static str, fn(&PeerTally) -> u64);

const PEER_METRICS: [PeerMetric; 9] = [
    ("etcd_network_peer_sent_bytes_total", "Bytes sent to peers.", "To", |peer| peer.sent_bytes),
    ("etcd_network_peer_received_bytes_total", "Bytes received from peers.", "From", |peer| {
        peer.received_bytes
    }),
    ("orlop_peer_messages_sent_total", "Messages sent to peers.", "To", |peer| peer.sent),
    ("orlop_peer_messages_received_total", "Messages received from peers.", "From", |peer| peer.received),
    ("etcd_network_peer_sent_failures_total", "Connections to peers that failed.", "To", |peer| {
        peer.send_failures
    }),
    ("etcd_network_snapshot_send_success", "Snapshots sent.", "To", |peer| peer.snapshots_sent),
    ("etcd_network_snapshot_send_failures", "Snapshots that were not taken.", "To", |peer| {
        peer.snapshots_failed
    }),
    ("etcd_network_snapshot_receive_success", "Snapshots received.", "From", |peer| peer.snapshots_received),
    ("etcd_network_snapshot_receive_failures", "Snapshots refused.", "From", |peer| peer.snapshots_refused),
];

fn write_peers(out: &mut String, peers: &[PeerTally]) {
    for (name, help, label, value) in PEER_METRICS {
        head(out, name, COUNTER, help);
        for peer in peers {
            let value = value(peer);
            writeln!(out, "{name}{{{label}=\"{:x}\"}} {value}", peer.id).expect("a string takes everything");
        }
    }
}

/// A histogram whose bounds are 1 ms and its doublings.
fn histogram(out: &mut String, name: &str, help: &str, reading: &Reading) {
    head(out, name, "histogram", help);
    let mut line = |rest: std::fmt::Arguments<'_>| {
        writeln!(out, "{name}_{rest}").expect("a string takes everything");
    };
    for bucket in 0..BUCKETS {
        let bound = f64::from(1u32 << bucket) / 1e3;
        line(format_args!("bucket{{le=\"{bound}\"}} {}", reading.up_to[bucket]));
    }
    line(format_args!("bucket{{le=\"+Inf\"}} {}", reading.count));
    line(format_args!("sum {}", reading.sum.as_secs_f64()));
    line(format_args!("count {}", reading.count));
}

fn row(out: &mut String, kind: &str, name: &str, help: &str, value: u64) {
    head(out, name, kind, help);
    writeln!(out, "{name} {value}").expect("a string takes everything");
}

/// A gauge that is always 1 and says something by its label.
fn labelled(out: &mut String, name: &str, help: &str, label: &str, value: &str) {
    head(out, name, GAUGE, help);
    writeln!(out, "{name}{{{label}=\"{value}\"}} 1").expect("a string takes everything");
}
