//! Sums and differences: Add, Sub and KahanAdd in model/histogram/float_histogram.go.

use super::bounds::exponential;
use super::buckets::Indexed;
use super::custom::{combined, intersection, same_bounds};
use super::layout::{Other, Side, Sign, sides};
use super::{CounterResetHint, Histogram, HistogramError, is_exponential};
use crate::kahan;

/// What a combination of histograms had to settle, for a note to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combined {
    /// One operand was said to be reset, the other not to be.
    pub reset_collision: bool,
    /// Custom bounds differed; the bounds in common were kept.
    pub bounds_reconciled: bool,
}

impl Histogram {
    /// Adds `other`. Zero thresholds, resolutions and custom bounds are brought to what both can have. The result may
    /// have empty buckets: [`Histogram::compact`] drops them.
    ///
    /// Fails, with nothing changed, where one has exponential buckets and the other custom bounds.
    pub fn add(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        self.combine(other, Sign::Plus, None)
    }

    /// Subtracts `other`; as [`Histogram::add`]. The operator `-` makes a gauge of the result afterwards.
    pub fn sub(&mut self, other: &Self) -> Result<Combined, HistogramError> {
        self.combine(other, Sign::Minus, None)
    }

    /// As [`Histogram::add`] or [`Histogram::sub`]. The low bits that get lost go to the compensation, which has the
    /// buckets of `self` before and after.
    pub(super) fn combine(
        &mut self,
        other: &Self,
        sign: Sign,
        mut compensation: Option<&mut Self>,
    ) -> Result<Combined, HistogramError> {
        self.check_kind(other)?;
        let reset_collision = self.adjust_hint(other.counter_reset_hint);
        if !self.has_custom_bounds() {
            let (count, lost) = self.reconcile_zero(other, compensation.as_deref_mut());
            let low = compensation.as_deref_mut().map(|compensation| &mut compensation.zero_count);
            match low {
                Some(low) => {
                    kahan::add(sign.of(count), &mut self.zero_count, low);
                    kahan::add(sign.of(lost), &mut self.zero_count, low);
                }
                None => self.zero_count += sign.of(count),
            }
        }
        match compensation.as_deref_mut() {
            Some(low) => {
                kahan::add(sign.of(other.count), &mut self.count, &mut low.count);
                kahan::add(sign.of(other.sum), &mut self.sum, &mut low.sum);
            }
            None => {
                self.count += sign.of(other.count);
                self.sum += sign.of(other.sum);
            }
        }
        let bounds_reconciled = self.has_custom_bounds() && !same_bounds(&self.custom_bounds, &other.custom_bounds);
        if bounds_reconciled {
            let bounds = intersection(&self.custom_bounds, &other.custom_bounds);
            combined(self, compensation.as_deref_mut(), (other, sign), &bounds);
            self.custom_bounds = bounds.into();
        } else {
            self.combine_buckets(other, sign, compensation.as_deref_mut());
        }
        if let Some(compensation) = compensation {
            compensation.align(self);
        }
        Ok(Combined { reset_collision, bounds_reconciled })
    }

    /// The buckets of two histograms of one kind, whose zero buckets and custom bounds agree by now.
    fn combine_buckets(&mut self, other: &Self, sign: Sign, compensation: Option<&mut Self>) {
        let compensated = compensation.is_some();
        let (own_schema, schema) = (self.schema, self.schema.min(other.schema));
        let threshold = if is_exponential(schema) { self.zero_threshold } else { f64::NEG_INFINITY };
        self.schema = schema;
        for (mut side, (spans, counts)) in sides(self, compensation).into_iter().zip(other.sides()) {
            if own_schema > schema {
                side.reduce(own_schema, schema);
            }
            if other.schema == schema {
                let first = first_outside(spans, counts, (schema, threshold));
                side.add(Other { spans, counts, lost: None }, first, sign);
                continue;
            }
            let (mut spans, mut counts, mut lost) = (spans.into(), counts.to_vec(), vec![0.0; counts.len()]);
            let kept = compensated.then_some(&mut lost);
            Side { spans: &mut spans, counts: &mut counts, lost: kept }.reduce(other.schema, schema);
            let first = first_outside(&spans, &counts, (schema, threshold));
            let lost = compensated.then_some(lost.as_slice());
            side.add(Other { spans: &spans, counts: &counts, lost }, first, sign);
        }
    }

    pub(super) fn check_kind(&self, other: &Self) -> Result<(), HistogramError> {
        if self.has_custom_bounds() == other.has_custom_bounds() {
            Ok(())
        } else {
            Err(HistogramError::IncompatibleSchemas)
        }
    }

    /// The hint of a sum; whether the operands contradict each other (adjustCounterReset).
    fn adjust_hint(&mut self, other: CounterResetHint) -> bool {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let own = self.counter_reset_hint;
        self.counter_reset_hint = match (own, other) {
            (own, other) if own == other => own,
            (Gauge, _) | (_, Gauge) => Gauge,
            _ => Unknown,
        };
        matches!((own, other), (Reset, NotReset) | (NotReset, Reset))
    }

    /// Nothing, in the buckets of `self`.
    pub(super) fn empty_compensation(&self) -> Self {
        Self {
            sum: 0.0,
            count: 0.0,
            zero_count: 0.0,
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            custom_bounds: self.custom_bounds.clone(),
        }
    }

    /// Takes over where the buckets of `other` lie; the counts are there already.
    fn align(&mut self, other: &Self) {
        self.schema = other.schema;
        self.zero_threshold = other.zero_threshold;
        self.positive_spans.clone_from(&other.positive_spans);
        self.negative_spans.clone_from(&other.negative_spans);
        self.custom_bounds.clone_from(&other.custom_bounds);
    }
}

/// Index of the first bucket that reaches beyond the zero bucket of a threshold, in a schema.
fn first_outside(spans: &[super::Span], counts: &[f64], (schema, threshold): (i32, f64)) -> i32 {
    let inside = |(index, _): &(i32, f64)| exponential(*index, schema) <= threshold;
    Indexed::new(spans, counts).skip_while(inside).map(|(index, _)| index).next().unwrap_or(i32::MAX)
}
