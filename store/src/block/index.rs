//! The index of a block: head, table of contents, symbols, sampled postings offset table. Everything that is read once
//! and kept; series and postings are read when they are asked for.
//!
//! Versions 1, 2 and 3 are read, the last one as 2, as Prometheus does (tsdb/index/index.go, `newReader`).

use std::ops::Range;

use bytes::Bytes;

use super::cursor::Cursor;
use super::symbols::Symbols;
use super::table::{List, Stretch, Table};
use crate::bucket::{Bucket, Object, Purpose};
use crate::budget::{Budget, Reservation};
use crate::error::StoreError;

/// First bytes of an index.
pub(crate) const MAGIC: u32 = 0xBAAA_D700;
/// Magic and version.
pub(crate) const HEAD_BYTES: u64 = 5;
/// The table of contents, at the end of the file, checksum included.
pub(crate) const TOC_BYTES: u64 = 52;
/// Series entries of version 2 begin at multiples of this, and are named by the quotient.
pub(crate) const SERIES_ALIGN: u64 = 16;

/// The parts of an index that are kept.
pub(crate) struct Index {
    pub(crate) object: Object,
    pub(crate) symbols: Symbols,
    /// Where the series entries lie.
    pub(crate) series: Range<u64>,
    table: Table,
    /// The sorted table of version 1, to which its stretches refer in place of the file.
    sorted: Option<Bytes>,
    /// Bytes from one series reference to the next.
    align: u64,
    _held: Reservation,
}

/// Offsets of the sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Toc {
    symbols: u64,
    series: u64,
    label_indices: u64,
    label_index_table: u64,
    postings: u64,
    postings_table: u64,
}

impl Toc {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(checked(bytes)?);
        let mut next = || cursor.be64();
        Some(Self {
            symbols: next()?,
            series: next()?,
            label_indices: next()?,
            label_index_table: next()?,
            postings: next()?,
            postings_table: next()?,
        })
    }

    /// Where the section that begins at `start` ends at the latest.
    fn end_of(&self, start: u64, file_end: u64) -> u64 {
        let all =
            [self.symbols, self.series, self.label_indices, self.label_index_table, self.postings, self.postings_table];
        all.into_iter().filter(|offset| *offset > start).min().unwrap_or(file_end).min(file_end)
    }
}

/// The bytes before a CRC-32C at their end, if it fits.
pub(crate) fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(content) == u32::from_be_bytes(*sum)).then_some(content)
}

/// The content of a section: length, content, checksum, and whatever follows.
pub(crate) fn section(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(bytes);
    let length = cursor.be32()? as usize;
    checked(cursor.take(length.checked_add(4)?)?)
}

impl Index {
    /// Reads the parts that are kept, which are reserved in `budget`.
    pub(crate) async fn open(bucket: &Bucket, object: Object, budget: &Budget) -> Result<Self, StoreError> {
        let bad = |what: &str| StoreError::corrupt(format!("read index: {what}"));
        let Some(end) = object.size.checked_sub(TOC_BYTES).filter(|end| *end >= HEAD_BYTES) else {
            return Err(bad(&format!("{} bytes are too few for an index", object.size)));
        };
        let ranges = [0..HEAD_BYTES, end..object.size];
        let ends = bucket.read(&object, &ranges, Purpose::Data).await.map_err(|e| e.within("read index"))?;
        let [head, toc] = &ends[..] else { return Err(bad("its ends did not come")) };
        let mut head = Cursor::new(head);
        if head.be32() != Some(MAGIC) {
            return Err(bad("it does not begin as an index does"));
        }
        let first = match head.u8() {
            Some(1) => true,
            Some(2 | 3) => false,
            version => return Err(bad(&format!("version {} is not known", version.unwrap_or(0)))),
        };
        let toc = Toc::parse(toc).ok_or_else(|| bad("checksum of the table of contents does not fit"))?;

        let sections = [toc.symbols, toc.postings_table];
        let sections = sections.map(|start| start..toc.end_of(start, end));
        let bytes: u64 = sections.iter().map(|s| s.end.saturating_sub(s.start)).sum();
        // What is kept is never larger than what it is read from, but for the ends of very short symbols.
        let mut held = budget.reserve("the index of a block", bytes as usize)?;
        let read = bucket.read(&object, &sections, Purpose::Data).await.map_err(|e| e.within("read index"))?;
        let [symbols, table] = &read[..] else { return Err(bad("its sections did not come")) };

        let content = section(symbols).ok_or_else(|| bad("checksum of the symbols does not fit"))?;
        let start = first.then_some(toc.symbols + 4);
        let symbols = Symbols::parse(content, start).ok_or_else(|| bad("symbols are damaged"))?;
        let content = section(table).ok_or_else(|| bad("checksum of the postings offset table does not fit"))?;
        let damaged = || bad("postings offset table is damaged");
        let sorted = match first {
            true => Some(Bytes::from(super::table::sorted(content).ok_or_else(damaged)?)),
            false => None,
        };
        let lists_end = toc.end_of(toc.postings, end);
        let table = match &sorted {
            Some(sorted) => Table::parse(sorted, 0, lists_end),
            None => Table::parse(content, toc.postings_table + 4, lists_end),
        };
        let table = table.ok_or_else(damaged)?;
        let kept = symbols.size_bytes() + table.size_bytes() + sorted.as_ref().map_or(0, Bytes::len);
        held.grow(kept.saturating_sub(held.bytes()))?;
        held.shrink_to(kept);
        let series = toc.series..toc.end_of(toc.series, end);
        let align = if first { 1 } else { SERIES_ALIGN };
        Ok(Self { object, symbols, series, table, sorted, align, _held: held })
    }

    /// Label names, ascending.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.table.names()
    }

    /// Offset in the file of the series entry that postings name `reference`.
    pub(crate) fn series_offset(&self, reference: u32) -> u64 {
        u64::from(reference) * self.align
    }

    /// The postings lists of those of `values` (ascending, each once) that label `name` has.
    pub(crate) async fn lists_of(
        &self,
        bucket: &Bucket,
        budget: &Budget,
        name: &str,
        values: &[&str],
    ) -> Result<Vec<List>, StoreError> {
        let stretches = self.table.stretches_of(name, values);
        let mut lists = Vec::new();
        let wanted = |value: &str| values.binary_search(&value).is_ok();
        self.visit(bucket, budget, &stretches, |value, list| lists.extend(wanted(value).then_some(list))).await?;
        Ok(lists)
    }

    /// Calls `visit` with the values of label `name` that begin with `prefix`, ascending, and their postings lists.
    pub(crate) async fn values(
        &self,
        bucket: &Bucket,
        budget: &Budget,
        (name, prefix): (&str, &str),
        mut visit: impl FnMut(&str, List),
    ) -> Result<(), StoreError> {
        let Some(stretch) = self.table.stretch_from(name, prefix) else { return Ok(()) };
        let begins = |value: &str, list| {
            if value.starts_with(prefix) {
                visit(value, list);
            }
        };
        self.visit(bucket, budget, &[stretch], begins).await
    }

    async fn visit(
        &self,
        bucket: &Bucket,
        budget: &Budget,
        stretches: &[Stretch],
        mut visit: impl FnMut(&str, List),
    ) -> Result<(), StoreError> {
        let act = "read postings offsets";
        let ranges: Vec<Range<u64>> = stretches.iter().map(|s| s.range.clone()).collect();
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let _held = budget.reserve("postings offsets", bytes as usize)?;
        let read = match &self.sorted {
            Some(sorted) => ranges.iter().map(|r| sorted.slice(r.start as usize..r.end as usize)).collect(),
            None => bucket.read(&self.object, &ranges, Purpose::Lookup).await.map_err(|e| e.within(act))?,
        };
        for (stretch, bytes) in stretches.iter().zip(&read) {
            let visited = stretch.visit(bytes, &mut visit);
            visited.ok_or_else(|| StoreError::corrupt(format!("{act}: the table changed since it was checked")))?;
        }
        Ok(())
    }
}
