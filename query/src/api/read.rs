//! `/api/v1/read`: remote read, by which a Prometheus uses this server as a store of its own.
//!
//! Series keep all their labels but those of replicas. There are no external labels that would have to be taken out of
//! matchers, as a Prometheus must, since whatever names a cluster here is part of the series.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use masthead_store::serve::remote_read::{AnswerForm, ReadQuery, ReadRequest, RequestFault};

use super::query::{choices, timeout};
use super::status::refusal;
use super::{Api, ApiError, Call, Reply};
use crate::querier::{Answer, Choices, Cost};

/// `/api/v1/read`. Errors are lines of text.
pub(super) async fn read(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let request = match ReadRequest::decode(&call.body) {
        Ok(request) => request,
        Err(RequestFault::Malformed(fault)) => return Ok(refusal(StatusCode::BAD_REQUEST, fault)),
        Err(RequestFault::Matcher(fault)) => return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, fault)),
    };
    let choices = timeout(api, &call.params).and_then(|timeout| choices(api, &call.params, timeout));
    let choices = match choices {
        Ok(choices) => choices,
        Err(fault) => return Ok(refusal(StatusCode::BAD_REQUEST, fault)),
    };
    let answer = match request.answer {
        AnswerForm::Samples => samples(api, request.queries, &choices).await,
        AnswerForm::Chunks => chunks(api, request.queries, &choices).await,
    };
    Ok(answer.unwrap_or_else(|failure| api.failed_as_text(failure)))
}

async fn samples(api: &Api, queries: Vec<ReadQuery>, choices: &Choices) -> Result<Reply, ApiError> {
    let Answer { value, coverage, cost, held, .. } = api.querier.read_samples(queries, choices).await?;
    // The memory is held until the body is sent.
    let body = futures::stream::iter([(value, held)]).map(|(value, _held)| Ok::<_, io::Error>(Bytes::from(value)));
    let content_type = HeaderValue::from_static("application/x-protobuf");
    let mut reply = Reply::raw(StatusCode::OK, content_type, Body::from_stream(body));
    reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok(api.covered(reply, &coverage, cost))
}

/// A stream that fails on its way breaks the connection off, which a client cannot take for the end.
async fn chunks(api: &Api, queries: Vec<ReadQuery>, choices: &Choices) -> Result<Reply, ApiError> {
    let mut stream = api.querier.read_chunks(queries, choices).await?;
    // What fails at once is told as an error yet.
    let first = stream.next().await.map_err(|error| stream.failure(error))?;
    let coverage = stream.coverage().clone();
    let rest = futures::stream::try_unfold(stream, |mut stream| async move {
        match stream.next().await {
            Ok(frames) => Ok(frames.map(|frames| (Bytes::from(frames), stream))),
            Err(error) => {
                tracing::warn!(%error, "a remote read broke off");
                Err(io::Error::other(error))
            }
        }
    });
    let body = futures::stream::iter(first.map(|frames| Ok(Bytes::from(frames)))).chain(rest);
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    let reply = Reply::raw(StatusCode::OK, HeaderValue::from_static(content_type), Body::from_stream(body));
    Ok(api.covered(reply, &coverage, Cost::default()))
}
