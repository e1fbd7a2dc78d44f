//! What `/metrics` says of an agent.

use flannel::agent::Status;
use io_real::fleet::figures::Figure;

/// The figures of a status.
pub fn figures(status: &Status) -> Vec<Figure> {
    let gauge = |name, help, value| Figure { kind: "gauge", name, help, value };
    let counter = |name, help, value: u64| Figure { kind: "counter", name, help, value: value as f64 };
    let mut figures = vec![
        gauge(
            "flannel_ready",
            "1 while this machine's containers can use the network.",
            f64::from(u8::from(status.ready)),
        ),
        gauge("flannel_peers", "Other machines that are served.", status.peers as f64),
        gauge("flannel_peers_skipped", "Other machines that cannot be served.", status.skipped.len() as f64),
        gauge(
            "flannel_store_revision",
            "Revision of the store that is followed.",
            status.store_revision as f64,
        ),
        counter("flannel_looks_total", "Times that the kernel's tables were read.", status.looks),
        counter("flannel_operations_total", "Operations that the kernel carried out.", status.operations),
        counter("flannel_repairs_total", "Of these, what somebody else had changed.", status.repairs),
        counter("flannel_failures_total", "Operations that failed.", status.failures),
    ];
    if let Some(left) = status.lease.as_ref().and_then(|lease| lease.seconds_left) {
        let help = "Time for which the lease is certainly held, if it is not renewed.";
        figures.push(gauge("flannel_lease_remaining_seconds", help, left as f64));
    }
    if let Some(tun) = &status.tun {
        figures.extend([
            counter("flannel_udp_sent_packets_total", "Packets sent to peers.", tun.sent_packets),
            counter("flannel_udp_sent_bytes_total", "Bytes in them.", tun.sent_bytes),
            counter(
                "flannel_udp_received_packets_total",
                "Packets received from peers.",
                tun.received_packets,
            ),
            counter("flannel_udp_received_bytes_total", "Bytes in them.", tun.received_bytes),
            counter("flannel_udp_no_peer_total", "Packets dropped: nobody has the destination.", tun.no_peer),
            counter(
                "flannel_udp_dropped_total",
                "Packets dropped: expired, too long, malformed, or not taken by the network.",
                tun.expired + tun.too_long + tun.malformed_out + tun.malformed_in + tun.refused,
            ),
        ]);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::figures;
    use flannel::agent::Status;

    #[test]
    fn names_are_prometheus_names_and_unique() {
        let status = Status { peers: 7, tun: Some(Default::default()), ..Status::default() };
        let figures = figures(&status);
        let mut names: Vec<_> = figures.iter().map(|figure| figure.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for figure in &figures {
            assert!(figure.name.starts_with("flannel_"), "{}", figure.name);
            assert_eq!(figure.name.ends_with("_total"), figure.kind == "counter", "{}", figure.name);
        }
        assert_eq!(figures.iter().find(|figure| figure.name == "flannel_peers").unwrap().value, 7.0);
    }
}
