//! Parameters and bodies of requests as they come: bounded in bytes, in number and in time, and paid for.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use masthead_store::{LimitExceeded, Reservation};
use tokio::time::timeout;

use super::params::Params;
use super::{Api, Reply, Route, Takes};
use crate::error::QueryError;

/// Why a request cannot be read.
#[derive(Debug)]
pub(super) enum BodyFault {
    /// It is larger than the limit, bytes.
    TooLarge(usize),
    /// It did not come in time.
    TooSlow(Duration),
    /// The client broke it off.
    BrokeOff,
    /// The memory of all requests is used up.
    Memory(LimitExceeded),
    /// Its parameters cannot be read.
    Params(String),
}

impl From<LimitExceeded> for BodyFault {
    fn from(limit: LimitExceeded) -> Self {
        BodyFault::Memory(limit)
    }
}

impl BodyFault {
    /// The answer, in the form of the endpoint's other errors.
    pub(super) fn into_reply(self, route: &Route) -> Reply {
        let path = route.path;
        let bad_data = QueryError::Invalid(String::new()).status().0;
        let (status, kind, text) = match self {
            BodyFault::TooLarge(limit) => {
                let text = format!("the body of a request to {path} is larger than limits.body-bytes={limit}");
                (StatusCode::PAYLOAD_TOO_LARGE, bad_data, text)
            }
            BodyFault::TooSlow(limit) => {
                let text = format!("the body of a request to {path} did not come within query.timeout={limit:?}");
                (StatusCode::REQUEST_TIMEOUT, "timeout", text)
            }
            BodyFault::BrokeOff => {
                (StatusCode::BAD_REQUEST, bad_data, format!("the body of a request to {path} broke off"))
            }
            BodyFault::Params(text) => (StatusCode::BAD_REQUEST, bad_data, text),
            BodyFault::Memory(limit) => {
                let error = QueryError::LimitExceeded(limit);
                let (kind, status) = error.status();
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, kind, format!("the body of a request to {path}: {error}"))
            }
        };
        let reply = Reply::error(status, kind, text);
        if route.has_text_errors() { reply.into_text() } else { reply }
    }
}

/// The parameters of URL and form, a body that is no form, and the memory of both. A body that the endpoint does not take is
/// not read, as by Prometheus, whatever its size.
pub(super) async fn read(
    api: &Api,
    route: &Route,
    head: &Parts,
    body: Body,
) -> Result<(Params, Bytes, Reservation), BodyFault> {
    let config = &api.querier.config;
    let mut held = api.querier.memory.begin("a request");
    let wanted = match route.takes {
        Takes::Nothing => false,
        Takes::Form => head.method == Method::POST && is_form(head),
        Takes::Message => true,
    };
    let limit = config.limits.body_bytes;
    let body = match wanted {
        true => timeout(config.query.timeout, collect(body, limit, &mut held)).await,
        false => Ok(Ok(vec![])),
    };
    let body = body.unwrap_or(Err(BodyFault::TooSlow(config.query.timeout)))?;
    let form = (route.takes == Takes::Form).then_some(body.as_slice());
    let params = Params::new(form, head.uri.query()).map_err(BodyFault::Params)?;
    let kept = params.size_bytes();
    held.grow(kept)?;
    if route.takes == Takes::Message {
        return Ok((params, Bytes::from(body), held));
    }
    drop(body);
    held.shrink_to(kept);
    Ok((params, Bytes::new(), held))
}

fn is_form(head: &Parts) -> bool {
    head.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let kind = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

/// All of a body, at most `limit` bytes, paid for before it is kept.
async fn collect(mut body: Body, limit: usize, held: &mut Reservation) -> Result<Vec<u8>, BodyFault> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyFault::BrokeOff)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(BodyFault::TooLarge(limit));
        }
        if data.len() > bytes.capacity() - bytes.len() {
            // Twice as much each time, so that little is copied.
            let more = data.len().max(bytes.capacity()).min(limit - bytes.len());
            held.grow(more)?;
            bytes.reserve_exact(more);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
