//! Series of results: labels, points, native histograms (web/api/v1/json_codec.go).

use std::ops::Range;

use masthead_store::histogram::{Bucket, Histogram};
use masthead_store::{Labels, Millis, Samples};

use super::super::json::push_labels;
use super::super::number::{push_integer, push_timestamp, push_value};
use crate::engine::batch::{Row, is_absent};
use crate::plan::Timeline;

/// Bytes of a point, more or less.
const POINT_BYTES: usize = 40;

/// The times of a timeline as each row of a matrix repeats them: `,[1435781451.781,`. They are few
/// (`limits.steps` is bounded), so their memory is not counted.
pub(super) struct Stamps {
    text: Vec<u8>,
    /// Where the text of each step ends.
    ends: Vec<u32>,
}

impl Stamps {
    /// The times of `timeline`.
    pub(super) fn new(timeline: Timeline) -> Self {
        let mut stamps = Self { text: Vec::new(), ends: Vec::with_capacity(timeline.count) };
        for step in 0..timeline.count {
            push_stamp(&mut stamps.text, timeline.at(step));
            stamps.ends.push(stamps.text.len() as u32);
        }
        stamps
    }

    #[inline]
    fn at(&self, step: usize) -> &[u8] {
        let start = step.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[step] as usize]
    }
}

fn push_stamp(out: &mut Vec<u8>, time: Millis) {
    out.extend_from_slice(b",[");
    push_timestamp(out, time);
    out.push(b',');
}

/// `{"metric":{..},"value":[..]}`, or with `"histogram"`.
pub(super) fn push_sample(out: &mut Vec<u8>, row: &Row, time: Millis) {
    push_metric(out, &row.labels);
    if let Some(value) = row.values.first().filter(|value| !is_absent(**value)) {
        out.extend_from_slice(b",\"value\":[");
        push_timestamp(out, time);
        out.push(b',');
        push_value(out, *value);
        out.push(b']');
    } else if let Some((_, histogram)) = row.histograms.first() {
        out.extend_from_slice(b",\"histogram\":[");
        push_timestamp(out, time);
        out.push(b',');
        push_histogram(out, histogram);
        out.push(b']');
    }
    out.push(b'}');
}

/// `{"metric":{..},"values":[..],"histograms":[..]}` of one row.
pub(super) fn push_row(out: &mut Vec<u8>, row: &Row, stamps: &Stamps) {
    push_metric(out, &row.labels);
    push_points(out, b",\"values\":", |out| {
        out.reserve(row.values.len() * POINT_BYTES);
        let mut last = Last::default();
        for (step, value) in row.values.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
            out.extend_from_slice(stamps.at(step));
            last.push(out, *value);
        }
    });
    push_points(out, b",\"histograms\":", |out| {
        for (step, histogram) in &row.histograms {
            out.extend_from_slice(stamps.at(*step as usize));
            push_histogram(out, histogram);
            out.push(b']');
        }
    });
    out.push(b'}');
}

/// Some points of `{"metric":{..},"values":[..],"histograms":[..]}` of raw samples, which may be many: those from `next` on,
/// which is left behind them. Whether that was all.
pub(super) fn push_samples(out: &mut Vec<u8>, (labels, samples): &(Labels, Samples), next: &mut usize) -> bool {
    /// Points, and histograms, that are written at a time.
    const POINTS: (usize, usize) = (2_048, 64);
    if *next == 0 {
        push_metric(out, labels);
    }
    let floats = samples.values.len();
    if *next < floats {
        let range = *next..floats.min(*next + POINTS.0);
        out.reserve(range.len() * POINT_BYTES);
        push_part(out, b",\"values\":", (&range, floats), |out| {
            let mut last = Last::default();
            for (time, value) in samples.timestamps[range.clone()].iter().zip(&samples.values[range.clone()]) {
                push_stamp(out, *time);
                last.push(out, *value);
            }
        });
        *next = range.end;
    } else if *next < samples.len() {
        let first = *next - floats;
        let range = first..samples.histograms.len().min(first + POINTS.1);
        push_part(out, b",\"histograms\":", (&range, samples.histograms.len()), |out| {
            for sample in &samples.histograms[range.clone()] {
                push_stamp(out, sample.timestamp);
                push_histogram(out, &sample.histogram);
                out.push(b']');
            }
        });
        *next = floats + range.end;
    }
    let ended = *next == samples.len();
    if ended {
        out.push(b'}');
    }
    ended
}

/// The items `part` of a list of `count` under `key`. `push` puts a comma before every item, the first too.
fn push_part(out: &mut Vec<u8>, key: &[u8], (part, count): (&Range<usize>, usize), push: impl FnOnce(&mut Vec<u8>)) {
    if part.start == 0 {
        out.extend_from_slice(key);
    }
    let first = out.len();
    push(out);
    if part.start == 0 {
        out[first] = b'[';
    }
    if part.end == count {
        out.push(b']');
    }
}

fn push_metric(out: &mut Vec<u8>, labels: &Labels) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, labels);
}

/// A list under `key`; nothing at all where `push` adds nothing. It puts a comma before every item, the first too.
fn push_points(out: &mut Vec<u8>, key: &[u8], push: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(key);
    let first = out.len();
    push(out);
    if out.len() == first {
        out.truncate(start);
    } else {
        out[first] = b'[';
        out.push(b']');
    }
}

/// The end of a point, `"1.5"]`, as it was written last: most values that stay are not made into digits twice.
#[derive(Default)]
struct Last {
    value: Option<u64>,
    at: Range<usize>,
}

impl Last {
    #[inline]
    fn push(&mut self, out: &mut Vec<u8>, value: f64) {
        if self.value == Some(value.to_bits()) {
            out.extend_from_within(self.at.clone());
            return;
        }
        let start = out.len();
        push_value(out, value);
        out.push(b']');
        *self = Self { value: Some(value.to_bits()), at: start..out.len() };
    }
}

/// A native histogram: its buckets ascend, empty ones are left out (MarshalHistogram in util/jsonutil/marshal.go).
fn push_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    out.extend_from_slice(b"{\"count\":");
    push_value(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_value(out, histogram.sum);
    push_points(out, b",\"buckets\":", |out| {
        for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
            out.extend_from_slice(b",[");
            push_integer(out, boundaries(&bucket));
            for number in [bucket.lower, bucket.upper, bucket.count] {
                out.push(b',');
                push_value(out, number);
            }
            out.push(b']');
        }
    });
    out.push(b'}');
}

/// Which borders of a bucket are its own: 0 the upper one, 1 the lower one, 2 none, 3 both.
fn boundaries(bucket: &Bucket) -> u64 {
    match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
        (true, true) => 3,
    }
}
