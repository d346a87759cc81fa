//! Damaged blocks.

use super::*;

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

/// A sound checksum over bytes that cannot be a chunk: the block is to blame, not whoever would decode them.
#[tokio::test]
async fn what_cannot_be_a_chunk_is_named() {
    for data in [&[0xff; 40][..], &[0, 9, 1, 2, 3], &[1]] {
        let directory = tempfile::tempdir().unwrap();
        let chunk = Chunk { min_time: 5, max_time: 9, encoding: Encoding::Xor, data: data.to_vec().into() };
        let series = (Labels::from_pairs([("__name__", "up")]), vec![chunk]);
        let options = WriteOptions::new(Ulid::new(1, 0), 0, 10);
        write_block(directory.path(), &mut [series].into_iter(), options).unwrap();
        let error = all_of(&refreshed(directory.path(), &[]).await, request(vec![])).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt);
        assert!(
            error.context.ends_with("read chunk at segment 000001 offset 8: it is too short for its number of samples")
        );
    }
}

/// What the checksums of an index cover: ranges of bytes, each with its checksum behind it.
fn covered(index: &[u8]) -> Vec<std::ops::Range<usize>> {
    let be32 = |at: usize| u32::from_be_bytes(index[at..at + 4].try_into().unwrap()) as usize;
    let toc = index.len() - 52;
    let offset = |i: usize| u64::from_be_bytes(index[toc + 8 * i..toc + 8 * i + 8].try_into().unwrap()) as usize;
    let section = |at: usize| at + 4..at + 4 + be32(at);
    let (symbols, series, postings, table) = (offset(0), offset(1), offset(4), offset(5));
    let mut all = vec![toc..toc + 48, section(symbols), section(table)];
    let mut at = series;
    while at < postings {
        let mut cursor = cursor::Cursor::new(&index[at..]);
        let length = cursor.uvarint().unwrap() as usize;
        let start = index.len() - cursor.rest.len();
        all.push(start..start + length);
        at = (start + length + 4).next_multiple_of(16).min(postings);
    }
    at = postings;
    while at < table {
        let list = section(at);
        at = (list.end + 4).next_multiple_of(4);
        all.push(list);
    }
    all
}

/// An index that lies, with sound checksums: whatever it says, there is an answer or an error, and nothing larger than
/// the block is reserved for long.
#[tokio::test]
async fn indexes_that_lie_are_no_danger() {
    let directory = tempfile::tempdir().unwrap();
    let series = (0..40).map(|i| {
        let times: Vec<Millis> = (0..300).map(|t| t * 15_000 + i).collect();
        let values: Vec<f64> = times.iter().map(|t| *t as f64).collect();
        let (n, zone) = (format!("{i:03}"), ["a", "b", ""][i as usize % 3]);
        let pairs = [("__name__", "up"), ("n", n.as_str()), ("zone", zone)];
        (Labels::from_pairs(pairs), chunk::encode(&times, &values))
    });
    let options = WriteOptions::new(Ulid::new(1, 0), 0, 10_000_000);
    let meta = write_block(directory.path(), &mut series.collect::<Vec<_>>().into_iter(), options).unwrap();
    let path = directory.path().join(meta.ulid.to_string()).join("index");
    let whole = std::fs::read(&path).unwrap();
    let covered = covered(&whole);
    let (series, postings, label_indices) = (40, 1 + 1 + 40 + 2, 3 + 1);
    assert_eq!(covered.len(), 3 + series + postings + label_indices, "each part of the index");
    let matchers = [
        vec![],
        vec![Matcher::equal("zone", "a")],
        vec![Matcher::new("n", MatchOp::Regex, "0[12].").unwrap(), Matcher::equal("zone", "")],
    ];
    let mut random = Random::new(5);
    let (mut answers, mut errors) = (0, 0);
    for round in 0..1_500 {
        let mut bad = whole.clone();
        // The first three, which are read first, as often as all others.
        let part = if round % 2 == 0 { &covered[round / 2 % 3] } else { &covered[random.below(covered.len())] };
        for _ in 0..1 + random.below(3) {
            let at = part.start + random.below(part.len());
            bad[at] = [0, 1, 0x7f, 0x80, 0xff, random.next() as u8][random.below(6)];
        }
        let sum = crc32c::crc32c(&bad[part.clone()]).to_be_bytes();
        bad[part.end..part.end + 4].copy_from_slice(&sum);
        std::fs::write(&path, &bad).unwrap();
        let store = refreshed(directory.path(), &[]).await;
        let budget = Budget::new("query", 64 << 20);
        for matchers in &matchers {
            let request = Arc::new(request(matchers.clone()));
            for stream in store.select(request.clone(), Allowance::of(&budget)) {
                match stream.collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<_>, _>>() {
                    Ok(_) => answers += 1,
                    Err(_) => errors += 1,
                }
            }
            let _ = store.label_names(request.clone(), Allowance::of(&budget)).await;
            let _ = store.label_values("n".into(), request.clone(), Allowance::of(&budget)).await;
            let _ = store.label_values("zone".into(), request, Allowance::of(&budget)).await;
        }
        assert_eq!(budget.used(), 0, "round {round}");
    }
    assert!(answers > 500 && errors > 500, "{answers} answers, {errors} errors");
}
