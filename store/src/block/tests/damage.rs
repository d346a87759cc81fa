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
