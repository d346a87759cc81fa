//! PromQL over every cluster at once: what is asked and how it is answered.
//!
//! # Layout
//!
//! [`promql`]: text to syntax tree and back. [`plan`]: syntax tree to typed plan. [`engine`]: plan and series to values; pure.
//! `api`, `server`, `querier`: HTTP to plan, feeds and answers. `config`, `metrics`: settings and own metrics.

pub mod admission;
pub mod annotations;
pub mod api;
mod calendar;
pub mod config;
pub mod demo;
pub mod duration;
pub mod engine;
pub mod error;
pub mod flags;
pub mod logging;
pub mod metrics;
pub mod plan;
pub mod promql;
pub mod querier;
pub mod server;
pub mod settings;
mod sha256;
pub mod stores;

use masthead_store::{go_float, go_math};
