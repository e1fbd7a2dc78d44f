//! A directory of the machine's file system.

use kernel::disk::check_path;
use kernel::{Disk, File, Open};
use rustix::fs::FlockOperation;
use std::any::Any;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Zeros written at a time when a file is preallocated.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// A directory tree under `root`.
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The tree under `root`, which need not exist: [`Disk::create_dir`] makes it, readable by its owner only, so that a
    /// program that finds a reason not to start leaves nothing behind.
    pub fn new(root: &Path) -> Self {
        RealDisk { root: root.to_path_buf() }
    }

    fn path(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path)?;
        Ok(self.root.join(path))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        match how {
            Open::Existing => {}
            Open::New => drop(options.create_new(true)),
            Open::Any => drop(options.create(true).truncate(false)),
        }
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
        Ok(Arc::new(RealFile(options.open(self.path(path)?)?)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.path(dir)?)?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.path(dir)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.path(dir)?)?.sync_all()
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.path(path)?)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.0.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    /// Writes zeros: unlike `fallocate`, whose blocks are marked unwritten, this leaves no metadata to change when the file is
    /// written later, which makes each sync two to three times cheaper.
    fn preallocate(&self, len: u64) -> io::Result<()> {
        let before = self.len()?;
        let mut at = before;
        while at < len {
            let part = ZEROS.len().min((len - at) as usize);
            if let Err(error) = self.0.write_all_at(&ZEROS[..part], at) {
                self.0.set_len(before)?;
                return Err(error);
            }
            at += part as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        // Advice: where it is not taken the scrub reads memory, and finds nothing.
        let len = std::num::NonZeroU64::new(len);
        let _ = rustix::fs::fadvise(&self.0, offset, len, rustix::fs::Advice::DontNeed);
    }

    fn map(&self) -> io::Result<Box<dyn AsRef<[u8]> + Send + Sync>> {
        if self.len()? == 0 {
            return Ok(Box::new([0u8; 0]));
        }
        // SAFETY: the map is undefined behaviour if the file is cut or changed while it lives. The port's contract gives this
        // verb sealed files only: the log never writes to or cuts a segment once its successor exists, and the data
        // directory's lock keeps every other Orlop process away from it.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&self.0)? };
        Ok(Box::new(map))
    }
}
