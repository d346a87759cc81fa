//! Instant selectors: the newest sample of the lookback, or what is known of it.

use masthead_store::samples::is_stale;
use masthead_store::{Millis, Samples};

use super::batch::ABSENT;
use super::column::WindowTimes;

/// What an instant selector gives of the sample it finds.
pub(super) type Pick = fn(&Samples, usize) -> f64;

/// Its time, s.
pub(super) fn timestamp(samples: &Samples, i: usize) -> f64 {
    samples.timestamps[i] as f64 / 1000.0
}

/// Its time, ms.
pub(super) fn sample_time(samples: &Samples, i: usize) -> f64 {
    samples.timestamps[i] as f64
}

/// Its start timestamp, s; 0 where unknown.
pub(super) fn start_timestamp(samples: &Samples, i: usize) -> f64 {
    samples.start_timestamps.get(i).copied().unwrap_or(0) as f64 / 1000.0
}

/// Looks all steps up; the windows of `times` are the lookbacks. A stale marker ends a series: what lies before it does not
/// count (promql/engine.go, vectorSelectorSingle).
#[inline]
pub(super) fn latest(samples: &Samples, times: &WindowTimes, out: &mut [f64], pick: impl Fn(&Samples, usize) -> f64) {
    let Samples { timestamps, values, .. } = samples;
    let mut behind = 0;
    let mut last_end = Millis::MIN;
    for (step, cell) in out.iter_mut().enumerate() {
        let end = times.end(step);
        if end < last_end {
            // Times that wrapped around: begin again.
            behind = 0;
        }
        last_end = end;
        while behind < timestamps.len() && timestamps[behind] <= end {
            behind += 1;
        }
        *cell = match behind.checked_sub(1) {
            Some(i) if timestamps[i] > times.start(end) && !is_stale(values[i]) => pick(samples, i),
            _ => ABSENT,
        };
    }
}
