//! The binary as an operator starts and stops it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use masthead_store::serve::{self, ServeOptions, StoreService};
use masthead_store::testing::{Fault, FaultyStore, MemoryStore};
use masthead_store::{Budget, Labels, Samples, Store};

fn masthead(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_masthead"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    masthead(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server on a free port, and its log from the first line on.
struct Started {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    lines: Vec<String>,
    address: String,
}

impl Started {
    fn new(args: &[&str]) -> Self {
        let mut all = vec!["query", "--http-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0"];
        all.extend(args);
        let mut child = masthead(&all).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut started = Self { child, log, lines: vec![], address: String::new() };
        let listening = started.line_with("msg=listening");
        started.address = listening.split(" http=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        started
    }

    /// Reads the log up to a line with `part`.
    fn line_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "no {part:?} in {:#?}", self.lines);
            self.lines.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn get(&self, target: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended already where the test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn version_check_and_faults() {
    let version = run(&["--version"]);
    assert_eq!(text(&version.stdout), concat!("masthead ", env!("CARGO_PKG_VERSION"), "\n"));
    let checked = run(&["query", "--check", "--endpoint=a:1"]);
    assert!(checked.status.success());
    assert_eq!(text(&checked.stdout), "the settings are valid\n");
    let faulty = run(&["query", "--check", "--endpoint=a", "--query.timeout=1", "--enable-feature=x"]);
    assert!(!faulty.status.success());
    assert_eq!(text(&faulty.stderr).lines().filter(|line| line.starts_with("masthead: ")).count(), 3);
    let refused = run(&["query", "--query.enforce-tenancy", "--store.sd-files=/x", "--query.mode=local"]);
    assert!(!refused.status.success());
    let refusals = text(&refused.stderr);
    assert!(refusals.contains("--query.enforce-tenancy") && refusals.contains("--store.sd-files"), "{refusals}");
}

#[test]
fn a_server_warns_once_answers_and_ends_on_sigterm() {
    let mut server = Started::new(&["--query.replica-label=cluster", "--query.mode=distributed"]);
    server.line_with("msg=ready");
    let warnings: Vec<_> = server.lines.iter().filter(|line| line.contains("level=warn")).cloned().collect();
    let about = |part: &str| warnings.iter().filter(|line| line.contains(part)).count();
    assert_eq!(about("different clusters are no longer told apart"), 1, "{warnings:#?}");
    assert_eq!(about("--query.mode of thanos query has no effect"), 1, "{warnings:#?}");
    let answer = server.get("/api/v1/query?query=vector(1)&time=4");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Masthead-Coverage: complete\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with(r#"[{"metric":{},"value":[4,"1"]}]}}"#), "{answer}");
    server.signal("TERM");
    server.line_with("draining");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_taken_port_names_the_flag() {
    let server = Started::new(&[]);
    for (flag, others) in [("--http-address", "--grpc-address="), ("--grpc-address", "--http-address=127.0.0.1:0")] {
        let output = run(&["query", &format!("{flag}={}", server.address), others]);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(&format!("{flag} sets the address")), "{}", text(&output.stderr));
    }
}

#[test]
fn the_literal_command_line_starts_serves_and_reports_what_is_missing() {
    // Names that no DNS server knows: RFC 6761 sees to it.
    let mut server = Started::new(&[
        "--store=thanos-sidecar.prod-us-east.invalid:10901",
        "--store=thanos-sidecar.prod-eu-west.invalid:10901",
        "--store=dnssrv+_grpc._tcp.thanos-store.monitoring.invalid",
        "--query.replica-label=cluster",
    ]);
    server.line_with("msg=ready");
    let answer = server.get("/api/v1/query?query=up&coverage=true");
    let missing = "missing=\"dnssrv+_grpc._tcp.thanos-store.monitoring.invalid,thanos-sidecar.prod-eu-west.invalid:10901,\
                   thanos-sidecar.prod-us-east.invalid:10901\"";
    assert!(answer.contains(&format!("Masthead-Coverage: partial; answered=0; asked=3; {missing}")), "{answer}");
    assert!(server.get("/api/v1/stores").contains("\"state\":\"down\""));
    assert!(server.get("/-/ready").starts_with("HTTP/1.1 200"));
}

/// A peer on a port of its own that says what it holds and then sends nothing, for as long as the runtime lives.
fn hanging_peer(runtime: &tokio::runtime::Runtime) -> String {
    let samples = Samples { timestamps: vec![1000], values: vec![1.0], ..Samples::default() };
    let series = [(Labels::from_pairs([("__name__", "up")]), samples)];
    let memory = MemoryStore::new("memory", &Labels::from_pairs([("cluster", "east")]), &series);
    let store: Arc<dyn Store> = Arc::new(FaultyStore::new(Arc::new(memory), Fault::Stall(0)));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = StoreService::new(
        Arc::new(move || vec![store.clone()]),
        Budget::unlimited(),
        ServeOptions { response_timeout: Duration::ZERO, ..ServeOptions::default() },
    );
    runtime.spawn(serve::listen(service, listener, std::future::pending()));
    address
}

/// A server over a hanging peer.
fn over_hanging_peer(runtime: &tokio::runtime::Runtime, response_timeout: &str) -> Started {
    let peer = hanging_peer(runtime);
    let timeout = format!("--store.response-timeout={response_timeout}");
    let mut server = Started::new(&[&format!("--endpoint={peer}"), &timeout]);
    server.line_with("msg=ready");
    server
}

/// A query that waits without end, once it does.
fn stuck_query(server: &Started) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "GET /api/v1/query?query=up&time=2 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    while !server.get("/metrics").contains("\nmasthead_queries_in_flight 1\n") {}
    stream
}

#[test]
fn a_second_signal_ends_what_the_first_one_drains() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut server = over_hanging_peer(&runtime, "0");
    let _stream = stuck_query(&server);
    server.signal("TERM");
    server.line_with("draining");
    assert!(server.child.try_wait().unwrap().is_none(), "the query still runs");
    server.signal("TERM");
    server.line_with("ended at once");
    assert!(!server.child.wait().unwrap().success());
}

#[test]
fn a_silent_peer_is_missing_after_the_response_timeout() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = over_hanging_peer(&runtime, "100ms");
    let answer = server.get("/api/v1/query?query=up&time=2");
    assert!(answer.contains("Masthead-Coverage: partial; answered=0; asked=1; missing=\"east\"\r\n"), "{answer}");
    assert!(answer.contains("is missing: read series: silent for 100ms"), "{answer}");
}

#[test]
fn a_client_that_goes_away_takes_its_query_with_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = over_hanging_peer(&runtime, "0");
    drop(stuck_query(&server));
    // Two minutes is what the query might take; the test's own harness ends it before that.
    while !server.get("/metrics").contains("\nmasthead_queries_in_flight 0\n") {}
    assert!(server.get("/metrics").contains("\nmasthead_memory_used_bytes 0\n"));
}
