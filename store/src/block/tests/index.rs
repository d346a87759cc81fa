//! Indexes: postings, values, series entries and their versions.

use super::*;

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
    let mut out = crate::block::index::MAGIC.to_be_bytes().to_vec();
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
