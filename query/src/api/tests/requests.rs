//! What requests may take before anybody is asked: bodies, slots and time; and what is kept of answers that break off.

use futures::StreamExt as _;

use super::*;

/// An API whose one slot is taken, with room for `waiting` more requests; and what holds the slot.
async fn occupied(waiting: usize) -> (Arc<Api>, tokio::task::JoinHandle<u16>) {
    let stalled: Arc<dyn Store> = Arc::new(FaultyStore::new(Arc::new(east()), Fault::Stall(0)));
    let api = api_over(vec![stalled], |config| {
        config.sources.response_timeout = Duration::ZERO;
        (config.query.max_concurrent, config.query.max_waiting) = (1, waiting);
    });
    let running = tokio::spawn({
        let api = api.clone();
        async move { get(&api, "/api/v1/query?query=up&time=1700000060&timeout=60").await.status }
    });
    while api.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    (api, running)
}

/// Whatever parses or plans what a client wrote needs a slot, and ends when the time is up.
#[tokio::test]
async fn expressions_are_read_within_a_turn() {
    const PATHS: [&str; 12] = [
        "/api/v1/query?query=up&analyze=true",
        "/api/v1/query_explain?query=up",
        "/api/v1/query_range_explain?query=up&start=1&end=2&step=1",
        "/api/v1/format_query?query=up",
        "/api/v1/parse_query?query=up",
        "/api/v1/query_exemplars?query=up",
        "/api/v1/series?match[]=up",
        "/api/v1/labels?match[]=up",
        "/api/v1/label/job/values?storeMatch[]=up",
        "/api/v1/rules?match[]=up",
        "/api/v1/status/tsdb?match[]=up",
        "/federate?match[]=up",
    ];
    let (api, running) = occupied(0).await;
    for path in PATHS {
        let got = get(&api, path).await;
        let text = "too many queries: 1 run (--query.max-concurrent) and 0 wait (--query.max-waiting)";
        assert!(got.status == 503 && got.body.contains(text), "{path}: {} {}", got.status, got.body);
    }
    running.abort();
    let (api, running) = occupied(100).await;
    for path in PATHS {
        let got = get(&api, &format!("{path}&timeout=0.02")).await;
        let text = "query timed out in expression evaluation";
        assert!(got.status == 503 && got.body.contains(text), "{path}: {} {}", got.status, got.body);
    }
    let got = get(&api, "/api/v1/query_explain?query=up&timeout=0").await;
    assert_eq!(got.body, error("bad_data", "invalid parameter \"query\": context deadline exceeded"));
    running.abort();
}

/// Selectors that are asked together share the limits of one expression.
#[tokio::test]
async fn many_selectors_are_one_question() {
    let api = api_over(vec![Arc::new(east())], |config| config.limits.expression_terms = 5_000);
    let many = |count: usize| {
        let form = (0..count).map(|i| format!("match[]=u{i}")).collect::<Vec<_>>().join("&");
        let request = http::Request::post("/api/v1/series").header("content-type", FORM);
        let api = api.clone();
        async move {
            let response = serve(api, request.body(Body::from(form)).unwrap()).await;
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    assert_eq!(many(100).await, (200, r#"{"status":"success","data":[]}"#.to_owned()));
    let (status, text) = many(6_000).await;
    assert!(status == 400 && text.contains("the query has more terms than the limit of 5000"), "{text}");
    let text = "error parsing form values: number of URL query parameters exceeded limit";
    assert_eq!(many(10_001).await, (400, error("bad_data", text)));
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(api: &Arc<Api>, path: &str, content_type: &str, body: Body) -> Got {
    let request = http::Request::post(path).header("content-type", content_type).body(body).unwrap();
    let response = serve(api.clone(), request).await;
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Got { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

#[tokio::test]
async fn bodies_are_bounded_paid_for_and_read_in_time() {
    let api = api_over(vec![Arc::new(east())], |config| {
        (config.limits.body_bytes, config.limits.memory) = (1 << 20, 700 << 10);
        config.query.timeout = Duration::from_millis(50);
    });
    let large = || Body::from(vec![b'a'; (1 << 20) + 1]);
    let unpaid = || Body::from(vec![b'a'; 1 << 20]);
    // Bytes come, and never end.
    let slow = || {
        let piece = futures::stream::iter([Ok::<_, std::io::Error>("query=1")]);
        Body::from_stream(piece.chain(futures::stream::pending()))
    };
    let broken = || Body::from_stream(futures::stream::iter([Err::<&str, _>(std::io::Error::other("reset"))]));
    for (path, is_text) in [("/api/v1/query", false), ("/api/v1/series", false), ("/api/v1/read", true)] {
        for (body, status, kind, fault) in [
            (large(), 413, "bad_data", "is larger than limits.body-bytes=1048576"),
            (slow(), 408, "timeout", "did not come within query.timeout=50ms"),
            (broken(), 400, "bad_data", "broke off"),
        ] {
            let got = post(&api, path, FORM, body).await;
            let text = format!("the body of a request to {path} {fault}");
            let expected = if is_text { text + "\n" } else { error(kind, &text) };
            assert_eq!((got.status, got.body), (status, expected), "{path}");
        }
        let got = post(&api, path, FORM, unpaid()).await;
        assert_eq!(got.status, 422, "{path}: {}", got.body);
        let text = format!("the body of a request to {path}: memory limit of the process reached");
        assert!(got.body.contains(&text) && got.body.starts_with('{') != is_text, "{path}: {}", got.body);
    }
    assert_eq!(api.querier.memory.used(), 0);
    let metrics = String::from_utf8(api.querier.metrics.render(0, |_| {})).unwrap();
    for line in [
        "masthead_queries_total{endpoint=\"query\",outcome=\"bad_data\"} 2",
        "masthead_queries_total{endpoint=\"read\",outcome=\"timeout\"} 1",
        "masthead_queries_total{endpoint=\"series\",outcome=\"execution\"} 1",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in\n{metrics}");
    }
}

/// What an endpoint does not take is left unread, as by Prometheus.
#[tokio::test]
async fn bodies_that_nobody_takes_are_not_read() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let unread = || {
        Body::from_stream(futures::stream::poll_fn(|_| -> std::task::Poll<Option<Result<&str, std::io::Error>>> {
            panic!("the body is read")
        }))
    };
    for (path, content_type, status) in [
        ("/api/v1/query?query=1", "application/json", 200),
        ("/api/v1/query", "text/plain", 400),
        ("/api/v1/labels", "", 200),
        ("/api/v1/status/flags", FORM, 405),
        ("/api/v1/write", FORM, 404),
        ("/api/v1/admin/tsdb/snapshot", FORM, 500),
    ] {
        assert_eq!(post(&api, path, content_type, unread()).await.status, status, "{path}");
    }
    let get = http::Request::get("/api/v1/query?query=1").header("content-type", FORM).body(unread()).unwrap();
    assert_eq!(serve(api.clone(), get).await.status(), 200);
}

/// A remote read of all series of all times as a stream of chunks, compressed.
fn read_request() -> Vec<u8> {
    let mut matcher = b"\x08\x02\x12\x08__name__\x1a\x02.+".to_vec();
    matcher.splice(0..0, [0x1a, matcher.len() as u8]);
    let mut query = b"\x08\x01\x10\xff\xff\xff\xff\xff\xff\x01".to_vec();
    query.extend(matcher);
    query.splice(0..0, [0x0a, query.len() as u8]);
    query.extend(b"\x12\x01\x01");
    // One literal.
    query.splice(0..0, [query.len() as u8, (query.len() as u8 - 1) << 2]);
    query
}

/// A store that fails in mid-stream breaks the answer off, which is known only then.
#[tokio::test]
async fn a_stream_that_breaks_off_is_not_complete() {
    let up = |i: usize| series(&[("__name__", "up"), ("i", &format!("{i:05}"))], &[1.0]);
    let wide = MemoryStore::new("wide:10901", &Labels::empty(), &(0..3_000).map(up).collect::<Vec<_>>());
    for (fault, outcome, failures) in [(Fault::None, "complete", 0), (Fault::Error(1), "unavailable", 1)] {
        let api = api_over(vec![Arc::new(FaultyStore::new(Arc::new(wide.clone()), fault))], |_| {});
        let request = http::Request::post("/api/v1/read").body(Body::from(read_request())).unwrap();
        let response = serve(api.clone(), request).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["masthead-coverage"]),
            (200, &"complete".parse().unwrap())
        );
        let metrics = || String::from_utf8(api.querier.metrics.render(0, |_| {})).unwrap();
        assert!(!metrics().contains("endpoint=\"read\""), "it has not ended");
        let read = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        assert_eq!(read.is_ok(), failures == 0);
        let ended = metrics();
        let count = format!("masthead_queries_total{{endpoint=\"read\",outcome=\"{outcome}\"}} 1");
        assert!(ended.lines().any(|line| line == count), "{ended}");
        let failed = "masthead_store_failures_total{kind=\"unavailable\",store=\"wide:10901\"} 1";
        assert_eq!(ended.lines().any(|line| line == failed), failures > 0, "{ended}");
        assert_eq!(ended.contains("masthead_store_received_series_total"), failures == 0, "{ended}");
    }
    // A client that goes away has not read to the end.
    let api = api_over(vec![Arc::new(wide)], |_| {});
    let request = http::Request::post("/api/v1/read").body(Body::from(read_request())).unwrap();
    let mut frames = serve(api.clone(), request).await.into_body().into_data_stream();
    assert!(frames.next().await.is_some());
    drop(frames);
    let metrics = String::from_utf8(api.querier.metrics.render(0, |_| {})).unwrap();
    assert!(metrics.contains("masthead_queries_total{endpoint=\"read\",outcome=\"canceled\"} 1"), "{metrics}");
}

/// A client that pauses until the time is up has a part of the answer, and must not take it for the whole.
#[tokio::test]
async fn a_stream_that_ends_late_is_broken_off() {
    let up = |i: usize| series(&[("__name__", "up"), ("i", &format!("{i:05}"))], &[1.0]);
    let wide = MemoryStore::new("wide:10901", &Labels::empty(), &(0..3_000).map(up).collect::<Vec<_>>());
    let api = api_over(vec![Arc::new(wide)], |_| {});
    let request = http::Request::post("/api/v1/read?timeout=2").body(Body::from(read_request())).unwrap();
    let mut frames = serve(api.clone(), request).await.into_body().into_data_stream();
    assert!(frames.next().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    let last = frames.fold(None, |_, frame| async move { Some(frame.is_ok()) }).await;
    assert_eq!(last, Some(false), "the end is an error");
    let metrics = String::from_utf8(api.querier.metrics.render(0, |_| {})).unwrap();
    assert!(metrics.contains("masthead_queries_total{endpoint=\"read\",outcome=\"timeout\"} 1"), "{metrics}");
}

/// With a gap a store counts as incomplete from the beginning; its failure is news all the same.
#[tokio::test]
async fn a_store_with_a_gap_may_fail_too() {
    let gap = masthead_store::Gap {
        labels: Labels::empty(),
        min_time: T * 1000,
        max_time: i64::MAX,
        reason: "its head is not read".into(),
    };
    let up = |i: usize| series(&[("__name__", "up"), ("i", &format!("{i:05}"))], &[1.0]);
    let wide = MemoryStore::new("wide:10901", &Labels::empty(), &(0..3_000).map(up).collect::<Vec<_>>());
    let failing = FaultyStore::new(Arc::new(wide.with_gaps(vec![gap])), Fault::Error(1));
    let api = api_over(vec![Arc::new(failing)], |_| {});
    let request = http::Request::post("/api/v1/read").body(Body::from(read_request())).unwrap();
    let response = serve(api.clone(), request).await;
    assert!(response.headers()["masthead-coverage"].to_str().unwrap().starts_with("partial"));
    assert!(axum::body::to_bytes(response.into_body(), usize::MAX).await.is_err());
}

/// Each further selector costs as much as the first, whatever is wanted of missing stores.
#[tokio::test]
async fn selectors_are_judged_one_by_one() {
    let api = api_over(vec![Arc::new(east()), Arc::new(dead_west())], |_| {});
    for path in ["series", "labels", "label/job/values"] {
        let many = "match[]=up{cluster=%22prod-us-east%22}&".repeat(30);
        let got = get(&api, &format!("/api/v1/{path}?{many}partial_response=false")).await;
        assert_eq!((got.status, got.header("masthead-coverage")), (200, "complete"), "{path}: {}", got.body);
        let got = get(&api, &format!("/api/v1/{path}?{many}match[]=up&partial_response=false")).await;
        let partial = "partial; answered=1; asked=2; missing=\"prod-eu-west\"";
        assert_eq!((got.status, got.header("masthead-coverage")), (503, partial), "{path}: {}", got.body);
    }
}
