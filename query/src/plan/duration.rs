//! Duration expressions to milliseconds (promql/durations.go).

use masthead_store::Millis;

use super::times::QueryTimes;
use crate::error::QueryError;
use crate::promql::ast::{BinaryOp, DurationExpr, DurationKind, UnaryOp};

/// Evaluates a duration. Without `negative` it must be greater than 0.
pub(super) fn evaluate(expr: &DurationExpr, times: &QueryTimes, negative: bool) -> Result<Millis, QueryError> {
    if let Some(seconds) = literal(expr) {
        // The parser of upstream goes by way of whole nanoseconds.
        return Ok((seconds * 1e9).round() as i64 / 1_000_000);
    }
    let duration = seconds(expr, times)?;
    if !duration.is_finite() {
        return Err(refuse(expr, "duration is NaN or infinite"));
    }
    if duration <= 0.0 && !negative {
        return Err(refuse(expr, "duration must be greater than 0"));
    }
    // What an int64 of nanoseconds can hold.
    const SECONDS_MAX: f64 = 9_223_372_036.854_776;
    if duration.abs() > SECONDS_MAX {
        return Err(refuse(expr, "duration is out of range"));
    }
    Ok((duration * 1000.0) as i64)
}

fn literal(expr: &DurationExpr) -> Option<f64> {
    match &expr.kind {
        DurationKind::Number(number) => Some(number.value),
        DurationKind::Unary(op, inner) => match (&inner.kind, op) {
            (DurationKind::Number(number), UnaryOp::Plus) => Some(number.value),
            (DurationKind::Number(number), UnaryOp::Minus) => Some(-number.value),
            _ => None,
        },
        _ => None,
    }
}

fn seconds(expr: &DurationExpr, times: &QueryTimes) -> Result<f64, QueryError> {
    Ok(match &expr.kind {
        DurationKind::Number(number) => number.value,
        DurationKind::Step => times.step as f64 / 1000.0,
        DurationKind::Range => times.range_seconds(),
        DurationKind::MinOf(a, b) => crate::engine::go_min(seconds(a, times)?, seconds(b, times)?),
        DurationKind::MaxOf(a, b) => crate::engine::go_max(seconds(a, times)?, seconds(b, times)?),
        DurationKind::Unary(UnaryOp::Plus, inner) | DurationKind::Paren(inner) => seconds(inner, times)?,
        DurationKind::Unary(UnaryOp::Minus, inner) => -seconds(inner, times)?,
        DurationKind::Binary(op, a, b) => {
            let (a, b) = (seconds(a, times)?, seconds(b, times)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return Err(refuse(expr, "division by zero")),
                BinaryOp::Div => a / b,
                BinaryOp::Mod if b == 0.0 => return Err(refuse(expr, "modulo by zero")),
                BinaryOp::Mod => a % b,
                BinaryOp::Pow => crate::engine::pow(a, b),
                other => return Err(refuse(expr, &format!("unexpected duration expression operator {other:?}"))),
            }
        }
    })
}

/// These errors give the byte range and no line.
fn refuse(expr: &DurationExpr, why: &str) -> QueryError {
    QueryError::Invalid(format!("{}:{}: {why}", expr.span.start, expr.span.end))
}
