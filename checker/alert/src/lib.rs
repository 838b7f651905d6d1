//! Pages people: who is told of what (pure), how receivers want to be told, and when to try again. The only user of an
//! HTTP client; knows no database.
pub mod alive;
pub mod config;
pub mod plan;
pub mod rate;
pub mod receiver;
pub mod retry;
mod send;
mod target;
mod trial;

pub use config::Config;
pub use plan::{Action, Planned, Subject, plan};
pub use send::{Message, Reply, Sender};
