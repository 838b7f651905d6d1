//! Obyte nodes, run for a while in memory.
