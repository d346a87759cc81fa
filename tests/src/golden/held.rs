//! What a folder of blocks holds where its blocks disagree, and a folder of one block that holds what was chosen of it.
//!
//! Which of several samples of one time counts is free. What is not: that each raw sample is one that a block holds, that
//! none is left out, and that every answer is made of the same choice. So the choice is read from the raw answers, written as
//! a block in which nothing disagrees, and every question asked of that must be answered alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures::StreamExt as _;
use masthead_bench::process::Server;
use masthead_store::block::write::{WriteOptions, write_block};
use masthead_store::block::{BlockStore, BlockStoreOptions, Ulid};
use masthead_store::histogram::{CounterResetHint, Histogram};
use masthead_store::samples::{HistogramSample, STALE_BITS};
use masthead_store::{
    Allowance, Budget, Chunk, Labels, MatchOp, Matcher, Millis, Samples, Select, Series, Store as _, chunk,
};
use serde_json::Value;

use super::Answer;

/// A sample of a series, whatever its time.
#[derive(Debug, Clone, PartialEq)]
enum Sample {
    /// The bits of a float.
    Float(u64),
    Histogram(Arc<Histogram>),
}

/// A sample as an answer prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Printed {
    Float(f64),
    /// Buckets are left out: no two histograms of one time differ in them alone.
    Histogram {
        count: f64,
        sum: f64,
    },
}

/// By time all samples that some block holds.
type Candidates = BTreeMap<Millis, Vec<Sample>>;

/// Every sample of every block.
#[derive(Debug)]
pub struct Held(BTreeMap<Labels, Candidates>);

impl Sample {
    fn is_stale(&self) -> bool {
        match self {
            Sample::Float(bits) => *bits == STALE_BITS,
            Sample::Histogram(histogram) => histogram.is_stale(),
        }
    }

    /// Whether this may be what was printed.
    fn is_printed(&self, printed: Printed) -> bool {
        let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan();
        match (self, printed) {
            (Sample::Float(bits), Printed::Float(value)) => {
                *bits == value.to_bits() || f64::from_bits(*bits).is_nan() && value.is_nan()
            }
            (Sample::Histogram(held), Printed::Histogram { count, sum }) => {
                same(held.count, count) && same(held.sum, sum)
            }
            _ => false,
        }
    }
}

impl Held {
    /// Reads all chunks.
    pub fn read(blocks: &Path) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let all = runtime.block_on(read_all(blocks)).map_err(|error| format!("read {}: {error}", blocks.display()))?;
        let mut held: BTreeMap<Labels, Candidates> = BTreeMap::new();
        for series in all {
            for chunk in series.lanes.iter().flat_map(|lane| &lane.chunks) {
                let mut columns = Samples::default();
                chunk::decode(chunk, &mut columns).map_err(|error| error.to_string())?;
                let candidates = held.entry(series.labels.clone()).or_default();
                let floats = columns.timestamps.iter().zip(&columns.values);
                let floats = floats.map(|(time, value)| (*time, Sample::Float(value.to_bits())));
                let histograms = columns.histograms.iter();
                let histograms = histograms.map(|h| (h.timestamp, Sample::Histogram(h.histogram.clone())));
                for (time, sample) in floats.chain(histograms) {
                    let of_time = candidates.entry(time).or_default();
                    if !of_time.contains(&sample) {
                        of_time.push(sample);
                    }
                }
            }
        }
        Ok(Self(held))
    }

    /// Names of the metrics whose blocks disagree anywhere.
    pub fn disagreeing(&self) -> BTreeSet<&str> {
        let disagrees = |candidates: &Candidates| candidates.values().any(|samples| samples.len() > 1);
        self.0.iter().filter(|(_, candidates)| disagrees(candidates)).map(|(labels, _)| labels.metric_name()).collect()
    }

    /// What `server` chooses of the metrics that disagree, by their raw samples. Fails where it gives a sample that no block
    /// holds, or leaves one out that is no stale marker.
    pub fn chosen(&self, server: &Server) -> Result<Vec<(Labels, Samples)>, String> {
        let mut chosen = Vec::new();
        for name in self.disagreeing() {
            let of_name: Vec<_> = self.0.iter().filter(|(labels, _)| labels.metric_name() == name).collect();
            let times = || of_name.iter().flat_map(|(_, candidates)| candidates.keys());
            let (first, last) = (*times().min().ok_or("no sample")?, *times().max().ok_or("no sample")?);
            // The window is open to the left.
            let query = format!("{{{}}}[{}ms]", quoted(name), last - first + 1);
            let time = format!("{}.{:03}", last / 1000, last % 1000);
            let (status, body) = server
                .get("/api/v1/query", &[("query", &query), ("time", &time)])
                .map_err(|error| error.to_string())?;
            if status != 200 {
                return Err(format!("{query}: {}", String::from_utf8_lossy(&body)));
            }
            let answer: Value = serde_json::from_slice(&body).map_err(|error| format!("{query}: {error}"))?;
            let mut given = raw_samples(&answer).map_err(|error| format!("{query}: {error}"))?;
            for (labels, candidates) in of_name {
                let given = given.remove(labels).unwrap_or_default();
                chosen
                    .push((labels.clone(), choice(candidates, &given).map_err(|error| format!("{labels}: {error}"))?));
            }
            if let Some(labels) = given.keys().next() {
                return Err(format!("no block holds {labels}"));
            }
        }
        Ok(chosen)
    }
}

async fn read_all(blocks: &Path) -> Result<Vec<Series>, String> {
    let budget = Budget::unlimited();
    let options = BlockStoreOptions::directory(blocks, Labels::empty(), budget.clone()).map_err(|e| e.to_string())?;
    let store = BlockStore::open(options);
    store.refresh(SystemTime::now()).await.map_err(|error| error.to_string())?;
    let all = Arc::new(Select {
        matchers: vec![Matcher::new("__name__", MatchOp::Regex, ".+")?],
        min_time: Millis::MIN,
        max_time: Millis::MAX,
        replica_labels: Vec::new(),
        labels_only: false,
        limit: 0,
    });
    let mut found = Vec::new();
    // A stream a block, so that nothing is merged yet.
    for mut stream in store.select(all, Allowance::of(&budget)) {
        while let Some(batch) = stream.next().await {
            found.extend(batch.map_err(|error| error.to_string())?.series);
        }
    }
    Ok(found)
}

/// The samples of a matrix as they are printed.
fn raw_samples(answer: &Value) -> Result<BTreeMap<Labels, BTreeMap<Millis, Printed>>, String> {
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let mut found = BTreeMap::new();
    for item in answer["data"]["result"].as_array().ok_or("no result")? {
        let pairs = item["metric"].as_object().ok_or("no labels")?;
        let labels =
            Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or(""))));
        let mut samples = BTreeMap::new();
        for point in ["values", "histograms"].iter().flat_map(|key| item[*key].as_array().into_iter().flatten()) {
            let time = point[0].as_f64().ok_or("a point without time")?;
            let printed = match &point[1] {
                Value::Object(histogram) => {
                    let part = |key: &str| histogram.get(key).and_then(number).ok_or("a histogram without its sums");
                    Printed::Histogram { count: part("count")?, sum: part("sum")? }
                }
                value => Printed::Float(number(value).ok_or("a point without value")?),
            };
            samples.insert((time * 1000.0).round() as Millis, printed);
        }
        found.insert(labels, samples);
    }
    Ok(found)
}

/// One of the candidates at each time: what was given, or a stale marker where nothing was.
fn choice(candidates: &Candidates, given: &BTreeMap<Millis, Printed>) -> Result<Samples, String> {
    if let Some(time) = given.keys().find(|time| !candidates.contains_key(time)) {
        return Err(format!("no block holds a sample at {time} ms"));
    }
    let mut chosen = Samples::default();
    for (time, samples) in candidates {
        let mut kept = samples.iter();
        let sample = match given.get(time) {
            None => kept.find(|held| held.is_stale()).ok_or_else(|| format!("the sample at {time} ms is left out")),
            Some(printed) => kept
                .find(|held| !held.is_stale() && held.is_printed(*printed))
                .ok_or_else(|| format!("no block holds {printed:?} at {time} ms")),
        };
        match sample? {
            Sample::Float(bits) => chosen.push(*time, f64::from_bits(*bits)),
            Sample::Histogram(histogram) => chosen.histograms.push(HistogramSample {
                timestamp: *time,
                start_timestamp: 0,
                histogram: Arc::new(Histogram {
                    // It may follow another one than in its block.
                    counter_reset_hint: match histogram.counter_reset_hint {
                        CounterResetHint::Gauge => CounterResetHint::Gauge,
                        _ => CounterResetHint::Unknown,
                    },
                    ..Histogram::clone(histogram)
                }),
            }),
        }
    }
    Ok(chosen)
}

/// Writes series as the one block of a folder.
pub fn write(folder: &Path, series: &[(Labels, Samples)]) -> Result<(), String> {
    let times = || {
        series.iter().flat_map(|(_, samples)| {
            samples.timestamps.iter().copied().chain(samples.histograms.iter().map(|sample| sample.timestamp))
        })
    };
    let (first, last) = (times().min().ok_or("nothing to write")?, times().max().ok_or("nothing to write")?);
    let options = WriteOptions::new(Ulid::new(1, 1), first, last + 1);
    let mut chunked = series
        .iter()
        .map(|(labels, samples)| -> (Labels, Vec<Chunk>) { (labels.clone(), chunk::encode_samples(samples)) });
    write_block(folder, &mut chunked, options).map(drop).map_err(|error| format!("write the chosen samples: {error}"))
}

/// Whether the answer over blocks that disagree is the one over what was chosen of them.
pub fn same(disagreeing: &Answer, chosen: &Answer) -> Result<(), String> {
    match disagreeing.status == chosen.status && disagreeing.bytes == chosen.bytes {
        true => Ok(()),
        false => Err(format!(
            "not made of the samples that the raw answers show: {} instead of {}",
            String::from_utf8_lossy(&disagreeing.bytes),
            String::from_utf8_lossy(&chosen.bytes)
        )),
    }
}

fn quoted(name: &str) -> String {
    masthead_store::labels::quote(name)
}

#[cfg(test)]
mod tests {
    use masthead_store::samples::STALE;

    use super::*;

    #[test]
    fn a_choice_is_of_held_samples_and_of_all_of_them() {
        use Printed::Float;

        let nan = f64::NAN.to_bits();
        let histogram = |sum| Sample::Histogram(Arc::new(Histogram { count: 2.0, sum, ..Histogram::default() }));
        let floats = |values: &[f64]| values.iter().map(|value| Sample::Float(value.to_bits())).collect::<Vec<_>>();
        let held: Candidates = BTreeMap::from([
            (1, floats(&[1.0])),
            (2, floats(&[2.0, 7.0])),
            (3, floats(&[STALE, 3.0])),
            (4, floats(&[f64::from_bits(nan), 4.0])),
            (5, vec![Sample::Float(5f64.to_bits()), histogram(1.0), histogram(9.0)]),
        ]);
        let last = (5, Printed::Histogram { count: 2.0, sum: 9.0 });
        let choose = |given: &[(Millis, Printed)]| choice(&held, &given.iter().copied().collect());
        let chosen = choose(&[(1, Float(1.0)), (2, Float(7.0)), (4, Float(f64::NAN)), last]).unwrap();
        assert_eq!(chosen.timestamps, [1, 2, 3, 4]);
        assert_eq!(
            chosen.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            [1f64.to_bits(), 7f64.to_bits(), STALE_BITS, nan]
        );
        assert_eq!(chosen.histograms.iter().map(|h| (h.timestamp, h.histogram.sum)).collect::<Vec<_>>(), [(5, 9.0)]);
        for (given, why) in [
            (vec![(1, 1.0), (2, 7.0), (3, 3.0)], "left out"),
            (vec![(1, 1.0), (2, 5.0), (3, 3.0), (4, 4.0)], "no block holds Float(5.0)"),
            (vec![(1, 1.0), (2, 2.0), (3, f64::NAN), (4, 4.0)], "no block holds Float(NaN)"),
            (vec![(1, 1.0), (2, 2.0), (4, 4.0), (5, 2.0)], "no block holds Float(2.0)"),
            (vec![(0, 1.0), (1, 1.0), (2, 2.0), (4, 4.0)], "no block holds a sample at 0"),
        ] {
            let given: Vec<_> = given.into_iter().map(|(time, value)| (time, Float(value))).collect();
            assert!(choose(&given).unwrap_err().contains(why), "{why}");
        }
    }
}
