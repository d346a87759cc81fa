//! and, or, unless: they compare label sets and leave values alone.

use masthead_store::Reservation;

use super::batch::{ABSENT, Batch};
use super::groups::{GROUP_BYTES, Groups};
use super::steps::StepSet;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::plan::node::Join;
use crate::promql::ast::BinaryOp;

/// A set operator. Of one side it keeps only which match groups are there at which steps.
pub(super) struct SetOperator {
    op: BinaryOp,
    left: Source,
    right: Source,
    steps: usize,
    known: Known,
    /// `or`: the left side has been passed on.
    left_done: bool,
}

/// Match groups of the side that has been read.
struct Known {
    groups: Groups,
    present: Vec<StepSet>,
    held: Option<Reservation>,
}

impl SetOperator {
    /// Applies `node` to two sides.
    pub(super) fn new(node: &Join, left: Source, right: Source, steps: usize) -> Self {
        let groups = Groups::new(super::join::match_grouping(&node.matching));
        let known = Known { groups, present: Vec::new(), held: None };
        Self { op: node.op, left, right, steps, known, left_done: false }
    }

    fn or(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if !self.left_done {
            if let Some(batch) = pull(&mut *self.left, cx)? {
                self.known.add(&batch, cx)?;
                return Ok(Some(batch));
            }
            self.left_done = true;
        }
        let mut batch = pull(&mut *self.right, cx)?;
        if let Some(batch) = &mut batch {
            self.known.filter(batch, false);
        }
        Ok(batch)
    }
}

impl Operator for SetOperator {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if self.op == BinaryOp::Or {
            return self.or(cx);
        }
        if self.known.held.is_none() {
            self.known.held = Some(cx.budget.reserve("match groups", StepSet::size_bytes(self.steps))?);
            while let Some(batch) = pull(&mut *self.right, cx)? {
                self.known.add(&batch, cx)?;
            }
        }
        let mut batch = pull(&mut *self.left, cx)?;
        if let Some(batch) = &mut batch {
            self.known.filter(batch, self.op == BinaryOp::And);
        }
        Ok(batch)
    }
}

impl Known {
    fn add(&mut self, batch: &Batch, cx: &Context<'_>) -> Result<(), QueryError> {
        let held = match &mut self.held {
            Some(held) => held,
            none => none.insert(cx.budget.reserve("match groups", 0)?),
        };
        for i in 0..batch.len() {
            let (group, new) = self.groups.insert(&batch.labels[i]);
            if new {
                held.grow(GROUP_BYTES + StepSet::size_bytes(batch.steps) + batch.labels[i].size_bytes())?;
                self.present.push(StepSet::new(batch.steps));
            }
            self.present[group].add_present(batch, i);
        }
        Ok(())
    }

    /// Clears the cells whose group is not there at their step; with `wanted` false those whose group is.
    fn filter(&self, batch: &mut Batch, wanted: bool) {
        let present = |labels| self.groups.find(labels).map(|group| &self.present[group]);
        let present: Vec<Option<&StepSet>> = batch.labels.iter().map(present).collect();
        let stays = |row: usize, step| present[row].is_some_and(|set| set.contains(step)) == wanted;
        for (i, present) in present.iter().enumerate() {
            let cells = batch.row_mut(i);
            match present {
                Some(set) => {
                    let cleared = cells.iter_mut().enumerate().filter(|(step, _)| set.contains(*step) != wanted);
                    cleared.for_each(|(_, cell)| *cell = ABSENT);
                }
                None if wanted => cells.fill(ABSENT),
                None => {}
            }
        }
        batch.histograms.retain(|(row, step, _)| stays(*row as usize, *step as usize));
    }
}
