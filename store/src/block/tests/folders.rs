//! Folders: which blocks are served, and what comes and goes.

use super::*;

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
    let chunks = |samples: &Samples| chunk::encode_samples(samples);
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
