//! Counter resets: DetectReset in model/histogram/float_histogram.go.

use super::bounds::exponential;
use super::buckets::at_resolution;
use super::{CounterResetHint, Counts, Histogram, custom, is_exponential};

impl Histogram {
    /// Whether a counter was reset between `previous` and this one: as the hint says, and where it says nothing, if any
    /// count has fallen or the layout has changed in a way that only a restart explains. Gauges are judged as counters.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.has_custom_bounds() {
            if !previous.has_custom_bounds() {
                return true;
            }
            if !custom::same_bounds(&self.custom_bounds, &previous.custom_bounds) {
                return custom::is_reset(self, previous);
            }
        }
        // Finer buckets or a narrower zero bucket come from a restart only.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let zero = previous.widened(self.zero_threshold, None);
        if zero.threshold != self.zero_threshold || self.zero_count < zero.count {
            return true;
        }
        self.sides().into_iter().zip(previous.sides()).any(|(current, before)| {
            has_fallen(self.outside_zero(before, previous.schema), self.outside_zero(current, self.schema))
        })
    }

    /// Buckets of a side in this histogram's schema, without those within its zero bucket.
    fn outside_zero<'a>(&'a self, side: Counts<'a>, from: i32) -> impl Iterator<Item = (i32, f64)> + 'a {
        let inside = |(index, _): &(i32, f64)| {
            self.zero_threshold != 0.0
                && is_exponential(self.schema)
                && exponential(*index, self.schema) <= self.zero_threshold
        };
        at_resolution(side, from, self.schema).skip_while(inside)
    }
}

/// Whether a bucket, of ascending ones with their indexes, holds less than before, or is missing and held anything
/// before.
pub(crate) fn has_fallen(
    previous: impl IntoIterator<Item = (i32, f64)>,
    current: impl IntoIterator<Item = (i32, f64)>,
) -> bool {
    let mut current = current.into_iter().peekable();
    previous.into_iter().any(|(index, before)| {
        while current.next_if(|(have, _)| *have < index).is_some() {}
        match current.peek() {
            Some((have, count)) if *have == index => *count < before,
            _ => before != 0.0,
        }
    })
}
