//! The same series in TSDB blocks on disk, written by our writer and read back. Each block holds a part of the time of every
//! series, cut where a server cuts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use masthead_store::block::write::{WriteOptions, write_block};
use masthead_store::block::{BlockStore, BlockStoreOptions, Ulid};
use masthead_store::{Budget, Labels, Millis, Samples, Store, chunk};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Answer, Data, Evaluator, Failure, Question, stores};

/// Time that a block covers at least, ms.
const RANGE: Millis = 2 * 60 * 60 * 1000;
/// More blocks are made fewer and longer.
const BLOCKS_MAX: usize = 8;

/// Answers from a folder of blocks.
pub struct Blocks {
    store: Option<Arc<dyn Store>>,
    /// Where the blocks lie now.
    folder: Option<TempDir>,
    /// Last, so that it outlives what it runs.
    runtime: Runtime,
}

impl Blocks {
    /// Without any series yet.
    pub fn new() -> Result<Self, String> {
        Ok(Self { store: None, folder: None, runtime: stores::runtime()? })
    }
}

impl Evaluator for Blocks {
    fn load(&mut self, data: &Data) -> Result<(), String> {
        let series: Vec<(Labels, Samples)> = data.series().map(|(labels, samples)| (labels.clone(), samples)).collect();
        let folder = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
        for (number, (min_time, max_time)) in (0..).zip(cuts(&series)) {
            let mut part: Vec<_> = series
                .iter()
                .map(|(labels, samples)| {
                    let inside = stores::filtered(samples, |_, time| (min_time..max_time).contains(&time));
                    (labels.clone(), chunk::encode_samples(&inside))
                })
                .filter(|(_, chunks)| !chunks.is_empty())
                .collect();
            part.sort_by(|a, b| a.0.cmp(&b.0));
            let options = WriteOptions::new(Ulid::new(1, number), min_time, max_time);
            write_block(folder.path(), &mut part.into_iter(), options).map_err(|error| error.to_string())?;
        }
        let options = BlockStoreOptions::directory(folder.path(), Labels::empty(), Budget::unlimited());
        let store = BlockStore::open(options.map_err(|error| error.to_string())?);
        self.runtime.block_on(store.refresh(SystemTime::now())).map_err(|error| error.to_string())?;
        if let Some((block, reason)) = store.skipped_blocks().first() {
            return Err(format!("block {block} is not served: {reason:?}"));
        }
        self.store = Some(Arc::new(store));
        self.folder = Some(folder);
        Ok(())
    }

    fn ask(&self, question: &Question<'_>) -> Result<Answer, Failure> {
        stores::ask(&self.runtime, self.store.as_slice(), &[], question)
    }
}

/// Times of blocks, ms, first and behind the last: ranges of two hours, or as many times three of them as a compaction would
/// have made of many.
fn cuts(series: &[(Labels, Samples)]) -> Vec<(Millis, Millis)> {
    let mut times: Vec<Millis> = Vec::new();
    for (_, samples) in series {
        times.extend(&samples.timestamps);
        times.extend(samples.histograms.iter().map(|sample| sample.timestamp));
    }
    let ranges = |length: Millis| -> BTreeSet<Millis> { times.iter().map(|time| time.div_euclid(length)).collect() };
    let mut length = RANGE;
    while ranges(length).len() > BLOCKS_MAX {
        length *= 3;
    }
    ranges(length).into_iter().map(|range| (range * length, (range + 1) * length)).collect()
}
