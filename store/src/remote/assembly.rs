//! From messages to batches: series that a peer cut over several messages are joined, their order is watched, and what a
//! batch holds is accounted for.
//!
//! The last series is kept back until the next one begins. A peer that turns out not to sort is collected and sorted: this
//! time if nothing was handed over yet, else from the next question on.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::Peer;
use super::frame::{self, FrameSeries};
use super::held::Held;
use super::lanes::{Ask, further_lane, lane};
use super::messages::incomplete;
use crate::merge::{Merge, Step};
use crate::series::BATCH_SERIES_MAX;
use crate::{Budget, Chunk, Labels, Lane, LaneChunks, Series, SeriesBatch, StoreError, StoreErrorKind};

/// Bytes after which a batch is handed over though it has few series.
const BATCH_BYTES: usize = 4 << 20;

/// What is read of one answer and not handed over yet.
pub(super) struct Assembly {
    peer: Arc<Peer>,
    ask: Ask,
    strip: Vec<Box<str>>,
    held: Held,
    /// Series in the order in which they came. Unless they are collected they ascend, and to the last one more may come.
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
        self.peer.stats.received(message.len());
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
        let series = Series::of_lane(read.labels, lane, read.chunks);
        if let Collecting::Runs(_) = self.collecting {
            return self.collect(series, cost);
        }
        match self.series.last_mut().map_or(Ordering::Less, |last| last.labels.cmp(&series.labels)) {
            Ordering::Less => {
                self.series.push(series);
                self.last_cost = Cost::default();
            }
            Ordering::Equal => self.join_last(series),
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
    fn join_last(&mut self, more: Series) {
        if let Some(last) = self.series.last_mut() {
            self.peer.join(last, more, self.ask.may_fold);
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
        self.close_run();
        Ok(())
    }

    fn collect(&mut self, series: Series, cost: Cost) -> Result<(), StoreError> {
        self.series.push(series);
        self.cost.add(cost);
        if self.is_full() {
            self.close_run();
        }
        Ok(())
    }

    /// Sorts what was collected since the last run.
    fn close_run(&mut self) {
        self.peer.stats.collected(self.cost.frames);
        let mut sorted = std::mem::take(&mut self.series);
        sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
        for series in sorted {
            match self.series.last() {
                Some(last) if last.labels == series.labels => self.join_last(series),
                _ => self.series.push(series),
            }
        }
        let run = self.take_all();
        if let (Collecting::Runs(runs), Some(run)) = (&mut self.collecting, run) {
            runs.push(run);
        }
    }

    /// Whether a batch should be handed over though more is ready.
    pub(super) fn is_full(&self) -> bool {
        self.series.len() > BATCH_SERIES_MAX || self.cost.frames - self.last_cost.frames >= BATCH_BYTES
    }

    /// What can be handed over. While the answer is collected that is an empty batch, as a sign of life, if something came.
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
        let incomplete = self.incomplete();
        let runs = if let Collecting::Runs(_) = self.collecting {
            self.close_run();
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

impl Peer {
    /// Adds another message's part of the same series.
    ///
    /// If the peer `may_fold` replicas without knowing, a part whose time overlaps that of the lane is another replica's, and
    /// becomes a lane of its own; a part before or after it goes on with the lane.
    fn join(&self, series: &mut Series, more: Series, may_fold: bool) {
        for part in more.lanes {
            let lane = if may_fold { self.free_lane(series, &part) } else { part.lane };
            match series.lanes.iter_mut().find(|have| have.lane == lane) {
                Some(have) => have.chunks.extend(part.chunks),
                None => series.lanes.push(LaneChunks { lane, chunks: part.chunks }),
            }
        }
    }

    /// The first of the lane and its further ones in which nothing overlaps `part`.
    fn free_lane(&self, series: &Series, part: &LaneChunks) -> Lane {
        let mut lane = part.lane.clone();
        for n in 1.. {
            let taken = series.lanes.iter().find(|have| have.lane == lane);
            if !taken.is_some_and(|have| overlap(&have.chunks, &part.chunks)) {
                break;
            }
            lane = further_lane(&self.id, &part.lane, n);
        }
        lane
    }
}

/// Whether a chunk of `have` lies in the time that `more` spans, and is not just one of them again.
fn overlap(have: &[Chunk], more: &[Chunk]) -> bool {
    let (Some(min), Some(max)) = (more.iter().map(|c| c.min_time).min(), more.iter().map(|c| c.max_time).max()) else {
        return false;
    };
    have.iter().any(|c| c.min_time <= max && min <= c.max_time && !more.contains(c))
}
