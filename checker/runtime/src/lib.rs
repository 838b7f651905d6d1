//! The shell of the checker: brings events to the engine and what it says to people. Knows no HTML and answers no requests.
pub mod checker;
pub mod checkpoint;
pub mod clock;
pub mod control;
pub mod courier;
pub mod eval;
pub mod feed;
pub mod files;
pub mod freeze;
mod health;
pub mod json;
pub mod offline;
pub mod outbox;
pub mod packs;
pub mod pages;
pub mod search;
pub mod suite;
mod warm;
