//! Families of samples in the protobuf format that a Prometheus scrapes: the only one with native histograms.

use masthead_proto::exposition as proto;
use prost::Message as _;

use crate::histogram::{Histogram, Span};
use crate::series::Millis;

/// What the samples of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Numbers.
    Untyped,
    /// Histograms that count up.
    Histogram,
    /// Histograms that do not.
    GaugeHistogram,
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A number.
    Float(f64),
    /// A native histogram; one with custom buckets is written as a classic one.
    Histogram(&'a Histogram),
}

/// All samples of one name.
#[derive(Debug)]
pub struct Family(proto::MetricFamily);

impl Family {
    /// A family without samples.
    pub fn new(name: &str, kind: FamilyKind) -> Self {
        let kind = match kind {
            FamilyKind::Untyped => proto::MetricType::Untyped,
            FamilyKind::Histogram => proto::MetricType::Histogram,
            FamilyKind::GaugeHistogram => proto::MetricType::GaugeHistogram,
        };
        Self(proto::MetricFamily { name: name.into(), r#type: Some(kind.into()), metric: vec![] })
    }

    /// Adds a sample at `time`, ms, of the series with these labels, the name left out.
    pub fn push(&mut self, labels: impl IntoIterator<Item = (String, String)>, time: Millis, value: Value<'_>) {
        let label = labels.into_iter().map(|(name, value)| proto::LabelPair { name, value }).collect();
        let (untyped, histogram) = match value {
            Value::Float(value) => (Some(proto::Untyped { value: Some(value) }), None),
            Value::Histogram(histogram) if histogram.has_custom_bounds() => (None, Some(classic(histogram))),
            Value::Histogram(histogram) => (None, Some(native(histogram))),
        };
        self.0.metric.push(proto::Metric { label, untyped, timestamp_ms: Some(time), histogram });
    }

    /// Appends the family, its length in front.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.0.encode_length_delimited(out).expect("a vector has room");
    }
}

/// Upper bounds and cumulative counts of a histogram with custom buckets, but for the last one, which has no bound.
pub fn cumulative(histogram: &Histogram) -> Vec<(f64, f64)> {
    let mut buckets = histogram.positive().peekable();
    let mut count = 0.0;
    let bounds = histogram.custom_bounds.iter().enumerate().map(|(at, bound)| {
        while let Some(bucket) = buckets.next_if(|bucket| i64::from(bucket.index) <= at as i64) {
            count += bucket.count;
        }
        (*bound, count)
    });
    bounds.collect()
}

fn classic(histogram: &Histogram) -> proto::Histogram {
    let bucket = |(bound, count)| proto::Bucket { upper_bound: Some(bound), cumulative_count_float: Some(count) };
    proto::Histogram {
        sample_count_float: Some(histogram.count),
        sample_sum: Some(histogram.sum),
        bucket: cumulative(histogram).into_iter().map(bucket).collect(),
        ..Default::default()
    }
}

fn native(histogram: &Histogram) -> proto::Histogram {
    let spans = |spans: &[Span]| {
        spans.iter().map(|span| proto::BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    proto::Histogram {
        sample_count_float: Some(histogram.count),
        sample_sum: Some(histogram.sum),
        schema: Some(histogram.schema),
        zero_threshold: Some(histogram.zero_threshold),
        zero_count_float: Some(histogram.zero_count),
        negative_span: spans(&histogram.negative_spans),
        negative_count: histogram.negative_buckets.clone(),
        positive_span: spans(&histogram.positive_spans),
        positive_count: histogram.positive_buckets.clone(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::CUSTOM_SCHEMA;

    #[test]
    fn floats_native_and_classic_histograms() {
        let spans = vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }];
        let buckets = vec![1.0, 2.0, 4.0];
        let native = Histogram {
            schema: 3,
            zero_threshold: 0.5,
            count: 7.0,
            sum: 9.0,
            positive_spans: spans.clone().into(),
            positive_buckets: buckets.clone(),
            ..Histogram::default()
        };
        // Buckets 0, 2 and 3 of four, of which the last one has no bound.
        let custom = Histogram { schema: CUSTOM_SCHEMA, custom_bounds: [1.0, 2.0, 5.0].into(), ..native.clone() };
        assert_eq!(cumulative(&custom), [(1.0, 1.0), (2.0, 1.0), (5.0, 3.0)]);
        let labels = || vec![("a".to_owned(), "b".to_owned())];
        let mut family = Family::new("x", FamilyKind::GaugeHistogram);
        family.push(labels(), -5, Value::Float(1.5));
        family.push(labels(), 7, Value::Histogram(&native));
        family.push(labels(), 8, Value::Histogram(&custom));
        let mut out = Vec::new();
        family.write(&mut out);
        let read = proto::MetricFamily::decode_length_delimited(&*out).unwrap();
        assert_eq!((&*read.name, read.r#type), ("x", Some(5)));
        assert_eq!(read.metric[0].untyped, Some(proto::Untyped { value: Some(1.5) }));
        assert_eq!((read.metric[0].timestamp_ms, &*read.metric[0].label[0].value), (Some(-5), "b"));
        let histogram = read.metric[1].histogram.as_ref().unwrap();
        assert_eq!((histogram.schema, histogram.zero_threshold), (Some(3), Some(0.5)));
        assert_eq!((&histogram.positive_count, histogram.positive_span.len()), (&buckets, 2));
        let histogram = read.metric[2].histogram.as_ref().unwrap();
        assert_eq!((histogram.schema, histogram.bucket.len()), (None, 3));
        assert_eq!(histogram.bucket[2].cumulative_count_float, Some(3.0));
    }
}
