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

use super::query::enter;
use super::record::Ending;
use super::{Api, ApiError, Call, Reply};
use crate::error::QueryError;
use crate::querier::{Answer, Choices, Cost, Turn};

/// `/api/v1/read`. Errors are lines of text.
pub(super) async fn read(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let (turn, choices) = enter(api, &call.params).await?;
    let body = call.body.clone();
    let request = match turn.compute(move || Ok(ReadRequest::decode(&body))).await? {
        Ok(request) => request,
        Err(RequestFault::Malformed(fault)) => return Err(ApiError::bad_data(fault)),
        Err(RequestFault::Matcher(fault)) => return Err(QueryError::Internal(fault).into()),
    };
    match request.answer {
        AnswerForm::Samples => samples(api, turn, request.queries, &choices).await,
        AnswerForm::Chunks => chunks(api, turn, request.queries, &choices).await,
    }
}

async fn samples(api: &Api, turn: Turn, queries: Vec<ReadQuery>, choices: &Choices) -> Result<Reply, ApiError> {
    let Answer { value, coverage, cost, held, .. } = api.querier.read_samples(turn, queries, choices).await?;
    // The memory is held until the body is sent.
    let body = futures::stream::iter([(value, held)]).map(|(value, _held)| Ok::<_, io::Error>(Bytes::from(value)));
    let content_type = HeaderValue::from_static("application/x-protobuf");
    let mut reply = Reply::raw(StatusCode::OK, content_type, Body::from_stream(body));
    reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok(api.covered(reply, &coverage, cost))
}

/// A stream that fails on its way breaks the connection off, which a client cannot take for the end.
async fn chunks(api: &Api, turn: Turn, queries: Vec<ReadQuery>, choices: &Choices) -> Result<Reply, ApiError> {
    let mut stream = api.querier.read_chunks(turn, queries, choices)?;
    // What fails at once is told as an error yet.
    let first = stream.next().await.map_err(|error| stream.failure(error))?;
    let coverage = stream.coverage().clone();
    let ending = Ending::default();
    let rest = futures::stream::try_unfold((stream, ending.clone()), |(mut stream, ending)| async move {
        let next = stream.next().await;
        let ended = match &next {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(())),
            Err(error) => Some(Err((error.status().0, error.to_string()))),
        };
        // It ends once.
        ended.into_iter().for_each(|ended| drop(ending.set(ended)));
        next.map(|frames| frames.map(|frames| (Bytes::from(frames), (stream, ending)))).map_err(io::Error::other)
    });
    let body = futures::stream::iter(first.map(|frames| Ok(Bytes::from(frames)))).chain(rest);
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    let mut reply = Reply::raw(StatusCode::OK, HeaderValue::from_static(content_type), Body::from_stream(body));
    reply.ending = Some(ending);
    Ok(api.covered(reply, &coverage, Cost::default()))
}
