//! The postings offset table of an index, sampled: every label name, but only one in 32 of its values, is kept in
//! memory, as Prometheus does (tsdb/index, `symbolFactor`). What lies between is read again when it is asked for.

use std::ops::Range;

use super::cursor::Cursor;

/// One value in so many is kept.
const SAMPLING: usize = 32;

/// Label names with where their values are found.
pub(crate) struct Table {
    names: Vec<Name>,
    /// Where the last list ends at the latest.
    lists_end: u64,
}

struct Name {
    name: Box<str>,
    /// Ascending by value, at least one.
    samples: Vec<Sample>,
    /// The last value.
    last: Box<str>,
    /// End of the name's part of the table, offset in the file.
    end: u64,
}

struct Sample {
    value: Box<str>,
    /// Offset of the table entry in the file.
    entry: u64,
    /// Offset of the postings list in the file.
    list: u64,
}

/// Where a postings list lies in the file, length field and checksum included; the end may be too far by padding, and
/// in version 1 be any further list's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A part of the table between two samples, to be read from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) range: Range<u64>,
    /// Where the list begins that follows the last one of the stretch.
    next_list: u64,
}

/// An entry of the table.
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    list: u64,
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Option<Entry<'a>> {
    if cursor.uvarint()? != 2 {
        return None;
    }
    Some(Entry { name: cursor.text()?, value: cursor.text()?, list: cursor.uvarint()? })
}

impl Table {
    /// Reads the content of the section, count first, which lies at `start` in the file; the lists end at `lists_end`.
    /// None where the bytes break the format or names and values do not ascend.
    pub(crate) fn parse(content: &[u8], start: u64, lists_end: u64) -> Option<Self> {
        let mut cursor = Cursor::new(content);
        let count = cursor.be32()? as usize;
        let mut names: Vec<Name> = Vec::new();
        let mut since_sample = 0;
        let mut last = "";
        for _ in 0..count {
            let at = start + (content.len() - cursor.rest.len()) as u64;
            let entry = entry(&mut cursor)?;
            let sample = || Sample { value: entry.value.into(), entry: at, list: entry.list };
            match names.last_mut() {
                Some(name) if *name.name == *entry.name => {
                    if last >= entry.value {
                        return None;
                    }
                    since_sample += 1;
                    if since_sample == SAMPLING {
                        since_sample = 0;
                        name.samples.push(sample());
                    }
                }
                Some(name) if *name.name > *entry.name => return None,
                previous => {
                    if let Some(previous) = previous {
                        (previous.last, previous.end) = (last.into(), at);
                    }
                    since_sample = 0;
                    names.push(Name { name: entry.name.into(), samples: vec![sample()], last: "".into(), end: at });
                }
            }
            last = entry.value;
        }
        if let Some(name) = names.last_mut() {
            (name.last, name.end) = (last.into(), start + content.len() as u64);
        }
        cursor.rest.is_empty().then_some(Self { names, lists_end })
    }

    /// Label names, ascending.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &*name.name).filter(|name| !name.is_empty())
    }

    /// What must be read to find each of `values` of `name`; ascending, each once.
    pub(crate) fn stretches_of<S: AsRef<str>>(&self, name: &str, values: &[S]) -> Vec<Stretch> {
        let Some(at) = self.position(name) else { return Vec::new() };
        let name = &self.names[at];
        let inside = values.iter().map(AsRef::as_ref).filter(|v| *name.samples[0].value <= **v && **v <= *name.last);
        let mut samples: Vec<usize> =
            inside.map(|value| name.samples.partition_point(|s| *s.value <= *value) - 1).collect();
        samples.sort_unstable();
        samples.dedup();
        samples.into_iter().map(|sample| self.stretch(at, sample..sample + 1)).collect()
    }

    /// What must be read to see all values of `name` that begin with `prefix`, the whole as one stretch, if there is
    /// any.
    pub(crate) fn stretch_from(&self, name: &str, prefix: &str) -> Option<Stretch> {
        let at = self.position(name)?;
        let name = &self.names[at];
        let before = name.samples.partition_point(|s| *s.value < *prefix);
        let reaches = |s: &Sample| *s.value < *prefix || s.value.starts_with(prefix);
        let end = before + name.samples[before..].partition_point(reaches);
        let start = before.saturating_sub(1);
        (*name.last >= *prefix && start < end).then(|| self.stretch(at, start..end))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|have| (*have.name).cmp(name)).ok()
    }

    fn stretch(&self, at: usize, samples: Range<usize>) -> Stretch {
        let name = &self.names[at];
        let start = name.samples[samples.start].entry;
        if let Some(next) = name.samples.get(samples.end) {
            return Stretch { range: start..next.entry, next_list: next.list };
        }
        let next_list = self.names.get(at + 1).map_or(self.lists_end, |next| next.samples[0].list);
        Stretch { range: start..name.end, next_list }
    }

    /// Bytes it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        let of_name = |n: &Name| {
            let samples: usize = n.samples.iter().map(|s| s.value.len() + size_of::<Sample>()).sum();
            n.name.len() + n.last.len() + size_of::<Name>() + samples
        };
        self.names.iter().map(of_name).sum()
    }
}

impl Stretch {
    /// Calls `visit` with each value in `bytes`, which were read from the stretch's range, and its list. None where the
    /// bytes break the format.
    pub(crate) fn visit<'a>(&self, bytes: &'a [u8], mut visit: impl FnMut(&'a str, List)) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        let mut previous: Option<(&str, u64)> = None;
        while !cursor.rest.is_empty() {
            let entry = entry(&mut cursor)?;
            if let Some((value, start)) = previous {
                visit(value, List { start, end: entry.list });
            }
            previous = Some((entry.value, entry.list));
        }
        if let Some((value, start)) = previous {
            visit(value, List { start, end: self.next_list });
        }
        Some(())
    }
}

/// A table that is not sorted, as version 1 may have it, in order.
pub(crate) fn sorted(content: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(content);
    let count = cursor.be32()? as usize;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(&mut cursor)?);
    }
    entries.sort_by_key(|e| (e.name, e.value));
    let mut out = (count as u32).to_be_bytes().to_vec();
    for entry in entries {
        super::cursor::put_uvarint(&mut out, 2);
        super::cursor::put_text(&mut out, entry.name);
        super::cursor::put_text(&mut out, entry.value);
        super::cursor::put_uvarint(&mut out, entry.list);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::cursor::{put_text, put_uvarint};

    fn content(entries: &[(String, String)]) -> Vec<u8> {
        let mut out = (entries.len() as u32).to_be_bytes().to_vec();
        for (i, (name, value)) in entries.iter().enumerate() {
            put_uvarint(&mut out, 2);
            put_text(&mut out, name);
            put_text(&mut out, value);
            put_uvarint(&mut out, 100 + 10 * i as u64);
        }
        out
    }

    fn values(table: &Table, content: &[u8], stretches: &[Stretch]) -> Vec<(String, List)> {
        let mut seen = Vec::new();
        for stretch in stretches {
            let bytes = &content[stretch.range.start as usize - 7..stretch.range.end as usize - 7];
            stretch.visit(bytes, |value, list| seen.push((value.to_owned(), list))).unwrap();
        }
        assert!(table.size_bytes() > 0);
        seen
    }

    #[test]
    fn every_value_is_found_by_itself_and_by_every_prefix() {
        let mut entries = vec![(String::new(), String::new())];
        entries.extend((100..300).map(|i| ("b".to_owned(), i.to_string())));
        entries.push(("c".to_owned(), "x".to_owned()));
        let content = content(&entries);
        let table = Table::parse(&content, 7, 5000).unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["b", "c"]);
        for (i, (name, value)) in entries.iter().enumerate() {
            let found = values(&table, &content, &table.stretches_of(name, &[value]));
            let end = if i + 1 == entries.len() { 5000 } else { 110 + 10 * i as u64 };
            let list = List { start: 100 + 10 * i as u64, end };
            assert!(found.contains(&(value.clone(), list)), "{name} {value}: {found:?}");
            assert!(found.len() <= SAMPLING);
        }
        for prefix in ["", "1", "2", "13", "132", "29", "299", "3", "0"] {
            let found: Vec<_> = table.stretch_from("b", prefix).into_iter().collect();
            let found: Vec<_> = values(&table, &content, &found).into_iter().map(|f| f.0).collect();
            let wanted: Vec<_> = (100..300).map(|i| i.to_string()).filter(|v| v.starts_with(prefix)).collect();
            assert_eq!(found.into_iter().filter(|v| v.starts_with(prefix)).collect::<Vec<_>>(), wanted, "{prefix}");
        }
        assert_eq!(table.stretches_of("a", &["x"]), []);
        assert_eq!(table.stretches_of("c", &["a", "z"]), []);
        assert!(Table::parse(&content[..content.len() - 1], 7, 5000).is_none());
    }

    #[test]
    fn what_is_not_sorted_is_refused_and_can_be_sorted() {
        let entries = [("b", "2"), ("b", "1"), ("a", "1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let content = content(&entries);
        assert!(Table::parse(&content, 0, 0).is_none());
        let sorted = sorted(&content).unwrap();
        let table = Table::parse(&sorted, 7, 0).unwrap();
        let found = values(&table, &sorted, &table.stretches_of("a", &["1"]));
        assert_eq!(found, [("1".to_owned(), List { start: 120, end: 110 })]);
    }
}
