//! Scans of series in memory: whatever the threads and batches, the same rows; and what goes wrong is said.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use masthead_store::histogram::{Histogram, Span};
use masthead_store::samples::{HistogramSample, STALE};
use masthead_store::{Budget, Lane, SeriesBatch, chunk};

use super::*;
use crate::annotations::{Annotations, Place, Severity};
use crate::engine::SampleLimit;
use crate::engine::arguments::Arguments;
use crate::engine::statistics::Level;
use crate::plan::{Names, ScanFunction, Timeline};

/// Batches that are there already.
struct Batches(Vec<SeriesBatch>);

impl Input for Batches {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0)) })
    }
}

/// A scan without scalars, as a query's root.
fn scan(input: impl Input + 'static, spec: &ScanSpec) -> Result<Scan, QueryError> {
    let columns = Columns::new(spec.clone(), Vec::new(), &Level::of_query(spec.timeline))?;
    Ok(Scan::new(Box::new(input), columns.over_store()))
}

pub(super) fn spec(function: ScanFunction, timeline: Timeline, range: i64) -> ScanSpec {
    ScanSpec {
        function,
        timeline,
        range,
        offset: 0,
        at: None,
        lookback: 300_000,
        extension: None,
        use_start_timestamps: false,
        histogram_stats: false,
        type_and_unit_labels: false,
        names: Names::Drop,
        place: Place::default(),
    }
}

fn series(i: usize, timestamps: &[i64], values: &[f64]) -> Series {
    let labels = Labels::from_pairs([("__name__", "x_total".to_owned()), ("i", format!("{i:04}"))]);
    Series::of_lane(labels, Lane::default(), chunk::encode(timestamps, values))
}

/// Some series: counters with resets and gaps, and some that have no sample in the range.
fn some_series(count: usize) -> Vec<Series> {
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as i64
    };
    let one = |i: usize| {
        let (mut time, mut value) = (if i % 7 == 3 { 90_000_000 } else { random() % 30_000 }, 0.0);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            time += if random() % 50 == 0 { 400_000 } else { 15_000 + random() % 7 };
            value = if random() % 40 == 0 { 0.1 } else { value + (random() % 1000) as f64 / 7.0 };
            times.push(time);
            values.push(if random() % 90 == 0 { STALE } else { value });
        }
        series(i, &times, &values)
    };
    (0..count).map(one).collect()
}

fn rows(
    spec: &ScanSpec,
    series: &[Series],
    batch: usize,
    threads: usize,
) -> Result<Vec<(Labels, Vec<u64>)>, QueryError> {
    let budget = Budget::unlimited();
    let held = || budget.reserve("test", 0).expect("no limit");
    let batches = series.chunks(batch).map(|part| SeriesBatch::new(part.to_vec(), held())).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let annotations = Annotations::default();
    let cx = Context {
        budget: budget.clone(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples: SampleLimit::new(usize::MAX),
        pool: (threads > 1).then(|| Arc::new(pool)),
    };
    let mut scan = scan(Batches(batches), spec)?;
    let mut out = Vec::new();
    while let Some(batch) = scan.next(&cx)? {
        assert!(!batch.is_empty());
        for i in 0..batch.len() {
            out.push((batch.labels[i].clone(), batch.row(i).iter().map(|v| v.to_bits()).collect()));
        }
    }
    assert!(annotations.render(Severity::Info, "").is_empty());
    Ok(out)
}

#[test]
fn threads_and_batches_do_not_show() {
    let series = some_series(100);
    let timeline = Timeline { start: 600_000, step: 30_000, count: 120 };
    let functions = [
        ScanFunction::Latest,
        ScanFunction::Timestamp,
        ScanFunction::Range("rate"),
        ScanFunction::Range("quantile_over_time"),
        ScanFunction::Range("stddev_over_time"),
    ];
    for function in functions {
        let spec = spec(function, timeline, 300_000);
        let expected = rows(&spec, &series, 256, 1).expect("rows");
        // Every seventh series has no sample there.
        assert_eq!(expected.len(), 86, "{function:?}");
        assert!(expected.iter().all(|(labels, _)| labels.metric_name().is_empty()));
        for (batch, threads) in [(1, 1), (7, 2), (256, 2), (33, 8)] {
            let got = rows(&spec, &series, batch, threads).expect("rows");
            assert!(got == expected, "{function:?} by batches of {batch} on {threads} threads");
        }
    }
}

#[test]
fn damaged_chunks_name_their_series() {
    let mut bad = series(5, &[1000, 2000], &[1.0, 2.0]);
    bad.lanes[0].chunks[0].data = Bytes::from_static(&[0, 9, 1]);
    let spec = spec(ScanFunction::Latest, Timeline::instant(3000), 0);
    let error = rows(&spec, &[series(1, &[1000], &[1.0]), bad], 256, 1).expect_err("a damaged chunk").to_string();
    assert!(error.contains("read samples of {__name__=\"x_total\", i=\"0005\"}: "), "{error}");
}

#[test]
fn too_many_samples_are_refused() {
    let annotations = Annotations::default();
    let mut cx = Context {
        budget: Budget::unlimited(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples: SampleLimit::new(12),
        pool: None,
    };
    let spec = spec(ScanFunction::Range("rate"), Timeline { start: 9_000, step: 1_000, count: 3 }, 60_000);
    let times: Vec<i64> = (0..10).map(|i| i * 1_000).collect();
    let one = series(1, &times, &[1.0; 10]);
    let mut ask = |max_samples| {
        cx.samples = SampleLimit::new(max_samples);
        let held = cx.budget.reserve("test", 0).expect("no limit");
        let input = Batches(vec![SeriesBatch::new(vec![one.clone()], held)]);
        scan(input, &spec)?.next(&cx).map(|batch| batch.map(|batch| batch.len()))
    };
    // Ten samples and three cells.
    assert_eq!(ask(13).expect("rows"), Some(1));
    let error = ask(12).expect_err("a sample more").to_string();
    assert_eq!(error, "query processing would load too many samples into memory in query execution");
}

/// Histograms take their memory row by row, so that a batch of them ends at the limit and not behind it.
#[test]
fn histograms_of_a_batch_stay_within_the_limit() {
    const LIMIT: usize = 150_000;
    let annotations = Annotations::default();
    let budget = Budget::new("query", LIMIT);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let mut cx = Context {
        budget: budget.clone(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples: SampleLimit::new(usize::MAX),
        pool: None,
    };
    let spec = spec(ScanFunction::Range("rate"), Timeline { start: 60_000, step: 1_000, count: 100 }, 60_000);
    let sample = |i: i64| {
        let count = (i + 1) as f64 * 8.0;
        let (spans, buckets) = (vec![Span { offset: 0, length: 8 }], vec![count / 8.0; 8]);
        let histogram =
            Histogram { count, positive_spans: spans.into(), positive_buckets: buckets, ..Histogram::default() };
        HistogramSample { timestamp: i * 10_000, start_timestamp: 0, histogram: Arc::new(histogram) }
    };
    let fill = |_: usize, scratch: &mut Scratch| {
        scratch.samples.clear();
        scratch.samples.histograms.extend((0..20).map(sample));
        Ok(())
    };
    let labels = || (0..64).map(|i| (Labels::from_pairs([("i", i.to_string())]), false));
    for pool in [None, Some(Arc::new(pool))] {
        cx.pool = pool;
        let mut columns = Columns::with_arguments(&spec, Arguments::constant(&[], 100)).expect("a function");
        let computed = columns.compute(64, 0, fill, &cx).expect("rows");
        let cells = computed.found.iter().flatten().flat_map(|found| &found.beside.histograms);
        let bytes: usize = cells.map(|(_, histogram)| histogram_bytes(histogram)).sum();
        assert!(bytes > 0 && bytes <= budget.used() && budget.used() <= LIMIT, "{bytes}, {}", budget.used());
        let error = computed.keep(labels(), &cx).expect_err("too many histograms").to_string();
        assert!(error.contains("memory limit of the query reached: rows of a batch needs"), "{error}");
        assert_eq!(budget.used(), 0);
    }
    cx.budget = Budget::unlimited();
    let mut columns = Columns::with_arguments(&spec, Arguments::constant(&[], 100)).expect("a function");
    let batch = columns.compute(64, 0, fill, &cx).and_then(|computed| computed.keep(labels(), &cx)).expect("rows");
    assert_eq!((batch.len(), batch.histograms.len()), (64, 6_400));
    assert!(batch.held.bytes() > 9 * LIMIT && cx.budget.used() == batch.held.bytes());
}

/// A row looks at the cancel flag itself: one alone may take long.
#[test]
fn a_cancelled_row_ends() {
    let annotations = Annotations::default();
    let cx = Context {
        budget: Budget::unlimited(),
        cancelled: Arc::new(AtomicBool::new(true)),
        annotations: &annotations,
        samples: SampleLimit::new(usize::MAX),
        pool: None,
    };
    let spec = spec(ScanFunction::Range("quantile_over_time"), Timeline { start: 0, step: 1, count: 3 }, 60_000);
    let args = Arguments::constant(&[2.0], 3);
    let mut columns = Columns::with_arguments(&spec, args).expect("a function");
    let fill = |_, scratch: &mut Scratch| {
        scratch.samples.push(-1, 1.0);
        Ok(())
    };
    let ended = columns
        .compute(1, 0, fill, &cx)
        .and_then(|computed| computed.keep([(Labels::empty(), false)].into_iter(), &cx));
    assert!(matches!(ended, Err(QueryError::Cancelled)));
    assert!(annotations.render(Severity::Warning, "").is_empty(), "no window was looked at");
}

/// Steps of an instant selector: times, samples, then per step the value found, if any.
#[test]
fn instant_selectors_look_back() {
    let one = series(1, &[10_000, 20_000, 30_000, 400_000], &[1.0, 2.0, STALE, f64::NAN]);
    let at = |millis: i64, function| {
        let found =
            rows(&spec(function, Timeline::instant(millis), 0), std::slice::from_ref(&one), 1, 1).expect("rows");
        found.first().map(|(_, row)| f64::from_bits(row[0]))
    };
    for (time, expected) in [(9_999, None), (10_000, Some(1.0)), (29_999, Some(2.0)), (30_000, None), (399_999, None)] {
        assert_eq!(at(time, ScanFunction::Latest), expected, "{time}");
    }
    assert!(at(699_999, ScanFunction::Latest).is_some_and(f64::is_nan), "within the lookback");
    assert_eq!(at(700_000, ScanFunction::Latest), None, "the lookback is open to the left");
    assert_eq!(at(25_000, ScanFunction::Timestamp), Some(20.0));
    assert_eq!(at(25_000, ScanFunction::SampleTime), Some(20_000.0));
    assert_eq!(at(25_000, ScanFunction::StartTimestamp), None, "only where start timestamps count");
}
