//! Benchmarks: the engine, the wire, the journal, and the whole from outside.
