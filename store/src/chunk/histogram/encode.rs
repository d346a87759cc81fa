//! Histogram chunks out of samples: always float ones. Chunks are cut where Prometheus' appender cuts them (chunkenc,
//! `FloatHistogramAppender`), but for their size, which is a number of samples here; buckets that appear or are empty are no
//! reason to cut.

use bytes::Bytes;

use super::super::SAMPLES_PER_CHUNK;
use super::super::bits::BitWriter;
use super::super::start_times::StartTimesWriter;
use super::super::xor::ValueWriter;
use super::layout::{Described, indexes_of, spans_of};
use super::{GAUGE, HEAD, NOT_RESET, RESET};
use crate::histogram::{CounterResetHint, Histogram, Span};
use crate::samples::{HistogramSample, is_stale};
use crate::series::{Chunk, Encoding, Millis};

/// Samples that a chunk with start timestamps can count; the other chunks can count more.
const SAMPLES_MAX: usize = 0x3fff;

/// Appends the chunks of `samples`, whose times ascend strictly, to `out`.
pub(in super::super) fn encode(samples: &[HistogramSample], out: &mut Vec<Chunk>) {
    let mut first = 0;
    let mut group: Option<Group> = None;
    let has_starts = samples.iter().any(|sample| sample.start_timestamp != 0);
    for (index, sample) in samples.iter().enumerate() {
        let histogram = &*sample.histogram;
        let Some(current) = &mut group else {
            group = Some(Group::new(histogram, first_head(histogram)));
            continue;
        };
        let head = match current.append(histogram) {
            Verdict::Fits if index - first < SAMPLES_PER_CHUNK => continue,
            Verdict::Fits => current.next_head(),
            Verdict::Reset => RESET,
            Verdict::Differs => gauge_head(histogram),
        };
        out.extend(current.chunk(&samples[first..index], has_starts));
        group = Some(Group::new(histogram, head));
        first = index;
    }
    if let Some(last) = group {
        out.extend(last.chunk(&samples[first..], has_starts));
    }
}

/// One chunk of samples that were one chunk before, so that they have one schema, zero threshold and bounds. None for none,
/// and for more than fit.
pub(in super::super) fn encode_chunk(samples: &[HistogramSample]) -> Option<Chunk> {
    let first = &*samples.first()?.histogram;
    let mut group = Group::new(first, gauge_head(first));
    for sample in &samples[1..] {
        group.widen(&sample.histogram);
    }
    group.chunk(samples, samples.iter().any(|sample| sample.start_timestamp != 0))
}

fn gauge_head(histogram: &Histogram) -> u8 {
    if histogram.counter_reset_hint == CounterResetHint::Gauge { GAUGE } else { 0 }
}

/// What the head of a series' first chunk says.
fn first_head(histogram: &Histogram) -> u8 {
    if histogram.counter_reset_hint == CounterResetHint::Reset { RESET } else { gauge_head(histogram) }
}

/// Whether a sample goes into the chunk before it.
enum Verdict {
    Fits,
    /// The counter was reset.
    Reset,
    /// It is of another kind or layout.
    Differs,
}

/// The samples of a chunk, as far as the next one must be compared with them.
struct Group {
    head: u8,
    /// The last sample was stale.
    is_stale: bool,
    /// What is common to all; of the last sample that is not stale: count and zero count.
    last: Histogram,
    /// All buckets that any sample has, with the counts of the last one.
    sides: [Vec<(i32, f64)>; 2],
}

impl Group {
    fn new(first: &Histogram, head: u8) -> Self {
        let mut group = Self { head, is_stale: false, last: Histogram::default(), sides: Default::default() };
        group.widen(first);
        group
    }

    /// The head of a chunk that follows only because this one is full.
    fn next_head(&self) -> u8 {
        if self.head == GAUGE { GAUGE } else { NOT_RESET }
    }

    /// Takes a sample in, if it fits.
    fn append(&mut self, next: &Histogram) -> Verdict {
        let verdict = self.judge(next);
        if matches!(verdict, Verdict::Fits) {
            self.widen(next);
        }
        verdict
    }

    fn judge(&self, next: &Histogram) -> Verdict {
        let last = &self.last;
        let same_scale = next.schema == last.schema && next.zero_threshold == last.zero_threshold;
        let is_gauge = next.counter_reset_hint == CounterResetHint::Gauge;
        if is_stale(next.sum) {
            return Verdict::Fits;
        }
        if is_gauge != (self.head == GAUGE) {
            return Verdict::Differs;
        }
        if is_gauge {
            let fits = !self.is_stale && same_scale && next.custom_bounds == last.custom_bounds;
            return if fits { Verdict::Fits } else { Verdict::Differs };
        }
        let differs = next.custom_bounds != last.custom_bounds;
        let has_fallen = || sides(next).zip(&self.sides).any(|(side, before)| has_fallen(before, &buckets(side)));
        if next.counter_reset_hint == CounterResetHint::Reset {
            Verdict::Reset
        } else if self.is_stale {
            Verdict::Differs
        } else if next.count < last.count {
            Verdict::Reset
        } else if !same_scale {
            Verdict::Differs
        } else if differs || next.zero_count < last.zero_count || has_fallen() {
            Verdict::Reset
        } else {
            Verdict::Fits
        }
    }

    /// Takes a sample in.
    fn widen(&mut self, next: &Histogram) {
        self.is_stale = is_stale(next.sum);
        if self.is_stale {
            return;
        }
        let Histogram { schema, zero_threshold, zero_count, count, .. } = *next;
        let custom_bounds = next.custom_bounds.clone();
        self.last = Histogram { schema, zero_threshold, zero_count, count, custom_bounds, ..Histogram::default() };
        for (all, side) in self.sides.iter_mut().zip(sides(next)) {
            *all = union(all, &buckets(side));
        }
    }

    /// The chunk of the samples that were taken in.
    fn chunk(&self, samples: &[HistogramSample], has_starts: bool) -> Option<Chunk> {
        let (first, last) = (samples.first()?, samples.last()?);
        let encoding = if has_starts { Encoding::FloatHistogramSt } else { Encoding::FloatHistogram };
        let data = self.data(samples, has_starts)?;
        Some(Chunk { min_time: first.timestamp, max_time: last.timestamp, encoding, data })
    }

    fn data(&self, samples: &[HistogramSample], has_starts: bool) -> Option<Bytes> {
        let indexes = self.sides.each_ref().map(|side| side.iter().map(|(index, _)| *index).collect::<Vec<i32>>());
        let spans = indexes.each_ref().map(|indexes| spans_of(indexes));
        let Histogram { schema, zero_threshold, custom_bounds: bounds, .. } = &self.last;
        let mut out = BitWriter::new(vec![0; HEAD]);
        let spans = spans.each_ref().map(Vec::as_slice);
        Described { schema: *schema, zero_threshold: *zero_threshold, spans, bounds }.write(&mut out);
        let mut writer = SampleWriter::new(indexes.each_ref().map(Vec::len).iter().sum());
        let mut starts = StartTimesWriter::default();
        let mut before = 0;
        let mut counts = Vec::new();
        for (index, sample) in samples.iter().enumerate() {
            counts.clear();
            for (indexes, side) in indexes.iter().zip(sides(&sample.histogram)) {
                lay(indexes, side, &mut counts);
            }
            writer.put(&mut out, index == 0, sample, &counts);
            if has_starts {
                starts.put(&mut out, index, (before, sample.timestamp), sample.start_timestamp);
            }
            before = sample.timestamp;
        }
        let count =
            u16::try_from(samples.len()).ok().filter(|count| !has_starts || usize::from(*count) <= SAMPLES_MAX)?;
        let [high, low] = count.to_be_bytes();
        let mut bytes = out.finish();
        let head = if has_starts { [high | self.head, low, starts.head] } else { [high, low, self.head] };
        bytes[..HEAD].copy_from_slice(&head);
        Some(bytes.into())
    }
}

/// Spans and counts of the positive and of the negative buckets.
fn sides(histogram: &Histogram) -> impl Iterator<Item = (&[Span], &[f64])> {
    [
        (&histogram.positive_spans[..], &histogram.positive_buckets[..]),
        (&histogram.negative_spans[..], &histogram.negative_buckets[..]),
    ]
    .into_iter()
}

fn buckets((spans, counts): (&[Span], &[f64])) -> Vec<(i32, f64)> {
    indexes_of(spans).zip(counts.iter().copied()).collect()
}

/// Whether any bucket has a lower count than before, or is gone though it had one.
fn has_fallen(before: &[(i32, f64)], next: &[(i32, f64)]) -> bool {
    let mut rest = next.iter().peekable();
    before.iter().any(|(index, count)| {
        while rest.next_if(|(other, _)| other < index).is_some() {}
        match rest.next_if(|(other, _)| other == index) {
            Some((_, now)) => count > now,
            None => *count != 0.0,
        }
    })
}

/// All buckets of both, with the counts of `next`.
fn union(all: &[(i32, f64)], next: &[(i32, f64)]) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(all.len().max(next.len()));
    let mut rest = next.iter().copied().peekable();
    for (index, _) in all {
        while let Some(bucket) = rest.next_if(|(other, _)| other < index) {
            out.push(bucket);
        }
        out.push(rest.next_if(|(other, _)| other == index).unwrap_or((*index, 0.0)));
    }
    out.extend(rest);
    out
}

/// Appends the counts of a side at all `indexes`, which are at least its own.
fn lay(indexes: &[i32], (spans, counts): (&[Span], &[f64]), out: &mut Vec<f64>) {
    let mut rest = indexes_of(spans).zip(counts).peekable();
    out.extend(indexes.iter().map(|index| rest.next_if(|(own, _)| own == index).map_or(0.0, |(_, count)| *count)));
}

/// Writes the samples of a chunk.
struct SampleWriter {
    time: Millis,
    delta: i64,
    /// Count, zero count, sum.
    totals: [ValueWriter; 3],
    buckets: Vec<ValueWriter>,
}

impl SampleWriter {
    fn new(buckets: usize) -> Self {
        Self { time: 0, delta: 0, totals: Default::default(), buckets: vec![ValueWriter::default(); buckets] }
    }

    fn put(&mut self, out: &mut BitWriter, is_first: bool, sample: &HistogramSample, counts: &[f64]) {
        let delta = if is_first { 0 } else { sample.timestamp.wrapping_sub(self.time) };
        out.put_varbit_int(if is_first { sample.timestamp } else { delta.wrapping_sub(self.delta) });
        (self.time, self.delta) = (sample.timestamp, delta);
        let histogram = &sample.histogram;
        let is_stale = is_stale(histogram.sum);
        // Of a stale sample nothing counts but its sum.
        let (count, zero_count) = if is_stale { (0.0, 0.0) } else { (histogram.count, histogram.zero_count) };
        let put = |writer: &mut ValueWriter, out: &mut BitWriter, value: f64| match is_first {
            true => {
                writer.bits = value.to_bits();
                out.put(writer.bits, 64);
            }
            false => writer.put(out, value.to_bits()),
        };
        for (writer, value) in self.totals.iter_mut().zip([count, zero_count, histogram.sum]) {
            put(writer, out, value);
        }
        if is_first || !is_stale {
            for (writer, count) in self.buckets.iter_mut().zip(counts) {
                put(writer, out, *count);
            }
        }
    }
}
