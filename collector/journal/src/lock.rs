//! The lock file: at most one writer of a journal. Refuses to guess: the operating system holds the lock, so that a
//! process that died holds none.
use crate::OpenError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    time::Duration,
};

const NAME: &str = "writer.lock";

/// Held as long as it lives.
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(OpenError::io(format!("opening {}", path.display())))?;
        // A reader that asks whether there is a writer holds the lock for an instant.
        for _ in 0..20 {
            match file.try_lock() {
                Ok(()) => {
                    let write = |file: &mut File| {
                        file.set_len(0)?;
                        file.rewind()?;
                        file.write_all(format!("process {}", std::process::id()).as_bytes())
                    };
                    write(&mut file).map_err(OpenError::io(format!("writing {}", path.display())))?;
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::Error(error)) => {
                    return Err(OpenError::io(format!("locking {}", path.display()))(error));
                }
            }
        }
        let mut holder = String::new();
        // What cannot be read is not worth a second error.
        let _ = file.take(200).read_to_string(&mut holder);
        if holder.is_empty() {
            holder.push_str("another process");
        }
        Err(OpenError::Locked { dir: dir.to_owned(), holder })
    }
}

/// Whether some process writes the journal in `dir` now.
pub(crate) fn has_writer(dir: &Path) -> bool {
    match File::open(dir.join(NAME)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(_) => false,
    }
}
