//! The samples of a histogram chunk, one after another into its bits (chunks.md 4.3 and 4.4).

use super::super::bits::BitWriter;
use super::super::xor::ValueWriter;
use crate::histogram::Histogram;
use crate::samples::{HistogramSample, is_stale};
use crate::series::Millis;

/// Greatest count that is written as an integer: the differences of such ones are exact as floats too.
const WHOLE_MAX: f64 = (1_i64 << 52) as f64;

/// Whether all counts are whole, so that integers give the same bits again.
pub(super) fn is_whole(histogram: &Histogram) -> bool {
    let whole = |count: f64| count.abs() <= WHOLE_MAX && ((count as i64) as f64).to_bits() == count.to_bits();
    let mut buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    let is_total = |count: f64| count >= 0.0 && whole(count);
    is_stale(histogram.sum)
        || is_total(histogram.count) && is_total(histogram.zero_count) && buckets.all(|count| whole(*count))
}

/// Writes one count of each sample.
pub(super) trait CountWriter: Clone + Default {
    /// Writes count or zero count of the first sample.
    fn put_first_total(&mut self, out: &mut BitWriter, count: f64);

    /// Writes a bucket of the first sample.
    fn put_first_bucket(&mut self, out: &mut BitWriter, count: f64);

    /// Writes any of a later sample.
    fn put_next(&mut self, out: &mut BitWriter, count: f64);

    /// Makes the numbers of which buckets are written of the absolute counts of one side.
    fn prepare(counts: &mut [f64]);
}

/// A float by its difference to the one before.
impl CountWriter for ValueWriter {
    fn put_first_total(&mut self, out: &mut BitWriter, count: f64) {
        self.bits = count.to_bits();
        out.put(self.bits, 64);
    }

    fn put_first_bucket(&mut self, out: &mut BitWriter, count: f64) {
        self.put_first_total(out, count);
    }

    fn put_next(&mut self, out: &mut BitWriter, count: f64) {
        self.put(out, count.to_bits());
    }

    fn prepare(_: &mut [f64]) {}
}

/// An integer by the change of its change. That of a bucket is the difference to the bucket before it.
#[derive(Clone, Default)]
pub(super) struct IntegerWriter {
    value: i64,
    delta: i64,
}

impl CountWriter for IntegerWriter {
    fn put_first_total(&mut self, out: &mut BitWriter, count: f64) {
        self.value = count as i64;
        out.put_varbit_uint(self.value as u64);
    }

    fn put_first_bucket(&mut self, out: &mut BitWriter, count: f64) {
        self.value = count as i64;
        out.put_varbit_int(self.value);
    }

    fn put_next(&mut self, out: &mut BitWriter, count: f64) {
        let delta = count as i64 - self.value;
        out.put_varbit_int(delta - self.delta);
        (self.value, self.delta) = (count as i64, delta);
    }

    fn prepare(counts: &mut [f64]) {
        let mut before = 0.0;
        counts.iter_mut().for_each(|count| *count -= std::mem::replace(&mut before, *count));
    }
}

/// Writes the samples of a chunk.
pub(super) struct SampleWriter<C> {
    time: Millis,
    delta: i64,
    /// Count and zero count.
    totals: [C; 2],
    sum: ValueWriter,
    buckets: Vec<C>,
    /// How many of the buckets are positive.
    positive: usize,
}

impl<C: CountWriter> SampleWriter<C> {
    /// For so many positive and negative buckets.
    pub(super) fn new([positive, negative]: [usize; 2]) -> Self {
        Self {
            time: 0,
            delta: 0,
            totals: Default::default(),
            sum: ValueWriter::default(),
            buckets: vec![C::default(); positive + negative],
            positive,
        }
    }

    /// Writes a sample with the absolute `counts` of all buckets of the chunk.
    pub(super) fn put(&mut self, out: &mut BitWriter, is_first: bool, sample: &HistogramSample, counts: &mut [f64]) {
        let delta = if is_first { 0 } else { sample.timestamp.wrapping_sub(self.time) };
        out.put_varbit_int(if is_first { sample.timestamp } else { delta.wrapping_sub(self.delta) });
        (self.time, self.delta) = (sample.timestamp, delta);
        let histogram = &sample.histogram;
        let is_stale = is_stale(histogram.sum);
        // Of a stale sample nothing counts but its sum.
        let totals = if is_stale { [0.0; 2] } else { [histogram.count, histogram.zero_count] };
        for (writer, count) in self.totals.iter_mut().zip(totals) {
            if is_first { writer.put_first_total(out, count) } else { writer.put_next(out, count) }
        }
        if is_first {
            self.sum.put_first_total(out, histogram.sum);
        } else {
            self.sum.put_next(out, histogram.sum);
        }
        if is_stale && !is_first {
            return;
        }
        let (positive, negative) = counts.split_at_mut(self.positive);
        C::prepare(positive);
        C::prepare(negative);
        for (writer, count) in self.buckets.iter_mut().zip(counts.iter()) {
            if is_first { writer.put_first_bucket(out, *count) } else { writer.put_next(out, *count) }
        }
    }
}
