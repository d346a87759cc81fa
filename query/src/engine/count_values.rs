//! count_values: how often each value comes in a group; the value becomes a label.

use masthead_store::LabelsBuilder;

use super::batch::{ABSENT, Batch, Drain, Row, is_absent, row_bytes};
use super::groups::{GROUP_BYTES, Groups};
use super::{Context, Operator, Source, format, pull};
use crate::error::QueryError;
use crate::plan::node::Aggregate;

/// Counts values.
pub(super) struct CountValues {
    node: Aggregate,
    input: Option<Source>,
    steps: usize,
    results: Option<Drain>,
}

impl CountValues {
    /// Counts the values of `input`.
    pub(super) fn new(node: &Aggregate, input: Source, steps: usize) -> Self {
        Self { node: node.clone(), input: Some(input), steps, results: None }
    }

    fn rows(&self, input: &mut dyn Operator, cx: &Context<'_>) -> Result<Drain, QueryError> {
        let label = self.node.label.as_deref().unwrap_or_default();
        let mut groups = Groups::new(self.node.grouping.clone());
        let mut counts: Vec<Vec<f64>> = Vec::new();
        let mut held = cx.budget.reserve("counts of values", 0)?;
        while let Some(batch) = pull(input, cx)? {
            for i in 0..batch.len() {
                let mut builder = LabelsBuilder::new(&batch.labels[i]);
                // Neighbouring steps mostly hold the same value, so its group is found once.
                let mut last: Option<(u64, usize)> = None;
                for (step, value) in batch.row(i).iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
                    let group = match last {
                        Some((bits, group)) if bits == value.to_bits() => group,
                        _ => {
                            let labels = builder.set(label, &format::plain(*value)).build();
                            let (group, new) = groups.insert(&labels);
                            if new {
                                held.grow(GROUP_BYTES + labels.size_bytes() + row_bytes(self.steps))?;
                                counts.push(vec![ABSENT; self.steps]);
                            }
                            group
                        }
                    };
                    last = Some((value.to_bits(), group));
                    let count = &mut counts[group][step];
                    *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
                }
            }
        }
        let rows = counts.into_iter().enumerate().map(|(group, values)| Row {
            labels: groups.labels(group),
            drop_name: false,
            values,
            histograms: Vec::new(),
        });
        Ok(Drain::new(rows.collect(), self.steps, held))
    }
}

impl Operator for CountValues {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut input) = self.input.take() {
            self.results = Some(self.rows(&mut *input, cx)?);
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}
