//! Chunks: samples of one series, compressed. Pure functions from bytes to columns and back; no I/O, no checksums (the
//! block reader does those).
//!
//! Invariant: foreign bytes end as a [`StoreError`], never as a panic, and never make a decoder reserve more than they
//! can hold.

use crate::error::StoreError;
use crate::samples::Samples;
use crate::series::{Chunk, Encoding, Millis};

pub(crate) mod bits;
mod histogram;
mod start_times;
pub mod xor;
mod xor2;

pub use xor::XorEncoder;

/// Samples a chunk, as Prometheus' head cuts them (tsdb/head.go, `DefaultSamplesPerChunk`).
pub const SAMPLES_PER_CHUNK: usize = 120;

/// Whether `data` can be a chunk of this encoding, by its head and its length. It takes a few nanoseconds, so that
/// sources look at every chunk that they receive: what is spoilt is then the failure of one source, and not of the
/// query that decodes it. What only decoding finds is not found here.
pub fn is_plausible(encoding: Encoding, data: &[u8]) -> bool {
    match encoding {
        Encoding::Xor => xor::is_plausible(data),
        Encoding::Xor2 => xor2::is_plausible(data),
        Encoding::Histogram | Encoding::FloatHistogram | Encoding::HistogramSt | Encoding::FloatHistogramSt => {
            histogram::is_plausible(encoding, data)
        }
    }
}

/// Appends all samples of `chunk` to `out`. Whether they are later than what `out` holds is the caller's part, and so
/// is taking back the part of a chunk that turned out to be damaged: on an error `out` is as before.
///
/// Errors: `Corrupt` where the bytes break their format, `Unsupported` for histograms of an unknown schema.
pub fn decode(chunk: &Chunk, out: &mut Samples) -> Result<(), StoreError> {
    decode_range(chunk, Millis::MIN, Millis::MAX, out)
}

/// Appends the samples of `chunk` within `[min_time, max_time]`, ms, to `out`: as [`decode`] otherwise.
pub fn decode_range(chunk: &Chunk, min_time: Millis, max_time: Millis, out: &mut Samples) -> Result<(), StoreError> {
    let start = out.timestamps.len();
    match chunk.encoding {
        Encoding::Xor => {
            xor::decode(&chunk.data, max_time, &mut out.timestamps, &mut out.values)?;
            if !out.start_timestamps.is_empty() {
                out.start_timestamps.resize(out.timestamps.len(), 0);
            }
        }
        Encoding::Xor2 => xor2::decode(&chunk.data, max_time, out)?,
        encoding => return histogram::decode(encoding, &chunk.data, (min_time, max_time), &mut out.histograms),
    }
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

/// Encodes floats as XOR chunks of at most [`SAMPLES_PER_CHUNK`] samples. Times must ascend strictly; of two columns of
/// different length the longer one's end is left out.
pub fn encode(timestamps: &[Millis], values: &[f64]) -> Vec<Chunk> {
    let columns = timestamps.chunks(SAMPLES_PER_CHUNK).zip(values.chunks(SAMPLES_PER_CHUNK));
    columns.filter_map(|(times, values)| encode_floats(times, values, None)).collect()
}

/// Memory that decoding `chunk` takes at most, bytes: what its samples hold and what is needed on the way. It reads no
/// more than the head and layout of the chunk.
pub fn decoded_bytes_max(chunk: &Chunk) -> usize {
    let floats =
        |bytes: usize| chunk.data.first_chunk().map_or(0, |head| usize::from(u16::from_be_bytes(*head)) * bytes);
    match chunk.encoding {
        Encoding::Xor => floats(16),
        Encoding::Xor2 => floats(24),
        encoding => histogram::decoded_bytes_max(encoding, &chunk.data),
    }
}

/// How histograms are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramForm {
    /// In chunks of floats.
    Floats,
    /// In chunks of integers, where all counts of a chunk are whole; else in chunks of floats.
    Integers,
}

impl HistogramForm {
    /// That of the chunks of an encoding.
    fn of(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Histogram | Encoding::HistogramSt => Self::Integers,
            _ => Self::Floats,
        }
    }
}

/// As [`encode_as`], with histograms in chunks of floats.
pub fn encode_samples(samples: &Samples) -> Vec<Chunk> {
    encode_as(samples, HistogramForm::Floats)
}

/// Encodes samples of both kinds: floats as XOR chunks or, where any has a start timestamp, as XOR2 ones; histograms in
/// the chunks of `form`, with start timestamps or without. A chunk has at most [`SAMPLES_PER_CHUNK`] samples, and ends
/// where the kind changes, where a histogram counter is reset and where resolution or bounds change. What the samples
/// say beside their values is what the chunks say when they are decoded: all hints but those for gauges come from the
/// cuts.
///
/// Times must ascend strictly, over both kinds together.
pub fn encode_as(samples: &Samples, form: HistogramForm) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let starts = Some(&samples.start_timestamps[..]).filter(|starts| starts.iter().any(|start| *start != 0));
    let mut histograms = &samples.histograms[..];
    let mut first = 0;
    while first < samples.timestamps.len() || !histograms.is_empty() {
        let until = histograms.first().map_or(Millis::MAX, |sample| sample.timestamp);
        let end = samples.timestamps.partition_point(|time| *time < until).max(first);
        // The last time of all is no bound.
        let end = if histograms.is_empty() { samples.timestamps.len() } else { end };
        for start in (first..end).step_by(SAMPLES_PER_CHUNK) {
            let part = start..end.min(start + SAMPLES_PER_CHUNK);
            let starts = starts.map(|starts| &starts[part.clone()]);
            chunks.extend(encode_floats(&samples.timestamps[part.clone()], &samples.values[part], starts));
        }
        first = end;
        let next = samples.timestamps.get(first);
        let count = next.map_or(histograms.len(), |next| histograms.partition_point(|h| h.timestamp <= *next));
        let (run, rest) = histograms.split_at(count);
        histogram::encode(run, form, &mut chunks);
        histograms = rest;
    }
    chunks
}

/// Encodes samples that came out of one chunk, of the encoding `before`, as one chunk again, however many they are:
/// without those that were taken out since, or without their start timestamps. None where there are none.
pub fn encode_again(samples: &Samples, before: Encoding) -> Option<Chunk> {
    let starts = Some(&samples.start_timestamps[..]).filter(|starts| starts.iter().any(|start| *start != 0));
    encode_floats(&samples.timestamps, &samples.values, starts)
        .or_else(|| histogram::encode_chunk(&samples.histograms, HistogramForm::of(before)))
}

fn encode_floats(timestamps: &[Millis], values: &[f64], starts: Option<&[Millis]>) -> Option<Chunk> {
    debug_assert!(timestamps.is_sorted_by(|a, b| a < b), "times of a chunk do not ascend");
    let count = timestamps.len().min(values.len());
    let (min_time, max_time) = (*timestamps.first()?, *timestamps.get(count.checked_sub(1)?)?);
    let samples = timestamps.iter().zip(values);
    let Some(starts) = starts else {
        let mut encoder = XorEncoder::new();
        samples.for_each(|(time, value)| encoder.push(*time, *value));
        return Some(Chunk { min_time, max_time, encoding: Encoding::Xor, data: encoder.finish() });
    };
    let mut encoder = xor2::Encoder::new();
    samples.zip(starts).for_each(|((time, value), start)| encoder.push(*time, *value, *start));
    Some(Chunk { min_time, max_time, encoding: Encoding::Xor2, data: encoder.finish() })
}
