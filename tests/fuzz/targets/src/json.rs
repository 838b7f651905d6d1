//! OTLP JSON: what is rewritten is a request that passes the check, and says what its protobuf twin says.

use opentelemetry_proto::tonic::collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest};
use prost::Message;
use wire::{Fault, Limits, Signal};

use crate::protobuf::{equal, walked};

/// Any bytes: refused, or rewritten as a request that the check takes and `prost` decodes.
///
/// # Panics
/// When neither.
pub fn otlp_json(data: &[u8]) {
    for signal in [Signal::Logs, Signal::Traces] {
        let Ok((body, _)) = wire::json_to_protobuf(signal, data, &Limits::default()) else { continue };
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
