//! Decoded samples of one series, as columns.

use std::sync::Arc;

use crate::histogram::Histogram;
use crate::series::Millis;

/// Prometheus' stale marker: a signalling NaN of its own payload. Compare bits, never values.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float.
pub const STALE: f64 = f64::from_bits(STALE_BITS);

/// Whether `value` is the stale marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Columns of one series, reused from series to series: cleared, not reallocated.
///
/// Invariant: timestamps ascend strictly, within the floats and within the histograms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Times of the floats, ms.
    pub timestamps: Vec<Millis>,
    /// The floats, as many as `timestamps`. Stale markers are kept, bit by bit.
    pub values: Vec<f64>,
    /// Start timestamps of the floats, ms, 0 where unknown; empty where no sample has one.
    pub start_timestamps: Vec<Millis>,
    /// Histogram samples.
    pub histograms: Vec<HistogramSample>,
    /// Where the floats change lanes; empty where one lane gave all. Ascending by `start`; the first run starts at 0.
    pub runs: Vec<Run>,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Time, ms.
    pub timestamp: Millis,
    /// Start timestamp, ms, 0 where unknown.
    pub start_timestamp: Millis,
    /// The histogram; stale where its sum is the stale marker.
    pub histogram: Arc<Histogram>,
}

/// From index `start` on the floats come from another lane than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Index of the run's first sample.
    pub start: usize,
    /// Position of the lane in the lane order of this series.
    pub lane: u32,
    /// The lane's own last sample before the first one of this run, stale markers left out, so that every kernel that
    /// compares neighbours (rate, irate, resets, delta, changes, ...) judges within one lane. None where the lane has
    /// none.
    pub before: Option<(Millis, f64)>,
}

/// One float at its time, ms.
pub type Sample = (Millis, f64);

/// How far a counter rose from one sample to the next, and whether it fell to zero between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rise {
    /// The rise, never negative.
    pub increase: f64,
    /// Whether the counter was reset.
    pub is_reset: bool,
}

impl Run {
    /// How far a counter rose from `previous`, the last value of another lane, to `first`, the first of this run.
    ///
    /// Two lanes watch one target, but a counter may have fallen in one of them alone. So the difference between the
    /// lanes counts only where the new lane's own history agrees with it; else the lane's own rise since
    /// [`Run::before`] does, for as much of that time as lies behind `previous`. A reset is one of the new lane. On the
    /// way back to a lane whose history reaches further back than `previous`, it may be one that the other lane has
    /// shown already: who counts resets leaves it out if it has counted one since `before`.
    pub fn rise(&self, previous: Sample, first: Sample) -> Rise {
        let direct = first.1 - previous.1;
        let Some(before) = self.before else {
            return Rise { increase: direct.max(0.0), is_reset: false };
        };
        let is_reset = first.1 < before.1;
        let own = if is_reset { first.1 } else { first.1 - before.1 };
        let scaled = own * share(before.0, previous.0, first.0);
        let overlaps = before.0 <= previous.0;
        let increase = match (is_reset, overlaps) {
            // The other lane stands between the two values of this one.
            (false, true) if before.1 <= previous.1 && direct >= 0.0 => direct,
            // The other lane stands where this one may have come from.
            (false, false)
                if before.1 >= previous.1 && before.1 - previous.1 <= plausible(before, previous.0, first) =>
            {
                direct
            }
            (false, _) => scaled,
            // The other lane has seen the reset, and this one has risen further.
            (true, true) if direct >= 0.0 => return Rise { increase: direct, is_reset: false },
            (true, true) if previous.1 < before.1 => scaled,
            (true, _) => own,
        };
        Rise { increase, is_reset }
    }

    /// How far a gauge changed from `previous`, the last value of another lane, to `first`, the first of this run: the
    /// difference between the lanes where they stand within a fifth of each other, else the lane's own change since
    /// [`Run::before`], for as much of that time as lies behind `previous`.
    pub fn change(&self, previous: Sample, first: Sample) -> f64 {
        let direct = first.1 - previous.1;
        let Some(before) = self.before else { return direct };
        let own = (first.1 - before.1) * share(before.0, previous.0, first.0);
        let tolerance = own.abs().max(first.1.abs().max(previous.1.abs()) / 5.0);
        if (direct - own).abs() <= tolerance { direct } else { own }
    }
}

/// The part of the time from `before` to `first` that lies behind `previous`; more than 1 if `previous` is the
/// earliest.
fn share(before: Millis, previous: Millis, first: Millis) -> f64 {
    first.saturating_sub(previous) as f64 / first.saturating_sub(before) as f64
}

/// How far a counter can have risen from the time `previous` to `before`, by what it did behind that.
fn plausible(before: Sample, previous: Millis, first: Sample) -> f64 {
    let pace = (first.1 - before.1) / first.0.saturating_sub(before.0) as f64;
    (4.0 * pace * before.0.saturating_sub(previous) as f64).max(before.1.abs() / 5.0)
}

impl Samples {
    /// Forgets all samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.start_timestamps.clear();
        self.histograms.clear();
        self.runs.clear();
    }

    /// Number of samples of either kind.
    pub fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.histograms.is_empty()
    }

    /// The times of all samples, ms: of the floats, then of the histograms.
    pub fn times(&self) -> impl Iterator<Item = Millis> {
        self.timestamps.iter().copied().chain(self.histograms.iter().map(|sample| sample.timestamp))
    }

    /// Keeps the samples at times that `keep` accepts. There must be no runs.
    pub fn retain(&mut self, keep: impl Fn(Millis) -> bool) {
        debug_assert!(self.runs.is_empty(), "samples of several lanes");
        let mut kept = 0;
        for i in 0..self.timestamps.len() {
            if keep(self.timestamps[i]) {
                self.timestamps[kept] = self.timestamps[i];
                self.values[kept] = self.values[i];
                if let Some(start) = self.start_timestamps.get(i).copied() {
                    self.start_timestamps[kept] = start;
                }
                kept += 1;
            }
        }
        self.timestamps.truncate(kept);
        self.values.truncate(kept);
        self.start_timestamps.truncate(kept);
        self.histograms.retain(|sample| keep(sample.timestamp));
    }

    /// Appends one float without a start timestamp. `timestamp` must be later than the last one.
    pub fn push(&mut self, timestamp: Millis, value: f64) {
        debug_assert!(self.timestamps.last().is_none_or(|last| *last < timestamp));
        self.timestamps.push(timestamp);
        self.values.push(value);
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(before: Option<Sample>) -> Run {
        Run { start: 1, lane: 1, before }
    }

    #[test]
    fn rises_at_a_change_of_lane() {
        // name; the new lane's own sample before; the other lane's last; the new lane's first; increase; reset
        let rows = [
            ("lanes agree, own history overlaps", Some((0, 100.0)), (17, 110.0), (60, 130.0), 20.0, false),
            ("lanes agree, own history begins later", Some((20, 112.0)), (3, 100.0), (80, 150.0), 50.0, false),
            ("this lane has fallen before", Some((0, 5.0)), (20, 100_000.0), (60, 35.0), 20.0, false),
            ("the other lane has fallen before", Some((0, 100_000.0)), (20, 10.0), (60, 100_030.0), 20.0, false),
            ("this lane is lower, own history begins later", Some((20, 5.0)), (0, 100_000.0), (60, 35.0), 45.0, false),
            (
                "this lane is higher, own history begins later",
                Some((20, 90_000.0)),
                (0, 5.0),
                (60, 90_040.0),
                60.0,
                false,
            ),
            ("the target restarts, first seen here", Some((0, 1_000.0)), (17, 1_010.0), (60, 7.0), 7.0, true),
            ("the target restarts behind both", Some((20, 1_000.0)), (3, 990.0), (80, 7.0), 7.0, true),
            ("the other lane has shown the restart", Some((0, 1_000.0)), (300, 40.0), (340, 50.0), 10.0, false),
            ("no history, higher", None, (0, 10.0), (60, 15.0), 5.0, false),
            ("no history, lower", None, (0, 10.0), (60, 5.0), 0.0, false),
        ];
        for (name, before, previous, first, increase, is_reset) in rows {
            assert_eq!(run(before).rise(previous, first), Rise { increase, is_reset }, "{name}");
        }
    }

    #[test]
    fn changes_at_a_change_of_lane() {
        let rows = [
            ("a gauge that both see", Some((0, 100.0)), (20, 105.0), (60, 90.0), -15.0),
            ("a counter that fell in the other lane", Some((0, 100_000.0)), (20, 10.0), (60, 100_030.0), 20.0),
            ("no history", None, (0, 10.0), (60, 5.0), -5.0),
        ];
        for (name, before, previous, first, expected) in rows {
            assert_eq!(run(before).change(previous, first), expected, "{name}");
        }
    }
}
