//! HTTP with connections that stay open.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A server that answers questions.
#[derive(Debug, Clone)]
pub struct Client {
    /// `http://host:port`, with a path before that of the API where it has one.
    pub url: String,
    pool: Pool<HttpConnector, Empty<Bytes>>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status; 0 where there was no answer.
    pub status: u16,
    /// The body, or why there is no answer.
    pub body: Bytes,
}

impl Client {
    /// A client of `url`; without a scheme it is http.
    pub fn new(url: &str) -> Self {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Self { url, pool: Pool::builder(TokioExecutor::new()).build_http() }
    }

    /// GET of a path with its parameters. A failure is a reply too: it differs from every answer.
    pub async fn get(&self, target: &str) -> Reply {
        match tokio::time::timeout(TIMEOUT, self.read(target)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => Reply { status: 0, body: error.into() },
            Err(_) => Reply { status: 0, body: format!("no answer within {TIMEOUT:?}").into() },
        }
    }

    async fn read(&self, target: &str) -> Result<Reply, String> {
        let uri = format!("{}{target}", self.url).parse().map_err(|error| format!("{}{target}: {error}", self.url))?;
        let answer = self.pool.get(uri).await.map_err(|error| format!("{}: {error:?}", self.url))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| format!("{}: {error}", self.url))?.to_bytes();
        Ok(Reply { status, body })
    }
}
