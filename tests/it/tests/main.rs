//! The integration tests of Invar, over the real servers, SDKs and browsers. One binary, a module a subject.

mod adoption;
mod alerts;
mod harness;
mod sdk;
mod tidy;
