//! A function of columns: its scalars, its memory, and all steps of any number of rows.
//!
//! Rows are computed in parallel, here and nowhere else; what comes out does not depend on the number of threads.

use std::sync::{Arc, Mutex, PoisonError};

use masthead_store::dedup;
use masthead_store::{Labels, Reservation, Samples};
use rayon::prelude::*;

use super::column::Prepared;
use super::kernel::{Beside, Kernel};
use crate::engine::arguments::Arguments;
use crate::engine::batch::{ABSENT, Batch, histograms_bytes, is_absent};
use crate::engine::loaded::{Loaded, size_in_samples};
use crate::engine::statistics::Level;
use crate::engine::{Context, Source, rename};
use crate::error::QueryError;
use crate::plan::ScanSpec;

/// A function of columns with its scalars and its memory, for any number of rows.
pub(in crate::engine) struct Columns {
    pub(super) spec: ScanSpec,
    /// Where its steps lie in the query.
    level: Arc<Level>,
    pub(super) kernel: Kernel,
    sources: Vec<Source>,
    /// The samples come from a store and not from rows.
    from_store: bool,
    /// The values of `sources`; None until they are asked for.
    args: Option<Arguments>,
    scratch: ScratchPool,
    /// The points so far.
    loaded: Option<Loaded>,
}

impl Columns {
    /// The function of `spec` at the steps of `level`; `sources` are its scalars.
    pub(in crate::engine) fn new(spec: ScanSpec, sources: Vec<Source>, level: &Arc<Level>) -> Result<Self, QueryError> {
        let (kernel, level) = (Kernel::of(&spec)?, Arc::clone(level));
        Ok(Self {
            spec,
            level,
            kernel,
            sources,
            from_store: false,
            args: None,
            scratch: ScratchPool::default(),
            loaded: None,
        })
    }

    /// The same for samples that come from a store.
    pub(in crate::engine) fn over_store(self) -> Self {
        Self { from_store: true, ..self }
    }

    /// Reads the scalars, unless it has been done.
    pub(in crate::engine) fn arguments(&mut self, cx: &Context<'_>) -> Result<(), QueryError> {
        if self.args.is_none() {
            self.args = Some(Arguments::read(&mut self.sources, self.spec.timeline.count, cx)?);
        }
        Ok(())
    }

    /// Computes `count` rows. `work` is about how many samples they have, `fill` puts the settled samples of a row into the
    /// scratch.
    pub(in crate::engine) fn compute(
        &mut self,
        count: usize,
        work: usize,
        fill: impl Fn(usize, &mut Scratch) -> Result<(), QueryError> + Sync,
        cx: &Context<'_>,
    ) -> Result<Computed<'_>, QueryError> {
        self.arguments(cx)?;
        let Self { spec, level, kernel, args: Some(args), scratch: pool, loaded, from_store, .. } = self else {
            return Err(QueryError::Internal("scalars were not read".into()));
        };
        let (steps, from_rows) = (spec.timeline.count, !*from_store);
        let mut batch = Batch::with_rows(count, steps, cx)?;
        batch.values.resize(count * steps, ABSENT);
        let (level, kernel, args, pool, cancelled) = (&**level, &*kernel, &*args, &*pool, &*cx.cancelled);
        let compute = |scratch: &mut Scratch, i: usize, out: &mut [f64]| {
            fill(i, scratch)?;
            if let Some(statistics) = cx.samples.statistics() {
                statistics.add_row(level, spec, &scratch.samples, from_rows);
            }
            let mut beside = Beside::default();
            kernel.compute((&scratch.samples, &mut scratch.prepared), args, cancelled, out, &mut beside);
            cx.check()?;
            let held = match beside.histograms.as_slice() {
                [] => None,
                histograms => Some(cx.budget.reserve("rows of a batch", histograms_bytes(histograms))?),
            };
            let floats = out.iter().filter(|cell| !is_absent(**cell)).count();
            Ok(Found { floats, samples: size_in_samples(&scratch.samples), beside, held })
        };
        let several = |(from, out): (usize, &mut [f64])| -> Vec<Result<Found, QueryError>> {
            let mut rows = out.chunks_mut(steps).enumerate();
            // Nobody asks for the rows behind one that failed.
            let mut has_failed = false;
            let mut next = |scratch: &mut Scratch| {
                let (i, out) = rows.next().filter(|_| !has_failed)?;
                let found = compute(scratch, from + i, out);
                has_failed = found.is_err();
                Some(found)
            };
            pool.with(|scratch| std::iter::from_fn(|| next(scratch)).collect())
        };
        let found = match &cx.pool {
            Some(threads) if is_worth_threads(count, work.saturating_add(count * steps)) => {
                let rows = rows_a_task(count, threads.current_num_threads());
                let tasks = batch.values.par_chunks_mut(rows * steps).enumerate();
                threads.install(|| tasks.flat_map_iter(|(task, out)| several((task * rows, out))).collect())
            }
            _ => several((0, &mut batch.values)),
        };
        Ok(Computed { spec, found, batch, loaded: loaded.get_or_insert_with(|| cx.samples.begin()) })
    }
}

#[cfg(test)]
impl Columns {
    /// A function of scalars that are known.
    pub(in crate::engine) fn with_arguments(spec: &ScanSpec, args: Arguments) -> Result<Self, QueryError> {
        Ok(Self { args: Some(args), ..Self::new(spec.clone(), Vec::new(), &Level::of_query(spec.timeline))? })
    }
}

/// Memory of one thread, reused from row to row.
#[derive(Default)]
pub(in crate::engine) struct Scratch {
    pub(super) decode: dedup::Scratch,
    /// The samples of the row.
    pub(in crate::engine) samples: Samples,
    /// What is known of them.
    pub(super) prepared: Prepared,
}

/// Scratch that no thread uses right now.
#[derive(Default)]
struct ScratchPool(Mutex<Vec<Scratch>>);

impl ScratchPool {
    fn with<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }
}

/// Rows that were computed, without their labels.
pub(in crate::engine) struct Computed<'a> {
    spec: &'a ScanSpec,
    /// By row; those behind a failed one may be missing.
    pub(super) found: Vec<Result<Found, QueryError>>,
    batch: Batch,
    loaded: &'a mut Loaded,
}

/// What came out of a row besides its cells.
pub(super) struct Found {
    /// Cells that are floats.
    floats: usize,
    /// Samples that were read, a histogram counting as its size in samples.
    samples: usize,
    pub(super) beside: Beside,
    /// The memory of the histograms, if there are any.
    held: Option<Reservation>,
}

/// Whether rows are so much work that handing parts of them to other threads, some ten µs, costs less than it saves. `work`
/// counts samples and steps; one takes as long as the other.
fn is_worth_threads(rows: usize, work: usize) -> bool {
    // Unit tests are small and want threads.
    const WORK_MIN: usize = if cfg!(test) { 1 } else { 50_000 };
    rows > 1 && work >= WORK_MIN
}

/// Rows a task: few enough that no thread waits long for another, many enough to pay for the hand-over.
fn rows_a_task(rows: usize, threads: usize) -> usize {
    rows.div_ceil(threads * 4).clamp(1, 16)
}

impl Computed<'_> {
    /// The rows that have points, moved together; prints what was told of them, and counts. `labels` gives the labels of each
    /// row and whether its name is to be dropped at the end.
    pub(in crate::engine) fn keep(
        self,
        labels: impl Iterator<Item = (Labels, bool)>,
        cx: &Context<'_>,
    ) -> Result<Batch, QueryError> {
        let Self { spec, found, mut batch, loaded } = self;
        let steps = batch.steps;
        for (i, ((labels, drop_name), found)) in labels.zip(found).enumerate() {
            let Found { floats, samples, beside: Beside { notes, histograms }, held } = found?;
            notes.report(&labels, floats > 0, spec, cx)?;
            let points: usize = histograms.iter().map(|(_, histogram)| histogram.size_in_samples()).sum();
            loaded.grow(floats + points)?;
            cx.samples.check(samples)?;
            if floats + histograms.len() > 0 {
                let kept = batch.labels.len();
                if kept < i {
                    batch.values.copy_within(i * steps..(i + 1) * steps, kept * steps);
                }
                batch.labels.push(labels);
                batch.drop_name.push(drop_name);
                held.into_iter().for_each(|held| batch.held.merge(held));
                batch.histograms.extend(histograms.into_iter().map(|(step, histogram)| (kept as u32, step, histogram)));
            }
        }
        batch.values.truncate(batch.labels.len() * steps);
        rename(&mut batch, spec.names);
        Ok(batch)
    }
}
