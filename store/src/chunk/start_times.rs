//! Start timestamps within chunks of the encodings 4 to 6 (chunks.md 5; tsdb/chunkenc/st.go).

use super::bits::{BitWriter, Bits, unzigzag};
use crate::series::Millis;

/// Set in the head where the first sample carries a start timestamp.
const FIRST: u8 = 0x80;

/// The rest of the head: which sample carries the first one behind that; a writer begins there at the latest.
const CHANGE: u8 = 0x7f;

/// Reads the start timestamps of a chunk, sample by sample.
#[derive(Clone, Copy)]
pub(super) struct StartTimes {
    first: bool,
    /// Index of the first sample behind the first that carries one; never reached where none does.
    changes_at: usize,
    /// That of the sample that was read last, 0 where unknown.
    pub(super) start: Millis,
    /// From it to the time of the sample before.
    distance: i64,
}

impl StartTimes {
    /// Before the first sample of a chunk whose head for start timestamps is `head`.
    pub(super) fn new(head: u8) -> Self {
        let changes_at = match head & CHANGE {
            0 => usize::MAX,
            index => usize::from(index),
        };
        Self { first: head & FIRST != 0, changes_at, start: 0, distance: 0 }
    }

    /// Whether samples behind the first carry any.
    pub(super) fn changes(&self) -> bool {
        self.changes_at < usize::MAX
    }

    /// Reads what the first sample carries at bit `at`; gives the position behind it, None for bytes that are no
    /// number.
    pub(super) fn read_first(&mut self, bits: Bits<'_>, at: usize, time: Millis) -> Option<usize> {
        if !self.first {
            return Some(at);
        }
        let (raw, next) = bits.uvarint(at)?;
        self.start = time.wrapping_sub(unzigzag(raw));
        Some(next)
    }

    /// Reads what sample `index`, which is not the first, carries at bit `at`; `before` is the time of the sample
    /// before.
    #[inline(always)]
    pub(super) fn read(&mut self, bits: Bits<'_>, at: usize, index: usize, before: Millis) -> usize {
        if index < self.changes_at {
            return at;
        }
        let (number, next) = bits.varbit_int(at);
        self.distance = if index == self.changes_at { number } else { self.distance.wrapping_add(number) };
        self.start = before.wrapping_sub(self.distance);
        next
    }
}

/// Writes the start timestamps of a chunk, sample by sample.
#[derive(Default)]
pub(super) struct StartTimesWriter {
    /// The head, once all samples are written.
    pub(super) head: u8,
    start: Millis,
    distance: i64,
}

impl StartTimesWriter {
    /// Writes that of sample `index` behind its value; `time` is its own time, `before` that of the sample before.
    pub(super) fn put(&mut self, out: &mut BitWriter, index: usize, (before, time): (Millis, Millis), start: Millis) {
        let distance = before.wrapping_sub(start);
        if index == 0 {
            if start != 0 {
                self.head = FIRST;
                out.put_varint(time.wrapping_sub(start));
            }
        } else if self.head & CHANGE != 0 {
            out.put_varbit_int(distance.wrapping_sub(self.distance));
        } else if start != self.start || index == usize::from(CHANGE) {
            // Not later than at the greatest index that the head holds.
            self.head |= index as u8 & CHANGE;
            out.put_varbit_int(distance);
        }
        self.distance = distance;
        self.start = start;
    }
}
