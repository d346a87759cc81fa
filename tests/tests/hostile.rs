//! Bad input end to end: each gets an error or a warning that names its source, never a wrong number without one, and the
//! server answers the next query.

#![expect(clippy::unwrap_used, reason = "what these tests share fails as they do")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use masthead_bench::http::encode;
use masthead_query::config::{BlockSource, Config};
use masthead_query::server::{Running, Server};
use masthead_store::serve::{ServeOptions, StoreService, listen};
use masthead_store::testing::{MemoryStore, golden};
use masthead_store::{Budget, Labels, Samples, Store};

use masthead_tests::peer::{Part, Peer, chunk_of, series, warning};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The time that is asked about, s.
const T: i64 = 1_700_000_000;
/// The external labels of the peer that misbehaves.
const WEST: [(&str, &str); 2] = [("cluster", "prod-eu-west"), ("replica", "a")];
/// A label value that needs care everywhere.
const ODD_NAME: &str = "two\nlines \"quoted\" \\ \u{1f680}";

/// An HTTP answer.
#[derive(Debug)]
struct Got {
    status: u16,
    /// `Masthead-Coverage`.
    coverage: String,
    body: Value,
}

impl Got {
    fn warnings(&self) -> Vec<&str> {
        self.body["warnings"].as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
    }

    /// Values of an instant vector by the label `pod`, as printed.
    fn by_pod(&self) -> BTreeMap<String, String> {
        let result = self.body["data"]["result"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let pods = result.iter().map(|series| (text(&series["metric"]["pod"]), text(&series["value"][1])));
        let found: BTreeMap<String, String> = pods.collect();
        assert_eq!(found.len(), result.len(), "a pod comes twice: {self:?}");
        found
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Posts a form, so that nothing is too long for it.
async fn ask(address: SocketAddr, path: &str, params: &[(&str, &str)]) -> Got {
    let pairs: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(pairs.join("&"))))
        .unwrap();
    let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap();
    let coverage = answer.headers().get("masthead-coverage").map_or("", |value| value.to_str().unwrap()).to_owned();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&body)));
    Got { status, coverage, body }
}

async fn get(address: SocketAddr, target: &str) -> String {
    let uri = format!("http://{address}{target}").parse().unwrap();
    let answer = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>().get(uri).await.unwrap();
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn query(address: SocketAddr, expression: &str) -> Got {
    ask(address, "/api/v1/query", &[("query", expression), ("time", &T.to_string())]).await
}

/// The samples of an hour until T with one value.
fn constant(value: f64) -> Samples {
    let timestamps: Vec<i64> = (0..=120).map(|i| (T - 3600 + i * 30) * 1000).collect();
    Samples { values: vec![value; timestamps.len()], timestamps, ..Samples::default() }
}

/// `up` of one pod of the west.
fn pod(name: &str, value: f64) -> Part {
    let [cluster, replica] = WEST;
    series(&[("__name__", "up"), cluster, ("pod", name), replica], &constant(value))
}

/// Two peers behind one server: the east is sound.
struct World {
    address: SocketAddr,
    west: Peer,
    _server: Running,
    _east: JoinSet<std::io::Result<()>>,
}

async fn east(task: &mut JoinSet<std::io::Result<()>>) -> SocketAddr {
    let up = |pod: &str, value| (Labels::from_pairs([("__name__", "up"), ("pod", pod)]), constant(value));
    let odd = [("nan", f64::NAN), ("inf", f64::INFINITY), ("minus", f64::NEG_INFINITY), ("zero", -0.0), ("one", 1.0)];
    let odd = odd.map(|(pod, value)| (Labels::from_pairs([("__name__", "odd"), ("pod", pod)]), constant(value)));
    let series = [[up("e1", 1.0), up(ODD_NAME, 2.0)].as_slice(), &odd].concat();
    let external = Labels::from_pairs([("cluster", "prod-us-east"), ("replica", "a")]);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new("east", &external, &series));
    let stores = Arc::new(move || vec![store.clone()]);
    let service = StoreService::new(stores, Budget::unlimited(), ServeOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    task.spawn(listen(service, listener, std::future::pending()));
    address
}

fn config() -> Config {
    let mut config = Config::default();
    config.listen.http = "127.0.0.1:0".to_owned();
    config.listen.grpc = None;
    config.query.replica_labels = vec!["replica".into()];
    config.limits.query_memory = 64 << 20;
    config
}

async fn serve(config: Config) -> Running {
    let server = Server::start(config).await.unwrap();
    server.ready().await;
    server
}

async fn world() -> World {
    let mut task = JoinSet::new();
    let (east, west) = (east(&mut task).await, Peer::start(&WEST).await.unwrap());
    let mut config = config();
    config.sources.endpoints = vec![east.to_string(), west.address.to_string()];
    config.sources.response_timeout = Duration::from_secs(2);
    let server = serve(config).await;
    World { address: server.http_address, west, _server: server, _east: task }
}

/// What is true: values by pod.
fn truth() -> BTreeMap<String, String> {
    let pods = [("e1", "1"), (ODD_NAME, "2"), ("w1", "11"), ("w2", "12")];
    pods.map(|(pod, value)| (pod.to_owned(), value.to_owned())).into()
}

impl World {
    /// `up` is answered with the whole east, with nothing wrong of the west, and with a warning that says why.
    async fn is_partial(&self, case: &str, why: &str) {
        let got = query(self.address, "up").await;
        assert_eq!(got.status, 200, "{case}: {got:?}");
        self.names_the_west(case, &got, why);
        let (found, truth) = (got.by_pod(), truth());
        assert!(found.iter().all(|(pod, value)| truth.get(pod) == Some(value)), "{case}: {found:?}");
        assert!(found.contains_key("e1") && found.contains_key(ODD_NAME), "{case}: {found:?}");

        let refused = [("query", "up"), ("time", &T.to_string()), ("partial_response", "false")];
        let refused = ask(self.address, "/api/v1/query", &refused).await;
        assert_eq!((refused.status, &refused.body["errorType"]), (503, &json!("unavailable")), "{case}: {refused:?}");
        assert!(text(&refused.body["error"]).contains(&self.west.address.to_string()), "{case}: {refused:?}");
        self.goes_on(case).await;
    }

    fn names_the_west(&self, case: &str, got: &Got, why: &str) {
        assert_eq!(got.coverage, "partial; answered=1; asked=2; missing=\"prod-eu-west\"", "{case}: {got:?}");
        let parts = [&self.west.address.to_string(), "prod-eu-west", why];
        let warnings = got.warnings();
        let telling = warnings.iter().any(|warning| parts.iter().all(|part| warning.contains(part)));
        assert!(telling, "{case}: {warnings:?} lack {parts:?}");
    }

    /// All is there and nothing is said to be missing.
    async fn is_whole(&self, case: &str) {
        let got = query(self.address, "up").await;
        assert_eq!((got.status, got.coverage.as_str(), got.warnings().len()), (200, "complete", 0), "{case}: {got:?}");
        assert_eq!(got.by_pod(), truth(), "{case}");
        self.goes_on(case).await;
    }

    /// What does not concern the west is answered as if it were not there.
    async fn goes_on(&self, case: &str) {
        let got = query(self.address, "up{cluster=\"prod-us-east\"}").await;
        assert_eq!((got.status, got.coverage.as_str(), got.warnings().len()), (200, "complete", 0), "{case}: {got:?}");
        assert_eq!(got.by_pod().len(), 2, "{case}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_breaks_off_is_named() {
    let world = world().await;
    world.west.play(vec![pod("w1", 11.0), pod("w2", 12.0)]);
    world.is_whole("sound").await;

    let huge = |length: u32| Part::Raw([&[0][..], &length.to_be_bytes(), &[0]].concat().into());
    let [cluster, replica] = WEST;
    let labels = [("__name__", "up"), cluster, ("pod", "w2"), replica];
    let times = ((T - 60) * 1000, T * 1000);
    // A label value that is no UTF-8.
    let no_text = Part::Message(Bytes::from_static(b"\x0a\x0b\x0a\x09\x0a\x03pod\x12\x02\xff\xfe"));
    let rows: Vec<(&str, Vec<Part>, &str)> = vec![
        ("hangs", vec![pod("w1", 11.0), Part::Hang], "silent for 2s"),
        ("hangs at once", vec![Part::Hang], "silent for 2s"),
        ("closes", vec![pod("w1", 11.0), Part::Close], "read series: "),
        ("resets", vec![pod("w1", 11.0), Part::Reset], "read series: "),
        ("has no status", vec![pod("w1", 11.0), Part::End], "read series: the answer breaks off without a status"),
        (
            "ends early",
            vec![pod("w1", 11.0), Part::Raw(Bytes::from_static(&[0, 0, 0, 0, 9, 1]))],
            "inside of a message",
        ),
        ("sends no frames", vec![Part::Raw(Bytes::from_static(b"HTTP/1.1 502 Bad Gateway"))], "its head is spoilt"),
        ("sends garbage", vec![pod("w1", 11.0), Part::Message(Bytes::from_static(&[0x0a, 9, 0xff]))], "ends too early"),
        ("sends no text", vec![no_text], "not UTF-8"),
        ("claims 2 GiB", vec![pod("w1", 11.0), huge(i32::MAX as u32), Part::Hang], "a message of 2147483647 bytes"),
        ("claims 4 GiB", vec![pod("w1", 11.0), huge(u32::MAX), Part::Hang], "a message of 4294967295 bytes"),
        ("warns", vec![pod("w1", 11.0), warning("disk on fire")], "incomplete: disk on fire"),
        ("fails", vec![pod("w1", 11.0), Part::Status(13, "boom")], "Internal: boom"),
        ("has no raw data", vec![pod("w1", 11.0), chunk_of(&labels, times, None)], "1 chunks came without raw samples"),
        (
            "has no bytes",
            vec![pod("w1", 11.0), chunk_of(&labels, times, Some(b""))],
            "1 chunks came without raw samples",
        ),
    ];
    for (case, parts, why) in rows {
        world.west.play(parts);
        world.is_partial(case, why).await;
    }

    // The same for names of labels.
    for (parts, why) in [(vec![Part::Hang], "read labels: "), (vec![Part::Status(13, "boom")], "Internal: boom")] {
        world.west.play(parts);
        let got = ask(world.address, "/api/v1/labels", &[]).await;
        world.names_the_west("labels", &got, why);
        assert_eq!(got.body["data"], json!(["__name__", "cluster", "pod"]), "{got:?}");
    }
    world.west.play(vec![pod("w1", 11.0), pod("w2", 12.0)]);
    world.is_whole("sound again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_out_of_order_is_sorted_or_named() {
    let world = world().await;
    world.west.play(vec![pod("w1", 11.0), pod("w1", 11.0), pod("w2", 12.0), pod("w2", 12.0)]);
    world.is_whole("doubled").await;

    // More than a batch, so that something was handed over before the order breaks.
    let many = (0..600).map(|i| pod(&format!("a{i:03}"), 11.0)).chain([pod("w2", 12.0), pod("w1", 11.0)]);
    world.west.play(many.collect());
    let got = query(world.address, "up{pod=~\"[ew].*\"}").await;
    world.names_the_west("late", &got, "pod=\"w1\"");
    assert!(got.warnings()[0].contains("comes after"), "{got:?}");
    world.goes_on("late").await;
    // From then on its answers are sorted here.
    let got = query(world.address, "count(up)").await;
    assert_eq!((got.coverage.as_str(), &got.body["data"]["result"][0]["value"][1]), ("complete", &json!("604")));

    let early = self::world().await;
    early.west.play(vec![pod("w2", 12.0), pod("w1", 11.0), pod("w2", 12.0)]);
    early.is_whole("unsorted and doubled").await;
}

/// What cannot be a chunk is found when it is received, and is the failure of its peer: the others answer. What only decoding
/// finds is no number either: the query fails and says where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_chunk_blames_its_peer_or_names_its_series() {
    let world = world().await;
    let [cluster, replica] = WEST;
    let labels = [("__name__", "up"), cluster, ("pod", "w2"), replica];
    let times = ((T - 60) * 1000, T * 1000);
    for data in [&b"\x00"[..], b"\x00\x05\x01", &[0xff; 40]] {
        world.west.play(vec![pod("w1", 11.0), chunk_of(&labels, times, Some(data))]);
        world.is_partial(&format!("{data:?}"), "a chunk is too short for its number of samples").await;
    }
    // A time that does not ascend.
    let spoilt = &[0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    world.west.play(vec![pod("w1", 11.0), chunk_of(&labels, times, Some(spoilt))]);
    let got = query(world.address, "up").await;
    assert_eq!((got.status, &got.body["errorType"]), (422, &json!("execution")), "{got:?}");
    let error = text(&got.body["error"]);
    assert!(error.contains("cluster=\"prod-eu-west\"") && error.contains("XOR chunk"), "{error}");
    world.goes_on("spoilt chunk").await;
    // No samples at all are none.
    world.west.play(vec![pod("w1", 11.0), chunk_of(&labels, times, Some(&[0; 3000]))]);
    let got = query(world.address, "up").await;
    assert!(got.status == 200 && !got.by_pod().contains_key("w2"), "{got:?}");
}

/// Copies a folder of blocks.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The folder of the block of a replica.
fn block_of(bucket: &Path, replica: &str) -> PathBuf {
    let mut blocks = fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path());
    let is_of = |block: &PathBuf| {
        let meta: Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
        meta["thanos"]["labels"]["prometheus_replica"] == replica
    };
    blocks.find(is_of).unwrap()
}

/// A block that cannot be read is named, with what is wrong in it; the sound one beside it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_is_named() {
    let Some(bucket) = golden("thanos-0.43/bucket-corrupt") else { return };
    type Damage = fn(&Path);
    let truncate: Damage = |block| {
        let index = fs::read(block.join("index")).unwrap();
        fs::write(block.join("index"), &index[..index.len() / 2]).unwrap();
    };
    let rows: [(&str, Damage, &[&str]); 3] = [
        ("as it is", |_| {}, &["segment 000001 offset 8: checksum does not fit"]),
        ("truncated index", truncate, &["index"]),
        ("no segment", |block| fs::remove_file(block.join("chunks/000001")).unwrap(), &["segment"]),
    ];
    for (case, damage, why) in rows {
        let folder = tempfile::tempdir().unwrap();
        copy(&bucket, folder.path());
        let damaged = block_of(folder.path(), "a");
        damage(&damaged);
        let mut config = config();
        config.query.replica_labels = vec![];
        config.sources.blocks = vec![BlockSource { folder: folder.path().to_owned(), labels: Labels::default() }];
        let server = serve(config).await;
        let ask = async |metric: &str| {
            let expression = format!("count_over_time({metric}[2h])");
            ask(server.http_address, "/api/v1/query", &[("query", &expression), ("time", "1701108000")]).await
        };
        let got = ask("corrupt_chunk_metric").await;
        assert_eq!((got.status, &got.body["data"]["result"]), (200, &json!([])), "{case}: {got:?}");
        assert!(got.coverage.starts_with("partial; answered=0; asked=1; missing=\"prod-us-east\""), "{case}: {got:?}");
        let block = damaged.file_name().unwrap().to_string_lossy().into_owned();
        let warning = got.warnings().join("\n");
        let parts = [folder.path().to_str().unwrap(), "prod-us-east", &block];
        assert!(parts.iter().chain(why).all(|part| warning.contains(part)), "{case}: {warning}");
        let got = ask("sound_metric").await;
        assert_eq!(got.body["data"]["result"][0]["value"][1], "120", "{case}: {got:?}");
    }
}

/// A block without a meta.json is an upload that is not finished: it is not read, and counted. One whose meta.json is
/// damaged may hold anything, and is named in every answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_without_a_sound_meta_are_counted_and_named() {
    let Some(bucket) = golden("thanos-0.43/bucket-corrupt") else { return };
    let folder = tempfile::tempdir().unwrap();
    copy(&bucket, folder.path());
    let (absent, damaged) = (block_of(folder.path(), "a"), block_of(folder.path(), "b"));
    fs::remove_file(absent.join("meta.json")).unwrap();
    let start = async || {
        let mut config = config();
        config.sources.blocks = vec![BlockSource { folder: folder.path().to_owned(), labels: Labels::default() }];
        serve(config).await
    };
    let skipped = async |server: &Running, reason: &str| {
        let store = format!("blocks:{}", folder.path().display());
        let line = format!("masthead_blocks_skipped{{reason=\"{reason}\",store=\"{store}\"}} 1");
        let metrics = get(server.http_address, "/metrics").await;
        assert!(metrics.contains(&line), "{metrics}");
    };
    let server = start().await;
    skipped(&server, "no-meta-json").await;
    let got = query(server.http_address, "sound_metric").await;
    assert_eq!((got.coverage.as_str(), got.warnings().len()), ("complete", 0), "{got:?}");

    fs::write(damaged.join("meta.json"), "{\"version\": 1,").unwrap();
    let server = start().await;
    skipped(&server, "corrupted-meta-json").await;
    let got = query(server.http_address, "sound_metric").await;
    assert!(got.coverage.starts_with("partial; answered=0; asked=1; missing=\"blocks:"), "{got:?}");
    let block = damaged.file_name().unwrap().to_string_lossy().into_owned();
    assert!(got.warnings()[0].contains(&format!("block {block} is not served: read meta.json")), "{got:?}");
}

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
