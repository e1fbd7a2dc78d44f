//! The disk of a member: ext4 in a file, mounted by a loop device, with a power switch.
//!
//! A power cut is the file system's own shutdown without its journal's last transaction: exactly what was not synced is gone when
//! it is mounted again. The file lies in memory; nothing of it is left when the process ends.

use super::tool;
use io_real::rig;
use kernel::rng::Stream;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How large a disk is.
const BYTES: u64 = 128 << 20;
/// How often an unmount is tried, and the pause between: the kernel may still be at a process that was killed.
const UNMOUNTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// A disk.
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    mounted: bool,
}

impl Disk {
    /// An empty disk whose files lie in `folder`. It is not mounted.
    pub fn new(folder: &Path) -> Result<Disk, String> {
        let disk = Disk { image: folder.join("disk.img"), at: folder.join("disk"), mounted: false };
        fs::create_dir_all(&disk.at).map_err(|error| format!("{}: {error}", disk.at.display()))?;
        disk.format()?;
        Ok(disk)
    }

    fn format(&self) -> Result<(), String> {
        let made = File::create(&self.image).and_then(|file| file.set_len(BYTES));
        made.map_err(|error| format!("{}: {error}", self.image.display()))?;
        // No room is kept for root, so that full is full.
        let mut mkfs = Command::new("mkfs.ext4");
        tool(mkfs.args(["-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4"]).arg(&self.image)).map(drop)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Mounts it, unless it is.
    pub fn mount(&mut self) -> Result<(), String> {
        if !self.mounted {
            tool(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.at))?;
            self.mounted = true;
        }
        Ok(())
    }

    /// Takes the power away. No process may use it any more.
    pub fn cut_power(&mut self) -> Result<(), String> {
        if !self.mounted {
            return Ok(());
        }
        rig::cut_power(&self.at).map_err(|error| format!("the power of {}: {error}", self.at.display()))?;
        self.unmount()
    }

    fn unmount(&mut self) -> Result<(), String> {
        for attempt in 1..=UNMOUNTS {
            match tool(Command::new("umount").arg(&self.at)) {
                Ok(_) => break,
                Err(text) if attempt == UNMOUNTS => return Err(text),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        self.mounted = false;
        Ok(())
    }

    /// Takes everything on it away.
    pub fn wipe(&mut self) -> Result<(), String> {
        if self.mounted {
            self.unmount()?;
        }
        self.format()
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Takes all room that is left.
    pub fn fill(&self) -> Result<(), String> {
        let failed = |error: io::Error| format!("filling {}: {error}", self.at.display());
        let file = File::options().create(true).append(true).open(self.ballast()).map_err(failed)?;
        for _ in 0..64 {
            let free = statvfs(&self.at).map_err(|errno| failed(errno.into()))?;
            let (blocks, block) = (free.f_bavail, free.f_frsize);
            let length = file.metadata().map_err(failed)?.len();
            // The blocks that name the blocks take room themselves, so the last are taken one by one.
            let wanted = if blocks > 64 { blocks - 32 } else { 1 };
            match fallocate(&file, FallocateFlags::empty(), length, wanted * block) {
                Ok(()) => {}
                Err(rustix::io::Errno::NOSPC) if wanted == 1 => return Ok(()),
                Err(rustix::io::Errno::NOSPC) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        Ok(())
    }

    /// Gives the room back that [`Disk::fill`] took. Fine when nothing was taken.
    pub fn free(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    /// Turns `bits` bits over, of what the files on it hold, wherever chance falls.
    pub fn rot(&mut self, bits: u64, draw: &mut Stream) -> Result<(), String> {
        self.mount()?;
        let mut files = Vec::new();
        collect(&self.at, &mut files);
        for _ in 0..bits {
            let Some(path) = files.get(draw.below(files.len().max(1) as u64) as usize) else { return Ok(()) };
            flip(path, draw).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        self.unmount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = self.unmount();
        }
    }
}

/// The files below `dir` that hold something, in a fixed order.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => collect(&entry.path(), files),
            Ok(meta) if meta.len() > 0 => files.push(entry.path()),
            _ => {}
        }
    }
}

fn flip(path: &Path, draw: &mut Stream) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let at = draw.below(file.metadata()?.len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1 << draw.below(8);
    file.write_all_at(&byte, at)?;
    file.sync_all()
}
