//! Rows of equal labels: refused, or joined into one.

use std::collections::HashMap;

use masthead_store::{Labels, Reservation};

use super::batch::{Batch, Drain, Row, collect, is_absent};
use super::steps::StepSet;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;

/// The error about two rows that cannot be told apart.
pub(super) fn same_labelset() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".into())
}

/// Passes rows on and refuses those whose labels came before.
pub(super) struct Duplicates {
    input: Source,
    pieces: bool,
    seen: HashMap<Labels, StepSet>,
    held: Option<Reservation>,
}

impl Duplicates {
    /// With `pieces`, rows of equal labels are refused only where they have samples at the same step.
    pub(super) fn new(input: Source, pieces: bool) -> Self {
        Self { input, pieces, seen: HashMap::new(), held: None }
    }
}

impl Operator for Duplicates {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let Some(batch) = pull(&mut *self.input, cx)? else { return Ok(None) };
        let held = match &mut self.held {
            Some(held) => held,
            none => none.insert(cx.budget.reserve("label sets seen", 0)?),
        };
        for i in 0..batch.len() {
            let mut present = StepSet::new(batch.steps);
            present.add_present(&batch, i);
            if present.is_empty() {
                continue;
            }
            match self.seen.get_mut(&batch.labels[i]) {
                Some(before) if !self.pieces || before.overlaps(&present) => return Err(same_labelset()),
                Some(before) => before.add(&present),
                None => {
                    held.grow(StepSet::size_bytes(batch.steps) + batch.labels[i].size_bytes() + 64)?;
                    self.seen.insert(batch.labels[i].clone(), present);
                }
            }
        }
        Ok(Some(batch))
    }
}

/// Joins the pieces of each series. Holds all rows.
pub(super) struct Merge {
    input: Source,
    steps: usize,
    results: Option<Drain>,
}

impl Merge {
    /// Joins the rows of `input`.
    pub(super) fn new(input: Source, steps: usize) -> Self {
        Self { input, steps, results: None }
    }
}

impl Operator for Merge {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if self.results.is_none() {
            let (rows, held) = collect(&mut *self.input, cx, "rows to be merged")?;
            self.results = Some(Drain::new(merge(rows)?, self.steps, held));
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

/// Joins rows of equal labels into the first of them; the order stays. Fails where two have samples at the same step
/// (promql/engine.go, mergeSeriesWithSameLabelset).
pub(super) fn merge(rows: Vec<Row>) -> Result<Vec<Row>, QueryError> {
    let mut at: HashMap<Labels, usize> = HashMap::with_capacity(rows.len());
    let mut merged: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match at.get(&row.labels) {
            None => {
                at.insert(row.labels.clone(), merged.len());
                merged.push(row);
            }
            Some(first) => {
                let first = &mut merged[*first];
                if !(first.histograms.is_empty() && row.histograms.is_empty()) {
                    if StepSet::present(first).overlaps(&StepSet::present(&row)) {
                        return Err(same_labelset());
                    }
                    first.histograms.extend(row.histograms);
                    first.histograms.sort_by_key(|(step, _)| *step);
                }
                for (have, value) in first.values.iter_mut().zip(&row.values) {
                    if is_absent(*have) {
                        *have = *value;
                    } else if !is_absent(*value) {
                        return Err(same_labelset());
                    }
                }
            }
        }
    }
    Ok(merged)
}
