//! Event lines: refused with the line's number, or one event for each line, in order.

use wire::{Fault, Limits, Signal};

use crate::protobuf::walked;

/// Any bytes, as event lines.
///
/// # Panics
/// When lines are lost, or what was rewritten does not pass the check.
pub fn event_lines(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let body = match wire::lines_to_protobuf(data) {
        Ok(body) => body,
        Err(error) => {
            let number: Option<usize> = error.path.strip_prefix("line ").and_then(|number| number.parse().ok());
            assert!(number.is_some_and(|number| number >= 1 && error.offset <= data.len()), "{error}");
            return;
        }
    };
    match wire::check(Signal::Logs, &body, &Limits::default()) {
        Ok(census) => {
            assert_eq!(census.records as usize, lines.len());
            let events = walked(Signal::Logs, &body, &census);
            for event in &events {
                let line: Option<serde_json::Value> =
                    lines.get(event.position.record as usize).and_then(|line| serde_json::from_slice(line).ok());
                assert_eq!(line.as_ref().and_then(|line| line["event"].as_str()), Some(event.name.as_str()));
            }
        }
        Err(error) => assert!(matches!(error.fault, Fault::TooMany | Fault::TooDeep), "{error}"),
    }
}
