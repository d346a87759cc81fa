//! Facts besides series, over stores in memory.

use masthead_store::facts::{
    ActiveTarget, Alert, AlertState, Alerting, Count, DroppedTarget, Exemplar, ExemplarSeries, Fact, Health, Kinds,
    MetricMetadata, Moment, Rule, RuleGroup, Statistics,
};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn rule(name: &str, replica: &str, alerting: Option<Alerting>) -> Rule {
    Rule {
        name: name.into(),
        query: "up < 1".into(),
        labels: labels(&[("cluster", "x"), ("replica", replica)]),
        health: "ok".into(),
        last_error: "".into(),
        evaluation_s: 1.5e-7,
        last_evaluation: Moment::new(T, 120_000_000),
        alerting,
    }
}

fn group(name: &str, rules: Vec<Rule>) -> Fact {
    Fact::RuleGroup(RuleGroup {
        name: name.into(),
        file: "f.yaml".into(),
        rules,
        interval_s: 30.0,
        limit: 0,
        evaluation_s: 0.002,
        last_evaluation: Moment::new(T, 0),
        aborts: true,
    })
}

fn alerting() -> Alerting {
    let alert = Alert {
        labels: labels(&[("alertname", "Down")]),
        annotations: labels(&[("summary", "<down>")]),
        state: AlertState::Firing,
        active_at: Some(Moment::new(T - 600, 0)),
        value: "0e+00".into(),
    };
    let annotations = labels(&[("summary", "<down>")]);
    Alerting { state: AlertState::Firing, hold_s: 300.0, keep_firing_s: 0.0, annotations, alerts: vec![alert] }
}

fn target(replica: &str) -> Fact {
    let discovered =
        [("__address__", "a:1"), ("__scrape_interval__", "30s"), ("__scrape_timeout__", "10s"), ("replica", replica)];
    Fact::ActiveTarget(ActiveTarget {
        discovered_labels: labels(&discovered),
        labels: labels(&[("job", "x"), ("replica", replica)]),
        scrape_pool: "x".into(),
        scrape_url: "http://a:1/metrics".into(),
        global_url: "http://a:1/metrics".into(),
        last_error: "".into(),
        last_scrape: Moment::new(T, 0),
        last_scrape_s: 0.25,
        health: Health::Up,
    })
}

fn metadata(metric: &str, kind: &str) -> Fact {
    let (metric, kind) = (metric.into(), kind.into());
    Fact::Metadata(MetricMetadata { metric, kind, help: "a < b".into(), unit: "".into() })
}

/// What replica `replica` of a cluster knows.
fn knowing(replica: &str, facts: Vec<Fact>) -> Arc<dyn Store> {
    let external = labels(&[("cluster", "x"), ("replica", replica)]);
    let head = Statistics {
        label_sets: vec![external.clone()],
        series: 7,
        label_pairs: 3,
        chunks: 9,
        min_time: -5,
        max_time: 8,
        series_by_metric: vec![Count { name: "up".into(), count: 4 }, Count { name: "b".into(), count: 3 }],
        ..Statistics::default()
    };
    let exemplar = Exemplar { labels: labels(&[("trace_id", "abc")]), value: 1e21, time: T * 1000 + 500 };
    let mut all = vec![
        metadata("up", "gauge"),
        group("b", vec![rule("Down", replica, Some(alerting())), rule("x:y", replica, None)]),
        target(replica),
        Fact::DroppedTarget(DroppedTarget { discovered_labels: labels(&[("job", "y"), ("replica", replica)]) }),
        Fact::Exemplars(ExemplarSeries {
            labels: labels(&[("__name__", "h_bucket"), ("cluster", "x"), ("replica", replica)]),
            exemplars: vec![exemplar],
        }),
        Fact::Statistics(head),
    ];
    all.extend(facts);
    Arc::new(MemoryStore::new(&format!("{replica}:10901"), &external, &[]).with_facts(Kinds::ALL, all))
}

fn both() -> Vec<Arc<dyn Store>> {
    let more = vec![metadata("up", "unknown"), metadata("a", "counter"), group("a", vec![rule("z", "b", None)])];
    vec![knowing("a", vec![]), knowing("b", more)]
}

/// Each endpoint's answer to the letter: replicas are one, keys in Prometheus' order.
#[tokio::test]
async fn facts_are_prometheus_own_forms() {
    let api = api_over(both(), |_| {});
    let alert = r#"{"labels":{"alertname":"Down"},"annotations":{"summary":"<down>"},"state":"firing","activeAt":"2023-11-14T22:03:20Z","value":"0e+00"}"#;
    let record = r#"{"name":"NAME","query":"up \u003c 1","labels":{"cluster":"x"},"health":"ok","evaluationTime":1.5e-7,"lastEvaluation":"2023-11-14T22:13:20.12Z","type":"recording"}"#;
    let down = r#"{"state":"firing","name":"Down","query":"up \u003c 1","duration":300,"keepFiringFor":0,"labels":{"cluster":"x"},"annotations":{"summary":"<down>"},"alerts":ALERTS,"health":"ok","evaluationTime":1.5e-7,"lastEvaluation":"2023-11-14T22:13:20.12Z","type":"alerting"}"#;
    let group = |name: &str, rules: &[String]| {
        format!(
            r#"{{"name":"{name}","file":"f.yaml","rules":[{}],"interval":30,"limit":0,"evaluationTime":0.002,"lastEvaluation":"2023-11-14T22:13:20Z"}}"#,
            rules.join(",")
        )
    };
    let named = |name: &str| record.replace("NAME", name);
    let with_alerts = down.replace("ALERTS", &format!("[{alert}]"));
    let a = group("a", &[named("z")]);
    let all = group("b", &[with_alerts.clone(), named("x:y")]);
    let target = r#"{"discoveredLabels":{"__address__":"a:1","__scrape_interval__":"30s","__scrape_timeout__":"10s"},"labels":{"job":"x"},"scrapePool":"x","scrapeUrl":"http://a:1/metrics","globalUrl":"http://a:1/metrics","lastError":"","lastScrape":"2023-11-14T22:13:20Z","lastScrapeDuration":0.25,"health":"up","scrapeInterval":"30s","scrapeTimeout":"10s"}"#;
    let dropped = r#"{"discoveredLabels":{"job":"y"},"scrapePool":"y"}"#;
    let gauge = r#"{"type":"gauge","help":"a \u003c b","unit":""}"#;
    let exemplars = r#"[{"seriesLabels":{"__name__":"h_bucket","cluster":"x"},"exemplars":[{"labels":{"trace_id":"abc"},"value":"1e+21","timestamp":1700000000.500}]}]"#;
    let head = r#"{"headStats":{"numSeries":7,"numLabelPairs":3,"chunkCount":9,"minTime":-5,"maxTime":8},"seriesCountByMetricName":[{"name":"up","value":4}],"labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}"#;
    let nothing = r#"{"headStats":{"numSeries":0,"numLabelPairs":0,"chunkCount":0,"minTime":0,"maxTime":0},"seriesCountByMetricName":[],"labelValueCountByLabelName":[],"memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}"#;
    for (path, data) in [
        ("rules", format!(r#"{{"groups":[{a},{all}]}}"#)),
        ("rules?type=ALERT", format!(r#"{{"groups":[{}]}}"#, group("b", &[with_alerts]))),
        ("rules?type=record&rule_group[]=b", format!(r#"{{"groups":[{}]}}"#, group("b", &[named("x:y")]))),
        ("rules?rule_name[]=z&file[]=f.yaml", format!(r#"{{"groups":[{a}]}}"#)),
        ("rules?file[]=g.yaml", r#"{"groups":[]}"#.to_owned()),
        ("rules?match[]={cluster=%22y%22}", r#"{"groups":[]}"#.to_owned()),
        (
            "rules?rule_name[]=Down&exclude_alerts=T",
            format!(r#"{{"groups":[{}]}}"#, group("b", &[down.replace("ALERTS", "null")])),
        ),
        (
            "rules?group_limit=1",
            format!(
                r#"{{"groups":[{a}],"groupNextToken":"e3b7325ef0196a4e3434fdc765843fc8126b88dcac8a5730b78faed9c0b01885"}}"#
            ),
        ),
        ("alerts", format!(r#"{{"alerts":[{alert}]}}"#)),
        (
            "targets",
            format!(
                r#"{{"activeTargets":[{target}],"droppedTargets":[{dropped}],"droppedTargetCounts":{{"x":0,"y":1}}}}"#
            ),
        ),
        (
            "targets?state=Active",
            format!(r#"{{"activeTargets":[{target}],"droppedTargets":[],"droppedTargetCounts":null}}"#),
        ),
        ("targets?state=none", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}"#.to_owned()),
        ("scrape_pools", r#"{"scrapePools":["x","y"]}"#.to_owned()),
        (
            "targets?scrapePool=z",
            r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{"x":0,"y":1}}"#.to_owned(),
        ),
        (
            "metadata?limit=-1",
            format!(
                r#"{{"a":[{}],"up":[{gauge},{}]}}"#,
                gauge.replace("gauge", "counter"),
                gauge.replace("gauge", "unknown")
            ),
        ),
        ("metadata?limit_per_metric=1&metric=up", format!(r#"{{"up":[{gauge}]}}"#)),
        ("metadata?limit=0", "{}".to_owned()),
        ("metadata?limit=1", format!(r#"{{"a":[{}]}}"#, gauge.replace("gauge", "counter"))),
        ("query_exemplars?query=rate(h_bucket{cluster=%22x%22}[5m])", exemplars.to_owned()),
        ("query_exemplars?query=up", "[]".to_owned()),
        ("query_exemplars?query=h_bucket&start=1700000000&end=1700000000.4", "[]".to_owned()),
        ("status/tsdb?limit=1", head.to_owned()),
        ("status/tsdb?match[]={cluster=%22y%22}", nothing.to_owned()),
    ] {
        let got = get(&api, &format!("/api/v1/{path}")).await;
        assert_eq!((got.status, &got.body), (200, &format!(r#"{{"status":"success","data":{data}}}"#)), "{path}");
        assert_eq!(got.header("masthead-coverage"), "complete", "{path}");
    }
}

/// A page begins with the group of its token and names that of the next; the token is Prometheus' own.
#[tokio::test]
async fn groups_come_in_pages() {
    let api = api_over(both(), |_| {});
    let page = async |query: &str| -> (Vec<String>, Option<String>) {
        let got = get(&api, &format!("/api/v1/rules?{query}")).await;
        let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
        let names = body["data"]["groups"].as_array().unwrap().iter();
        (
            names.map(|group| group["name"].as_str().unwrap().to_owned()).collect(),
            body["data"]["groupNextToken"].as_str().map(str::to_owned),
        )
    };
    let (names, token) = page("group_limit=1").await;
    assert_eq!(names, ["a"]);
    assert_eq!(page(&format!("group_limit=1&group_next_token={}", token.unwrap())).await, (vec!["b".to_owned()], None));
    assert_eq!(page("group_limit=2").await, (vec!["a".to_owned(), "b".to_owned()], None));
    for (query, text) in [
        (
            "group_next_token=x",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
        ),
        ("group_limit=0", "invalid parameter \"group_limit\": group_limit needs to be greater than 0"),
        (
            "group_limit=1&group_next_token=x",
            "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?",
        ),
        (
            "exclude_alerts=maybe",
            "invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
    ] {
        let got = get(&api, &format!("/api/v1/rules?{query}")).await;
        assert_eq!((got.status, got.body), (400, error("bad_data", text)), "{query}");
    }
    for (limit, text) in [
        ("0", "limit must be a positive number"),
        ("x", "limit must be a positive number"),
        ("10001", "limit must not exceed 10000"),
    ] {
        let got = get(&api, &format!("/api/v1/status/tsdb?limit={limit}")).await;
        assert_eq!((got.status, got.body), (400, error("bad_data", text)), "{limit}");
    }
}

/// Who fails is named as for a query; partial answers can be refused; replicas can be kept.
#[tokio::test]
async fn facts_have_coverage_and_choices() {
    let dead = FaultyStore::new(knowing("b", vec![]), Fault::Error(0));
    let api = api_over(vec![knowing("a", vec![]), Arc::new(dead), Arc::new(east())], |_| {});
    for path in ["rules", "alerts", "targets", "metadata", "query_exemplars?query=h_bucket", "status/tsdb"] {
        let sign = if path.contains('?') { '&' } else { '?' };
        let got = get(&api, &format!("/api/v1/{path}")).await;
        assert_eq!((got.status, got.header("cache-control")), (200, "no-store"), "{path}");
        assert_eq!(got.header("masthead-coverage"), "partial; answered=1; asked=2; missing=\"x\"", "{path}");
        assert!(
            got.body.contains("store b:10901 (cluster \\\"x\\\") is missing: read series: injected failure"),
            "{}",
            got.body
        );
        let got = get(&api, &format!("/api/v1/{path}{sign}partial_response=false")).await;
        assert_eq!(
            (got.status, got.header("masthead-coverage")),
            (503, "partial; answered=1; asked=2; missing=\"x\""),
            "{path}"
        );
    }
    let api = api_over(both(), |_| {});
    for (path, replicas) in
        [("rules?rule_group[]=b&type=record", 2), ("query_exemplars?query=h_bucket", 2), ("targets?state=dropped", 2)]
    {
        let got = get(&api, &format!("/api/v1/{path}&dedup=false")).await;
        assert_eq!(got.body.matches("\"replica\":").count(), replicas, "{path}: {}", got.body);
    }
    let got = get(&api, "/api/v1/status/tsdb?dedup=false").await;
    assert!(got.body.contains("\"numSeries\":14,"), "{}", got.body);
}

/// Facts that do not fit into a query's memory are refused, and give everything back.
#[tokio::test]
async fn facts_beyond_the_budget_are_refused() {
    let many = (0..1000).map(|i| metadata(&format!("metric_{i}"), "gauge")).collect();
    let api = api_over(vec![knowing("a", many)], |config| config.limits.query_memory = 50_000);
    let got = get(&api, "/api/v1/metadata").await;
    assert_eq!(got.status, 422, "{}", got.body);
    assert!(got.body.contains("memory limit of the query reached: facts needs"), "{}", got.body);
    assert_eq!(api.querier.memory.used(), 0);
}
