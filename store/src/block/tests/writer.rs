//! Our own writer.

use super::*;

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
