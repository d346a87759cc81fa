//! The synthetic fleet: every value is a pure function of seed and time, so history and live part join without a step.
//!
//! Counters are integrals in closed form (a base rate with a daily and a shorter wave), taken since the last restart of
//! their pod; histograms are fixed distributions of the same integrals, counted bucket by bucket; so any time can be asked
//! for by itself.

use std::f64::consts::TAU;
use std::sync::Arc;

use masthead_store::labels::METRIC_NAME;
use masthead_store::{Labels, Millis};

/// Distance of scrapes, ms.
pub(super) const SCRAPE_INTERVAL: Millis = 30_000;
const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY_S: f64 = 86_400.0;

/// A cluster of the demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster {
    /// Value of the label `cluster`.
    pub(super) name: &'static str,
    region: &'static str,
    /// Traffic against that of the first one.
    scale: f64,
}

/// The clusters of the demo.
pub(super) const CLUSTERS: [Cluster; 3] = [
    Cluster { name: "prod-us-east", region: "us-east-1", scale: 1.0 },
    Cluster { name: "prod-eu-west", region: "eu-west-1", scale: 0.8 },
    Cluster { name: "prod-ap-south", region: "ap-south-1", scale: 0.45 },
];

/// Values of the label `replica`: the two Prometheus servers of each cluster.
pub(super) const REPLICAS: [&str; 2] = ["a", "b"];

/// Services with requests per second and pod, and median latency in seconds.
const SERVICES: [(&str, f64, f64); 4] =
    [("cart", 21.0, 0.012), ("catalog", 48.0, 0.007), ("checkout", 9.0, 0.055), ("payments", 6.0, 0.09)];
const PODS: usize = 3;
const NODES: usize = 4;
/// Upper bounds of the latency buckets, seconds, as Prometheus' client libraries choose them.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Codes and their share of the requests; the rest is 200.
const CODES: [(&str, f64); 2] = [("404", 0.012), ("500", 0.002)];
/// During the burst this share of checkout's requests in the second cluster fails with 500.
const BURST_SHARE: f64 = 0.35;
/// During the burst latencies are so many times as long.
const BURST_SLOWDOWN: f64 = 12.0;

/// One Prometheus server of the fleet.
#[derive(Debug, Clone)]
pub(super) struct Member {
    cluster: usize,
    replica: usize,
    seed: u64,
    /// Start and end of the error burst, ms.
    burst: (Millis, Millis),
}

/// A series of a member: labels without the external ones, and how it moves.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    /// Labels, the name included.
    pub(super) labels: Labels,
    shape: Shape,
}

/// How the value of a series follows from the time.
#[derive(Debug, Clone)]
enum Shape {
    Constant(f64),
    /// `base` swinging by `swing` with a period in seconds, never below 0.
    Wave {
        base: f64,
        swing: f64,
        period: f64,
        phase: f64,
        round: bool,
    },
    /// A share of a flow's events since the last restart.
    Count {
        flow: Flow,
        share: f64,
        burst_share: f64,
        scale: f64,
        round: bool,
    },
    /// Those of a flow's events since the last restart that took no longer than the bounds up to this one, all for
    /// `BOUNDS.len()`.
    Latencies {
        flow: Flow,
        /// Share of each bucket alone, outside of the burst and within it.
        shares: Arc<[(f64, f64)]>,
        bound: usize,
    },
    /// Restarts of a pod since the epoch of its life.
    Restarts {
        life: f64,
        phase: f64,
    },
}

/// A flow of events, such as the requests of one pod.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// Events per second, on average.
    rate: f64,
    phase: f64,
    /// Seconds between restarts, and their shift.
    life: f64,
    /// Start and end of the burst, seconds; equal where it has none.
    burst: (f64, f64),
}

impl Flow {
    /// Events since the Unix epoch.
    fn integral(&self, t: f64) -> f64 {
        let wave =
            |amplitude: f64, period: f64, phase: f64| -amplitude * period / TAU * (TAU * t / period + phase).cos();
        self.rate * (t + wave(0.35, DAY_S, self.phase) + wave(0.2, 2_220.0, self.phase * 7.0))
    }

    fn restart_before(&self, t: f64) -> f64 {
        let shift = self.phase / TAU * self.life;
        ((t - shift) / self.life).floor() * self.life + shift
    }

    /// Events of the burst up to `t`.
    fn burst_integral(&self, t: f64) -> f64 {
        self.integral(t.clamp(self.burst.0, self.burst.1)) - self.integral(self.burst.0)
    }

    /// Events since the last restart: outside of the burst, and within it.
    fn events(&self, t: f64) -> (f64, f64) {
        let from = self.restart_before(t);
        let within = self.burst_integral(t) - self.burst_integral(from);
        (self.integral(t) - self.integral(from) - within, within)
    }
}

/// The share of the requests that each bucket counts alone, the last one those beyond all bounds: a log-logistic distribution.
fn bucket_shares(median: f64) -> Vec<f64> {
    let below = |bound: &f64| 1.0 / (1.0 + (median / bound).powf(2.2));
    let mut last = 0.0;
    BOUNDS.iter().map(below).chain([1.0]).map(|share| share - std::mem::replace(&mut last, share)).collect()
}

impl Metric {
    /// The value at a time in ms.
    pub(super) fn value(&self, time: Millis) -> f64 {
        let t = time as f64 / 1000.0;
        match &self.shape {
            Shape::Constant(value) => *value,
            Shape::Wave { base, swing, period, phase, round } => {
                let slow = (TAU * t / period + phase).sin();
                let fast = (TAU * t / (period / 9.7) + phase * 3.0).sin();
                let value = (base + swing * (0.8 * slow + 0.2 * fast)).max(0.0);
                if *round { value.round() } else { (value * 1e4).round() / 1e4 }
            }
            Shape::Count { flow, share, burst_share, scale, round } => {
                let (events, within) = flow.events(t);
                let value = (share * events + burst_share * within) * scale;
                if *round { value.floor() } else { (value * 1e4).floor() / 1e4 }
            }
            Shape::Latencies { flow, shares, bound } => {
                let (events, within) = flow.events(t);
                // Bucket by bucket in whole numbers, as a client counts: each rise of a bucket is one of those above it too.
                shares[..=*bound].iter().map(|(share, in_burst)| (share * events + in_burst * within).floor()).sum()
            }
            Shape::Restarts { life, phase } => ((t - phase / TAU * life) / life).floor() % 100.0,
        }
    }
}

impl Member {
    /// All members, clusters in order, replicas within them. The burst lies shortly before `started`.
    pub(super) fn all(seed: u64, started: Millis) -> Vec<Member> {
        let burst = (started - 25 * MINUTE, started - 18 * MINUTE);
        (0..CLUSTERS.len())
            .flat_map(|cluster| (0..REPLICAS.len()).map(move |replica| Member { cluster, replica, seed, burst }))
            .collect()
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> Cluster {
        CLUSTERS[self.cluster]
    }

    /// Name of the replica within its cluster.
    pub(super) fn replica(&self) -> &'static str {
        REPLICAS[self.replica]
    }

    /// External labels.
    pub(super) fn external_labels(&self) -> Labels {
        let cluster = self.cluster();
        Labels::from_pairs([("cluster", cluster.name), ("region", cluster.region), ("replica", self.replica())])
    }

    /// Times of all scrapes in `min..=max`, ms: every [`SCRAPE_INTERVAL`], shifted by replica, jittered by a few ms. Replica
    /// b of the last cluster misses seven minutes of each hour.
    pub(super) fn scrapes(&self, min: Millis, max: Millis) -> impl Iterator<Item = Millis> + '_ {
        let shift = 3_000 + 14_000 * self.replica as Millis + 411 * self.cluster as Millis;
        let first = (min - shift).div_euclid(SCRAPE_INTERVAL);
        let last = (max - shift).div_euclid(SCRAPE_INTERVAL);
        (first..=last)
            .map(move |k| k * SCRAPE_INTERVAL + shift + (self.random(k as u64) % 7) as Millis)
            .filter(move |t| (min..=max).contains(t) && !self.is_away(*t))
    }

    fn is_away(&self, time: Millis) -> bool {
        let gappy = self.cluster == CLUSTERS.len() - 1 && self.replica == 1;
        gappy && (23 * MINUTE..30 * MINUTE).contains(&time.rem_euclid(HOUR))
    }

    /// All series that this member scrapes, ascending by labels.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let mut out = Vec::new();
        for (index, service) in SERVICES.iter().enumerate() {
            self.service(index, *service, &mut out);
        }
        for node in 0..NODES {
            self.node(node, &mut out);
        }
        self.probes(&mut out);
        let legacy = if self.cluster == CLUSTERS.len() - 1 { 0.0 } else { 1.0 };
        push(&mut out, "up", &[("job", "legacy-batch"), ("instance", "batch-0:9100")], Shape::Constant(legacy));
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        out
    }

    fn service(&self, index: usize, (service, rate, median): (&str, f64, f64), out: &mut Vec<Metric>) {
        for pod in 0..PODS {
            let phase = self.phase(&[index as u64, pod as u64]);
            let burst =
                if self.cluster == 1 && service == "checkout" { self.burst } else { (self.burst.0, self.burst.0) };
            let flow = Flow {
                rate: rate * self.cluster().scale * (0.85 + 0.15 * phase / TAU * 2.0),
                phase,
                life: 3600.0 * (9.0 + phase),
                burst: (burst.0 as f64 / 1000.0, burst.1 as f64 / 1000.0),
            };
            let name = format!("{service}-{pod}");
            let instance = format!("{name}:8080");
            let target = [("job", service), ("instance", instance.as_str())];
            let count = |share, burst_share| Shape::Count { flow, share, burst_share, scale: 1.0, round: true };
            push(out, "up", &target, Shape::Constant(1.0));
            for (method, part) in [("GET", 0.8), ("POST", 0.2)] {
                let good = 1.0 - CODES.iter().map(|(_, share)| share).sum::<f64>();
                let mut code = |code: &str, share: f64, in_burst: f64| {
                    let labels = [target[0], target[1], ("method", method), ("code", code)];
                    push(out, "http_requests_total", &labels, count(share * part, in_burst * part));
                };
                code("200", good, good - BURST_SHARE);
                code(CODES[0].0, CODES[0].1, CODES[0].1);
                code(CODES[1].0, CODES[1].1, CODES[1].1 + BURST_SHARE);
            }
            let in_burst = bucket_shares(median * BURST_SLOWDOWN);
            let shares: Arc<[_]> = bucket_shares(median).into_iter().zip(in_burst).collect();
            let latencies = |bound| Shape::Latencies { flow, shares: Arc::clone(&shares), bound };
            let texts = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (bound, le) in texts.enumerate() {
                let labels = [target[0], target[1], ("le", le.as_str())];
                push(out, "http_request_duration_seconds_bucket", &labels, latencies(bound));
            }
            push(out, "http_request_duration_seconds_count", &target, latencies(BOUNDS.len()));
            let burst_share = BURST_SLOWDOWN;
            let sum = Shape::Count { flow, share: 1.0, burst_share, scale: median * 1.4, round: false };
            push(out, "http_request_duration_seconds_sum", &target, sum);
            self.pod(service, &name, flow, out);
        }
    }

    fn pod(&self, namespace: &str, pod: &str, flow: Flow, out: &mut Vec<Metric>) {
        let labels = [("job", "kube-state-metrics"), ("namespace", namespace), ("pod", pod)];
        for phase in ["Failed", "Pending", "Running"] {
            let running = if phase == "Running" { 1.0 } else { 0.0 };
            let with_phase = [labels[0], labels[1], labels[2], ("phase", phase)];
            push(out, "kube_pod_status_phase", &with_phase, Shape::Constant(running));
        }
        let restarts = Shape::Restarts { life: flow.life, phase: flow.phase };
        push(out, "kube_pod_container_status_restarts_total", &labels, restarts);
        let memory = Shape::Wave { base: 2.6e8, swing: 6e7, period: 5_400.0, phase: flow.phase, round: true };
        let labels = [("job", "kubelet"), ("namespace", namespace), ("pod", pod)];
        push(out, "container_memory_working_set_bytes", &labels, memory);
    }

    fn node(&self, node: usize, out: &mut Vec<Metric>) {
        let phase = self.phase(&[99, node as u64]);
        let instance = format!("node-{node}:9100");
        let target = [("job", "node"), ("instance", instance.as_str())];
        push(out, "up", &target, Shape::Constant(1.0));
        // Four cores; the shares of a core's seconds add up to one.
        let flow = Flow { rate: 4.0, phase, life: 40.0 * DAY_S, burst: (0.0, 0.0) };
        for (mode, share) in [("idle", 0.62), ("iowait", 0.03), ("system", 0.11), ("user", 0.24)] {
            let shape = Shape::Count { flow, share, burst_share: share, scale: 1.0, round: false };
            push(out, "node_cpu_seconds_total", &[target[0], target[1], ("mode", mode)], shape);
        }
        push(out, "node_memory_MemTotal_bytes", &target, Shape::Constant(16.0 * 1024.0 * 1024.0 * 1024.0));
        let available = Shape::Wave { base: 7.5e9, swing: 2.5e9, period: DAY_S, phase, round: true };
        push(out, "node_memory_MemAvailable_bytes", &target, available);
        let name = format!("node-{node}");
        let labels =
            [("job", "kube-state-metrics"), ("node", name.as_str()), ("condition", "Ready"), ("status", "true")];
        push(out, "kube_node_status_condition", &labels, Shape::Constant(1.0));
    }

    /// Each cluster probes the others.
    fn probes(&self, out: &mut Vec<Metric>) {
        for (index, peer) in CLUSTERS.iter().enumerate().filter(|(index, _)| *index != self.cluster) {
            let labels = [("job", "peer-probe"), ("instance", peer.name)];
            push(out, "probe_success", &labels, Shape::Constant(1.0));
            let phase = self.phase(&[7, index as u64]);
            let shape = Shape::Wave { base: 0.09, swing: 0.03, period: 1_900.0, phase, round: false };
            push(out, "probe_duration_seconds", &labels, shape);
        }
    }

    /// An angle that the seed and `path` decide; both replicas of a cluster watch the same targets and see the same.
    fn phase(&self, path: &[u64]) -> f64 {
        let mut state = self.seed ^ (self.cluster as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for step in path {
            state = mix(state ^ step.wrapping_add(0x2545_f491_4f6c_dd1d));
        }
        (state >> 11) as f64 / (1u64 << 53) as f64 * TAU
    }

    fn random(&self, k: u64) -> u64 {
        mix(self.seed ^ k.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((self.cluster * 2 + self.replica) as u64) << 56)
    }
}

fn push(out: &mut Vec<Metric>, name: &str, labels: &[(&str, &str)], shape: Shape) {
    let pairs = labels.iter().copied().chain([(METRIC_NAME, name)]);
    out.push(Metric { labels: Labels::from_pairs(pairs), shape });
}

/// The finaliser of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: Millis = 1_700_000_000_000;

    #[test]
    fn counters_fall_only_at_restarts() {
        for member in Member::all(1, STARTED) {
            for metric in member.metrics() {
                let (Shape::Count { flow, .. } | Shape::Latencies { flow, .. }) = &metric.shape else { continue };
                let times: Vec<_> = member.scrapes(STARTED - 6 * HOUR, STARTED).collect();
                for pair in times.windows(2) {
                    let restarted =
                        flow.restart_before(pair[0] as f64 / 1000.0) != flow.restart_before(pair[1] as f64 / 1000.0);
                    let (before, after) = (metric.value(pair[0]), metric.value(pair[1]));
                    assert!(restarted || before <= after, "{} falls from {before} to {after}", metric.labels);
                    assert!(after >= 0.0, "{} is {after}", metric.labels);
                }
            }
        }
    }

    /// What a bucket counts the next ones count too, in all and from any scrape to the next, the burst included.
    #[test]
    fn buckets_are_cumulative_and_so_are_their_rises() {
        let member = &Member::all(1, STARTED)[2];
        let metrics = member.metrics();
        let of = |name: &str| -> Vec<&Metric> {
            let mut found: Vec<_> = metrics.iter().filter(|m| m.labels.metric_name() == name).collect();
            found.sort_by_cached_key(|m| {
                let bound: f64 = m.labels.get("le").map_or(0.0, |le| le.parse().unwrap());
                (m.labels.value("instance").to_owned(), bound.to_bits())
            });
            found
        };
        let times: Vec<_> = member.scrapes(STARTED - HOUR, STARTED).collect();
        let counts = of("http_request_duration_seconds_count");
        let buckets = of("http_request_duration_seconds_bucket");
        assert_eq!(buckets.len(), counts.len() * (BOUNDS.len() + 1));
        for (buckets, count) in buckets.chunks(BOUNDS.len() + 1).zip(counts) {
            let Shape::Latencies { flow, .. } = &count.shape else { panic!("{}", count.labels) };
            for pair in times.windows(2) {
                let values = pair.iter().map(|t| buckets.iter().map(|bucket| bucket.value(*t)).collect::<Vec<_>>());
                let [before, after] = values.collect::<Vec<_>>().try_into().unwrap();
                assert!(
                    after.is_sorted() && after.last() == Some(&count.value(pair[1])),
                    "{}: {after:?}",
                    count.labels
                );
                let restarts = pair.iter().map(|t| flow.restart_before(*t as f64 / 1000.0)).collect::<Vec<_>>();
                let rises: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
                assert!(restarts[0] != restarts[1] || rises.is_sorted(), "{}: {rises:?}", count.labels);
            }
        }
    }

    #[test]
    fn label_sets_are_unique_and_replicas_watch_the_same_targets() {
        let members = Member::all(7, STARTED);
        for pair in members.chunks(2) {
            let (a, b) = (pair[0].metrics(), pair[1].metrics());
            assert!(a.is_sorted_by(|x, y| x.labels < y.labels));
            assert_eq!(a.len(), b.len());
            assert!(a.iter().zip(&b).all(|(x, y)| x.labels == y.labels && x.value(STARTED) == y.value(STARTED)));
        }
    }

    #[test]
    fn scrapes_ascend_and_one_replica_has_gaps() {
        for member in Member::all(3, STARTED) {
            let times: Vec<_> = member.scrapes(STARTED - 2 * HOUR, STARTED).collect();
            assert!(times.is_sorted_by(|a, b| a < b));
            let widest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
            let gappy = member.cluster().name == "prod-ap-south" && member.replica() == "b";
            assert_eq!(widest.is_some_and(|w| w > 6 * MINUTE), gappy, "{member:?}");
        }
    }
}
