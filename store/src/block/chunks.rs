//! Chunks: from references to batches of series with their chunks, read in ranges that are joined where little lies
//! between.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use smallvec::SmallVec;

use super::Access;
use super::cursor::Cursor;
use super::index::checked;
use super::reader::{Block, Opened, Segment};
use super::series::{ChunkRef, Entry, SeriesList};
use super::tombstones::{Deleted, Left, is_deleted, left_of};
use crate::bucket::{Bucket, Purpose, coalesce};
use crate::budget::{Budget, Reservation};
use crate::chunk;
use crate::error::{StoreError, StoreErrorKind};
use crate::samples::Samples;
use crate::series::{BATCH_SERIES_MAX, Chunk, Encoding, LaneChunks, Series, SeriesBatch};

/// A chunk whose length is not known is read so far at first: 120 samples take 2.2 KB at worst, histograms more.
const CHUNK_GUESS: u64 = 2 << 10;

/// A batch is cut where its chunks reach this many bytes, so that long series do not make it large.
const BATCH_BYTES_MAX: u64 = 4 << 20;

/// Head and checksum of a chunk beside its data, at most: length, encoding, CRC.
const CHUNK_OVERHEAD: u64 = 10 + 1 + 4;

/// The series of a block on their way out.
pub(crate) struct Batches {
    entries: std::iter::Peekable<std::vec::IntoIter<Entry>>,
    list: SeriesList,
    labels_only: bool,
    left: usize,
}

impl Batches {
    /// Hands out the series of `list`: at most `limit`, 0 for all.
    pub(crate) fn new(mut list: SeriesList, labels_only: bool, limit: usize) -> Self {
        let entries = std::mem::take(&mut list.entries).into_iter().peekable();
        Self { entries, list, labels_only, left: if limit == 0 { usize::MAX } else { limit } }
    }

    /// The next batch of at most [`BATCH_SERIES_MAX`] series; None at the end.
    pub(crate) async fn next(
        &mut self,
        access: &Access,
        block: &Block,
        budget: &Budget,
    ) -> Result<Option<SeriesBatch>, StoreError> {
        let opened = block.open(&access.bucket, &access.budget).await?;
        loop {
            let (entries, mut held) = self.take();
            if entries.is_empty() {
                return Ok(None);
            }
            let series = if self.labels_only {
                self.series(entries, &mut std::iter::empty())?
            } else {
                let (chunks, reserved) = self.chunks_of(&entries, opened, &access.bucket, budget).await?;
                held.merge(reserved);
                self.series(entries, &mut chunks.into_iter())?
            };
            self.left -= series.len();
            // Deletions may have left nothing of a whole batch.
            if !series.is_empty() {
                return Ok(Some(SeriesBatch::new(series, held)));
            }
        }
    }

    /// The entries of the next label sets, all of each set, and what they hold.
    fn take(&mut self) -> (Vec<Entry>, Reservation) {
        let most = BATCH_SERIES_MAX.min(self.left);
        let mut entries: Vec<Entry> = Vec::with_capacity(most.min(self.entries.len()));
        let (mut sets, mut bytes, mut held) = (0, 0, 0);
        while let Some(next) = self.entries.peek() {
            if entries.last().is_none_or(|last| last.labels != next.labels) {
                if sets == most || bytes >= BATCH_BYTES_MAX {
                    break;
                }
                sets += 1;
            }
            let chunks = &self.list.chunks[next.chunks.start as usize..next.chunks.end as usize];
            bytes += chunks.iter().map(guess).sum::<u64>();
            held += next.size_bytes();
            entries.extend(self.entries.next());
        }
        (entries, self.list.held.split(held))
    }

    /// The series of `entries`, whose chunks come from `chunks` in their order. Those of which no chunk is left are
    /// left out.
    fn series(
        &self,
        entries: Vec<Entry>,
        chunks: &mut dyn Iterator<Item = Option<Chunk>>,
    ) -> Result<Vec<Series>, StoreError> {
        let mut all: Vec<Series> = Vec::with_capacity(entries.len());
        let mut last = 0;
        for entry in entries {
            let own: SmallVec<[Chunk; 1]> = chunks.take(entry.chunks.len()).flatten().collect();
            if own.is_empty() && !self.labels_only {
                continue;
            }
            let lane = || self.list.lanes[entry.lane as usize].clone();
            match all.last_mut() {
                Some(series) if series.labels == entry.labels => match series.lanes.last_mut() {
                    Some(lane) if last == entry.lane => lane.chunks.extend(own),
                    _ => {
                        series.lanes.push(LaneChunks { lane: lane(), chunks: own });
                        series.check_lanes()?;
                    }
                },
                _ => all.push(Series::of_lane(entry.labels, lane(), own)),
            }
            last = entry.lane;
        }
        Ok(all)
    }

    /// The chunks of `entries` in their order; None for those of which nothing is left. With what they hold.
    async fn chunks_of(
        &self,
        entries: &[Entry],
        opened: &Opened,
        bucket: &Bucket,
        budget: &Budget,
    ) -> Result<(Vec<Option<Chunk>>, Reservation), StoreError> {
        let range = |entry: &Entry| entry.chunks.start as usize..entry.chunks.end as usize;
        let wanted: Vec<ChunkRef> = entries.iter().flat_map(|entry| &self.list.chunks[range(entry)]).copied().collect();
        let (chunks, mut held) = read(opened, bucket, &wanted, budget).await?;
        held.grow(chunks.len() * size_of::<Chunk>())?;
        let mut chunks: Vec<Option<Chunk>> = chunks.into_iter().map(Some).collect();
        if !opened.tombstones.is_empty() {
            let (mut at, mut more) = (0, 0);
            for entry in entries {
                let deleted = opened.tombstones.of(entry.series);
                let own = &mut chunks[at..at + entry.chunks.len()];
                at += entry.chunks.len();
                if !deleted.is_empty() {
                    for chunk in own {
                        let size = |chunk: &Option<Chunk>| chunk.as_ref().map_or(0, |chunk| chunk.data.len());
                        let before = size(chunk);
                        let _samples = budget.reserve("samples", chunk.as_ref().map_or(0, chunk::decoded_bytes_max))?;
                        delete(chunk, deleted)?;
                        // What is left of integer histograms with counts beyond 2^52 is written as floats.
                        more += size(chunk).saturating_sub(before);
                    }
                }
            }
            held.grow(more)?;
        }
        Ok((chunks, held))
    }
}

/// Takes the samples at `deleted` times out of a chunk.
fn delete(chunk: &mut Option<Chunk>, deleted: &[Deleted]) -> Result<(), StoreError> {
    let Some(whole) = chunk else { return Ok(()) };
    if left_of(deleted, whole.min_time, whole.max_time) != Left::Part {
        return Ok(());
    }
    let mut samples = Samples::default();
    chunk::decode(whole, &mut samples)?;
    samples.retain(|time| !is_deleted(deleted, time));
    *chunk = chunk::encode_again(&samples, whole.encoding);
    Ok(())
}

/// The chunks of `wanted`, in their order, and what their bytes hold.
async fn read(
    opened: &Opened,
    bucket: &Bucket,
    wanted: &[ChunkRef],
    budget: &Budget,
) -> Result<(Vec<Chunk>, Reservation), StoreError> {
    let mut order: Vec<(usize, ChunkRef)> = wanted.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, chunk)| chunk.reference);
    let mut jobs = Vec::new();
    for part in order.chunk_by(|a, b| a.1.segment() == b.1.segment()) {
        let number = part[0].1.segment();
        let segment = usize::try_from(number).ok().and_then(|number| opened.segments.get(number));
        let missing =
            || StoreError::corrupt(format!("read chunks: the block has no segment {}", number.saturating_add(1)));
        jobs.push(Box::pin(read_segment(segment.ok_or_else(missing)?, bucket, part, budget)));
    }
    let mut held = budget.reserve("chunks", 0)?;
    let mut chunks: Vec<(usize, Chunk)> = Vec::with_capacity(wanted.len());
    for (read, reserved) in try_join_all(jobs).await? {
        chunks.extend(read);
        held.merge(reserved);
    }
    if !chunks.is_sorted_by_key(|(at, _)| *at) {
        chunks.sort_by_key(|(at, _)| *at);
    }
    Ok((chunks.into_iter().map(|(_, chunk)| chunk).collect(), held))
}

impl ChunkRef {
    fn segment(&self) -> u64 {
        self.reference >> 32
    }

    fn offset(&self) -> u64 {
        self.reference & 0xffff_ffff
    }
}

/// Bytes to read for a chunk at first.
fn guess(chunk: &ChunkRef) -> u64 {
    if chunk.length == 0 { CHUNK_GUESS } else { u64::from(chunk.length) }
}

/// Reads chunks of one segment, which ascend by offset. They come with their place in the batch.
async fn read_segment(
    segment: &Segment,
    bucket: &Bucket,
    wanted: &[(usize, ChunkRef)],
    budget: &Budget,
) -> Result<(Vec<(usize, Chunk)>, Reservation), StoreError> {
    segment.check(bucket).await?;
    let named = |e: StoreError| e.within(format!("read segment {}", segment.name));
    let size = segment.object.size;
    if let Some((_, bad)) = wanted.iter().find(|(_, chunk)| chunk.offset() >= size) {
        return Err(failed(segment, bad, "it lies past the end"));
    }
    let range = |chunk: &ChunkRef| chunk.offset()..(chunk.offset() + guess(chunk)).min(size);
    let ranges = coalesce(wanted.iter().map(|(_, chunk)| range(chunk)));
    let mut held = budget.reserve("chunks", ranges.iter().map(|r| (r.end - r.start) as usize).sum())?;
    let buffers = bucket.read(&segment.object, &ranges, Purpose::Data).await.map_err(named)?;

    let mut chunks = Vec::with_capacity(wanted.len());
    let mut long = Vec::new();
    let mut used = vec![0; buffers.len()];
    let mut at = 0;
    for (place, chunk) in wanted {
        while ranges.get(at + 1).is_some_and(|next| next.start <= chunk.offset()) {
            at += 1;
        }
        let start = (chunk.offset() - ranges[at].start) as usize;
        match parse(segment, chunk, &buffers[at], start)? {
            Parsed::Whole(chunk) => {
                used[at] += chunk.data.len();
                chunks.push((*place, at, chunk));
            }
            Parsed::Reaches(end) => long.push((*place, chunk, chunk.offset()..end)),
        }
    }
    let mut bytes = compact(&mut chunks, &buffers, &used);
    let mut out: Vec<(usize, Chunk)> = chunks.into_iter().map(|(place, _, chunk)| (place, chunk)).collect();
    if !long.is_empty() {
        let ranges: Vec<Range<u64>> = long.iter().map(|(_, _, range)| range.clone()).collect();
        let more: usize = ranges.iter().map(|r| (r.end - r.start) as usize).sum();
        bytes += more;
        held.grow(more)?;
        let read = bucket.read(&segment.object, &ranges, Purpose::Data).await.map_err(named)?;
        for ((place, chunk, _), buffer) in long.into_iter().zip(read) {
            match parse(segment, chunk, &buffer, 0)? {
                Parsed::Whole(chunk) => out.push((place, chunk)),
                Parsed::Reaches(_) => return Err(failed(segment, chunk, "it ends too early")),
            }
        }
    }
    drop(buffers);
    held.shrink_to(bytes);
    Ok((out, held))
}

enum Parsed {
    Whole(Chunk),
    /// The bytes end before the chunk does, which ends at this offset of the segment.
    Reaches(u64),
}

/// The chunk at `start` of `buffer`, checksum checked.
fn parse(segment: &Segment, wanted: &ChunkRef, buffer: &Bytes, start: usize) -> Result<Parsed, StoreError> {
    let rest = buffer.get(start..).unwrap_or_default();
    let mut cursor = Cursor::new(rest);
    let Some(length) = cursor.uvarint() else {
        // The length itself may be cut.
        let end = (wanted.offset() + CHUNK_OVERHEAD).min(segment.object.size);
        let cut = (rest.len() as u64) < CHUNK_OVERHEAD && end > wanted.offset() + rest.len() as u64;
        return if cut { Ok(Parsed::Reaches(end)) } else { Err(failed(segment, wanted, "its length is damaged")) };
    };
    let head = rest.len() - cursor.rest.len();
    let end = length.checked_add(wanted.offset() + head as u64 + 1 + 4);
    let end =
        end.filter(|end| *end <= segment.object.size).ok_or_else(|| failed(segment, wanted, "it ends too early"))?;
    let Some(bytes) = cursor.take((end - wanted.offset()) as usize - head) else { return Ok(Parsed::Reaches(end)) };
    let content = checked(bytes).ok_or_else(|| failed(segment, wanted, "checksum does not fit"))?;
    let encoding = content[0];
    let Some(encoding) = Encoding::from_block(encoding) else {
        let e = StoreError::unsupported(format_args!("chunks of encoding {encoding}"));
        return Err(e.within(place(segment, wanted)));
    };
    let data = buffer.slice(start + head + 1..start + head + content.len());
    if !chunk::is_plausible(encoding, &data) {
        return Err(failed(segment, wanted, "it is too short for its number of samples"));
    }
    let (min_time, max_time) = (wanted.min_time, wanted.max_time);
    Ok(Parsed::Whole(Chunk { min_time, max_time, encoding, data }))
}

/// Copies the chunks out of buffers of which less than half is used, so that they do not hold the rest. Returns the
/// bytes that all of them hold then.
fn compact(chunks: &mut [(usize, usize, Chunk)], buffers: &[Bytes], used: &[usize]) -> usize {
    let mut bytes = 0;
    for group in chunks.chunk_by_mut(|a, b| a.1 == b.1) {
        let at = group[0].1;
        if used[at] * 2 >= buffers[at].len() {
            bytes += buffers[at].len();
            continue;
        }
        bytes += used[at];
        let mut copy = BytesMut::with_capacity(used[at]);
        group.iter().for_each(|(_, _, chunk)| copy.extend_from_slice(&chunk.data));
        let mut copy = copy.freeze();
        for (_, _, chunk) in group {
            chunk.data = copy.split_to(chunk.data.len());
        }
    }
    bytes
}

fn place(segment: &Segment, chunk: &ChunkRef) -> String {
    format!("read chunk at segment {} offset {}", segment.name, chunk.offset())
}

#[cold]
fn failed(segment: &Segment, chunk: &ChunkRef, why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, format!("{}: {why}", place(segment, chunk)))
}
