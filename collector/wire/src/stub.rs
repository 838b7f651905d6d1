//! Interim.
use crate::{Fault, Limits, Malformed, Signal};
#[derive(Debug, Default)]
pub struct Warnings;
pub fn json_to_protobuf(_: Signal, _: &[u8], _: &Limits) -> Result<(Vec<u8>, Warnings), Malformed> { Err(Malformed { offset: 0, path: String::new(), fault: Fault::Utf8 }) }
pub fn lines_to_protobuf(_: &[u8]) -> Result<Vec<u8>, Malformed> { Err(Malformed { offset: 0, path: String::new(), fault: Fault::Utf8 }) }
