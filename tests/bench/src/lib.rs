//! What benchmarks share: requests to send, and the processor time that work takes.

pub mod cpu;
pub mod load;
