//! Codecs of the server: requests by prost, series frames as bytes that are finished already.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// `thanos.Store/Series`: a decoded request, frames out.
pub(super) struct Series;

impl Codec for Series {
    type Encode = Bytes;
    type Decode = masthead_proto::thanos::SeriesRequest;
    type Encoder = FrameEncoder;
    type Decoder = MessageDecoder<Self::Decode>;

    fn encoder(&mut self) -> Self::Encoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

/// Messages by prost, either way.
pub(super) struct Messages<Request, Answer>(PhantomData<(Request, Answer)>);

impl<Request, Answer> Default for Messages<Request, Answer> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Request, Answer> Codec for Messages<Request, Answer>
where
    Request: Message + Default + Send + 'static,
    Answer: Message + Send + 'static,
{
    type Encode = Answer;
    type Decode = Request;
    type Encoder = MessageEncoder<Answer>;
    type Decoder = MessageDecoder<Request>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

/// Writes finished frames.
pub(super) struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(frame.len());
        out.put(frame);
        Ok(())
    }
}

/// Writes messages.
pub(super) struct MessageEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Reads messages.
pub(super) struct MessageDecoder<T>(PhantomData<T>);

impl<T: Message + Default> Decoder for MessageDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(bytes).map(Some).map_err(|error| Status::internal(format!("decode request: {error}")))
    }
}
