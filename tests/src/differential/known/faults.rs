//! Faults that every Prometheus up to 3.14 has, and Masthead has not.

use masthead_query::promql::ast::{AggregateOp, DurationExpr, DurationKind, Expr, ExprKind, UnaryOp, VectorSelector};
use masthead_query::promql::{Features, ParseOptions, parse};

use super::super::compare::Kind;
use super::Seen;

/// A fault of every Prometheus up to 3.14.
pub struct Fault {
    /// What.
    pub name: &'static str,
    /// File and function.
    pub source: &'static str,
    holds: fn(&Seen<'_>, &Expr) -> bool,
}

/// Faults that Masthead does not have.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "Prometheus' fault: @ in the parameter of an aggregation",
        // The parameter is not preprocessed: its selectors stand still relative to the first step, and start() and end() are
        // not replaced.
        source: "promql/engine.go preprocessExprHelper, case *parser.AggregateExpr",
        holds: |_, expr| {
            let ExprKind::Aggregate(aggregate) = &expr.kind else { return false };
            aggregate.parameter.as_ref().is_some_and(|parameter| any(parameter, has_at))
        },
    },
    Fault {
        name: "Prometheus' fault: timestamp() of a selector with @ and offset",
        // The offset is overwritten by the distance to @, though other samples were fetched.
        source: "promql/engine.go rangeEvalTimestampFunctionOverVectorSelector",
        holds: |seen, expr| {
            let ExprKind::Call(call) = &expr.kind else { return false };
            let shifted =
                |part: &Expr| selector(part).is_some_and(|selector| selector.at.is_some() && selector.offset.is_some());
            seen.is_value() && call.function.name == "timestamp" && call.args.iter().any(|arg| any(arg, shifted))
        },
    },
    Fault {
        name: "Prometheus' fault: @ below a subquery with a negative offset",
        // Where the subquery's first step is the query's first one, its offset is not taken back.
        source: "promql/engine.go runSubquery",
        holds: |seen, expr| {
            let ExprKind::Subquery(subquery) = &expr.kind else { return false };
            seen.is_value() && subquery.offset.as_ref().is_some_and(is_negative) && any(&subquery.expr, has_at)
        },
    },
    Fault {
        name: "Prometheus' fault: a bare range that is anchored or smoothed",
        // The ends of series without samples within the range are made of nothing.
        source: "promql/engine.go extendFloats",
        holds: |seen, expr| {
            let extended = matches!(&expr.kind, ExprKind::Matrix(matrix) if matrix.vector.extension.is_some());
            extended && seen.reference_says("unexpected error: runtime error: index out of range")
        },
    },
    Fault {
        name: "Prometheus' fault: a histogram of custom buckets that are NaN as text",
        // Its zero count, 0 before it was multiplied by NaN, is not 0.
        source: "model/histogram/float_histogram.go String",
        holds: |seen, expr| {
            let ExprKind::Aggregate(aggregate) = &expr.kind else { return false };
            let text = seen.reference_says("histograms with custom buckets have no zero bucket");
            aggregate.op == AggregateOp::CountValues && text
        },
    },
    Fault {
        name: "Prometheus' fault: what a sum of floats and histograms says depends on chance",
        // The series of several steps come out of a map. After incompatible histograms nothing is looked at any more.
        source: "promql/engine.go rangeEval and aggregation",
        holds: |seen, expr| {
            let ExprKind::Aggregate(aggregate) = &expr.kind else { return false };
            let sums = matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Avg);
            let warned = seen.either_says("a mix of histograms and floats for aggregation");
            let unordered = any(&aggregate.expr, |part| matches!(part.kind, ExprKind::Binary(_)));
            seen.difference.kind == Kind::Annotations && sums && unordered && warned
        },
    },
];

/// The fault that explains a difference: its name.
pub(super) fn fault(seen: &Seen<'_>) -> Option<&'static str> {
    let features = Features::ALL;
    let expr = parse(&seen.question.query, &ParseOptions { features, ..ParseOptions::default() }).ok()?;
    FAULTS.iter().find(|fault| any(&expr, |part| (fault.holds)(seen, part))).map(|fault| fault.name)
}

/// Whether a part of an expression is so.
fn any(expr: &Expr, is: impl Fn(&Expr) -> bool) -> bool {
    let mut found = false;
    expr.walk(|part| found |= is(part));
    found
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match &expr.kind {
        ExprKind::Vector(selector) => Some(selector),
        ExprKind::Matrix(matrix) => Some(&matrix.vector),
        _ => None,
    }
}

fn has_at(expr: &Expr) -> bool {
    let subquery = matches!(&expr.kind, ExprKind::Subquery(subquery) if subquery.at.is_some());
    subquery || selector(expr).is_some_and(|selector| selector.at.is_some())
}

fn is_negative(duration: &DurationExpr) -> bool {
    match &duration.kind {
        DurationKind::Number(number) => number.value < 0.0,
        DurationKind::Unary(UnaryOp::Minus, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::client::Reply;
    use crate::differential::compare::Difference;
    use crate::differential::question::{Question, Times};

    /// A fault is one in its own place only.
    #[test]
    fn faults_are_found_in_expressions() {
        let fault = |query: &str, kind: Kind, error: &str| {
            let question = Question { query: query.to_owned(), times: Times::Instant(0) };
            let difference = Difference { kind, text: String::new() };
            let reply = |body: &str| Reply { status: 200, body: body.to_owned().into() };
            fault(&Seen { question: &question, difference: &difference, reference: &reply(error), ours: &reply("") })
        };
        let of = |at: usize| Some(FAULTS[at].name);
        let value = |query: &str| fault(query, Kind::Value, "");
        assert_eq!(value("sum(topk(scalar(a @ 5), b))"), of(0));
        assert_eq!(value("abs(timestamp((a offset 5m @ end())))"), of(1));
        assert_eq!(value("delta(a[10m] @ 5)[5m:5m] offset -1ms"), of(2));
        for query in [
            "topk(2, b @ 5)",
            "timestamp(a @ 5)",
            "timestamp(a offset 5m)",
            "a @ 5 offset 5m",
            "delta(a[10m] @ 5)[5m:5m] offset 1ms",
            "delta(a[10m])[5m:5m] offset -1ms",
            "a[5m] smoothed",
            "count_values(\"v\", a)",
            "sum((",
        ] {
            assert_eq!(value(query), None, "{query}");
        }
        let panics = "unexpected error: runtime error: index out of range [-1]";
        assert_eq!(fault("a[5m] anchored", Kind::Refusal, panics), of(3));
        assert_eq!(fault("a[5m]", Kind::Refusal, panics), None);
        let no_zero = "histograms with custom buckets have no zero bucket";
        assert_eq!(fault("count_values(\"v\", a * NaN)", Kind::Refusal, no_zero), of(4));
        assert_eq!(fault("sum(a * NaN)", Kind::Refusal, no_zero), None);
        let mixed = "a mix of histograms and floats for aggregation";
        assert_eq!(fault("sum(a or b)", Kind::Annotations, mixed), of(5));
        assert_eq!(fault("sum(a or b)", Kind::Value, mixed), None);
        assert_eq!(fault("sum(a)", Kind::Annotations, mixed), None);
        assert!(FAULTS.iter().all(|fault| fault.source.contains(".go ")));
    }
}
