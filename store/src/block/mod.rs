//! TSDB blocks, read through an object store: a Thanos bucket, or a Prometheus data directory.
//!
//! # Layout
//!
//! `catalog` which blocks there are; `meta` what they say of themselves; `reader` a block and its files; `index` with
//! `symbols` and `table` the parts of an index that are kept; `postings` matchers to series; `series` entries to
//! labels; `chunks` references to batches; `names` labels without series; `tombstones`; [`mod@write`] makes blocks.
//!
//! # Invariants
//!
//! - Whatever the files hold ends as an error that names the block, the file and the offset, never as a panic; nothing
//!   larger than its file is ever allocated.
//! - Every checksum is checked before what it covers is used.
//! - Segments are never read as a whole: only the ranges of the wanted chunks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use futures::stream::{self, StreamExt, TryStreamExt};

use crate::bucket::{Bucket, CACHE_BYTES};
use crate::budget::Budget;
use crate::error::StoreError;
use crate::facts::Kinds;
use crate::labels::Labels;
use crate::select::{Allowance, Gap, Select, StoreInfo, StoreState, admits};
use crate::series::{Millis, StoreId};
use crate::{LabelAnswer, SeriesStream, Store};

mod catalog;
mod chunks;
mod cursor;
mod index;
pub mod meta;
mod names;
mod postings;
mod reader;
mod series;
mod symbols;
mod table;
mod tombstones;
mod ulid;
pub mod write;

#[cfg(test)]
mod tests;

pub use catalog::SkipReason;
pub use ulid::Ulid;

use catalog::View;
use chunks::Batches;
use reader::Block;

/// What a [`BlockStore`] is made of.
pub struct BlockStoreOptions {
    /// Its name in coverage, logs and metrics: `blocks:DIR`.
    pub id: StoreId,
    /// The folder.
    pub bucket: Bucket,
    /// External labels of blocks that carry none, as those of a Prometheus data directory; of a block of a bucket,
    /// those that it does not name itself.
    pub labels: Labels,
    /// Where the parts of indexes that are kept are reserved: the process'.
    pub budget: Budget,
}

impl BlockStoreOptions {
    /// The local folder `directory`, which need not exist yet, as `blocks:DIR`.
    ///
    /// Errors: `Refused` for a path that is no UTF-8.
    pub fn directory(directory: &Path, labels: Labels, budget: Budget) -> Result<Self, StoreError> {
        let id = format!("blocks:{}", directory.display()).into();
        Ok(Self { id, bucket: Bucket::local(directory, budget.clone(), CACHE_BYTES)?, labels, budget })
    }
}

/// What all blocks of a folder share.
pub(crate) struct Access {
    pub(crate) id: StoreId,
    pub(crate) bucket: Bucket,
    pub(crate) labels: Labels,
    pub(crate) budget: Budget,
}

/// The blocks of one folder.
pub struct BlockStore {
    access: Arc<Access>,
    known: RwLock<Known>,
}

/// What the last look at the folder gave.
#[derive(Clone)]
struct Known {
    view: Arc<View>,
    info: Arc<StoreInfo>,
    /// Gaps of the view, and one for the time since when the folder cannot be listed.
    gaps: Arc<[Gap]>,
    /// Whether the folder was ever read.
    read: bool,
}

impl BlockStore {
    /// A store of which nothing is known until the first [`refresh`](Self::refresh).
    pub fn open(options: BlockStoreOptions) -> Self {
        let BlockStoreOptions { id, bucket, labels, budget } = options;
        let info = StoreInfo {
            id: id.clone(),
            component: "blocks".into(),
            label_sets: Vec::new(),
            min_time: Millis::MIN,
            max_time: Millis::MAX,
            serves: Kinds::NONE,
            state: StoreState::Starting,
            last_check: None,
        };
        let known = Known { view: Arc::default(), info: Arc::new(info), gaps: Arc::new([]), read: false };
        Self { access: Arc::new(Access { id, bucket, labels, budget }), known: RwLock::new(known) }
    }

    /// Lists the folder again, as the caller does every 30 s.
    ///
    /// Errors: the folder cannot be listed. The last view stays then, with a gap from its end on; without one the store
    /// is down. Cancelling leaves everything as it was.
    pub async fn refresh(&self, now: SystemTime) -> Result<(), StoreError> {
        let before = self.known();
        let (known, result) = match catalog::read(&self.access, &before.view, now).await {
            Ok(view) => {
                self.log(&before.view, &view);
                let gaps: Arc<[Gap]> = view.gaps.as_slice().into();
                let info = self.info_of(&view, &gaps, StoreState::Up, now);
                (Known { view: Arc::new(view), info, gaps, read: true }, Ok(()))
            }
            Err(error) => {
                let since = match &before.info.state {
                    StoreState::Down { since, .. } => *since,
                    StoreState::Starting | StoreState::Up => now,
                };
                let gaps: Arc<[Gap]> =
                    before.view.gaps.iter().cloned().chain(self.unseen(&before.view, &error)).collect();
                let state = match before.read {
                    true => StoreState::Up,
                    false => StoreState::Down { since, error: error.clone() },
                };
                let info = self.info_of(&before.view, &gaps, state, now);
                (Known { info, gaps, ..before }, Err(error))
            }
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        result
    }

    /// Number of blocks that are not served, by reason.
    pub fn skipped(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (_, reason) in &self.known().view.skipped {
            *counts.entry(reason.as_str()).or_insert(0) += 1;
        }
        counts
    }

    /// The blocks that are not served, ascending.
    pub fn skipped_blocks(&self) -> Vec<(Ulid, SkipReason)> {
        self.known().view.skipped.clone()
    }

    /// The blocks that are served, ascending by their first time.
    pub fn served_blocks(&self) -> Vec<Ulid> {
        self.known().view.blocks.iter().map(|block| block.ulid()).collect()
    }

    /// What the blocks that are served say of themselves, ascending by their first time.
    pub fn metas(&self) -> Vec<Arc<meta::BlockMeta>> {
        self.known().view.blocks.iter().map(|block| block.meta.clone()).collect()
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Facts for pruning. Label sets and times take in what is known to lack, so that who asks for it hears of it.
    fn info_of(&self, view: &View, gaps: &[Gap], state: StoreState, now: SystemTime) -> Arc<StoreInfo> {
        let blocks = || {
            view.blocks.iter().map(|block| (&block.labels, block.meta.min_time, block.meta.max_time.saturating_sub(1)))
        };
        let lacking = gaps.iter().map(|gap| (&gap.labels, gap.min_time, gap.max_time));
        let mut label_sets: Vec<Labels> = Vec::new();
        let (mut min_time, mut max_time) = (Millis::MAX, Millis::MIN);
        for (labels, from, to) in blocks().chain(lacking) {
            label_sets.push(labels.clone());
            (min_time, max_time) = (min_time.min(from), max_time.max(to));
        }
        label_sets.sort_unstable();
        label_sets.dedup();
        let (id, component) = (self.access.id.clone(), "blocks".into());
        let (serves, last_check) = (Kinds::NONE, Some(now));
        Arc::new(StoreInfo { id, component, label_sets, min_time, max_time, serves, state, last_check })
    }

    /// What may have come since the folder could be listed: per label set, whatever is later than the last block.
    fn unseen(&self, view: &View, error: &StoreError) -> Vec<Gap> {
        let mut ends: BTreeMap<Labels, Millis> = BTreeMap::new();
        for block in &view.blocks {
            let end = ends.entry(block.labels.clone()).or_insert(Millis::MIN);
            *end = (*end).max(block.meta.max_time);
        }
        if ends.is_empty() {
            ends.insert(self.access.labels.clone(), Millis::MIN);
        }
        let reason: Box<str> = format!("blocks that came since the folder could be read: {error}").into();
        let gap = |(labels, min_time)| Gap { labels, min_time, max_time: Millis::MAX, reason: reason.clone() };
        ends.into_iter().map(gap).collect()
    }

    /// A line for each block that newly cannot be served though it might be meant to be, and one when the blocks
    /// change.
    fn log(&self, before: &View, after: &View) {
        for (ulid, reason) in after.skipped.iter().filter(|skipped| !before.skipped.contains(skipped)) {
            if matches!(reason, SkipReason::NoMeta | SkipReason::CorruptedMeta | SkipReason::Unreadable) {
                tracing::warn!(store = %self.access.id, block = %ulid, reason = reason.as_str(), "block is not served");
            }
        }
        if before.blocks.len() != after.blocks.len() || before.skipped.len() != after.skipped.len() {
            let (served, skipped) = (after.blocks.len(), after.skipped.len());
            tracing::info!(store = %self.access.id, served, skipped, "blocks changed");
        }
    }

    /// The blocks that can hold something that `request` asks for.
    fn blocks_for(&self, request: &Select) -> Vec<Arc<Block>> {
        let view = self.known().view;
        let overlapping = view.blocks.iter().filter(|b| b.meta.overlaps(request.min_time, request.max_time));
        overlapping.filter(|block| admits(&block.labels, &request.matchers)).cloned().collect()
    }
}

impl Store for BlockStore {
    fn info(&self) -> Arc<StoreInfo> {
        self.known().info
    }

    fn gaps(&self, request: &Select) -> Vec<Gap> {
        let lacks = |gap: &&Gap| {
            gap.min_time <= request.max_time
                && request.min_time <= gap.max_time
                && admits(&gap.labels, &request.matchers)
        };
        self.known().gaps.iter().filter(lacks).cloned().collect()
    }

    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream> {
        let budget = allowance.budget;
        let blocks = self.blocks_for(&request).into_iter();
        blocks.map(|block| select(self.access.clone(), block, request.clone(), budget.clone())).collect()
    }

    fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        let (access, blocks) = (self.access.clone(), self.blocks_for(&request));
        Box::pin(async move { names::label_names(&access, &blocks, &request, &allowance.budget).await })
    }

    fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        let (access, blocks) = (self.access.clone(), self.blocks_for(&request));
        Box::pin(async move { names::label_values(&access, &blocks, &name, &request, &allowance.budget).await })
    }
}

/// The series of one block: those of several lanes where the series themselves carry a replica label.
fn select(access: Arc<Access>, block: Arc<Block>, request: Arc<Select>, budget: Budget) -> SeriesStream {
    let named = {
        let ulid = block.ulid();
        move |e: StoreError| e.within(format!("block {ulid}"))
    };
    let first = async move {
        let list = series::load(&access, &block, &request, &budget).await?;
        let batches = Batches::new(list, request.labels_only, request.limit);
        Ok::<_, StoreError>(stream::try_unfold(
            (batches, access, block, budget),
            |(mut batches, access, block, budget)| async move {
                let batch = batches.next(&access, &block, &budget).await?;
                Ok(batch.map(|batch| (batch, (batches, access, block, budget))))
            },
        ))
    };
    stream::once(Box::pin(first)).try_flatten().map_err(named).boxed()
}
