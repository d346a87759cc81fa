//! What a request may take: size, depth, time and memory.

use super::*;

#[tokio::test]
async fn what_is_too_large_or_too_deep_is_a_clear_error() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let range = get(&api, "/api/v1/query_range?query=1&start=0&end=12000&step=1").await;
    assert!(
        range.status == 400 && range.body.contains("exceeded maximum resolution of 11,000 points"),
        "{}",
        range.body
    );
    let form = |query: String| {
        let request = http::Request::post("/api/v1/query").header("content-type", "application/x-www-form-urlencoded");
        request.body(Body::from(format!("query={query}"))).unwrap()
    };
    for (query, status) in [
        (format!("{}1{}", "(".repeat(5000), ")".repeat(5000)), 400),
        (format!("{}1", "-".repeat(100_000)), 400),
        (vec!["1"; 100_000].join("%2B"), 400),
        ("a".repeat(600 << 10), 400),
        (format!("vector(1)%2B{}", "1%5E".repeat(450) + "1"), 200),
    ] {
        let response = serve(api.clone(), form(query)).await;
        assert_eq!(response.status().as_u16(), status);
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_ends_and_gives_everything_back() {
    use masthead_store::testing::{Fault, FaultyStore};
    let hanging = FaultyStore::new(Arc::new(east()), Fault::Stall(0));
    let api = api_over(vec![Arc::new(hanging)], |_| {});
    let got = get(&api, "/api/v1/query?query=up&time=1700000060&timeout=50ms").await;
    assert_eq!((got.status, got.body), (503, error("timeout", "query timed out in expression evaluation")));
    // The driver is woken; it gives its slot back when it ends.
    for _ in 0..500 {
        if api.querier.metrics.in_flight.get() == 0.0 && api.querier.memory.used() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the driver is still there");
}

/// Stores are told when the caller stops to wait: the configured time, or the shorter one of the request.
#[tokio::test]
async fn stores_know_the_deadline_of_a_query() {
    let store = east();
    let timeout = Duration::from_secs(50);
    let api = api_over(vec![Arc::new(store.clone())], |config| config.query.timeout = timeout);
    for (path, seconds) in [
        ("query?query=up&time=1700000060", 50),
        ("query?query=up&time=1700000060&timeout=7", 7),
        ("query_range?query=up&start=1700000000&end=1700000060&step=60&timeout=8", 8),
        ("query?query=up&time=1700000060&timeout=9999", 50),
        ("series?match[]=up&timeout=9", 9),
        // Labels are waited for as long as a store may be silent.
        ("labels?timeout=3", 3),
        ("labels", 5),
        ("label/job/values?timeout=4", 4),
    ] {
        let before = tokio::time::Instant::now();
        assert_eq!(get(&api, &format!("/api/v1/{path}")).await.status, 200, "{path}");
        let (asked, time) = (store.last_deadline().unwrap(), Duration::from_secs(seconds));
        // Asked between the two, however long that took.
        assert!(before + time <= asked && asked <= tokio::time::Instant::now() + time, "{path}: {asked:?}");
    }
}

/// Labels of an answer are paid for until they are sent, like everything else.
#[tokio::test]
async fn labels_beyond_the_budget_are_refused() {
    let values =
        |i: usize| (Labels::from_pairs([("__name__", "up"), ("pod", &format!("{i:06}"))]), series(&[], &[1.0]).1);
    let all: Vec<_> = (0..5_000).map(values).collect();
    let store = Arc::new(MemoryStore::new("memory:1", &Labels::empty(), &all));
    let api = api_over(vec![store], |config| config.limits.query_memory = 100_000);
    for path in ["label/pod/values", "series?match[]=up"] {
        let got = get(&api, &format!("/api/v1/{path}")).await;
        assert_eq!(got.status, 422, "{path}: {}", got.body);
        assert!(got.body.contains("memory limit of the query reached"), "{path}: {}", got.body);
    }
    assert_eq!(get(&api, "/api/v1/labels").await.body, r#"{"status":"success","data":["__name__","pod"]}"#);
    assert_eq!(api.querier.memory.used(), 0);
}
