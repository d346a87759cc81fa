//! Remote read as its clients use it: a real Prometheus 3 that has Masthead as its only source of old data must answer what
//! Masthead answers, whether it reads chunks or samples; and what a client reads is what was written.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use masthead_bench::data::{self, BLOCK, START, Size};
use masthead_bench::process::Server;
use masthead_proto::prometheus as proto;
use masthead_store::{Chunk, Encoding, Labels, Samples, chunk};
use masthead_tests::needed;
use prost::Message as _;
use tempfile::TempDir;

const SIZE: Size = Size { series: 96, blocks: 2, interval: 15_000, churn: 1 };

/// A new folder in `folder`.
fn place(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir(&path).expect("a folder");
    path
}

/// A Prometheus without data of its own that reads from `source`.
fn reader(prometheus: &Path, source: &str, folder: &Path) -> Server {
    let config = format!("remote_read:\n- url: http://{source}/api/v1/read\n  read_recent: true\n");
    Server::prometheus(prometheus, folder, &config, &[]).expect("a Prometheus that reads remotely")
}

/// A request as it came: path and body.
fn receive(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((path, body))
}

/// POSTs a body; gives head and body of the answer.
fn post(address: &str, path: &str, body: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))? + 4;
    let body = answer.split_off(end);
    Ok((String::from_utf8_lossy(&answer).into_owned(), body))
}

fn compress(request: &proto::ReadRequest) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("a small request")
}

/// Stands between a Prometheus and `source`, and lets it ask for samples, which it never does by itself. Ends with the test.
fn asking_for_samples(source: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let source = source.clone();
            std::thread::spawn(move || -> io::Result<()> {
                let (path, body) = receive(&mut stream)?;
                let plain = snap::raw::Decoder::new().decompress_vec(&body).map_err(io::Error::other)?;
                let mut request = proto::ReadRequest::decode(&*plain).map_err(io::Error::other)?;
                assert_eq!(request.accepted_response_types, [1, 0], "what a Prometheus asks for");
                request.accepted_response_types = vec![0];
                let (head, body) = post(&source, &path, &compress(&request))?;
                assert!(head.to_lowercase().contains("content-type: application/x-protobuf\r\n"), "{head}");
                stream.write_all(head.replacen("HTTP/1.0", "HTTP/1.1", 1).as_bytes())?;
                stream.write_all(&body)
            });
        }
    });
    address
}

/// Questions about the data of the benchmark: path and parameters.
fn questions() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let seconds = |ms: i64| (ms / 1000).to_string();
    let mut questions = Vec::new();
    for query in [
        "up",
        "http_requests_total{job=~\"service-0[1-4]\",code!=\"200\"}",
        "rate(http_requests_total{cluster=\"prod-1\"}[5m])",
        "sum by (code, cluster) (rate(http_requests_total[7m]))",
        "count(container_memory_working_set_bytes) by (namespace)",
        "max_over_time(container_memory_working_set_bytes[30m:1m])",
        "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[10m])))",
        "nothing_has_this_name",
        "http_requests_total offset 1h and on (pod) up == 1",
    ] {
        questions
            .push(("/api/v1/query", vec![("query", query.to_owned()), ("time", seconds(START + BLOCK + 3_000_000))]));
        let range = [("start", seconds(START)), ("end", seconds(START + 2 * BLOCK)), ("step", "173".to_owned())];
        questions.push(("/api/v1/query_range", [vec![("query", query.to_owned())], range.to_vec()].concat()));
    }
    let raw = ("query", "http_requests_total{code=\"500\"}[1h]".to_owned());
    questions.push(("/api/v1/query", vec![raw, ("time", seconds(START + BLOCK))]));
    questions
}

/// What the answer says, the order of a vector left out.
fn said(server: &Server, path: &str, params: &[(&str, String)]) -> serde_json::Value {
    let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (_, body) = server.get(path, &params).expect("an answer");
    let mut body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    if let Some(result) = body["data"]["result"].as_array_mut() {
        result.sort_by_key(|series| series["metric"].to_string());
    }
    body
}

#[test]
fn a_prometheus_that_reads_from_us_answers_as_we_do() {
    let Some(prometheus) = needed::prometheus() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = place(&folder, "blocks");
    data::write(&blocks, &SIZE, None).expect("blocks");
    let ours = Server::masthead([format!("--blocks={}", blocks.display())]).expect("a server");
    let streamed = reader(&prometheus, &ours.address, &place(&folder, "streamed"));
    let sampled = reader(&prometheus, &asking_for_samples(ours.address.clone()), &place(&folder, "sampled"));
    let mut points = 0;
    for (path, params) in questions() {
        let expected = said(&ours, path, &params);
        assert_eq!(expected["status"], "success", "{params:?}: {expected}");
        for theirs in [&streamed, &sampled] {
            let got = said(theirs, path, &params);
            assert_eq!(got["data"], expected["data"], "{params:?}: {got}");
        }
        points += expected["data"]["result"].as_array().map_or(0, Vec::len);
    }
    assert!(points > 400, "the questions have answers: {points}");
}

/// The series of an answer of chunks, decoded.
fn read_chunks(mut body: &[u8]) -> Vec<(Labels, Samples)> {
    let mut found: Vec<(Labels, Samples)> = Vec::new();
    while !body.is_empty() {
        let length = prost::encoding::decode_varint(&mut body).expect("a length") as usize;
        let frame = proto::ChunkedReadResponse::decode(&body[4..4 + length]).expect("a frame");
        body = &body[4 + length..];
        for series in frame.chunked_series {
            let labels = labels(&series.labels);
            if found.last().is_none_or(|(have, _)| *have != labels) {
                found.push((labels, Samples::default()));
            }
            let (_, samples) = found.last_mut().expect("pushed above");
            for proto::Chunk { min_time_ms, max_time_ms, r#type, data } in series.chunks {
                let encoding = Encoding::from_block(r#type as u8).expect("a known encoding");
                let chunk = Chunk { min_time: min_time_ms, max_time: max_time_ms, encoding, data };
                chunk::decode(&chunk, samples).expect("a chunk");
            }
        }
    }
    found
}

fn labels(labels: &[proto::Label]) -> Labels {
    Labels::from_pairs(labels.iter().map(|label| (&label.name, &label.value)))
}

/// Replicas are folded, and both forms of an answer hold the same samples of the same series in the same order.
#[test]
fn replicas_are_folded_in_both_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut flags = vec!["--query.replica-label=replica".to_owned()];
    for replica in ["a", "b"] {
        let path = folder.path().join(replica);
        data::write(&path, &SIZE, Some(&Labels::from_pairs([("replica", replica)]))).expect("blocks");
        flags.push(format!("--blocks={}", path.display()));
    }
    let ours = Server::masthead(flags).expect("a server");
    let matcher = proto::LabelMatcher { r#type: 0, name: "__name__".into(), value: "up".into() };
    let (from, to) = (START + 600_000, START + BLOCK + 600_000);
    let query = proto::Query { start_timestamp_ms: from, end_timestamp_ms: to, matchers: vec![matcher] };
    let ask = |form: i32, path: &str| {
        let request = proto::ReadRequest { queries: vec![query.clone()], accepted_response_types: vec![form] };
        post(&ours.address, path, &compress(&request)).expect("an answer")
    };
    let (head, body) = ask(1, "/api/v1/read");
    assert!(head.starts_with("HTTP/1.0 200") && head.contains("Masthead-Coverage: complete"), "{head}");
    let chunks = read_chunks(&body);
    let (_, body) = ask(0, "/api/v1/read");
    let plain = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
    let samples = proto::ReadResponse::decode(&*plain).expect("an answer").results.remove(0).timeseries;
    assert_eq!((chunks.len(), samples.len()), (24, 24), "each series once, churn included");
    for ((chunked, in_chunks), sampled) in chunks.iter().zip(&samples) {
        assert_eq!(*chunked, labels(&sampled.labels));
        assert!(chunked.get("replica").is_none());
        let within = in_chunks.timestamps.iter().zip(&in_chunks.values).filter(|(time, _)| (from..=to).contains(*time));
        let within: Vec<_> = within.map(|(time, value)| proto::Sample { timestamp: *time, value: *value }).collect();
        assert_eq!(within, sampled.samples, "{chunked}");
    }
    let (_, apart) = ask(1, "/api/v1/read?dedup=false");
    assert_eq!(read_chunks(&apart).len(), 48);
    for (body, status, text) in [
        (&b"nonsense"[..], "HTTP/1.0 400", "snappy: corrupt input\n"),
        (
            &compress(&proto::ReadRequest { queries: vec![], accepted_response_types: vec![7] }),
            "HTTP/1.0 400",
            "server does not",
        ),
    ] {
        let (head, body) = post(&ours.address, "/api/v1/read", body).expect("an answer");
        assert!(head.starts_with(status) && head.to_lowercase().contains("content-type: text/plain"), "{head}");
        assert!(String::from_utf8_lossy(&body).starts_with(text));
    }
}

/// Native histograms, integer and float, exponential and custom, mixed with floats, come as they are.
#[test]
fn native_histograms_go_through() {
    let Some(prometheus) = needed::prometheus() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/prometheus-3.14/annotations/data");
    let ours = Server::masthead([format!("--blocks={}", blocks.display())]).expect("a server");
    let streamed = reader(&prometheus, &ours.address, &place(&folder, "streamed"));
    let sampled = reader(&prometheus, &asking_for_samples(ours.address.clone()), &place(&folder, "sampled"));
    let mut histograms = 0;
    for time in (1_700_000_100..1_700_006_400).step_by(900) {
        // A Prometheus 3.5 can read neither ranges of float histograms nor floats mixed with histograms as samples.
        for (query, as_samples) in [
            ("{__name__=~\".+\"}", false),
            ("{__name__=~\".+\"}[10m]", false),
            ("{__name__=~\".+\",__name__!~\"mixed_.*\"}", true),
        ] {
            let params = [("query", query.to_owned()), ("time", time.to_string())];
            let expected = said(&ours, "/api/v1/query", &params);
            assert_eq!(expected["status"], "success", "{expected}");
            for theirs in [Some(&streamed), as_samples.then_some(&sampled)].into_iter().flatten() {
                let got = said(theirs, "/api/v1/query", &params);
                assert_eq!(got["data"], expected["data"], "{params:?}");
            }
            let result = expected["data"]["result"].as_array().expect("a result");
            histograms += result.iter().filter(|series| series.get("histogram").is_some()).count();
        }
    }
    assert!(histograms > 100, "{histograms}");
}
