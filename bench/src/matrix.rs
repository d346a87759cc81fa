//! Large matrices as JSON: bytes of the answer per second of CPU time, beside a real Prometheus.

use std::error::Error;
use std::time::Duration;

use masthead_bench::data::{self, Size};
use masthead_bench::http;

use crate::compare::{Side, ask, check_equal, sides};

/// What to run.
pub(crate) struct Plan {
    pub(crate) size: Size,
    pub(crate) rounds: usize,
    /// The least ratio of Masthead's bytes per second to Prometheus'.
    pub(crate) ratio_min: Option<f64>,
}

/// Names and queries: whole numbers, numbers with all their digits, numbers that mostly stay.
const MATRICES: [(&str, &str); 3] = [
    ("counters", "http_requests_total"),
    ("rates", "rate(http_requests_total[5m])"),
    ("shares", "container_memory_working_set_bytes / 2.68435456e8"),
];
/// Length of a range, s; a point every 30 s.
const LONG: i64 = 2 * 3600;
/// Length of the range whose answers are compared.
const SHORT: i64 = 300;

/// Runs the comparison and prints a table.
pub(crate) fn run(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("data");
    data::write(&raw, &plan.size, None)?;
    let sides = sides(dir.path(), &raw)?;
    println!("{:10} {:18} {:>9} {:>8} {:>12} {:>7}", "matrix", "side", "MB", "cpu ms", "MB / cpu s", "ratio");
    let mut worst = f64::INFINITY;
    for (name, query) in MATRICES {
        check_equal(&sides, &path(query, plan.size.end(), SHORT), name)?;
        let long = path(query, plan.size.end(), LONG);
        let measured = sides.iter().map(|side| measure(side, &long, plan.rounds)).collect::<Result<Vec<_>, _>>()?;
        let speed = |(bytes, cpu): (usize, Duration)| bytes as f64 / 1e6 / cpu.as_secs_f64().max(1e-9);
        for (side, found) in sides.iter().zip(&measured) {
            let ratio = speed(*found) / speed(measured[0]);
            worst = worst.min(if std::ptr::eq(side, &sides[0]) { worst } else { ratio });
            println!(
                "{name:10} {:18} {:9.1} {:8.0} {:12.1} {ratio:7.2}",
                side.name,
                found.0 as f64 / 1e6,
                found.1.as_secs_f64() * 1e3,
                speed(*found),
            );
        }
    }
    match plan.ratio_min {
        Some(limit) if worst < limit => {
            Err(format!("{worst:.2} times Prometheus' bytes per second of CPU time, wanted are {limit}").into())
        }
        _ => Ok(()),
    }
}

fn path(query: &str, end: i64, length: i64) -> String {
    // Off the borders of blocks and scrapes.
    let end = end / 1000 - 600;
    format!("/api/v1/query_range?query={}&start={}&end={end}&step=30", http::encode(query), end - length)
}

/// Bytes of the body, and CPU time for it on average.
fn measure(side: &Side, path: &str, rounds: usize) -> Result<(usize, Duration), Box<dyn Error>> {
    let address = &side.servers[0].address;
    // Once before it counts: caches.
    let bytes = ask(address, path)?.len();
    let before = side.cpu()?;
    for _ in 0..rounds {
        ask(address, path)?;
    }
    Ok((bytes, (side.cpu()? - before) / rounds as u32))
}
