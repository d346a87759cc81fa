//! Kernels over literal columns, and against a plain transcription of the definitions on random ones.

mod histograms;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use masthead_store::samples::Run as LaneRun;
use masthead_store::{Budget, Labels, Samples};

use super::*;
use crate::annotations::{Annotations, Place, Severity};
use crate::engine::arguments::Arguments;
use crate::engine::batch::{ABSENT, Batch, is_absent};
use crate::engine::scan::column::{Column, Prepared};
use crate::engine::scan::columns::{Columns, Scratch};
use crate::engine::scan::notes::Notes;
use crate::engine::scan::times::WindowTimes;
use crate::engine::{Context, SampleLimit, scan};
use crate::plan::{ScanFunction, ScanSpec, Timeline};
use crate::promql::ast::{RangeExtension, Span};

fn spec(name: &'static str, timeline: Timeline, range: i64) -> ScanSpec {
    let place = Place { span: Span { start: 5, end: 6 }, turn: 0 };
    ScanSpec { use_start_timestamps: true, place, ..scan::tests::spec(ScanFunction::Range(name), timeline, range) }
}

/// Cells and what was told of a column; `seconds` are the times of `values`.
fn ask(spec: &ScanSpec, args: &[f64], samples: &Samples) -> Result<(Vec<f64>, Vec<String>), String> {
    let (rows, told) = ask_rows(spec, args, samples)?;
    Ok((if rows.is_empty() { vec![ABSENT; spec.timeline.count] } else { rows.row(0).to_vec() }, told))
}

/// The row, if there is one, and what was told of it.
fn ask_rows(spec: &ScanSpec, args: &[f64], samples: &Samples) -> Result<(Batch, Vec<String>), String> {
    ask_limited(spec, args, samples, SampleLimit::new(usize::MAX))
}

/// The same where so many samples may be loaded.
fn ask_limited(
    spec: &ScanSpec,
    args: &[f64],
    column: &Samples,
    samples: SampleLimit,
) -> Result<(Batch, Vec<String>), String> {
    let annotations = Annotations::default();
    let cx = Context {
        budget: Budget::unlimited(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples,
        pool: None,
    };
    let labels = Labels::from_pairs([("__name__", "x")]);
    let steps = spec.timeline.count;
    let columns = Columns::with_arguments(spec, Arguments::constant(args, steps));
    let fill = |scratch: &mut Scratch| {
        scratch.samples = column.clone();
        Ok(())
    };
    let rows = columns.and_then(|mut columns| {
        columns.compute(1, 0, |_, to| fill(to), &cx)?.keep(std::iter::once((labels, false)), &cx)
    });
    let rows = rows.map_err(|error| error.to_string())?;
    let told = [Severity::Warning, Severity::Info].map(|severity| annotations.render(severity, "sum(x)"));
    Ok((rows, told.concat()))
}

fn column(points: &[(i64, f64)]) -> Samples {
    let mut samples = Samples::default();
    points.iter().for_each(|(seconds, value)| samples.push(seconds * 1000, *value));
    samples
}

/// The cell of one step at `end` s over a range of `range` s.
fn one(name: &'static str, args: &[f64], points: &[(i64, f64)], end: i64, range: i64) -> f64 {
    let spec = spec(name, Timeline::instant(end * 1000), range * 1000);
    ask(&spec, args, &column(points)).expect("a cell").0[0]
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan() && !is_absent(a) && !is_absent(b))
}

/// Rows: function, scalars, samples, expected; the window is (0, 60 s].
#[test]
fn literal_windows() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    type Row<'a> = (&'static str, &'a [f64], &'a [(i64, f64)], f64);
    let rows: &[Row] = &[
        ("rate", &[], &[(0, 9.0), (15, 10.0), (30, 20.0), (45, 30.0)], 40.0 / 60.0),
        ("increase", &[], &[(15, 10.0), (30, 20.0), (45, 30.0)], 40.0),
        // The zero point lies 1.5 s before the first sample.
        ("increase", &[], &[(15, 1.0), (30, 11.0), (45, 21.0)], 20.0 * (30.0 + 1.5 + 15.0) / 30.0),
        ("increase", &[], &[(15, 100.0), (30, 120.0), (45, 30.0), (60, 40.0)], 60.0 * (45.0 + 15.0) / 45.0),
        ("delta", &[], &[(15, 100.0), (30, 120.0), (45, 30.0), (60, 40.0)], -60.0 * (45.0 + 15.0) / 45.0),
        ("rate", &[], &[(30, 5.0)], ABSENT),
        ("irate", &[], &[(15, 10.0), (30, 20.0), (40, 25.0)], 0.5),
        ("irate", &[], &[(15, 10.0), (30, 20.0), (40, 5.0)], 0.5),
        ("idelta", &[], &[(15, 10.0), (30, 20.0), (40, 5.0)], -15.0),
        ("changes", &[], &[(15, nan), (30, nan), (40, 1.0), (50, 1.0), (55, 2.0)], 2.0),
        ("resets", &[], &[(15, 3.0), (30, 2.0), (40, 2.0), (50, 1.0)], 2.0),
        ("deriv", &[], &[(10, 5.0), (20, 7.0), (30, 9.0)], 0.2),
        ("deriv", &[], &[(10, 5.0), (20, 5.0)], 0.0),
        ("deriv", &[], &[(10, inf), (20, inf)], nan),
        ("predict_linear", &[10.0], &[(40, 4.0), (50, 5.0), (60, 6.0)], 7.0),
        ("avg_over_time", &[], &[(10, f64::MAX), (20, f64::MAX)], f64::MAX),
        ("avg_over_time", &[], &[(10, 1.0), (20, 1e100), (30, 1.0), (40, -1e100)], 0.5),
        ("sum_over_time", &[], &[(10, 1.0), (20, 1e100), (30, 1.0), (40, -1e100)], 2.0),
        ("sum_over_time", &[], &[(10, inf), (20, -inf)], nan),
        ("count_over_time", &[], &[(0, 1.0), (10, nan), (60, 2.0), (61, 3.0)], 2.0),
        ("present_over_time", &[], &[(10, nan)], 1.0),
        ("first_over_time", &[], &[(0, 1.0), (10, 2.0), (20, 3.0)], 2.0),
        ("last_over_time", &[], &[(10, 2.0), (20, -0.0)], -0.0),
        ("max_over_time", &[], &[(10, nan), (20, 1.0), (30, -1.0), (40, nan)], 1.0),
        ("min_over_time", &[], &[(10, nan), (20, nan)], nan),
        ("min_over_time", &[], &[(10, 3.0), (20, nan), (30, 2.0)], 2.0),
        (
            "stddev_over_time",
            &[],
            &[(10, 2.0), (20, 4.0), (30, 4.0), (40, 4.0), (45, 5.0), (50, 5.0), (55, 7.0), (60, 9.0)],
            2.0,
        ),
        ("stdvar_over_time", &[], &[(10, 1.0), (20, 3.0)], 1.0),
        ("quantile_over_time", &[0.75], &[(10, 4.0), (20, 0.0), (30, 2.0), (40, 8.0)], 5.0),
        ("quantile_over_time", &[0.0], &[(10, 4.0), (20, nan)], nan),
        ("quantile_over_time", &[1.5], &[(10, 4.0)], inf),
        ("quantile_over_time", &[-1.0], &[(10, 4.0)], -inf),
        ("quantile_over_time", &[nan], &[(10, 4.0)], nan),
        ("mad_over_time", &[], &[(10, 4.0), (20, 6.0), (30, 2.0), (40, 1.0), (50, 999.0)], 2.0),
        ("mad_over_time", &[], &[(10, 4.0), (20, nan)], nan),
        ("ts_of_max_over_time", &[], &[(10, 4.0), (20, 4.0), (30, 2.0)], 20.0),
        ("ts_of_min_over_time", &[], &[(10, 4.0), (20, nan), (30, 2.0)], 30.0),
        ("ts_of_first_over_time", &[], &[(0, 4.0), (10, nan), (30, 2.0)], 10.0),
        ("ts_of_last_over_time", &[], &[(10, nan), (30, 2.0), (61, 3.0)], 30.0),
        ("double_exponential_smoothing", &[0.5, 0.5], &[(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)], 4.0),
        ("double_exponential_smoothing", &[0.5, 0.5], &[(10, 1.0)], ABSENT),
    ];
    for (name, args, points, expected) in rows {
        let got = one(name, args, points, 60, 60);
        assert!(same(got, *expected), "{name}{args:?} over {points:?}: {got:?}, expected {expected:?}");
    }
    // Of times before 1970 only the last one is never negative.
    let before = [(-30, 1.0), (-20, 1.0)];
    assert_eq!(one("ts_of_first_over_time", &[], &before, 0, 60), -30.0);
    assert_eq!(one("ts_of_max_over_time", &[], &before, 0, 60), -20.0);
    assert_eq!(one("ts_of_last_over_time", &[], &before, 0, 60), 0.0);
}

#[test]
fn what_is_told() {
    let points = column(&[(10, 1.0), (20, 2.0)]);
    let told =
        |name, args: &[f64]| ask(&spec(name, Timeline::instant(60_000), 60_000), args, &points).map(|(_, told)| told);
    let counter =
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"x\" (1:6)";
    assert_eq!(told("rate", &[]), Ok(vec![counter.to_owned()]));
    assert_eq!(told("delta", &[]), Ok(vec![]));
    let quantile = "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:6)";
    assert_eq!(told("quantile_over_time", &[1.5]), Ok(vec![quantile.to_owned()]));
    let smoothing = "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000";
    assert_eq!(told("double_exponential_smoothing", &[1.0, 0.5]), Err(smoothing.to_owned()));
    let trend = "invalid trend factor. Expected: 0 < tf < 1, got: -0.500000";
    assert_eq!(told("double_exponential_smoothing", &[0.5, -0.5]), Err(trend.to_owned()));
}

#[test]
fn the_table_is_sorted_and_in_the_language() {
    assert!(RANGE_FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    for function in RANGE_FUNCTIONS {
        assert!(crate::promql::functions::find(function.name).is_some(), "{}", function.name);
    }
}

/// Start timestamps in seconds: a known zero point, a reset that values hide, an overlap.
#[test]
fn start_timestamps_count() {
    let with = |points: &[(i64, f64)], starts: &[i64]| {
        let mut samples = column(points);
        samples.start_timestamps = starts.iter().map(|start| start * 1000).collect();
        samples
    };
    let asked =
        |name, samples: &Samples| ask(&spec(name, Timeline::instant(60_000), 60_000), &[], samples).expect("a cell");
    let single = with(&[(30, 5.0)], &[10]);
    assert_eq!(asked("increase", &single).0[0], 5.0);
    let outside = with(&[(30, 5.0)], &[-10]);
    assert!(is_absent(asked("increase", &outside).0[0]));
    let hidden = with(&[(15, 10.0), (30, 12.0), (45, 13.0)], &[1, 20, 20]);
    assert_eq!(asked("resets", &hidden).0[0], 1.0);
    assert_eq!(asked("irate", &with(&[(15, 10.0), (30, 12.0)], &[1, 20])).0[0], 12.0 / 15.0);
    // From the start at 1 s on: 10, then 12 more, then 1.
    let (cells, told) = asked("increase", &hidden);
    assert_eq!((cells[0], told.len()), (23.0 * ((44.0 + 0.0 + 15.0) / 44.0), 1));
    let overlap = with(&[(15, 10.0), (30, 12.0), (45, 13.0)], &[1, 5, 5]);
    let (_, told) = asked("rate", &overlap);
    let extended = |name, extension| {
        let spec = ScanSpec { extension: Some(extension), ..spec(name, Timeline::instant(60_000), 60_000) };
        ask(&spec, &[], &hidden).expect("a cell").0[0]
    };
    assert_eq!(extended("resets", RangeExtension::Anchored), 1.0);
    // What is extended takes values as they are.
    assert_eq!(extended("increase", RangeExtension::Anchored), 3.0);
    assert_eq!(extended("increase", RangeExtension::Smoothed), 3.0);
    let expected =
        "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"x\" (1:6)";
    assert_eq!(told[0], expected);
}

/// A plain transcription of the definition: scans the window sample by sample.
fn slow_rate(points: &[(i64, f64)], start: i64, end: i64, counter: bool, per: Option<f64>) -> f64 {
    let inside: Vec<(i64, f64)> = points.iter().copied().filter(|(t, _)| *t > start && *t <= end).collect();
    if inside.len() < 2 {
        return ABSENT;
    }
    let ((first_t, first), (last_t, last)) = (inside[0], inside[inside.len() - 1]);
    let mut result = last - first;
    for pair in inside.windows(2) {
        if counter && pair[1].1 < pair[0].1 {
            result += pair[0].1;
        }
    }
    let mut to_start = (first_t - start) as f64 / 1000.0;
    let mut to_end = (end - last_t) as f64 / 1000.0;
    let sampled = (last_t - first_t) as f64 / 1000.0;
    let average = sampled / (inside.len() - 1) as f64;
    if to_start >= average * 1.1 {
        to_start = average / 2.0;
    }
    if counter && result > 0.0 && first >= 0.0 && sampled * (first / result) < to_start {
        to_start = sampled * (first / result);
    }
    if to_end >= average * 1.1 {
        to_end = average / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if let Some(per) = per {
        factor /= per;
    }
    result * factor
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Sliding with prepared resets gives the bits of scanning each window.
#[test]
fn sliding_equals_scanning() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let (mut time, mut value) = (0, 0.0);
        let resets_in = 2 + random.below(60);
        let mut points = Vec::new();
        for _ in 0..400 {
            time += if random.below(30) == 0 { 200_000 } else { 14_000 + random.below(2_000) as i64 };
            value = match random.below(resets_in) {
                0 => random.below(100) as f64 / 3.0,
                _ => value + random.below(1_000_000) as f64 / 7.0,
            };
            points.push((time, if random.below(200) == 0 { f64::NAN } else { value }));
        }
        let mut samples = Samples::default();
        points.iter().for_each(|(time, value)| samples.push(*time, *value));
        let range = [60_000, 300_000, 1_234_567][random.below(3) as usize];
        let timeline = Timeline { start: -50_000, step: 1 + random.below(400_000) as i64, count: 150 };
        for (name, counter, per) in
            [("rate", true, Some(range as f64 / 1000.0)), ("increase", true, None), ("delta", false, None)]
        {
            let (cells, _) = ask(&spec(name, timeline, range), &[], &samples).expect("cells");
            for (step, cell) in cells.iter().enumerate() {
                let end = timeline.at(step);
                let expected = slow_rate(&points, end - range, end, counter, per);
                assert!(
                    cell.to_bits() == expected.to_bits() || same(*cell, expected),
                    "seed {seed}, {name} at step {step}: {cell:e}, expected {expected:e}"
                );
            }
        }
    }
}

/// Extended selectors: function, modifier, samples, expected; the window is (60 s, 120 s].
#[test]
fn extended_windows() {
    use RangeExtension::{Anchored, Smoothed};
    let absent = ABSENT;
    type Row<'a> = (&'static str, RangeExtension, &'a [(i64, f64)], f64);
    let rows: &[Row] = &[
        ("increase", Anchored, &[(50, 10.0), (70, 20.0), (110, 30.0)], 20.0),
        ("rate", Anchored, &[(50, 10.0), (70, 20.0), (110, 30.0)], 20.0 / 60.0),
        ("increase", Anchored, &[(50, 10.0), (70, 20.0), (110, 5.0)], 15.0),
        ("delta", Anchored, &[(50, 10.0), (70, 20.0), (110, 5.0)], -5.0),
        ("increase", Anchored, &[(90, 7.0)], 0.0),
        ("increase", Anchored, &[(50, 7.0)], absent),
        ("increase", Smoothed, &[(50, 10.0), (70, 20.0), (110, 30.0), (130, 50.0)], 25.0),
        ("delta", Smoothed, &[(50, 10.0), (70, 20.0), (110, 30.0), (130, 10.0)], 5.0),
        // A fall over the right end counts from zero.
        ("increase", Smoothed, &[(60, 10.0), (110, 30.0), (130, 10.0)], 25.0),
        ("increase", Smoothed, &[(130, 10.0)], absent),
        ("changes", Anchored, &[(50, 1.0), (70, 2.0), (110, 2.0)], 1.0),
        ("changes", Anchored, &[(50, 1.0)], absent),
        ("resets", Anchored, &[(40, 9.0), (50, 3.0), (70, 2.0), (110, 4.0)], 1.0),
    ];
    for (name, extension, points, expected) in rows {
        let spec = ScanSpec { extension: Some(*extension), ..spec(name, Timeline::instant(120_000), 60_000) };
        let got = ask(&spec, &[], &column(points)).expect("a cell").0[0];
        assert!(same(got, *expected) || got.to_bits() == expected.to_bits(), "{name} {extension:?} {points:?}: {got}");
    }
}

/// The cell of a column that two lanes gave: `switches` are the places of the changes with the new lane's sample before.
fn of_lanes(name: &'static str, points: &[(i64, f64)], switches: &[(usize, Option<(i64, f64)>)], end: i64) -> f64 {
    let spec = spec(name, Timeline::instant(end * 1000), 300_000);
    of_lanes_by(&spec, points, switches)
}

fn of_lanes_by(spec: &ScanSpec, points: &[(i64, f64)], switches: &[(usize, Option<(i64, f64)>)]) -> f64 {
    let mut samples = column(points);
    samples.runs.push(LaneRun { start: 0, lane: 0, before: None });
    for (i, (start, before)) in switches.iter().enumerate() {
        let before = before.map(|(seconds, value)| (seconds * 1000, value));
        samples.runs.push(LaneRun { start: *start, lane: (i as u32 + 1) % 2, before });
    }
    of_samples(spec, samples)
}

/// The cell over samples of lanes, whose start timestamps count.
fn of_samples(spec: &ScanSpec, mut samples: Samples) -> f64 {
    let ScanFunction::Range(name) = spec.function else { panic!("a function of a range") };
    let function = find(name).expect("a function");
    let mut prepared = Prepared::default();
    prepared.settle(&mut samples, function.levels, true);
    prepared.mark(function.marks, &samples, true);
    let mut column = Column {
        times: WindowTimes::of(spec, spec.range),
        samples: &samples,
        with_start_timestamps: true,
        prepared: &mut prepared,
        args: &Arguments::constant(&[60.0], 1),
        range_seconds: spec.range as f64 / 1000.0,
        cancelled: &AtomicBool::new(false),
    };
    let mut out = [0.0];
    let kernels =
        if spec.extension.is_some() { function.extended.as_ref().expect("extended") } else { &function.kernels };
    (kernels.run)(&mut column, &mut Notes::default(), &mut out);
    out[0]
}

/// Lane b stands 77 above lane a, so it is lowered, and its own reset no longer shows as a fall.
#[test]
fn resets_count_where_levelled_values_do_not_fall() {
    let points = [(30, 5.0), (60, 10.0), (107, 95.0), (137, 100.0), (167, 30.0)];
    let switches = [(2, Some((77, 90.0)))];
    // 5 to 10, 5 of lane b's pace for 47 of 30 s, 5, and 30 since the reset.
    let risen = 5.0 + 5.0 * 47.0 / 30.0 + 5.0 + 30.0;
    for (extension, start, end, expected) in [
        (RangeExtension::Anchored, 0, 200, risen),
        (RangeExtension::Anchored, 137, 200, 30.0),
        (RangeExtension::Anchored, 140, 200, 30.0),
        (RangeExtension::Anchored, 0, 137, risen - 30.0),
        (RangeExtension::Smoothed, 0, 200, risen),
        (RangeExtension::Smoothed, 0, 152, risen - 15.0),
        (RangeExtension::Smoothed, 152, 200, 15.0),
        (RangeExtension::Smoothed, 147, 157, 10.0),
        (RangeExtension::Smoothed, 137, 152, 15.0),
    ] {
        let spec = ScanSpec {
            extension: Some(extension),
            ..spec("increase", Timeline::instant(end * 1000), (end - start) * 1000)
        };
        let got = of_lanes_by(&spec, &points, &switches);
        assert!((got - expected).abs() < 1e-9, "{extension:?} ({start}, {end}]: {got}, expected {expected}");
    }
}

/// A window within one lane answers as that lane alone does, however far the lane was lifted: down to zero, no further.
#[test]
fn the_zero_point_is_that_of_the_lane() {
    // Far above the lane, which begins near zero; far below it, so that only what is lowered seems to.
    for (other, lane) in [(100_000.0, 4.0), (1.0, 1000.0)] {
        let own = [(107, lane), (137, lane + 30.0), (167, lane + 60.0)];
        let points = [&[(30, other), (60, other + 1.0), (90, other + 2.0)], &own[..]].concat();
        for name in ["increase", "rate"] {
            let spec = spec(name, Timeline::instant(180_000), 80_000);
            let alone = of_lanes_by(&spec, &own, &[]);
            let got = of_lanes_by(&spec, &points, &[(3, Some((77, lane - 4.0)))]);
            assert!((got - alone).abs() < 1e-6 * alone, "{name} at {lane} behind {other}: {got}, alone {alone}");
        }
    }
}

/// Replica b of a counter has fallen alone long ago, so that it stands 484 thousand below replica a.
#[test]
fn lanes_of_different_height_do_not_jump() {
    let points = [
        (30, 484_700.0),
        (60, 484_710.0),
        (90, 484_720.0),
        (137, 46.0),
        (167, 56.0),
        (197, 66.0),
        (240, 484_770.0),
        (270, 484_780.0),
    ];
    let switches = [(3, Some((107, 36.0))), (6, Some((90, 484_720.0)))];
    let near = |name, expected: f64| {
        let got = of_lanes(name, &points, &switches, 300);
        assert!((got - expected).abs() <= expected.abs() * 0.03, "{name}: {got}, expected about {expected}");
    };
    near("delta", 100.0);
    near("increase", 100.0);
    near("rate", 1.0 / 3.0);
    near("deriv", 1.0 / 3.0);
    near("irate", 1.0 / 3.0);
    near("idelta", 10.0);
    near("predict_linear", 484_790.0 + 20.0);
    near("resets", 0.0);
    near("changes", 7.0);
    near("max_over_time", 484_780.0);
}

/// Deltas whose start timestamps tell so: every sample counts as a rise since zero, from whatever lane it comes.
#[test]
fn start_timestamps_count_across_lanes() {
    let mut samples = column(&(1..=8).map(|i| (i * 60, 60.0)).collect::<Vec<_>>());
    samples.start_timestamps = samples.timestamps.iter().map(|time| time - 59_999).collect();
    // Lane b has the fourth and the fifth sample, the third and the sixth too.
    samples.runs = vec![
        LaneRun { start: 0, lane: 0, before: None },
        LaneRun { start: 3, lane: 1, before: Some((180_000, 60.0)) },
        LaneRun { start: 5, lane: 0, before: Some((180_000, 60.0)) },
    ];
    for (name, expected) in [("increase", 480.0), ("irate", 1.0), ("resets", 7.0)] {
        let spec = spec(name, Timeline::instant(480_000), 480_000);
        let got = of_samples(&spec, samples.clone());
        assert!((got - expected).abs() < 0.1, "{name}: {got}");
    }
}

/// A restart that both lanes saw counts once, and lanes that agree keep their bits.
#[test]
fn lanes_that_agree_are_joined() {
    let restart = [(30, 100.0), (60, 110.0), (107, 7.0), (137, 17.0), (180, 31.0), (210, 41.0)];
    let switches = [(2, Some((77, 115.0))), (4, Some((60, 110.0)))];
    assert_eq!(of_lanes("resets", &restart, &switches, 210), 1.0);
    let increase = of_lanes("increase", &restart, &switches, 210);
    assert!((increase - (10.0 + 7.0 + 34.0) * 210.0 / 180.0).abs() < 6.0, "{increase}");
    let gauge = [(30, 1.5), (60, 1.7), (107, 1.6), (137, 1.4), (180, 1.3)];
    let switches = [(2, Some((77, 1.65))), (4, None)];
    for name in ["delta", "idelta", "deriv", "predict_linear"] {
        let joined = of_lanes(name, &gauge, &[], 180);
        assert_eq!(of_lanes(name, &gauge, &switches, 180).to_bits() == joined.to_bits(), name != "delta", "{name}");
    }
}

/// A gauge that stands still in both lanes has not changed.
#[test]
fn a_mere_difference_is_no_change() {
    let points = [(30, 5.0), (60, 5.0), (107, 4.0), (137, 4.0), (180, 5.0)];
    let switches = [(2, Some((77, 4.0))), (4, Some((60, 5.0)))];
    assert_eq!(of_lanes("changes", &points, &switches, 210), 0.0);
    assert_eq!(of_lanes("resets", &points, &switches, 210), 0.0);
}
