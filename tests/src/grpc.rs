//! gRPC as it lies on the wire: request bytes in, message bytes out, whatever they hold.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A connection to a server.
#[derive(Debug, Clone)]
pub struct Client(Channel);

/// How a call went.
#[derive(Debug)]
pub struct Reply {
    /// The messages that came, those before an error too.
    pub messages: Vec<Bytes>,
    /// gRPC status.
    pub code: i32,
    /// Its text.
    pub text: String,
}

impl Client {
    /// Connects. An error names the address.
    pub async fn connect(address: SocketAddr) -> Result<Self, String> {
        let named = |error: tonic::transport::Error| format!("{address}: {error}");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(named)?;
        Ok(Self(endpoint.connect().await.map_err(named)?))
    }

    /// Calls `path` with the bytes of one message and reads the answer to its end.
    pub async fn call(&self, path: &str, request: Bytes) -> Reply {
        let mut messages = Vec::new();
        let ended = self.read(path, request, &mut messages).await;
        let status = ended.err().unwrap_or_else(|| Status::ok(""));
        Reply { messages, code: status.code().into(), text: status.message().to_owned() }
    }

    async fn read(&self, path: &str, request: Bytes, messages: &mut Vec<Bytes>) -> Result<(), Status> {
        let path = PathAndQuery::try_from(path).map_err(|error| Status::internal(error.to_string()))?;
        let mut grpc = tonic::client::Grpc::new(self.0.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut answer = grpc.server_streaming(Request::new(request), path, Raw).await?.into_inner();
        while let Some(message) = answer.message().await? {
            messages.push(message);
        }
        Ok(())
    }
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}

/// The bytes of base64, padding or not. An error names the character.
pub fn base64(text: &str) -> Result<Bytes, String> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Ok(c - b'A'),
        b'a'..=b'z' => Ok(c - b'a' + 26),
        b'0'..=b'9' => Ok(c - b'0' + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        _ => Err(format!("no digit of base64: {:?}", char::from(c))),
    };
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::with_capacity(text.len() / 4 * 3));
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::from(digit(c)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in [("", &b""[..]), ("TQ==", b"M"), ("TWE", b"Ma"), ("TWFu", b"Man"), ("+/8=", b"\xfb\xff")] {
            assert_eq!(base64(text).as_deref(), Ok(bytes), "{text}");
        }
        assert!(base64("a-b").unwrap_err().contains("'-'"));
    }
}
