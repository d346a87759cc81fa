//! Our own StoreAPI server, so that a Masthead is a store of another Masthead or of a Thanos Querier.
//!
//! What it serves is what the fan-out over its stores gives: sorted on the final labels, replica labels removed on
//! request. The StoreAPI knows no lanes: with replica labels removed, the chunks of all lanes of a series come in one
//! series, as from a Thanos Querier. A Masthead in front asks once per replica instead and keeps them apart.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use futures::future::ready;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use masthead_proto::path;
use masthead_proto::thanos::info::InfoRequest;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::server::Grpc;
use tonic::{Code, Status};

use crate::budget::Budget;
use crate::coverage::{Coverage, Outcome};
use crate::error::{StoreError, StoreErrorKind};
use crate::facts::{Kind, Kinds};
use crate::fanout::FanOutOptions;
use crate::matcher::{MatchOp, Matcher};
use crate::{Gap, Select, Store};

mod codec;
mod expiring;
pub mod exposition;
mod facts;
mod frame;
mod health;
mod info;
mod names;
pub mod remote_read;
mod series;
mod transcode;

/// The stores behind a server, as they are now.
pub type Stores = Arc<dyn Fn() -> Vec<Arc<dyn Store>> + Send + Sync>;

/// Bounds of a server, and what it calls itself.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Component type in `thanos.info.Info`: `query`, `sidecar`, `store`, ...
    pub component: &'static str,
    /// Longest time for one call, where the caller sets no shorter deadline.
    pub timeout: Duration,
    /// How long one store behind may be silent.
    pub response_timeout: Duration,
    /// Bytes of series that may wait for a slow reader.
    pub buffer_bytes: usize,
    /// Bytes that one call may hold.
    pub memory_bytes_max: usize,
    /// Labels that tell replicas apart where nobody behind this server can: in numbers that are added up.
    pub replica_labels: Vec<Box<str>>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            component: "query",
            timeout: Duration::from_secs(120),
            response_timeout: Duration::from_secs(5),
            buffer_bytes: 4 << 20,
            memory_bytes_max: usize::MAX,
            replica_labels: Vec::new(),
        }
    }
}

/// HTTP/2 window of a stream, bytes. The default of 64 KiB makes a loopback transfer two to three times as expensive.
const STREAM_WINDOW: u32 = 4 << 20;
/// Window of a connection, bytes: the largest there is, so that no stream waits for another one's reader.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Streams of a connection at once. A stream that waits for its reader keeps its place, so that the usual 200 would let
/// the queries of one caller wait for each other.
const STREAMS_MAX: u32 = 1 << 16;
/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long a connection may be silent before it is asked for a sign of life, and how long that may take: what a caller
/// that vanished without a word had asked for is freed then.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// What the compiled matchers of a request may take, bytes.
const MATCHERS_BYTES_MAX: usize = 128 << 20;
/// Largest request, bytes: matchers of a few hundred KiB are in use.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Reads the selectors of a PromQL expression; the error is for people. This crate knows no PromQL.
pub type ParseSelectors = Arc<dyn Fn(&str) -> Result<Vec<Vec<Matcher>>, String> + Send + Sync>;

/// `thanos.Store`, `thanos.info.Info`, `grpc.health.v1.Health` and the services for facts besides series, over a set of
/// stores. Cheap to clone.
#[derive(Clone)]
pub struct StoreService(Arc<Inner>);

struct Inner {
    stores: Stores,
    budget: Budget,
    options: ServeOptions,
    /// Exemplars are served where it is there.
    parse_selectors: Option<ParseSelectors>,
    /// Turns at making chunks anew for readers that do not know them: as many as there are processors.
    transcoding: Arc<Semaphore>,
    state: watch::Sender<State>,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// What its stores hold is not known yet.
    Starting,
    Ready,
    /// Calls under way may end, and no connection is accepted any more.
    Stopping,
}

impl StoreService {
    /// Serves `stores`; what a call holds counts against `budget`.
    pub fn new(stores: Stores, budget: Budget, options: ServeOptions) -> Self {
        Self::with_parser(stores, budget, options, None)
    }

    /// Serves `stores`, exemplars too where there is a parser for what they are asked for with.
    pub fn with_parser(
        stores: Stores,
        budget: Budget,
        options: ServeOptions,
        parse_selectors: Option<ParseSelectors>,
    ) -> Self {
        let state = watch::Sender::new(State::Ready);
        let transcoding = Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get)));
        Self(Arc::new(Inner { stores, budget, options, parse_selectors, transcoding, state }))
    }

    /// Refuses all calls but those for readiness until [`set_ready`](Self::set_ready): what a server advertises before
    /// it knows its stores would keep questions away.
    pub fn starting(self) -> Self {
        self.0.state.send_replace(State::Starting);
        self
    }

    /// The stores are known.
    pub fn set_ready(&self) {
        self.0.state.send_if_modified(|state| {
            let starting = *state == State::Starting;
            if starting {
                *state = State::Ready;
            }
            starting
        });
    }

    async fn call(self, request: Request<Incoming>) -> Response<tonic::body::Body> {
        let deadline =
            Instant::now() + grpc_timeout(request.headers()).unwrap_or(Duration::MAX).min(self.0.options.timeout);
        let call = Call { service: self, deadline };
        let is_starting = *call.service.0.state.borrow() == State::Starting;
        match request.uri().path() {
            path::HEALTH_CHECK => unary(request, |asked| ready(call.health(&asked))).await,
            path::HEALTH_WATCH => {
                let watch =
                    |asked: tonic::Request<_>| ready(Ok(tonic::Response::new(call.watch_health(asked.get_ref()))));
                grpc(codec::Messages::default()).server_streaming(tower::service_fn(watch), request).await
            }
            path if is_starting && !path.starts_with("/grpc.") => {
                Status::unavailable("not ready: the stores are asked for the first time").into_http()
            }
            path::SERIES => grpc(codec::Series).server_streaming(call, request).await,
            path::LABEL_NAMES => unary(request, |asked| call.clone().label_names(asked)).await,
            path::LABEL_VALUES => unary(request, |asked| call.clone().label_values(asked)).await,
            path::INFO => unary(request, |_: InfoRequest| ready(Ok(call.info()))).await,
            path => match facts::kind_of(path).filter(|kind| call.serves().has(*kind)) {
                Some(kind) => call.answer(kind, request).await,
                None => unimplemented(path).into_http(),
            },
        }
    }
}

/// In the words of Go's gRPC, which peers know.
fn unimplemented(path: &str) -> Status {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    Status::unimplemented(match service {
        "thanos.Store" | "thanos.info.Info" | "grpc.health.v1.Health" => {
            format!("unknown method {method} for service {service}")
        }
        _ => format!("unknown service {service}"),
    })
}

fn grpc<C: tonic::codec::Codec>(codec: C) -> Grpc<C> {
    Grpc::new(codec).max_decoding_message_size(REQUEST_BYTES_MAX).max_encoding_message_size(usize::MAX)
}

/// Answers a call that has one message each way.
async fn unary<Q, A, F>(
    request: Request<Incoming>,
    mut answer: impl FnMut(Q) -> F + Send,
) -> Response<tonic::body::Body>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
    F: Future<Output = Result<A, Status>> + Send,
{
    let service = tower::service_fn(|asked: tonic::Request<Q>| {
        let answer = answer(asked.into_inner());
        async { answer.await.map(tonic::Response::new) }
    });
    grpc(codec::Messages::default()).unary(service, request).await
}

/// Answers a call with a stream of messages.
async fn streamed<Q, A, F>(
    request: Request<Incoming>,
    mut answer: impl FnMut(Q) -> F + Send,
) -> Response<tonic::body::Body>
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
    F: Future<Output = Result<facts::Answers<A>, Status>> + Send,
{
    let service = tower::service_fn(|asked: tonic::Request<Q>| {
        let answer = answer(asked.into_inner());
        async { answer.await.map(tonic::Response::new) }
    });
    grpc(codec::Messages::default()).server_streaming(service, request).await
}

/// One call: the service and when it must have ended.
#[derive(Clone)]
struct Call {
    service: StoreService,
    deadline: Instant,
}

impl Call {
    fn stores(&self) -> Vec<Arc<dyn Store>> {
        (self.service.0.stores)()
    }

    /// What the stores behind serve besides series.
    fn serves(&self) -> Kinds {
        let all = self.stores().iter().fold(Kinds::NONE, |all, store| all.union(store.info().serves));
        let exemplars = all.has(Kind::Exemplars) && self.service.0.parse_selectors.is_some();
        Kind::ALL.into_iter().filter(|kind| all.has(*kind) && (*kind != Kind::Exemplars || exemplars)).collect()
    }

    fn options(&self) -> &ServeOptions {
        &self.service.0.options
    }

    fn budget(&self) -> Budget {
        self.service.0.budget.child("StoreAPI call", self.options().memory_bytes_max)
    }

    fn fan_out(&self) -> FanOutOptions {
        FanOutOptions {
            buffer_bytes: self.options().buffer_bytes,
            response_timeout: self.options().response_timeout,
            deadline: self.deadline,
        }
    }
}

/// The deadline that the caller asks for (gRPC over HTTP/2, header `grpc-timeout`).
fn grpc_timeout(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// The parts of a request that select series: matchers on the wire, times (ms, inclusive), labels to be removed.
struct Asked<'a> {
    matchers: &'a [masthead_proto::thanos::LabelMatcher],
    times: (i64, i64),
    replica_labels: &'a [String],
    limit: i64,
}

impl Asked<'_> {
    fn select(&self) -> Result<Select, Status> {
        Ok(Select {
            matchers: matchers(self.matchers)?,
            min_time: self.times.0,
            max_time: self.times.1,
            replica_labels: self.replica_labels.iter().map(|name| name.as_str().into()).collect(),
            labels_only: false,
            limit: usize::try_from(self.limit).unwrap_or(0),
        })
    }
}

fn matchers(wire: &[masthead_proto::thanos::LabelMatcher]) -> Result<Vec<Matcher>, Status> {
    let mut bytes = 0;
    let compiled = wire.iter().map(|wire| {
        let matcher = matcher(wire)?;
        bytes += matcher.size_bytes();
        if bytes > MATCHERS_BYTES_MAX {
            return Err(Status::resource_exhausted("the matchers of the request are too large together"));
        }
        Ok(matcher)
    });
    compiled.collect()
}

fn matcher(wire: &masthead_proto::thanos::LabelMatcher) -> Result<Matcher, Status> {
    let op = match wire.r#type {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        other => return Err(Status::invalid_argument(format!("unrecognized label matcher type {other}"))),
    };
    Matcher::new(&wire.name, op, &wire.value).map_err(Status::invalid_argument)
}

/// How an error of ours looks to a gRPC caller.
fn status(error: &StoreError) -> Status {
    let code = match error.kind {
        StoreErrorKind::Timeout => Code::DeadlineExceeded,
        StoreErrorKind::Unavailable => Code::Unavailable,
        StoreErrorKind::Corrupt => Code::DataLoss,
        StoreErrorKind::LimitExceeded => Code::ResourceExhausted,
        StoreErrorKind::Refused => Code::InvalidArgument,
        StoreErrorKind::Unsupported => Code::Unimplemented,
    };
    Status::new(code, error.to_string())
}

/// What is missing, a sentence each, for warnings or an abort.
fn shortcomings(coverage: &Coverage) -> Vec<String> {
    let mut texts = Vec::new();
    for asked in &coverage.asked {
        if let Outcome::Failed { error, .. } = &asked.outcome {
            texts.push(format!("store {} is missing: {error}", asked.store));
        }
        texts.extend(asked.gaps.iter().map(|gap| {
            let Gap { labels, min_time, max_time, reason } = gap;
            format!("store {} lacks {labels} from {min_time} to {max_time} ms: {reason}", asked.store)
        }));
    }
    texts
}

/// Serves on `listener` until `shutdown` ends, from when on the service is not ready, then lets calls under way end.
/// Dropping the future ends all at once.
pub async fn listen(
    service: StoreService,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    let (state, timeout) = (service.0.state.clone(), service.0.options.timeout);
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors or the like: the next one may be accepted again.
                tracing::warn!(%error, "accepting a gRPC connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Without it small frames wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let handler = tower::service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(Box::pin(service.call(request)).await) }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(handler));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that breaks is its caller's business.
            let _ = connection.await;
        });
    }
    drop(listener);
    state.send_replace(State::Stopping);
    // What is still under way when the time is up ends with `connections`.
    let _ = tokio::time::timeout(timeout, graceful.shutdown()).await;
    Ok(())
}

#[cfg(test)]
mod tests;
