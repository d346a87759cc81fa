//! URLs as people type them: `curl -g 'http://.../query?query=up{job="x"}'` sends quotes as they are. Go's server takes them,
//! hyper does not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection in whose first line `"`, `<` and `>` are escaped. Where more requests follow they come from a library, which
/// escapes by itself.
pub(super) struct RawUrl<S> {
    stream: S,
    /// Bytes of the first line, and what came with them, that were not handed on yet, the next one last.
    waiting: Vec<u8>,
    /// The first line has ended.
    ended: bool,
}

/// Bytes that are read at once while the first line lasts.
const PIECE: usize = 1024;

impl<S> RawUrl<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), ended: false }
    }

    fn take(&mut self, piece: &[u8]) {
        for byte in piece {
            self.ended |= *byte == b'\n';
            match byte {
                b'"' if !self.ended => self.waiting.extend_from_slice(b"%22"),
                b'<' if !self.ended => self.waiting.extend_from_slice(b"%3C"),
                b'>' if !self.ended => self.waiting.extend_from_slice(b"%3E"),
                _ => self.waiting.push(*byte),
            }
        }
        self.waiting.reverse();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RawUrl<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.waiting.is_empty() {
            if this.ended {
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            this.take(piece.filled());
        }
        while buf.remaining() > 0
            && let Some(byte) = this.waiting.pop()
        {
            buf.put_slice(&[byte]);
        }
        if this.waiting.is_empty() && this.ended {
            this.waiting = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RawUrl<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn only_the_first_line_is_escaped() {
        let long = format!("GET /?q={} HTTP/1.1\r\n\"", "\"<>".repeat(1_000));
        let long_escaped = format!("GET /?q={} HTTP/1.1\r\n\"", "%22%3C%3E".repeat(1_000));
        for (sent, read) in [
            ("GET /?q=a{b=\"c\"}<2 HTTP/1.1\r\nX: \"<>\r\n", "GET /?q=a{b=%22c%22}%3C2 HTTP/1.1\r\nX: \"<>\r\n"),
            (&long, &long_escaped),
            ("", ""),
            ("\"", "%22"),
        ] {
            let mut got = String::new();
            RawUrl::new(sent.as_bytes()).read_to_string(&mut got).await.unwrap();
            assert_eq!(got, read);
        }
    }
}
