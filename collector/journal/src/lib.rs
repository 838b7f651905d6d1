//! The durable, ordered log of all accepted requests, on one disk.
//!
//! # Laws
//!
//! Each is tried in `tests/laws`.
//!
//! 1. **Acknowledged after durable, never before.** [`Journal::append`] resolves after a sync has covered the frame; a
//!    reader sees no frame earlier than that.
//! 2. **One order.** Frames are numbered from 1 without holes; arrival stamps only grow, whatever the clock does; both go
//!    on after a restart.
//! 3. **Frames are contiguous and never span two segments.** What does not fit a segment is refused.
//! 4. **Nothing stale is taken for live.** Checksums are seeded with the journal's id, the segment's generation and the
//!    frame's offset.
//! 5. **A torn tail is cut, damage elsewhere is told, and costs what it hit.** Frames carry the position up to which everything
//!    was durable when they were written. Damage above the highest such mark was never acknowledged, is cut before anything is
//!    appended, and is counted. Damage below it is corruption, and is reported with file and offset: in a segment that later
//!    ones vouch for, readers are told which frames are lost and go on behind them; in the last one nothing is opened, because
//!    nobody knows what followed.
//! 6. **A failed write or sync stops the writer for good.** What the disk holds is then unknown until it is read again.
//! 7. **A full disk costs nothing that was accepted.** Segments are written in advance, so that running out of space
//!    refuses appends, harms no frame, and ends by itself when space returns; a reserve is given up meanwhile.
//! 8. **Waiting is bounded.** The queue in front of the writer and the frames kept in memory are bounded in bytes.
//! 9. **One writer.** A lock file keeps a second process out and says who is in.
//! 10. **Only what nobody needs is forgotten**, whole segments at a time, oldest first.
//!
//! The form on disk is described in the modules `frame` and `segment`; a journal written by an older version stays
//! readable (`test_data`). The crate knows nothing of what bodies mean.
mod backup;
mod config;
mod direct;
mod disk;
#[cfg(any(test, feature = "testing"))]
mod driven;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
mod files;
mod frame;
mod index;
mod journal;
mod lock;
mod prepare;
mod queue;
mod reader;
mod recovery;
mod retain;
mod scan;
mod segment;
mod writer;

pub use backup::{Copied, copy};
pub use config::{Config, SyncPolicy, Verify};
pub use disk::{Disk, SegmentFile, directory};
#[cfg(any(test, feature = "testing"))]
pub use driven::Driven;
pub use error::{AppendError, Corruption, Fullness, Loss, OpenError, ReadError};
pub use frame::{Entry, Frame, Kind, Mark, frames_in};
pub use journal::{Appended, Journal, Recovery, SegmentInfo};
pub use reader::{Reader, open_reader};
pub use retain::{Retained, Retention};
pub use scan::{Order, Scan, ScanRange};
