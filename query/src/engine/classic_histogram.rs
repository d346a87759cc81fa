//! Functions of classic histograms, whose buckets are series of their own with an upper bound in the label `le`.

use std::collections::BTreeMap;

use masthead_store::labels::BUCKET_LABEL;
use masthead_store::{Grouping, Labels, LabelsBuilder, Reservation};

use super::batch::{ABSENT, Batch, Drain, Row, collect, is_absent, row_bytes};
use super::buckets::{Bucket, Fix, bucket_fraction, bucket_quantile};
use super::go_sort::go_sort;
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

impl ClassicHistogram {
    /// Evaluates `node` over the buckets of `input`.
    pub(super) fn new(node: &node::ClassicHistogram, input: Source, args: Vec<Source>, timeline: Timeline) -> Self {
        Self { node: node.clone(), input: Some(input), args, timeline, results: None }
    }

    fn evaluate(&mut self, input: &mut dyn Operator, cx: &Context<'_>) -> Result<Drain, QueryError> {
        let args: Vec<(Vec<f64>, Reservation)> =
            self.args.iter_mut().map(|arg| scalar_values(&mut **arg, cx)).collect::<Result<_, _>>()?;
        let args: Vec<&[f64]> = args.iter().map(|(values, _)| values.as_slice()).collect();
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
                    let values = self.quantiles(&histogram, args[0], &mut scratch, &mut forced);
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

    fn check_quantiles(&self, args: &[&[f64]], cx: &Context<'_>) {
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
            go_sort(&mut histogram.buckets, |a, b| a.0 < b.0, |a, b| a.0.total_cmp(&b.0));
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

#[cfg(test)]
mod tests {
    use super::*;

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
