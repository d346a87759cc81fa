//! PromQL over every cluster at once: what is asked and how it is answered.
//!
//! # Layout
//!
//! [`promql`]: text to syntax tree and back. [`plan`]: syntax tree to typed plan. [`engine`]: plan and series to values; pure.
//! `api`, `server`, `querier`: HTTP to plan, feeds and answers. `config`, `metrics`: settings and own metrics.

pub mod annotations;
pub mod engine;
pub mod error;
pub mod plan;
pub mod promql;
