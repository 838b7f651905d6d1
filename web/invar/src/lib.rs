//! The commands of the one binary, as functions that tests can call too. Introduces all crates to one another.
mod adoption;
mod alive;
mod backend;
mod backlog;
pub mod backup;
pub mod cmd;
pub mod config;
mod metrics;
pub mod node;
pub mod telemetry;
