//! Blocks that Prometheus and Thanos wrote, and our own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;

use super::meta::BlockMeta;
use super::reader::Block;
use super::write::{WriteOptions, samples_of, write_block};
use super::*;
use crate::samples::{Samples, is_stale};
use crate::series::{Chunk, Encoding, Series};
use crate::testing::{Fixture, Random, contract, shared};
use crate::{Lane, MatchOp, Matcher, StoreErrorKind, chunk};

mod damage;
mod deletions;
mod folders;
mod index;
mod recorded;
mod select;
mod writer;

/// The recorded data at `path`: from the repository, else from the shared folder; None where neither is there.
fn golden(path: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(path);
    if own.exists() { Some(own) } else { shared(&format!("golden/{path}")) }
}

const DATASETS: [&str; 6] = ["floats", "overlap", "tombstones", "histograms", "start-timestamps", "annotations"];

fn request(matchers: Vec<Matcher>) -> Select {
    let (min_time, max_time) = (Millis::MIN, Millis::MAX);
    Select { matchers, min_time, max_time, replica_labels: Vec::new(), labels_only: false, limit: 0 }
}

fn replicas(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

fn access(directory: &Path) -> Arc<Access> {
    let options = BlockStoreOptions::directory(directory, Labels::empty(), Budget::unlimited()).unwrap();
    let BlockStoreOptions { id, bucket, labels, budget } = options;
    Arc::new(Access { id, bucket, labels, budget })
}

fn folders(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.join("meta.json").exists());
    all.sort();
    all
}

/// One block as its files are, whatever was deleted.
fn block_of(folder: &Path) -> Arc<Block> {
    let meta = BlockMeta::parse(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
    Arc::new(Block::new(Arc::new(meta), Labels::empty(), None))
}

async fn collect(stream: SeriesStream) -> Result<Vec<Series>, StoreError> {
    let batches: Vec<_> = stream.collect().await;
    let mut all = Vec::new();
    for batch in batches {
        all.extend(batch?.series);
    }
    assert!(all.is_sorted_by(|a: &Series, b| a.labels < b.labels), "series ascend");
    Ok(all)
}

async fn series_of(folder: &Path) -> Result<Vec<(Labels, Vec<Chunk>)>, StoreError> {
    let (access, block) = (access(folder.parent().unwrap()), block_of(folder));
    let all = collect(select(access, block, Arc::new(request(vec![])), Budget::unlimited())).await?;
    Ok(all.into_iter().map(|mut one| (one.labels, one.lanes.remove(0).chunks.into_vec())).collect())
}

fn store_of(directory: &Path, labels: &[(&str, &str)]) -> BlockStore {
    let labels = Labels::from_pairs(labels.iter().copied());
    BlockStore::open(BlockStoreOptions::directory(directory, labels, Budget::unlimited()).unwrap())
}

async fn refreshed(directory: &Path, labels: &[(&str, &str)]) -> BlockStore {
    let store = store_of(directory, labels);
    store.refresh(SystemTime::now()).await.unwrap();
    store
}

async fn all_of(store: &BlockStore, request: Select) -> Result<Vec<Series>, StoreError> {
    let mut all = Vec::new();
    for stream in store.select(Arc::new(request), Allowance::unlimited()) {
        all.extend(collect(stream).await?);
    }
    Ok(all)
}

async fn names_of(store: &BlockStore, request: Select) -> Vec<Box<str>> {
    store.label_names(Arc::new(request), Allowance::unlimited()).await.unwrap().into_parts().0
}

async fn values_of(store: &BlockStore, name: &str, request: Select) -> Vec<Box<str>> {
    store.label_values(name.into(), Arc::new(request), Allowance::unlimited()).await.unwrap().into_parts().0
}

/// The contract of every store, over a bucket and over a data directory with labels given to it.
#[tokio::test]
async fn blocks_keep_the_contract() {
    let fixture = Fixture::standard(1_700_000_040_000);
    for in_bucket in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let hours = 3_600_000;
        let start = 1_700_000_040_000 / (2 * hours) * (2 * hours);
        for (at, seed) in [(start, 1), (start + 2 * hours, 2)] {
            let series = fixture.series.iter().filter_map(|(labels, samples)| {
                let mut part = samples.clone();
                part.retain(|time| (at..at + 2 * hours).contains(&time));
                (!part.is_empty()).then(|| (labels.clone(), chunk::encode_samples(&part)))
            });
            let mut series: Vec<_> = series.collect();
            if series.is_empty() {
                continue;
            }
            let labels = in_bucket.then(|| fixture.external.clone());
            let options = WriteOptions { labels, ..WriteOptions::new(Ulid::new(9, seed), at, at + 2 * hours) };
            write_block(directory.path(), &mut series.drain(..), options).unwrap();
        }
        let labels = if in_bucket { Labels::empty() } else { fixture.external.clone() };
        let options = BlockStoreOptions::directory(directory.path(), labels, Budget::unlimited()).unwrap();
        let store = BlockStore::open(options);
        store.refresh(SystemTime::now()).await.unwrap();
        contract(&store, &fixture).await;
    }
}
