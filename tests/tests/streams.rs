//! Two sides of a query from one peer, each larger than all buffers between: neither may wait for the other. And what a query
//! leaves behind when it ends or is given up: nothing.

#![expect(clippy::unwrap_used, reason = "what these tests share fails as they do")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::stream;
use masthead_query::config::Config;
use masthead_query::engine::Value;
use masthead_query::engine::batch::is_absent;
use masthead_query::metrics::Metrics;
use masthead_query::plan::Timeline;
use masthead_query::querier::{Answer, Choices, Failure, Querier, Request};
use masthead_query::stores::StoreSet;
use masthead_store::coverage::Outcome;
use masthead_store::facts::Kinds;
use masthead_store::remote::{RemoteOptions, RemoteStore};
use masthead_store::serve::{ServeOptions, StoreService, listen};
use masthead_store::{
    Allowance, Budget, Chunk, Gap, LabelAnswer, Labels, Lane, Select, Series, SeriesBatch, SeriesStream, Store,
    StoreInfo, StoreState, chunk,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Series of each metric.
const SERIES: usize = 1_600;
/// Samples of each series. They do not compress: 8 bytes each.
const SAMPLES: usize = 2_000;
/// Series of a batch.
const BATCH: usize = 16;
/// Distance of samples, ms.
const SCRAPE: i64 = 15_000;
/// Bytes of the chunks of one metric, at least.
const SIDE_BYTES: usize = SERIES * SAMPLES * 8;
/// Bytes that may wait in a feed.
const FEED_BYTES: usize = 1 << 20;
/// Samples from one step of a query to the next.
const STEP: usize = 240;
/// Steps of a query.
const STEPS: usize = 8;
/// The deadline, which nothing here may need.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Series `i` of metric `a` and series `i - SERIES / 2` of metric `b` have the same labels beside the name.
fn first_pod(metric: &str) -> usize {
    if metric == "a" { 0 } else { SERIES / 2 }
}

/// The value of a sample: a hash as mantissa, so that chunks stay as large as can be.
fn value(metric: &str, pod: usize, sample: usize) -> f64 {
    let seed = (pod as u64) << 32 | (sample as u64) << 1 | u64::from(metric == "a");
    let mixed = (seed ^ seed >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    f64::from_bits(0x3ff << 52 | mixed >> 12)
}

fn labels(metric: &str, pod: usize) -> Labels {
    Labels::from_pairs([("__name__", metric), ("cluster", "x"), ("pod", &format!("{pod:06}"))])
}

fn series(metric: &str, pod: usize, samples: usize) -> Series {
    let times: Vec<i64> = (0..samples as i64).map(|i| i * SCRAPE).collect();
    let values: Vec<f64> = (0..samples).map(|i| value(metric, pod, i)).collect();
    let chunks = chunk::encode(&times, &values);
    Series::of_lane(labels(metric, pod), Lane::default(), chunks)
}

/// A store of one metric or two; it counts the batches that it handed out and knows when nobody reads any more.
struct Wide {
    /// Series by metric; empty: without end.
    metrics: BTreeMap<&'static str, Vec<Series>>,
    batches: Arc<AtomicUsize>,
    /// Cloned into each stream.
    alive: Arc<()>,
}

impl Wide {
    fn finite() -> Self {
        let all =
            |metric| (first_pod(metric)..first_pod(metric) + SERIES).map(|i| series(metric, i, SAMPLES)).collect();
        Self { metrics: ["a", "b"].map(|metric| (metric, all(metric))).into(), ..Self::endless() }
    }

    fn endless() -> Self {
        Self { metrics: BTreeMap::new(), batches: Arc::default(), alive: Arc::default() }
    }
}

fn bytes(series: &Series) -> usize {
    let chunks = series.lanes.iter().flat_map(|lane| &lane.chunks);
    series.labels.size_bytes() + chunks.map(|c| c.data.len() + size_of::<Chunk>()).sum::<usize>()
}

impl Store for Wide {
    fn info(&self) -> Arc<StoreInfo> {
        Arc::new(StoreInfo {
            id: "wide".into(),
            component: "memory".into(),
            label_sets: vec![Labels::from_pairs([("cluster", "x")])],
            min_time: 0,
            max_time: SAMPLES as i64 * SCRAPE,
            serves: Kinds::NONE,
            state: StoreState::Up,
            last_check: None,
        })
    }

    fn gaps(&self, _: &Select) -> Vec<Gap> {
        Vec::new()
    }

    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream> {
        let name = request.matchers.iter().find(|matcher| matcher.name() == "__name__").expect("a metric is asked for");
        let metric = if name.matches("a") { "a" } else { "b" };
        let (list, batches, alive) = (self.metrics.get(metric).cloned(), self.batches.clone(), self.alive.clone());
        let next = move |at: usize| match &list {
            Some(list) => list.chunks(BATCH).nth(at).map(<[Series]>::to_vec),
            None => Some((at * BATCH..(at + 1) * BATCH).map(|pod| series(metric, pod, STEP)).collect()),
        };
        let given = stream::iter((0..).map_while(next)).map(move |series| {
            let _alive = &alive;
            batches.fetch_add(1, Ordering::Relaxed);
            let held = allowance.budget.reserve("series", series.iter().map(bytes).sum())?;
            Ok(SeriesBatch::new(series, held))
        });
        vec![given.boxed()]
    }

    fn label_names(&self, _: Arc<Select>, _: Allowance) -> LabelAnswer {
        unreachable!("only series are asked for")
    }

    fn label_values(&self, _: Box<str>, _: Arc<Select>, _: Allowance) -> LabelAnswer {
        unreachable!("only series are asked for")
    }
}

/// A store behind a StoreAPI server, and a querier that has only this peer.
struct Bench {
    querier: Arc<Querier>,
    server_memory: Budget,
    batches: Arc<AtomicUsize>,
    alive: Arc<()>,
    _server: JoinSet<std::io::Result<()>>,
}

async fn start(store: Wide) -> Bench {
    let (batches, alive) = (store.batches.clone(), store.alive.clone());
    let server_memory = Budget::unlimited();
    let store: Arc<dyn Store> = Arc::new(store);
    let options = ServeOptions { buffer_bytes: FEED_BYTES, ..ServeOptions::default() };
    let service = StoreService::new(Arc::new(move || vec![store.clone()]), server_memory.clone(), options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(listen(service, listener, std::future::pending()));

    let peer = RemoteStore::new(&address.to_string(), RemoteOptions::default()).unwrap();
    peer.poll_info(SystemTime::now()).await;
    assert!(matches!(peer.info().state, StoreState::Up));
    let mut config = Config::default();
    config.limits.select_buffer = FEED_BYTES;
    config.sources.response_timeout = TIMEOUT;
    let stores = Arc::new(StoreSet::fixed(vec![Arc::new(peer)]));
    let memory = Budget::new("process", 128 << 20);
    let querier = Querier::new(Arc::new(config), stores, Arc::new(Metrics::new(0)), memory).unwrap();
    Bench { querier: Arc::new(querier), server_memory, batches, alive, _server: server }
}

fn request(expression: &str) -> Request {
    Request {
        expression: expression.to_owned(),
        timeline: Timeline { start: 0, step: STEP as i64 * SCRAPE, count: STEPS },
        instant: false,
        end: None,
        lookback: 60_000,
        choices: Choices {
            replica_labels: vec![],
            partial_response: true,
            store_matchers: vec![],
            shard: None,
            count_samples: false,
            explain: false,
        },
    }
}

impl Bench {
    async fn run(&self, expression: &str) -> Result<Answer<Value>, Failure> {
        let turn = self.querier.enter(TIMEOUT).await?;
        self.querier.run(turn, request(expression)).await
    }

    async fn ask(&self, expression: &str) -> Answer<Value> {
        let answer = self.run(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert!(answer.coverage.is_complete(), "{expression}: {:?}", answer.coverage);
        answer
    }

    /// Waits until nothing of any query is left, here and at the peer.
    async fn wait_until_idle(&self) {
        let idle = async {
            while self.server_memory.used() + self.querier.memory.used() > 0 || Arc::strong_count(&self.alive) > 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let (here, there) = (&self.querier.memory, &self.server_memory);
        let streams = || Arc::strong_count(&self.alive) - 2;
        tokio::time::timeout(TIMEOUT, idle)
            .await
            .unwrap_or_else(|_| panic!("left: {here:?}, at the peer {there:?}, {} streams", streams()));
    }
}

/// Labels and values of all rows, absent steps as None.
fn rows(value: &Value) -> BTreeMap<Labels, Vec<Option<f64>>> {
    let Value::Series(rows) = value else { panic!("{value:?}") };
    let values = |row: &[f64]| row.iter().map(|v| (!is_absent(*v)).then_some(*v)).collect();
    rows.iter().map(|row| (row.labels.clone(), values(&row.values))).collect()
}

/// A row with `value` of each step's sample.
fn row(value: impl Fn(usize) -> f64) -> Vec<Option<f64>> {
    (0..STEPS).map(|step| Some(value(step * STEP))).collect()
}

fn nameless(pod: usize) -> Labels {
    labels("", pod).without(&["__name__"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_sides_of_one_peer_do_not_stall_each_other() {
    let bench = start(Wide::finite()).await;
    let both = SERIES / 2..SERIES;
    let pods = |metric| first_pod(metric)..first_pod(metric) + SERIES;

    let quotient = both.map(|pod| (nameless(pod), row(|s| value("a", pod, s) / value("b", pod, s)))).collect();
    let double = pods("a").map(|pod| (nameless(pod), row(|s| value("a", pod, s) + value("a", pod, s)))).collect();
    let mut either: BTreeMap<_, _> = pods("a").map(|pod| (labels("a", pod), row(|s| value("a", pod, s)))).collect();
    either.extend(pods("b").skip(SERIES / 2).map(|pod| (labels("b", pod), row(|s| value("b", pod, s)))));
    let mut top = BTreeMap::new();
    for step in 0..STEPS {
        let mut all: Vec<(f64, usize)> = pods("a").map(|pod| (value("a", pod, step * STEP), pod)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (value, pod) in &all[..3] {
            top.entry(labels("a", *pod)).or_insert_with(|| vec![None; STEPS])[step] = Some(*value);
        }
    }

    // Sides that are transferred, the most bytes that may be held at once, and the rows that must come.
    type Rows = BTreeMap<Labels, Vec<Option<f64>>>;
    let queries: [(&str, usize, usize, Rows); 4] = [
        ("a / b", 2, SIDE_BYTES * 3 / 4, quotient),
        ("a or b", 2, SIDE_BYTES * 3 / 4, either),
        ("topk(3, a)", 1, SIDE_BYTES * 3 / 4, top),
        // One selection for both sides, kept until the second one has read it.
        ("a + a", 1, SIDE_BYTES * 5 / 4, double),
    ];
    for (expression, sides, held_max, expected) in queries {
        let answer = bench.ask(expression).await;
        let received = answer.coverage.asked.iter().map(|asked| match asked.outcome {
            Outcome::Complete { bytes, .. } => bytes,
            Outcome::Failed { .. } => 0,
        });
        let (received, peak) = (received.sum::<usize>(), answer.cost.peak_bytes);
        println!("{expression}: {received} bytes received, {peak} held at most");
        assert!(received >= sides * SIDE_BYTES, "{expression}: {received} bytes");
        assert!(peak < held_max, "{expression}: {peak} bytes held");
        let found = rows(&answer.value);
        assert_eq!(found.len(), expected.len(), "{expression}");
        for (labels, values) in &expected {
            assert_eq!(found.get(labels), Some(values), "{expression} {labels}");
        }
        drop((answer, found));
        bench.wait_until_idle().await;
    }
}

/// The series have no end: only giving up ends the query, and that must reach the peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_given_up_ends_at_the_peer() {
    let bench = start(Wide::endless()).await;
    for expression in ["sum(a)", "a / b"] {
        let before = bench.batches.load(Ordering::Relaxed);
        let flowing = async {
            while bench.batches.load(Ordering::Relaxed) < before + 200 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            answer = bench.run(expression) => panic!("{expression} ended: {answer:?}"),
            () = flowing => {}
        }
        // The query is dropped here.
        bench.wait_until_idle().await;
    }
}
