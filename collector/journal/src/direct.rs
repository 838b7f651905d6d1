//! Writing past the page cache. A frame is written once and read back from memory, so a copy of it in the page cache would
//! cost more than the write itself: pages to find, to charge, to clean and to throw away.
//!
//! The system wants whole blocks at block boundaries, in memory and in the file, while frames end anywhere. So what is
//! written is gathered in a block-aligned buffer, behind what the block of its beginning holds already. Knows no frames.
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
};

/// What direct writes are multiples of, in memory and in the file; no disk asks for more.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// How much is gathered for one write.
const BUFFER_BYTES: usize = 1 << 20;

/// A file, opened a second time for direct writes.
pub(crate) struct DirectFile {
    file: File,
    /// Longer than what is used of it by a block, so that there is a boundary in it; empty until it is needed.
    buffer: Vec<u8>,
    /// The last block written, and where it stands: the next write mostly begins in it.
    last: Option<(u64, [u8; BLOCK_BYTES])>,
}

impl DirectFile {
    /// None where the file system has no direct writes.
    pub(crate) fn of(file: &File) -> Option<Self> {
        let again = Path::new("/proc/self/fd").join(file.as_raw_fd().to_string());
        let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(again).ok()?;
        Some(Self { file, buffer: Vec::new(), last: None })
    }

    /// Writes the parts one after the other. `whole` is the same file, for reading what the first block holds.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidInput`] where it does not take the write for being direct, or where the
    /// end is not a block's. Then nothing is known of what was written, and it can be written in another way.
    pub(crate) fn write_parts_at(&mut self, whole: &File, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let end = offset + parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if !end.is_multiple_of(BLOCK_BYTES as u64) {
            self.last = None;
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let held = (offset % BLOCK_BYTES as u64) as usize;
        let mut at = offset - held as u64;
        let known = self.last.take();
        let Self { file, buffer, last } = self;
        if buffer.is_empty() {
            *buffer = vec![0; BUFFER_BYTES + BLOCK_BYTES];
        }
        let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
        let buffer = &mut buffer[start..][..BUFFER_BYTES];
        if held > 0 {
            match known {
                Some((known_at, block)) if known_at == at => buffer[..held].copy_from_slice(&block[..held]),
                _ => whole.read_exact_at(&mut buffer[..held], at)?,
            }
        }
        let mut filled = held;
        for part in parts {
            let mut part = *part;
            while !part.is_empty() {
                let (now, later) = part.split_at(part.len().min(BUFFER_BYTES - filled));
                buffer[filled..][..now.len()].copy_from_slice(now);
                filled += now.len();
                part = later;
                if filled == BUFFER_BYTES {
                    file.write_all_at(buffer, at)?;
                    at += filled as u64;
                    filled = 0;
                    if at == end {
                        *last = buffer.last_chunk().map(|block| (end - BLOCK_BYTES as u64, *block));
                    }
                }
            }
        }
        if filled > 0 {
            let gathered = &buffer[..filled];
            file.write_all_at(gathered, at)?;
            *last = gathered.last_chunk().map(|block| (end - BLOCK_BYTES as u64, *block));
        }
        Ok(())
    }

    /// Writes zeros up to so many bytes, a whole number of blocks. Returns how many were written: fewer where the system does
    /// not take them for being direct.
    ///
    /// # Errors
    /// What else the system says.
    pub(crate) fn write_zeros(&mut self, bytes: u64) -> io::Result<u64> {
        // Not the file's own buffer: until there is something to write the file may wait for long.
        let buffer = vec![0; BUFFER_BYTES + BLOCK_BYTES];
        let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
        self.last = None;
        let mut at = 0;
        loop {
            let chunk = (bytes - at).min(BUFFER_BYTES as u64) as usize / BLOCK_BYTES * BLOCK_BYTES;
            if chunk == 0 {
                return Ok(at);
            }
            match self.file.write_all_at(&buffer[start..][..chunk], at) {
                Ok(()) => at += chunk as u64,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(at),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of zeros, and another handle for direct writes; none where the file system has none.
    fn file_of(bytes: u64) -> (File, Option<DirectFile>) {
        // Not in memory: tmpfs may have no direct writes.
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.set_len(bytes).unwrap();
        let direct = DirectFile::of(&file);
        (file, direct)
    }

    fn read(file: &File, at: usize, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        file.read_exact_at(&mut read, at as u64).unwrap();
        read
    }

    /// As the writer does: what is written ends in a block's zeros, and the next write begins where the last one's bytes end.
    fn write(direct: &mut DirectFile, file: &File, bytes: &[u8], at: usize) {
        let zeros = vec![0; (at + bytes.len()).next_multiple_of(BLOCK_BYTES) - at - bytes.len()];
        let (one, other) = bytes.split_at(bytes.len() / 3);
        direct.write_parts_at(file, &[one, other, &zeros], at as u64).unwrap();
    }

    #[test]
    fn what_is_written_piece_by_piece_is_read_back_as_one() {
        let (file, Some(mut direct)) = file_of(8 << 20) else { return };
        let all: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut at = 0;
        for size in [1, 4_095, 4_096, 10, BUFFER_BYTES - 10, BUFFER_BYTES, 3 * BUFFER_BYTES / 2, 64, 200_000] {
            write(&mut direct, &file, &all[at..at + size], at);
            at += size;
            assert_eq!(read(&file, 0, at), &all[..at]);
            assert!(read(&file, at, 4_096 - at % 4_096).iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn what_the_first_block_holds_is_kept_whoever_wrote_it() {
        let (file, Some(mut direct)) = file_of(1 << 20) else { return };
        file.write_all_at(&[7; 5_000], 0).unwrap();
        write(&mut direct, &file, &[8; 100], 5_000);
        assert_eq!(read(&file, 4_096, 1_004), [[7; 904].as_slice(), &[8; 100]].concat());
        // Elsewhere, and back.
        write(&mut direct, &file, &[9; 10], 40_000);
        write(&mut direct, &file, &[6; 10], 5_100);
        assert_eq!(read(&file, 4_996, 114), [[7; 4].as_slice(), &[8; 100], &[6; 10]].concat());
    }

    #[test]
    fn a_write_that_does_not_end_with_a_block_is_not_taken() {
        let (file, Some(mut direct)) = file_of(1 << 20) else { return };
        let refused = direct.write_parts_at(&file, &[&[1; 100]], 0).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read(&file, 0, 100), [0; 100]);
    }
}
