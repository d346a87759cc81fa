//! XOR chunks: floats at times, each as its difference from the one before (layout: Prometheus
//! tsdb/docs/format/chunks.md; behaviour: tsdb/chunkenc/xor.go).
//!
//! [`decode`] keeps its whole state in registers and loads a 64-bit window once a sample, seldom twice: most samples
//! take a few bits. Samples that change nothing take two, and a window of them is decoded at once. It trusts nothing:
//! the count is compared with the bytes before anything is reserved, the position with the length, windows must be
//! possible and times must ascend.

use std::iter::once;

use bytes::Bytes;

use super::bits::{BitWriter, Bits, WINDOW, unzigzag};
use crate::error::StoreError;
use crate::series::Millis;

/// Bytes before the bit stream: the number of samples, big-endian.
const HEAD: usize = 2;

/// Samples that a chunk can count.
const SAMPLES_MAX: usize = u16::MAX as usize;

/// Samples without any change, two bits each, from which on they are decoded together.
const RUN_MIN: u32 = 8;

/// Fewest bits of the first sample: one byte of time and the value.
const FIRST_BITS_MIN: usize = 8 + 64;

/// Number of samples that the head of a chunk announces; None for fewer than two bytes.
pub fn sample_count(data: &[u8]) -> Option<usize> {
    data.first_chunk::<HEAD>().map(|head| usize::from(u16::from_be_bytes(*head)))
}

/// Whether so many bits can hold so many samples, of which all but the first take two at least.
fn fits(count: usize, bits: usize) -> bool {
    count == 0 || bits >= FIRST_BITS_MIN + 2 * (count - 1)
}

/// Whether `data` has a head, and is long enough for the number of samples there.
pub(super) fn is_plausible(data: &[u8]) -> bool {
    sample_count(data).is_some_and(|count| fits(count, (data.len() - HEAD) * 8))
}

/// Appends the samples of a chunk up to the time `max_time` (inclusive, ms) to two columns of equal length. Stale
/// markers come bit by bit. On an error the columns are as before.
///
/// Errors: [`Corrupt`](crate::StoreErrorKind::Corrupt) where the bytes end too early, a window of bits is impossible,
/// or times do not ascend. Bytes behind the last sample are not looked at, as upstream does not.
pub fn decode(
    data: &[u8],
    max_time: Millis,
    timestamps: &mut Vec<Millis>,
    values: &mut Vec<f64>,
) -> Result<(), StoreError> {
    let count = sample_count(data).ok_or_else(|| corrupt("shorter than its head", 0, 0))?;
    if count == 0 {
        return Ok(());
    }
    let bits = Bits::new(data.get(HEAD..).unwrap_or_default());
    if !fits(count, bits.len()) {
        return Err(corrupt("too short for its number of samples", 0, count));
    }
    let start = timestamps.len();
    debug_assert_eq!(start, values.len(), "columns of different length");
    timestamps.resize(start + count, 0);
    values.resize(start + count, 0.0);
    let decoded = decode_into(bits, max_time, &mut timestamps[start..], &mut values[start..]);
    let kept = *decoded.as_ref().unwrap_or(&0);
    timestamps.truncate(start + kept);
    values.truncate(start + kept);
    decoded.map(|_| ())
}

/// Fills the columns, both as long as the chunk has samples (at least one). Returns how many are not later than
/// `max_time`.
fn decode_into(
    bits: Bits<'_>,
    max_time: Millis,
    timestamps: &mut [Millis],
    values: &mut [f64],
) -> Result<usize, StoreError> {
    let count = timestamps.len();
    let (Some((first_time, times)), Some((first_value, values))) =
        (timestamps.split_first_mut(), values.split_first_mut())
    else {
        return Ok(0);
    };
    let (raw, mut at) = bits.uvarint(0).ok_or_else(|| corrupt("has no time", 0, count))?;
    let mut time = unzigzag(raw);
    let mut state = Value::new(bits.get(at, 64));
    at += 64;
    *first_time = time;
    *first_value = f64::from_bits(state.bits);
    if time > max_time || count == 1 {
        return if at > bits.len() { Err(broken(at, bits, 0, count)) } else { Ok(usize::from(time <= max_time)) };
    }
    let (raw, next) = bits.uvarint(at).ok_or_else(|| corrupt("has no time", 1, count))?;
    at = next;
    let mut delta = raw as i64;
    let mut kept = 1;
    let mut ahead = bits.window(at);
    let mut rest = times.iter_mut().zip(values);
    while let Some((time_out, value_out)) = rest.next() {
        if ahead >> (64 - 2 * RUN_MIN) == 0 {
            let run = (ahead.leading_zeros().min(WINDOW - 1) as usize / 2).min(count - kept);
            if run_ends_by(max_time, time, delta, run) {
                for (time_out, value_out) in once((time_out, value_out)).chain(rest.by_ref().take(run - 1)) {
                    time += delta;
                    *time_out = time;
                    *value_out = f64::from_bits(state.bits);
                }
                kept += run;
                at += 2 * run;
                // No change of the delta follows the last value of a chunk.
                state.end = at - 1;
                ahead = bits.window(at);
                continue;
            }
        }
        at = state.read(bits, at, ahead);
        let before = time;
        time = time.wrapping_add(delta);
        state.is_broken |= time <= before;
        if time > max_time {
            break;
        }
        kept += 1;
        *time_out = time;
        *value_out = f64::from_bits(state.bits);
        // On to the next sample's value.
        ahead = bits.window(at);
        if ahead >> 63 == 0 {
            ahead <<= 1;
            at += 1;
        } else {
            let (change, length) = delta_change(bits, at, ahead);
            delta = delta.wrapping_add(change);
            at += length as usize;
            ahead = bits.window(at);
        }
    }
    if state.is_broken || state.end > bits.len() {
        return Err(broken(state.end, bits, kept, count));
    }
    Ok(kept)
}

/// Whether so many samples, each `delta` after the one before, ascend from `time` on and end by `max_time`.
pub(super) fn run_ends_by(max_time: Millis, time: Millis, delta: i64, count: usize) -> bool {
    let end = delta.checked_mul(count as i64).and_then(|whole| time.checked_add(whole));
    delta > 0 && end.is_some_and(|end| end <= max_time)
}

/// A float that changes from sample to sample. Faults are gathered here and looked at once, at the end: bits behind the
/// end are 0, and there is no window of bits that cannot be shifted by.
#[derive(Clone, Copy)]
pub(super) struct Value {
    /// The float as it is now.
    pub(super) bits: u64,
    window: Window,
    /// Position behind it.
    end: usize,
    /// A window was impossible, or times did not ascend.
    pub(super) is_broken: bool,
}

impl Value {
    /// A float before its first change.
    pub(super) fn new(bits: u64) -> Self {
        Self { bits, window: Window::default(), end: 0, is_broken: false }
    }

    /// Reads the next value at bit `at`, where `ahead` is what lies there, [`WINDOW`] bits but one at least. Returns
    /// the position behind it.
    #[inline(always)]
    pub(super) fn read(&mut self, bits: Bits<'_>, mut at: usize, mut ahead: u64) -> usize {
        if ahead >> 63 == 0 {
            at += 1;
        } else {
            if ahead >> 62 & 1 == 0 {
                ahead <<= 2;
                at += 2;
            } else {
                self.open(ahead << 2);
                at += 2 + Window::BITS;
                ahead = bits.window(at);
            }
            let Window { leading, width, mask } = self.window;
            if width > WINDOW - 3 {
                ahead = bits.get(at, 64);
            }
            self.bits ^= ahead >> leading & mask;
            at += width as usize;
        }
        self.end = at;
        at
    }

    #[inline(always)]
    fn open(&mut self, ahead: u64) {
        self.window = Window::read(ahead);
        self.is_broken |= self.window.is_impossible();
    }
}

/// Which bits of a value may differ from the one before.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Equal bits before them.
    pub(super) leading: u32,
    /// Number of bits, 1 to 64.
    pub(super) width: u32,
    /// Their places.
    pub(super) mask: u64,
}

impl Window {
    /// Bits that describe a window.
    pub(super) const BITS: usize = 5 + 6;

    /// The window that 5 bits of leading equal bits and 6 bits of width describe.
    #[inline(always)]
    pub(super) fn read(ahead: u64) -> Self {
        let leading = (ahead >> 59) as u32;
        let width = match (ahead >> 53) as u32 & 0x3f {
            0 => 64,
            width => width,
        };
        Self { leading, width, mask: u64::MAX << (64 - width) >> leading }
    }

    /// Whether it is wider than a value.
    #[inline(always)]
    pub(super) fn is_impossible(self) -> bool {
        self.leading + self.width > 64
    }
}

impl Default for Window {
    /// Before the first window is opened; only foreign bytes ever use it.
    fn default() -> Self {
        Self { leading: 0, width: 64, mask: u64::MAX }
    }
}

/// The change of the delta between times, whose first bit is a 1, and the bits it takes.
#[inline(always)]
fn delta_change(bits: Bits<'_>, at: usize, ahead: u64) -> (i64, u32) {
    let (prefix, width) = match ahead.leading_ones() {
        1 => (2, 14),
        2 => (3, 17),
        3 => (4, 20),
        _ => return (bits.get(at + 4, 64) as i64, 4 + 64),
    };
    let raw = (ahead << prefix >> (64 - width)) as i64;
    // Half of the range itself counts as positive (tsdb/docs/bstream.md).
    let change = if raw > 1 << (width - 1) { raw - (1 << width) } else { raw };
    (change, prefix + width)
}

#[cold]
fn broken(at: usize, bits: Bits<'_>, sample: usize, count: usize) -> StoreError {
    corrupt(fault(at, bits), sample, count)
}

/// What is wrong with bits in which position `at` cannot be.
pub(super) fn fault(at: usize, bits: Bits<'_>) -> &'static str {
    match at > bits.len() {
        true => "ends too early",
        false => "has an impossible window or a time not later than the one before",
    }
}

#[cold]
fn corrupt(what: &str, sample: usize, count: usize) -> StoreError {
    StoreError::corrupt(format!("decode XOR chunk: {what} (after {sample} of {count} samples)"))
}

/// Writes an XOR chunk, byte for byte as Prometheus' appender does (tsdb/chunkenc/xor.go, `xorAppender`).
pub struct XorEncoder {
    bits: BitWriter,
    count: usize,
    time: Millis,
    delta: i64,
    value: ValueWriter,
}

/// Writes a float that changes from sample to sample.
#[derive(Clone, Copy, Default)]
pub(super) struct ValueWriter {
    /// The float before.
    pub(super) bits: u64,
    /// Leading and trailing equal bits of the open window; None before the first change.
    window: Option<(u32, u32)>,
}

impl XorEncoder {
    /// A chunk without samples.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; HEAD]);
        Self { bits: BitWriter::new(bytes), count: 0, time: 0, delta: 0, value: ValueWriter::default() }
    }

    /// Appends a sample, which must be later than the one before. A chunk counts at most 65,535 samples; it is the
    /// caller's part to cut before, as [`super::encode`] does.
    pub fn push(&mut self, time: Millis, value: f64) {
        assert!(self.count < SAMPLES_MAX, "an XOR chunk of more than {SAMPLES_MAX} samples");
        let bits = value.to_bits();
        let delta = time.wrapping_sub(self.time);
        match self.count {
            0 => {
                self.bits.put_varint(time);
                self.bits.put(bits, 64);
                self.value.bits = bits;
            }
            1 => {
                self.bits.put_uvarint(delta as u64);
                self.value.put(&mut self.bits, bits);
            }
            _ => {
                self.put_delta_change(delta.wrapping_sub(self.delta));
                self.value.put(&mut self.bits, bits);
            }
        }
        self.delta = if self.count == 0 { 0 } else { delta };
        self.time = time;
        self.count += 1;
    }

    /// Number of samples so far.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The chunk.
    pub fn finish(self) -> Bytes {
        let mut bytes = self.bits.finish();
        bytes[..HEAD].copy_from_slice(&(self.count as u16).to_be_bytes());
        bytes.into()
    }

    /// The smallest of the sizes that holds the change.
    fn put_delta_change(&mut self, change: i64) {
        let fits = |width: u32| -((1 << (width - 1)) - 1) <= change && change <= 1 << (width - 1);
        if change == 0 {
            self.bits.put(0, 1);
        } else if fits(14) {
            self.bits.put(0b10, 2);
            self.bits.put(change as u64, 14);
        } else if fits(17) {
            self.bits.put(0b110, 3);
            self.bits.put(change as u64, 17);
        } else if fits(20) {
            self.bits.put(0b1110, 4);
            self.bits.put(change as u64, 20);
        } else {
            self.bits.put(0b1111, 4);
            self.bits.put(change as u64, 64);
        }
    }
}

impl ValueWriter {
    /// Writes how `value` differs from the one before.
    pub(super) fn put(&mut self, out: &mut BitWriter, value: u64) {
        let changed = value ^ self.bits;
        self.bits = value;
        if changed == 0 {
            out.put(0, 1);
        } else if let Some(width) = self.fit(changed) {
            out.put(0b10, 2);
            self.put_changed(out, changed, width);
        } else {
            out.put(0b11, 2);
            self.put_opened(out, changed);
        }
    }

    /// Bits of the open window, if it holds the change, however wide it is.
    pub(super) fn fit(&self, changed: u64) -> Option<u32> {
        let (leading, trailing) = self.window?;
        let fits = changed.leading_zeros() >= leading && changed.trailing_zeros() >= trailing;
        fits.then_some(64 - leading - trailing)
    }

    /// Writes the bits of the open window.
    pub(super) fn put_changed(&self, out: &mut BitWriter, changed: u64, width: u32) {
        let trailing = self.window.map_or(0, |(_, trailing)| trailing);
        out.put(changed >> trailing, width);
    }

    /// Opens the narrowest window, and writes it.
    pub(super) fn put_opened(&mut self, out: &mut BitWriter, changed: u64) {
        // Five bits hold the leading ones.
        let leading = changed.leading_zeros().min(31);
        let trailing = changed.trailing_zeros();
        let width = 64 - leading - trailing;
        self.window = Some((leading, trailing));
        out.put(u64::from(leading), 5);
        // 64 does not fit and is written as 0.
        out.put(u64::from(width), 6);
        out.put(changed >> trailing, width);
    }
}

impl Default for XorEncoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
