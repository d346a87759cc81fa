//! From chunks to one column a series: the chunks of a lane joined, then the lanes deduplicated.
//!
//! Pure functions over columns. What they give depends on the samples within the asked range only: not on who sent
//! them, in what order, or how they were cut into chunks.
//!
//! The rule of deduplication: the first lane in [`Lane`](crate::Lane) order is the primary lane. Where the time from
//! one of its values to the next is more than one and a half of its intervals there, the next lane fills in what lies
//! at least half an interval from both, the lane after it fills the gaps that are left, and so on. The primary lane is
//! back at its next value. The interval is the median of the nearest distances, so that neither a changed scrape
//! interval nor a far-away part of the selection matters. Nothing is remembered from gap to gap: a part of a selection
//! is answered as the whole would be, but for what lies within one interval of its ends. Every change of lane is marked
//! by a [`Run`].
//!
//! Stale markers: a lane's marker says that *this lane* saw the series end, so it is a gap of the lane like any other.
//! It is given only where no lane has a value for that time.

use std::cmp::Ordering;
use std::ops::Range;

use crate::budget::{Budget, LimitExceeded, Reservation};
use crate::chunk;
use crate::error::StoreError;
use crate::samples::{Run, Samples, is_stale};
use crate::series::{Chunk, LaneChunks, Millis, Series};

mod histograms;
mod lanes;
#[cfg(test)]
mod tests;

pub use lanes::dedup;

/// A time range, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First time, ms.
    pub min_time: Millis,
    /// Last time, ms.
    pub max_time: Millis,
}

impl TimeRange {
    /// All times.
    pub const ALL: Self = Self { min_time: Millis::MIN, max_time: Millis::MAX };

    /// Whether `chunk` can hold a sample of this range.
    pub(crate) fn overlaps(self, chunk: &Chunk) -> bool {
        chunk.min_time <= self.max_time && self.min_time <= chunk.max_time
    }
}

/// What a thread may use for a series without paying for it, bytes: some days of floats. It keeps accounts out of the
/// way of the many small series.
const FREE_BYTES: usize = 64 << 10;

/// Memory that decoding reuses from series to series. One a thread, and of one budget.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What the samples of the series that was decoded last take beyond what is free.
    held: Option<Reservation>,
    /// What they take in all.
    bytes: usize,
    /// Positions of the chunks of a lane, in canonical order.
    order: Vec<usize>,
    overlap: Overlap,
    /// Decoded lanes of the series.
    lanes: Vec<Samples>,
    plan: lanes::Plan,
}

/// What merging overlapping chunks needs.
#[derive(Debug, Default)]
struct Overlap {
    /// Samples of all chunks that overlap, one after the other.
    samples: Samples,
    /// What is not merged yet of the floats of each chunk, as ranges of `samples`.
    parts: Vec<Range<usize>>,
    /// The histograms of each chunk, as ranges of `samples`.
    histograms: Vec<Range<usize>>,
    /// Positions in `parts` of those that have begun.
    active: Vec<usize>,
}

/// Appends to `out` the samples of one lane within `range`: of all its chunks, in whatever order, doubled or
/// overlapping they come. Of different samples at the same time a stale marker counts before NaN, NaN before a number,
/// and the greater number before the smaller one; floats count before histograms, which have an order of their own: a
/// rule of samples alone, so that no way to cut, to order or to send chunks shows in the answer. (In
/// Prometheus the winner is whatever iterator chainSampleIterator in storage/merge.go is at, which depends on the range
/// that is read.)
///
/// `out` should be empty, or end before `range`. Nothing is allocated a sample, and for chunks that ascend without
/// overlap there is no work but decoding.
///
/// Errors: those of [`chunk::decode`]; `out` is as before then.
pub fn decode_lane(
    chunks: &[Chunk],
    range: TimeRange,
    scratch: &mut Scratch,
    out: &mut Samples,
) -> Result<(), StoreError> {
    let start = Mark::of(out);
    let decoded = decode_any(chunks, range, scratch, out);
    if decoded.is_err() {
        start.reset(out);
    }
    decoded
}

fn decode_any(chunks: &[Chunk], range: TimeRange, scratch: &mut Scratch, out: &mut Samples) -> Result<(), StoreError> {
    let start = Mark::of(out);
    if chunks.is_sorted_by(|a, b| a.max_time < b.min_time) {
        if append_all(chunks.iter(), range, out)? {
            return Ok(());
        }
        // The chunks are not what their time ranges say.
        start.reset(out);
    }
    let order = &mut scratch.order;
    order.clear();
    order.extend((0..chunks.len()).filter(|i| range.overlaps(&chunks[*i])));
    order.sort_by(|a, b| chunks[*a].cmp(&chunks[*b]));
    order.dedup_by(|a, b| chunks[*a] == chunks[*b]);
    if order.is_sorted_by(|a, b| chunks[*a].max_time < chunks[*b].min_time) {
        if append_all(order.iter().map(|i| &chunks[*i]), range, out)? {
            return Ok(());
        }
        start.reset(out);
    }
    scratch.overlap.decode(order.iter().map(|i| &chunks[*i]), range)?;
    scratch.overlap.merge_into(out);
    Ok(())
}

/// Appends chunks one after the other; false if their samples do not ascend from chunk to chunk.
fn append_all<'a>(
    chunks: impl Iterator<Item = &'a Chunk>,
    range: TimeRange,
    out: &mut Samples,
) -> Result<bool, StoreError> {
    for chunk in chunks.filter(|chunk| range.overlaps(chunk)) {
        let (floats, histograms) = (out.timestamps.len(), out.histograms.len());
        let float = out.timestamps.last().copied();
        let histogram = out.histograms.last().map(|sample| sample.timestamp);
        chunk::decode_range(chunk, range.min_time, range.max_time, out)?;
        let first = out.timestamps.get(floats).copied();
        let first = first.or_else(|| out.histograms.get(histograms).map(|sample| sample.timestamp));
        if first.is_some_and(|first| float.max(histogram).is_some_and(|last| first <= last)) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Overlap {
    /// Decodes chunks, given in canonical order, one a part.
    fn decode<'a>(&mut self, chunks: impl Iterator<Item = &'a Chunk>, range: TimeRange) -> Result<(), StoreError> {
        self.samples.clear();
        self.parts.clear();
        self.histograms.clear();
        self.active.clear();
        for chunk in chunks {
            let start = Mark::of(&self.samples);
            chunk::decode_range(chunk, range.min_time, range.max_time, &mut self.samples)?;
            let end = Mark::of(&self.samples);
            if start.floats < end.floats {
                self.parts.push(start.floats..end.floats);
            }
            if start.histograms < end.histograms {
                self.histograms.push(start.histograms..end.histograms);
            }
        }
        Ok(())
    }

    /// Merges the parts by time. Few are open at once, so that looking at each of those is faster than a heap.
    fn merge_into(&mut self, out: &mut Samples) {
        let Self { samples, parts, histograms, active } = self;
        let floats = out.timestamps.len();
        let times = &samples.timestamps;
        // The chunks' order is that of the times which they claim; what counts is what they hold.
        parts.sort_by_key(|rest| times[rest.start]);
        let mut waiting = 0;
        loop {
            let first = |part: &usize| parts[*part].start;
            let best = active.iter().copied().min_by(|a, b| order(samples, first(a), first(b)));
            let next = parts.get(waiting).map(|rest| times[rest.start]);
            let best = match (best, next) {
                (None, None) => break,
                (Some(best), next) if next.is_none_or(|next| next > times[first(&best)]) => best,
                _ => {
                    active.push(waiting);
                    waiting += 1;
                    continue;
                }
            };
            // As far as the best part goes alone, copy at once.
            let rest = parts[best].clone();
            let others = active.iter().filter(|i| **i != best).map(|i| times[first(i)]);
            let end = match others.chain(next).min() {
                Some(until) => rest.start + times[rest.clone()].partition_point(|time| *time < until).max(1),
                None => rest.end,
            };
            append(samples, rest.start..end, out);
            let last = times[end - 1];
            for i in active.iter() {
                let rest = &mut parts[*i];
                while rest.start < rest.end && times[rest.start] <= last {
                    rest.start += 1;
                }
            }
            active.retain(|i| !parts[*i].is_empty());
        }
        if !histograms.is_empty() {
            histograms::merge(samples, histograms, floats, out);
        }
    }
}

/// By time; of those at the same time the one that counts is first.
fn order(samples: &Samples, a: usize, b: usize) -> Ordering {
    let start = |i: usize| samples.start_timestamps.get(i);
    let kind = |value: f64| (is_stale(value), value.is_nan());
    let (x, y) = (samples.values[a], samples.values[b]);
    let by_time = samples.timestamps[a].cmp(&samples.timestamps[b]);
    by_time.then_with(|| kind(y).cmp(&kind(x))).then_with(|| y.total_cmp(&x)).then_with(|| start(b).cmp(&start(a)))
}

/// Appends a range of floats to another column.
fn append(from: &Samples, range: Range<usize>, to: &mut Samples) {
    if !from.start_timestamps.is_empty() || !to.start_timestamps.is_empty() {
        to.start_timestamps.resize(to.timestamps.len(), 0);
        match from.start_timestamps.get(range.clone()) {
            Some(known) => to.start_timestamps.extend_from_slice(known),
            None => to.start_timestamps.resize(to.timestamps.len() + range.len(), 0),
        }
    }
    to.timestamps.extend_from_slice(&from.timestamps[range.clone()]);
    to.values.extend_from_slice(&from.values[range]);
}

/// Decodes all lanes of `series` and deduplicates them into `out`, which is cleared first: its samples within `range`.
/// Large series, and those of large histograms, are paid for from `budget` before they are decoded, until the next one
/// is.
///
/// A series of one lane costs no more than its decoding; further lanes are decoded only if the primary lane has a gap.
///
/// Errors: those of [`chunk::decode`], and the budget's refusal.
pub fn samples_of(
    series: &Series,
    range: TimeRange,
    budget: &Budget,
    scratch: &mut Scratch,
    out: &mut Samples,
) -> Result<(), StoreError> {
    out.clear();
    scratch.bytes = 0;
    if let Some(held) = &mut scratch.held {
        held.shrink_to(0);
    }
    match series.lanes.as_slice() {
        [] => Ok(()),
        [lane] => decode_paid(lane, range, budget, scratch, out),
        lanes => {
            let ranks = ranks(lanes);
            decode_paid(&lanes[ranks[0]], range, budget, scratch, out)?;
            if lanes::is_gapless(out, range) {
                return Ok(());
            }
            let mut decoded = std::mem::take(&mut scratch.lanes);
            let result = dedup_all(lanes, &ranks, (range, budget), (&mut decoded, scratch), out);
            scratch.lanes = decoded;
            result
        }
    }
}

fn decode_paid(
    lane: &LaneChunks,
    range: TimeRange,
    budget: &Budget,
    scratch: &mut Scratch,
    out: &mut Samples,
) -> Result<(), StoreError> {
    let wanted = lane.chunks.iter().filter(|chunk| range.overlaps(chunk));
    scratch.pay(wanted.map(chunk::decoded_bytes_max).sum(), budget)?;
    decode_lane(&lane.chunks, range, scratch, out)
}

impl Scratch {
    /// Takes `bytes` more, for the current series.
    fn pay(&mut self, bytes: usize, budget: &Budget) -> Result<(), LimitExceeded> {
        self.bytes += bytes;
        let beyond = self.bytes.saturating_sub(FREE_BYTES);
        if beyond > 0 {
            let held = self.held.get_or_insert_with(|| budget.begin("samples of a series"));
            held.grow(beyond - held.bytes())?;
        }
        Ok(())
    }
}

/// Positions of the lanes in lane order.
fn ranks(lanes: &[LaneChunks]) -> Vec<usize> {
    let mut ranks: Vec<usize> = (0..lanes.len()).collect();
    ranks.sort_by(|a, b| lanes[*a].lane.cmp(&lanes[*b].lane));
    ranks
}

/// `out` holds the primary lane; the others are decoded here.
fn dedup_all(
    lanes: &[LaneChunks],
    ranks: &[usize],
    (range, budget): (TimeRange, &Budget),
    (decoded, scratch): (&mut Vec<Samples>, &mut Scratch),
    out: &mut Samples,
) -> Result<(), StoreError> {
    if decoded.len() < ranks.len() {
        decoded.resize_with(ranks.len(), Samples::default);
    }
    decoded.iter_mut().for_each(Samples::clear);
    std::mem::swap(&mut decoded[0], out);
    for (samples, rank) in decoded.iter_mut().zip(ranks).skip(1) {
        decode_paid(&lanes[*rank], range, budget, scratch, samples)?;
    }
    let numbered: Vec<(u32, &Samples)> = (0..).zip(&decoded[..ranks.len()]).collect();
    lanes::dedup_within(&numbered, range, &mut scratch.plan, out);
    Ok(())
}

/// Lengths of columns, to go back to.
struct Mark {
    floats: usize,
    start_timestamps: usize,
    histograms: usize,
}

impl Mark {
    fn of(samples: &Samples) -> Self {
        Self {
            floats: samples.timestamps.len(),
            start_timestamps: samples.start_timestamps.len(),
            histograms: samples.histograms.len(),
        }
    }

    fn reset(&self, samples: &mut Samples) {
        samples.timestamps.truncate(self.floats);
        samples.values.truncate(self.floats);
        samples.start_timestamps.truncate(self.start_timestamps);
        samples.histograms.truncate(self.histograms);
    }
}

/// The last value before index `end`, stale markers left out.
fn value_before(samples: &Samples, end: usize) -> Option<(Millis, f64)> {
    let i = samples.values[..end].iter().rposition(|value| !is_stale(*value))?;
    Some((samples.timestamps[i], samples.values[i]))
}

/// A run that begins at `start` of the output with sample `first` of lane `lane`.
fn run(start: usize, lane: u32, samples: &Samples, first: usize) -> Run {
    Run { start, lane, before: value_before(samples, first) }
}
