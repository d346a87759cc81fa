use super::*;
use crate::promql::ParseOptions;
use crate::promql::series::{SequenceValue, parse_series};

/// What HistogramQuantile and HistogramFraction of Prometheus 3.14 answer on amd64: function, arguments, histogram as series
/// descriptions have it, result and note, by tabs.
const REFERENCE: &str = include_str!("reference.txt");

fn histogram(text: &str) -> Histogram {
    let (_, values) = parse_series(&format!("x {text}"), &ParseOptions::default()).expect(text);
    match values.into_iter().next() {
        Some(SequenceValue::Histogram(histogram)) => histogram,
        other => panic!("{other:?}"),
    }
}

fn name(note: Option<NanNote>) -> &'static str {
    match note {
        None => "-",
        Some(NanNote::QuantileIsNan) => "NativeHistogramQuantileNaNResultInfo",
        Some(NanNote::QuantileIsSkewed) => "NativeHistogramQuantileNaNSkewInfo",
        Some(NanNote::OutsideOfFractions) => "NativeHistogramFractionNaNsInfo",
    }
}

#[test]
fn everything_is_as_upstream_has_it() {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for row in REFERENCE.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let [function, arguments, text, expected, note] = fields[..] else { panic!("{row}") };
        let arguments: Vec<f64> = arguments.split(' ').map(|text| text.parse().expect("a float")).collect();
        let histogram = histogram(text);
        let (found, found_note) = match (function, &arguments[..]) {
            ("quantile", [q]) => quantile(*q, &histogram),
            ("fraction", [lower, upper]) => fraction(*lower, *upper, &histogram),
            _ => panic!("{row}"),
        };
        let expected: f64 = expected.parse().expect("a float");
        let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        rows += 1;
        if !same || name(found_note) != note {
            wrong.push(format!("{row}\n   found {found} {}", name(found_note)));
        }
    }
    assert!(rows > 300, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}
