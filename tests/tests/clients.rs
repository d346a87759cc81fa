//! Clients that others wrote, against the built program with its demo fleet: promtool of Debian's package `prometheus`,
//! the Python library prometheus-api-client, curl. What they understand must be what the API says.
//!
//! `scripts/promtool` and `scripts/python-client` find or fetch them. Where one is not to be had its test is skipped loudly,
//! and fails with CI=true.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use masthead_bench::http;
use masthead_tests::demo::Demo;
use masthead_tests::needed::program;
use serde_json::{Value, json};

const CLUSTERS: [&str; 3] = ["prod-ap-south", "prod-eu-west", "prod-us-east"];
const RATES: &str = "sum by (cluster) (rate(http_requests_total[5m]))";

/// A demo that is ready, and a time of which every cluster has samples, s.
fn demo() -> (Demo, String) {
    let mut demo = Demo::start(&["--for=10m"]).unwrap();
    demo.commands().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (demo, (now - 120).to_string())
}

/// What the API itself says.
fn api(demo: &Demo, path: &str, params: &[(&str, &str)]) -> Value {
    let (status, body) = http::get(&demo.address, &http::target(path, params)).unwrap();
    assert_eq!(status, 200, "{path} {params:?}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice::<Value>(&body).unwrap()["data"].take()
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of a command that succeeds and says nothing on its error output.
fn clean(command: &mut Command) -> String {
    let output = run(command, b"");
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    text(&output.stdout)
}

/// Labels as promtool prints them: the name, then the others in braces.
fn printed(metric: &Value) -> String {
    let labels: BTreeMap<String, String> = serde_json::from_value(metric.clone()).unwrap();
    let name = labels.get("__name__").cloned().unwrap_or_default();
    let others = labels.iter().filter(|(label, _)| *label != "__name__");
    let others: Vec<String> = others.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    if others.is_empty() && !name.is_empty() { name } else { format!("{name}{{{}}}", others.join(", ")) }
}

/// Each subcommand prints what the API answered; a refused expression is an error with its text.
#[test]
fn promtool_queries() {
    let Some(promtool) = program("promtool") else { return };
    let (demo, time) = demo();
    let url = format!("http://{}", demo.address);
    let promtool = |args: &[&str]| {
        let mut command = Command::new(&promtool);
        command.arg("query").args(args);
        command
    };

    for query in ["up", RATES, "time()", "count by (job) (up) > 1"] {
        let out = clean(&mut promtool(&["instant", &format!("--time={time}"), &url, query]));
        let data = api(&demo, "/api/v1/query", &[("query", query), ("time", &time)]);
        let mut expected: Vec<String> = match data["resultType"].as_str() {
            Some("scalar") => vec![format!("scalar: {} @[{time}]", data["result"][1].as_str().unwrap())],
            _ => data["result"]
                .as_array()
                .unwrap()
                .iter()
                .map(|series| {
                    format!("{} => {} @[{time}]", printed(&series["metric"]), series["value"][1].as_str().unwrap())
                })
                .collect(),
        };
        let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
        expected.sort();
        lines.sort();
        assert!(!lines.is_empty(), "{query}");
        assert_eq!(lines, expected, "{query}");
    }

    let start = (time.parse::<i64>().unwrap() - 1_800).to_string();
    let args = [format!("--start={start}"), format!("--end={time}"), "--step=1m".to_owned()];
    let out = clean(&mut promtool(&["range", &args[0], &args[1], &args[2], &url, RATES]));
    let params = [("query", RATES), ("start", &start), ("end", &time), ("step", "60")];
    let data = api(&demo, "/api/v1/query_range", &params);
    let mut expected = Vec::new();
    for series in data["result"].as_array().unwrap() {
        expected.push(format!("{} =>", printed(&series["metric"])));
        for point in series["values"].as_array().unwrap() {
            expected.push(format!("{} @[{}]", point[1].as_str().unwrap(), point[0]));
        }
    }
    assert!(expected.len() > 3 * 30, "{expected:?}");
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);

    let out = clean(&mut promtool(&["series", "--match=up{job=\"node\"}", &url]));
    let series = api(&demo, "/api/v1/series", &[("match[]", "up{job=\"node\"}")]);
    let all_in_braces = |labels: &Value| {
        let labels: BTreeMap<String, String> = serde_json::from_value(labels.clone()).unwrap();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        format!("{{{}}}", labels.join(", "))
    };
    let expected: BTreeSet<String> = series.as_array().unwrap().iter().map(all_in_braces).collect();
    assert_eq!(out.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected);

    let out = clean(&mut promtool(&["labels", &url, "cluster"]));
    assert_eq!(out.lines().collect::<Vec<_>>(), CLUSTERS);

    let refused = run(&mut promtool(&["instant", &url, "sum(("]), b"");
    let error = text(&refused.stderr);
    assert!(!refused.status.success() && error.contains("bad_data") && error.contains("parse error"), "{refused:?}");
}

/// The program's own metrics pass promtool's lint.
#[test]
fn promtool_checks_the_metrics() {
    let Some(promtool) = program("promtool") else { return };
    let (demo, time) = demo();
    api(&demo, "/api/v1/query", &[("query", RATES), ("time", &time)]);
    let (status, metrics) = http::get(&demo.address, "/metrics").unwrap();
    assert_eq!(status, 200);
    let checked = run(Command::new(&promtool).args(["check", "metrics"]), &metrics);
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

/// A script with the Python library gets, by GET and by POST, what the API says.
#[test]
fn the_python_library() {
    let Some(python) = program("python-client") else { return };
    let (demo, time) = demo();
    let url = format!("http://{}", demo.address);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/api_client.py");
    for method in ["GET", "POST"] {
        let out = clean(Command::new(&python).args([script, &url, &time, method]));
        let answers: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(answers["reachable"], json!(true));
        assert_eq!(answers["clusters"], json!(CLUSTERS));
        assert_eq!(answers["metrics"], api(&demo, "/api/v1/label/__name__/values", &[]));
        assert_eq!(answers["names"], api(&demo, "/api/v1/labels", &[]));
        let current = api(&demo, "/api/v1/query", &[("query", "up{job=\"node\"}"), ("time", &time)]);
        assert_eq!(answers["current"], current["result"]);
        let rates = api(&demo, "/api/v1/query", &[("query", RATES), ("time", &time)]);
        assert_eq!(answers["query"], rates["result"]);
        assert_eq!(answers["range"].as_array().unwrap().len(), CLUSTERS.len());
        for series in answers["range"].as_array().unwrap() {
            assert_eq!(series["values"].as_array().unwrap().len(), 31, "{series}");
        }
        // Asked for in three parts, each sample once.
        let raw = api(&demo, "/api/v1/query", &[("query", "count_over_time(up{job=\"node\"}[30m])"), ("time", &time)]);
        let total = |counts: Vec<u64>| (counts.len(), counts.iter().sum::<u64>());
        let counted = raw["result"].as_array().unwrap().iter();
        let counted = counted.map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect();
        let samples = answers["samples"].as_object().unwrap().values();
        assert_eq!(total(samples.map(|count| count.as_u64().unwrap()).collect()), total(counted));
        assert_eq!(answers["samples"].as_object().unwrap().len(), current["result"].as_array().unwrap().len());
        let series = answers["series"].as_array().unwrap();
        assert!(!series.is_empty() && series.iter().all(|labels| labels["__name__"] == "up"), "{series:?}");
        let refused = answers["refused"].as_str().unwrap();
        assert!(refused.contains("400") && refused.contains("parse error"), "{refused}");
    }
}

/// A form, an encoded query, compression, a head alone: each gets the same answer.
#[test]
fn curl_in_all_its_ways() {
    let (demo, time) = demo();
    let url = format!("http://{}/api/v1/query", demo.address);
    let curl = |args: &[&str]| {
        let mut command = Command::new("curl");
        clean(command.args(["--silent", "--show-error", "--fail-with-body", &url]).args(args))
    };
    let (query, time) = (format!("query={RATES}"), format!("time={time}"));
    let get = curl(&["--get", "--data-urlencode", &query, "--data-urlencode", &time]);
    let answer: Value = serde_json::from_str(&get).unwrap();
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), CLUSTERS.len(), "{get}");
    assert_eq!(curl(&["--data-urlencode", &query, "--data-urlencode", &time]), get, "as a form");
    let packed = ["--compressed", "--get", "--data-urlencode", &query, "--data-urlencode", &time];
    assert_eq!(curl(&packed), get, "compressed");
    let head = curl(&[&packed[..], &["--dump-header", "-", "--output", "/dev/null"]].concat()).to_lowercase();
    assert!(head.contains("content-encoding: ") && head.contains("content-type: application/json"), "{head}");

    let ready = clean(Command::new("curl").args(["--silent", "--head", &format!("http://{}/-/ready", demo.address)]));
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let refused = run(Command::new("curl").args(["--silent", "--fail-with-body", &url, "--data", "query=sum(("]), b"");
    assert_eq!(refused.status.code(), Some(22), "{refused:?}");
    assert_eq!(serde_json::from_slice::<Value>(&refused.stdout).unwrap()["errorType"], "bad_data");
}
