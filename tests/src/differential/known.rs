//! Differences that have a reason: what changed after the oldest Prometheus that is compared with, 3.5, up to the one that
//! Masthead answers like, 3.14; and the few faults of Prometheus that Masthead does not have.
//!
//! Each row has its source: the version's entry in Prometheus' CHANGELOG.md with the number of the pull request; for a fault
//! its place. A row of the first kind is looked at only if the reference is older. Beside these rows error texts of an older
//! reference are not compared at all.

use std::collections::BTreeSet;

use masthead_query::promql::ast::{Expr, ExprKind, VectorSelector};
use masthead_query::promql::{Features, ParseOptions, parse};
use serde_json::Value;

use super::client::Reply;
use super::compare::{Difference, Kind, mentions};
use super::question::Question;

/// Minor version of the Prometheus 3 that Masthead answers like.
pub const OURS: u32 = 14;

/// Functions and the minor version that brought them; all others are older.
const SINCE: &[(&str, u32)] = &[
    // 3.12: "Add `start()`, `end()`, `range()`, and `step()` experimental functions" #17877
    ("end", 12),
    // 3.7: "Add `first_over_time(...)` and `ts_of_first_over_time(...)`" #16963 #17021
    ("first_over_time", 7),
    // 3.11: "Add experimental `histogram_quantiles` variadic function" #17285
    ("histogram_quantiles", 11),
    // 3.13: "Add `min_of(a, b)` and `max_of(a, b)` scalar experimental functions" #18687
    ("max_of", 13),
    ("min_of", 13),
    ("range", 12),
    ("start", 12),
    // 3.14: "Add experimental `start_timestamp(instant-vector)`" #19089
    ("start_timestamp", 14),
    ("step", 12),
    ("ts_of_first_over_time", 7),
];

/// The minor version that brought a function.
pub fn since(function: &str) -> u32 {
    SINCE.iter().find(|(name, _)| *name == function).map_or(0, |(_, minor)| *minor)
}

/// A question whose answers differ.
pub struct Seen<'a> {
    question: &'a Question,
    difference: &'a Difference,
    reference: &'a Reply,
    ours: &'a Reply,
}

impl Seen<'_> {
    fn mentions(&self, names: &[&str]) -> bool {
        mentions(&self.question.query, names)
    }

    /// The reference answers and Masthead refuses with this text.
    fn refused_with(&self, text: &str) -> bool {
        self.reference.status == 200 && self.ours.status != 200 && contains(self.ours, text)
    }

    fn is_value(&self) -> bool {
        matches!(self.difference.kind, Kind::Value | Kind::Series | Kind::Times | Kind::Order)
    }
}

fn contains(reply: &Reply, text: &str) -> bool {
    String::from_utf8_lossy(&reply.body).contains(text)
}

/// A difference that a later version made.
pub struct Known {
    /// What.
    pub name: &'static str,
    /// First minor version that does as Masthead.
    pub since: u32,
    /// Where that is said.
    pub source: &'static str,
    holds: fn(&Seen<'_>) -> bool,
}

/// Differences of answers.
pub const KNOWN: &[Known] = &[
    Known {
        name: "NaN as a parameter of topk and its kin",
        since: 6,
        source: "3.6.0: Fail when `NaN` is passed as parameter to `topk()`, `bottomk()`, `limitk()` and `limit_ratio()`. #16725",
        holds: |seen| seen.refused_with("Parameter value is NaN") || seen.refused_with("Ratio value is NaN"),
    },
    Known {
        name: "a parameter of topk and its kin that is no int64",
        since: 6,
        source: "3.6.0: the parameter is checked before the elements are looked at. #16725",
        holds: |seen| seen.refused_with("overflows int64"),
    },
    Known {
        name: "matching of filters",
        since: 9,
        source: "3.9.0: Check more consistently for many-to-one matching in filter binary operators. #17668",
        holds: |seen| seen.refused_with("multiple matches for labels: "),
    },
    Known {
        name: "histogram_fraction of classic histograms",
        since: 8,
        source: "3.8.0: Fix `histogram_fraction` for classic histograms and NHCB if lower bound is in the first bucket. #17424",
        holds: |seen| seen.mentions(&["histogram_fraction"]) && seen.is_value(),
    },
    Known {
        name: "info()",
        since: 12,
        source: "3.7.0 #17135, 3.8.0 #17199, 3.10.0 #17817 and #17898, 3.12.0 #17932: corrections of info()",
        holds: |seen| seen.mentions(&["info"]),
    },
    Known {
        name: "mad_over_time of NaN",
        since: 14,
        source: "3.14.0: Fix `mad_over_time` returning 0 instead of `NaN` when the range contains a `NaN` sample. #19040",
        holds: |seen| seen.mentions(&["mad_over_time"]) && seen.is_value(),
    },
    Known {
        name: "case-insensitive matchers",
        since: 14,
        source: "3.14.0: Fix case-insensitive regex label matchers silently dropping matching values. #19167",
        holds: |seen| seen.question.query.contains("(?i"),
    },
    Known {
        name: "equal labels at different times",
        since: 9,
        source: "3.9.0: Fix collision in unary negation #17708 and in label_join and label_replace with non-overlapping series. #17703",
        holds: |seen| seen.ours.status == 200 && contains(seen.reference, "same labelset"),
    },
    Known {
        name: "start(), end(), range() and step() where a name was expected",
        since: 12,
        source: "3.12.0: Add `start()`, `end()`, `range()`, and `step()` experimental functions. #17877",
        holds: |seen| {
            seen.difference.kind == Kind::Refusal
                && seen.reference.status == 400
                && seen.mentions(&["start", "end", "range", "step"])
        },
    },
    Known {
        name: "names after last_over_time of a subquery",
        since: 12,
        source: "3.12.0: Fix metric name not being dropped when last_over_time or first_over_time is applied to subqueries. #18409",
        holds: |seen| seen.mentions(&["last_over_time"]) && seen.is_value(),
    },
    Known {
        name: "durations that are no number",
        since: 12,
        source: "3.12.0: Reject NaN, infinite, and out-of-range duration expressions. #18639",
        holds: |seen| seen.refused_with("duration out of range"),
    },
    Known {
        name: "line breaks in brackets",
        since: 6,
        source: "3.6.0: Add `step()`, and `min()` and `max()` on durations. #16777",
        holds: |seen| seen.refused_with("unexpected character") && seen.question.query.contains('\n'),
    },
];

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
];

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

/// Why an answer may differ from that of a reference of version 3.`minor`: the name of a row.
pub fn reason(
    minor: u32,
    question: &Question,
    difference: &Difference,
    reference: &Reply,
    ours: &Reply,
) -> Option<&'static str> {
    let seen = Seen { question, difference, reference, ours };
    if let Some(known) = KNOWN.iter().find(|known| minor < known.since && (known.holds)(&seen)) {
        return Some(known.name);
    }
    let features = Features::ALL;
    let expr = parse(&question.query, &ParseOptions { features, ..ParseOptions::default() }).ok()?;
    FAULTS.iter().find(|fault| any(&expr, |part| (fault.holds)(&seen, part))).map(|fault| fault.name)
}

/// An annotation whose text changed.
struct Rewrite {
    /// First minor version that has Masthead's text.
    since: u32,
    /// The text as it is compared, or none if it is not.
    rewritten: fn(&str) -> Option<String>,
}

const REWRITES: &[Rewrite] = &[
    // 3.12.0: Emit a warning when `sort`, `sort_by_label` or `sort_by_label_desc` is used within range queries. #18498
    Rewrite { since: 12, rewritten: |text| (!text.contains("sort is ineffective")).then(|| text.to_owned()) },
    // 3.7.0: Avoid empty metric names in annotations for `histogram_quantile()`. #16794
    Rewrite {
        since: 7,
        rewritten: |text| {
            // Without the name two annotations are one, with the position of either.
            let named = text.contains("bucket label") || text.contains("monotonicity");
            Some(if named { unplaced(&without(text, " for metric name \"", "\"")) } else { text.to_owned() })
        },
    },
    // 3.10.0: Add more detail to histogram quantile monotonicity info annotations. #15578
    Rewrite {
        since: 10,
        rewritten: |text| {
            let long = text.contains("monotonicity");
            Some(if long { unplaced(text.split(", from buckets").next().unwrap_or(text)) } else { text.to_owned() })
        },
    },
    // 3.7.0: Move more work to preprocessing step. #16896: parentheses around the parameter count no more
    Rewrite {
        since: 7,
        rewritten: |text| {
            let quantile = text.contains("quantile value should be between 0 and 1");
            Some(if quantile { unplaced(text) } else { text.to_owned() })
        },
    },
];

/// `text` without the first part from `start` to `end`.
fn without(text: &str, start: &str, end: &str) -> String {
    let Some((before, rest)) = text.split_once(start) else { return text.to_owned() };
    let Some((_, after)) = rest.split_once(end) else { return text.to_owned() };
    format!("{before}{after}")
}

/// `text` without the position at its end.
fn unplaced(text: &str) -> String {
    text.rsplit_once(" (").map_or(text, |(text, _)| text).to_owned()
}

/// Whether two lists of annotations, of a reference of version 3.`minor` and of Masthead, are the same set. Of more than ten
/// it is chance which ten are given: then their number counts, if the reference makes the same ones.
pub fn same_annotations(theirs: &Value, mine: &Value, minor: u32) -> bool {
    let omitted = |list: &Value| {
        let mut texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.find(|text| text.ends_with(" annotations omitted")).map(str::to_owned)
    };
    match (omitted(theirs), omitted(mine)) {
        (None, None) => annotations(theirs, minor) == annotations(mine, minor),
        (theirs, mine) => theirs == mine || minor < OURS,
    }
}

/// A list of annotations as the set that is compared with one of version 3.`minor`.
fn annotations(list: &Value, minor: u32) -> BTreeSet<String> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let rewrites = || REWRITES.iter().filter(|rewrite| minor < rewrite.since);
    let rewritten = |text: &str| rewrites().try_fold(text.to_owned(), |text, rewrite| (rewrite.rewritten)(&text));
    texts.filter_map(rewritten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::question::Times;

    /// Rows are for older references only, and each says where its change is written down.
    #[test]
    fn rows_have_sources_and_an_end() {
        for known in KNOWN {
            assert!(known.source.contains('#') && known.source.starts_with("3."), "{}", known.name);
            assert!((6..=OURS).contains(&known.since), "{}", known.name);
        }
        let question = Question { query: "mad_over_time(x[5m])".to_owned(), times: Times::Instant(0) };
        let difference = Difference { kind: Kind::Value, text: String::new() };
        let reply = Reply { status: 200, body: "{}".into() };
        let known = |minor| reason(minor, &question, &difference, &reply, &reply).is_some();
        assert_eq!((known(5), known(13), known(14)), (true, true, false));
    }

    /// A fault is one in its own place only.
    #[test]
    fn faults_are_found_in_expressions() {
        let difference = Difference { kind: Kind::Value, text: String::new() };
        let reply = Reply { status: 200, body: "{}".into() };
        let fault = |query: &str| {
            let question = Question { query: query.to_owned(), times: Times::Instant(0) };
            reason(OURS, &question, &difference, &reply, &reply)
        };
        let of = |at: usize| Some(FAULTS[at].name);
        assert_eq!(fault("sum(topk(scalar(a @ 5), b))"), of(0));
        assert_eq!(fault("abs(timestamp((a offset 5m @ end())))"), of(1));
        for query in ["topk(2, b @ 5)", "timestamp(a @ 5)", "timestamp(a offset 5m)", "a @ 5 offset 5m", "sum(("] {
            assert_eq!(fault(query), None, "{query}");
        }
        assert!(FAULTS.iter().all(|fault| fault.source.starts_with("promql/")));
    }

    /// What a version changed in a text is left out for older ones, and nothing for the same one.
    #[test]
    fn annotations_are_compared_as_far_as_versions_agree() {
        let old = serde_json::json!([
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" for metric name \"h\" (1:5)",
            "PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)"
        ]);
        let new = serde_json::json!([
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" (1:5)",
            "PromQL warning: quantile value should be between 0 and 1, got 2 (1:21)",
            "PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:1)"
        ]);
        assert!(same_annotations(&old, &new, 5));
        assert!(!same_annotations(&old, &new, 14) && same_annotations(&new, &new, 14));
        assert_eq!(annotations(&new, 14).len(), 3);
        let many = |count: usize| serde_json::json!(["a", format!("{count} more warning annotations omitted")]);
        assert!(same_annotations(&many(2), &many(2), 14) && !same_annotations(&many(2), &many(3), 14));
    }
}
