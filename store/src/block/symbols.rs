//! The symbols of an index: every label name and value of the block, once.

use super::cursor::Cursor;

/// All symbols in one text, with their ends.
///
/// Invariant: ends ascend and lie on character borders, so that looking up costs a slice.
pub(crate) struct Symbols {
    text: String,
    ends: Vec<u32>,
    /// Version 1 refers to symbols by their offset in the file.
    offsets: Option<Vec<u64>>,
    /// Whether they ascend, as they should, so that references compare as the texts do.
    ascend: bool,
}

impl Symbols {
    /// Reads the content of the section, count first. `start` is its offset in the file if the index is of version 1.
    /// None where the bytes break the format, or a symbol is no UTF-8.
    pub(crate) fn parse(content: &[u8], start: Option<u64>) -> Option<Self> {
        let mut cursor = Cursor::new(content);
        let count = cursor.be32()? as usize;
        // A symbol takes a byte at least, so that no count makes this larger than the section.
        if count > cursor.rest.len() {
            return None;
        }
        let mut text = Vec::with_capacity(content.len());
        let mut ends = Vec::with_capacity(count);
        let mut offsets = start.map(|_| Vec::with_capacity(count));
        for _ in 0..count {
            if let (Some(offsets), Some(start)) = (&mut offsets, start) {
                offsets.push(start + (content.len() - cursor.rest.len()) as u64);
            }
            let length = usize::try_from(cursor.uvarint()?).ok()?;
            text.extend_from_slice(cursor.take(length)?);
            ends.push(u32::try_from(text.len()).ok()?);
        }
        let mut text = String::from_utf8(text).ok()?;
        text.shrink_to_fit();
        if !ends.iter().all(|end| text.is_char_boundary(*end as usize)) {
            return None;
        }
        let mut symbols = Self { text, ends, offsets, ascend: false };
        symbols.ascend = (1..count).all(|at| symbols.at(at - 1) < symbols.at(at));
        Some(symbols)
    }

    /// The symbol to which a series entry refers.
    #[inline]
    pub(crate) fn get(&self, reference: u64) -> Option<&str> {
        let at = match &self.offsets {
            None => usize::try_from(reference).ok()?,
            Some(offsets) => offsets.binary_search(&reference).ok()?,
        };
        self.at(at)
    }

    /// Whether the symbol of reference `a` comes before that of `b`, which are the texts `a_text` and `b_text`.
    #[inline]
    pub(crate) fn before(&self, (a, a_text): (u64, &str), (b, b_text): (u64, &str)) -> bool {
        if self.ascend { a < b } else { a_text < b_text }
    }

    #[inline]
    fn at(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)? as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        self.text.get(start..end)
    }

    /// Bytes it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 4 + self.offsets.as_ref().map_or(0, |o| o.capacity() * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_find_their_symbols() {
        let content = b"\0\0\0\x03\0\x01a\x02\xc3\xbc";
        let second = Symbols::parse(content, None).unwrap();
        assert_eq!([0, 1, 2, 3].map(|r| second.get(r)), [Some(""), Some("a"), Some("ü"), None]);
        let first = Symbols::parse(content, Some(9)).unwrap();
        assert_eq!([13, 14, 16, 15].map(|r| first.get(r)), [Some(""), Some("a"), Some("ü"), None]);
        assert!(Symbols::parse(b"\xff\xff\xff\xff\0", None).is_none());
        assert!(Symbols::parse(b"\0\0\0\x02\x01\xc3\x01\xbc", None).is_none(), "half a character each");
    }
}
