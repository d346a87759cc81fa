//! Blocks that a real Prometheus 3 wrote (`fixtures/fleet`, made by `scripts/make-fleet-blocks`), asked over blocks, over
//! StoreAPI servers, and over both at once. Without deduplication all three give what one Prometheus 3 gives that holds the
//! four replicas as labelled series; with deduplication the three give the same bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::path::{Path, PathBuf};

use masthead_bench::data::copy;
use masthead_bench::process::Server;
use masthead_tests::answers::near;
use masthead_tests::needed;
use serde_json::Value;

const REPLICAS: [(&str, &str); 4] = [("prod-east", "a"), ("prod-east", "b"), ("prod-west", "a"), ("prod-west", "b")];
/// Start and end of the data, s.
const START: i64 = 1_700_006_400;
const END: i64 = START + 5 * 3600;

const QUERIES: &[&str] = &[
    "up",
    "http_requests_total{code=\"500\"}",
    "queue_depth",
    "temperature_celsius",
    "rate(http_requests_total[5m])",
    "increase(http_requests_total{job=\"api\"}[17m])",
    "irate(http_requests_total{code=\"200\"}[3m])",
    "delta(memory_usage_bytes[10m])",
    "resets(jobs_processed_total[1h])",
    "changes(temperature_celsius[20m])",
    "count_over_time(queue_depth[10m])",
    "avg_over_time(memory_usage_bytes{job!=\"web\"}[7m])",
    "deriv(temperature_celsius[15m])",
    "last_over_time(jobs_processed_total[1m])",
    "sum by (cluster, job) (rate(http_requests_total[5m]))",
    "histogram_quantile(0.9, sum by (le, cluster) (rate(http_request_duration_seconds_bucket[5m])))",
    "sum by (cluster) (rate(http_requests_total{code=\"500\"}[5m])) / sum by (cluster) (rate(http_requests_total[5m]))",
    "topk(2, memory_usage_bytes)",
    "quantile_over_time(0.5, rate(http_requests_total{job=\"web\"}[5m])[30m:1m])",
    "temperature_celsius{site=~\"roof.*\\n\"} offset 10m",
    "jobs_processed_total @ 1700013600 - jobs_processed_total offset 1h",
    "absent(queue_depth{queue=\"nothing\"})",
    "count by (__name__) ({__name__=~\".+\"})",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fleet")
}

fn blocks(cluster: &str, replica: &str) -> String {
    let data = fixtures().join(format!("{cluster}-{replica}"));
    format!("--blocks={},cluster={cluster},replica={replica}", data.display())
}

/// The three ways to the same data: blocks, stores, both. The servers behind are kept alive beside them.
fn ways() -> (Vec<(&'static str, Server)>, Vec<Server>) {
    let behind: Vec<Server> = REPLICAS.iter().map(|(c, r)| Server::masthead([blocks(c, r)]).unwrap()).collect();
    let dedup = || vec!["--query.replica-label=replica".to_owned()];
    let over_blocks = || REPLICAS.iter().map(|(cluster, replica)| blocks(cluster, replica));
    let over_stores = || behind.iter().map(|server| format!("--endpoint={}", server.grpc_address));
    let start = |args: Vec<String>| Server::masthead(args).unwrap();
    let ways = vec![
        ("blocks", start(dedup().into_iter().chain(over_blocks()).collect())),
        ("stores", start(dedup().into_iter().chain(over_stores()).collect())),
        ("both", start(dedup().into_iter().chain(over_blocks()).chain(over_stores()).collect())),
    ];
    (ways, behind)
}

/// Instant and range questions for a query: path and parameters.
fn questions(query: &str) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let instants = [START + 3_000, START + 6_723, START + 10_500, END - 600];
    let query = ("query", query.to_owned());
    let mut questions: Vec<_> =
        instants.iter().map(|t| ("/api/v1/query", vec![query.clone(), ("time", t.to_string())])).collect();
    for (start, end, step) in [(START - 600, END + 600, "60"), (START + 5_417, START + 9_000, "17")] {
        let params = vec![query.clone(), ("start", start.to_string()), ("end", end.to_string()), ("step", step.into())];
        questions.push(("/api/v1/query_range", params));
    }
    questions
}

fn ask(server: &Server, path: &str, params: &[(&str, String)], more: &[(&str, &str)]) -> Vec<u8> {
    let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (*n, v.as_str())).chain(more.iter().copied()).collect();
    let (status, body) = server.get(path, &params).unwrap();
    assert_eq!(status, 200, "{path} {params:?}: {}", String::from_utf8_lossy(&body));
    body
}

/// The result with its series in one order.
fn normal(body: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(body).unwrap();
    let mut data = answer["data"].take();
    if let Some(series) = data["result"].as_array_mut() {
        series.sort_by_cached_key(|s| s["metric"].to_string());
    }
    data
}

#[test]
fn without_deduplication_all_ways_agree_with_a_real_prometheus() {
    let Some(prometheus) = needed::prometheus() else { return };
    let data = tempfile::tempdir().unwrap();
    copy(&fixtures().join("all"), data.path()).unwrap();
    let reference = Server::prometheus(&prometheus, data.path(), "", &[]).unwrap();
    let (ways, _behind) = ways();
    let (mut compared, mut found) = (0, 0);
    for query in QUERIES {
        for (path, params) in questions(query) {
            let expected = normal(&ask(&reference, path, &params, &[]));
            found += usize::from(expected["result"].as_array().is_some_and(|series| !series.is_empty()));
            for (way, server) in &ways {
                let ours = normal(&ask(server, path, &params, &[("dedup", "false")]));
                assert!(
                    near(&expected, &ours, 1e-12),
                    "over {way}: {path} {params:?}\nPrometheus {expected}\nMasthead   {ours}"
                );
                compared += 1;
            }
        }
    }
    println!("{compared} answers equal those of a real Prometheus, for {found} questions with series");
    assert!(found * 3 > compared / ways.len() * 2, "only {found} questions find series");
}

#[test]
fn with_deduplication_all_ways_give_the_same_bytes() {
    let (ways, _behind) = ways();
    for query in QUERIES {
        for (path, params) in questions(query) {
            let expected = ask(&ways[0].1, path, &params, &[]);
            for (way, server) in &ways[1..] {
                let ours = ask(server, path, &params, &[]);
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                assert!(
                    expected == ours,
                    "over {way}: {path} {params:?}\nblocks {}\n{way} {}",
                    text(&expected),
                    text(&ours)
                );
            }
        }
    }
}

/// Rows of so many steps that they are shared out among the threads, which those of the recorded questions are not.
#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let with = |threads: &str| {
        let blocks = REPLICAS.iter().map(|(cluster, replica)| blocks(cluster, replica));
        let flags = ["--query.replica-label=replica".to_owned(), format!("--query.threads={threads}")];
        Server::masthead(flags.into_iter().chain(blocks)).unwrap()
    };
    let (one, others) = (with("1"), [with("2"), with("8")]);
    let span = [("start", START.to_string()), ("end", END.to_string()), ("step", "2".to_owned())];
    for query in QUERIES {
        let params: Vec<_> = span.iter().cloned().chain([("query", (*query).to_owned())]).collect();
        let expected = ask(&one, "/api/v1/query_range", &params, &[]);
        for server in &others {
            assert!(expected == ask(server, "/api/v1/query_range", &params, &[]), "{query}");
        }
    }
}
