//! `thanos.SeriesResponse` messages written by hand: chunk bytes are copied once into the frame, and by the transport.

use bytes::{BufMut, Bytes, BytesMut};

use crate::labels::Labels;
use crate::series::{Chunk, Series};

// Field keys (number << 3 | wire type) of the messages in proto/thanos/store.proto.
const RESPONSE_SERIES: u8 = 0x0a;
const RESPONSE_WARNING: u8 = 0x12;
const RESPONSE_BATCH: u8 = 0x22;
const BATCH_SERIES: u8 = 0x0a;
const SERIES_LABELS: u8 = 0x0a;
const SERIES_CHUNKS: u8 = 0x12;
const LABEL_NAME: u8 = 0x0a;
const LABEL_VALUE: u8 = 0x12;
const AGGREGATE_MIN_TIME: u8 = 0x08;
const AGGREGATE_MAX_TIME: u8 = 0x10;
const AGGREGATE_RAW: u8 = 0x1a;
const CHUNK_TYPE: u8 = 0x08;
const CHUNK_DATA: u8 = 0x12;

/// A frame with one series.
pub(super) fn series(series: &Series) -> Bytes {
    let body = Body::of(series);
    let mut out = BytesMut::with_capacity(body.length + 12);
    nested(&mut out, RESPONSE_SERIES, body.length);
    body.write(&mut out);
    out.freeze()
}

/// A frame with a batch of series.
pub(super) fn batch(list: &[Series]) -> Bytes {
    let bodies: Vec<_> = list.iter().map(Body::of).collect();
    let length = bodies.iter().map(|body| nested_length(body.length)).sum();
    let mut out = BytesMut::with_capacity(length + 12);
    nested(&mut out, RESPONSE_BATCH, length);
    for body in &bodies {
        nested(&mut out, BATCH_SERIES, body.length);
        body.write(&mut out);
    }
    out.freeze()
}

/// A frame with a warning.
pub(super) fn warning(text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 12);
    nested(&mut out, RESPONSE_WARNING, text.len());
    out.put_slice(text.as_bytes());
    out.freeze()
}

/// A series and the lengths of its parts, which must be known before they are written.
struct Body<'a> {
    labels: &'a Labels,
    /// Chunks of all lanes by time.
    chunks: Vec<&'a Chunk>,
    length: usize,
}

impl<'a> Body<'a> {
    fn of(series: &'a Series) -> Self {
        let mut chunks: Vec<&Chunk> = series.lanes.iter().flat_map(|lane| &lane.chunks).collect();
        chunks.sort_unstable();
        chunks.dedup();
        let labels: usize = series.labels.iter().map(|(name, value)| nested_length(label_length(name, value))).sum();
        let length = labels + chunks.iter().map(|chunk| nested_length(aggregate_length(chunk))).sum::<usize>();
        Self { labels: &series.labels, chunks, length }
    }

    fn write(&self, out: &mut BytesMut) {
        for (name, value) in self.labels {
            nested(out, SERIES_LABELS, label_length(name, value));
            nested(out, LABEL_NAME, name.len());
            out.put_slice(name.as_bytes());
            nested(out, LABEL_VALUE, value.len());
            out.put_slice(value.as_bytes());
        }
        for chunk in &self.chunks {
            nested(out, SERIES_CHUNKS, aggregate_length(chunk));
            field(out, AGGREGATE_MIN_TIME, chunk.min_time as u64);
            field(out, AGGREGATE_MAX_TIME, chunk.max_time as u64);
            nested(out, AGGREGATE_RAW, raw_length(chunk));
            // The StoreAPI counts from 0, a block from 1.
            field(out, CHUNK_TYPE, u64::from(chunk.encoding as u8 - 1));
            nested(out, CHUNK_DATA, chunk.data.len());
            out.put_slice(&chunk.data);
        }
    }
}

fn label_length(name: &str, value: &str) -> usize {
    nested_length(name.len()) + nested_length(value.len())
}

fn aggregate_length(chunk: &Chunk) -> usize {
    2 + varint_length(chunk.min_time as u64) + varint_length(chunk.max_time as u64) + nested_length(raw_length(chunk))
}

/// Without the hash, which is optional: a Thanos Querier computes it where it needs one.
fn raw_length(chunk: &Chunk) -> usize {
    2 + nested_length(chunk.data.len())
}

/// Bytes of a length-delimited field of `length` bytes, key included.
fn nested_length(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn nested(out: &mut BytesMut, key: u8, length: usize) {
    field(out, key, length as u64);
}

fn field(out: &mut BytesMut, key: u8, mut value: u64) {
    out.put_u8(key);
    while value > 0x7f {
        out.put_u8(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
