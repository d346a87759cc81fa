//! From configured addresses to stores: plain ones, and names that DNS is asked for again and again.
//!
//! No store is ever lost silently. A name that was never resolved is a missing store under its own name; while
//! resolution fails (which includes an answer without addresses), the addresses that it gave last stay. An address that
//! is no longer among those of its name stays too, a day at most, until others hold all of its label sets: Kubernetes
//! takes a pod out of its service when it is not ready, which is when its cluster must be told as missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::missing::MissingStore;
use crate::remote::{RemoteOptions, RemoteStore};
use crate::{Labels, Store, StoreError, StoreErrorKind, StoreState};

mod missing;
#[cfg(test)]
mod tests;

/// How addresses become stores.
#[derive(Debug, Clone, Copy)]
pub struct DiscoveryOptions {
    /// How to talk to peers.
    pub remote: RemoteOptions,
    /// How often names are resolved again.
    pub dns_interval: Duration,
    /// How long an address is kept that a name no longer has, while nobody else holds what it held.
    pub gone_kept: Duration,
    /// A DNS server to ask instead of the system's, over UDP.
    pub dns_server: Option<SocketAddr>,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self {
            remote: RemoteOptions::default(),
            dns_interval: Duration::from_secs(30),
            gone_kept: Duration::from_secs(86_400),
            dns_server: None,
        }
    }
}

/// The peers of a configuration, as they are now.
pub struct EndpointSet {
    names: Vec<Name>,
    options: DiscoveryOptions,
    /// An error: the system's resolver cannot be had, for this reason.
    resolvers: Result<Resolvers, StoreError>,
    state: Mutex<State>,
}

/// By what they ask for the addresses of a host.
struct Resolvers {
    /// A records, and AAAA where there are none.
    either: TokioResolver,
    /// A and AAAA records; one of them may fail.
    both: TokioResolver,
}

/// A target that DNS must be asked for.
struct Name {
    text: Box<str>,
    kind: Kind,
    /// What is asked for.
    name: Box<str>,
    /// The port of the target; for SRV records it is used instead of theirs.
    port: Option<u16>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Addresses,
    BothAddresses,
    Services,
    ServicesOnly,
}

/// The prefixes that Thanos knows too.
const PREFIXES: [(&str, Kind); 4] = [
    ("dns+", Kind::Addresses),
    ("dnsdualstack+", Kind::BothAddresses),
    ("dnssrv+", Kind::Services),
    ("dnssrvnoa+", Kind::ServicesOnly),
];

/// What the peers of a set may send, all together, of one question that nobody reads.
const WINDOWS_BYTES: usize = 64 << 20;
/// With less than this a far peer is slow even in a large fleet, bytes.
const WINDOW_BYTES_MIN: u32 = 256 << 10;

#[derive(Default)]
struct State {
    /// Targets that are no addresses, in the order of the configuration.
    refused: Vec<Arc<dyn Store>>,
    /// All peers by address.
    remotes: BTreeMap<Box<str>, Arc<RemoteStore>>,
    /// Addresses of plain targets, which are never dropped.
    fixed: BTreeSet<Box<str>>,
    /// By the names' order.
    resolved: Vec<Resolved>,
    /// Addresses that no name has any more, and since when.
    gone: BTreeMap<Box<str>, Instant>,
}

/// What is known of a name.
struct Resolved {
    addresses: BTreeSet<Box<str>>,
    /// What stands for it while it has never been resolved, or cannot be now.
    failure: Option<Arc<MissingStore>>,
}

impl EndpointSet {
    /// The peers of `targets`: `HOST:PORT`, or with a prefix: `dns+HOST:PORT` (its A records, else AAAA),
    /// `dnsdualstack+HOST:PORT` (both), `dnssrv+NAME` (SRV records and the addresses of their hosts), `dnssrvnoa+NAME`
    /// (SRV records, whose hosts are left to the system's resolver). Nothing is asked yet. Must be called within a
    /// tokio runtime.
    pub fn new(targets: Vec<Box<str>>, options: DiscoveryOptions) -> Self {
        let mut state = State::default();
        let mut names = Vec::new();
        let remote = remote_options(&options, targets.len());
        for target in targets {
            match Name::parse(&target) {
                Some(name) => {
                    let starting = MissingStore::new(&target, StoreState::Starting, None);
                    state.resolved.push(Resolved { addresses: BTreeSet::new(), failure: Some(Arc::new(starting)) });
                    names.push(name);
                }
                None => state.add_plain(&target, remote),
            }
        }
        Self { names, options, resolvers: Resolvers::new(&options), state: Mutex::new(state) }
    }

    /// All stores as they stand now: peers, and names that stand for peers that are not known.
    pub fn stores(&self) -> Vec<Arc<dyn Store>> {
        let state = self.state();
        let missing = state.resolved.iter().filter(|name| name.addresses.is_empty());
        let missing = missing.filter_map(|name| name.failure.clone().map(|store| store as Arc<dyn Store>));
        let remotes = state.remotes.values().map(|store| Arc::clone(store) as Arc<dyn Store>);
        state.refused.iter().cloned().chain(remotes).chain(missing).collect()
    }

    /// All peers, for their counters.
    pub fn remotes(&self) -> Vec<Arc<RemoteStore>> {
        self.state().remotes.values().cloned().collect()
    }

    /// Resolves all names and asks each peer for its facts, once: over when each has answered or run out its time.
    pub async fn first_round(&self) {
        tokio::join!(self.resolve_all(), self.poll_all());
    }

    /// Keeps peers and names fresh, without end. To be called once; ends by being dropped.
    pub async fn run(&self) {
        let polls = async {
            let mut ticks = ticks(self.options.remote.info_interval);
            loop {
                ticks.tick().await;
                self.poll_all().await;
            }
        };
        let lookups = async {
            let mut ticks = ticks(self.options.dns_interval);
            loop {
                ticks.tick().await;
                self.resolve_all().await;
            }
        };
        tokio::join!(polls, lookups);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll_all(&self) {
        let remotes = self.remotes();
        join_all(remotes.iter().map(|remote| remote.poll_info(SystemTime::now()))).await;
    }

    async fn resolve_all(&self) {
        join_all((0..self.names.len()).map(|index| self.resolve(index))).await;
    }

    async fn resolve(&self, index: usize) {
        let name = &self.names[index];
        let found = match &self.resolvers {
            Ok(resolvers) => {
                // The resolver has time-outs of its own, for each server, attempt and record.
                tokio::time::timeout(self.options.remote.info_timeout, name.lookup(resolvers)).await.unwrap_or_else(
                    |_| {
                        Err(StoreError::new(
                            StoreErrorKind::Timeout,
                            format!("resolve {}: no answer in time", name.name),
                        ))
                    },
                )
            }
            Err(error) => Err(error.clone()),
        };
        match found {
            Ok(addresses) => self.take_addresses(index, addresses).await,
            Err(error) => self.fail(index, error),
        }
    }

    /// New peers are asked for their facts before anyone sees them, so that they do not count as missing meanwhile.
    async fn take_addresses(&self, index: usize, addresses: BTreeSet<Box<str>>) {
        let known: BTreeSet<Box<str>> = self.state().remotes.keys().cloned().collect();
        let remote = remote_options(&self.options, addresses.union(&known).count());
        let new = addresses.difference(&known).filter_map(|address| {
            // What DNS gives is an address, or the host of an SRV record, which connecting will judge.
            RemoteStore::new(address, remote).ok().map(|store| (address.clone(), Arc::new(store)))
        });
        let new: Vec<(Box<str>, Arc<RemoteStore>)> = new.collect();
        join_all(new.iter().map(|(_, store)| store.poll_info(SystemTime::now()))).await;

        let text = &self.names[index].text;
        let mut state = self.state();
        let had = std::mem::replace(&mut state.resolved[index].addresses, addresses);
        let failed =
            state.resolved[index].failure.take().is_some_and(|f| !matches!(f.info().state, StoreState::Starting));
        let now = &state.resolved[index].addresses;
        if *now != had || failed {
            let list = |set: &BTreeSet<Box<str>>| set.iter().map(|a| &**a).collect::<Vec<_>>().join(" ");
            tracing::info!(name = %text, addresses = %list(now), "name resolves");
        }
        for (address, store) in new {
            state.remotes.entry(address).or_insert(store);
        }
        state.drop_unnamed(self.options.gone_kept);
    }

    fn fail(&self, index: usize, error: StoreError) {
        let name = &self.names[index];
        let mut state = self.state();
        let resolved = &mut state.resolved[index];
        let since = match resolved.failure.as_ref().map(|failure| failure.info().state.clone()) {
            Some(StoreState::Down { since, .. }) => since,
            _ => {
                tracing::warn!(name = %name.text, %error, kept = resolved.addresses.len(), "name does not resolve");
                SystemTime::now()
            }
        };
        let down = StoreState::Down { since, error };
        resolved.failure = Some(Arc::new(MissingStore::new(&name.text, down, Some(SystemTime::now()))));
    }
}

/// How to talk to each of so many peers: the more there are, the less each may send ahead of what is read, since that
/// lies outside of all budgets.
fn remote_options(options: &DiscoveryOptions, peers: usize) -> RemoteOptions {
    let share = u32::try_from(WINDOWS_BYTES / peers.max(1)).unwrap_or(u32::MAX);
    let most = options.remote.stream_window_bytes;
    RemoteOptions { stream_window_bytes: share.max(WINDOW_BYTES_MIN).min(most), ..options.remote }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let period = period.max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl State {
    fn add_plain(&mut self, target: &str, options: RemoteOptions) {
        if self.remotes.contains_key(target) {
            return;
        }
        match RemoteStore::new(target, options) {
            Ok(store) => {
                self.remotes.insert(target.into(), Arc::new(store));
                self.fixed.insert(target.into());
            }
            Err(error) => {
                let down = StoreState::Down { since: SystemTime::now(), error };
                self.refused.push(Arc::new(MissingStore::new(target, down, None)));
            }
        }
    }

    /// Drops the addresses that no name has, but for those that are missed: what they held nobody else holds.
    fn drop_unnamed(&mut self, kept: Duration) {
        let Self { remotes, fixed, resolved, gone, .. } = self;
        let is_named =
            |address: &str| fixed.contains(address) || resolved.iter().any(|name| name.addresses.contains(address));
        let held: BTreeSet<Labels> = remotes
            .iter()
            .filter(|(address, _)| is_named(address))
            .map(|(_, store)| store.info())
            .filter(|info| matches!(info.state, StoreState::Up))
            .flat_map(|info| info.label_sets.clone())
            .collect();
        let now = Instant::now();
        remotes.retain(|address, store| {
            if is_named(address) {
                gone.remove(address);
                return true;
            }
            let since = *gone.entry(address.clone()).or_insert(now);
            let is_missed = store.info().label_sets.iter().any(|set| !held.contains(set)) && now - since < kept;
            if !is_missed {
                tracing::info!(store = %address, "store is dropped: no name has its address any more");
                gone.remove(address);
            }
            is_missed
        });
    }
}

/// What follows the prefix of a target that DNS is asked for, and whether it must have a port. None without such a prefix.
pub fn behind_prefix(target: &str) -> Option<(&str, bool)> {
    let (rest, kind) = split(target)?;
    Some((rest, matches!(kind, Kind::Addresses | Kind::BothAddresses)))
}

fn split(target: &str) -> Option<(&str, Kind)> {
    PREFIXES.iter().find_map(|(prefix, kind)| Some((target.strip_prefix(prefix)?, *kind)))
}

impl Name {
    /// None for a plain address.
    fn parse(text: &str) -> Option<Self> {
        let (rest, kind) = split(text)?;
        let (name, port) = match rest.rsplit_once(':').map(|(name, port)| (name, port.parse().ok())) {
            Some((name, Some(port))) => (name, Some(port)),
            _ => (rest, None),
        };
        Some(Self { text: text.into(), kind, name: name.into(), port })
    }

    /// The addresses of the name, at least one.
    async fn lookup(&self, resolvers: &Resolvers) -> Result<BTreeSet<Box<str>>, StoreError> {
        let addresses = match self.kind {
            Kind::Addresses | Kind::BothAddresses => {
                let resolver = if self.kind == Kind::Addresses { &resolvers.either } else { &resolvers.both };
                let port = self.port.ok_or_else(|| {
                    StoreError::new(StoreErrorKind::Refused, format!("resolve {}: the port is missing", self.name))
                })?;
                ips(resolver, &self.name, port).await?
            }
            Kind::Services | Kind::ServicesOnly => self.services(&resolvers.either).await?,
        };
        if addresses.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, format!("resolve {}: no addresses", self.name)));
        }
        Ok(addresses)
    }

    async fn services(&self, resolver: &TokioResolver) -> Result<BTreeSet<Box<str>>, StoreError> {
        let found = resolver.srv_lookup(&*self.name).await.map_err(|error| failed(&self.name, error))?;
        let services = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(service) => {
                let host = service.target.to_utf8();
                Some((host, self.port.unwrap_or(service.port)))
            }
            _ => None,
        });
        let services: Vec<(String, u16)> = services.collect();
        let addresses = services.iter().map(|(host, port)| async move {
            // A host without addresses stays, by its name, a store that cannot be reached.
            let itself = || BTreeSet::from([format!("{}:{port}", host.trim_end_matches('.')).into_boxed_str()]);
            match self.kind {
                Kind::ServicesOnly => itself(),
                _ => match ips(resolver, host, *port).await {
                    Ok(addresses) if !addresses.is_empty() => addresses,
                    _ => itself(),
                },
            }
        });
        Ok(join_all(addresses).await.into_iter().flatten().collect())
    }
}

async fn ips(resolver: &TokioResolver, host: &str, port: u16) -> Result<BTreeSet<Box<str>>, StoreError> {
    let found = resolver.lookup_ip(host).await.map_err(|error| failed(host, error))?;
    Ok(found.iter().map(|ip| SocketAddr::new(ip, port).to_string().into()).collect())
}

fn failed(name: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("resolve {name}: {error}"))
}

impl Resolvers {
    fn new(options: &DiscoveryOptions) -> Result<Self, StoreError> {
        let either = resolver(options, LookupIpStrategy::Ipv4thenIpv6)?;
        let both = resolver(options, LookupIpStrategy::Ipv4AndIpv6)?;
        Ok(Self { either, both })
    }
}

fn resolver(options: &DiscoveryOptions, strategy: LookupIpStrategy) -> Result<TokioResolver, StoreError> {
    let unreadable = |error| {
        let what = format!("read the system's DNS configuration: {error}");
        StoreError::new(StoreErrorKind::Unavailable, what)
    };
    let mut builder = match options.dns_server {
        None => TokioResolver::builder_tokio().map_err(unreadable)?,
        Some(server) => {
            let mut udp = ConnectionConfig::udp();
            udp.port = server.port();
            let server = NameServerConfig::new(server.ip(), true, vec![udp]);
            let config = ResolverConfig::from_name_servers(vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let settings = builder.options_mut();
    // Each lookup is to see what is true now.
    settings.cache_size = 0;
    settings.ip_strategy = strategy;
    builder.build().map_err(unreadable)
}
