//! The typed plan of a query: selectors collected, functions resolved, durations computed. Parser types end in `build`.

use masthead_store::Millis;

/// The times at which an expression is evaluated: `start + i * step` for `i` in `0..count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// First time, ms.
    pub start: Millis,
    /// Distance, ms; at least 1. An instant query has 1 step.
    pub step: Millis,
    /// Number of times, at least 1.
    pub count: usize,
}

impl Timeline {
    /// One time.
    pub fn instant(time: Millis) -> Self {
        Self { start: time, step: 1, count: 1 }
    }

    /// Time of step `i`, ms; wraps like Prometheus' int64.
    pub fn at(&self, i: usize) -> Millis {
        self.start.wrapping_add(self.step.wrapping_mul(i as Millis))
    }

    /// The last time, ms.
    pub fn end(&self) -> Millis {
        self.at(self.count - 1)
    }
}
