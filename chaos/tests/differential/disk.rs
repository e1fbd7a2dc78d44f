//! Disk: files and directories, handles that outlive their names, reading back after everything was closed and opened again.
//!
//! Compared: success, bytes, lengths, names, and the kinds of error that the contract names. Where an operation is a misuse of a
//! name (a directory as a file), only that both refuse.

use io_real::ports::RealDisk;
use io_sim::run_sealed;
use kernel::{Disk, File, Open};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::any::Any;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

/// Sequences tried.
const SEQUENCES: u64 = 400;
/// Names in use: few, so that operations meet.
const NAMES: [&str; 9] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "no/a", "d//a"];
/// Names that leave the tree.
const OUTSIDE: [&str; 4] = ["/a", "../a", "d/../a", "./a"];
/// Handles that may be open.
const SLOTS: usize = 3;

/// One operation. Numbers index [`NAMES`] and handles, modulo how many there are.
#[derive(Clone, Debug)]
enum Deed {
    Open {
        slot: u8,
        name: u8,
        how: u8,
    },
    Close {
        slot: u8,
    },
    Len {
        slot: u8,
    },
    Read {
        slot: u8,
        at: u32,
        len: u16,
    },
    Write {
        slot: u8,
        at: u32,
        len: u16,
        seed: u8,
    },
    SetLen {
        slot: u8,
        len: u32,
    },
    Preallocate {
        slot: u8,
        len: u32,
    },
    Sync {
        slot: u8,
    },
    List {
        name: u8,
    },
    CreateDir {
        name: u8,
    },
    Rename {
        from: u8,
        to: u8,
    },
    Remove {
        name: u8,
    },
    SyncDir {
        name: u8,
    },
    Lock,
    Unlock,
    Outside {
        name: u8,
        what: u8,
    },
    /// Every handle is closed; then every file is opened and read.
    ReadAll,
}

/// Most places at block borders, where things change.
fn place(g: &mut Gen) -> u32 {
    let border = *g.choose(&[0, 511, 512, 513, 4_095, 4_096, 4_097, 8_192, 20_000]).expect("not empty");
    if bool::arbitrary(g) { border } else { u32::arbitrary(g) % 30_000 }
}

impl Arbitrary for Deed {
    fn arbitrary(g: &mut Gen) -> Deed {
        let (slot, name) = (u8::arbitrary(g), u8::arbitrary(g));
        match u8::arbitrary(g) % 24 {
            0..=4 => Deed::Open { slot, name, how: u8::arbitrary(g) },
            5 => Deed::Close { slot },
            6 => Deed::Len { slot },
            7..=9 => Deed::Read { slot, at: place(g), len: u16::arbitrary(g) % 9_000 },
            10..=12 => Deed::Write { slot, at: place(g), len: 1 + u16::arbitrary(g) % 9_000, seed: name },
            13 => Deed::SetLen { slot, len: place(g) },
            14 => Deed::Preallocate { slot, len: place(g) },
            15 => Deed::Sync { slot },
            16 => Deed::List { name },
            17 | 18 => Deed::CreateDir { name },
            19 => Deed::Rename { from: name, to: u8::arbitrary(g) },
            20 => Deed::Remove { name },
            21 => Deed::SyncDir { name },
            22 => [Deed::Lock, Deed::Unlock, Deed::ReadAll][usize::from(slot) % 3].clone(),
            _ => Deed::Outside { name, what: slot },
        }
    }
}

/// What came of an operation, as far as the contract fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Number(u64),
    /// How many, and a hash of them.
    Bytes(usize, u64),
    Names(Vec<String>),
    Named(ErrorKind),
    /// Refused, for a reason that the contract does not name.
    Refused,
    /// There was nothing to do it on.
    Nothing,
}

fn outcome<T>(result: io::Result<T>, of: impl FnOnce(T) -> Outcome) -> Outcome {
    match result {
        Ok(value) => of(value),
        Err(error) => match error.kind() {
            kind @ (ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidInput
            | ErrorKind::WouldBlock
            | ErrorKind::StorageFull) => Outcome::Named(kind),
            // A file where a directory should be: there is no such directory.
            ErrorKind::NotADirectory => Outcome::Named(ErrorKind::NotFound),
            _ => Outcome::Refused,
        },
    }
}

/// As [`outcome`], for verbs of which the contract names no kind of error.
fn done(result: io::Result<()>) -> Outcome {
    outcome(
        result.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => error,
            _ => io::ErrorKind::Other.into(),
        }),
        |()| Outcome::Done,
    )
}

fn mark(bytes: &[u8]) -> Outcome {
    let hash = bytes.iter().fold(7u64, |hash, byte| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte));
    Outcome::Bytes(bytes.len(), hash)
}

/// At least one byte: whether a write of none grows a file, the contract leaves open.
fn bytes(seed: u8, len: u16) -> Vec<u8> {
    (0..len).map(|index| seed.wrapping_add((index ^ (index >> 8)) as u8).wrapping_mul(31)).collect()
}

/// A process that uses the disk.
struct User<'a> {
    disk: &'a dyn Disk,
    handles: [Option<Arc<dyn File>>; SLOTS],
    lock: Option<Box<dyn Any + Send + Sync>>,
}

impl User<'_> {
    fn handle(&self, slot: u8, act: impl FnOnce(&dyn File) -> Outcome) -> Outcome {
        self.handles[usize::from(slot) % SLOTS].as_deref().map_or(Outcome::Nothing, act)
    }

    fn is_dir(&self, path: &str) -> bool {
        self.disk.list(path).is_ok()
    }

    fn is_file(&self, path: &str) -> bool {
        self.disk.open(path, Open::Existing).is_ok()
    }

    fn deed(&mut self, deed: &Deed) -> Outcome {
        let name = |name: &u8| NAMES[usize::from(*name) % NAMES.len()];
        match deed {
            Deed::Open { slot, name: path, how } => {
                let how = [Open::Existing, Open::New, Open::Any][usize::from(*how) % 3];
                let opened = self.disk.open(name(path), how);
                outcome(opened, |file| {
                    self.handles[usize::from(*slot) % SLOTS] = Some(file);
                    Outcome::Done
                })
            }
            Deed::Close { slot } => {
                self.handles[usize::from(*slot) % SLOTS] = None;
                Outcome::Done
            }
            Deed::Len { slot } => self.handle(*slot, |file| outcome(file.len(), Outcome::Number)),
            Deed::Read { slot, at, len } => self.handle(*slot, |file| read(file, (*at).into(), *len)),
            Deed::Write { slot, at, len, seed } => self.handle(*slot, |file| {
                outcome(file.write_at((*at).into(), &bytes(*seed, (*len).max(1))), |()| Outcome::Done)
            }),
            Deed::SetLen { slot, len } => {
                self.handle(*slot, |file| outcome(file.set_len((*len).into()), |()| Outcome::Done))
            }
            Deed::Preallocate { slot, len } => {
                self.handle(*slot, |file| outcome(file.preallocate((*len).into()), |()| Outcome::Done))
            }
            Deed::Sync { slot } => self.handle(*slot, |file| outcome(file.sync(), |()| Outcome::Done)),
            Deed::List { name: path } => outcome(self.disk.list(directory(name(path))), Outcome::Names),
            Deed::CreateDir { name: path } => done(self.disk.create_dir(name(path))),
            // The contract gives this verb files; what systems do with directories is theirs.
            Deed::Rename { from, to } if self.is_dir(name(from)) || self.is_dir(name(to)) => Outcome::Nothing,
            Deed::Rename { from, to } => done(self.disk.rename(name(from), name(to))),
            Deed::Remove { name: path } => done(self.disk.remove(name(path))),
            Deed::SyncDir { name: path } if self.is_file(directory(name(path))) => Outcome::Nothing,
            Deed::SyncDir { name: path } => done(self.disk.sync_dir(directory(name(path)))),
            Deed::Lock => outcome(self.disk.lock("lock"), |lock| {
                self.lock = Some(lock);
                Outcome::Done
            }),
            Deed::Unlock => {
                self.lock = None;
                Outcome::Done
            }
            Deed::Outside { name, what } => {
                let path = OUTSIDE[usize::from(*name) % OUTSIDE.len()];
                match what % 4 {
                    0 => outcome(self.disk.open(path, Open::Any), |_| Outcome::Done),
                    1 => outcome(self.disk.list(path), Outcome::Names),
                    2 => done(self.disk.rename("a", path)),
                    _ => done(self.disk.remove(path)),
                }
            }
            Deed::ReadAll => {
                self.handles = Default::default();
                let whole = NAMES.map(|path| match self.disk.open(path, Open::Existing) {
                    Ok(file) => file.map().map_or(vec![0xee], |map| (*map).as_ref().to_vec()),
                    Err(_) => Vec::new(),
                });
                mark(&whole.concat())
            }
        }
    }
}

/// The names with nothing in them stand for the root when they are meant as directories.
fn directory(name: &str) -> &str {
    if name.starts_with('a') { "" } else { name }
}

fn read(file: &dyn File, at: u64, len: u16) -> Outcome {
    // What lies beyond the end must be left alone.
    let mut buf = vec![0xee; len.into()];
    outcome(file.read_at(at, &mut buf), |got| {
        buf.push(u8::from(got == usize::from(len)));
        mark(&buf)
    })
}

fn outcomes(disk: &dyn Disk, deeds: &[Deed]) -> Vec<Outcome> {
    let mut user = User { disk, handles: Default::default(), lock: None };
    deeds.iter().chain([&Deed::ReadAll]).map(|deed| user.deed(deed)).collect()
}

fn agree(deeds: Vec<Deed>) -> bool {
    let root = tempfile::tempdir().expect("a temporary directory");
    let real = outcomes(&RealDisk::new(root.path()), &deeds);
    let invented = Arc::new(Mutex::new(Vec::new()));
    let (into, script) = (invented.clone(), deeds.clone());
    run_sealed(deeds.len() as u64, move |world| {
        let node = world.add_node("here");
        let disk = world.start(node).disk;
        *into.lock().expect("no holder panics") = outcomes(&*disk, &script);
    });
    let invented = invented.lock().expect("no holder panics").clone();
    for (number, (real, invented)) in real.iter().zip(&invented).enumerate() {
        if real != invented {
            println!("{:?}: really {real:?}, in the invented world {invented:?}", deeds.get(number));
        }
    }
    real == invented
}

#[test]
fn disks_of_both_worlds_agree() {
    QuickCheck::new().tests(SEQUENCES).rng(Gen::new(60)).quickcheck(agree as fn(Vec<Deed>) -> bool);
}
