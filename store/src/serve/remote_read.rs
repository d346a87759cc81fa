//! Remote read, by which a Prometheus reads from us: requests decoded, answers encoded. Who is asked, and HTTP, are
//! others' business.
//!
//! Answers are one compressed message of samples, or a stream of frames of chunks. Chunks of a series that one lane
//! gave go through as they came; those of several lanes are deduplicated and made anew.

use masthead_proto::prometheus as proto;
use prost::Message as _;

use super::MATCHERS_BYTES_MAX;
use crate::budget::{Budget, LimitExceeded, Reservation};
use crate::chunk;
use crate::dedup::{self, Scratch, TimeRange};
use crate::error::{StoreError, StoreErrorKind};
use crate::histogram::{CounterResetHint, Histogram, Span};
use crate::labels::Labels;
use crate::matcher::{MatchOp, Matcher};
use crate::samples::{HistogramSample, Samples};
use crate::series::{Chunk, Encoding, Millis, Series};

/// Bytes of a request when it is decompressed, at most (decodeReadLimit in storage/remote/codec.go).
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Samples of the answer to a query, at most (`storage.remote.read-sample-limit`).
pub const SAMPLES_MAX: usize = 50_000_000;
/// Bytes of a frame that holds more than one chunk, at most (`storage.remote.read-max-bytes-in-frame`).
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Queries of a request, at most: each asks all stores at once.
const QUERIES_MAX: usize = 100;
/// Key of the first field of a message where that is a message.
const FIRST: u8 = 0x0a;
// Fields of a TimeSeries.
const TIME_SERIES_LABELS: u32 = 1;
const TIME_SERIES_SAMPLES: u32 = 2;
const TIME_SERIES_HISTOGRAMS: u32 = 4;
/// Key and length of a message within another one, bytes at most.
const NESTED_HEAD_MAX: usize = 11;
/// A number of a list, bytes at most, written or not.
const NUMBER_BYTES_MAX: usize = 10;
/// A histogram sample without spans, buckets and bounds, bytes at most, written or not.
const HISTOGRAM_BYTES_MAX: usize = 512;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRequest {
    /// The selections.
    pub queries: Vec<ReadQuery>,
    /// How the answer is to be written.
    pub answer: AnswerForm,
}

/// One selection.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadQuery {
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// The times, both ends inclusive.
    pub range: TimeRange,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerForm {
    /// Samples, in one message.
    Samples,
    /// Chunks, as a stream.
    Chunks,
}

/// Types of answers that an error lists.
const TYPES_SHOWN_MAX: usize = 16;

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFault {
    /// It cannot be read.
    Malformed(String),
    /// A matcher of it is none.
    Matcher(String),
}

impl ReadRequest {
    /// Reads the body of a request.
    pub fn decode(body: &[u8]) -> Result<Self, RequestFault> {
        let malformed = RequestFault::Malformed;
        let corrupt = |_| malformed("snappy: corrupt input".to_owned());
        let length = snap::raw::decompress_len(body).map_err(corrupt)?;
        if body.is_empty() {
            return Err(malformed("snappy: corrupt input".to_owned()));
        }
        if length > REQUEST_BYTES_MAX {
            return Err(malformed(format!("snappy: decoded length {length} exceeds limit {REQUEST_BYTES_MAX}")));
        }
        let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)?;
        let request = proto::ReadRequest::decode(&*bytes).map_err(|error| malformed(format!("proto: {error}")))?;
        if request.queries.len() > QUERIES_MAX {
            return Err(malformed(format!("{} queries in a request, at most {QUERIES_MAX}", request.queries.len())));
        }
        let answer = answer_form(&request.accepted_response_types).map_err(malformed)?;
        let mut bytes = 0;
        let queries = request.queries.iter().map(|query| ReadQuery::of(query, &mut bytes)).collect::<Result<_, _>>();
        Ok(Self { queries: queries.map_err(RequestFault::Matcher)?, answer })
    }
}

/// The first form that is known; where none is asked for, samples (NegotiateResponseType in storage/remote/codec.go).
fn answer_form(accepted: &[i32]) -> Result<AnswerForm, String> {
    use proto::read_request::ResponseType;
    let known = accepted.iter().find_map(|number| ResponseType::try_from(*number).ok());
    match known {
        Some(ResponseType::Samples) => Ok(AnswerForm::Samples),
        Some(ResponseType::StreamedXorChunks) => Ok(AnswerForm::Chunks),
        None if accepted.is_empty() => Ok(AnswerForm::Samples),
        None => {
            let accepted: Vec<_> = accepted.iter().take(TYPES_SHOWN_MAX).map(ToString::to_string).collect();
            Err(format!(
                "server does not support any of the requested response types: [{}]; supported: map[SAMPLES:{{}} \
                 STREAMED_XOR_CHUNKS:{{}}]",
                accepted.join(" ")
            ))
        }
    }
}

impl ReadQuery {
    /// `bytes` counts what the matchers of the request take.
    fn of(query: &proto::Query, bytes: &mut usize) -> Result<Self, String> {
        use proto::label_matcher::Type;
        let mut matcher = |matcher: &proto::LabelMatcher| {
            let op = match Type::try_from(matcher.r#type) {
                Ok(Type::Eq) => MatchOp::Equal,
                Ok(Type::Neq) => MatchOp::NotEqual,
                Ok(Type::Re) => MatchOp::Regex,
                Ok(Type::Nre) => MatchOp::NotRegex,
                Err(_) => return Err("invalid matcher type".to_owned()),
            };
            let matcher = Matcher::new(&matcher.name, op, &matcher.value)?;
            *bytes += matcher.size_bytes();
            match *bytes > MATCHERS_BYTES_MAX {
                true => Err("the matchers of the request are too large together".to_owned()),
                false => Ok(matcher),
            }
        };
        let range = TimeRange { min_time: query.start_timestamp_ms, max_time: query.end_timestamp_ms };
        Ok(Self { matchers: query.matchers.iter().map(&mut matcher).collect::<Result<_, _>>()?, range })
    }
}

/// The chunks of a series within `range`, by time and without overlap, in encodings that clients of any age read. Those
/// of one lane go through untouched, so that they may reach beyond the range; else the series is decoded and
/// deduplicated.
///
/// Errors: those of decoding, and the budget's refusal.
pub fn chunks_of(
    series: &Series,
    range: TimeRange,
    budget: &Budget,
    scratch: &mut Scratch,
    samples: &mut Samples,
) -> Result<Vec<Chunk>, StoreError> {
    if let [lane] = series.lanes.as_slice() {
        let mut chunks: Vec<Chunk> = lane.chunks.iter().filter(|chunk| range.overlaps(chunk)).cloned().collect();
        chunks.sort_unstable();
        chunks.dedup();
        let known =
            |chunk: &Chunk| matches!(chunk.encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram);
        if chunks.iter().all(known) && chunks.is_sorted_by(|a, b| a.max_time < b.min_time) {
            return Ok(chunks);
        }
    }
    dedup::samples_of(series, range, budget, scratch, samples)?;
    // Encodings that carry start timestamps are not known to all clients.
    samples.start_timestamps.clear();
    samples.histograms.iter_mut().for_each(|sample| sample.start_timestamp = 0);
    Ok(chunk::encode_samples(samples))
}

/// Appends the frames of a series: length, checksum and message each. A frame holds as many chunks as fit, one at
/// least.
pub fn push_frames(query: usize, labels: &Labels, chunks: &[Chunk], out: &mut Vec<u8>) {
    let labels = label_list(labels);
    let room = FRAME_BYTES_MAX.saturating_sub(labels.iter().map(|label| label.encoded_len() + 4).sum::<usize>() + 16);
    let mut rest = chunks;
    while !rest.is_empty() {
        // Two times, the encoding, and the keys and lengths around, besides the data.
        let sizes = rest.iter().scan(0, |sum, chunk| {
            *sum += chunk.data.len() + 40;
            Some(*sum)
        });
        let (part, later) = rest.split_at(sizes.take_while(|sum| *sum <= room).count().max(1));
        rest = later;
        push_frame(query, &labels, part, out);
    }
}

fn push_frame(query: usize, labels: &[proto::Label], chunks: &[Chunk], out: &mut Vec<u8>) {
    let chunk = |chunk: &Chunk| proto::Chunk {
        min_time_ms: chunk.min_time,
        max_time_ms: chunk.max_time,
        r#type: chunk.encoding as i32,
        data: chunk.data.clone(),
    };
    let series = proto::ChunkedSeries { labels: labels.to_vec(), chunks: chunks.iter().map(chunk).collect() };
    let frame = proto::ChunkedReadResponse { chunked_series: vec![series], query_index: query as i64 };
    let message = frame.encode_to_vec();
    prost::encoding::encode_varint(message.len() as u64, out);
    out.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

/// An answer of samples, as it grows. What it takes is reserved before it is made.
#[derive(Debug)]
pub struct SamplesAnswer {
    /// The messages of the queries so far.
    results: Vec<Vec<u8>>,
    /// Samples of the last query.
    samples: usize,
    /// The message of a series, which comes behind its length.
    series: Vec<u8>,
    held: Reservation,
}

impl SamplesAnswer {
    /// An answer without queries.
    pub fn new(budget: &Budget) -> Self {
        let held = budget.begin("samples of the answer");
        Self { results: Vec::new(), samples: 0, series: Vec::new(), held }
    }

    /// From now on series belong to the next query.
    pub fn begin_query(&mut self) {
        self.results.push(Vec::new());
        self.samples = 0;
    }

    /// Adds a series, if it has samples.
    ///
    /// Errors: `Refused` where the query has more samples than an answer may have; the budget's refusal.
    pub fn push(&mut self, labels: &Labels, samples: &Samples) -> Result<(), StoreError> {
        self.samples += samples.len();
        if self.samples > SAMPLES_MAX {
            let context = format!("exceeded sample limit ({SAMPLES_MAX})");
            return Err(StoreError::new(StoreErrorKind::Refused, context));
        }
        let Some(result) = self.results.last_mut().filter(|_| !samples.is_empty()) else { return Ok(()) };
        let message = &mut self.series;
        message.clear();
        take_room(message, series_bytes_max(labels, samples), &mut self.held)?;
        for label in label_list(labels) {
            prost::encoding::message::encode(TIME_SERIES_LABELS, &label, message);
        }
        for (timestamp, value) in samples.timestamps.iter().zip(&samples.values) {
            let sample = proto::Sample { value: *value, timestamp: *timestamp };
            prost::encoding::message::encode(TIME_SERIES_SAMPLES, &sample, message);
        }
        for sample in &samples.histograms {
            prost::encoding::message::encode(TIME_SERIES_HISTOGRAMS, &histogram(sample), message);
        }
        take_room(result, NESTED_HEAD_MAX + message.len(), &mut self.held)?;
        push_nested(message, result);
        Ok(())
    }

    /// The body of the answer, and what it holds.
    ///
    /// Errors: it is larger than 4 GiB; the budget's refusal.
    pub fn finish(mut self) -> Result<(Vec<u8>, Reservation), StoreError> {
        self.series = Vec::new();
        let length: usize = self.results.iter().map(|result| NESTED_HEAD_MAX + result.len()).sum();
        // The whole message, and then its compressed form.
        self.held.grow(length.saturating_add(snap::raw::max_compress_len(length)))?;
        let mut message = Vec::with_capacity(length);
        for result in self.results {
            push_nested(&result, &mut message);
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&message).map_err(|error| {
            let context = format!("compress an answer of {} bytes", message.len());
            StoreError::new(StoreErrorKind::LimitExceeded, context).with_source(error)
        })?;
        self.held.shrink_to(compressed.capacity());
        Ok((compressed, self.held))
    }
}

/// Makes room for `bytes` more, of which `held` pays what is not there yet.
fn take_room(out: &mut Vec<u8>, bytes: usize, held: &mut Reservation) -> Result<(), LimitExceeded> {
    let (capacity, needed) = (out.capacity(), out.len().saturating_add(bytes));
    if needed > capacity {
        let mut next = needed.max(2 * capacity);
        if held.grow(next - capacity).is_err() {
            next = needed;
            held.grow(next - capacity)?;
        }
        out.reserve_exact(next - out.len());
    }
    Ok(())
}

/// Bytes of the message of a series at most, and of the largest histogram on its way there.
fn series_bytes_max(labels: &Labels, samples: &Samples) -> usize {
    let labels: usize = labels.iter().map(|(name, value)| name.len() + value.len() + 3 * NESTED_HEAD_MAX).sum();
    let float = |(timestamp, value): (&Millis, &f64)| {
        let sample = proto::Sample { value: *value, timestamp: *timestamp };
        prost::encoding::message::encoded_len(TIME_SERIES_SAMPLES, &sample)
    };
    let floats: usize = samples.timestamps.iter().zip(&samples.values).map(float).sum();
    let of = |sample: &HistogramSample| {
        let histogram = &*sample.histogram;
        let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
        let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
        HISTOGRAM_BYTES_MAX + NUMBER_BYTES_MAX * (2 * spans + buckets + histogram.custom_bounds.len())
    };
    let histograms: usize = samples.histograms.iter().map(of).sum();
    let largest = samples.histograms.iter().map(of).max().unwrap_or(0);
    labels + floats + histograms + largest
}

/// Appends a message that is the first field of another one.
fn push_nested(message: &[u8], out: &mut Vec<u8>) {
    out.push(FIRST);
    prost::encoding::encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

fn label_list(labels: &Labels) -> Vec<proto::Label> {
    labels.iter().map(|(name, value)| proto::Label { name: name.into(), value: value.into() }).collect()
}

/// A histogram sample. Where all its counts are whole it is written as one of integers, which it most likely was: a
/// Prometheus 3.5 cannot read a range of float histograms that come as samples (concreteSeriesIterator in
/// storage/remote/codec.go). It forgets the custom bounds of integers, so that those stay floats.
fn histogram(sample: &HistogramSample) -> proto::Histogram {
    use proto::histogram::{Count, ResetHint, ZeroCount};
    let histogram: &Histogram = &sample.histogram;
    let spans = |spans: &[Span]| {
        spans.iter().map(|span| proto::BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    let hint = match histogram.counter_reset_hint {
        CounterResetHint::Unknown => ResetHint::Unknown,
        CounterResetHint::Reset => ResetHint::Yes,
        CounterResetHint::NotReset => ResetHint::No,
        CounterResetHint::Gauge => ResetHint::Gauge,
    };
    let common = proto::Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(&histogram.negative_spans),
        positive_spans: spans(&histogram.positive_spans),
        reset_hint: hint.into(),
        timestamp: sample.timestamp,
        custom_values: histogram.custom_bounds.to_vec(),
        ..Default::default()
    };
    // Who reads integers checks that they add up (Histogram.Validate in model/histogram/histogram.go).
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    let total = buckets.sum::<f64>() + histogram.zero_count;
    let adds_up = match histogram.sum.is_nan() {
        true => total <= histogram.count || histogram.is_stale(),
        false => total == histogram.count,
    };
    let integers = (
        whole(histogram.count).filter(|_| adds_up && !histogram.has_custom_bounds()),
        whole(histogram.zero_count),
        deltas(&histogram.negative_buckets),
        deltas(&histogram.positive_buckets),
    );
    match integers {
        (Some(count), Some(zero_count), Some(negative_deltas), Some(positive_deltas)) => proto::Histogram {
            count: Some(Count::CountInt(count as u64)),
            zero_count: Some(ZeroCount::ZeroCountInt(zero_count as u64)),
            negative_deltas,
            positive_deltas,
            ..common
        },
        _ => proto::Histogram {
            count: Some(Count::CountFloat(histogram.count)),
            zero_count: Some(ZeroCount::ZeroCountFloat(histogram.zero_count)),
            negative_counts: histogram.negative_buckets.clone(),
            positive_counts: histogram.positive_buckets.clone(),
            ..common
        },
    }
}

/// A count that an integer holds exactly.
fn whole(count: f64) -> Option<i64> {
    (0.0..=9e15).contains(&count).then_some(count as i64).filter(|integer| *integer as f64 == count)
}

/// Whole counts, each as its difference from the one before.
fn deltas(counts: &[f64]) -> Option<Vec<i64>> {
    let mut before = 0;
    let delta = |count: &f64| {
        let count = whole(*count)?;
        Some(count - std::mem::replace(&mut before, count))
    };
    counts.iter().map(delta).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::series::{Lane, LaneChunks};

    fn body(request: &proto::ReadRequest) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
    }

    fn matcher(kind: i32, value: &str) -> proto::LabelMatcher {
        proto::LabelMatcher { r#type: kind, name: "job".into(), value: value.into() }
    }

    #[test]
    fn requests_are_read_and_the_first_known_form_wins() {
        let query = |matchers| proto::Query { start_timestamp_ms: -5, end_timestamp_ms: 7, matchers };
        let request = |matchers, accepted: &[i32]| proto::ReadRequest {
            queries: vec![query(matchers)],
            accepted_response_types: accepted.to_vec(),
        };
        for (accepted, form) in [
            (&[][..], Some(AnswerForm::Samples)),
            (&[7, 1, 0], Some(AnswerForm::Chunks)),
            (&[0, 1], Some(AnswerForm::Samples)),
            (&[7, 9], None),
        ] {
            let read = ReadRequest::decode(&body(&request(vec![matcher(2, "a.*")], accepted)));
            let Some(answer) = form else {
                let text = "server does not support any of the requested response types: [7 9]; supported: \
                            map[SAMPLES:{} STREAMED_XOR_CHUNKS:{}]";
                assert_eq!(read, Err(RequestFault::Malformed(text.into())));
                continue;
            };
            let matchers = vec![Matcher::new("job", MatchOp::Regex, "a.*").unwrap()];
            let queries = vec![ReadQuery { matchers, range: TimeRange { min_time: -5, max_time: 7 } }];
            assert_eq!(read, Ok(ReadRequest { queries, answer }));
        }
        let corrupt = Err(RequestFault::Malformed("snappy: corrupt input".into()));
        for bytes in [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff", b"\x05hello"] {
            assert_eq!(ReadRequest::decode(bytes), corrupt, "{bytes:?}");
        }
        let too_large = RequestFault::Malformed("snappy: decoded length 33554433 exceeds limit 4194304".into());
        assert_eq!(ReadRequest::decode(b"\x81\x80\x80\x10"), Err(too_large));
        let broken = snap::raw::Encoder::new().compress_vec(b"\x0a\x05ab").unwrap();
        assert!(
            matches!(ReadRequest::decode(&broken), Err(RequestFault::Malformed(text)) if text.starts_with("proto: "))
        );
        for (fault, text) in [
            (matcher(9, "x"), "invalid matcher type"),
            (matcher(3, "("), "error parsing regexp: missing closing ): `(`"),
        ] {
            let read = ReadRequest::decode(&body(&request(vec![fault], &[])));
            assert_eq!(read, Err(RequestFault::Matcher(text.into())));
        }
    }

    fn chunk(min_time: i64, max_time: i64, bytes: usize) -> Chunk {
        Chunk { min_time, max_time, encoding: Encoding::Xor, data: Bytes::from(vec![7; bytes]) }
    }

    /// Frames as a client reads them.
    fn frames(mut bytes: &[u8]) -> Vec<(usize, proto::ChunkedReadResponse)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = prost::encoding::decode_varint(&mut bytes).unwrap() as usize;
            let (checksum, rest) = bytes.split_first_chunk::<4>().unwrap();
            let (message, rest) = rest.split_at(length);
            assert_eq!(u32::from_be_bytes(*checksum), crc32c::crc32c(message));
            found.push((length, proto::ChunkedReadResponse::decode(message).unwrap()));
            bytes = rest;
        }
        found
    }

    #[test]
    fn frames_are_cut_at_one_mib() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let large = FRAME_BYTES_MAX + 5;
        let chunks: Vec<Chunk> =
            (0..30).map(|i| chunk(i * 10, i * 10 + 9, if i == 3 { large } else { 100_000 })).collect();
        let mut out = Vec::new();
        push_frames(3, &labels, &chunks, &mut out);
        let frames = frames(&out);
        let counts: Vec<usize> = frames.iter().map(|(_, frame)| frame.chunked_series[0].chunks.len()).collect();
        assert_eq!(counts, [3, 1, 10, 10, 6]);
        let mut sent = Vec::new();
        for (i, (length, frame)) in frames.into_iter().enumerate() {
            assert!(length <= FRAME_BYTES_MAX || i == 1, "{length}");
            assert_eq!((frame.query_index, frame.chunked_series.len()), (3, 1));
            assert_eq!(frame.chunked_series[0].labels, label_list(&labels));
            sent.extend(frame.chunked_series.into_iter().next().unwrap().chunks);
        }
        assert!(
            sent.iter().zip(&chunks).all(|(a, b)| a.data == b.data && a.min_time_ms == b.min_time && a.r#type == 1)
        );
    }

    #[test]
    fn one_lane_goes_through_and_several_are_made_anew() {
        let lane = |replica: &str, chunks: Vec<Chunk>| LaneChunks {
            lane: Lane { replica: Labels::from_pairs([("replica", replica)]), store: None },
            chunks: chunks.into(),
        };
        let encode = |times: &[i64], value: f64| chunk::encode(times, &vec![value; times.len()]);
        let early: Vec<i64> = (0..100).map(|i| i * 1000).collect();
        let late: Vec<i64> = (100..150).map(|i| i * 1000).collect();
        let range = TimeRange { min_time: 50_000, max_time: 120_000 };
        let labels = Labels::from_pairs([("a", "b")]);
        let of = |lanes: Vec<LaneChunks>| {
            let series = Series { labels: labels.clone(), lanes: lanes.into() };
            chunks_of(&series, range, &Budget::unlimited(), &mut Scratch::default(), &mut Samples::default()).unwrap()
        };
        // In disorder and doubled, but without overlap.
        let (first, second) = (encode(&early, 1.0).remove(0), encode(&late, 1.0).remove(0));
        let mixed = vec![second.clone(), first.clone(), second.clone(), chunk(0, 40_000, 9)];
        assert_eq!(of(vec![lane("a", mixed)]), [first.clone(), second.clone()]);
        // Two replicas, of which the first has a gap.
        let filled = of(vec![lane("a", vec![first]), lane("b", encode(&late, 2.0))]);
        let mut samples = Samples::default();
        filled.iter().for_each(|chunk| chunk::decode(chunk, &mut samples).unwrap());
        assert_eq!(samples.timestamps, (50..=120).map(|i| i * 1000).collect::<Vec<_>>());
        assert_eq!(samples.values, [[1.0; 50].as_slice(), &[2.0; 21]].concat());
        // Encodings that only new clients know are made anew too.
        let starts: Vec<i64> = late.iter().map(|time| time - 500).collect();
        let with_starts =
            Samples { timestamps: late, values: vec![3.0; 50], start_timestamps: starts, ..Samples::default() };
        let new = chunk::encode_samples(&with_starts);
        assert_eq!(new[0].encoding, Encoding::Xor2);
        let old = of(vec![lane("a", new)]);
        assert_eq!(old.iter().map(|chunk| chunk.encoding).collect::<Vec<_>>(), [Encoding::Xor]);
    }

    #[test]
    fn samples_are_one_message() {
        let budget = Budget::unlimited();
        let mut answer = SamplesAnswer::new(&budget);
        answer.begin_query();
        answer.begin_query();
        let labels = Labels::from_pairs([("a", "b")]);
        let gauge = Histogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: 1,
            count: 3.0,
            sum: 4.5,
            positive_spans: [Span { offset: -2, length: 2 }].into(),
            positive_buckets: vec![1.0, 2.0],
            ..Histogram::default()
        };
        let of_floats = Histogram { positive_buckets: vec![1.0, 2.5], ..gauge.clone() };
        let sample = |timestamp, histogram: Histogram| HistogramSample {
            timestamp,
            start_timestamp: 0,
            histogram: histogram.into(),
        };
        let custom =
            Histogram { schema: crate::histogram::CUSTOM_SCHEMA, custom_bounds: [1.0].into(), ..gauge.clone() };
        let histograms = vec![sample(9, gauge), sample(10, of_floats), sample(11, custom)];
        let samples =
            Samples { timestamps: vec![-1, 5], values: vec![1.0, f64::NAN], histograms, ..Samples::default() };
        answer.push(&labels, &Samples::default()).unwrap();
        answer.push(&labels, &samples).unwrap();
        let (body, held) = answer.finish().unwrap();
        assert_eq!(budget.used(), held.bytes());
        let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let read = proto::ReadResponse::decode(&*message).unwrap();
        assert_eq!(read.results.len(), 2);
        assert!(read.results[0].timeseries.is_empty());
        let [series] = read.results[1].timeseries.as_slice() else { panic!("{read:?}") };
        assert_eq!(series.labels, label_list(&labels));
        assert_eq!(series.samples[0], proto::Sample { value: 1.0, timestamp: -1 });
        assert!(series.samples[1].value.is_nan() && series.samples[1].timestamp == 5);
        let histogram = &series.histograms[0];
        assert_eq!((histogram.timestamp, histogram.sum, histogram.reset_hint), (9, 4.5, 3));
        assert_eq!(histogram.positive_spans, [proto::BucketSpan { offset: -2, length: 2 }]);
        assert_eq!((&*histogram.positive_deltas, &*histogram.positive_counts), (&[1, 1][..], &[][..]));
        assert_eq!(histogram.count, Some(proto::histogram::Count::CountInt(3)));
        let histogram = &series.histograms[1];
        assert_eq!((&*histogram.positive_deltas, &*histogram.positive_counts), (&[][..], &[1.0, 2.5][..]));
        assert_eq!(histogram.count, Some(proto::histogram::Count::CountFloat(3.0)));
        let histogram = &series.histograms[2];
        assert_eq!((&*histogram.positive_counts, &*histogram.custom_values), (&[1.0, 2.0][..], &[1.0][..]));
    }

    /// What an answer takes is reserved before it is made: a refusal leaves it as it was, and no byte is made without a
    /// budget.
    #[test]
    fn answers_of_samples_are_paid_for_beforehand() {
        let mut samples = Samples::default();
        (0..10_000).for_each(|i| samples.push(i, i as f64));
        let labels = Labels::from_pairs([("a", "b")]);
        let written = 10_000 * 13;
        // Without room for the series, and without room for a second copy of it in the answer.
        for (limit, is_written) in [(written, false), (written + written / 2, true)] {
            let budget = Budget::new("query", limit);
            let mut answer = SamplesAnswer::new(&budget);
            answer.begin_query();
            let refused = answer.push(&labels, &samples).unwrap_err();
            assert!(refused.limit().is_some() && budget.used() == answer.series.capacity());
            assert_eq!((answer.series.capacity() > 0, answer.results[0].capacity()), (is_written, 0));
        }
        let budget = Budget::unlimited();
        let mut answer = SamplesAnswer::new(&budget);
        answer.begin_query();
        for _ in 0..3 {
            answer.push(&labels, &samples).unwrap();
            assert_eq!(budget.used(), answer.series.capacity() + answer.results[0].capacity());
        }
        let (body, held) = answer.finish().unwrap();
        assert!(budget.peak() > 6 * written && budget.used() == held.bytes() && held.bytes() == body.capacity());
        drop(held);
        assert_eq!(budget.used(), 0);
    }
}
