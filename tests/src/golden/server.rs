//! Masthead as a process, asked over HTTP.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON.
    pub body: Value,
}

/// A running Masthead; ends when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
    runtime: tokio::runtime::Runtime,
    client: Client<HttpConnector, Empty<Bytes>>,
    log: tempfile::NamedTempFile,
}

impl Server {
    /// Starts `masthead query` over a folder of blocks and waits until it is ready. An error holds its log.
    pub fn start(blocks: &Path, features: &[String]) -> Result<Self, String> {
        let mut arguments = vec![format!("--blocks={}", blocks.display())];
        if !features.is_empty() {
            arguments.push(format!("--enable-feature={}", features.join(",")));
        }
        Self::with(&arguments)
    }

    /// Starts `masthead query` with these flags beside its addresses and waits until it is ready. An error holds its log.
    pub fn with(arguments: &[String]) -> Result<Self, String> {
        let binary = binary()?;
        let address = free_address()?;
        let io = |error: std::io::Error| format!("{}: {error}", binary.display());
        let log = tempfile::NamedTempFile::new().map_err(io)?;
        let child = Command::new(&binary)
            .arg("query")
            .arg(format!("--http-address={address}"))
            .arg(format!("--grpc-address={}", free_address()?))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().map_err(io)?)
            .spawn()
            .map_err(io)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut server = Self { child, address, runtime, client, log };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks for a path with its parameters.
    pub fn get(&self, target: &str) -> Result<Answer, String> {
        let (status, bytes) = self.bytes(target)?;
        let body = serde_json::from_slice(&bytes)
            .map_err(|error| format!("no JSON ({error}): {}", String::from_utf8_lossy(&bytes)))?;
        Ok(Answer { status, body })
    }

    fn bytes(&self, target: &str) -> Result<(u16, Bytes), String> {
        let uri: http::Uri =
            format!("http://{}{target}", self.address).parse().map_err(|error| format!("{target}: {error}"))?;
        self.runtime.block_on(async {
            let asked = async {
                let response = self.client.get(uri).await.map_err(|error| format!("{error:?}"))?;
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?;
                Ok((status, body.to_bytes()))
            };
            tokio::time::timeout(START_MAX, asked).await.map_err(|_| "no answer in time".to_owned())?
        })
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}: {}", self.log()));
            }
            if matches!(self.bytes("/-/ready"), Ok((200, _))) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("it does not get ready: {}", self.log()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about either error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// MASTHEAD_BINARY, or the program beside this test: `target/<profile>/masthead` for `target/<profile>/deps/<test>`.
fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("MASTHEAD_BINARY") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().map_err(|error| format!("name of this program: {error}"))?;
    let path = test.parent().and_then(Path::parent).map(|profile| profile.join("masthead"));
    match path {
        Some(path) if path.exists() => Ok(path),
        _ => {
            Err("no program masthead beside this test: build it (cargo build -p masthead-query) or set MASTHEAD_BINARY"
                .to_owned())
        }
    }
}

fn free_address() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("bind a port: {error}"))?;
    Ok(listener.local_addr().map_err(|error| format!("bind a port: {error}"))?.to_string())
}
