//! The messages of one answer: gRPC's length-prefixed framing over the body of an HTTP/2 response.
//!
//! This stands in for tonic's `Streaming`, which allocates what a length prefix claims before a byte of it is here and
//! shows it to nobody before. Here a message is reserved in the budget as soon as its length is known, and its buffer
//! grows with what has arrived. Dropping the messages resets the stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body as _;
use tonic::Status;
use tonic::body::Body;

use super::held::Held;
use crate::{StoreError, StoreErrorKind};

/// A flag byte and the length.
const HEAD: usize = 5;
/// Bytes for which a message's buffer is made at once; beyond, it grows with what arrives.
const FIRST_BYTES: usize = 64 << 10;

/// The messages of an answer.
pub(super) struct Messages {
    body: Body,
    /// What arrived of a whole number of messages and the begin of the next.
    block: Bytes,
    /// A message that spans several blocks, its head included.
    partial: BytesMut,
    /// The next message's length was reserved already.
    reserved: bool,
    message_bytes_max: usize,
    /// What is being done, for errors: "read series".
    act: &'static str,
    ended: bool,
}

/// How an answer that came to its end, or broke off, ended.
pub(super) type Ended = Result<(), StoreError>;

impl Messages {
    pub(super) fn new(body: Body, message_bytes_max: usize, act: &'static str) -> Self {
        Self {
            body,
            block: Bytes::new(),
            partial: BytesMut::new(),
            reserved: false,
            message_bytes_max,
            act,
            ended: false,
        }
    }

    /// An answer that has no message.
    pub(super) fn empty(act: &'static str) -> Self {
        Self { ended: true, ..Self::new(Body::empty(), 0, act) }
    }

    /// The next message; its length was taken from `held`. After an error or the end there is nothing more.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        held: &mut Held,
    ) -> Poll<Option<Result<Bytes, StoreError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match self.poll_message(cx, held) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(message)) => return Poll::Ready(Some(Ok(message))),
            Poll::Ready(Err(Ok(()))) => None,
            Poll::Ready(Err(Err(error))) => Some(Err(error)),
        };
        self.ended = true;
        self.body = Body::empty();
        Poll::Ready(item)
    }

    fn poll_message(&mut self, cx: &mut Context<'_>, held: &mut Held) -> Poll<Result<Bytes, Ended>> {
        loop {
            if let Some(message) = self.take(held).map_err(Err)? {
                return Poll::Ready(Ok(message));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(status)) => return Poll::Ready(Err(Err(status_error(&status, self.act)))),
                None => return Poll::Ready(Err(self.end(None))),
            };
            match frame.into_data() {
                Ok(data) if self.partial.is_empty() => self.block = own(&data),
                Ok(data) => {
                    // Most bytes belong to a message that has begun, and go there at once.
                    self.block = data;
                    let message = self.take(held).map_err(Err)?;
                    self.block = own(&self.block);
                    if let Some(message) = message {
                        return Poll::Ready(Ok(message));
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Poll::Ready(Err(self.end(Status::from_header_map(&trailers))));
                    }
                }
            }
        }
    }

    fn end(&self, status: Option<Status>) -> Ended {
        let unfinished = !self.partial.is_empty() || !self.block.is_empty();
        match status {
            Some(status) if status.code() != tonic::Code::Ok => Err(status_error(&status, self.act)),
            Some(_) if unfinished => {
                Err(StoreError::corrupt(format!("{}: the answer ends inside of a message", self.act)))
            }
            Some(_) => Ok(()),
            None => {
                let what = format!("{}: the answer breaks off without a status", self.act);
                Err(StoreError::new(StoreErrorKind::Unavailable, what))
            }
        }
    }

    /// A message out of what has arrived, if one is whole.
    fn take(&mut self, held: &mut Held) -> Result<Option<Bytes>, StoreError> {
        if self.partial.is_empty() {
            if self.block.len() < HEAD {
                self.partial.extend_from_slice(&std::mem::take(&mut self.block));
                return Ok(None);
            }
            let length = self.reserve(head(&self.block), held)?;
            if self.block.len() - HEAD >= length {
                self.block.advance(HEAD);
                self.reserved = false;
                return Ok(Some(self.block.split_to(length)));
            }
            self.partial = BytesMut::with_capacity((HEAD + length).min(FIRST_BYTES));
        }
        self.fill(HEAD);
        if self.partial.len() < HEAD {
            return Ok(None);
        }
        let length = self.reserve(head(&self.partial), held)?;
        self.fill(HEAD + length);
        if self.partial.len() < HEAD + length {
            return Ok(None);
        }
        self.reserved = false;
        let mut message = std::mem::take(&mut self.partial).freeze();
        message.advance(HEAD);
        Ok(Some(message))
    }

    /// Moves bytes from the block until the partial message has `length` of them. Once a part has come, the message is
    /// believed to be as long as it says.
    fn fill(&mut self, length: usize) {
        if self.partial.len() >= FIRST_BYTES {
            self.partial.reserve(length.saturating_sub(self.partial.len()));
        }
        let more = length.saturating_sub(self.partial.len()).min(self.block.len());
        self.partial.extend_from_slice(&self.block.split_to(more));
    }

    /// Checks a message's head and reserves its length, once.
    fn reserve(&mut self, (flag, length): (u8, usize), held: &mut Held) -> Result<usize, StoreError> {
        if self.reserved {
            return Ok(length);
        }
        let act = self.act;
        if flag != 0 {
            return Err(StoreError::corrupt(format!("{act}: a message is compressed or its head is spoilt")));
        }
        if length > self.message_bytes_max {
            let what = format!("{act}: a message of {length} bytes, the limit is {} bytes", self.message_bytes_max);
            return Err(StoreError::new(StoreErrorKind::LimitExceeded, what));
        }
        // What no query may hold is the peer's fault; what this one has no room for is its own.
        held.take(length).map_err(|refused| match length > refused.limit {
            true => {
                let what = format!("{act}: a message of {length} bytes, more than the {} may hold", refused.budget);
                StoreError::new(StoreErrorKind::LimitExceeded, what)
            }
            false => refused.into(),
        })?;
        self.reserved = true;
        Ok(length)
    }
}

/// A copy, so that a message does not pin the connection's read buffer.
fn own(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(data)
}

/// Flag and length of a message whose first five bytes are these.
fn head(bytes: &[u8]) -> (u8, usize) {
    match *bytes {
        [flag, a, b, c, d, ..] => (flag, u32::from_be_bytes([a, b, c, d]) as usize),
        _ => (0, 0),
    }
}

/// What a status that is not OK means to us. The texts of ResourceExhausted and of Prometheus' 422 are looked for,
/// since a Thanos in between turns their codes into `Unknown` or `Aborted` (pkg/store/proxy.go, GRPCCodeFromWarn).
pub(super) fn status_error(status: &Status, act: &str) -> StoreError {
    use tonic::Code;
    let message = status.message();
    let kind = match status.code() {
        _ if names_a_limit(message) => StoreErrorKind::LimitExceeded,
        Code::DeadlineExceeded => StoreErrorKind::Timeout,
        Code::ResourceExhausted => StoreErrorKind::LimitExceeded,
        Code::DataLoss => StoreErrorKind::Corrupt,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated => StoreErrorKind::Refused,
        _ => StoreErrorKind::Unavailable,
    };
    let mut text = format!("{act}: {:?}", status.code());
    if !message.is_empty() {
        text = format!("{text}: {message}");
    }
    StoreError::new(kind, text + &causes(std::error::Error::source(status)))
}

/// The error for a warning in an answer: the peer lacks something of what was asked.
pub(super) fn incomplete(act: &str, warning: &str) -> StoreError {
    let kind = if names_a_limit(warning) { StoreErrorKind::LimitExceeded } else { StoreErrorKind::Unavailable };
    StoreError::new(kind, format!("{act}: the peer's answer is incomplete: {warning}"))
}

/// Whether a text that came without a code of its own is about a limit.
fn names_a_limit(text: &str) -> bool {
    text.contains("ResourceExhausted") || text.contains("Code(422)")
}

/// The causes of an error, each behind ": ", without those that say what the one before said.
pub(super) fn causes(first: Option<&(dyn std::error::Error + 'static)>) -> String {
    let mut text = String::new();
    let mut next = first;
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !cause_text.is_empty() && !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::Budget;
    use http_body::Frame;
    use http_body_util::StreamBody;

    type Frames = VecDeque<Result<Frame<Bytes>, Status>>;

    fn body(parts: &[&[u8]], trailers: Option<&str>) -> Body {
        let mut frames: Frames = parts.iter().map(|p| Ok(Frame::data(Bytes::copy_from_slice(p)))).collect();
        if let Some(code) = trailers {
            let mut map = http::HeaderMap::new();
            map.insert("grpc-status", code.parse().unwrap());
            frames.push_back(Ok(Frame::trailers(map)));
        }
        Body::new(StreamBody::new(futures::stream::iter(frames)))
    }

    fn read_all(body: Body, budget: &Budget, max: usize) -> (Vec<Bytes>, Option<StoreError>, usize) {
        let mut held = Held::new(budget);
        let mut messages = Messages::new(body, max, "read series");
        let mut all = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            match messages.poll_next(&mut cx, &mut held) {
                Poll::Ready(Some(Ok(message))) => all.push(message),
                Poll::Ready(Some(Err(error))) => return (all, Some(error), held.used()),
                Poll::Ready(None) => return (all, None, held.used()),
                Poll::Pending => panic!("nothing is waited for"),
            }
        }
    }

    fn wire(messages: &[&[u8]]) -> Vec<u8> {
        messages.iter().flat_map(|m| [&[0][..], &(m.len() as u32).to_be_bytes(), m].concat()).collect()
    }

    /// However the bytes are cut into blocks, the messages are the same.
    #[test]
    fn messages_do_not_depend_on_the_cuts() {
        let long = vec![7; 300_000];
        let expected: Vec<&[u8]> = vec![b"a", b"", b"some more", &long, b"end"];
        let bytes = wire(&expected);
        for size in [1, 2, 3, 5, 6, 7, 16_384, 1 << 20] {
            let parts: Vec<&[u8]> = bytes.chunks(size).collect();
            let (got, error, used) = read_all(body(&parts, Some("0")), &Budget::unlimited(), usize::MAX);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(got, expected, "blocks of {size}");
            assert_eq!(used, expected.iter().map(|m| m.len()).sum::<usize>());
        }
    }

    #[test]
    fn bad_ends_and_heads_are_named() {
        let cut = &wire(&[b"abcdef"])[..8];
        let compressed = [1, 0, 0, 0, 1, 9];
        let huge = [0, 0x7f, 0xff, 0xff, 0xff, 1];
        let rows: [(&[u8], Option<&str>, StoreErrorKind); 5] = [
            (cut, Some("0"), StoreErrorKind::Corrupt),
            (&[], None, StoreErrorKind::Unavailable),
            (&[], Some("8"), StoreErrorKind::LimitExceeded),
            (&compressed, Some("0"), StoreErrorKind::Corrupt),
            (&huge, None, StoreErrorKind::LimitExceeded),
        ];
        for (bytes, trailers, kind) in rows {
            let (_, error, _) = read_all(body(&[bytes], trailers), &Budget::new("query", 1 << 20), i32::MAX as usize);
            assert_eq!(error.unwrap().kind, kind, "{bytes:?}");
        }
        // What no query can hold is the peer's doing; what this one cannot hold beside what it has is ours.
        let large = [0, 0, 8, 0, 0, 1];
        let rows = [
            (&huge, 1_000, 0, false),
            (&huge, i32::MAX as usize, 0, false),
            (&large, i32::MAX as usize, 900_000, true),
        ];
        for (bytes, max, in_use, ours) in rows {
            let budget = Budget::new("query", 1 << 20);
            let _held = budget.reserve("test", in_use).unwrap();
            let (_, error, _) = read_all(body(&[bytes], None), &budget, max);
            assert_eq!(error.unwrap().limit().is_some(), ours, "{bytes:?} of at most {max}, {in_use} in use");
        }
    }
}
