//! count_values: how often each value comes in a group; the value becomes a label.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::{Labels, LabelsBuilder, Reservation};

use super::batch::{ABSENT, BATCH_ROWS, Batch, is_absent, row_bytes};
use super::groups::{GROUP_BYTES, Groups};
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::go_float;
use crate::plan::node::Aggregate;

/// Counts values.
pub(super) struct CountValues {
    node: Aggregate,
    input: Option<Source>,
    steps: usize,
    results: Option<Results>,
}

/// The counts of all groups, on their way out.
struct Results {
    groups: Groups,
    counts: std::iter::Enumerate<std::vec::IntoIter<Counts>>,
    /// What groups and counts hold.
    _held: Reservation,
}

/// The counts of one value. Most values of a float that changes come at a few steps only.
enum Counts {
    /// Step and count, ascending by step, for less than half of the steps.
    Few(Vec<(u32, u32)>),
    /// One a step, [`ABSENT`] where there is none.
    All(Vec<f64>),
}

impl Counts {
    fn add(&mut self, step: usize, steps: usize, held: &mut Reservation) -> Result<(), QueryError> {
        if let Counts::Few(cells) = self {
            let at = match cells.last() {
                Some((last, _)) if (*last as usize) < step => Err(cells.len()),
                _ => cells.binary_search_by_key(&step, |(step, _)| *step as usize),
            };
            match at {
                Ok(at) => {
                    cells[at].1 += 1;
                    return Ok(());
                }
                Err(at) if 2 * cells.len() + 2 <= steps => {
                    if cells.len() == cells.capacity() {
                        let more = cells.len().max(2);
                        held.grow(more * size_of::<(u32, u32)>())?;
                        cells.reserve_exact(more);
                    }
                    cells.insert(at, (step as u32, 1));
                    return Ok(());
                }
                Err(_) => {
                    held.grow(row_bytes(steps))?;
                    let mut all = vec![ABSENT; steps];
                    self.write(&mut all);
                    *self = Counts::All(all);
                }
            }
        }
        if let Counts::All(cells) = self {
            let count = &mut cells[step];
            *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
        }
        Ok(())
    }

    /// Writes the counts into a row without any sample.
    fn write(&self, row: &mut [f64]) {
        match self {
            Counts::Few(cells) => cells.iter().for_each(|(step, count)| row[*step as usize] = f64::from(*count)),
            Counts::All(cells) => row.copy_from_slice(cells),
        }
    }
}

impl CountValues {
    /// Counts the values of `input`.
    pub(super) fn new(node: &Aggregate, input: Source, steps: usize) -> Self {
        Self { node: node.clone(), input: Some(input), steps, results: None }
    }

    fn count(&self, input: &mut dyn Operator, cx: &Context<'_>) -> Result<Results, QueryError> {
        let label = self.node.label.as_deref().unwrap_or_default();
        let held = cx.budget.reserve("counts of values", 0)?;
        let mut tally = Tally { groups: Groups::new(self.node.grouping.clone()), counts: Vec::new(), held };
        while let Some(batch) = pull(input, cx)? {
            for i in 0..batch.len() {
                let mut builder = LabelsBuilder::new(&batch.labels[i]);
                // Neighbouring steps mostly hold the same value, so its group is found once.
                let mut last: Option<(u64, usize)> = None;
                for (step, value) in batch.row(i).iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
                    let group = match last {
                        Some((bits, group)) if bits == value.to_bits() => group,
                        _ => tally.group(&builder.set(label, &go_float::plain(*value)).build())?,
                    };
                    last = Some((value.to_bits(), group));
                    tally.counts[group].add(step, self.steps, &mut tally.held)?;
                }
                let mut last: Option<(&Arc<Histogram>, usize)> = None;
                for (_, step, histogram) in batch.histograms_of(i) {
                    let group = match last {
                        Some((before, group)) if Arc::ptr_eq(before, histogram) => group,
                        _ => tally.group(&builder.set(label, &histogram.to_string()).build())?,
                    };
                    last = Some((histogram, group));
                    tally.counts[group].add(*step as usize, self.steps, &mut tally.held)?;
                }
            }
        }
        Ok(Results { groups: tally.groups, counts: tally.counts.into_iter().enumerate(), _held: tally.held })
    }
}

/// The counts so far.
struct Tally {
    groups: Groups,
    counts: Vec<Counts>,
    held: Reservation,
}

impl Tally {
    /// The ordinal of the group of a row whose value is among its labels.
    fn group(&mut self, labels: &Labels) -> Result<usize, QueryError> {
        let (group, new) = self.groups.insert(labels);
        if new {
            self.held.grow(GROUP_BYTES + size_of::<Counts>() + labels.size_bytes())?;
            self.counts.push(Counts::Few(Vec::new()));
        }
        Ok(group)
    }
}

impl Operator for CountValues {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut input) = self.input.take() {
            self.results = Some(self.count(&mut *input, cx)?);
        }
        let Some(results) = &mut self.results else { return Ok(None) };
        let rows = results.counts.len().min(BATCH_ROWS);
        if rows == 0 {
            self.results = None;
            return Ok(None);
        }
        let mut batch = Batch::with_rows(rows, self.steps, cx)?;
        let mut row = vec![ABSENT; self.steps];
        for (group, counts) in results.counts.by_ref().take(rows) {
            row.fill(ABSENT);
            counts.write(&mut row);
            let labels = results.groups.labels(group);
            batch.held.grow(labels.size_bytes())?;
            batch.push(labels, false, &row);
        }
        Ok(Some(batch))
    }
}
