//! Histograms, floats beside them, and start timestamps in lanes and overlapping chunks.

use std::sync::Arc;

use super::*;
use crate::chunk::encode_samples;
use crate::histogram::CounterResetHint::{Gauge, NotReset, Unknown};
use crate::histogram::{CounterResetHint, Histogram, Span};
use crate::samples::HistogramSample;

fn histogram(count: f64, hint: CounterResetHint) -> Arc<Histogram> {
    Arc::new(Histogram {
        counter_reset_hint: hint,
        count,
        sum: count / 2.0,
        positive_spans: [Span { offset: 0, length: 1 }].into(),
        positive_buckets: vec![count],
        ..Histogram::default()
    })
}

fn push(samples: &mut Samples, timestamp: i64, count: f64, hint: CounterResetHint) {
    let histogram = match is_stale(count) {
        true => Arc::new(Histogram { sum: STALE, ..Histogram::default() }),
        false => histogram(count, hint),
    };
    samples.histograms.push(HistogramSample { timestamp, start_timestamp: 0, histogram });
}

/// As [`lane`], of histograms as a chunk gives them; `f` in front of a number makes a float.
fn mixed(offset: i64, tokens: &str) -> Samples {
    let mut samples = Samples::default();
    let mut hint = Unknown;
    for (time, token) in (0..).map(|i| (offset + 60 * i) * 1000).zip(tokens.split_whitespace()) {
        match (token, token.strip_prefix('f')) {
            ("_", _) => continue,
            ("x", _) => push(&mut samples, time, STALE, Unknown),
            (_, Some(float)) => samples.push(time, float.parse().unwrap()),
            (count, _) => push(&mut samples, time, count.parse().unwrap(), hint),
        }
        hint = if token.starts_with('f') { Unknown } else { NotReset };
    }
    samples
}

/// Times in seconds and values: floats with an `f`, histograms of which the hint is unknown with a `?`, gauges with a
/// `g`.
fn shown(samples: &Samples) -> String {
    let float = |i: usize| (samples.timestamps[i] / 1000, format!("f{}", samples.values[i]));
    let one = |sample: &HistogramSample| {
        let mark = match sample.histogram.counter_reset_hint {
            Unknown => "?",
            NotReset => "",
            Gauge => "g",
            CounterResetHint::Reset => "!",
        };
        let stale = is_stale(sample.histogram.sum);
        let value = if stale { "x".to_owned() } else { format!("{}{mark}", sample.histogram.count) };
        (sample.timestamp / 1000, value)
    };
    let mut all: Vec<(i64, String)> = (0..samples.timestamps.len()).map(float).collect();
    all.extend(samples.histograms.iter().map(one));
    all.sort();
    all.iter().map(|(time, value)| format!("{time}:{value}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn hints_are_forgotten_where_lanes_change() {
    // name, primary lane at 3 s, second lane at 20 s, what comes out
    let rows = [
        ("the primary alone", "1 2 3 4 5", "1 2 3 4 5", "3:1? 63:2 123:3 183:4 243:5"),
        ("a gap", "1 2 3 _ _ 6 7 8", "1 2 3 4 5 6 7 8", "3:1? 63:2 123:3 200:4? 260:5 303:6? 363:7 423:8"),
        (
            "floats fill the gap of histograms",
            "1 2 _ _ 5 6 7",
            "f1 f2 f3 f4 f5",
            "3:1? 63:2 140:f3 200:f4 243:5? 303:6 363:7",
        ),
        ("floats, then histograms", "f1 f2 f3 4 5 6", "f1 f2 f3 4 5 6", "3:f1 63:f2 123:f3 183:4? 243:5 303:6"),
        ("the end of one lane", "1 2 x", "1 2 3 4 5", "3:1? 63:2 140:3? 200:4 260:5"),
        ("the end of both", "1 2 3 x", "1 2 3 x", "3:1? 63:2 123:3 183:x"),
    ];
    for (name, primary, second, expected) in rows {
        let lanes = [mixed(3, primary), mixed(20, second)];
        let once = deduplicated(&lanes);
        assert_eq!(shown(&once), expected, "{name}");
        let again = deduplicated(&[once, mixed(20, second)]);
        assert_eq!(shown(&again), expected, "{name}, of its own result");
        let series = Series {
            labels: Labels::empty(),
            lanes: (0..2)
                .map(|i| {
                    let lane = Lane { replica: Labels::from_pairs([("replica", i.to_string())]), store: None };
                    LaneChunks { lane, chunks: encode_samples(&lanes[i]).into() }
                })
                .collect(),
        };
        let mut out = Samples::default();
        let range = TimeRange { min_time: 3_000, max_time: 500_000 };
        samples_of(&series, range, &Budget::unlimited(), &mut Scratch::default(), &mut out).unwrap();
        assert_eq!(shown(&out), shown(&deduplicated_within(&lanes, range)), "{name}, as chunks");
    }
}

fn deduplicated_within(lanes: &[Samples], range: TimeRange) -> Samples {
    let numbered: Vec<(u32, &Samples)> = (0..).zip(lanes).collect();
    let mut out = Samples::default();
    lanes::dedup_within(&numbered, range, &mut lanes::Plan::default(), &mut out);
    out
}

fn joined(chunks: &[Chunk], range: TimeRange) -> Samples {
    let mut out = Samples::default();
    decode_lane(chunks, range, &mut Scratch::default(), &mut out).unwrap();
    out
}

fn joined_any_order(parts: &[&Samples], range: TimeRange) -> String {
    let mut chunks: Vec<Chunk> = parts.iter().flat_map(|part| encode_samples(part)).collect();
    let out = shown(&joined(&chunks, range));
    chunks.reverse();
    assert_eq!(shown(&joined(&chunks, range)), out, "the order of chunks shows");
    out
}

#[test]
fn overlapping_chunks_of_histograms_are_one_lane() {
    let all = TimeRange::ALL;
    let (early, late) = (mixed(0, "1 2 3 4"), mixed(120, "3 4 5 6"));
    assert_eq!(joined_any_order(&[&early, &late], all), "0:1? 60:2 120:3 180:4 240:5 300:6");
    // Neighbours of one chunk that are none in the answer.
    let between = mixed(30, "7 8");
    assert_eq!(joined_any_order(&[&early, &between], all), "0:1? 30:7? 60:2? 90:8? 120:3? 180:4");
    // What stands before the range is no neighbour.
    let part = TimeRange { min_time: 60_000, max_time: 240_000 };
    assert_eq!(joined_any_order(&[&early, &late], part), "60:2 120:3 180:4 240:5");
    // More observations count before fewer, a stale marker before both.
    let (low, high) = (mixed(0, "1 2 3 4"), mixed(0, "1 3 2 x"));
    assert_eq!(joined_any_order(&[&low, &high], all), "0:1? 60:3 120:3? 180:x");
    // A float counts before a histogram, and the histogram after it follows another one than in its chunk.
    let floats = mixed(60, "f7 f8");
    assert_eq!(joined_any_order(&[&early, &floats], all), "0:1? 60:f7 120:f8 180:4?");
}

#[test]
fn gauges_stay_gauges() {
    let mut gauges = Samples::default();
    (0..4).for_each(|i| push(&mut gauges, 60_000 * i, (i % 2) as f64, Gauge));
    let mut others = Samples::default();
    (2..6).for_each(|i| push(&mut others, 60_000 * i, (i % 2) as f64, Gauge));
    let all = joined_any_order(&[&gauges, &others], TimeRange::ALL);
    assert_eq!(all, "0:0g 60:1g 120:0g 180:1g 240:0g 300:1g");
}

/// Copies that disagree in anything: what counts does not depend on how they are cut and ordered.
#[test]
fn of_conflicting_histograms_one_counts_however_they_are_cut() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let copies: Vec<Samples> = (0..2 + random.below(2))
            .map(|_| {
                let mut copy = Samples::default();
                for i in 0..40 {
                    match random.below(8) {
                        0 => {}
                        1 => copy.push(1_000 * i, random.below(3) as f64),
                        2 => push(&mut copy, 1_000 * i, STALE, Unknown),
                        3 => push(&mut copy, 1_000 * i, f64::from(u8::from(random.one_in(2))), Unknown),
                        _ => push(&mut copy, 1_000 * i, i as f64, Unknown),
                    }
                }
                copy
            })
            .collect();
        let mut expected = None;
        for _ in 0..3 {
            let mut chunks: Vec<Chunk> = copies
                .iter()
                .flat_map(|copy| {
                    let cut = 1_000 * random.below(40) as i64;
                    let part = |keep: &dyn Fn(i64) -> bool| {
                        let mut part = copy.clone();
                        part.retain(keep);
                        encode_samples(&part)
                    };
                    [part(&|time| time < cut), part(&|time| time >= cut)].concat()
                })
                .collect();
            for i in (1..chunks.len()).rev() {
                chunks.swap(i, random.below(i + 1));
            }
            let got = joined(&chunks, TimeRange::ALL);
            assert!(got.timestamps.is_sorted_by(|a, b| a < b));
            assert!(got.histograms.iter().all(|sample| !got.timestamps.contains(&sample.timestamp)), "seed {seed}");
            // Hints come from the cuts.
            let got = shown(&got).replace('?', "");
            assert_eq!(expected.get_or_insert(got.clone()), &got, "seed {seed}");
        }
    }
}

#[test]
fn start_timestamps_travel_with_their_samples() {
    let mut with = lane(3, "1 2 3 _ _ 6 7 8");
    with.start_timestamps = (0..6).map(|i| 100 + i).collect();
    let without = lane(20, "1 2 3 4 5 6 7 8");
    let out = deduplicated(&[with.clone(), without.clone()]);
    assert_eq!(out.start_timestamps, [100, 101, 102, 0, 0, 103, 104, 105]);
    let chunks = [encode_samples(&with), encode_samples(&without)].concat();
    let out = joined(&chunks, TimeRange::ALL);
    let starts: Vec<i64> = out.start_timestamps.iter().copied().filter(|start| *start != 0).collect();
    assert_eq!((starts, out.timestamps.len()), (with.start_timestamps, 14));
}

/// Samples are paid for before they are made, but for what every thread may use; what a series took is given back with
/// the next.
#[test]
fn large_series_are_paid_for() {
    let histogram = |i: i64| Histogram {
        count: i as f64,
        positive_spans: [Span { offset: 0, length: 500 }].into(),
        positive_buckets: vec![i as f64; 500],
        ..Histogram::default()
    };
    let sample = |i| HistogramSample { timestamp: i, start_timestamp: 0, histogram: Arc::new(histogram(i)) };
    let large = Samples { histograms: (0..50).map(sample).collect(), ..Samples::default() };
    let taken: usize = large.histograms.iter().map(|sample| sample.histogram.size_bytes()).sum();
    let series = |samples: &[&Samples]| {
        let lane = |i: usize| Lane { replica: Labels::from_pairs([("replica", i.to_string())]), store: None };
        let lanes = samples.iter().enumerate();
        let lanes = lanes.map(|(i, samples)| LaneChunks { lane: lane(i), chunks: encode_samples(samples).into() });
        Series { labels: Labels::empty(), lanes: lanes.collect() }
    };
    let read = |series: &Series, budget: &Budget, scratch: &mut Scratch| {
        let mut out = Samples::default();
        samples_of(series, TimeRange::ALL, budget, scratch, &mut out).map(|()| out.len())
    };
    let (budget, mut scratch) = (Budget::new("query", taken), Scratch::default());
    assert_eq!(read(&series(&[&large]), &budget, &mut scratch).unwrap(), 50);
    assert!(budget.used() > taken / 2, "{} of {taken}", budget.used());
    let mut small = Samples::default();
    (0..100).for_each(|i| small.push(i, 0.0));
    assert_eq!(read(&series(&[&small]), &budget, &mut scratch).unwrap(), 100);
    assert_eq!((budget.used(), budget.peak() > taken / 2), (0, true));
    // A second lane, which the gap of the first one needs, is paid for too.
    let late = Samples { histograms: (1_000_000..1_000_050).map(sample).collect(), ..Samples::default() };
    let refused = read(&series(&[&large, &late]), &budget, &mut scratch).unwrap_err();
    assert_eq!(refused.limit().map(|limit| limit.budget), Some("query"));
    let budget = Budget::new("query", 3 * taken);
    assert_eq!(read(&series(&[&large, &late]), &budget, &mut Scratch::default()).unwrap(), 100);
    assert!(budget.peak() > taken && budget.used() == 0);
}
