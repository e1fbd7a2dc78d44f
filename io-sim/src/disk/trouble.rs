//! What goes wrong beneath a disk's verbs: loss of power, syncs that fail or lie, reads that bring something else, damage at rest.

use super::faults::DiskFaults;
use super::inode::{Goes, Inode, Mercy, Order, PAGE, SECTOR, Toll};
use super::medium::Medium;
use super::names::{Entry, Names};
use crate::sched::Effect;
use kernel::rng::Stream;

impl Medium {
    /// The power goes; the process has been detached.
    pub fn power_loss(&mut self) {
        assert!(self.owner.is_none(), "the process ends before its power does");
        let order = match self.rare.below(4) {
            0 => Order::DataFirst,
            1 => Order::Prefix(self.rare.between(self.settled, self.writes)),
            _ => Order::Free,
        };
        let mercy = match self.draws.below(4) {
            0 => Mercy { kept: 0, torn: 0, order },
            1 => Mercy { kept: 1000, torn: 0, order },
            2 => Mercy { kept: 400, torn: 200, order },
            _ => Mercy { kept: 850, torn: 100, order },
        };
        let mut toll = Toll::default();
        for inode in self.inodes.values_mut() {
            let one = inode.power_loss(mercy, self.whole_pages, &mut self.draws);
            toll =
                Toll { kept: toll.kept + one.kept, torn: toll.torn + one.torn, lost: toll.lost + one.lost };
        }
        let names = self.names.power_loss(mercy.kept, &mut self.draws);
        self.sched.effects_add(Effect::KeptSector, toll.kept);
        self.sched.effects_add(Effect::TornSector, toll.torn);
        self.sched.effects_add(Effect::LostSector, toll.lost);
        self.sched.effects_add(Effect::LostName, names);
        self.settled = self.writes;
        self.faults.power_loss_in = None;
        self.faults.power_loss_in_any = None;
        self.collect();
    }

    /// Whether an armed fault makes this sync fail.
    pub(super) fn sync_fails(&mut self) -> bool {
        let fails = DiskFaults::is_due(&mut self.faults.fail_sync_in) || self.faults.fail_syncs;
        if fails {
            self.sched.effect(Effect::FailSync);
        }
        fails
    }

    /// Brings what stands at another place of the disk.
    pub(super) fn misread(&mut self, buf: &mut [u8]) {
        let files: Vec<u64> =
            self.inodes.iter().filter(|(_, file)| file.len() > 0).map(|(id, _)| *id).collect();
        if files.is_empty() {
            return;
        }
        let from = files[self.rare.below(files.len() as u64) as usize];
        let page = self.rare.below(self.inode(from).len().div_ceil(PAGE));
        let right = buf.to_vec();
        buf.fill(0);
        self.inode(from).read(page * PAGE, buf);
        if buf != right {
            self.sched.effect(Effect::Misread);
        }
    }

    /// Syncs a file; a page of it may go elsewhere.
    pub(super) fn sync_pages(&mut self, inode: u64) {
        let Medium { faults, inodes, rare, sched, .. } = self;
        let file = inodes.get_mut(&inode).expect("an open file is not collected");
        let pages = file.len().div_ceil(PAGE).max(1);
        file.sync(faults.keep_old, |page| {
            if DiskFaults::is_due(&mut faults.lose_page_in) {
                sched.effect(Effect::LostWrite);
                return Goes::Nowhere;
            }
            if pages > 1 && DiskFaults::is_due(&mut faults.misplace_page_in) {
                sched.effect(Effect::Misplaced);
                return Goes::To((page + 1 + rare.below(pages - 1)) % pages);
            }
            Goes::There
        });
    }

    /// Every sync that lied has told the truth after all, and every sector can be read.
    pub fn make_good(&mut self) {
        self.inodes.values_mut().for_each(Inode::make_good);
        self.faults = DiskFaults { quota_bytes: self.faults.quota_bytes, ..DiskFaults::default() };
    }

    /// The truth comes out: what was promised and not done will never be.
    pub fn owe_nothing(&mut self) {
        self.inodes.values_mut().for_each(Inode::owe_nothing);
    }

    /// Forgets what syncs have replaced.
    pub fn forget_old(&mut self) {
        self.inodes.values_mut().for_each(Inode::forget_old);
    }

    /// One sector somewhere cannot be read any more; false where there is none.
    pub fn spoil(&mut self, draws: &mut Stream) -> bool {
        let files: Vec<u64> =
            self.inodes.iter().filter(|(_, file)| file.len() > 0).map(|(id, _)| *id).collect();
        if files.is_empty() {
            return false;
        }
        let inode = files[draws.below(files.len() as u64) as usize];
        let sector = draws.below(self.inode(inode).len().div_ceil(SECTOR));
        self.inode_mut(inode).spoil(sector)
    }

    /// Turns one bit of a file on the medium. False when there is no such byte.
    pub fn flip(&mut self, path: &str, offset: u64, bit: u8) -> bool {
        match self.names.get(path) {
            Some(Entry::File(inode)) => {
                let turned = self.inode_mut(inode).flip(offset, bit);
                self.sched.effects_add(Effect::BitRot, turned.into());
                turned
            }
            _ => false,
        }
    }

    /// Replaces the disk by an empty one; the node is down.
    pub fn wipe(&mut self) {
        assert!(self.owner.is_none(), "a disk in use cannot be wiped");
        self.sched.effect(Effect::Wipe);
        self.inodes.clear();
        self.names = Names::default();
        self.used_pages = 0;
    }
}
