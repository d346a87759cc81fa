use std::time::Duration;

use clap::Parser as _;
use masthead_store::Labels;

use super::*;
use crate::flags::{Cli, Command};

fn load(args: &[&str]) -> Result<Loaded, ConfigError> {
    let given: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let all = ["masthead".to_owned(), "query".to_owned()].into_iter().chain(given.clone());
    let Command::Query(parsed) = Cli::try_parse_from(all).unwrap().command else { panic!("not a query") };
    Config::load(*parsed, &given, vec![])
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn no_argument_gives_the_default() {
    let loaded = load(&[]).unwrap();
    assert_eq!(format!("{:?}", loaded.config), format!("{:?}", Config::default()));
    assert_eq!(loaded.warnings.len(), 1, "no store");
}

#[test]
fn all_faults_are_reported_at_once() {
    let file = file("query.timeout: 5q\nquery.max-conc: 3\nlog.level: [a]\nendpoint: {a: 1}\nblocks: ['/a', ',x=1']\n");
    let path = format!("--config={}", file.path().display());
    let faults = load(&[
        &path,
        "--endpoint=sidecar",
        "--endpoint=:10901",
        "--store=dnz+a:1",
        "--store-strict=dns+a:1",
        "--enable-feature=promql-experimental-functions,nope",
        "--http-address=nowhere",
        "--query.max-samples=0",
        "--limits.memory=1KiB",
        "--limits.query-memory=1MiB",
        "--log.format=journald",
    ])
    .unwrap_err()
    .faults;
    let expected = [
        "config: unknown setting \"query.max-conc\"",
        "config: log.level: not a plain value",
        "endpoint: not an address: \"sidecar\"",
        "endpoint: not an address: \":10901\"",
        "store: unknown prefix \"dnz+\" in \"dnz+a:1\": dns+, dnsdualstack+, dnssrv+ and dnssrvnoa+ are known",
        "store-strict: \"dns+a:1\": a strict address is a plain HOST:PORT",
        "blocks: no folder in \",x=1\"",
        "query.timeout: unknown unit \"q\" in duration \"5q\"",
        "enable-feature: unknown feature \"nope\"",
        "log.format: \"journald\" is none of logfmt, json",
        "http-address: not an address: \"nowhere\"",
        "query.max-samples: must be greater than 0",
        "limits.query-memory: greater than limits.memory",
    ];
    for fault in expected {
        assert!(faults.iter().any(|have| have == fault), "{fault} is not in {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len() + 1, "the endpoint of the file: {faults:#?}");
}

#[test]
fn a_flag_wins_over_the_file() {
    let file = file(
        "query.timeout: 30s\nquery.max-concurrent: 7\nendpoint: [a:1, b:2]\nquery.replica-label: replica\n\
         query.partial-response: false\n",
    );
    let path = format!("--config={}", file.path().display());
    let config = load(&[&path, "--query.timeout=10s", "--endpoint", "c:3", "--check"]).unwrap();
    assert!(config.check);
    let config = config.config;
    assert_eq!(config.query.timeout, Duration::from_secs(10));
    assert_eq!(config.query.max_concurrent, 7);
    assert_eq!(config.sources.endpoints, ["c:3"]);
    assert_eq!(config.query.replica_labels, ["replica".into()]);
    assert!(!config.query.partial_response);
    let config = load(&[&path, "--query.partial-response"]).unwrap().config;
    assert!(config.query.partial_response);
    assert!(
        load(&["--config=/nonexistent/file"]).unwrap_err().faults[0].starts_with("config: read /nonexistent/file: ")
    );
}

#[test]
fn the_literal_command_line_of_a_thanos_user_warns_of_the_cluster_label_once() {
    let loaded = load(&[
        "--http-address=0.0.0.0:9090",
        "--store=thanos-sidecar.prod-us-east.svc:10901",
        "--store=thanos-sidecar.prod-eu-west.svc:10901",
        "--store=thanos-sidecar.prod-ap-south.svc:10901",
        "--store=dnssrv+_grpc._tcp.thanos-store.monitoring.svc",
        "--query.replica-label=cluster",
    ])
    .unwrap();
    assert_eq!(loaded.config.sources.endpoints.len(), 4);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("different clusters are no longer told apart"));
}

#[test]
fn lists_and_switches() {
    let config = load(&[
        "--query.replica-label=replica, receive_replica",
        "--query.replica-label=replica",
        "--enable-feature=promql-experimental-functions,promql-duration-expr",
        "--enable-feature=promql-delayed-name-removal",
        "--no-query.partial-response",
        "--blocks=/data/a,cluster=x,replica=0",
        "--blocks=/bucket",
        "--grpc-address=",
        "--http-address=:9090",
        "--limits.memory=1GiB",
    ])
    .unwrap()
    .config;
    assert_eq!(config.query.replica_labels, ["replica".into(), "receive_replica".into()]);
    assert!(config.has(Feature::ExperimentalFunctions) && config.has(Feature::DelayedNameRemoval));
    assert!(!config.has(Feature::FillModifiers));
    assert!(!config.query.partial_response);
    assert_eq!((&*config.listen.http, config.listen.grpc), ("0.0.0.0:9090", None));
    assert_eq!(config.limits.query_memory, 512 << 20);
    let labels = Labels::from_pairs([("cluster", "x"), ("replica", "0")]);
    assert_eq!(config.sources.blocks[0], BlockSource { folder: "/data/a".into(), labels });
    assert_eq!(config.sources.blocks[1].labels, Labels::empty());
}
