//! Families of samples as text: Prometheus' own format, and OpenMetrics.

use masthead_store::histogram::Histogram;
use masthead_store::serve::exposition::{self, FamilyKind};
use masthead_store::{Labels, Millis};

use super::negotiate::{Format, Syntax, is_plain};
use super::{exposed, kind_of};
use crate::go_float;
use crate::querier::{Latest, LatestValue};

/// Appends what the rows of one name and kind are.
pub(super) fn push_type(name: &str, kind: FamilyKind, format: Format, out: &mut Vec<u8>) {
    out.extend_from_slice(b"# TYPE ");
    push_name(out, &format.escaping.apply(name));
    out.extend_from_slice(format!(" {}\n", type_name(kind, format.syntax)).as_bytes());
}

fn type_name(kind: FamilyKind, syntax: Syntax) -> &'static str {
    match (kind, syntax) {
        (FamilyKind::Untyped, Syntax::OpenMetrics) => "unknown",
        (FamilyKind::Untyped, _) => "untyped",
        (FamilyKind::GaugeHistogram, Syntax::OpenMetrics) => "gaugehistogram",
        (FamilyKind::Histogram | FamilyKind::GaugeHistogram, _) => "histogram",
    }
}

/// Appends the lines of one series.
pub(super) fn push_row(labels: &Labels, latest: &Latest, format: Format, out: &mut Vec<u8>) {
    let name = format.escaping.apply(labels.metric_name());
    let labels: Vec<_> = exposed(labels).map(|(name, value)| (format.escaping.apply(name), value)).collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, *value)).collect();
    let line = Line { name: &name, labels: &labels, time: latest.time, format };
    match &latest.value {
        LatestValue::Float(value) => line.push("", None, *value, out),
        LatestValue::Histogram(histogram) => {
            push_histogram(&line, histogram, type_name(kind_of(latest), format.syntax), out);
        }
    }
}

/// A histogram with custom buckets, as a classic one.
fn push_histogram(line: &Line<'_>, histogram: &Histogram, kind: &str, out: &mut Vec<u8>) {
    for (bound, count) in exposition::cumulative(histogram) {
        line.push("_bucket", Some(bound), count, out);
    }
    line.push("_bucket", Some(f64::INFINITY), histogram.count, out);
    let (sum, count) = if kind == "gaugehistogram" { ("_gsum", "_gcount") } else { ("_sum", "_count") };
    line.push(sum, None, histogram.sum, out);
    line.push(count, None, histogram.count, out);
}

/// What all lines of a series share.
struct Line<'a> {
    name: &'a str,
    labels: &'a [(&'a str, &'a str)],
    time: Millis,
    format: Format,
}

impl Line<'_> {
    /// A sample of the series whose name ends with `suffix`, with the label `le` where it is a bucket.
    fn push(&self, suffix: &str, le: Option<f64>, value: f64, out: &mut Vec<u8>) {
        let name = format!("{}{suffix}", self.name);
        let open = self.format.syntax == Syntax::OpenMetrics;
        let number = if open { go_float::open_metrics } else { go_float::shortest };
        let inside = !is_plain(&name);
        if inside {
            out.push(b'{');
            push_name(out, &name);
        } else {
            out.extend_from_slice(name.as_bytes());
        }
        let le = le.map(number);
        let labels = self.labels.iter().copied().chain(le.as_deref().map(|le| ("le", le)));
        let mut first = !inside;
        for (name, value) in labels {
            out.push(if first { b'{' } else { b',' });
            first = false;
            push_name(out, name);
            out.extend_from_slice(b"=\"");
            push_escaped(out, value);
            out.push(b'"');
        }
        let close = if first { " " } else { "} " };
        let time = match (open, self.time.unsigned_abs()) {
            (true, ms) => format!("{}{}.{:03}", if self.time < 0 { "-" } else { "" }, ms / 1000, ms % 1000),
            (false, _) => self.time.to_string(),
        };
        out.extend_from_slice(format!("{close}{} {time}\n", number(value)).as_bytes());
    }
}

/// A name, in quotes where it needs them.
fn push_name(out: &mut Vec<u8>, name: &str) {
    if is_plain(name) {
        return out.extend_from_slice(name.as_bytes());
    }
    out.push(b'"');
    push_escaped(out, name);
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
}
