//! `/api/v1/format_query` and `/api/v1/parse_query`: expressions as text and as a tree, without any data.

use masthead_store::Matcher;

use super::encode::{Data, Success};
use super::json::{push_key, push_list, push_string, push_strings};
use super::number::push_json_float;
use super::query::timeout;
use super::{Api, ApiError, Call, Reply};
use crate::go_float;
use crate::promql::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Matching, RangeExtension, Subquery,
    VectorSelector,
};
use crate::promql::{self, functions::Function};

/// `/api/v1/format_query`.
pub(super) async fn format_query(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    write(api, call, |out, expr| push_string(out, &expr.pretty())).await
}

/// `/api/v1/parse_query`.
pub(super) async fn parse_query(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    write(api, call, push_expr).await
}

/// The expression as `push` writes it, which happens where queries run.
async fn write(api: &Api, call: &Call, push: fn(&mut Vec<u8>, &Expr)) -> Result<Reply, ApiError> {
    let turn = api.querier.enter(timeout(api, &call.params)?).await?;
    let (text, options) = (call.params.get("query").to_owned(), api.querier.config.parse_options());
    let written = turn.compute(move || {
        let expr = promql::parse(&text, &options)?;
        let mut out = Vec::new();
        push(&mut out, &expr);
        Ok(out)
    });
    let json = written.await.map_err(|error| ApiError::from(error).about("query"))?;
    Ok(Reply::plain(Success::of(Data::Json(json))))
}

/// An object whose keys come in the order in which they are given, which is that of the alphabet as in Go's maps.
struct Object<'a>(&'a mut Vec<u8>);

impl<'a> Object<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self(out)
    }

    fn with(self, key: &str, push: impl FnOnce(&mut Vec<u8>)) -> Self {
        push_key(self.0, key);
        push(self.0);
        self
    }

    fn raw(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.with(key, |out| out.extend_from_slice(value.to_string().as_bytes()))
    }

    fn text(self, key: &str, text: &str) -> Self {
        self.with(key, |out| push_string(out, text))
    }

    fn expr(self, key: &str, expr: Option<&Expr>) -> Self {
        self.with(key, |out| match expr {
            Some(expr) => push_expr(out, expr),
            None => out.extend_from_slice(b"null"),
        })
    }

    /// Which kind of node it is.
    fn kind(self, name: &str) -> Self {
        self.text("type", name)
    }

    fn end(self) {
        self.0.push(b'}');
    }
}

/// One node (translateAST in web/api/v1/translate_ast.go).
fn push_expr(out: &mut Vec<u8>, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(number) => {
            Object::new(out).kind("numberLiteral").text("val", &go_float::plain(number.value)).end();
        }
        ExprKind::String(text) => Object::new(out).kind("stringLiteral").text("val", &promql::lossy(text)).end(),
        ExprKind::Vector(vector) => {
            let object = selector(Object::new(out), vector).raw("smoothed", has(vector, RangeExtension::Smoothed));
            timestamp(start_or_end(object, vector.at), vector.at).kind("vectorSelector").end();
        }
        ExprKind::Matrix(matrix) => {
            let vector = &matrix.vector;
            let object = constant(selector(Object::new(out), vector), "range", Some(&matrix.range));
            let object = object.raw("smoothed", has(vector, RangeExtension::Smoothed));
            timestamp(start_or_end(object, vector.at), vector.at).kind("matrixSelector").end();
        }
        ExprKind::Subquery(subquery) => push_subquery(out, subquery),
        ExprKind::Aggregate(aggregate) => push_aggregate(out, aggregate),
        ExprKind::Binary(binary) => push_binary(out, binary),
        ExprKind::Call(call) => {
            let args = |out: &mut Vec<u8>| push_list(out, &call.args, push_expr);
            Object::new(out)
                .with("args", args)
                .with("func", |out| push_function(out, call.function))
                .kind("call")
                .end();
        }
        ExprKind::Paren(inner) => Object::new(out).expr("expr", Some(inner)).kind("parenExpr").end(),
        ExprKind::Unary(op, inner) => {
            Object::new(out).expr("expr", Some(inner)).text("op", op.as_str()).kind("unaryExpr").end();
        }
    }
}

/// What both kinds of selectors begin with.
fn selector<'a>(object: Object<'a>, vector: &VectorSelector) -> Object<'a> {
    let object = object
        .raw("anchored", has(vector, RangeExtension::Anchored))
        .with("matchers", |out| push_list(out, &vector.matchers, push_matcher))
        .text("name", vector.name.as_deref().unwrap_or_default());
    constant(object, "offset", vector.offset.as_ref())
}

fn has(vector: &VectorSelector, extension: RangeExtension) -> bool {
    vector.extension == Some(extension)
}

fn push_matcher(out: &mut Vec<u8>, matcher: &Matcher) {
    let object = Object::new(out).text("name", matcher.name()).text("type", matcher.op().as_str());
    object.text("value", &promql::lossy(matcher.value())).end();
}

/// Which end of the query `@` names.
fn start_or_end(object: Object<'_>, at: Option<At>) -> Object<'_> {
    match at {
        Some(At::Start) => object.text("startOrEnd", "start"),
        Some(At::End) => object.text("startOrEnd", "end"),
        Some(At::Time(_)) | None => object.raw("startOrEnd", "null"),
    }
}

/// The time that `@` names, ms.
fn timestamp(object: Object<'_>, at: Option<At>) -> Object<'_> {
    match at {
        Some(At::Time(time)) => object.raw("timestamp", time),
        Some(At::Start | At::End) | None => object.raw("timestamp", "null"),
    }
}

/// A duration under `key`, ms, where it is a constant; else under the key with `Expr` behind it.
fn constant<'a>(object: Object<'a>, key: &str, duration: Option<&DurationExpr>) -> Object<'a> {
    let (ms, computed) = match duration.map(|duration| (&duration.kind, duration)) {
        None => (0, None),
        Some((DurationKind::Number(number), _)) => (promql::duration_ms(number.value), None),
        Some((_, computed)) => (0, Some(computed)),
    };
    object.raw(key, ms).with(&format!("{key}Expr"), |out| match computed {
        Some(computed) => push_duration(out, computed, false),
        None => out.extend_from_slice(b"null"),
    })
}

/// A duration (translateDurationExpr). `wrapped`: it stands in parentheses; a number in parentheses is written as one with a
/// sign, since upstream's numbers know of no parentheses.
fn push_duration(out: &mut Vec<u8>, duration: &DurationExpr, wrapped: bool) {
    let (op, left, right) = match &duration.kind {
        DurationKind::Number(_) if wrapped => ("+", None, Some(duration)),
        DurationKind::Number(number) => {
            let object = Object::new(out).raw("duration", number.duration).kind("numberLiteral");
            return object.text("val", &go_float::plain(number.value)).end();
        }
        DurationKind::Paren(inner) => return push_duration(out, inner, true),
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::MinOf(left, right) => ("min_of", Some(&**left), Some(&**right)),
        DurationKind::MaxOf(left, right) => ("max_of", Some(&**left), Some(&**right)),
        DurationKind::Unary(op, inner) => (op.as_str(), None, Some(&**inner)),
        DurationKind::Binary(op, left, right) => (op.as_str(), Some(&**left), Some(&**right)),
    };
    let side = |side: Option<&DurationExpr>, out: &mut Vec<u8>| match side {
        Some(side) => push_duration(out, side, false),
        None => out.extend_from_slice(b"null"),
    };
    let object = Object::new(out).with("lhs", |out| side(left, out)).text("op", op).with("rhs", |out| side(right, out));
    object.kind("durationExpr").raw("wrapped", wrapped).end();
}

fn push_subquery(out: &mut Vec<u8>, subquery: &Subquery) {
    let object = constant(Object::new(out).expr("expr", Some(&subquery.expr)), "offset", subquery.offset.as_ref());
    let object = constant(object, "range", Some(&subquery.range));
    let object = constant(start_or_end(object, subquery.at), "step", subquery.step.as_ref());
    timestamp(object, subquery.at).kind("subquery").end();
}

fn push_aggregate(out: &mut Vec<u8>, aggregate: &Aggregate) {
    Object::new(out)
        .expr("expr", Some(&aggregate.expr))
        .with("grouping", |out| push_strings(out, &aggregate.grouping))
        .text("op", aggregate.op.as_str())
        .expr("param", aggregate.parameter.as_ref())
        .kind("aggregation")
        .raw("without", aggregate.without)
        .end();
}

fn push_binary(out: &mut Vec<u8>, binary: &Binary) {
    Object::new(out)
        .raw("bool", binary.return_bool)
        .expr("lhs", Some(&binary.left))
        .with("matching", |out| match &binary.matching {
            Some(matching) => push_matching(out, matching),
            None => out.extend_from_slice(b"null"),
        })
        .text("op", binary.op.as_str())
        .expr("rhs", Some(&binary.right))
        .kind("binaryExpr")
        .end();
}

fn push_matching(out: &mut Vec<u8>, matching: &Matching) {
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    let fill = |out: &mut Vec<u8>| {
        let object = Object::new(out).with("lhs", |out| push_fill(out, matching.fill_left));
        object.with("rhs", |out| push_fill(out, matching.fill_right)).end();
    };
    Object::new(out)
        .text("card", card)
        .with("fillValues", fill)
        .with("include", |out| push_strings(out, &matching.include))
        .with("labels", |out| push_strings(out, &matching.labels))
        .raw("on", matching.on)
        .end();
}

/// A number of JSON, as Go writes it. What JSON has no number for is a string; Prometheus answers such a tree with an error.
fn push_fill(out: &mut Vec<u8>, value: Option<f64>) {
    let Some(value) = value else { return out.extend_from_slice(b"null") };
    match value.is_finite() {
        true => push_json_float(out, value),
        false => push_string(out, &go_float::plain(value)),
    }
}

fn push_function(out: &mut Vec<u8>, function: &Function) {
    let types: Vec<&str> = function.args.iter().map(|kind| kind.as_str()).collect();
    Object::new(out)
        .with("argTypes", |out| push_strings(out, &types))
        .text("name", function.name)
        .text("returnType", function.returns.as_str())
        .raw("variadic", function.variadic)
        .end();
}
