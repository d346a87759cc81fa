//! Hands each leaf its input. A select that several leaves read is kept until the last of them has read it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use masthead_store::{Budget, Series, SeriesBatch};

use super::Input;
use crate::error::QueryError;
use crate::plan::Plan;

/// The inputs of a plan, by select.
pub(super) struct Inputs {
    slots: Vec<Slot>,
    budget: Budget,
}

enum Slot {
    Single(Option<Box<dyn Input>>),
    Shared { tee: Arc<Mutex<Tee>>, handed: usize },
}

impl Inputs {
    /// `inputs[i]` feeds select i of `plan`.
    pub(super) fn new(plan: &Plan, inputs: Vec<Box<dyn Input>>, budget: Budget) -> Self {
        let mut readers = vec![0; inputs.len()];
        count_readers(plan, &mut readers);
        let slots = inputs.into_iter().zip(readers).map(|(input, readers)| {
            if readers < 2 {
                return Slot::Single(Some(input));
            }
            let tee = Tee { input, kept: VecDeque::new(), first: 0, at: vec![0; readers], ended: false };
            Slot::Shared { tee: Arc::new(Mutex::new(tee)), handed: 0 }
        });
        Self { slots: slots.collect(), budget }
    }

    /// The input for one more leaf that reads `select`.
    pub(super) fn take(&mut self, select: usize) -> Result<Box<dyn Input>, QueryError> {
        let missing = || QueryError::Internal(format!("no input for select {select}"));
        match self.slots.get_mut(select).ok_or_else(missing)? {
            Slot::Single(input) => input.take().ok_or_else(missing),
            Slot::Shared { tee, handed } => {
                *handed += 1;
                Ok(Box::new(Reader { tee: Arc::clone(tee), reader: *handed - 1, budget: self.budget.clone() }))
            }
        }
    }
}

fn count_readers(plan: &Plan, readers: &mut [usize]) {
    if let Plan::Scan(scan) = plan
        && let Some(count) = readers.get_mut(scan.select)
    {
        *count += 1;
    }
    plan.children().into_iter().for_each(|child| count_readers(child, readers));
}

struct Tee {
    input: Box<dyn Input>,
    /// What some reader still needs.
    kept: VecDeque<SeriesBatch>,
    /// Number of the first kept batch.
    first: usize,
    /// Per reader: the number of its next batch; [`GONE`] for one that was dropped.
    at: Vec<usize>,
    ended: bool,
}

const GONE: usize = usize::MAX;

impl Tee {
    /// Lets go of what all have read; gives back the last such batch.
    fn release(&mut self) -> Option<SeriesBatch> {
        let needed = self.at.iter().copied().min().unwrap_or(GONE);
        let mut last = None;
        while self.first < needed
            && let Some(batch) = self.kept.pop_front()
        {
            self.first += 1;
            last = Some(batch);
        }
        last
    }
}

struct Reader {
    tee: Arc<Mutex<Tee>>,
    reader: usize,
    budget: Budget,
}

impl Input for Reader {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let mut tee = self.tee.lock().unwrap_or_else(PoisonError::into_inner);
        let tee = &mut *tee;
        let index = tee.at[self.reader] - tee.first;
        if index == tee.kept.len() {
            if tee.ended {
                return Ok(None);
            }
            match tee.input.next()? {
                Some(batch) => tee.kept.push_back(batch),
                None => {
                    tee.ended = true;
                    return Ok(None);
                }
            }
        }
        tee.at[self.reader] += 1;
        if index == 0
            && let Some(batch) = tee.release()
        {
            return Ok(Some(batch));
        }
        // The chunks are shared; what is copied is the lists of them.
        let batch = &tee.kept[index];
        let bytes = batch.series.iter().map(list_bytes).sum();
        let held = self.budget.reserve("series of a shared select", bytes)?;
        Ok(Some(SeriesBatch::new(batch.series.clone(), held)))
    }
}

fn list_bytes(series: &Series) -> usize {
    series.lanes.iter().map(|lane| 64 + lane.chunks.len() * size_of::<masthead_store::Chunk>()).sum()
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut tee = self.tee.lock().unwrap_or_else(PoisonError::into_inner);
        tee.at[self.reader] = GONE;
        tee.release();
    }
}
