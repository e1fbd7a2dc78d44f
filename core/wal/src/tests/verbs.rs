//! What each verb promises when nothing fails.

use crate::testing::disk::TestDisk;
use crate::testing::world::World;
use crate::testing::*;
use crate::types::{OnDamage, Options};
use crate::{Error, Wal};
use std::sync::Arc;

#[test]
fn create_and_open_are_not_confused() {
    let disk = TestDisk::default();
    assert!(!Wal::exists(&disk, DIR).unwrap());
    drop(create(&disk));
    assert!(Wal::exists(&disk, DIR).unwrap());
    let again = Wal::create(Arc::new(disk), DIR, "m".into(), options());
    assert!(matches!(again, Err(Error::Exists(true, _))));
    let empty = open(&TestDisk::default(), OnDamage::Refuse);
    assert!(matches!(empty, Err(Error::Exists(false, _))));
    let large = Wal::create(Arc::new(TestDisk::default()), DIR, vec![0; 4096].into(), options());
    assert!(matches!(large, Err(Error::TooLarge { bytes: 4096, limit: 2048 })));
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let mut world = World::new();
    let before = world.disk.writes_and_syncs();
    let records: Vec<_> = (1..=20).map(|index| entry(index, 1, 20)).collect();
    world.save(&records, true).unwrap();
    let after = world.disk.writes_and_syncs();
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
    world.save(&[state(1, 1)], false).unwrap();
    assert_eq!(world.disk.writes_and_syncs(), (after.0 + 1, after.1));
    world.reopen().unwrap();
}

#[test]
fn later_entries_win() {
    let mut world = World::new();
    let old: Vec<_> = (1..=9).map(|index| entry(index, 1, 30)).collect();
    world.save(&old, true).unwrap();
    world.save(&[entry(5, 2, 30), entry(6, 2, 30)], true).unwrap();
    let recovered = world.reopen().unwrap();
    let terms: Vec<_> = recovered.entries.iter().map(|entry| (entry.index, entry.term)).collect();
    assert_eq!(terms, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)]);
}

#[test]
fn a_snapshot_that_the_log_leads_up_to_keeps_it_and_any_other_replaces_it() {
    let mut world = World::new();
    let entries: Vec<_> = (1..=5).map(|index| entry(index, 1, 30)).collect();
    world.save(&entries, true).unwrap();
    world.save(&[snapshot(3, 1)], true).unwrap();
    assert_eq!(indexes(&world.reopen().unwrap()), [1, 2, 3, 4, 5]);
    world.save(&[snapshot(4, 2), entry(5, 2, 10)], true).unwrap();
    assert_eq!(indexes(&world.reopen().unwrap()), [5]);
    world.save(&[snapshot(90, 3), entry(91, 3, 10)], true).unwrap();
    let recovered = world.reopen().unwrap();
    assert_eq!((indexes(&recovered), recovered.snapshot), (vec![91], Some(snapshot(90, 3))));
}

#[test]
#[should_panic(expected = "entry 4 would leave a gap behind entry 2")]
fn a_gap_is_never_written() {
    let mut world = World::new();
    world.save(&[entry(1, 1, 1), entry(2, 1, 1)], true).unwrap();
    let _ = world.save(&[entry(4, 1, 1)], true);
}

#[test]
fn what_is_larger_than_a_segment_gets_one_of_its_own_size() {
    let mut world = World::new();
    world.save(&[entry(1, 1, 50_000)], true).unwrap();
    world.save(&[entry(2, 1, 10)], true).unwrap();
    assert_eq!(world.reopen().unwrap().entries.len(), 2);
    let sizes: Vec<usize> = segments(&world.disk).iter().map(|path| world.disk.bytes(path).len()).collect();
    assert_eq!(sizes, [4096, 53_248]);
}

#[test]
fn release_keeps_what_is_needed_and_recycles_one() {
    let mut world = World::new();
    (1..=60).for_each(|index| world.save(&[entry(index, 1, 400)], true).unwrap());
    let before = segments(&world.disk).len();
    assert_eq!(world.release(0).unwrap(), 0);
    let released = world.release(50).unwrap();
    assert!(released > 2);
    let image = world.disk.image();
    assert_eq!(image.len(), before - released + 1);
    assert!(image.contains_key("wal/spare"));
    let recovered = world.reopen().unwrap();
    assert!((40..=51).contains(&recovered.entries[0].index), "{}", recovered.entries[0].index);
    assert!(!world.disk.image().contains_key("wal/spare"), "a spare lives as long as its process");
    world.release(u64::MAX).unwrap();
    assert_eq!(segments(&world.disk).len(), 1, "the last is never released");
}

#[test]
fn a_marker_is_written_once_for_each_acknowledged_tail() {
    let mut world = World::new();
    world.mark().unwrap();
    let before = world.disk.writes_and_syncs();
    world.save(&[entry(1, 1, 8)], true).unwrap();
    world.mark().unwrap();
    world.mark().unwrap();
    assert_eq!(world.disk.writes_and_syncs(), (before.0 + 2, before.1 + 2));
    world.reopen().unwrap();
}

#[test]
fn rare_branches_are_counted() {
    let probe = kernel::Probe::counting();
    let options = Options { probe: probe.clone(), ..options() };
    let disk = TestDisk::default();
    let mut wal = Wal::create(Arc::new(disk.clone()), DIR, "m".into(), options.clone()).unwrap();
    for index in 1..=40 {
        wal.save(&[entry(index, 1, 400)], true).unwrap();
        wal.release(index / 2).unwrap();
    }
    wal.mark().unwrap();
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(40, 1, 400));
    assert!(Wal::open(Arc::new(disk.clone()), DIR, OnDamage::Refuse, options.clone()).is_err());
    Wal::open(Arc::new(disk), DIR, OnDamage::Repair, options).map(drop).unwrap();
    let reached: Vec<&str> = probe.counts().into_keys().collect();
    assert_eq!(
        reached,
        [
            "wal: damage refused",
            "wal: damage repaired",
            "wal: marker written",
            "wal: rolled",
            "wal: segment recycled"
        ]
    );
}

/// With the bug planted, the log forgets a record; without it this history is kept to the letter.
#[test]
fn planted_bug_drops_a_record_on_roll() {
    let disk = TestDisk::default();
    #[cfg(orlop_mutations)]
    let options = Options { planted: kernel::Planted::bug(kernel::Bug::DropRecordOnRoll), ..options() };
    #[cfg(not(orlop_mutations))]
    let options = options();
    let mut wal = Wal::create(Arc::new(disk.clone()), DIR, "m".into(), options).unwrap();
    (1..=20).for_each(|index| wal.save(&[entry(index, 1, 400)], true).unwrap());
    drop(wal);
    let kept = open(&disk, OnDamage::Refuse).is_ok_and(|(_, recovered)| recovered.entries.len() == 20);
    assert_eq!(kept, !cfg!(orlop_mutations));
}

#[test]
fn a_quarantine_is_durable_and_only_grows() {
    let disk = TestDisk::default();
    let mut wal = create(&disk);
    wal.save(&[entry(1, 1, 30), entry(2, 1, 30)], true).unwrap();
    wal.quarantine(2).unwrap();
    wal.quarantine(1).unwrap();
    drop(wal);
    disk.lose_power(1);
    let (mut wal, recovered) = open(&disk, OnDamage::Refuse).unwrap();
    assert_eq!((recovered.quarantine, indexes(&recovered)), (Some(2), vec![1, 2]));
    wal.clear_quarantine().unwrap();
    drop(wal);
    assert_eq!(open(&disk, OnDamage::Refuse).unwrap().1.quarantine, None);
}

#[test]
fn metadata_can_be_read_without_opening() {
    let disk = TestDisk::default();
    assert_eq!(Wal::metadata(&disk, DIR).unwrap(), None);
    drop(create(&disk));
    let before = disk.image();
    assert_eq!(
        Wal::metadata(&disk, DIR).unwrap().unwrap(),
        open(&disk, OnDamage::Refuse).unwrap().1.metadata
    );
    assert_eq!(disk.image(), before);
}
