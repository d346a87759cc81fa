//! promql-parser 0.11.1 as an oracle: both agree on what is PromQL but for a table of differences, each with its reason.
//!
//! It is not asked about queries that make it panic (`foo[1e20]`, `foo offset NaN`: durations beyond its type) or overflow the
//! stack (thousands of nested operators).

use std::collections::BTreeSet;

use masthead_query::promql::ast::{BinaryOp, DurationExpr, DurationKind, Expr, ExprKind};
use masthead_query::promql::parse;

use super::{all, errors, printed, scripts};

/// Who takes a query for PromQL.
#[derive(Debug, PartialEq)]
enum Accepts {
    /// We, as Prometheus does.
    We,
    /// It, other than Prometheus.
    It,
}

/// Why the two differ over some queries.
struct Difference {
    reason: &'static str,
    accepts: Accepts,
    /// Whether the difference explains a query. Ours is the tree or the error.
    explains: fn(&str, Result<&Expr, &str>) -> bool,
}

/// All that is known to differ.
const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "it knows no arithmetic, functions and parentheses in durations",
        accepts: Accepts::We,
        explains: |_, ours| ours.is_ok_and(|expr| any(expr, computes_a_duration)),
    },
    Difference {
        reason: "it knows no anchored and smoothed, neither as modifiers nor as names",
        accepts: Accepts::We,
        explains: |query, _| query.contains("anchored") || query.contains("smoothed"),
    },
    Difference {
        reason: "it knows no operators that trim histograms",
        accepts: Accepts::We,
        explains: |_, ours| {
            ours.is_ok_and(|expr| {
                any(expr, |expr| {
                    matches!(&expr.kind, ExprKind::Binary(binary)
                        if matches!(binary.op, BinaryOp::TrimLower | BinaryOp::TrimUpper))
                })
            })
        },
    },
    Difference {
        reason: "it decodes escapes in raw strings",
        accepts: Accepts::We,
        explains: |query, _| query.contains('`') && query.contains('\\'),
    },
    Difference {
        reason: "it reads no underscores in numbers",
        accepts: Accepts::We,
        explains: |query, ours| {
            ours.is_ok_and(|expr| any(expr, |expr| matches!(expr.kind, ExprKind::Number(_)))) && query.contains('_')
        },
    },
    Difference {
        reason: "it wants the second argument of info to select something",
        accepts: Accepts::We,
        explains: |query, _| query.starts_with("info("),
    },
    Difference {
        reason: "it lets numbers, durations and times beyond their range pass",
        accepts: Accepts::It,
        explains: |_, ours| ours.is_err_and(|error| error.contains("out of range") || error.contains("out of bounds")),
    },
    Difference {
        reason: "it lets a range of zero pass if it is a number",
        accepts: Accepts::It,
        explains: |_, ours| ours.is_err_and(|error| error.ends_with("duration must be greater than 0")),
    },
    Difference {
        reason: "it does not check the second argument of info",
        accepts: Accepts::It,
        explains: |_, ours| ours.is_err_and(|error| error.contains("expected label selectors only")),
    },
    Difference {
        reason: "it does not check where fill may stand",
        accepts: Accepts::It,
        explains: |_, ours| ours.is_err_and(|error| error.contains("filling in missing series")),
    },
    Difference {
        reason: "it does not check names in groupings",
        accepts: Accepts::It,
        explains: |_, ours| ours.is_err_and(|error| error.contains("invalid label name for grouping")),
    },
    Difference {
        reason: "it lets the character pass for which Go takes an invalid byte",
        accepts: Accepts::It,
        explains: |query, _| query.contains('\u{fffd}'),
    },
    Difference {
        reason: "it compiles regular expressions by Rust's syntax",
        accepts: Accepts::It,
        explains: |_, ours| ours.is_err_and(|error| error.contains("error parsing regexp")),
    },
    Difference {
        reason: "it knows matchers joined by or, which are another system's",
        accepts: Accepts::It,
        explains: |query, _| query.contains("\" or "),
    },
];

/// Queries that differ and stand in none of the other tables.
const MORE: &[&str] = &[
    "1_000_000",
    "x{a=~`\\d+`}",
    "label_replace(x, \"a\", \"$1\", \"b\", `(\\w+)-.*`)",
    "info(x, {data=~\".*\"})",
    "{a=\"b\" or c=\"d\"}",
    "x{a=~\"a{1001}\"}",
    "x{a=~\"(?x) a\"}",
    "foo[0]",
    "foo @ 1e30",
    "foo{\"bar\"}",
    "{\"a\", \"b\"}",
    "rate(foo[5m] @ start() offset -1h) # comment",
];

fn any(expr: &Expr, found: impl Fn(&Expr) -> bool) -> bool {
    let mut any = false;
    expr.walk(|expr| any |= found(expr));
    any
}

fn computes_a_duration(expr: &Expr) -> bool {
    let computed = |duration: Option<&DurationExpr>| {
        duration.is_some_and(|duration| !matches!(duration.kind, DurationKind::Number(_)))
    };
    match &expr.kind {
        ExprKind::Vector(vector) => computed(vector.offset.as_ref()),
        ExprKind::Matrix(matrix) => computed(Some(&matrix.range)) || computed(matrix.vector.offset.as_ref()),
        ExprKind::Subquery(subquery) => {
            computed(Some(&subquery.range)) || computed(subquery.step.as_ref()) || computed(subquery.offset.as_ref())
        }
        _ => false,
    }
}

#[test]
fn both_parsers_agree_but_for_the_listed_differences() {
    let scripts = scripts::read();
    let expressions = scripts.iter().flat_map(|scripts| scripts.expressions.iter().map(String::as_str));
    let tables = errors::ERRORS.iter().chain(printed::PRINTED).map(|(query, _)| *query);
    let queries: BTreeSet<&str> = expressions.chain(tables).chain(MORE.iter().copied()).collect();
    let mut used = BTreeSet::new();
    let mut agreed = 0;
    for query in queries {
        let ours = parse(query, &all()).map_err(|error| error.to_string());
        let theirs = promql_parser::parser::parse(query);
        let accepts = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                // What we print is to it what was written, so that the two trees have one shape.
                let again = promql_parser::parser::parse(&ours.to_string()).map(|expr| expr.to_string());
                assert_eq!(again, Ok(theirs.to_string()), "{query:?} printed as {ours}");
                agreed += 1;
                continue;
            }
            (Err(_), Err(_)) => {
                agreed += 1;
                continue;
            }
            (Ok(_), Err(_)) => Accepts::We,
            (Err(_), Ok(_)) => Accepts::It,
        };
        let ours = ours.as_ref().map_err(String::as_str);
        let row = DIFFERENCES.iter().position(|row| row.accepts == accepts && (row.explains)(query, ours));
        let row = row
            .unwrap_or_else(|| panic!("{query:?} is accepted by {accepts:?} alone; ours: {ours:?}; its: {theirs:?}"));
        used.insert(row);
    }
    assert!(agreed > 400, "{agreed}");
    for (i, row) in DIFFERENCES.iter().enumerate() {
        assert!(used.contains(&i) || scripts.is_none(), "no longer a difference: {}", row.reason);
    }
}
