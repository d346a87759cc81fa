//! Types: what may stand where (checkAST in promql/parser/parse.go, in its order, so that the first error is the same).
//!
//! The check also settles what the grammar leaves open: set operators match many to many, an operator with a scalar side
//! matches nothing, and the second argument of `info` may select everything.

use masthead_store::{Matcher, labels::METRIC_NAME, labels::quote};

use super::ast::{Aggregate, Binary, Call, Cardinality, Expr, ExprKind, Matching, Span, Subquery, VectorSelector};
use super::error::Fault;
use super::functions::ValueType;
use super::lexer::is_space;

impl Expr {
    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        let mut expr = self;
        loop {
            return match &expr.kind {
                ExprKind::Number(_) => ValueType::Scalar,
                ExprKind::String(_) => ValueType::String,
                ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
                ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
                ExprKind::Binary(binary) if binary.matching.is_some() => ValueType::Vector,
                ExprKind::Binary(binary) => binary_type(binary.left.value_type(), binary.right.value_type()),
                ExprKind::Call(call) => call.function.returns,
                ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => {
                    expr = inner;
                    continue;
                }
            };
        }
    }
}

fn binary_type(left: ValueType, right: ValueType) -> ValueType {
    if left == ValueType::Scalar && right == ValueType::Scalar { ValueType::Scalar } else { ValueType::Vector }
}

/// Checks `expr`, which was parsed from `query`, and gives its type.
pub(super) fn check(expr: &mut Expr, query: &str) -> Result<ValueType, Fault> {
    let span = expr.span;
    match &mut expr.kind {
        ExprKind::Number(_) => Ok(ValueType::Scalar),
        ExprKind::String(_) => Ok(ValueType::String),
        ExprKind::Vector(vector) => {
            check_selector(vector, span)?;
            Ok(ValueType::Vector)
        }
        ExprKind::Matrix(matrix) => {
            check_selector(&matrix.vector, matrix.vector_span)?;
            Ok(ValueType::Matrix)
        }
        ExprKind::Subquery(subquery) => check_subquery(subquery, span, query),
        ExprKind::Aggregate(aggregate) => check_aggregate(aggregate, query),
        ExprKind::Binary(binary) => check_binary(binary, span, query),
        ExprKind::Call(call) => check_call(call, span, query),
        ExprKind::Paren(inner) => check(inner, query),
        ExprKind::Unary(_, inner) => {
            let found = check(inner, query)?;
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let found = found.documented();
                let places = "expressions of type scalar or instant vector";
                return Err(fault(span, format!("unary expression only allowed on {places}, got \"{found}\"")));
            }
            Ok(found)
        }
    }
}

fn fault(span: Span, message: impl Into<String>) -> Fault {
    Fault { span, message: message.into() }
}

fn expect(expr: &mut Expr, wanted: ValueType, place: &str, query: &str) -> Result<(), Fault> {
    let found = check(expr, query)?;
    if found == wanted {
        return Ok(());
    }
    let (wanted, found) = (wanted.documented(), found.documented());
    Err(fault(expr.span, format!("expected type {wanted} in {place}, got {found}")))
}

fn check_selector(vector: &VectorSelector, span: Span) -> Result<(), Fault> {
    let Some(name) = &vector.name else {
        let selective = |matcher: &Matcher| !matcher.matches("");
        if vector.bypass_empty_matcher_check || vector.matchers.iter().any(selective) {
            return Ok(());
        }
        return Err(fault(span, "vector selector must contain at least one non-empty matcher"));
    };
    // The last matcher is that of the name itself.
    let others = vector.matchers.split_last().map_or(&[][..], |(_, others)| others);
    match others.iter().find(|matcher| matcher.name() == METRIC_NAME) {
        None => Ok(()),
        Some(other) => {
            let (name, other) = (quote(name), quote(other.value()));
            Err(fault(span, format!("metric name must not be set twice: {name} or {other}")))
        }
    }
}

fn check_subquery(subquery: &mut Subquery, span: Span, query: &str) -> Result<ValueType, Fault> {
    let found = check(&mut subquery.expr, query)?;
    if found != ValueType::Vector {
        let found = found.as_str();
        return Err(fault(span, format!("subquery is only allowed on instant vector, got {found} instead")));
    }
    Ok(ValueType::Matrix)
}

fn check_aggregate(aggregate: &mut Aggregate, query: &str) -> Result<ValueType, Fault> {
    expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression", query)?;
    if let (Some(wanted), Some(parameter)) = (aggregate.op.parameter(), &mut aggregate.parameter) {
        expect(parameter, wanted, "aggregation parameter", query)?;
    }
    Ok(ValueType::Vector)
}

fn check_binary(binary: &mut Binary, span: Span, query: &str) -> Result<ValueType, Fault> {
    let left = check(&mut binary.left, query)?;
    let right = check(&mut binary.right, query)?;
    let op = binary.op;
    let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    if binary.return_bool && !op.is_comparison() {
        let span = operator_span(binary, query);
        return Err(fault(span, "bool modifier can only be used on comparison operators"));
    }
    if op.is_comparison() && !binary.return_bool && scalars {
        return Err(fault(operator_span(binary, query), "comparisons between scalars must use BOOL modifier"));
    }
    if let Some(matching) = &binary.matching
        && let Some(label) = label_in_both(matching)
    {
        let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
        return Err(fault(operator_span(binary, query), message));
    }
    for (side, found) in [(&binary.left, left), (&binary.right, right)] {
        if !matches!(found, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(fault(side.span, message));
        }
    }
    if left == ValueType::Vector && right == ValueType::Vector {
        check_set_operator(binary, span)?;
    } else {
        check_scalar_side(binary, span)?;
        binary.matching = None;
    }
    Ok(binary_type(left, right))
}

/// Vector matching where a side is a scalar.
fn check_scalar_side(binary: &Binary, span: Span) -> Result<(), Fault> {
    if let Some(matching) = &binary.matching {
        if !matching.labels.is_empty() {
            return Err(fault(span, "vector matching only allowed between instant vectors"));
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Err(fault(span, "filling in missing series only allowed between instant vectors"));
        }
    }
    if binary.op.is_set() {
        let op = binary.op.as_str();
        return Err(fault(span, format!("set operator \"{op}\" not allowed in binary scalar expression")));
    }
    Ok(())
}

/// A set operator between vectors matches many to many, without grouping and filling.
fn check_set_operator(binary: &mut Binary, span: Span) -> Result<(), Fault> {
    let (op, Some(matching)) = (binary.op, &mut binary.matching) else { return Ok(()) };
    if !op.is_set() {
        return Ok(());
    }
    if matching.cardinality != Cardinality::OneToOne {
        return Err(fault(span, format!("no grouping allowed for \"{}\" operation", op.as_str())));
    }
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        return Err(fault(span, "filling in missing series not allowed for set operators"));
    }
    matching.cardinality = Cardinality::ManyToMany;
    Ok(())
}

/// The first label of `on` that the group modifier names too.
fn label_in_both(matching: &Matching) -> Option<&str> {
    if !matching.on || matching.include.is_empty() {
        return None;
    }
    let include: std::collections::HashSet<&str> = matching.include.iter().map(|label| &**label).collect();
    matching.labels.iter().map(|label| &**label).find(|label| include.contains(label))
}

/// Where the operator stands, modifiers included: what is between the sides, without the blanks around it.
fn operator_span(binary: &Binary, query: &str) -> Span {
    let blank = |byte: &u8| is_space(char::from(*byte));
    let (from, to) = (binary.left.span.end as usize, binary.right.span.start as usize);
    let between = query.as_bytes().get(from..to).unwrap_or_default();
    let leading = between.iter().take_while(|byte| blank(byte)).count();
    let trailing = between.iter().rev().take_while(|byte| blank(byte)).count();
    Span { start: (from + leading) as u32, end: to.saturating_sub(trailing + 1).max(from + leading) as u32 }
}

fn check_call(call: &mut Call, span: Span, query: &str) -> Result<ValueType, Fault> {
    let function = call.function;
    check_count(call, span)?;
    let place = format!("call to function {}", quote(function.name));
    if function.name == "info" && call.args.len() > 1 {
        check_info_selector(&mut call.args[1], span, &place)?;
    }
    for (i, arg) in call.args.iter_mut().enumerate() {
        // Repeated arguments have the type of the last one.
        if let Some(wanted) = function.args.get(i).or(function.args.last()) {
            expect(arg, *wanted, &place, query)?;
        }
    }
    Ok(function.returns)
}

fn check_count(call: &Call, span: Span) -> Result<(), Fault> {
    let (function, found) = (call.function, call.args.len());
    let name = quote(function.name);
    let wanted = function.args.len();
    if function.variadic == 0 {
        if wanted != found {
            return Err(fault(span, format!("expected {wanted} argument(s) in call to {name}, got {found}")));
        }
        return Ok(());
    }
    let least = wanted - 1;
    if found < least {
        return Err(fault(span, format!("expected at least {least} argument(s) in call to {name}, got {found}")));
    }
    if let Ok(more) = usize::try_from(function.variadic)
        && found > least + more
    {
        let most = least + more;
        return Err(fault(span, format!("expected at most {most} argument(s) in call to {name}, got {found}")));
    }
    Ok(())
}

/// The second argument of `info`: a selector without a name, which may select everything.
fn check_info_selector(arg: &mut Expr, call: Span, place: &str) -> Result<(), Fault> {
    let found = arg.value_type();
    if found != ValueType::Vector {
        return Err(fault(call, format!("expected type instant vector in {place}, got {}", found.documented())));
    }
    match &mut arg.kind {
        ExprKind::Vector(vector) if vector.name.is_none() => {
            vector.bypass_empty_matcher_check = true;
            Ok(())
        }
        ExprKind::Vector(_) => Err(fault(arg.span, "expected label selectors only, got vector selector instead")),
        _ => Err(fault(arg.span, "expected label selectors only")),
    }
}
