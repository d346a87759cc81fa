//! Blocks that Prometheus wrote, and what it answered over them.

use super::*;

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
