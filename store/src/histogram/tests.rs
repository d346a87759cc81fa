//! Arithmetic against what Prometheus' own package gives for many histograms, and rows for what those rarely meet.

use super::*;
use crate::go_float::shortest;

/// What model/histogram of Prometheus 3.14 answers on amd64: operation, operands, results, by tabs. A histogram is its
/// hint, schema, zero threshold, zero count, count, sum, positive spans and counts, negative ones, and custom bounds.
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
        positive_spans: spans(fields[6]).into(),
        positive_buckets: numbers(fields[7]),
        negative_spans: spans(fields[8]).into(),
        negative_buckets: numbers(fields[9]),
        custom_bounds: numbers(fields[10]).into(),
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
    let mut all = Sum::new(read(a));
    let first = all.add(&read(b)).expect("one kind");
    let second = all.add(&read(c)).expect("one kind");
    let (sum, compensation) = (all.value().clone(), all.lost().expect("made by then").clone());
    let mut total = all.total();
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

fn push_span(histogram: &mut Histogram, at: usize, span: Span) {
    let mut spans = histogram.positive_spans.to_vec();
    spans.insert(at, span);
    histogram.positive_spans = spans.into();
}

/// Bytes from outside may give layouts that fit nothing. Whatever comes out, nothing panics and nothing hangs.
#[test]
fn broken_layouts_do_no_harm() {
    let sound = [
        "0|1|0.001|2|20|5|-3:2 1:3|1 2 3 4 5|0:2|1 2|",
        "0|0|1|2|20|5|0:1|1|0:1|3|",
        "1|-53|0|0|6|5|0:3|1 2 3|||1 2",
        "2|-53|0|0|6|5|1:2|1 2|||2 7 9",
    ];
    let breaks: [fn(&mut Histogram); 9] = [
        |_| {},
        |h| h.positive_spans = [].into(),
        |h| _ = h.positive_buckets.pop(),
        |h| h.positive_buckets.extend([7.0; 4]),
        |h| push_span(h, 0, Span { offset: i32::MIN, length: u32::MAX }),
        |h| push_span(h, h.positive_spans.len(), Span { offset: i32::MAX, length: 3 }),
        |h| h.negative_buckets.push(4.0),
        |h| h.zero_threshold = f64::NAN,
        |h| h.custom_bounds = [].into(),
    ];
    let all: Vec<Histogram> = sound
        .iter()
        .flat_map(|text| {
            breaks.iter().map(|make| {
                let mut histogram = read(text);
                make(&mut histogram);
                histogram
            })
        })
        .collect();
    let mut seen = 0;
    for a in &all {
        for schema in [-4, 0] {
            a.clone().reduce_to(schema);
        }
        for side in [Trim::Upper, Trim::Lower] {
            a.clone().trim(1.5, side);
        }
        a.clone().compact(3);
        seen += a.buckets().count() + a.buckets_reversed().count() + a.to_string().len();
        _ = a.validate();
        for b in &all {
            _ = a.clone().sub(b);
            let mut sum = Sum::new(a.clone());
            for (next, factor) in [(b, 0.5), (a, -2.0), (b, 0.0)] {
                if sum.add(next).is_ok() {
                    let (value, lost) = (sum.value(), sum.lost().expect("made by the first addition"));
                    assert_eq!(value.positive_buckets.len(), lost.positive_buckets.len());
                    assert_eq!(value.negative_buckets.len(), lost.negative_buckets.len());
                    assert_eq!((&value.positive_spans, value.schema), (&lost.positive_spans, lost.schema));
                }
                sum.mul(factor);
                sum.div(factor);
            }
            _ = sum.total();
            _ = (a.detect_reset(b), a.equals(b));
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn equality_is_about_data() {
    let base = read("0|0|0.001|1|6|5|0:2 1:1|1 2 3|||");
    let same = read("3|0|0.001|1|6|5|0:2 0:0 1:1|1 2 3|||");
    assert!(base.equals(&same) && same.equals(&base));
    for other in
        ["0|0|0.001|1|6|5|0:2 2:1|1 2 3|||", "0|0|0.001|1|6|-5|0:2 1:1|1 2 3|||", "0|1|0.001|1|6|5|0:2 1:1|1 2 3|||"]
    {
        assert!(!base.equals(&read(other)), "{other}");
    }
    let nan = Histogram { sum: f64::NAN, ..Histogram::default() };
    assert!(nan.equals(&nan) && !nan.equals(&Histogram::stale()) && Histogram::stale().is_stale() && !nan.is_stale());
}

#[test]
fn errors_have_upstreams_words() {
    let incompatible = read("0|0|0|0|1|1|0:1|1|||").add(&read("0|-53|0|0|1|1|0:1|1|||1"));
    assert_eq!(
        incompatible.expect_err("of two kinds").to_string(),
        "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
    );
    let rows = [
        (
            "0|9|0|0|0|0|||||",
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 9",
        ),
        ("0|0|0|0|-1|0|||||", "observation count is  -1: histogram's observation count is negative"),
        (
            "0|0|0|-1|0|0|||||",
            "zero bucket has observation count of -1: histogram has a bucket whose observation count is negative",
        ),
        (
            "0|0|0|0|0|0|0:1 -1:1|1 1|||",
            "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
        ),
        (
            "0|0|0|0|0|0|0:2|1|||",
            "positive side: spans need 2 buckets, have 1 buckets: histogram spans specify different number of buckets than provided",
        ),
        (
            "0|-53|0|0|0|0|0:2|1 1|||2 1",
            "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must be in strictly increasing order",
        ),
        (
            "0|-53|0|0|0|0|0:4|1 1 1 1|||1 2",
            "custom buckets: only 2 custom bounds defined which is insufficient to cover total span length of 4: histogram custom bounds are too few",
        ),
        (
            "0|-53|0|0|0|0|||||1 inf",
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        ),
        ("0|-53|0|0|0|0|||||NaN", "custom buckets: histogram custom bounds must not be NaN"),
        ("0|-53|0|1|0|0|||||1", "custom buckets: must have zero count of 0"),
        ("0|-53|1|0|0|0|||||1", "custom buckets: must have zero threshold of 0"),
        ("0|0|0|0|0|0|||||1", "histogram with exponential schema must not have custom bounds"),
    ];
    for (text, expected) in rows {
        assert_eq!(read(text).validate().expect_err(text).to_string(), expected);
    }
}
