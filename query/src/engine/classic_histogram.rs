//! Functions of classic histograms, whose buckets are series of their own with an upper bound in the label `le`.

use std::collections::BTreeMap;

use masthead_store::labels::BUCKET_LABEL;
use masthead_store::{Grouping, Labels, LabelsBuilder};

use super::batch::{ABSENT, Batch, Drain, Row, collect, is_absent, row_bytes};
use super::groups::Groups;
use super::rank::invalid_quantile;
use super::{Context, METADATA_LABELS, Operator, Source, format, scalar_values};
use crate::annotations::{Details, Severity};
use crate::error::QueryError;
use crate::plan::Timeline;
use crate::plan::node::{self, HistogramFunction};

/// histogram_quantile, histogram_quantiles and histogram_fraction. Holds all buckets.
pub(super) struct ClassicHistogram {
    node: node::ClassicHistogram,
    input: Option<Source>,
    args: Vec<Source>,
    timeline: Timeline,
    results: Option<Drain>,
}

/// The buckets of one histogram, ascending by bound.
struct Histogram {
    labels: Labels,
    /// Upper bound, and the counts at the steps.
    buckets: Vec<(f64, Vec<f64>)>,
}

/// A bucket at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    /// Upper bound.
    pub(super) upper: f64,
    /// Observations up to it.
    pub(super) count: f64,
}

impl ClassicHistogram {
    /// Evaluates `node` over the buckets of `input`.
    pub(super) fn new(node: &node::ClassicHistogram, input: Source, args: Vec<Source>, timeline: Timeline) -> Self {
        Self { node: node.clone(), input: Some(input), args, timeline, results: None }
    }

    fn evaluate(&mut self, input: &mut dyn Operator, cx: &Context<'_>) -> Result<Drain, QueryError> {
        let args: Vec<Vec<f64>> =
            self.args.iter_mut().map(|arg| scalar_values(&mut **arg, cx)).collect::<Result<_, _>>()?;
        if self.node.function != HistogramFunction::Fraction {
            self.check_quantiles(&args, cx);
        }
        let (rows, _held) = collect(input, cx, "buckets of histograms")?;
        let histograms = self.group(rows, cx);
        let steps = self.timeline.count;
        let per = if self.node.function == HistogramFunction::Fraction { 1 } else { args.len() };
        let held = cx.budget.reserve("results of histograms", histograms.len() * per * row_bytes(steps))?;
        let mut forced = Forced::default();
        let mut out = Vec::new();
        let mut scratch = Vec::new();
        for histogram in histograms {
            match &self.node.function {
                HistogramFunction::Fraction => {
                    let values = self.column(&histogram, &mut scratch, |step, buckets, _| {
                        bucket_fraction(args[0][step], args[1][step], buckets)
                    });
                    out.push(self.row(histogram.labels, values));
                }
                HistogramFunction::Quantile => {
                    let values = self.quantiles(&histogram, &args[0], &mut scratch, &mut forced);
                    out.push(self.row(histogram.labels, values));
                }
                HistogramFunction::Quantiles { label } => {
                    for quantiles in &args {
                        let values = self.quantiles(&histogram, quantiles, &mut scratch, &mut forced);
                        out.extend(self.labelled(&histogram.labels, label, quantiles, values));
                    }
                }
            }
        }
        forced.annotate(&self.node, self.timeline, cx);
        Ok(Drain::new(out, steps, held))
    }

    fn check_quantiles(&self, args: &[Vec<f64>], cx: &Context<'_>) {
        for (quantiles, span) in args.iter().zip(&self.node.arg_spans) {
            let mut last = None;
            for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                if last != Some(q.to_bits()) {
                    cx.annotations.add(Severity::Warning, invalid_quantile(*q), Some(*span));
                    last = Some(q.to_bits());
                }
            }
        }
    }

    /// Puts the buckets of each histogram together. A bound that is no number loses its bucket.
    fn group(&self, rows: Vec<Row>, cx: &Context<'_>) -> Vec<Histogram> {
        let mut groups = Groups::new(Grouping::Without(vec![BUCKET_LABEL.into()]));
        let mut histograms: Vec<Histogram> = Vec::new();
        for row in rows {
            let bound = row.labels.value(BUCKET_LABEL);
            let Ok(upper) = bound.parse::<f64>() else {
                let mut text = format!(
                    "PromQL warning: bucket label \"le\" is missing or has a malformed value of {}",
                    masthead_store::labels::quote(bound)
                );
                text.push_str(&self.for_metric(&row.labels));
                cx.annotations.add(Severity::Warning, text, Some(self.node.input_span));
                continue;
            };
            let (group, new) = groups.insert(&row.labels);
            if new {
                histograms.push(Histogram { labels: groups.labels(group), buckets: Vec::new() });
            }
            histograms[group].buckets.push((upper, row.values));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
        }
        histograms
    }

    /// The end of an annotation. Only with delayed name removal do buckets still have a name for certain.
    fn for_metric(&self, labels: &Labels) -> String {
        match labels.metric_name() {
            name if self.node.delayed_names && !name.is_empty() => {
                format!(" for metric name {}", masthead_store::labels::quote(name))
            }
            _ => String::new(),
        }
    }

    /// One value a step, where the histogram has buckets.
    fn column(
        &self,
        histogram: &Histogram,
        scratch: &mut Vec<Bucket>,
        mut value: impl FnMut(usize, &mut Vec<Bucket>, &Labels) -> f64,
    ) -> Vec<f64> {
        let at = |step: usize| {
            scratch.clear();
            let present = histogram.buckets.iter().filter(|(_, counts)| !is_absent(counts[step]));
            scratch.extend(present.map(|(upper, counts)| Bucket { upper: *upper, count: counts[step] }));
            if scratch.is_empty() { ABSENT } else { value(step, scratch, &histogram.labels) }
        };
        (0..self.timeline.count).map(at).collect()
    }

    fn quantiles(
        &self,
        histogram: &Histogram,
        quantiles: &[f64],
        scratch: &mut Vec<Bucket>,
        forced: &mut Forced,
    ) -> Vec<f64> {
        let name = self.for_metric(&histogram.labels);
        self.column(histogram, scratch, |step, buckets, _| {
            let (value, fix) = bucket_quantile(quantiles[step], buckets);
            if let Some(fix) = fix {
                forced.add(&name, step, &fix);
            }
            value
        })
    }

    fn row(&self, labels: Labels, values: Vec<f64>) -> Row {
        let labels = if self.node.delayed_names { labels } else { labels.without(&METADATA_LABELS) };
        Row { labels, drop_name: self.node.delayed_names, values, histograms: Vec::new() }
    }

    /// Rows with the quantile in a label; several where the quantile changes from step to step.
    fn labelled(&self, labels: &Labels, label: &str, quantiles: &[f64], values: Vec<f64>) -> Vec<Row> {
        let mut texts: Vec<String> = quantiles.iter().map(|q| format::open_metrics(*q)).collect();
        let by_step = texts.clone();
        texts.sort_unstable();
        texts.dedup();
        let one = |text: String| {
            let cells = values.iter().zip(&by_step).map(|(value, at)| if *at == text { *value } else { ABSENT });
            let row = self.row(labels.clone(), cells.collect());
            Row { labels: LabelsBuilder::new(&row.labels).set(label, &text).build(), ..row }
        };
        texts.into_iter().map(one).collect()
    }
}

impl Operator for ClassicHistogram {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut input) = self.input.take() {
            self.results = Some(self.evaluate(&mut *input, cx)?);
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

/// What was mended to make buckets monotonic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fix {
    /// Lowest and highest bound concerned.
    pub(super) buckets: (f64, f64),
    /// The greatest fall.
    pub(super) max_difference: f64,
}

/// All fixes of one evaluation, by the end of their annotation's text.
#[derive(Default)]
struct Forced(BTreeMap<String, Vec<(usize, Fix)>>);

impl Forced {
    fn add(&mut self, name: &str, step: usize, fix: &Fix) {
        match self.0.get_mut(name) {
            Some(fixes) => fixes.push((step, *fix)),
            None => {
                self.0.insert(name.to_owned(), vec![(step, *fix)]);
            }
        }
    }

    fn annotate(self, node: &node::ClassicHistogram, timeline: Timeline, cx: &Context<'_>) {
        for (name, mut fixes) in self.0 {
            fixes.sort_by_key(|(step, _)| *step);
            let (Some((first, _)), Some((last, _))) = (fixes.first(), fixes.last()) else { continue };
            let fold = |f: fn(f64, f64) -> f64, value: fn(&Fix) -> f64| {
                fixes.iter().map(|(_, fix)| value(fix)).reduce(f).unwrap_or(f64::NAN)
            };
            let details = Details::ForcedMonotonicity {
                times: (timeline.at(*first), timeline.at(*last)),
                buckets: (fold(f64::min, |fix| fix.buckets.0), fold(f64::max, |fix| fix.buckets.1)),
                max_difference: fold(f64::max, |fix| fix.max_difference),
                count: merged_count(&fixes, timeline.count),
            };
            let text = format!(
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){name}"
            );
            cx.annotations.add_detailed(Severity::Info, text, Some(node.input_span), details);
        }
    }
}

/// The count that Prometheus gives. It merges the annotations of all steps so far with themselves at every step from the
/// second on that follows the first fix, so each of those doubles the count (promql/engine.go, rangeEval, with the closure
/// that eval of a Call hands to it).
fn merged_count(fixes: &[(usize, Fix)], steps: usize) -> u64 {
    let mut count: Option<u64> = None;
    let mut rest = fixes;
    for step in 0..steps {
        let here = rest.iter().take_while(|(at, _)| *at == step).count();
        rest = &rest[here..];
        let here = here as u64;
        count = match count {
            Some(before) => Some(before.wrapping_add(here).wrapping_mul(2)),
            None if here > 0 => Some(here),
            None => None,
        };
    }
    count.unwrap_or(0)
}

/// Differences below this share of the counts are rounding (promql/quantile.go, smallDeltaTolerance).
const SMALL_DELTA: f64 = 1e-12;

/// The quantile `q` of buckets that ascend by bound, and what had to be mended (promql/quantile.go, BucketQuantile).
pub(super) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Fix>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let fix = make_monotonic(buckets);
    let observations = buckets[buckets.len() - 1].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, fix);
    }
    let mut rank = q * observations;
    let highest = buckets.len() - 1;
    // Not `count < rank`: Go's search counts a comparison with NaN as not found.
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN on either side must count as not reached")]
    let at = buckets[..highest].partition_point(|bucket| !(bucket.count >= rank));
    if at == highest {
        return (buckets[highest - 1].upper, fix);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, fix);
    }
    let (mut start, mut count) = (0.0, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (buckets[at].upper - start) * (rank / count), fix)
}

/// The share of observations between two values (promql/quantile.go, BucketFraction).
pub(super) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, count) - rank_of(lower, buckets, count)) / count
}

/// Observations up to `value`, of `count` in all.
fn rank_of(value: f64, buckets: &[Bucket], count: f64) -> f64 {
    let mut rank = 0.0;
    let mut low = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        if low >= value {
            break;
        }
        if bucket.upper > value {
            // Nothing can be interpolated towards -Inf: the whole bucket counts.
            let inside = if low == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - low) / (bucket.upper - low)
            };
            return if inside > count { count } else { inside };
        }
        rank = bucket.count;
        low = bucket.upper;
    }
    if low >= value && rank <= count { rank } else { count }
}

/// Adds up buckets of one bound.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Takes out falls between neighbouring buckets (promql/quantile.go, ensureMonotonicAndIgnoreSmallDeltas).
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Fix> {
    let mut fix: Option<Fix> = None;
    let mut previous = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if bucket.count == previous {
            continue;
        }
        if almost_equal(previous, bucket.count) {
            bucket.count = previous;
        } else if bucket.count < previous {
            let fall = previous - bucket.count;
            bucket.count = previous;
            let fix = fix.get_or_insert(Fix { buckets: (f64::INFINITY, f64::NEG_INFINITY), max_difference: 0.0 });
            fix.buckets = (fix.buckets.0.min(bucket.upper), fix.buckets.1.max(bucket.upper));
            fix.max_difference = fix.max_difference.max(fall);
        } else {
            previous = bucket.count;
        }
    }
    fix
}

/// util/almost, Equal.
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_of_buckets() {
        let plain = [(0.1, 10.0), (0.2, 20.0), (INF, 20.0)];
        type Case<'a> = (f64, &'a [(f64, f64)], f64);
        let rows: &[Case<'_>] = &[
            (0.25, &plain, 0.05),
            (0.5, &plain, 0.1),
            (0.75, &plain, 0.15000000000000002),
            (1.0, &plain, 0.2),
            (-0.1, &plain, -INF),
            (1.1, &plain, INF),
            (0.9, &[(0.1, 10.0), (INF, 100.0)], 0.1),
            (0.1, &[(-1.0, 10.0), (0.0, 20.0), (INF, 20.0)], -1.0),
        ];
        for (q, pairs, expected) in rows {
            assert_eq!(bucket_quantile(*q, &mut buckets(pairs)), (*expected, None), "{q} {pairs:?}");
        }
        for pairs in [&[(0.1, 1.0), (0.2, 2.0)][..], &[(INF, 2.0)], &[(0.1, 0.0), (INF, 0.0)]] {
            assert!(bucket_quantile(0.5, &mut buckets(pairs)).0.is_nan(), "{pairs:?}");
        }
        let (value, fix) = bucket_quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 4.0), (3.0, 20.0), (INF, 15.0)]));
        assert_eq!(value, 1.0);
        assert_eq!(fix, Some(Fix { buckets: (2.0, INF), max_difference: 6.0 }));
        let tiny = bucket_quantile(0.5, &mut buckets(&[(1.0, 1.0), (2.0, 1.0 - 1e-13), (INF, 1.0)]));
        assert_eq!(tiny, (0.5, None), "a difference of rounding is no fall");
    }

    #[test]
    fn fractions_of_buckets() {
        let plain = [(0.1, 10.0), (0.2, 20.0), (INF, 25.0)];
        for (lower, upper, expected) in [
            (0.0, 0.1, 0.4),
            (0.05, 0.15, 0.399_999_999_999_999_9),
            (-INF, INF, 1.0),
            (0.2, 0.1, 0.0),
            (0.2, INF, 0.2),
            (0.3, 0.4, 0.0),
        ] {
            assert_eq!(bucket_fraction(lower, upper, &mut buckets(&plain)), expected, "{lower} {upper}");
        }
        assert!(bucket_fraction(0.0, 1.0, &mut buckets(&plain[..2])).is_nan());
    }

    #[test]
    fn merged_annotations_count_as_upstream_does() {
        let fix = Fix { buckets: (1.0, 1.0), max_difference: 1.0 };
        let counts =
            |steps: usize, at: &[usize]| merged_count(&at.iter().map(|s| (*s, fix)).collect::<Vec<_>>(), steps);
        assert_eq!(counts(1, &[0, 0]), 2);
        assert_eq!(counts(6, &[0, 1, 2, 3, 4, 5]), 94);
        assert_eq!(counts(3, &[0]), 4);
        assert_eq!(counts(3, &[2]), 1);
    }
}
