//! Tree to text, as upstream's `String()` writes it (promql/parser/printer.go).
//!
//! What is printed parses to the same tree, places apart; labels in braces are sorted by what is printed of them. Two things
//! do not come back, as upstream: durations below a millisecond, and an infinity to the left of `^`, whose sign binds looser.

use std::fmt::{self, Display, Formatter};

use masthead_store::{MatchOp, labels::METRIC_NAME, labels::is_legacy_name, labels::quote};

use super::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, MatrixSelector, NumberLiteral,
    Subquery, UnaryOp, VectorSelector,
};
use super::number::{format_duration, to_i64, to_nanoseconds};
use super::quote::quote_literal;
use crate::go_float;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => f.write_str(&quote_literal(text)),
            ExprKind::Vector(vector) => vector.fmt(f),
            ExprKind::Matrix(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => subquery.fmt(f),
            ExprKind::Aggregate(aggregate) => aggregate.fmt(f),
            ExprKind::Binary(binary) => binary.fmt(f),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                separated(f, &call.args, ", ")?;
                f.write_str(")")
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary(op, inner) => write!(f, "{}{inner}", op.as_str()),
        }
    }
}

fn separated<T: Display>(f: &mut Formatter<'_>, parts: impl IntoIterator<Item = T>, by: &str) -> fmt::Result {
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            f.write_str(by)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.duration {
            return f.write_str(&go_float::plain(self.value));
        }
        if self.value < 0.0 {
            f.write_str("-")?;
        }
        f.write_str(&format_duration(to_i64(self.value.abs() * 1e9)))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_selection(self, f)?;
        write_at(self.at, f)?;
        if let Some(extension) = self.extension {
            write!(f, " {}", extension.as_str())?;
        }
        write_offset(self.offset.as_ref(), f)
    }
}

/// Name and matchers.
fn write_selection(vector: &VectorSelector, f: &mut Formatter<'_>) -> fmt::Result {
    let name = vector.name.as_deref().unwrap_or("");
    f.write_str(name)?;
    // An empty name in braces is a matcher of its own.
    let mut matchers: Vec<String> = vector
        .matchers
        .iter()
        .filter(|matcher| {
            matcher.name() != METRIC_NAME
                || matcher.op() != MatchOp::Equal
                || matcher.value() != name
                || matcher.value().is_empty()
        })
        .map(ToString::to_string)
        .collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort_unstable();
    f.write_str("{")?;
    separated(f, &matchers, ",")?;
    f.write_str("}")
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_selection(&self.vector, f)?;
        f.write_str("[")?;
        write_constant(&self.range, f)?;
        f.write_str("]")?;
        if let Some(extension) = self.vector.extension {
            write!(f, " {}", extension.as_str())?;
        }
        write_at(self.vector.at, f)?;
        write_offset(self.vector.offset.as_ref(), f)
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.expr, SubqueryTail(self))
    }
}

/// What stands behind the expression of a subquery.
pub(super) struct SubqueryTail<'a>(pub(super) &'a Subquery);

impl Display for SubqueryTail<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Subquery { range, step, at, offset, .. } = self.0;
        f.write_str("[")?;
        write_constant(range, f)?;
        f.write_str(":")?;
        if let Some(step) = step {
            write_constant(step, f)?;
        }
        f.write_str("]")?;
        write_at(*at, f)?;
        write_offset(offset.as_ref(), f)
    }
}

/// A range, step or offset: constants are printed as durations, however they were written.
fn write_constant(expr: &DurationExpr, f: &mut Formatter<'_>) -> fmt::Result {
    match &expr.kind {
        DurationKind::Number(number) => f.write_str(&format_duration(to_nanoseconds(number.value))),
        _ => expr.fmt(f),
    }
}

fn write_at(at: Option<At>, f: &mut Formatter<'_>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Time(time)) => write!(f, " @ {:.3}", time as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_offset(offset: Option<&DurationExpr>, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(offset) = offset else { return Ok(()) };
    f.write_str(" offset ")?;
    write_constant(offset, f)
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Number(number) => number.fmt(f),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            DurationKind::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
            // Upstream keeps no plus.
            DurationKind::Unary(UnaryOp::Plus, inner) => inner.fmt(f),
            DurationKind::Unary(UnaryOp::Minus, inner) => write!(f, "-{inner}"),
            DurationKind::Binary(op, left, right) => write!(f, "{left} {} {right}", op.as_str()),
            DurationKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", AggregateHead(self))?;
        if let Some(parameter) = &self.parameter {
            write!(f, "{parameter}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

/// Operator and grouping of an aggregation.
pub(super) struct AggregateHead<'a>(pub(super) &'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate { op, grouping, without, .. } = self.0;
        f.write_str(op.as_str())?;
        if !*without && grouping.is_empty() {
            return Ok(());
        }
        f.write_str(if *without { " without (" } else { " by (" })?;
        write_labels(grouping, f)?;
        f.write_str(") ")
    }
}

fn write_labels(labels: &[Box<str>], f: &mut Formatter<'_>) -> fmt::Result {
    let shown = labels.iter().map(|label| if is_legacy_name(label) { label.to_string() } else { quote(label) });
    separated(f, shown, ", ")
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, BinaryHead(self), self.right)
    }
}

/// Operator of a binary operation, with `bool` and matching.
pub(super) struct BinaryHead<'a>(pub(super) &'a Binary);

impl Display for BinaryHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        self.0.write_matching(f)
    }
}

impl Binary {
    fn write_matching(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(matching) = &self.matching else { return Ok(()) };
        let group = match matching.cardinality {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !matching.labels.is_empty() || matching.on || group.is_some() {
            f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
            write_labels(&matching.labels, f)?;
            f.write_str(")")?;
        }
        if let Some(side) = group {
            write!(f, " group_{side} (")?;
            write_labels(&matching.include, f)?;
            f.write_str(")")?;
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", go_float::shortest(left)),
            (left, right) => {
                for (value, side) in [(left, "left"), (right, "right")] {
                    if let Some(value) = value {
                        write!(f, " fill_{side} ({})", go_float::shortest(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}
