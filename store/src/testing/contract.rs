//! The contract of [`Store`] as a test: every implementation runs [`contract`] over a [`Fixture`] that it was given to
//! hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;

use crate::dedup::{Scratch, TimeRange, decode_lane};
use crate::histogram::{Histogram, Span};
use crate::samples::{HistogramSample, STALE, Samples, is_stale};
use crate::select::Select;
use crate::series::{Lane, Millis, Series};
use crate::{Allowance, Budget, Labels, LabelsBuilder, MatchOp, Matcher, Store, StoreErrorKind};

/// What a store holds while it is tested: one external label set, series with floats.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// External labels.
    pub external: Labels,
    /// Series without external labels, ascending.
    pub series: Vec<(Labels, Samples)>,
}

/// Samples by time: floats bit by bit, or the buckets of histograms; start timestamps.
type Column = BTreeMap<Millis, (Vec<u64>, Millis)>;

/// What a selection gives: labels to lanes to samples.
type Content = BTreeMap<Labels, BTreeMap<Lane, Column>>;

impl Fixture {
    /// Some 700 series of several metrics, so that they fill more than two batches: a few of many chunks, labels that
    /// are absent in some, a label that an external one hides, values with quotes, newline and emoji, stale markers,
    /// NaN and infinities, native histograms, start timestamps. Times begin at `start`, ms, a multiple of 60 s, and
    /// span less than two hours.
    pub fn standard(start: Millis) -> Self {
        let mut series = Vec::new();
        for pod in 0..220 {
            for code in ["200", "404", "500"] {
                let name = [("__name__", "http_requests_total"), ("code", code)];
                let pod_name = format!("pod-{pod:03}");
                let zone = ["a", "b", ""][pod % 3];
                let labels = name.into_iter().chain([("pod", pod_name.as_str()), ("zone", zone)]);
                let count = if pod == 7 { 400 } else { 3 + pod % 5 };
                let step = if pod == 7 { 15_000 } else { 60_000 };
                series.push((Labels::from_pairs(labels), ramp(start + pod as Millis * 1_000, step, count)));
            }
        }
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, STALE, f64::MIN_POSITIVE / 4.0, 1.5];
        let mut special = Samples::default();
        for (i, value) in odd.into_iter().enumerate() {
            special.push(start + i as Millis * 60_000, value);
        }
        for (name, value) in [("text", "a \"quoted\"\nline \\ 🚀"), ("cluster", "its own"), ("replica", "its own")] {
            series.push((Labels::from_pairs([("__name__", "special"), (name, value)]), special.clone()));
        }
        series.push((Labels::from_pairs([("__name__", "up")]), ramp(start, 60_000, 90)));
        let mut restarted = ramp(start, 60_000, 90);
        restarted.start_timestamps = (0..90).map(|i| start + i / 30 * 30 * 60_000 - 1).collect();
        series.push((Labels::from_pairs([("__name__", "restarted_total")]), restarted));
        series.push((Labels::from_pairs([("__name__", "latency_seconds")]), latency(start, 90)));
        series.sort_by(|a, b| a.0.cmp(&b.0));
        // One is hidden twice over, and would become the same series as another.
        series.retain(|(labels, _)| labels.get("replica").is_none());
        let external = Labels::from_pairs([("cluster", "prod-eu"), ("region", "eu"), ("replica", "a")]);
        Self { external, series }
    }

    /// The full labels of a series: external ones win.
    fn full(&self, labels: &Labels) -> Labels {
        let mut builder = LabelsBuilder::new(labels);
        for (name, value) in &self.external {
            builder.set(name, value);
        }
        builder.build()
    }

    fn matching<'a>(&'a self, request: &'a Select) -> impl Iterator<Item = (Labels, Column)> + 'a {
        let full = self.series.iter().map(|(labels, samples)| (self.full(labels), samples));
        full.filter_map(|(labels, samples)| {
            let range = TimeRange { min_time: request.min_time, max_time: request.max_time };
            let column = column(samples, range);
            let matches = request.matchers.iter().all(|m| m.matches(labels.value(m.name())));
            (matches && !column.is_empty()).then_some((labels, column))
        })
    }

    /// What a selection has to give.
    fn expected(&self, request: &Select) -> Content {
        let mut content = Content::new();
        for (labels, column) in self.matching(request) {
            let lane = Lane { replica: labels.only(&request.replica_labels), store: None };
            content.entry(labels.without(&request.replica_labels)).or_default().insert(lane, column);
        }
        content
    }

    /// First and last time of all samples.
    fn times(&self) -> TimeRange {
        let times = || self.series.iter().flat_map(|(_, samples)| samples.times());
        TimeRange { min_time: times().min().unwrap_or(0), max_time: times().max().unwrap_or(0) }
    }
}

fn ramp(start: Millis, step: Millis, count: usize) -> Samples {
    let mut samples = Samples::default();
    for i in 0..count as Millis {
        samples.push(start + i * step, (i * 7) as f64);
    }
    samples
}

/// Floats at first, then a native histogram that is restarted once, and ends.
fn latency(start: Millis, count: usize) -> Samples {
    let mut samples = ramp(start, 60_000, 5);
    for i in 5..count {
        let observed = (i % 50) as f64;
        let histogram = Histogram {
            count: observed,
            sum: if i + 1 < count { observed / 8.0 } else { STALE },
            zero_threshold: 0.001,
            positive_spans: [Span { offset: -3, length: 2 }].into(),
            positive_buckets: vec![observed, 0.0],
            ..Histogram::default()
        };
        let timestamp = start + i as Millis * 60_000;
        let start_timestamp = start + (i / 50) as Millis;
        samples.histograms.push(HistogramSample { timestamp, start_timestamp, histogram: Arc::new(histogram) });
    }
    samples
}

fn column(samples: &Samples, range: TimeRange) -> Column {
    let start = |i: usize| samples.start_timestamps.get(i).copied().unwrap_or(0);
    let floats =
        (0..samples.values.len()).map(|i| (samples.timestamps[i], (vec![samples.values[i].to_bits()], start(i))));
    let histograms = samples.histograms.iter().map(|sample| {
        let buckets = sample.histogram.positive_buckets.iter().copied().filter(|_| !is_stale(sample.histogram.sum));
        let numbers = [sample.histogram.sum].into_iter().chain(buckets).map(f64::to_bits).collect();
        (sample.timestamp, (numbers, sample.start_timestamp))
    });
    let all = floats.chain(histograms);
    all.filter(|(time, _)| (range.min_time..=range.max_time).contains(time)).collect()
}

/// The samples of `series` within the times of `request`, lane by lane; lanes and series without any are left out.
fn content_of(series: &[Series], request: &Select) -> Content {
    let range = TimeRange { min_time: request.min_time, max_time: request.max_time };
    let (mut content, mut scratch) = (Content::new(), Scratch::default());
    for series in series {
        for lane in &series.lanes {
            let mut samples = Samples::default();
            decode_lane(&lane.chunks, range, &mut scratch, &mut samples)
                .unwrap_or_else(|e| panic!("{}: {e}", series.labels));
            let column = column(&samples, TimeRange::ALL);
            if !column.is_empty() {
                content.entry(series.labels.clone()).or_default().insert(lane.lane.clone(), column);
            }
        }
    }
    content
}

/// Checks that `store`, which holds `fixture`, keeps the contract. Panics where it does not.
pub async fn contract(store: &dyn Store, fixture: &Fixture) {
    let info = store.info();
    assert!(!info.id.is_empty(), "a store has a name");
    for request in requests(fixture) {
        check_select(store, fixture, &request).await;
        check_labels_only(store, fixture, &request).await;
    }
    check_prompt_end(store, fixture).await;
    check_limit(store, fixture).await;
    check_label_calls(store, fixture).await;
}

fn request(fixture: &Fixture, matchers: Vec<Matcher>) -> Select {
    let times = fixture.times();
    Select {
        matchers,
        min_time: times.min_time,
        max_time: times.max_time,
        replica_labels: Vec::new(),
        labels_only: false,
        limit: 0,
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("a sound regular expression")
}

fn matcher_sets() -> Vec<Vec<Matcher>> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let name = || matcher("__name__", Equal, "http_requests_total");
    let rows: [(&str, MatchOp, &str); 20] = [
        ("code", Equal, "500"),
        ("code", NotEqual, "500"),
        ("code", Regex, "4.*|500"),
        ("code", NotRegex, "4.*"),
        ("code", Regex, ".*"),
        ("code", Regex, "none"),
        // An absent label is the empty string.
        ("zone", Equal, ""),
        ("zone", NotEqual, ""),
        ("zone", Regex, "a|"),
        ("zone", Regex, ".+"),
        ("zone", NotRegex, "a|"),
        ("nowhere", Equal, ""),
        ("nowhere", NotEqual, ""),
        ("nowhere", NotRegex, "x"),
        // External labels are labels like any other.
        ("cluster", Equal, "prod-eu"),
        ("cluster", Equal, "prod-us"),
        ("cluster", NotEqual, "prod-eu"),
        ("replica", Regex, "a|b"),
        ("pod", Regex, "pod-0(0[0-9]|1[0-3])"),
        ("pod", Equal, "pod-007"),
    ];
    let mut sets: Vec<Vec<Matcher>> = rows.iter().map(|(n, op, v)| vec![name(), matcher(n, *op, v)]).collect();
    sets.push(vec![name()]);
    sets.push(vec![matcher("__name__", Regex, ".+")]);
    sets.push(vec![matcher("__name__", Equal, "special")]);
    sets.push(vec![matcher("text", Equal, "a \"quoted\"\nline \\ 🚀")]);
    // The external label wins, so that the series' own value is nowhere.
    sets.push(vec![matcher("__name__", Equal, "special"), matcher("cluster", Equal, "its own")]);
    sets.push(vec![matcher("__name__", Equal, "none")]);
    sets.push(vec![
        name(),
        matcher("code", NotEqual, "404"),
        matcher("code", Regex, "4..|5.."),
        matcher("zone", Equal, "b"),
    ]);
    sets
}

/// All matchers over all times, and a few over times that begin or end on a sample, or one ms beside it.
fn requests(fixture: &Fixture) -> Vec<Select> {
    let mut requests: Vec<Select> = matcher_sets().into_iter().map(|m| request(fixture, m)).collect();
    let times = fixture.times();
    let on = times.min_time + 7_000 + 150 * 15_000;
    let ranges = [
        (on, on),
        (on + 1, on + 14_999),
        (on - 1, on + 1),
        (times.min_time, times.min_time),
        (on, on + 30_000),
        (times.max_time, times.max_time),
        (times.min_time - 9, times.min_time - 1),
        (times.max_time + 1, times.max_time + 9),
    ];
    for (min_time, max_time) in ranges {
        let all = request(fixture, vec![matcher("__name__", MatchOp::Equal, "http_requests_total")]);
        requests.push(Select { min_time, max_time, ..all });
    }
    for replica_labels in [vec!["replica"], vec!["cluster", "replica"], vec!["replica", "absent"]] {
        let replica_labels: Vec<Box<str>> = replica_labels.into_iter().map(Box::from).collect();
        for matchers in [
            vec![matcher("__name__", MatchOp::Regex, ".+")],
            vec![matcher("__name__", MatchOp::Equal, "up"), matcher("replica", MatchOp::Equal, "a")],
        ] {
            requests.push(Select { replica_labels: replica_labels.clone(), ..request(fixture, matchers) });
        }
    }
    requests
}

/// All series of all streams, each stream checked for order.
async fn collect(store: &dyn Store, request: &Select, budget: &Budget) -> Vec<Series> {
    let mut all = Vec::new();
    for mut stream in store.select(Arc::new(request.clone()), Allowance::of(budget)) {
        let mut last: Option<Labels> = None;
        while let Some(batch) = stream.next().await {
            let batch = batch.unwrap_or_else(|e| panic!("{request:?}: {e}"));
            assert!(batch.series.is_empty() || batch.held.bytes() > 0, "{request:?}: bytes are held");
            for series in &batch.series {
                assert!(
                    last.as_ref().is_none_or(|last| *last < series.labels),
                    "{request:?}: {} out of order",
                    series.labels
                );
                let lanes: BTreeSet<&Lane> = series.lanes.iter().map(|lane| &lane.lane).collect();
                assert!(
                    !lanes.is_empty() && lanes.len() == series.lanes.len(),
                    "{request:?}: lanes of {}",
                    series.labels
                );
                last = Some(series.labels.clone());
            }
            all.extend(batch.series);
        }
    }
    all
}

async fn check_select(store: &dyn Store, fixture: &Fixture, request: &Select) {
    let budget = Budget::unlimited();
    let series = collect(store, request, &budget).await;
    assert_eq!(budget.used(), 0, "{request:?}: all bytes are given back");
    let (got, expected) = (content_of(&series, request), fixture.expected(request));
    for (labels, lanes) in &expected {
        assert_eq!(got.get(labels), Some(lanes), "{request:?}: {labels}");
    }
    for labels in got.keys() {
        assert!(expected.contains_key(labels), "{request:?}: {labels} does not belong here");
    }
    if !expected.is_empty() {
        assert!(store.info().may_contribute(request), "{request:?}: the store's facts would prune it");
    }
}

async fn check_labels_only(store: &dyn Store, fixture: &Fixture, request: &Select) {
    let request = Select { labels_only: true, ..request.clone() };
    let series = collect(store, &request, &Budget::unlimited()).await;
    assert!(series.iter().all(|s| s.lanes.iter().all(|l| l.chunks.is_empty())), "{request:?}: chunks");
    let got: BTreeSet<&Labels> = series.iter().map(|s| &s.labels).collect();
    let expected = fixture.expected(&request);
    assert!(expected.keys().all(|labels| got.contains(labels)), "{request:?}: a series is missing");
    // Start and end may narrow it as roughly as the store likes, the matchers exactly.
    let times = TimeRange { min_time: Millis::MIN, max_time: Millis::MAX };
    let any_time = fixture.expected(&Select { min_time: times.min_time, max_time: times.max_time, ..request.clone() });
    assert!(got.iter().all(|labels| any_time.contains_key(labels)), "{request:?}: a series too many");
}

/// Dropping a stream before its first batch, after it, or at its end gives all bytes back.
async fn check_prompt_end(store: &dyn Store, fixture: &Fixture) {
    let request = Arc::new(request(fixture, vec![matcher("__name__", MatchOp::Regex, ".+")]));
    for batches in [0, 1, 2] {
        let budget = Budget::unlimited();
        for mut stream in store.select(request.clone(), Allowance::of(&budget)) {
            for _ in 0..batches {
                drop(stream.next().await);
            }
        }
        for _ in 0..1_000 {
            if budget.used() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(budget.used(), 0, "a stream dropped after {batches} batches holds bytes");
    }
}

/// A budget that is too small is named, ends the stream, and is whole afterwards.
async fn check_limit(store: &dyn Store, fixture: &Fixture) {
    let request = Arc::new(request(fixture, vec![matcher("__name__", MatchOp::Regex, ".+")]));
    let budget = Budget::new("query", 1);
    let mut refused = 0;
    for mut stream in store.select(request.clone(), Allowance::of(&budget)) {
        while let Some(batch) = stream.next().await {
            if let Err(error) = batch {
                // Ours, or the peer's whose message no budget of this width can hold.
                assert_eq!(error.kind, StoreErrorKind::LimitExceeded, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "one byte was enough");
    for answer in [
        store.label_names(request.clone(), Allowance::of(&budget)),
        store.label_values("pod".into(), request, Allowance::of(&budget)),
    ] {
        assert_eq!(answer.await.expect_err("one byte was enough").kind, StoreErrorKind::LimitExceeded);
    }
    assert_eq!(budget.used(), 0);
}

async fn check_label_calls(store: &dyn Store, fixture: &Fixture) {
    for matchers in matcher_sets().into_iter().chain([vec![]]) {
        let request = Arc::new(request(fixture, matchers));
        let expected = fixture.expected(&request);
        let budget = Budget::unlimited();
        let names = store.label_names(request.clone(), Allowance::of(&budget)).await;
        let names = names.unwrap_or_else(|e| panic!("{request:?}: {e}"));
        let expected_names: BTreeSet<&str> = expected.keys().flatten().map(|(name, _)| name).collect();
        assert!(names.iter().eq(expected_names), "{request:?}: label names: {names:?}");
        assert!(names.is_empty() || budget.used() > 0, "{request:?}: bytes are held");
        drop(names);
        assert_eq!(budget.used(), 0, "{request:?}: all bytes are given back");
        for name in ["__name__", "code", "zone", "cluster", "text", "absent"] {
            let values = store.label_values(name.into(), request.clone(), Allowance::unlimited()).await;
            let values = values.unwrap_or_else(|e| panic!("{request:?}: {name}: {e}"));
            let expected_values: BTreeSet<&str> = expected.keys().filter_map(|labels| labels.get(name)).collect();
            assert!(values.iter().eq(expected_values), "{request:?}: values of {name}: {values:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Fault, FaultyStore, MemoryStore};

    #[tokio::test(start_paused = true)]
    async fn memory_keeps_the_contract() {
        let fixture = Fixture::standard(1_700_000_040_000);
        let store = MemoryStore::new("memory", &fixture.external, &fixture.series);
        contract(&store, &fixture).await;
        contract(&store.clone().with_batch_series(1), &fixture).await;
        for fault in [Fault::None, Fault::Delay(Duration::from_millis(10))] {
            contract(&FaultyStore::new(Arc::new(store.clone()), fault), &fixture).await;
        }
    }

    /// The suite would notice: a store that breaks the contract does not pass.
    #[tokio::test(start_paused = true)]
    async fn the_suite_fails_a_faulty_store() {
        let fixture = Fixture::standard(0);
        for fault in [Fault::Error(0), Fault::Unsorted, Fault::Duplicate, Fault::TruncatedChunk, Fault::CorruptChunk] {
            let fixture = fixture.clone();
            let task = tokio::spawn(async move {
                let store = MemoryStore::new("memory", &fixture.external, &fixture.series);
                contract(&FaultyStore::new(Arc::new(store), fault), &fixture).await;
            });
            assert!(task.await.is_err(), "{fault:?}");
        }
    }
}
