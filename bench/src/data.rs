//! A deterministic fleet-like data set as TSDB blocks.

use std::io;
use std::path::Path;

use masthead_store::block::Ulid;
use masthead_store::block::write::{WriteOptions, write_block};
use masthead_store::labels::METRIC_NAME;
use masthead_store::{Chunk, Labels, Millis, StoreError, chunk};

/// Start of the data, ms: a multiple of the block length.
pub const START: Millis = 1_699_999_200_000;
/// Length of a block, ms.
pub const BLOCK: Millis = 2 * 3_600_000;

const JOBS: usize = 20;

/// Copies a folder and all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// How much data to write.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Series of `http_requests_total`; other metrics come in proportion.
    pub series: usize,
    /// Blocks of two hours.
    pub blocks: usize,
    /// Distance of samples, ms.
    pub interval: Millis,
    /// Every how many blocks a pod is replaced by another one, staggered; 0: never.
    pub churn: usize,
}

impl Size {
    /// End of the data, ms, exclusive.
    pub fn end(&self) -> Millis {
        START + self.blocks as Millis * BLOCK
    }

    /// Raw samples of `http_requests_total` within `(from, to]`.
    pub fn request_samples(&self, from: Millis, to: Millis) -> u64 {
        let count = |t: Millis| (t.clamp(START - 1, self.end() - 1) - START).div_euclid(self.interval) + 1;
        (count(to) - count(from)) as u64 * self.series as u64
    }
}

/// Series of one block, ascending by labels.
fn series_of_block(size: &Size, block: usize) -> Vec<(Labels, u64, Kind)> {
    let mut out = Vec::new();
    for index in 0..size.series {
        // Eight series a pod: two methods times four codes.
        let (pod, method, code) = (index / 8, index / 4 % 2, index % 4);
        let generation = block.checked_div(size.churn).map_or(0, |_| (block + pod % size.churn) / size.churn);
        let labels = |name: &'static str| {
            vec![
                (METRIC_NAME, name.to_owned()),
                ("cluster", format!("prod-{}", pod % 3)),
                ("instance", format!("10.{}.{}.{}:8080", pod / 62_500, pod / 250 % 250, pod % 250)),
                ("job", format!("service-{:02}", pod % JOBS)),
                ("namespace", format!("team-{}", pod % 7)),
                ("pod", format!("service-{:02}-{pod:05}-{generation}", pod % JOBS)),
            ]
        };
        let seed = (index as u64) << 20 | generation as u64;
        let mut request = labels("http_requests_total");
        request.push(("method", ["GET", "POST"][method].to_owned()));
        request.push(("code", ["200", "404", "500", "503"][code].to_owned()));
        out.push((Labels::from_pairs(request), seed, Kind::Counter));
        if index % 8 == 0 {
            out.push((Labels::from_pairs(labels("up")), seed, Kind::Up));
            out.push((Labels::from_pairs(labels("container_memory_working_set_bytes")), seed, Kind::Gauge));
            for bound in ["0.05", "0.1", "0.5", "1", "+Inf"] {
                let mut bucket = labels("http_request_duration_seconds_bucket");
                bucket.push(("le", bound.to_owned()));
                out.push((Labels::from_pairs(bucket), seed, Kind::Counter));
            }
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Up,
}

/// Writes the data set into a Prometheus data directory; with `external`, into a bucket whose blocks carry these labels.
pub fn write(dir: &Path, size: &Size, external: Option<&Labels>) -> Result<(), StoreError> {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for block in 0..size.blocks {
        let min_time = START + block as Millis * BLOCK;
        let list = series_of_block(size, block);
        let mut series = list.into_iter().map(|(labels, seed, kind)| -> (Labels, Vec<Chunk>) {
            fill(size, min_time, seed, kind, &mut times, &mut values);
            (labels, chunk::encode(&times, &values))
        });
        let ulid = Ulid::new((min_time + BLOCK) as u64, block as u64);
        let options = WriteOptions { labels: external.cloned(), ..WriteOptions::new(ulid, min_time, min_time + BLOCK) };
        write_block(dir, &mut series, options)?;
    }
    Ok(())
}

/// Samples of one series in one block: scrapes a few ms off the grid, counters that are reset now and then.
fn fill(size: &Size, min_time: Millis, seed: u64, kind: Kind, times: &mut Vec<Millis>, values: &mut Vec<f64>) {
    times.clear();
    values.clear();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ min_time as u64 | 1);
    // An offset within the interval, so that no sample meets the border of a window.
    let shift = 1 + (seed.wrapping_mul(2_654_435_761) % (size.interval as u64 - 10)) as Millis;
    let rate = 1 + seed % 900;
    let mut value = ((min_time - START) / 1000) as f64 * (rate / 30) as f64;
    for k in 0..BLOCK / size.interval {
        let late = if random.next().is_multiple_of(10) { (random.next() % 5) as Millis } else { 0 };
        times.push(min_time + k * size.interval + shift + late);
        match kind {
            Kind::Counter => {
                value += (random.next() % (rate * 2)) as f64;
                if random.next().is_multiple_of(4_000) {
                    value = 0.0;
                }
            }
            Kind::Gauge => value = (2e8 + (random.next() % 4_000_000) as f64 * 16.0).floor(),
            Kind::Up => value = 1.0,
        }
        values.push(value);
    }
}

/// xorshift64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
}
