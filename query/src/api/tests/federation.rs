//! `/federate` and `/api/v1/read`.

use masthead_store::histogram::{Histogram, Span};
use masthead_store::samples::{HistogramSample, STALE};

use super::*;
use crate::querier::{Latest, LatestValue};

/// Samples shortly before the time of the test.
fn recent(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> (Labels, Samples) {
    let (timestamps, values) = samples.iter().map(|(ago, value)| ((T - ago) * 1000, *value)).unzip();
    (Labels::from_pairs(pairs.iter().copied()), Samples { timestamps, values, ..Samples::default() })
}

fn store() -> MemoryStore {
    let external = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
    MemoryStore::new(
        "eu:10901",
        &external,
        &[
            recent(
                &[("__name__", "up"), ("instance", "i:1"), ("job", "a\n\"b\"\\")],
                &[(400, 7.0), (50, 1.0), (20, 0.5)],
            ),
            recent(&[("__name__", "up"), ("job", "b")], &[(290, 1e21)]),
            recent(&[("__name__", "old"), ("job", "b")], &[(310, 1.0)]),
            recent(&[("__name__", "gone")], &[(50, 1.0), (20, STALE)]),
            recent(&[("__name__", "a.total"), ("x.y", "z")], &[(5, f64::INFINITY)]),
        ],
    )
}

/// Lines with the times cut off.
fn lines(body: &str) -> Vec<&str> {
    body.lines().map(|line| if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 }).collect()
}

async fn federate(api: &Arc<Api>, query: &str, accept: &str) -> Got {
    ask(api, http::Request::get(format!("/federate?{query}")).header("accept", accept), "").await
}

#[tokio::test]
async fn the_newest_samples_are_exposed_by_name() {
    let api = api_over(vec![Arc::new(store())], |_| {});
    let all = "match[]={__name__=~%22up|old|gone%22}&match[]={__name__=~%22.*total|up%22}";
    let got = federate(&api, all, "").await;
    assert_eq!(got.header("content-type"), "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    assert_eq!((got.status, got.header("masthead-coverage")), (200, "complete"));
    assert_eq!(
        lines(&got.body),
        [
            "# TYPE a_total untyped",
            r#"a_total{cluster="eu",x_y="z",instance=""} +Inf"#,
            "# TYPE up untyped",
            r#"up{cluster="eu",instance="i:1",job="a\n\"b\"\\"} 0.5"#,
            r#"up{cluster="eu",job="b",instance=""} 1e+21"#,
        ]
    );
    for line in got.body.lines().filter(|line| !line.starts_with('#')) {
        let time: i64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(((T - 300) * 1000..=T * 1000).contains(&time), "{line}");
    }
    let open = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;q=0.5";
    let got = federate(&api, "match[]={%22a.total%22}", open).await;
    assert_eq!(
        got.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    );
    assert_eq!(
        lines(got.body.strip_suffix("# EOF\n").unwrap()),
        ["# TYPE \"a.total\" unknown", r#"{"a.total",cluster="eu","x.y"="z",instance=""} +Inf"#]
    );
    assert!(got.body.contains(".000\n"), "seconds: {}", got.body);
    let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let request = http::Request::get("/federate?match[]=up").header("accept", proto).body(Body::empty()).unwrap();
    let response = serve(api.clone(), request).await;
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(content_type.ends_with("encoding=delimited; escaping=underscores"), "{content_type}");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    // Length, name, and the type `UNTYPED`.
    assert_eq!(bytes[2..8], *b"\x0a\x02up\x18\x03");
    for (query, status, body) in [
        ("", 200, ""),
        ("match[]=nothing", 200, ""),
        ("match[]=up{", 400, "1:4: parse error: unexpected end of input inside braces\n"),
        ("match[]=%zz", 400, "error parsing form values: invalid URL escape \"%zz\"\n"),
    ] {
        let got = federate(&api, query, "").await;
        assert_eq!((got.status, &*got.body), (status, body), "{query}");
    }
}

#[tokio::test]
async fn histograms_are_exposed_where_a_format_has_a_place_for_them() {
    let native = Histogram {
        schema: 1,
        count: 3.0,
        sum: 4.5,
        positive_spans: [Span { offset: 0, length: 2 }].into(),
        positive_buckets: vec![1.0, 2.0],
        ..Histogram::default()
    };
    let custom = Histogram { schema: -53, custom_bounds: [0.5, 10.0].into(), count: 6.0, ..native.clone() };
    let at = |histogram: &Histogram| {
        let timestamp = (T - 5) * 1000;
        Samples {
            histograms: vec![HistogramSample { timestamp, start_timestamp: 0, histogram: Arc::new(histogram.clone()) }],
            ..Samples::default()
        }
    };
    let latest = |histogram: &Histogram| Latest {
        time: at(histogram).histograms[0].timestamp,
        value: LatestValue::Histogram(Arc::new(histogram.clone())),
    };
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("instance", "i")]);
    let rows = || vec![(labels("custom"), latest(&custom)), (labels("native"), latest(&native))];
    let body = async |accept: &'static str| {
        let body = federate::body(rows(), Some(&HeaderValue::from_static(accept)));
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text = body("").await;
    assert_eq!(
        lines(&text),
        [
            "# TYPE custom histogram",
            r#"custom_bucket{instance="i",le="0.5"} 1"#,
            r#"custom_bucket{instance="i",le="10"} 3"#,
            r#"custom_bucket{instance="i",le="+Inf"} 6"#,
            r#"custom_sum{instance="i"} 4.5"#,
            r#"custom_count{instance="i"} 6"#,
        ]
    );
    let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    assert!(body(proto).await.contains("native"));
}

#[tokio::test]
async fn who_is_missing_is_said_in_a_header() {
    let error = StoreError::new(StoreErrorKind::Unavailable, "connect: refused");
    let external = Labels::from_pairs([("cluster", "us")]);
    let dead = MemoryStore::new("us:10901", &external, &[recent(&[("__name__", "up")], &[(60, 1.0), (5, 1.0)])]);
    let dead = dead.with_state(StoreState::Down { since: UNIX_EPOCH, error });
    let api = api_over(vec![Arc::new(store()), Arc::new(dead)], |_| {});
    let got = federate(&api, "match[]=up", "").await;
    let partial = "partial; answered=1; asked=2; missing=\"us\"";
    assert_eq!((got.status, got.header("masthead-coverage")), (200, partial));
    assert_eq!(got.header("cache-control"), "no-store");
    let got = federate(&api, "match[]=up&partial_response=false", "").await;
    assert_eq!((got.status, got.header("masthead-coverage")), (503, partial));
    assert_eq!(
        (&*got.body, got.header("content-type")),
        (
            "the answer would be incomplete and partial_response is off; us:10901: connect: refused\n",
            "text/plain; charset=utf-8"
        )
    );
}

#[tokio::test]
async fn remote_reads_that_cannot_be_read_are_refused_as_text() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let got = ask(&api, http::Request::post("/api/v1/read"), "nonsense").await;
    assert_eq!((got.status, &*got.body), (400, "snappy: corrupt input\n"));
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    // No query at all: a block of no bytes.
    let got = ask(&api, http::Request::post("/api/v1/read"), "\0").await;
    assert_eq!((got.status, &*got.body, got.header("content-encoding")), (200, "\0", "snappy"));
    assert_eq!(got.header("content-type"), "application/x-protobuf");
    let got = ask(&api, http::Request::get("/api/v1/read"), "").await;
    assert_eq!((got.status, got.header("allow")), (405, "OPTIONS, POST"));
}
