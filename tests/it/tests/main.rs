//! The integration tests of Invar, over the real servers, SDKs and browsers. One binary, a module a subject.
#![expect(clippy::print_stderr, reason = "tests say what they skip")]

mod tidy;
