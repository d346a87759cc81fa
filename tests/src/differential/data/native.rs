//! Native histograms: exponential ones with a zero bucket and both signs, ones with custom bounds, gauges, and series that
//! change their resolution, their bounds or their kind on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use masthead_store::histogram::{CUSTOM_SCHEMA, CounterResetHint, Histogram, Span};
use masthead_store::samples::HistogramSample;
use masthead_store::testing::Random;
use masthead_store::{Millis, Samples};

use super::{END, Grid, MINUTE, Maker, START, every};
use crate::differential::chance::Chance as _;

/// Each adds some metrics.
pub(super) const FAMILIES: &[fn(&mut Maker)] = &[exponential, gauges, custom, changing, mixed];

const GRID: Grid = every(30_000);

/// Counts so far, by the index of their bucket.
#[derive(Default)]
struct Counter {
    positive: BTreeMap<i32, f64>,
    negative: BTreeMap<i32, f64>,
    zero: f64,
    sum: f64,
}

impl Counter {
    fn observe(&mut self, random: &mut Random, count: usize, buckets: i64) {
        for _ in 0..count {
            let index = random.between(-2, buckets) as i32;
            match random.below(8) {
                0 => self.zero += 1.0,
                1 => {
                    *self.negative.entry(index).or_default() += 1.0;
                    self.sum -= random.fraction();
                }
                _ => {
                    *self.positive.entry(index).or_default() += 1.0;
                    self.sum += random.fraction() * 4.0;
                }
            }
        }
    }

    fn histogram(&self, schema: i32) -> Histogram {
        let (positive_spans, positive_buckets) = layout(&self.positive);
        let (negative_spans, negative_buckets) = layout(&self.negative);
        Histogram {
            schema,
            zero_threshold: 0.01,
            zero_count: self.zero,
            count: self.zero + positive_buckets.iter().chain(&negative_buckets).sum::<f64>(),
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            ..Histogram::default()
        }
    }

    /// The same counts in buckets with these bounds; what is beyond them is above the last one.
    fn with_bounds(&self, bounds: &[f64]) -> Histogram {
        let mut counts: BTreeMap<i32, f64> = BTreeMap::new();
        for (index, count) in &self.positive {
            *counts.entry((index + 2).clamp(0, bounds.len() as i32)).or_default() += count;
        }
        let (positive_spans, positive_buckets) = layout(&counts);
        Histogram {
            schema: CUSTOM_SCHEMA,
            count: positive_buckets.iter().sum(),
            sum: self.sum,
            positive_spans,
            positive_buckets,
            custom_bounds: bounds.into(),
            ..Histogram::default()
        }
    }
}

/// Spans over the buckets that have counts.
fn layout(counts: &BTreeMap<i32, f64>) -> (Arc<[Span]>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for index in counts.keys() {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    (spans.into(), counts.values().copied().collect())
}

impl Maker {
    fn add_histograms(&mut self, name: &str, labels: &[(&str, &str)], points: Vec<(Millis, Histogram)>) {
        let mut samples = Samples::default();
        for (time, histogram) in points {
            let histogram = Arc::new(histogram);
            samples.histograms.push(HistogramSample { timestamp: START + time, start_timestamp: 0, histogram });
        }
        self.add_samples(name, labels, samples);
    }

    /// A counter that is reset now and then, and sometimes away for a while, after a stale marker or without one.
    fn histogram_counter(
        &mut self,
        grid: Grid,
        lifetime: usize,
        histogram: impl Fn(&Counter, Millis) -> Histogram,
    ) -> Vec<(Millis, Histogram)> {
        let mut counter = Counter::default();
        let mut points = Vec::new();
        let mut away = 0;
        for time in self.times(grid) {
            if self.random.one_in(lifetime) {
                counter = Counter::default();
            }
            let count = self.random.below(6);
            counter.observe(&mut self.random, count, 7);
            if away > 0 {
                away -= 1;
            } else if self.random.one_in(150) {
                away = self.random.below(25);
            } else if self.random.one_in(80) {
                points.push((time, Histogram::stale()));
                away = self.random.below(12);
            } else {
                points.push((time, histogram(&counter, time)));
            }
        }
        points
    }
}

fn exponential(maker: &mut Maker) {
    for job in ["api", "web"] {
        for (instance, schema) in [("h1:80", 0), ("h2:80", 2)] {
            let offset = maker.random.between(0, 29_999);
            let grid = Grid { jitter: 51, offset, ..GRID };
            let points = maker.histogram_counter(grid, 60, |counter, _| counter.histogram(schema));
            maker.add_histograms("nh", &[("job", job), ("instance", instance)], points);
        }
    }
}

fn gauges(maker: &mut Maker) {
    for instance in ["h1:80", "h2:80"] {
        let times = maker.times(Grid { offset: 7_001, ..every(60_000) });
        let mut points = Vec::new();
        for time in times {
            let mut counter = Counter::default();
            let count = maker.random.below(30);
            counter.observe(&mut maker.random, count, 5);
            let histogram = Histogram { counter_reset_hint: CounterResetHint::Gauge, ..counter.histogram(1) };
            points.push((time, histogram));
        }
        maker.add_histograms("nhg", &[("job", "api"), ("instance", instance)], points);
    }
}

fn custom(maker: &mut Maker) {
    let bounds: [(&str, &[f64]); 3] =
        [("h1:80", &[0.1, 0.5, 1.0, 2.5]), ("h2:80", &[0.1, 0.5, 1.0, 2.5]), ("h3:80", &[0.5, 1.0, 5.0])];
    for (instance, bounds) in bounds {
        let grid = Grid { offset: 11_003, jitter: 7, ..GRID };
        let points = maker.histogram_counter(grid, 90, |counter, _| counter.with_bounds(bounds));
        maker.add_histograms("nhc", &[("job", "api"), ("instance", instance)], points);
    }
}

/// Resolution and bounds that change in the middle.
fn changing(maker: &mut Maker) {
    let half = 100 * MINUTE;
    let grid = Grid { offset: 2_003, ..GRID };
    let points = maker.histogram_counter(grid, 200, |counter, time| counter.histogram(if time < half { 3 } else { 0 }));
    maker.add_histograms("nhx", &[("k", "schema")], points);
    let points = maker.histogram_counter(grid, 200, |counter, time| {
        counter.with_bounds(if time < half { &[0.1, 0.5, 1.0] } else { &[0.1, 1.0, 5.0] })
    });
    maker.add_histograms("nhx", &[("k", "bounds")], points);
    let points = maker.histogram_counter(grid, 200, |counter, time| match time < half {
        true => counter.histogram(1),
        false => counter.with_bounds(&[0.1, 1.0, 5.0]),
    });
    maker.add_histograms("nhx", &[("k", "kind")], points);
}

/// Floats and histograms in one series, by turns.
fn mixed(maker: &mut Maker) {
    for (k, period) in [("minutes", 10 * MINUTE), ("hours", 90 * MINUTE)] {
        let grid = Grid { offset: 4_001, ..GRID };
        let points = maker.histogram_counter(grid, 100, |counter, _| counter.histogram(1));
        let mut samples = Samples::default();
        for (time, histogram) in points {
            if time / period % 2 == 0 {
                samples.push(START + time, histogram.count);
            } else {
                let histogram = Arc::new(histogram);
                samples.histograms.push(HistogramSample { timestamp: START + time, start_timestamp: 0, histogram });
            }
        }
        debug_assert!(samples.timestamps.iter().all(|time| *time < END));
        maker.add_samples("nhm", &[("k", k)], samples);
    }
}
