//! A StoreAPI peer that does as it is told: plays messages, hangs, breaks off.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::service::Service;
use masthead_proto::thanos as proto;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;

use crate::remote::{RemoteOptions, RemoteStore};

/// What a peer does next in an answer.
#[derive(Clone)]
pub(crate) enum Part {
    /// Sends a message.
    Message(Bytes),
    /// Sends bytes without a head.
    Raw(Bytes),
    /// Says nothing for ever.
    Hang,
    /// Waits to be told to go on.
    Wait(Arc<Notify>),
    /// Tells that it is here.
    Tell(Arc<Notify>),
    /// Resets the stream.
    Break,
    /// Ends with this status instead of OK.
    Status(i32, &'static str),
}

pub(super) mod listener;

type Script = Arc<dyn Fn(&str, Bytes) -> Vec<Part> + Send + Sync>;

/// A peer that is listening until it is dropped.
pub(crate) struct TestPeer {
    pub(crate) address: SocketAddr,
    /// Told whenever an answer is dropped or done.
    pub(crate) answer_gone: Arc<Notify>,
    _task: JoinSet<()>,
}

impl TestPeer {
    /// A peer whose answer to the call of a path with a request `script` gives.
    pub(crate) async fn start(script: impl Fn(&str, Bytes) -> Vec<Part> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer_gone = Arc::new(Notify::new());
        let mut task = JoinSet::new();
        task.spawn(listener::listen(listener, service(script, answer_gone.clone())));
        Self { address, answer_gone, _task: task }
    }

    /// A store of this peer that has asked for its facts once.
    pub(crate) async fn store(&self) -> RemoteStore {
        self.store_with(RemoteOptions::default()).await
    }

    pub(crate) async fn store_with(&self, options: RemoteOptions) -> RemoteStore {
        let store = RemoteStore::new(&self.address.to_string(), options).unwrap();
        store.poll_info(SystemTime::UNIX_EPOCH).await;
        store
    }
}

/// Answers each call as `script` says.
pub(super) fn service(
    script: impl Fn(&str, Bytes) -> Vec<Part> + Send + Sync + 'static,
    gone: Arc<Notify>,
) -> impl Service<http::Request<Incoming>, Response = http::Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let script: Script = Arc::new(script);
    hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (script, gone) = (script.clone(), Gone(gone.clone()));
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(answer(script(&path, body.slice(5..)), gone))
        }
    })
}

struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn answer(mut parts: Vec<Part>, gone: Gone) -> http::Response<Body> {
    if !matches!(parts.last(), Some(Part::Status(..) | Part::Hang | Part::Break)) {
        parts.push(Part::Status(0, ""));
    }
    let frames = stream::iter(parts).then(move |part| {
        let _gone = &gone;
        play(part)
    });
    let mut response = http::Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    response
}

fn play(part: Part) -> futures::future::BoxFuture<'static, Result<Frame<Bytes>, Status>> {
    Box::pin(async move {
        Ok(Frame::data(match part {
            Part::Message(message) => framed(&message),
            Part::Raw(bytes) => bytes,
            Part::Hang => std::future::pending().await,
            Part::Wait(notify) => {
                notify.notified().await;
                Bytes::new()
            }
            Part::Tell(notify) => {
                notify.notify_one();
                Bytes::new()
            }
            Part::Break => return Err(Status::unavailable("broken")),
            Part::Status(code, message) => {
                let mut trailers = http::HeaderMap::new();
                Status::new(code.into(), message).add_header(&mut trailers).unwrap();
                return Ok(Frame::trailers(trailers));
            }
        }))
    })
}

pub(crate) fn framed(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}

/// The answer to a question for facts.
pub(crate) fn facts(label_sets: &[&[(&str, &str)]], removes_replica_labels: bool) -> Part {
    let label_sets = label_sets.iter().map(|set| proto::LabelSet { labels: labels(set) }).collect();
    let store = proto::info::StoreInfo {
        min_time: 0,
        max_time: i64::MAX,
        supports_without_replica_labels: removes_replica_labels,
        ..Default::default()
    };
    let info = proto::info::InfoResponse {
        label_sets,
        component_type: "test".into(),
        store: Some(store),
        ..Default::default()
    };
    Part::Message(info.encode_to_vec().into())
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Vec<proto::Label> {
    pairs.iter().map(|(name, value)| proto::Label { name: (*name).into(), value: (*value).into() }).collect()
}

/// A message of one series, with a chunk of `size` bytes for each of `times`, which have a head and nothing that
/// decodes.
pub(crate) fn series(pairs: &[(&str, &str)], times: &[(i64, i64)], size: usize) -> Part {
    let chunks = times.iter().map(|(min_time, max_time)| {
        let raw =
            proto::Chunk { r#type: 0, data: [&[0, 0][..], &vec![*min_time as u8; size - 2]].concat().into(), hash: 0 };
        proto::AggrChunk { min_time: *min_time, max_time: *max_time, raw: Some(raw), ..Default::default() }
    });
    let series = proto::Series { labels: labels(pairs), chunks: chunks.collect() };
    message(proto::series_response::Result::Series(series))
}

pub(crate) fn message(result: proto::series_response::Result) -> Part {
    Part::Message(proto::SeriesResponse { result: Some(result) }.encode_to_vec().into())
}
