//! A StoreAPI peer that does as it is told: plays messages, hangs, breaks off.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use masthead_proto::{path, thanos as proto};
use masthead_store::Samples;
use masthead_store::chunk;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;

/// What a peer does next in an answer.
#[derive(Debug, Clone)]
pub enum Part {
    /// Sends a message.
    Message(Bytes),
    /// Sends bytes without the head of a message.
    Raw(Bytes),
    /// Says nothing for ever.
    Hang,
    /// Resets the stream.
    Reset,
    /// Closes the connection.
    Close,
    /// Ends with a gRPC status. Without any such part the end is OK.
    Status(i32, &'static str),
    /// Ends without a status.
    End,
}

/// A peer that listens until it is dropped.
#[derive(Debug)]
pub struct Peer {
    /// Where.
    pub address: SocketAddr,
    parts: Script,
    _task: JoinSet<()>,
}

/// What a peer does in answer to calls of a path; those of the empty path to all others.
type Script = Arc<Mutex<HashMap<String, Vec<Part>>>>;

impl Peer {
    /// A peer that advertises one set of external labels, all times, and that it removes replica labels itself.
    pub async fn start(external: &[(&str, &str)]) -> io::Result<Self> {
        Self::start_as(facts(external)).await
    }

    /// A peer that says this of itself.
    pub async fn start_as(info: proto::info::InfoResponse) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let parts = Script::default();
        let (script, facts) = (parts.clone(), Part::Message(info.encode_to_vec().into()));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, script.clone(), facts.clone()));
            }
        });
        Ok(Self { address, parts, _task: task })
    }

    /// What it does in answer to all calls from now on but those for its facts.
    pub fn play(&self, parts: Vec<Part>) {
        self.play_at("", parts);
    }

    /// What it does in answer to all calls of `path` from now on.
    pub fn play_at(&self, path: &str, parts: Vec<Part>) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), parts);
    }
}

async fn serve(socket: TcpStream, script: Script, facts: Part) {
    let close = Arc::new(Notify::new());
    let closing = close.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let parts = match request.uri().path() {
            path::INFO => vec![facts.clone()],
            path => {
                let script = script.lock().unwrap_or_else(PoisonError::into_inner);
                script.get(path).or_else(|| script.get("")).cloned().unwrap_or_default()
            }
        };
        let answer = answer(parts, closing.clone());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
    // How it ends is the client's affair.
    tokio::select! {
        _ = connection => {}
        () = close.notified() => {}
    }
}

fn answer(mut parts: Vec<Part>, close: Arc<Notify>) -> Response<Body> {
    match parts.last() {
        Some(Part::End) => drop(parts.pop()),
        Some(Part::Status(..) | Part::Hang | Part::Reset | Part::Close) => {}
        Some(Part::Message(_) | Part::Raw(_)) | None => parts.push(Part::Status(0, "")),
    }
    let frames = stream::iter(parts).then(move |part| play(part, close.clone()));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn play(part: Part, close: Arc<Notify>) -> BoxFuture<'static, Result<Frame<Bytes>, Status>> {
    async move {
        match part {
            Part::Message(message) => {
                let head = (message.len() as u32).to_be_bytes();
                Ok(Frame::data([&[0][..], &head, &message].concat().into()))
            }
            Part::Raw(bytes) => Ok(Frame::data(bytes)),
            Part::Hang => std::future::pending().await,
            Part::Close => {
                close.notify_one();
                std::future::pending().await
            }
            Part::Reset => Err(Status::unavailable("reset")),
            Part::End => Ok(Frame::data(Bytes::new())),
            Part::Status(code, text) => {
                let mut trailers = HeaderMap::new();
                Status::new(code.into(), text).add_header(&mut trailers)?;
                Ok(Frame::trailers(trailers))
            }
        }
    }
    .boxed()
}

fn labels(pairs: &[(&str, &str)]) -> Vec<proto::Label> {
    pairs.iter().map(|(name, value)| proto::Label { name: (*name).into(), value: (*value).into() }).collect()
}

fn facts(external: &[(&str, &str)]) -> proto::info::InfoResponse {
    proto::info::InfoResponse {
        label_sets: vec![proto::LabelSet { labels: labels(external) }],
        component_type: "sidecar".into(),
        store: Some(proto::info::StoreInfo {
            min_time: 0,
            max_time: i64::MAX,
            supports_without_replica_labels: true,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A message of one series with these samples in XOR chunks.
pub fn series(pairs: &[(&str, &str)], samples: &Samples) -> Part {
    let chunks = chunk::encode(&samples.timestamps, &samples.values);
    let chunks = chunks.into_iter().map(|chunk| raw(chunk.min_time, chunk.max_time, chunk.data));
    message(proto::series_response::Result::Series(proto::Series { labels: labels(pairs), chunks: chunks.collect() }))
}

/// A message of one series with one XOR chunk of these bytes; None: a chunk without raw data.
pub fn chunk_of(pairs: &[(&str, &str)], (min_time, max_time): (i64, i64), data: Option<&'static [u8]>) -> Part {
    let chunk = match data {
        Some(data) => raw(min_time, max_time, data.into()),
        None => proto::AggrChunk { min_time, max_time, ..Default::default() },
    };
    message(proto::series_response::Result::Series(proto::Series { labels: labels(pairs), chunks: vec![chunk] }))
}

fn raw(min_time: i64, max_time: i64, data: Bytes) -> proto::AggrChunk {
    let raw = proto::Chunk { r#type: proto::chunk::Encoding::Xor.into(), data, hash: 0 };
    proto::AggrChunk { min_time, max_time, raw: Some(raw), ..Default::default() }
}

/// A message with a warning.
pub fn warning(text: &str) -> Part {
    message(proto::series_response::Result::Warning(text.into()))
}

fn message(result: proto::series_response::Result) -> Part {
    Part::Message(proto::SeriesResponse { result: Some(result) }.encode_to_vec().into())
}
