//! The same series behind three StoreAPI servers with two replicas each, asked through gRPC on loopback and deduplicated.
//!
//! Each server holds a third of the time of every series and a little of its neighbours' part. Where a series is long and
//! regular, each replica lacks a part that the other one has.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use masthead_query::engine::Input;
use masthead_query::error::QueryError;
use masthead_store::fanout::{FanOutOptions, Feed, fan_out};
use masthead_store::remote::{RemoteOptions, RemoteStore};
use masthead_store::samples::is_stale;
use masthead_store::serve::{ServeOptions, StoreService, listen};
use masthead_store::testing::MemoryStore;
use masthead_store::{Budget, Labels, Millis, Samples, SeriesBatch, Store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::{Answer, Data, Evaluator, Failure, Question, memory};

/// The label that tells the replicas apart.
const REPLICA: &str = "store_replica";
const SERVERS: usize = 3;
/// Samples that a server holds of each neighbour's part.
const OVERLAP: usize = 2;
/// Samples from which on a regular series gets gaps.
const LONG: usize = 16;
/// For one question.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server serves now.
type Slot = Arc<Mutex<Vec<Arc<dyn Store>>>>;

/// Answers from three servers.
pub struct Stores {
    slots: Vec<Slot>,
    peers: Vec<Arc<RemoteStore>>,
    /// Last, so that it outlives what it runs.
    runtime: Runtime,
}

impl Stores {
    /// Starts the servers and connects to them.
    pub fn start() -> Result<Self, String> {
        let runtime = runtime()?;
        let (mut slots, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..SERVERS {
            let slot = Slot::default();
            let peer = runtime.block_on(serve(&slot))?;
            slots.push(slot);
            peers.push(Arc::new(peer));
        }
        Ok(Self { slots, peers, runtime })
    }
}

/// Serves what is in `slot`.
async fn serve(slot: &Slot) -> Result<RemoteStore, String> {
    let failure = |error: std::io::Error| format!("listen: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failure)?;
    let address = listener.local_addr().map_err(failure)?.to_string();
    let slot = Arc::clone(slot);
    let stores = Arc::new(move || slot.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let service = StoreService::new(stores, Budget::unlimited(), ServeOptions::default());
    tokio::spawn(listen(service, listener, pending()));
    RemoteStore::new(&address, RemoteOptions::default()).map_err(|error| error.to_string())
}

impl Evaluator for Stores {
    fn load(&mut self, data: &Data) -> Result<(), String> {
        let mut parts: Vec<[Vec<(Labels, Samples)>; 2]> = (0..SERVERS).map(|_| Default::default()).collect();
        for (labels, samples) in data.series() {
            let split = Split::of(&samples);
            for (server, replicas) in parts.iter_mut().enumerate() {
                for (replica, series) in replicas.iter_mut().enumerate() {
                    let part = filtered(&samples, |index, _| split.holds(server, replica, index));
                    if !part.is_empty() {
                        series.push((labels.clone(), part));
                    }
                }
            }
        }
        for (server, (slot, replicas)) in self.slots.iter().zip(parts).enumerate() {
            let stores = replicas.iter().zip(["a", "b"]).map(|(series, replica)| {
                let external = Labels::from_pairs([(REPLICA, replica)]);
                Arc::new(MemoryStore::new(&format!("server-{server}-{replica}"), &external, series)) as Arc<dyn Store>
            });
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = stores.collect();
        }
        self.runtime.block_on(async {
            for peer in &self.peers {
                peer.poll_info(SystemTime::now()).await;
            }
        });
        Ok(())
    }

    fn ask(&self, question: &Question<'_>) -> Result<Answer, Failure> {
        let stores: Vec<Arc<dyn Store>> = self.peers.iter().map(|peer| Arc::clone(peer) as Arc<dyn Store>).collect();
        ask(&self.runtime, &stores, &[REPLICA.into()], question)
    }
}

/// Asks all of `stores` at once.
pub(super) fn ask(
    runtime: &Runtime,
    stores: &[Arc<dyn Store>],
    replica_labels: &[Box<str>],
    question: &Question<'_>,
) -> Result<Answer, Failure> {
    let options =
        FanOutOptions { buffer_bytes: 4 << 20, response_timeout: TIMEOUT, deadline: Instant::now() + TIMEOUT };
    let _guard = runtime.enter();
    memory::evaluate(question, replica_labels, |select, budget| {
        Box::new(Fed(Some(fan_out(stores, Arc::new(select.clone()), budget, &options))))
    })
}

/// A runtime for servers and stores.
pub(super) fn runtime() -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().map_err(|error| format!("start a runtime: {error}"))
}

/// A feed to its end, at which no store may be missing.
struct Fed(Option<Feed>);

impl Input for Fed {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let Some(feed) = &mut self.0 else { return Ok(None) };
        if let Some(batch) = feed.blocking_next()? {
            return Ok(Some(batch));
        }
        let coverage = self.0.take().map(Feed::coverage);
        match coverage.filter(|coverage| !coverage.is_complete()) {
            Some(coverage) => Err(QueryError::Internal(format!("stores are missing: {coverage:?}"))),
            None => Ok(None),
        }
    }
}

/// Which samples of a series, by index, go where.
struct Split {
    count: usize,
    gaps: bool,
}

impl Split {
    fn of(samples: &Samples) -> Self {
        let count = samples.len();
        let distances = samples.timestamps.windows(2).map(|pair| pair[1] - pair[0]);
        let regular = distances.collect::<std::collections::BTreeSet<Millis>>().len() <= 1;
        let ends = samples.values.iter().any(|value| is_stale(*value));
        Self { count, gaps: count >= LONG && regular && !ends && samples.histograms.is_empty() }
    }

    fn holds(&self, server: usize, replica: usize, index: usize) -> bool {
        let count = self.count;
        let first = (count * server / SERVERS).saturating_sub(OVERLAP);
        let last = count * (server + 1) / SERVERS + OVERLAP;
        // The first replica pauses in the middle, the second one leaves early.
        let gap = if replica == 0 { count * 3 / 8..count * 5 / 8 } else { count * 3 / 4..count };
        (first..last).contains(&index) && !(self.gaps && gap.contains(&index))
    }
}

/// The samples that are kept, by their index in time and their time.
pub(super) fn filtered(samples: &Samples, keep: impl Fn(usize, Millis) -> bool) -> Samples {
    let mut times: Vec<Millis> =
        samples.timestamps.iter().copied().chain(samples.histograms.iter().map(|sample| sample.timestamp)).collect();
    times.sort_unstable();
    let kept = |time: Millis| keep(times.partition_point(|have| *have < time), time);
    let mut part = Samples::default();
    for (i, time) in samples.timestamps.iter().enumerate() {
        if kept(*time) {
            part.timestamps.push(*time);
            part.values.push(samples.values[i]);
            part.start_timestamps.extend(samples.start_timestamps.get(i));
        }
    }
    part.histograms = samples.histograms.iter().filter(|sample| kept(sample.timestamp)).cloned().collect();
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sample is somewhere, and the first replica alone does not have all of a long series.
    #[test]
    fn nothing_is_lost_in_the_split() {
        for count in [1, 2, 5, 15, 16, 100] {
            let mut samples = Samples::default();
            (0..count).for_each(|i| samples.push(i * 15_000, i as f64));
            let split = Split::of(&samples);
            let held = |replica: usize, index: usize| (0..SERVERS).any(|server| split.holds(server, replica, index));
            let count = samples.len();
            assert!((0..count).all(|index| held(0, index) || held(1, index)), "{count}");
            assert_eq!((0..count).all(|index| held(0, index)), count < LONG, "{count}");
        }
    }
}
