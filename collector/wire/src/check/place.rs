//! Where the check is. It does not know what is wrong there.
use crate::Signal;

/// The way to a field: written as it goes, read only when something is wrong.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'a> {
    pub(super) resource: Option<u32>,
    pub(super) scope: Option<u32>,
    pub(super) record: Option<u32>,
    pub(super) field: &'static str,
    pub(super) message: Option<&'a [u8]>,
}

impl Place<'_> {
    /// How far into `body` the innermost message begins that is known to stand there.
    pub(super) fn offset(&self, body: &[u8]) -> usize {
        self.message
            .map_or(0, |message| (message.as_ptr() as usize).saturating_sub(body.as_ptr() as usize).min(body.len()))
    }

    /// In the JSON names of OTLP.
    pub(super) fn path(&self, signal: Signal) -> String {
        let names = match signal {
            Signal::Logs => ["resourceLogs", "scopeLogs", "logRecords"],
            Signal::Traces => ["resourceSpans", "scopeSpans", "spans"],
        };
        let mut path = String::new();
        for (name, index) in names.iter().zip([self.resource, self.scope, self.record]) {
            let Some(index) = index else { break };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&format!("{name}[{index}]"));
        }
        if !self.field.is_empty() {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(self.field);
        }
        path
    }
}
