//! Aggregations that choose or order: topk, bottomk, limitk, limit_ratio and quantile. The parameter counts per step.

mod heap;

use std::sync::Arc;

use masthead_store::{Labels, Reservation};

use super::batch::{ABSENT, Batch, Drain, HistogramCell, Row, histogram_bytes, is_absent, row_bytes};
use super::groups::{GROUP_BYTES, Groups};
use super::quantile::quantile;
use super::texts::{histogram_ignored, invalid_quantile};
use super::{Context, Operator, Source, pull, scalar_values};
use crate::annotations::Severity;
use crate::error::QueryError;
use crate::plan::node::Aggregate;
use crate::promql::ast::AggregateOp;
use crate::{go_float, go_math};
use heap::{Entry, make_room, offer, sort_best_first};

/// topk, bottomk and limitk.
pub(super) struct TopK {
    node: Aggregate,
    input: Option<Source>,
    parameter: Source,
    steps: usize,
    results: Option<Drain>,
}

impl TopK {
    /// Chooses among the rows of `input`, `parameter` of them a group and step.
    pub(super) fn new(node: &Aggregate, input: Source, parameter: Source, steps: usize) -> Self {
        Self { node: node.clone(), input: Some(input), parameter, steps, results: None }
    }
}

/// What the choice has come to.
struct Choice {
    groups: Groups,
    /// One heap a group and step.
    heaps: Vec<Vec<Entry>>,
    /// Of rows that some heap has taken.
    labels: Vec<(Labels, bool)>,
    /// The histograms that some heap holds, by row and step.
    histograms: Vec<HistogramCell>,
    held: Reservation,
}

impl Operator for TopK {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut input) = self.input.take() {
            let (parameter, _held) = scalar_values(&mut *self.parameter, cx)?;
            let counts = counts(&parameter).map_err(|refused| exhaust(&mut *input, refused, cx))?;
            let mut choice = Choice {
                groups: Groups::new(self.node.grouping.clone()),
                heaps: Vec::new(),
                labels: Vec::new(),
                histograms: Vec::new(),
                held: cx.budget.reserve("ranking", 0)?,
            };
            while let Some(batch) = pull(&mut *input, cx)? {
                // Pulled to the end even if nothing is wanted: errors below count.
                if let Some(counts) = &counts {
                    self.consume(&batch, counts, &mut choice)?;
                    self.tell_ignored(&batch, counts, cx);
                }
            }
            let rows = self.rows(choice, cx)?;
            self.results = Some(rows);
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

/// Pulls `input` to its end. Gives its error, else `refused`, what is wrong with the parameter: upstream looks at that once
/// the input is there (promql/engine.go, rangeEvalAgg).
fn exhaust(input: &mut dyn Operator, refused: QueryError, cx: &Context<'_>) -> QueryError {
    loop {
        match pull(input, cx) {
            Ok(Some(_)) => {}
            Ok(None) => return refused,
            Err(error) => return error,
        }
    }
}

/// How many are wanted at each step; None if never one (promql/engine.go, rangeEvalAgg).
fn counts(parameter: &[f64]) -> Result<Option<Vec<usize>>, QueryError> {
    let limits = Limits::of(parameter);
    if limits.max < 1.0 {
        return Ok(None);
    }
    if limits.any_nan {
        return Err(QueryError::Execution("Parameter value is NaN".into()));
    }
    // -2^63, and the largest float below 2^63; upstream refuses both (minInt64 and maxInt64).
    const MIN: f64 = -9_223_372_036_854_775_808.0;
    const MAX: f64 = 9_223_372_036_854_774_784.0;
    let refuse = |value, how| QueryError::Execution(format!("Scalar value {} {how} int64", go_float::shortest(value)));
    if limits.min <= MIN {
        return Err(refuse(limits.min, "underflows"));
    }
    if limits.max >= MAX {
        return Err(refuse(limits.max, "overflows"));
    }
    Ok(Some(parameter.iter().map(|k| if *k < 1.0 { 0 } else { *k as usize }).collect()))
}

/// Extremes of a parameter over all steps. A constant NaN is its own maximum, among other values NaN spreads, as in Go.
struct Limits {
    min: f64,
    max: f64,
    any_nan: bool,
}

impl Limits {
    fn of(parameter: &[f64]) -> Self {
        Self {
            min: parameter.iter().copied().fold(f64::MAX, go_math::go_min),
            max: parameter.iter().copied().fold(f64::MIN, go_math::go_max),
            any_nan: parameter.iter().any(|value| value.is_nan()),
        }
    }
}

impl TopK {
    fn consume(&self, batch: &Batch, counts: &[usize], choice: &mut Choice) -> Result<(), QueryError> {
        for i in 0..batch.len() {
            let (group, new) = choice.groups.insert(&batch.labels[i]);
            if new {
                choice.held.grow(GROUP_BYTES + self.steps * size_of::<Vec<Entry>>())?;
                choice.heaps.resize_with(choice.heaps.len() + self.steps, Vec::new);
            }
            let row =
                u32::try_from(choice.labels.len()).map_err(|_| QueryError::Execution("too many series".into()))?;
            let heaps = &mut choice.heaps[group * self.steps..][..self.steps];
            let (mut room, mut is_taken) = (0, false);
            for ((heap, value), k) in heaps.iter_mut().zip(batch.row(i)).zip(counts) {
                if !is_absent(*value) {
                    room += make_room(heap, *k);
                    is_taken |= offer(self.node.op, heap, (*value, row), *k);
                }
            }
            if self.node.op == AggregateOp::Limitk {
                for (_, step, histogram) in batch.histograms_of(i) {
                    let (heap, k) = (&mut heaps[*step as usize], counts[*step as usize]);
                    room += make_room(heap, k);
                    if offer(self.node.op, heap, (ABSENT, row), k) {
                        choice.held.grow(histogram_bytes(histogram))?;
                        choice.histograms.push((row, *step, Arc::clone(histogram)));
                        is_taken = true;
                    }
                }
            }
            choice.held.grow(room * size_of::<Entry>())?;
            if is_taken {
                choice.held.grow(batch.labels[i].size_bytes() + 24)?;
                choice.labels.push((batch.labels[i].clone(), batch.drop_name[i]));
            }
        }
        Ok(())
    }

    /// Histograms have no rank. That is told where any is asked for.
    fn tell_ignored(&self, batch: &Batch, counts: &[usize], cx: &Context<'_>) {
        let ranks = self.node.op != AggregateOp::Limitk;
        if ranks && batch.histograms.iter().any(|(_, step, _)| counts[*step as usize] > 0) {
            cx.annotations.add(Severity::Info, histogram_ignored(self.node.op), self.node.place);
        }
    }

    /// The chosen rows: of an instant query by group and rank, else in the order of the input.
    fn rows(&self, choice: Choice, cx: &Context<'_>) -> Result<Drain, QueryError> {
        let mut rows: Vec<Option<Row>> = vec![None; choice.labels.len()];
        let mut order = Vec::new();
        let mut held = cx.budget.reserve("ranked rows", 0)?;
        for (at, mut heap) in choice.heaps.into_iter().enumerate() {
            cx.check()?;
            let step = at % self.steps;
            if self.node.op != AggregateOp::Limitk {
                sort_best_first(self.node.op, &mut heap);
            }
            for (value, row) in heap {
                let (labels, drop_name) = &choice.labels[row as usize];
                let slot = &mut rows[row as usize];
                if slot.is_none() {
                    held.grow(row_bytes(self.steps) + labels.size_bytes())?;
                    order.push(row as usize);
                }
                let chosen = slot.get_or_insert_with(|| Row {
                    labels: labels.clone(),
                    drop_name: *drop_name,
                    values: vec![ABSENT; self.steps],
                    histograms: Vec::new(),
                });
                if is_absent(value) {
                    let find = |cell: &HistogramCell| (cell.0, cell.1 as usize).cmp(&(row, step));
                    if let Ok(at) = choice.histograms.binary_search_by(find) {
                        let histogram = &choice.histograms[at].2;
                        held.grow(histogram_bytes(histogram))?;
                        chosen.histograms.push((step as u32, Arc::clone(histogram)));
                    }
                } else {
                    chosen.values[step] = value;
                }
            }
        }
        if self.steps > 1 {
            order.sort_unstable();
        }
        let rows = order.into_iter().filter_map(|row| rows[row].take()).collect();
        Ok(Drain::new(rows, self.steps, held))
    }
}

/// limit_ratio: a share of the series, chosen by their hash.
pub(super) struct LimitRatio {
    node: Aggregate,
    input: Source,
    parameter: Source,
    ratios: Option<(Vec<f64>, Reservation)>,
}

impl LimitRatio {
    /// Keeps `parameter` of the rows of `input`.
    pub(super) fn new(node: &Aggregate, input: Source, parameter: Source) -> Self {
        Self { node: node.clone(), input, parameter, ratios: None }
    }

    fn ratios(&mut self, cx: &Context<'_>) -> Result<(Vec<f64>, Reservation), QueryError> {
        let (mut values, held) = scalar_values(&mut *self.parameter, cx)?;
        let limits = Limits::of(&values);
        if limits.max == 0.0 && limits.min == 0.0 {
            return Ok((values, held));
        }
        if limits.any_nan {
            return Err(exhaust(&mut *self.input, QueryError::Execution("Ratio value is NaN".into()), cx));
        }
        for (value, limit) in [(limits.max, 1.0), (limits.min, -1.0)] {
            if value.abs() > 1.0 && (value > 0.0) == (limit > 0.0) {
                let (value, limit) = (go_float::shortest(value), go_float::shortest(limit));
                let text =
                    format!("PromQL warning: ratio value should be between -1 and 1, got {value}, capping to {limit}");
                cx.annotations.add(Severity::Warning, text, self.node.parameter_place);
            }
        }
        values.iter_mut().for_each(|ratio| *ratio = ratio.clamp(-1.0, 1.0));
        Ok((values, held))
    }
}

impl Operator for LimitRatio {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let ratios = match self.ratios.take() {
            Some(ratios) => ratios,
            None => self.ratios(cx)?,
        };
        let mut batch = pull(&mut *self.input, cx)?;
        if let Some(batch) = &mut batch {
            let share = |labels: &Labels| labels.prometheus_hash() as f64 / u64::MAX as f64;
            let shares: Vec<f64> = batch.labels.iter().map(share).collect();
            let is_inside = |share: f64, ratio: f64| if ratio >= 0.0 { share < ratio } else { share >= 1.0 + ratio };
            for (i, share) in shares.iter().enumerate() {
                for (cell, ratio) in batch.row_mut(i).iter_mut().zip(&ratios.0) {
                    if !is_inside(*share, *ratio) {
                        *cell = ABSENT;
                    }
                }
            }
            batch.histograms.retain(|(i, step, _)| is_inside(shares[*i as usize], ratios.0[*step as usize]));
        }
        self.ratios = Some(ratios);
        Ok(batch)
    }
}

/// The quantile of each group. Holds all its rows.
pub(super) struct Quantile {
    node: Aggregate,
    input: Option<Source>,
    parameter: Source,
    steps: usize,
    results: Option<Drain>,
}

impl Quantile {
    /// The quantile `parameter` of the rows of `input`.
    pub(super) fn new(node: &Aggregate, input: Source, parameter: Source, steps: usize) -> Self {
        Self { node: node.clone(), input: Some(input), parameter, steps, results: None }
    }

    fn rows(&self, input: &mut dyn Operator, quantiles: &[f64], cx: &Context<'_>) -> Result<Drain, QueryError> {
        let mut groups = Groups::new(self.node.grouping.clone());
        let mut members: Vec<(Vec<f64>, bool)> = Vec::new();
        let mut held = cx.budget.reserve("values of a quantile", 0)?;
        while let Some(batch) = pull(input, cx)? {
            if !batch.histograms.is_empty() {
                cx.annotations.add(Severity::Info, histogram_ignored(self.node.op), self.node.place);
            }
            held.grow(batch.len() * row_bytes(self.steps))?;
            for i in 0..batch.len() {
                let (group, new) = groups.insert(&batch.labels[i]);
                if new {
                    held.grow(GROUP_BYTES + batch.labels[i].size_bytes())?;
                    members.push((Vec::new(), false));
                }
                members[group].0.extend_from_slice(batch.row(i));
                members[group].1 |= batch.drop_name[i];
            }
        }
        let out = cx.budget.reserve("results of an aggregation", members.len() * row_bytes(self.steps))?;
        let mut scratch = Vec::new();
        let row = |(group, (values, drop_name)): (usize, &(Vec<f64>, bool))| {
            let at = |step: usize| {
                cx.check()?;
                scratch.clear();
                scratch.extend(values.iter().skip(step).step_by(self.steps).filter(|value| !is_absent(**value)));
                Ok(if scratch.is_empty() { ABSENT } else { quantile(quantiles[step], &mut scratch) })
            };
            let values = (0..self.steps).map(at).collect::<Result<_, QueryError>>()?;
            Ok(Row { labels: groups.labels(group), drop_name: *drop_name, values, histograms: Vec::new() })
        };
        let rows = members.iter().enumerate().map(row).collect::<Result<_, QueryError>>()?;
        Ok(Drain::new(rows, self.steps, out))
    }
}

impl Operator for Quantile {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut input) = self.input.take() {
            let (quantiles, _held) = scalar_values(&mut *self.parameter, cx)?;
            let limits = Limits::of(&quantiles);
            let warn = |value| {
                cx.annotations.add(Severity::Warning, invalid_quantile(value), self.node.parameter_place);
            };
            if limits.any_nan {
                warn(f64::NAN);
            }
            if limits.max > 1.0 {
                warn(limits.max);
            }
            if limits.min < 0.0 {
                warn(limits.min);
            }
            self.results = Some(self.rows(&mut *input, &quantiles, cx)?);
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_checked_over_all_steps() {
        let text = |parameter: &[f64]| counts(parameter).unwrap_err().to_string();
        assert_eq!(counts(&[2.9, 0.5, -3.0]).unwrap(), Some(vec![2, 0, 0]));
        assert_eq!(counts(&[0.5, -1.0]).unwrap(), None);
        assert_eq!(text(&[2.0, f64::NAN]), "Parameter value is NaN");
        assert_eq!(text(&[1e30]), "Scalar value 1e+30 overflows int64");
        assert_eq!(text(&[9_223_372_036_854_774_784.0]), "Scalar value 9.223372036854775e+18 overflows int64");
        assert!(counts(&[9_223_372_036_854_773_760.0]).is_ok());
        assert_eq!(text(&[1.0, -1e30]), "Scalar value -1e+30 underflows int64");
    }
}
