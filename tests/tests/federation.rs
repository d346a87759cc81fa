//! Federation invariance, which needs no reference: the same series answer every question with the same bytes, whether one
//! store has them or they are spread over several stores with replicas that have gaps; with any number of threads, however
//! few series a store sends at once, and however many Mastheads stand between.
//!
//! The stores are in memory, behind real StoreAPI servers on loopback; the questions are those of the differential tester.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::collections::BTreeSet;
use std::future::pending;
use std::ops::Range;
use std::sync::Arc;

use futures::future::join_all;
use masthead_bench::process::Server;
use masthead_query::plan::{PlanOptions, Timeline, plan};
use masthead_query::promql::{Features, ParseOptions};
use masthead_store::samples::is_stale;
use masthead_store::serve::{ServeOptions, StoreService, listen};
use masthead_store::testing::{MemoryStore, Random};
use masthead_store::{Budget, Labels, Millis, Samples, Store};
use masthead_tests::differential::client::Client;
use masthead_tests::differential::data::{self, Data, START};
use masthead_tests::differential::grammar::Language;
use masthead_tests::differential::known::OURS;
use masthead_tests::differential::question::{Question, Times};
use masthead_tests::differential::shrink::shrink;
use masthead_tests::differential::sides::FEATURES;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The label that tells replicas apart.
const REPLICA: &str = "store_replica";
/// Samples that a store has of its neighbours' parts.
const OVERLAP: usize = 3;
/// Samples from which on a regular series gets gaps.
const LONG: usize = 60;
/// When which replica is away, minutes from the start of the data.
const AWAY: [(usize, Range<Millis>); 4] = [(0, 50..58), (1, 90..98), (2, 130..138), (0, 170..178)];
/// Distance of samples up to which a regular series gets gaps, ms.
const DENSE: Millis = 120_000;
/// Minutes before and after an absence in which a replica's rhythm does not show it: the longest interval and a half.
const NEAR: Millis = 4;
const MINUTE: Millis = 60_000;
/// What is asked about.
const LANGUAGE: Language = Language { minor: OURS, histograms: true };
/// Questions.
const COUNT: u64 = 700;

/// How the series are spread, and how they are asked for.
#[derive(Debug, Clone, Copy)]
struct Layout {
    stores: usize,
    replicas: usize,
    /// Series that a store sends at once.
    batch_series: usize,
    /// Threads of the program that asks.
    threads: usize,
    /// Mastheads one over the other between the stores and the program that asks.
    between: usize,
}

const LAYOUTS: &[Layout] = &[
    Layout { stores: 1, replicas: 1, batch_series: 256, threads: 1, between: 0 },
    Layout { stores: 1, replicas: 1, batch_series: 1, threads: 8, between: 0 },
    Layout { stores: 2, replicas: 1, batch_series: 7, threads: 2, between: 0 },
    Layout { stores: 1, replicas: 2, batch_series: 64, threads: 2, between: 0 },
    Layout { stores: 3, replicas: 2, batch_series: 3, threads: 1, between: 0 },
    Layout { stores: 5, replicas: 3, batch_series: 11, threads: 8, between: 0 },
    Layout { stores: 1, replicas: 1, batch_series: 64, threads: 2, between: 2 },
    Layout { stores: 3, replicas: 2, batch_series: 3, threads: 2, between: 1 },
    Layout { stores: 2, replicas: 2, batch_series: 5, threads: 1, between: 2 },
];

/// What a store has of a series: all of it, a part of its time, or a part of what its replica should have.
fn part(samples: &Samples, layout: Layout, store: usize, replica: usize, home: usize) -> Option<Samples> {
    // Half of the series live in one store, the others have their time spread over all of them.
    if home.is_multiple_of(2) {
        return (home / 2 % layout.stores == store).then(|| gaps(samples, layout, replica, 0, samples.len()));
    }
    let border = |at: usize| samples.len() * at / layout.stores;
    let (first, last) = (border(store).saturating_sub(OVERLAP), (border(store + 1) + OVERLAP).min(samples.len()));
    Some(gaps(samples, layout, replica, first, last)).filter(|part| !part.is_empty())
}

/// The samples from index `first` to before `last`, without those in which this replica was away: never all replicas at
/// once, and only in regular series without ends, where the others can stand in sample by sample.
fn gaps(samples: &Samples, layout: Layout, replica: usize, first: usize, last: usize) -> Samples {
    let distances: BTreeSet<Millis> = samples.timestamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let dense = distances.len() == 1 && distances.iter().all(|distance| *distance <= DENSE) && samples.len() >= LONG;
    let floats = samples.histograms.is_empty() && !samples.values.iter().any(|value| is_stale(*value));
    let times = times(samples);
    let keeps = |time: Millis| {
        let at = times.partition_point(|have| *have < time);
        let away = AWAY.iter().any(|(who, minutes)| *who == replica && minutes.contains(&((time - START) / MINUTE)));
        (first..last).contains(&at) && !(dense && floats && layout.replicas > 1 && away)
    };
    let mut kept = Samples::default();
    for (time, value) in samples.timestamps.iter().zip(&samples.values).filter(|(time, _)| keeps(**time)) {
        kept.push(*time, *value);
    }
    kept.histograms = samples.histograms.iter().filter(|sample| keeps(sample.timestamp)).cloned().collect();
    kept
}

/// The times of all samples, ascending.
fn times(samples: &Samples) -> Vec<Millis> {
    let histograms = samples.histograms.iter().map(|sample| sample.timestamp);
    let mut times: Vec<Millis> = samples.timestamps.iter().copied().chain(histograms).collect();
    times.sort_unstable();
    times
}

/// Whether no selection of a question begins or ends in or near an absence. There the primary replica cannot be told to be
/// away yet, or still: deduplication promises what follows only from one interval on (`masthead_store::dedup`).
fn is_clear_of_gaps(question: &Question) -> bool {
    let timeline = match question.times {
        Times::Instant(time) => Timeline::instant(time),
        Times::Range { start, end, step } => Timeline { start, step, count: ((end - start) / step + 1) as usize },
    };
    let features = Features::ALL;
    let parse = ParseOptions { features, ..ParseOptions::default() };
    let end = match question.times {
        Times::Range { end, .. } => Some(end),
        Times::Instant(_) => None,
    };
    let options = PlanOptions { parse, end, instant: end.is_none(), ..PlanOptions::default() };
    // What is refused is refused whoever is away.
    let Ok(planned) = plan(&question.query, timeline, &options) else { return true };
    let near = |time: Millis| {
        AWAY.iter().any(|(_, minutes)| {
            let around = START + (minutes.start - NEAR) * MINUTE..START + (minutes.end + NEAR) * MINUTE;
            around.contains(&time)
        })
    };
    planned.selects.iter().all(|select| !near(select.min_time) && !near(select.max_time))
}

/// The stores of a layout.
fn stores(data: &Data, layout: Layout) -> Vec<Vec<Arc<dyn Store>>> {
    let replica = |store: usize, replica: usize| {
        let parts = data.iter().enumerate().filter_map(|(home, (labels, samples))| {
            Some((labels.clone(), part(samples, layout, store, replica, home)?))
        });
        let series: Vec<(Labels, Samples)> = parts.collect();
        let name = replica.to_string();
        // Parts of one replica are told by its label; without one each store would be a replica of its own.
        let external =
            if layout.stores * layout.replicas > 1 { Labels::from_pairs([(REPLICA, &name)]) } else { Labels::empty() };
        let memory = MemoryStore::new(&format!("store-{store}-{replica}"), &external, &series);
        Arc::new(memory.with_batch_series(layout.batch_series)) as Arc<dyn Store>
    };
    (0..layout.stores).map(|store| (0..layout.replicas).map(|at| replica(store, at)).collect()).collect()
}

/// A program that asks the stores of a layout, each a server.
struct Federation {
    layout: Layout,
    client: Client,
    _programs: Vec<Server>,
    _servers: JoinSet<std::io::Result<()>>,
}

impl Federation {
    async fn start(data: &Data, layout: Layout) -> Self {
        let mut servers = JoinSet::new();
        let mut endpoints = Vec::new();
        for replicas in stores(data, layout) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            endpoints.push(format!("--endpoint={}", listener.local_addr().unwrap()));
            let service =
                StoreService::new(Arc::new(move || replicas.clone()), Budget::unlimited(), ServeOptions::default());
            servers.spawn(listen(service, listener, pending()));
        }
        let start = move |endpoints: &[String]| {
            let flags = [
                format!("--enable-feature={FEATURES}"),
                format!("--query.replica-label={REPLICA}"),
                format!("--query.threads={}", layout.threads),
            ];
            let environment = [("TOKIO_WORKER_THREADS", layout.threads.to_string())];
            Server::masthead_under(environment, flags.iter().chain(endpoints)).unwrap()
        };
        let programs = tokio::task::spawn_blocking(move || {
            let mut programs = vec![start(&endpoints)];
            for _ in 0..layout.between {
                let below = format!("--endpoint={}", programs[0].grpc_address);
                programs.insert(0, start(&[below]));
            }
            programs
        });
        let programs = programs.await.unwrap();
        Self { layout, client: Client::new(&programs[0].address), _programs: programs, _servers: servers }
    }
}

/// Layouts that answer with other bytes than the first one, with both answers.
async fn differing(federations: &[Federation], question: &Question) -> Vec<String> {
    let target = question.target();
    let clear = is_clear_of_gaps(question);
    let asked: Vec<&Federation> = federations.iter().filter(|f| clear || f.layout.replicas == 1).collect();
    let answers = join_all(asked.iter().map(|federation| federation.client.get(&target))).await;
    let shown = |at: usize| {
        let text = String::from_utf8_lossy(&answers[at].body).chars().take(700).collect::<String>();
        format!("{:?}\n  {} {text}\n", asked[at].layout, answers[at].status)
    };
    assert_ne!(answers[0].status, 0, "{}", shown(0));
    let others = (1..answers.len()).filter(|at| answers[*at] != answers[0]);
    let others: Vec<String> = others.map(shown).collect();
    if others.is_empty() { others } else { [shown(0)].into_iter().chain(others).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_spread_of_the_series_gives_the_same_bytes() {
    let data = data::generate(11, true);
    let federations = join_all(LAYOUTS.iter().map(|layout| Federation::start(&data, *layout))).await;
    let (mut answered, mut over_gaps) = (0, 0);
    for seed in 0..COUNT {
        let question = Question::generate(5_000_000 + seed, LANGUAGE, 3);
        if !differing(&federations, &question).await.is_empty() {
            let fails = async |question: &Question| !differing(&federations, question).await.is_empty();
            let small = shrink(question, fails).await;
            panic!("{small}\n{}", differing(&federations, &small).await.concat());
        }
        let first = federations[0].client.get(&question.target()).await;
        let has_values = first.status == 200 && first.body.len() > 200;
        answered += u64::from(has_values);
        over_gaps += u64::from(has_values && is_clear_of_gaps(&question));
    }
    println!(
        "{COUNT} questions, {answered} with values, {over_gaps} over replicas with gaps; {} layouts",
        LAYOUTS.len()
    );
    assert!(answered * 3 > COUNT && over_gaps * 5 > COUNT, "only {answered} and {over_gaps} answers hold anything");
}

/// The spread loses nothing, and does spread: replicas differ, and no store has everything.
#[test]
fn the_spread_keeps_every_sample() {
    let data = data::generate(11, true);
    let mut random = Random::new(1);
    for layout in LAYOUTS {
        for _ in 0..40 {
            let home = random.below(data.len());
            let samples = &data[home].1;
            let all = || (0..layout.stores).flat_map(|store| (0..layout.replicas).map(move |at| (store, at)));
            let parts: Vec<Samples> = all().filter_map(|(s, r)| part(samples, *layout, s, r, home)).collect();
            let spread: BTreeSet<Millis> = parts.iter().flat_map(times).collect();
            assert_eq!(spread.into_iter().collect::<Vec<_>>(), times(samples), "{layout:?}");
        }
    }
    let regular = data.iter().position(|(labels, _)| labels.metric_name() == "many").unwrap();
    let layout = Layout { stores: 1, replicas: 2, batch_series: 1, threads: 1, between: 0 };
    let halves = [0, 1].map(|replica| part(&data[regular].1, layout, 0, replica, 0).unwrap());
    assert!(halves.iter().all(|half| half.len() < data[regular].1.len()) && halves[0] != halves[1]);
}
