//! Tombstones.

use super::*;
use crate::block::cursor::{put_uvarint, put_varint};
use crate::block::tombstones::empty_file;

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

/// A limit counts series that are given, not those of which deletions leave nothing though no chunk is deleted as a
/// whole.
#[tokio::test]
async fn a_limit_counts_what_deletions_leave() {
    let directory = tempfile::tempdir().unwrap();
    let series = |name: &str, times: &[Millis]| {
        (Labels::from_pairs([("__name__", name)]), chunk::encode(times, &vec![1.0; times.len()]))
    };
    let rows = [series("a", &[0, 9]), series("b", &[0, 9]), series("c", &[0, 5, 9]), series("d", &[5])];
    write_block(directory.path(), &mut rows.into_iter(), WriteOptions::new(Ulid::new(1, 1), 0, 10)).unwrap();
    let mut entries = Vec::new();
    for reference in 0..200 {
        for time in [0, 9] {
            put_uvarint(&mut entries, reference);
            put_varint(&mut entries, time);
            put_varint(&mut entries, time);
        }
    }
    let mut file = empty_file();
    file.truncate(5);
    file.extend(&entries);
    file.extend(crc32c::crc32c(&entries).to_be_bytes());
    std::fs::write(folders(directory.path())[0].join("tombstones"), file).unwrap();
    let store = refreshed(directory.path(), &[]).await;
    for (limit, names) in [(0, &["c", "d"][..]), (1, &["c"]), (2, &["c", "d"])] {
        let found = all_of(&store, Select { limit, ..request(vec![]) }).await.unwrap();
        assert_eq!(found.iter().map(|series| series.labels.metric_name()).collect::<Vec<_>>(), names, "{limit}");
    }
}
