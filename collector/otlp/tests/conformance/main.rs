//! The OTLP contract, case by case, against real servers on ports of their own. The sink keeps batches in memory and
//! can be told to refuse or to wait; nothing else is replaced.

mod bodies;
mod grpc;
mod harness;
mod http;
mod overload;
mod partial;
mod refusals;
mod stopping;
mod wires;
