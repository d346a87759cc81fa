//! Sums and means of native histograms, beside the cells of floats (promql/engine.go, aggregation, cases SUM and AVG).

use masthead_store::Reservation;
use masthead_store::histogram::{self, CounterResetHint, Histogram};

use super::super::Context;
use super::super::batch::{HistogramCell, histogram_bytes};
use crate::annotations::{Place, Severity};
use crate::error::QueryError;

const MIXED: &str = "PromQL warning: encountered a mix of histograms and floats for aggregation";
const COLLISION: &str = "PromQL warning: conflicting counter resets during histogram aggregation";
const RECONCILED: &str = "PromQL info: mismatched custom buckets were reconciled during aggregation";

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
    /// The sum; the mean itself once `incremental`.
    sum: histogram::Sum,
    count: f64,
    incremental: bool,
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
                        None => cx.annotations.add(Severity::Warning, mixed_schemas(name), self.place),
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
            cx.annotations.add(Severity::Info, RECONCILED, self.place);
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
                    cx.annotations.add(Severity::Warning, COLLISION, self.place);
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

/// Words about exponential and custom buckets under one name.
fn mixed_schemas(name: &str) -> String {
    format!(
        "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
        masthead_store::labels::quote(name)
    )
}

impl Sum {
    fn new(histogram: &Histogram) -> Self {
        let mut sum = Self {
            sum: histogram::Sum::new(histogram.clone()),
            count: 1.0,
            incremental: false,
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
        let parts = std::iter::once(self.sum.value()).chain(self.sum.lost());
        let bytes = size_of::<Self>() + parts.map(histogram_bytes).sum::<usize>();
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        more
    }

    /// Adds a histogram; whether custom bounds were reconciled, None if it cannot be added.
    fn add(&mut self, histogram: &Histogram, mean: bool) -> Option<bool> {
        self.note_hint(histogram);
        let added = if mean { self.add_to_mean(histogram) } else { self.add_to_sum(histogram) };
        self.incompatible = added.is_none();
        added
    }

    fn add_to_sum(&mut self, histogram: &Histogram) -> Option<bool> {
        self.sum.add(histogram).ok().map(|combined| combined.bounds_reconciled)
    }

    /// As with floats: the mean is the sum divided by the count, until the sum would overflow.
    fn add_to_mean(&mut self, histogram: &Histogram) -> Option<bool> {
        self.count += 1.0;
        if !self.incremental {
            if [self.sum.value(), histogram].into_iter().all(is_far_from_overflow) {
                return self.add_to_sum(histogram);
            }
            let before = self.sum.clone();
            let reconciled = self.add_to_sum(histogram)?;
            if !self.sum.value().has_overflow() {
                return Some(reconciled);
            }
            self.sum = before;
            self.incremental = true;
            self.sum.div(self.count - 1.0);
        }
        let part = (self.count - 1.0) / self.count;
        self.sum.mul(part);
        let mut share = histogram.clone();
        share.div(self.count);
        self.add_to_sum(&share)
    }

    fn result(self, mean: bool) -> Histogram {
        let Self { mut sum, count, incremental, .. } = self;
        if mean && !incremental {
            sum.div(count);
        }
        let mut total = sum.total();
        total.compact(0);
        total
    }
}

/// Whether the sum of two such histograms cannot overflow.
fn is_far_from_overflow(histogram: &Histogram) -> bool {
    let lists = [&*histogram.positive_buckets, &*histogram.negative_buckets, &*histogram.custom_bounds];
    let numbers = [histogram.zero_count, histogram.count, histogram.sum];
    numbers.iter().chain(lists.into_iter().flatten()).all(|number| number.abs() < f64::MAX / 4.0)
}
