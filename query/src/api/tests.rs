//! The API as clients see it, over stores in memory.

use std::time::{Duration, UNIX_EPOCH};

use masthead_store::testing::{Fault, FaultyStore, MemoryStore};
use masthead_store::{Budget, Labels, MatchOp, Matcher, Samples, Store, StoreError, StoreErrorKind, StoreState};

mod bounds;
mod federation;
mod paths;
mod requests;
mod thanos;

use super::*;
use crate::config::{Config, Feature};
use crate::metrics::Metrics;
use crate::stores::StoreSet;

mod facts;

/// 2023-11-14T22:13:20Z.
const T: i64 = 1_700_000_000;

fn series(pairs: &[(&str, &str)], values: &[f64]) -> (Labels, Samples) {
    let timestamps = (0..values.len() as i64).map(|i| (T + i * 60) * 1000).collect();
    (Labels::from_pairs(pairs.iter().copied()), Samples { timestamps, values: values.to_vec(), ..Samples::default() })
}

fn east() -> MemoryStore {
    let external = Labels::from_pairs([("cluster", "prod-us-east"), ("replica", "a")]);
    let all = [
        series(&[("__name__", "up"), ("job", "api")], &[1.0, 1.0]),
        series(&[("__name__", "up"), ("job", "<db>")], &[0.0, 1.0]),
        series(&[("__name__", "with.dot"), ("label.dot", "x")], &[2.5]),
    ];
    MemoryStore::new("east:10901", &external, &all)
}

fn west() -> MemoryStore {
    let external = Labels::from_pairs([("cluster", "prod-eu-west"), ("replica", "a")]);
    MemoryStore::new("west:10901", &external, &[series(&[("__name__", "up")], &[1.0])])
}

fn dead_west() -> MemoryStore {
    let error = StoreError::new(StoreErrorKind::Unavailable, "connect: refused");
    let since = UNIX_EPOCH + Duration::from_secs(T as u64);
    west().with_state(StoreState::Down { since, error })
}

fn api_over(stores: Vec<Arc<dyn Store>>, change: impl FnOnce(&mut Config)) -> Arc<Api> {
    let mut config = Config::default();
    config.query.replica_labels = vec!["replica".into()];
    change(&mut config);
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(config.limits.memory));
    let memory = Budget::new("process", config.limits.memory);
    let querier = Querier::new(config, Arc::new(StoreSet::fixed(stores)), metrics, memory).unwrap();
    let api = Api::with_clock(querier, || UNIX_EPOCH + Duration::from_secs(T as u64));
    api.set_ready();
    Arc::new(api)
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(api: &Arc<Api>, request: http::request::Builder, body: &'static str) -> Got {
    let response = serve(api.clone(), request.body(Body::from(body)).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Got { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(api: &Arc<Api>, path: &str) -> Got {
    ask(api, http::Request::get(path), "").await
}

/// What the sentences of an error look like.
fn error(kind: &str, text: &str) -> String {
    String::from_utf8(encode::error_body(kind, text)).unwrap()
}

#[tokio::test]
async fn a_complete_answer_is_prometheus_own_with_a_header() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let got = get(&api, "/api/v1/query?query=up&time=1700000060").await;
    assert_eq!(got.status, 200);
    assert_eq!(
        got.body,
        concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":["#,
            r#"{"metric":{"__name__":"up","cluster":"prod-us-east","job":"<db>"},"value":[1700000060,"1"]},"#,
            r#"{"metric":{"__name__":"up","cluster":"prod-us-east","job":"api"},"value":[1700000060,"1"]}]}}"#
        )
    );
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("masthead-coverage"), "complete");
    assert_eq!(got.header("cache-control"), "");
    assert_eq!(got.header("x-request-id").len(), 16);
    let range = get(&api, "/api/v1/query_range?query=sum(up)&start=1700000000&end=1700000060.5&step=1m").await;
    assert_eq!(
        range.body,
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":["#,
            r#"{"metric":{},"values":[[1700000000,"1"],[1700000060,"2"]]}]}}"#
        )
    );
    // What Grafana's alerting and its exemplars find out at their start.
    let ruler = get(&api, "/api/ruler/grafana/api/v1/rules").await;
    assert!(ruler.status == 404 && ruler.body.contains("page not found"), "{}", ruler.body);
    let probe = get(&api, "/api/v1/query_exemplars?query=test&start=1700000000000&end=1700003600000").await;
    assert_eq!((probe.status, probe.body.as_str()), (200, r#"{"status":"success","data":[]}"#));
    let health = get(&api, "/api/v1/query?query=1%2B1&time=4").await;
    assert_eq!(health.body, r#"{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}"#);
}

#[tokio::test]
async fn what_is_missing_is_named_in_header_warning_and_json() {
    let api = api_over(vec![Arc::new(east()), Arc::new(dead_west())], |_| {});
    for path in [
        "/api/v1/query?query=count(up)&time=1700000060&coverage=true",
        "/api/v1/series?match[]=up&coverage=true",
        "/api/v1/labels?coverage=true",
        "/api/v1/label/job/values?coverage=true",
    ] {
        let got = get(&api, path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        assert_eq!(got.header("masthead-coverage"), "partial; answered=1; asked=2; missing=\"prod-eu-west\"", "{path}");
        assert_eq!(got.header("cache-control"), "no-store");
        let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        assert_eq!(
            json["warnings"],
            serde_json::json!([
                "store west:10901 (cluster \"prod-eu-west\") is missing since 2023-11-14T22:13:20Z: connect: refused"
            ])
        );
        assert_eq!(json["coverage"]["missing"], serde_json::json!(["prod-eu-west"]), "{path}");
        let refused = get(&api, &format!("{path}&partial_response=false")).await;
        assert_eq!(refused.status, 503, "{path}");
        assert_eq!(refused.header("masthead-coverage"), got.header("masthead-coverage"));
        assert_eq!(refused.header("cache-control"), "no-store");
        let text = "the answer would be incomplete and partial_response is off; west:10901: connect: refused";
        assert_eq!(refused.body, error("unavailable", text));
    }
    // A store that cannot contribute is in no other answer.
    let got = get(&api, "/api/v1/query?query=up{cluster=%22prod-us-east%22}&time=1700000060&partial_response=0").await;
    assert_eq!((got.status, got.header("masthead-coverage")), (200, "complete"), "{}", got.body);
}

/// Who asks and gets no answer learns all the same who was asked.
#[tokio::test]
async fn failures_behind_the_asking_carry_coverage() {
    const DUPLICATE: &str = "/api/v1/query?query=up%2Bon(cluster)up&time=1700000060";
    let partial = "partial; answered=1; asked=2; missing=\"prod-eu-west\"";
    let many = "query processing would load too many samples into memory in query execution";
    type Change = fn(&mut Config);
    let rows: [(&str, Change, u16, &str); 6] = [
        (
            "/api/v1/query?query=up&time=1700000060",
            |config| config.limits.series = 1,
            422,
            "more than limits.series=1;",
        ),
        (DUPLICATE, |_| {}, 422, "found duplicate series for the match group"),
        ("/api/v1/query?query=up&time=1700000060", |config| config.limits.max_samples = 2, 422, many),
        (
            "/api/v1/query_range?query=up&start=1700000000&end=1700000060&step=60",
            |config| config.limits.query_memory = 1,
            422,
            "memory limit",
        ),
        ("/api/v1/series?match[]=up", |config| config.limits.query_memory = 1, 422, "memory limit"),
        ("/api/v1/labels", |config| config.limits.query_memory = 1, 422, "memory limit"),
    ];
    for (path, change, status, text) in rows {
        for (stores, coverage) in [
            (vec![Arc::new(east()) as Arc<dyn Store>], "complete"),
            (vec![Arc::new(east()), Arc::new(dead_west())], partial),
        ] {
            let got = get(&api_over(stores, change), path).await;
            assert_eq!((got.status, got.header("masthead-coverage")), (status, coverage), "{path}: {}", got.body);
            assert!(got.body.contains(text), "{path}: {}", got.body);
            assert!(got.body.contains(r#""errorType":"execution""#), "{path}: {}", got.body);
        }
    }
}

/// Whose answer was not read to its end when the time is up is missing, and the merge reads no further than the slowest; who
/// waits for a slot has asked nobody.
#[tokio::test]
async fn a_query_out_of_time_names_who_had_not_finished() {
    let stalled: Arc<dyn Store> = Arc::new(FaultyStore::new(Arc::new(west()), Fault::Stall(0)));
    let stores = || vec![Arc::new(east()) as Arc<dyn Store>, stalled.clone()];
    let api = api_over(stores(), |config| config.sources.response_timeout = Duration::ZERO);
    for path in ["/api/v1/query?query=sum(up)&time=1700000060", "/api/v1/series?match[]=up"] {
        let got = get(&api, &format!("{path}&timeout=0.1")).await;
        let late = "partial; answered=0; asked=2; missing=\"prod-eu-west,prod-us-east\"";
        assert_eq!((got.status, got.header("masthead-coverage")), (503, late), "{path}: {}", got.body);
        assert_eq!(got.body, error("timeout", "query timed out in expression evaluation"));
    }
    let api = api_over(stores(), |config| {
        config.sources.response_timeout = Duration::ZERO;
        config.query.max_concurrent = 1;
    });
    let running = tokio::spawn({
        let api = api.clone();
        async move { get(&api, "/api/v1/query?query=up&time=1700000060&timeout=20").await.status }
    });
    while api.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let got = get(&api, "/api/v1/query?query=up&timeout=0.05").await;
    assert_eq!((got.status, got.header("masthead-coverage")), (503, ""), "{}", got.body);
    running.abort();
}

#[tokio::test]
async fn parameters_fail_with_prometheus_texts() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    for (path, text) in [
        ("/api/v1/query", "invalid parameter \"query\": unknown position: parse error: no expression found in input"),
        ("/api/v1/query?query=up&limit=x", "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"),
        (
            "/api/v1/query?query=up&time=x",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        ("/api/v1/query?query=up&timeout=x", "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration"),
        ("/api/v1/query?query=up&timeout=0", "invalid parameter \"query\": context deadline exceeded"),
        (
            "/api/v1/query?query=up&lookback_delta=x",
            "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        ("/api/v1/query_range?query=up", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
        ("/api/v1/series", "no match[] parameter provided"),
        ("/api/v1/series?match[]=%zz", "error parsing form values: invalid URL escape \"%zz\""),
        (
            "/api/v1/series?match[]=up{",
            "invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces",
        ),
        (
            "/api/v1/series?match[]={job=%22%22}",
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        ("/api/v1/labels?match[]={}", "match[] must contain at least one non-empty matcher"),
        ("/api/v1/label/job/values?match[]=up{", "1:4: parse error: unexpected end of input inside braces"),
        ("/api/v1/label/U__/values", "invalid label name: \"\""),
        ("/api/v1/query_exemplars", "unknown position: parse error: no expression found in input"),
        ("/api/v1/query_exemplars?query=up&start=2&end=1", "end timestamp must not be before start timestamp"),
        ("/api/v1/metadata?limit=x", "limit must be a number"),
        ("/api/v1/metadata?limit_per_metric=x", "limit_per_metric must be a number"),
        ("/api/v1/rules?type=x", "invalid parameter \"type\": not supported value \"x\""),
        (
            "/api/v1/rules?group_limit=x",
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": \
             invalid syntax",
        ),
    ] {
        let got = get(&api, path).await;
        assert_eq!((got.status, got.body.as_str()), (400, error("bad_data", text).as_str()), "{path}");
        assert_eq!(
            (got.header("cache-control"), got.header("masthead-coverage")),
            ("no-store", ""),
            "nobody was asked"
        );
    }
}

#[tokio::test]
async fn the_empty_forms() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    for (path, status, body) in [
        ("/api/v1/metadata?limit=40000", 200, r#"{"status":"success","data":{}}"#),
        ("/api/v1/rules?type=alert", 200, r#"{"status":"success","data":{"groups":[]}}"#),
        (
            "/api/v1/query_exemplars?query=test&start=1700000000000&end=1700000600000",
            200,
            r#"{"status":"success","data":[]}"#,
        ),
        ("/api/v1/query_exemplars?query=1", 204, ""),
        ("/api/v1/labels?start=6&end=5", 200, r#"{"status":"success","data":[]}"#),
        ("/api/v1/label/nope/values", 200, r#"{"status":"success","data":[]}"#),
        ("/api/v1/label//values", 404, "404 page not found\n"),
        ("/api/v1/label/%zz/values", 400, "400 Bad Request"),
        ("/api/v1/admin/tsdb/x", 404, "404 page not found\n"),
        (
            "/api/v1/search/label_names",
            500,
            r#"{"status":"error","errorType":"unavailable","error":"search API disabled"}"#,
        ),
        ("/api/v1/targets/relabel_steps", 404, "404 page not found\n"),
        ("/-/healthy", 200, "Masthead is healthy.\n"),
        ("/-/ready", 200, "Masthead is ready.\n"),
    ] {
        let got = get(&api, path).await;
        assert_eq!((got.status, got.body.as_str()), (status, body), "{path}");
    }
    let build: serde_json::Value = serde_json::from_str(&get(&api, "/api/v1/status/buildinfo").await.body).unwrap();
    assert_eq!(build["data"]["version"], "3.14.0");
    assert!(build["data"].get("features").is_none());
    let version = get(&api, "/version").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&version.body).unwrap(), build["data"]);
}

#[tokio::test]
async fn labels_series_and_their_limits() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    for (path, body) in [
        ("/api/v1/labels?match[]=up", r#"["__name__","cluster","job"]"#),
        ("/api/v1/labels?match[]=up&dedup=false", r#"["__name__","cluster","job","replica"]"#),
        ("/api/v1/label/job/values", r#"["\u003cdb\u003e","api"]"#),
        ("/api/v1/label/replica/values", "[]"),
        ("/api/v1/label/replica/values?dedup=false", r#"["a"]"#),
        ("/api/v1/label/U__label_2e_dot/values", r#"["x"]"#),
        ("/api/v1/label/label%2Edot/values", r#"["x"]"#),
        ("/api/v1/%6cabel/label.dot/v%61lues", r#"["x"]"#),
        ("/api/v1/label/__name__/values?limit=1", r#"["up"],"warnings":["results truncated due to limit"]"#),
        ("/api/v1/label/__name__/values?limit=2", r#"["up","with.dot"]"#),
        ("/api/v1/label/__name__/values?match[]=up&match[]={%22with.dot%22}", r#"["up","with.dot"]"#),
        ("/api/v1/series?match[]={job=%22api%22}", r#"[{"__name__":"up","cluster":"prod-us-east","job":"api"}]"#),
        (
            "/api/v1/series?match[]={job=~%22.%2B%22}&limit=1",
            r#"[{"__name__":"up","cluster":"prod-us-east","job":"<db>"}],"warnings":["results truncated due to limit"]"#,
        ),
        (
            "/api/v1/series?match[]={job=%22api%22}&match[]=up{job=%22api%22}&dedup=0",
            r#"[{"__name__":"up","cluster":"prod-us-east","job":"api","replica":"a"}]"#,
        ),
        ("/api/v1/series?match[]=up&start=1&end=2", "[]"),
    ] {
        let got = get(&api, path).await;
        assert_eq!(got.body, format!(r#"{{"status":"success","data":{body}}}"#), "{path}");
    }
}

#[tokio::test]
async fn nobody_to_ask_is_said() {
    let api = api_over(vec![], |_| {});
    for path in ["/api/v1/query?query=up", "/api/v1/series?match[]=up", "/api/v1/labels", "/api/v1/label/job/values"] {
        let got = get(&api, path).await;
        assert!(
            got.body.ends_with(r#""warnings":["no store is configured, so that nothing was asked"]}"#),
            "{}",
            got.body
        );
    }
    assert!(!get(&api, "/api/v1/query?query=1").await.body.contains("warnings"));
}

#[tokio::test]
async fn expressions_are_formatted_and_parsed() {
    let api = api_over(vec![], |config| config.query.features = vec![Feature::FillModifiers]);
    for (path, expected) in [
        ("format_query?query=sum(x)by(a)%3E1", r#""sum by (a) (x) \u003e 1""#),
        (
            "parse_query?query=-rate(up{a!=%22b%22}[5m]offset+1m)",
            concat!(
                r#"{"expr":{"args":[{"anchored":false,"matchers":[{"name":"a","type":"!=","value":"b"},"#,
                r#"{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":60000,"offsetExpr":null,"#,
                r#""range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"#,
                r#""type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","#,
                r#""variadic":0},"type":"call"},"op":"-","type":"unaryExpr"}"#
            ),
        ),
        (
            "parse_query?query=a*on(b)group_left(c)fill_left(1e-7)d+@+end()",
            concat!(
                r#"{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"#,
                r#""name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"#,
                r#""type":"vectorSelector"},"matching":{"card":"many-to-one","fillValues":{"lhs":1e-7,"rhs":null},"#,
                r#""include":["c"],"labels":["b"],"on":true},"op":"*","rhs":{"anchored":false,"#,
                r#""matchers":[{"name":"__name__","type":"=","value":"d"}],"name":"d","offset":0,"offsetExpr":null,"#,
                r#""smoothed":false,"startOrEnd":"end","timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}"#
            ),
        ),
        (
            "parse_query?query=(topk+without+()(1,count_values(%22v%22,vector(2)))[(5):-step()*(1m)]+@+1.5)",
            concat!(
                r#"{"expr":{"expr":{"expr":{"expr":{"args":[{"type":"numberLiteral","val":"2"}],"#,
                r#""func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"#,
                r#""grouping":[],"op":"count_values","param":{"type":"stringLiteral","val":"v"},"type":"aggregation","#,
                r#""without":false},"grouping":[],"op":"topk","param":{"type":"numberLiteral","val":"1"},"#,
                r#""type":"aggregation","without":true},"offset":0,"offsetExpr":null,"range":0,"#,
                r#""rangeExpr":{"lhs":null,"op":"+","rhs":{"duration":false,"type":"numberLiteral","val":"5"},"#,
                r#""type":"durationExpr","wrapped":true},"startOrEnd":null,"step":0,"stepExpr":{"lhs":{"lhs":null,"#,
                r#""op":"-","rhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false},"#,
                r#""type":"durationExpr","wrapped":false},"op":"*","rhs":{"lhs":null,"op":"+","#,
                r#""rhs":{"duration":true,"type":"numberLiteral","val":"60"},"type":"durationExpr","wrapped":true},"#,
                r#""type":"durationExpr","wrapped":false},"timestamp":1500,"type":"subquery"},"type":"parenExpr"}"#
            ),
        ),
    ] {
        let got = get(&api, &format!("/api/v1/{path}")).await;
        assert_eq!(got.body, format!(r#"{{"status":"success","data":{expected}}}"#), "{path}");
    }
    let got = get(&api, "/api/v1/parse_query?query=").await;
    let text = "invalid parameter \"query\": unknown position: parse error: no expression found in input";
    assert_eq!((got.status, got.body), (400, error("bad_data", text)));
}

#[tokio::test]
async fn the_server_tells_of_itself() {
    let api = api_over(vec![], |config| config.query.features = vec![Feature::ExtendedRangeSelectors]);
    let data = async |path: &str| {
        let got = get(&api, &format!("/api/v1/{path}")).await;
        assert_eq!(got.status, 200, "{path}");
        serde_json::from_str::<serde_json::Value>(&got.body).unwrap()["data"].clone()
    };
    let features = data("features").await;
    for (category, name, on) in [
        ("promql", "anchored", true),
        ("promql", "fill_left", false),
        ("promql", "bool", true),
        ("promql_operators", ">=", true),
        ("promql_operators", "limitk", false),
        ("promql_functions", "rate", true),
        ("promql_functions", "info", false),
        ("api", "remote_write_receiver", false),
    ] {
        assert_eq!(features[category][name], on, "{category} {name}");
    }
    assert_eq!(data("status/flags").await["query.timeout"], "2m");
    assert!(data("status/config").await["yaml"].as_str().unwrap().contains("query.timeout: \"2m\"\n"));
    let info = data("status/runtimeinfo").await;
    assert_eq!((&info["reloadConfigSuccess"], &info["corruptionCount"]), (&true.into(), &0.into()));
    assert!(info["serverTime"].as_str().unwrap() >= info["startTime"].as_str().unwrap());
    assert_eq!(data("status/tsdb/blocks").await, serde_json::json!({"blocks": []}));
    assert_eq!(data("alertmanagers").await["activeAlertmanagers"], serde_json::json!([]));
}

#[tokio::test]
async fn limits_and_stats_warn() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    let got = get(&api, "/api/v1/query?query=up&time=1700000060&limit=1&stats=foo").await;
    let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(json["data"]["result"].as_array().unwrap().len(), 1);
    assert!(json["data"]["stats"]["timings"]["execTotalTime"].is_number());
    assert_eq!(
        json["warnings"],
        serde_json::json!([
            "results truncated due to limit",
            "value \"foo\" for parameter \"stats\" is deprecated and will be rejected in the next major release, use \
             \"true\" or \"all\""
        ])
    );
}

#[tokio::test]
async fn samples_are_counted_by_step() {
    let api = api_over(vec![Arc::new(east())], |config| config.query.features = vec![Feature::PerStepStats]);
    let (at, range) = ("query?time=1700000060", "query_range?start=1700000000&end=1700000060&step=60");
    for (path, query, total, read, steps) in [
        (at, "up", 2, 2, vec![2]),
        (at, "up[5m]", 4, 4, vec![4]),
        (range, "sum(up)", 4, 4, vec![2, 2]),
        // Both windows hold the first sample.
        (range, "rate(up[2m])", 6, 4, vec![2, 4]),
        (range, "up @ 1700000060", 4, 2, vec![2, 2]),
        // The first window has no point of the inner grid behind the first sample, the second one has two.
        (range, "max_over_time(up[1m:30s])", 4, 4, vec![0, 4]),
        (range, "1", 0, 0, vec![0, 0]),
    ] {
        let got = get(&api, &format!("/api/v1/{path}&stats=all&query={}", query.replace(' ', "+"))).await;
        let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        let samples = &json["data"]["stats"]["samples"];
        assert_eq!(
            (&samples["totalQueryableSamples"], &samples["samplesRead"]),
            (&total.into(), &read.into()),
            "{query}: {samples}"
        );
        let of_steps = samples["totalQueryableSamplesPerStep"].as_array().unwrap();
        assert_eq!(of_steps.iter().map(|pair| pair[1].as_u64().unwrap()).collect::<Vec<_>>(), steps, "{query}");
        assert!(of_steps.iter().all(|pair| pair[0].as_i64().is_some_and(|time| time >= T)), "{query}");
        assert_eq!(samples["peakSamples"].as_u64().unwrap() > 0, total > 0, "{query}");
        let plain = get(&api, &format!("/api/v1/{path}&stats=true&query={}", query.replace(' ', "+"))).await;
        assert!(!plain.body.contains("PerStep") && plain.body.contains("totalQueryableSamples"));
    }
}

#[tokio::test]
async fn deduplication_is_chosen_by_flag_and_parameter() {
    let external = Labels::from_pairs([("cluster", "prod-us-east"), ("replica", "b")]);
    let other =
        MemoryStore::new("east-b:10901", &external, &[series(&[("__name__", "up"), ("job", "api")], &[1.0, 1.0])]);
    let api = api_over(vec![Arc::new(east()), Arc::new(other)], |_| {});
    for (more, count) in [("", 1), ("&dedup=false", 2), ("&replicaLabels[]=", 2), ("&replicaLabels[]=cluster", 2)] {
        let got = get(&api, &format!("/api/v1/query?query=count(up{{job=%22api%22}})&time=1700000060{more}")).await;
        assert!(got.body.contains(&format!("\"{count}\"]")), "{more}: {}", got.body);
    }
}

#[tokio::test]
async fn before_all_is_ready_no_data_is_served() {
    let api = api_over(vec![Arc::new(east())], |_| {});
    api.ready.store(false, Ordering::Relaxed);
    let buildinfo = "/api/v1/status/buildinfo";
    for path in ["/-/ready", "/api/v1/query?query=1", "/api/v1/labels", buildinfo, "/api/v1/features"] {
        let got = get(&api, path).await;
        assert_eq!((got.status, got.body.as_str()), (503, "Service Unavailable"), "{path}");
    }
    assert_eq!(get(&api, "/api/v1/query?query=1").await.header("x-prometheus-stopping"), "false");
    for path in ["/-/healthy", "/api/v1/stores", "/api/v1/status/walreplay"] {
        assert_eq!(get(&api, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn stores_metrics_and_page_show_the_state() {
    let api = api_over(vec![Arc::new(east()), Arc::new(dead_west())], |_| {});
    let stores: serde_json::Value = serde_json::from_str(&get(&api, "/api/v1/stores").await.body).unwrap();
    let stores = stores["data"]["memory"].as_array().unwrap();
    assert_eq!((&stores[0]["name"], &stores[0]["state"]), (&"east:10901".into(), &"up".into()));
    assert_eq!((&stores[0]["lastError"], &stores[0]["since"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!((&stores[1]["state"], &stores[1]["since"]), (&"down".into(), &"2023-11-14T22:13:20Z".into()));
    assert_eq!(stores[1]["lastError"], "connect: refused");
    assert_eq!(stores[1]["labelSets"][0]["cluster"], "prod-eu-west");
    get(&api, "/api/v1/query?query=up&time=1700000060").await;
    let metrics = get(&api, "/metrics").await;
    for line in [
        "masthead_store_up{component=\"memory\",store=\"west:10901\"} 0",
        "masthead_store_up{component=\"memory\",store=\"east:10901\"} 1",
        "masthead_queries_total{endpoint=\"query\",outcome=\"partial\"} 1",
        "masthead_store_failures_total{kind=\"unavailable\",store=\"west:10901\"} 1",
        "masthead_memory_used_bytes 0",
        "masthead_queries_in_flight 0",
    ] {
        assert!(metrics.body.lines().any(|have| have == line), "{line} is not in\n{}", metrics.body);
    }
    let page = get(&api, "/").await;
    assert!(page.body.contains(concat!("Version ", env!("CARGO_PKG_VERSION"))) && !page.body.contains("://"));
}
