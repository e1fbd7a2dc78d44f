//! What this process may do to its machine.

use crate::etcd::Refusal;
use std::fs;

/// CAP_NET_ADMIN's bit: the right to change links, routes and rules.
const NET_ADMIN: u32 = 12;

/// Refuses to start without the right to do the work. Reading the kernel's tables would go well, and only the first change fail.
pub fn check_rights() -> Result<(), Refusal> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match may_administer(&status) {
        Some(false) => Err(Refusal::start(
            "no right to change this machine's network: run it as root, or give it CAP_NET_ADMIN (in a systemd unit \
             AmbientCapabilities=CAP_NET_ADMIN)",
        )),
        // Where the kernel does not tell, the first change will.
        Some(true) | None => Ok(()),
    }
}

/// What /proc/PID/status says about the right.
fn may_administer(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask & (1 << NET_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::may_administer;

    #[test]
    fn the_right_is_one_bit() {
        assert_eq!(may_administer("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(true));
        assert_eq!(may_administer("CapEff:\t0000000000001000\n"), Some(true));
        assert_eq!(may_administer("CapEff:\t000001ffffffefff\n"), Some(false));
        assert_eq!(may_administer("Name:\tx\n"), None);
    }
}
