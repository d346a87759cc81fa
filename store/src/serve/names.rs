//! `thanos.Store/LabelNames` and `LabelValues`: two requests for the same thing.

use std::sync::Arc;

use masthead_proto::thanos::{
    LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    PartialResponseStrategy,
};
use tonic::Status;

use super::{Asked, Call, shortcomings};
use crate::fanout::{Progress, label_names, label_values};

/// What both requests ask for.
struct Labels {
    /// The label whose values are asked for; None: names.
    values_of: Option<String>,
    matchers: Vec<LabelMatcher>,
    /// First and last time, ms, inclusive.
    times: (i64, i64),
    replica_labels: Vec<String>,
    limit: i64,
    /// Whether anything that is missing fails the call.
    abort: bool,
}

/// The strings, ascending, and what is missing.
type Answer = (Vec<String>, Vec<String>);

impl Call {
    /// Answers `LabelNames`.
    pub(super) async fn label_names(self, request: LabelNamesRequest) -> Result<LabelNamesResponse, Status> {
        let asked = Labels {
            values_of: None,
            matchers: request.matchers,
            times: (request.start, request.end),
            replica_labels: request.without_replica_labels,
            limit: request.limit,
            abort: aborts(request.partial_response_disabled, request.partial_response_strategy),
        };
        let (names, warnings) = self.labels(asked).await?;
        Ok(LabelNamesResponse { names, warnings, ..Default::default() })
    }

    /// Answers `LabelValues`.
    pub(super) async fn label_values(self, request: LabelValuesRequest) -> Result<LabelValuesResponse, Status> {
        if request.label.is_empty() {
            return Err(Status::invalid_argument("label name parameter cannot be empty"));
        }
        let asked = Labels {
            values_of: Some(request.label),
            matchers: request.matchers,
            times: (request.start, request.end),
            replica_labels: request.without_replica_labels,
            limit: request.limit,
            abort: aborts(request.partial_response_disabled, request.partial_response_strategy),
        };
        let (values, warnings) = self.labels(asked).await?;
        Ok(LabelValuesResponse { values, warnings, ..Default::default() })
    }

    async fn labels(self, asked: Labels) -> Result<Answer, Status> {
        let is_removed = |name: &str| asked.replica_labels.iter().any(|label| label == name);
        if asked.values_of.as_deref().is_some_and(is_removed) {
            return Ok(Answer::default());
        }
        let select = Asked {
            matchers: &asked.matchers,
            times: asked.times,
            replica_labels: &asked.replica_labels,
            limit: asked.limit,
        };
        // In the words of a Thanos Store Gateway.
        let select = select.select().map_err(|status| {
            Status::new(status.code(), format!("translate request labels matchers: {}", status.message()))
        })?;
        let (limit, select) = (select.limit, Arc::new(select));
        let (stores, budget, fan_out) = (self.stores(), self.budget(), self.fan_out());
        let progress = Progress::default();
        let found = match &asked.values_of {
            None => label_names(&stores, select, &budget, &fan_out, &progress).await,
            Some(name) => label_values(&stores, name, select, &budget, &fan_out, &progress).await,
        };
        let mut strings = found.map_err(|limit| Status::resource_exhausted(limit.to_string()))?;
        let warnings = shortcomings(&progress.coverage(None));
        if let Some(first) = warnings.first().filter(|_| asked.abort) {
            return Err(Status::aborted(first.clone()));
        }
        if asked.values_of.is_none() {
            strings.retain(|name| !is_removed(name));
        }
        if limit > 0 {
            strings.truncate(limit);
        }
        let (strings, _held) = strings.into_parts();
        Ok((strings.into_iter().map(String::from).collect(), warnings))
    }
}

fn aborts(disabled: bool, strategy: i32) -> bool {
    disabled || strategy == PartialResponseStrategy::Abort as i32
}
