//! Both codings and all parts of a layout, by a writer of integer chunks that is only here and by our own encoder; foreign
//! bytes.

use super::layout::Described;
use super::*;
use crate::chunk::{self, bits::BitWriter};
use crate::histogram::Span;
use crate::series::Chunk;
use crate::testing::Random;
use crate::{Samples, StoreErrorKind};

fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

/// A chunk of integers: times, count, sum, then buckets of the one side as differences.
fn integer_chunk(schema: i32, spans: &[Span], rows: &[(i64, u64, f64, &[i64])]) -> Vec<u8> {
    let mut out = BitWriter::new(vec![0, rows.len() as u8, 0]);
    Described { schema, zero_threshold: 0.001, spans: [spans, &[]], bounds: &[] }.write(&mut out);
    // Value and delta of time, count, zero count and each bucket.
    let mut state = vec![(0_i64, 0_i64); 3 + rows[0].3.len()];
    let mut sum = super::super::xor::ValueWriter::default();
    for (i, (time, count, total, buckets)) in rows.iter().enumerate() {
        let numbers = [*time, *count as i64, 1].into_iter().chain(buckets.iter().copied());
        for (place, (number, (value, delta))) in numbers.zip(&mut state).enumerate() {
            if place == 3 {
                match i {
                    0 => {
                        sum.bits = total.to_bits();
                        out.put(sum.bits, 64);
                    }
                    _ => sum.put(&mut out, total.to_bits()),
                }
            }
            match (i, place) {
                (0, 1 | 2) => out.put_varbit_uint(number as u64),
                (0, _) => out.put_varbit_int(number),
                _ => {
                    let change = number - *value;
                    out.put_varbit_int(change - *delta);
                    *delta = change;
                }
            }
            *value = number;
        }
    }
    out.finish()
}

fn decoded(encoding: Encoding, data: &[u8]) -> Result<Vec<HistogramSample>, StoreError> {
    let mut out = Vec::new();
    decode(encoding, data, (i64::MIN, i64::MAX), &mut out)?;
    Ok(out)
}

#[test]
fn integers_are_differences_of_differences() {
    let layout = spans(&[(-1, 2), (0, 0), (3, 1)]);
    let rows: [(i64, u64, f64, &[i64]); 3] =
        [(100, 7, 1.5, &[3, -1, 2]), (200, 20, 2.5, &[5, 5, -2]), (350, 21, 2.5, &[5, 6, -2])];
    let samples = decoded(Encoding::Histogram, &integer_chunk(3, &layout, &rows)).unwrap();
    let got: Vec<_> = samples
        .iter()
        .map(|s| (s.timestamp, s.histogram.count, s.histogram.sum, s.histogram.positive_buckets.clone()))
        .collect();
    assert_eq!(
        got,
        [
            (100, 7.0, 1.5, vec![3.0, 2.0, 4.0]),
            (200, 20.0, 2.5, vec![5.0, 10.0, 8.0]),
            (350, 21.0, 2.5, vec![5.0, 11.0, 9.0])
        ]
    );
    let first = &samples[0].histogram;
    assert_eq!((first.schema, first.zero_threshold, first.zero_count), (3, 0.001, 1.0));
    assert_eq!(first.positive_spans, spans(&[(-1, 2), (3, 1)]), "a span of no length only moves on");
    let hints: Vec<_> = samples.iter().map(|s| s.histogram.counter_reset_hint).collect();
    assert_eq!(hints, [CounterResetHint::Unknown, CounterResetHint::NotReset, CounterResetHint::NotReset]);
}

#[test]
fn fine_resolutions_are_reduced() {
    // Buckets 1, 2 and 3 of schema 9 are 1, 1 and 2 of schema 8; -1 and 0 are 0.
    let rows: [(i64, u64, f64, &[i64]); 1] = [(1, 15, 1.0, &[1, 1, 1, 1, 1])];
    let data = integer_chunk(9, &spans(&[(-1, 5)]), &rows);
    let histogram = decoded(Encoding::Histogram, &data).unwrap().remove(0).histogram;
    assert_eq!((histogram.schema, &histogram.positive_spans), (8, &spans(&[(0, 3)])));
    assert_eq!(histogram.positive_buckets, [1.0 + 2.0, 3.0 + 4.0, 5.0]);
    let error = decoded(Encoding::Histogram, &integer_chunk(99, &[], &[(1, 1, 1.0, &[])])).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unsupported);
    assert!(error.to_string().ends_with("custom buckets, got schema 99"), "{error}");
}

/// Histograms of one layout that mostly grow; now and then a bucket appears, a counter falls, a layout changes.
fn random_samples(random: &mut Random) -> Vec<HistogramSample> {
    let starts = random.one_in(2);
    let gauge = random.one_in(4);
    let mut schema = random.below(13) as i32 - 4;
    let mut buckets = std::collections::BTreeMap::from([(random.below(20) as i32 - 10, 1.0)]);
    let mut time = random.next() as i64 >> (20 + random.below(30));
    let mut start_timestamp = time - 1000;
    (0..1 + random.below(300))
        .map(|_| {
            time += 1 + random.below(60_000) as i64;
            if random.one_in(40) {
                buckets.insert(random.below(200) as i32 - 100, 1.0);
            }
            if random.one_in(100) {
                buckets.values_mut().for_each(|count| *count = 0.0);
                start_timestamp = time - 1;
            }
            if random.one_in(150) {
                schema = if schema == -53 { 0 } else { -53 };
                buckets.clear();
            }
            for count in buckets.values_mut() {
                *count += if random.one_in(3) { random.below(100) as f64 / 4.0 } else { 0.0 };
            }
            let custom = schema == -53;
            let keys: Vec<i32> = buckets.keys().copied().collect();
            let counter_reset_hint = if gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
            let histogram = Histogram {
                counter_reset_hint,
                schema,
                zero_threshold: if custom { 0.0 } else { 2_f64.powi(-128) },
                count: buckets.values().sum(),
                sum: random.below(1000) as f64,
                positive_spans: layout::spans_of(&keys),
                positive_buckets: buckets.values().copied().collect(),
                custom_bounds: if custom { vec![0.005, 1.0, 33_554.5, 1e300] } else { Vec::new() },
                ..Histogram::default()
            };
            let histogram = if random.one_in(50) { Histogram::stale() } else { histogram };
            let start_timestamp = if starts { start_timestamp } else { 0 };
            HistogramSample { timestamp: time, start_timestamp, histogram: Arc::new(histogram) }
        })
        .collect()
}

/// What a histogram says, whatever empty buckets it has.
type Content = (i64, i64, i32, u64, u64, Vec<(i32, u64)>, Vec<u64>);

fn content(sample: &HistogramSample) -> Content {
    let h = &sample.histogram;
    let buckets = layout::indexes_of(&h.positive_spans).zip(&h.positive_buckets);
    let buckets = buckets.filter(|(_, count)| **count != 0.0).map(|(index, count)| (index, count.to_bits())).collect();
    let bounds = h.custom_bounds.iter().map(|bound| bound.to_bits()).collect();
    (sample.timestamp, sample.start_timestamp, h.schema, h.count.to_bits(), h.sum.to_bits(), buckets, bounds)
}

fn chunks_of(histograms: Vec<HistogramSample>) -> Vec<Chunk> {
    chunk::encode_samples(&Samples { histograms, ..Samples::default() })
}

#[test]
fn samples_come_back() {
    let mut cuts = 0;
    for seed in 0..500 {
        let samples = random_samples(&mut Random::new(seed));
        let chunks = chunks_of(samples.clone());
        let mut out = Samples::default();
        for chunk in &chunks {
            let start = out.histograms.len();
            assert!(chunk::is_plausible(chunk.encoding, &chunk.data), "seed {seed}");
            chunk::decode(chunk, &mut out).unwrap();
            let (first, last) = (&out.histograms[start], out.histograms.last().unwrap());
            assert_eq!((first.timestamp, last.timestamp), (chunk.min_time, chunk.max_time), "seed {seed}");
        }
        cuts += chunks.len() - 1;
        let got: Vec<Content> = out.histograms.iter().map(content).collect();
        assert_eq!(got, samples.iter().map(content).collect::<Vec<_>>(), "seed {seed}");
        let gauges = |samples: &[HistogramSample]| {
            samples.iter().filter(|s| s.histogram.counter_reset_hint == CounterResetHint::Gauge).count()
        };
        assert_eq!(gauges(&out.histograms), gauges(&samples), "seed {seed}");
        // No counter falls within a chunk.
        for pair in out.histograms.windows(2) {
            let falls = pair[1].histogram.count < pair[0].histogram.count;
            assert!(!falls || pair[1].histogram.counter_reset_hint != CounterResetHint::NotReset, "seed {seed}");
        }
    }
    assert!(cuts > 500, "only {cuts} cuts");
}

#[test]
fn ranges_keep_hints_and_times() {
    let samples = random_samples(&mut Random::new(3));
    let chunk = &chunks_of(samples)[0];
    let mut all = Samples::default();
    chunk::decode(chunk, &mut all).unwrap();
    let times: Vec<i64> = all.histograms.iter().map(|s| s.timestamp).collect();
    let (from, to) = (times[1], times[times.len() - 2]);
    let mut part = Samples::default();
    chunk::decode_range(chunk, from, to, &mut part).unwrap();
    assert_eq!(part.histograms, all.histograms[1..times.len() - 1]);
}

#[test]
fn every_truncation_is_an_error() {
    let mut random = Random::new(1);
    for _ in 0..20 {
        for chunk in chunks_of(random_samples(&mut random)) {
            for length in 0..chunk.data.len() {
                let error = decoded(chunk.encoding, &chunk.data[..length]).unwrap_err();
                assert_eq!(error.kind, StoreErrorKind::Corrupt, "{length} of {}", chunk.data.len());
            }
        }
    }
}

#[test]
fn foreign_bytes_never_panic() {
    let (mut read, mut refused) = (0, 0);
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let chunks = chunks_of(random_samples(&mut random));
        let mut data = chunks[random.below(chunks.len())].data.to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(data.len().min(60));
            data[at] ^= 1 << random.below(8);
        }
        for encoding in
            [Encoding::Histogram, Encoding::FloatHistogram, Encoding::HistogramSt, Encoding::FloatHistogramSt]
        {
            match decoded(encoding, &data) {
                Ok(samples) => {
                    read += 1;
                    assert!(samples.is_sorted_by(|a, b| a.timestamp < b.timestamp));
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 500 && refused > 500, "{read} read, {refused} refused");
}

#[test]
fn what_the_bytes_cannot_hold_is_not_reserved() {
    // Two hundred bytes of ones: wide numbers everywhere.
    for first in [0, 1, 116, 255] {
        let data = [&[0xff, 0xff, 0, first][..], &[0xff; 200]].concat();
        for encoding in [Encoding::Histogram, Encoding::FloatHistogram] {
            assert!(decoded(encoding, &data).is_err());
        }
    }
    // Many samples of many bounds: each would have a copy.
    let bounds = vec![0.001; 10_000];
    let mut out = BitWriter::new(vec![0x3f, 0xff, 0]);
    Described { schema: -53, zero_threshold: 0.0, spans: [&[], &[]], bounds: &bounds }.write(&mut out);
    let data = [out.finish(), vec![0; 20_000]].concat();
    let error = decoded(Encoding::Histogram, &data).unwrap_err();
    assert!(error.to_string().contains("too many bounds"), "{error}");
}
