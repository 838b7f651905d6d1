//! The integration tests of Invar, over the real servers, SDKs and browsers. One binary, a module a subject.

mod adoption;
mod alerts;
mod api;
mod backup;
mod burst;
mod cli;
mod connections;
mod consequences;
mod crash;
mod damage;
mod dashboards;
mod disk;
mod faults;
mod harness;
mod overload;
mod pages;
mod read_only;
mod refuse;
mod replay;
mod sdk;
mod sim;
mod storm;
mod suites;
mod telemetry;
mod tidy;
mod warm;
