//! Chunks of native histograms: integer and float ones, with and without start timestamps (chunks.md 4;
//! tsdb/chunkenc/histogram.go, float_histogram.go). All become float histograms.
//!
//! Nothing is reserved that the bytes cannot hold: each bucket of each sample takes one bit at least, which is compared
//! with what is left before a histogram is made.

use std::sync::Arc;

use self::layout::Layout;
use self::number::{Float, Integer, Number};
use super::bits::Bits;
use super::start_times::StartTimes;
use super::xor::Value;
use crate::error::StoreError;
use crate::histogram::{CounterResetHint, FINEST_SCHEMA, Histogram, Span};
use crate::samples::{HistogramSample, STALE_BITS};
use crate::series::{Encoding, Millis};

mod encode;
mod layout;
mod number;
#[cfg(test)]
mod tests;
mod write;

pub(super) use encode::{encode, encode_chunk};

/// Bytes before the bit stream.
const HEAD: usize = 3;

/// Counter reset heads: bits of a byte.
const RESET_MASK: u8 = 0b1100_0000;
const GAUGE: u8 = 0b1100_0000;
const RESET: u8 = 0b1000_0000;
const NOT_RESET: u8 = 0b0100_0000;

/// The head of a chunk.
struct Head {
    count: usize,
    /// Those bits that say what is known of a counter reset.
    reset: u8,
    /// The head of the start timestamps, 0 in chunks without.
    starts: u8,
}

impl Head {
    fn read(encoding: Encoding, data: &[u8]) -> Option<Self> {
        let [high, low, last] = *data.first_chunk::<HEAD>()?;
        Some(match encoding {
            Encoding::HistogramSt | Encoding::FloatHistogramSt => {
                let count = usize::from(u16::from_be_bytes([high & !RESET_MASK, low]));
                Self { count, reset: high & RESET_MASK, starts: last }
            }
            _ => Self { count: usize::from(u16::from_be_bytes([high, low])), reset: last & RESET_MASK, starts: 0 },
        })
    }

    /// Whether so many bits can hold so many samples: threshold, schema and numbers of spans first, then time, count,
    /// zero count and sum.
    fn fits(&self, encoding: Encoding, bits: usize) -> bool {
        let first = match encoding {
            Encoding::Histogram | Encoding::HistogramSt => 1 + 1 + 1 + 64,
            _ => 1 + 3 * 64,
        };
        self.count == 0 || bits >= 8 + 1 + 1 + 1 + first + SAMPLE_BITS_MIN * (self.count - 1)
    }

    fn hint(&self, index: usize) -> CounterResetHint {
        match index {
            _ if self.reset == GAUGE => CounterResetHint::Gauge,
            0 => CounterResetHint::Unknown,
            _ => CounterResetHint::NotReset,
        }
    }
}

/// Fewest bits of a sample behind the first: time, count, zero count, sum.
const SAMPLE_BITS_MIN: usize = 4;

/// Whether `data` has a head, and is long enough for the number of samples there.
pub(super) fn is_plausible(encoding: Encoding, data: &[u8]) -> bool {
    Head::read(encoding, data).is_some_and(|head| head.fits(encoding, (data.len() - HEAD) * 8))
}

/// Appends the samples of a chunk within `[min_time, max_time]`, ms, to `out`. On an error `out` is as before.
///
/// Hints (tsdb/chunkenc/histogram_meta.go, `counterResetHint`): those of a gauge say so; else the first sample of the
/// chunk has none whatever the head says, since the chunk before may not be the one that it was compared with, and the
/// others are no resets. A stale sample is its sum and nothing else.
///
/// Errors: [`Corrupt`](crate::StoreErrorKind::Corrupt) where the bytes end too early, a layout is impossible, or times
/// do not ascend; [`Unsupported`](crate::StoreErrorKind::Unsupported) for an unknown schema.
pub(super) fn decode(
    encoding: Encoding,
    data: &[u8],
    (min_time, max_time): (Millis, Millis),
    out: &mut Vec<HistogramSample>,
) -> Result<(), StoreError> {
    let head = Head::read(encoding, data).ok_or_else(|| corrupt("shorter than its head", 0, 0))?;
    if head.count == 0 {
        return Ok(());
    }
    let bits = Bits::new(data.get(HEAD..).unwrap_or_default());
    if !head.fits(encoding, bits.len()) {
        return Err(corrupt("too short for its number of samples", 0, head.count));
    }
    let start = out.len();
    let decoded = match encoding {
        Encoding::Histogram | Encoding::HistogramSt => decode_into::<Integer>(&head, bits, (min_time, max_time), out),
        _ => decode_into::<Float>(&head, bits, (min_time, max_time), out),
    };
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

fn decode_into<N: Number>(
    head: &Head,
    bits: Bits<'_>,
    (min_time, max_time): (Millis, Millis),
    out: &mut Vec<HistogramSample>,
) -> Result<(), StoreError> {
    let (layout, at) = Layout::read(bits).map_err(|fault| fault.of(head.count))?;
    let ends_early = |sample| corrupt("ends too early", sample, head.count);
    let least = layout.buckets().saturating_mul(N::FIRST_BITS_MIN);
    if at.saturating_add(least) > bits.len() {
        return Err(ends_early(0));
    }
    let mut state = State::<N>::read_first(&layout, bits, at);
    let mut shape = Shape::of(&layout);
    let mut starts = StartTimes::new(head.starts);
    state.at = starts.read_first(bits, state.at, state.time).ok_or_else(|| ends_early(0))?;
    for index in 0.. {
        if state.at > bits.len() {
            return Err(ends_early(index));
        }
        if state.is_broken {
            let what = "has an impossible window or a time not later than the one before";
            return Err(corrupt(what, index, head.count));
        }
        if state.time > max_time {
            break;
        }
        if state.time >= min_time {
            let histogram = Arc::new(state.histogram(&mut shape, head.hint(index)));
            out.push(HistogramSample { timestamp: state.time, start_timestamp: starts.start, histogram });
        }
        if index + 1 == head.count {
            break;
        }
        let before = state.time;
        state.read_next(bits);
        state.at = starts.read(bits, state.at, index + 1, before);
    }
    Ok(())
}

/// Where a decoder is: the sample that it has read last.
struct State<N> {
    /// Position behind the sample.
    at: usize,
    time: Millis,
    delta: i64,
    count: N,
    zero_count: N,
    sum: Value,
    /// The positive buckets, then the negative ones.
    buckets: Vec<N>,
    /// A window was impossible, or times did not ascend.
    is_broken: bool,
}

impl<N: Number> State<N> {
    /// Reads the first sample, which has all its buckets even if it is stale.
    fn read_first(layout: &Layout, bits: Bits<'_>, at: usize) -> Self {
        let (time, at) = bits.varbit_int(at);
        let (count, at) = N::read_first_total(bits, at);
        let (zero_count, at) = N::read_first_total(bits, at);
        let sum = Value::new(bits.get(at, 64));
        let mut at = at + 64;
        let mut buckets = Vec::with_capacity(layout.buckets());
        for _ in 0..layout.buckets() {
            let (bucket, next) = N::read_first_bucket(bits, at);
            buckets.push(bucket);
            at = next;
        }
        Self { at, time, delta: 0, count, zero_count, sum, buckets, is_broken: false }
    }

    fn read_next(&mut self, bits: Bits<'_>) {
        let (change, at) = bits.varbit_int(self.at);
        self.delta = self.delta.wrapping_add(change);
        let before = self.time;
        self.time = before.wrapping_add(self.delta);
        let is_broken = &mut self.is_broken;
        let at = self.count.read_next(bits, at, is_broken);
        let at = self.zero_count.read_next(bits, at, is_broken);
        self.at = self.sum.read(bits, at, bits.window(at));
        *is_broken |= self.time <= before || self.sum.is_broken;
        if self.sum.bits != STALE_BITS {
            self.at = N::read_all(&mut self.buckets, bits, self.at, is_broken);
        }
    }

    fn is_stale(&self) -> bool {
        self.sum.bits == STALE_BITS
    }

    fn histogram(&self, shape: &mut Shape<'_>, counter_reset_hint: CounterResetHint) -> Histogram {
        if self.is_stale() {
            return Histogram::stale();
        }
        let layout = shape.layout;
        let (positive, negative) = self.buckets.split_at(layout.positive.buckets);
        let mut histogram = Histogram {
            counter_reset_hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.total(),
            count: self.count.total(),
            sum: f64::from_bits(self.sum.bits),
            positive_spans: layout.positive.spans.clone(),
            negative_spans: layout.negative.spans.clone(),
            positive_buckets: N::counts(positive).collect(),
            negative_buckets: N::counts(negative).collect(),
            custom_bounds: layout.bounds.clone(),
        };
        if layout.schema > FINEST_SCHEMA {
            histogram.reduce_to(FINEST_SCHEMA);
            let [positive, negative] = shape
                .reduced
                .get_or_insert_with(|| [histogram.positive_spans.clone(), histogram.negative_spans.clone()]);
            histogram.positive_spans = positive.clone();
            histogram.negative_spans = negative.clone();
        }
        histogram
    }
}

/// Where the buckets of all samples of a chunk lie, which they share.
struct Shape<'a> {
    layout: &'a Layout,
    /// The spans at the finest resolution, where those of the chunk are finer: they follow from them alone. None before
    /// the first sample.
    reduced: Option<[Arc<[Span]>; 2]>,
}

impl<'a> Shape<'a> {
    fn of(layout: &'a Layout) -> Self {
        Self { layout, reduced: None }
    }
}

/// Memory that decoding a chunk takes at most, bytes: what its samples hold and what is needed on the way. 0 for one
/// that cannot be decoded.
pub(super) fn decoded_bytes_max(encoding: Encoding, data: &[u8]) -> usize {
    /// The counts of an `Arc`.
    const COUNTS_BYTES: usize = 16;
    let Some(head) = Head::read(encoding, data) else { return 0 };
    let bits = Bits::new(data.get(HEAD..).unwrap_or_default());
    let fits = |(layout, at): &(Layout, usize)| head.fits(encoding, bits.len()) && at + layout.buckets() <= bits.len();
    let Some((layout, _)) = Layout::read(bits).ok().filter(fits) else { return 0 };
    let sample = size_of::<HistogramSample>() + COUNTS_BYTES + size_of::<Histogram>();
    // A bucket of a sample takes a bit at least.
    let buckets = layout.buckets().saturating_mul(head.count).min(bits.len());
    let state = layout.buckets() * size_of::<Float>();
    layout.shared_bytes() + state + head.count * sample + buckets * size_of::<f64>()
}

#[cold]
fn corrupt(what: &str, sample: usize, count: usize) -> StoreError {
    StoreError::corrupt(format!("decode histogram chunk: {what} (after {sample} of {count} samples)"))
}
