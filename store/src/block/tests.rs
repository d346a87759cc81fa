//! Blocks that Prometheus and Thanos wrote, and our own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;

use super::meta::BlockMeta;
use super::reader::Block;
use super::write::{WriteOptions, samples_of, write_block};
use super::*;
use crate::samples::{Samples, is_stale};
use crate::series::{Chunk, Encoding, Series};
use crate::testing::{Fixture, Random, contract, shared};
use crate::{Lane, MatchOp, Matcher, StoreErrorKind, chunk};

/// The recorded data at `path`: from the repository, else from the shared folder; None where neither is there.
fn golden(path: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(path);
    if own.exists() { Some(own) } else { shared(&format!("golden/{path}")) }
}

const DATASETS: [&str; 6] = ["floats", "overlap", "tombstones", "histograms", "start-timestamps", "annotations"];

fn request(matchers: Vec<Matcher>) -> Select {
    let (min_time, max_time) = (Millis::MIN, Millis::MAX);
    Select { matchers, min_time, max_time, replica_labels: Vec::new(), labels_only: false, limit: 0 }
}

fn replicas(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| Box::from(*name)).collect()
}

fn access(directory: &Path) -> Arc<Access> {
    let options = BlockStoreOptions::directory(directory, Labels::empty(), Budget::unlimited()).unwrap();
    let BlockStoreOptions { id, bucket, labels, budget } = options;
    Arc::new(Access { id, bucket, labels, budget })
}

fn folders(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.join("meta.json").exists());
    all.sort();
    all
}

/// One block as its files are, whatever was deleted.
fn block_of(folder: &Path) -> Arc<Block> {
    let meta = BlockMeta::parse(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
    Arc::new(Block::new(Arc::new(meta), Labels::empty(), None))
}

async fn collect(stream: SeriesStream) -> Result<Vec<Series>, StoreError> {
    let batches: Vec<_> = stream.collect().await;
    let mut all = Vec::new();
    for batch in batches {
        all.extend(batch?.series);
    }
    assert!(all.is_sorted_by(|a: &Series, b| a.labels < b.labels), "series ascend");
    Ok(all)
}

async fn series_of(folder: &Path) -> Result<Vec<(Labels, Vec<Chunk>)>, StoreError> {
    let (access, block) = (access(folder.parent().unwrap()), block_of(folder));
    let all = collect(select(access, block, Arc::new(request(vec![])), Budget::unlimited())).await?;
    Ok(all.into_iter().map(|mut one| (one.labels, one.lanes.remove(0).chunks.into_vec())).collect())
}

fn store_of(directory: &Path, labels: &[(&str, &str)]) -> BlockStore {
    let labels = Labels::from_pairs(labels.iter().copied());
    BlockStore::open(BlockStoreOptions::directory(directory, labels, Budget::unlimited()).unwrap())
}

async fn refreshed(directory: &Path, labels: &[(&str, &str)]) -> BlockStore {
    let store = store_of(directory, labels);
    store.refresh(SystemTime::now()).await.unwrap();
    store
}

async fn all_of(store: &BlockStore, request: Select) -> Result<Vec<Series>, StoreError> {
    let mut all = Vec::new();
    for stream in store.select(Arc::new(request), Allowance::unlimited()) {
        all.extend(collect(stream).await?);
    }
    Ok(all)
}

async fn names_of(store: &BlockStore, request: Select) -> Vec<Box<str>> {
    store.label_names(Arc::new(request), Allowance::unlimited()).await.unwrap().into_parts().0
}

async fn values_of(store: &BlockStore, name: &str, request: Select) -> Vec<Box<str>> {
    store.label_values(name.into(), Arc::new(request), Allowance::unlimited()).await.unwrap().into_parts().0
}

/// Every block of Prometheus 3.14: counts as in meta.json, times as in the index, floats to the last one.
#[tokio::test]
async fn every_block_has_what_its_meta_says() {
    let mut chunks_seen = BTreeMap::new();
    for dataset in DATASETS {
        let Some(data) = golden(&format!("prometheus-3.14/{dataset}/data")) else { return };
        for folder in folders(&data) {
            let meta = block_of(&folder).meta.clone();
            let series = series_of(&folder).await.unwrap();
            let chunks: Vec<&Chunk> = series.iter().flat_map(|(_, chunks)| chunks).collect();
            assert_eq!(series.len() as u64, meta.stats.num_series, "{}", folder.display());
            assert_eq!(chunks.len() as u64, meta.stats.num_chunks, "{}", folder.display());
            let (mut floats, mut histograms) = (0, 0);
            for chunk in chunks {
                *chunks_seen.entry(chunk.encoding).or_insert(0) += 1;
                match chunk.encoding {
                    Encoding::Xor => {
                        let mut samples = Samples::default();
                        chunk::decode(chunk, &mut samples).unwrap();
                        assert_eq!(samples.timestamps.first(), Some(&chunk.min_time));
                        assert_eq!(samples.timestamps.last(), Some(&chunk.max_time));
                        assert_eq!(samples.len() as u64, samples_of(chunk));
                        floats += samples.len() as u64;
                    }
                    Encoding::Xor2 => floats += samples_of(chunk),
                    _ => histograms += samples_of(chunk),
                }
            }
            assert_eq!(floats, meta.stats.num_float_samples, "{}", folder.display());
            assert_eq!(histograms, meta.stats.num_histogram_samples, "{}", folder.display());
        }
    }
    assert_eq!(chunks_seen.values().sum::<usize>(), 2474, "{chunks_seen:?}");
    assert_eq!(chunks_seen.len(), 6);
}

/// The postings of every pair, and of all series, are those that the series say.
#[tokio::test]
async fn postings_are_those_of_the_series() {
    for dataset in DATASETS {
        let Some(data) = golden(&format!("prometheus-3.14/{dataset}/data")) else { return };
        for folder in folders(&data) {
            let (access, block) = (access(&data), block_of(&folder));
            let opened = block.open(&access.bucket, &access.budget).await.unwrap();
            let find = async |name: &str, value: &str| {
                let matcher = Matcher::equal(name, value);
                postings::select(&opened.index, &access.bucket, &[&matcher], &access.budget).await.unwrap().0
            };
            let all = postings::select(&opened.index, &access.bucket, &[], &access.budget).await.unwrap().0;
            let buffers = series::read_entries(&opened.index, &access.bucket, &all, &access.budget).await.unwrap();
            let mut rebuilt: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
            let visit = |reference, pairs: &[(&str, &str)], _: cursor::Cursor<'_>| {
                for (name, value) in pairs {
                    rebuilt.entry(((*name).into(), (*value).into())).or_default().push(reference);
                }
                Ok(())
            };
            buffers.visit(&opened.index, &all, visit).unwrap();
            assert_eq!(all.len() as u64, block.meta.stats.num_series);
            let mut pairs = 0;
            for name in opened.index.label_names() {
                opened.index.values(&access.bucket, &access.budget, (name, ""), |_, _| pairs += 1).await.unwrap();
            }
            assert_eq!(pairs, rebuilt.len());
            for ((name, value), list) in &rebuilt {
                assert_eq!(find(name, value).await, *list, "{name}={value}");
            }
        }
    }
}

/// What is read and written again is the same, byte for byte, also `meta.json` where it is a plain one.
#[tokio::test]
async fn our_writer_gives_the_bytes_of_prometheus() {
    let (mut compared, mut indexes) = (0, 0);
    for dataset in DATASETS {
        let Some(data) = golden(&format!("prometheus-3.14/{dataset}/data")) else { return };
        for folder in folders(&data) {
            let meta = block_of(&folder).meta.clone();
            if folder.join("chunks/000002").exists() {
                continue;
            }
            let written = tempfile::tempdir().unwrap();
            let series = series_of(&folder).await.unwrap();
            let options = WriteOptions::new(meta.ulid, meta.min_time, meta.max_time);
            let ours = write_block(written.path(), &mut series.into_iter(), options).unwrap();
            let read = |root: &Path, name: &str| std::fs::read(root.join(name)).unwrap();
            let own = written.path().join(meta.ulid.to_string());
            // A head also gives the symbols of series that are in no chunk of the block.
            let symbols = |root: &Path| read(root, "index")[9..13].to_vec();
            let names =
                if symbols(&folder) == symbols(&own) { &["chunks/000001", "index"][..] } else { &["chunks/000001"] };
            for name in names {
                let (theirs, ours) = (read(&folder, name), read(&own, name));
                let same = theirs.iter().zip(&ours).take_while(|(a, b)| a == b).count();
                assert!(theirs == ours, "{}/{name} differs from byte {same} on", folder.display());
            }
            assert_eq!(BlockMeta::parse(&read(&own, "meta.json")).unwrap(), ours);
            if meta.stats.num_tombstones == 0 {
                assert_eq!(read(&own, "tombstones"), read(&folder, "tombstones"));
            }
            indexes += names.len() - 1;
            if meta.stats.num_tombstones == 0 && meta.compaction == ours.compaction {
                assert_eq!(read(&own, "meta.json"), read(&folder, "meta.json"), "{}", folder.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 10 && indexes > 10, "{compared} plain blocks, {indexes} indexes");
}

/// Several segments, long series entries, long chunks, and a name with more values than are sampled at once.
#[tokio::test]
async fn large_things_are_read_to_their_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random::new(7);
    let series: Vec<(Labels, Vec<Chunk>)> = (0..300)
        .map(|i| {
            let labels = Labels::from_pairs([("__name__", "x"), ("n", &format!("{i:04}")), ("w", &"ü".repeat(i * 9))]);
            let chunks = if i % 100 == 5 { 400 } else { i % 4 };
            let samples = if i % 100 == 7 { 600 } else { 1 + i % 120 };
            let one = |k: usize| {
                let mut encoder = chunk::XorEncoder::new();
                let start = k as Millis * 1000;
                (0..samples as Millis).for_each(|s| encoder.push(start + s, f64::from_bits(random.next())));
                let (min_time, max_time) = (start, start + samples as Millis - 1);
                Chunk { min_time, max_time, encoding: Encoding::Xor, data: encoder.finish() }
            };
            (labels, (0..chunks).map(one).collect())
        })
        .collect();
    let options = WriteOptions { segment_bytes: 100_000, ..WriteOptions::new(Ulid::new(1, 1), 0, 1_000_000) };
    let meta = write_block(directory.path(), &mut series.clone().into_iter(), options).unwrap();
    let folder = directory.path().join(meta.ulid.to_string());
    assert!(folder.join("chunks/000003").exists());
    let mut expected = series.clone();
    expected.retain(|(_, chunks)| !chunks.is_empty());
    assert!(series_of(&folder).await.unwrap() == expected);

    let store = refreshed(directory.path(), &[]).await;
    for (labels, chunks) in expected {
        let one = request(vec![Matcher::equal("n", labels.value("n"))]);
        let found = all_of(&store, one).await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].labels == labels && found[0].lanes[0].chunks[..] == chunks);
    }
    let late = Select { min_time: 250_000, max_time: 250_000, ..request(vec![]) };
    let found = all_of(&store, late).await.unwrap();
    assert_eq!(found.iter().map(|s| s.lanes[0].chunks.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

/// First and last time of a chunk, and its reference.
type ChunkAt = (Millis, Millis, u64);

/// An index of version 1 for `series` with these chunks: symbols and series by their offsets, the table in no order.
fn first_version(series: &[(Labels, Vec<ChunkAt>)]) -> Vec<u8> {
    fn section(out: &mut Vec<u8>, content: &[u8]) {
        out.extend((content.len() as u32).to_be_bytes());
        out.extend(content);
        out.extend(crc32c::crc32c(content).to_be_bytes());
    }
    let mut out = index::MAGIC.to_be_bytes().to_vec();
    out.push(1);
    let symbols: BTreeSet<&str> = series.iter().flat_map(|(labels, _)| labels).flat_map(|(n, v)| [n, v]).collect();
    let mut content = (symbols.len() as u32).to_be_bytes().to_vec();
    let mut offsets = HashMap::new();
    for symbol in symbols {
        offsets.insert(symbol, (out.len() + 4 + content.len()) as u64);
        cursor::put_text(&mut content, symbol);
    }
    let symbols_at = out.len();
    section(&mut out, &content);
    let series_at = out.len();
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (labels, chunks) in series {
        let reference = out.len() as u32;
        let mut entry = Vec::new();
        cursor::put_uvarint(&mut entry, labels.len() as u64);
        postings.entry(("", "")).or_default().push(reference);
        for (name, value) in labels {
            cursor::put_uvarint(&mut entry, offsets[name]);
            cursor::put_uvarint(&mut entry, offsets[value]);
            postings.entry((name, value)).or_default().push(reference);
        }
        write::put_chunks(&mut entry, chunks);
        cursor::put_uvarint(&mut out, entry.len() as u64);
        out.extend(&entry);
        out.extend(crc32c::crc32c(&entry).to_be_bytes());
    }
    let postings_at = out.len();
    let mut table = (postings.len() as u32).to_be_bytes().to_vec();
    for ((name, value), list) in postings.iter().rev() {
        cursor::put_uvarint(&mut table, 2);
        cursor::put_text(&mut table, name);
        cursor::put_text(&mut table, value);
        cursor::put_uvarint(&mut table, out.len() as u64);
        let list: Vec<u32> = [list.len() as u32].into_iter().chain(list.iter().copied()).collect();
        section(&mut out, &list.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>());
    }
    let table_at = out.len();
    section(&mut out, &table);
    let toc = [symbols_at, series_at, postings_at, table_at, postings_at, table_at];
    let toc: Vec<u8> = toc.iter().flat_map(|offset| (*offset as u64).to_be_bytes()).collect();
    out.extend(&toc);
    out.extend(crc32c::crc32c(&toc).to_be_bytes());
    out
}

/// Versions 1 and 3 of the index, which no recorded block has.
#[tokio::test]
async fn other_versions_of_the_index_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut at = 8;
    let mut rows: Vec<(Labels, Vec<Chunk>)> = Vec::new();
    for n in 0..3000 {
        let labels =
            Labels::from_pairs([("__name__", "x".into()), ("n", format!("{n:04}")), ("odd", (n % 2).to_string())]);
        rows.push((labels, chunk::encode(&[n, n + 5], &[1.0, n as f64])));
    }
    let mut series = Vec::new();
    for (labels, chunks) in &rows {
        let chunk = &chunks[0];
        series.push((labels.clone(), vec![(chunk.min_time, chunk.max_time, at)]));
        at += 1 + 1 + chunk.data.len() as u64 + 4;
    }
    let options = WriteOptions::new(Ulid::new(1, 1), 0, 10_000);
    let meta = write_block(directory.path(), &mut rows.clone().into_iter(), options).unwrap();
    let path = directory.path().join(meta.ulid.to_string()).join("index");
    let mut third = std::fs::read(&path).unwrap();
    third[4] = 3;
    for index in [third, first_version(&series)] {
        std::fs::write(&path, index).unwrap();
        assert!(series_of(path.parent().unwrap()).await.unwrap() == rows);
        let store = refreshed(directory.path(), &[]).await;
        let odd = vec![Matcher::equal("odd", "1"), Matcher::new("n", MatchOp::Regex, "12.*").unwrap()];
        assert_eq!(all_of(&store, request(odd)).await.unwrap().len(), 50);
        let one = vec![Matcher::equal("n", "2999")];
        assert_eq!(all_of(&store, request(one)).await.unwrap().len(), 1);
        assert_eq!(names_of(&store, request(vec![])).await, replicas(&["__name__", "n", "odd"]));
        assert_eq!(values_of(&store, "n", request(vec![])).await.len(), 3000);
    }
    let mut unknown = std::fs::read(&path).unwrap();
    unknown[4] = 4;
    std::fs::write(&path, unknown).unwrap();
    let error = series_of(path.parent().unwrap()).await.unwrap_err();
    assert!(error.context.contains("version 4"), "{error}");
}

/// Whatever byte of a block is damaged: an error, or the same series, and never a panic.
#[tokio::test]
async fn damaged_blocks_are_errors_or_the_same_data() {
    let Some(data) = golden("prometheus-3.14/overlap/data") else { return };
    let folder =
        folders(&data).into_iter().find(|f| f.to_string_lossy().ends_with("01M7YKKX3BE8V8B5ASGJMT7955")).unwrap();
    let expected = series_of(&folder).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(folder.file_name().unwrap());
    std::fs::create_dir_all(copy.join("chunks")).unwrap();
    for name in ["meta.json", "index", "chunks/000001"] {
        std::fs::write(copy.join(name), std::fs::read(folder.join(name)).unwrap()).unwrap();
    }
    let mut random = Random::new(3);
    let mut errors = 0;
    for name in ["index", "chunks/000001"] {
        let whole = std::fs::read(copy.join(name)).unwrap();
        let step = whole.len().div_ceil(400);
        for at in (0..whole.len()).step_by(step) {
            let mut bad = whole.clone();
            bad[at] ^= 1 << random.below(8);
            std::fs::write(copy.join(name), &bad).unwrap();
            match series_of(&copy).await {
                Ok(series) => assert!(series == expected, "{name} byte {at}"),
                Err(e) => {
                    assert!(matches!(e.kind, StoreErrorKind::Corrupt | StoreErrorKind::Unsupported), "{e}");
                    assert!(e.context.contains("01M7YKKX3BE8V8B5ASGJMT7955"), "{e}");
                    errors += 1;
                }
            }
            std::fs::write(copy.join(name), &whole[..at]).unwrap();
            assert!(series_of(&copy).await.is_err(), "{name} cut at {at}");
        }
        std::fs::write(copy.join(name), &whole).unwrap();
    }
    assert!(errors > 300, "{errors}");
    assert!(series_of(&copy).await.unwrap() == expected);
}

#[tokio::test]
async fn a_chunk_with_a_wrong_checksum_is_named() {
    let Some(bucket) = golden("thanos-0.43/bucket-corrupt") else { return };
    let store = refreshed(&bucket, &[]).await;
    let error = all_of(&store, request(vec![Matcher::equal("__name__", "corrupt_chunk_metric")])).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    for part in ["block 01HG8Z", "segment 000001", "offset 8", "checksum"] {
        assert!(error.context.contains(part), "{error}");
    }
    let sound = all_of(&store, request(vec![Matcher::equal("__name__", "sound_metric")])).await.unwrap();
    assert_eq!(sound.len(), 1);
}

/// All kinds of matchers against plain filtering of all series.
#[tokio::test]
async fn matchers_select_what_filtering_selects() {
    let Some(data) = golden("prometheus-3.14/floats/data") else { return };
    let external = [("cluster", "eu"), ("id", "hidden")];
    let store = refreshed(&data, &external).await;
    let all = all_of(&store, request(vec![])).await.unwrap();
    let names: BTreeSet<&str> = all.iter().flat_map(|s| s.labels.iter()).map(|(name, _)| name).collect();
    let mut random = Random::new(11);
    for round in 0..400 {
        let mut matchers = Vec::new();
        for _ in 0..1 + random.below(3) {
            let one = &all[random.below(all.len())].labels;
            let pairs: Vec<(&str, &str)> = one.iter().collect();
            let (name, value) = pairs[random.below(pairs.len())];
            let name = if random.one_in(5) { names.iter().nth(random.below(names.len())).unwrap() } else { name };
            let start: String = value.chars().take(2).filter(|c| c.is_alphanumeric()).collect();
            let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let regex = match random.below(6) {
                0 => format!("{start}.*"),
                1 => ".*".into(),
                2 => ".+".into(),
                3 if plain => format!("{value}|nothing|"),
                4 if plain => format!("{value}|a|b"),
                _ => format!(".*{start}.*"),
            };
            let matcher = match random.below(5) {
                0 => Matcher::new(name, MatchOp::NotEqual, value),
                1 => Matcher::new(name, MatchOp::Regex, &regex),
                2 => Matcher::new(name, MatchOp::NotRegex, &regex),
                3 => Matcher::new(name, if random.one_in(2) { MatchOp::Equal } else { MatchOp::NotEqual }, ""),
                _ => Matcher::new(name, MatchOp::Equal, value),
            };
            matchers.push(matcher.unwrap());
        }
        let fulfils = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.value(m.name())));
        let expected: BTreeSet<&Labels> = all.iter().map(|s| &s.labels).filter(|labels| fulfils(labels)).collect();
        let found = all_of(&store, request(matchers.clone())).await.unwrap();
        assert_eq!(found.iter().map(|s| &s.labels).collect::<BTreeSet<_>>(), expected, "round {round}: {matchers:?}");

        let request = request(matchers.clone());
        let expected_names: BTreeSet<&str> = expected.iter().flat_map(|l| l.iter()).map(|(name, _)| name).collect();
        let found = names_of(&store, request.clone()).await;
        assert_eq!(found, expected_names.into_iter().map(Box::from).collect::<Vec<_>>(), "round {round}");
        let name = names.iter().nth(random.below(names.len())).unwrap();
        let values: BTreeSet<&str> = expected.iter().filter_map(|labels| labels.get(name)).collect();
        let found = values_of(&store, name, request).await;
        assert_eq!(found, values.into_iter().map(Box::from).collect::<Vec<_>>(), "round {round}: {name}, {matchers:?}");
    }
}

/// Counts of samples per metric, as a Prometheus over the same data answered, deletions and overlaps included.
#[tokio::test]
async fn counts_are_those_that_prometheus_answered() {
    // The windows of 13 h are open to the left.
    let start = 1_700_049_600_000 - 13 * 3_600_000;
    let mut compared = 0;
    for dataset in ["floats", "tombstones", "overlap"] {
        let Some(data) = golden(&format!("prometheus-3.14/{dataset}/data")) else { return };
        let store = refreshed(&data, &[]).await;
        let questions = std::fs::read_to_string(data.parent().unwrap().join("queries.jsonl")).unwrap();
        for line in questions.lines().skip(1) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(query) = line["params"][0][1].as_str() else { continue };
            let name = query.strip_prefix("sum(count_over_time({\"").and_then(|rest| rest.strip_suffix("\"}[13h]))"));
            let Some(name) = name.filter(|_| line["conflict"] != true) else { continue };
            let name = &name.replace("\\\"", "\"");
            let expected = line["body"]["data"]["result"][0]["value"][1].as_str().map_or(0, |n| n.parse().unwrap());
            let found = match all_of(&store, request(vec![Matcher::equal("__name__", name)])).await {
                Err(e) if e.kind == StoreErrorKind::Unsupported => continue,
                found => found.unwrap(),
            };
            let mut times: HashMap<Labels, BTreeSet<Millis>> = HashMap::new();
            let mut histograms = false;
            for series in &found {
                let mut samples = Samples::default();
                for chunk in series.lanes.iter().flat_map(|lane| &lane.chunks) {
                    histograms |= chunk.encoding != Encoding::Xor;
                    if !histograms {
                        chunk::decode(chunk, &mut samples).unwrap();
                    }
                }
                let inside = |(t, v): &(&Millis, &f64)| **t > start && !is_stale(**v);
                let fresh = samples.timestamps.iter().zip(&samples.values).filter(inside);
                times.entry(series.labels.clone()).or_default().extend(fresh.map(|(time, _)| *time));
            }
            if !histograms {
                assert_eq!(times.values().map(BTreeSet::len).sum::<usize>(), expected, "{dataset}: {name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 25, "{compared}");
}

/// Deleted series: listed while a chunk is not wholly deleted; names and values ignore deletions. As recorded.
#[tokio::test]
async fn deletions_show_in_series_and_not_in_names() {
    let Some(data) = golden("prometheus-3.14/tombstones/data") else { return };
    let store = refreshed(&data, &[]).await;
    let gone = || vec![Matcher::new("__name__", MatchOp::Regex, "gone.*|untouched").unwrap()];
    let found = all_of(&store, Select { labels_only: true, ..request(gone()) }).await.unwrap();
    let names: BTreeSet<&str> = found.iter().map(|series| series.labels.metric_name()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["gone_in_one_block", "untouched"]);
    assert!(found.iter().all(|series| series.lanes.len() == 1 && series.lanes[0].chunks.is_empty()));
    let values = values_of(&store, "__name__", request(vec![Matcher::equal("x", "1")])).await;
    assert_eq!(values, replicas(&["gone", "gone_in_one_block", "untouched"]));
    let names = names_of(&store, request(vec![Matcher::equal("__name__", "gone")])).await;
    assert_eq!(names, replicas(&["__name__", "x"]));
    let error = all_of(&store, request(vec![Matcher::equal("__name__", "del_seconds")])).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error}");
}

/// Served and skipped blocks, and gaps, as the README of the recorded bucket has them.
#[tokio::test]
async fn the_bucket_is_served_as_its_readme_says() {
    let Some(bucket) = golden("thanos-0.43/bucket") else { return };
    let store = store_of(&bucket, &[]);
    assert!(matches!(store.info().state, StoreState::Starting));
    store.refresh(UNIX_EPOCH + Duration::from_secs(1_782_000_000)).await.unwrap();
    let counts: Vec<_> = store.skipped().into_iter().collect();
    let expected = [("marked-for-deletion", 1), ("no-meta-json", 1), ("resolution", 16), ("superseded", 1)];
    assert_eq!(counts, expected);
    for (ulid, reason) in [
        ("01HG8ADMVH7568KGJT6SWHKCE8", SkipReason::Superseded),
        ("01HG8R726BDENGEKAK48EJ2KQ2", SkipReason::MarkedForDeletion),
        ("01HG9CSAMVEA0SZ40DKXW8FABK", SkipReason::NoMeta),
        ("01M7YM74KADNA4FRZNRCBTAS99", SkipReason::Resolution),
    ] {
        assert!(store.skipped_blocks().contains(&(ulid.parse().unwrap(), reason)), "{ulid}");
    }
    let served: BTreeSet<String> = store.served_blocks().iter().map(Ulid::to_string).collect();
    assert_eq!(served.len(), 33);
    for ulid in ["01HG8Z0F7BPS7XVG2V21J8RQCJ", "01HG9CRJ7K1E11AF19CW26RWTV", "01M7YM74F5QBJ9XHTB86A9DR65"] {
        assert!(served.contains(ulid), "{ulid}");
    }
    for (metric, found) in [
        ("only_in_superseded_block", 0),
        ("only_in_old_marked_block", 0),
        ("only_in_partial_block", 0),
        ("only_in_fresh_marked_block", 1),
        ("only_in_no_compact_block", 1),
    ] {
        let series = all_of(&store, request(vec![Matcher::equal("__name__", metric)])).await.unwrap();
        assert_eq!(series.len(), found, "{metric}");
    }
    // us-east has no raw block before 2023-11-25.
    let (start, end) = (1_699_790_400_000, 1_700_870_400_000 - 1);
    let gaps = store.gaps(&request(vec![]));
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    for (gap, replica) in gaps.iter().zip(["a", "b"]) {
        assert_eq!((gap.min_time, gap.max_time), (start, end));
        assert_eq!((gap.labels.value("cluster"), gap.labels.value("prometheus_replica")), ("prod-us-east", replica));
    }
    assert!(store.gaps(&Select { min_time: end + 1, ..request(vec![]) }).is_empty());
    assert!(store.gaps(&request(vec![Matcher::equal("cluster", "prod-eu-west")])).is_empty());
    let info = store.info();
    assert_eq!((info.min_time, info.max_time, info.label_sets.len()), (start, 1_701_129_600_000 - 1, 5));
    assert!(matches!(info.state, StoreState::Up));
}

/// A label of the series that an external one hides is nowhere: neither in the labels nor for matchers.
#[tokio::test]
async fn external_labels_hide_those_of_the_series_and_replicas_name_lanes() {
    let Some(bucket) = golden("thanos-0.43/bucket") else { return };
    let store = refreshed(&bucket, &[]).await;
    let clash = || Matcher::equal("__name__", "clash_metric");
    let found = all_of(&store, request(vec![clash()])).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|s| s.labels.value("region").ends_with("-1")));
    let own = request(vec![clash(), Matcher::equal("region", "own-region")]);
    assert!(all_of(&store, own).await.unwrap().is_empty());

    let up = Select {
        replica_labels: replicas(&["prometheus_replica"]),
        ..request(vec![Matcher::equal("__name__", "up"), Matcher::equal("cluster", "prod-eu-west")])
    };
    let lanes: BTreeSet<Lane> =
        all_of(&store, up.clone()).await.unwrap().into_iter().flat_map(|s| s.lanes).map(|lane| lane.lane).collect();
    let replica = |value: &str| Lane { replica: Labels::from_pairs([("prometheus_replica", value)]), store: None };
    let folded = Lane { replica: Labels::empty(), store: Some(store.info().id.clone()) };
    assert_eq!(lanes, BTreeSet::from([replica("a"), replica("b"), folded]));
    let plain = Select { replica_labels: Vec::new(), ..up.clone() };
    let series = all_of(&store, plain).await.unwrap();
    assert!(series.iter().all(|s| s.lanes.len() == 1 && s.lanes[0].lane == Lane::default()));
    // A replica label of the series themselves gives several lanes to one series of one block.
    let by_queue = Select {
        replica_labels: replicas(&["queue", "prometheus_replica"]),
        ..request(vec![Matcher::equal("__name__", "queue_depth")])
    };
    let series = all_of(&store, by_queue).await.unwrap();
    assert!(series.iter().any(|s| s.lanes.len() >= 2) && series.iter().all(|s| s.labels.get("queue").is_none()));
    let named = |s: &Series| s.lanes.iter().all(|lane| lane.lane.replica.get("queue").is_some());
    assert!(series.iter().all(named));
}

/// A data directory whose Prometheus has a head, and labels given to it.
#[tokio::test]
async fn the_head_of_a_data_directory_is_a_gap() {
    let Some(data) = golden("thanos-0.43/prometheus/prod-eu-west-a/data") else { return };
    let store = refreshed(&data, &[("cluster", "prod-eu-west"), ("prometheus_replica", "a")]).await;
    assert_eq!(store.served_blocks().len(), 3);
    let gaps = store.gaps(&request(vec![]));
    let end = 1_701_129_600_000;
    assert_eq!(gaps.iter().map(|g| (g.min_time, g.max_time)).collect::<Vec<_>>(), [(end, Millis::MAX)]);
    assert!(gaps[0].reason.contains("wal") && gaps[0].labels.value("prometheus_replica") == "a");
    assert!(store.gaps(&Select { max_time: end - 1, ..request(vec![]) }).is_empty());
    assert!(store.gaps(&request(vec![Matcher::equal("cluster", "other")])).is_empty());
    assert!(store.info().may_contribute(&Select { min_time: end + 1, ..request(vec![]) }), "so that it is asked");
}

/// A folder that cannot be listed keeps its last view and says so; a block that goes is named.
#[tokio::test]
async fn folders_and_blocks_that_go_are_named() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("data");
    let now = UNIX_EPOCH + Duration::from_secs(100);
    let store = store_of(&directory, &[]);
    assert!(store.refresh(now).await.is_err());
    assert!(matches!(store.info().state, StoreState::Down { since, .. } if since == now));
    assert!(store.refresh(now + Duration::from_secs(30)).await.is_err());
    assert!(matches!(store.info().state, StoreState::Down { since, .. } if since == now));
    assert!(store.info().may_contribute(&request(vec![])), "it might hold anything");

    let fixture = Fixture::standard(0);
    let chunks = |samples: &Samples| chunk::encode(&samples.timestamps, &samples.values);
    let series: Vec<_> = fixture.series.iter().map(|(labels, s)| (labels.clone(), chunks(s))).collect();
    let options = WriteOptions::new(Ulid::new(5, 5), 0, 7_200_000);
    let meta = write_block(&directory, &mut series.into_iter(), options).unwrap();
    store.refresh(now).await.unwrap();
    assert!(matches!(store.info().state, StoreState::Up) && store.gaps(&request(vec![])).is_empty());

    let moved = root.path().join("moved");
    std::fs::rename(&directory, &moved).unwrap();
    assert!(store.refresh(now).await.is_err());
    assert_eq!(store.served_blocks(), [meta.ulid]);
    let gaps = store.gaps(&request(vec![]));
    assert_eq!(gaps.iter().map(|g| (g.min_time, g.max_time)).collect::<Vec<_>>(), [(7_200_000, Millis::MAX)]);
    let error = all_of(&store, request(vec![])).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.context.contains(&meta.ulid.to_string()) && error.context.contains("gone"), "{error}");

    std::fs::rename(&moved, &directory).unwrap();
    store.refresh(now).await.unwrap();
    assert!(store.gaps(&request(vec![])).is_empty());
    let mut stream = store.select(Arc::new(request(vec![])), Allowance::unlimited()).remove(0);
    assert!(stream.next().await.unwrap().is_ok());
    std::fs::remove_dir_all(directory.join(meta.ulid.to_string())).unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(error.context.contains(&meta.ulid.to_string()) && error.context.contains("gone"), "{error}");
    assert!(stream.next().await.is_none(), "a stream ends after its first error");
    store.refresh(now).await.unwrap();
    assert!(store.served_blocks().is_empty());
}

/// The same over an object store that is no local folder, where data is cached too.
#[tokio::test]
async fn another_object_store_gives_the_same() {
    use object_store::memory::InMemory;
    use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
    let Some(data) = golden("prometheus-3.14/floats/data") else { return };
    let remote = Arc::new(InMemory::new());
    for folder in folders(&data) {
        let mut files = vec!["meta.json".to_owned(), "index".into(), "tombstones".into()];
        let segments = std::fs::read_dir(folder.join("chunks")).unwrap();
        files.extend(segments.map(|entry| format!("chunks/{}", entry.unwrap().file_name().to_str().unwrap())));
        for file in files {
            let ulid = folder.file_name().unwrap().to_str().unwrap();
            let path = ObjectPath::from(format!("tenant/metrics/{ulid}/{file}"));
            remote.put(&path, std::fs::read(folder.join(file)).unwrap().into()).await.unwrap();
        }
    }
    let remote: Arc<dyn ObjectStore> = remote;
    let process = Budget::new("process", 8 << 20);
    let bucket = Bucket::new(remote, ObjectPath::from("tenant/metrics"), process.clone(), 1 << 20);
    let (id, labels) = ("blocks:remote".into(), Labels::empty());
    let store = BlockStore::open(BlockStoreOptions { id, bucket, labels, budget: process.clone() });
    store.refresh(SystemTime::now()).await.unwrap();
    let local = refreshed(&data, &[]).await;
    for name in ["many", "fast_total", "none"] {
        for _ in 0..2 {
            let one = || request(vec![Matcher::equal("__name__", name)]);
            let strip = |all: Vec<Series>| -> Vec<(Labels, Vec<Chunk>)> {
                all.into_iter().map(|mut s| (s.labels, s.lanes.remove(0).chunks.into_vec())).collect()
            };
            let (ours, theirs) = (all_of(&store, one()).await.unwrap(), all_of(&local, one()).await.unwrap());
            assert!(strip(ours) == strip(theirs), "{name}");
        }
    }
    assert!(process.used() > 0, "indexes and ranges are reserved");
    drop(store);
    assert_eq!(process.used(), 0);
}

/// A limit gives the first series of each block, and the first names and values.
#[tokio::test]
async fn limits_cut_at_the_front() {
    let Some(data) = golden("prometheus-3.14/floats/data") else { return };
    let store = refreshed(&data, &[]).await;
    let whole = || request(vec![Matcher::equal("__name__", "many")]);
    let limited = || Select { limit: 3, ..whole() };
    for (one, all) in store
        .select(Arc::new(limited()), Allowance::unlimited())
        .into_iter()
        .zip(store.select(Arc::new(whole()), Allowance::unlimited()))
    {
        let (one, all) = (collect(one).await.unwrap(), collect(all).await.unwrap());
        let labels = |series: &[Series]| series.iter().map(|s| s.labels.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&one), labels(&all[..all.len().min(3)]));
    }
    let names = names_of(&store, Select { limit: 2, ..request(vec![]) }).await;
    assert_eq!(names, names_of(&store, request(vec![])).await[..2]);
    let values = values_of(&store, "id", limited()).await;
    assert_eq!(values, values_of(&store, "id", whole()).await[..3]);
}

/// Tombstones that change are read again.
#[tokio::test]
async fn later_deletions_are_seen() {
    let Some(data) = golden("prometheus-3.14/tombstones/data") else { return };
    let source = folders(&data).remove(0);
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(source.file_name().unwrap());
    std::fs::create_dir_all(copy.join("chunks")).unwrap();
    let files = ["meta.json", "index", "chunks/000001", "tombstones"]
        .map(|name| (name, std::fs::read(source.join(name)).unwrap()));
    for (name, bytes) in &files[..3] {
        std::fs::write(copy.join(name), bytes).unwrap();
    }
    let store = refreshed(directory.path(), &[]).await;
    let only = || Select { labels_only: true, ..request(vec![]) };
    let before = all_of(&store, only()).await.unwrap().len();
    std::fs::write(copy.join("tombstones"), &files[3].1).unwrap();
    store.refresh(SystemTime::now()).await.unwrap();
    assert!(all_of(&store, only()).await.unwrap().len() < before, "of {before}");
}

/// The contract of every store, over a bucket and over a data directory with labels given to it.
#[tokio::test]
async fn blocks_keep_the_contract() {
    let fixture = Fixture::standard(1_700_000_040_000);
    for in_bucket in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let hours = 3_600_000;
        let start = 1_700_000_040_000 / (2 * hours) * (2 * hours);
        for (at, seed) in [(start, 1), (start + 2 * hours, 2)] {
            let series = fixture.series.iter().filter_map(|(labels, samples)| {
                let inside = |time: &Millis| (at..at + 2 * hours).contains(time);
                let pairs = samples.timestamps.iter().zip(&samples.values).filter(|(time, _)| inside(time));
                let (times, values): (Vec<Millis>, Vec<f64>) = pairs.map(|(t, v)| (*t, *v)).unzip();
                (!times.is_empty()).then(|| (labels.clone(), chunk::encode(&times, &values)))
            });
            let mut series: Vec<_> = series.collect();
            if series.is_empty() {
                continue;
            }
            let labels = in_bucket.then(|| fixture.external.clone());
            let options = WriteOptions { labels, ..WriteOptions::new(Ulid::new(9, seed), at, at + 2 * hours) };
            write_block(directory.path(), &mut series.drain(..), options).unwrap();
        }
        let labels = if in_bucket { Labels::empty() } else { fixture.external.clone() };
        let options = BlockStoreOptions::directory(directory.path(), labels, Budget::unlimited()).unwrap();
        let store = BlockStore::open(options);
        store.refresh(SystemTime::now()).await.unwrap();
        contract(&store, &fixture).await;
    }
}

#[test]
fn the_writer_refuses_what_is_no_block() {
    let directory = tempfile::tempdir().unwrap();
    let series = |n: &str, times: &[Millis]| {
        let values = vec![1.0; times.len()];
        (Labels::from_pairs([("__name__", n)]), chunk::encode(times, &values))
    };
    let mut overlapping = series("a", &[1, 2]);
    overlapping.1.extend(series("a", &[2, 3]).1);
    let rows = [
        ("does not ascend", vec![series("b", &[1]), series("a", &[1])]),
        ("does not ascend", vec![series("a", &[1]), series("a", &[1])]),
        ("overlap", vec![overlapping]),
        ("outside", vec![series("a", &[10])]),
        ("no labels", vec![(Labels::empty(), Vec::new())]),
    ];
    for (i, (why, rows)) in rows.into_iter().enumerate() {
        let options = WriteOptions::new(Ulid::new(1, i as u64), 0, 10);
        let error = write_block(directory.path(), &mut rows.into_iter(), options).unwrap_err();
        assert!(error.kind == StoreErrorKind::Refused && error.context.contains(why), "{error}");
    }
    assert!(folders(directory.path()).is_empty(), "no meta.json without a block");
}
