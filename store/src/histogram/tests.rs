//! Arithmetic against what Prometheus' own package gives for many histograms, and rows for what those rarely meet.

use super::*;
use crate::go_float::shortest;

/// What model/histogram of Prometheus 3.14 answers on amd64: operation, operands, results, by tabs. A histogram is its hint,
/// schema, zero threshold, zero count, count, sum, positive spans and counts, negative ones, and custom bounds.
const REFERENCE: &str = include_str!("tests/reference.txt");

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("no float: {text}"))
}

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(number).collect()
}

fn spans(text: &str) -> Vec<Span> {
    let span = |text: &str| {
        let (offset, length) = text.split_once(':').expect("a span");
        Span { offset: offset.parse().expect("an offset"), length: length.parse().expect("a length") }
    };
    text.split_whitespace().map(span).collect()
}

fn read(text: &str) -> Histogram {
    let fields: Vec<&str> = text.split('|').collect();
    let hints =
        [CounterResetHint::Unknown, CounterResetHint::Reset, CounterResetHint::NotReset, CounterResetHint::Gauge];
    Histogram {
        counter_reset_hint: hints[fields[0].parse::<usize>().expect("a hint")],
        schema: fields[1].parse().expect("a schema"),
        zero_threshold: number(fields[2]),
        zero_count: number(fields[3]),
        count: number(fields[4]),
        sum: number(fields[5]),
        positive_spans: spans(fields[6]),
        positive_buckets: numbers(fields[7]),
        negative_spans: spans(fields[8]),
        negative_buckets: numbers(fields[9]),
        custom_bounds: numbers(fields[10]),
    }
}

/// As in the reference; NaN has one text.
fn write(histogram: &Histogram) -> String {
    let numbers = |values: &[f64]| values.iter().map(|value| shortest(*value)).collect::<Vec<_>>().join(" ");
    let spans = |spans: &[Span]| {
        spans.iter().map(|span| format!("{}:{}", span.offset, span.length)).collect::<Vec<_>>().join(" ")
    };
    [
        (histogram.counter_reset_hint as u8).to_string(),
        histogram.schema.to_string(),
        shortest(histogram.zero_threshold),
        shortest(histogram.zero_count),
        shortest(histogram.count),
        shortest(histogram.sum),
        spans(&histogram.positive_spans),
        numbers(&histogram.positive_buckets),
        spans(&histogram.negative_spans),
        numbers(&histogram.negative_buckets),
        numbers(&histogram.custom_bounds),
    ]
    .join("|")
}

fn settled(result: &Result<Combined, HistogramError>) -> String {
    match result {
        Ok(combined) => format!("{} {}", combined.reset_collision, combined.bounds_reconciled),
        Err(_) => "error".into(),
    }
}

fn combined(plus: bool, a: &str, b: &str) -> [String; 2] {
    let (mut sum, other) = (read(a), read(b));
    let result = if plus { sum.add(&other) } else { sum.sub(&other) };
    sum.compact(0);
    [settled(&result), if result.is_ok() { write(&sum) } else { "none".into() }]
}

fn compensated(a: &str, b: &str, c: &str) -> [String; 3] {
    let (mut sum, mut compensation) = (read(a), None);
    let first = sum.kahan_add(&read(b), &mut compensation).expect("one kind");
    let second = sum.kahan_add(&read(c), &mut compensation).expect("one kind");
    let compensation = compensation.expect("made by then");
    let mut total = sum.clone();
    total.add(&compensation).expect("one kind");
    total.compact(0);
    let flags = format!(
        "{} {}",
        first.reset_collision || second.reset_collision,
        first.bounds_reconciled || second.bounds_reconciled
    );
    let parts = [sum.count, compensation.count, sum.sum, compensation.sum, sum.zero_count, compensation.zero_count];
    [flags, write(&total), parts.map(shortest).join(" ")]
}

fn changed(text: &str, change: impl FnOnce(&mut Histogram)) -> Vec<String> {
    let mut histogram = read(text);
    change(&mut histogram);
    vec![write(&histogram)]
}

fn listed(buckets: impl Iterator<Item = Bucket>) -> String {
    buckets.map(|bucket| format!("{bucket}@{}", bucket.index)).collect::<Vec<_>>().join(" ")
}

#[test]
fn everything_is_as_upstream_has_it() {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for row in REFERENCE.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let (found, expected) = match fields.as_slice() {
            [operation @ ("add" | "sub"), a, b, expected @ ..] => {
                (combined(*operation == "add", a, b).to_vec(), expected)
            }
            ["kahan", a, b, c, expected @ ..] => (compensated(a, b, c).to_vec(), expected),
            ["compact", n, a, expected @ ..] => (changed(a, |a| a.compact(n.parse().expect("a number"))), expected),
            ["reduce", to, a, expected @ ..] => (changed(a, |a| a.reduce_to(to.parse().expect("a schema"))), expected),
            ["trim", side, at, a, expected @ ..] => {
                let side = if *side == "upper" { Trim::Upper } else { Trim::Lower };
                (changed(a, |a| a.trim(number(at), side)), expected)
            }
            ["mul", by, a, expected @ ..] => (changed(a, |a| a.mul(number(by))), expected),
            ["div", by, a, expected @ ..] => (changed(a, |a| a.div(number(by))), expected),
            ["string", a, expected @ ..] => (vec![read(a).to_string()], expected),
            ["size", a, expected @ ..] => (vec![read(a).size_in_samples().to_string()], expected),
            ["validate", a, expected @ ..] => {
                (vec![read(a).validate().map_or_else(|error| error.to_string(), |()| "ok".into())], expected)
            }
            ["reset", a, b, expected @ ..] => (vec![read(a).detect_reset(&read(b)).to_string()], expected),
            ["buckets", a, expected @ ..] => {
                let a = read(a);
                (vec![listed(a.buckets()), listed(a.buckets_reversed())], expected)
            }
            _ => panic!("{row}"),
        };
        rows += 1;
        if found != expected {
            wrong.push(format!("{row}\n   found {}", found.join("\t")));
        }
    }
    assert!(rows > 900, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}
