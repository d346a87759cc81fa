//! Messages of a series stream, read by hand: labels go straight into [`Labels`], chunk bytes are slices of the
//! message. prost's owned decoding of the same message costs seven times as much.

use bytes::Bytes;
use smallvec::SmallVec;

use super::wire::{Fields, Malformed, Value};
use crate::chunk;
use crate::labels::LENGTH_MAX;
use crate::{Chunk, Encoding, Labels, StoreError, StoreErrorKind};

/// Labels of a series, at most: a label may take two bytes of a message, and sixteen times as much here.
pub(super) const LABELS_MAX: usize = 1 << 16;

/// One series of a message.
#[derive(Debug)]
pub(super) struct FrameSeries {
    /// Labels without the stripped ones.
    pub(super) labels: Labels,
    /// The labels that were stripped, if there were any.
    pub(super) stripped: Option<Labels>,
    /// Chunks in the order in which they came; `data` are slices of the message.
    pub(super) chunks: SmallVec<[Chunk; 1]>,
    /// Chunks that hold other columns than raw samples, or nothing.
    pub(super) without_raw: usize,
    /// Bytes of the series in the message.
    pub(super) bytes: usize,
}

/// Reads a message: series, one or a batch of them, go to `each`; the text of a warning is given back. Hints and what
/// later versions may send are passed over. Labels named in `strip` are taken out of the series.
///
/// Errors: `Corrupt` for bytes that are no such message, `Unsupported` for a chunk encoding without a name, and those
/// of `each`.
pub(super) fn parse(
    message: &Bytes,
    strip: &[Box<str>],
    each: &mut impl FnMut(FrameSeries) -> Result<(), StoreError>,
) -> Result<Option<String>, StoreError> {
    let mut fields = Fields::new(message);
    let mut scratch = Scratch { pairs: Vec::with_capacity(16), text: String::with_capacity(256) };
    let mut warning = None;
    while let Some((number, value)) = fields.next().map_err(corrupt)? {
        match number {
            1 => each(series(message, value.bytes().map_err(corrupt)?, strip, &mut scratch)?)?,
            2 => warning = Some(value.sentence().map_err(corrupt)?),
            4 => {
                let mut batch = Fields::new(value.bytes().map_err(corrupt)?);
                while let Some((number, value)) = batch.next().map_err(corrupt)? {
                    if number == 1 {
                        each(series(message, value.bytes().map_err(corrupt)?, strip, &mut scratch)?)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(warning)
}

fn corrupt(malformed: Malformed) -> StoreError {
    StoreError::corrupt(format!("read a message of series: {}", malformed.0))
}

/// Memory for the labels of one series after the other.
struct Scratch<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    text: String,
}

fn series<'a>(
    message: &Bytes,
    bytes: &'a [u8],
    strip: &[Box<str>],
    Scratch { pairs, text }: &mut Scratch<'a>,
) -> Result<FrameSeries, StoreError> {
    pairs.clear();
    let mut chunks = SmallVec::new();
    let mut without_raw = 0;
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next().map_err(corrupt)? {
        match number {
            1 if pairs.len() == LABELS_MAX => return Err(corrupt(Malformed("a series has more than 65,536 labels"))),
            1 => pairs.push(label(value).map_err(corrupt)?),
            2 => match read_chunk(message, value)? {
                Some(chunk) => chunks.push(chunk),
                None => without_raw += 1,
            },
            _ => {}
        }
    }
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        sort(pairs);
    }
    let stripped = strip_labels(pairs, strip);
    let labels = Labels::from_sorted_in(text, pairs.iter().copied());
    Ok(FrameSeries { labels, stripped, chunks, without_raw, bytes: bytes.len() })
}

/// Name and value of a label.
#[inline]
pub(super) fn label(value: Value<'_>) -> Result<(&str, &str), Malformed> {
    let bytes = value.bytes()?;
    if let Some(pair) = short_label(bytes) {
        return Ok(pair);
    }
    let (mut name, mut text) = ("", "");
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.text()?,
            2 => text = value.text()?,
            _ => {}
        }
    }
    if name.len().max(text.len()) > LENGTH_MAX {
        return Err(Malformed("a label is longer than 16 MiB"));
    }
    Ok((name, text))
}

/// A label as writers write nearly all: its name, then its value, both shorter than 128 bytes.
fn short_label(bytes: &[u8]) -> Option<(&str, &str)> {
    const NAME: u8 = 1 << 3 | 2;
    const VALUE: u8 = 2 << 3 | 2;
    // Tags and short lengths are ASCII, so that one look tells whether both texts are UTF-8.
    let text = std::str::from_utf8(bytes).ok()?;
    let [NAME, length, rest @ ..] = bytes else { return None };
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let [VALUE, length, value @ ..] = rest else { return None };
    (usize::from(*length) == value.len()).then_some(())?;
    Some((text.get(2..2 + name.len())?, text.get(bytes.len() - value.len()..)?))
}

/// Sorts by name; of several pairs with one name the last one stays, as in [`Labels::from_pairs`].
fn sort(pairs: &mut Vec<(&str, &str)>) {
    pairs.sort_by_key(|pair| pair.0);
    pairs.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 = later.1;
        }
        same
    });
}

/// Takes the labels named in `strip` out of `pairs`.
fn strip_labels(pairs: &mut Vec<(&str, &str)>, strip: &[Box<str>]) -> Option<Labels> {
    let strips = |pair: &(&str, &str)| strip.iter().any(|name| **name == *pair.0);
    if strip.is_empty() || !pairs.iter().any(strips) {
        return None;
    }
    let stripped = Labels::from_sorted(pairs.iter().copied().filter(strips));
    pairs.retain(|pair| !strips(pair));
    Some(stripped)
}

/// Reads an `AggrChunk`; None if it holds no raw samples.
fn read_chunk(message: &Bytes, value: Value<'_>) -> Result<Option<Chunk>, StoreError> {
    let (mut min_time, mut max_time, mut raw) = (0, 0, None);
    let mut fields = Fields::new(value.bytes().map_err(corrupt)?);
    while let Some((number, value)) = fields.next().map_err(corrupt)? {
        match number {
            1 => min_time = value.int64().map_err(corrupt)?,
            2 => max_time = value.int64().map_err(corrupt)?,
            3 => raw = Some(value.bytes().map_err(corrupt)?),
            _ => {}
        }
    }
    let Some((kind, data)) = raw.map(raw_chunk).transpose().map_err(corrupt)?.filter(|(_, data)| !data.is_empty())
    else {
        return Ok(None);
    };
    // StoreAPI counts from 0, a block's chunk header from 1.
    let Some(encoding) = u8::try_from(kind).ok().and_then(|kind| Encoding::from_block(kind.checked_add(1)?)) else {
        let what = format!("read a message of series: chunk encoding {kind} has no name");
        return Err(StoreError::new(StoreErrorKind::Unsupported, what));
    };
    if min_time > max_time {
        return Err(corrupt(Malformed("a chunk ends before it begins")));
    }
    if !chunk::is_plausible(encoding, data) {
        return Err(corrupt(Malformed("a chunk is too short for its number of samples")));
    }
    Ok(Some(Chunk { min_time, max_time, encoding, data: message.slice_ref(data) }))
}

/// Type and data of a `Chunk`.
fn raw_chunk(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let (mut kind, mut data) = (0, &bytes[..0]);
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => kind = value.varint()?,
            2 => data = value.bytes()?,
            _ => {}
        }
    }
    Ok((kind, data))
}

#[cfg(test)]
mod tests {
    use masthead_proto::thanos as proto;
    use prost::Message as _;

    use super::*;
    use crate::testing::Random;

    fn message(labels: &[(&str, &str)], chunks: Vec<proto::AggrChunk>) -> proto::SeriesResponse {
        let labels = labels.iter().map(|(n, v)| proto::Label { name: (*n).into(), value: (*v).into() }).collect();
        let series = proto::Series { labels, chunks };
        proto::SeriesResponse { result: Some(proto::series_response::Result::Series(series)) }
    }

    fn raw(kind: i32, data: &'static [u8]) -> proto::AggrChunk {
        let chunk = proto::Chunk { r#type: kind, data: Bytes::from_static(data), hash: 7 };
        proto::AggrChunk { min_time: -5, max_time: 9, raw: Some(chunk), ..Default::default() }
    }

    fn read(bytes: &Bytes, strip: &[Box<str>]) -> Result<(Vec<FrameSeries>, Option<String>), StoreError> {
        let mut all = Vec::new();
        let warning = parse(bytes, strip, &mut |series| {
            all.push(series);
            Ok(())
        })?;
        Ok((all, warning))
    }

    fn one(bytes: &Bytes, strip: &[Box<str>]) -> FrameSeries {
        let (mut all, warning) = read(bytes, strip).unwrap();
        assert_eq!((all.len(), warning), (1, None));
        all.remove(0)
    }

    #[test]
    fn a_series_is_read_without_copying_its_chunks() {
        let bytes = Bytes::from(
            message(&[("a", "1"), ("b", "ü")], vec![raw(0, b"\0\0xor"), raw(2, b"\0\0\0fh")]).encode_to_vec(),
        );
        let series = one(&bytes, &[]);
        assert_eq!(series.labels, Labels::from_pairs([("a", "1"), ("b", "ü")]));
        assert_eq!(
            series.chunks.iter().map(|c| c.encoding).collect::<Vec<_>>(),
            [Encoding::Xor, Encoding::FloatHistogram]
        );
        assert_eq!((series.chunks[0].min_time, series.chunks[0].max_time), (-5, 9));
        let inside = bytes.as_ptr_range();
        assert!(series.chunks.iter().all(|c| inside.contains(&c.data.as_ptr())), "a chunk was copied");
        assert_eq!(&series.chunks[0].data[..], b"\0\0xor");
    }

    /// Whatever the order and the lengths of name and value, and where a field comes twice or is unknown.
    #[test]
    fn labels_are_read_however_they_are_written() {
        let name: &[u8] = &[0x0a, 1, b'a'];
        let value: &[u8] = &[0x12, 2, 0xc3, 0xbc];
        let read = |parts: &[&[u8]]| label(Value::Bytes(&parts.concat())).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let expected = Ok(("a".to_owned(), "ü".to_owned()));
        for parts in [
            &[name, value][..],
            &[value, name],
            &[&[0x0a, 1, b'b'], name, value],
            &[name, value, &[0x18, 7]],
            &[name, &[0x12, 0x82, 0, 0xc3, 0xbc]],
        ] {
            assert_eq!(read(parts), expected, "{parts:x?}");
        }
        assert_eq!(read(&[name]), Ok(("a".to_owned(), String::new())));
        for length in [126, 127, 128, 300] {
            let long = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let written = proto::Label { name: long.clone(), value: long.clone() }.encode_to_vec();
            assert_eq!(read(&[&written]), Ok((long.clone(), long)));
        }
        // A letter cut in two between name and value is not UTF-8, nor is a name or a value that ends too early.
        for parts in [&[&[0x0a, 1, 0xc3, 0x12, 1, 0xbc][..]][..], &[name, &[0x12, 3, b'x']], &[&[0x0a, 9, b'x']]] {
            assert!(read(parts).is_err(), "{parts:x?}");
        }
    }

    #[test]
    fn labels_are_sorted_made_unique_and_stripped() {
        let bytes = Bytes::from(message(&[("b", "1"), ("a", "x"), ("b", "2"), ("c", "")], vec![]).encode_to_vec());
        let series = one(&bytes, &[]);
        assert_eq!(series.labels, Labels::from_pairs([("a", "x"), ("b", "2")]));
        assert!(series.stripped.is_none());
        let series = one(&bytes, &["b".into(), "nowhere".into()]);
        assert_eq!(series.labels, Labels::from_pairs([("a", "x")]));
        assert_eq!(series.stripped, Some(Labels::from_pairs([("b", "2")])));
    }

    #[test]
    fn batches_warnings_and_what_is_unknown() {
        let part = |value: &str| match message(&[("a", value)], vec![]).result {
            Some(proto::series_response::Result::Series(series)) => series,
            other => panic!("{other:?}"),
        };
        let batch = proto::SeriesBatch { series: vec![part("1"), part("2")] };
        let result = proto::series_response::Result::Batch(batch);
        let bytes = Bytes::from(proto::SeriesResponse { result: Some(result) }.encode_to_vec());
        let (series, warning) = read(&bytes, &[]).unwrap();
        assert_eq!((series.len(), warning), (2, None));
        let result = proto::series_response::Result::Warning("gone".into());
        let bytes = Bytes::from(proto::SeriesResponse { result: Some(result) }.encode_to_vec());
        let (series, warning) = read(&bytes, &[]).unwrap();
        assert_eq!((series.len(), warning.as_deref()), (0, Some("gone")));
        // Hints, and field 15, which nobody knows.
        for bytes in [&[0x1a, 1, 0][..], &[0x7a, 2, 1, 2], &[]] {
            let (series, warning) = read(&Bytes::copy_from_slice(bytes), &[]).unwrap();
            assert_eq!((series.len(), warning), (0, None), "{bytes:x?}");
        }
    }

    #[test]
    fn chunks_without_raw_samples_are_counted_and_odd_ones_refused() {
        let sum = proto::AggrChunk { sum: Some(proto::Chunk::default()), ..Default::default() };
        let bytes = Bytes::from(message(&[("a", "1")], vec![sum, raw(0, b""), raw(0, b"\0\0")]).encode_to_vec());
        let series = one(&bytes, &[]);
        assert_eq!((series.chunks.len(), series.without_raw), (1, 2));
        for kind in [6, 255, -1] {
            let bytes = Bytes::from(message(&[("a", "1")], vec![raw(kind, b"x")]).encode_to_vec());
            assert_eq!(read(&bytes, &[]).unwrap_err().kind, StoreErrorKind::Unsupported, "{kind}");
        }
        for (kind, data) in [
            (0, &b"\0"[..]),
            (0, b"\0\x01123456789"[..10].as_ref()),
            (0, b"\xff\xff1234567890"),
            (1, b"ab"),
            (3, b"\0\x05"),
        ] {
            let bytes = Bytes::from(message(&[("a", "1")], vec![raw(kind, data)]).encode_to_vec());
            let error = read(&bytes, &[]).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Corrupt, "{kind} {data:?}");
            assert!(error.to_string().ends_with("a chunk is too short for its number of samples"), "{error}");
        }
        let latin = [0x0a, 7, 0x0a, 5, 0x0a, 1, b'a', 0x12, 1, 0xe9];
        let error = read(&Bytes::copy_from_slice(&latin), &[]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt);
    }

    #[test]
    fn labels_without_number_are_refused() {
        let labels = |count: usize| [&[0x0a, 0x80, 0x80, 0x08][..], &[0x0a, 0].repeat(count)].concat();
        // 65,536 labels of nothing fill the length that stands before them.
        let error = read(&Bytes::from(labels(1 << 16)), &[]);
        assert_eq!(error.unwrap().0[0].labels, Labels::empty());
        let more = [&[0x0a, 0x82, 0x80, 0x08][..], &[0x0a, 0].repeat((1 << 16) + 1)].concat();
        assert_eq!(read(&Bytes::from(more), &[]).unwrap_err().kind, StoreErrorKind::Corrupt);
    }

    /// Whatever bytes come, there is an answer or an error; and a cut message is never taken for a whole one with more
    /// in it.
    #[test]
    fn spoilt_messages_never_panic() {
        let whole = message(&[("__name__", "up"), ("job", "api")], vec![raw(0, b"\0\x023456789abc"), raw(1, b"abc")])
            .encode_to_vec();
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() + 1));
            let _ = read(&Bytes::from(bytes), &["job".into()]);
        }
    }
}
