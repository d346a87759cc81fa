//! The language as a whole: Prometheus' own cases, its test scripts, the limits, and a second parser as oracle.

use std::fmt::Write as _;

use masthead_query::promql::ast::{DurationExpr, DurationKind, Expr, ExprKind, Span};
use masthead_query::promql::series::parse_series;
use masthead_query::promql::{Features, Limits, ParseOptions, parse, parse_counted};

#[path = "promql_language/errors.rs"]
mod errors;
#[path = "promql_language/oracle.rs"]
mod oracle;
#[path = "promql_language/printed.rs"]
mod printed;
#[path = "promql_language/scripts.rs"]
mod scripts;

fn all() -> ParseOptions {
    ParseOptions { features: Features::ALL, limits: Limits::default() }
}

#[test]
fn what_prometheus_refuses_is_refused_in_its_words() {
    let mut wrong = String::new();
    for (query, error) in errors::ERRORS {
        match parse(query, &all()) {
            Ok(expr) => writeln!(wrong, "{query:?} is accepted as {expr}").unwrap(),
            Err(found) if found.to_string() == *error => {}
            Err(found) => writeln!(wrong, "{query:?}\n  wanted {error}\n  found  {found}").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_prometheus_accepts_is_printed_as_it_does_and_round_trips() {
    for (query, printed) in printed::PRINTED {
        let expr = parse(query, &all()).unwrap_or_else(|error| panic!("{query:?}: {error}"));
        assert_eq!(expr.to_string(), *printed, "{query:?}");
        check_round_trip(query, &expr);
    }
}

/// Prints, parses again and expects the same tree but for its places.
fn check_round_trip(query: &str, expr: &Expr) {
    let printed = expr.to_string();
    let again = parse(&printed, &all()).unwrap_or_else(|error| panic!("{query:?} printed as {printed:?}: {error}"));
    assert_eq!(shape(expr), shape(&again), "{query:?} printed as {printed:?}");
}

/// The tree without places, and with matchers in the order in which they are printed. Text, in which NaN equals NaN.
fn shape(expr: &Expr) -> String {
    let mut expr = expr.clone();
    expr.walk_mut(|expr| {
        expr.span = Span::default();
        match &mut expr.kind {
            ExprKind::Vector(vector) => {
                vector.matchers.sort_by_key(ToString::to_string);
                vector.offset.iter_mut().for_each(forget_span);
            }
            ExprKind::Matrix(matrix) => {
                matrix.vector_span = Span::default();
                matrix.vector.matchers.sort_by_key(ToString::to_string);
                matrix.vector.offset.iter_mut().for_each(forget_span);
                forget_span(&mut matrix.range);
            }
            ExprKind::Subquery(subquery) => {
                forget_span(&mut subquery.range);
                subquery.step.iter_mut().chain(&mut subquery.offset).for_each(forget_span);
            }
            _ => {}
        }
    });
    format!("{expr:?}")
}

fn forget_span(expr: &mut DurationExpr) {
    expr.span = Span::default();
    match &mut expr.kind {
        DurationKind::Number(_) | DurationKind::Step | DurationKind::Range => {}
        DurationKind::Unary(_, inner) | DurationKind::Paren(inner) => forget_span(inner),
        DurationKind::MinOf(a, b) | DurationKind::MaxOf(a, b) | DurationKind::Binary(_, a, b) => {
            forget_span(a);
            forget_span(b);
        }
    }
}

#[test]
fn every_expression_and_series_of_the_test_scripts_parses() {
    let Some(scripts) = scripts::read() else { return };
    assert_eq!(scripts.files, 15);
    assert_eq!(scripts.expressions.len(), 1861, "evals");
    assert!(scripts.series.len() > 3000, "series: {}", scripts.series.len());
    for query in &scripts.expressions {
        let expr = parse(query, &all()).unwrap_or_else(|error| panic!("{query}: {error}"));
        check_round_trip(query, &expr);
    }
    for line in &scripts.series {
        parse_series(line, &all()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

/// Queries that grow in one way each, `n` times.
fn growing(n: usize) -> Vec<(&'static str, String)> {
    let wrap = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
    vec![
        ("parentheses", wrap("(", "1", ")")),
        ("calls", wrap("abs(", "a", ")")),
        ("aggregations", wrap("sum by (x) (", "a", ")")),
        ("aggregations with the labels behind", wrap("sum(", "a", ") by (x)")),
        ("signs", wrap("-", "a", "")),
        ("signs of a number", wrap("- ", "1", "")),
        ("powers", wrap("a ^ ", "a", "")),
        ("sums", wrap("a + ", "a", "")),
        ("mixed operators", wrap("a or b + c * d ^ ", "a", "")),
        ("subqueries", wrap("", "a", "[1m:]")),
        ("durations in parentheses", format!("a[{}]", wrap("(", "1m", ")"))),
        ("sums of durations", format!("a[{}]", wrap("1m + ", "1m", ""))),
        ("powers of durations", format!("a[{}]", wrap("1 ^ ", "1m", ""))),
        ("signs of durations", format!("a[{}]", wrap("-", "step()", ""))),
        ("choices of durations", format!("a[{}]", wrap("min_of(1m, ", "1m", ")"))),
        ("offsets with signs", format!("a offset {}", wrap("-", "step()", ""))),
        ("offsets in parentheses", format!("a offset {}", wrap("(", "1m", ")"))),
        ("closing parentheses", wrap("", "a", ")")),
        ("open braces", wrap("{", "", "")),
        ("open brackets", wrap("a[", "", "")),
        ("open parentheses", wrap("(", "", "")),
    ]
}

#[test]
fn nothing_overflows_the_stack() {
    // Test threads have 2 MiB, as tokio's have; said here so that it stays true.
    let checks = || {
        for n in [5_000, 20_000, 60_000] {
            for (what, query) in growing(n) {
                let found = parse(&query, &all());
                assert!(found.is_err(), "{n} {what}");
                let deepest = Limits { depth: usize::MAX, bytes: usize::MAX, terms: usize::MAX, ..Limits::default() };
                assert!(
                    parse(&query, &ParseOptions { features: Features::ALL, limits: deepest }).is_err(),
                    "{n} {what}"
                );
            }
        }
        // What the highest limit lets through can be used and dropped.
        let deepest =
            ParseOptions { features: Features::ALL, limits: Limits { depth: usize::MAX, ..Limits::default() } };
        let mut accepted = 0;
        for (what, query) in growing(Limits::DEPTH_MAX - 2) {
            if let Ok(expr) = parse(&query, &deepest) {
                accepted += 1;
                assert_eq!(expr.clone(), expr, "{what}");
                assert_eq!(parse(&expr.to_string(), &deepest).map(|expr| expr.to_string()), Ok(expr.to_string()));
                let mut nodes = 0;
                expr.walk(|_| nodes += 1);
                assert!(nodes > 0 && shape(&expr).len() > nodes && !expr.value_type().as_str().is_empty());
            }
        }
        assert!(accepted >= 12, "{accepted}");
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(checks);
    thread.expect("a thread starts").join().expect("no check fails");
}

#[test]
fn limits_are_named() {
    let limited = |limits: Limits| ParseOptions { features: Features::ALL, limits };
    for (query, limits, error) in [
        (
            "a + b",
            Limits { bytes: 4, ..Limits::default() },
            "1:1: parse error: the query has 5 bytes, the limit is 4 bytes",
        ),
        (
            "((((1))))",
            Limits { depth: 4, ..Limits::default() },
            "1:4: parse error: the query nests deeper than the limit of 4 levels",
        ),
        (
            "a + b + c + d",
            Limits { depth: 3, ..Limits::default() },
            "1:1: parse error: the query nests deeper than the limit of 3 levels",
        ),
        (
            "sum by (a, b) (c)",
            Limits { terms: 3, ..Limits::default() },
            "1:1: parse error: the query has more terms than the limit of 3",
        ),
        (
            "a{b=\"c\",d=\"e\"}",
            Limits { terms: 1, ..Limits::default() },
            "1:9: parse error: the query has more terms than the limit of 1",
        ),
    ] {
        assert_eq!(parse(query, &limited(limits)).unwrap_err().to_string(), error);
        assert!(parse(query, &all()).is_ok(), "{query}");
    }
    // A chain of 499 operators is the longest by default, and 2 nodes short of the limit on terms nothing is wrong.
    assert!(parse(&vec!["a"; 500].join(" + "), &all()).is_ok());
    assert!(parse(&vec!["a"; 501].join(" + "), &all()).is_err());
    assert!(parse(&format!("label_join(a, {})", vec!["\"b\""; 19_900].join(",")), &all()).is_ok());
}

#[test]
fn a_long_alternation_passes() {
    let mut pods = String::new();
    for i in 0.. {
        if pods.len() > 300_000 {
            break;
        }
        write!(pods, "pod-{i:07}|").unwrap();
    }
    let query = format!("sum(rate(x{{pod=~\"{}\"}}[5m]))", pods.trim_end_matches('|'));
    let expr = parse(&query, &all()).unwrap();
    assert_eq!(expr.to_string(), query);
}

#[test]
fn work_grows_with_the_length() {
    let limits = Limits { bytes: 8 << 20, depth: Limits::DEPTH_MAX, terms: 1 << 22, ..Limits::default() };
    let options = ParseOptions { features: Features::ALL, limits };
    let repeated = |n: usize| {
        let listed = |item: &str| vec![item; n].join(",");
        vec![
            format!("label_join(a, {})", listed("\"b\"")),
            format!("a{{{}}}", listed("b=~\"c.*\"")),
            format!("sum by ({}) (a)", listed("b")),
            format!("a + on ({}) group_left ({}) b", listed("c"), listed("d")),
            format!("label_join(a, {})", listed("fill   ")),
            format!("label_join(a, \"{}\")", "\\n".repeat(n)),
            format!(
                "label_join(a, {})",
                listed("sum by (x) (rate(y[5m:1m+step()] offset -1m)) * on (a) fill (1) c{d=\"e\"}")
            ),
            format!("a {}", "# x\n".repeat(n)),
            format!("a{}b", " ".repeat(n)),
            format!("a offset {}", "-".repeat(n)),
            "(".repeat(n),
            "1".repeat(n),
            "a".repeat(n),
            "a[1m:1m][".repeat(n),
        ]
    };
    let n = 2_000;
    for (once, twice) in repeated(n).iter().zip(&repeated(2 * n)) {
        let (a, b) = (parse_counted(once, &options).1, parse_counted(twice, &options).1);
        // A few steps of the frame, which does not grow.
        let linear = |a: u64, b: u64| b <= 2 * a + 64;
        assert!(linear(a.lexer, b.lexer) && linear(a.parser, b.parser), "{}: {a:?} {b:?}", &once[..40.min(once.len())]);
        assert!(b.lexer <= 8 * twice.len() as u64 + 64, "{b:?} for {} bytes", twice.len());
    }
}
