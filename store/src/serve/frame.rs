//! `thanos.SeriesResponse` messages written by hand: chunk bytes are copied once, straight into the frame.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use tonic::metadata::MetadataMap;

use crate::chunk;
use crate::error::StoreError;
use crate::labels::Labels;
use crate::samples::Samples;
use crate::series::{Chunk, ENCODINGS_KEY, Encoding, Series};

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

/// Who reads the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The encodings 1 to 3, which have names in the StoreAPI: chunks of others are made anew, without start timestamps.
    Thanos,
    /// All of them, as they are.
    Masthead,
}

impl Reader {
    /// What a caller says in the metadata of its call.
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let most = metadata.get(ENCODINGS_KEY).and_then(|value| value.to_str().ok()?.parse::<u8>().ok());
        if most.is_some_and(|most| most >= Encoding::FloatHistogramSt as u8) { Self::Masthead } else { Self::Thanos }
    }

    /// The chunk as this reader can read it; None where no sample is in it.
    fn readable(self, chunk: &Chunk) -> Result<Option<Cow<'_, Chunk>>, StoreError> {
        if self == Self::Masthead || chunk.encoding <= Encoding::FloatHistogram {
            return Ok(Some(Cow::Borrowed(chunk)));
        }
        let mut samples = Samples::default();
        chunk::decode(chunk, &mut samples)?;
        samples.start_timestamps.clear();
        samples.histograms.iter_mut().for_each(|sample| sample.start_timestamp = 0);
        Ok(chunk::encode_again(&samples).map(Cow::Owned))
    }
}

/// A frame with one series.
///
/// Errors: those of decoding chunks that the reader does not know.
pub(super) fn series(series: &Series, reader: Reader) -> Result<Bytes, StoreError> {
    let body = Body::of(series, reader)?;
    let mut out = BytesMut::with_capacity(body.length + 12);
    nested(&mut out, RESPONSE_SERIES, body.length);
    body.write(&mut out);
    Ok(out.freeze())
}

/// A frame with a batch of series. Errors as for [`series`].
pub(super) fn batch<'a>(list: impl Iterator<Item = &'a Series>, reader: Reader) -> Result<Bytes, StoreError> {
    let bodies = list.map(|series| Body::of(series, reader)).collect::<Result<Vec<_>, _>>()?;
    let length = bodies.iter().map(|body| nested_length(body.length)).sum();
    let mut out = BytesMut::with_capacity(length + 12);
    nested(&mut out, RESPONSE_BATCH, length);
    for body in &bodies {
        nested(&mut out, BATCH_SERIES, body.length);
        body.write(&mut out);
    }
    Ok(out.freeze())
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
    chunks: Vec<Cow<'a, Chunk>>,
    length: usize,
}

impl<'a> Body<'a> {
    fn of(series: &'a Series, reader: Reader) -> Result<Self, StoreError> {
        let all = series.lanes.iter().flat_map(|lane| &lane.chunks);
        let mut chunks =
            all.filter_map(|chunk| reader.readable(chunk).transpose()).collect::<Result<Vec<_>, StoreError>>()?;
        chunks.sort_unstable();
        chunks.dedup();
        let labels: usize = series.labels.iter().map(|(name, value)| nested_length(label_length(name, value))).sum();
        let length = labels + chunks.iter().map(|chunk| nested_length(aggregate_length(chunk))).sum::<usize>();
        Ok(Self { labels: &series.labels, chunks, length })
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
