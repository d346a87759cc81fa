//! `masthead demo`: three clusters with two Prometheus servers each, a bucket with a day of their history, and the aggregator
//! over all of it. Nothing in it is special: gRPC, object_store and HTTP are the paths of production.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use masthead_store::serve::{self, ServeOptions, StoreService};
use masthead_store::{Budget, Labels, Millis, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::{BlockSource, Config};
use crate::duration;
use crate::flags::DemoArgs;
use crate::server::{Running, Server};
use fleet::{CLUSTERS, Member};
use store::{Clock, LiveStore};

mod facts;
mod fleet;
mod history;
mod store;

/// How far the live part reaches back into history, ms, as sidecars and a bucket overlap.
const OVERLAP: Millis = 2 * 3_600_000;
/// Seed of the fleet's random choices.
const SEED: u64 = 20_231_114;

/// What a demo is asked to do.
#[derive(Debug)]
pub struct Demo {
    http_address: String,
    kill: Option<String>,
    kill_after: Duration,
    end_after: Option<Duration>,
}

/// Why the demo cannot go on.
#[derive(Debug)]
pub struct DemoError(String);

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DemoError {}

/// What was being done, in front of why it failed.
fn during<E: fmt::Display>(act: &str) -> impl FnOnce(E) -> DemoError {
    move |error| DemoError(format!("{act}: {error}"))
}

impl Demo {
    /// Checks the arguments. Errors name the flag.
    pub fn new(args: &DemoArgs) -> Result<Self, DemoError> {
        let parse = |flag: &str, text: &str| duration::parse(text).map_err(during(&format!("--{flag}={text}")));
        if let Some(name) = &args.kill
            && !CLUSTERS.iter().any(|cluster| cluster.name == name)
        {
            let names: Vec<&str> = CLUSTERS.iter().map(|cluster| cluster.name).collect();
            return Err(DemoError(format!("--kill={name}: no such cluster, there are {}", names.join(", "))));
        }
        Ok(Self {
            http_address: args.http_address.clone(),
            kill: args.kill.clone(),
            kill_after: parse("kill-after", &args.kill_after)?,
            end_after: args.end_after.as_deref().map(|text| parse("for", text)).transpose()?,
        })
    }

    /// Runs until `stop` ends or the time is up. The bucket folder is removed at the end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
        let started = now();
        let members = Member::all(SEED, started);
        let folder = tempfile::Builder::new()
            .prefix("masthead-demo-")
            .tempdir()
            .map_err(during("make a folder for the bucket"))?;
        write_history(folder.path(), &members, started).await?;
        let mut clusters = Clusters::start(&members, history::end(started) - OVERLAP).await?;
        let running = self.aggregator(&clusters, folder.path()).await?;
        running.ready().await;
        introduce(&clusters, folder.path(), running.http_address);
        tokio::select! {
            () = stop => {}
            () = async { sleep_if(self.end_after).await } => {}
            never = self.kill_when_due(&mut clusters) => match never {},
        }
        running.shutdown().await;
        folder.close().map_err(during("remove the folder of the bucket"))
    }

    async fn aggregator(&self, clusters: &Clusters, bucket: &Path) -> Result<Running, DemoError> {
        let mut config = Config::default();
        config.listen.http.clone_from(&self.http_address);
        config.listen.grpc = Some("127.0.0.1:0".into());
        config.sources.endpoints = clusters.addresses.iter().map(|(_, address)| address.to_string()).collect();
        config.sources.blocks = vec![BlockSource { folder: bucket.to_owned(), labels: Labels::empty() }];
        config.query.replica_labels = vec!["replica".into()];
        Server::start(config).await.map_err(during("start the aggregator"))
    }

    /// Stops one cluster when its time has come; never ends.
    async fn kill_when_due(&self, clusters: &mut Clusters) -> std::convert::Infallible {
        if let Some(name) = &self.kill {
            tokio::time::sleep(self.kill_after).await;
            clusters.servers.remove(name.as_str());
            println!("killed {name}: ask again, and see it named in Masthead-Coverage and in the warnings");
        }
        std::future::pending().await
    }
}

async fn sleep_if(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

async fn write_history(bucket: &Path, members: &[Member], started: Millis) -> Result<(), DemoError> {
    let (bucket, members) = (bucket.to_owned(), members.to_vec());
    let written = tokio::task::spawn_blocking(move || history::write(&bucket, &members, started)).await;
    match written {
        Ok(result) => result.map_err(during("write a day of history")),
        Err(error) => Err(during("write a day of history")(error)),
    }
}

/// The live servers.
struct Clusters {
    /// Name of the member and its address.
    addresses: Vec<(String, SocketAddr)>,
    /// Tasks of each cluster's servers; to drop them is to kill the cluster.
    servers: BTreeMap<&'static str, JoinSet<()>>,
}

impl Clusters {
    async fn start(members: &[Member], live_from: Millis) -> Result<Self, DemoError> {
        let clock: Clock = Arc::new(now);
        let mut clusters = Self { addresses: Vec::new(), servers: BTreeMap::new() };
        for member in members {
            let listener = TcpListener::bind("127.0.0.1:0").await.map_err(during("open a port for a cluster"))?;
            let address = listener.local_addr().map_err(during("open a port for a cluster"))?;
            let cluster = member.cluster().name;
            clusters.addresses.push((format!("{cluster}/{}", member.replica()), address));
            let store: Arc<dyn Store> = Arc::new(LiveStore::new(member.clone(), live_from, Arc::clone(&clock)));
            let options = ServeOptions { component: "sidecar", ..ServeOptions::default() };
            let stores = Arc::new(move || vec![Arc::clone(&store)]);
            let service = StoreService::new(stores, Budget::unlimited(), options);
            clusters.servers.entry(cluster).or_default().spawn(async move {
                if let Err(error) = serve::listen(service, listener, std::future::pending()).await {
                    tracing::error!(cluster, %error, "a server of the demo ended");
                }
            });
        }
        Ok(clusters)
    }
}

fn introduce(clusters: &Clusters, bucket: &Path, http: SocketAddr) {
    println!("Three clusters with two Prometheus servers each, asked as one:");
    for (name, address) in &clusters.addresses {
        println!("  {name:17} StoreAPI on {address}");
    }
    println!("  history           {} (a day of TSDB blocks)", bucket.display());
    println!("  masthead          http://{http}\n");
    println!("Try, in another terminal:");
    let commands = [
        ("", "count by (cluster) (up)"),
        (
            "?coverage=true",
            "sum by (cluster) (rate(http_requests_total{code=~\"5..\"}[5m])) / sum by (cluster) (rate(http_requests_total[5m]))",
        ),
        ("", "histogram_quantile(0.99, sum by (cluster, le) (rate(http_request_duration_seconds_bucket[5m])))"),
    ];
    for (parameters, query) in commands {
        println!("  curl -s 'http://{http}/api/v1/query{parameters}' --data-urlencode 'query={query}'");
    }
    println!("\nGrafana: add a Prometheus datasource with the URL http://{http}; dashboards are in dashboards/.");
    println!("Ready. Ctrl-C ends the demo.");
}
