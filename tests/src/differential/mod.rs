//! The differential tester: random expressions over random data, asked of Masthead and of a real Prometheus 3.
//!
//! A run is a function of its seeds: [`data`] writes the blocks that both read, [`grammar`] makes expressions, [`question`]
//! gives them times, [`run()`] asks both sides over several connections, and [`compare`] judges. What later versions of
//! Prometheus changed stands in [`known`], each row with its source. What is left is a fault: [`shrink`] makes the question
//! as small as it can be, and it is printed with all that is needed to ask it again.

mod chance;
pub mod client;
pub mod compare;
pub mod data;
pub mod grammar;
pub mod known;
pub mod question;
mod run;
pub mod shrink;
pub mod sides;

pub use run::{Failure, Report, Run, run};
