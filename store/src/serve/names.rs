//! `thanos.Store/LabelNames` and `LabelValues`.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use masthead_proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, PartialResponseStrategy,
};
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use super::{Asked, Call, shortcomings};
use crate::coverage::Coverage;
use crate::fanout::{label_names, label_values};

/// Answers `LabelNames`.
pub(super) struct LabelNames(pub(super) Call);

impl UnaryService<LabelNamesRequest> for LabelNames {
    type Response = LabelNamesResponse;
    type Future = BoxFuture<'static, Result<Response<LabelNamesResponse>, Status>>;

    fn call(&mut self, request: Request<LabelNamesRequest>) -> Self::Future {
        let (call, request) = (self.0.clone(), request.into_inner());
        async move {
            let asked = Asked {
                matchers: &request.matchers,
                times: (request.start, request.end),
                replica_labels: &request.without_replica_labels,
                limit: request.limit,
            };
            let select = Arc::new(asked.select().map_err(of_labels)?);
            let (names, coverage) = label_names(&call.stores(), Arc::clone(&select), &call.fan_out()).await;
            let abort = request.partial_response_disabled
                || request.partial_response_strategy == PartialResponseStrategy::Abort as i32;
            let removed = |name: &str| select.replica_labels.iter().any(|label| **label == *name);
            let names = names.into_iter().filter(|name| !removed(name)).map(String::from);
            Ok(Response::new(LabelNamesResponse {
                names: limited(names, select.limit),
                warnings: warnings(&coverage, abort)?,
                ..Default::default()
            }))
        }
        .boxed()
    }
}

/// Answers `LabelValues`.
pub(super) struct LabelValues(pub(super) Call);

impl UnaryService<LabelValuesRequest> for LabelValues {
    type Response = LabelValuesResponse;
    type Future = BoxFuture<'static, Result<Response<LabelValuesResponse>, Status>>;

    fn call(&mut self, request: Request<LabelValuesRequest>) -> Self::Future {
        let (call, request) = (self.0.clone(), request.into_inner());
        async move {
            if request.label.is_empty() {
                return Err(Status::invalid_argument("label name parameter cannot be empty"));
            }
            if request.without_replica_labels.contains(&request.label) {
                return Ok(Response::new(LabelValuesResponse::default()));
            }
            let asked = Asked {
                matchers: &request.matchers,
                times: (request.start, request.end),
                replica_labels: &request.without_replica_labels,
                limit: request.limit,
            };
            let select = Arc::new(asked.select().map_err(of_labels)?);
            let name = request.label.as_str();
            let (values, coverage) = label_values(&call.stores(), name, Arc::clone(&select), &call.fan_out()).await;
            let abort = request.partial_response_disabled
                || request.partial_response_strategy == PartialResponseStrategy::Abort as i32;
            Ok(Response::new(LabelValuesResponse {
                values: limited(values.into_iter().map(String::from), select.limit),
                warnings: warnings(&coverage, abort)?,
                ..Default::default()
            }))
        }
        .boxed()
    }
}

/// A refused matcher, in the words of a Thanos Store Gateway.
fn of_labels(status: Status) -> Status {
    Status::new(status.code(), format!("translate request labels matchers: {}", status.message()))
}

fn limited(strings: impl Iterator<Item = String>, limit: usize) -> Vec<String> {
    strings.take(if limit == 0 { usize::MAX } else { limit }).collect()
}

/// What is missing, as warnings, or as the end of the call.
fn warnings(coverage: &Coverage, abort: bool) -> Result<Vec<String>, Status> {
    let missing = shortcomings(coverage);
    match missing.first() {
        Some(first) if abort => Err(Status::aborted(first.clone())),
        _ => Ok(missing),
    }
}
