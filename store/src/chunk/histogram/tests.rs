//! Both codings and all parts of a layout, by a writer of integer chunks that is only here and by our own encoders;
//! foreign bytes.

use super::layout::Described;
use super::*;
use crate::chunk::{self, HistogramForm, bits::BitWriter};
use crate::histogram::{Indexed, Span, spans_of};
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
    assert_eq!(*first.positive_spans, spans(&[(-1, 2), (3, 1)]), "a span of no length only moves on");
    let hints: Vec<_> = samples.iter().map(|s| s.histogram.counter_reset_hint).collect();
    assert_eq!(hints, [CounterResetHint::Unknown, CounterResetHint::NotReset, CounterResetHint::NotReset]);
}

#[test]
fn fine_resolutions_are_reduced() {
    // Buckets 1, 2 and 3 of schema 9 are 1, 1 and 2 of schema 8; -1 and 0 are 0.
    let rows: [(i64, u64, f64, &[i64]); 1] = [(1, 15, 1.0, &[1, 1, 1, 1, 1])];
    let data = integer_chunk(9, &spans(&[(-1, 5)]), &rows);
    let histogram = decoded(Encoding::Histogram, &data).unwrap().remove(0).histogram;
    assert_eq!((histogram.schema, &*histogram.positive_spans), (8, &*spans(&[(0, 3)])));
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
                // The sum of nothing is -0.
                count: buckets.values().sum::<f64>() + 0.0,
                sum: random.below(1000) as f64,
                positive_spans: spans_of(keys),
                positive_buckets: buckets.values().copied().collect(),
                custom_bounds: if custom { [0.005, 1.0, 33_554.5, 1e300].into() } else { Arc::default() },
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
    let buckets = Indexed::new(&h.positive_spans, &h.positive_buckets);
    let buckets = buckets.filter(|(_, count)| *count != 0.0).map(|(index, count)| (index, count.to_bits())).collect();
    let bounds = h.custom_bounds.iter().map(|bound| bound.to_bits()).collect();
    (sample.timestamp, sample.start_timestamp, h.schema, h.count.to_bits(), h.sum.to_bits(), buckets, bounds)
}

fn chunks_of(histograms: Vec<HistogramSample>, form: HistogramForm) -> Vec<Chunk> {
    chunk::encode_as(&Samples { histograms, ..Samples::default() }, form)
}

#[test]
fn samples_come_back() {
    let mut cuts = 0;
    for seed in 0..500 {
        let samples = random_samples(&mut Random::new(seed));
        let chunks = chunks_of(samples.clone(), HistogramForm::Floats);
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
    let chunk = &chunks_of(samples, HistogramForm::Floats)[0];
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
        for chunk in chunks_of(random_samples(&mut random), HistogramForm::Integers) {
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
        let chunks = chunks_of(random_samples(&mut random), HistogramForm::Integers);
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
    // More bounds than anybody has.
    for (count, fault) in [(1 << 16, "ends too early"), ((1 << 16) + 1, "too many bounds")] {
        let mut out = BitWriter::new(vec![0, 1, 0]);
        let bounds = vec![0.001; count];
        Described { schema: -53, zero_threshold: 0.0, spans: [&[], &[]], bounds: &bounds }.write(&mut out);
        let data = out.finish();
        let error = decoded(Encoding::Histogram, &[&data[..], &[0; 4]].concat()).unwrap_err();
        assert!(error.to_string().contains(fault), "{error}");
    }
}

/// Samples of a chunk share their layout, at a resolution that is reduced too, so that each has only its buckets for
/// itself.
#[test]
fn samples_of_a_chunk_share_their_layout() {
    let rows: [(i64, u64, f64, &[i64]); 2] = [(1, 15, 1.0, &[1, 1, 1, 1, 1]), (2, 15, 1.0, &[1, 1, 1, 1, 1])];
    for schema in [3, 9, 52] {
        let samples = decoded(Encoding::Histogram, &integer_chunk(schema, &spans(&[(-1, 5)]), &rows)).unwrap();
        let [first, second] = [&samples[0].histogram, &samples[1].histogram];
        assert!(Arc::ptr_eq(&first.positive_spans, &second.positive_spans), "{schema}");
    }
    for seed in 0..100 {
        for chunk in chunks_of(random_samples(&mut Random::new(seed)), HistogramForm::Floats) {
            let samples = decoded(chunk.encoding, &chunk.data).unwrap();
            let mut layouts = samples.iter().map(|sample| &sample.histogram).filter(|histogram| !histogram.is_stale());
            let Some(first) = layouts.next() else { continue };
            assert!(layouts.all(|next| {
                Arc::ptr_eq(&first.positive_spans, &next.positive_spans)
                    && Arc::ptr_eq(&first.custom_bounds, &next.custom_bounds)
            }));
        }
    }
}

/// The memory of a chunk's samples is known before they are made: no less than what they take, and not much more.
#[test]
fn decoded_sizes_are_known_beforehand() {
    for seed in 0..300 {
        let form = if seed % 2 == 0 { HistogramForm::Floats } else { HistogramForm::Integers };
        for chunk in chunks_of(random_samples(&mut Random::new(seed)), form) {
            let most = decoded_bytes_max(chunk.encoding, &chunk.data);
            let samples = decoded(chunk.encoding, &chunk.data).unwrap();
            let buckets = |h: &Histogram| size_of_val(&*h.positive_buckets) + size_of_val(&*h.negative_buckets);
            let sample = |s: &HistogramSample| size_of_val(s) + 16 + size_of_val(&*s.histogram) + buckets(&s.histogram);
            let taken: usize = samples.iter().map(sample).sum();
            assert!(taken <= most && most < taken + taken / 2 + 8192, "seed {seed}: {taken} of {most}");
        }
    }
    assert_eq!(decoded_bytes_max(Encoding::Histogram, b"\xff\xff\x00"), 0);
}

/// Whole counts come back from integer chunks, bit by bit; others are written as floats.
#[test]
fn whole_counts_are_integers() {
    let (mut integers, mut floats) = (0, 0);
    for seed in 0..500 {
        let mut samples = random_samples(&mut Random::new(seed));
        // Counts in quarters, half of them made whole.
        let factor = if seed % 2 == 0 { 4.0 } else { 1.0 };
        for sample in &mut samples {
            let histogram = Arc::make_mut(&mut sample.histogram);
            if !histogram.is_stale() {
                histogram.mul(factor);
            }
        }
        let mut out = Samples::default();
        for chunk in chunks_of(samples.clone(), HistogramForm::Integers) {
            assert!(chunk::is_plausible(chunk.encoding, &chunk.data), "seed {seed}");
            chunk::decode(&chunk, &mut out).unwrap();
            match chunk.encoding {
                Encoding::Histogram | Encoding::HistogramSt => integers += 1,
                _ => floats += 1,
            }
            assert!(factor == 1.0 || matches!(chunk.encoding, Encoding::Histogram | Encoding::HistogramSt));
        }
        let got: Vec<Content> = out.histograms.iter().map(content).collect();
        assert_eq!(got, samples.iter().map(content).collect::<Vec<_>>(), "seed {seed}");
    }
    assert!(integers > 500 && floats > 500, "{integers} {floats}");
}

/// The bytes of our encoder are those of the writer above, which knows nothing of it.
#[test]
fn integer_chunks_are_as_described() {
    let rows: [(i64, u64, f64, &[i64]); 3] =
        [(100, 7, 1.5, &[3, -1, 2]), (200, 20, 2.5, &[5, 5, -2]), (350, 21, 2.5, &[5, 6, -2])];
    let data = integer_chunk(3, &spans(&[(-1, 2), (3, 1)]), &rows);
    let samples = decoded(Encoding::Histogram, &data).unwrap();
    let chunk = &chunks_of(samples, HistogramForm::Integers)[0];
    assert_eq!((chunk.encoding, &chunk.data[..]), (Encoding::Histogram, &data[..]));
}

#[test]
fn counts_that_no_integer_is_are_floats() {
    let fits = |count: f64, bucket: f64| {
        write::is_whole(&Histogram { count, positive_buckets: vec![bucket], ..Histogram::default() })
    };
    assert!(fits(4_503_599_627_370_496.0, -3.0) && fits(0.0, 0.0));
    for (count, bucket) in [(-1.0, 0.0), (0.5, 0.0), (0.0, -0.0), (0.0, f64::NAN), (f64::INFINITY, 0.0), (9.1e15, 0.0)]
    {
        assert!(!fits(count, bucket), "{count} {bucket}");
    }
    assert!(write::is_whole(&Histogram::stale()));
}
