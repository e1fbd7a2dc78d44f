//! Faults of disks, and the atlas at the time of the run: who is damaged, and whether the truth about a disk that lied may come out.
//!
//! A disk that lies takes from a member what it has acknowledged, and the member cannot know. Only the leader that counted on it
//! can tell it. So the truth comes out (the machine loses its power) only while that leader still leads; else the disk makes good
//! what it had promised, as if it had been slow, and nothing was ever at stake.

use super::Storm;
use crate::plan::Class;
use crate::sched::Effect;
use kernel::rng::Stream;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads of a recovery may be stale for so long after it began.
const RECOVERY: Duration = Duration::from_secs(2);

/// Lies that are being told: by their place in the plan, who told them, and the leader and term at that time.
pub(super) type Liars = BTreeMap<(usize, u8), (u8, u64)>;

impl Storm {
    /// Begins a fault of a disk; false when it is none.
    pub(super) fn begin_on_disk(&self, number: usize, class: Class, member: u8, end: Duration) -> bool {
        let cluster = &self.0.cluster;
        let (world, node) = (cluster.world(), cluster.node(member));
        if class.damages() {
            cluster.is_damaged(member);
        }
        match class {
            Class::PowerLossAfter { operations } => {
                world.disk_faults(node, |faults| faults.power_loss_in = Some(operations.max(1)));
            }
            Class::SlowDisk { by_ms } => {
                world.sched().effect(Effect::SlowDisk);
                world.disk_speed(node, |speed| speed.base += Duration::from_millis(by_ms));
            }
            Class::StallDisk => {
                world.disk_speed(node, |speed| speed.stalled_until = speed.stalled_until.max(end))
            }
            Class::FailSync => world.disk_faults(node, |faults| faults.fail_sync_in = Some(1)),
            Class::WriteError { nth } => world.disk_faults(node, |faults| faults.fail_write_in = Some(nth)),
            Class::ShortWrite { nth } => world.disk_faults(node, |faults| faults.short_write_in = Some(nth)),
            Class::ReadError { nth } => world.disk_faults(node, |faults| faults.fail_read_in = Some(nth)),
            Class::Misread { nth } => world.disk_faults(node, |faults| faults.misread_in = Some(nth)),
            Class::FullDisk => {
                let used = world.disk_used_bytes(node);
                world.disk_faults(node, |faults| faults.quota_bytes = Some(used));
            }
            Class::Wipe => {
                world.power_loss(node);
                world.wipe(node);
            }
            Class::BitRot { bits } => {
                world.power_loss(node);
                self.rot(number, member, bits);
            }
            Class::BadSectors { count } => {
                let mut draw = Stream::new(cluster.plan().seed, "bad sectors", number as u64);
                (0..count).for_each(|_| _ = world.spoil_sector(node, &mut draw));
            }
            _ if class.lies() => self.begin_lie(number, class, member),
            _ => return false,
        }
        true
    }

    /// Ends a fault of a disk; false when it is none.
    pub(super) fn end_on_disk(&self, number: usize, class: Class, member: u8) -> bool {
        let cluster = &self.0.cluster;
        let (world, node) = (cluster.world(), cluster.node(member));
        match class {
            Class::PowerLossAfter { .. } => {
                world.disk_faults(node, |faults| faults.power_loss_in = None);
                cluster.start(member);
            }
            Class::SlowDisk { by_ms } => {
                let by = Duration::from_millis(by_ms);
                world.disk_speed(node, |speed| speed.base = speed.base.saturating_sub(by));
            }
            Class::StallDisk => {}
            Class::FailSync => world.disk_faults(node, |faults| faults.fail_sync_in = None),
            Class::WriteError { .. } => world.disk_faults(node, |faults| faults.fail_write_in = None),
            Class::ShortWrite { .. } => world.disk_faults(node, |faults| faults.short_write_in = None),
            Class::ReadError { .. } => world.disk_faults(node, |faults| faults.fail_read_in = None),
            Class::Misread { .. } => world.disk_faults(node, |faults| faults.misread_in = None),
            Class::FullDisk => world.disk_faults(node, |faults| faults.quota_bytes = None),
            Class::Wipe | Class::BitRot { .. } => cluster.start(member),
            Class::BadSectors { .. } => world.disk_makes_good(node),
            _ if class.lies() => self.end_lie(number, class, member),
            _ => return false,
        }
        true
    }

    fn begin_lie(&self, number: usize, class: Class, member: u8) {
        let cluster = &self.0.cluster;
        let (leader, term) = (cluster.leader(), cluster.evidence().leaders.term());
        let Some(leader) = leader.filter(|leader| *leader != member) else { return };
        self.0.liars.lock().expect("no holder panics").insert((number, member), (leader, term));
        cluster.world().disk_faults(cluster.node(member), |faults| match class {
            Class::LyingSync => faults.lying_syncs = true,
            Class::LostWrite { nth } => faults.lose_page_in = Some(nth),
            Class::Misplaced { nth } => faults.misplace_page_in = Some(nth),
            _ => faults.keep_old = true,
        });
    }

    /// The truth comes out, or the disk makes good what it had promised.
    fn end_lie(&self, number: usize, class: Class, member: u8) {
        let cluster = &self.0.cluster;
        let (world, node) = (cluster.world(), cluster.node(member));
        let told = self.0.liars.lock().expect("no holder panics").remove(&(number, member));
        let Some((leader, term)) = told else { return };
        let still_leads = cluster.leader() == Some(leader)
            && cluster.evidence().leaders.term() == term
            && cluster.member(leader).is_some();
        if !still_leads {
            return world.disk_makes_good(node);
        }
        cluster.is_damaged(member);
        world.power_loss(node);
        world.disk_faults(node, |faults| {
            (faults.lying_syncs, faults.keep_old) = (false, false);
            (faults.lose_page_in, faults.misplace_page_in) = (None, None);
            if let Class::StaleRead { nth } = class {
                faults.stale_read_in = Some(nth);
            }
        });
        world.disk_owes_nothing(node);
        cluster.start(member);
        world.after(RECOVERY, move |world| {
            world.disk_faults(node, |faults| faults.stale_read_in = None);
            world.disk_forgets_old(node);
        });
    }

    /// Turns over bits of what is stored, wherever chance falls.
    fn rot(&self, number: usize, member: u8, bits: u64) {
        let (world, node) = (self.0.cluster.world(), self.0.cluster.node(member));
        let mut draw = Stream::new(self.0.cluster.plan().seed, "rot", number as u64);
        let files: Vec<_> = world.files(node).into_iter().filter(|(_, len)| *len > 0).collect();
        for _ in 0..bits {
            let Some((path, len)) = files.get(draw.below(files.len().max(1) as u64) as usize) else { return };
            world.flip_bit(node, path, draw.below(*len), draw.below(8) as u8);
        }
    }
}
