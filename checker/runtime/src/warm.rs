//! Showing new rules what the journal has of the past.
use std::time::Instant;

use engine::WarmUp;
use event::{Position, Timestamp};
use journal::{Journal, Order, ReadError, ScanRange};
use wire::Refused;

use crate::{
    feed::{Feeder, Received},
    search,
};

/// Rules are shown no more of the journal than its newest segments of about so many bytes: a few seconds of work.
const BYTES_MAX: u64 = 1 << 30;

/// Shows a warm-up what came before a frame. What cannot be read is not shown, and said.
pub(crate) fn show(journal: &Journal, before: u64, warm: &mut WarmUp) {
    let started = Instant::now();
    warm.begin_at(newest(journal, before));
    let from = warm.from();
    let range =
        ScanRange { frames: 0..=before.saturating_sub(1), arrived: from..=Timestamp::MAX, order: Order::OldestFirst };
    let mut feeder = Feeder::default();
    let mut events = 0_u64;
    let mut is_behind_loss = false;
    for frame in journal.scan(range) {
        let frame = match frame {
            Ok(frame) => frame,
            Err(ReadError::Lost(loss)) => {
                tracing::warn!(%loss, "new rules know less of the past");
                is_behind_loss = true;
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "new rules know less of the past: the journal cannot be read");
                warm.begin_at(Timestamp::MAX);
                break;
            }
        };
        if std::mem::take(&mut is_behind_loss) {
            warm.begin_at(frame.arrived);
        }
        if let Some(signal) = search::signal(&frame) {
            let at = Position { partition: 0, frame: frame.number, record: 0 };
            let refused = &Refused::from(&*frame.refused);
            let (body, notes, arrived) = (&frame.body, &frame.notes, frame.arrived);
            let received = Received { signal, body, refused, notes, arrived, at, group: 0 };
            events += u64::from(feeder.request(warm.engine(), received));
        }
        warm.shown(frame.arrived);
    }
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%from, events, took_ms, "new rules were shown what came before them");
}

/// From when on the journal has everything that came before a frame, in segments that are not too much to read. What came
/// after the frame does not count: a restart that judges it again must show the same.
fn newest(journal: &Journal, before: u64) -> Timestamp {
    let mut bytes = 0;
    let mut segments = journal.segments();
    segments.retain(|segment| segment.first_frame < before);
    let newest = segments.iter().rev().take_while(|segment| {
        bytes += segment.bytes;
        bytes <= BYTES_MAX
    });
    match newest.last().or(segments.last()) {
        // Nothing came before its first frame.
        Some(segment) if segment.first_frame > 1 => segment.first_arrival,
        _ => Timestamp::ZERO,
    }
}
