//! What a log must survive, case by case. The numbers are those of the list in docs/file-format.md; cases that need several
//! members (8, 12, 16, 18, 19) are tested with whole clusters, and 1 and 17 in `crashes`.

use crate::record::{HEADER, encoded_len};
use crate::testing::disk::{Fault, TestDisk};
use crate::testing::*;
use crate::types::{OnDamage, Options, Recovered};
use crate::{Damage, Error, Record, Wal};
use OnDamage::{Refuse, Repair};
use std::sync::Arc;

/// A log with entries 1..=count of `size` bytes in term 1, each synced, behind a hard state.
fn log_of(count: u64, size: usize) -> (TestDisk, Wal) {
    log_with(count, size, options())
}

fn log_with(count: u64, size: usize, options: Options) -> (TestDisk, Wal) {
    let disk = TestDisk::default();
    let mut wal = Wal::create(Arc::new(disk.clone()), DIR, "member 7".into(), options).unwrap();
    wal.save(&[state(1, 2)], true).unwrap();
    (1..=count).for_each(|index| wal.save(&[entry(index, 1, size)], true).unwrap());
    (disk, wal)
}

fn refused(disk: &TestDisk) -> Damage {
    let before = disk.image();
    let Err(Error::Corrupt(damage)) = open(disk, Refuse).map(|(_, recovered)| recovered) else {
        panic!("damage to what was acknowledged is refused")
    };
    assert!(disk.image() == before, "a refusal changes nothing");
    damage
}

/// Repairs, and checks that a second opening finds an orderly log in the same state.
fn repaired(disk: &TestDisk) -> Recovered {
    let (wal, recovered) = open(disk, Repair).unwrap();
    drop(wal);
    disk.lose_power(1);
    let (_, again) = open(disk, Refuse).unwrap();
    assert_eq!(again, recovered, "a repair is durable");
    recovered
}

fn cut_at(disk: &TestDisk) -> Option<u64> {
    open(disk, Refuse).unwrap().1.torn.map(|torn| torn.offset)
}

#[test]
fn case_02_torn_last_record_never_acknowledged() {
    for seed in 0..40 {
        let (disk, mut wal) = log_of(3, 100);
        wal.mark().unwrap();
        disk.plan(0, Fault::PowerLoss);
        wal.save(&[entry(4, 1, 1500)], true).unwrap_err();
        disk.lose_power(seed);
        let (mut wal, recovered) = open(&disk, Refuse).unwrap();
        let whole = indexes(&recovered) == [1, 2, 3, 4];
        assert!(whole || indexes(&recovered) == [1, 2, 3]);
        wal.save(&[entry(4, 2, 10)], true).unwrap();
        drop(wal);
        let (_, recovered) = open(&disk, Refuse).unwrap();
        assert_eq!((indexes(&recovered), recovered.entries[3].term), (vec![1, 2, 3, 4], 2));
    }
}

#[test]
fn case_02_a_cut_is_reported() {
    let (disk, wal) = log_of(3, 100);
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(3, 1, 100));
    let at = payload_at(&disk, &newest(&disk), &entry(2, 1, 100)) - HEADER + encoded_len(100);
    assert_eq!(cut_at(&disk), Some(at as u64), "no marker says that the last record was acknowledged");
    assert_eq!(cut_at(&disk), None, "what was cut is gone");
    assert_eq!(indexes(&open(&disk, Refuse).unwrap().1), [1, 2]);
}

#[test]
fn case_03_damaged_last_record_that_was_acknowledged() {
    let (disk, mut wal) = log_of(3, 100);
    wal.mark().unwrap();
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(3, 1, 100));
    let damage = refused(&disk);
    assert_eq!((damage.lost_from, damage.lost_to), (3, 3));
    assert_eq!(damage.segment, newest(&disk));
    let at = payload_at(&disk, &newest(&disk), &entry(2, 1, 100)) - HEADER + encoded_len(100);
    assert_eq!(damage.offset, at as u64);
    let recovered = repaired(&disk);
    assert_eq!(indexes(&recovered), [1, 2]);
    assert_eq!(recovered.quarantine, Some(3));
    assert_eq!(recovered.hard_state, Some(state(1, 2).payload));
}

#[test]
fn case_03_the_report_names_place_loss_and_remedy() {
    let (disk, mut wal) = log_of(3, 100);
    wal.mark().unwrap();
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(2, 1, 100));
    let report = open(&disk, Refuse).map(|_| ()).unwrap_err().to_string();
    for part in ["wal/0000000000000001-0000000000000001.seg", "at byte", "entries 2..=3", "repair", "backup"]
    {
        assert!(report.contains(part), "{part:?} is not in {report:?}");
    }
}

#[test]
fn case_03_quarantine_lasts_until_it_is_cleared() {
    let (disk, mut wal) = log_of(30, 400);
    wal.mark().unwrap();
    drop(wal);
    rot_payload(&disk, &segments(&disk)[1], &entry(12, 1, 400));
    assert_eq!(repaired(&disk).quarantine, Some(30));
    let aside = |disk: &TestDisk| disk.image().keys().filter(|name| name.ends_with(".damaged")).count();
    assert!(aside(&disk) > 0, "what was void is kept for the curious");
    let (mut wal, recovered) = open(&disk, Repair).unwrap();
    let next = recovered.entries.last().unwrap().index + 1;
    // The quarantine survives a roll, and the release of every segment before it.
    (next..=30).for_each(|index| wal.save(&[entry(index, 1, 400)], true).unwrap());
    wal.release(29).unwrap();
    drop(wal);
    let (mut wal, recovered) = open(&disk, Refuse).unwrap();
    assert_eq!(recovered.quarantine, Some(30));
    wal.clear_quarantine().unwrap();
    drop(wal);
    disk.lose_power(3);
    assert_eq!(open(&disk, Refuse).unwrap().1.quarantine, None);
    assert_eq!(aside(&disk), 0, "what was set aside is gone with the quarantine");
}

#[test]
fn case_04_damage_in_the_middle_with_valid_records_after_it() {
    let (disk, wal) = log_of(9, 100);
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(5, 1, 100));
    let damage = refused(&disk);
    assert_eq!((damage.lost_from, damage.lost_to), (5, 8), "of 9 nobody knows whether it was acknowledged");
    let recovered = repaired(&disk);
    assert_eq!((indexes(&recovered), recovered.quarantine), (vec![1, 2, 3, 4], Some(8)));
}

#[test]
fn case_04_damage_in_a_sealed_segment() {
    let (disk, wal) = log_of(40, 400);
    drop(wal);
    for (place, path) in segments(&disk).iter().enumerate().rev().skip(1) {
        let index = (1..=40).rev().find(|index| {
            let payload = entry(*index, 1, 400).payload;
            disk.bytes(path).windows(400).any(|window| window == &payload[..])
        });
        let index = index.expect("each segment holds an entry");
        let sound = disk.image();
        rot_payload(&disk, path, &entry(index, 1, 400));
        let damage = refused(&disk);
        assert_eq!((damage.segment.as_str(), damage.lost_from), (path.as_str(), index), "place {place}");
        assert!(damage.lost_to >= 39, "{damage}");
        sound
            .into_iter()
            .filter(|(name, _)| name == path)
            .for_each(|(_, old)| disk.rot(path, |bytes| *bytes = old));
    }
    assert_eq!(open(&disk, Refuse).unwrap().1.entries.len(), 40);
}

#[test]
fn case_04_a_first_block_or_a_whole_segment_is_lost() {
    for whole in [false, true] {
        let (disk, wal) = log_of(40, 400);
        drop(wal);
        let path = segments(&disk)[2].clone();
        if whole {
            disk.lose_file(&path)
        } else {
            disk.rot(&path, |bytes| bytes[40] ^= 1)
        }
        let damage = refused(&disk);
        assert!(damage.lost_from <= 20 && damage.lost_to >= 39, "{damage}");
        let recovered = repaired(&disk);
        let kept: Vec<u64> = (1..damage.lost_from).collect();
        assert_eq!((indexes(&recovered), recovered.quarantine), (kept, Some(damage.lost_to)));
    }
}

#[test]
fn case_04_the_oldest_segment_loses_its_first_block() {
    let (disk, wal) = log_of(40, 400);
    drop(wal);
    disk.rot(&segments(&disk)[0].clone(), |bytes| bytes[3] ^= 1);
    assert_eq!(refused(&disk).offset, 0);
    let recovered = repaired(&disk);
    assert_eq!((recovered.entries.len(), recovered.quarantine.is_some()), (0, true));
    assert_eq!(recovered.hard_state, Some(state(1, 2).payload), "each segment has a copy");
}

#[test]
fn case_05_zeroed_sector_inside_an_acknowledged_record() {
    let (disk, mut wal) = log_of(2, 2000);
    wal.mark().unwrap();
    drop(wal);
    let path = newest(&disk);
    let sector = payload_at(&disk, &path, &entry(2, 1, 2000)).next_multiple_of(512);
    disk.rot(&path, |bytes| bytes[sector..sector + 512].fill(0));
    assert_eq!((refused(&disk).lost_from, refused(&disk).lost_to), (2, 2));
    assert_eq!(repaired(&disk).quarantine, Some(2));
}

#[test]
fn case_06_damaged_length_field() {
    for length in [u32::MAX, 1 << 31, 1 << 20, 5000, 101, 104 + 64, 0] {
        let (disk, wal) = log_of(6, 100);
        drop(wal);
        let path = newest(&disk);
        let at = payload_at(&disk, &path, &entry(3, 1, 100)) - HEADER;
        disk.rot(&path, |bytes| bytes[at + 4..at + 8].copy_from_slice(&length.to_le_bytes()));
        let damage = refused(&disk);
        assert_eq!((damage.offset, damage.lost_from, damage.lost_to), (at as u64, 3, 5), "length {length}");
    }
}

#[test]
fn case_07_old_valid_bytes_behind_the_tail() {
    let (disk, mut wal) = log_of(40, 400);
    wal.release(40).unwrap();
    // The next roll uses the released segment again, with its old entries still in it.
    let sealed = wal.segments();
    let mut index = 40;
    while wal.segments() == sealed {
        index += 1;
        wal.save(&[entry(index, 2, 400)], true).unwrap();
    }
    drop(wal);
    let old = (1..=40).any(|index| {
        let old = entry(index, 1, 400).payload;
        disk.bytes(&newest(&disk)).windows(400).any(|window| window == &old[..])
    });
    assert!(old, "the segment was recycled");
    let (_, recovered) = open(&disk, Refuse).unwrap();
    assert_eq!(recovered.entries.last().map(|entry| (entry.index, entry.term)), Some((index, 2)));
    assert!(recovered.entries.iter().all(|entry| entry.index > 30), "nothing old came back");
    assert_eq!(recovered.torn, None, "old bytes are no torn write");
}

#[test]
fn case_07_a_value_that_looks_like_a_record() {
    let (disk, mut wal) = log_of(1, 8);
    let at = wal.current.at;
    // What a client could craft that knows sequence, offset and every checksum rule, but not the salt of the segment.
    let mut forged = at;
    forged.identity.salt = 0;
    forged.tail = at.tail + HEADER;
    forged.synced = forged.tail;
    let mut payload = Vec::new();
    forged.put(crate::record::Tag::Entry, 2, 1, b"forged", &mut payload);
    wal.save(&[Record { payload: payload.into(), ..entry(2, 1, 0) }], true).unwrap();
    drop(wal);
    disk.rot(&newest(&disk), |bytes| bytes[at.tail] ^= 1);
    let (_, recovered) = open(&disk, Refuse).unwrap();
    assert_eq!((indexes(&recovered), recovered.torn.is_some()), (vec![1], true));
}

#[test]
fn case_09_hard_state_lost() {
    // One copy is damaged, the marker holds the other.
    let (disk, mut wal) = log_of(2, 100);
    wal.save(&[state(7, 3)], true).unwrap();
    wal.mark().unwrap();
    drop(wal);
    let vote = payload_at(&disk, &newest(&disk), &state(7, 3));
    disk.rot(&newest(&disk), |bytes| bytes[vote] ^= 1);
    let sound = disk.bytes(&newest(&disk));
    let damage = refused(&disk);
    assert!(damage.to_string().contains("no entry is affected"), "{damage}");
    let recovered = repaired(&disk);
    assert_eq!(recovered.hard_state, Some(state(7, 3).payload));
    assert_eq!((indexes(&recovered), recovered.quarantine), (vec![1, 2], None));
    // Both are damaged, and a later record says that there was a vote.
    let (disk, mut wal) = log_of(2, 100);
    wal.save(&[state(7, 3)], true).unwrap();
    wal.mark().unwrap();
    wal.save(&[entry(3, 7, 100)], true).unwrap();
    drop(wal);
    let second = sound.windows(10).rposition(|window| window == &state(7, 3).payload[..10]).unwrap();
    disk.rot(&newest(&disk), |bytes| (bytes[vote] ^= 1, bytes[second] ^= 1).0);
    let before = disk.image();
    let error = open(&disk, Repair).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unrepairable { .. }), "{error}");
    assert!(error.to_string().contains("Move its data directory away"), "{error}");
    assert!(disk.image() == before, "nothing was changed");
}

#[test]
fn case_09_damage_that_holds_no_vote_is_repaired() {
    let (disk, mut wal) = log_of(4, 100);
    wal.save(&[entry(5, 1, 100)], true).unwrap();
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(3, 1, 100));
    // Each record says where the newest hard state stands: before the damage.
    assert_eq!(repaired(&disk).hard_state, Some(state(1, 2).payload));
}

#[test]
fn case_09_an_acknowledged_vote_in_the_first_segment_survives_its_release() {
    let (disk, mut wal) = log_of(40, 400);
    assert!(wal.release(40).unwrap() > 3);
    drop(wal);
    disk.lose_power(5);
    assert_eq!(open(&disk, Refuse).unwrap().1.hard_state, Some(state(1, 2).payload));
}

#[test]
fn case_10_failed_sync_ends_the_log() {
    let (disk, mut wal) = log_of(2, 100);
    disk.plan(1, Fault::Io);
    assert!(wal.save(&[entry(3, 1, 100)], true).unwrap_err().is_fatal());
    assert!(matches!(wal.save(&[entry(4, 1, 100)], true), Err(Error::Poisoned)));
    assert!(matches!(wal.mark(), Err(Error::Poisoned)));
    assert!(matches!(wal.release(1), Err(Error::Poisoned)));
    assert!(matches!(wal.clear_quarantine(), Err(Error::Poisoned)));
    drop(wal);
    // The cache still shows entry 3, on clean pages: recovery must not call it durable unless it makes it so.
    disk.restart();
    let (_, recovered) = open(&disk, Refuse).unwrap();
    for seed in 0..20 {
        disk.lose_power(seed);
        assert_eq!(open(&disk, Refuse).unwrap().1.entries, recovered.entries);
    }
}

#[test]
fn case_11_failed_sync_while_rolling_or_releasing_loses_nothing() {
    for step in 0..8 {
        let (disk, mut wal) = log_of(8, 400);
        disk.plan(step, Fault::Io);
        let failed = wal.save(&[entry(9, 1, 400)], true).and_then(|()| wal.release(8));
        drop((wal, failed));
        disk.lose_power(step);
        let (_, recovered) = open(&disk, Refuse).unwrap();
        let last = recovered.entries.last().map_or(0, |entry| entry.index);
        assert!(last >= 8, "step {step}: {last}");
    }
}

#[test]
fn case_13_full_disk_while_appending() {
    for cleared in [true, false] {
        let probe = kernel::Probe::counting();
        let (disk, mut wal) = log_with(2, 100, Options { probe: probe.clone(), ..options() });
        disk.plan(0, Fault::Full);
        assert!(matches!(wal.save(&[entry(3, 1, 900), entry(4, 1, 100)], true), Err(Error::Full(_))));
        assert_eq!(probe.counts().get("wal: tail restored"), Some(&1), "{:?}", probe.counts());
        if !cleared {
            drop(wal);
            disk.lose_power(4);
            assert_eq!(indexes(&open(&disk, Refuse).unwrap().1), [1, 2], "nothing of the batch counts");
            continue;
        }
        wal.save(&[entry(3, 2, 10)], true).unwrap();
        drop(wal);
        let (_, recovered) = open(&disk, Refuse).unwrap();
        assert_eq!((indexes(&recovered), recovered.entries[2].term), (vec![1, 2, 3], 2));
    }
}

#[test]
fn case_13_full_disk_while_rolling() {
    let (disk, mut wal) = log_of(5, 500);
    let (before, used) = (segments(&disk).len(), 4096 * segments(&disk).len());
    disk.set_quota(Some(used + 1000));
    let mut index = 5;
    let error = loop {
        index += 1;
        if let Err(error) = wal.save(&[entry(index, 1, 500)], true) {
            break error;
        }
    };
    assert!(matches!(error, Error::Full(_)), "{error}");
    assert_eq!(segments(&disk).len(), before);
    assert_eq!(disk.image().len(), before, "no half-made file takes up room");
    // What fits still goes in, and with room again all is well.
    wal.save(&[state(2, 2)], true).unwrap();
    assert!(matches!(wal.save(&[entry(index, 1, 500)], true), Err(Error::Full(_))));
    disk.set_quota(None);
    wal.save(&[entry(index, 1, 500)], true).unwrap();
    drop(wal);
    let (_, recovered) = open(&disk, Refuse).unwrap();
    assert_eq!(recovered.entries.len() as u64, index);
    assert_eq!(recovered.hard_state, Some(state(2, 2).payload));
}

#[test]
fn case_14_half_old_half_new_directory() {
    for seed in 0..64 {
        let (disk, mut wal) = log_of(60, 400);
        // Several releases in one call; the power goes at each of their steps.
        disk.plan(seed % 12, Fault::PowerLoss);
        let _ = wal.release(58);
        drop(wal);
        disk.lose_power(seed);
        let (_, recovered) = open(&disk, Refuse).unwrap();
        assert_eq!(recovered.entries.last().map(|entry| entry.index), Some(60));
        assert!(recovered.entries[0].index <= 59);
    }
}

#[test]
fn case_15_misdirected_write() {
    // A valid record of the same segment at a wrong place.
    let (disk, mut wal) = log_of(6, 100);
    wal.mark().unwrap();
    drop(wal);
    let path = newest(&disk);
    let at = |index| payload_at(&disk, &path, &entry(index, 1, 100)) - HEADER;
    let (from, to, len) = (at(2), at(4), encoded_len(100));
    disk.rot(&path, |bytes| bytes.copy_within(from..from + len, to));
    assert_eq!((refused(&disk).offset, refused(&disk).lost_from), (to as u64, 4));
    // A valid record of another segment at its own offset.
    let (disk, wal) = log_of(30, 400);
    drop(wal);
    let (older, newer) = (segments(&disk)[1].clone(), segments(&disk)[2].clone());
    let bytes = disk.bytes(&older);
    disk.rot(&newer, |to| to[1000..2000].copy_from_slice(&bytes[1000..2000]));
    assert_eq!(refused(&disk).segment, newer);
    // A whole segment's bytes under another's name.
    disk.rot(&newer, |to| *to = bytes);
    assert!(refused(&disk).lost_from > 1);
}

#[test]
fn case_17_power_loss_at_every_step_of_repair() {
    let mut cut_off = 0;
    for step in 0..20 {
        for seed in 0..8 {
            let (disk, mut wal) = log_of(30, 400);
            wal.mark().unwrap();
            drop(wal);
            rot_payload(&disk, &segments(&disk)[1].clone(), &entry(12, 1, 400));
            disk.plan(step, Fault::PowerLoss);
            cut_off += u64::from(open(&disk, Repair).is_err());
            disk.lose_power(seed);
            let recovered = open(&disk, Repair).unwrap().1;
            assert_eq!((recovered.entries.len(), recovered.quarantine), (11, Some(30)), "step {step}");
        }
    }
    assert!(cut_off > 60, "repair was cut off {cut_off} times");
}

#[test]
fn case_20_a_newer_format_is_refused_untouched() {
    let (disk, wal) = log_of(9, 400);
    drop(wal);
    disk.rot(&newest(&disk), |bytes| {
        bytes[8..12].copy_from_slice(&7u32.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    });
    for on_damage in [Refuse, Repair] {
        let before = disk.image();
        let error = open(&disk, on_damage).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Version { found: 7, known: 1, .. }), "{error}");
        assert!(disk.image() == before);
    }
}

#[test]
fn case_21_a_file_that_was_cut_short() {
    for keep in [4095, 1200, 300, 20, 0] {
        let (disk, mut wal) = log_of(4, 300);
        wal.mark().unwrap();
        drop(wal);
        disk.rot(&newest(&disk), |bytes| bytes.truncate(keep));
        assert!(refused(&disk).why.len() > 10);
        let error = open(&disk, Repair).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Unrepairable { .. }), "what was lost cannot be known: {error}");
    }
}

#[test]
fn case_15_a_lost_write_shows_an_older_record_in_its_place() {
    // Two histories that differ in one entry of the same size: its record is whole, and in its place, in both.
    let (disk, mut wal) = log_of(2, 100);
    let (other, mut beside) = log_of(2, 100);
    wal.save(&[entry(3, 2, 100)], true).unwrap();
    beside.save(&[entry(3, 1, 100)], true).unwrap();
    wal.save(&[entry(4, 2, 100)], true).unwrap();
    wal.mark().unwrap();
    drop((wal, beside));
    let path = newest(&disk);
    let at = payload_at(&disk, &path, &entry(3, 2, 100)) - HEADER;
    let old = other.bytes(&path)[at..at + encoded_len(100)].to_vec();
    disk.rot(&path, |bytes| bytes[at..at + old.len()].copy_from_slice(&old));
    // Which of the two was lost cannot be told, but the chain does not close behind the older one.
    assert_eq!((refused(&disk).lost_from, refused(&disk).lost_to), (4, 4));
}

#[test]
fn case_09_a_log_that_was_opened_again_still_says_where_its_hard_state_is() {
    let (disk, wal) = log_of(2, 100);
    drop(wal);
    let (mut wal, _) = open(&disk, Refuse).unwrap();
    (3..=5).for_each(|index| wal.save(&[entry(index, 1, 100)], true).unwrap());
    wal.save(&[state(8, 1)], true).unwrap();
    drop(wal);
    let (mut wal, _) = open(&disk, Refuse).unwrap();
    wal.save(&[entry(6, 8, 100)], true).unwrap();
    drop(wal);
    let vote = payload_at(&disk, &newest(&disk), &state(8, 1));
    disk.rot(&newest(&disk), |bytes| bytes[vote] ^= 1);
    let error = open(&disk, Repair).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unrepairable { .. }), "the only copy of a vote is lost: {error}");
}

#[test]
fn case_03_a_cleared_quarantine_stays_cleared_over_a_roll() {
    let (disk, mut wal) = log_of(3, 400);
    wal.mark().unwrap();
    drop(wal);
    rot_payload(&disk, &newest(&disk), &entry(3, 1, 400));
    let (mut wal, recovered) = open(&disk, Repair).unwrap();
    assert_eq!(recovered.quarantine, Some(3));
    wal.clear_quarantine().unwrap();
    (3..=40).for_each(|index| wal.save(&[entry(index, 1, 400)], true).unwrap());
    wal.release(39).unwrap();
    drop(wal);
    assert_eq!(open(&disk, Refuse).unwrap().1.quarantine, None);
}
