//! The HTTP API beside that of a real Prometheus 3 over the same blocks: statuses, headers and bodies of the same requests,
//! bytes and all. What Prometheus changed after 3.5, which Debian's testing suite has, is in tests beside the code instead.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use masthead_bench::data::copy;
use masthead_bench::process::Server;
use masthead_tests::needed;

/// Headers whose values must be equal.
const HEADERS: [&str; 8] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "allow",
    "content-encoding",
    "content-type",
    "location",
    "x-content-type-options",
];

/// A request: method, target, further headers as lines, and a form.
#[derive(Debug, Clone)]
struct Ask {
    method: &'static str,
    target: String,
    headers: &'static str,
    form: String,
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

fn get(target: impl Into<String>) -> Ask {
    Ask { method: "GET", target: target.into(), headers: "", form: String::new() }
}

fn ask(server: &Server, ask: &Ask) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(&server.address)?;
    let form = match &*ask.form {
        "" => String::new(),
        form => format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", form.len()),
    };
    let head = format!("{} {} HTTP/1.0\r\nHost: x\r\n{}{form}\r\n{}", ask.method, ask.target, ask.headers, ask.form);
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value));
    let headers = headers.filter(|(name, _)| HEADERS.contains(&&**name));
    let mut headers: BTreeMap<String, String> = headers.map(|(name, value)| (name, value.to_owned())).collect();
    let mut body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    // Of compressed bytes only the way counts, and a redirect's text is each server's own.
    if headers.contains_key("content-encoding") || headers.contains_key("location") {
        body.clear();
        headers.retain(|name, _| name != "content-type");
    }
    Ok(Answer { status, headers, body })
}

/// `text` percent-encoded for a query string.
fn encode(text: &str) -> String {
    masthead_bench::http::encode(text)
}

/// Times as clients send them, sane and not.
const TIMES: [&str; 24] = [
    "",
    "0",
    "1700006400",
    "1700006400.5",
    "1700006400.0006",
    "1.7000064e9",
    "1700006400000",
    "-1",
    "-62135596800",
    "9223372036.854775",
    "9223372036854775807",
    "1e100",
    "NaN",
    "+Inf",
    "x",
    "2023-11-15T00:00:00Z",
    "2023-11-15T00:00:00.123456789+01:00",
    "2023-11-15T00:00:00",
    "2023-02-30T00:00:00Z",
    "-292273086-05-16T16:47:06Z",
    "292277025-08-18T07:12:54.999999999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "now",
];

const DURATIONS: [&str; 16] =
    ["", "0", "1", "0.5", "60", "1m", "1h30m", "5m1s", "-5", "-1m", "1e10", "1e18", "x", "1", "NaN", "2w"];

fn requests() -> Vec<Ask> {
    let mut asks = Vec::new();
    times(&mut asks);
    durations(&mut asks);
    limits(&mut asks);
    expressions(&mut asks);
    selectors(&mut asks);
    paths(&mut asks);
    headers(&mut asks);
    asks
}

fn times(asks: &mut Vec<Ask>) {
    for time in TIMES {
        let time = encode(time);
        // Without a time it is the clock's.
        if !time.is_empty() {
            for query in ["1", "many{id=\"1\"}", "build_info", "time()", "\"x\"", "vector(1)"] {
                asks.push(get(format!("/api/v1/query?query={}&time={time}", encode(query))));
            }
        }
        for (path, rest) in [
            ("query_range", "query=1&end=1700006460&step=60&start="),
            ("query_range", "query=count(many)&start=1700006400&step=60&end="),
            ("series", "match[]=build_info&end=1700010000&start="),
            ("series", "match[]=build_info&start=1700006400&end="),
            ("labels", "start="),
            ("labels", "match[]=build_info&end="),
            ("label/job/values", "start="),
            ("label/__name__/values", "match[]=build_info&end="),
            ("query_exemplars", "query=up&start="),
            ("query_exemplars", "query=up&end="),
        ] {
            asks.push(get(format!("/api/v1/{path}?{rest}{time}")));
        }
    }
}

fn durations(asks: &mut Vec<Ask>) {
    for duration in DURATIONS {
        let duration = encode(duration);
        for rest in [
            "query_range?query=1&start=1700006400&end=1700006460&step=",
            "query_range?query=sum(many)&start=1700006400&end=1700006460&step=60&lookback_delta=",
            "query?query=sum(many)&time=1700006500&lookback_delta=",
        ] {
            asks.push(get(format!("/api/v1/{rest}{duration}")));
        }
        // A time that can be up before the answer is there is no question of syntax; for one that is up at once, Prometheus
        // says 400, 422 or 503 by chance.
        if !matches!(&*duration, "0.5" | "1" | "NaN" | "0" | "-5") {
            asks.push(get(format!("/api/v1/query?query=1&time=4&timeout={duration}")));
            asks.push(get(format!("/api/v1/query_range?query=1&start=1&end=2&step=1&timeout={duration}")));
        }
    }
}

fn limits(asks: &mut Vec<Ask>) {
    for limit in ["", "0", "1", "3", "1000", "-1", "x", "1.5", "+2", " 1", "9223372036854775807", "9223372036854775808"]
    {
        let limit = encode(limit);
        for rest in [
            "query?query=build_info&time=1700006400",
            "query?query=sort(many)&time=1700006400",
            "query?query=build_info[5m]&time=1700006400",
            "query?query=1&time=4",
            "query_range?query=build_info&start=1700006400&end=1700006460&step=60",
            "series?match[]=build_info",
            "labels?match[]=build_info",
            "label/__name__/values?x=y",
            "metadata?x=y",
        ] {
            asks.push(get(format!("/api/v1/{rest}&limit={limit}")));
        }
    }
}

fn expressions(asks: &mut Vec<Ask>) {
    for query in [
        "",
        "up{",
        "rate(up)",
        "sum by (x",
        "{}",
        "1 +",
        "up[5m]",
        "\"a<b>&\u{2028}\"",
        "many and on () many",
        "build_info + build_info",
        "foo(1)",
        "label_replace(build_info, \"\", \"\", \"\", \"\")",
        "count_values(\"\", many)",
        "1 == 1",
        "(((1)))",
        "# only a comment",
    ] {
        let query = encode(query);
        for path in ["query?time=1700006400&", "format_query?", "query_exemplars?"] {
            asks.push(get(format!("/api/v1/{path}query={query}")));
        }
        asks.push(get(format!("/api/v1/query_range?start=1700006400&end=1700006460&step=60&query={query}")));
        let form = format!("time=1700006400&query={query}");
        asks.push(Ask { method: "POST", target: "/api/v1/query?query=2&time=9".to_owned(), headers: "", form });
    }
}

fn selectors(asks: &mut Vec<Ask>) {
    for matcher in
        ["", "{}", "up{", "{job=\"\"}", "{job=~\".*\"}", "{job=~\".+\"}", "build_info", "{__name__=~\"b.*\"}", "x y"]
    {
        let matcher = encode(matcher);
        for path in ["series", "labels", "label/job/values"] {
            asks.push(get(format!("/api/v1/{path}?match[]={matcher}")));
            asks.push(get(format!("/api/v1/{path}?match[]=build_info&match[]={matcher}&end=1700010000")));
        }
    }
}

fn paths(asks: &mut Vec<Ask>) {
    for target in [
        "/api/v1/query_range?query=1&start=1&end=0&step=1",
        "/api/v1/query_range?query=1&start=0&end=11000&step=1",
        "/api/v1/query_range?query=1&start=0&end=11001&step=1",
        "/api/v1/query_range?query=1&start=0&end=1&step=-1",
        "/api/v1/query_range?query=1",
        "/api/v1/query?query=%zz",
        "/api/v1/query?query=1;time=5&time=4",
        "/api/v1/series",
        "/api/v1/series?match[]=%zz",
        "/api/v1/series?start=2&end=1&match[]=build_info",
        "/api/v1/labels?start=2&end=1",
        "/api/v1/label/U__a_2e_b/values",
        "/api/v1/label/U__/values",
        "/api/v1/label/no%2Fslash/values",
        "/api/v1/label/%C3%A9/values",
        "/api/v1/metadata?limit=x",
        "/api/v1/metadata?limit_per_metric=x",
        "/api/v1/metadata",
        "/api/v1/rules",
        "/api/v1/rules?type=x",
        "/api/v1/rules?group_limit=0",
        "/api/v1/rules?group_next_token=x",
        "/api/v1/alertmanagers",
        "/api/v1/scrape_pools",
        "/api/v1/status/walreplay",
        "/api/v1/notifications",
        "/api/v1/nothing",
        "/api/v1/",
        "/api/v2/query",
        "/nothing",
        "/federate",
        "/federate?match[]=up{",
        "/federate?match[]=nothing_of_today",
    ] {
        asks.push(get(target));
        for method in ["HEAD", "OPTIONS", "DELETE", "PUT", "POST"] {
            // Where the body of a form is missing the clock's time counts.
            // 3.5 still has a DELETE of series that does nothing.
            if !target.contains("query=") && !target.contains("/series") {
                asks.push(Ask { method, ..get(target) });
            }
        }
    }
}

fn headers(asks: &mut Vec<Ask>) {
    for headers in [
        "Origin: http://x.example\r\n",
        "Accept-Encoding: gzip\r\n",
        "Accept-Encoding: deflate\r\n",
        "Accept-Encoding: deflate, gzip\r\n",
        "Accept-Encoding: br, zstd\r\n",
        "Accept: text/html\r\n",
        "Accept: application/openmetrics-text\r\n",
    ] {
        for target in ["/api/v1/query?query=1&time=4", "/api/v1/labels", "/api/v1/query?query=x("] {
            asks.push(Ask { headers, ..get(target) });
            // Prometheus says of the empty answer to OPTIONS too that it is compressed.
            if !headers.starts_with("Accept-Encoding") {
                asks.push(Ask { headers, method: "OPTIONS", ..get(target) });
            }
        }
    }
}

#[test]
fn answers_are_those_of_a_prometheus() {
    let Some(prometheus) = needed::prometheus() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/prometheus-3.14/floats/data");
    copy(&golden, folder.path()).expect("a copy");
    let ours = Server::masthead([format!("--blocks={}", golden.display())]).expect("a server");
    let theirs = Server::prometheus(&prometheus, folder.path(), "", &[]).expect("a Prometheus");
    let asks = requests();
    let mut different = Vec::new();
    for request in &asks {
        let expected = ask(&theirs, request).expect("an answer of Prometheus");
        let got = ask(&ours, request).expect("an answer of ours");
        if got != expected {
            different.push(format!("{request:?}\n  theirs {expected:.400?}\n  ours   {got:.400?}"));
        }
    }
    assert!(asks.len() > 800, "{}", asks.len());
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), asks.len(), different.join("\n"));
}
