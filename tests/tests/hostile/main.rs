//! Bad input end to end: each gets an error or a warning that names its source, never a wrong number without one, and the
//! server answers the next query.

#![expect(clippy::unwrap_used, reason = "what these tests share fails as they do")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use masthead_bench::http::encode;
use masthead_query::config::Config;
use masthead_query::server::{Running, Server};
use masthead_store::serve::{ServeOptions, StoreService, listen};
use masthead_store::testing::MemoryStore;
use masthead_store::{Budget, Labels, Samples, Store};
use masthead_tests::peer::{Part, Peer, series};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod blocks;
mod clients;
mod peers;
mod questions;

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
