//! Recordings on disk: event lines, OTLP JSON lines, single OTLP protobuf bodies; plain, `.gz` or `.zst`.
//!
//! What a file holds is told by its name's ending and its first bytes, and each of its requests becomes protobuf, the one
//! form everything behind reads. Lines that cannot be read are reported with file and line; the others are kept.
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use event::Timestamp;
use wire::{Limits, Signal};

/// How many event lines are read as one body.
const LINES_PER_BODY: usize = 4_096;

/// The greatest file, inflated.
const FILE_BYTES_MAX: u64 = 16 << 30;

/// A request out of a file.
#[derive(Clone, Debug)]
pub struct Request {
    /// The number of the file in the order given.
    pub file: u16,
    /// What it is a request of.
    pub signal: Signal,
    /// Protobuf.
    pub body: Bytes,
    /// Refused records, as [`wire::Census`] gives them.
    pub refused: wire::Refused,
    /// It goes on where the one before it ended: together they are one request.
    pub continues: bool,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The files' names.
    pub files: Vec<PathBuf>,
    /// Their requests, in order.
    pub requests: Vec<Request>,
    /// What could not be read, and where.
    pub problems: Vec<String>,
}

/// A file that cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read")]
pub struct FileError {
    path: String,
    source: io::Error,
}

impl Recording {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// When the file cannot be opened or inflated. What is wrong inside it becomes a problem instead.
    pub fn read(&mut self, path: &Path) -> Result<(), FileError> {
        let wrong = |source| FileError { path: path.display().to_string(), source };
        let (raw, size): (Box<dyn Read>, u64) = if path.as_os_str() == "-" {
            (Box::new(io::stdin()), 0)
        } else {
            let file = fs::File::open(path).map_err(wrong)?;
            let size = file.metadata().map_err(wrong)?.len();
            (Box::new(file), size)
        };
        let content = inflate(raw, size).map_err(wrong)?;
        let file = u16::try_from(self.files.len())
            .map_err(|_| wrong(io::Error::new(io::ErrorKind::InvalidInput, "more than 65,536 files in one replay")))?;
        self.files.push(path.to_owned());
        let name = path.to_string_lossy();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        if name.ends_with(".pb") || is_protobuf(&content) {
            self.take_protobuf(file, content.into());
        } else {
            self.take_lines(file, content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content));
        }
        Ok(())
    }

    fn problem(&mut self, file: u16, what: impl std::fmt::Display) {
        let name = self.files[file as usize].display();
        self.problems.push(format!("{name}: {what}"));
    }

    /// One body: the first signal as which it is well formed and holds something.
    fn take_protobuf(&mut self, file: u16, body: Bytes) {
        let limits = Limits::default();
        let logs = wire::check(Signal::Logs, &body, &limits);
        let traces = wire::check(Signal::Traces, &body, &limits);
        let (signal, census) = match (logs, traces) {
            (Ok(logs), Ok(traces)) if traces.events > logs.events => (Signal::Traces, traces),
            (Ok(logs), _) => (Signal::Logs, logs),
            (Err(_), Ok(traces)) => (Signal::Traces, traces),
            (Err(error), Err(_)) => {
                self.problem(file, format_args!("this is no OTLP request in protobuf: {error}"));
                return;
            }
        };
        self.push(file, signal, body, census, false);
    }

    fn push(&mut self, file: u16, signal: Signal, body: Bytes, census: wire::Census, continues: bool) {
        for refusal in census.refusals() {
            self.problem(file, refusal);
        }
        let mut refused = census.refused;
        let timeless = timeless(signal, &body, &refused);
        if let Some(first) = timeless.first() {
            let count = timeless.len();
            self.problem(
                file,
                format_args!(
                    "{count} records bear no time (the first is record {first}): a running Invar would give them the time \
                     they arrive at, a recording has none, so they are left out"
                ),
            );
        }
        timeless.into_iter().for_each(|record| refused.insert(record));
        self.requests.push(Request { file, signal, body, refused, continues });
    }

    /// JSON lines: OTLP requests, or event lines, also mixed. A body that spreads over several lines is read whole.
    fn take_lines(&mut self, file: u16, content: &[u8]) {
        let limits = Limits::default();
        if let Some(signal) = otlp_signal(content)
            && let Ok((body, _)) = wire::json_to_protobuf(signal, content, &limits)
        {
            self.take_body(file, signal, body);
            return;
        }
        let mut events: Vec<(usize, &[u8])> = Vec::new();
        let mut continues = false;
        for (number, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match otlp_signal(line) {
                Some(signal) => match wire::json_to_protobuf(signal, line, &limits) {
                    Ok((body, _)) => self.take_body(file, signal, body),
                    Err(error) => self.problem(file, format_args!("line {}: {error}", number + 1)),
                },
                None => events.push((number + 1, line)),
            }
            if events.len() == LINES_PER_BODY {
                self.take_events(file, &mut events, &mut continues);
            }
        }
        self.take_events(file, &mut events, &mut continues);
    }

    fn take_body(&mut self, file: u16, signal: Signal, body: Vec<u8>) {
        match wire::check(signal, &body, &Limits::default()) {
            Ok(census) => self.push(file, signal, body.into(), census, false),
            Err(error) => self.problem(file, error),
        }
    }

    fn take_events(&mut self, file: u16, lines: &mut Vec<(usize, &[u8])>, continues: &mut bool) {
        let joined = |lines: &[(usize, &[u8])]| {
            let text: Vec<&[u8]> = lines.iter().map(|(_, line)| *line).collect();
            wire::lines_to_protobuf(&text.join(&b'\n'))
        };
        let mut body = joined(lines);
        if body.is_err() {
            // Only now is it worth it to look at each line for itself.
            lines.retain(|(number, line)| match wire::lines_to_protobuf(line) {
                Ok(_) => true,
                Err(error) => {
                    self.problem(file, format_args!("line {number}: {error}"));
                    false
                }
            });
            body = joined(lines);
        }
        let none = lines.is_empty();
        lines.clear();
        if none {
            return;
        }
        match body.map_err(|error| error.to_string()).and_then(|body| {
            let census = wire::check(Signal::Logs, &body, &Limits::default()).map_err(|error| error.to_string())?;
            Ok((body, census))
        }) {
            Ok((body, census)) => self.push(file, Signal::Logs, body.into(), census, *continues),
            Err(error) => self.problem(file, error),
        }
        *continues = true;
    }
}

/// Whether the bytes are an OTLP request in protobuf. Its first byte is a line feed and its second a length, which may
/// well be an opening brace; text that begins so cannot be decoded to its end.
fn is_protobuf(content: &[u8]) -> bool {
    let holds_something =
        |signal| wire::check(signal, content, &Limits::default()).is_ok_and(|census| census.events > 0);
    match content.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => content[0] == b'\n' && (holds_something(Signal::Logs) || holds_something(Signal::Traces)),
        // Bytes that are no text at all are reported as what they are more likely meant to be.
        _ => std::str::from_utf8(content).is_err() || holds_something(Signal::Logs) || holds_something(Signal::Traces),
    }
}

/// The numbers of records that say neither when they happened nor when they were observed.
fn timeless(signal: Signal, body: &[u8], refused: &wire::Refused) -> Vec<u32> {
    let mut found = Vec::new();
    // The body was checked just before.
    let _ = wire::walk(signal, body, refused, &mut wire::Scratch::default(), |record| {
        if record.ts(Timestamp::ZERO) == Timestamp::ZERO {
            found.push(record.index());
        }
    });
    found
}

/// Which OTLP request a JSON text is, by its first key; none for an event line.
fn otlp_signal(text: &[u8]) -> Option<Signal> {
    let inner = text.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    let key = &inner[..inner.iter().position(|&byte| byte == b'"')?];
    match key {
        b"resourceLogs" | b"resource_logs" => Some(Signal::Logs),
        b"resourceSpans" | b"resource_spans" => Some(Signal::Traces),
        _ => None,
    }
}

/// Reads all, inflating gzip and zstd by their first bytes; `size` is how much there is at least, as far as that is known.
fn inflate(mut raw: Box<dyn Read>, size: u64) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut start)?;
    let magic = start.clone();
    let whole = io::Cursor::new(start).chain(raw);
    let reader: Box<dyn Read> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    };
    // One byte more: who reads to the end asks once more to learn that it is the end.
    let size = usize::try_from(size.min(FILE_BYTES_MAX)).unwrap_or_default();
    let mut content = Vec::with_capacity(size.saturating_add(1));
    reader.take(FILE_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(suffix: &str, content: &[u8]) -> Recording {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut recording = Recording::default();
        recording.read(file.path()).unwrap();
        recording
    }

    /// A request whose second byte, the length of its first resource, is an opening brace.
    fn braced() -> Vec<u8> {
        let line = |event: &str| format!(r#"{{"ts":7,"node":"n","component":"c","network":"t","event":"{event}"}}"#);
        let body = |length: usize| wire::lines_to_protobuf(line(&"e".repeat(length)).as_bytes()).unwrap();
        (1..120).map(body).find(|body| body[..2] == *b"\n{").expect("some name makes the resource 123 bytes long")
    }

    #[test]
    fn a_body_whose_length_is_a_brace_is_not_taken_for_json() {
        for suffix in [".pb", ".bin", ""] {
            let recording = read(suffix, &braced());
            assert_eq!((recording.requests.len(), recording.problems), (1, Vec::<String>::new()), "{suffix}");
        }
    }

    #[test]
    fn json_that_begins_with_a_line_feed_or_a_byte_order_mark_is_json() {
        let line = r#"{"ts":7,"node":"n","component":"c","event":"e"}"#;
        for text in [format!("\n{line}\n"), format!("\u{feff}{line}"), line.to_owned()] {
            let recording = read(".json", text.as_bytes());
            assert_eq!((recording.requests.len(), recording.problems), (1, Vec::<String>::new()), "{text:?}");
        }
    }

    #[test]
    fn records_without_any_time_are_left_out_and_said() {
        let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"a"},
            {"eventName":"b","observedTimeUnixNano":"5"},{"eventName":"c","timeUnixNano":"6"}]}]}]}"#;
        let recording = read(".json", json.as_bytes());
        let request = &recording.requests[0];
        assert_eq!((0..3).map(|n| request.refused.contains(n)).collect::<Vec<_>>(), [true, false, false]);
        assert!(recording.problems[0].contains("1 records bear no time"), "{:?}", recording.problems);
    }

    #[test]
    fn the_lines_around_a_torn_one_are_kept() {
        let line = r#"{"ts":7,"node":"n","component":"c","event":"e"}"#;
        let recording = read(".jsonl", format!("{line}\n{}\n{line}\n", &line[..20]).as_bytes());
        assert_eq!(recording.requests.len(), 1);
        assert_eq!(recording.problems.len(), 1);
        assert!(recording.problems[0].contains("line 2"), "{:?}", recording.problems);
    }
}
