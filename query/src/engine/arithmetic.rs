//! The operators between two samples, and what they have to tell.

use std::sync::Arc;

use masthead_store::histogram::{CounterResetHint, Histogram, Trim};

use super::Context;
use super::texts::{bounds_reconciled, resets_collide};
use crate::annotations::{Place, Severity};
use crate::go_math;
use crate::promql::ast::BinaryOp;

/// What an operator gives for two floats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// A number.
    Arithmetic(fn(f64, f64) -> f64),
    /// Yes or no.
    Comparison(fn(&f64, &f64) -> bool),
    /// Nothing: the operator wants a histogram. Holds the operator's sign.
    Trim(&'static str),
    /// An operator between sets, which does not look at values.
    Set,
}

/// The operation of `op`.
pub(super) fn operation(op: BinaryOp) -> Operation {
    use Operation::{Arithmetic, Comparison, Set, Trim};
    match op {
        BinaryOp::Add => Arithmetic(|a, b| a + b),
        BinaryOp::Sub => Arithmetic(|a, b| a - b),
        BinaryOp::Mul => Arithmetic(|a, b| a * b),
        BinaryOp::Div => Arithmetic(|a, b| a / b),
        // Both are C's fmod, with the sign of the dividend, as Go's math.Mod.
        BinaryOp::Mod => Arithmetic(|a, b| a % b),
        BinaryOp::Pow => Arithmetic(go_math::pow),
        BinaryOp::Atan2 => Arithmetic(go_math::atan2),
        BinaryOp::Equal => Comparison(f64::eq),
        BinaryOp::NotEqual => Comparison(f64::ne),
        BinaryOp::Less => Comparison(f64::lt),
        BinaryOp::LessEqual => Comparison(f64::le),
        BinaryOp::Greater => Comparison(f64::gt),
        BinaryOp::GreaterEqual => Comparison(f64::ge),
        BinaryOp::TrimUpper => Trim("</"),
        BinaryOp::TrimLower => Trim(">/"),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => Set,
    }
}

/// A sample on one side of an operator.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand<'a> {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(&'a Arc<Histogram>),
}

/// What an operator gives where a histogram is on either side.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    /// The result; None where a comparison does not hold.
    pub(super) histogram: Option<Arc<Histogram>>,
    /// What there is to tell.
    pub(super) remark: Option<Remark>,
}

/// What an operator has to tell about one pair of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remark {
    /// The operator does not go with these kinds: left and right.
    Kinds(&'static str, &'static str),
    /// Exponential buckets met custom bounds.
    Layouts,
    /// One operand was said to be reset, the other not to be. Holds what was done with them.
    Resets(&'static str),
    /// Custom bounds differed. Holds what was done with them.
    Bounds(&'static str),
}

/// What `op` gives for two samples of which one at least is a histogram. An error means no result. (vectorElemBinop in
/// promql/engine.go.)
pub(super) fn of_histograms(op: BinaryOp, left: Operand<'_>, right: Operand<'_>) -> Result<Outcome, Remark> {
    use Operand::{Float, Histogram};
    match (left, op, right) {
        (Histogram(a), BinaryOp::Add | BinaryOp::Sub, Histogram(b)) => combined(op, a, b),
        (Histogram(a), BinaryOp::Equal, Histogram(b)) => Ok(kept_if(a.equals(b), a)),
        (Histogram(a), BinaryOp::NotEqual, Histogram(b)) => Ok(kept_if(!a.equals(b), a)),
        (Histogram(of), BinaryOp::Mul, Float(by)) | (Float(by), BinaryOp::Mul, Histogram(of)) => {
            Ok(changed(of, |of| {
                of.mul(by);
                of.compact(0);
            }))
        }
        (Histogram(of), BinaryOp::Div, Float(by)) => Ok(changed(of, |of| {
            of.div(by);
            of.compact(0);
        })),
        (Histogram(of), BinaryOp::TrimUpper, Float(at)) => Ok(changed(of, |of| of.trim(at, Trim::Upper))),
        (Histogram(of), BinaryOp::TrimLower, Float(at)) => Ok(changed(of, |of| of.trim(at, Trim::Lower))),
        _ => Err(Remark::Kinds(left.kind(), right.kind())),
    }
}

fn combined(op: BinaryOp, a: &Histogram, b: &Histogram) -> Result<Outcome, Remark> {
    let mut result = a.clone();
    let (done, what) = match op {
        BinaryOp::Sub => (result.sub(b), "subtraction"),
        _ => (result.add(b), "addition"),
    };
    let done = done.map_err(|_| Remark::Layouts)?;
    // Upstream drops the result with this warning, though it has one.
    if done.reset_collision {
        return Err(Remark::Resets(what));
    }
    if op == BinaryOp::Sub {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result.compact(0);
    Ok(Outcome { histogram: Some(Arc::new(result)), remark: done.bounds_reconciled.then_some(Remark::Bounds(what)) })
}

fn kept_if(holds: bool, histogram: &Arc<Histogram>) -> Outcome {
    Outcome { histogram: holds.then(|| Arc::clone(histogram)), remark: None }
}

fn changed(of: &Histogram, change: impl FnOnce(&mut Histogram)) -> Outcome {
    let mut result = of.clone();
    change(&mut result);
    Outcome { histogram: Some(Arc::new(result)), remark: None }
}

impl Operand<'_> {
    fn kind(self) -> &'static str {
        match self {
            Operand::Float(_) => FLOAT,
            Operand::Histogram(_) => "histogram",
        }
    }
}

const FLOAT: &str = "float";

impl Remark {
    /// A trim operator met two floats.
    pub(super) const FLOATS: Self = Self::Kinds(FLOAT, FLOAT);

    fn text(self, op: BinaryOp) -> (Severity, String) {
        let op = op.as_str();
        match self {
            Self::Kinds(left, right) => {
                let text = "incompatible sample types encountered for binary operator";
                (Severity::Info, format!("PromQL info: {text} \"{op}\": {left} {op} {right}"))
            }
            Self::Layouts => {
                let text = "incompatible bucket layout encountered for binary operator";
                (Severity::Warning, format!("PromQL warning: {text} {op}"))
            }
            Self::Resets(what) => (Severity::Warning, resets_collide(what)),
            Self::Bounds(what) => (Severity::Info, bounds_reconciled(what)),
        }
    }
}

/// The remarks of one operator. At each step only the last one is told, as upstream.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    last: Vec<Option<Remark>>,
}

impl Remarks {
    /// Notes a remark about a step.
    pub(super) fn note(&mut self, step: usize, remark: Remark) {
        if self.last.len() <= step {
            self.last.resize(step + 1, None);
        }
        self.last[step] = Some(remark);
    }

    /// Tells what was found, and forgets it.
    pub(super) fn report(&mut self, op: BinaryOp, place: Place, cx: &Context<'_>) {
        let mut told: Vec<Remark> = Vec::new();
        for remark in std::mem::take(&mut self.last).into_iter().flatten() {
            if !told.contains(&remark) {
                told.push(remark);
                let (severity, text) = remark.text(op);
                cx.annotations.add(severity, text, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use masthead_store::histogram::Span;

    use super::*;

    #[test]
    fn special_values_follow_go() {
        let Operation::Arithmetic(modulo) = operation(BinaryOp::Mod) else { panic!("% is arithmetic") };
        assert_eq!(modulo(-5.0, 3.0), -2.0);
        let Operation::Arithmetic(power) = operation(BinaryOp::Pow) else { panic!("^ is arithmetic") };
        assert_eq!((power(1.0, f64::NAN), power(f64::NAN, 0.0)), (1.0, 1.0));
        assert!(power(-8.0, 1.0 / 3.0).is_nan());
    }

    /// Each operator with each mix of kinds: its text with a float and a histogram on the left, or what it gives.
    #[test]
    fn operators_want_their_kinds() {
        let histogram = |count: f64, hint| {
            Arc::new(Histogram {
                counter_reset_hint: hint,
                count,
                positive_spans: [Span { offset: 0, length: 1 }].into(),
                positive_buckets: vec![count],
                ..Histogram::default()
            })
        };
        let (four, two) = (histogram(4.0, CounterResetHint::Reset), histogram(2.0, CounterResetHint::Unknown));
        let of = |op, left, right| match of_histograms(op, left, right) {
            Ok(Outcome { histogram, .. }) => histogram.map_or("-".into(), |h| h.count.to_string()),
            Err(remark) => remark.text(op).1.rsplit_once(": ").expect("kinds").1.to_owned(),
        };
        let (float, a, b) = (Operand::Float(2.0), Operand::Histogram(&four), Operand::Histogram(&two));
        let rows = [
            (BinaryOp::Add, "float + histogram", "histogram + float", "6"),
            (BinaryOp::Sub, "float - histogram", "histogram - float", "2"),
            (BinaryOp::Mul, "8", "8", "histogram * histogram"),
            (BinaryOp::Div, "float / histogram", "2", "histogram / histogram"),
            (BinaryOp::Pow, "float ^ histogram", "histogram ^ float", "histogram ^ histogram"),
            (BinaryOp::Equal, "float == histogram", "histogram == float", "-"),
            (BinaryOp::NotEqual, "float != histogram", "histogram != float", "4"),
            (BinaryOp::Less, "float < histogram", "histogram < float", "histogram < histogram"),
            (BinaryOp::TrimUpper, "float </ histogram", "4", "histogram </ histogram"),
            (BinaryOp::TrimLower, "float >/ histogram", "0", "histogram >/ histogram"),
        ];
        for (op, float_left, float_right, both) in rows {
            assert_eq!([of(op, float, a), of(op, a, float), of(op, a, b)], [float_left, float_right, both], "{op:?}");
        }
        let not = histogram(1.0, CounterResetHint::NotReset);
        assert_eq!(of_histograms(BinaryOp::Add, a, Operand::Histogram(&not)), Err(Remark::Resets("addition")));
    }

    #[test]
    fn the_last_remark_of_a_step_is_told() {
        let mut remarks = Remarks::default();
        remarks.note(2, Remark::FLOATS);
        remarks.note(2, Remark::Layouts);
        remarks.note(0, Remark::Bounds("addition"));
        assert_eq!(remarks.last, [Some(Remark::Bounds("addition")), None, Some(Remark::Layouts)]);
    }
}
