//! The times of a query that are known before it runs, in Prometheus' arithmetic.

use masthead_store::Millis;

use super::{PlanOptions, Timeline};
use crate::promql::ast::At;
pub(super) use crate::promql::duration::QueryTimes;

impl QueryTimes {
    pub(super) fn new(timeline: Timeline, options: &PlanOptions) -> Self {
        if options.instant {
            return Self { start: timeline.start, end: timeline.start, step: 0 };
        }
        let end = options.end.unwrap_or_else(|| timeline.end());
        Self { start: timeline.start, end, step: timeline.step }
    }

    /// What `start()`, `end()`, `range()` and `step()` give, s.
    pub(super) fn seconds(&self, function: &str) -> f64 {
        match function {
            "start" => self.start as f64 / 1000.0,
            "end" => self.end as f64 / 1000.0,
            "range" => self.range_seconds(),
            _ if self.start == self.end => 0.0,
            _ => self.step as f64 / 1000.0,
        }
    }

    /// The time that a modifier `@` stands for, ms.
    ///
    /// Prometheus turns it into an offset from the start of the query, kept in nanoseconds, so times more than 292 years
    /// apart come out elsewhere (promql/engine.go, setOffsetForAtModifier).
    pub(super) fn at(&self, at: At) -> Millis {
        let time = match at {
            At::Time(time) => time,
            At::Start => self.start,
            At::End => self.end,
        };
        self.start.wrapping_sub(go_duration(self.start.wrapping_sub(time)))
    }
}

/// A span of milliseconds after its way through Go's `time.Duration`, an int64 of nanoseconds that wraps around.
pub(super) fn go_duration(millis: Millis) -> Millis {
    millis.wrapping_mul(1_000_000) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_wrap_as_nanoseconds_do() {
        assert_eq!(go_duration(-90_000), -90_000);
        assert_eq!(go_duration(9_223_372_036_854), 9_223_372_036_854);
        assert!(go_duration(9_223_372_036_855) < 0);
    }
}
