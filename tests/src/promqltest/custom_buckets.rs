//! What `load_with_nhcb` adds: native histograms with custom buckets, made of the classic ones of the same load. Facts:
//! appendCustomHistogram in promql/promqltest/test.go, util/convertnhcb.

use std::collections::BTreeMap;

use masthead_query::promql::series::SequenceValue;
use masthead_store::histogram::{CUSTOM_SCHEMA, Histogram, Span};
use masthead_store::labels::METRIC_NAME;
use masthead_store::{Labels, LabelsBuilder, Millis};

use super::data::Points;

/// The parts of one classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Bounds and cumulative counts, by bound. The first of two series with the same bound counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms that the classic ones among `series` make, by labels and time.
pub(super) fn converted(series: &BTreeMap<Labels, Points>) -> Result<BTreeMap<Labels, Points>, String> {
    let mut classic: BTreeMap<Labels, BTreeMap<Millis, Classic>> = BTreeMap::new();
    for (labels, points) in series {
        let name = labels.metric_name();
        let Some((base, part)) =
            ["_bucket", "_count", "_sum"].iter().find_map(|part| Some((name.strip_suffix(part)?, *part)))
        else {
            continue;
        };
        let bound = match (part, labels.value("le").parse::<f64>()) {
            ("_bucket", Ok(bound)) if !bound.is_nan() => bound,
            ("_bucket", _) => continue,
            _ => f64::NAN,
        };
        let mut of = LabelsBuilder::new(labels);
        of.set(METRIC_NAME, base);
        let times = classic.entry(of.build().without(&["le"])).or_default();
        for (time, (_, point)) in points {
            let SequenceValue::Float(value) = point else { continue };
            let histogram = times.entry(*time).or_default();
            match part {
                "_bucket" if histogram.buckets.iter().all(|(have, _)| *have != bound) => {
                    histogram.buckets.push((bound, *value));
                }
                "_bucket" => {}
                "_count" => histogram.count = Some(*value),
                _ => histogram.sum = *value,
            }
        }
    }
    let native = |(labels, times): (Labels, BTreeMap<Millis, Classic>)| {
        let sample = |(time, classic): (Millis, Classic)| {
            let histogram = classic.native().map_err(|error| format!("{labels} at {time} ms: {error}"))?;
            Ok((time, (0, SequenceValue::Histogram(histogram))))
        };
        let points: Result<Points, String> = times.into_iter().map(sample).collect();
        Ok((labels.clone(), points?))
    };
    classic.into_iter().map(native).collect()
}

impl Classic {
    fn native(mut self) -> Result<Histogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = self.buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let (mut below, mut counts) = (0.0, Vec::new());
        for (bound, cumulative) in &self.buckets {
            if *cumulative < below {
                return Err(format!("count is not cumulative: {cumulative} below {bound} after {below}"));
            }
            counts.push(cumulative - below);
            below = *cumulative;
        }
        if below != count {
            return Err(format!("count mismatch: {count} in all and {below} in the buckets"));
        }
        let mut native = Histogram {
            schema: CUSTOM_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: [Span { offset: 0, length: counts.len() as u32 }].into(),
            positive_buckets: counts,
            custom_bounds: self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect(),
            ..Histogram::default()
        };
        let whole = |value: &f64| value.fract() == 0.0;
        let empty_max = if whole(&count) && native.positive_buckets.iter().all(whole) { 2 } else { 0 };
        native.compact(empty_max);
        native.validate().map_err(|error| error.to_string())?;
        Ok(native)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Points {
        (0..).zip(values).map(|(time, value)| (time * 60_000, (0, SequenceValue::Float(*value)))).collect()
    }

    /// Name, labels and values.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [f64]);

    fn series(list: &[Row<'_>]) -> BTreeMap<Labels, Points> {
        let labels =
            |name: &str, pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied().chain([(METRIC_NAME, name)]));
        list.iter().map(|(name, pairs, values)| (labels(name, pairs), points(values))).collect()
    }

    #[test]
    fn classic_histograms_make_native_ones() {
        let made = converted(&series(&[
            ("x_bucket", &[("a", "1"), ("le", "0.1")], &[1.0, 2.0]),
            ("x_bucket", &[("a", "1"), ("le", "5")], &[4.0, 4.5]),
            ("x_bucket", &[("a", "1"), ("le", "wrong")], &[9.0, 9.0]),
            ("x_count", &[("a", "1")], &[6.0, 7.0]),
            ("x_sum", &[("a", "1")], &[12.5, 13.0]),
            ("y_bucket", &[("le", "+Inf")], &[3.0]),
            ("plain", &[], &[1.0]),
        ]))
        .unwrap();
        assert_eq!(made.keys().map(Labels::metric_name).collect::<Vec<_>>(), ["x", "y"]);
        let (labels, first) = made.iter().next().unwrap();
        assert_eq!((labels.value("a"), labels.get("le")), ("1", None));
        let SequenceValue::Histogram(histogram) = &first[&60_000].1 else { panic!("no histogram") };
        assert_eq!((histogram.schema, histogram.count, histogram.sum), (-53, 7.0, 13.0));
        assert_eq!(
            (&histogram.positive_buckets[..], &histogram.custom_bounds[..]),
            (&[2.0, 2.5, 2.5][..], &[0.1, 5.0][..])
        );
    }

    #[test]
    fn counts_that_contradict_each_other_are_errors() {
        let falling: &[Row<'_>] = &[("x_bucket", &[("le", "1")], &[3.0]), ("x_bucket", &[("le", "2")], &[2.0])];
        assert!(converted(&series(falling)).unwrap_err().contains("not cumulative"));
        let other: &[Row<'_>] = &[("x_bucket", &[("le", "+Inf")], &[3.0]), ("x_count", &[], &[2.0])];
        assert!(converted(&series(other)).unwrap_err().contains("mismatch"));
    }
}
