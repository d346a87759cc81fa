//! Series entries: from postings to the labels and chunk references of all matching series of a block, in label order.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::cursor::Cursor;
use super::index::{Index, checked};
use super::reader::{Block, Opened};
use super::symbols::Symbols;
use super::tombstones::{Left, left_of};
use super::{Access, postings};
use crate::bucket::{Bucket, Purpose, coalesce};
use crate::budget::{Budget, LimitExceeded, Reservation};
use crate::error::StoreError;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::select::Select;
use crate::series::{Lane, Millis};

/// An entry is read so far at first: eight labels and some hundred chunks.
const ENTRY_GUESS: u64 = 1 << 10;

/// Entries that are read and decoded at once: some hundred kilobytes, some milliseconds.
const SLAB: usize = 4096;

/// Chunks nearer than this to the next one of their series are read up to there.
const LENGTH_MAX: u64 = 64 << 10;

/// All matching series of a block with a chunk in the time range, in label order.
pub(crate) struct SeriesList {
    /// Ascending by labels, then lane; a label set may come twice.
    pub(crate) entries: Vec<Entry>,
    /// The chunks in the time range, of all series.
    pub(crate) chunks: Vec<ChunkRef>,
    /// The lanes to which entries refer.
    pub(crate) lanes: Vec<Lane>,
    /// Positions there by replica labels.
    lane_numbers: HashMap<Labels, u32>,
    /// What all of this holds.
    pub(crate) held: Reservation,
}

/// One series.
pub(crate) struct Entry {
    /// Final labels, replica labels removed.
    pub(crate) labels: Labels,
    /// Position in the lanes.
    pub(crate) lane: u32,
    /// Reference of the series in the block.
    pub(crate) series: u32,
    /// Its chunks.
    pub(crate) chunks: Range<u32>,
}

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    pub(crate) min_time: Millis,
    pub(crate) max_time: Millis,
    /// Segment in the upper half, offset in the lower one.
    pub(crate) reference: u64,
    /// Bytes to the next chunk of the series, checksum included; 0 where that is not known.
    pub(crate) length: u32,
}

impl Entry {
    /// Bytes it holds, with its chunk references.
    pub(crate) fn size_bytes(&self) -> usize {
        self.labels.size_bytes() + size_of::<Self>() + self.chunks.len() * size_of::<ChunkRef>()
    }
}

/// Finds the series of `block` that `request` asks for.
pub(crate) async fn load(
    access: &Access,
    block: &Block,
    request: &Select,
    budget: &Budget,
) -> Result<SeriesList, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let matchers = inner(&block.labels, &request.matchers);
    let (references, _held) = postings::select(&opened.index, &access.bucket, &matchers, budget).await?;
    let mut list = SeriesList {
        entries: Vec::new(),
        chunks: Vec::new(),
        lanes: Vec::new(),
        lane_numbers: HashMap::new(),
        held: budget.reserve("labels of series", 0)?,
    };
    for slab in references.chunks(SLAB) {
        let (first, first_chunk) = (list.entries.len(), list.chunks.len());
        let buffers = read_entries(&opened.index, &access.bucket, slab, budget).await?;
        let builder = Builder { opened, block, request, store: access };
        builder.append(slab, &buffers, &mut list)?;
        let labels: usize = list.entries[first..].iter().map(|e| e.labels.size_bytes() + size_of::<Entry>()).sum();
        list.held.grow(labels + (list.chunks.len() - first_chunk) * size_of::<ChunkRef>())?;
    }
    // Mostly sorted already, which this sort sees.
    list.entries.sort_by(|a, b| a.labels.cmp(&b.labels).then(a.lane.cmp(&b.lane)));
    Ok(list)
}

/// The matchers that the series of a block with these external labels decide. The external labels win over those of the
/// series, so a matcher on one of them never looks at a series.
pub(crate) fn inner<'a>(labels: &Labels, matchers: &'a [Matcher]) -> Vec<&'a Matcher> {
    matchers.iter().filter(|m| labels.get(m.name()).is_none()).collect()
}

/// The bytes of entries.
///
/// Invariant: the parts ascend and do not overlap.
pub(crate) struct Buffers {
    parts: Vec<Part>,
    _held: Reservation,
}

/// A range of the index in which entries begin.
struct Part {
    range: Range<u64>,
    bytes: Bytes,
    /// The last entry, if it reaches beyond the range: its offset and all of it.
    long: Option<(u64, Bytes)>,
}

/// Reads the entries of `references`, which ascend; what turns out to be long is read a second time, to its end.
pub(crate) async fn read_entries(
    index: &Index,
    bucket: &Bucket,
    references: &[u32],
    budget: &Budget,
) -> Result<Buffers, StoreError> {
    let act = "read series";
    let area = &index.series;
    let offsets: Vec<u64> = references.iter().map(|r| index.series_offset(*r)).collect();
    if let Some(bad) = offsets.iter().find(|offset| !area.contains(offset)) {
        return Err(StoreError::corrupt(format!("{act} at offset {bad}: no series lie there")));
    }
    let ranges = coalesce(offsets.iter().map(|offset| *offset..(offset + ENTRY_GUESS).min(area.end)));
    let bytes: u64 = ranges.iter().map(|r| r.end - r.start).sum();
    let mut held = budget.reserve("series entries", bytes as usize)?;
    let read = bucket.read(&index.object, &ranges, Purpose::Data).await.map_err(|e| e.within(act))?;
    let parts = ranges.into_iter().zip(read);
    let mut parts: Vec<Part> = parts.map(|(range, bytes)| Part { range, bytes, long: None }).collect();
    let mut long: Vec<(usize, Range<u64>)> = Vec::new();
    let mut at = 0;
    for offset in offsets {
        while parts[at].range.end <= offset {
            at += 1;
        }
        let cut = || StoreError::corrupt(format!("{act} at offset {offset}: it ends too early"));
        let rest = parts[at].bytes.get((offset - parts[at].range.start) as usize..).ok_or_else(cut)?;
        let mut cursor = Cursor::new(rest);
        let length = cursor.uvarint().ok_or_else(cut)?;
        let head = (rest.len() - cursor.rest.len()) as u64;
        let end = length.checked_add(offset + head + 4).filter(|end| *end <= area.end).ok_or_else(cut)?;
        if end > parts[at].range.end {
            long.push((at, offset..end));
        }
    }
    if !long.is_empty() {
        let ranges: Vec<Range<u64>> = long.iter().map(|(_, range)| range.clone()).collect();
        held.grow(ranges.iter().map(|r| (r.end - r.start) as usize).sum())?;
        let read = bucket.read(&index.object, &ranges, Purpose::Data).await.map_err(|e| e.within(act))?;
        for ((at, range), bytes) in long.into_iter().zip(read) {
            parts[at].long = Some((range.start, bytes));
        }
    }
    Ok(Buffers { parts, _held: held })
}

impl Buffers {
    /// The content of the entry at `offset`, its checksum checked. `at` is the part to begin with, and moves on.
    fn entry(&self, offset: u64, at: &mut usize) -> Result<&[u8], StoreError> {
        let failed = |why: &str| StoreError::corrupt(format!("read series at offset {offset}: {why}"));
        while self.parts.get(*at).is_some_and(|part| part.range.end <= offset) {
            *at += 1;
        }
        let part = self.parts.get(*at).ok_or_else(|| failed("it was not read"))?;
        let bytes = match &part.long {
            Some((start, bytes)) if *start == offset => bytes.get(..),
            _ => part.bytes.get((offset - part.range.start) as usize..),
        };
        let mut cursor = Cursor::new(bytes.unwrap_or_default());
        let length = cursor.uvarint().and_then(|length| usize::try_from(length).ok()?.checked_add(4));
        let entry = length.and_then(|length| cursor.take(length)).ok_or_else(|| failed("it ends too early"))?;
        checked(entry).ok_or_else(|| failed("checksum does not fit"))
    }

    /// Calls `visit` with the labels of each entry of `references`, as the block holds them, and with what follows
    /// them.
    pub(crate) fn visit<'a>(
        &'a self,
        index: &'a Index,
        references: &[u32],
        mut visit: impl FnMut(u32, &[(&'a str, &'a str)], Cursor<'a>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(32);
        let mut at = 0;
        for reference in references {
            let offset = index.series_offset(*reference);
            let mut cursor = Cursor::new(self.entry(offset, &mut at)?);
            let bad = || StoreError::corrupt(format!("read series at offset {offset}: its labels are damaged"));
            labels(&mut cursor, &index.symbols, &mut pairs).ok_or_else(bad)?;
            visit(*reference, &pairs, cursor)?;
        }
        Ok(())
    }
}

/// Reads the labels of an entry into `pairs`. None where they are damaged or do not ascend.
#[inline]
fn labels<'a>(cursor: &mut Cursor<'_>, symbols: &'a Symbols, pairs: &mut Vec<(&'a str, &'a str)>) -> Option<()> {
    pairs.clear();
    let mut last = None;
    for _ in 0..cursor.uvarint()? {
        let reference = cursor.uvarint()?;
        let name = symbols.get(reference)?;
        let value = symbols.get(cursor.uvarint()?)?;
        if last.is_some_and(|last| !symbols.before(last, (reference, name))) {
            return None;
        }
        last = Some((reference, name));
        pairs.push((name, value));
    }
    Some(())
}

/// Makes entries of a list from the bytes of series.
struct Builder<'a> {
    opened: &'a Opened,
    block: &'a Block,
    request: &'a Select,
    store: &'a Access,
}

impl Builder<'_> {
    fn append(&self, references: &[u32], buffers: &Buffers, list: &mut SeriesList) -> Result<(), StoreError> {
        let index = &self.opened.index;
        let external: Vec<(&str, &str)> = self.block.labels.iter().collect();
        let mut kept: Vec<(&str, &str)> = Vec::with_capacity(32);
        let mut replica: Vec<(&str, &str)> = Vec::new();
        let mut scratch = String::new();
        list.entries.reserve(references.len());
        buffers.visit(index, references, |reference, pairs, mut cursor| {
            let start = list.chunks.len();
            let bad = || {
                let offset = index.series_offset(reference);
                StoreError::corrupt(format!("read series at offset {offset}: its chunks are damaged"))
            };
            let any = self.chunks(&mut cursor, reference, &mut list.chunks).ok_or_else(bad)?;
            if !any {
                list.chunks.truncate(start);
                return Ok(());
            }
            if self.request.labels_only {
                list.chunks.truncate(start);
            }
            kept.clear();
            replica.clear();
            let removed = &self.request.replica_labels;
            merge(pairs, &external, |name, value| {
                let of_replica = !removed.is_empty() && removed.iter().any(|have| **have == *name);
                let list = if of_replica { &mut replica } else { &mut kept };
                list.push((name, value));
            });
            let before = list.entries.last().map(|entry| entry.lane);
            let lane = self.lane(&replica, before, list)?;
            let chunks = start as u32..list.chunks.len() as u32;
            let labels = Labels::from_sorted_in(&mut scratch, kept.iter().copied());
            list.entries.push(Entry { labels, lane, series: reference, chunks });
            Ok(())
        })
    }

    /// Appends the chunks of an entry that are in the time range and not deleted as a whole; whether there is any. None
    /// where the bytes are damaged.
    fn chunks(&self, cursor: &mut Cursor<'_>, series: u32, out: &mut Vec<ChunkRef>) -> Option<bool> {
        let request = self.request;
        let deleted = self.opened.tombstones.of(series);
        let start = out.len();
        let mut last: Option<ChunkRef> = None;
        let mut keep = |chunk: ChunkRef| {
            let (from, to) = (chunk.min_time, chunk.max_time);
            let overlaps = from <= request.max_time && request.min_time <= to;
            if overlaps && (deleted.is_empty() || left_of(deleted, from, to) != Left::Nothing) {
                out.push(chunk);
            }
        };
        for _ in 0..cursor.uvarint()? {
            let chunk = match last {
                None => {
                    let min_time = cursor.varint()?;
                    let max_time = min_time.wrapping_add(cursor.uvarint()? as i64);
                    ChunkRef { min_time, max_time, reference: cursor.uvarint()?, length: 0 }
                }
                Some(mut last) => {
                    let min_time = last.max_time.wrapping_add(cursor.uvarint()? as i64);
                    let max_time = min_time.wrapping_add(cursor.uvarint()? as i64);
                    let reference = last.reference.wrapping_add(cursor.varint()? as u64);
                    let length = reference.wrapping_sub(last.reference);
                    last.length = if length <= LENGTH_MAX { length as u32 } else { 0 };
                    keep(last);
                    ChunkRef { min_time, max_time, reference, length: 0 }
                }
            };
            last = Some(chunk);
        }
        last.into_iter().for_each(keep);
        Some(out.len() > start)
    }

    /// Position of the lane of these replica labels, which is made if it is new. Mostly it is that of the series
    /// before, but a caller may take any label for one of replicas.
    fn lane(&self, replica: &[(&str, &str)], before: Option<u32>, list: &mut SeriesList) -> Result<u32, LimitExceeded> {
        let is_same = |at: &u32| list.lanes[*at as usize].replica.iter().eq(replica.iter().copied());
        if let Some(same) = before.filter(is_same) {
            return Ok(same);
        }
        let replica = Labels::from_sorted(replica.iter().copied());
        if let Some(known) = list.lane_numbers.get(&replica) {
            return Ok(*known);
        }
        // Its labels are in the list and in the map.
        list.held.grow(2 * replica.size_bytes() + size_of::<Lane>() + size_of::<(Labels, u32)>())?;
        let nameless = replica.is_empty() && !self.request.replica_labels.is_empty();
        let number = list.lanes.len() as u32;
        list.lane_numbers.insert(replica.clone(), number);
        list.lanes.push(Lane { replica, store: nameless.then(|| self.store.id.clone()) });
        Ok(number)
    }
}

/// Calls `push` with the pairs of both lists, which ascend by name, in their order; of equal names the external one
/// counts. Empty values are left out.
pub(crate) fn merge<'a>(
    own: &[(&'a str, &'a str)],
    external: &[(&'a str, &'a str)],
    mut push: impl FnMut(&'a str, &'a str),
) {
    let mut external = external.iter().peekable();
    for (name, value) in own {
        let mut hidden = false;
        while let Some((other, value)) = external.next_if(|(other, _)| other <= name) {
            hidden |= other == name;
            push(other, value);
        }
        if !hidden && !value.is_empty() {
            push(name, value);
        }
    }
    external.for_each(|(name, value)| push(name, value));
}
