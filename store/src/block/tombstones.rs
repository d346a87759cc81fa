//! Tombstones of a Prometheus data directory: which times of which series were deleted. Buckets have none.

use super::cursor::Cursor;
use super::index::checked;
use crate::error::StoreError;
use crate::series::Millis;

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;

/// Larger files are no tombstones: a deletion writes some 20 bytes a series.
pub(crate) const TOMBSTONES_BYTES_MAX: u64 = 256 << 20;

/// The file of a block from which nothing was deleted.
pub(crate) fn empty_file() -> Vec<u8> {
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.push(VERSION);
    out.extend(crc32c::crc32c(&[]).to_be_bytes());
    out
}

/// Memory that a byte of the file takes at most while it is read: entries of three bytes, in a list that doubles.
pub(crate) const BYTES_A_BYTE: usize = 2 * size_of::<Deleted>() / 3;

/// Times of a series that were deleted, both ends inclusive, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deleted {
    /// Its reference.
    series: u64,
    start: Millis,
    end: Millis,
}

/// Deleted times.
///
/// Invariant: ascending by series; those of a series ascend and do not touch.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tombstones(Vec<Deleted>);

/// What is left of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    All,
    Part,
    Nothing,
}

impl Tombstones {
    /// Reads a `tombstones` file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::corrupt(format!("read tombstones: {why}"));
        let mut cursor = Cursor::new(bytes);
        if cursor.be32() != Some(MAGIC) {
            return Err(bad("they do not begin as tombstones do"));
        }
        if cursor.u8() != Some(VERSION) {
            return Err(bad("their version is not known"));
        }
        let mut cursor = Cursor::new(checked(cursor.rest).ok_or_else(|| bad("checksum does not fit"))?);
        let mut all = Vec::new();
        while !cursor.rest.is_empty() {
            let mut next = || Some((cursor.uvarint()?, cursor.varint()?, cursor.varint()?));
            let (series, start, end) = next().ok_or_else(|| bad("an entry is damaged"))?;
            if start <= end {
                all.push(Deleted { series, start, end });
            }
        }
        all.sort_unstable();
        all.dedup_by(|next, last| {
            let joins = next.series == last.series && next.start <= last.end.saturating_add(1);
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        all.shrink_to_fit();
        Ok(Self(all))
    }

    /// Bytes they hold.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Deleted>()
    }

    /// Whether nothing was deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The deleted times of a series.
    pub(crate) fn of(&self, series: u32) -> &[Deleted] {
        let series = u64::from(series);
        let rest = &self.0[self.0.partition_point(|deleted| deleted.series < series)..];
        &rest[..rest.partition_point(|deleted| deleted.series == series)]
    }
}

/// What `deleted` leaves of a chunk from `start` to `end`, both inclusive.
pub(crate) fn left_of(deleted: &[Deleted], start: Millis, end: Millis) -> Left {
    let after = &deleted[deleted.partition_point(|interval| interval.end < start)..];
    match after.first() {
        Some(first) if first.start <= start && end <= first.end => Left::Nothing,
        Some(first) if first.start <= end => Left::Part,
        _ => Left::All,
    }
}

/// Whether `time` was deleted.
pub(crate) fn is_deleted(deleted: &[Deleted], time: Millis) -> bool {
    left_of(deleted, time, time) == Left::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::cursor::{put_uvarint, put_varint};

    fn file(entries: &[(u64, i64, i64)]) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        let mut content = Vec::new();
        for (series, start, end) in entries {
            put_uvarint(&mut content, *series);
            put_varint(&mut content, *start);
            put_varint(&mut content, *end);
        }
        out.extend(&content);
        out.extend(crc32c::crc32c(&content).to_be_bytes());
        out
    }

    #[test]
    fn intervals_that_touch_are_one_and_a_chunk_knows_what_is_left() {
        let bytes = file(&[(7, 10, 20), (3, -5, 5), (7, 21, 30), (7, 50, 60), (7, 15, 18)]);
        let tombstones = Tombstones::parse(&bytes).unwrap();
        let of = |series| tombstones.of(series).iter().map(|deleted| (deleted.start, deleted.end)).collect::<Vec<_>>();
        assert_eq!((of(3), of(7), of(8)), (vec![(-5, 5)], vec![(10, 30), (50, 60)], vec![]));
        let cases = [
            (0, 9, Left::All),
            (0, 10, Left::Part),
            (10, 30, Left::Nothing),
            (11, 31, Left::Part),
            (31, 49, Left::All),
            (31, 50, Left::Part),
            (60, 60, Left::Nothing),
            (61, 99, Left::All),
        ];
        for (start, end, left) in cases {
            assert_eq!(left_of(tombstones.of(7), start, end), left, "{start}..{end}");
        }
        assert!(is_deleted(tombstones.of(3), 5) && !is_deleted(tombstones.of(3), 6));
        assert!(tombstones.of(4).is_empty());
        assert_eq!(empty_file().len(), 9);
        assert!(Tombstones::parse(&empty_file()).unwrap().is_empty());
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let bytes = file(&[(7, 10, 20), (3, -5, 5)]);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(Tombstones::parse(&bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(Tombstones::parse(&bytes[..at]).is_err());
        }
    }
}
