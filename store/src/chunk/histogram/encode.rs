//! Histogram chunks out of samples: float ones, or on request integer ones where all counts are whole. Chunks are cut
//! where Prometheus' appender cuts them (chunkenc, `FloatHistogramAppender`), but for their size, which is a number of
//! samples here; buckets that appear or are empty are no reason to cut.

use bytes::Bytes;

use super::super::HistogramForm;
use super::super::SAMPLES_PER_CHUNK;
use super::super::bits::BitWriter;
use super::super::start_times::StartTimesWriter;
use super::super::xor::ValueWriter;
use super::layout::Described;
use super::write::{CountWriter, IntegerWriter, SampleWriter, is_whole};
use super::{GAUGE, HEAD, NOT_RESET, RESET};
use crate::histogram::{CounterResetHint, Counts, Histogram, Indexed, has_fallen, spans_of};
use crate::samples::{HistogramSample, is_stale};
use crate::series::{Chunk, Encoding};

/// Samples that a chunk with start timestamps can count; the other chunks can count more.
const SAMPLES_MAX: usize = 0x3fff;

/// Appends the chunks of `samples`, whose times ascend strictly, to `out`.
pub(in super::super) fn encode(samples: &[HistogramSample], form: HistogramForm, out: &mut Vec<Chunk>) {
    let mut first = 0;
    let mut group: Option<Group> = None;
    let form = Form { histograms: form, has_starts: has_starts(samples) };
    for (index, sample) in samples.iter().enumerate() {
        let histogram = &*sample.histogram;
        let Some(current) = &mut group else {
            group = Some(Group::new(histogram, first_head(histogram)));
            continue;
        };
        let head = match current.judge(histogram) {
            Verdict::Fits if index - first < SAMPLES_PER_CHUNK => {
                current.widen(histogram);
                continue;
            }
            Verdict::Fits => current.next_head(),
            Verdict::Reset => RESET,
            Verdict::Differs => gauge_head(histogram),
        };
        out.extend(current.chunk(&samples[first..index], form));
        group = Some(Group::new(histogram, head));
        first = index;
    }
    if let Some(last) = group {
        out.extend(last.chunk(&samples[first..], form));
    }
}

/// One chunk of samples that were one chunk before, so that they have one schema, zero threshold and bounds. None for
/// none, and for more than fit.
pub(in super::super) fn encode_chunk(samples: &[HistogramSample], form: HistogramForm) -> Option<Chunk> {
    let first = &*samples.first()?.histogram;
    let mut group = Group::new(first, gauge_head(first));
    for sample in &samples[1..] {
        group.widen(&sample.histogram);
    }
    group.chunk(samples, Form { histograms: form, has_starts: has_starts(samples) })
}

fn has_starts(samples: &[HistogramSample]) -> bool {
    samples.iter().any(|sample| sample.start_timestamp != 0)
}

/// How chunks are written.
#[derive(Clone, Copy)]
struct Form {
    histograms: HistogramForm,
    has_starts: bool,
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

    /// Whether a sample can be taken in.
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
        let has_fallen = || {
            next.sides()
                .into_iter()
                .zip(&self.sides)
                .any(|(side, before)| has_fallen(before.iter().copied(), buckets(side)))
        };
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
        for (all, side) in self.sides.iter_mut().zip(next.sides()) {
            *all = union(all, buckets(side));
        }
    }

    /// The chunk of the samples that were taken in.
    fn chunk(&self, samples: &[HistogramSample], form: Form) -> Option<Chunk> {
        let (first, last) = (samples.first()?, samples.last()?);
        let of_integers =
            form.histograms == HistogramForm::Integers && samples.iter().all(|sample| is_whole(&sample.histogram));
        let (encoding, data) = match (of_integers, form.has_starts) {
            (true, false) => (Encoding::Histogram, self.data::<IntegerWriter>(samples, false)),
            (true, true) => (Encoding::HistogramSt, self.data::<IntegerWriter>(samples, true)),
            (false, false) => (Encoding::FloatHistogram, self.data::<ValueWriter>(samples, false)),
            (false, true) => (Encoding::FloatHistogramSt, self.data::<ValueWriter>(samples, true)),
        };
        Some(Chunk { min_time: first.timestamp, max_time: last.timestamp, encoding, data: data? })
    }

    fn data<C: CountWriter>(&self, samples: &[HistogramSample], has_starts: bool) -> Option<Bytes> {
        let indexes = self.sides.each_ref().map(|side| side.iter().map(|(index, _)| *index).collect::<Vec<i32>>());
        let spans = indexes.each_ref().map(|indexes| spans_of(indexes.iter().copied()));
        let Histogram { schema, zero_threshold, custom_bounds: bounds, .. } = &self.last;
        let mut out = BitWriter::new(vec![0; HEAD]);
        let spans = spans.each_ref().map(|spans| &**spans);
        Described { schema: *schema, zero_threshold: *zero_threshold, spans, bounds }.write(&mut out);
        let mut writer = SampleWriter::<C>::new(indexes.each_ref().map(Vec::len));
        let mut starts = StartTimesWriter::default();
        let mut before = 0;
        let mut counts = Vec::new();
        for (index, sample) in samples.iter().enumerate() {
            counts.clear();
            for (indexes, side) in indexes.iter().zip(sample.histogram.sides()) {
                lay(indexes, side, &mut counts);
            }
            writer.put(&mut out, index == 0, sample, &mut counts);
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

fn buckets((spans, counts): Counts<'_>) -> Indexed<'_> {
    Indexed::new(spans, counts)
}

/// All buckets of both, with the counts of `next`.
fn union(all: &[(i32, f64)], next: Indexed<'_>) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(all.len());
    let mut rest = next.peekable();
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
fn lay(indexes: &[i32], side: Counts<'_>, out: &mut Vec<f64>) {
    let mut rest = buckets(side).peekable();
    out.extend(indexes.iter().map(|index| rest.next_if(|(own, _)| own == index).map_or(0.0, |(_, count)| count)));
}
