//! One file's bytes: what the medium holds, and what the page cache holds above it.
//!
//! Both are sparse maps of 4 KiB pages, so a preallocated file of 64 MiB costs nothing until it is written. A cached page
//! carries two bits for each 512-byte sector: *dirty* (written since the last sync) and *lost* (a sync failed: the kernel
//! has marked it clean, but whether the medium has it nobody knows). A sync moves dirty sectors to the medium. A power loss
//! decides for each dirty sector by itself whether the medium got it, got half of it, or never saw it, and drops the cache.
//! Which of that it may decide is the file system's *order*: none at all; data before the length that covers them; or writes in
//! the order in which they were made, up to some point.

use kernel::rng::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes in a page.
pub(super) const PAGE: u64 = 4096;
/// Bytes in a sector, the unit that is written or lost.
pub(super) const SECTOR: u64 = 512;

const ALL: u8 = 0xff;

type Page = Box<[u8; PAGE as usize]>;

struct Cached {
    data: Page,
    dirty: u8,
    lost: u8,
    /// When it was last written, by a count of the disk's writes.
    written: u64,
}

/// How a power loss treats what was not synced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mercy {
    /// Sectors of 1000 that the medium got whole.
    pub kept: u64,
    /// Sectors of 1000 of which it got a part.
    pub torn: u64,
    /// What the file system keeps in order.
    pub order: Order,
}

/// What a file system keeps in order when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    Free,
    /// A length is never there without the data that it covers.
    DataFirst,
    /// Writes are there up to this one, and none behind it.
    Prefix(u64),
}

/// What became of the sectors of a file when the power went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Toll {
    pub kept: u64,
    pub torn: u64,
    pub lost: u64,
}

/// A file.
#[derive(Default)]
pub(super) struct Inode {
    medium: BTreeMap<u64, Page>,
    cache: BTreeMap<u64, Cached>,
    len: u64,
    medium_len: u64,
    /// Pages `0..reserved` are allocated, written or not.
    reserved: u64,
    medium_reserved: u64,
    /// Sectors of the medium that cannot be read until they are written again.
    bad: BTreeSet<u64>,
    /// Pages that a sync promised and never brought to their place.
    owed: BTreeMap<u64, Page>,
    /// What the medium held before the last sync of a page, while that is kept.
    old: BTreeMap<u64, Page>,
}

fn blank() -> Page {
    Box::new([0; PAGE as usize])
}

/// Where a page goes that is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    /// To its place.
    There,
    /// Nowhere.
    Nowhere,
    /// To the place of another page.
    To(u64),
}

/// Sectors in a page.
const SECTORS: u64 = PAGE / SECTOR;

/// The bits of the sectors that `from..to` of a page touches.
fn sectors(from: u64, to: u64, whole_pages: bool) -> u8 {
    if whole_pages {
        return ALL;
    }
    let first = from / SECTOR;
    let last = (to - 1) / SECTOR;
    (first..=last).fold(0, |mask, sector| mask | 1 << sector)
}

fn sector_range(sector: u32) -> std::ops::Range<usize> {
    let start = sector as usize * SECTOR as usize;
    start..start + SECTOR as usize
}

fn bits(mask: u8) -> impl Iterator<Item = u32> {
    (0..8).filter(move |bit| mask & (1 << bit) != 0)
}

/// The parts of `offset..offset + len`, page by page: (page, from, to), the bounds within the page.
fn parts(offset: u64, len: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = offset + len;
    let pages = if len == 0 { 0..0 } else { offset / PAGE..(end - 1) / PAGE + 1 };
    pages.map(move |page| {
        let start = page * PAGE;
        (page, offset.max(start) - start, end.min(start + PAGE) - start)
    })
}

impl Inode {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Pages that take up room on the medium.
    pub fn allocated(&self) -> u64 {
        let cached = self.cache.range(self.reserved..).count();
        let below =
            self.medium.range(self.reserved..).filter(|(page, _)| !self.cache.contains_key(page)).count();
        self.reserved + (cached + below) as u64
    }

    /// How many pages a write to `offset..offset + len` would have to find room for.
    pub fn wants(&self, offset: u64, len: u64) -> u64 {
        parts(offset, len)
            .filter(|(page, ..)| *page >= self.reserved)
            .filter(|(page, ..)| !self.cache.contains_key(page) && !self.medium.contains_key(page))
            .count() as u64
    }

    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let len = (buf.len() as u64).min(self.len.saturating_sub(offset));
        for (page, from, to) in parts(offset, len) {
            let at = (page * PAGE + from - offset) as usize;
            let into = &mut buf[at..at + (to - from) as usize];
            match self.page(page) {
                Some(data) => into.copy_from_slice(&data[from as usize..to as usize]),
                None => into.fill(0),
            }
        }
        len as usize
    }

    fn page(&self, page: u64) -> Option<&Page> {
        self.cache.get(&page).map(|cached| &cached.data).or_else(|| self.medium.get(&page))
    }

    fn cached(&mut self, page: u64) -> &mut Cached {
        let medium = &self.medium;
        self.cache.entry(page).or_insert_with(|| Cached {
            data: medium.get(&page).cloned().unwrap_or_else(blank),
            dirty: 0,
            lost: 0,
            written: 0,
        })
    }

    /// Writes, as the disk's write number `number`.
    pub fn write(&mut self, offset: u64, bytes: &[u8], whole_pages: bool, number: u64) {
        for (page, from, to) in parts(offset, bytes.len() as u64) {
            let at = (page * PAGE + from - offset) as usize;
            let cached = self.cached(page);
            cached.data[from as usize..to as usize].copy_from_slice(&bytes[at..at + (to - from) as usize]);
            cached.dirty |= sectors(from, to, whole_pages);
            cached.written = number;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Cuts or grows. What is cut off reads as zeros if the file grows again, so it is zeroed here, in the cache.
    pub fn set_len(&mut self, len: u64, whole_pages: bool) {
        if len < self.len {
            let first = len.div_ceil(PAGE);
            self.cache.retain(|page, _| *page < first);
            let beyond: Vec<u64> = self.medium.range(first..).map(|(page, _)| *page).collect();
            for page in beyond {
                self.cache.insert(page, Cached { data: blank(), dirty: ALL, lost: 0, written: 0 });
            }
            let within = len % PAGE;
            if within != 0 && self.page(len / PAGE).is_some() {
                let cached = self.cached(len / PAGE);
                cached.data[within as usize..].fill(0);
                cached.dirty |= sectors(within, PAGE, whole_pages);
            }
            self.reserved = self.reserved.min(first);
        }
        self.len = len;
    }

    /// The pages that `preallocate(len)` would have to find room for.
    pub fn reserve_wants(&self, len: u64) -> u64 {
        let pages = len.div_ceil(PAGE);
        if pages <= self.reserved {
            return 0;
        }
        let range = self.reserved..pages;
        let cached = self.cache.range(range.clone()).count();
        let below = self.medium.range(range).filter(|(page, _)| !self.cache.contains_key(page)).count();
        pages - self.reserved - (cached + below) as u64
    }

    pub fn reserve(&mut self, len: u64) {
        self.reserved = self.reserved.max(len.div_ceil(PAGE));
        self.len = self.len.max(len);
    }

    /// Every dirty sector and the length reach the medium, except for the pages that `goes` sends elsewhere.
    pub fn sync(&mut self, keep_old: bool, mut goes: impl FnMut(u64) -> Goes) {
        for (page, mut cached) in std::mem::take(&mut self.cache) {
            match if cached.dirty == 0 { Goes::There } else { goes(page) } {
                Goes::There => {}
                Goes::Nowhere => {
                    self.owed.insert(page, cached.data);
                    continue;
                }
                Goes::To(other) => {
                    let before = self.medium.insert(other, cached.data.clone());
                    self.owed.insert(other, before.unwrap_or_else(blank));
                    self.owed.insert(page, cached.data);
                    continue;
                }
            }
            if keep_old && cached.dirty != 0 {
                self.old.insert(page, self.medium.get(&page).cloned().unwrap_or_else(blank));
            }
            self.written_again(page, cached.dirty);
            if cached.lost == 0 {
                self.medium.insert(page, cached.data);
                continue;
            }
            let below = self.medium.entry(page).or_insert_with(blank);
            for sector in bits(cached.dirty) {
                below[sector_range(sector)].copy_from_slice(&cached.data[sector_range(sector)]);
            }
            cached.lost &= !cached.dirty;
            cached.dirty = 0;
            self.cache.insert(page, cached);
        }
        self.commit_len();
    }

    /// Sectors of a page have reached the medium: they can be read, and nothing older is owed.
    fn written_again(&mut self, page: u64, dirty: u8) {
        if !self.bad.is_empty() {
            bits(dirty).for_each(|sector| _ = self.bad.remove(&(page * SECTORS + u64::from(sector))));
        }
        if !self.owed.is_empty() {
            self.owed.remove(&page);
        }
    }

    /// Everything that was promised and not done is done after all.
    pub fn make_good(&mut self) {
        self.medium.append(&mut self.owed);
        self.old.clear();
        for (page, cached) in &mut self.cache {
            let below = self.medium.entry(*page).or_insert_with(blank);
            for sector in bits(cached.lost) {
                below[sector_range(sector)].copy_from_slice(&cached.data[sector_range(sector)]);
            }
            cached.lost = 0;
        }
        self.bad.clear();
        self.commit_len();
    }

    /// Forgets what it owes: whoever looks now sees what the medium has.
    pub fn owe_nothing(&mut self) {
        self.owed.clear();
    }

    /// One sector of the medium cannot be read any more; false where the medium has none.
    pub fn spoil(&mut self, sector: u64) -> bool {
        let exists = self.medium.contains_key(&(sector / SECTORS));
        exists && self.bad.insert(sector)
    }

    /// Whether a read would have to take one of the bad sectors from the medium.
    pub fn is_unreadable(&self, offset: u64, len: u64) -> bool {
        let is_cached = |sector: &u64| self.cache.contains_key(&(sector / SECTORS));
        let end = (offset + len).min(self.len);
        !self.bad.is_empty()
            && offset < end
            && self.bad.range(offset / SECTOR..end.div_ceil(SECTOR)).any(|sector| !is_cached(sector))
    }

    /// Reads what stood there before; false where nothing older is kept of what is asked for.
    pub fn read_old(&self, offset: u64, buf: &mut [u8]) -> bool {
        let mut older = false;
        for (page, from, to) in parts(offset, buf.len() as u64) {
            let Some(data) = self.old.get(&page).filter(|_| !self.cache.contains_key(&page)) else {
                continue;
            };
            let at = (page * PAGE + from - offset) as usize;
            let into = &mut buf[at..at + (to - from) as usize];
            older |= into != &data[from as usize..to as usize];
            into.copy_from_slice(&data[from as usize..to as usize]);
        }
        older
    }

    /// Forgets what stood there before.
    pub fn forget_old(&mut self) {
        self.old.clear();
    }

    fn commit_len(&mut self) {
        self.medium_len = self.len;
        self.medium_reserved = self.reserved;
        let end = self.len.div_ceil(PAGE);
        self.medium.split_off(&end);
    }

    /// The sync has failed: each dirty sector may have reached the medium or not, and all of them count as clean from
    /// here on. The cache keeps showing them.
    pub fn sync_failed(&mut self, draws: &mut Stream) {
        for (page, cached) in &mut self.cache {
            for sector in bits(cached.dirty) {
                if draws.chance(1, 2) {
                    let below = self.medium.entry(*page).or_insert_with(blank);
                    below[sector_range(sector)].copy_from_slice(&cached.data[sector_range(sector)]);
                }
            }
            cached.lost |= cached.dirty;
            cached.dirty = 0;
        }
    }

    /// The sync says that all is well and does nothing. A later honest one has nothing to write.
    pub fn sync_lied(&mut self) {
        for cached in self.cache.values_mut() {
            cached.lost |= cached.dirty;
            cached.dirty = 0;
        }
    }

    /// The power goes: decides what the medium got, and forgets the rest.
    pub fn power_loss(&mut self, mercy: Mercy, whole_pages: bool, draws: &mut Stream) -> Toll {
        let mut toll = Toll::default();
        let grows = self.len > self.medium_len;
        let changes_len = self.len != self.medium_len || self.reserved != self.medium_reserved;
        for (page, cached) in std::mem::take(&mut self.cache) {
            if cached.dirty == 0 {
                continue;
            }
            let mercy = match mercy.order {
                Order::Prefix(last) if cached.written < last => Mercy { kept: 1000, torn: 0, ..mercy },
                Order::Prefix(last) if cached.written > last => Mercy { kept: 0, torn: 0, ..mercy },
                _ => mercy,
            };
            self.written_again(page, cached.dirty);
            let below = self.medium.entry(page).or_insert_with(blank);
            let mut settle = |piece: std::ops::Range<usize>| {
                settle(&mut below[piece.clone()], &cached.data[piece], mercy, draws, &mut toll);
            };
            match whole_pages {
                true => settle(0..PAGE as usize),
                false => bits(cached.dirty).map(sector_range).for_each(settle),
            }
        }
        // Data first: where anything was lost, so is the length that would cover it.
        let covered = mercy.order != Order::DataFirst || !grows || toll.lost + toll.torn == 0;
        if changes_len && covered && draws.below(1000) < mercy.kept {
            self.medium_len = self.len;
            self.medium_reserved = self.reserved;
        }
        self.len = self.medium_len;
        self.reserved = self.medium_reserved;
        self.commit_len();
        self.zero_tail();
        toll
    }

    /// What lies beyond the end in the last page must read as zeros if the file grows.
    fn zero_tail(&mut self) {
        let within = (self.len % PAGE) as usize;
        if within != 0
            && let Some(page) = self.medium.get_mut(&(self.len / PAGE))
        {
            page[within..].fill(0);
        }
    }

    /// Turns one bit on the medium, under whatever the cache holds. False beyond the end of the medium's file.
    pub fn flip(&mut self, offset: u64, bit: u8) -> bool {
        if offset >= self.medium_len {
            return false;
        }
        let page = self.medium.entry(offset / PAGE).or_insert_with(blank);
        page[(offset % PAGE) as usize] ^= 1 << (bit % 8);
        true
    }

    /// Length on the medium.
    pub fn medium_len(&self) -> u64 {
        self.medium_len
    }
}

/// One sector's fate.
fn settle(below: &mut [u8], written: &[u8], mercy: Mercy, draws: &mut Stream, toll: &mut Toll) {
    let fate = draws.below(1000);
    if fate < mercy.kept {
        toll.kept += 1;
        below.copy_from_slice(written);
    } else if fate < mercy.kept + mercy.torn {
        toll.torn += 1;
        tear(below, written, draws);
    } else {
        toll.lost += 1;
    }
}

/// A part of a sector arrives: its beginning, its end or its middle. Bytes that nobody wrote do not appear, as the contract of
/// the port has it.
fn tear(below: &mut [u8], written: &[u8], draws: &mut Stream) {
    let len = below.len();
    let cut = draws.between(1, len as u64 - 1) as usize;
    match draws.below(8) {
        0..=2 => below[..cut].copy_from_slice(&written[..cut]),
        3..=5 => below[cut..].copy_from_slice(&written[cut..]),
        _ => {
            let end = draws.between(cut as u64, len as u64) as usize;
            below[cut..end].copy_from_slice(&written[cut..end]);
        }
    }
}
