//! The HTTP API: Prometheus' query API to the letter, with coverage beside every answer.
//!
//! A request goes through [`serve`]: its parameters are read and merged, one row of `ROUTES` answers, and headers, request
//! id, log line and metrics are added to whatever came of it.
//!
//! Parameters that are checked and change nothing: `max_source_resolution` (only raw data is read) and `engine`.

mod about;
mod body;
mod cors;
pub(crate) mod coverage;
mod encode;
mod explain;
mod facts;
mod features;
mod federate;
pub(crate) mod json;
mod metadata;
pub(crate) mod number;
pub(crate) mod params;
mod query;
mod read;
mod record;
mod rules;
mod status;
mod syntax;
#[cfg(test)]
mod tests;
pub mod time;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use masthead_store::Reservation;
use masthead_store::coverage::Coverage;

use crate::error::QueryError;
use crate::querier::{Cost, Failure, Querier};
use encode::{Data, Success};
use params::Params;
use record::{Ending, Record};

/// What the handlers share.
pub struct Api {
    querier: Querier,
    ready: AtomicBool,
    stopping: AtomicBool,
    clock: fn() -> SystemTime,
    started: SystemTime,
    ids: RequestIds,
}

/// One request.
struct Call {
    params: Params,
    /// What the path has in place of `*`, decoded.
    name: String,
    /// When it came.
    now: SystemTime,
    /// The formats that are wanted.
    accept: Option<HeaderValue>,
    /// The body, where it is no form.
    body: Bytes,
    /// The memory of parameters and body.
    _held: Reservation,
}

/// One endpoint.
struct Route {
    /// Its path; `*` stands for one segment.
    path: &'static str,
    /// The methods that it takes, as the header `Allow` names them.
    methods: &'static str,
    /// The bodies that it reads; all others are left where they are.
    takes: Takes,
    /// Whether it answers with data, so that it is logged and counted by this name.
    data: Option<&'static str>,
    handler: Handler,
}

/// A body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// More parameters.
    Form,
    /// Something else, whatever its type is said to be.
    Message,
}

type Handler = for<'a> fn(&'a Api, &'a Call) -> BoxFuture<'a, Result<Reply, ApiError>>;

macro_rules! handler {
    ($function:path) => {
        |api, call| Box::pin($function(api, call))
    };
}

/// The answer is always the same JSON.
macro_rules! fixed {
    ($json:literal) => {
        |_, _| Box::pin(std::future::ready(Ok(Reply::plain(Success::of(Data::Json($json.as_bytes().to_vec()))))))
    };
}

const GET: &str = "GET, OPTIONS";
const GET_POST: &str = "GET, OPTIONS, POST";
const PROBE: &str = "GET, HEAD, OPTIONS";
const ACT: &str = "OPTIONS, POST, PUT";
const POST: &str = "OPTIONS, POST";

const fn data(path: &'static str, form: bool, name: &'static str, handler: Handler) -> Route {
    Route { data: Some(name), ..about(path, form, handler) }
}

/// By GET, and by POST where `form` says so.
const fn about(path: &'static str, form: bool, handler: Handler) -> Route {
    let (methods, takes) = if form { (GET_POST, Takes::Form) } else { (GET, Takes::Nothing) };
    Route { path, methods, takes, data: None, handler }
}

const fn other(path: &'static str, methods: &'static str, handler: Handler) -> Route {
    Route { path, methods, takes: Takes::Nothing, data: None, handler }
}

/// Where the API lies.
const API_PREFIX: &str = "/api/v1/";

/// Paths of the API that are served before all is ready: they tell how far it is.
const EARLY: &[&str] = &["/api/v1/status/walreplay", "/api/v1/notifications", "/api/v1/stores"];

impl Route {
    /// Whether its errors are lines of text.
    fn has_text_errors(&self) -> bool {
        self.takes == Takes::Message || !self.path.starts_with(API_PREFIX)
    }

    /// Whether it is not served before all is ready.
    fn waits(&self) -> bool {
        self.data.is_some() || (self.path.starts_with(API_PREFIX) && !EARLY.contains(&self.path))
    }
}

/// Every endpoint.
const ROUTES: &[Route] = &[
    data("/api/v1/query", true, "query", handler!(query::instant)),
    data("/api/v1/query_range", true, "query_range", handler!(query::range)),
    about("/api/v1/query_explain", true, handler!(explain::instant)),
    about("/api/v1/query_range_explain", true, handler!(explain::range)),
    data("/api/v1/series", true, "series", handler!(metadata::series)),
    data("/api/v1/labels", true, "labels", handler!(metadata::label_names)),
    data("/api/v1/label/*/values", false, "label_values", handler!(metadata::label_values)),
    data("/api/v1/query_exemplars", true, "query_exemplars", handler!(facts::exemplars)),
    data("/api/v1/metadata", false, "metadata", handler!(facts::metadata)),
    data("/api/v1/rules", false, "rules", handler!(rules::rules)),
    data("/api/v1/alerts", false, "alerts", handler!(rules::alerts)),
    data("/api/v1/targets", false, "targets", handler!(facts::targets)),
    data("/api/v1/status/tsdb", false, "status_tsdb", handler!(facts::statistics)),
    about("/api/v1/status/buildinfo", false, handler!(status::build_info)),
    about("/api/v1/status/config", false, handler!(about::config)),
    about("/api/v1/status/flags", false, handler!(about::flags)),
    about("/api/v1/status/runtimeinfo", false, handler!(about::runtime_info)),
    about("/api/v1/status/tsdb/blocks", false, handler!(about::blocks)),
    about("/api/v1/status/walreplay", false, fixed!(r#"{"min":0,"max":0,"current":0}"#)),
    about("/api/v1/features", false, handler!(features::features)),
    about("/api/v1/format_query", true, handler!(syntax::format_query)),
    about("/api/v1/parse_query", true, handler!(syntax::parse_query)),
    about("/api/v1/alertmanagers", false, fixed!(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#)),
    about("/api/v1/notifications", false, fixed!("[]")),
    data("/api/v1/scrape_pools", false, "scrape_pools", handler!(facts::scrape_pools)),
    about("/api/v1/stores", false, handler!(status::stores)),
    Route { methods: POST, takes: Takes::Message, ..data("/api/v1/read", false, "read", handler!(read::read)) },
    data("/federate", false, "federate", handler!(federate::federate)),
    other("/api/v1/write", POST, handler!(about::no_remote_write)),
    other("/api/v1/otlp/v1/metrics", POST, handler!(about::no_otlp_write)),
    other("/api/v1/admin/tsdb/delete_series", ACT, handler!(about::no_admin)),
    other("/api/v1/admin/tsdb/clean_tombstones", ACT, handler!(about::no_admin)),
    other("/api/v1/admin/tsdb/snapshot", ACT, handler!(about::no_admin)),
    other("/api/v1/search/metric_names", GET_POST, handler!(about::no_search)),
    other("/api/v1/search/label_names", GET_POST, handler!(about::no_search)),
    other("/api/v1/search/label_values", GET_POST, handler!(about::no_search)),
    other("/-/healthy", PROBE, handler!(status::healthy)),
    other("/-/ready", PROBE, handler!(status::ready)),
    other("/version", PROBE, handler!(status::version)),
    other("/metrics", PROBE, handler!(status::metrics)),
    other("/", PROBE, handler!(status::page)),
];

/// What a handler answers.
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    /// For log and metrics: `complete`, `partial`, or an error type.
    outcome: &'static str,
    cost: Cost,
    /// For the log: why it failed.
    error: Option<String>,
    /// How the body ended, where that is not known from the beginning.
    ending: Option<Ending>,
}

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    error: QueryError,
    /// The text, where it differs from the error's own.
    text: Option<String>,
    /// Who was asked, where it came to that.
    coverage: Option<Coverage>,
}

impl ApiError {
    fn bad_data(text: String) -> Self {
        Failure { error: QueryError::Invalid(text), coverage: None }.into()
    }

    /// Names the parameter that is wrong, if it is one.
    fn about(mut self, parameter: &str) -> Self {
        if let QueryError::Invalid(text) = &self.error {
            self.text = Some(params::invalid(parameter, text));
        }
        self
    }
}

impl From<Failure> for ApiError {
    fn from(Failure { error, coverage }: Failure) -> Self {
        Self { error, text: None, coverage }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Failure { error, coverage: None }.into()
    }
}

impl From<String> for ApiError {
    fn from(text: String) -> Self {
        Self::bad_data(text)
    }
}

impl Reply {
    /// Bytes as they are.
    fn raw(status: StatusCode, content_type: HeaderValue, body: Body) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Self { status, headers, body, outcome: "complete", cost: Cost::default(), error: None, ending: None }
    }

    /// An error as JSON.
    fn error(status: StatusCode, kind: &'static str, text: String) -> Self {
        let mut reply = Self::raw(status, json(), Body::from(encode::error_body(kind, &text)));
        reply.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        (reply.outcome, reply.error) = (kind, Some(text));
        reply
    }

    /// An error with its text alone.
    fn into_text(self) -> Self {
        let mut plain = status::refusal(self.status, self.error.clone().unwrap_or_default());
        let kept = [header::CACHE_CONTROL, HeaderName::from_static(coverage::HEADER)];
        for (name, value) in kept.iter().filter_map(|name| Some((name, self.headers.get(name)?))) {
            plain.headers.insert(name, value.clone());
        }
        (plain.outcome, plain.error) = (self.outcome, self.error);
        plain
    }

    /// A success in which no store has a part.
    fn plain(success: Success) -> Self {
        Self::raw(StatusCode::OK, json(), success.into_body())
    }

    /// 204, which stands for no data at all.
    fn no_content() -> Self {
        let mut reply = Self::raw(StatusCode::NO_CONTENT, json(), Body::empty());
        reply.headers.clear();
        reply
    }
}

fn json() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

impl Api {
    /// The API over a querier.
    pub fn new(querier: Querier) -> Self {
        Self::with_clock(querier, SystemTime::now)
    }

    fn with_clock(querier: Querier, clock: fn() -> SystemTime) -> Self {
        let (ready, stopping) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { querier, ready, stopping, clock, started: clock(), ids: RequestIds::default() }
    }

    /// From now on data is served.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.querier.metrics.ready.set(1.0);
    }

    /// From now on the server is about to end.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.querier.metrics.ready.set(0.0);
    }

    /// Queries that run now.
    pub fn in_flight(&self) -> usize {
        self.querier.metrics.in_flight.get() as usize
    }

    /// Bytes that are held for queries and their answers now.
    pub fn memory_used(&self) -> usize {
        self.querier.memory.used()
    }

    /// Whether data is served.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed)
    }

    /// An answer with its coverage: as header, among the warnings, and in the JSON where that was asked for.
    fn reply(&self, call: &Call, mut success: Success, coverage: Coverage, cost: Cost) -> Reply {
        let cluster_label = &*self.querier.config.query.cluster_label;
        let mut warnings = coverage::warnings(&coverage, cluster_label);
        warnings.append(&mut success.warnings);
        success.warnings = warnings;
        if matches!(call.params.get("coverage"), "true" | "1") {
            success.coverage = Some((coverage.clone(), cluster_label.into()));
        }
        self.covered(Reply::plain(success), &coverage, cost)
    }

    /// An answer with its coverage as header.
    fn covered(&self, mut reply: Reply, coverage: &Coverage, cost: Cost) -> Reply {
        let value = coverage::header(coverage, &self.querier.config.query.cluster_label);
        reply.headers.insert(HeaderName::from_static(coverage::HEADER), value);
        if !coverage.is_complete() {
            reply.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            reply.outcome = "partial";
        }
        reply.cost = cost;
        reply
    }

    fn failed(&self, failure: ApiError) -> Reply {
        let (kind, status) = failure.error.status();
        let text = failure.text.unwrap_or_else(|| failure.error.to_string());
        // 499 has no name, and is a status all the same.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = Reply::error(status, kind, text);
        if let Some(coverage) = &failure.coverage {
            let value = coverage::header(coverage, &self.querier.config.query.cluster_label);
            reply.headers.insert(HeaderName::from_static(coverage::HEADER), value);
        }
        reply
    }
}

/// Answers one request.
pub async fn serve(api: Arc<Api>, request: http::Request<Body>) -> Response {
    let start = Instant::now();
    let (head, body) = request.into_parts();
    let id = api.ids.of(&head.headers);
    let routed = route(&head.method, &head.uri);
    let with_cors = routed.is_ok() || head.method == Method::OPTIONS;
    let follow = |params: Option<&Params>, route: &Route, reply: &mut Reply| {
        if let Some(endpoint) = route.data {
            Record::new(&api, endpoint, (&id, start), params, reply).follow(reply);
        }
    };
    let mut reply = match routed {
        Err(reply) => *reply,
        Ok((route, name)) => match body::read(&api, route, &head, body).await {
            Err(failure) => {
                let mut reply = failure.into_reply(route);
                follow(None, route, &mut reply);
                reply
            }
            Ok((params, body, held)) => {
                let accept = head.headers.get(header::ACCEPT).cloned();
                let call = Call { params, name, now: (api.clock)(), accept, body, _held: held };
                let mut reply = answer(&api, route, &call).await;
                follow(Some(&call.params), route, &mut reply);
                reply
            }
        },
    };
    if with_cors && head.uri.path().starts_with(API_PREFIX) {
        cors::add(&head.headers, &api.querier.config.cors_origin, &mut reply.headers);
    }
    if let Ok(id) = HeaderValue::try_from(&id) {
        reply.headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

async fn answer(api: &Api, route: &Route, call: &Call) -> Reply {
    if route.waits() && !api.ready.load(Ordering::Relaxed) {
        let mut reply = status::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        let stopping = if api.stopping.load(Ordering::Relaxed) { "true" } else { "false" };
        reply.headers.insert("x-prometheus-stopping", HeaderValue::from_static(stopping));
        reply.outcome = "unavailable";
        return reply;
    }
    (route.handler)(api, call).await.unwrap_or_else(|failure| {
        let reply = api.failed(failure);
        if route.has_text_errors() { reply.into_text() } else { reply }
    })
}

/// The endpoint of a request and what its path has in place of `*`; or the answer, where there is none.
fn route(method: &Method, uri: &Uri) -> Result<(&'static Route, String), Box<Reply>> {
    if method == Method::OPTIONS && uri.path().starts_with(API_PREFIX) {
        return Err(Box::new(Reply::no_content()));
    }
    let Ok(path) = params::percent_decode(uri.path().as_bytes(), false) else {
        return Err(Box::new(status::text(StatusCode::BAD_REQUEST, "400 Bad Request")));
    };
    let Some((route, name)) = find(&path) else {
        let plain = clean(&path);
        return Err(Box::new(match find(&plain) {
            Some(_) if plain != path => moved(method, (&path, &plain), uri.query()),
            _ => status::refusal(StatusCode::NOT_FOUND, "404 page not found"),
        }));
    };
    if method != Method::OPTIONS && route.methods.split(", ").any(|known| known == method.as_str()) {
        return Ok((route, name));
    }
    let mut reply = match *method {
        Method::OPTIONS => Reply { status: StatusCode::OK, ..Reply::no_content() },
        _ => status::refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    };
    reply.headers.insert(header::ALLOW, HeaderValue::from_static(route.methods));
    Err(Box::new(reply))
}

/// The endpoint of a decoded path and what that has in place of `*`.
fn find(path: &str) -> Option<(&'static Route, String)> {
    ROUTES.iter().find_map(|route| Some((route, match_path(route.path, path)?)))
}

/// A path without doubled slashes, one at the end, `.` and `..`.
fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    segments.into_iter().fold(String::new(), |path, segment| path + "/" + segment)
}

/// Sends the client to the path that it most likely meant. What is no GET is to be repeated as it was, as by Go's routers, of
/// which the one for odd paths never says for how long.
fn moved(method: &Method, (from, path): (&str, &str), query: Option<&str>) -> Reply {
    let status = match *method == Method::GET && from.strip_suffix('/') == Some(path) {
        true => StatusCode::MOVED_PERMANENTLY,
        false => StatusCode::TEMPORARY_REDIRECT,
    };
    let mut location = params::percent_encode(path, |byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
    if let Some(query) = query {
        location = location + "?" + query;
    }
    let mut reply = status::text(status, "Moved\n");
    if let Ok(location) = HeaderValue::try_from(location) {
        reply.headers.insert(header::LOCATION, location);
    }
    reply
}

/// What `path` has in place of the `*` of `pattern`, not empty; None where it does not match.
fn match_path(pattern: &str, path: &str) -> Option<String> {
    let Some((before, after)) = pattern.split_once('*') else {
        return (pattern == path).then(String::new);
    };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
}

/// Makes request ids that differ within this process and most likely among processes.
#[derive(Default)]
struct RequestIds {
    seed: RandomState,
    count: AtomicU64,
}

impl RequestIds {
    /// The id that came with the request, if it is fit for a header and a log line, or a new one.
    fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        match given.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())) {
            Some(id) => id.to_owned(),
            None => format!("{:016x}", self.seed.hash_one(self.count.fetch_add(1, Ordering::Relaxed))),
        }
    }
}
