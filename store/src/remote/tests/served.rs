//! The client against our own server, over loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use masthead_proto::health::health_check_response::ServingStatus;
use masthead_proto::health::{HealthCheckRequest, HealthCheckResponse};
use masthead_proto::path;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fanout::{FanOutOptions, Feed, Progress, fan_out, label_names};
use crate::remote::endpoint::{Call, Endpoint, EndpointOptions};
use crate::remote::held::Held;
use crate::remote::messages::Messages;
use crate::remote::{RemoteOptions, RemoteStore};
use crate::samples::Samples;
use crate::serve::{ServeOptions, StoreService, listen};
use crate::testing::{Fault, FaultyStore, Fixture, MemoryStore, contract};
use crate::{
    Allowance, Budget, Encoding, Labels, LabelsBuilder, Matcher, Select, Store, StoreError, StoreErrorKind, StoreState,
};

/// A server over stores, until it is dropped.
struct Served {
    address: SocketAddr,
    stop: Arc<Notify>,
    task: JoinSet<()>,
}

fn service(stores: Vec<Arc<dyn Store>>) -> StoreService {
    StoreService::new(Arc::new(move || stores.clone()), Budget::unlimited(), ServeOptions::default())
}

impl Served {
    async fn start(stores: Vec<Arc<dyn Store>>) -> Self {
        Self::start_service(service(stores)).await
    }

    async fn start_service(service: StoreService) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { listen(service, listener, stopped.notified()).await.unwrap() });
        Self { address, stop, task }
    }

    /// A client that has asked for the facts.
    async fn store(&self) -> RemoteStore {
        let store = RemoteStore::new(&self.address.to_string(), RemoteOptions::default()).unwrap();
        store.poll_info(SystemTime::UNIX_EPOCH).await;
        store
    }
}

const START: i64 = 1_700_000_040_000;

#[tokio::test]
async fn a_peer_of_one_replica_keeps_the_contract() {
    let fixture = Fixture::standard(START);
    let memory = Arc::new(MemoryStore::new("memory", &fixture.external, &fixture.series));
    let served = Served::start(vec![memory]).await;
    contract(&served.store().await, &fixture).await;
    // Behind a second aggregator nothing changes.
    let through = Served::start(vec![Arc::new(served.store().await)]).await;
    contract(&through.store().await, &fixture).await;
}

/// Chunks of newer encodings come as they are.
#[tokio::test]
async fn a_peer_sends_all_encodings() {
    let fixture = Fixture::standard(START);
    let memory = MemoryStore::new("memory", &fixture.external, &fixture.series);
    let served = Served::start(vec![Arc::new(memory)]).await;
    let request = Select { matchers: vec![], min_time: 0, max_time: i64::MAX, ..(*select(&[])).clone() };
    let mut found = std::collections::BTreeSet::new();
    for mut stream in served.store().await.select(Arc::new(request), Allowance::unlimited()) {
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap();
            found.extend(batch.series.iter().flat_map(|s| &s.lanes).flat_map(|l| &l.chunks).map(|c| c.encoding));
        }
    }
    assert_eq!(Vec::from_iter(found), [Encoding::Xor, Encoding::Xor2, Encoding::FloatHistogramSt]);
}

/// A peer that is slow between batches is slow, and right.
#[tokio::test]
async fn a_slow_peer_keeps_the_contract() {
    let mut fixture = Fixture::standard(START);
    fixture.series.truncate(300);
    let memory = MemoryStore::new("memory", &fixture.external, &fixture.series).with_batch_series(64);
    let slow = FaultyStore::new(Arc::new(memory), Fault::Delay(Duration::from_millis(1)));
    let served = Served::start(vec![Arc::new(slow)]).await;
    contract(&served.store().await, &fixture).await;
}

fn select(replica_labels: &[&str]) -> Arc<Select> {
    Arc::new(Select {
        matchers: vec![Matcher::equal("__name__", "up")],
        min_time: 0,
        max_time: 10_000_000,
        replica_labels: replica_labels.iter().map(|name| (*name).into()).collect(),
        labels_only: false,
        limit: 0,
    })
}

/// `count` series of `samples` samples that do not compress, below `external`.
fn memory(external: &[(&str, &str)], count: usize, samples: usize) -> Arc<MemoryStore> {
    let mut random = crate::testing::Random::new(1);
    let series: Vec<(Labels, Samples)> = (0..count)
        .map(|i| {
            let mut column = Samples::default();
            for t in 0..samples as i64 {
                column.push(t * 1_000, f64::from_bits(random.next() >> 2));
            }
            (Labels::from_pairs([("__name__", "up"), ("pod", format!("{i:05}").as_str())]), column)
        })
        .collect();
    Arc::new(MemoryStore::new("memory", &Labels::from_pairs(external.iter().copied()), &series))
}

/// Two replicas behind one peer come as two streams, each of one lane, and meet in the fan-out.
#[tokio::test]
async fn replicas_behind_one_peer_keep_their_lanes() {
    let sets: [&[(&str, &str)]; 2] = [&[("cluster", "x"), ("replica", "a")], &[("cluster", "x"), ("replica", "b")]];
    let served = Served::start(sets.map(|set| memory(set, 300, 5) as Arc<dyn Store>).to_vec()).await;
    let store: Arc<dyn Store> = Arc::new(served.store().await);
    // One for each replica, and one for what has no such label.
    assert_eq!(store.select(select(&["replica"]), Allowance::unlimited()).len(), 3);
    let options = fan_out_options(1 << 20);
    let mut feed = fan_out(&[store], select(&["replica"]), &Budget::unlimited(), &options);
    let mut count = 0;
    while let Some(batch) = feed.next().await.unwrap() {
        for series in &batch.series {
            let mut lanes: Vec<&str> = series.lanes.iter().map(|lane| lane.lane.replica.value("replica")).collect();
            lanes.sort_unstable();
            assert_eq!(lanes, ["a", "b"], "{}", series.labels);
            assert_eq!(series.labels.get("replica"), None);
        }
        count += batch.series.len();
    }
    assert_eq!(count, 300);
    assert!(feed.coverage().is_complete());
}

fn fan_out_options(buffer_bytes: usize) -> FanOutOptions {
    let deadline = Instant::now() + Duration::from_secs(300);
    FanOutOptions { buffer_bytes, response_timeout: Duration::from_secs(60), deadline }
}

async fn rest(mut feed: Feed) -> usize {
    let mut count = 0;
    while let Some(batch) = feed.next().await.unwrap() {
        count += batch.series.len();
    }
    assert!(feed.coverage().is_complete());
    count
}

/// Two selections over one peer and one connection, each larger than all buffers and windows together: in whatever
/// order they are read, neither stalls the other.
#[tokio::test]
async fn selections_of_one_peer_never_stall_each_other() {
    let served = Served::start(vec![memory(&[("replica", "a")], 4_000, 480)]).await;
    let store: Arc<dyn Store> = Arc::new(served.store().await);
    let feed = || {
        fan_out(std::slice::from_ref(&store), select(&["replica"]), &Budget::unlimited(), &fan_out_options(64 << 10))
    };
    let (mut parked, other, last) = (feed(), feed(), feed());
    let first = parked.next().await.unwrap().unwrap().series.len();
    assert_eq!(rest(last).await, 4_000);
    assert_eq!(rest(other).await, 4_000);
    assert_eq!(first + rest(parked).await, 4_000);
}

/// What is missing behind the peer is missing in its answer here too, and what is there is kept.
#[tokio::test]
async fn a_failure_behind_the_peer_comes_through() {
    let broken = FaultyStore::new(memory(&[("replica", "b")], 10, 5), Fault::Error(0));
    let served = Served::start(vec![memory(&[("replica", "a")], 10, 5), Arc::new(broken)]).await;
    let store = served.store().await;
    let mut stream = store.select(select(&[]), Allowance::unlimited()).remove(0);
    let (mut count, mut error) = (0, None);
    while let Some(item) = stream.next().await {
        match item {
            Ok(batch) => count += batch.series.len(),
            Err(failed) => error = Some(failed),
        }
    }
    assert_eq!(count, 10);
    let error = error.unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("the peer's answer is incomplete: store memory"), "{error}");
}

/// The facts of a server are those of the stores behind it.
#[tokio::test]
async fn facts_come_through() {
    let sets: [&[(&str, &str)]; 2] = [&[("replica", "b")], &[("replica", "a")]];
    let served = Served::start(sets.map(|set| memory(set, 2, 5) as Arc<dyn Store>).to_vec()).await;
    let info = served.store().await.info();
    let expected = ["a", "b"].map(|value| LabelsBuilder::new(&Labels::empty()).set("replica", value).build());
    assert_eq!((&*info.label_sets, &*info.component), (&expected[..], "query"));
    assert_eq!((info.min_time, info.max_time), (0, 4_000));
}

/// The deadline of a query is known to the stores behind each peer: nobody works on for a caller that has gone.
#[tokio::test]
async fn deadlines_come_through() {
    let behind = memory(&[("replica", "a")], 2, 5);
    let served = Served::start(vec![behind.clone()]).await;
    let stores: [Arc<dyn Store>; 1] = [Arc::new(served.store().await)];
    let budget = Budget::unlimited();
    let near = |deadline: Instant| {
        let there = behind.last_deadline().unwrap();
        // The time of a round trip later, if the clocks of both agree.
        assert!(there + Duration::from_secs(1) > deadline && there < deadline + Duration::from_secs(1));
    };
    for seconds in [7, 70] {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let options = FanOutOptions { deadline, ..fan_out_options(1 << 20) };
        assert_eq!(rest(fan_out(&stores, select(&["replica"]), &budget, &options)).await, 2);
        near(deadline);
        label_names(&stores, select(&[]), &budget, &options, &Progress::default()).await.unwrap();
        // Labels are waited for as long as a store may be silent, there too.
        near(deadline.min(Instant::now() + ServeOptions::default().response_timeout));
    }
    // A server does not believe that it has longer than it allows itself.
    let options = FanOutOptions { deadline: Instant::now() + Duration::from_secs(100_000), ..fan_out_options(1 << 20) };
    assert_eq!(rest(fan_out(&stores, select(&["replica"]), &budget, &options)).await, 2);
    near(Instant::now() + ServeOptions::default().timeout);
}

/// A caller of the health service.
struct Prober(Endpoint);

impl Prober {
    fn of(served: &Served) -> Self {
        let options = EndpointOptions {
            stream_window_bytes: 1 << 16,
            message_bytes_max: 1 << 16,
            connect_timeout: Duration::from_secs(5),
        };
        Self(Endpoint::new(&served.address.to_string(), options).unwrap())
    }

    async fn call(&self, path: &'static str, service: &str) -> Result<Messages, StoreError> {
        let request = HealthCheckRequest { service: service.into() }.encode_to_vec();
        let deadline = Instant::now() + Duration::from_secs(60);
        self.0.call(&Call { path, request: &request, deadline, act: "probe" }).await
    }

    async fn check(&self, service: &str) -> Result<ServingStatus, StoreError> {
        let mut messages = self.call(path::HEALTH_CHECK, service).await?;
        let status = next_status(&mut messages).await.unwrap();
        assert!(next_status(&mut messages).await.is_none(), "one message, and OK");
        Ok(status)
    }
}

/// The next status that a call says; None at its end.
async fn next_status(messages: &mut Messages) -> Option<ServingStatus> {
    let mut held = Held::new(&Budget::unlimited());
    let message = std::future::poll_fn(|cx| messages.poll_next(cx, &mut held)).await?.unwrap();
    Some(HealthCheckResponse::decode(message).unwrap().status())
}

/// Probes see a server that starts, serves and stops; what is asked of it before it is ready is refused, and what is
/// asked by a name that nobody knows is not found.
#[tokio::test]
async fn health_is_that_of_the_server() {
    use ServingStatus::{NotServing, ServiceUnknown, Serving};
    let service = service(vec![memory(&[("replica", "a")], 2, 5)]).starting();
    let mut served = Served::start_service(service.clone()).await;
    let prober = Prober::of(&served);
    for name in ["", "thanos.Store", "thanos.info.Info"] {
        assert_eq!(prober.check(name).await.unwrap(), NotServing, "{name:?}");
    }
    let error = prober.check("thanos.Rules").await.unwrap_err();
    assert_eq!(error.to_string(), "probe: NotFound: unknown service");
    let store = served.store().await;
    let StoreState::Down { error, .. } = store.info().state.clone() else { panic!("{:?}", store.info()) };
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.to_string().ends_with("not ready: the stores are asked for the first time"), "{error}");

    let mut watched = prober.call(path::HEALTH_WATCH, "thanos.Store").await.unwrap();
    let mut unknown = prober.call(path::HEALTH_WATCH, "nobody").await.unwrap();
    assert_eq!(next_status(&mut watched).await, Some(NotServing));
    assert_eq!(next_status(&mut unknown).await, Some(ServiceUnknown));
    service.set_ready();
    assert_eq!(next_status(&mut watched).await, Some(Serving));
    assert_eq!(prober.check("").await.unwrap(), Serving);
    store.poll_info(SystemTime::UNIX_EPOCH).await;
    assert!(matches!(store.info().state, StoreState::Up));

    // Whoever watches does not keep the server from stopping.
    served.stop.notify_one();
    assert_eq!(next_status(&mut watched).await, Some(NotServing));
    assert_eq!((next_status(&mut watched).await, next_status(&mut unknown).await), (None, None));
    drop((prober, store));
    tokio::time::timeout(Duration::from_secs(60), served.task.join_next()).await.unwrap();
}

/// A stream that waits for its reader takes no place from another one: hundreds of them, and a further question is
/// answered.
#[tokio::test]
async fn parked_streams_keep_no_question_out() {
    // More than the server buffers and the window takes.
    let served = Served::start(vec![memory(&[("replica", "a")], 600, 120)]).await;
    let options = RemoteOptions { stream_window_bytes: 1 << 16, ..Default::default() };
    let store = RemoteStore::new(&served.address.to_string(), options).unwrap();
    store.poll_info(SystemTime::UNIX_EPOCH).await;
    let mut parked = Vec::new();
    for _ in 0..220 {
        let mut stream = store.select(select(&["replica"]), Allowance::unlimited()).remove(0);
        let batch = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.unwrap();
        assert!(!batch.unwrap().unwrap().series.is_empty());
        parked.push(stream);
    }
    tokio::time::timeout(Duration::from_secs(60), store.poll_info(SystemTime::UNIX_EPOCH)).await.unwrap();
    assert!(matches!(store.info().state, StoreState::Up), "{:?}", store.info().state);
}
