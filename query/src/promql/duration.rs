//! Durations to milliseconds, once the query's times are known (promql/durations.go).

use masthead_store::Millis;

use super::ast::{BinaryOp, DurationExpr, DurationKind, UnaryOp};
use super::number::to_nanoseconds;
use crate::go_math::{self, go_max, go_min, pow};

/// The times of a query that durations may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryTimes {
    /// First step, ms.
    pub start: Millis,
    /// Last step, ms; the same for an instant query.
    pub end: Millis,
    /// Between steps, ms; 0 for an instant query.
    pub step: Millis,
}

impl QueryTimes {
    /// From start to end in seconds, at most what Go's durations hold: its `Time.Sub` saturates.
    pub fn range_seconds(&self) -> f64 {
        const MILLIS_MAX: i64 = i64::MAX / 1_000_000;
        go_math::seconds(self.end.saturating_sub(self.start).clamp(-MILLIS_MAX, MILLIS_MAX))
    }
}

/// An offset in milliseconds; any sign will do. The error has the byte range of the duration in the query and is complete:
/// `8:13: duration is NaN or infinite`.
pub fn evaluate(expr: &DurationExpr, times: &QueryTimes) -> Result<Millis, String> {
    if let DurationKind::Number(number) = &expr.kind {
        // Constants are kept in nanoseconds upstream, and cut to milliseconds when used.
        return Ok(to_nanoseconds(number.value) / 1_000_000);
    }
    let seconds = seconds(expr, times)?;
    if !seconds.is_finite() {
        return Err(fault(expr, "duration is NaN or infinite"));
    }
    if seconds.abs() > 2f64.powi(63) / 1e9 {
        return Err(fault(expr, "duration is out of range"));
    }
    Ok((seconds * 1000.0) as i64)
}

/// A range or a step in milliseconds, which must be above zero: `8:13: duration must be greater than 0`.
pub fn evaluate_positive(expr: &DurationExpr, times: &QueryTimes) -> Result<Millis, String> {
    if !matches!(expr.kind, DurationKind::Number(_)) && seconds(expr, times)? <= 0.0 {
        // Minus infinity is worded as an infinity.
        evaluate(expr, times)?;
        return Err(fault(expr, "duration must be greater than 0"));
    }
    evaluate(expr, times)
}

fn fault(expr: &DurationExpr, message: &str) -> String {
    format!("{}:{}: {message}", expr.span.start, expr.span.end)
}

fn seconds(expr: &DurationExpr, times: &QueryTimes) -> Result<f64, String> {
    Ok(match &expr.kind {
        DurationKind::Number(number) => number.value,
        DurationKind::Step => go_math::seconds(times.step),
        DurationKind::Range => times.range_seconds(),
        DurationKind::MinOf(a, b) => go_min(seconds(a, times)?, seconds(b, times)?),
        DurationKind::MaxOf(a, b) => go_max(seconds(a, times)?, seconds(b, times)?),
        DurationKind::Paren(inner) | DurationKind::Unary(UnaryOp::Plus, inner) => seconds(inner, times)?,
        DurationKind::Unary(UnaryOp::Minus, inner) => -seconds(inner, times)?,
        DurationKind::Binary(op, left, right) => {
            let (left, right) = (seconds(left, times)?, seconds(right, times)?);
            match op {
                BinaryOp::Add => left + right,
                BinaryOp::Sub => left - right,
                BinaryOp::Mul => left * right,
                BinaryOp::Div if right == 0.0 => return Err(fault(expr, "division by zero")),
                BinaryOp::Div => left / right,
                BinaryOp::Mod if right == 0.0 => return Err(fault(expr, "modulo by zero")),
                BinaryOp::Mod => left % right,
                BinaryOp::Pow => pow(left, right),
                _ => return Err(format!("unexpected duration expression operator \"{}\"", op.as_str())),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::ast::ExprKind;
    use super::super::{ParseOptions, parse};
    use super::*;

    const TIMES: QueryTimes = QueryTimes { start: 10_000, end: 310_000, step: 15_000 };

    fn range(query: &str) -> Result<Millis, String> {
        match parse(query, &ParseOptions::default()).unwrap().kind {
            ExprKind::Matrix(matrix) => evaluate_positive(&matrix.range, &TIMES),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_are_computed_and_checked() {
        for (query, value) in [
            ("x[5m]", 300_000),
            ("x[1.5]", 1_500),
            ("x[0.0019]", 1),
            ("x[26m+4m]", 1_800_000),
            ("x[step()]", 15_000),
            ("x[range() / 2]", 150_000),
            ("x[min_of(step(), range())]", 15_000),
            ("x[max_of(step(), -range())]", 15_000),
            ("x[(9m30s+30s)*3]", 1_800_000),
            ("x[-5m+35m]", 1_800_000),
            ("x[1h30m % 1h]", 1_800_000),
            ("x[2^2]", 4_000),
            ("x[-(-1m)]", 60_000),
        ] {
            assert_eq!(range(query), Ok(value), "{query}");
        }
        for (query, error) in [
            ("rate_up[1m-2m]", "8:13: duration must be greater than 0"),
            ("x[(1m-1m)]", "3:8: duration must be greater than 0"),
            ("x[1m/(2m-2m)]", "2:11: division by zero"),
            ("x[1m%(2m-2m)]", "2:11: modulo by zero"),
            ("x[10^400]", "2:8: duration is NaN or infinite"),
            ("x[-10^400]", "2:9: duration is NaN or infinite"),
            ("x[10^20]", "2:7: duration is out of range"),
        ] {
            assert_eq!(range(query), Err(error.to_owned()), "{query}");
        }
    }

    #[test]
    fn offsets_may_be_negative() {
        let offset = |query: &str| match parse(query, &ParseOptions::default()).unwrap().kind {
            ExprKind::Vector(vector) => vector.offset.map(|offset| evaluate(&offset, &TIMES)),
            other => panic!("{other:?}"),
        };
        assert_eq!(offset("x offset -5m"), Some(Ok(-300_000)));
        assert_eq!(offset("x offset -(step() * 2)"), Some(Ok(-30_000)));
        assert_eq!(offset("x offset 0"), None);
    }
}
