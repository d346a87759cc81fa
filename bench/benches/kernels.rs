//! Micro-benchmarks of the parts whose cost is per sample: `cargo bench -p masthead-bench`.
//!
//! `xor` compares the store's decoder with a plain bit-by-bit reader over the same chunks, `encodings` has the others; `merge`
//! counts series, `dedup` and `rate` count samples, `rate` steps too.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use divan::Bencher;
use divan::counter::ItemsCount;
use masthead_bench::naive;
use masthead_query::annotations::Annotations;
use masthead_query::engine::{self, Context, Input, SampleLimit};
use masthead_query::error::QueryError;
use masthead_query::plan::{self, PlanOptions, Timeline};
use masthead_store::dedup::{self, Scratch, TimeRange};
use masthead_store::merge::{Merge, Step};
use masthead_store::series::BATCH_SERIES_MAX;
use masthead_store::{Budget, Chunk, Labels, Lane, LaneChunks, Samples, Series, SeriesBatch, chunk};

/// Samples of a series: 100 hours, one each 30 s.
const SAMPLES: usize = 12_000;

fn main() {
    divan::main();
}

/// A counter as a target shows it: scrapes a few ms off the grid now and then, increments that vary.
fn counter(samples: usize) -> (Vec<i64>, Vec<f64>) {
    let (mut state, mut value) = (88_172_645_463_325_252u64, 0.0);
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    };
    (0..samples as i64)
        .map(|k| {
            let late = if random().is_multiple_of(10) { (random() % 5) as i64 } else { 0 };
            value += (random() % 500) as f64;
            (1_700_000_000_000 + k * 30_000 + late, value)
        })
        .unzip()
}

/// A gauge that never changes, scraped on time.
fn constant(samples: usize) -> (Vec<i64>, Vec<f64>) {
    ((0..samples as i64).map(|k| 1_700_000_000_000 + k * 30_000).collect(), vec![1.0; samples])
}

mod xor {
    use super::*;

    fn chunks(kind: &str) -> Vec<Chunk> {
        let (times, values) = if kind == "counter" { counter(SAMPLES) } else { constant(SAMPLES) };
        chunk::encode(&times, &values)
    }

    #[divan::bench(args = ["counter", "constant"])]
    fn decode(bencher: Bencher<'_, '_>, kind: &str) {
        let (chunks, mut out) = (chunks(kind), Samples::default());
        bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
            out.clear();
            chunks.iter().all(|chunk| chunk::decode(chunk, &mut out).is_ok())
        });
    }

    #[divan::bench(args = ["counter", "constant"])]
    fn decode_bit_by_bit(bencher: Bencher<'_, '_>, kind: &str) {
        let chunks = chunks(kind);
        bencher
            .counter(ItemsCount::new(SAMPLES))
            .bench_local(|| chunks.iter().filter_map(|chunk| naive::decode(&chunk.data)).count());
    }

    #[divan::bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let (times, values) = counter(SAMPLES);
        bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| chunk::encode(&times, &values).len());
    }
}

/// The other encodings: floats with one start timestamp or with one each, float histograms of 40 buckets of which some grow.
mod encodings {
    use masthead_store::histogram::{Histogram, Span};
    use masthead_store::samples::HistogramSample;

    use super::*;

    const BUCKETS: usize = 40;

    fn floats(kind: &str, starts: fn(i64) -> i64) -> Samples {
        let (timestamps, values) = if kind == "counter" { counter(SAMPLES) } else { constant(SAMPLES) };
        let start_timestamps = timestamps.iter().map(|time| starts(*time)).collect();
        Samples { timestamps, values, start_timestamps, ..Samples::default() }
    }

    fn histograms() -> Samples {
        let (timestamps, values) = counter(SAMPLES);
        let mut buckets = vec![0.0; BUCKETS];
        let sample = |(i, (timestamp, value)): (usize, (i64, f64))| {
            (0..5).for_each(|k| buckets[(i * 7 + k) % BUCKETS] += (value / 100.0).floor() % 10.0);
            let histogram = Histogram {
                count: buckets.iter().sum(),
                sum: value,
                schema: 3,
                positive_spans: [Span { offset: -5, length: BUCKETS as u32 }].into(),
                positive_buckets: buckets.clone(),
                ..Histogram::default()
            };
            HistogramSample { timestamp, start_timestamp: 0, histogram: Arc::new(histogram) }
        };
        let histograms = timestamps.into_iter().zip(values).enumerate().map(sample).collect();
        Samples { histograms, ..Samples::default() }
    }

    #[divan::bench(args = ["counter from one start", "constant from one start", "counter from many starts", "histogram"])]
    fn decode(bencher: Bencher<'_, '_>, kind: &str) {
        let samples = match kind {
            "histogram" => histograms(),
            kind if kind.ends_with("many starts") => floats("counter", |time| time - 30_000),
            kind => floats(kind.split(' ').next().unwrap_or_default(), |_| 1_600_000_000_000),
        };
        let (chunks, mut out) = (chunk::encode_samples(&samples), Samples::default());
        bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
            out.clear();
            chunks.iter().all(|chunk| chunk::decode(chunk, &mut out).is_ok())
        });
    }
}

mod merge {
    use super::*;

    const SERIES: usize = 6_400;

    /// So many streams, whose series lie between each other's (`mixed`) or are the same.
    fn streams(count: usize, mixed: bool) -> Vec<Vec<Series>> {
        let labels = |i: usize| {
            let instance = format!("10.0.{}.{}:9100", i / 250, i % 250);
            Labels::from_pairs([("__name__", "up"), ("cluster", "prod-eu-west"), ("instance", instance.as_str())])
        };
        let lane = |stream: usize| Lane { replica: Labels::from_pairs([("replica", stream.to_string())]), store: None };
        let all = |stream: usize| {
            let numbers = (0..SERIES / count).map(|i| if mixed { i * count + stream } else { i });
            let mut series: Vec<_> = numbers.map(|i| Series::of_lane(labels(i), lane(stream), vec![])).collect();
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            series
        };
        (0..count).map(all).collect()
    }

    fn merge(streams: Vec<Vec<Series>>, budget: &Budget) -> usize {
        let mut merge = Merge::new(streams.len());
        let mut rest: Vec<_> = streams.into_iter().map(Vec::into_iter).collect();
        let mut count = 0;
        loop {
            for stream in merge.take_hungry() {
                let series: Vec<Series> = rest[stream].by_ref().take(BATCH_SERIES_MAX).collect();
                match budget.reserve("bench", series.len()) {
                    Ok(held) if !series.is_empty() => {
                        merge.push(stream, SeriesBatch::new(series, held)).expect("sorted")
                    }
                    _ => merge.close(stream),
                }
            }
            match merge.advance() {
                Step::Batch(batch) => count += batch.series.len(),
                Step::Hungry => {}
                Step::Done => return count + merge.flush().map_or(0, |batch| batch.series.len()),
            }
        }
    }

    #[divan::bench(args = [2, 6, 100])]
    fn different_series(bencher: Bencher<'_, '_>, count: usize) {
        let budget = Budget::unlimited();
        let input = streams(count, true);
        bencher
            .counter(ItemsCount::new(SERIES))
            .with_inputs(|| input.clone())
            .bench_local_values(|streams| merge(streams, &budget));
    }

    #[divan::bench(args = [2, 6, 100])]
    fn replicas(bencher: Bencher<'_, '_>, count: usize) {
        let budget = Budget::unlimited();
        let input = streams(count, false);
        bencher
            .counter(ItemsCount::new(SERIES))
            .with_inputs(|| input.clone())
            .bench_local_values(|streams| merge(streams, &budget));
    }
}

/// Two replicas, the second one 11 s behind; with `gaps` the first lacks ten minutes of every two hours.
fn replicas(gaps: bool) -> Series {
    let lanes = [0, 11_000].into_iter().enumerate().map(|(i, shift)| {
        let (times, values) = counter(SAMPLES);
        let kept = (0..SAMPLES).filter(|k| !gaps || i > 0 || k % 240 < 220);
        let (times, values): (Vec<i64>, Vec<f64>) = kept.map(|k| (times[k] + shift, values[k])).unzip();
        let lane = Lane { replica: Labels::from_pairs([("replica", i.to_string())]), store: None };
        LaneChunks { lane, chunks: chunk::encode(&times, &values).into() }
    });
    Series { labels: Labels::from_pairs([("__name__", "requests_total")]), lanes: lanes.collect() }
}

mod dedup_lanes {
    use super::*;

    /// Decoding included; a primary lane without gaps is all that is decoded.
    #[divan::bench(args = [false, true])]
    fn two_replicas(bencher: Bencher<'_, '_>, gaps: bool) {
        let (series, mut scratch, mut out) = (replicas(gaps), Scratch::default(), Samples::default());
        let budget = Budget::unlimited();
        bencher
            .counter(ItemsCount::new(SAMPLES))
            .bench_local(|| dedup::samples_of(&series, TimeRange::ALL, &budget, &mut scratch, &mut out).is_ok());
    }
}

mod rate {
    use super::*;

    struct Once(Option<SeriesBatch>);

    impl Input for Once {
        fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
            Ok(self.0.take())
        }
    }

    /// The whole way of one series through the engine: decoding, the window, the kernel.
    fn evaluate(bencher: Bencher<'_, '_>, query: &str, series: &Series) {
        let timeline = Timeline { start: 1_700_000_300_000, step: 60_000, count: SAMPLES / 2 };
        let planned = plan::plan(query, timeline, &PlanOptions::default()).expect("a query");
        let annotations = Annotations::default();
        let cx = Context {
            budget: Budget::unlimited(),
            cancelled: Arc::new(AtomicBool::new(false)),
            annotations: &annotations,
            samples: SampleLimit::new(usize::MAX),
            pool: None,
        };
        bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
            let held = cx.budget.reserve("bench", 0).expect("no limit");
            let input = Once(Some(SeriesBatch::new(vec![series.clone()], held)));
            engine::evaluate(&planned, vec![Box::new(input)], &cx).is_ok()
        });
    }

    #[divan::bench(args = ["rate(requests_total[5m])", "irate(requests_total[5m])", "max_over_time(requests_total[5m])"])]
    fn one_lane(bencher: Bencher<'_, '_>, query: &str) {
        let (times, values) = counter(SAMPLES);
        let labels = Labels::from_pairs([("__name__", "requests_total")]);
        evaluate(bencher, query, &Series::of_lane(labels, Lane::default(), chunk::encode(&times, &values)));
    }

    #[divan::bench]
    fn two_lanes_with_gaps(bencher: Bencher<'_, '_>) {
        evaluate(bencher, "rate(requests_total[5m])", &replicas(true));
    }
}
