//! Label sets: the identity of a series.
//!
//! One immutable buffer a set, so that a clone is a reference count, equality and hash are those of the bytes, and a
//! series of eight labels costs one allocation. The buffer is valid UTF-8 as a whole (lengths are written in ASCII), so
//! no access needs an unchecked conversion.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the upper bound of a classic histogram bucket.
pub const BUCKET_LABEL: &str = "le";

/// Longest name or value in bytes; Prometheus' own representation ends at 2^24 as well.
pub const LENGTH_MAX: usize = (1 << 24) - 1;

/// Lengths below this take one byte.
const SHORT: usize = 0x7f;

/// Sorted, unique label pairs without empty values, in one length-prefixed buffer.
///
/// Invariant: ascending by name (bytes), names unique, no value is empty. The order of two sets is that of Prometheus'
/// `labels.Compare`: pair by pair, name before value, as bytes; a proper prefix comes first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Builds a set from pairs in any order. Of several pairs with one name the last one counts; empty values are left
    /// out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        // A stable sort: of equal names the last one stays the last.
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let counts = |i: &usize| pairs.get(i + 1).is_none_or(|next| next.0.as_ref() != pairs[*i].0.as_ref());
        let kept = (0..pairs.len()).filter(counts);
        Self::from_sorted(kept.map(|i| (pairs[i].0.as_ref(), pairs[i].1.as_ref())))
    }

    /// Builds a set from pairs that ascend by name and are unique already. Empty values are left out.
    ///
    /// Names and values longer than [`LENGTH_MAX`] are cut at a character border: callers that read foreign bytes
    /// refuse them.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::from_sorted_in(&mut String::with_capacity(128), pairs)
    }

    /// As [`from_sorted`](Self::from_sorted), with a buffer that is kept from set to set.
    pub fn from_sorted_in<'a>(scratch: &mut String, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        scratch.clear();
        let mut previous: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(previous.is_none_or(|p| p < name), "labels out of order: {previous:?} before {name:?}");
            previous = Some(name);
            if !value.is_empty() {
                push(scratch, name);
                push(scratch, value);
            }
        }
        Self(Arc::from(scratch.as_str()))
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (have, value) in self.iter() {
            match have.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of `name`, or the empty string, which to PromQL is the same as absent.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.value(METRIC_NAME)
    }

    /// All pairs, ascending by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the buffer, for accounting.
    pub fn size_bytes(&self) -> usize {
        // Buffer, reference counts and the fat pointer.
        self.0.len() + 32
    }

    /// The set without the named labels.
    pub fn without<S: AsRef<str>>(&self, names: &[S]) -> Labels {
        if !self.iter().any(|(name, _)| contains(names, name)) {
            return self.clone();
        }
        Self::from_sorted(self.iter().filter(|(name, _)| !contains(names, name)))
    }

    /// The set of the named labels only.
    pub fn only<S: AsRef<str>>(&self, names: &[S]) -> Labels {
        Self::from_sorted(self.iter().filter(|(name, _)| contains(names, name)))
    }

    /// What `grouping` keeps of this set.
    pub fn project(&self, grouping: &Grouping) -> Labels {
        Self::from_sorted(self.kept(grouping))
    }

    /// Hash of what `grouping` keeps, without building the set: the group key and the join key.
    pub fn hash_by(&self, grouping: &Grouping) -> u64 {
        let mut hash = xxhash_rust::xxh64::Xxh64::new(0);
        for (name, value) in self.kept(grouping) {
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
            hash.update(value.as_bytes());
            hash.update(&[0xff]);
        }
        hash.digest()
    }

    /// Whether both sets keep the same pairs under `grouping`.
    pub fn equal_by(&self, other: &Labels, grouping: &Grouping) -> bool {
        self.kept(grouping).eq(other.kept(grouping))
    }

    /// The pairs that `grouping` keeps.
    fn kept<'a>(&'a self, grouping: &'a Grouping) -> impl Iterator<Item = (&'a str, &'a str)> {
        let keeps_none = matches!(grouping, Grouping::By(names) if names.is_empty());
        let pairs = Iter { rest: if keeps_none { "" } else { &self.0 } };
        pairs.filter(|(name, _)| grouping.keeps(name))
    }

    /// `labels.Hash()` of a default Prometheus build (tag `stringlabels`, model/labels/labels_stringlabels.go):
    /// xxhash64 over each name and value behind its length, one byte, or 0xff and three bytes little-endian from 255
    /// on. `limit_ratio` chooses series by it.
    pub fn prometheus_hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.0.len() + 8);
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            match u8::try_from(text.len()) {
                Ok(short) if short < 255 => bytes.push(short),
                _ => {
                    bytes.push(0xff);
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
        xxhash_rust::xxh64::xxh64(&bytes, 0)
    }
}

fn contains<S: AsRef<str>>(names: &[S], name: &str) -> bool {
    names.iter().any(|n| n.as_ref() == name)
}

/// Appends `text` behind its length: one ASCII byte, or 0x7f and four bytes of six bits, so that the buffer stays
/// UTF-8.
fn push(buffer: &mut String, text: &str) {
    let mut length = text.len().min(LENGTH_MAX);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    if length < SHORT {
        buffer.push(length as u8 as char);
    } else {
        buffer.push(SHORT as u8 as char);
        for shift in [18, 12, 6, 0] {
            buffer.push(((length >> shift) & 0x3f) as u8 as char);
        }
    }
    buffer.push_str(&text[..length]);
}

/// Pairs of a [`Labels`], ascending by name.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iter<'a> {
    fn text(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (head, length) = text_at(self.rest.as_bytes());
        let (text, rest) = self.rest[head..].split_at(length);
        self.rest = rest;
        Some(text)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.text()?, self.text()?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        let Some(differs) = first_difference(a, b) else { return a.len().cmp(&b.len()) };
        // The text in which the buffers part begins at the same place in both; before it, lengths are the same too.
        let mut start = 0;
        loop {
            let (head, length) = text_at(&a[start..]);
            let next = start + head + length;
            if differs < start + head {
                // The lengths differ, so the texts may part anywhere, or one goes on where the other ends.
                let (other_head, other_length) = text_at(&b[start..]);
                return a[start + head..next].cmp(&b[start + other_head..start + other_head + other_length]);
            }
            if differs < next {
                return a[differs].cmp(&b[differs]);
            }
            start = next;
        }
    }
}

/// Where two buffers differ first; None if one is the begin of the other.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let ((a_words, _), (b_words, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let same = a_words.iter().zip(b_words).take_while(|(a, b)| a == b).count() * 8;
    a[same..].iter().zip(&b[same..]).position(|(a, b)| a != b).map(|at| same + at)
}

/// Bytes of the length, and the length, of the text at the begin of a buffer.
fn text_at(bytes: &[u8]) -> (usize, usize) {
    match usize::from(bytes[0]) {
        short if short < SHORT => (1, short),
        _ => (5, bytes[1..5].iter().fold(0, |sum, b| (sum << 6) | usize::from(*b))),
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

/// `{a="b", c="d"}`, values quoted as Go's `strconv.Quote` does (labels.Labels.String). Error texts use it.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&quote(name))?;
            }
            write!(f, "={}", quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether `name` is a label name of the legacy syntax, `[a-zA-Z_][a-zA-Z0-9_]*`, which needs no quotes.
pub fn is_legacy_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// `text` in double quotes as Go's `strconv.Quote` writes it.
pub fn quote(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            c if (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_print(c) => out.push(c),
            c if (c as u32) < 0x10000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
    out
}

/// Go's `strconv.IsPrint` for characters beyond ASCII, by way of Rust's escapes, which spare the same graphic
/// characters; of the spaces Go prints U+0020 only.
fn is_print(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && c.escape_debug().count() == 1 || is_combining(c)
}

/// Combining marks print as they are in Go, while Rust's debug form escapes them.
fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20f0}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

/// Which labels an aggregation or a vector match keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// Only the named ones.
    By(Vec<Box<str>>),
    /// All but the named ones. The metric name goes only if it is named.
    Without(Vec<Box<str>>),
}

impl Grouping {
    /// Whether a label of this name stays.
    pub fn keeps(&self, name: &str) -> bool {
        match self {
            Grouping::By(names) => contains(names, name),
            Grouping::Without(names) => !contains(names, name),
        }
    }
}

/// Changes to a [`Labels`], applied at once by [`LabelsBuilder::build`].
#[derive(Debug, Clone)]
pub struct LabelsBuilder {
    /// Ascending by name, unique.
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Starts from an existing set.
    pub fn new(base: &Labels) -> Self {
        Self { pairs: base.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// Sets `name`; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(have, _)| (**have).cmp(name)) {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => self.pairs[at].1 = value.into(),
            Err(_) if value.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.into(), value.into())),
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value of `name` as it stands now, or the empty string.
    pub fn value(&self, name: &str) -> &str {
        match self.pairs.binary_search_by(|(have, _)| (**have).cmp(name)) {
            Ok(at) => &self.pairs[at].1,
            Err(_) => "",
        }
    }

    /// The changed set.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (&**n, &**v)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn pairs_come_back_sorted_without_empty_values() {
        let labels = set(&[("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(set(&[("a", "1"), ("b", "2"), ("a", "")]), set(&[("b", "2")]));
        // However many there are, and in whatever order: a peer's facts hold what the peer likes.
        let names: Vec<String> = (0..300_000).rev().map(|i| format!("{i:06}")).collect();
        let many = Labels::from_pairs(names.iter().map(|name| (name, "x")));
        assert!(many.iter().map(|(name, _)| name).eq(names.iter().rev()));
    }

    #[test]
    fn long_names_and_values_survive() {
        for length in [0x7e, 0x7f, 0x80, 0xfe, 0xff, 70_000] {
            let value = "ü".repeat(length / 2);
            let labels = set(&[("a", value.as_str()), ("b", "x")]);
            assert_eq!(labels.value("a"), value);
            assert_eq!(labels.value("b"), "x");
        }
    }

    #[test]
    fn order_is_pair_by_pair() {
        // labels.Compare: a proper prefix first, then name before value; the length prefix must not decide.
        let ascending = [
            set(&[]),
            set(&[("a", "1")]),
            set(&[("a", "1"), ("b", "0")]),
            set(&[("a", "10")]),
            set(&[("a", "2")]),
            set(&[("aa", "1")]),
            set(&[("b", "0")]),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn order_is_that_of_the_pairs_whatever_their_lengths() {
        let mut random = crate::testing::Random::new(1);
        let texts = ["", "a", "b", "ab", "aé", "a\u{1}", "a\u{7f}"].map(str::to_owned);
        let long = [126, 127, 128, 200, 4_095, 4_160].map(|length| "a".repeat(length));
        let texts: Vec<String> = texts.into_iter().chain(long).collect();
        let mut set = || {
            let pairs = (0..random.below(4)).map(|_| {
                let name = texts[1 + random.below(texts.len() - 1)].clone();
                (name, texts[random.below(texts.len())].clone())
            });
            Labels::from_pairs(pairs.collect::<Vec<_>>())
        };
        let sets: Vec<Labels> = (0..300).map(|_| set()).collect();
        for a in &sets {
            for b in &sets {
                assert_eq!(a.cmp(b), a.iter().cmp(b.iter()), "{a} {b}");
            }
        }
    }

    #[test]
    fn projections_agree_with_their_hash() {
        let a = set(&[("job", "api"), ("instance", "x"), ("zone", "1")]);
        let b = set(&[("job", "api"), ("instance", "y"), ("zone", "1")]);
        let by = Grouping::By(vec!["job".into(), "zone".into()]);
        let without = Grouping::Without(vec!["instance".into()]);
        for grouping in [by, without] {
            assert_eq!(a.hash_by(&grouping), b.hash_by(&grouping));
            assert!(a.equal_by(&b, &grouping));
            assert_eq!(a.project(&grouping), set(&[("job", "api"), ("zone", "1")]));
        }
    }

    #[test]
    fn display_quotes_as_go_does() {
        let labels = set(&[("__name__", "up"), ("a b", "x\n\"\\\u{7f}é\u{a0}")]);
        assert_eq!(labels.to_string(), r#"{__name__="up", "a b"="x\n\"\\\x7fé\u00a0"}"#);
    }
}
