//! What the Disk port promises.
//!
//! A case gets a machine with an empty tree. Cases about crashes ask the machine for one; a world that has none to offer says so and the case ends there.

use crate::disk::{Disk, File, Open};
use std::io::{ErrorKind, Result};
use std::sync::Arc;

/// A machine with one disk.
pub trait Machine {
    /// The disk as the process that runs now has it.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Ends the process and starts another; false where that cannot be done. The caller has dropped nothing of the old one.
    fn crash(&mut self) -> bool;

    /// Cuts the power and starts again; false where that cannot be done.
    fn power_loss(&mut self) -> bool;
}

/// A case of this suite.
pub type Case = (&'static str, fn(&mut dyn Machine));

/// Every case.
pub const CASES: &[Case] = &[
    ("open modes", |machine| open_modes(&*machine.disk())),
    ("what is written is read back", |machine| reads_back(&*machine.disk())),
    ("a read stops at the end of the file", |machine| short_reads(&*machine.disk())),
    ("a write beyond the end leaves zeros before it", |machine| growth(&*machine.disk())),
    ("preallocation keeps bytes and reads as zeros", |machine| preallocation(&*machine.disk())),
    ("set_len cuts, and what is cut off reads as zeros later", |machine| set_len(&*machine.disk())),
    ("handles of one file share it", |machine| handles_share(&*machine.disk())),
    ("a map shows the whole file", |machine| map_shows_all(&*machine.disk())),
    ("lists are sorted and direct", |machine| lists(&*machine.disk())),
    ("directories", |machine| directories(&*machine.disk())),
    ("a rename replaces", |machine| rename_replaces(&*machine.disk())),
    ("a removed file lives on in its handles", |machine| remove_with_handle(&*machine.disk())),
    ("the lock is exclusive until dropped", |machine| lock_is_exclusive(&*machine.disk())),
    ("paths cannot leave the tree", |machine| paths_stay_inside(&*machine.disk())),
    ("a crash loses nothing that was written", crash_keeps_all),
    ("a crash frees the lock", crash_frees_the_lock),
    ("a power loss keeps what was synced", power_loss_keeps_synced),
    ("a power loss mixes old and new within what was not synced", power_loss_mixes),
    ("a power loss keeps names that were synced", power_loss_keeps_names),
    ("a power loss leaves a rename whole", power_loss_rename_is_whole),
    ("a power loss without work under way changes nothing", power_loss_at_rest),
];

fn read(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xee; len];
    let got = file.read_at(offset, &mut buf).expect("reads");
    buf.truncate(got);
    buf
}

fn all(file: &dyn File) -> Vec<u8> {
    read(file, 0, file.len().expect("has a length") as usize)
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn create(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(path, Open::New).expect("creates");
    file.write_at(0, bytes).expect("writes");
    file
}

fn open(disk: &dyn Disk, path: &str) -> Arc<dyn File> {
    disk.open(path, Open::Existing).expect("opens")
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| (index as u8).wrapping_mul(31).wrapping_add((index >> 8) as u8).wrapping_add(seed))
        .collect()
}

fn open_modes(disk: &dyn Disk) {
    assert_eq!(kind(disk.open("a", Open::Existing)), Some(ErrorKind::NotFound));
    let file = disk.open("a", Open::New).expect("creates");
    assert_eq!(file.len().expect("has a length"), 0);
    assert!(file.is_empty().expect("has a length"));
    file.write_at(0, b"abc").expect("writes");
    assert_eq!(kind(disk.open("a", Open::New)), Some(ErrorKind::AlreadyExists));
    assert_eq!(all(&*open(disk, "a")), b"abc");
    assert_eq!(all(&*disk.open("a", Open::Any).expect("opens")), b"abc", "Any keeps what is there");
    assert!(disk.open("b", Open::Any).expect("creates").is_empty().expect("has a length"));
    assert_eq!(kind(disk.open("no/c", Open::Any)), Some(ErrorKind::NotFound), "no directory, no file");
}

fn reads_back(disk: &dyn Disk) {
    let file = disk.open("f", Open::New).expect("creates");
    let mut expected = vec![0; 20_000];
    for (index, (at, len)) in
        [(0, 100), (500, 24), (511, 2), (4000, 5000), (4090, 12), (19_999, 1)].iter().enumerate()
    {
        let bytes = pattern(index as u8, *len);
        file.write_at(*at as u64, &bytes).expect("writes");
        expected[*at..at + len].copy_from_slice(&bytes);
    }
    assert!(all(&*file) == expected, "the file differs from what was written");
    assert!(read(&*file, 3999, 700) == expected[3999..4699], "a part of it differs");
}

fn short_reads(disk: &dyn Disk) {
    let file = create(disk, "f", b"0123456789");
    assert_eq!(read(&*file, 4, 100), b"456789");
    assert_eq!(read(&*file, 10, 5), b"");
    assert_eq!(read(&*file, 1 << 40, 5), b"");
    assert_eq!(read(&*file, 3, 0), b"");
    let mut buf = [b'-'; 4];
    assert_eq!(file.read_at(8, &mut buf).expect("reads"), 2);
    assert_eq!(&buf, b"89--", "beyond the end the buffer is left alone");
}

fn growth(disk: &dyn Disk) {
    let file = create(disk, "f", b"ab");
    file.write_at(9000, b"z").expect("writes");
    assert_eq!(file.len().expect("has a length"), 9001);
    let mut expected = vec![0; 9001];
    expected[..2].copy_from_slice(b"ab");
    expected[9000] = b'z';
    assert!(all(&*file) == expected, "the gap reads as zeros");
}

fn preallocation(disk: &dyn Disk) {
    let file = create(disk, "f", b"kept");
    file.preallocate(1 << 20).expect("preallocates");
    assert_eq!(file.len().expect("has a length"), 1 << 20);
    let bytes = all(&*file);
    assert_eq!(&bytes[..4], b"kept");
    assert!(bytes[4..].iter().all(|byte| *byte == 0), "the rest reads as zeros");
    file.preallocate(100).expect("preallocates");
    assert_eq!(file.len().expect("has a length"), 1 << 20, "it never cuts");
    file.write_at(70_000, b"inside").expect("writes");
    assert_eq!(file.len().expect("has a length"), 1 << 20);
    assert_eq!(read(&*file, 69_999, 8), b"\0inside\0");
}

fn set_len(disk: &dyn Disk) {
    let file = create(disk, "f", &pattern(1, 10_000));
    file.sync().expect("syncs");
    file.set_len(5000).expect("cuts");
    assert_eq!(file.len().expect("has a length"), 5000);
    assert!(all(&*file) == pattern(1, 10_000)[..5000], "what is left is unchanged");
    file.set_len(12_000).expect("grows");
    let bytes = all(&*file);
    assert_eq!(bytes.len(), 12_000);
    assert!(bytes[5000..].iter().all(|byte| *byte == 0), "what was cut off comes back as zeros");
    file.sync().expect("syncs");
    assert!(all(&*file) == bytes, "a sync changes nothing");
    file.set_len(0).expect("cuts");
    file.write_at(3, b"x").expect("writes");
    assert_eq!(all(&*file), b"\0\0\0x");
}

fn handles_share(disk: &dyn Disk) {
    let one = create(disk, "f", b"before");
    let two = open(disk, "f");
    one.write_at(0, b"after!").expect("writes");
    assert_eq!(all(&*two), b"after!", "other readers see a write at once");
    two.set_len(2).expect("cuts");
    assert_eq!(one.len().expect("has a length"), 2);
    drop(one);
    assert_eq!(all(&*two), b"af");
}

fn map_shows_all(disk: &dyn Disk) {
    let file = create(disk, "f", &pattern(3, 9999));
    file.sync().expect("syncs");
    let map = file.map().expect("maps");
    assert!((*map).as_ref() == pattern(3, 9999), "the map differs from the file");
    let empty = disk.open("empty", Open::New).expect("creates");
    assert!((*empty.map().expect("maps")).as_ref().is_empty(), "an empty file has an empty map");
}

fn lists(disk: &dyn Disk) {
    assert_eq!(disk.list("").expect("lists"), [""; 0]);
    for path in ["c", "a", "b10", "b9"] {
        create(disk, path, b"");
    }
    disk.create_dir("dir/inner").expect("creates");
    create(disk, "dir/x", b"");
    create(disk, "dir/inner/y", b"");
    assert_eq!(disk.list("").expect("lists"), ["a", "b10", "b9", "c", "dir"]);
    assert_eq!(disk.list("dir").expect("lists"), ["inner", "x"]);
    assert_eq!(disk.list("dir/inner").expect("lists"), ["y"]);
    assert_eq!(kind(disk.list("nowhere")), Some(ErrorKind::NotFound));
}

fn directories(disk: &dyn Disk) {
    disk.create_dir("a/b/c").expect("creates with its parents");
    disk.create_dir("a/b/c").expect("fine when it exists");
    disk.create_dir("a").expect("fine when it exists");
    create(disk, "a/b/c/f", b"deep");
    assert_eq!(all(&*open(disk, "a/b/c/f")), b"deep");
    for dir in ["", "a", "a/b", "a/b/c"] {
        disk.sync_dir(dir).expect("syncs");
    }
    assert_eq!(kind(disk.sync_dir("nowhere")), Some(ErrorKind::NotFound));
    assert!(disk.create_dir("a/b/c/f").is_err(), "a file is in the way");
}

fn rename_replaces(disk: &dyn Disk) {
    disk.create_dir("d").expect("creates");
    let old = create(disk, "old", b"old");
    create(disk, "new", b"new");
    disk.rename("new", "old").expect("renames");
    assert_eq!(disk.list("").expect("lists"), ["d", "old"]);
    assert_eq!(all(&*open(disk, "old")), b"new");
    assert_eq!(all(&*old), b"old", "a handle keeps the file that was replaced");
    disk.rename("old", "d/moved").expect("renames into another directory");
    assert_eq!(all(&*open(disk, "d/moved")), b"new");
    assert_eq!(kind(disk.open("old", Open::Existing)), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.rename("nowhere", "x")), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.rename("d/moved", "nodir/x")), Some(ErrorKind::NotFound));
}

fn remove_with_handle(disk: &dyn Disk) {
    let file = create(disk, "f", b"still here");
    disk.remove("f").expect("removes");
    assert_eq!(kind(disk.open("f", Open::Existing)), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.remove("f")), Some(ErrorKind::NotFound));
    file.write_at(10, b"!").expect("writes");
    assert_eq!(all(&*file), b"still here!");
    file.sync().expect("syncs");
    let other = create(disk, "f", b"another");
    assert_eq!(all(&*file), b"still here!", "a new file of that name is another file");
    assert_eq!(all(&*other), b"another");
}

fn lock_is_exclusive(disk: &dyn Disk) {
    let guard = disk.lock("lock").expect("locks");
    assert_eq!(kind(disk.lock("lock")), Some(ErrorKind::WouldBlock));
    drop(guard);
    drop(disk.lock("lock").expect("locks again"));
}

fn paths_stay_inside(disk: &dyn Disk) {
    let bad = Some(ErrorKind::InvalidInput);
    for path in ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "./x"] {
        assert_eq!(kind(disk.open(path, Open::Any)), bad, "open {path:?}");
        assert_eq!(kind(disk.list(path)), bad, "list {path:?}");
        assert_eq!(kind(disk.create_dir(path)), bad, "create_dir {path:?}");
        assert_eq!(kind(disk.rename(path, "y")), bad, "rename from {path:?}");
        assert_eq!(kind(disk.rename("y", path)), bad, "rename to {path:?}");
        assert_eq!(kind(disk.remove(path)), bad, "remove {path:?}");
        assert_eq!(kind(disk.sync_dir(path)), bad, "sync_dir {path:?}");
        assert_eq!(kind(disk.lock(path)), bad, "lock {path:?}");
    }
    assert_eq!(disk.list("").expect("lists"), [""; 0], "nothing was made");
}

fn crash_keeps_all(machine: &mut dyn Machine) {
    let disk = machine.disk();
    disk.create_dir("d").expect("creates");
    let kept = create(&*disk, "d/kept", &pattern(1, 6000));
    create(&*disk, "gone", b"x");
    disk.remove("gone").expect("removes");
    create(&*disk, "was", b"moved");
    disk.rename("was", "is").expect("renames");
    kept.set_len(5500).expect("cuts");
    if !machine.crash() {
        return;
    }
    let disk = machine.disk();
    assert_eq!(disk.list("").expect("lists"), ["d", "is"]);
    assert!(all(&*open(&*disk, "d/kept")) == pattern(1, 6000)[..5500], "what was written is there");
    assert_eq!(all(&*open(&*disk, "is")), b"moved");
}

fn crash_frees_the_lock(machine: &mut dyn Machine) {
    let guard = machine.disk().lock("lock").expect("locks");
    if !machine.crash() {
        return;
    }
    let second = machine.disk().lock("lock").expect("the process that held it has ended");
    drop(guard);
    assert_eq!(kind(machine.disk().lock("lock")), Some(ErrorKind::WouldBlock), "an old guard frees nothing");
    drop(second);
}

/// Creates a file that survives a power loss.
fn create_durable(disk: &dyn Disk, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = create(disk, path, bytes);
    file.sync().expect("syncs");
    disk.sync_dir("").expect("syncs");
    file
}

fn power_loss_keeps_synced(machine: &mut dyn Machine) {
    let disk = machine.disk();
    let file = create_durable(&*disk, "f", &pattern(1, 10_000));
    file.write_at(3000, &pattern(2, 2000)).expect("writes");
    file.set_len(20_000).expect("grows");
    file.sync().expect("syncs");
    let expected = all(&*file);
    file.write_at(15_000, &pattern(3, 5000)).expect("writes");
    if !machine.power_loss() {
        return;
    }
    let file = open(&*machine.disk(), "f");
    assert_eq!(file.len().expect("has a length"), 20_000, "nothing changed the length since the sync");
    // The sector that holds byte 15,000 may have been under way; all before it was at rest.
    assert!(all(&*file)[..14_848] == expected[..14_848], "what was synced is there");
}

fn power_loss_mixes(machine: &mut dyn Machine) {
    let disk = machine.disk();
    let (old, new) = (pattern(1, 8192), pattern(128, 8192));
    let file = create_durable(&*disk, "f", &old);
    file.write_at(0, &new).expect("writes");
    if !machine.power_loss() {
        return;
    }
    let bytes = all(&*open(&*machine.disk(), "f"));
    assert_eq!(bytes.len(), 8192, "the length was synced");
    for (index, byte) in bytes.iter().enumerate() {
        assert!(
            *byte == old[index] || *byte == new[index],
            "byte {index} is neither the old one nor the new one"
        );
    }
}

fn power_loss_keeps_names(machine: &mut dyn Machine) {
    let disk = machine.disk();
    disk.create_dir("d").expect("creates");
    disk.sync_dir("").expect("syncs");
    create(&*disk, "d/synced", b"abc").sync().expect("syncs");
    create(&*disk, "d/removed", b"abc");
    disk.sync_dir("d").expect("syncs");
    disk.remove("d/removed").expect("removes");
    disk.sync_dir("d").expect("syncs");
    create(&*disk, "d/unsynced", b"abc").sync().expect("syncs");
    if !machine.power_loss() {
        return;
    }
    let names = machine.disk().list("d").expect("the directory was synced");
    assert!(names.contains(&"synced".to_string()), "a synced name is there: {names:?}");
    assert!(!names.contains(&"removed".to_string()), "a synced removal holds: {names:?}");
    assert_eq!(all(&*open(&*machine.disk(), "d/synced")), b"abc");
    if names.contains(&"unsynced".to_string()) {
        assert_eq!(all(&*open(&*machine.disk(), "d/unsynced")), b"abc", "its bytes were synced");
    }
}

fn power_loss_rename_is_whole(machine: &mut dyn Machine) {
    let disk = machine.disk();
    create_durable(&*disk, "current", b"old");
    create_durable(&*disk, "next", b"new");
    disk.rename("next", "current").expect("renames");
    if !machine.power_loss() {
        return;
    }
    let disk = machine.disk();
    let done = all(&*open(&*disk, "current")) == b"new";
    let names = disk.list("").expect("lists");
    if done {
        assert_eq!(names, ["current"], "the rename happened, so the old name is gone");
    } else {
        assert_eq!(names, ["current", "next"], "the rename did not happen, so the old name is there");
        assert_eq!(all(&*open(&*disk, "current")), b"old");
        assert_eq!(all(&*open(&*disk, "next")), b"new");
    }
}

fn power_loss_at_rest(machine: &mut dyn Machine) {
    let disk = machine.disk();
    let bytes = pattern(5, 70_000);
    create_durable(&*disk, "f", &bytes);
    for _ in 0..3 {
        if !machine.power_loss() {
            return;
        }
        assert!(all(&*open(&*machine.disk(), "f")) == bytes, "a file at rest is unchanged");
    }
}
