//! Bytes to begin with: expressions of the test scripts, chunks and indexes of recorded blocks and of our own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use masthead_store::block::write::{WriteOptions, write_block};
use masthead_store::block::{BlockStore, BlockStoreOptions, Ulid};
use masthead_store::testing::{golden, shared};
use masthead_store::{Allowance, Budget, Chunk, Labels, Millis, Select, Store, chunk};

/// Chunks a dataset and encoding, at most: enough to show every form.
const CHUNKS_MAX: usize = 40;
/// Larger indexes are left out.
const INDEX_BYTES_MAX: usize = 16 << 10;

/// The files of a small block.
pub struct Files {
    /// Its folder.
    pub ulid: Ulid,
    /// `meta.json`.
    pub meta: Vec<u8>,
    /// `index`.
    pub index: Vec<u8>,
    /// `chunks/000001`.
    pub chunks: Vec<u8>,
}

/// A small block of our own.
///
/// # Panics
///
/// Where no temporary folder can be written.
pub fn block() -> Files {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let times: Vec<Millis> = (0..30).map(|i| i * 15_000).collect();
    let values: Vec<f64> = times.iter().map(|time| *time as f64).collect();
    let mut series = (0..6).map(|i| {
        let labels = Labels::from_pairs([("__name__", "up"), ("instance", &format!("host-{i}")), ("job", "ü")]);
        (labels, chunk::encode(&times, &values))
    });
    let options = WriteOptions::new(Ulid::new(1, 1), 0, 500_000);
    let meta = write_block(directory.path(), &mut series, options).expect("a block in a temporary folder");
    let folder = directory.path().join(meta.ulid.to_string());
    let read = |name: &str| fs::read(folder.join(name)).expect("a file that was just written");
    Files { ulid: meta.ulid, meta: read("meta.json"), index: read("index"), chunks: read("chunks/000001") }
}

/// All test scripts that are at hand.
fn scripts() -> Vec<String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/promql");
    let folders = [Some(own), shared("promqltest")];
    let files = folders.into_iter().flatten().flat_map(|folder| files(&folder));
    files
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .filter_map(|p| fs::read_to_string(p).ok())
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    all.sort();
    all
}

/// The expressions and series of all scripts.
pub fn expressions() -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for script in scripts() {
        for line in script.lines().map(str::trim) {
            let text = match line.strip_prefix("eval") {
                None if line.starts_with("expect") || line.starts_with("load") || line.starts_with('#') => continue,
                None => line,
                // `instant at TIME EXPR` or `range from TIME to TIME step TIME EXPR`
                Some(rest) => match rest.split_once(" step ").or_else(|| rest.split_once(" at ")) {
                    Some((_, rest)) => rest.split_once(' ').map_or("", |(_, expression)| expression),
                    None => rest,
                },
            };
            if !text.is_empty() {
                found.insert(text.to_owned());
            }
        }
    }
    found.into_iter().map(String::into_bytes).collect()
}

/// Regular expressions of the scripts and of every form that there is, each with a text.
pub fn patterns() -> Vec<Vec<u8>> {
    let forms = [
        "foo",
        "foo.*",
        ".*foo.*",
        ".+",
        "(?i)foo|BAR",
        "a|b|cd",
        "(?P<name>a+)(?:b*)?",
        r"\d{2,5}[^\w\s]+",
        r"[[:alpha:]\-_]+",
        r"\Qa.b\E",
        r"\pL\PN\p{Greek}",
        r"\x{10FFFF}\101\a",
        "x{0,3}y{2}z{1,}",
        "(?s-m:^.$)",
        "[a-c&&b]",
        "a{,2}",
        "(?U)a+b??",
    ];
    let mut found: BTreeSet<String> = forms.iter().map(|form| format!("{form}\nfoo")).collect();
    for script in scripts() {
        for part in script.split("~\"").skip(1).chain(script.split("~'").skip(1)) {
            let end = part.find(['"', '\'']).unwrap_or(part.len());
            found.insert(format!("{}\nfoo", &part[..end]));
        }
    }
    found.into_iter().map(String::into_bytes).collect()
}

/// Chunks of recorded blocks, behind their encoding.
pub fn chunks() -> Vec<Vec<u8>> {
    let seed = |chunk: &Chunk| [&[chunk.encoding as u8 - 1], &chunk.data[..]].concat();
    let times: Vec<Millis> = (0..120).map(|i| i * 15_000 + i % 7).collect();
    let values: Vec<f64> = times.iter().map(|time| (*time as f64).sqrt()).collect();
    let mut seeds: Vec<Vec<u8>> = chunk::encode(&times, &values).iter().map(seed).collect();
    for data in datasets() {
        let mut taken = [0; 7];
        for chunk in recorded(&data) {
            let taken = &mut taken[chunk.encoding as usize];
            if *taken < CHUNKS_MAX {
                seeds.push(seed(&chunk));
                *taken += 1;
            }
        }
    }
    seeds
}

/// Recorded indexes, and that of the block to which the target adds them.
pub fn indexes() -> Vec<Vec<u8>> {
    let mut seeds = vec![block().index];
    let blocks = datasets().into_iter().flat_map(|data| files(&data));
    seeds
        .extend(blocks.filter_map(|folder| fs::read(folder.join("index")).ok()).filter(|i| i.len() <= INDEX_BYTES_MAX));
    seeds
}

/// Data folders of the recorded datasets.
fn datasets() -> Vec<PathBuf> {
    let names = ["floats", "histograms", "overlap", "start-timestamps", "annotations"];
    names.iter().filter_map(|name| golden(&format!("prometheus-3.14/{name}/data"))).collect()
}

/// All chunks below a data folder.
fn recorded(data: &Path) -> Vec<Chunk> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O needs nothing");
    let options = BlockStoreOptions::directory(data, Labels::empty(), Budget::unlimited()).expect("a folder");
    let store = BlockStore::open(options);
    let (min_time, max_time) = (Millis::MIN, Millis::MAX);
    let request =
        Select { matchers: Vec::new(), min_time, max_time, replica_labels: Vec::new(), labels_only: false, limit: 0 };
    runtime.block_on(async {
        store.refresh(std::time::SystemTime::now()).await.expect("a readable folder");
        let mut chunks = Vec::new();
        for mut stream in store.select(request.into(), Allowance::unlimited()) {
            while let Some(batch) = stream.next().await {
                let series = batch.expect("sound blocks").series;
                chunks.extend(series.into_iter().flat_map(|series| series.lanes).flat_map(|lane| lane.chunks));
            }
        }
        chunks
    })
}
