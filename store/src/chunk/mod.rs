//! Chunks: samples of one series, compressed. Pure functions from bytes to columns and back; no I/O, no checksums (the
//! block reader does those).
//!
//! Invariant: foreign bytes end as a [`StoreError`], never as a panic, and never make a decoder reserve more than they can
//! hold.

use crate::error::StoreError;
use crate::samples::Samples;
use crate::series::{Chunk, Encoding, Millis};

pub(crate) mod bits;
pub mod xor;

pub use xor::XorEncoder;

/// Samples a chunk, as Prometheus' head cuts them (tsdb/head.go, `DefaultSamplesPerChunk`).
pub const SAMPLES_PER_CHUNK: usize = 120;

/// Whether `data` can be a chunk of this encoding, by its head and its length. It takes a few nanoseconds, so that sources
/// look at every chunk that they receive: what is spoilt is then the failure of one source, and not of the query that
/// decodes it. What only decoding finds is not found here.
pub fn is_plausible(encoding: Encoding, data: &[u8]) -> bool {
    match encoding {
        Encoding::Xor => xor::is_plausible(data),
        // The number of samples, and a byte that says how they lie.
        Encoding::Histogram
        | Encoding::FloatHistogram
        | Encoding::Xor2
        | Encoding::HistogramSt
        | Encoding::FloatHistogramSt => data.len() >= 3,
    }
}

/// Appends all samples of `chunk` to `out`. Whether they are later than what `out` holds is the caller's part, and so is
/// taking back the part of a chunk that turned out to be damaged: on an error `out` is as before.
///
/// Errors: `Corrupt` where the bytes break their format, `Unsupported` for encodings that are not read yet.
pub fn decode(chunk: &Chunk, out: &mut Samples) -> Result<(), StoreError> {
    decode_until(chunk, Millis::MAX, out)
}

/// Appends the samples of `chunk` within `[min_time, max_time]`, ms, to `out`: as [`decode`] otherwise.
pub fn decode_range(chunk: &Chunk, min_time: Millis, max_time: Millis, out: &mut Samples) -> Result<(), StoreError> {
    let start = out.timestamps.len();
    decode_until(chunk, max_time, out)?;
    let early = out.timestamps[start..].partition_point(|time| *time < min_time);
    if early > 0 {
        out.timestamps.drain(start..start + early);
        out.values.drain(start..start + early);
        if !out.start_timestamps.is_empty() {
            out.start_timestamps.drain(start..start + early);
        }
    }
    Ok(())
}

fn decode_until(chunk: &Chunk, max_time: Millis, out: &mut Samples) -> Result<(), StoreError> {
    match chunk.encoding {
        Encoding::Xor => {
            xor::decode(&chunk.data, max_time, &mut out.timestamps, &mut out.values)?;
            if !out.start_timestamps.is_empty() {
                out.start_timestamps.resize(out.timestamps.len(), 0);
            }
            Ok(())
        }
        Encoding::Histogram
        | Encoding::FloatHistogram
        | Encoding::Xor2
        | Encoding::HistogramSt
        | Encoding::FloatHistogramSt => {
            Err(StoreError::unsupported(format_args!("chunks of encoding {}", chunk.encoding)))
        }
    }
}

/// Encodes floats as XOR chunks of at most [`SAMPLES_PER_CHUNK`] samples. Times must ascend strictly; of two columns of
/// different length the longer one's end is left out.
pub fn encode(timestamps: &[Millis], values: &[f64]) -> Vec<Chunk> {
    let columns = timestamps.chunks(SAMPLES_PER_CHUNK).zip(values.chunks(SAMPLES_PER_CHUNK));
    columns.filter_map(|(times, values)| encode_one(times, values)).collect()
}

fn encode_one(timestamps: &[Millis], values: &[f64]) -> Option<Chunk> {
    debug_assert!(timestamps.is_sorted_by(|a, b| a < b), "times of a chunk do not ascend");
    let count = timestamps.len().min(values.len());
    let mut encoder = XorEncoder::new();
    for (time, value) in timestamps.iter().zip(values) {
        encoder.push(*time, *value);
    }
    Some(Chunk {
        min_time: *timestamps.first()?,
        max_time: *timestamps.get(count.checked_sub(1)?)?,
        encoding: Encoding::Xor,
        data: encoder.finish(),
    })
}
