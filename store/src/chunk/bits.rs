//! Bits in the order of chunks: the most significant bit of each byte first. Not for whole bytes: `bytes` does those.

/// A view on the bits of a slice, read by position. Bits beyond the end are 0, so that a reader loads without a check a field
/// and compares its position with [`Bits::len`] at the end.
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

    /// An unsigned LEB128 number that begins at bit `at`, and the position behind it. None if it has more than ten bytes, more
    /// than 64 bits, or runs past the end.
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
    fn bad_varints_are_refused() {
        assert_eq!(Bits::new(&[]).uvarint(0), None);
        assert_eq!(Bits::new(&[0x80]).uvarint(0), None);
        assert_eq!(Bits::new(&[0xff; 11]).uvarint(0), None);
        assert_eq!(Bits::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).uvarint(0), None);
        assert_eq!(Bits::new(&[1]).uvarint(usize::MAX / 2), None);
    }
}
