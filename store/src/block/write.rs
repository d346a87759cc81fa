//! The one block writer: index version 2, segments, `meta.json` and empty tombstones, as Prometheus 3.14 writes them,
//! byte for byte (tsdb/index/index.go and tsdb/chunks/chunks.go, the writers). The same series and options give the
//! same bytes.
//!
//! It holds labels and references of all series, but no more than one chunk at a time. It blocks: call it where that is
//! fine.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::cursor::{put_text, put_uvarint, put_varint};
use super::index::{MAGIC, SERIES_ALIGN};
use super::meta::{BlockMeta, BlockStats, Compaction, FileMeta, ThanosMeta};
use super::reader::SEGMENT_HEAD;
use super::tombstones::empty_file;
use super::ulid::Ulid;
use crate::error::{StoreError, StoreErrorKind};
use crate::labels::Labels;
use crate::series::{Chunk, Encoding, Millis};

/// Segments end before they would grow beyond this, unless told otherwise (`DefaultChunkSegmentSize`).
pub const SEGMENT_BYTES: u64 = 512 << 20;

/// What a block is to be.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Its name, and that of its folder.
    pub ulid: Ulid,
    /// First time it may hold, ms, inclusive.
    pub min_time: Millis,
    /// End of the times it may hold, ms, exclusive.
    pub max_time: Millis,
    /// External labels; with them the block gets a `thanos` section.
    pub labels: Option<Labels>,
    /// `thanos.source`, if there is that section.
    pub source: String,
    /// The level 1 blocks whose samples it holds; empty: itself.
    pub sources: Vec<Ulid>,
    /// Compaction level.
    pub level: u32,
    /// Size of segments in bytes.
    pub segment_bytes: u64,
}

impl WriteOptions {
    /// A block of level 1 as a Prometheus makes it, from `min_time` to before `max_time`.
    pub fn new(ulid: Ulid, min_time: Millis, max_time: Millis) -> Self {
        Self {
            ulid,
            min_time,
            max_time,
            labels: None,
            source: "sidecar".into(),
            sources: Vec::new(),
            level: 1,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// Writes a block with `series`, which ascend by labels, into a new folder of `directory` named by its ULID.
/// `meta.json` comes last, so that a reader sees a whole block or none.
///
/// Errors: `Refused` where series do not ascend, have no labels, or chunks overlap or lie outside of the block's times;
/// `Unavailable` where the files cannot be written.
pub fn write_block(
    directory: &Path,
    series: &mut dyn Iterator<Item = (Labels, Vec<Chunk>)>,
    options: WriteOptions,
) -> Result<BlockMeta, StoreError> {
    let folder = directory.join(options.ulid.to_string());
    let chunks = folder.join("chunks");
    let what = |e: std::io::Error| failed(&chunks, e);
    fs::create_dir_all(&chunks).map_err(what)?;
    let mut segments = Segments { folder: chunks.clone(), limit: options.segment_bytes, files: Vec::new(), file: None };
    let mut stats = BlockStats::default();
    let mut written: Vec<Written> = Vec::new();
    for (labels, chunks) in series {
        check(written.last(), &labels, &chunks, &options)?;
        let mut references = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            references.push((chunk.min_time, chunk.max_time, segments.push(chunk)?));
            count(&mut stats, chunk);
        }
        written.push(Written { labels, chunks: references });
    }
    segments.close()?;
    stats.num_series = written.len() as u64;

    let index = index(&written)?;
    save(&folder.join("index"), &index)?;
    save(&folder.join("tombstones"), &empty_file())?;
    let meta = meta(options, stats, &segments.files, index.len() as u64);
    save(&folder.join("meta.json"), &meta.to_json())?;
    Ok(meta)
}

fn failed(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("write {}", path.display())).with_source(error)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    fs::write(path, bytes).map_err(|e| failed(path, e))
}

/// A series whose chunks are in the segments: first and last time, reference.
struct Written {
    labels: Labels,
    chunks: Vec<(Millis, Millis, u64)>,
}

fn check(
    before: Option<&Written>,
    labels: &Labels,
    chunks: &[Chunk],
    options: &WriteOptions,
) -> Result<(), StoreError> {
    let refuse = |why: &str| {
        let context = format!("write block {}: series {labels}: {why}", options.ulid);
        Err(StoreError::new(StoreErrorKind::Refused, context))
    };
    if labels.is_empty() {
        return refuse("it has no labels");
    }
    if before.is_some_and(|before| before.labels >= *labels) {
        return refuse("it does not ascend");
    }
    let mut end = None;
    for chunk in chunks {
        if end.is_some_and(|end| chunk.min_time <= end) || chunk.max_time < chunk.min_time {
            return refuse("its chunks overlap");
        }
        if chunk.min_time < options.min_time || chunk.max_time >= options.max_time {
            return refuse("a chunk lies outside of the block");
        }
        end = Some(chunk.max_time);
    }
    Ok(())
}

fn count(stats: &mut BlockStats, chunk: &Chunk) {
    let samples = samples_of(chunk);
    stats.num_chunks += 1;
    stats.num_samples += samples;
    match chunk.encoding {
        Encoding::Xor | Encoding::Xor2 => stats.num_float_samples += samples,
        _ => stats.num_histogram_samples += samples,
    }
}

/// Number of samples by the head of the chunk; 0 where it is too short to have one.
pub fn samples_of(chunk: &Chunk) -> u64 {
    let count = chunk.data.first_chunk::<2>().map_or(0, |head| u16::from_be_bytes(*head));
    match chunk.encoding {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => u64::from(count & 0x3fff),
        _ => u64::from(count),
    }
}

/// Files of chunks as they are written.
struct Segments {
    folder: PathBuf,
    limit: u64,
    /// Name and size of each, the open one last.
    files: Vec<(String, u64)>,
    file: Option<BufWriter<File>>,
}

impl Segments {
    /// Writes a chunk and returns its reference.
    fn push(&mut self, chunk: &Chunk) -> Result<u64, StoreError> {
        let mut head = Vec::with_capacity(6);
        put_uvarint(&mut head, chunk.data.len() as u64);
        let encoding_at = head.len();
        head.push(chunk.encoding as u8);
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head[encoding_at..]), &chunk.data).to_be_bytes();
        // The length counts with its greatest size, as upstream.
        let most = chunk.data.len() as u64 + 5 + 1 + 4;
        let head_bytes = SEGMENT_HEAD.len() as u64;
        let full = self.files.last().is_none_or(|(_, size)| *size > head_bytes && size + most > self.limit);
        if full {
            self.cut()?;
        }
        let (Some(file), segment) = (&mut self.file, self.files.len() - 1) else {
            return Err(StoreError::corrupt("write chunk: no segment is open"));
        };
        for bytes in [&head[..], &chunk.data, &sum] {
            file.write_all(bytes).map_err(|e| failed(&self.folder, e))?;
        }
        let size = &mut self.files[segment].1;
        let reference = (segment as u64) << 32 | *size;
        *size += (head.len() + chunk.data.len() + sum.len()) as u64;
        Ok(reference)
    }

    fn cut(&mut self) -> Result<(), StoreError> {
        self.close()?;
        let name = format!("{:06}", self.files.len() + 1);
        let path = self.folder.join(&name);
        let mut file = BufWriter::new(File::create(&path).map_err(|e| failed(&path, e))?);
        file.write_all(&SEGMENT_HEAD).map_err(|e| failed(&path, e))?;
        self.files.push((name, SEGMENT_HEAD.len() as u64));
        self.file = Some(file);
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.file.take().map_or(Ok(()), |mut file| file.flush().map_err(|e| failed(&self.folder, e)))
    }
}

/// The whole index.
fn index(series: &[Written]) -> Result<Vec<u8>, StoreError> {
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.push(2);
    let symbols = symbols(series);
    let numbers: HashMap<&str, u32> = symbols.iter().zip(0..).map(|(symbol, number)| (*symbol, number)).collect();
    let symbols_at = out.len();
    section(&mut out, |out| {
        out.extend((symbols.len() as u32).to_be_bytes());
        symbols.iter().for_each(|symbol| put_text(out, symbol));
    })?;

    let series_at = out.len();
    // By name and value, which as numbers are in the order of the texts.
    let mut postings: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
    let mut all = Vec::with_capacity(series.len());
    for one in series {
        pad(&mut out, SERIES_ALIGN as usize);
        let reference = u32::try_from(out.len() as u64 / SERIES_ALIGN).map_err(|_| too_large())?;
        all.push(reference);
        let mut entry = Vec::new();
        put_uvarint(&mut entry, one.labels.len() as u64);
        for (name, value) in &one.labels {
            let pair = (numbers[name], numbers[value]);
            put_uvarint(&mut entry, u64::from(pair.0));
            put_uvarint(&mut entry, u64::from(pair.1));
            postings.entry(pair).or_default().push(reference);
        }
        put_chunks(&mut entry, &one.chunks);
        put_uvarint(&mut out, entry.len() as u64);
        out.extend(&entry);
        out.extend(crc32c::crc32c(&entry).to_be_bytes());
    }

    let label_indices_at = out.len();
    let postings_at = out.len();
    let mut table = ((postings.len() + 1) as u32).to_be_bytes().to_vec();
    let pairs = postings.iter().map(|((name, value), list)| (symbols[*name as usize], symbols[*value as usize], list));
    for (name, value, list) in [("", "", &all)].into_iter().chain(pairs) {
        pad(&mut out, 4);
        put_uvarint(&mut table, 2);
        put_text(&mut table, name);
        put_text(&mut table, value);
        put_uvarint(&mut table, out.len() as u64);
        section(&mut out, |out| {
            out.extend((list.len() as u32).to_be_bytes());
            list.iter().for_each(|reference| out.extend(reference.to_be_bytes()));
        })?;
    }
    let table_at = out.len();
    section(&mut out, |out| out.extend(&table))?;

    let toc = [symbols_at, series_at, label_indices_at, table_at, postings_at, table_at];
    let toc: Vec<u8> = toc.iter().flat_map(|offset| (*offset as u64).to_be_bytes()).collect();
    out.extend(&toc);
    out.extend(crc32c::crc32c(&toc).to_be_bytes());
    Ok(out)
}

fn too_large() -> StoreError {
    StoreError::new(StoreErrorKind::Refused, "write index: it would be larger than 64 GiB, or a section than 4 GiB")
}

/// All names and values, once, ascending; the empty one first, which a head always has.
fn symbols(series: &[Written]) -> Vec<&str> {
    let mut seen: HashMap<&str, ()> = HashMap::from([("", ())]);
    for (name, value) in series.iter().flat_map(|one| &one.labels) {
        seen.insert(name, ());
        seen.insert(value, ());
    }
    let mut symbols: Vec<&str> = seen.into_keys().collect();
    symbols.sort_unstable();
    symbols
}

/// Appends the part of a series entry that names its chunks.
pub(crate) fn put_chunks(entry: &mut Vec<u8>, chunks: &[(Millis, Millis, u64)]) {
    put_uvarint(entry, chunks.len() as u64);
    let mut before: Option<(Millis, u64)> = None;
    for (min_time, max_time, reference) in chunks {
        match before {
            None => put_varint(entry, *min_time),
            Some((end, _)) => put_uvarint(entry, min_time.wrapping_sub(end) as u64),
        }
        put_uvarint(entry, max_time.wrapping_sub(*min_time) as u64);
        match before {
            None => put_uvarint(entry, *reference),
            Some((_, last)) => put_varint(entry, reference.wrapping_sub(last) as i64),
        }
        before = Some((*max_time, *reference));
    }
}

fn pad(out: &mut Vec<u8>, size: usize) {
    out.resize(out.len().next_multiple_of(size), 0);
}

/// Length, what `content` appends, checksum.
fn section(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) -> Result<(), StoreError> {
    let start = out.len();
    out.extend([0; 4]);
    content(out);
    let length = u32::try_from(out.len() - start - 4).map_err(|_| too_large())?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let sum = crc32c::crc32c(&out[start + 4..]);
    out.extend(sum.to_be_bytes());
    Ok(())
}

fn meta(options: WriteOptions, stats: BlockStats, segments: &[(String, u64)], index_bytes: u64) -> BlockMeta {
    let sources = if options.sources.is_empty() { vec![options.ulid] } else { options.sources };
    let thanos = options.labels.map(|labels| {
        let segment = |(name, size): &(String, u64)| FileMeta { rel_path: format!("chunks/{name}"), size_bytes: *size };
        let mut files: Vec<FileMeta> = segments.iter().map(segment).collect();
        files.push(FileMeta { rel_path: "index".into(), size_bytes: index_bytes });
        files.push(FileMeta { rel_path: "meta.json".into(), size_bytes: 0 });
        ThanosMeta {
            version: 1,
            labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            source: options.source,
            segment_files: segments.iter().map(|(name, _)| name.clone()).collect(),
            files,
            ..ThanosMeta::default()
        }
    });
    BlockMeta {
        ulid: options.ulid,
        min_time: options.min_time,
        max_time: options.max_time,
        stats,
        compaction: Compaction { level: options.level, sources, parents: Vec::new(), hints: Vec::new() },
        version: 1,
        thanos,
    }
}
