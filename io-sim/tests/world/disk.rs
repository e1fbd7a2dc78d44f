//! Properties of the disk: any script of verbs against a plain model, with crashes and power losses between them.
//!
//! The model keeps, for each file, the bytes that processes see and, for each byte, the set of values that the medium may
//! hold: everything that was written there since the last sync, and what that sync left.

use io_sim::{NodeId, Unreadable, World};
use kernel::{Disk, Open, Planted, Probe};
use quickcheck::{Arbitrary, Gen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const FILE_BYTES: u64 = 6_000;

#[derive(Clone, Debug)]
enum Step {
    Write { file: u8, at: u64, len: u64, fill: u8 },
    Sync { file: u8 },
    SyncDir,
    Rename { from: u8, to: u8 },
    Remove { file: u8 },
    Crash,
    PowerLoss,
    PowerLossIn { changes: u64 },
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Step {
        let file = u8::arbitrary(g) % 3;
        match u8::arbitrary(g) % 20 {
            0..9 => {
                let at = u64::arbitrary(g) % FILE_BYTES;
                let len = 1 + u64::arbitrary(g) % (FILE_BYTES - at).min(3000);
                Step::Write { file, at, len, fill: u8::arbitrary(g) }
            }
            9..12 => Step::Sync { file },
            12..14 => Step::SyncDir,
            14 => Step::Rename { from: file, to: u8::arbitrary(g) % 3 },
            15 => Step::Remove { file },
            16 => Step::Crash,
            17 | 18 => Step::PowerLoss,
            _ => Step::PowerLossIn { changes: 1 + u64::arbitrary(g) % 4 },
        }
    }
}

fn name(file: u8) -> String {
    format!("f{file}")
}

/// A file's content as it may come back: each byte is one of a set. Its length is fixed at creation.
#[derive(Clone)]
struct Model {
    live: Vec<u8>,
    medium: Vec<BTreeSet<u8>>,
}

impl Model {
    fn settle(&mut self) {
        self.medium = self.live.iter().map(|byte| BTreeSet::from([*byte])).collect();
    }

    fn may_hold(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.medium.len()
            && bytes.iter().zip(&self.medium).all(|(byte, set)| set.contains(byte))
    }
}

struct Checked {
    world: World,
    node: NodeId,
    disk: Arc<dyn Disk>,
    models: BTreeMap<u8, Model>,
}

impl Checked {
    fn new(seed: u64, large_sectors: bool) -> Checked {
        let world = World::new(seed, Probe::default(), Planted::none());
        let node = world.add_node("a");
        world.set_large_sectors(node, large_sectors);
        let disk = world.start(node).disk;
        Checked { world, node, disk, models: BTreeMap::new() }
    }

    /// The file's model; files are created whole, synced and named for good, so that only bytes are in doubt.
    fn file(&mut self, file: u8) -> Arc<dyn kernel::File> {
        self.models.entry(file).or_insert_with(|| {
            let created = self.disk.open(&name(file), Open::New).unwrap();
            created.write_at(0, &vec![file; FILE_BYTES as usize]).unwrap();
            created.sync().unwrap();
            self.disk.sync_dir("").unwrap();
            let mut model = Model { live: vec![file; FILE_BYTES as usize], medium: Vec::new() };
            model.settle();
            model
        });
        self.disk.open(&name(file), Open::Existing).unwrap()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { file, at, len, fill } => {
                let bytes: Vec<u8> = (0..len).map(|index| fill.wrapping_add(index as u8)).collect();
                self.file(file).write_at(at, &bytes).unwrap();
                self.written(file, at, &bytes);
            }
            Step::Sync { file } => {
                self.file(file).sync().unwrap();
                self.models.get_mut(&file).unwrap().settle();
            }
            Step::SyncDir => self.disk.sync_dir("").unwrap(),
            Step::Rename { from, to } => {
                let (_, _) = (self.file(from), self.file(to));
                self.disk.rename(&name(from), &name(to)).unwrap();
                self.disk.sync_dir("").unwrap();
                if from != to {
                    let moved = self.models.remove(&from).unwrap();
                    self.models.insert(to, moved);
                }
            }
            Step::Remove { file } => {
                let _ = self.file(file);
                self.disk.remove(&name(file)).unwrap();
                self.disk.sync_dir("").unwrap();
                self.models.remove(&file);
            }
            Step::Crash => {
                self.world.crash(self.node);
                self.disk = self.world.start(self.node).disk;
            }
            Step::PowerLoss => {
                self.world.power_loss(self.node);
                self.recover();
            }
            Step::PowerLossIn { changes } => self.die_writing(changes),
        }
    }

    fn written(&mut self, file: u8, at: u64, bytes: &[u8]) {
        let model = self.models.get_mut(&file).unwrap();
        for (index, byte) in bytes.iter().enumerate() {
            let at = at as usize + index;
            model.live[at] = *byte;
            model.medium[at].insert(*byte);
        }
    }

    /// Arms a power loss and writes until it goes off: from then on no verb gets through.
    fn die_writing(&mut self, changes: u64) {
        let file = self.file(0);
        self.world.disk_faults(self.node, |faults| faults.power_loss_in = Some(changes));
        for write in 1..=changes {
            let bytes = vec![write as u8; 2000];
            assert_eq!(file.write_at(100, &bytes).is_ok(), write < changes, "write {write} of {changes}");
            self.written(0, 100, &bytes);
        }
        assert!(file.sync().is_err() && file.len().is_err() && self.disk.list("").is_err());
        assert!(self.world.is_up(self.node), "the world hears of it after the turn");
        self.world.run_until(self.world.now());
        assert!(!self.world.is_up(self.node));
        self.recover();
    }

    /// After a power loss each byte is one of those it may be; from then on it is that one.
    fn recover(&mut self) {
        self.disk = self.world.start(self.node).disk;
        for (file, model) in &mut self.models {
            let opened = self.disk.open(&name(*file), Open::Existing).unwrap();
            let map = opened.map().unwrap();
            let bytes = (*map).as_ref();
            assert!(model.may_hold(bytes), "file {file} came back with bytes that were never there");
            model.live = bytes.to_vec();
            model.settle();
        }
    }

    fn check_live(&self) {
        let names: Vec<String> = self.models.keys().map(|file| name(*file)).collect();
        assert_eq!(self.disk.list("").unwrap(), names);
        for (file, model) in &self.models {
            let map = self.disk.open(&name(*file), Open::Existing).unwrap().map().unwrap();
            assert!((*map).as_ref() == model.live, "file {file} differs");
        }
    }
}

quickcheck::quickcheck! {
    fn the_disk_is_its_model(seed: u64, large_sectors: bool, steps: Vec<Step>) -> bool {
        let mut checked = Checked::new(seed, large_sectors);
        for step in &steps {
            checked.step(step);
            checked.check_live();
        }
        true
    }

    fn names_come_back_as_some_past(seed: u64, steps: Vec<(u8, bool)>) -> bool {
        names_come_back(seed, &steps)
    }
}

/// Creates and removes names without syncing the directory: after a power loss each name is there or not, but every one
/// that no step touched since the last sync is as it was, and files that were synced are whole.
fn names_come_back(seed: u64, steps: &[(u8, bool)]) -> bool {
    let checked = Checked::new(seed, false);
    let disk = &checked.disk;
    let mut touched: BTreeSet<String> = BTreeSet::new();
    let mut at_sync: BTreeSet<String> = BTreeSet::new();
    for (number, sync) in steps {
        let path = name(number % 8);
        if disk.open(&path, Open::Existing).is_ok() {
            disk.remove(&path).unwrap();
        } else {
            let file = disk.open(&path, Open::New).unwrap();
            file.write_at(0, path.as_bytes()).unwrap();
            file.sync().unwrap();
        }
        touched.insert(path);
        if *sync {
            disk.sync_dir("").unwrap();
            touched.clear();
            at_sync = disk.list("").unwrap().into_iter().collect();
        }
    }
    checked.world.power_loss(checked.node);
    let disk = checked.world.start(checked.node).disk;
    let back: BTreeSet<String> = disk.list("").unwrap().into_iter().collect();
    let whole = |path: &String| {
        let map = disk.open(path, Open::Existing).unwrap().map().unwrap();
        (*map).as_ref() == path.as_bytes()
    };
    let untouched = |set: &BTreeSet<String>| set.difference(&touched).cloned().collect::<BTreeSet<_>>();
    back.iter().all(whole) && untouched(&back) == untouched(&at_sync)
}

#[test]
fn a_failed_sync_marks_pages_clean_and_leaves_them_in_doubt() {
    let mut came_back = BTreeSet::new();
    for seed in 0..40 {
        let mut checked = Checked::new(seed, false);
        let file = checked.file(0);
        checked.world.disk_faults(checked.node, |faults| faults.fail_sync_in = Some(2));
        file.write_at(0, &[7; 512]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[8; 512]).unwrap();
        assert!(file.sync().is_err(), "the second sync fails");
        file.sync().expect("the third finds nothing to do");
        let mut shown = [0];
        file.read_at(0, &mut shown).unwrap();
        assert_eq!(shown, [8], "the cache shows what was written");
        checked.world.power_loss(checked.node);
        let disk = checked.world.start(checked.node).disk;
        disk.open("f0", Open::Existing).unwrap().read_at(0, &mut shown).unwrap();
        came_back.insert(shown[0]);
    }
    assert_eq!(came_back, BTreeSet::from([7, 8]), "either may be on the medium");
}

#[test]
fn a_lying_sync_makes_nothing_durable() {
    let mut checked = Checked::new(1, false);
    let file = checked.file(0);
    checked.world.disk_faults(checked.node, |faults| faults.lying_syncs = true);
    file.write_at(0, &[9; 4096]).unwrap();
    file.sync().unwrap();
    checked.world.power_loss(checked.node);
    let disk = checked.world.start(checked.node).disk;
    let mut shown = [1; 4096];
    disk.open("f0", Open::Existing).unwrap().read_at(0, &mut shown).unwrap();
    assert!(shown == [0; 4096], "the old bytes are back");
}

#[test]
fn room_runs_out_and_comes_back() {
    let mut checked = Checked::new(1, false);
    let full = |error: std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
    checked.world.disk_faults(checked.node, |faults| faults.quota_bytes = Some(64 << 10));
    let file = checked.file(0);
    assert!(file.preallocate(128 << 10).is_err_and(full));
    assert_eq!(file.len().unwrap(), FILE_BYTES, "a refused preallocation leaves the length");
    file.preallocate(48 << 10).unwrap();
    file.write_at(40 << 10, &[1; 4096]).expect("preallocated room is there");
    let other = checked.disk.open("other", Open::New).unwrap();
    assert!(other.write_at(0, &[1; 32 << 10]).is_err_and(full));
    other.write_at(0, &[1; 16 << 10]).unwrap();
    assert!(checked.disk.open("third", Open::New).is_err_and(full));
    drop(other);
    checked.disk.remove("other").unwrap();
    checked.disk.open("third", Open::New).expect("a removed file gives its room back");
    assert_eq!(checked.world.disk_used_bytes(checked.node), 48 << 10);
}

#[test]
fn bits_flip_beneath_the_cache_and_ranges_go_bad() {
    let mut checked = Checked::new(1, false);
    let file = checked.file(2);
    assert!(checked.world.flip_bit(checked.node, "f2", 700, 3));
    assert!(!checked.world.flip_bit(checked.node, "f2", FILE_BYTES, 0), "no such byte");
    let mut shown = [0; 3];
    file.read_at(699, &mut shown).unwrap();
    assert_eq!(shown, [2, 2 ^ 8, 2]);
    let bad = Unreadable { path: "f2".to_string(), from: 4096, to: 4608 };
    checked.world.disk_faults(checked.node, |faults| faults.unreadable.push(bad));
    assert!(file.read_at(4000, &mut [0; 200]).is_err());
    assert!(file.read_at(4000, &mut [0; 96]).is_ok());
}
