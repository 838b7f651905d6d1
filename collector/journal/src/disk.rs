//! The disk as the journal sees it: one directory of files that are read and written at offsets and synced. A trait, so
//! that tests can put a faulty one in its place. Knows nothing of frames.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::direct::DirectFile;

/// How much is written in one go where much is.
const CHUNK_BYTES: usize = 1 << 20;

/// A file that is read and written at offsets.
pub trait SegmentFile: Send + Sync {
    /// Reads as much as there is, up to the buffer's length, and says how much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes everything. Durable only after [`SegmentFile::sync_data`].
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes the parts one after the other, as one write where the system can.
    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.write_all_at(&parts.concat(), offset)
    }
    /// Makes what was written durable, and what is needed to read it back.
    fn sync_data(&self) -> io::Result<()>;
    /// Writes zeros from one offset to another.
    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; CHUNK_BYTES];
        let mut at = from;
        while at < to {
            let chunk = (to - at).min(CHUNK_BYTES as u64);
            self.write_all_at(&zeros[..chunk as usize], at)?;
            at += chunk;
        }
        Ok(())
    }
    /// Makes the file so many zeros, in the cheapest way. Durable only after [`SegmentFile::sync_data`].
    fn fill(&self, bytes: u64) -> io::Result<()> {
        self.write_zeros(0, bytes)
    }
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A directory of such files. Names are plain file names.
pub trait Disk: Send + Sync + 'static {
    /// A new, empty file; fails if the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// An existing file, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// All names, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Gives a file another name, replacing whatever had it. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name; handles that are open go on working.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes created, renamed and removed names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// That directory as a disk, for reading and writing.
#[must_use]
pub fn directory(dir: &Path) -> Arc<dyn Disk> {
    Arc::new(OsDisk::new(dir, Access::Write))
}

/// The real one. What is written in parts goes past the page cache where the file system lets it.
pub(crate) struct OsDisk {
    dir: PathBuf,
    access: Access,
}

/// What files are opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl OsDisk {
    pub(crate) fn new(dir: &Path, access: Access) -> Self {
        Self { dir: dir.to_owned(), access }
    }
}

struct OsFile {
    file: File,
    /// The writer's alone, as writes are.
    direct: Mutex<Direct>,
}

/// Direct writes, from the first on; none where the file system has none.
enum Direct {
    NotYet,
    No,
    Yes(Box<DirectFile>),
}

impl OsFile {
    fn new(file: File) -> Self {
        Self { file, direct: Mutex::new(Direct::NotYet) }
    }

    /// Does something past the page cache, and says whether it was done.
    fn directly(&self, work: impl FnOnce(&mut DirectFile) -> io::Result<()>) -> io::Result<bool> {
        let mut direct = self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*direct, Direct::NotYet) {
            *direct = DirectFile::of(&self.file).map_or(Direct::No, |direct| Direct::Yes(Box::new(direct)));
        }
        let Direct::Yes(file) = &mut *direct else { return Ok(false) };
        match work(file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                *direct = Direct::No;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn write_parts_to_cache(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        // The standard library has no vectored write at an offset. The cursor is the writer's alone: reads name theirs.
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl SegmentFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        match self.directly(|direct| direct.write_parts_at(&self.file, parts, offset))? {
            true => Ok(()),
            false => self.write_parts_to_cache(parts, offset),
        }
    }

    fn fill(&self, bytes: u64) -> io::Result<()> {
        let mut written = 0;
        self.directly(|direct| {
            written = direct.write_zeros(bytes)?;
            Ok(())
        })?;
        self.write_zeros(written, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Disk for OsDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.dir.join(name))?;
        Ok(Arc::new(OsFile::new(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let write = self.access == Access::Write;
        Ok(Arc::new(OsFile::new(OpenOptions::new().read(true).write(write).open(self.dir.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn path(&self) -> &Path {
        &self.dir
    }
}
