//! Windows with native histograms: which function gives what, and what is told of it.

use std::sync::Arc;

use masthead_store::histogram::{CounterResetHint, Histogram, Span};
use masthead_store::samples::HistogramSample;

use super::*;
use crate::engine::scan::hints::keep_stats;

/// `count` observations in one bucket.
fn plain(count: f64) -> Histogram {
    Histogram {
        count,
        sum: count / 2.0,
        positive_spans: [Span { offset: 0, length: 1 }].into(),
        positive_buckets: vec![count],
        ..Histogram::default()
    }
}

fn gauge(count: f64) -> Histogram {
    Histogram { counter_reset_hint: CounterResetHint::Gauge, ..plain(count) }
}

fn hinted(count: f64, counter_reset_hint: CounterResetHint) -> Histogram {
    Histogram { counter_reset_hint, ..plain(count) }
}

/// `count` observations up to a bound.
fn custom(count: f64, bounds: &[f64]) -> Histogram {
    Histogram { schema: -53, custom_bounds: bounds.into(), ..plain(count) }
}

/// Floats and histograms with their times, s.
fn samples(floats: &[(i64, f64)], histograms: &[(i64, Histogram)]) -> Samples {
    let mut samples = column(floats);
    let sample = |(seconds, histogram): &(i64, Histogram)| HistogramSample {
        timestamp: seconds * 1000,
        start_timestamp: 0,
        histogram: Arc::new(histogram.clone()),
    };
    samples.histograms = histograms.iter().map(sample).collect();
    samples
}

/// What one step gave.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gave {
    Nothing,
    Float(f64),
    /// Count of a histogram.
    Count(f64),
}
use Gave::{Count, Float, Nothing};

/// The step at 60 s of a window of 60 s.
fn step(name: &'static str, args: &[f64], samples: &Samples) -> (Gave, Vec<String>) {
    at_sixty(&spec(name, Timeline::instant(60_000), 60_000), args, samples)
}

fn at_sixty(spec: &ScanSpec, args: &[f64], samples: &Samples) -> (Gave, Vec<String>) {
    let (rows, told) = ask_rows(spec, args, samples).expect("a row");
    let gave = match rows.histograms.first() {
        Some((.., histogram)) => Count(histogram.count),
        None if rows.is_empty() => Nothing,
        None => Float(rows.row(0)[0]),
    };
    (gave, told)
}

fn close(a: Gave, b: Gave) -> bool {
    match (a, b) {
        (Float(a), Float(b)) | (Count(a), Count(b)) => (a - b).abs() <= 1e-12 * b.abs(),
        _ => a == b,
    }
}

const MIXED: &str = "PromQL warning: encountered a mix of histograms and floats for metric name \"x\" (1:6)";
const IGNORED: &str =
    "PromQL info: ignored histograms in a range containing both floats and histograms for metric name \"x\" (1:6)";
const NOT_A_GAUGE: &str = "PromQL warning: this native histogram metric is not a gauge: \"x\" (1:6)";
const NOT_A_COUNTER: &str = "PromQL warning: this native histogram metric is not a counter: \"x\" (1:6)";
const BUCKETS: &str = "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"x\" (1:6)";

/// Rows: function, scalars, what it gives for floats among histograms, what for histograms alone, and what is told of each.
#[test]
fn every_function_knows_histograms() {
    let mixed = samples(&[(10, 1.0), (20, 3.0), (50, 2.0)], &[(30, plain(4.0)), (40, plain(6.0))]);
    let alone = samples(&[], &[(10, plain(1.0)), (20, plain(3.0)), (30, plain(2.0)), (40, plain(6.0))]);
    type Row<'a> = (&'static str, &'a [f64], (Gave, &'a [&'a str]), (Gave, &'a [&'a str]));
    let rows: &[Row<'_>] = &[
        ("avg_over_time", &[], (Nothing, &[MIXED]), (Count(3.0), &[])),
        ("changes", &[], (Float(4.0), &[]), (Float(3.0), &[])),
        ("count_over_time", &[], (Float(5.0), &[]), (Float(4.0), &[])),
        ("delta", &[], (Nothing, &[MIXED]), (Count(7.5), &[NOT_A_GAUGE])),
        ("deriv", &[], (Float(10.0 / (1700.0 - 2500.0 / 3.0)), &[IGNORED]), (Nothing, &[])),
        ("double_exponential_smoothing", &[0.5, 0.5], (Float(3.5), &[IGNORED]), (Nothing, &[])),
        ("first_over_time", &[], (Float(1.0), &[]), (Count(1.0), &[])),
        ("idelta", &[], (Nothing, &[MIXED]), (Count(4.0), &[NOT_A_GAUGE])),
        ("increase", &[], (Nothing, &[MIXED]), (Count(8.0 * 38.75 / 30.0), &[])),
        ("irate", &[], (Nothing, &[MIXED]), (Count(0.4), &[])),
        ("last_over_time", &[], (Float(2.0), &[]), (Count(6.0), &[])),
        ("mad_over_time", &[], (Float(1.0), &[IGNORED]), (Nothing, &[])),
        ("max_over_time", &[], (Float(3.0), &[IGNORED]), (Nothing, &[])),
        ("min_over_time", &[], (Float(1.0), &[IGNORED]), (Nothing, &[])),
        ("present_over_time", &[], (Float(1.0), &[]), (Float(1.0), &[])),
        ("quantile_over_time", &[0.5], (Float(2.0), &[IGNORED]), (Nothing, &[])),
        ("resets", &[], (Float(2.0), &[]), (Float(1.0), &[])),
        ("stdvar_over_time", &[], (Float(2.0 / 3.0), &[IGNORED]), (Nothing, &[])),
        ("sum_over_time", &[], (Nothing, &[MIXED]), (Count(12.0), &[])),
        ("ts_of_first_over_time", &[], (Float(10.0), &[]), (Float(10.0), &[])),
        ("ts_of_last_over_time", &[], (Float(50.0), &[]), (Float(40.0), &[])),
        ("ts_of_max_over_time", &[], (Float(20.0), &[IGNORED]), (Nothing, &[])),
        ("ts_of_min_over_time", &[], (Float(10.0), &[IGNORED]), (Nothing, &[])),
    ];
    for (name, args, of_mixed, of_alone) in rows {
        for (samples, (expected, told_expected)) in [(&mixed, of_mixed), (&alone, of_alone)] {
            let (gave, told) = step(name, args, samples);
            assert!(close(gave, *expected), "{name}: {gave:?} is not {expected:?}");
            assert_eq!(told, *told_expected, "{name}");
        }
    }
    let error = ask_rows(&spec("double_exponential_smoothing", Timeline::instant(60_000), 60_000), &[2.0, 0.5], &alone);
    assert!(error.is_err_and(|error| error.starts_with("invalid smoothing factor")));
}

/// Rate of histograms is the rate of their counts, whatever the window: resets, gaps, zero points.
#[test]
fn rates_are_those_of_the_counts() {
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..50 {
        let (mut time, mut count) = (0, random(100) as f64);
        let points: Vec<(i64, f64)> = (0..40)
            .map(|_| {
                time += 5 + random(20) as i64;
                count = if random(10) == 0 { random(5) as f64 } else { count + random(9) as f64 };
                (time, count)
            })
            .collect();
        let histograms: Vec<(i64, Histogram)> = points.iter().map(|(time, count)| (*time, plain(*count))).collect();
        let timeline = Timeline { start: 30_000, step: 17_000, count: 30 };
        for name in ["rate", "increase", "delta", "irate", "idelta", "resets", "changes"] {
            let spec = spec(name, timeline, 90_000);
            let (floats, _) = ask(&spec, &[], &column(&points)).expect("floats");
            let (rows, _) = ask_rows(&spec, &[], &samples(&[], &histograms)).expect("histograms");
            let mut found = rows.row(0).to_vec();
            rows.histograms.iter().for_each(|(_, step, histogram)| found[*step as usize] = histogram.count);
            for (step, (a, b)) in floats.iter().zip(&found).enumerate() {
                let close = (a - b).abs() <= 1e-9 * a.abs().max(1e-3) || (is_absent(*a) && is_absent(*b));
                assert!(close, "round {round}, {name} at step {step}: {a} of floats, {b} of histograms");
            }
        }
    }
}

/// Rows: function, histograms every 10 s from 10 s on, what comes out, what is told.
#[test]
fn hints_and_bucket_layouts_count() {
    use CounterResetHint::{NotReset, Reset};
    let collision = "PromQL warning: conflicting counter resets during histogram aggregation (1:6)";
    let bounds = |what: &str| format!("PromQL info: mismatched custom buckets were reconciled during {what} (1:6)");
    let (subtraction, aggregation) = (bounds("subtraction"), bounds("aggregation"));
    let rows: Vec<(&'static str, Vec<Histogram>, Gave, Vec<&str>)> = vec![
        ("resets", vec![plain(1.0), hinted(2.0, Reset), hinted(1.0, NotReset)], Float(1.0), vec![]),
        ("sum_over_time", vec![hinted(1.0, Reset), hinted(2.0, NotReset)], Count(3.0), vec![collision]),
        ("avg_over_time", vec![hinted(1.0, Reset), plain(2.0), hinted(3.0, Reset)], Count(2.0), vec![]),
        ("rate", vec![gauge(1.0), gauge(3.0)], Count(4.0 / 60.0), vec![NOT_A_COUNTER]),
        ("irate", vec![gauge(1.0), gauge(3.0)], Count(0.2), vec![NOT_A_COUNTER]),
        ("idelta", vec![gauge(3.0), gauge(1.0)], Count(-2.0), vec![]),
        ("rate", vec![plain(1.0), custom(2.0, &[1.0]), plain(3.0)], Nothing, vec![BUCKETS]),
        ("increase", vec![plain(1.0), custom(3.0, &[1.0])], Count(5.5), vec![]),
        ("delta", vec![plain(1.0), custom(3.0, &[1.0])], Nothing, vec![BUCKETS]),
        ("sum_over_time", vec![plain(1.0), custom(3.0, &[1.0])], Nothing, vec![BUCKETS]),
        ("avg_over_time", vec![custom(3.0, &[1.0]), plain(1.0)], Nothing, vec![BUCKETS]),
        ("idelta", vec![custom(3.0, &[1.0]), plain(1.0)], Nothing, vec![NOT_A_GAUGE, BUCKETS]),
        (
            "sum_over_time",
            vec![custom(3.0, &[1.0, 2.0]), custom(1.0, &[1.0, 3.0])],
            Count(4.0),
            vec![aggregation.as_str()],
        ),
        ("irate", vec![custom(3.0, &[1.0, 2.0]), custom(5.0, &[1.0, 3.0])], Count(0.2), vec![subtraction.as_str()]),
    ];
    for (name, histograms, expected, told_expected) in rows {
        let histograms: Vec<_> = (1..).map(|i| i * 10).zip(histograms).collect();
        let (gave, mut told) = step(name, &[], &samples(&[], &histograms));
        told.sort();
        let mut told_expected = told_expected;
        told_expected.sort_unstable();
        assert!(close(gave, expected), "{name}: {gave:?} is not {expected:?}");
        assert_eq!(told, told_expected, "{name}");
    }
}

/// Sums that leave the floats go on as means.
#[test]
fn averages_do_not_overflow() {
    let huge = f64::MAX;
    let histograms: Vec<_> =
        [huge, huge, huge, huge].map(plain).into_iter().zip(1..).map(|(h, i)| (i * 10, h)).collect();
    let (gave, _) = step("avg_over_time", &[], &samples(&[], &histograms));
    assert!(close(gave, Count(huge)), "{gave:?}");
    assert_eq!(step("sum_over_time", &[], &samples(&[], &histograms)).0, Count(f64::INFINITY));
}

/// A start timestamp in the window stands for a zero there, and tells of resets that the counts do not show.
#[test]
fn start_timestamps_of_histograms() {
    let with_starts = |starts: &[i64]| {
        let histograms: Vec<_> = [2.0, 4.0, 8.0].iter().zip(1..).map(|(count, i)| (i * 10, plain(*count))).collect();
        let mut samples = samples(&[], &histograms);
        samples.histograms.iter_mut().zip(starts).for_each(|(sample, start)| sample.start_timestamp = start * 1000);
        samples.histograms.truncate(starts.len());
        samples
    };
    // From zero at 5 s to 4 at 20 s, and nothing to go by behind that.
    let rows: &[(&'static str, &[i64], Gave)] = &[
        ("increase", &[5], Count(2.0)),
        ("increase", &[0], Nothing),
        // 4 in 15 s, and half an interval of 10 s behind.
        ("increase", &[5, 5], Count(4.0 * 20.0 / 15.0)),
        // A reset at 15 s.
        ("irate", &[5, 15], Count(0.4)),
        ("resets", &[5, 15, 15], Float(1.0)),
        ("resets", &[5, 15, 25], Float(2.0)),
    ];
    for (name, starts, expected) in rows {
        let gave = step(name, &[], &with_starts(starts)).0;
        assert!(close(gave, *expected), "{name} {starts:?}: {gave:?}");
    }
    let (_, told) = step("rate", &[], &with_starts(&[1, 1, 15]));
    let overlap =
        "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"x\" (1:6)";
    assert_eq!(told, [overlap]);
}

/// Points at the ends of the window, as floats have them.
#[test]
fn extended_ranges_of_histograms() {
    let points = [(-20, 2.0), (20, 10.0), (40, 4.0), (80, 24.0)];
    let histograms: Vec<_> = points.iter().map(|(time, count)| (*time, plain(*count))).collect();
    for extension in [RangeExtension::Anchored, RangeExtension::Smoothed] {
        for name in ["rate", "increase", "delta", "resets", "changes"] {
            if extension == RangeExtension::Smoothed && matches!(name, "resets" | "changes") {
                continue;
            }
            let spec = ScanSpec { extension: Some(extension), ..spec(name, Timeline::instant(60_000), 60_000) };
            let floats = ask(&spec, &[], &column(&points)).expect("floats").0[0];
            let (gave, told) = at_sixty(&spec, &[], &samples(&[], &histograms));
            let (Float(found) | Count(found)) = gave else { panic!("{name} {extension:?} gave nothing") };
            assert!((found - floats).abs() < 1e-12, "{name} {extension:?}: {found} is not {floats}");
            assert_eq!(told.is_empty(), name != "delta", "{name} {extension:?}: {told:?}");
            let mixed = samples(&[(30, 1.0)], &histograms);
            match name {
                "resets" | "changes" => assert!(matches!(at_sixty(&spec, &[], &mixed).0, Float(_)), "{name}"),
                _ => assert_eq!(at_sixty(&spec, &[], &mixed), (Nothing, vec![MIXED.to_owned()]), "{name}"),
            }
        }
    }
    // The one newest sample at or before the left end is the anchor: the float counts as changed from the histogram.
    let anchored =
        ScanSpec { extension: Some(RangeExtension::Anchored), ..spec("changes", Timeline::instant(60_000), 60_000) };
    let early = samples(&[(-10, 1.0), (30, 1.0)], &[(-5, plain(1.0))]);
    assert_eq!(at_sixty(&anchored, &[], &early).0, Float(1.0));
}

/// An instant selector takes the newest sample of either kind; a stale histogram ends the series.
#[test]
fn instant_selectors_find_either_kind() {
    let both = samples(&[(10, 1.0), (30, 3.0)], &[(20, plain(2.0)), (40, Histogram::stale()), (50, plain(5.0))]);
    let rows =
        [(10, Float(1.0)), (20, Count(2.0)), (29, Count(2.0)), (30, Float(3.0)), (40, Nothing), (50, Count(5.0))];
    for (time, expected) in rows {
        let latest = |function| ScanSpec { function, ..spec("", Timeline::instant(time * 1000), 0) };
        assert_eq!(at_sixty(&latest(ScanFunction::Latest), &[], &both).0, expected, "{time} s");
        let at = at_sixty(&latest(ScanFunction::Timestamp), &[], &both).0;
        assert_eq!(at == Nothing, expected == Nothing, "{time} s: {at:?}");
        assert!(!matches!(at, Count(_)), "{time} s");
    }
    let info = ScanSpec { function: ScanFunction::SampleTime, ..spec("", Timeline::instant(20_000), 0) };
    assert_eq!(at_sixty(&info, &[], &both).0, Count(2.0), "info() refuses it where it asks for the series");
    let smoothed = |time: i64| ScanSpec {
        function: ScanFunction::Latest,
        extension: Some(RangeExtension::Smoothed),
        ..spec("", Timeline::instant(time * 1000), 0)
    };
    let alone = samples(&[], &[(10, plain(1.0)), (30, plain(3.0)), (50, plain(1.0))]);
    for (time, expected) in [(5, Nothing), (10, Count(1.0)), (20, Count(2.0)), (40, Count(0.5)), (60, Count(1.0))] {
        assert_eq!(at_sixty(&smoothed(time), &[], &alone), (expected, vec![]), "{time} s");
    }
    assert_eq!(at_sixty(&smoothed(45), &[], &samples(&[(20, 1.0)], &[(10, plain(1.0))])).1, [MIXED]);
}

/// Only counts, sums and what is known of resets are left; what was unknown is found in the buckets before they go.
#[test]
fn stats_know_resets() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let moved = Histogram { positive_spans: [Span { offset: 1, length: 1 }].into(), ..plain(3.0) };
    let histograms = [plain(1.0), plain(3.0), moved, Histogram::stale(), plain(1.0), gauge(1.0), hinted(9.0, Reset)];
    let histograms: Vec<_> = (1..).map(|i| i * 10).zip(histograms).collect();
    let mut samples = samples(&[], &histograms);
    keep_stats(&mut samples);
    let found = samples.histograms.iter().map(|sample| (sample.histogram.counter_reset_hint, sample.histogram.count));
    let expected =
        [(Unknown, 1.0), (NotReset, 3.0), (Reset, 3.0), (Unknown, 0.0), (Reset, 1.0), (Gauge, 1.0), (Reset, 9.0)];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(samples.histograms[3].histogram.is_stale());
    assert!(samples.histograms.iter().all(|sample| sample.histogram.positive_buckets.is_empty()));
}

/// A histogram counts for as many samples as it has room for.
#[test]
fn histograms_count_by_their_size() {
    let size = plain(1.0).size_in_samples();
    assert_eq!(size, 12);
    let histograms: Vec<_> = (1..=3).map(|i| (i * 10, plain(i as f64))).collect();
    let mut samples = samples(&[], &histograms);
    samples.push(5_000, 1.0);
    let asked = |max: usize| {
        let limit = SampleLimit::new(max);
        ask_limited(&spec("last_over_time", Timeline::instant(60_000), 60_000), &[], &samples, limit).is_ok()
    };
    // Three histograms and a float that are read, one histogram that comes out.
    assert!(asked(4 * size + 1) && !asked(4 * size));
}
