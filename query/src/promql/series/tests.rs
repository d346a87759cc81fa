//! Values, histograms and errors of series descriptions; rows after Prometheus' own tests.

use masthead_store::histogram::{CounterResetHint, Histogram, Span};

use super::*;

fn values(text: &str) -> Vec<SequenceValue> {
    let text = format!("my_metric{{a=\"b\"}} {text}");
    match parse_series(&text, &ParseOptions::default()) {
        Ok((labels, values)) => {
            assert_eq!(labels, Labels::from_pairs([("__name__", "my_metric"), ("a", "b")]));
            values
        }
        Err(error) => panic!("{text}: {error}"),
    }
}

fn floats(text: &str) -> Vec<Option<f64>> {
    let float = |value| match value {
        SequenceValue::Omitted => None,
        SequenceValue::Float(float) => Some(float),
        other => panic!("{other:?}"),
    };
    values(text).into_iter().map(float).collect()
}

fn histograms(text: &str) -> Vec<Histogram> {
    let histogram = |value| match value {
        SequenceValue::Histogram(histogram) => histogram,
        other => panic!("{other:?}"),
    };
    values(text).into_iter().map(histogram).collect()
}

#[test]
fn sequences_of_floats() {
    for (text, expected) in [
        ("1 2 3", &[1.0, 2.0, 3.0][..]),
        ("1 2 3-10x4", &[1.0, 2.0, 3.0, -7.0, -17.0, -27.0, -37.0]),
        ("1x0", &[1.0]),
        ("1+1x0", &[1.0]),
        ("5x2", &[5.0, 5.0, 5.0]),
        ("1 +1 +4 -6 -2 8   ", &[1.0, 1.0, 4.0, -6.0, -2.0, 8.0]),
        ("-1 -3-10x1 0.5e1 .5 1_000", &[-1.0, -3.0, -13.0, 5.0, 0.5, 1000.0]),
        ("Inf -Inf", &[f64::INFINITY, f64::NEG_INFINITY]),
        ("", &[]),
    ] {
        let expected: Vec<Option<f64>> = expected.iter().copied().map(Some).collect();
        assert_eq!(floats(text), expected, "{text}");
    }
    assert_eq!(floats("1 3 _ 5 _x3"), [Some(1.0), Some(3.0), None, Some(5.0), None, None, None]);
    let stale: Vec<u64> = floats("stale 1 stale").into_iter().flatten().map(f64::to_bits).collect();
    assert_eq!(stale, [0x7ff0_0000_0000_0002, 1f64.to_bits(), 0x7ff0_0000_0000_0002]);
}

#[test]
fn labels_in_every_form() {
    let options = ParseOptions::default();
    for (text, expected) in [
        ("{} 1", &[][..]),
        ("", &[]),
        ("up", &[("__name__", "up")]),
        ("up{a=\"b\",} 1", &[("__name__", "up"), ("a", "b")]),
        (
            "{\"http.requests\", \"service.name\"=\"x\", c='\\u70ac'} 1",
            &[("__name__", "http.requests"), ("c", "炬"), ("service.name", "x")],
        ),
    ] {
        let found = parse_series(text, &options).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found.0, Labels::from_pairs(expected.iter().copied()), "{text}");
    }
}

#[test]
fn histograms_in_full() {
    let text = "{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 -7] offset:-3 n_buckets:[4.1 5 ] \
                n_offset:5 counter_reset_hint:gauge }}";
    let expected = Histogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 1,
        zero_threshold: 0.05,
        zero_count: 7.1,
        count: 3.1,
        sum: -0.3,
        positive_spans: [Span { offset: -3, length: 3 }].into(),
        negative_spans: [Span { offset: 5, length: 2 }].into(),
        positive_buckets: vec![5.1, 10.0, -7.0],
        negative_buckets: vec![4.1, 5.0],
        custom_bounds: [].into(),
    };
    assert_eq!(values(text), [SequenceValue::HintedHistogram(expected)]);
    assert_eq!(histograms("{{}} {{ }}x1"), vec![Histogram::default(); 3]);
}

#[test]
fn histograms_add_up() {
    let counts = |text: &str| -> Vec<Vec<f64>> { histograms(text).into_iter().map(|h| h.positive_buckets).collect() };
    assert_eq!(
        counts("{{buckets:[5 10 7] schema:1}}-{{buckets:[1 2 3] schema:1}}x2"),
        [[5.0, 10.0, 7.0], [4.0, 8.0, 4.0], [3.0, 6.0, 1.0]]
    );
    // A finer increment is brought to the base's resolution.
    assert_eq!(counts("{{buckets:[5] schema:0}}+{{buckets:[1 2] schema:1}}x1"), [vec![5.0], vec![6.0, 2.0]]);
    let gap = histograms("{{buckets:[1 0 2] offset:3}}+{{buckets:[1 1] offset:8}}x2").pop().unwrap();
    assert_eq!(*gap.positive_spans, [Span { offset: 3, length: 3 }, Span { offset: 2, length: 2 }]);
    assert_eq!(gap.positive_buckets, [1.0, 0.0, 2.0, 2.0, 2.0]);
    let custom = "{{schema:-53 custom_values:[1 2] buckets:[1 2 3] count:6}}";
    let sum = histograms(&format!("{custom}+{custom}x3")).pop().unwrap();
    assert_eq!((sum.count, &*sum.custom_bounds), (24.0, &[1.0, 2.0][..]));
    // Bounds in common stay, and zero buckets reach as far as the wider one.
    let other = "{{schema:-53 custom_values:[2 5] buckets:[4 5 6] count:15}}";
    let sum = histograms(&format!("{custom}-{other}x1")).pop().unwrap();
    assert_eq!((sum.count, sum.positive_buckets, &*sum.custom_bounds), (-9.0, vec![-1.0, -8.0], &[2.0][..]));
    let zero =
        histograms("{{z_bucket:1 z_bucket_w:0.5 buckets:[2 4] offset:0}}+{{z_bucket:8 z_bucket_w:1}}x1").pop().unwrap();
    assert_eq!((zero.zero_threshold, zero.zero_count, zero.positive_buckets), (1.0, 11.0, vec![4.0]));
}

#[test]
fn errors_are_those_of_prometheus() {
    for (text, error) in [
        ("{} 1+1", "1:7: parse error: unexpected end of input in series values"),
        ("m 1 3 _ 5 _a4", "1:12: parse error: unexpected identifier \"a4\""),
        ("m -3-3 -3", "1:7: parse error: unexpected \" \" in series values"),
        ("m -3 _-2", "1:7: parse error: unexpected <op:->"),
        ("m foo", "1:3: parse error: unexpected identifier \"foo\" in series values, expected number or \"stale\""),
        (
            "m 1x1.5",
            "1:5: parse error: invalid repetition in series values: strconv.ParseUint: parsing \"1.5\": invalid syntax",
        ),
        ("{\"a\"xx}\t0+50x2", "1:5: parse error: unexpected identifier \"xx\" in label set, expected \",\" or \"}\""),
        ("{\"a\"=, x=\"y\"} 1", "1:6: parse error: unexpected \",\" in label set, expected string"),
        ("{} {{schema:1 schema:1}}", "1:1: parse error: duplicate key \"schema\" in histogram"),
        ("{} {{foo:1}}", "1:6: parse error: bad histogram descriptor found: \"foo\""),
        ("{} {{schema :1}}", "1:6: parse error: missing `:` for histogram descriptor"),
        ("{} {{schema: 1}}", "1:13: parse error: unexpected \" \" in series values"),
        ("{} {{ schema:1}}", "1:7: parse error: unexpected \"<Item 57372>\" \"schema\" in series values"),
        ("{} {{counter_reset_hint:foo}}", "1:25: parse error: bad histogram descriptor found: \"foo\""),
        (
            "{} {{buckets:[5 10 7] schema:1}}+{{buckets:[1 2 3] schema:0}}x2",
            "1:63: parse error: error combining histograms: cannot merge from schema 0 to 1",
        ),
        (
            "{} {{schema:-53 custom_values:[1] buckets:[1]}}+{{buckets:[1]}}x2",
            "1:65: parse error: cannot apply this operation on histograms with a mix of exponential and custom bucket schemas",
        ),
        ("m 1x9999999999", "1:5: parse error: the series has more values than the limit of 1000000"),
    ] {
        let found = parse_series(text, &ParseOptions::default()).map_err(|error| error.to_string());
        assert_eq!(found, Err(error.to_owned()), "{text}");
    }
}
