//! `/federate`: the newest samples of series, for another Prometheus to scrape.
//!
//! Labels stay as they are: those that name cluster and replica are what a federating Prometheus needs to tell the sources
//! apart, and replicas are folded as in queries. Native histograms have a place in the protobuf format only, those with
//! custom buckets are classic histograms in every format (web/federate.go).

mod negotiate;
mod text;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use masthead_store::dedup::TimeRange;
use masthead_store::histogram::CounterResetHint;
use masthead_store::serve::exposition::{self, FamilyKind};
use masthead_store::{Labels, Reservation};

use super::query::{enter, selectors};
use super::{Api, ApiError, Call, Reply};
use crate::querier::{Answer, Latest, LatestValue};
use negotiate::{Format, Syntax};

/// `/federate`. Errors are lines of text.
pub(super) async fn federate(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    call.params.check()?;
    let (turn, choices) = enter(api, &call.params).await?;
    let matcher_sets = selectors(api, &turn, &call.params, "match[]").await?;
    let now = super::time::Time::from_clock(call.now).storage_ms();
    let range = TimeRange { min_time: now.saturating_sub(api.querier.config.query.lookback_delta), max_time: now };
    let Answer { value, coverage, cost, held, .. } = api.querier.latest(turn, matcher_sets, range, &choices).await?;
    let format = Format::negotiate(call.accept.as_ref());
    let content_type = HeaderValue::try_from(format.content_type()).expect("it is ASCII");
    let body = Exposition::new(value.into_iter().collect(), format, held).into_body();
    let mut reply = Reply::raw(StatusCode::OK, content_type, body);
    reply.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok(api.covered(reply, &coverage, cost))
}

/// The samples as they are exposed to who accepts `accept`.
#[cfg(test)]
pub(super) fn body(rows: Vec<Row>, accept: Option<&HeaderValue>) -> Body {
    Exposition::new(rows, Format::negotiate(accept), None).into_body()
}

/// A series and its newest sample.
type Row = (Labels, Latest);

/// What a sample makes of the family that it is in.
fn kind_of(latest: &Latest) -> FamilyKind {
    match &latest.value {
        LatestValue::Float(_) => FamilyKind::Untyped,
        LatestValue::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => FamilyKind::GaugeHistogram,
        LatestValue::Histogram(_) => FamilyKind::Histogram,
    }
}

/// The answer, a family after the other.
struct Exposition {
    /// By metric name, then by labels.
    rows: std::vec::IntoIter<Row>,
    format: Format,
    /// The family whose type was told last.
    told: Option<(Box<str>, FamilyKind)>,
    ended: bool,
    /// Memory of the rows.
    _held: Option<Reservation>,
}

impl Exposition {
    fn new(mut rows: Vec<Row>, format: Format, held: Option<Reservation>) -> Self {
        // A series without a name cannot be exposed, nor can a native histogram in a format that knows none.
        rows.retain(|(labels, latest)| {
            let shown = match &latest.value {
                LatestValue::Histogram(h) => h.has_custom_bounds() || format.syntax == Syntax::Protobuf,
                LatestValue::Float(_) => true,
            };
            shown && !labels.metric_name().is_empty()
        });
        rows.sort_by(|(a, _), (b, _)| a.metric_name().cmp(b.metric_name()));
        Self { rows: rows.into_iter(), format, told: None, ended: false, _held: held }
    }

    fn into_body(self) -> Body {
        Body::from_stream(futures::stream::iter(self.map(Ok::<_, std::convert::Infallible>)))
    }

    /// The next row as text, behind its family's type where that is new.
    fn push_row(&mut self, out: &mut Vec<u8>) {
        let Some((labels, latest)) = self.rows.next() else { return };
        let (name, kind) = (labels.metric_name(), kind_of(&latest));
        if self.told.as_ref().is_none_or(|(told, of)| **told != *name || *of != kind) {
            text::push_type(name, kind, self.format, out);
            self.told = Some((name.into(), kind));
        }
        text::push_row(&labels, &latest, self.format, out);
    }

    /// The next family as one message.
    fn push_message(&mut self, out: &mut Vec<u8>) {
        let rest = self.rows.as_slice();
        let Some((first_labels, first)) = rest.first() else { return };
        let alike = |(labels, latest): &&Row| {
            labels.metric_name() == first_labels.metric_name() && kind_of(latest) == kind_of(first)
        };
        let count = rest.iter().take_while(alike).count();
        push_message(&rest[..count], self.format, out);
        self.rows.by_ref().take(count).for_each(drop);
    }
}

impl Iterator for Exposition {
    type Item = Bytes;

    /// Some rows.
    fn next(&mut self) -> Option<Bytes> {
        /// Bytes a piece, about.
        const PIECE_BYTES: usize = 32 << 10;
        let mut out = Vec::new();
        while self.rows.len() > 0 && out.len() < PIECE_BYTES {
            match self.format.syntax {
                Syntax::Text | Syntax::OpenMetrics => self.push_row(&mut out),
                Syntax::Protobuf => self.push_message(&mut out),
            }
        }
        if self.format.syntax == Syntax::OpenMetrics && self.rows.len() == 0 && !self.ended {
            out.extend_from_slice(b"# EOF\n");
            self.ended = true;
        }
        (!out.is_empty()).then(|| out.into())
    }
}

/// All labels but the name, as they are exposed: the federating Prometheus would put its own `instance` where there is none.
fn exposed(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    let named = labels.iter().filter(|(name, _)| *name != "__name__");
    named.chain(labels.get("instance").is_none().then_some(("instance", "")))
}

/// A family in protobuf.
fn push_message(rows: &[Row], format: Format, out: &mut Vec<u8>) {
    let Some((labels, latest)) = rows.first() else { return };
    let mut family = exposition::Family::new(&format.escaping.apply(labels.metric_name()), kind_of(latest));
    for (labels, latest) in rows {
        let labels: Vec<_> =
            exposed(labels).map(|(name, value)| (format.escaping.apply(name).into_owned(), value.to_owned())).collect();
        let value = match &latest.value {
            LatestValue::Float(value) => exposition::Value::Float(*value),
            LatestValue::Histogram(histogram) => exposition::Value::Histogram(histogram),
        };
        family.push(labels, latest.time, value);
    }
    family.write(out);
}
