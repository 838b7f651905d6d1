//! Each kind against a naive reading of its meaning, on small random histories; and against itself: the same events
//! shuffled, late, duplicated and cut by a checkpoint find the same violations under the same names.
mod arrival;
mod edges;
mod forgotten;
mod gaps;
mod harness;
mod laws;
mod naive;
