//! Simulations: many stores with seeded faults on a paused clock, and the promises of a feed by name.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::dedup::{Scratch, TimeRange, samples_of};
use crate::samples::Samples;
use crate::testing::{Fault, FaultyStore, MemoryStore, Random};
use crate::{Matcher, Series};

const START: i64 = 1_700_000_000_000;
const SERIES: usize = 60;

/// The value of a series at a time: what a store answers is wrong if it is not this.
fn truth(series: usize, time: i64) -> f64 {
    ((time - START) / 1000) as f64 * (1 + series % 7) as f64 + series as f64
}

fn labels(series: usize) -> Labels {
    Labels::from_pairs([("__name__", "requests_total"), ("pod", &format!("pod-{series:02}"))])
}

fn select() -> Select {
    Select {
        matchers: vec![Matcher::equal("__name__", "requests_total")],
        min_time: START,
        max_time: START + 3_600_000,
        replica_labels: vec!["replica".into()],
        labels_only: false,
        limit: 0,
    }
}

fn options() -> FanOutOptions {
    FanOutOptions {
        buffer_bytes: 64 << 10,
        response_timeout: Duration::from_secs(5),
        deadline: Instant::now() + Duration::from_secs(120),
    }
}

/// One replica of one cluster: an hour of scrapes every 30 s, with gaps, in a sidecar and, the first 40 minutes, a
/// bucket.
fn replica_samples(cluster: usize, replica: usize, series: usize) -> Samples {
    let mut random = Random::new((cluster * 100 + replica) as u64);
    let (mut samples, mut lost) = (Samples::default(), 0);
    for i in 0..120 {
        lost = if lost == 0 && random.one_in(30) { random.below(8) } else { lost.saturating_sub(1) };
        let time = START + i * 30_000 + (replica as i64) * 11_000;
        if lost == 0 && time <= START + 3_600_000 {
            samples.push(time, truth(series, time));
        }
    }
    samples
}

fn memory(name: &str, cluster: usize, replica: usize, until: i64) -> MemoryStore {
    let external =
        Labels::from_pairs([("cluster", format!("c{cluster}")), ("replica", ["a", "b"][replica].to_owned())]);
    let series: Vec<(Labels, Samples)> = (0..SERIES)
        .map(|series| {
            let mut samples = replica_samples(cluster, replica, series);
            let kept = samples.timestamps.partition_point(|time| *time < until);
            samples.timestamps.truncate(kept);
            samples.values.truncate(kept);
            (labels(series), samples)
        })
        .collect();
    MemoryStore::new(&format!("{name}-c{cluster}-{replica}"), &external, &series)
}

/// Two clusters of two replicas, each in a sidecar and a bucket; every store has a fault of its own.
fn world(seed: u64, faults: bool) -> Vec<(Arc<dyn Store>, Fault)> {
    let mut random = Random::new(seed);
    let mut stores: Vec<(Arc<dyn Store>, Fault)> = Vec::new();
    for cluster in 0..2 {
        for replica in 0..2 {
            for (name, until) in [("sidecar", i64::MAX), ("bucket", START + 2_400_000)] {
                let batch = 1 + random.below(SERIES);
                let store = Arc::new(memory(name, cluster, replica, until).with_batch_series(batch));
                let fault = match random.next() {
                    seed if !faults || seed % 3 > 0 => Fault::None,
                    seed => Fault::seeded(seed),
                };
                stores.push((Arc::new(FaultyStore::new(store, fault)), fault));
            }
        }
    }
    stores
}

fn plain(world: &[(Arc<dyn Store>, Fault)]) -> Vec<Arc<dyn Store>> {
    world.iter().map(|(store, _)| store.clone()).collect()
}

type Answer = BTreeMap<Labels, Result<Vec<(i64, u64)>, StoreErrorKind>>;

fn evaluate(series: &Series, answer: &mut Answer) {
    let request = select();
    let range = TimeRange { min_time: request.min_time, max_time: request.max_time };
    let mut samples = Samples::default();
    let result = samples_of(series, range, &Budget::unlimited(), &mut Scratch::default(), &mut samples);
    let column = || samples.timestamps.iter().copied().zip(samples.values.iter().map(|v| v.to_bits())).collect();
    let old = answer.insert(series.labels.clone(), result.map(|()| column()).map_err(|e| e.kind));
    assert!(old.is_none(), "{} comes twice", series.labels);
}

async fn read(mut feed: Feed) -> (Answer, Coverage) {
    let mut answer = Answer::new();
    while let Some(batch) = feed.next().await.unwrap() {
        batch.series.iter().for_each(|series| evaluate(series, &mut answer));
    }
    (answer, feed.coverage())
}

fn failed(coverage: &Coverage) -> BTreeSet<String> {
    let failed = coverage.asked.iter().filter(|asked| matches!(asked.outcome, Outcome::Failed { .. }));
    failed.map(|asked| asked.store.to_string()).collect()
}

async fn idle(budget: &Budget) {
    for _ in 0..100 {
        if budget.used() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn coverage_names_the_failed() {
    let mut all = 0;
    for seed in 0..60 {
        let world = world(seed, true);
        let budget = Budget::unlimited();
        let (_, coverage) = read(fan_out(&plain(&world), Arc::new(select()), &budget, &options())).await;
        let expected: BTreeSet<String> =
            world.iter().filter(|(_, fault)| fault.fails()).map(|(store, _)| store.info().id.to_string()).collect();
        assert_eq!(failed(&coverage), expected, "seed {seed}");
        assert_eq!(coverage.asked.len(), world.len(), "seed {seed}");
        assert!(coverage.asked.is_sorted_by(|a, b| a.store < b.store), "seed {seed}");
        all += expected.len();
    }
    assert!(all > 30, "only {all} failures");
}

#[tokio::test(start_paused = true)]
async fn no_wrong_number_without_warning() {
    let budget = Budget::unlimited();
    let (healthy, coverage) = read(fan_out(&plain(&world(0, false)), Arc::new(select()), &budget, &options())).await;
    assert!(coverage.is_complete() && healthy.len() == 2 * SERIES);
    let mut complete = 0;
    for seed in 0..200 {
        let world = world(seed, true);
        let (answer, coverage) = read(fan_out(&plain(&world), Arc::new(select()), &budget, &options())).await;
        for (labels, column) in &answer {
            let Ok(column) = column else { continue };
            let series: usize = labels.value("pod")[4..].parse().unwrap();
            for (time, bits) in column {
                assert_eq!(truth(series, *time).to_bits(), *bits, "seed {seed}: {labels} at {time}");
            }
        }
        let spoiled = answer.values().any(Result::is_err);
        if coverage.is_complete() && !spoiled {
            complete += 1;
            assert_eq!(answer, healthy, "seed {seed}");
        }
    }
    assert!((20..180).contains(&complete), "{complete} of 200 seeds without a failure");
}

#[tokio::test(start_paused = true)]
async fn same_seed_same_bytes() {
    for seed in 0..30 {
        let budget = Budget::unlimited();
        let mut texts = Vec::new();
        for _ in 0..2 {
            let mut feed = fan_out(&plain(&world(seed, true)), Arc::new(select()), &budget, &options());
            let mut text = String::new();
            while let Some(batch) = feed.next().await.unwrap() {
                text += &format!("{:?}\n", batch.series);
            }
            text += &format!("{:?}", feed.coverage());
            texts.push(text);
        }
        assert!(texts[0] == texts[1], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn budget_returns_to_zero() {
    for seed in 0..60 {
        let budget = Budget::unlimited();
        let mut feed = fan_out(&plain(&world(seed, true)), Arc::new(select()), &budget, &options());
        let mut batches = Random::new(seed).below(8);
        while batches > 0 && feed.next().await.unwrap().is_some() {
            batches -= 1;
        }
        // Whoever was not finished because we stopped has not failed.
        let coverage = feed.coverage();
        let faulty: BTreeSet<String> =
            world(seed, true).iter().filter(|(_, f)| f.fails()).map(|(s, _)| s.info().id.to_string()).collect();
        assert!(failed(&coverage).is_subset(&faulty), "seed {seed}");
        idle(&budget).await;
        assert_eq!(budget.used(), 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_limit_ends_the_feed_and_blames_no_store() {
    for limit in [1, 20_000, 60_000] {
        let budget = Budget::new("query", limit);
        let mut feed = fan_out(&plain(&world(1, false)), Arc::new(select()), &budget, &options());
        let mut held = Vec::new();
        let refused = loop {
            match feed.next().await {
                Ok(Some(batch)) => held.push(batch),
                Ok(None) => panic!("{limit} bytes were enough"),
                Err(refused) => break refused,
            }
        };
        assert_eq!((refused.budget, refused.limit), ("query", limit));
        assert_eq!(failed(&feed.coverage()), BTreeSet::new());
        drop(held);
        idle(&budget).await;
        assert_eq!(budget.used(), 0);
    }
}

/// `a / b` over the same stores: each side is far larger than its buffer, and one is read to its end before the other
/// begins, or both in turn. Had they to wait for each other, only the deadline would end it.
#[tokio::test(start_paused = true)]
async fn two_feeds_never_stall_each_other() {
    for turns in [usize::MAX, 1, 3] {
        let (stores, budget) = (plain(&world(2, false)), Budget::unlimited());
        let options = FanOutOptions { buffer_bytes: 1, ..options() };
        let started = Instant::now();
        let mut feeds = [0, 1].map(|_| fan_out(&stores, Arc::new(select()), &budget, &options));
        let (mut series, mut open) = ([0, 0], [true, true]);
        while open.contains(&true) {
            for (i, feed) in feeds.iter_mut().enumerate() {
                for _ in 0..turns {
                    let Some(batch) = feed.next().await.unwrap() else {
                        open[i] = false;
                        break;
                    };
                    series[i] += batch.series.len();
                }
            }
        }
        assert_eq!(series, [2 * SERIES; 2]);
        assert!(feeds.map(Feed::coverage).iter().all(Coverage::is_complete));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

/// A reader that takes longer than a store may be silent does not make the stores fail.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_the_stores_silence() {
    let delayed = |cluster| -> Arc<dyn Store> {
        let store = memory("slow", cluster, 0, i64::MAX).with_batch_series(5);
        Arc::new(FaultyStore::new(Arc::new(store), Fault::Delay(Duration::from_secs(2))))
    };
    let options = FanOutOptions { buffer_bytes: 1, ..options() };
    let mut feed = fan_out(&[delayed(0), delayed(1)], Arc::new(select()), &Budget::unlimited(), &options);
    for _ in 0..4 {
        assert!(feed.next().await.unwrap().is_some());
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    let (_, coverage) = read(feed).await;
    assert!(coverage.is_complete(), "{coverage:?}");
}

/// The errors of the stores that failed just now.
fn errors(coverage: &Coverage) -> Vec<String> {
    let error = |asked: &Asked| match &asked.outcome {
        Outcome::Failed { error, since: None } => Some(format!("{} {error}", asked.store)),
        _ => None,
    };
    coverage.asked.iter().filter_map(error).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failed_store_keeps_no_other_back() {
    let rows = [
        (Fault::Stall(0), "bad-c1-0 read series: silent for 5s"),
        (Fault::Stall(1), "bad-c1-0 read series: silent for 5s"),
        (Fault::Error(0), "bad-c1-0 read series: injected failure"),
        (
            Fault::Duplicate,
            r#"bad-c1-0 merge series: {__name__="requests_total", cluster="c1", pod="pod-59"} comes twice"#,
        ),
    ];
    for (fault, expected) in rows {
        let bad = FaultyStore::new(Arc::new(memory("bad", 1, 0, i64::MAX)), fault);
        let stores: [Arc<dyn Store>; 2] = [Arc::new(memory("good", 0, 0, i64::MAX)), Arc::new(bad)];
        let feed = fan_out(&stores, Arc::new(select()), &Budget::unlimited(), &options());
        let (answer, coverage) = read(feed).await;
        let of_good = answer.keys().filter(|labels| labels.value("cluster") == "c0").count();
        assert_eq!(of_good, SERIES, "{fault:?}: the other store's series are there");
        assert_eq!(errors(&coverage), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_fails_all_that_is_unfinished() {
    let bad = FaultyStore::new(Arc::new(memory("bad", 1, 0, i64::MAX)), Fault::Stall(0));
    let stores: [Arc<dyn Store>; 2] = [Arc::new(memory("good", 0, 0, i64::MAX)), Arc::new(bad)];
    let options = FanOutOptions { response_timeout: Duration::ZERO, ..options() };
    let started = Instant::now();
    let (_, coverage) = read(fan_out(&stores, Arc::new(select()), &Budget::unlimited(), &options)).await;
    assert_eq!(started.elapsed(), Duration::from_secs(120));
    // The merge could not give what lies behind the silent one's first series, so the other's part is lacking as well.
    let late = "read series: the time for the query is up";
    assert_eq!(errors(&coverage), [format!("bad-c1-0 {late}"), format!("good-c0-0 {late}")]);
}

/// A store that has given all is lacking too where the reader came too late for it.
#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_last_batch_is_read_is_no_end() {
    let stores: [Arc<dyn Store>; 1] = [Arc::new(memory("slow", 0, 0, i64::MAX))];
    let empty: [Arc<dyn Store>; 1] = [Arc::new(memory("empty", 1, 0, i64::MAX))];
    let nothing = Arc::new(Select { matchers: vec![Matcher::equal("pod", "none")], ..select() });
    let narrow = FanOutOptions { buffer_bytes: 1, ..options() };
    let read_late = async |stores: &[Arc<dyn Store>], request: Arc<Select>| {
        let mut feed = fan_out(stores, request, &Budget::unlimited(), &narrow);
        tokio::time::sleep(Duration::from_secs(121)).await;
        let mut series = 0;
        while let Some(batch) = feed.next().await.unwrap() {
            series += batch.series.len();
        }
        (series, feed.coverage())
    };
    let wide = Arc::new(Select { limit: 0, ..select() });
    let (series, coverage) = read_late(&stores, wide.clone()).await;
    assert!(series == SERIES && coverage.is_complete(), "one batch waits in the buffer: {series}");
    let twice = [stores[0].clone(), Arc::new(memory("more", 7, 0, i64::MAX)) as Arc<dyn Store>];
    let many: Vec<Arc<dyn Store>> =
        (0..8).map(|i| Arc::new(memory("many", i, 0, i64::MAX)) as Arc<dyn Store>).chain(twice).collect();
    let (series, coverage) = read_late(&many, wide).await;
    assert!(series < 9 * SERIES && !coverage.is_complete(), "{series} of {}", 9 * SERIES);
    let (series, coverage) = read_late(&empty, nothing).await;
    assert!(series == 0 && coverage.is_complete());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_answer_is_named_and_who_cannot_contribute_is_not() {
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let down = StoreState::Down { since, error: StoreError::new(StoreErrorKind::Unavailable, "connection refused") };
    let gap = Gap { labels: Labels::empty(), min_time: START, max_time: START + 1, reason: "head not read".into() };
    let stores: Vec<Arc<dyn Store>> = vec![
        Arc::new(memory("up", 0, 0, i64::MAX)),
        Arc::new(memory("down", 0, 1, i64::MAX).with_state(down.clone())),
        Arc::new(memory("starting", 1, 0, i64::MAX).with_state(StoreState::Starting)),
        Arc::new(memory("gap", 2, 0, i64::MAX).with_gaps(vec![gap])),
        Arc::new(memory("elsewhere", 3, 0, i64::MAX).with_state(down)),
    ];
    let mut request = select();
    request.matchers.push(Matcher::new("cluster", crate::MatchOp::NotEqual, "c3").unwrap());
    let (answer, coverage) = read(fan_out(&stores, Arc::new(request.clone()), &Budget::unlimited(), &options())).await;
    assert_eq!(answer.len(), 2 * SERIES);
    let text = |asked: &Asked| match &asked.outcome {
        Outcome::Complete { series, .. } => format!("{} {series} {}", asked.store, asked.gaps.len()),
        Outcome::Failed { error, since } => format!("{} {error} {}", asked.store, since.is_some()),
    };
    let expected = [
        "down-c0-1 connection refused true",
        "gap-c2-0 60 1",
        "starting-c1-0 has not answered yet false",
        "up-c0-0 60 0",
    ];
    assert_eq!(coverage.asked.iter().map(text).collect::<Vec<_>>(), expected);
    assert_eq!(Vec::from_iter(coverage.missing("cluster")), ["c0", "c1", "gap-c2-0"]);

    let (budget, progress) = (Budget::unlimited(), Progress::default());
    let names = label_names(&stores, Arc::new(request), &budget, &options(), &progress).await.unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), ["__name__", "cluster", "pod", "replica"]);
    assert_eq!(failed(&progress.coverage(None)).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn labels_of_all_stores_but_the_failed() {
    let mut world = world(4, false);
    let stall = FaultyStore::new(Arc::new(memory("stall", 5, 0, i64::MAX)), Fault::Stall(0));
    let error = FaultyStore::new(Arc::new(memory("error", 6, 0, i64::MAX)), Fault::Error(0));
    world.push((Arc::new(stall), Fault::Stall(0)));
    world.push((Arc::new(error), Fault::Error(0)));
    let started = Instant::now();
    let budget = Budget::unlimited();
    let progress = Progress::default();
    let answer = label_values(&plain(&world), "cluster", Arc::new(select()), &budget, &options(), &progress).await;
    let values = answer.unwrap();
    assert_eq!(budget.used(), values.size_bytes());
    assert_eq!(values.iter().collect::<Vec<_>>(), ["c0", "c1"]);
    assert_eq!(Vec::from_iter(failed(&progress.coverage(None))), ["error-c6-0", "stall-c5-0"]);
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

/// Labels have a budget as series have: that it is used up is our error and no store's failure.
#[tokio::test(start_paused = true)]
async fn labels_beyond_our_own_limit_blame_no_store() {
    let stores = plain(&world(0, false));
    let budget = Budget::new("query", 1_000);
    let progress = Progress::default();
    let refused = label_values(&stores, "pod", Arc::new(select()), &budget, &options(), &progress).await.unwrap_err();
    assert_eq!((refused.budget, budget.used()), ("query", 0));
    let names = label_names(&stores, Arc::new(select()), &budget, &options(), &progress).await.unwrap();
    assert_eq!((names.len(), budget.used()), (4, names.size_bytes()));
    drop(names);
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_ends_the_feed_without_blame() {
    let request = Select { limit: 7, labels_only: true, ..select() };
    let mut feed = fan_out(&plain(&world(5, false)), Arc::new(request), &Budget::unlimited(), &options());
    let mut series = 0;
    while let Some(batch) = feed.next().await.unwrap() {
        series += batch.series.len();
    }
    assert_eq!(series, 7);
    assert!(feed.coverage().is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_broken_task_is_no_complete_answer() {
    struct Panics(MemoryStore);
    impl Store for Panics {
        fn info(&self) -> Arc<StoreInfo> {
            self.0.info()
        }
        fn gaps(&self, _: &Select) -> Vec<Gap> {
            Vec::new()
        }
        fn select(&self, _: Arc<Select>, _: Allowance) -> Vec<SeriesStream> {
            vec![futures::stream::poll_fn(|_| panic!("on purpose")).boxed()]
        }
        fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
            self.0.label_names(request, allowance)
        }
        fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
            self.0.label_values(name, request, allowance)
        }
    }
    let stores: [Arc<dyn Store>; 1] = [Arc::new(Panics(memory("panics", 0, 0, i64::MAX)))];
    let (answer, coverage) = read(fan_out(&stores, Arc::new(select()), &Budget::unlimited(), &options())).await;
    assert!(answer.is_empty() && !coverage.is_complete());
}

#[test]
fn a_thread_outside_of_the_runtime_reads_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mut feed = {
        let _entered = runtime.enter();
        fan_out(&plain(&world(6, false)), Arc::new(select()), &Budget::unlimited(), &options())
    };
    let mut series = 0;
    while let Some(batch) = feed.blocking_next().unwrap() {
        series += batch.series.len();
    }
    assert_eq!(series, 2 * SERIES);
    assert!(feed.coverage().is_complete());
}
