//! From messages to batches: series that a peer cut over several messages are joined, their order is watched, and what
//! a batch holds is accounted for.
//!
//! The last series is kept back until the next one begins. A peer that turns out not to sort is collected and sorted:
//! this time if nothing was handed over yet, else from the next question on.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::Peer;
use super::frame::{self, FrameSeries};
use super::held::Held;
use super::lanes::{Ask, further_lane, lane};
use super::messages::incomplete;
use crate::merge::{Merge, Step};
use crate::series::BATCH_SERIES_MAX;
use crate::{Budget, Chunk, Labels, LaneChunks, Series, SeriesBatch, StoreError, StoreErrorKind, StoreId};

/// Bytes after which a batch is handed over though it has few series.
const BATCH_BYTES: usize = 4 << 20;

/// What is read of one answer and not handed over yet.
pub(super) struct Assembly {
    peer: Arc<Peer>,
    ask: Ask,
    strip: Vec<Box<str>>,
    held: Held,
    /// Series in the order in which they came. Unless they are collected they ascend, and to the last one more may
    /// come.
    series: Vec<Series>,
    /// Of all of them.
    cost: Cost,
    /// Of the last one.
    last_cost: Cost,
    collecting: Collecting,
    /// Messages were taken since something was handed over.
    stirred: bool,
    warning: Option<String>,
    without_raw: usize,
}

/// Whether the answer is collected before any of it is handed over.
enum Collecting {
    /// No, and nothing was handed over yet.
    NotYet,
    /// No, and it is too late for it.
    TooLate,
    /// Sorted runs.
    Runs(Vec<SeriesBatch>),
}

/// Bytes of series.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    /// In the messages.
    frames: usize,
    /// Of these, chunks, which pin the messages.
    chunks: usize,
    /// Labels and lists.
    own: usize,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.frames += other.frames;
        self.chunks += other.chunks;
        self.own += other.own;
    }

    fn subtract(&mut self, other: Cost) {
        self.frames -= other.frames;
        self.chunks -= other.chunks;
        self.own -= other.own;
    }

    fn total(self) -> usize {
        self.frames + self.own
    }
}

impl Assembly {
    /// For the answer to `ask`; `strip` are the replica labels.
    pub(super) fn new(peer: Arc<Peer>, ask: Ask, strip: Vec<Box<str>>, budget: &Budget) -> Self {
        let collect = ask.lane.is_none() || peer.is_unsorted();
        Self {
            collecting: if collect { Collecting::Runs(Vec::new()) } else { Collecting::NotYet },
            held: Held::new(budget),
            peer,
            ask,
            strip,
            series: Vec::new(),
            cost: Cost::default(),
            last_cost: Cost::default(),
            stirred: false,
            warning: None,
            without_raw: 0,
        }
    }

    /// What pays for the next message.
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    /// Takes a message, whose length was reserved already.
    pub(super) fn take(&mut self, message: &Bytes) -> Result<(), StoreError> {
        self.stirred = true;
        let strip = std::mem::take(&mut self.strip);
        let mut attributed = 0;
        let parsed = frame::parse(message, &strip, &mut |series| {
            attributed += series.bytes;
            self.add(series)
        });
        self.strip = strip;
        let rest = message.len().saturating_sub(attributed);
        match attributed {
            0 => self.held.give_back(rest),
            // Chunks pin all of the message, whatever else is in it.
            _ => self.cost.frames += rest,
        }
        if let Some(warning) = parsed? {
            self.warning.get_or_insert(warning);
        }
        Ok(())
    }

    fn add(&mut self, read: FrameSeries) -> Result<(), StoreError> {
        self.without_raw += read.without_raw;
        let cost = Cost {
            frames: read.bytes,
            chunks: read.chunks.iter().map(|chunk| chunk.data.len()).sum(),
            own: read.labels.size_bytes()
                + size_of::<Series>()
                + if read.chunks.spilled() { read.chunks.capacity() * size_of::<Chunk>() } else { 0 },
        };
        self.held.take(cost.own)?;
        let lane = match &self.ask.lane {
            Some(lane) => lane.clone(),
            None => lane(&self.peer.id, read.stripped.unwrap_or_default()),
        };
        let series = if self.ask.may_fold && overlap(&read.chunks) {
            let mut series = Series::of_lane(read.labels, lane, SmallVec::new());
            unfold(&self.peer.id, &mut series, read.chunks)?;
            series
        } else {
            Series::of_lane(read.labels, lane, read.chunks)
        };
        if let Collecting::Runs(_) = self.collecting {
            return self.collect(series, cost);
        }
        match self.series.last_mut().map_or(Ordering::Less, |last| last.labels.cmp(&series.labels)) {
            Ordering::Less => {
                self.series.push(series);
                self.last_cost = Cost::default();
            }
            Ordering::Equal => self.join_last(series)?,
            Ordering::Greater => {
                self.begin_to_collect(&series.labels)?;
                return self.collect(series, cost);
            }
        }
        self.cost.add(cost);
        self.last_cost.add(cost);
        Ok(())
    }

    /// Adds to the last series what came of it in a further message.
    fn join_last(&mut self, more: Series) -> Result<(), StoreError> {
        let Some(last) = self.series.last_mut() else { return Ok(()) };
        if self.ask.may_fold {
            more.lanes.into_iter().try_for_each(|part| unfold(&self.peer.id, last, part.chunks))
        } else {
            last.join(more);
            last.check_lanes()
        }
    }

    fn begin_to_collect(&mut self, labels: &Labels) -> Result<(), StoreError> {
        let before = self.series.last().map(|last| last.labels.clone()).unwrap_or_default();
        if self.peer.stats.break_order() {
            tracing::warn!(store = %self.peer.id, "store is out of order: {labels} comes after {before}");
        }
        if let Collecting::TooLate = self.collecting {
            return Err(StoreError::corrupt(format!(
                "read series: {labels} comes after {before}; from now on the peer's answers are collected and sorted"
            )));
        }
        self.collecting = Collecting::Runs(Vec::new());
        self.last_cost = Cost::default();
        self.close_run()
    }

    fn collect(&mut self, series: Series, cost: Cost) -> Result<(), StoreError> {
        self.series.push(series);
        self.cost.add(cost);
        if self.is_full() { self.close_run() } else { Ok(()) }
    }

    /// Sorts what was collected since the last run.
    fn close_run(&mut self) -> Result<(), StoreError> {
        self.peer.stats.collected(self.cost.frames);
        let mut sorted = std::mem::take(&mut self.series);
        sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
        for series in sorted {
            match self.series.last() {
                Some(last) if last.labels == series.labels => self.join_last(series)?,
                _ => self.series.push(series),
            }
        }
        let run = self.take_all();
        if let (Collecting::Runs(runs), Some(run)) = (&mut self.collecting, run) {
            runs.push(run);
        }
        Ok(())
    }

    /// Whether a batch should be handed over though more is ready.
    pub(super) fn is_full(&self) -> bool {
        self.series.len() > BATCH_SERIES_MAX || self.cost.frames - self.last_cost.frames >= BATCH_BYTES
    }

    /// What can be handed over. While the answer is collected that is an empty batch, as a sign of life, if something
    /// came.
    pub(super) fn batch(&mut self) -> Option<SeriesBatch> {
        let stirred = std::mem::take(&mut self.stirred);
        if let Collecting::Runs(_) = self.collecting {
            return stirred.then(|| SeriesBatch::new(Vec::new(), self.held.split(0)));
        }
        let last = self.series.pop()?;
        let last_cost = std::mem::take(&mut self.last_cost);
        self.cost.subtract(last_cost);
        let batch = self.take_all();
        self.series.push(last);
        (self.cost, self.last_cost) = (last_cost, last_cost);
        let batch = batch?;
        self.collecting = Collecting::TooLate;
        Some(batch)
    }

    fn take_all(&mut self) -> Option<SeriesBatch> {
        let cost = std::mem::take(&mut self.cost);
        if self.series.is_empty() {
            return None;
        }
        // The next batch will be about as large.
        let next = Vec::with_capacity(self.series.len() + 1);
        let mut series = std::mem::replace(&mut self.series, next);
        let mut held = self.held.split(cost.total());
        // Chunks pin the messages they came in: where most of these is something else, they are better copied out.
        if cost.chunks < cost.frames / 2 {
            copy_out(&mut series, cost.chunks);
            held.shrink_to(cost.own + cost.chunks);
        }
        Some(SeriesBatch::new(series, held))
    }

    /// All that was not handed over, ascending, and why it is not all that the peer has, if so.
    pub(super) fn finish(mut self) -> (Merge, Option<StoreError>) {
        let mut incomplete = self.incomplete();
        let runs = if let Collecting::Runs(_) = self.collecting {
            incomplete = incomplete.or(self.close_run().err());
            std::mem::replace(&mut self.collecting, Collecting::TooLate)
        } else {
            Collecting::Runs(self.take_all().into_iter().collect())
        };
        let Collecting::Runs(runs) = runs else { return (Merge::new(0), incomplete) };
        let mut merge = Merge::new(runs.len());
        merge.take_hungry();
        let mut broken = None;
        for (i, run) in runs.into_iter().enumerate() {
            broken = broken.or(merge.push(i, run).err());
        }
        (merge, incomplete.or(broken))
    }

    fn incomplete(&self) -> Option<StoreError> {
        if let Some(warning) = &self.warning {
            return Some(incomplete("read series", warning));
        }
        (self.without_raw > 0).then(|| {
            let what = format!("read series: {} chunks came without raw samples", self.without_raw);
            StoreError::new(StoreErrorKind::Unsupported, what)
        })
    }
}

/// The next batch of runs that were all pushed.
pub(super) fn next_merged(merge: &mut Merge) -> Option<SeriesBatch> {
    loop {
        match merge.advance() {
            Step::Batch(batch) => return Some(batch),
            Step::Hungry => merge.take_hungry().into_iter().for_each(|run| merge.close(run)),
            Step::Done => return merge.flush(),
        }
    }
}

/// Gives the chunks, which have `bytes` bytes, a buffer of their own.
fn copy_out(series: &mut [Series], bytes: usize) {
    let mut buffer = Vec::with_capacity(bytes);
    let chunks = || series.iter().flat_map(|series| &series.lanes).flat_map(|lane| &lane.chunks);
    chunks().for_each(|chunk| buffer.extend_from_slice(&chunk.data));
    let buffer = Bytes::from(buffer);
    let mut at = 0;
    for chunk in series.iter_mut().flat_map(|series| &mut series.lanes).flat_map(|lane| &mut lane.chunks) {
        chunk.data = buffer.slice(at..at + chunk.data.len());
        at += chunk.data.len();
    }
}

/// Adds chunks of a lane whose peer may fold replicas without knowing: each goes to the first lane in which nothing
/// overlaps it, a further one if there is none. So replicas come apart again, whether they came in one message or in
/// several (Thanos pkg/dedup/iter.go, overlapSplitSet). The same chunk again is left out.
///
/// Errors: `Refused`, if there are too many lanes.
fn unfold(id: &StoreId, series: &mut Series, mut chunks: SmallVec<[Chunk; 1]>) -> Result<(), StoreError> {
    chunks.sort_by_key(|chunk| chunk.min_time);
    'chunks: for chunk in chunks {
        for LaneChunks { chunks: have, .. } in &mut series.lanes {
            // They ascend and do not overlap.
            let at = have.partition_point(|before| before.max_time < chunk.min_time);
            match have.get(at) {
                Some(next) if *next == chunk => continue 'chunks,
                Some(next) if next.min_time <= chunk.max_time => {}
                _ => {
                    have.insert(at, chunk);
                    continue 'chunks;
                }
            }
        }
        let lane = further_lane(id, &series.lanes[0].lane, series.lanes.len());
        series.lanes.push(LaneChunks { lane, chunks: smallvec![chunk] });
        series.check_lanes()?;
    }
    Ok(())
}

/// Whether chunks overlap, or do not ascend.
fn overlap(chunks: &[Chunk]) -> bool {
    chunks.windows(2).any(|pair| pair[1].min_time <= pair[0].max_time)
}
