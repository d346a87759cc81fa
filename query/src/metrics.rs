//! Own metrics: every one declared here, once, with its help. The standard `process_*` come beside them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use masthead_store::coverage::{Coverage, Outcome};
use masthead_store::{StoreErrorKind, StoreId};
use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder,
};

/// A metric's declaration.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn declare(
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Declared {
    Declared { name, kind, labels, help }
}

const BUILD_INFO: Declared =
    declare("masthead_build_info", "gauge", &["version"], "Always 1; the version is in the label.");
const READY: Declared = declare("masthead_ready", "gauge", &[], "1 once /-/ready answers 200.");
const QUERIES: Declared = declare(
    "masthead_queries_total",
    "counter",
    &["endpoint", "outcome"],
    "Requests for data by endpoint and outcome: complete, partial, or the error type.",
);
const QUERY_SECONDS: Declared =
    declare("masthead_query_seconds", "histogram", &["endpoint"], "Time of requests for data, waiting included.");
const IN_FLIGHT: Declared = declare("masthead_queries_in_flight", "gauge", &[], "Queries that are evaluated now.");
const WAITING: Declared = declare("masthead_queries_waiting", "gauge", &[], "Queries that wait for a slot now.");
const QUERY_PEAK: Declared =
    declare("masthead_query_peak_bytes", "histogram", &[], "The most memory that a query held at once.");
const MEMORY_USED: Declared = declare("masthead_memory_used_bytes", "gauge", &[], "Memory held for data now.");
const MEMORY_LIMIT: Declared =
    declare("masthead_memory_limit_bytes", "gauge", &[], "Memory that may be held for data: --limits.memory.");
const STORE_UP: Declared = declare(
    "masthead_store_up",
    "gauge",
    &["store", "component"],
    "1 if the store answers, 0 if it does not or not yet.",
);
const STORE_LAST_INFO: Declared = declare(
    "masthead_store_last_info_timestamp_seconds",
    "gauge",
    &["store"],
    "When the store was last asked for its facts.",
);
const STORE_BYTES: Declared = declare(
    "masthead_store_received_bytes_total",
    "counter",
    &["store"],
    "Bytes that queries received from the store.",
);
const STORE_SERIES: Declared = declare(
    "masthead_store_received_series_total",
    "counter",
    &["store"],
    "Series that queries received from the store.",
);
const STORE_SECONDS: Declared = declare(
    "masthead_store_answer_seconds",
    "histogram",
    &["store"],
    "Time from a query's question to the last byte of the store's answer.",
);
const STORE_FAILURES: Declared = declare(
    "masthead_store_failures_total",
    "counter",
    &["store", "kind"],
    "Answers that lack the store, by kind of failure.",
);
const STORE_COLLECTED: Declared = declare(
    "masthead_store_collected_bytes",
    "gauge",
    &["store"],
    "Bytes of answers so far that had to be collected and sorted here, since the store cannot send them in order.",
);
const STORE_UNSORTED: Declared =
    declare("masthead_store_unsorted", "gauge", &["store"], "1 if the store broke the order of series once.");
const BLOCKS_LOADED: Declared = declare("masthead_blocks_loaded", "gauge", &["store"], "Blocks that are read.");
const BLOCKS_SKIPPED: Declared =
    declare("masthead_blocks_skipped", "gauge", &["store", "reason"], "Blocks that are not read, by reason.");

/// Every own metric.
pub const METRICS: &[Declared] = &[
    BUILD_INFO,
    READY,
    QUERIES,
    QUERY_SECONDS,
    IN_FLIGHT,
    WAITING,
    QUERY_PEAK,
    MEMORY_USED,
    MEMORY_LIMIT,
    STORE_UP,
    STORE_LAST_INFO,
    STORE_BYTES,
    STORE_SERIES,
    STORE_SECONDS,
    STORE_FAILURES,
    STORE_COLLECTED,
    STORE_UNSORTED,
    BLOCKS_LOADED,
    BLOCKS_SKIPPED,
];

/// The table of own metrics as README shows it.
pub fn render() -> String {
    let mut out = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for Declared { name, kind, labels, help } in METRICS {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        out.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
    }
    out
}

/// Seconds, for whole queries and for stores.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Bytes, from 64 KiB to 16 GiB.
const BYTES: &[f64] =
    &[65_536.0, 1_048_576.0, 16_777_216.0, 67_108_864.0, 268_435_456.0, 1_073_741_824.0, 17_179_869_184.0];

/// The metrics of one server.
pub struct Metrics {
    registry: Registry,
    /// 1 once ready.
    pub ready: Gauge,
    /// Evaluated now.
    pub in_flight: Gauge,
    /// Waiting for a slot now.
    pub waiting: Gauge,
    queries: CounterVec,
    query_seconds: HistogramVec,
    query_peak: Histogram,
    memory_used: Gauge,
    memory_limit: Gauge,
    rendering: Mutex<()>,
    /// What is known of the stores.
    pub stores: StoreMetrics,
}

/// How long what was counted of a store stays that is there no more: so that rates see its end.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The metrics of each store.
pub struct StoreMetrics {
    /// When each store was last there.
    seen: Mutex<BTreeMap<StoreId, Instant>>,
    up: GaugeVec,
    last_info: GaugeVec,
    bytes: CounterVec,
    series: CounterVec,
    seconds: HistogramVec,
    failures: CounterVec,
    collected: GaugeVec,
    unsorted: GaugeVec,
    blocks_loaded: GaugeVec,
    blocks_skipped: GaugeVec,
}

impl Metrics {
    /// Registers all metrics.
    pub fn new(memory_limit: usize) -> Self {
        let registry = Registry::new();
        let stores = StoreMetrics {
            seen: Mutex::default(),
            up: gauges(&registry, STORE_UP),
            last_info: gauges(&registry, STORE_LAST_INFO),
            bytes: counters(&registry, STORE_BYTES),
            series: counters(&registry, STORE_SERIES),
            seconds: histograms(&registry, STORE_SECONDS, SECONDS),
            failures: counters(&registry, STORE_FAILURES),
            collected: gauges(&registry, STORE_COLLECTED),
            unsorted: gauges(&registry, STORE_UNSORTED),
            blocks_loaded: gauges(&registry, BLOCKS_LOADED),
            blocks_skipped: gauges(&registry, BLOCKS_SKIPPED),
        };
        gauges(&registry, BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let metrics = Self {
            ready: gauge(&registry, READY),
            in_flight: gauge(&registry, IN_FLIGHT),
            waiting: gauge(&registry, WAITING),
            queries: counters(&registry, QUERIES),
            query_seconds: histograms(&registry, QUERY_SECONDS, SECONDS),
            query_peak: histograms(&registry, QUERY_PEAK, BYTES).with_label_values::<&str>(&[]),
            memory_used: gauge(&registry, MEMORY_USED),
            memory_limit: gauge(&registry, MEMORY_LIMIT),
            rendering: Mutex::default(),
            stores,
            registry,
        };
        metrics.memory_limit.set(memory_limit as f64);
        #[cfg(target_os = "linux")]
        register(&metrics.registry, prometheus::process_collector::ProcessCollector::for_self());
        metrics
    }

    /// Notes the end of a request for data. `outcome` is `complete`, `partial` or an error type.
    pub fn finished(&self, endpoint: &str, outcome: &str, took: Duration) {
        self.queries.with_label_values(&[endpoint, outcome]).inc();
        self.query_seconds.with_label_values(&[endpoint]).observe(took.as_secs_f64());
    }

    /// Notes the most memory that a query held.
    pub fn query_peak(&self, bytes: usize) {
        self.query_peak.observe(bytes as f64);
    }

    /// The exposition of all metrics, once `note` has noted the states of the stores. `memory_used` are the bytes held for data
    /// now. One is made at a time, so that none lacks what another one is about to note.
    pub fn render(&self, memory_used: usize, note: impl FnOnce(&StoreMetrics)) -> Vec<u8> {
        let _one = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        note(&self.stores);
        self.memory_used.set(memory_used as f64);
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out).expect("writing to memory cannot fail");
        out
    }
}

impl StoreMetrics {
    /// Notes how the stores answered.
    pub fn answered(&self, coverage: &Coverage) {
        let now = Instant::now();
        let names = coverage.asked.iter().map(|asked| (asked.store.clone(), now));
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        for asked in &coverage.asked {
            match &asked.outcome {
                Outcome::Complete { series, bytes, took } => {
                    self.bytes.with_label_values(&[&*asked.store]).inc_by(*bytes as f64);
                    self.series.with_label_values(&[&*asked.store]).inc_by(*series as f64);
                    self.seconds.with_label_values(&[&*asked.store]).observe(took.as_secs_f64());
                }
                Outcome::Failed { error, .. } => {
                    self.failures.with_label_values(&[&*asked.store, error.kind.as_str()]).inc();
                }
            }
        }
    }

    /// Forgets the state of all stores, so that those that are gone leave the exposition.
    pub fn reset(&self) {
        self.up.reset();
        self.last_info.reset();
        self.collected.reset();
        self.unsorted.reset();
        self.blocks_loaded.reset();
        self.blocks_skipped.reset();
    }

    /// Forgets what was counted of stores that are not among `there`, and have not been for an hour.
    pub fn forget_but(&self, there: impl Iterator<Item = StoreId>, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(there.map(|store| (store, now)));
        seen.retain(|store, last| {
            let keep = now.duration_since(*last) < FORGET_AFTER;
            if !keep {
                // What was never counted is not there.
                let _ = self.bytes.remove_label_values(&[store]);
                let _ = self.series.remove_label_values(&[store]);
                let _ = self.seconds.remove_label_values(&[store]);
                for kind in StoreErrorKind::ALL {
                    let _ = self.failures.remove_label_values(&[store, kind.as_str()]);
                }
            }
            keep
        });
    }

    /// Notes the state of one store; `last_info` counts in seconds since 1970.
    pub fn state(&self, store: &str, component: &str, up: bool, last_info: Option<f64>) {
        self.up.with_label_values(&[store, component]).set(f64::from(u8::from(up)));
        if let Some(seconds) = last_info {
            self.last_info.with_label_values(&[store]).set(seconds);
        }
    }

    /// Notes what one peer made us sort.
    pub fn collected(&self, store: &str, bytes: u64, unsorted: bool) {
        self.collected.with_label_values(&[store]).set(bytes as f64);
        self.unsorted.with_label_values(&[store]).set(f64::from(u8::from(unsorted)));
    }

    /// Notes the blocks of one folder.
    pub fn blocks<'a>(&self, store: &str, loaded: usize, skipped: impl IntoIterator<Item = (&'a str, usize)>) {
        self.blocks_loaded.with_label_values(&[store]).set(loaded as f64);
        for (reason, count) in skipped {
            self.blocks_skipped.with_label_values(&[store, reason]).set(count as f64);
        }
    }
}

fn register(registry: &Registry, collector: impl prometheus::core::Collector + 'static) {
    registry.register(Box::new(collector)).expect("each metric is declared and registered once");
}

fn gauge(registry: &Registry, declared: Declared) -> Gauge {
    gauges(registry, declared).with_label_values::<&str>(&[])
}

fn gauges(registry: &Registry, declared: Declared) -> GaugeVec {
    let vec = GaugeVec::new(Opts::new(declared.name, declared.help), declared.labels);
    let vec = vec.expect("the declaration is a constant with a valid name");
    register(registry, vec.clone());
    vec
}

fn counters(registry: &Registry, declared: Declared) -> CounterVec {
    let vec = CounterVec::new(Opts::new(declared.name, declared.help), declared.labels);
    let vec = vec.expect("the declaration is a constant with a valid name");
    register(registry, vec.clone());
    vec
}

fn histograms(registry: &Registry, declared: Declared, buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(declared.name, declared.help).buckets(buckets.to_vec());
    let vec = HistogramVec::new(options, declared.labels).expect("the declaration is a constant with a valid name");
    register(registry, vec.clone());
    vec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_metric_is_exposed_and_no_other() {
        let metrics = Metrics::new(1 << 30);
        metrics.finished("query", "complete", Duration::from_millis(3));
        metrics.query_peak(100_000);
        metrics.stores.state("a:1", "sidecar", true, Some(1.7e9));
        metrics.stores.collected("a:1", 7, true);
        metrics.stores.blocks("blocks:/a", 2, [("no meta.json", 1)]);
        let error = masthead_store::StoreError::corrupt("x");
        let outcomes = [
            Outcome::Complete { series: 1, bytes: 2, took: Duration::from_millis(1) },
            Outcome::Failed { error, since: None },
        ];
        let asked = |outcome| masthead_store::coverage::Asked {
            store: "a:1".into(),
            label_sets: vec![],
            outcome,
            gaps: vec![],
        };
        metrics.stores.answered(&Coverage { asked: outcomes.into_iter().map(asked).collect() });
        let text = String::from_utf8(metrics.render(5, |_| {})).unwrap();
        for declared in METRICS {
            assert!(text.contains(&format!("# HELP {} {}\n", declared.name, declared.help)), "{}", declared.name);
            assert!(text.contains(&format!("# TYPE {} {}\n", declared.name, declared.kind)), "{}", declared.name);
        }
        let own = text.lines().filter(|line| line.starts_with("# TYPE masthead_")).count();
        let standard = text.lines().filter(|line| line.starts_with("# TYPE process_")).count();
        assert_eq!(own, METRICS.len());
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE ")).count(), own + standard);
        let without = |note: &dyn Fn(&StoreMetrics)| String::from_utf8(metrics.render(5, note)).unwrap();
        assert!(!without(&StoreMetrics::reset).contains("masthead_store_up{"));
        // What was counted of a store that is gone stays for an hour.
        let start = Instant::now();
        let after = |seconds| {
            without(&|stores: &StoreMetrics| {
                stores.forget_but(["b:1".into()].into_iter(), start + Duration::from_secs(seconds));
            })
        };
        without(&|stores: &StoreMetrics| stores.forget_but(["a:1".into(), "b:1".into()].into_iter(), start));
        assert!(after(3599).contains("store=\"a:1\""));
        assert!(!after(3600).contains("store=\"a:1\""));
    }
}
