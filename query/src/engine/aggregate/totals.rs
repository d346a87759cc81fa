//! Sums and means of native histograms, beside the cells of floats (promql/engine.go, aggregation, cases SUM and AVG).

use masthead_store::Reservation;
use masthead_store::histogram::{CounterResetHint, Histogram};

use super::super::Context;
use super::super::batch::HistogramCell;
use super::super::histogram_sum::HistogramSum;
use super::super::texts;
use crate::annotations::{Place, Severity};
use crate::error::QueryError;

const MIXED: &str = "PromQL warning: encountered a mix of histograms and floats for aggregation";

/// The totals of all groups and steps at which a histogram came.
pub(super) struct Totals {
    mean: bool,
    /// Place of what is aggregated.
    place: Place,
    /// By group; empty for one without histograms.
    by_group: Vec<Vec<Option<Total>>>,
    held: Option<Reservation>,
}

/// What histograms add up to, at one step of one group.
pub(super) enum Total {
    /// A float came first: whatever follows, there is no result.
    Mixed,
    /// Histograms, and maybe floats behind the first one.
    Histograms(Box<Sum>),
}

/// Histograms that have been added up.
pub(super) struct Sum {
    total: HistogramSum,
    /// Floats came too.
    mixed: bool,
    /// Exponential and custom buckets came together: there is no result, and nothing that follows counts.
    incompatible: bool,
    /// A histogram was marked as a reset, and another one as none.
    resets: bool,
    continuations: bool,
    /// Bytes taken for it.
    bytes: usize,
}

impl Totals {
    /// No totals yet; of means, or of sums.
    pub(super) fn new(mean: bool, place: Place) -> Self {
        Self { mean, place, by_group: Vec::new(), held: None }
    }

    /// The totals of a group, one a step; None if no histogram came.
    #[inline]
    pub(super) fn of(&mut self, group: usize) -> Option<&mut [Option<Total>]> {
        self.by_group.get_mut(group).filter(|totals| !totals.is_empty()).map(Vec::as_mut_slice)
    }

    /// Takes the histograms of a row named `name` into a group of `steps` steps. `has_float` tells at which steps floats
    /// came before.
    pub(super) fn add(
        &mut self,
        group: usize,
        histograms: &[HistogramCell],
        (name, steps): (&str, usize),
        has_float: impl Fn(usize) -> bool,
        cx: &Context<'_>,
    ) -> Result<(), QueryError> {
        let held = match &mut self.held {
            Some(held) => held,
            none => none.insert(cx.budget.reserve("histograms of an aggregation", 0)?),
        };
        if self.by_group.len() <= group {
            self.by_group.resize_with(group + 1, Vec::new);
        }
        let totals = &mut self.by_group[group];
        if totals.is_empty() {
            held.grow(steps * size_of::<Option<Total>>())?;
            totals.resize_with(steps, || None);
        }
        let mut reconciled = false;
        for (_, step, histogram) in histograms {
            match &mut totals[*step as usize] {
                Some(Total::Mixed) => {}
                Some(Total::Histograms(sum)) if sum.incompatible => {}
                Some(Total::Histograms(sum)) => {
                    match sum.add(histogram, self.mean) {
                        Some(was_reconciled) => reconciled |= was_reconciled,
                        None => cx.annotations.add(Severity::Warning, texts::mixed_schemas(name), self.place),
                    }
                    held.grow(sum.growth())?;
                }
                none if has_float(*step as usize) => *none = Some(Total::Mixed),
                none => {
                    let sum = Sum::new(histogram);
                    held.grow(sum.bytes)?;
                    *none = Some(Total::Histograms(Box::new(sum)));
                }
            }
        }
        if reconciled {
            cx.annotations.add(Severity::Info, texts::bounds_reconciled("aggregation"), self.place);
        }
        Ok(())
    }

    /// The results of a group by step, None where histograms came that have none.
    pub(super) fn results(&mut self, group: usize, cx: &Context<'_>) -> Vec<(u32, Option<Histogram>)> {
        let totals = self.by_group.get_mut(group).map(std::mem::take).unwrap_or_default();
        let there = totals.into_iter().enumerate().filter_map(|(step, total)| Some((step as u32, total?)));
        let result = |total| match total {
            Total::Histograms(sum) if sum.mixed => Err(MIXED),
            Total::Mixed => Err(MIXED),
            Total::Histograms(sum) if sum.incompatible => Ok(None),
            Total::Histograms(sum) => {
                if sum.resets && sum.continuations {
                    cx.annotations.add(Severity::Warning, texts::resets_collide("aggregation"), self.place);
                }
                Ok(Some(sum.result(self.mean)))
            }
        };
        let told = |warning| {
            cx.annotations.add(Severity::Warning, warning, self.place);
            None
        };
        there.map(|(step, total)| (step, result(total).unwrap_or_else(told))).collect()
    }

    /// What the totals hold, once they are results.
    pub(super) fn take_held(&mut self) -> Option<Reservation> {
        self.held.take()
    }
}

impl Total {
    /// A float comes at this step too.
    pub(super) fn add_float(&mut self) {
        match self {
            Total::Histograms(sum) if !sum.incompatible => sum.mixed = true,
            Total::Histograms(_) | Total::Mixed => {}
        }
    }
}

impl Sum {
    fn new(histogram: &Histogram) -> Self {
        let mut sum = Self {
            total: HistogramSum::of(histogram),
            mixed: false,
            incompatible: false,
            resets: false,
            continuations: false,
            bytes: 0,
        };
        sum.note_hint(histogram);
        sum.growth();
        sum
    }

    fn note_hint(&mut self, histogram: &Histogram) {
        match histogram.counter_reset_hint {
            CounterResetHint::Reset => self.resets = true,
            CounterResetHint::NotReset => self.continuations = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }

    /// The bytes that it holds more than when it was asked for the last time.
    fn growth(&mut self) -> usize {
        let bytes = size_of::<Self>() + self.total.size_bytes();
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        more
    }

    /// Adds a histogram; whether custom bounds were reconciled, None if it cannot be added.
    fn add(&mut self, histogram: &Histogram, mean: bool) -> Option<bool> {
        self.note_hint(histogram);
        let added = if mean { self.total.add_to_mean(histogram) } else { self.total.add(histogram) };
        self.incompatible = added.is_err();
        added.ok()
    }

    fn result(self, mean: bool) -> Histogram {
        let mut value = if mean { self.total.mean() } else { self.total.sum() };
        value.compact(0);
        value
    }
}
