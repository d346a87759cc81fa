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
use masthead_store::samples::{STALE, STALE_BITS, is_stale};
use masthead_store::{
    Allowance, Budget, Chunk, Labels, MatchOp, Matcher, Millis, Samples, Select, Series, Store as _, chunk,
};
use serde_json::Value;

use super::Answer;

/// By time the bits of all floats that some block holds.
type Candidates = BTreeMap<Millis, BTreeSet<u64>>;

/// Every float of every block, of those metrics that have floats only.
#[derive(Debug)]
pub struct Held(BTreeMap<Labels, Candidates>);

impl Held {
    /// Reads all chunks of encodings that can be read.
    pub fn read(blocks: &Path) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let all = runtime.block_on(read_all(blocks)).map_err(|error| format!("read {}: {error}", blocks.display()))?;
        let mut held: BTreeMap<Labels, Candidates> = BTreeMap::new();
        let mut mixed = BTreeSet::new();
        for series in all {
            for chunk in series.lanes.iter().flat_map(|lane| &lane.chunks) {
                let mut columns = Samples::default();
                if chunk::decode(chunk, &mut columns).is_err() || !columns.histograms.is_empty() {
                    mixed.insert(series.labels.metric_name().to_owned());
                    continue;
                }
                let candidates = held.entry(series.labels.clone()).or_default();
                for (time, value) in columns.timestamps.iter().zip(&columns.values) {
                    candidates.entry(*time).or_default().insert(value.to_bits());
                }
            }
        }
        held.retain(|labels, _| !mixed.contains(labels.metric_name()));
        Ok(Self(held))
    }

    /// Names of the metrics whose blocks disagree anywhere.
    pub fn disagreeing(&self) -> BTreeSet<&str> {
        let disagrees = |candidates: &Candidates| candidates.values().any(|bits| bits.len() > 1);
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

/// The floats of a matrix as they are printed.
fn raw_samples(answer: &Value) -> Result<BTreeMap<Labels, BTreeMap<Millis, f64>>, String> {
    let mut found = BTreeMap::new();
    for item in answer["data"]["result"].as_array().ok_or("no result")? {
        if item.get("histograms").is_some() {
            return Err("histograms are not judged".to_owned());
        }
        let pairs = item["metric"].as_object().ok_or("no labels")?;
        let labels =
            Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or(""))));
        let mut samples = BTreeMap::new();
        for point in item["values"].as_array().ok_or("no values")? {
            let time = point[0].as_f64().ok_or("a point without time")?;
            let value: f64 = point[1].as_str().and_then(|text| text.parse().ok()).ok_or("a point without value")?;
            samples.insert((time * 1000.0).round() as Millis, value);
        }
        found.insert(labels, samples);
    }
    Ok(found)
}

/// One of the candidates at each time: what was given, or the stale marker where nothing was.
fn choice(candidates: &Candidates, given: &BTreeMap<Millis, f64>) -> Result<Samples, String> {
    if let Some(time) = given.keys().find(|time| !candidates.contains_key(time)) {
        return Err(format!("no block holds a sample at {time} ms"));
    }
    let mut chosen = Samples::default();
    for (time, bits) in candidates {
        let value = match given.get(time) {
            None if bits.contains(&STALE_BITS) => STALE,
            None => return Err(format!("the sample at {time} ms is left out")),
            Some(value) => {
                let is_given = |held: f64| {
                    !is_stale(held) && (held.to_bits() == value.to_bits() || held.is_nan() && value.is_nan())
                };
                let held = bits.iter().map(|bits| f64::from_bits(*bits)).find(|held| is_given(*held));
                held.ok_or_else(|| format!("no block holds {value} at {time} ms"))?
            }
        };
        chosen.push(*time, value);
    }
    Ok(chosen)
}

/// Writes series as the one block of a folder.
pub fn write(folder: &Path, series: &[(Labels, Samples)]) -> Result<(), String> {
    let times = || series.iter().flat_map(|(_, samples)| &samples.timestamps);
    let (first, last) = (times().min().ok_or("nothing to write")?, times().max().ok_or("nothing to write")?);
    let options = WriteOptions::new(Ulid::new(1, 1), *first, last + 1);
    let mut chunked = series.iter().map(|(labels, samples)| -> (Labels, Vec<Chunk>) {
        (labels.clone(), chunk::encode(&samples.timestamps, &samples.values))
    });
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
    use super::*;

    #[test]
    fn a_choice_is_of_held_samples_and_of_all_of_them() {
        let nan = f64::NAN.to_bits();
        let held = [(1, vec![1.0]), (2, vec![2.0, 7.0]), (3, vec![STALE, 3.0]), (4, vec![f64::from_bits(nan), 4.0])];
        let bits = |values: &Vec<f64>| values.iter().map(|value| value.to_bits()).collect();
        let held: Candidates = held.iter().map(|(time, values)| (*time, bits(values))).collect();
        let choose = |given: &[(Millis, f64)]| choice(&held, &given.iter().copied().collect());
        let chosen = choose(&[(1, 1.0), (2, 7.0), (4, f64::NAN)]).unwrap();
        assert_eq!(chosen.timestamps, [1, 2, 3, 4]);
        assert_eq!(
            chosen.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            [1f64.to_bits(), 7f64.to_bits(), STALE_BITS, nan]
        );
        for (given, why) in [
            (vec![(1, 1.0), (2, 7.0), (3, 3.0)], "left out"),
            (vec![(1, 1.0), (2, 5.0), (3, 3.0), (4, 4.0)], "no block holds 5"),
            (vec![(1, 1.0), (2, 2.0), (3, f64::NAN), (4, 4.0)], "no block holds NaN"),
            (vec![(0, 1.0), (1, 1.0), (2, 2.0), (4, 4.0)], "no block holds a sample at 0"),
        ] {
            assert!(choose(&given).unwrap_err().contains(why), "{why}");
        }
    }
}
