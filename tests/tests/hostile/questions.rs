//! Wrong questions, odd names and values, and nobody to ask.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ODD_NAME, T, ask, config, get, pod, query, serve, world};

/// A path and its parameters.
type Question<'a> = (&'static str, Vec<(&'static str, &'a str)>);

fn instant<'a>(query: &'a str, time: &'a str) -> Question<'a> {
    ("/api/v1/query", vec![("query", query), ("time", time)])
}

fn range<'a>(query: &'a str, start: &'a str, end: &'a str, step: &'a str) -> Question<'a> {
    ("/api/v1/query_range", vec![("query", query), ("start", start), ("end", end), ("step", step)])
}

/// Wrong questions, each answered by the text that tells what is wrong with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_questions_are_told_so() {
    let world = world().await;
    world.west.play(vec![pod("w1", 11.0), pod("w2", 12.0)]);
    let nested = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let deep = format!("{}up", "-".repeat(50_000));
    let rows = [
        (instant(&nested, "1"), "nest"),
        (instant(&deep, "1"), "nest"),
        (range("up", "2", "1", "1"), "end timestamp must not be before start time"),
        (range("up", "0", "12000", "1"), "exceeded maximum resolution of 11,000 points per timeseries"),
        (range("up", "0", "1", "0"), "zero or negative query resolution step widths are not accepted"),
        (range("up", "0", "Inf", "1"), "invalid parameter \"end\""),
        (range("up", "NaN", "1", "1"), "exceeded maximum resolution of 11,000 points per timeseries"),
        (instant("up", "now"), "invalid parameter \"time\""),
        (instant("up{pod=~\"(\"}", "1"), "missing closing )"),
        (instant("up{", "1"), "unexpected end of input"),
    ];
    for ((path, params), why) in rows {
        let got = ask(world.address, path, &params).await;
        let error = got.body["error"].as_str().unwrap_or("");
        assert_eq!((got.status, &got.body["errorType"]), (400, &json!("bad_data")), "{why}: {got:?}");
        assert!(error.contains(why) && error.len() < 1_000, "{why}: {}", &error[..error.len().min(1_000)]);
        world.is_whole(why).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_and_values_come_through() {
    let world = world().await;
    world.west.play(vec![]);
    let quoted = serde_json::to_string(ODD_NAME).unwrap();
    let by_name = query(world.address, &format!("up{{pod={quoted}}}")).await;
    assert_eq!(by_name.by_pod(), BTreeMap::from([(ODD_NAME.to_owned(), "2".to_owned())]), "{by_name:?}");
    let address = world.address;
    let values: Value = serde_json::from_str(&get(address, "/api/v1/label/pod/values?match[]=up").await).unwrap();
    assert_eq!(values["data"], json!(["e1", ODD_NAME]));

    let rows: [(&str, &[(&str, &str)]); 4] = [
        ("odd", &[("inf", "+Inf"), ("minus", "-Inf"), ("nan", "NaN"), ("one", "1"), ("zero", "-0")]),
        ("odd * 0", &[("inf", "NaN"), ("minus", "NaN"), ("nan", "NaN"), ("one", "0"), ("zero", "-0")]),
        ("odd > 0", &[("inf", "+Inf"), ("one", "1")]),
        ("rate(odd[10m])", &[("inf", "NaN"), ("minus", "NaN"), ("nan", "NaN"), ("one", "0"), ("zero", "0")]),
    ];
    for (expression, expected) in rows {
        let expected = expected.iter().map(|(pod, value)| ((*pod).to_owned(), (*value).to_owned())).collect();
        assert_eq!(query(address, expression).await.by_pod(), expected, "{expression}");
    }
    let scalars = [
        ("sum(odd)", "NaN"),
        ("max(odd)", "+Inf"),
        ("min(odd)", "-Inf"),
        ("count(odd)", "5"),
        ("avg(odd)", "NaN"),
        ("quantile(NaN, odd)", "NaN"),
        ("quantile(+Inf, odd)", "+Inf"),
        ("count(topk(2, odd))", "2"),
        ("count(topk(1e6, odd))", "5"),
        ("sum(odd{pod=\"inf\"} @ 1e9)", ""),
        ("histogram_quantile(NaN, odd)", ""),
        ("sum(round(odd, 0))", "NaN"),
        ("sum(clamp(odd, NaN, 1))", "NaN"),
    ];
    for (expression, expected) in scalars {
        let got = query(address, expression).await;
        assert_eq!(got.status, 200, "{expression}: {got:?}");
        let found = got.body["data"]["result"][0]["value"][1].as_str().unwrap_or("");
        assert_eq!(found, expected, "{expression}: {got:?}");
    }
    // Parameters that no vector can have are refused, not computed.
    for expression in ["topk(NaN, odd)", "topk(Inf, odd)", "up @ NaN", "up @ Inf", "up[NaN]"] {
        let got = query(address, expression).await;
        assert!(matches!(got.status, 400 | 422) && got.body["error"].is_string(), "{expression}: {got:?}");
    }
}

/// Nobody to ask is said, and is no failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zero_stores_answer_nothing_and_say_so() {
    let server = serve(config()).await;
    let address = server.http_address;
    let at = T.to_string();
    let rows = [
        ("/api/v1/query", vec![("query", "up"), ("time", &at)], json!({"resultType": "vector", "result": []})),
        ("/api/v1/series", vec![("match[]", "up")], json!([])),
        ("/api/v1/labels", vec![], json!([])),
    ];
    for (path, params, data) in rows {
        let got = ask(address, path, &params).await;
        assert_eq!((got.status, &got.body["data"]), (200, &data), "{path}: {got:?}");
        assert_eq!(got.warnings(), ["no store is configured, so that nothing was asked"], "{path}");
    }
    let got = query(address, "1 + 1").await;
    assert_eq!((got.status, &got.body["data"]["result"][1], got.warnings().len()), (200, &json!("2"), 0), "{got:?}");
}
