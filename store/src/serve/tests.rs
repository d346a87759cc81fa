use super::grpc_timeout;
use super::*;

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
    use super::super::frame::{self, Reader};
    use crate::chunk::{decode, encode_samples};
    use crate::{Chunk, Encoding, Labels, Lane, Samples, Series};
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
        assert_eq!(read(frame::series(&series, Reader::Thanos).unwrap()), Result::Series(expected.clone()));
        let batch = thanos::SeriesBatch { series: vec![expected.clone(), expected] };
        assert_eq!(read(frame::batch([&series, &series].into_iter(), Reader::Thanos).unwrap()), Result::Batch(batch));
        assert_eq!(read(frame::warning("gone")), Result::Warning("gone".into()));
    }

    /// Encodings that Thanos 0.43 cannot read go to a Masthead as they are, and to others as ones that they can read.
    #[test]
    fn new_encodings_are_made_anew_for_others() {
        let mut samples = Samples::default();
        (0..20).for_each(|i| samples.push(1_000 * i, i as f64));
        samples.start_timestamps = vec![-5; 20];
        let chunk = encode_samples(&samples).remove(0);
        assert_eq!(chunk.encoding, Encoding::Xor2);
        let series = series(vec![chunk.clone()]);
        let sent = |reader| {
            let message = thanos::SeriesResponse::decode(frame::series(&series, reader).unwrap()).unwrap();
            let Some(thanos::series_response::Result::Series(mut series)) = message.result else {
                panic!("{message:?}")
            };
            let aggregate = series.chunks.remove(0);
            assert_eq!((aggregate.min_time, aggregate.max_time), (chunk.min_time, chunk.max_time));
            aggregate.raw.unwrap()
        };
        let whole = sent(Reader::Masthead);
        assert_eq!((whole.r#type, &whole.data), (3, &chunk.data));
        let plain = sent(Reader::Thanos);
        assert_eq!(plain.r#type, 0);
        let mut read = Samples::default();
        decode(&Chunk { encoding: Encoding::Xor, data: plain.data, ..chunk.clone() }, &mut read).unwrap();
        assert_eq!((read.timestamps, read.values), (samples.timestamps.clone(), samples.values.clone()));
        assert!(read.start_timestamps.is_empty());
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

fn over(store: crate::testing::MemoryStore, budget: &Budget) -> Call {
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

/// Frames are paid for until the transport has taken them.
#[tokio::test]
async fn frames_that_wait_are_paid_for() {
    use futures::StreamExt as _;
    let budget = Budget::unlimited();
    let matcher = masthead_proto::thanos::LabelMatcher { r#type: 0, name: "__name__".into(), value: "up".into() };
    let request = masthead_proto::thanos::SeriesRequest {
        matchers: vec![matcher],
        min_time: 0,
        max_time: 10,
        ..Default::default()
    };
    let mut frames = over(ups(100), &budget).series(request, frame::Reader::Thanos).unwrap();
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
