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
    use super::super::frame;
    use crate::{Chunk, Encoding, Labels, Lane, Series, StoreErrorKind};
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
        assert_eq!(read(frame::series(&series).unwrap()), Result::Series(expected.clone()));
        let batch = thanos::SeriesBatch { series: vec![expected.clone(), expected] };
        assert_eq!(read(frame::batch([&series, &series].into_iter()).unwrap()), Result::Batch(batch));
        assert_eq!(read(frame::warning("gone")), Result::Warning("gone".into()));
    }

    /// Encodings that Thanos 0.43 cannot read are refused by name rather than sent to fail there.
    #[test]
    fn new_encodings_are_refused() {
        let error = frame::series(&series(vec![chunk(0, Encoding::Xor2, b"x")])).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsupported);
        assert!(error.context.contains("XOR2"), "{error}");
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
    let mut frames = over(ups(100), &budget).series(request).unwrap();
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
