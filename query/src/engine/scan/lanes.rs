//! Levels the values of a column that several lanes gave, so that neighbours can be compared as if one lane had given all.
//!
//! Two replicas watch one target, but a counter of theirs may have fallen in one of them alone, so that they stand at
//! different heights ever since. Where the lane changes, [`Run::rise`] and [`Run::change`] judge how far the series really
//! moved; the values from there on are lifted so that they continue at that height. A lane that stands where the one before
//! it stood is not lifted: its bits stay. Only functions that compare neighbours get levelled values; sums, extremes and
//! quantiles want what was measured.

use masthead_store::samples::{Rise, Run};
use masthead_store::{Millis, Samples};

use super::starts::started_anew;

/// How values compare with their neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Levels {
    /// They do not: values stay as measured.
    None,
    /// A fall is a reset.
    Counter,
    /// A fall is a fall.
    Gauge,
}

/// Where the lanes of a column change, and what levelling did to it.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Index of the first sample of each run but the first one.
    pub(super) switches: Vec<usize>,
    /// From which index on which lift holds, ascending, the first from 0 on; empty where nothing was levelled.
    pub(super) lifts: Vec<(usize, f64)>,
    /// Where a counter was reset though its levelled values may not show it.
    pub(super) resets: Vec<usize>,
}

impl Lanes {
    /// Forgets all, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.switches.clear();
        self.lifts.clear();
        self.resets.clear();
    }

    /// Levels `samples`, which hold no stale markers. Start timestamps tell of resets too if they count.
    pub(super) fn level(&mut self, levels: Levels, samples: &mut Samples, with_start_timestamps: bool) {
        self.clear();
        if samples.runs.is_empty() || samples.values.is_empty() {
            return;
        }
        self.switches.extend(samples.runs.iter().map(|run| run.start).filter(|start| *start > 0));
        if levels != Levels::None {
            self.lifts.push((0, 0.0));
        }
        match levels {
            Levels::None => {}
            Levels::Counter => self.level_counter(samples, with_start_timestamps),
            Levels::Gauge => self.level_gauge(samples),
        }
    }

    fn level_counter(&mut self, samples: &mut Samples, with_start_timestamps: bool) {
        let Samples { timestamps, values, start_timestamps, runs, .. } = samples;
        if with_start_timestamps && !start_timestamps.is_empty() {
            self.lift_counter(timestamps, values, runs, |i| started_anew(start_timestamps, timestamps, i));
        } else {
            self.lift_counter(timestamps, values, runs, |_| false);
        }
    }

    /// `is_new`: whether the counter began anew before the sample of an index above 0, whatever its value. A type of its own,
    /// so that the loop does not ask where the answer is always no.
    fn lift_counter(
        &mut self,
        timestamps: &[Millis],
        values: &mut [f64],
        runs: &[Run],
        is_new: impl Fn(usize) -> bool,
    ) {
        let mut lift = 0.0;
        let mut last_raw = values[0];
        for (i, run) in runs.iter().enumerate() {
            let end = end_of(runs, i, values.len());
            let mut inside = run.start;
            if run.start > 0 {
                let previous = (timestamps[run.start - 1], last_raw);
                let first = values[run.start];
                last_raw = first;
                let rise = match is_new(run.start) {
                    true => Rise { increase: first, is_reset: true },
                    false => run.rise(previous, (timestamps[run.start], first)),
                };
                if rise.is_reset {
                    // Behind a reset the value is the rise since zero.
                    self.resets.push(run.start);
                    lift = finite(rise.increase - first);
                } else if rise.increase != first - previous.1 {
                    lift = finite(values[run.start - 1] + rise.increase - first);
                }
                self.lifts.push((run.start, lift));
                values[run.start] = first + lift;
                inside += 1;
            }
            for (i, value) in values[..end].iter_mut().enumerate().skip(inside) {
                if *value < last_raw || (i > 0 && is_new(i)) {
                    self.resets.push(i);
                    self.lifts.push((i, 0.0));
                    lift = 0.0;
                }
                last_raw = *value;
                *value += lift;
            }
        }
    }

    fn level_gauge(&mut self, samples: &mut Samples) {
        let Samples { timestamps, values, runs, .. } = samples;
        let mut lift = 0.0;
        let mut last_raw = values[0];
        for (i, run) in runs.iter().enumerate() {
            let end = end_of(runs, i, values.len());
            if run.start > 0 {
                let previous = (timestamps[run.start - 1], last_raw);
                let first = values[run.start];
                let change = run.change(previous, (timestamps[run.start], first));
                if change != first - previous.1 {
                    lift = finite(values[run.start - 1] + change - first);
                }
                self.lifts.push((run.start, lift));
            }
            last_raw = values[end - 1];
            // Adding zero would turn -0 into 0.
            if lift != 0.0 {
                values[run.start..end].iter_mut().for_each(|value| *value += lift);
            }
        }
    }
}

/// NaN and Inf have no height.
fn finite(lift: f64) -> f64 {
    if lift.is_finite() { lift } else { 0.0 }
}

fn end_of(runs: &[Run], i: usize, len: usize) -> usize {
    runs.get(i + 1).map_or(len, |next| next.start)
}
