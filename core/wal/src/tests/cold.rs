//! Bytes that cannot be read, and what the scrub finds in segments that nobody reads.

use crate::record::{HEADER, encoded_len};
use crate::scrub::Step;
use crate::testing::disk::TestDisk;
use crate::testing::*;
use crate::types::OnDamage::{Refuse, Repair};
use crate::{Damage, Error, Wal};

fn log_of(count: u64, size: usize) -> (TestDisk, Wal) {
    let disk = TestDisk::default();
    let mut wal = create(&disk);
    wal.save(&[state(1, 2)], true).unwrap();
    (1..=count).for_each(|index| wal.save(&[entry(index, 1, size)], true).unwrap());
    (disk, wal)
}

/// What a whole pass finds.
fn scrubbed(wal: &Wal, bytes: u64) -> Vec<Damage> {
    let (mut scrub, mut found) = (wal.scrub(), Vec::new());
    loop {
        match scrub.step(bytes) {
            Step::More(_) => {}
            Step::Damaged(damage) => found.push(damage),
            Step::Done => return found,
        }
    }
}

#[test]
fn case_05_a_sector_in_the_middle_that_cannot_be_read_is_damage() {
    let (disk, mut wal) = log_of(9, 300);
    wal.mark().unwrap();
    drop(wal);
    let at = payload_at(&disk, &newest(&disk), &entry(5, 1, 300));
    disk.make_unreadable(&newest(&disk), at + 10..at + 11);
    let Err(Error::Corrupt(damage)) = open(&disk, Refuse).map(|_| ()) else { panic!("it was not noticed") };
    assert!((4..=5).contains(&damage.lost_from) && damage.lost_to == 9, "{damage}");
    let (_, recovered) = open(&disk, Repair).unwrap();
    assert_eq!(recovered.quarantine, Some(9));
    assert_eq!(indexes(&recovered), (1..damage.lost_from).collect::<Vec<_>>());
}

#[test]
fn case_03_a_last_record_that_cannot_be_read_is_never_taken_for_the_end() {
    // No marker says that it was acknowledged; where a sector cannot be read, nothing says that it was not.
    let (disk, wal) = log_of(3, 300);
    drop(wal);
    let at = payload_at(&disk, &newest(&disk), &entry(3, 1, 300)) - HEADER;
    disk.make_unreadable(&newest(&disk), at..at + 1);
    let Err(Error::Corrupt(damage)) = open(&disk, Refuse).map(|_| ()) else { panic!("it was cut") };
    assert_eq!(damage.why, "it cannot be read here");
    // And whether a vote was there cannot be told either.
    assert!(matches!(open(&disk, Repair).map(|_| ()), Err(Error::Unrepairable { .. })));
    disk.make_readable();
    assert_eq!(indexes(&open(&disk, Refuse).unwrap().1), [1, 2, 3], "nothing was changed");
}

#[test]
fn a_sector_behind_the_end_that_cannot_be_read_is_nothing() {
    let (disk, mut wal) = log_of(3, 100);
    wal.mark().unwrap();
    drop(wal);
    disk.make_unreadable(&newest(&disk), 3_000..3_010);
    assert_eq!(indexes(&open(&disk, Refuse).unwrap().1), [1, 2, 3]);
}

#[test]
fn case_09_a_log_that_lost_its_votes_is_set_aside_as_a_whole() {
    let (disk, wal) = log_of(30, 400);
    drop(wal);
    disk.rot(&newest(&disk), |bytes| bytes.truncate(20));
    assert!(matches!(open(&disk, Repair).map(|_| ()), Err(Error::Unrepairable { .. })));
    Wal::set_aside(&disk, DIR).unwrap();
    disk.lose_power(3);
    assert!(!Wal::exists(&disk, DIR).unwrap());
    assert!(disk.image().keys().all(|name| name.ends_with(".damaged")), "{:?}", disk.image().keys());
    let mut wal = create(&disk);
    wal.save(&[snapshot(31, 2), entry(32, 2, 40)], true).unwrap();
    drop(wal);
    let (_, recovered) = open(&disk, Refuse).unwrap();
    assert_eq!(
        (indexes(&recovered), recovered.hard_state),
        (vec![32], None),
        "nothing of the old one is left"
    );
}

#[test]
fn the_scrub_finds_nothing_in_a_sound_log() {
    for (count, size) in [(1, 8), (40, 400), (30, 3_000), (3, 20_000)] {
        let (_, wal) = log_of(count, size);
        for bytes in [1, 4096, 1 << 20] {
            assert_eq!(scrubbed(&wal, bytes), [], "{count} entries of {size} bytes, {bytes} at a time");
        }
    }
}

#[test]
fn the_scrub_finds_damage_in_every_sealed_segment() {
    let (disk, wal) = log_of(40, 400);
    let sealed = segments(&disk).split_last().unwrap().1.to_vec();
    for path in &sealed {
        let sound = disk.bytes(path);
        let end = (1..=40).rev().find_map(|index| {
            let payload = entry(index, 1, 400).payload;
            sound.windows(400).position(|window| window == &payload[..])
        });
        // The preamble, the segment record, the middle, the last entry.
        for place in [9, 60, sound.len() / 2, end.unwrap() + 399] {
            disk.rot(path, |bytes| bytes[place] ^= 4);
            let found = scrubbed(&wal, 4096);
            assert_eq!(found.len(), 1, "byte {place} of {path}: {found:?}");
            assert!(&found[0].segment == path && found[0].offset <= place as u64, "{found:?}");
            assert!(wal.holds(path) && found[0].lost_to < 40);
            disk.rot(path, |bytes| *bytes = sound.clone());
        }
        disk.make_unreadable(path, 1_000..1_001);
        assert!(scrubbed(&wal, 4096)[0].why.contains("cannot be read"));
        disk.make_readable();
    }
    assert_eq!(scrubbed(&wal, 4096), []);
}

#[test]
fn a_damaged_segment_goes_with_its_release() {
    let (disk, mut wal) = log_of(40, 400);
    let path = segments(&disk)[1].clone();
    rot_payload(&disk, &path, &entry(12, 1, 400));
    let damage = scrubbed(&wal, 4096).remove(0);
    wal.release(damage.lost_to).unwrap();
    assert!(!wal.holds(&damage.segment), "its last entry is {}", damage.lost_to);
    assert_eq!(scrubbed(&wal, 4096), []);
    drop(wal);
    assert_eq!(open(&disk, Refuse).unwrap().1.entries.last().unwrap().index, 40);
}

#[test]
fn a_segment_that_is_released_and_used_again_under_the_scrub_is_no_damage() {
    let (disk, mut wal) = log_of(40, 400);
    let path = segments(&disk)[0].clone();
    let mut scrub = wal.scrub();
    assert_eq!(scrub.step(1), Step::More(8192), "the first is open");
    wal.release(40).unwrap();
    (41..=60).for_each(|index| wal.save(&[entry(index, 2, 400)], true).unwrap());
    loop {
        match scrub.step(4096) {
            Step::More(_) => {}
            Step::Damaged(damage) => assert!(!wal.holds(&damage.segment), "{damage}"),
            Step::Done => break,
        }
    }
    assert!(!wal.holds(&path));
}

#[test]
fn records_are_found_in_any_window() {
    let (disk, wal) = log_of(8, 100);
    let at = wal.current.at;
    let bytes = disk.bytes(&newest(&disk));
    let from = payload_at(&disk, &newest(&disk), &entry(4, 1, 100)) - HEADER;
    let window = &bytes[from - 8..from + encoded_len(100)];
    let found = crate::record::find_in(window, from - 8, from, at.identity).unwrap();
    assert_eq!((found.index, found.offset, found.end), (4, from, from + encoded_len(100)));
    assert!(crate::record::find_in(&window[..100], from - 8, from, at.identity).is_none(), "it is cut off");
    assert!(crate::record::find_in(window, from, from - 8, at.identity).is_none(), "it lies before");
}
