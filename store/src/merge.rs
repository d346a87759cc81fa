//! The merge of sorted streams of series: pure, without I/O or waiting. Equal labels become one series, equal lanes
//! within it one lane. Whoever feeds it decides when to wait.

use std::vec;

use crate::budget::Reservation;
use crate::error::StoreError;
use crate::labels::Labels;
use crate::series::{BATCH_SERIES_MAX, Series, SeriesBatch};

/// Bytes after which a batch is handed over though it has few series.
const BATCH_BYTES: usize = 4 << 20;

/// Streams of series while they are merged.
///
/// A stream is *hungry* until its next batch was pushed or it was closed; nothing is merged while one is. Invariant:
/// the heap names each stream that is neither hungry nor closed, and each of these has a series left.
pub struct Merge {
    streams: Vec<Stream>,
    /// Streams as a binary heap: none comes before its parent. Series stay where they are until they are the next.
    heap: Vec<usize>,
    /// Hungry streams that [`Merge::take_hungry`] has not named yet.
    unnamed: Vec<usize>,
    hungry: usize,
    /// The batch in the making.
    series: Vec<Series>,
    held: Option<Reservation>,
    /// Bytes of `series`, about.
    bytes: usize,
    /// Streams that gave to `series` and still hold what they took for it.
    owing: Vec<usize>,
}

/// One stream: the batch that it is at.
#[derive(Default)]
struct Stream {
    rest: vec::IntoIter<Series>,
    held: Option<Reservation>,
    /// Bytes a series, where those of the batch are spread evenly.
    share: usize,
    /// Bytes of `held` that belong to the batch in the making.
    owed: usize,
    /// Labels of the last series of the batch before.
    last: Option<Labels>,
}

impl Stream {
    /// Labels of the next series.
    fn next_labels(&self) -> Option<&Labels> {
        self.rest.as_slice().first().map(|series| &series.labels)
    }
}

/// What [`Merge::advance`] came to.
#[derive(Debug)]
pub enum Step {
    /// A full batch.
    Batch(SeriesBatch),
    /// A stream is hungry. What was merged so far stays, or can be had by [`Merge::flush`].
    Hungry,
    /// All streams are closed and nothing is left but what [`Merge::flush`] gives.
    Done,
}

impl Merge {
    /// A merge of so many streams, all of them hungry.
    pub fn new(streams: usize) -> Self {
        Self {
            streams: (0..streams).map(|_| Stream::default()).collect(),
            heap: Vec::with_capacity(streams),
            unnamed: (0..streams).collect(),
            hungry: streams,
            series: Vec::new(),
            held: None,
            bytes: 0,
            owing: Vec::new(),
        }
    }

    /// The streams that became hungry since the last call.
    pub fn take_hungry(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.unnamed)
    }

    /// Gives a hungry stream its next batch. After an empty one it is hungry still.
    ///
    /// Errors: `Corrupt`, if the stream does not ascend; nothing of the batch is taken then, and the stream should be
    /// closed.
    pub fn push(&mut self, stream: usize, batch: SeriesBatch) -> Result<(), StoreError> {
        let state = &mut self.streams[stream];
        debug_assert!(state.held.is_none(), "stream {stream} is not hungry");
        let mut last = state.last.as_ref();
        for series in &batch.series {
            if let Some(last) = last
                && *last >= series.labels
            {
                let labels = &series.labels;
                let what = if *last == *labels { "twice".to_owned() } else { format!("after {last}") };
                return Err(StoreError::corrupt(format!("merge series: {labels} comes {what}")));
            }
            last = Some(&series.labels);
        }
        let Some(last) = last.filter(|_| !batch.series.is_empty()).cloned() else {
            self.unnamed.push(stream);
            return Ok(());
        };
        state.last = Some(last);
        state.share = batch.held.bytes() / batch.series.len();
        state.held = Some(batch.held);
        state.rest = batch.series.into_iter();
        self.hungry -= 1;
        self.heap.push(stream);
        self.rise(self.heap.len() - 1);
        Ok(())
    }

    /// Ends a hungry stream.
    pub fn close(&mut self, stream: usize) {
        debug_assert!(self.streams[stream].held.is_none(), "stream {stream} is not hungry");
        self.unnamed.retain(|named| *named != stream);
        self.hungry -= 1;
    }

    /// Merges until a batch is full, a stream is hungry, or all is done.
    pub fn advance(&mut self) -> Step {
        loop {
            if self.hungry > 0 {
                return Step::Hungry;
            }
            if (self.series.len() >= BATCH_SERIES_MAX || self.bytes >= BATCH_BYTES)
                && let Some(batch) = self.flush()
            {
                return Step::Batch(batch);
            }
            let Some(mut series) = self.pop() else { return Step::Done };
            while self.heap.first().is_some_and(|next| self.streams[*next].next_labels() == Some(&series.labels)) {
                if let Some(other) = self.pop() {
                    series.join(other);
                }
            }
            self.series.push(series);
        }
    }

    /// What was merged so far as a batch, though it may not be full.
    pub fn flush(&mut self) -> Option<SeriesBatch> {
        for stream in std::mem::take(&mut self.owing) {
            let state = &mut self.streams[stream];
            if let Some(held) = &mut state.held {
                let owed = held.split(state.owed);
                take_over(&mut self.held, owed);
            }
            state.owed = 0;
        }
        self.bytes = 0;
        let held = self.held.take()?;
        // The next batch will be about as large.
        let next = Vec::with_capacity(self.series.len());
        Some(SeriesBatch::new(std::mem::replace(&mut self.series, next), held))
    }

    /// The least series. Its stream finds its new place, or is hungry.
    fn pop(&mut self) -> Option<Series> {
        let stream = *self.heap.first()?;
        let state = &mut self.streams[stream];
        self.bytes += state.share;
        let series = state.rest.next()?;
        if !state.rest.as_slice().is_empty() {
            if state.owed == 0 {
                self.owing.push(stream);
            }
            // At least one, so that the stream is named once only.
            state.owed += state.share.max(1);
            self.sink();
            return Some(series);
        }
        state.owed = 0;
        if let Some(rest) = state.held.take() {
            take_over(&mut self.held, rest);
        }
        self.owing.retain(|owing| *owing != stream);
        self.unnamed.push(stream);
        self.hungry += 1;
        self.heap.swap_remove(0);
        self.sink();
        Some(series)
    }

    /// Whether the next series of stream `a` comes before that of `b`; of equal ones that of the first stream does.
    fn is_before(&self, a: usize, b: usize) -> bool {
        self.streams[a].next_labels().cmp(&self.streams[b].next_labels()).then(a.cmp(&b)).is_lt()
    }

    /// Moves the stream at position `at` of the heap up to its place.
    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.is_before(self.heap[at], self.heap[(at - 1) / 2]) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Moves the first stream of the heap down to its place.
    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let Some(mut next) = self.heap.get(left).copied() else { return };
            let mut child = left;
            if let Some(other) = self.heap.get(right).copied()
                && self.is_before(other, next)
            {
                (child, next) = (right, other);
            }
            if !self.is_before(next, self.heap[at]) {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}

fn take_over(held: &mut Option<Reservation>, more: Reservation) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Random;
    use crate::{Budget, Chunk, Encoding, Lane, StoreErrorKind};

    fn series(label: usize, lane: usize, time: i64) -> Series {
        let chunk = Chunk { min_time: time, max_time: time, encoding: Encoding::Xor, data: bytes::Bytes::new() };
        let lane = Lane { replica: Labels::from_pairs([("replica", lane.to_string())]), store: None };
        Series::of_lane(Labels::from_pairs([("a", format!("{label:03}"))]), lane, [chunk])
    }

    fn batch(budget: &Budget, series: Vec<Series>) -> SeriesBatch {
        SeriesBatch { held: budget.reserve("test", 10 * series.len()).unwrap(), series }
    }

    /// Labels to lanes to the times of their chunks.
    type Content = BTreeMap<Labels, BTreeMap<Lane, Vec<i64>>>;

    fn add(content: &mut Content, series: &Series) {
        let lanes = content.entry(series.labels.clone()).or_default();
        for lane in &series.lanes {
            let times = lanes.entry(lane.lane.clone()).or_default();
            times.extend(lane.chunks.iter().map(|c| c.min_time));
            times.sort_unstable();
        }
    }

    /// However many streams there are and however they are cut, the merge gives what a map of everything gives, in
    /// order, with all memory accounted for.
    #[test]
    fn equals_a_map_of_everything() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let budget = Budget::unlimited();
            let mut expected = Content::new();
            let mut sources: Vec<Vec<Vec<Series>>> = (0..random.below(12))
                .map(|source| {
                    let mut all: Vec<Series> = (0..600)
                        .filter(|_| random.one_in(3))
                        .map(|label| series(label, source % 3, source as i64))
                        .collect();
                    all.iter().for_each(|series| add(&mut expected, series));
                    let mut batches = Vec::new();
                    while !all.is_empty() {
                        let rest = all.split_off(all.len().min(random.below(50)));
                        batches.push(std::mem::replace(&mut all, rest));
                    }
                    batches.reverse();
                    batches
                })
                .collect();
            let mut merge = Merge::new(sources.len());
            let (mut got, mut last) = (Content::new(), None);
            let mut take = |batch: SeriesBatch| {
                assert!(batch.series.len() <= BATCH_SERIES_MAX);
                for series in &batch.series {
                    assert!(last.as_ref().is_none_or(|last| *last < series.labels), "seed {seed}");
                    last = Some(series.labels.clone());
                    add(&mut got, series);
                }
                let streams: usize =
                    batch.series.iter().map(|s| s.lanes.iter().map(|l| l.chunks.len()).sum::<usize>()).sum();
                assert!(batch.held.bytes() <= 10 * streams, "seed {seed}");
            };
            loop {
                for stream in merge.take_hungry() {
                    match sources[stream].pop() {
                        Some(next) => merge.push(stream, batch(&budget, next)).unwrap(),
                        None => merge.close(stream),
                    }
                }
                match merge.advance() {
                    Step::Batch(batch) => take(batch),
                    Step::Hungry if random.one_in(4) => merge.flush().into_iter().for_each(&mut take),
                    Step::Hungry => {}
                    Step::Done => break,
                }
            }
            merge.flush().into_iter().for_each(&mut take);
            assert_eq!(got, expected, "seed {seed}");
            assert_eq!(budget.used(), 0, "seed {seed}");
        }
    }

    #[test]
    fn a_stream_out_of_order_is_refused_by_name() {
        let budget = Budget::unlimited();
        let rows = [
            (vec![vec![2, 1]], r#"merge series: {a="001"} comes after {a="002"}"#),
            (vec![vec![1, 1]], r#"merge series: {a="001"} comes twice"#),
            (vec![vec![1, 2], vec![2, 3]], r#"merge series: {a="002"} comes twice"#),
        ];
        for (batches, expected) in rows {
            let mut merge = Merge::new(1);
            let mut result = Ok(());
            for labels in batches {
                result = merge.push(0, batch(&budget, labels.into_iter().map(|l| series(l, 0, 0)).collect()));
                merge.advance();
            }
            let error = result.unwrap_err();
            assert_eq!((error.kind, error.to_string().as_str()), (StoreErrorKind::Corrupt, expected));
            merge.close(0);
            assert!(matches!(merge.advance(), Step::Done));
        }
    }
}
