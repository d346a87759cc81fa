//! What the server says of itself: build, stores, health, metrics, and the page at the root.

use axum::body::Body;
use http::{HeaderValue, StatusCode, header};
use masthead_store::{StoreInfo, StoreState};

use super::encode::{Data, Success};
use super::json::{push_bool, push_key, push_labels, push_list, push_string};
use super::time::rfc3339;
use super::{Api, ApiError, Call, Reply};

/// The version of Prometheus whose API this is; clients gate features on it.
const API_VERSION: &str = "3.14.0";
/// The page at the root: no assets but itself.
const PAGE: &str = include_str!("page.html");

/// `/api/v1/status/buildinfo`. Without the key `features`, which clients take for a Mimir.
pub(super) async fn build_info(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::plain(Success::of(Data::Json(build()))))
}

/// `/version`.
pub(super) async fn version(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    let mut json = build();
    json.push(b'\n');
    // As Prometheus calls it.
    Ok(Reply::raw(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), Body::from(json)))
}

/// What was built.
fn build() -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (key, value) in [
        ("version", API_VERSION),
        ("revision", concat!("masthead-", env!("CARGO_PKG_VERSION"))),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ] {
        push_key(&mut out, key);
        push_string(&mut out, value);
    }
    out.push(b'}');
    out
}

/// `/api/v1/stores`: by component type as in Thanos, with state and since when besides.
pub(super) async fn stores(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    let mut infos: Vec<_> = api.querier.stores.list().iter().map(|store| store.info()).collect();
    infos.sort_by(|a, b| (&a.component, &a.id).cmp(&(&b.component, &b.id)));
    let mut out = b"{".to_vec();
    for group in infos.chunk_by(|a, b| a.component == b.component) {
        push_key(&mut out, if group[0].component.is_empty() { "unknown" } else { &group[0].component });
        push_list(&mut out, group, |out, info| push_store(out, info));
    }
    out.push(b'}');
    Ok(Reply::plain(Success::of(Data::Json(out))))
}

fn push_store(out: &mut Vec<u8>, info: &StoreInfo) {
    let (state, since, error) = match &info.state {
        StoreState::Starting => ("starting", None, None),
        StoreState::Up => ("up", None, None),
        StoreState::Down { since, error } => ("down", Some(*since), Some(error.to_string())),
    };
    out.push(b'{');
    push_key(out, "name");
    push_string(out, &info.id);
    push_key(out, "lastCheck");
    // Go's zero time stands for never.
    push_string(out, &info.last_check.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339));
    push_key(out, "lastError");
    match &error {
        Some(error) => push_string(out, error),
        None => out.extend_from_slice(b"null"),
    }
    push_key(out, "labelSets");
    push_list(out, &info.label_sets, push_labels);
    push_key(out, "minTime");
    out.extend_from_slice(info.min_time.to_string().as_bytes());
    push_key(out, "maxTime");
    out.extend_from_slice(info.max_time.to_string().as_bytes());
    push_key(out, "state");
    push_string(out, state);
    push_key(out, "since");
    match since {
        Some(since) => push_string(out, &rfc3339(since)),
        None => out.extend_from_slice(b"null"),
    }
    push_key(out, "up");
    push_bool(out, matches!(info.state, StoreState::Up));
    out.push(b'}');
}

/// `/-/healthy`.
pub(super) async fn healthy(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    Ok(text(StatusCode::OK, "Masthead is healthy.\n"))
}

/// `/-/ready`.
pub(super) async fn ready(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    Ok(match api.is_ready() {
        true => text(StatusCode::OK, "Masthead is ready.\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    })
}

/// `/metrics`.
pub(super) async fn metrics(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    let querier = &api.querier;
    let body = querier.metrics.render(api.memory_used(), |metrics| querier.stores.note_states(metrics));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(Reply::raw(StatusCode::OK, content_type, Body::from(body)))
}

/// `/`.
pub(super) async fn page(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    let body = PAGE.replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let mut reply = Reply::raw(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), Body::from(body));
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";
    reply.headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Ok(reply)
}

/// An answer of plain text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Reply {
    Reply::raw(status, HeaderValue::from_static("text/plain; charset=utf-8"), Body::from(text))
}

/// An error as a line of plain text, as Go's `http.Error` writes it.
pub(super) fn refusal(status: StatusCode, text: impl Into<String>) -> Reply {
    let text = text.into();
    let body = Body::from(format!("{text}\n"));
    let mut reply = Reply::raw(status, HeaderValue::from_static("text/plain; charset=utf-8"), body);
    reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    (reply.outcome, reply.error) = ("refused", Some(text));
    reply
}
