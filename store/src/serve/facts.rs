//! `thanos.Metadata`, `Rules`, `Targets`, `Exemplars` and `Status`: what the stores behind know besides series,
//! replicas as they are, for whoever asks to deduplicate. Messages are made one by one as they are taken.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use masthead_proto::{path, thanos as proto};
use tonic::Status;
use tonic::body::Body;

use super::expiring::Expiring;
use super::info::label_set;
use super::{Call, matchers, shortcomings, streamed};
use crate::Reservation;
use crate::facts::{
    ActiveTarget, Alert, Count, DroppedTarget, ExemplarSeries, ExemplarsRequest, Fact, Facts, Kind, MetadataRequest,
    MetricMetadata, Moment, Question, Rule, RuleGroup, RuleKind, RulesRequest, Statistics, StatisticsRequest,
    TargetState, TargetsRequest, metadata, statistics,
};
use crate::fanout::{self, Progress};

/// Messages of an answer.
pub(super) type Answers<A> = BoxStream<'static, Result<A, Status>>;

/// Facts in one message, at most, where a message may have several.
const FACTS_MAX: usize = 512;

/// The kind of facts that a path asks for.
pub(super) fn kind_of(path: &str) -> Option<Kind> {
    Some(match path {
        path::METADATA => Kind::Metadata,
        path::RULES => Kind::Rules,
        path::TARGETS => Kind::Targets,
        path::EXEMPLARS => Kind::Exemplars,
        path::STATISTICS => Kind::Statistics,
        _ => return None,
    })
}

impl Call {
    /// Answers a call for facts of `kind`.
    pub(super) async fn answer(&self, kind: Kind, request: Request<Incoming>) -> Response<Body> {
        match kind {
            Kind::Metadata => streamed(request, |asked| self.clone().metadata(asked)).await,
            Kind::Rules => streamed(request, |asked| self.clone().rules(asked)).await,
            Kind::Targets => streamed(request, |asked| self.clone().targets(asked)).await,
            Kind::Exemplars => streamed(request, |asked| self.clone().exemplars(asked)).await,
            Kind::Statistics => streamed(request, |asked| self.clone().statistics(asked)).await,
        }
    }

    /// Answers `thanos.Metadata/MetricMetadata`: the union of what the stores say.
    async fn metadata(
        self,
        asked: proto::MetricMetadataRequest,
    ) -> Result<Answers<proto::MetricMetadataResponse>, Status> {
        use proto::metric_metadata_response::Result::{Metadata, Warning};
        let request = MetadataRequest { metric: (!asked.metric.is_empty()).then(|| asked.metric.into()) };
        let (facts, warnings) = self.ask(Question::Metadata(request.clone()), asked.partial_response_strategy).await?;
        let (mut all, held) = metadata::fold(facts, &request);
        if let Ok(limit) = usize::try_from(asked.limit) {
            let metrics = all.chunk_by(|a, b| a.metric == b.metric).take(limit).map(<[_]>::len);
            all.truncate(metrics.sum());
        }
        let wrap = |result| proto::MetricMetadataResponse { result: Some(result) };
        let message = move |part: Vec<MetricMetadata>| wrap(Metadata(to_metadata(part)));
        Ok(self.answers((all, held), FACTS_MAX, message, (warnings, move |text| wrap(Warning(text)))))
    }

    /// Answers `thanos.Rules/Rules`. Selectors on labels of rules are left to the caller, as sidecars and rulers leave
    /// them.
    async fn rules(self, asked: proto::RulesRequest) -> Result<Answers<proto::RulesResponse>, Status> {
        use proto::rules_response::Result::{Group, Warning};
        let texts = |texts: Vec<String>| texts.into_iter().map(String::into_boxed_str).collect();
        let request = RulesRequest {
            kind: match asked.r#type {
                1 => Some(RuleKind::Alert),
                2 => Some(RuleKind::Record),
                _ => None,
            },
            names: texts(asked.rule_name),
            groups: texts(asked.rule_group),
            files: texts(asked.file),
            matcher_sets: vec![],
        };
        let (facts, warnings) = self.ask(Question::Rules(request.clone()), asked.partial_response_strategy).await?;
        let (facts, held) = facts.into_parts();
        let groups = facts.into_iter().filter_map(|fact| match fact {
            Fact::RuleGroup(mut group) => request.filter(&mut group).then_some(group),
            _ => None,
        });
        let wrap = |result| proto::RulesResponse { result: Some(result) };
        let message =
            move |part: Vec<RuleGroup>| wrap(Group(part.into_iter().map(to_group).next().unwrap_or_default()));
        Ok(self.answers((groups.collect(), held), 1, message, (warnings, move |text| wrap(Warning(text)))))
    }

    /// Answers `thanos.Targets/Targets`.
    async fn targets(self, asked: proto::TargetsRequest) -> Result<Answers<proto::TargetsResponse>, Status> {
        use proto::targets_response::Result::{Targets, Warning};
        let state = match asked.state {
            1 => Some(TargetState::Active),
            2 => Some(TargetState::Dropped),
            _ => None,
        };
        let request = TargetsRequest { state };
        let (facts, warnings) = self.ask(Question::Targets(request.clone()), asked.partial_response_strategy).await?;
        let (mut facts, held) = facts.into_parts();
        facts.retain(|fact| match fact {
            Fact::ActiveTarget(_) => request.wants(TargetState::Active),
            _ => request.wants(TargetState::Dropped),
        });
        let wrap = |result| proto::TargetsResponse { result: Some(result) };
        let message = move |part: Vec<Fact>| wrap(Targets(to_targets(part)));
        Ok(self.answers((facts, held), FACTS_MAX, message, (warnings, move |text| wrap(Warning(text)))))
    }

    /// Answers `thanos.Exemplars/Exemplars`.
    async fn exemplars(self, asked: proto::ExemplarsRequest) -> Result<Answers<proto::ExemplarsResponse>, Status> {
        use proto::exemplars_response::Result::{Data, Warning};
        let Some(parse) = &self.service.0.parse_selectors else {
            return Err(Status::unimplemented("unknown service thanos.Exemplars"));
        };
        let selectors = parse(&asked.query).map_err(Status::invalid_argument)?;
        let request = ExemplarsRequest { selectors, min_time: asked.start, max_time: asked.end };
        let (facts, warnings) = self.ask(Question::Exemplars(request.clone()), asked.partial_response_strategy).await?;
        let (facts, held) = facts.into_parts();
        let series = facts.into_iter().filter_map(|fact| match fact {
            Fact::Exemplars(series) => request.wants(&series.labels).then_some(series),
            _ => None,
        });
        let wrap = |result| proto::ExemplarsResponse { result: Some(result) };
        let message =
            move |part: Vec<ExemplarSeries>| wrap(Data(part.into_iter().map(to_series).next().unwrap_or_default()));
        Ok(self.answers((series.collect(), held), 1, message, (warnings, move |text| wrap(Warning(text)))))
    }

    /// Answers `thanos.Status/TSDBStatistics`: the heads behind added up, by tenant. Nobody can tell replicas in the
    /// sum any more, so that this server does.
    async fn statistics(
        self,
        asked: proto::TsdbStatisticsRequest,
    ) -> Result<Answers<proto::TsdbStatisticsResponse>, Status> {
        use proto::tsdb_statistics_response::Result::{Statistics as Entries, Warning};
        // No limit, in the words of Thanos.
        let limit = usize::try_from(asked.limit).ok().filter(|limit| *limit > 0).unwrap_or(i32::MAX as usize);
        let request = StatisticsRequest { matchers: matchers(&asked.matchers)?, limit };
        let replica_labels = self.options().replica_labels.clone();
        let (facts, warnings) = self.ask(Question::Statistics(request), asked.partial_response_strategy).await?;
        let (mut tenants, held) = statistics::by_tenant(facts, limit, &replica_labels);
        tenants.retain(|statistics| asked.tenant.is_empty() || *statistics.tenant == *asked.tenant);
        let wrap = |result| proto::TsdbStatisticsResponse { result: Some(result) };
        let message = move |part: Vec<Statistics>| {
            let statistics = part.into_iter().map(|each| (each.tenant.to_string(), to_statistics(each))).collect();
            wrap(Entries(proto::TsdbStatistics { statistics }))
        };
        Ok(self.answers((tenants, held), FACTS_MAX, message, (warnings, move |text| wrap(Warning(text)))))
    }

    /// What the stores know, and what is missing in words.
    async fn ask(&self, question: Question, strategy: i32) -> Result<(Facts, Vec<String>), Status> {
        let (stores, budget, fan_out) = (self.stores(), self.budget(), self.fan_out());
        let progress = Progress::default();
        let facts = fanout::facts(&stores, Arc::new(question), &budget, &fan_out, &progress).await;
        let facts = facts.map_err(|limit| Status::resource_exhausted(limit.to_string()))?;
        let warnings = shortcomings(&progress.coverage(None));
        match warnings.first() {
            Some(first) if strategy == proto::PartialResponseStrategy::Abort as i32 => {
                Err(Status::aborted(first.clone()))
            }
            _ => Ok((facts, warnings)),
        }
    }

    /// Messages of `size` items each, then the warnings. The memory of the items is held until the last one is taken or
    /// the time of the call is up.
    fn answers<T: Send + 'static, A: Send + 'static>(
        &self,
        (items, held): (Vec<T>, Reservation),
        size: usize,
        message: impl Fn(Vec<T>) -> A + Send + 'static,
        (warnings, warn): (Vec<String>, impl Fn(String) -> A + Send + 'static),
    ) -> Answers<A> {
        let mut rest = items.into_iter();
        let parts = std::iter::from_fn(move || {
            let _ = &held;
            let part: Vec<T> = rest.by_ref().take(size).collect();
            (!part.is_empty()).then(|| Ok(message(part)))
        });
        let messages = stream::iter(parts.chain(warnings.into_iter().map(move |text| Ok(warn(text))))).boxed();
        Expiring::new(messages, self.deadline).boxed()
    }
}

fn to_metadata(part: Vec<MetricMetadata>) -> proto::MetricMetadata {
    let mut metadata: HashMap<String, proto::MetricMetadataEntry> = HashMap::new();
    for MetricMetadata { metric, kind, help, unit } in part {
        let meta = proto::Meta { r#type: kind.into(), help: help.into(), unit: unit.into() };
        metadata.entry(metric.into()).or_default().metas.push(meta);
    }
    proto::MetricMetadata { metadata }
}

fn to_group(group: RuleGroup) -> proto::RuleGroup {
    let strategy = match group.aborts {
        true => proto::PartialResponseStrategy::Abort,
        false => proto::PartialResponseStrategy::Warn,
    };
    proto::RuleGroup {
        name: group.name.into(),
        file: group.file.into(),
        rules: group.rules.into_iter().map(to_rule).collect(),
        interval: group.interval_s,
        evaluation_duration_seconds: group.evaluation_s,
        last_evaluation: Some(to_timestamp(group.last_evaluation)),
        partial_response_strategy: strategy.into(),
        limit: group.limit,
    }
}

fn to_rule(rule: Rule) -> proto::Rule {
    use proto::rule::Result::{Alert, Recording};
    let labels = Some(label_set(&rule.labels));
    let last_evaluation = Some(to_timestamp(rule.last_evaluation));
    let result = match rule.alerting {
        None => Recording(proto::RecordingRule {
            name: rule.name.into(),
            query: rule.query.into(),
            labels,
            health: rule.health.into(),
            last_error: rule.last_error.into(),
            evaluation_duration_seconds: rule.evaluation_s,
            last_evaluation,
        }),
        Some(alerting) => Alert(proto::Alert {
            state: alerting.state as i32,
            name: rule.name.into(),
            query: rule.query.into(),
            duration_seconds: alerting.hold_s,
            labels,
            annotations: Some(label_set(&alerting.annotations)),
            alerts: alerting.alerts.into_iter().map(to_alert).collect(),
            health: rule.health.into(),
            last_error: rule.last_error.into(),
            evaluation_duration_seconds: rule.evaluation_s,
            last_evaluation,
            keep_firing_for_seconds: alerting.keep_firing_s,
        }),
    };
    proto::Rule { result: Some(result) }
}

fn to_alert(alert: Alert) -> proto::AlertInstance {
    proto::AlertInstance {
        labels: Some(label_set(&alert.labels)),
        annotations: Some(label_set(&alert.annotations)),
        state: alert.state as i32,
        active_at: alert.active_at.map(to_timestamp),
        value: alert.value.into(),
        ..Default::default()
    }
}

fn to_timestamp(moment: Moment) -> proto::Timestamp {
    proto::Timestamp { seconds: moment.seconds(), nanos: moment.nanos().cast_signed() }
}

fn to_targets(part: Vec<Fact>) -> proto::TargetDiscovery {
    let mut targets = proto::TargetDiscovery::default();
    for fact in part {
        match fact {
            Fact::ActiveTarget(target) => targets.active_targets.push(to_active_target(target)),
            Fact::DroppedTarget(DroppedTarget { discovered_labels }) => {
                let discovered_labels = Some(label_set(&discovered_labels));
                targets.dropped_targets.push(proto::DroppedTarget { discovered_labels });
            }
            _ => {}
        }
    }
    targets
}

fn to_active_target(target: ActiveTarget) -> proto::ActiveTarget {
    proto::ActiveTarget {
        discovered_labels: Some(label_set(&target.discovered_labels)),
        labels: Some(label_set(&target.labels)),
        scrape_pool: target.scrape_pool.into(),
        scrape_url: target.scrape_url.into(),
        global_url: target.global_url.into(),
        last_error: target.last_error.into(),
        last_scrape: Some(to_timestamp(target.last_scrape)),
        last_scrape_duration: target.last_scrape_s,
        health: target.health as i32,
    }
}

fn to_series(series: ExemplarSeries) -> proto::ExemplarData {
    let exemplars = series.exemplars.into_iter().map(|exemplar| proto::Exemplar {
        labels: Some(label_set(&exemplar.labels)),
        value: exemplar.value,
        ts: exemplar.time,
    });
    proto::ExemplarData { series_labels: Some(label_set(&series.labels)), exemplars: exemplars.collect() }
}

fn to_statistics(statistics: Statistics) -> proto::TsdbStatisticsEntry {
    let counts = |counts: Vec<Count>| {
        counts.into_iter().map(|Count { name, count }| proto::Statistic { name: name.into(), value: count }).collect()
    };
    proto::TsdbStatisticsEntry {
        head_statistics: Some(proto::HeadStatistics {
            num_series: statistics.series,
            num_label_pairs: statistics.label_pairs,
            chunk_count: statistics.chunks,
            min_time: statistics.min_time,
            max_time: statistics.max_time,
        }),
        series_count_by_metric_name: counts(statistics.series_by_metric),
        label_value_count_by_label_name: counts(statistics.values_by_label),
        memory_in_bytes_by_label_name: counts(statistics.bytes_by_label),
        series_count_by_label_value_pair: counts(statistics.series_by_pair),
    }
}
