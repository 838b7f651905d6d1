//! OTLP JSON: what is rewritten is a request that passes the check, and says what its protobuf twin says.

use opentelemetry_proto::tonic::collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest};
use prost::Message;
use wire::{Fault, Limits, Signal};

use crate::protobuf::{equal, walked};

/// Any bytes: refused, or rewritten as a request that the check takes and `prost` decodes. What is JSON, `serde_json` knows.
///
/// # Panics
/// When neither.
pub fn otlp_json(data: &[u8]) {
    let theirs = serde_json::from_slice::<serde_json::Value>(data);
    // That no double is so large is a matter of the field, not of the text.
    let is_json = theirs.as_ref().map_or_else(|error| error.to_string().contains("out of range"), |_| true);
    for signal in [Signal::Logs, Signal::Traces] {
        let body = match wire::json_to_protobuf(signal, data, &Limits::default()) {
            Ok((body, _)) => {
                assert!(is_json, "taken, yet serde_json says: {theirs:?}");
                body
            }
            Err(error) => {
                let of_text = matches!(error.fault, Fault::Json(_) | Fault::Utf8 | Fault::TooDeep);
                assert!(!of_text || theirs.is_err(), "refused, yet serde_json takes it: {error}");
                assert!(error.offset <= data.len());
                continue;
            }
        };
        match wire::check(signal, &body, &Limits::default()) {
            Ok(census) => {
                let events = walked(signal, &body, &census);
                assert_eq!(events.len(), census.events as usize);
            }
            Err(error) => {
                assert!(matches!(error.fault, Fault::TooMany | Fault::TooDeep), "rewritten, and then refused: {error}");
                continue;
            }
        }
        match signal {
            Signal::Logs => drop(ExportLogsServiceRequest::decode(body.as_slice()).map_err(too_deep)),
            Signal::Traces => drop(ExportTraceServiceRequest::decode(body.as_slice()).map_err(too_deep)),
        }
    }
}

/// `prost` nests less deep than we do; nothing else may stop it.
fn too_deep(error: prost::DecodeError) {
    assert!(error.to_string().contains("recursion limit"), "rewritten, and then not decodable: {error}");
}

/// A request in both encodings: the same events with the same identities.
///
/// # Panics
/// When they differ.
pub fn same_events(signal: Signal, protobuf: &[u8], json: &[u8]) {
    let limits = Limits::default();
    let (rewritten, warnings) = match wire::json_to_protobuf(signal, json, &limits) {
        Ok(rewritten) => rewritten,
        Err(error) => panic!("{error}\n{}", String::from_utf8_lossy(json)),
    };
    assert_eq!(warnings, wire::Warnings::default(), "{}", String::from_utf8_lossy(json));
    let read = |body: &[u8]| match wire::check(signal, body, &limits) {
        Ok(census) => walked(signal, body, &census),
        Err(error) => panic!("{error}"),
    };
    let (ours, theirs) = (read(&rewritten), read(protobuf));
    equal(&ours, &theirs);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.identity, theirs.identity, "{}", String::from_utf8_lossy(json));
    }
}
