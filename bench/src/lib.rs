//! Measuring Masthead beside a real Prometheus: data of chosen size, processes, ratios.
//!
//! Times on a shared machine mean little; the ratio between two programs that answer the same question in turns, with equal
//! answers, means much. So answers are compared before a time counts, and what is printed is CPU time and ratios.

pub mod data;
pub mod http;
pub mod naive;
pub mod process;
