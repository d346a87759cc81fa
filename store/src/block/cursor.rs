//! Reading the byte-wise primitives of index, tombstones and segments. Everything ends as `None` where the bytes end.

/// The bytes not read yet.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn be32(&mut self) -> Option<u32> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*head))
    }

    pub(crate) fn be64(&mut self) -> Option<u64> {
        let (head, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_be_bytes(*head))
    }

    /// Little groups of seven bits, at most ten bytes; bits beyond the 64th are an error.
    #[inline]
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let first = self.u8()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<i64> {
        let value = self.uvarint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A text behind its length; None also where it is no UTF-8.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.uvarint()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

/// Appends what [`Cursor::uvarint`] reads.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends what [`Cursor::varint`] reads.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends what [`Cursor::text`] reads.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            put_varint(&mut out, value as i64);
            let mut cursor = Cursor::new(&out);
            assert_eq!((cursor.uvarint(), cursor.varint()), (Some(value), Some(value as i64)));
            assert!(cursor.rest.is_empty());
            for end in 0..out.len() {
                let mut cut = Cursor::new(&out[..end]);
                let _ = (cut.uvarint(), cut.varint());
            }
        }
        assert_eq!(Cursor::new(&[0xff; 10]).uvarint(), None);
        assert_eq!(Cursor::new(&[5, b'a']).text(), None);
        assert_eq!(Cursor::new(&[1, 0xff]).text(), None);
    }
}
