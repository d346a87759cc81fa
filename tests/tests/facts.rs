//! Rules, alerts, targets, exemplars and statistics over what a real Querier sent over gRPC: our answers over HTTP are what a real
//! Querier answered of the same sources, but for what [`ours`] and [`theirs`] take away.

#![expect(clippy::unwrap_used, reason = "what these tests share fails as they do")]

use masthead_bench::http;
use masthead_proto::{path, thanos as proto};
use masthead_query::config::Config;
use masthead_query::server::{Running, Server};
use masthead_store::testing::golden;
use masthead_tests::grpc::base64;
use masthead_tests::peer::{Part, Peer};
use serde_json::{Value, json};

/// What tells replicas apart in the recordings.
const REPLICA_LABEL: &str = "prometheus_replica";

fn lines(file: &str) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(golden(&format!("thanos-0.43/{file}"))?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// A peer that plays the widest answer of each service.
async fn peer(frames: &[Value]) -> Peer {
    let info = frames.iter().find(|call| call["method"] == path::INFO).unwrap();
    let info: proto::info::InfoResponse =
        prost::Message::decode(base64(info["responses_b64"][0].as_str().unwrap()).unwrap()).unwrap();
    let peer = Peer::start_as(info).await.unwrap();
    for (path, note) in [
        (path::RULES, "rules, all"),
        (path::TARGETS, "targets, any"),
        (path::METADATA, "metric metadata, all"),
        (path::EXEMPLARS, "exemplars"),
        (path::STATISTICS, "tsdb statistics"),
    ] {
        let call = frames.iter().find(|call| call["method"] == path && call["note"] == note).unwrap();
        let messages = call["responses_b64"].as_array().unwrap().iter();
        peer.play_at(path, messages.map(|message| Part::Message(base64(message.as_str().unwrap()).unwrap())).collect());
    }
    peer
}

async fn masthead(peer: &Peer) -> Running {
    let mut config = Config::default();
    config.listen.http = "127.0.0.1:0".into();
    config.listen.grpc = None;
    config.sources.endpoints = vec![peer.address.to_string()];
    config.query.replica_labels = vec![REPLICA_LABEL.into()];
    let running = Server::start(config).await.unwrap();
    running.ready().await;
    running
}

/// Calls `change` on each object below `value`.
fn each_object(value: &mut Value, change: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|value| each_object(value, change));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| each_object(value, change)),
        _ => {}
    }
}

/// What only Prometheus' form of targets has.
fn ours(mut data: Value) -> Value {
    each_object(&mut data, &mut |object| {
        for key in ["scrapeInterval", "scrapeTimeout", "droppedTargetCounts"] {
            object.remove(key);
        }
        if !object.contains_key("scrapeUrl") {
            object.remove("scrapePool");
        }
    });
    sorted(data)
}

/// What only Thanos' form of rules has, and lists that it leaves out.
fn theirs(mut data: Value) -> Value {
    each_object(&mut data, &mut |object| {
        object.remove("partialResponseStrategy");
        if object.get("alerts") == Some(&Value::Null) {
            object.insert("alerts".to_owned(), json!([]));
        }
    });
    sorted(data)
}

/// Thanos sorts targets by URL before pool.
fn sorted(mut data: Value) -> Value {
    for key in ["activeTargets", "droppedTargets"] {
        if let Some(list) = data.get_mut(key).and_then(Value::as_array_mut) {
            list.sort_by_key(Value::to_string);
        }
    }
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_a_querier() {
    let (Some(frames), Some(questions)) = (lines("frames/query.jsonl"), lines("querier/queries.jsonl")) else { return };
    let peer = peer(&frames).await;
    let running = masthead(&peer).await;
    let mut asked = 0;
    for row in &questions {
        let path = row["path"].as_str().unwrap_or_default();
        let name = path.trim_start_matches("/api/v1/");
        let is_fact = ["rules", "alerts", "targets", "metadata", "query_exemplars", "status/tsdb"].contains(&name);
        let theirs_body: Value = match row["body"].as_str().map(serde_json::from_str) {
            Some(Ok(body)) if is_fact && row["status"] == 200 => body,
            _ => continue,
        };
        let mut query = Vec::new();
        for (name, value) in row["params"].as_object().unwrap() {
            for value in value.as_array().unwrap_or(&vec![value.clone()]) {
                query.push(format!("{}={}", http::encode(name), http::encode(value.as_str().unwrap())));
            }
        }
        let target = format!("{path}?{}", query.join("&"));
        let address = running.http_address.to_string();
        let asking = target.clone();
        let (status, body) = tokio::task::spawn_blocking(move || http::get(&address, &asking)).await.unwrap().unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 200, "{target}: {body}");
        assert_eq!(ours(body["data"].clone()), theirs(theirs_body["data"].clone()), "{target}");
        asked += 1;
    }
    assert!(asked >= 10, "{asked} questions");
}
