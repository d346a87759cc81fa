use super::grpc_timeout;
use super::*;
use crate::labels::Labels;

#[test]
fn deadlines_of_callers_are_read() {
    let read = |text: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        grpc_timeout(&headers)
    };
    let rows = [
        ("5S", Some(Duration::from_secs(5))),
        ("250m", Some(Duration::from_millis(250))),
        ("1H", Some(Duration::from_secs(3600))),
        ("99999999u", Some(Duration::from_micros(99_999_999))),
        ("999999999S", None),
        ("S", None),
        ("5", None),
        ("-5S", None),
        ("", None),
    ];
    for (text, expected) in rows {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn what_is_not_served_is_named_as_go_names_it() {
    let rows = [
        ("/thanos.Rules/Rules", "unknown service thanos.Rules"),
        ("/thanos.Store/NoSuch", "unknown method NoSuch for service thanos.Store"),
        ("/grpc.health.v1.Health/List", "unknown method List for service grpc.health.v1.Health"),
    ];
    for (path, text) in rows {
        let status = unimplemented(path);
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, text));
    }
}

#[test]
fn shortcomings_name_store_labels_and_times() {
    let asked =
        |store: &str, outcome, gaps| crate::coverage::Asked { store: store.into(), label_sets: vec![], outcome, gaps };
    let complete = || Outcome::Complete { series: 1, bytes: 1, took: Duration::ZERO };
    let labels = Labels::from_pairs([("cluster", "x")]);
    let gap = Gap { labels, min_time: -5, max_time: 7, reason: "its head is not read".into() };
    let failed = Outcome::Failed { error: StoreError::new(StoreErrorKind::Timeout, "silent"), since: None };
    let coverage = Coverage {
        asked: vec![
            asked("a:1", complete(), vec![]),
            asked("b:1", complete(), vec![gap.clone()]),
            asked("c:1", failed, vec![gap]),
        ],
    };
    let lacks = r#"lacks {cluster="x"} from -5 to 7 ms: its head is not read"#;
    assert_eq!(
        shortcomings(&coverage),
        [format!("store b:1 {lacks}"), "store c:1 is missing: silent".to_owned(), format!("store c:1 {lacks}")]
    );
}

mod frames {
    use super::super::frame;
    use crate::{Chunk, Encoding, Labels, Lane, Series};
    use masthead_proto::thanos;
    use prost::Message as _;

    fn chunk(min_time: i64, encoding: Encoding, data: &'static [u8]) -> Chunk {
        Chunk { min_time, max_time: min_time + 1_000_000, encoding, data: data.into() }
    }

    fn series(chunks: Vec<Chunk>) -> Series {
        let labels = Labels::from_pairs([("__name__", "up".to_owned()), ("long", "ü".repeat(300))]);
        Series::of_lane(labels, Lane::default(), chunks)
    }

    /// What is written by hand is what the generated code reads.
    #[test]
    fn frames_are_series_responses() {
        let (early, late) = (chunk(-5, Encoding::Xor, b"ab"), chunk(7, Encoding::Histogram, b""));
        // Equal chunks come once, in order of time.
        let series = series(vec![late.clone(), early.clone(), early]);
        let expected = thanos::Series {
            labels: series
                .labels
                .iter()
                .map(|(name, value)| thanos::Label { name: name.into(), value: value.into() })
                .collect(),
            chunks: [(-5i64, 0, "ab"), (7, 1, "")]
                .map(|(min_time, r#type, data)| thanos::AggrChunk {
                    min_time,
                    max_time: min_time + 1_000_000,
                    raw: Some(thanos::Chunk { r#type, data: data.into(), hash: 0 }),
                    ..Default::default()
                })
                .into(),
        };
        let read = |frame: bytes::Bytes| thanos::SeriesResponse::decode(frame).unwrap().result.unwrap();
        use thanos::series_response::Result;
        assert_eq!(read(frame::series(&series)), Result::Series(expected.clone()));
        let batch = thanos::SeriesBatch { series: vec![expected.clone(), expected] };
        assert_eq!(read(frame::batch(&[series.clone(), series])), Result::Batch(batch));
        assert_eq!(read(frame::warning("gone")), Result::Warning("gone".into()));
    }
}

mod transcoding {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::super::transcode::{Faults, Reader, Transcoder};
    use crate::chunk::{HistogramForm, decode, decoded_bytes_max, encode_as, encode_samples};
    use crate::histogram::{Histogram, Span};
    use crate::samples::HistogramSample;
    use crate::series::LaneChunks;
    use crate::{Budget, Chunk, Encoding, Labels, Lane, Samples, Series, StoreErrorKind};

    fn transcoder(reader: Reader, abort: bool) -> Transcoder {
        Transcoder { reader, abort, faults: Faults::default(), turns: Arc::new(Semaphore::new(1)) }
    }

    fn series(pod: &str, chunks: Vec<Chunk>) -> Series {
        Series::of_lane(Labels::from_pairs([("pod", pod)]), Lane::default(), chunks)
    }

    /// Floats with start timestamps from `start`, ms.
    fn floats(start: i64) -> Samples {
        let mut samples = Samples::default();
        (0..20).for_each(|i| samples.push(start + 1_000 * i, i as f64));
        samples.start_timestamps = vec![start - 5; 20];
        samples
    }

    /// Whole histograms with start timestamps.
    fn histograms() -> Samples {
        let histogram = |i: i64| Histogram {
            count: i as f64,
            sum: 0.5 * i as f64,
            positive_spans: [Span { offset: -1, length: 2 }].into(),
            positive_buckets: vec![i as f64, 0.0],
            ..Histogram::default()
        };
        let sample =
            |i: i64| HistogramSample { timestamp: 1_000 * i, start_timestamp: 7, histogram: Arc::new(histogram(i)) };
        Samples { histograms: (1..20).map(sample).collect(), ..Samples::default() }
    }

    /// The chunk without the end of its bytes, which only decoding finds.
    fn damaged(chunk: &Chunk) -> Chunk {
        Chunk { data: chunk.data.slice(..chunk.data.len() - 3), ..chunk.clone() }
    }

    fn chunks(series: &[Series]) -> Vec<&Chunk> {
        series.iter().flat_map(|series| &series.lanes).flat_map(|lane| &lane.chunks).collect()
    }

    /// Encodings that Thanos 0.43 cannot read go to a Masthead as they are, and to others as ones that they can read.
    #[tokio::test]
    async fn new_encodings_are_made_anew_for_others() {
        let budget = Budget::unlimited();
        let forms =
            [HistogramForm::Integers, HistogramForm::Floats].map(|form| encode_as(&histograms(), form).remove(0));
        let [integers, of_floats] = forms;
        let rows = [
            (encode_samples(&floats(0)).remove(0), Encoding::Xor2, Encoding::Xor, floats(0)),
            (integers, Encoding::HistogramSt, Encoding::Histogram, histograms()),
            (of_floats, Encoding::FloatHistogramSt, Encoding::FloatHistogram, histograms()),
        ];
        for (chunk, before, after, samples) in rows {
            assert_eq!(chunk.encoding, before);
            let asked = async |reader| {
                let mut transcoder = transcoder(reader, false);
                let held = budget.reserve("series", 1000).unwrap();
                let (series, held) = transcoder.readable(vec![series("a", vec![chunk.clone()])], held).await.unwrap();
                assert_eq!((transcoder.faults.texts().count(), budget.used()), (0, held.bytes()));
                chunks(&series)[0].clone()
            };
            assert_eq!(asked(Reader::Masthead).await, chunk);
            let plain = asked(Reader::Thanos).await;
            assert_eq!((plain.encoding, plain.min_time, plain.max_time), (after, chunk.min_time, chunk.max_time));
            let mut read = Samples::default();
            decode(&plain, &mut read).unwrap();
            assert_eq!((read.timestamps, read.values), (samples.timestamps, samples.values));
            assert!(read.start_timestamps.is_empty());
            let content = |sample: &HistogramSample| (sample.timestamp, sample.histogram.positive_buckets.clone());
            assert!(read.histograms.iter().map(content).eq(samples.histograms.iter().map(content)));
            assert!(read.histograms.iter().all(|sample| sample.start_timestamp == 0));
        }
        assert_eq!(budget.used(), 0);
    }

    /// What all know is handed on as it is, the list of series too.
    #[tokio::test]
    async fn known_encodings_pass_through() {
        let held = Budget::unlimited().reserve("series", 1).unwrap();
        let samples = Samples { start_timestamps: vec![], ..floats(0) };
        let list = vec![series("a", encode_samples(&samples)), series("b", vec![])];
        let (place, data) = (list.as_ptr(), chunks(&list)[0].data.as_ptr());
        let (list, held) = transcoder(Reader::Thanos, true).readable(list, held).await.unwrap();
        assert_eq!((list.as_ptr(), chunks(&list)[0].data.as_ptr(), held.bytes()), (place, data, 1));
    }

    /// A damaged chunk is left out and told, or fails the call, as the caller wants it. A series of nothing else is
    /// left out.
    #[tokio::test]
    async fn damaged_chunks_are_left_out() {
        let budget = Budget::unlimited();
        let held = || budget.reserve("series", 0).unwrap();
        let (good, bad) = (encode_samples(&floats(0)).remove(0), damaged(&encode_samples(&floats(100_000))[0]));
        let other = Lane { replica: Labels::from_pairs([("replica", "b")]), store: None };
        let list = || {
            let mut mixed = series("b", vec![bad.clone(), good.clone(), bad.clone()]);
            mixed.lanes.push(LaneChunks { lane: other.clone(), chunks: vec![bad.clone()].into() });
            vec![series("a", vec![bad.clone()]), mixed, series("c", vec![good.clone()])]
        };
        let mut warning = transcoder(Reader::Thanos, false);
        let (left, _held) = warning.readable(list(), held()).await.unwrap();
        let pods: Vec<&str> = left.iter().map(|series| series.labels.value("pod")).collect();
        assert_eq!((pods, chunks(&left).len()), (vec!["b", "c"], 2));
        assert!(chunks(&left).iter().all(|chunk| chunk.encoding == Encoding::Xor && chunk.min_time == 0));
        let texts: Vec<String> = warning.faults.texts().collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        let begin = r#"series {pod="a"}: a chunk from 100000 to 119000 ms is left out: decode XOR2 chunk"#;
        assert!(texts[0].starts_with(begin), "{texts:?}");
        let error = transcoder(Reader::Thanos, true).readable(list(), held()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt);
        assert!(error.to_string().starts_with(r#"series {pod="a"}: decode XOR2 chunk"#), "{error}");
        // Many are told as a number.
        let mut warning = transcoder(Reader::Thanos, false);
        let (none, _held) = warning.readable(vec![series("a", vec![bad; 500])], held()).await.unwrap();
        assert!(none.is_empty());
        let texts: Vec<String> = warning.faults.texts().collect();
        assert_eq!((texts.len(), &*texts[20]), (21, "480 more damaged chunks are left out"));
    }

    /// What making anew takes is reserved first; a budget that refuses is no fault of the chunk.
    #[tokio::test]
    async fn the_work_is_paid_for() {
        let chunk = encode_as(&histograms(), HistogramForm::Integers).remove(0);
        let needed = decoded_bytes_max(&chunk);
        assert!(needed > 19 * size_of::<Histogram>(), "{needed}");
        for (limit, is_enough) in [(needed - 1, false), (needed, true)] {
            let budget = Budget::new("call", limit);
            let held = budget.reserve("series", 0).unwrap();
            let read = transcoder(Reader::Thanos, false).readable(vec![series("a", vec![chunk.clone()])], held).await;
            match read {
                Ok(_) => assert!(is_enough && budget.peak() == needed),
                Err(error) => assert!(!is_enough && error.limit().is_some(), "{error}"),
            }
            assert!(is_enough || budget.used() == 0);
        }
    }

    #[test]
    fn callers_say_what_they_read() {
        for (said, reader) in [
            (None, Reader::Thanos),
            (Some("6"), Reader::Masthead),
            (Some("7"), Reader::Masthead),
            (Some("3"), Reader::Thanos),
            (Some("all"), Reader::Thanos),
        ] {
            let mut metadata = tonic::metadata::MetadataMap::new();
            said.map(|said| metadata.insert("masthead-chunk-encodings", said.parse().unwrap()));
            assert_eq!(Reader::of(&metadata), reader, "{said:?}");
        }
    }
}

fn over(store: impl Store, budget: &Budget) -> Call {
    let store: Arc<dyn Store> = Arc::new(store);
    let stores: Stores = Arc::new(move || vec![store.clone()]);
    let service = StoreService::new(stores, budget.clone(), ServeOptions::default());
    Call { service, deadline: Instant::now() + Duration::from_secs(60) }
}

fn ups(count: usize) -> crate::testing::MemoryStore {
    let samples = crate::Samples { timestamps: vec![1], values: vec![1.0], ..Default::default() };
    let labels = |i: usize| Labels::from_pairs([("__name__", "up"), ("pod", format!("{i:03}").as_str())]);
    let series: Vec<_> = (0..count).map(|i| (labels(i), samples.clone())).collect();
    crate::testing::MemoryStore::new("memory", &Labels::empty(), &series)
}

fn all_ups() -> masthead_proto::thanos::SeriesRequest {
    let matcher = masthead_proto::thanos::LabelMatcher { r#type: 0, name: "__name__".into(), value: "up".into() };
    masthead_proto::thanos::SeriesRequest { matchers: vec![matcher], min_time: 0, max_time: 10, ..Default::default() }
}

/// A damaged chunk that must be made anew costs itself and nothing else, and the answer says so; under ABORT it fails
/// the call. Who reads all encodings gets it as it is.
#[tokio::test]
async fn a_damaged_chunk_is_a_warning() {
    use crate::testing::{Fault, FaultyStore, MemoryStore};
    use futures::StreamExt as _;
    use masthead_proto::thanos::{PartialResponseStrategy, SeriesRequest, SeriesResponse, series_response::Result};
    use prost::Message as _;
    let samples =
        crate::Samples { timestamps: vec![1], values: vec![1.0], start_timestamps: vec![-7], ..Default::default() };
    let row = |pod: &str| (Labels::from_pairs([("__name__", "up"), ("pod", pod)]), samples.clone());
    let memory = MemoryStore::new("memory", &Labels::empty(), &[row("a"), row("b")]);
    let call = over(FaultyStore::new(Arc::new(memory), Fault::TruncatedChunk), &Budget::unlimited());
    let ask = async |strategy: PartialResponseStrategy, reader| {
        let request = SeriesRequest { partial_response_strategy: strategy.into(), ..all_ups() };
        let frames: Vec<_> = call.series(request, reader).unwrap().collect().await;
        let read = |frame: bytes::Bytes| SeriesResponse::decode(frame).unwrap().result.unwrap();
        frames.into_iter().map(|frame| frame.map(read)).collect::<Vec<_>>()
    };
    let warned = ask(PartialResponseStrategy::Warn, transcode::Reader::Thanos).await;
    let [Ok(Result::Series(series)), Ok(Result::Warning(text))] = warned.as_slice() else { panic!("{warned:?}") };
    assert_eq!((&*series.labels[1].value, series.chunks.len()), ("b", 1));
    assert!(text.starts_with(r#"series {__name__="up", pod="a"}: a chunk from 1 to 1 ms is left out: "#), "{text}");
    let aborted = ask(PartialResponseStrategy::Abort, transcode::Reader::Thanos).await;
    let [Err(status)] = aborted.as_slice() else { panic!("{aborted:?}") };
    assert_eq!(status.code(), Code::DataLoss);
    let whole = ask(PartialResponseStrategy::Abort, transcode::Reader::Masthead).await;
    assert!(matches!(whole.as_slice(), [Ok(Result::Series(_)), Ok(Result::Series(_))]), "{whole:?}");
}

/// Frames are paid for until the transport has taken them.
#[tokio::test]
async fn frames_that_wait_are_paid_for() {
    use futures::StreamExt as _;
    let budget = Budget::unlimited();
    let mut frames = over(ups(100), &budget).series(all_ups(), transcode::Reader::Thanos).unwrap();
    let first = frames.next().await.unwrap().unwrap();
    let paid = budget.used();
    let mut rest = 0;
    while let Some(frame) = frames.next().await {
        rest += frame.unwrap().len();
    }
    assert!(rest > 50 * first.len() && paid >= rest, "{paid} paid for {rest}");
    drop(frames);
    assert_eq!(budget.used(), 0);
}

/// Small expressions can make large programs, and many of them larger than the process.
#[test]
fn matchers_that_are_too_large_together_are_refused() {
    let wire = |value: &str| masthead_proto::thanos::LabelMatcher { r#type: 2, name: "a".into(), value: value.into() };
    assert_eq!(matchers(&[wire("a|b"), wire("a.*"), wire("[a-c]+")]).unwrap().len(), 3);
    let many: Vec<_> = (0..200).map(|i| wire(&format!("{i}{}", "[ab]{1000}".repeat(50)))).collect();
    assert_eq!(matchers(&many).unwrap_err().code(), Code::ResourceExhausted);
}
