//! What a Prometheus of the demo knows besides series, all of it taken from the series that it has: what its metrics mean, the
//! targets that it scrapes, an alert that it evaluates over them, how many series they are.

use std::collections::{BTreeMap, BTreeSet};

use masthead_store::facts::{
    ActiveTarget, Alert, AlertState, Alerting, Count, Fact, Health, MetricMetadata, Moment, Rule, RuleGroup, Statistics,
};
use masthead_store::labels::METRIC_NAME;
use masthead_store::{Labels, LabelsBuilder, Millis};

use super::fleet::{Metric, SCRAPE_INTERVAL};

/// Name, type and help of the metric families. `up` has none: Prometheus makes it itself.
const FAMILIES: [(&str, &str, &str); 11] = [
    ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes."),
    ("http_request_duration_seconds", "histogram", "Time from a request to its answer."),
    ("http_requests_total", "counter", "Requests, by method and status code."),
    ("kube_node_status_condition", "gauge", "The condition of a cluster node."),
    ("kube_pod_container_status_restarts_total", "counter", "The number of container restarts."),
    ("kube_pod_status_phase", "gauge", "The pod's current phase."),
    ("node_cpu_seconds_total", "counter", "Seconds the CPUs spent in each mode."),
    ("node_memory_MemAvailable_bytes", "gauge", "Memory information field MemAvailable_bytes."),
    ("node_memory_MemTotal_bytes", "gauge", "Memory information field MemTotal_bytes."),
    ("probe_duration_seconds", "gauge", "How long the probe took."),
    ("probe_success", "gauge", "Whether the probe was a success."),
];
/// Time between two evaluations of the rules, s.
const EVALUATION: Millis = 30;
/// How long a target is down before that is told, s.
const HOLD: Millis = 300;

/// Series with their final labels.
type Series = [(Labels, Metric)];

/// The family of a series.
fn family(name: &str) -> &str {
    let classic = ["_bucket", "_count", "_sum"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
    classic
        .filter(|stem| FAMILIES.iter().any(|(family, kind, _)| family == stem && *kind == "histogram"))
        .unwrap_or(name)
}

/// Of the families that there are series of.
pub(super) fn metadata(series: &Series) -> Vec<Fact> {
    let names: BTreeSet<&str> = series.iter().map(|(labels, _)| family(labels.metric_name())).collect();
    let described = FAMILIES.iter().filter(|(family, ..)| names.contains(family));
    let metadata = described.map(|(metric, kind, help)| {
        let (metric, kind, help) = ((*metric).into(), (*kind).into(), (*help).into());
        Fact::Metadata(MetricMetadata { metric, kind, help, unit: "".into() })
    });
    metadata.collect()
}

fn ups(series: &Series) -> impl Iterator<Item = &(Labels, Metric)> {
    series.iter().filter(|(labels, _)| labels.metric_name() == "up")
}

/// What `up` is of, with the last scrape until now.
pub(super) fn targets(series: &Series, external: &Labels, (last, now): (Option<Millis>, Millis)) -> Vec<Fact> {
    let target = |(labels, metric): &(Labels, Metric)| {
        let (job, instance) = (labels.value("job"), labels.value("instance"));
        let is_up = metric.value(now) == 1.0;
        let mut discovered = LabelsBuilder::new(external);
        let interval = format!("{}s", SCRAPE_INTERVAL / 1000);
        for (name, value) in [
            ("__address__", instance),
            ("__metrics_path__", "/metrics"),
            ("__scheme__", "http"),
            ("__scrape_interval__", interval.as_str()),
            ("__scrape_timeout__", "10s"),
            ("job", job),
        ] {
            discovered.set(name, value);
        }
        let url: Box<str> = format!("http://{instance}/metrics").into();
        let error =
            format!("Get \"{url}\": dial tcp: lookup {}: no such host", instance.split(':').next().unwrap_or(""));
        Fact::ActiveTarget(ActiveTarget {
            discovered_labels: discovered.build(),
            labels: labels.without(&[METRIC_NAME]),
            scrape_pool: job.into(),
            scrape_url: url.clone(),
            global_url: url,
            last_error: if is_up { "".into() } else { error.into() },
            last_scrape: last.map_or(Moment::NEVER, Moment::from_millis),
            last_scrape_s: 0.0,
            health: if is_up { Health::Up } else { Health::Down },
        })
    };
    ups(series).map(target).collect()
}

/// The one alert of the demo, evaluated over `up` as it is now. A target that is down has been since `from`, ms.
pub(super) fn rules(series: &Series, external: &Labels, (from, now): (Millis, Millis)) -> Fact {
    let evaluated = Moment::new((now / 1000).div_euclid(EVALUATION) * EVALUATION, 0);
    let state = if now - from >= HOLD * 1000 { AlertState::Firing } else { AlertState::Pending };
    let down = ups(series).filter(|(_, metric)| metric.value(now) == 0.0);
    let alerts: Vec<Alert> = down
        .map(|(labels, _)| {
            let own: Vec<&str> = external.iter().map(|(name, _)| name).chain([METRIC_NAME]).collect();
            let (job, instance) = (labels.value("job"), labels.value("instance"));
            let mut labels = LabelsBuilder::new(&labels.without(&own));
            labels.set("alertname", "TargetDown").set("severity", "warning");
            let summary = format!("{instance} of {job} cannot be scraped");
            Alert {
                labels: labels.build(),
                annotations: Labels::from_pairs([("summary", summary)]),
                state,
                active_at: Some(Moment::from_millis(from)),
                value: "0e+00".into(),
            }
        })
        .collect();
    let rule = Rule {
        name: "TargetDown".into(),
        query: "up == 0".into(),
        labels: LabelsBuilder::new(external).set("severity", "warning").build(),
        health: "ok".into(),
        last_error: "".into(),
        evaluation_s: 0.0,
        last_evaluation: evaluated,
        alerting: Some(Alerting {
            state: if alerts.is_empty() { AlertState::Inactive } else { state },
            hold_s: HOLD as f64,
            keep_firing_s: 0.0,
            annotations: Labels::from_pairs([(
                "summary",
                "{{ $labels.instance }} of {{ $labels.job }} cannot be scraped",
            )]),
            alerts,
        }),
    };
    Fact::RuleGroup(RuleGroup {
        name: "targets".into(),
        file: "/etc/prometheus/rules/targets.yaml".into(),
        rules: vec![rule],
        interval_s: EVALUATION as f64,
        limit: 0,
        evaluation_s: 0.0,
        last_evaluation: evaluated,
        aborts: true,
    })
}

/// How many series there are, external labels left out as in a head.
pub(super) fn statistics(series: &Series, external: &Labels, (from, now): (Millis, Millis)) -> Fact {
    let own: Vec<&str> = external.iter().map(|(name, _)| name).collect();
    let mut metrics: BTreeMap<String, u64> = BTreeMap::new();
    let mut pairs: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (labels, _) in series {
        *metrics.entry(labels.metric_name().to_owned()).or_default() += 1;
        for (name, value) in &labels.without(&own) {
            *pairs.entry((name.to_owned(), value.to_owned())).or_default() += 1;
        }
    }
    let (mut values, mut bytes): (BTreeMap<String, u64>, BTreeMap<String, u64>) = Default::default();
    for (name, value) in pairs.keys() {
        *values.entry(name.clone()).or_default() += 1;
        *bytes.entry(name.clone()).or_default() += value.len() as u64;
    }
    Fact::Statistics(Statistics {
        label_sets: vec![external.clone()],
        series: series.len() as u64,
        label_pairs: pairs.len() as i64,
        chunks: series.len() as i64,
        min_time: from,
        max_time: now,
        series_by_metric: descending(metrics),
        values_by_label: descending(values),
        bytes_by_label: descending(bytes),
        series_by_pair: descending(pairs.into_iter().map(|((name, value), count)| (format!("{name}={value}"), count))),
        ..Statistics::default()
    })
}

fn descending(counts: impl IntoIterator<Item = (String, u64)>) -> Vec<Count> {
    let mut counts: Vec<_> =
        counts.into_iter().map(|(name, count)| Count { name: name.into_boxed_str(), count }).collect();
    counts.sort_by_key(|entry| std::cmp::Reverse(entry.count));
    counts
}

#[cfg(test)]
mod tests {
    use super::super::fleet::Member;
    use super::super::store::with_external;
    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    fn series(member: &Member) -> Vec<(Labels, Metric)> {
        let external = member.external_labels();
        member.metrics().into_iter().map(|metric| (with_external(&metric.labels, &external), metric)).collect()
    }

    /// Every family of the fleet is described, but for `up`, and nothing else is.
    #[test]
    fn every_family_has_a_meaning() {
        let series = series(&Member::all(1, NOW)[0]);
        let mut names: BTreeSet<&str> = series.iter().map(|(labels, _)| family(labels.metric_name())).collect();
        assert!(names.remove("up"));
        let described = metadata(&series).into_iter().map(|fact| match fact {
            Fact::Metadata(metadata) => metadata.metric.to_string(),
            _ => panic!("no metadata"),
        });
        assert_eq!(described.collect::<Vec<_>>(), names.into_iter().collect::<Vec<_>>());
    }

    /// The one target that is down is down in the list of targets and fires, where there is one.
    #[test]
    fn what_is_down_fires() {
        let members = Member::all(1, NOW);
        let down = members.iter().map(|member| {
            let (series, external) = (series(member), member.external_labels());
            let Fact::RuleGroup(group) = rules(&series, &external, (NOW - 600_000, NOW)) else { panic!("no rules") };
            let alerting = group.rules[0].alerting.clone().unwrap();
            let is_down = |fact: &Fact| matches!(fact, Fact::ActiveTarget(t) if t.health == Health::Down);
            let targets = targets(&series, &external, (Some(NOW), NOW));
            let down = targets.iter().filter(|fact| is_down(fact)).count();
            assert_eq!(down, alerting.alerts.len());
            assert_eq!(alerting.state == AlertState::Firing, down > 0);
            down
        });
        assert_eq!(down.collect::<Vec<_>>(), [0, 0, 0, 0, 1, 1]);
    }
}
