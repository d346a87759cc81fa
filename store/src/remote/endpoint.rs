//! The connection to one peer, made when it is needed and again when it is lost, and calls over it.
//!
//! One HTTP/2 connection a peer. A stream that nobody reads may fill its own window and no more: the connection's
//! window is as wide as HTTP/2 allows, so that it holds nothing that another stream needs. There are no pings, which
//! unknown servers answer by closing the connection (grpc-go allows one in five minutes by default): that a peer is
//! silent is found by asking for its facts, after which the connection is made anew.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint as Transport};
use tower::{Service as _, ServiceExt as _};

use super::held::Held;
use super::messages::{Messages, causes, status_error};
use crate::series::{ENCODINGS_KEY, ENCODINGS_READ};
use crate::{StoreError, StoreErrorKind};

/// The widest window of HTTP/2.
const WINDOW_MAX: u32 = i32::MAX as u32;

/// How to reach a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointOptions {
    /// Bytes that a stream may send beyond what was read of it.
    pub(super) stream_window_bytes: u32,
    /// The longest message that is read.
    pub(super) message_bytes_max: usize,
    /// For making a connection.
    pub(super) connect_timeout: Duration,
}

/// A call to make.
pub(super) struct Call<'a> {
    pub(super) path: &'static str,
    pub(super) request: &'a [u8],
    /// When the peer shall give up.
    pub(super) deadline: Instant,
    /// What is being done, for errors: "read series".
    pub(super) act: &'static str,
}

/// One peer's address and connection.
#[derive(Debug)]
pub(super) struct Endpoint {
    transport: Transport,
    channel: Mutex<Channel>,
    options: EndpointOptions,
}

impl Endpoint {
    /// For `host:port`. Does not connect, but must be called within a tokio runtime.
    ///
    /// Errors: `Refused` for what is no address.
    pub(super) fn new(address: &str, options: EndpointOptions) -> Result<Self, StoreError> {
        let transport = Transport::from_shared(format!("http://{address}"))
            .map_err(|error| StoreError::new(StoreErrorKind::Refused, format!("read address {address:?}: {error}")))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(options.stream_window_bytes)
            .initial_connection_window_size(WINDOW_MAX);
        let channel = Mutex::new(transport.connect_lazy());
        Ok(Self { transport, channel, options })
    }

    /// Leaves the present connection to the streams that use it; later calls make a new one.
    pub(super) fn renew(&self) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = self.transport.connect_lazy();
    }

    fn channel(&self) -> Channel {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a call; the future gives its answer's messages once the peer begins to answer.
    ///
    /// A call that is lost with its connection is sent once more, over a new one: peers close connections that are old,
    /// and every call here may be repeated.
    pub(super) fn call(&self, call: &Call<'_>) -> BoxFuture<'static, Result<Messages, StoreError>> {
        let request = Request::new(call);
        let (mut channel, max, act) = (self.channel(), self.options.message_bytes_max, call.act);
        async move {
            let response = match send(&mut channel, request.to_http()).await {
                Err(error) if is_lost(&error) => send(&mut channel, request.to_http()).await,
                other => other,
            };
            let response = response.map_err(|error| unreachable(&error, act))?;
            if response.status() != http::StatusCode::OK {
                let what = format!("{act}: HTTP status {}", response.status());
                return Err(StoreError::new(StoreErrorKind::Unavailable, what));
            }
            match Status::from_header_map(response.headers()) {
                // No message: all there is is in the headers.
                Some(status) if status.code() != tonic::Code::Ok => Err(status_error(&status, act)),
                Some(_) => Ok(Messages::empty(act)),
                None => Ok(Messages::new(response.into_body(), max, act)),
            }
        }
        .boxed()
    }

    /// Makes a call that has one message for an answer; its length was taken from `held`.
    pub(super) async fn unary(&self, call: &Call<'_>, held: &mut Held) -> Result<Bytes, StoreError> {
        let act = call.act;
        let mut messages = self.call(call).await?;
        let mut answer = None;
        while let Some(message) = std::future::poll_fn(|cx| messages.poll_next(cx, held)).await.transpose()? {
            if answer.replace(message).is_some() {
                return Err(StoreError::corrupt(format!("{act}: the answer has more than one message")));
            }
        }
        answer.ok_or_else(|| StoreError::corrupt(format!("{act}: the answer is empty")))
    }
}

async fn send(
    channel: &mut Channel,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, tonic::transport::Error> {
    channel.ready().await?.call(request).await
}

/// The cause of type `T` of a call that got no answer, if it has one.
fn cause<T: std::error::Error + 'static>(error: &tonic::transport::Error) -> Option<&T> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// Whether a connection that was there broke before it gave an answer.
fn is_lost(error: &tonic::transport::Error) -> bool {
    cause::<tonic::TimeoutExpired>(error).is_none() && cause::<tonic::ConnectError>(error).is_none()
}

/// The error of a call that got no answer at all.
fn unreachable(error: &tonic::transport::Error, act: &str) -> StoreError {
    if cause::<tonic::TimeoutExpired>(error).is_some() {
        return StoreError::new(StoreErrorKind::Timeout, format!("{act}: no answer in time"));
    }
    let text = causes(std::error::Error::source(error));
    let text = if text.is_empty() { ": the connection fails".to_owned() } else { text };
    StoreError::new(StoreErrorKind::Unavailable, format!("{act}{text}"))
}

/// A call as it is sent.
struct Request {
    path: &'static str,
    /// With gRPC's head.
    body: Bytes,
    deadline: Instant,
}

impl Request {
    fn new(call: &Call<'_>) -> Self {
        let mut body = BytesMut::with_capacity(5 + call.request.len());
        body.put_u8(0);
        body.put_u32(call.request.len() as u32);
        body.put_slice(call.request);
        Self { path: call.path, body: body.freeze(), deadline: call.deadline }
    }

    fn to_http(&self) -> http::Request<Body> {
        let mut request = http::Request::new(Body::new(Full::new(self.body.clone())));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = http::Uri::from_static(self.path);
        let headers = request.headers_mut();
        headers.insert(http::header::TE, http::HeaderValue::from_static("trailers"));
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
        headers.insert(ENCODINGS_KEY, http::HeaderValue::from_static(ENCODINGS_READ));
        headers.insert("grpc-timeout", grpc_timeout(self.deadline.saturating_duration_since(Instant::now())));
        request
    }
}

/// At most eight digits and a unit; zero is no time-out.
fn grpc_timeout(timeout: Duration) -> http::HeaderValue {
    let text = match timeout.as_millis().max(1) {
        ms if ms < 100_000_000 => format!("{ms}m"),
        ms => format!("{}S", (ms / 1_000).min(99_999_999)),
    };
    http::HeaderValue::from_str(&text).unwrap_or_else(|_| http::HeaderValue::from_static("1H"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_fit_into_eight_digits() {
        for (timeout, text) in [
            (Duration::ZERO, "1m"),
            (Duration::from_millis(1), "1m"),
            (Duration::from_secs(120), "120000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(grpc_timeout(timeout), text);
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        let options = EndpointOptions {
            stream_window_bytes: 1 << 20,
            message_bytes_max: 1 << 20,
            connect_timeout: Duration::from_secs(1),
        };
        for bad in ["a b:1", "", "::1:80:1"] {
            assert_eq!(Endpoint::new(bad, options).unwrap_err().kind, StoreErrorKind::Refused, "{bad:?}");
        }
        for good in ["thanos-sidecar.prod-us-east.svc:10901", "127.0.0.1:1", "[::1]:10901"] {
            Endpoint::new(good, options).unwrap();
        }
    }
}
