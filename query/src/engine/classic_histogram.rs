//! Quantiles and fractions of histograms: classic ones, whose buckets are series of their own with an upper bound in the label
//! `le`, and native ones. Where a histogram comes in both forms at a step, neither is used.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::labels::BUCKET_LABEL;
use masthead_store::{Grouping, Labels, LabelsBuilder, Reservation};

use super::batch::{ABSENT, Batch, Drain, Row, collect, is_absent, row_bytes};
use super::buckets::{Bucket, Fix, bucket_fraction, bucket_quantile};
use super::go_sort::go_sort;
use super::groups::Groups;
use super::texts::invalid_quantile;
use super::{Context, Operator, Source, native_histogram, scalar_values};
use crate::annotations::{Details, Severity};
use crate::error::QueryError;
use crate::go_float;
use crate::plan::node::{self, HistogramFunction};
use crate::plan::{METADATA_LABELS, Timeline};

/// histogram_quantile, histogram_quantiles and histogram_fraction. Holds all buckets.
pub(super) struct ClassicHistogram {
    node: node::ClassicHistogram,
    input: Option<Source>,
    args: Vec<Source>,
    timeline: Timeline,
    results: Option<Drain>,
}

/// The buckets of one classic histogram, ascending by bound.
struct Classic {
    labels: Labels,
    /// Upper bound, and the counts at the steps.
    buckets: Vec<(f64, Vec<f64>)>,
}

/// The native histograms of one series, ascending by step.
struct Native {
    labels: Labels,
    histograms: Vec<(u32, Arc<Histogram>)>,
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
        let (natives, classics) = self.group(rows, cx);
        let steps = self.timeline.count;
        let per = if self.node.function == HistogramFunction::Fraction { 1 } else { args.len() };
        let results = (natives.len() + classics.len()) * per;
        let mut held = cx.budget.reserve("results of histograms", results * row_bytes(steps))?;
        let mut notes = BTreeSet::new();
        let mut forced = Forced::default();
        let mut columns: Vec<(&Labels, Vec<Vec<f64>>)> = Vec::with_capacity(natives.len() + classics.len());
        for native in &natives {
            cx.check()?;
            columns.push((&native.labels, self.native_columns(native, &args, &mut notes)));
        }
        for classic in &classics {
            cx.check()?;
            columns.push((&classic.labels, self.classic_columns(classic, &args, &mut forced)));
        }
        let mut out = Vec::new();
        match &self.node.function {
            HistogramFunction::Fraction | HistogramFunction::Quantile => {
                for (labels, columns) in columns {
                    out.extend(columns.into_iter().map(|values| self.row(labels.clone(), values)));
                }
            }
            // By quantile, as upstream: the order of rows decides among ties.
            HistogramFunction::Quantiles { label } => {
                for (at, quantiles) in args.iter().enumerate() {
                    for (labels, columns) in &columns {
                        cx.check()?;
                        out.extend(self.labelled(labels, label, (quantiles, &columns[at]), &mut held)?);
                    }
                }
            }
        }
        for text in notes {
            cx.annotations.add(Severity::Info, text, self.node.input_place);
        }
        forced.annotate(&self.node, self.timeline, cx);
        Ok(Drain::new(out, steps, held))
    }

    fn check_quantiles(&self, args: &[&[f64]], cx: &Context<'_>) {
        for (quantiles, place) in args.iter().zip(&self.node.arg_places) {
            let mut last = None;
            for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                if last != Some(q.to_bits()) {
                    cx.annotations.add(Severity::Warning, invalid_quantile(*q), *place);
                    last = Some(q.to_bits());
                }
            }
        }
    }

    /// Puts the buckets of each classic histogram together, and native histograms aside. A bound that is no number loses its
    /// bucket. (resetHistograms in promql/engine.go.)
    fn group(&self, rows: Vec<Row>, cx: &Context<'_>) -> (Vec<Native>, Vec<Classic>) {
        let mut groups = Groups::new(Grouping::Without(vec![BUCKET_LABEL.into()]));
        let (mut natives, mut classics): (Vec<Native>, Vec<Classic>) = Default::default();
        for row in rows {
            if !row.histograms.is_empty() {
                let has_floats = row.values.iter().any(|value| !is_absent(*value));
                natives.push(Native { labels: row.labels.clone(), histograms: row.histograms });
                if !has_floats {
                    continue;
                }
            }
            let bound = row.labels.value(BUCKET_LABEL);
            let Ok(upper) = go_float::parse(bound) else {
                let mut text = format!(
                    "PromQL warning: bucket label \"le\" is missing or has a malformed value of {}",
                    masthead_store::labels::quote(bound)
                );
                text.push_str(&self.for_metric(&row.labels));
                cx.annotations.add(Severity::Warning, text, self.node.input_place);
                continue;
            };
            let (group, new) = groups.insert(&row.labels);
            if new {
                classics.push(Classic { labels: groups.labels(group), buckets: Vec::new() });
            }
            classics[group].buckets.push((upper, row.values));
        }
        for classic in &mut classics {
            go_sort(&mut classic.buckets, |a, b| a.0 < b.0, |a, b| a.0.total_cmp(&b.0));
        }
        for native in natives.iter_mut().filter(|native| native.labels.get(BUCKET_LABEL).is_none()) {
            if let Some(group) = groups.find(&native.labels)
                && native.leave_out_mixed(&mut classics[group])
            {
                let text = "PromQL warning: vector contains a mix of classic and native histograms";
                let text = text.to_owned() + &self.for_metric(&native.labels);
                cx.annotations.add(Severity::Warning, text, self.node.input_place);
            }
        }
        (natives, classics)
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

    /// A column for each quantile, or one for the fraction, with [`ABSENT`] at the steps without buckets. The first of several
    /// quantiles mends the buckets of a step for the others, as upstream.
    fn classic_columns(&self, classic: &Classic, args: &[&[f64]], forced: &mut Forced) -> Vec<Vec<f64>> {
        let name = self.for_metric(&classic.labels);
        let mut columns = self.empty_columns(args);
        let mut buckets = Vec::new();
        for step in 0..self.timeline.count {
            buckets.clear();
            let present = classic.buckets.iter().filter(|(_, counts)| !is_absent(counts[step]));
            buckets.extend(present.map(|(upper, counts)| Bucket { upper: *upper, count: counts[step] }));
            if buckets.is_empty() {
                continue;
            }
            if self.node.function == HistogramFunction::Fraction {
                columns[0][step] = bucket_fraction(args[0][step], args[1][step], &mut buckets);
                continue;
            }
            for (column, quantiles) in columns.iter_mut().zip(args) {
                let (value, fix) = bucket_quantile(quantiles[step], &mut buckets);
                column[step] = value;
                if let Some(fix) = fix {
                    forced.add(&name, step, &fix);
                }
            }
        }
        columns
    }

    /// As [`ClassicHistogram::classic_columns`], of native histograms. Texts of infos go to `notes`.
    fn native_columns(&self, native: &Native, args: &[&[f64]], notes: &mut BTreeSet<String>) -> Vec<Vec<f64>> {
        let mut columns = self.empty_columns(args);
        let mut found = BTreeSet::new();
        for (step, histogram) in &native.histograms {
            let step = *step as usize;
            if self.node.function == HistogramFunction::Fraction {
                let (value, note) = native_histogram::fraction(args[0][step], args[1][step], histogram);
                columns[0][step] = value;
                found.extend(note);
                continue;
            }
            for (column, quantiles) in columns.iter_mut().zip(args) {
                let (value, note) = native_histogram::quantile(quantiles[step], histogram);
                column[step] = value;
                found.extend(note);
            }
        }
        notes.extend(found.into_iter().map(|note| note.text().to_owned() + &self.for_metric(&native.labels)));
        columns
    }

    fn empty_columns(&self, args: &[&[f64]]) -> Vec<Vec<f64>> {
        let count = if self.node.function == HistogramFunction::Fraction { 1 } else { args.len() };
        vec![vec![ABSENT; self.timeline.count]; count]
    }

    fn row(&self, labels: Labels, values: Vec<f64>) -> Row {
        let labels = if self.node.delayed_names { labels } else { labels.without(&METADATA_LABELS) };
        Row { labels, drop_name: self.node.delayed_names, values, histograms: Vec::new() }
    }

    /// Rows with the quantile in a label; several where the quantile changes from step to step.
    fn labelled(
        &self,
        labels: &Labels,
        label: &str,
        (quantiles, values): (&[f64], &[f64]),
        held: &mut Reservation,
    ) -> Result<Vec<Row>, QueryError> {
        let mut by_text: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (step, (quantile, value)) in quantiles.iter().zip(values).enumerate() {
            let cells = match by_text.entry(go_float::open_metrics(*quantile)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    held.grow(row_bytes(values.len()))?;
                    entry.insert(vec![ABSENT; values.len()])
                }
            };
            cells[step] = *value;
        }
        let row = |(text, values): (String, Vec<f64>)| {
            let row = self.row(labels.clone(), values);
            Row { labels: LabelsBuilder::new(&row.labels).set(label, &text).build(), ..row }
        };
        Ok(by_text.into_iter().map(row).collect())
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

impl Native {
    /// Takes out, on both sides, the steps at which `classic` has buckets too. Whether there were any.
    fn leave_out_mixed(&mut self, classic: &mut Classic) -> bool {
        let before = self.histograms.len();
        self.histograms.retain(|(step, _)| {
            let mut counts = classic.buckets.iter_mut().map(|(_, counts)| &mut counts[*step as usize]);
            let mixed = counts.by_ref().any(|count| !is_absent(std::mem::replace(count, ABSENT)));
            counts.for_each(|count| *count = ABSENT);
            !mixed
        });
        self.histograms.len() < before
    }
}

/// All fixes of one evaluation, by the end of their annotation's text.
#[derive(Default)]
struct Forced(BTreeMap<String, Fixes>);

/// What had to be fixed of the histograms of one name.
struct Fixes {
    /// How many by step, up to the last one that has any.
    counts: Vec<u64>,
    all: Fix,
}

impl Forced {
    fn add(&mut self, name: &str, step: usize, fix: &Fix) {
        let fixes = match self.0.get_mut(name) {
            Some(fixes) => fixes,
            None => self.0.entry(name.to_owned()).or_insert(Fixes { counts: Vec::new(), all: *fix }),
        };
        if fixes.counts.len() <= step {
            fixes.counts.resize(step + 1, 0);
        }
        fixes.counts[step] += 1;
        let all = &mut fixes.all;
        all.buckets = (all.buckets.0.min(fix.buckets.0), all.buckets.1.max(fix.buckets.1));
        all.max_difference = all.max_difference.max(fix.max_difference);
    }

    fn annotate(self, node: &node::ClassicHistogram, timeline: Timeline, cx: &Context<'_>) {
        for (name, Fixes { counts, all }) in self.0 {
            let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
            let details = Details::ForcedMonotonicity {
                times: (timeline.at(first), timeline.at(counts.len() - 1)),
                buckets: all.buckets,
                max_difference: all.max_difference,
                count: merged_count(&counts, timeline.count),
            };
            let text = format!(
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){name}"
            );
            cx.annotations.add_detailed(Severity::Info, text, node.input_place, details);
        }
    }
}

/// The count that Prometheus gives, of `counts` by step. It merges the annotations of all steps so far with themselves at
/// every step from the second on that follows the first fix, so each of those doubles the count (promql/engine.go, rangeEval,
/// with the closure that eval of a Call hands to it).
fn merged_count(counts: &[u64], steps: usize) -> u64 {
    let counts = counts.iter().copied().chain(std::iter::repeat(0)).take(steps);
    let mut counts = counts.skip_while(|count| *count == 0);
    let first = counts.next().unwrap_or(0);
    counts.fold(first, |before, here| before.wrapping_add(here).wrapping_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_annotations_count_as_upstream_does() {
        assert_eq!(merged_count(&[2], 1), 2);
        assert_eq!(merged_count(&[1; 6], 6), 94);
        assert_eq!(merged_count(&[1], 3), 4);
        assert_eq!(merged_count(&[0, 0, 1], 3), 1);
    }
}
