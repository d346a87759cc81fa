//! Plans of literal queries.

use super::*;

fn options() -> PlanOptions {
    let parse = promql::ParseOptions { features: promql::Features::ALL, ..Default::default() };
    PlanOptions { parse, ..PlanOptions::default() }
}

fn explain(expression: &str) -> String {
    let timeline = Timeline { start: 600_000, step: 60_000, count: 11 };
    plan(expression, timeline, &options()).unwrap().explain()
}

/// What a query reads: windows are open to the left, `@` fixes the time before the offset, and equal selects come once.
#[test]
fn selects_cover_the_windows() {
    let rows: &[(&str, &[(i64, i64)])] = &[
        ("x", &[(300_001, 1_200_000)]),
        ("x offset 1m", &[(240_001, 1_140_000)]),
        ("x offset -1m", &[(360_001, 1_260_000)]),
        ("rate(x[2m])", &[(480_001, 1_200_000)]),
        ("rate(x[2m] @ 300 offset 1m)", &[(120_001, 240_000)]),
        ("x @ end()", &[(900_001, 1_200_000)]),
        ("rate(x[2m] anchored)", &[(180_001, 1_200_000)]),
        ("rate(x[2m] smoothed)", &[(180_001, 1_500_000)]),
        ("x smoothed", &[(300_001, 1_500_000)]),
        ("x + x", &[(300_001, 1_200_000)]),
        ("x + y", &[(300_001, 1_200_000), (300_001, 1_200_000)]),
        // The grid of the subquery: multiples of 2m after 480s.
        ("max_over_time(x[2m:2m])", &[(300_001, 1_200_000)]),
        ("max_over_time(x[5m:7m])", &[(120_001, 840_000)]),
        ("max_over_time(x[10s:7m] @ 0)", &[(-299_999, 0)]),
        ("max_over_time(x[10s:7m] @ 100)", &[]),
        ("max_over_time(x[10m:3m] @ 0)", &[(-839_999, 0)]),
        ("time() + 1", &[]),
    ];
    for (expression, expected) in rows {
        let planned = plan(expression, Timeline { start: 600_000, step: 60_000, count: 11 }, &options()).unwrap();
        let times: Vec<_> = planned.selects.iter().map(|select| (select.min_time, select.max_time)).collect();
        assert_eq!(times, *expected, "{expression}");
    }
}

#[test]
fn what_does_not_depend_on_the_step_is_wrapped_once() {
    for (expression, expected) in [
        ("x @ 5", 1),
        ("sum(x @ 5) + y", 1),
        ("sum(x @ 5) + y @ 6", 1),
        ("x @ 5 + time()", 1),
        ("x + 1", 0),
        ("1 + 1", 1),
        ("predict_linear(x[5m] @ 5, 60)", 0),
        ("rate(x[5m] @ 5)", 1),
        ("timestamp(x @ 5)", 1),
        ("timestamp(-x @ 5)", 1),
        ("sum_over_time((x @ 5)[5m:1m])", 1),
        ("vector(1)", 1),
        ("quantile(scalar(y), x @ 5)", 1),
        ("topk(scalar(y @ 5), x)", 0),
    ] {
        assert_eq!(explain(expression).matches("once for all").count(), expected, "{}", explain(expression));
    }
    assert!(explain("timestamp(-x @ 5)").starts_with("map timestamp"), "the time of the step counts");
}

#[test]
fn sets_narrow_their_bare_sides_only() {
    for (expression, selects) in [
        (r#"a{x="1"} and on (x) b"#, vec![r#"{x="1", __name__="a"}"#, r#"{__name__="b", x="1"}"#]),
        (r#"a and on (x) rate(b{x="1"}[5m])"#, vec![r#"{__name__="a", x="1"}"#, r#"{x="1", __name__="b"}"#]),
        (r#"a{x="1"} unless b"#, vec![r#"{x="1", __name__="a"}"#, r#"{__name__="b", x="1"}"#]),
        (r#"a unless b{x="1"}"#, vec![r#"{__name__="a"}"#, r#"{x="1", __name__="b"}"#]),
        (r#"a{x="1"} and ignoring (x) b"#, vec![r#"{x="1", __name__="a"}"#, r#"{__name__="b"}"#]),
        (r#"a{x="1"} and on (x) rate(b[5m])"#, vec![r#"{x="1", __name__="a"}"#, r#"{__name__="b"}"#]),
        (r#"a{x="1"} or b"#, vec![r#"{x="1", __name__="a"}"#, r#"{__name__="b"}"#]),
        (r#"a{x="1"} / on (x) b"#, vec![r#"{x="1", __name__="a"}"#, r#"{__name__="b"}"#]),
        (r#"a{x=~"1"} and b"#, vec![r#"{x=~"1", __name__="a"}"#, r#"{__name__="b"}"#]),
    ] {
        let text = explain(expression);
        let found: Vec<&str> = text.lines().filter_map(|line| line.split_once(": ")).map(|(_, rest)| rest).collect();
        let found: Vec<&str> = found.iter().map(|rest| &rest[..=rest.rfind('}').unwrap()]).collect();
        assert_eq!(found, selects, "{expression}");
    }
}

/// Rows have lost their replica labels when they meet, so what one side selects by them says nothing of the other.
#[test]
fn replica_labels_narrow_nothing() {
    let options = PlanOptions { replica_labels: vec!["replica".into()], ..options() };
    for expression in [
        r#"a{replica="b", x="1"} offset 3h and b"#,
        r#"b and a{replica="b", x="1"}"#,
        r#"a{replica="b", x="1"} unless b"#,
        r#"a{replica="b", x="1"} and on (replica, x) b"#,
    ] {
        let planned = plan(expression, Timeline::instant(0), &options).unwrap();
        let b = planned
            .selects
            .iter()
            .find(|select| select.matchers.iter().any(|m| m.value() == "b" && m.name() != "replica"));
        let names: Vec<&str> = b.unwrap().matchers.iter().map(|m| m.name()).collect();
        assert_eq!(names, ["__name__", "x"], "{expression}");
    }
}

#[test]
fn wrong_queries_are_refused_with_prometheus_texts() {
    let text = |expression: &str| plan(expression, Timeline::instant(0), &options()).unwrap_err();
    for (expression, expected) in [
        ("x[5m]", "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"),
        ("\"a\"", "invalid expression type \"string\" for range query, must be Scalar or instant Vector"),
        ("rate(up[1m-2m])", "8:13: duration must be greater than 0"),
        ("rate(up[1m/(step()-step())])", "8:25: division by zero"),
    ] {
        assert!(
            matches!(text(expression), QueryError::Invalid(have) if have == expected),
            "{expression}: {}",
            text(expression)
        );
    }
    for (expression, expected) in [
        (r#"label_replace(x, "", "", "a", "b")"#, "invalid destination label name in label_replace(): "),
        (r#"label_replace(x, "a", "", "a", "(")"#, "invalid regular expression in label_replace(): ("),
        (r#"label_join(x, "", "", "a")"#, "invalid destination label name in label_join(): "),
        (r#"label_replace(x, "\xff", "", "a", "b")"#, "invalid destination label name in label_replace(): \u{fffd}"),
        (r#"label_join(x, "b", "", "\xff")"#, "invalid source label name in label_join(): \u{fffd}"),
        (r#"count_values("", x)"#, "invalid label name \"\""),
        (r#"count_values("a\xc5z", x)"#, r#"invalid label name "a\xc5z""#),
        (
            "deriv(x[5m] anchored)",
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with deriv",
        ),
        ("irate(x[5m] smoothed)", "smoothed modifier can only be used with: delta, increase, rate - not with irate"),
    ] {
        assert!(
            matches!(text(expression), QueryError::Execution(have) if have == expected),
            "{expression}: {}",
            text(expression)
        );
    }
}

#[test]
fn durations_and_times_of_the_query_are_constants() {
    let instant = PlanOptions { instant: true, ..options() };
    let root = |expression: &str, timeline, options: &PlanOptions| plan(expression, timeline, options).unwrap().root;
    let range = Timeline { start: 10_000, step: 4_000, count: 3 };
    for (function, at_once, over_range) in
        [("start()", 7.5, 10.0), ("end()", 7.5, 20.0), ("range()", 0.0, 10.0), ("step()", 0.0, 4.0)]
    {
        assert_eq!(root(function, Timeline::instant(7_500), &instant), Plan::Number(at_once), "{function}");
        let options = PlanOptions { end: Some(20_000), ..options() };
        assert_eq!(root(function, range, &options), Plan::Number(over_range), "{function}");
    }
    let planned = plan("rate(x[step()*2 + 1s])", range, &options()).unwrap();
    assert_eq!((planned.selects[0].min_time, planned.selects[0].max_time), (1_001, 18_000));
}

/// Functions that drop names check for rows that get equal by it only where names can differ.
#[test]
fn duplicates_are_looked_for_only_where_they_can_be() {
    for (expression, expected) in [
        ("rate(x[5m])", 0),
        (r#"rate({job="a"}[5m])"#, 1),
        (r#"abs({__name__=~"a|b"})"#, 1),
        (r#"abs(rate({__name__=~"a|b"}[5m]))"#, 1),
        (r#"sum by (job) ({__name__=~"a|b"})"#, 0),
        (r#"-sum by (__name__) ({__name__=~"a|b"})"#, 1),
        ("-(a or b)", 1),
        (r#"label_replace(x, "a", "b", "c", "d")"#, 1),
        (r#"histogram_quantile(0.5, x)"#, 0),
        (r#"histogram_quantiles(x, "q", 0.5)"#, 1),
        (r#"-histogram_quantiles(x, "__name__", 0.5, 0.9)"#, 2),
        ("a + b", 0),
        ("a + on (__name__) b", 1),
        ("-(a * on (i) group_left () b)", 0),
        ("-(a * on (i) group_left (__name__) b)", 1),
    ] {
        assert_eq!(explain(expression).matches("refuse duplicates").count(), expected, "{}", explain(expression));
    }
    let typed = PlanOptions { type_and_unit_labels: true, ..options() };
    for (expression, expected) in [("a + b", 1), ("a + on (i) b", 0), ("a + ignoring (__type__, __unit__) b", 0)] {
        let text = plan(expression, Timeline::instant(0), &typed).unwrap().explain();
        assert_eq!(text.matches("refuse duplicates").count(), expected, "{text}");
        let delayed = PlanOptions { delayed_name_removal: true, ..typed.clone() };
        let text = plan(expression, Timeline::instant(0), &delayed).unwrap().explain();
        assert_eq!(text.matches("refuse duplicates").count(), 0, "{text}");
    }
    let text = plan("abs(sum without (n) (a))", Timeline::instant(0), &typed).unwrap().explain();
    assert_eq!(text.matches("refuse duplicates").count(), 1, "{text}");
}

/// Buckets of native histograms may be left out where only counts and sums are wanted, and nothing between needs them.
#[test]
fn buckets_are_left_out_where_nobody_wants_them() {
    for (expression, expected) in [
        ("x", 0),
        ("histogram_count(x)", 1),
        ("histogram_avg(sum(rate(x[5m])))", 1),
        ("histogram_sum(x) / histogram_count(y)", 2),
        ("histogram_quantile(0.5, x) + histogram_count(x)", 1),
        ("histogram_count(x) * y", 1),
        ("histogram_stddev(x)", 0),
        ("histogram_count(x </ 5)", 0),
        ("histogram_count((x >/ y) + z)", 1),
        ("histogram_count(increase(x[5m:1m]))", 0),
        ("sum_over_time(histogram_count(x)[5m:1m])", 0),
        ("histogram_quantile(scalar(histogram_count(x)), y)", 0),
        ("histogram_fraction(0, 1, sum(x))", 0),
    ] {
        let explained = explain(expression);
        assert_eq!(explained.matches(" without buckets").count(), expected, "{expression}:\n{explained}");
    }
}
