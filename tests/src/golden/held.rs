//! The raw samples of a folder of blocks: an answer where blocks disagree may hold any of them, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures::StreamExt as _;
use masthead_store::block::{BlockStore, BlockStoreOptions};
use masthead_store::{Allowance, Budget, Labels, MatchOp, Matcher, Millis, Samples, Select, Store as _, chunk};
use serde_json::{Map, Value};

use super::{Answer, Question};

/// How far an instant selector looks back, ms.
const LOOKBACK: Millis = 300_000;

/// Every float of every block, by series.
#[derive(Debug)]
pub struct Held(BTreeMap<Labels, BTreeSet<(Millis, u64)>>);

impl Held {
    /// Reads all chunks of encodings that can be read.
    pub fn read(blocks: &Path) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(Self::read_all(blocks)).map_err(|error| format!("read {}: {error}", blocks.display()))
    }

    async fn read_all(blocks: &Path) -> Result<Self, String> {
        let budget = Budget::unlimited();
        let options =
            BlockStoreOptions::directory(blocks, Labels::empty(), budget.clone()).map_err(|e| e.to_string())?;
        let store = BlockStore::open(options);
        store.refresh(SystemTime::now()).await.map_err(|error| error.to_string())?;
        let all = Select {
            matchers: vec![Matcher::new("__name__", MatchOp::Regex, ".+")?],
            min_time: Millis::MIN,
            max_time: Millis::MAX,
            replica_labels: Vec::new(),
            labels_only: false,
            limit: 0,
        };
        let mut held: BTreeMap<Labels, BTreeSet<(Millis, u64)>> = BTreeMap::new();
        for mut stream in store.select(Arc::new(all), Allowance::of(&budget)) {
            while let Some(batch) = stream.next().await {
                for series in batch.map_err(|error| error.to_string())?.series {
                    let samples = held.entry(series.labels).or_default();
                    for chunk in series.lanes.iter().flat_map(|lane| &lane.chunks) {
                        let mut columns = Samples::default();
                        if chunk::decode(chunk, &mut columns).is_ok() {
                            let bits = columns.values.iter().map(|value| value.to_bits());
                            samples.extend(columns.timestamps.iter().copied().zip(bits));
                        }
                    }
                }
            }
        }
        Ok(Self(held))
    }

    /// Whether each value of the answer that stands for one raw sample is one that a block holds: those of a range selector
    /// at their times, those of an instant selector or `last_over_time` within the lookback. Derived values (their series
    /// have no name) are not judged.
    pub fn check(&self, question: &Question, answer: &Answer) -> Result<(), String> {
        let query = question.text();
        let raw = query.trim_end().ends_with(']');
        // The samples are of another time then.
        let moved = query.contains('@') || query.contains("offset");
        // Lists of labels and errors hold no samples.
        let Some(series) = answer.body["data"]["result"].as_array() else { return Ok(()) };
        for item in series {
            let labels = labels(&item["metric"]);
            if labels.metric_name().is_empty() {
                continue;
            }
            let held = self.0.get(&labels).ok_or_else(|| format!("no block holds {labels}"))?;
            let points = item["values"].as_array().into_iter().flatten().chain(item.get("value"));
            for point in points {
                let time = point[0].as_f64().ok_or("a point without time")?;
                let time = (time * 1000.0).round() as Millis;
                let value: f64 = point[1].as_str().and_then(|text| text.parse().ok()).ok_or("a point without value")?;
                let (from, to) = match (moved, raw) {
                    (true, _) => (Millis::MIN, Millis::MAX),
                    (false, true) => (time, time),
                    (false, false) => (time - LOOKBACK + 1, time),
                };
                let known = held
                    .range((from, 0)..=(to, u64::MAX))
                    .any(|(_, bits)| *bits == value.to_bits() || (value.is_nan() && f64::from_bits(*bits).is_nan()));
                if !known {
                    return Err(format!("no block holds {value} of {labels} at {time} ms"));
                }
            }
        }
        Ok(())
    }
}

fn labels(metric: &Value) -> Labels {
    let empty = Map::new();
    let pairs = metric.as_object().unwrap_or(&empty);
    Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or(""))))
}
