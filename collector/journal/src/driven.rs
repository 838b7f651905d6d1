//! A writer that moves only when it is told to, for tests that must be able to repeat a run exactly.
use crate::writer::Writer;

/// The writer of a journal opened by [`crate::Journal::open_driven`]. Dropping it is the death of its process: what waits is
/// written no more, and whoever asked is not answered.
pub struct Driven {
    writer: Option<Writer>,
}

impl Driven {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer: Some(writer) }
    }

    /// Commits what waits as one batch and answers whoever asked; false once the disk has failed.
    pub fn write(&mut self) -> bool {
        if !self.writer.as_mut().is_some_and(Writer::write_now) {
            self.writer = None;
        }
        self.writer.is_some()
    }

    /// Prepares the next segment in advance, as the journal's second thread would by and by.
    pub fn prepare(&mut self) {
        if let Some(writer) = &self.writer {
            writer.prepare_now();
        }
    }
}
