//! Bits in the order of chunks: the most significant bit of each byte first. Not for whole bytes: `bytes` does those.

/// A view on the bits of a slice, read by position. Bits beyond the end are 0, so that a reader loads without a check a
/// field and compares its position with [`Bits::len`] at the end.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a>(&'a [u8]);

/// Bits of [`Bits::window`] that are surely filled, whatever the position within its first byte.
pub(crate) const WINDOW: u32 = 57;

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Number of bits.
    pub(crate) fn len(self) -> usize {
        self.0.len() * 8
    }

    /// The bits from `at` on, at least [`WINDOW`] of them, the first one topmost.
    #[inline(always)]
    pub(crate) fn window(self, at: usize) -> u64 {
        let byte = at >> 3;
        // One comparison only: `byte + 8` cannot overflow.
        let word = match self.0.get(byte..byte + 8).and_then(<[u8]>::first_chunk) {
            Some(eight) => u64::from_be_bytes(*eight),
            None => tail(self.0.get(byte..).unwrap_or_default()),
        };
        word << (at & 7)
    }

    /// `count` bits (1 to 64) from `at` on, right-aligned.
    #[inline(always)]
    pub(crate) fn get(self, at: usize, count: u32) -> u64 {
        debug_assert!((1..=64).contains(&count), "a field of {count} bits");
        if count <= WINDOW {
            self.window(at) >> (64 - count)
        } else {
            let high = self.window(at) >> 32;
            let low = self.window(at + 32) >> 32;
            (high << 32 | low) >> (64 - count)
        }
    }

    /// An unsigned LEB128 number that begins at bit `at`, and the position behind it. None if it has more than ten
    /// bytes, more than 64 bits, or runs past the end.
    pub(crate) fn uvarint(self, mut at: usize) -> Option<(u64, usize)> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.get(at, 8);
            at += 8;
            if at > self.len() || (shift == 63 && byte > 1) {
                return None;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value, at));
            }
        }
        None
    }
}

/// Prefix and width of the number behind 0 to 8 leading ones (chunks.md 1, "varbit"; tsdb/chunkenc/varbit.go).
const VARBITS: [(u32, u32); 9] = [(1, 0), (2, 3), (3, 6), (4, 9), (5, 12), (6, 18), (7, 25), (8, 56), (8, 64)];

impl Bits<'_> {
    /// A number of variable width at bit `at`, unsigned: its width, itself, and the position behind it.
    #[inline(always)]
    fn varbit(self, at: usize) -> (u32, u64, usize) {
        let ahead = self.window(at);
        if ahead >> 63 == 0 {
            return (0, 0, at + 1);
        }
        let (prefix, width) = VARBITS[ahead.leading_ones().min(8) as usize];
        let raw = if prefix + width <= WINDOW {
            ahead << prefix >> (64 - width)
        } else {
            self.get(at + prefix as usize, width)
        };
        (width, raw, at + (prefix + width) as usize)
    }

    /// An unsigned number of variable width at bit `at`, and the position behind it, which may lie past the end.
    #[inline(always)]
    pub(crate) fn varbit_uint(self, at: usize) -> (u64, usize) {
        let (_, raw, next) = self.varbit(at);
        (raw, next)
    }

    /// A signed number of variable width at bit `at`, and the position behind it, which may lie past the end. Half of
    /// the range itself counts as positive.
    #[inline(always)]
    pub(crate) fn varbit_int(self, at: usize) -> (i64, usize) {
        let (width, raw, next) = self.varbit(at);
        let is_negative = (1..64).contains(&width) && raw > 1 << (width - 1);
        let value = if is_negative { raw as i64 - (1 << width) } else { raw as i64 };
        (value, next)
    }
}

/// Fewer than eight bytes as the top of a word.
#[cold]
fn tail(rest: &[u8]) -> u64 {
    rest.iter().zip((0..64).step_by(8)).fold(0, |word, (byte, shift)| word | u64::from(*byte) << (56 - shift))
}

/// The signed number that zigzag coding made of it.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Writes bits; the last byte is filled up with zeros.
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not in `bytes` yet, topmost first.
    pending: u64,
    /// How many they are, less than 8.
    count: u32,
}

impl BitWriter {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0 }
    }

    /// Appends the low `count` bits (1 to 64) of `value`.
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        debug_assert!((1..=64).contains(&count), "a field of {count} bits");
        if count > 32 {
            self.put_short(value >> 32, count - 32);
            self.put_short(value, 32);
        } else {
            self.put_short(value, count);
        }
    }

    fn put_short(&mut self, value: u64, count: u32) {
        self.pending |= value << (64 - count) >> self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push((self.pending >> 56) as u8);
            self.pending <<= 8;
            self.count -= 8;
        }
    }

    pub(crate) fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    pub(crate) fn put_varint(&mut self, value: i64) {
        self.put_uvarint((value << 1 ^ value >> 63) as u64);
    }

    /// An unsigned number of variable width, the smallest that holds it.
    pub(crate) fn put_varbit_uint(&mut self, value: u64) {
        self.put_varbit(value, |width| value < 1 << width);
    }

    /// A signed number of variable width, the smallest that holds it.
    pub(crate) fn put_varbit_int(&mut self, value: i64) {
        self.put_varbit(value as u64, |width| (-(1 << (width - 1)) < value) && value <= 1 << (width - 1));
    }

    fn put_varbit(&mut self, value: u64, fits: impl Fn(u32) -> bool) {
        if value == 0 {
            return self.put(0, 1);
        }
        let ones = (1..8).find(|ones| fits(VARBITS[*ones].1)).unwrap_or(8);
        let (prefix, width) = VARBITS[ones];
        // As many ones as say the width, and a zero where they are fewer than eight.
        self.put(((1 << ones) - 1) << (prefix - ones as u32), prefix);
        self.put(value, width);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push((self.pending >> 56) as u8);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn fields_of_any_width_come_back() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let fields: Vec<(u64, u32)> = (0..200)
                .map(|_| {
                    let count = 1 + random.below(64) as u32;
                    (random.next() >> (64 - count), count)
                })
                .collect();
            let mut writer = BitWriter::new(Vec::new());
            for (value, count) in &fields {
                writer.put(*value, *count);
            }
            let bytes = writer.finish();
            let bits = Bits::new(&bytes);
            let mut at = 0;
            for (value, count) in fields {
                assert_eq!(bits.get(at, count), value, "seed {seed}, bit {at}, {count} bits");
                at += count as usize;
            }
            assert_eq!(bytes.len(), at.div_ceil(8), "seed {seed}");
        }
    }

    #[test]
    fn varints_come_back_at_any_bit() {
        for (value, start) in [0, 1, -1, 63, -64, 64, 1_700_000_000_000, i64::MAX, i64::MIN].into_iter().zip(1..) {
            let mut writer = BitWriter::new(Vec::new());
            writer.put(1, start);
            writer.put_varint(value);
            let bytes = writer.finish();
            let (read, _) = Bits::new(&bytes).uvarint(start as usize).expect("a whole number");
            assert_eq!(unzigzag(read), value);
        }
    }

    #[test]
    fn numbers_of_variable_width_come_back() {
        let edges = (0..64).flat_map(|bit| [-1, 0, 1].map(|by| (1_i64 << bit).wrapping_add(by)));
        for value in edges.flat_map(|value| [value, value.wrapping_neg()]) {
            for start in 1..8 {
                let mut writer = BitWriter::new(Vec::new());
                writer.put(1, start);
                writer.put_varbit_int(value);
                writer.put_varbit_uint(value as u64);
                let bytes = writer.finish();
                let (signed, at) = Bits::new(&bytes).varbit_int(start as usize);
                let (unsigned, end) = Bits::new(&bytes).varbit_uint(at);
                assert_eq!((signed, unsigned, end.div_ceil(8)), (value, value as u64, bytes.len()));
            }
        }
        // Three bits hold -3 to 4 (chunks.md 1).
        for (value, bits) in [(0, 1), (4, 5), (-3, 5), (-4, 9), (5, 9), (1 << 55, 64), (1 << 55 | 1, 72)] {
            let mut writer = BitWriter::new(Vec::new());
            writer.put_varbit_int(value);
            assert_eq!(Bits::new(&writer.finish()).varbit_int(0), (value, bits));
        }
    }

    #[test]
    fn bad_varints_are_refused() {
        assert_eq!(Bits::new(&[]).uvarint(0), None);
        assert_eq!(Bits::new(&[0x80]).uvarint(0), None);
        assert_eq!(Bits::new(&[0xff; 11]).uvarint(0), None);
        assert_eq!(Bits::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).uvarint(0), None);
        assert_eq!(Bits::new(&[1]).uvarint(usize::MAX / 2), None);
    }
}
