//! What all samples of a histogram chunk have in common, as it stands before the first one (chunks.md 4.2;
//! tsdb/chunkenc/histogram_meta.go).

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::bits::{BitWriter, Bits};
use super::corrupt;
use crate::error::{StoreError, StoreErrorKind};
use crate::histogram::{CUSTOM_SCHEMA, Span};

/// Exponential schemas that can be read; those above [`FINEST_SCHEMA`](crate::histogram::FINEST_SCHEMA) are
/// reduced to it.
const READABLE: RangeInclusive<i32> = -9..=52;

/// Zero threshold byte of 2^0: the others follow.
const THRESHOLD_ONE: i32 = 244;

/// Fewest bits of a span and of a bound.
const SPAN_BITS_MIN: usize = 2;
const BOUND_BITS_MIN: usize = 5;

/// Bounds of custom buckets, at most: far more than anybody has, and few enough that each sample may be written with
/// them.
const BOUNDS_MAX: usize = 1 << 16;

/// Resolution, zero bucket, and where the buckets lie.
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Side,
    pub(super) negative: Side,
    pub(super) bounds: Arc<[f64]>,
}

/// The buckets of one sign.
pub(super) struct Side {
    /// Number of buckets in the chunk.
    pub(super) buckets: usize,
    /// Where they lie, without spans of no length.
    pub(super) spans: Arc<[Span]>,
}

/// Why a layout cannot be read.
pub(super) enum Fault {
    Corrupt(&'static str),
    Schema(i64),
}

impl Fault {
    /// As an error of a chunk of so many samples.
    pub(super) fn of(self, count: usize) -> StoreError {
        match self {
            Self::Corrupt(what) => corrupt(what, 0, count),
            // The text is that of model/histogram/generic.go, `InvalidSchemaError`.
            Self::Schema(schema) => StoreError::new(
                StoreErrorKind::Unsupported,
                format!(
                    "histogram has an unknown schema, which must be between -9 and 52 for exponential buckets, or -53 \
                     for custom buckets, got schema {schema}"
                ),
            ),
        }
    }
}

const ENDS_EARLY: Fault = Fault::Corrupt("ends within its layout");
const IMPOSSIBLE: Fault = Fault::Corrupt("has an impossible layout");

impl Layout {
    /// Reads the layout at the beginning; gives the position behind it.
    pub(super) fn read(bits: Bits<'_>) -> Result<(Self, usize), Fault> {
        let (zero_threshold, at) = read_zero_threshold(bits);
        let (schema, at) = bits.varbit_int(at);
        let known = i32::try_from(schema).ok().filter(|s| *s == CUSTOM_SCHEMA || READABLE.contains(s));
        let schema = known.ok_or(Fault::Schema(schema))?;
        let (positive, at) = Side::read(bits, at)?;
        let (negative, at) = Side::read(bits, at)?;
        let (bounds, at) = if schema == CUSTOM_SCHEMA { read_bounds(bits, at)? } else { (Arc::default(), at) };
        if at > bits.len() {
            return Err(ENDS_EARLY);
        }
        Ok((Self { schema, zero_threshold, positive, negative, bounds }, at))
    }

    /// Number of buckets of both sides.
    pub(super) fn buckets(&self) -> usize {
        self.positive.buckets + self.negative.buckets
    }

    /// Memory of what the samples share, bytes.
    pub(super) fn shared_bytes(&self) -> usize {
        size_of_val(&*self.positive.spans) + size_of_val(&*self.negative.spans) + size_of_val(&*self.bounds)
    }
}

impl Side {
    fn read(bits: Bits<'_>, at: usize) -> Result<(Self, usize), Fault> {
        let (count, mut at) = bits.varbit_uint(at);
        let left = bits.len().saturating_sub(at);
        let count = usize::try_from(count).ok().filter(|count| *count <= left / SPAN_BITS_MIN).ok_or(ENDS_EARLY)?;
        let mut spans = Vec::new();
        let (mut buckets, mut offset) = (0_usize, 0_i64);
        for _ in 0..count {
            let (length, next) = bits.varbit_uint(at);
            let (own, next) = bits.varbit_int(next);
            at = next;
            let length = u32::try_from(length).map_err(|_| IMPOSSIBLE)?;
            // A span of no length only moves the next one on.
            offset = offset.checked_add(own).ok_or(IMPOSSIBLE)?;
            if length == 0 {
                continue;
            }
            let gap = i32::try_from(offset).ok().filter(|gap| *gap >= 0 || spans.is_empty()).ok_or(IMPOSSIBLE)?;
            spans.push(Span { offset: gap, length });
            offset = 0;
            buckets = buckets.checked_add(length as usize).filter(|all| *all <= bits.len()).ok_or(ENDS_EARLY)?;
        }
        if end(&spans) > i64::from(i32::MAX) {
            return Err(IMPOSSIBLE);
        }
        Ok((Self { buckets, spans: spans.into() }, at))
    }
}

/// The index behind the last bucket.
fn end(spans: &[Span]) -> i64 {
    spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum()
}

fn read_zero_threshold(bits: Bits<'_>) -> (f64, usize) {
    match bits.get(0, 8) as i32 {
        0 => (0.0, 8),
        255 => (f64::from_bits(bits.get(8, 64)), 8 + 64),
        power => (f64::from_bits(((power - THRESHOLD_ONE + 1023) as u64) << 52), 8),
    }
}

fn read_bounds(bits: Bits<'_>, at: usize) -> Result<(Arc<[f64]>, usize), Fault> {
    let (count, mut at) = bits.varbit_uint(at);
    let left = bits.len().saturating_sub(at);
    let count = usize::try_from(count).ok().filter(|count| *count <= left / BOUND_BITS_MIN).ok_or(ENDS_EARLY)?;
    if count > BOUNDS_MAX {
        return Err(Fault::Corrupt("has too many bounds of buckets"));
    }
    let mut bounds = Vec::with_capacity(count);
    for _ in 0..count {
        let (thousandths, next) = bits.varbit_uint(at);
        if thousandths > 0 {
            bounds.push((thousandths - 1) as f64 / 1000.0);
            at = next;
        } else {
            bounds.push(f64::from_bits(bits.get(next, 64)));
            at = next + 64;
        }
    }
    Ok((bounds.into(), at))
}

/// What a writer puts before the first sample.
pub(super) struct Described<'a> {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) spans: [&'a [Span]; 2],
    pub(super) bounds: &'a [f64],
}

impl Described<'_> {
    pub(super) fn write(&self, out: &mut BitWriter) {
        write_zero_threshold(out, self.zero_threshold);
        out.put_varbit_int(i64::from(self.schema));
        for spans in self.spans {
            out.put_varbit_uint(spans.len() as u64);
            for span in spans {
                out.put_varbit_uint(u64::from(span.length));
                out.put_varbit_int(i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_SCHEMA {
            out.put_varbit_uint(self.bounds.len() as u64);
            self.bounds.iter().for_each(|bound| write_bound(out, *bound));
        }
    }
}

/// Powers of two take a byte.
fn write_zero_threshold(out: &mut BitWriter, threshold: f64) {
    let bits = threshold.to_bits();
    let byte = (bits >> 52) as i32 - 1023 + THRESHOLD_ONE;
    if bits == 0 {
        out.put(0, 8);
    } else if bits << 12 == 0 && (1..255).contains(&byte) {
        out.put(byte as u64, 8);
    } else {
        out.put(255, 8);
        out.put(bits, 64);
    }
}

/// Whole thousandths up to 2^25 - 2 take less than a float.
fn write_bound(out: &mut BitWriter, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    let is_small = (0.0..=33_554_430.0).contains(&thousandths);
    if is_small && ((thousandths as u64) as f64 / 1000.0).to_bits() == bound.to_bits() {
        out.put_varbit_uint(thousandths as u64 + 1);
    } else {
        out.put(0, 1);
        out.put(bound.to_bits(), 64);
    }
}
