//! Answers as JSON, written by hand and handed to the connection in pieces, so that a large result is never there twice.

mod series;

use axum::body::Body;
use bytes::Bytes;
use masthead_store::coverage::Coverage;
use masthead_store::{Labels, Millis, Reservation, Samples};

use super::coverage;
use super::json::{push_key, push_plain, push_string, push_strings};
use super::number::{push_scalar_timestamp, push_scalar_value};
use crate::engine::Value;
use crate::engine::batch::Row;
use crate::plan::Timeline;
use series::{Stamps, push_row, push_sample, push_samples};

/// Bytes a piece, about: some ten microseconds of work between two waits.
const PIECE_BYTES: usize = 64 << 10;
/// Warnings, and infos, at most; the rest is counted (respond in web/api/v1/api.go).
const NOTES_MAX: usize = 10;

/// A successful answer.
pub(crate) struct Success {
    /// What is under `data`.
    pub(crate) data: Data,
    /// Warnings, the grave ones first.
    pub(crate) warnings: Vec<String>,
    /// Infos.
    pub(crate) infos: Vec<String>,
    /// What goes under the key `coverage`, with the cluster label.
    pub(crate) coverage: Option<(Coverage, Box<str>)>,
}

/// What is under `data`.
pub(crate) enum Data {
    /// JSON as it is.
    Json(Vec<u8>),
    /// The value of a query.
    Query(QueryData),
    /// Anything else that may be large.
    Pieces(Pieces),
}

impl Data {
    /// `items` with commas between `head` and `tail`, each freed when it was written. `held` is their memory.
    pub(crate) fn items<T: Send + 'static>(
        head: &[u8],
        (items, held): (Vec<T>, impl Send + 'static),
        tail: Vec<u8>,
        push: impl Fn(&T, &mut Vec<u8>) + Send + 'static,
    ) -> Self {
        let whole = list(items, move |item, out| {
            let _ = &held;
            push(item, out);
        });
        Data::Pieces(Pieces { head: head.to_vec(), tail, ..whole })
    }
}

/// The value of a query, and what its JSON depends on.
pub(crate) struct QueryData {
    /// The value.
    pub(crate) value: Value,
    /// Its times.
    pub(crate) timeline: Timeline,
    /// The query was asked for one time.
    pub(crate) instant: bool,
    /// JSON under `stats`.
    pub(crate) stats: Option<String>,
    /// JSON under `analysis`.
    pub(crate) analysis: Option<String>,
    /// The memory of the value.
    pub(crate) held: Option<Reservation>,
}

impl Success {
    /// An answer of nothing but data.
    pub(crate) fn of(data: Data) -> Self {
        Self { data, warnings: vec![], infos: vec![], coverage: None }
    }

    /// The body, in pieces.
    pub(crate) fn into_body(self) -> Body {
        let mut tail = Vec::new();
        push_notes(&mut tail, "warnings", "warning", self.warnings);
        push_notes(&mut tail, "infos", "info", self.infos);
        if let Some((coverage, cluster_label)) = &self.coverage {
            push_key(&mut tail, "coverage");
            coverage::push_json(&mut tail, coverage, cluster_label);
        }
        tail.extend_from_slice(b"}");
        let mut pieces = pieces(self.data);
        pieces.head.splice(0..0, b"{\"status\":\"success\",\"data\":".iter().copied());
        pieces.tail.extend_from_slice(&tail);
        pieces.into_body()
    }
}

fn push_notes(out: &mut Vec<u8>, key: &str, kind: &str, mut texts: Vec<String>) {
    if texts.is_empty() {
        return;
    }
    if texts.len() > NOTES_MAX {
        let more = texts.len() - NOTES_MAX;
        texts.truncate(NOTES_MAX);
        texts.push(format!("{more} more {kind} annotations omitted"));
    }
    push_key(out, key);
    push_strings(out, &texts);
}

/// The body of an error.
pub(crate) fn error_body(error_type: &str, text: &str) -> Vec<u8> {
    let mut out = b"{\"status\":\"error\",\"errorType\":".to_vec();
    push_string(&mut out, error_type);
    out.extend_from_slice(b",\"error\":");
    push_string(&mut out, text);
    out.push(b'}');
    out
}

/// Appends the next item, or a part of it, and frees what it took. Whether the item has ended.
type PushItem = Box<dyn FnMut(&mut Vec<u8>) -> bool + Send>;

/// JSON as a head, `count` items with commas between them, and a tail.
pub(crate) struct Pieces {
    head: Vec<u8>,
    count: usize,
    next: usize,
    /// A part of the next item was written.
    within: bool,
    push: PushItem,
    tail: Vec<u8>,
}

impl Pieces {
    fn whole(json: Vec<u8>) -> Self {
        Self { head: json, count: 0, next: 0, within: false, push: Box::new(|_| true), tail: vec![] }
    }

    /// A body of known length where all fits into one piece.
    fn into_body(mut self) -> Body {
        let first = self.next().unwrap_or_default();
        match self.next() {
            None => Body::from(first),
            Some(second) => {
                let pieces = [first, second].into_iter().chain(self);
                Body::from_stream(futures::stream::iter(pieces.map(Ok::<_, std::convert::Infallible>)))
            }
        }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = std::mem::take(&mut self.head);
        if self.next < self.count {
            out.reserve(PIECE_BYTES);
        }
        while self.next < self.count && out.len() < PIECE_BYTES {
            if self.next > 0 && !self.within {
                out.push(b',');
            }
            self.within = !(self.push)(&mut out);
            self.next += usize::from(!self.within);
        }
        if self.next == self.count {
            out.append(&mut self.tail);
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }
}

fn pieces(data: Data) -> Pieces {
    match data {
        Data::Json(json) => Pieces::whole(json),
        Data::Query(data) => query_pieces(data),
        Data::Pieces(pieces) => pieces,
    }
}

/// A list of items, each freed when it was written.
fn list<T: Send + 'static>(items: Vec<T>, push: impl Fn(&T, &mut Vec<u8>) + Send + 'static) -> Pieces {
    let count = items.len();
    let mut items = items.into_iter();
    let push = move |out: &mut Vec<u8>| {
        if let Some(item) = items.next() {
            push(&item, out);
        }
        true
    };
    list_of(count, Box::new(push))
}

/// A list of raw series, each freed when it was written.
fn raw_series(series: Vec<(Labels, Samples)>) -> Pieces {
    let count = series.len();
    let mut series = series.into_iter().peekable();
    let mut point = 0;
    let push = move |out: &mut Vec<u8>| {
        let ended = series.peek().is_none_or(|one| push_samples(out, one, &mut point));
        if ended {
            (_, point) = (series.next(), 0);
        }
        ended
    };
    list_of(count, Box::new(push))
}

fn list_of(count: usize, push: PushItem) -> Pieces {
    Pieces { head: b"[".to_vec(), count, next: 0, within: false, push, tail: b"]".to_vec() }
}

fn query_pieces(data: QueryData) -> Pieces {
    let QueryData { value, timeline, instant, stats, analysis, held } = data;
    let start = timeline.start;
    let (result_type, mut pieces) = match value {
        Value::Scalar(values) if instant => {
            let value = values.first().copied().unwrap_or(f64::NAN);
            ("scalar", pair(start, |out| push_scalar_value(out, value)))
        }
        Value::Scalar(values) => {
            let row = Row { labels: Labels::empty(), drop_name: false, values, histograms: vec![] };
            ("matrix", matrix(vec![row], timeline))
        }
        Value::String(text) => ("string", pair(start, |out| push_string(out, &text))),
        Value::Series(rows) if instant => ("vector", list(rows, move |row, out| push_sample(out, row, start))),
        Value::Series(rows) => ("matrix", matrix(rows, timeline)),
        Value::Matrix(series) => ("matrix", raw_series(series)),
    };
    let mut head = b"{".to_vec();
    push_key(&mut head, "resultType");
    push_plain(&mut head, result_type);
    push_key(&mut head, "result");
    head.append(&mut pieces.head);
    pieces.head = head;
    for (key, json) in [("stats", stats), ("analysis", analysis)] {
        if let Some(json) = json {
            push_key(&mut pieces.tail, key);
            pieces.tail.extend_from_slice(json.as_bytes());
        }
    }
    pieces.tail.push(b'}');
    if held.is_some() {
        let mut push = pieces.push;
        pieces.push = Box::new(move |out| {
            let _ = &held;
            push(out)
        });
    }
    pieces
}

fn matrix(rows: Vec<Row>, timeline: Timeline) -> Pieces {
    let stamps = Stamps::new(timeline);
    list(rows, move |row, out| push_row(out, row, &stamps))
}

/// `[time, value]` of a scalar or string.
fn pair(time: Millis, push: impl FnOnce(&mut Vec<u8>)) -> Pieces {
    let mut out = b"[".to_vec();
    push_scalar_timestamp(&mut out, time);
    out.push(b',');
    push(&mut out);
    out.push(b']');
    Pieces::whole(out)
}

/// Keeps the first `limit` series, if that is not 0. Gives whether some were left out (truncateResults in
/// web/api/v1/api.go).
pub(crate) fn truncate(value: &mut Value, limit: usize) -> bool {
    match value {
        Value::Series(rows) => truncate_list(rows, limit),
        Value::Matrix(series) => truncate_list(series, limit),
        Value::Scalar(_) | Value::String(_) => false,
    }
}

/// The same for any list.
pub(crate) fn truncate_list<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let truncated = limit > 0 && items.len() > limit;
    if truncated {
        items.truncate(limit);
    }
    truncated
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use masthead_store::histogram::{Histogram, Span};
    use masthead_store::samples::HistogramSample;

    use super::*;
    use crate::api::json::push_labels;
    use crate::engine::batch::ABSENT;

    fn items<T: Send + 'static>(items: Vec<T>, push: fn(&T, &mut Vec<u8>)) -> Success {
        Success::of(Data::items(b"[", (items, ()), b"]".to_vec(), push))
    }

    async fn text(success: Success) -> String {
        let bytes = axum::body::to_bytes(success.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn row(pairs: &[(&str, &str)], values: &[f64]) -> Row {
        let labels = Labels::from_pairs(pairs.iter().copied());
        Row { labels, drop_name: false, values: values.to_vec(), histograms: vec![] }
    }

    fn query(value: Value, timeline: Timeline, instant: bool) -> Success {
        Success::of(Data::Query(QueryData { value, timeline, instant, stats: None, analysis: None, held: None }))
    }

    #[tokio::test]
    async fn every_result_type_has_its_form() {
        let at = Timeline::instant(1_700_006_400_500);
        let range = Timeline { start: 1_000, step: 500, count: 3 };
        for (success, expected) in [
            (
                query(Value::Scalar(vec![1e-7]), at, true),
                r#"{"resultType":"scalar","result":[1700006400.5,"0.0000001"]}"#,
            ),
            (
                query(Value::String("a<b".into()), at, true),
                r#"{"resultType":"string","result":[1700006400.5,"a\u003cb"]}"#,
            ),
            (query(Value::Series(vec![]), at, true), r#"{"resultType":"vector","result":[]}"#),
            (
                query(
                    Value::Series(vec![row(&[("a", "<"), ("__name__", "up")], &[1e21]), row(&[], &[-0.0])]),
                    at,
                    true,
                ),
                concat!(
                    r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","a":"<"},"value":[1700006400.500,"1e+21"]},"#,
                    r#"{"metric":{},"value":[1700006400.500,"-0"]}]}"#
                ),
            ),
            (
                query(Value::Series(vec![row(&[("a", "b")], &[ABSENT, 2.5, f64::NAN])]), range, false),
                r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1.500,"2.5"],[2,"NaN"]]}]}"#,
            ),
            (
                query(Value::Scalar(vec![1.0, 2.0, 3.0]), range, false),
                r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[1.500,"2"],[2,"3"]]}]}"#,
            ),
            (
                query(
                    Value::Matrix(vec![(
                        Labels::from_pairs([("a", "b")]),
                        Samples { timestamps: vec![1, 2], values: vec![0.1, 5.0], ..Samples::default() },
                    )]),
                    at,
                    true,
                ),
                r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[0.001,"0.1"],[0.002,"5"]]}]}"#,
            ),
            (items(vec!["a", "&"], |text, out| push_string(out, text)), r#"["a","\u0026"]"#),
            (items(vec![Labels::from_pairs([("a", "&")])], |labels, out| push_labels(out, labels)), r#"[{"a":"&"}]"#),
            (items(Vec::<()>::new(), |(), _| {}), "[]"),
        ] {
            assert_eq!(text(success).await, format!(r#"{{"status":"success","data":{expected}}}"#));
        }
    }

    /// Empty buckets are left out, floats come before histograms, and each kind has its key only where it has samples.
    #[tokio::test]
    async fn histograms_have_their_form() {
        let histogram = Arc::new(Histogram {
            zero_threshold: 0.5,
            zero_count: 2.0,
            count: 7.5,
            sum: f64::NAN,
            positive_spans: [Span { offset: 1, length: 3 }].into(),
            positive_buckets: vec![1.0, 0.0, 3.0],
            negative_spans: [Span { offset: 1, length: 1 }].into(),
            negative_buckets: vec![1.5],
            ..Histogram::default()
        });
        let custom = Arc::new(Histogram {
            schema: -53,
            count: 1.0,
            sum: 1e-7,
            positive_spans: [Span { offset: 1, length: 1 }].into(),
            positive_buckets: vec![1.0],
            custom_bounds: [5.0].into(),
            ..Histogram::default()
        });
        let empty: Arc<Histogram> = Arc::default();
        let json = concat!(
            r#"{"count":"7.5","sum":"NaN","buckets":[[1,"-2","-1","1.5"],[3,"-0.5","0.5","2"],"#,
            r#"[0,"1","2","1"],[0,"4","8","3"]]}"#
        );
        let custom_json = r#"{"count":"1","sum":"1e-07","buckets":[[0,"5","+Inf","1"]]}"#;
        let at = Timeline::instant(1_500);
        let range = Timeline { start: 1_000, step: 500, count: 3 };
        let of = |cells: &[(u32, &Arc<Histogram>)], values: &[f64]| {
            let histograms = cells.iter().map(|(step, histogram)| (*step, Arc::clone(histogram))).collect();
            Value::Series(vec![Row { histograms, ..row(&[], values) }])
        };
        let sample = |timestamp| HistogramSample { timestamp, start_timestamp: 0, histogram: Arc::clone(&custom) };
        let samples = Samples { timestamps: vec![3], values: vec![5.0], ..Samples::default() };
        let samples = Samples { histograms: vec![sample(1), sample(1_500)], ..samples };
        for (success, result_type, expected) in [
            (query(of(&[(0, &histogram)], &[ABSENT]), at, true), "vector", format!(r#""histogram":[1.500,{json}]"#)),
            (
                query(of(&[(0, &empty)], &[ABSENT]), at, true),
                "vector",
                r#""histogram":[1.500,{"count":"0","sum":"0"}]"#.into(),
            ),
            (
                query(of(&[(0, &custom), (2, &histogram)], &[ABSENT, 5.0, ABSENT]), range, false),
                "matrix",
                format!(r#""values":[[1.500,"5"]],"histograms":[[1,{custom_json}],[2,{json}]]"#),
            ),
            (
                query(of(&[(1, &custom)], &[ABSENT; 3]), range, false),
                "matrix",
                format!(r#""histograms":[[1.500,{custom_json}]]"#),
            ),
            (
                query(Value::Matrix(vec![(Labels::empty(), samples)]), at, true),
                "matrix",
                format!(r#""values":[[0.003,"5"]],"histograms":[[0.001,{custom_json}],[1.500,{custom_json}]]"#),
            ),
        ] {
            let expected = format!(r#"{{"resultType":"{result_type}","result":[{{"metric":{{}},{expected}}}]}}"#);
            assert_eq!(text(success).await, format!(r#"{{"status":"success","data":{expected}}}"#));
        }
    }

    #[tokio::test]
    async fn notes_are_cut_at_ten_and_keys_keep_their_order() {
        let warnings: Vec<String> = (0..12).map(|i| format!("w{i}")).collect();
        let success = Success {
            data: Data::Json(b"[]".to_vec()),
            warnings,
            infos: vec!["PromQL info: <x>".into()],
            coverage: Some((Coverage::default(), "cluster".into())),
        };
        assert_eq!(
            text(success).await,
            concat!(
                r#"{"status":"success","data":[],"warnings":["w0","w1","w2","w3","w4","w5","w6","w7","w8","w9","#,
                r#""2 more warning annotations omitted"],"infos":["PromQL info: \u003cx\u003e"],"#,
                r#""coverage":{"complete":true,"asked":0,"answered":0,"missing":[],"stores":[]}}"#
            )
        );
        assert_eq!(
            error_body("bad_data", "a \"b\" <c>"),
            br#"{"status":"error","errorType":"bad_data","error":"a \"b\" \u003cc\u003e"}"#
        );
    }

    #[tokio::test]
    async fn a_large_result_comes_in_pieces_that_join_without_a_seam() {
        let rows: Vec<Row> = (0..3000).map(|i| row(&[("series", &format!("{i:05}"))], &[f64::from(i); 20])).collect();
        let timeline = Timeline { start: 0, step: 1000, count: 20 };
        let body = query(Value::Series(rows), timeline, false).into_body();
        assert!(http_body::Body::size_hint(&body).exact().is_none(), "it is streamed");
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["data"]["result"].as_array().unwrap().len(), 3000);
        assert_eq!(json["data"]["result"][2999]["values"][19][1], "2999");
        assert_eq!(json["status"], "success");
    }

    #[test]
    fn truncation() {
        let mut value = Value::Series(vec![row(&[], &[1.0]), row(&[("a", "b")], &[1.0])]);
        assert!(!truncate(&mut value, 0) && !truncate(&mut value, 2) && truncate(&mut value, 1));
        assert!(matches!(value, Value::Series(rows) if rows.len() == 1));
        assert!(!truncate(&mut Value::Scalar(vec![1.0]), 1));
    }

    /// However many samples a series has, it comes in pieces, and as if it came as one.
    #[tokio::test]
    async fn long_series_are_cut() {
        for (floats, histograms) in [(0, 0), (1, 0), (5_000, 0), (2_048, 64), (4_096, 200), (0, 65)] {
            let histogram = Arc::new(Histogram::default());
            let later = |i: i64| HistogramSample { timestamp: i, start_timestamp: 0, histogram: histogram.clone() };
            let samples = Samples {
                timestamps: (0..floats).collect(),
                values: (0..floats).map(|i| i as f64).collect(),
                histograms: (floats..floats + histograms).map(later).collect(),
                ..Samples::default()
            };
            let one = (Labels::from_pairs([("a", "b")]), samples);
            let pieces = raw_series(vec![one.clone(), one]);
            let parts: Vec<Bytes> = pieces.collect();
            assert!(parts.iter().all(|part| part.len() < 3 * PIECE_BYTES), "{floats} {histograms}");
            let json: serde_json::Value = serde_json::from_slice(&parts.concat()).unwrap();
            assert_eq!(json.as_array().unwrap().len(), 2);
            for series in json.as_array().unwrap() {
                for (key, count) in [("values", floats), ("histograms", histograms)] {
                    let points = series.get(key).and_then(|points| points.as_array());
                    assert_eq!(points.map_or(0, Vec::len) as i64, count, "{key} of {floats} and {histograms}");
                    assert_eq!(points.is_some(), count > 0);
                }
                assert_eq!(series["metric"]["a"], "b");
            }
        }
    }
}
