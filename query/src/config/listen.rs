//! Where to listen, and who may read answers.

use masthead_store::{MatchOp, Matcher};

use crate::flags::ListenArgs;

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// `HOST:PORT` of HTTP; port 0 takes a free one.
    pub http: String,
    /// `HOST:PORT` of the StoreAPI server; None for none.
    pub grpc: Option<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { http: "0.0.0.0:9090".to_owned(), grpc: Some("0.0.0.0:10901".to_owned()) }
    }
}

impl Listen {
    pub(super) fn of(args: &ListenArgs) -> Self {
        let grpc = Some(args.grpc.clone()).filter(|address| !address.is_empty());
        Self { http: with_host(&args.http), grpc: grpc.as_deref().map(with_host) }
    }
}

/// The address with all of this machine's in place of no host, as Go's programs take it.
fn with_host(address: &str) -> String {
    if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() }
}

/// An anchored expression that origins must match.
pub(super) fn parse_origin(text: &str) -> Result<Matcher, String> {
    Matcher::new("origin", MatchOp::Regex, text)
}

pub(super) fn is_host_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = !host.contains([' ', '/', ',', ':']);
        !host.is_empty() && (bare || host.starts_with('[') && host.ends_with(']')) && port.parse::<u16>().is_ok()
    })
}
