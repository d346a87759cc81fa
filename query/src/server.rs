//! The listeners, from start to the last drained query.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use masthead_store::Budget;
use masthead_store::serve::{self, ParseSelectors, ServeOptions, StoreService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceBuilder;
use tower_http::compression::{CompressionLayer, CompressionLevel};

use self::raw_url::RawUrl;
use crate::api::{self, Api};
use crate::config::Config;
use crate::error::QueryError;
use crate::metrics::Metrics;
use crate::promql;
use crate::querier::Querier;
use crate::stores::StoreSet;

mod raw_url;

/// HTTP connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the server cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// The flag that sets the address.
        flag: &'static str,
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// Something else.
    Other(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen { flag, address, error } => {
                write!(f, "listen on {address}: {error}; --{flag} sets the address")
            }
            StartError::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

impl From<QueryError> for StartError {
    fn from(error: QueryError) -> Self {
        StartError::Other(error.to_string())
    }
}

/// A server in this process.
pub struct Server;

/// A server that runs until it is shut down or dropped; dropping it ends everything at once.
pub struct Running {
    /// Where HTTP listens.
    pub http_address: SocketAddr,
    /// Where the StoreAPI server listens.
    pub grpc_address: Option<SocketAddr>,
    api: Arc<Api>,
    ready: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    drain: Duration,
    /// The listeners.
    listeners: JoinSet<()>,
    /// What goes on beside them, without an end.
    background: JoinSet<()>,
}

impl Server {
    /// Opens the listeners and starts to ask the stores; see [`Running::ready`].
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let memory = Budget::new("process", config.limits.memory);
        let stores = StoreSet::new(&config.sources, &memory);
        let stores = stores.map_err(|error| StartError::Other(error.to_string()))?;
        Self::start_over(config, stores, memory).await
    }

    /// As [`Server::start`], over stores that are there already.
    pub async fn start_with(config: Config, stores: StoreSet) -> Result<Running, StartError> {
        let memory = Budget::new("process", config.limits.memory);
        Self::start_over(config, stores, memory).await
    }

    async fn start_over(config: Config, stores: StoreSet, memory: Budget) -> Result<Running, StartError> {
        let config = Arc::new(config);
        let stores = Arc::new(stores);
        let metrics = Arc::new(Metrics::new(config.limits.memory));
        let querier = Querier::new(config.clone(), stores.clone(), metrics, memory.clone())?;
        let api = Arc::new(Api::new(querier));
        let (http, http_address) = listen("http-address", &config.listen.http).await?;
        let grpc = match &config.listen.grpc {
            Some(address) => Some(listen("grpc-address", address).await?),
            None => None,
        };
        let grpc_address = grpc.as_ref().map(|(_, address)| *address);
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        listeners.spawn(serve_http(http, api.clone(), stopped.clone(), config.query.timeout));
        let (set_ready, ready) = watch::channel(false);
        let service = store_service(&config, stores.clone(), memory).starting();
        if let Some((grpc, _)) = grpc {
            listeners.spawn(serve_grpc(grpc, service.clone(), stopped));
        }
        let mut background = JoinSet::new();
        background.spawn({
            let api = api.clone();
            async move {
                stores.first_look().await;
                api.set_ready();
                service.set_ready();
                // Nobody may wait for it.
                let _ = set_ready.send(true);
                stores.keep_fresh().await;
            }
        });
        let drain = config.query.timeout;
        Ok(Running { http_address, grpc_address, api, ready, stop, drain, listeners, background })
    }
}

impl Running {
    /// Waits until the block folders are read and each peer has answered its first question or run out its time.
    pub async fn ready(&self) {
        // It fails only when the server ends.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Waits until the looking after the stores breaks off, which only a fault of ours can do: their states would stay as they
    /// are from then on.
    pub async fn broken(&mut self) {
        while self.background.join_next().await.is_some() {}
    }

    /// Stops to accept and waits for what runs, at most as long as a query may take.
    pub async fn shutdown(mut self) {
        self.api.set_stopping();
        let _ = self.stop.send(true);
        let drained = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(self.drain + Duration::from_secs(1), drained).await.is_err() {
            tracing::warn!("some queries did not end in time");
        }
    }
}

/// The stores of this server as a store of others.
fn store_service(config: &Config, stores: Arc<StoreSet>, memory: Budget) -> StoreService {
    let options = ServeOptions {
        timeout: config.query.timeout,
        response_timeout: config.sources.response_timeout,
        memory_bytes_max: config.limits.query_memory,
        replica_labels: config.query.replica_labels.clone(),
        ..ServeOptions::default()
    };
    let parse = config.parse_options();
    let selectors: ParseSelectors = Arc::new(move |query| {
        let expr = promql::parse(query, &parse).map_err(|error| error.to_string())?;
        Ok(expr.selectors().into_iter().map(<[_]>::to_vec).collect())
    });
    StoreService::with_parser(Arc::new(move || stores.list()), memory, options, Some(selectors))
}

/// Serves until told to stop, then waits for the calls under way.
async fn serve_grpc(listener: TcpListener, service: StoreService, mut stopped: watch::Receiver<bool>) {
    let until = async move {
        // It fails only when the server ends.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(error) = serve::listen(service, listener, until).await {
        tracing::error!(%error, "the StoreAPI server ended");
    }
}

async fn listen(flag: &'static str, address: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { flag, address: address.to_owned(), error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// Accepts and serves connections until told to stop, then waits for those that are busy. `patience` is how long it waits for
/// them, and for a client that does not read its answer.
async fn serve_http(listener: TcpListener, api: Arc<Api>, mut stopped: watch::Receiver<bool>, patience: Duration) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else { continue };
        let connection = graceful.watch(http_connection(stream, api.clone(), patience));
        connections.spawn(async move {
            // A connection that breaks is the client's affair.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
        tracing::warn!("queries are ended that did not end by themselves");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "accept a connection");
            // Out of file descriptors, most likely: others must close first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// One connection: answers are compressed where the client takes that.
fn http_connection(
    stream: TcpStream,
    api: Arc<Api>,
    patience: Duration,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Small answers must not wait for more; without it they are only slower.
    let _ = stream.set_nodelay(true);
    // An answer that nobody reads holds memory that others want.
    let mut stream = TimeoutStream::new(RawUrl::new(stream));
    stream.set_write_timeout(Some(patience));
    let answer = tower::service_fn(move |request: http::Request<Incoming>| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(api::serve(api, request.map(Body::new)).await) }
    });
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    let service = ServiceBuilder::new().map_request(with_first_encoding).layer(compression).service(answer);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // `Masthead-Coverage` reads better than all small letters.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service))
}

/// Leaves of the encodings that a client takes the first one that is known, by which Prometheus compresses, whatever their
/// weights (util/httputil/compression.go).
fn with_first_encoding<B>(mut request: http::Request<B>) -> http::Request<B> {
    let headers = request.headers_mut();
    let all = headers.remove(header::ACCEPT_ENCODING);
    let refused = |parameters: &str| matches!(parameters.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
    let known = |clause: &str| {
        let (name, parameters) = clause.split_once(';').unwrap_or((clause, ""));
        ["gzip", "deflate"].into_iter().find(|known| name.trim().eq_ignore_ascii_case(known) && !refused(parameters))
    };
    let first = all.as_ref().and_then(|all| all.to_str().ok()?.split(',').find_map(known));
    if let Some(first) = first {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(first));
    }
    request
}

#[cfg(test)]
mod tests {
    use masthead_store::testing::{Fault, FaultyStore, MemoryStore};
    use masthead_store::{Labels, Samples, Store};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        config.listen.http = "127.0.0.1:0".to_owned();
        config.listen.grpc = None;
        config
    }

    fn memory() -> MemoryStore {
        let samples = Samples { timestamps: vec![1000], values: vec![1.0], ..Samples::default() };
        let series: Vec<_> = (0..2000)
            .map(|i| (Labels::from_pairs([("__name__", "up"), ("i", &format!("{i}"))]), samples.clone()))
            .collect();
        MemoryStore::new("memory", &Labels::empty(), &series)
    }

    async fn get(address: SocketAddr, target: &str, headers: &str) -> io::Result<(String, Vec<u8>)> {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body = all.split_off(end);
        Ok((String::from_utf8(all).unwrap(), body))
    }

    #[tokio::test]
    async fn answers_are_compressed_for_those_who_take_it() {
        let running = Server::start_with(config(), StoreSet::fixed(vec![Arc::new(memory())])).await.unwrap();
        running.ready().await;
        let (head, body) = get(running.http_address, "/api/v1/series?match[]=up", "").await.unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nMasthead-Coverage: complete\r\n"),
            "{head}"
        );
        let plain = body.len();
        let (head, body) =
            get(running.http_address, "/api/v1/series?match[]=up", "Accept-Encoding: gzip\r\n").await.unwrap();
        assert!(head.contains("Content-Encoding: gzip\r\n"), "{head}");
        assert!(body.len() * 4 < plain, "{} of {plain}", body.len());
        for (accepted, encoding) in [
            ("deflate, gzip", "deflate"),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
            ("gzip;q=0, deflate", "deflate"),
            ("zstd, br", ""),
        ] {
            let accepted = format!("Accept-Encoding: {accepted}\r\n");
            let (head, _) = get(running.http_address, "/api/v1/series?match[]=up", &accepted).await.unwrap();
            let found = head.lines().find_map(|line| line.strip_prefix("Content-Encoding: ")).unwrap_or("");
            assert_eq!(found, encoding, "{accepted}");
        }
        running.shutdown().await;
    }

    #[tokio::test]
    async fn urls_may_hold_quotes() {
        let running = Server::start_with(config(), StoreSet::fixed(vec![Arc::new(memory())])).await.unwrap();
        running.ready().await;
        let target = "/api/v1/query?query=up{i=\"7\"}<2&time=1";
        let (head, body) = get(running.http_address, target, "").await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains(r#"{"__name__":"up","i":"7"}"#));
        running.shutdown().await;
    }

    /// Its connection ends, and with it what the answer holds.
    #[tokio::test]
    async fn a_client_that_does_not_read_is_left() {
        let mut config = config();
        config.query.timeout = Duration::from_secs(2);
        let running = Server::start_with(config, StoreSet::fixed(vec![Arc::new(memory())])).await.unwrap();
        running.ready().await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(running.http_address).await.unwrap();
        let target = "/api/v1/query_range?query=up&start=1&end=300&step=1";
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        assert!(running.api.memory_used() > 0, "the answer waits");
        while running.api.memory_used() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.shutdown().await;
    }

    #[tokio::test]
    async fn a_taken_port_names_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = config();
        config.listen.http = taken.local_addr().unwrap().to_string();
        let error = Server::start(config).await.err().unwrap().to_string();
        assert!(
            error.starts_with("listen on 127.0.0.1:") && error.ends_with("--http-address sets the address"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_runs_is_drained_and_nothing_new_is_accepted() {
        let slow = FaultyStore::new(Arc::new(memory()), Fault::Delay(Duration::from_millis(300)));
        let running =
            Server::start_with(config(), StoreSet::fixed(vec![Arc::new(slow) as Arc<dyn Store>])).await.unwrap();
        running.ready().await;
        let address = running.http_address;
        let asked = tokio::spawn(get(address, "/api/v1/series?match[]=up", ""));
        while running.api.in_flight() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.shutdown().await;
        let (head, body) = asked.await.unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "the whole answer came: {head}");
        assert!(body.ends_with(b"]}"));
        assert!(get(address, "/-/healthy", "").await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn what_does_not_end_is_ended_after_the_time_for_a_query() {
        let hanging = FaultyStore::new(Arc::new(memory()), Fault::Stall(0));
        let mut config = config();
        config.query.timeout = Duration::from_millis(200);
        let stores = StoreSet::fixed(vec![Arc::new(hanging) as Arc<dyn Store>]);
        let running = Server::start_with(config, stores).await.unwrap();
        running.ready().await;
        let asked = tokio::spawn(get(running.http_address, "/api/v1/series?match[]=up", ""));
        while running.api.in_flight() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::timeout(Duration::from_secs(20), running.shutdown()).await.unwrap();
        let (head, _) = asked.await.unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    }
}
