//! Parser, printer and checks together.

use super::*;

fn all() -> ParseOptions {
    ParseOptions { features: Features::ALL, limits: Limits::default() }
}

/// Parses `query`, prints it, parses what was printed and expects the same print again.
fn check_print(query: &str, printed: &str) {
    let expr = parse(query, &all()).unwrap_or_else(|error| panic!("{query}: {error}"));
    assert_eq!(expr.to_string(), printed, "{query}");
    let again = parse(printed, &all()).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(again.to_string(), printed, "{query}");
}

fn check_error(query: &str, error: &str) {
    match parse(query, &all()) {
        Ok(expr) => panic!("{query:?} is accepted as {expr}"),
        Err(found) => assert_eq!(found.to_string(), error, "{query:?}"),
    }
}

#[test]
fn precedence_and_signs_are_those_of_prometheus() {
    for (query, printed) in [
        ("1 + 2 * 3 ^ 4 ^ 5", "1 + 2 * 3 ^ 4 ^ 5"),
        ("-1^2", "-1 ^ 2"),
        ("-5m", "-5m"),
        ("--1", "1"),
        ("a or b and c unless d == e + f", "a or b and c unless d == e + f"),
        ("foo offset -1^1", "foo offset -1s ^ 1"),
        ("foo offset 1m * 2", "foo offset 1m * 2"),
        ("foo offset (1m) + 3", "foo offset (1m) + 3"),
        ("foo[300]", "foo[5m]"),
        ("foo[((5m))] @ 1.5 offset -(1m)", "foo[(5m)] @ 1.500 offset -(1m)"),
        ("sum(x) by (a, \"b c\",)", "sum by (a, \"b c\") (x)"),
        ("a / on (x) group_left fill(0) b", "a / on (x) group_left () fill (0) b"),
        ("{\"a b\", c=\"d\"}", "{__name__=\"a b\",c=\"d\"}"),
    ] {
        check_print(query, printed);
    }
}

#[test]
fn errors_are_those_of_prometheus() {
    for (query, error) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("rate(up[5m", "1:11: parse error: unclosed left parenthesis"),
        ("a +\n )", "2:3: parse error: unexpected right parenthesis ')'"),
        ("sum 5", "1:5: parse error: unexpected number \"5\""),
        ("foo[1m 2m]", "1:8: parse error: unexpected duration \"2m\" in subquery or range, expected \":\" or \"]\""),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("rate(up)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
    ] {
        check_error(query, error);
    }
}

#[test]
fn features_are_off_by_default() {
    for (query, error) in [
        ("info(x)", "1:1: parse error: function \"info\" is not enabled"),
        (
            "limitk(1, x)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
        ("x anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("a + fill(0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        assert_eq!(parse(query, &ParseOptions::default()).unwrap_err().to_string(), error);
        assert!(parse(query, &all()).is_ok(), "{query}");
    }
}

#[test]
fn selectors_are_parsed_alone() {
    let matchers = parse_selector("up{job!=\"a\",\"b c\"=\"d\"}", &ParseOptions::default()).unwrap();
    let shown: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["job!=\"a\"", "\"b c\"=\"d\"", "__name__=\"up\""]);
    assert!(parse_selector("{}", &ParseOptions::default()).unwrap().is_empty());
    assert_eq!(
        parse_selector("up[5m]", &ParseOptions::default()).unwrap_err().to_string(),
        "1:3: parse error: unexpected \"[\""
    );
}

#[test]
fn spans_are_byte_ranges_of_the_query() {
    let expr = parse("sum(rate(é_not[5m]))", &all());
    assert!(expr.is_err());
    let query = "sum by (x) (rate(up[5m] offset 1m)) / 2";
    let expr = parse(query, &all()).unwrap();
    let mut seen = Vec::new();
    expr.walk(|expr| seen.push(&query[expr.span.start as usize..expr.span.end as usize]));
    assert_eq!(seen, [query, "sum by (x) (rate(up[5m] offset 1m))", "rate(up[5m] offset 1m)", "up[5m] offset 1m", "2"]);
}

#[test]
fn regular_expressions_are_compiled_once_and_within_a_limit() {
    let matchers = |make: &dyn Fn(usize) -> String, count: usize| {
        let matchers: Vec<String> = (0..count).map(|i| format!("l{i}{}", make(i))).collect();
        parse(&format!("a{{{}}}", matchers.join(",")), &all())
    };
    let large = "[a-z]{500}[0-9]*".repeat(30);
    assert!(matchers(&|i| format!("{}'{large}'", if i % 2 == 0 { "=~" } else { "!~" }), 900).is_ok());
    let error = matchers(&|i| format!("=~'{large}{i}'"), 900).unwrap_err();
    assert_eq!(error.message, "the regular expressions of the query take more memory than the limit of 67108864 bytes");
}
