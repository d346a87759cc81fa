//! Whole-system tests: what they share, and the runner of Prometheus' test scripts.
//!
//! Not here: tests that know one module (those are beside it).

pub mod answers;
pub mod demo;
pub mod differential;
pub mod golden;
pub mod grpc;
pub mod needed;
pub mod outcomes;
pub mod peer;
pub mod promqltest;
pub mod truth;
