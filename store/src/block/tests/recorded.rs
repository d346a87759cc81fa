//! Blocks that Prometheus wrote, and what it answered over them.

use super::*;
use crate::samples::HistogramSample;
use crate::testing::Random;

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
                let samples = decoded(chunk);
                floats += samples.timestamps.len() as u64;
                histograms += samples.histograms.len() as u64;
                check_encoding(chunk, &samples);
            }
            assert_eq!(floats, meta.stats.num_float_samples, "{}", folder.display());
            assert_eq!(histograms, meta.stats.num_histogram_samples, "{}", folder.display());
        }
    }
    assert_eq!(chunks_seen.values().sum::<usize>(), 2474, "{chunks_seen:?}");
    assert_eq!(chunks_seen.len(), 6);
}

/// The samples of a chunk, which takes all of its bytes, and has the times and the number of samples that it says.
fn decoded(chunk: &Chunk) -> Samples {
    let mut samples = Samples::default();
    chunk::decode(chunk, &mut samples).unwrap();
    assert!(samples.timestamps.is_empty() || samples.histograms.is_empty());
    let times: Vec<Millis> =
        samples.timestamps.iter().copied().chain(samples.histograms.iter().map(|sample| sample.timestamp)).collect();
    assert_eq!((times.first(), times.last()), (Some(&chunk.min_time), Some(&chunk.max_time)));
    assert_eq!(times.len() as u64, samples_of(chunk));
    let cut = Chunk { data: chunk.data.slice(..chunk.data.len() - 1), ..chunk.clone() };
    assert!(chunk::decode(&cut, &mut Samples::default()).is_err(), "the last byte is needed");
    samples
}

/// What was decoded and is encoded again is the same: floats byte for byte, histograms sample by sample.
fn check_encoding(chunk: &Chunk, samples: &Samples) {
    let again = chunk::encode_again(samples, chunk.encoding).unwrap();
    if samples.histograms.is_empty() {
        // Our encoder takes XOR2 only for start timestamps.
        let has_starts = samples.start_timestamps.iter().any(|start| *start != 0);
        assert!(again.encoding == if has_starts { Encoding::Xor2 } else { Encoding::Xor });
        assert!(again.encoding != chunk.encoding || again == *chunk, "other bytes");
    }
    let mut back = Samples::default();
    chunk::decode(&again, &mut back).unwrap();
    let bits = |samples: &Samples| samples.values.iter().map(|value| value.to_bits()).collect::<Vec<u64>>();
    assert_eq!((&back.timestamps, bits(&back)), (&samples.timestamps, bits(samples)));
    let starts = |samples: &Samples| samples.start_timestamps.iter().any(|start| *start != 0);
    assert!(!starts(samples) || back.start_timestamps == samples.start_timestamps);
    // NaN is no equal of itself, but prints alike.
    assert_eq!(format!("{:?}", shown(&back)), format!("{:?}", shown(samples)));
}

/// Histograms without their empty buckets, which an encoder may add or leave out.
fn shown(samples: &Samples) -> Vec<HistogramSample> {
    let mut samples = samples.histograms.clone();
    for sample in &mut samples {
        let histogram = Arc::make_mut(&mut sample.histogram);
        // Neighbouring spans are one, so that layouts are comparable.
        for spans in [&mut histogram.positive_spans, &mut histogram.negative_spans] {
            let mut merged = spans.to_vec();
            merged.dedup_by(|next, before| {
                let touches = next.offset == 0;
                before.length += if touches { next.length } else { 0 };
                touches
            });
            *spans = merged.into();
        }
    }
    samples
}

/// Bytes of recorded chunks with some bits turned never panic, and what is read still ascends.
#[tokio::test]
async fn damaged_chunks_never_panic() {
    let mut random = Random::new(7);
    let mut read = 0;
    for dataset in ["histograms", "start-timestamps"] {
        let Some(data) = golden(&format!("prometheus-3.14/{dataset}/data")) else { return };
        for folder in folders(&data) {
            for (_, chunks) in series_of(&folder).await.unwrap() {
                for (chunk, _) in chunks.iter().flat_map(|chunk| (0..20).map(move |i| (chunk, i))) {
                    let mut bytes = chunk.data.to_vec();
                    for _ in 0..1 + random.below(3) {
                        let at = random.below(bytes.len());
                        bytes[at] ^= 1 << random.below(8);
                    }
                    let mut samples = Samples::default();
                    let damaged = Chunk { data: bytes.into(), ..chunk.clone() };
                    if chunk::decode(&damaged, &mut samples).is_ok() {
                        read += 1;
                        assert!(samples.timestamps.is_sorted_by(|a, b| a < b));
                        assert!(samples.histograms.is_sorted_by(|a, b| a.timestamp < b.timestamp));
                    } else {
                        assert!(samples.is_empty());
                    }
                }
            }
        }
    }
    assert!(read > 1_000, "{read}");
}

/// Counts of samples per metric, as a Prometheus over the same data answered, deletions and overlaps included.
#[tokio::test]
async fn counts_are_those_that_prometheus_answered() {
    // The windows of 13 h are open to the left.
    let start = 1_700_049_600_000 - 13 * 3_600_000;
    let mut compared = 0;
    for dataset in ["floats", "tombstones", "overlap", "histograms", "start-timestamps", "annotations"] {
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
            let found = all_of(&store, request(vec![Matcher::equal("__name__", name)])).await.unwrap();
            let mut times: HashMap<Labels, BTreeSet<Millis>> = HashMap::new();
            for series in &found {
                let mut samples = Samples::default();
                for chunk in series.lanes.iter().flat_map(|lane| &lane.chunks) {
                    chunk::decode(chunk, &mut samples).unwrap();
                }
                let floats = samples.timestamps.iter().copied().zip(samples.values.iter().copied());
                let all = floats.chain(samples.histograms.iter().map(|h| (h.timestamp, h.histogram.sum)));
                let fresh = all.filter(|(time, value)| *time > start && !is_stale(*value));
                times.entry(series.labels.clone()).or_default().extend(fresh.map(|(time, _)| time));
            }
            assert_eq!(times.values().map(BTreeSet::len).sum::<usize>(), expected, "{dataset}: {name}");
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}
