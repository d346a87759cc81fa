//! The servers that are compared, over the same data.

use std::io;

use masthead_bench::process::{Server, prometheus_binary};
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::data;
use super::grammar::Language;

/// What both sides are started with. A Prometheus that does not know a name only logs it.
pub const FEATURES: &str = "promql-experimental-functions,promql-extended-range-selectors,\
                            promql-binop-fill-modifiers,promql-duration-expr";

/// Both sides.
#[derive(Debug)]
pub struct Sides {
    /// The real Prometheus.
    pub reference: Client,
    /// What can be asked of it.
    pub language: Language,
    /// Masthead over the blocks, over a Masthead that has them, and over one over one.
    pub ours: Vec<Client>,
    _servers: Vec<Server>,
    _folders: [TempDir; 2],
}

/// What the sides are.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Where the reference is; none: one is started.
    pub reference: Option<String>,
    /// Whether there are native histograms.
    pub histograms: bool,
    /// Features beside [`FEATURES`].
    pub features: Vec<String>,
}

impl Sides {
    /// Starts what has to be started, over the data of a seed. A reference that runs already has the data and the features by hand.
    pub async fn start(data_seed: u64, setting: &Setting) -> io::Result<Self> {
        let data = data::generate(data_seed, setting.histograms);
        let folders = [TempDir::new()?, TempDir::new()?];
        for folder in &folders {
            data::write(folder.path(), &data).map_err(io::Error::other)?;
        }
        let [ours, theirs] = folders.each_ref().map(TempDir::path);
        let features = setting.features.iter().fold(FEATURES.to_owned(), |list, name| format!("{list},{name}"));
        let feature_flag = format!("--enable-feature={features}");
        let direct = Server::masthead([format!("--blocks={}", ours.display()), feature_flag.clone()])?;
        let over =
            |server: &Server| Server::masthead([format!("--endpoint={}", server.grpc_address), feature_flag.clone()]);
        let behind = over(&direct)?;
        let twice = over(&behind)?;
        let mut servers = vec![direct, behind, twice];
        let ours = servers.iter().map(|server| Client::new(&server.address)).collect();
        let reference = match &setting.reference {
            Some(url) => Client::new(url),
            None => {
                let server = Server::prometheus(&prometheus_binary()?, theirs, "", &[&feature_flag])?;
                let client = Client::new(&server.address);
                servers.push(server);
                client
            }
        };
        let language = Language { minor: minor(&reference).await?, histograms: setting.histograms };
        Ok(Self { reference, language, ours, _servers: servers, _folders: folders })
    }
}

/// The minor version of a Prometheus 3.
async fn minor(reference: &Client) -> io::Result<u32> {
    let reply = reference.get("/api/v1/status/buildinfo").await;
    let info: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let version = info["data"]["version"].as_str().unwrap_or_default();
    let minor = version.strip_prefix("3.").and_then(|rest| rest.split('.').next()?.parse().ok());
    minor.ok_or_else(|| {
        io::Error::other(format!("{}: no Prometheus 3: {}", reference.url, String::from_utf8_lossy(&reply.body)))
    })
}
