//! What start timestamps say of two neighbours: whether a counter began anew between them.

use masthead_store::Millis;
use masthead_store::samples::HistogramSample;

/// Whether the start timestamps `starts` of the times `times` say that a counter began anew between sample `i - 1` and `i`.
#[inline]
pub(super) fn started_anew(starts: &[Millis], times: &[Millis], i: usize) -> bool {
    let (Some(before), Some(start)) = (starts.get(i - 1), starts.get(i)) else { return false };
    is_reset((*before, times[i - 1]), (*start, times[i]))
}

/// Whether the start timestamps of two neighbours say that a counter began anew between them.
#[inline]
pub(super) fn histogram_started_anew(before: &HistogramSample, sample: &HistogramSample) -> bool {
    is_reset((before.start_timestamp, before.timestamp), (sample.start_timestamp, sample.timestamp))
}

/// Whether a counter began anew between two neighbours, each given by its start timestamp and its time
/// (promql/functions.go, isStartTimestampReset).
#[inline]
fn is_reset((start_before, before): (Millis, Millis), (start, time): (Millis, Millis)) -> bool {
    if start == 0 || start >= time || start < before {
        return false;
    }
    // Equal to the time of the sample before: a delta, or unknown, which shows in the sample before.
    start > before || (start_before != 0 && start_before < before)
}
