//! Comparison of answers with what a script expects, with Prometheus' tolerance.

use std::collections::{BTreeMap, BTreeSet};

use masthead_query::engine::batch::{Row, is_absent};
use masthead_query::plan::Timeline;
use masthead_query::promql::series::SequenceValue;
use masthead_store::histogram::{Histogram, Span};
use masthead_store::samples::is_stale;
use masthead_store::{Labels, Millis, Samples};

use super::Answer;
use super::script::{Eval, Expected, Notes, Pattern, Range};
use super::series;

/// Relative difference allowed (defaultEpsilon in promql/promqltest/test.go).
const EPSILON: f64 = 1e-6;

/// Smallest positive normal float.
const MIN_NORMAL: f64 = f64::MIN_POSITIVE;

/// What a script expects as a value.
#[derive(Debug)]
pub(super) enum Wanted {
    Scalar(f64),
    String(String),
    /// Rank from 1 and values of each series.
    Series(BTreeMap<Labels, (usize, Vec<SequenceValue>)>),
}

/// One value of an answer.
enum Got<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

impl Wanted {
    /// Reads the expected series.
    pub(super) fn of(eval: &Eval) -> Result<Self, String> {
        Ok(match &eval.value {
            Expected::Scalar(value) => Wanted::Scalar(*value),
            Expected::String(literal) => Wanted::String(series::string_literal(literal)?),
            Expected::Series(lines) => {
                let mut wanted = BTreeMap::new();
                for (rank, (number, text)) in lines.iter().enumerate() {
                    let (labels, points) = series::describe(text).map_err(|error| format!("line {number}: {error}"))?;
                    wanted.insert(labels, (rank + 1, points));
                }
                Wanted::Series(wanted)
            }
        })
    }

    fn series(&self, got: &str) -> Result<&BTreeMap<Labels, (usize, Vec<SequenceValue>)>, String> {
        match self {
            Wanted::Series(series) => Ok(series),
            other => Err(format!("{got} instead of {other:?}")),
        }
    }

    pub(super) fn check_scalar(&self, got: f64) -> Result<(), String> {
        match self {
            Wanted::Scalar(value) if almost_equal(*value, got) => Ok(()),
            other => Err(format!("scalar {got} instead of {other:?}")),
        }
    }

    pub(super) fn check_string(&self, got: &str) -> Result<(), String> {
        match self {
            Wanted::String(text) if text == got => Ok(()),
            other => Err(format!("string {got:?} instead of {other:?}")),
        }
    }

    /// Compares one step of rows as an instant vector.
    pub(super) fn check_vector(&self, rows: &[Row], step: usize, ordered: bool) -> Result<(), String> {
        let wanted = self.series("a vector")?;
        let (mut seen, mut labelsets) = (0, BTreeSet::new());
        for row in rows {
            let Some(got) = sample(row, step) else { continue };
            if !labelsets.insert(&row.labels) {
                return Err(format!("{} comes twice", row.labels));
            }
            seen += 1;
            let (rank, points) =
                wanted.get(&row.labels).ok_or_else(|| format!("unexpected {}: {}", row.labels, got.text()))?;
            if ordered && *rank != seen {
                return Err(format!("{} comes at place {seen} instead of {rank}", row.labels));
            }
            let first = points.first().ok_or("a series without a value is expected")?;
            compare_point(first, &got).map_err(|error| format!("{}: {error}", row.labels))?;
        }
        self.check_all_seen(labelsets.into_iter())
    }

    /// Compares rows with all their steps.
    pub(super) fn check_matrix(&self, rows: &[Row], timeline: &Timeline) -> Result<(), String> {
        let wanted = self.series("a matrix")?;
        Self::check_sorted(rows)?;
        for row in rows {
            let (_, points) =
                wanted.get(&row.labels).ok_or_else(|| format!("unexpected {}: {:?}", row.labels, row.values))?;
            if points.len() > timeline.count {
                return Err(format!("{}: {} values expected in {} steps", row.labels, points.len(), timeline.count));
            }
            for step in 0..timeline.count {
                let outcome = match (points.get(step).unwrap_or(&SequenceValue::Omitted), sample(row, step)) {
                    (SequenceValue::Omitted, None) => Ok(()),
                    (SequenceValue::Omitted, Some(got)) => Err(format!("{} instead of nothing", got.text())),
                    (_, None) => Err("nothing".to_owned()),
                    (point, Some(got)) => compare_point(point, &got),
                };
                outcome.map_err(|error| {
                    format!("{} at {} ms: {error}; whole row {:?}", row.labels, timeline.at(step), row.values)
                })?;
            }
        }
        self.check_all_seen(rows.iter().map(|row| &row.labels))
    }

    /// Compares the raw samples of a range vector.
    pub(super) fn check_range_vector(&self, got: &[(Labels, Samples)], range: Option<Range>) -> Result<(), String> {
        let wanted = self.series("a range vector")?;
        let range = range.ok_or("a range vector without `expect range vector`")?;
        if !got.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("the series are not sorted".to_owned());
        }
        for (labels, samples) in got {
            let (_, points) = wanted.get(labels).ok_or_else(|| format!("unexpected {labels}: {samples:?}"))?;
            let mut expected: Vec<(Millis, &SequenceValue)> = Vec::new();
            for (point, i) in points.iter().zip(0..) {
                let time = range.start + range.step * i;
                if time > range.end {
                    return Err(format!("{labels}: more values are expected than the range has"));
                }
                if !matches!(point, SequenceValue::Omitted) {
                    expected.push((time, point));
                }
            }
            let floats =
                samples.timestamps.iter().zip(&samples.values).map(|(time, value)| (*time, Got::Float(*value)));
            let histograms =
                samples.histograms.iter().map(|sample| (sample.timestamp, Got::Histogram(&sample.histogram)));
            let mut have: Vec<(Millis, Got<'_>)> = floats.chain(histograms).collect();
            have.sort_by_key(|(time, _)| *time);
            if have.len() != expected.len() {
                return Err(format!("{labels}: {} samples instead of {}: {samples:?}", have.len(), expected.len()));
            }
            for ((time, point), (got_time, got)) in expected.iter().zip(&have) {
                if time != got_time {
                    return Err(format!("{labels}: a sample at {got_time} ms instead of {time} ms"));
                }
                compare_point(point, got).map_err(|error| format!("{labels} at {time} ms: {error}"))?;
            }
        }
        self.check_all_seen(got.iter().map(|(labels, _)| labels))
    }

    /// Range results ascend by labels, each once.
    pub(super) fn check_sorted(rows: &[Row]) -> Result<(), String> {
        match rows.windows(2).find(|pair| pair[0].labels >= pair[1].labels) {
            Some(pair) => Err(format!("not sorted: {} comes before {}", pair[0].labels, pair[1].labels)),
            None => Ok(()),
        }
    }

    fn check_all_seen<'a>(&self, got: impl Iterator<Item = &'a Labels>) -> Result<(), String> {
        let got: BTreeSet<&Labels> = got.collect();
        let missing = self.series("series")?.iter().find(|(labels, _)| !got.contains(labels));
        match missing {
            Some((labels, (_, points))) => Err(format!("missing {labels} {points:?}")),
            None => Ok(()),
        }
    }
}

impl Got<'_> {
    fn text(&self) -> String {
        match self {
            Got::Float(value) => value.to_string(),
            Got::Histogram(histogram) => format!("{histogram:?}"),
        }
    }
}

fn sample(row: &Row, step: usize) -> Option<Got<'_>> {
    let histogram = row.histograms.iter().find(|(at, _)| *at as usize == step);
    match (histogram, row.values.get(step)) {
        (Some((_, histogram)), _) => Some(Got::Histogram(histogram)),
        (None, Some(value)) if !is_absent(*value) => Some(Got::Float(*value)),
        _ => None,
    }
}

fn compare_point(want: &SequenceValue, got: &Got<'_>) -> Result<(), String> {
    let same = match (want, got) {
        (SequenceValue::Float(want), Got::Float(got)) => almost_equal(*want, *got),
        (SequenceValue::Histogram(want), Got::Histogram(got)) => almost_equal_histogram(want, got),
        (SequenceValue::HintedHistogram(want), Got::Histogram(got)) => {
            almost_equal_histogram(want, got) && want.counter_reset_hint == got.counter_reset_hint
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("{} instead of {want:?}", got.text())) }
}

/// util/almost: equal within a relative epsilon; stale markers equal only each other.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < MIN_NORMAL {
        return difference < EPSILON * MIN_NORMAL;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn almost_equal_histogram(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && almost_equal(a.count, b.count)
        && almost_equal(a.sum, b.sum)
        && almost_equal(a.zero_count, b.zero_count)
        && a.custom_bounds == b.custom_bounds
        && almost_equal_buckets((&a.positive_spans, &a.positive_buckets), (&b.positive_spans, &b.positive_buckets))
        && almost_equal_buckets((&a.negative_spans, &a.negative_buckets), (&b.negative_spans, &b.negative_buckets))
}

fn almost_equal_buckets(a: (&[Span], &[f64]), b: (&[Span], &[f64])) -> bool {
    let (a, b) = (filled(a), filled(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1))
}

/// Index and count of each bucket that is not empty.
fn filled((spans, buckets): (&[Span], &[f64])) -> Vec<(i64, f64)> {
    let mut counts = buckets.iter();
    let mut index = 0;
    let mut filled = Vec::new();
    for span in spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if *count != 0.0 {
                filled.push((index, *count));
            }
            index += 1;
        }
    }
    filled
}

/// Compares warnings and infos.
pub(super) fn check_notes(wanted: &Notes, answer: &Answer) -> Result<(), String> {
    check_kind("warning", &wanted.warn, wanted.no_warn, &answer.warnings)?;
    check_kind("info", &wanted.info, wanted.no_info, &answer.infos)
}

fn check_kind(kind: &str, wanted: &[Pattern], none: bool, got: &[String]) -> Result<(), String> {
    if none && !got.is_empty() {
        return Err(format!("unexpected {kind}: {got:?}"));
    }
    if let Some(pattern) = wanted.iter().find(|pattern| !got.iter().any(|text| pattern.matches(text))) {
        return Err(format!("no {kind} like {pattern:?} among {got:?}"));
    }
    match got.iter().find(|text| !wanted.iter().any(|pattern| pattern.matches(text))) {
        Some(text) if !wanted.is_empty() => Err(format!("unexpected {kind}: {text:?}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use masthead_store::samples::STALE;

    use super::*;

    #[test]
    fn floats_are_equal_within_a_millionth() {
        let rows = [
            (1.0, 1.0, true),
            (1.0, 1.000_001, true),
            (1.0, 1.000_01, false),
            (0.0, 1e-300, false),
            (0.0, 1e-320, true),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, false),
            (f64::NAN, f64::NAN, true),
            (STALE, f64::NAN, false),
            (STALE, STALE, true),
            (f64::MAX, f64::MAX * 0.999_999_9, true),
        ];
        for (a, b, equal) in rows {
            assert_eq!(almost_equal(a, b), equal, "{a} {b}");
            assert_eq!(almost_equal(b, a), equal, "{b} {a}");
        }
    }

    #[test]
    fn empty_buckets_and_spans_do_not_count() {
        let spans = |pairs: &[(i32, u32)]| pairs.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let a: (Vec<Span>, Vec<f64>) = (spans(&[(1, 2), (2, 1)]), vec![1.0, 0.0, 3.0]);
        let b: (Vec<Span>, Vec<f64>) = (spans(&[(0, 2), (1, 0), (2, 1)]), vec![0.0, 1.0, 3.0]);
        assert!(almost_equal_buckets((&a.0, &a.1), (&b.0, &b.1)));
        let c: (Vec<Span>, Vec<f64>) = (spans(&[(0, 2), (1, 1)]), vec![0.0, 1.0, 3.0]);
        assert!(!almost_equal_buckets((&a.0, &a.1), (&c.0, &c.1)));
    }
}
