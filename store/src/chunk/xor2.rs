//! XOR2 chunks: floats at times, with start timestamps (chunks.md 3.2; tsdb/chunkenc/xor2.go). Stale markers take a
//! code of their own and leave the value alone from which the next one differs.
//!
//! [`decode`] works like that of [`super::xor`]: registers, one window of bits a sample, runs without change at once.

use std::iter::once;

use bytes::Bytes;

use super::bits::{BitWriter, Bits, WINDOW, unzigzag};
use super::start_times::{StartTimes, StartTimesWriter};
use super::xor::{ValueWriter, Window, fault, run_ends_by, sample_count};
use crate::error::StoreError;
use crate::samples::{STALE_BITS, Samples, is_stale};
use crate::series::Millis;

/// Bytes before the bit stream: the number of samples, big-endian, and the head of the start timestamps.
const HEAD: usize = 3;

/// Samples that a chunk can count.
const SAMPLES_MAX: usize = u16::MAX as usize;

/// Samples without any change, one bit each, from which on they are decoded together.
const RUN_MIN: u32 = 8;

/// Fewest bits of the first sample: one byte of time and the value.
const FIRST_BITS_MIN: usize = 8 + 64;

/// Whether so many bits can hold so many samples, of which all but the first take one at least.
fn fits(count: usize, bits: usize) -> bool {
    count == 0 || bits >= FIRST_BITS_MIN + (count - 1)
}

/// Whether `data` has a head, and is long enough for the number of samples there.
pub(super) fn is_plausible(data: &[u8]) -> bool {
    data.len() >= HEAD && sample_count(data).is_some_and(|count| fits(count, (data.len() - HEAD) * 8))
}

/// Appends the samples of a chunk up to the time `max_time` (inclusive, ms) to the floats of `out`. Stale markers come
/// bit by bit. On an error `out` is as before.
///
/// Errors: [`Corrupt`](crate::StoreErrorKind::Corrupt), where [`super::xor::decode`] has them.
pub(super) fn decode(data: &[u8], max_time: Millis, out: &mut Samples) -> Result<(), StoreError> {
    let (Some(count), Some(head)) = (sample_count(data), data.get(HEAD - 1)) else {
        return Err(corrupt("shorter than its head", 0, 0));
    };
    if count == 0 {
        return Ok(());
    }
    let bits = Bits::new(data.get(HEAD..).unwrap_or_default());
    if !fits(count, bits.len()) {
        return Err(corrupt("too short for its number of samples", 0, count));
    }
    let start = out.timestamps.len();
    debug_assert_eq!(start, out.values.len(), "columns of different length");
    let had_starts = !out.start_timestamps.is_empty();
    out.timestamps.resize(start + count, 0);
    out.values.resize(start + count, 0.0);
    let columns = Columns { times: &mut out.timestamps[start..], values: &mut out.values[start..] };
    let mut starts = StartTimes::new(*head);
    let decoded = match starts.changes() {
        false => decode_into::<false>(bits, max_time, &mut starts, columns, &mut []),
        true => {
            out.start_timestamps.resize(start + count, 0);
            decode_into::<true>(bits, max_time, &mut starts, columns, &mut out.start_timestamps[start..])
        }
    };
    let kept = *decoded.as_ref().unwrap_or(&0);
    let has_any = |starts: Option<&[Millis]>| starts.is_some_and(|starts| starts.iter().any(|start| *start != 0));
    out.timestamps.truncate(start + kept);
    out.values.truncate(start + kept);
    if kept > 0 && !starts.changes() && starts.start != 0 {
        // All samples have the one of the first.
        out.start_timestamps.resize(start, 0);
        out.start_timestamps.resize(start + kept, starts.start);
    } else if had_starts || has_any(out.start_timestamps.get(start..start + kept)) {
        out.start_timestamps.resize(start + kept, 0);
    } else {
        out.start_timestamps.clear();
    }
    decoded.map(|_| ())
}

/// Columns as long as the chunk has samples.
struct Columns<'a> {
    times: &'a mut [Millis],
    values: &'a mut [f64],
}

/// Fills the columns, and `starts_out` (as long as they are) if samples behind the first carry start timestamps.
/// Returns how many are not later than `max_time`.
fn decode_into<const STARTS: bool>(
    bits: Bits<'_>,
    max_time: Millis,
    starts: &mut StartTimes,
    Columns { times, values }: Columns<'_>,
    starts_out: &mut [Millis],
) -> Result<usize, StoreError> {
    let count = times.len();
    let (Some((first_time, times)), Some((first_value, values))) = (times.split_first_mut(), values.split_first_mut())
    else {
        return Ok(0);
    };
    let no_time = |sample| corrupt("has no time", sample, count);
    let no_start = || corrupt("has no start timestamp", 0, count);
    let (raw, at) = bits.uvarint(0).ok_or_else(|| no_time(0))?;
    let mut time = unzigzag(raw);
    let mut value = Value::new(bits.get(at, 64));
    let mut at = starts.read_first(bits, at + 64, time).ok_or_else(no_start)?;
    *first_time = time;
    *first_value = f64::from_bits(value.bits);
    if STARTS {
        starts_out[0] = starts.start;
    }
    if time > max_time || count == 1 {
        return if at > bits.len() { Err(broken(at, bits, 0, count)) } else { Ok(usize::from(time <= max_time)) };
    }
    let (raw, next) = bits.uvarint(at).ok_or_else(|| no_time(1))?;
    let mut delta = raw as i64;
    let mut kept = 1;
    // The second sample has a delta of its own kind, and then a value like one whose delta has changed.
    let mut is_second = true;
    at = next;
    let mut rest = times.iter_mut().zip(values);
    while let Some((time_out, value_out)) = rest.next() {
        let ahead = bits.window(at);
        if is_second {
            is_second = false;
            at = value.read(bits, at, ahead);
        } else if !STARTS && ahead >> (64 - RUN_MIN) == 0 {
            let run = (ahead.leading_zeros().min(WINDOW) as usize).min(count - kept);
            if run_ends_by(max_time, time, delta, run) {
                let unchanged = f64::from_bits(value.baseline);
                for (time_out, value_out) in once((time_out, value_out)).chain(rest.by_ref().take(run - 1)) {
                    time += delta;
                    *time_out = time;
                    *value_out = unchanged;
                }
                kept += run;
                at += run;
                continue;
            }
            value.bits = value.baseline;
            at += 1;
        } else {
            at = value.read_joint(bits, at, ahead, &mut delta);
        }
        let before = time;
        time = time.wrapping_add(delta);
        value.is_broken |= time <= before;
        if STARTS {
            at = starts.read(bits, at, kept, before);
            starts_out[kept] = starts.start;
        }
        if time > max_time {
            break;
        }
        kept += 1;
        *time_out = time;
        *value_out = f64::from_bits(value.bits);
    }
    if value.is_broken || at > bits.len() {
        return Err(broken(at, bits, kept, count));
    }
    Ok(kept)
}

/// The value of the sample that the decoder is at.
struct Value {
    bits: u64,
    /// The last one that was no stale marker.
    baseline: u64,
    window: Window,
    /// A window was impossible, or times did not ascend.
    is_broken: bool,
}

impl Value {
    fn new(bits: u64) -> Self {
        let baseline = if bits == STALE_BITS { 0 } else { bits };
        Self { bits, baseline, window: Window::default(), is_broken: false }
    }

    /// Reads a sample's change of delta and its value at bit `at`, where `ahead` lies. Returns the position behind
    /// them.
    #[inline(always)]
    fn read_joint(&mut self, bits: Bits<'_>, at: usize, ahead: u64, delta: &mut i64) -> usize {
        let (change, next) = match ahead.leading_ones() {
            0 => {
                self.bits = self.baseline;
                return at + 1;
            }
            1 if ahead >> 61 & 1 == 0 => return self.read_bits(bits, at + 3, ahead << 3),
            1 => return self.read_opened(bits, at + 3),
            // Ordinary two's complement, unlike the fields of all other encodings.
            2 => ((ahead << 3) as i64 >> (64 - 13), at + 3 + 13),
            3 => ((ahead << 4) as i64 >> (64 - 20), at + 4 + 20),
            4 => (bits.get(at + 5, 64) as i64, at + 5 + 64),
            _ => {
                self.bits = STALE_BITS;
                return at + 5;
            }
        };
        *delta = delta.wrapping_add(change);
        self.read(bits, next, bits.window(next))
    }

    /// Reads a value that may be unchanged or stale.
    #[inline(always)]
    fn read(&mut self, bits: Bits<'_>, at: usize, ahead: u64) -> usize {
        match ahead.leading_ones() {
            0 => {
                self.bits = self.baseline;
                at + 1
            }
            1 => self.read_bits(bits, at + 2, ahead << 2),
            2 => self.read_opened(bits, at + 3),
            _ => {
                self.bits = STALE_BITS;
                at + 3
            }
        }
    }

    #[inline(always)]
    fn read_opened(&mut self, bits: Bits<'_>, at: usize) -> usize {
        self.window = Window::read(bits.window(at));
        self.is_broken |= self.window.is_impossible();
        let at = at + Window::BITS;
        self.read_bits(bits, at, bits.window(at))
    }

    /// Reads the bits of the open window; at most three bits of `ahead` are lacking.
    #[inline(always)]
    fn read_bits(&mut self, bits: Bits<'_>, at: usize, ahead: u64) -> usize {
        let Window { leading, width, mask } = self.window;
        let ahead = if width > WINDOW - 3 { bits.get(at, 64) } else { ahead };
        self.baseline ^= ahead >> leading & mask;
        self.bits = self.baseline;
        at + width as usize
    }
}

#[cold]
fn broken(at: usize, bits: Bits<'_>, sample: usize, count: usize) -> StoreError {
    corrupt(fault(at, bits), sample, count)
}

#[cold]
fn corrupt(what: &str, sample: usize, count: usize) -> StoreError {
    StoreError::corrupt(format!("decode XOR2 chunk: {what} (after {sample} of {count} samples)"))
}

/// Writes an XOR2 chunk, byte for byte as Prometheus' appender does (tsdb/chunkenc/xor2.go, `xor2Appender`).
pub(super) struct Encoder {
    bits: BitWriter,
    count: usize,
    time: Millis,
    delta: i64,
    value: ValueWriter,
    starts: StartTimesWriter,
}

impl Encoder {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; HEAD]);
        let (value, starts) = (ValueWriter::default(), StartTimesWriter::default());
        Self { bits: BitWriter::new(bytes), count: 0, time: 0, delta: 0, value, starts }
    }

    /// Appends a sample, which must be later than the one before; 0 for an unknown start timestamp. A chunk counts at
    /// most 65,535 samples.
    pub(super) fn push(&mut self, time: Millis, value: f64, start: Millis) {
        assert!(self.count < SAMPLES_MAX, "an XOR2 chunk of more than {SAMPLES_MAX} samples");
        let delta = time.wrapping_sub(self.time);
        match self.count {
            0 => {
                self.bits.put_varint(time);
                self.bits.put(value.to_bits(), 64);
                self.value.bits = if is_stale(value) { 0 } else { value.to_bits() };
            }
            1 => {
                self.bits.put_uvarint(delta as u64);
                self.put_value(value);
            }
            _ => self.put_joint(delta.wrapping_sub(self.delta), value),
        }
        self.starts.put(&mut self.bits, self.count, (self.time, time), start);
        self.delta = if self.count == 0 { 0 } else { delta };
        self.time = time;
        self.count += 1;
    }

    /// The chunk.
    pub(super) fn finish(self) -> Bytes {
        let mut bytes = self.bits.finish();
        bytes[..HEAD - 1].copy_from_slice(&(self.count as u16).to_be_bytes());
        bytes[HEAD - 1] = self.starts.head;
        bytes.into()
    }

    fn put_joint(&mut self, change: i64, value: f64) {
        let fits = |width: u32| (-(1 << (width - 1))..1 << (width - 1)).contains(&change);
        let (prefix, length, width) = match change {
            0 => return self.put_steady(value),
            _ if fits(13) => (0b110, 3, 13),
            _ if fits(20) => (0b1110, 4, 20),
            _ => (0b11110, 5, 64),
        };
        self.bits.put(prefix, length);
        self.bits.put(change as u64, width);
        self.put_value(value);
    }

    /// A sample whose delta is that of the one before.
    fn put_steady(&mut self, value: f64) {
        let changed = value.to_bits() ^ self.value.bits;
        if is_stale(value) {
            self.bits.put(0b11111, 5);
            return;
        }
        self.value.bits = value.to_bits();
        if changed == 0 {
            self.bits.put(0, 1);
        } else if let Some(width) = self.value.fit(changed) {
            self.bits.put(0b100, 3);
            self.value.put_changed(&mut self.bits, changed, width);
        } else {
            self.bits.put(0b101, 3);
            self.value.put_opened(&mut self.bits, changed);
        }
    }

    fn put_value(&mut self, value: f64) {
        let changed = value.to_bits() ^ self.value.bits;
        if is_stale(value) {
            self.bits.put(0b111, 3);
            return;
        }
        self.value.bits = value.to_bits();
        if changed == 0 {
            self.bits.put(0, 1);
        } else if let Some(width) = self.value.fit(changed) {
            self.bits.put(0b10, 2);
            self.value.put_changed(&mut self.bits, changed, width);
        } else {
            self.bits.put(0b110, 3);
            self.value.put_opened(&mut self.bits, changed);
        }
    }
}

#[cfg(test)]
mod tests;
