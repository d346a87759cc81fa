//! The embedded demo as a newcomer meets it: the printed commands work, a killed cluster is named, its history stays, and every
//! panel of the dashboards shows something.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use masthead_bench::http;
use masthead_bench::process::masthead_binary;
use masthead_tests::demo::Demo;
use serde_json::Value;

const CLUSTERS: [&str; 3] = ["prod-ap-south", "prod-eu-west", "prod-us-east"];
/// Polls, a quarter of a second apart, after which something that should have happened counts as not happening.
const POLLS: usize = 240;

fn ask(demo: &Demo, query: &str, time: Option<f64>) -> Value {
    let time = time.map_or(String::new(), |t| format!("&time={t}"));
    let path = format!("/api/v1/query?query={}{time}", http::encode(query));
    let (status, body) = http::get(&demo.address, &path).unwrap();
    assert_eq!(status, 200, "{query}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// Clusters in the answer, sorted.
fn clusters_of(demo: &Demo, query: &str, time: Option<f64>) -> Vec<String> {
    clusters(&ask(demo, query, time))
}

fn clusters(answer: &Value) -> Vec<String> {
    let series = answer["data"]["result"].as_array().unwrap();
    let mut names: Vec<String> =
        series.iter().filter_map(|s| Some(s["metric"]["cluster"].as_str()?.to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_newcomer_sees_three_clusters_and_then_one_of_them_missing() {
    let mut demo = Demo::start(&["--kill=prod-eu-west", "--kill-after=30s", "--for=10m"]).unwrap();
    let commands = demo.commands().unwrap();
    let answers: Vec<String> = commands.iter().map(|command| shell(command)).collect();
    for (command, answer) in commands.iter().zip(&answers) {
        assert!(answer.contains("success"), "{command} answers {answer}");
        assert!(!answer.contains("\"warnings\"") && !answer.contains("\"infos\""), "{command} answers {answer}");
    }
    assert_eq!(clusters_of(&demo, "count by (cluster) (up)", None), CLUSTERS, "{answers:?}");

    let path = format!("/api/v1/query?query={}", http::encode("count by (cluster) (up)"));
    let ask = || shell(&format!("curl -s -i 'http://{}{path}'", demo.address));
    let partial = (0..POLLS).map(|_| ask()).find(|answer| {
        sleep(Duration::from_millis(250));
        answer.contains("missing=\"prod-eu-west\"")
    });
    let partial = partial.expect("the killed cluster is never named");
    let (head, body) = partial.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("masthead-coverage: partial;"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(clusters(&body), ["prod-ap-south", "prod-us-east"]);
    let warnings = body["warnings"].to_string();
    assert!(warnings.contains("prod-eu-west"), "{warnings}");
    // Its history is in the bucket.
    assert_eq!(clusters_of(&demo, "count by (cluster) (up)", Some(now() - 5.0 * 3600.0)), CLUSTERS);
}

#[test]
fn it_ends_by_itself() {
    let mut demo = Demo::start(&["--for=1s"]).unwrap();
    demo.commands().unwrap();
    assert!(demo.child.wait().unwrap().success());
}

#[test]
fn a_taken_port_names_the_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--http-address={}", taken.local_addr().unwrap());
    let refused = Command::new(masthead_binary().unwrap()).args(["demo", &address, "--for=1s"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--http-address"), "{refused:?}");
}

/// Every panel's query, variables filled in, gives at least one series on the demo fleet.
#[test]
fn every_panel_shows_something() {
    let mut demo = Demo::start(&["--for=10m"]).unwrap();
    demo.commands().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    let mut panels = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let query =
                    target["expr"].as_str().unwrap().replace("$cluster", ".*").replace("$__rate_interval", "5m");
                assert!(!query.contains('$'), "a variable is left in {query}");
                let answer = ask(&demo, &query, None);
                let series = answer["data"]["result"].as_array().unwrap().len();
                assert!(series > 0, "{}: {}: {query} shows nothing", file.display(), panel["title"]);
                panels += 1;
            }
        }
        let (status, body) = http::get(&demo.address, "/api/v1/label/cluster/values?match[]=up").unwrap();
        let values: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &values["data"]), (200, &serde_json::json!(CLUSTERS)));
    }
    assert!(panels >= 10, "only {panels} panels were found");
    the_servers_know_more_than_series(&demo);
}

/// What the six servers of the demo say of themselves over gRPC: three clusters, replicas as one.
fn the_servers_know_more_than_series(demo: &Demo) {
    let get = |path: &str| -> Value {
        let (status, body) = http::get(&demo.address, &format!("/api/v1/{path}")).unwrap();
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice::<Value>(&body).unwrap()["data"].clone()
    };
    assert_eq!(get("metadata?metric=http_requests_total")["http_requests_total"][0]["type"], "counter");
    let rules = get("rules?type=alert");
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let shown: Vec<(&str, &str)> = rules
        .iter()
        .map(|rule| (rule["labels"]["cluster"].as_str().unwrap(), rule["state"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, [(CLUSTERS[0], "firing"), (CLUSTERS[1], "inactive"), (CLUSTERS[2], "inactive")]);
    assert_eq!(get("alerts")["alerts"].as_array().unwrap().len(), 1);
    let ups = get("query?query=count(up)")["result"][0]["value"][1].as_str().unwrap().to_owned();
    assert_eq!(get("targets")["activeTargets"].as_array().unwrap().len().to_string(), ups);
    assert!(get("status/tsdb")["headStats"]["numSeries"].as_u64().unwrap() > 1_000);
}
