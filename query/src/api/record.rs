//! What is kept of a request for data that came to an answer: it is counted, and has a line in the log, once that has ended.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::Body;
use futures::StreamExt as _;

use super::params::Params;
use super::{Api, Reply, coverage};

/// Bytes of a query in the log, at most.
const QUERY_BYTES_MAX: usize = 1024;

/// How a body ended that comes as it is read: well, or with an error type and a text. Nothing where the client went away.
pub(super) type Ending = Arc<OnceLock<Result<(), (&'static str, String)>>>;

/// One request for data. Counted and logged when it is dropped.
pub(super) struct Record {
    api: Arc<Api>,
    endpoint: &'static str,
    id: String,
    start: Instant,
    query: String,
    status: u16,
    outcome: &'static str,
    error: Option<String>,
    coverage: String,
    peak_bytes: usize,
    ending: Option<Ending>,
}

impl Record {
    /// What `reply` came to, as far as it is known. There are no `params` where they could not be read.
    pub(super) fn new(
        api: &Arc<Api>,
        endpoint: &'static str,
        (id, start): (&str, Instant),
        params: Option<&Params>,
        reply: &Reply,
    ) -> Self {
        let mut query = params.map_or_else(String::new, |params| match params.get("query") {
            "" => params.all("match[]").join(" "),
            query => query.to_owned(),
        });
        query.truncate(query.floor_char_boundary(QUERY_BYTES_MAX));
        let coverage = reply.headers.get(coverage::HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
        Self {
            api: api.clone(),
            endpoint,
            id: id.to_owned(),
            start,
            query,
            status: reply.status.as_u16(),
            outcome: reply.outcome,
            error: reply.error.clone(),
            coverage: coverage.to_owned(),
            peak_bytes: reply.cost.peak_bytes,
            ending: reply.ending.clone(),
        }
    }

    /// Ends with the reply, or with its body where that is not there yet.
    pub(super) fn follow(self, reply: &mut Reply) {
        if self.ending.is_some() {
            let frames = std::mem::take(&mut reply.body).into_data_stream();
            reply.body = Body::from_stream(frames.inspect(move |_| {
                // Dropped with the body.
                let _ = &self;
            }));
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        match self.ending.take().map(|ending| ending.get().cloned()) {
            None | Some(Some(Ok(()))) => {}
            Some(Some(Err((kind, text)))) => (self.outcome, self.error) = (kind, Some(text)),
            Some(None) => (self.outcome, self.error) = ("canceled", Some("the client went away".to_owned())),
        }
        let took = self.start.elapsed();
        self.api.querier.metrics.finished(self.endpoint, self.outcome, took);
        let Self { endpoint, id, query, status, outcome, coverage, peak_bytes, .. } = self;
        let took_ms = took.as_secs_f64() * 1000.0;
        match &self.error {
            Some(error) => {
                tracing::info!(id, endpoint, query, status, outcome, took_ms, error, coverage, "query failed")
            }
            None => tracing::info!(id, endpoint, query, status, outcome, took_ms, peak_bytes, coverage, "query"),
        }
    }
}
