//! The comparison: equal answers first, then CPU time, wall time and memory, as ratios.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use masthead_bench::data::{self, Size};
use masthead_bench::http;
use masthead_bench::process::{Server, prometheus_binary};
use masthead_store::Labels;
use serde_json::Value;

/// Relative difference of two numbers that still counts as equal.
const TOLERANCE: f64 = 1e-9;

/// What to run.
pub(crate) struct Plan {
    pub(crate) size: Size,
    pub(crate) rounds: usize,
    pub(crate) only: String,
    pub(crate) ratio_max: Option<f64>,
}

/// A question; `hours` 0 asks for one instant.
struct Question {
    name: &'static str,
    query: &'static str,
    hours: i64,
}

/// The question whose share of Prometheus' CPU time over blocks has a limit: it takes long enough to be measured.
const GATED: &str = "rate_job_6h";

const QUESTIONS: &[Question] = &[
    Question { name: GATED, query: "sum by (job) (rate(http_requests_total[5m]))", hours: 6 },
    Question { name: "rate_job_1h", query: "sum by (job) (rate(http_requests_total[5m]))", hours: 1 },
    Question {
        name: "hq99_job_1h",
        query: "histogram_quantile(0.99, sum by (job, le) (rate(http_request_duration_seconds_bucket[5m])))",
        hours: 1,
    },
    Question {
        name: "err_ratio_6h",
        query: "sum(rate(http_requests_total{code=~\"5..\"}[5m])) / sum(rate(http_requests_total[5m]))",
        hours: 6,
    },
    Question { name: "topk_mem_1h", query: "topk(5, container_memory_working_set_bytes)", hours: 1 },
    Question {
        name: "avg_ot_3h",
        query: "max by (job) (avg_over_time(container_memory_working_set_bytes[10m]))",
        hours: 3,
    },
    Question { name: "up_by_job", query: "sum by (job) (up)", hours: 0 },
    Question { name: "rate6h_inst", query: "sum by (job) (rate(http_requests_total[6h]))", hours: 0 },
    Question { name: "raw_1h", query: "http_requests_total{job=\"service-03\",code=\"200\"}", hours: 1 },
];

/// One side of the comparison.
pub(crate) struct Side {
    pub(crate) name: &'static str,
    /// The server asked, then those behind it.
    pub(crate) servers: Vec<Server>,
    /// How to start it anew, for memory from a fresh process.
    start: Box<dyn Fn() -> std::io::Result<Vec<Server>>>,
}

impl Side {
    fn new(
        name: &'static str,
        start: impl Fn() -> std::io::Result<Vec<Server>> + 'static,
    ) -> Result<Self, Box<dyn Error>> {
        Ok(Self { name, servers: start()?, start: Box::new(start) })
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> std::io::Result<Duration> {
        self.servers.iter().map(Server::cpu).sum()
    }
}

/// What was measured of one question on one side.
#[derive(Default)]
struct Measured {
    cpu: Duration,
    wall: Vec<Duration>,
    peak: u64,
}

/// Runs the comparison and prints a table.
pub(crate) fn run(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("data");
    data::write(&raw, &plan.size, None)?;
    let bucket = dir.path().join("bucket");
    data::write(&bucket, &plan.size, Some(&Labels::from_pairs([("fleet", "bench")])))?;
    let mut sides = sides(dir.path(), &raw)?;
    sides.push(stores(&bucket)?);

    println!(
        "{} series of http_requests_total, {} blocks of 2 h, a sample each {} s",
        plan.size.series,
        plan.size.blocks,
        plan.size.interval / 1000
    );
    println!(
        "{:14} {:22} {:>8} {:>9} {:>9} {:>9} {:>7} {:>7} {:>7}",
        "question", "side", "cpu ms", "ns/sample", "wall ms", "peak MB", "cpu", "wall", "memory"
    );
    let mut ratio = None;
    for question in QUESTIONS.iter().filter(|q| q.name.contains(&plan.only)) {
        let path = path(question, plan.size.end());
        check_equal(&sides, &path, question.name)?;
        let measured = measure(&mut sides, &path, plan.rounds)?;
        print(question, plan, &sides, &measured);
        if question.name == GATED {
            ratio = Some(ms(measured[1].cpu) / ms(measured[0].cpu).max(1e-9));
        }
    }
    match (plan.ratio_max, ratio) {
        (None, _) => Ok(()),
        (Some(limit), Some(ratio)) if ratio <= limit => Ok(()),
        (Some(limit), Some(ratio)) => {
            Err(format!("{GATED} costs {ratio:.3} of Prometheus' CPU time over blocks, allowed are {limit}").into())
        }
        (Some(_), None) => Err(format!("a ratio is given, and {GATED}, of which it is, was left out").into()),
    }
}

/// A real Prometheus, and Masthead over blocks. Both have the data in `raw`.
pub(crate) fn sides(dir: &Path, raw: &Path) -> Result<Vec<Side>, Box<dyn Error>> {
    build_masthead()?;
    let prometheus = prometheus_binary()?;
    // Prometheus gets its own copy: it locks its folder and writes into it.
    let copy = dir.join("prometheus");
    data::copy(raw, &copy)?;
    let blocks = format!("--blocks={}", raw.display());
    Ok(vec![
        Side::new("prometheus", move || Ok(vec![Server::prometheus(&prometheus, &copy, "", &[])?]))?,
        Side::new("masthead blocks", move || Ok(vec![Server::masthead([&blocks])?]))?,
    ])
}

/// Masthead that asks another one over StoreAPI, which has the blocks.
fn stores(bucket: &Path) -> Result<Side, Box<dyn Error>> {
    let behind = format!("--blocks={}", bucket.display());
    Side::new("masthead stores", move || {
        let behind = Server::masthead([&behind])?;
        Ok(vec![Server::masthead([format!("--endpoint={}", behind.grpc_address)])?, behind])
    })
}

/// Builds the binary beside this one, so that it is of this source. This package is selected too: its features of the
/// libraries are the ones that were compiled for it just now, so that only the binary is left to do.
pub(crate) fn build_masthead() -> Result<(), Box<dyn Error>> {
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--quiet",
        "--package",
        "masthead-query",
        "--package",
        env!("CARGO_PKG_NAME"),
        "--bin",
        "masthead",
    ]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    match build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success() {
        true => Ok(()),
        false => Err("the binary masthead does not build".into()),
    }
}

fn path(question: &Question, end: i64) -> String {
    let query = http::encode(question.query);
    // Off the borders of blocks and scrapes.
    let end = end / 1000 - 600;
    match question.hours {
        0 => format!("/api/v1/query?query={query}&time={end}"),
        hours => format!("/api/v1/query_range?query={query}&start={}&end={end}&step=60", end - hours * 3600),
    }
}

pub(crate) fn ask(address: &str, path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    match http::get(address, path)? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("{address}{path}: {status} {}", String::from_utf8_lossy(&body)).into()),
    }
}

/// Fails unless all sides answer the same, and with something.
pub(crate) fn check_equal(sides: &[Side], path: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let answer = |side: &Side| -> Result<Value, Box<dyn Error>> {
        let mut answer: Value = serde_json::from_slice(&ask(&side.servers[0].address, path)?)?;
        let mut series = match answer["data"]["result"].take() {
            Value::Array(series) => series,
            _ => return Err(format!("{name}: {} answers without a result", side.name).into()),
        };
        for one in &mut series {
            // The external label of the bucket is no part of the question.
            one["metric"].as_object_mut().and_then(|labels| labels.remove("fleet"));
        }
        series.sort_by_cached_key(|one| one["metric"].to_string());
        Ok(Value::Array(series))
    };
    let expected = answer(&sides[0])?;
    if expected.as_array().is_none_or(Vec::is_empty) {
        return Err(format!("{name}: an empty answer compares nothing").into());
    }
    for side in &sides[1..] {
        if let Some(difference) = difference(&expected, &answer(side)?) {
            return Err(format!("{name}: {} answers otherwise than Prometheus: {difference}", side.name).into());
        }
    }
    Ok(())
}

/// Where two answers differ, numbers (also those in strings) compared with [`TOLERANCE`].
fn difference(a: &Value, b: &Value) -> Option<String> {
    let differ = || Some(format!("{} against {}", short(a), short(b)));
    match (a, b) {
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => x.iter().zip(y).find_map(|(a, b)| difference(a, b)),
        (Value::Object(x), Value::Object(y)) if x.keys().eq(y.keys()) => {
            x.values().zip(y.values()).find_map(|(a, b)| difference(a, b))
        }
        (Value::String(x), Value::String(y)) if x != y => match (x.parse::<f64>(), y.parse::<f64>()) {
            (Ok(x), Ok(y)) if (x - y).abs() <= TOLERANCE * x.abs().max(y.abs()) => None,
            _ => differ(),
        },
        _ if a == b => None,
        _ => differ(),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(120).collect()
}

fn measure(sides: &mut [Side], path: &str, rounds: usize) -> Result<Vec<Measured>, Box<dyn Error>> {
    let mut measured: Vec<Measured> = sides.iter().map(|_| Measured::default()).collect();
    // In turns, so that what else the machine does meets all sides alike.
    for _ in 0..rounds {
        for (side, out) in sides.iter().zip(&mut measured) {
            let (cpu, start) = (side.cpu()?, Instant::now());
            ask(&side.servers[0].address, path)?;
            out.wall.push(start.elapsed());
            out.cpu += side.cpu()?.saturating_sub(cpu);
        }
    }
    for (side, out) in sides.iter_mut().zip(&mut measured) {
        out.wall.sort();
        out.cpu /= rounds as u32;
        // A fresh process: what an earlier question left behind is no part of this one's peak.
        side.servers.clear();
        side.servers = (side.start)()?;
        let front = &side.servers[0];
        let idle = front.anonymous()?;
        let (answer, peak) = front.peak_while(|| ask(&front.address, path))?;
        answer?;
        out.peak = peak.saturating_sub(idle);
    }
    Ok(measured)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Prints the rows of one question.
fn print(question: &Question, plan: &Plan, sides: &[Side], measured: &[Measured]) {
    let samples = match question.name.starts_with("rate_job_") {
        true => plan.size.request_samples(
            plan.size.end() - 600_000 - question.hours * 3_600_000 - 300_000,
            plan.size.end() - 600_000,
        ),
        false => 0,
    };
    let base = &measured[0];
    for (side, m) in sides.iter().zip(measured) {
        let wall = m.wall[m.wall.len() / 2];
        let per_sample =
            if samples == 0 { "-".into() } else { format!("{:.1}", m.cpu.as_nanos() as f64 / samples as f64) };
        println!(
            "{:14} {:22} {:8.1} {per_sample:>9} {:9.1} {:9.1} {:7.3} {:7.3} {:7.3}",
            question.name,
            side.name,
            ms(m.cpu),
            ms(wall),
            m.peak as f64 / 1e6,
            ms(m.cpu) / ms(base.cpu).max(1e-9),
            ms(wall) / ms(base.wall[base.wall.len() / 2]).max(1e-9),
            m.peak as f64 / (base.peak as f64).max(1.0),
        );
    }
}
