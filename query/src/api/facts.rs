//! What stores know besides series: `/api/v1/metadata`, `/api/v1/targets`, `/api/v1/scrape_pools`, `/api/v1/query_exemplars`
//! and `/api/v1/status/tsdb`. Parameters and forms are Prometheus'; `dedup`, `replicaLabels[]`, `partial_response`, `timeout` and
//! `coverage` are those of a query.

use std::collections::{BTreeMap, BTreeSet};

use masthead_store::Facts;
use masthead_store::facts::{
    ActiveTarget, Count, DroppedTarget, ExemplarSeries, ExemplarsRequest, MetadataRequest, MetricMetadata, Question,
    StatisticsRequest, TargetState, TargetsRequest, exemplars as exemplar_facts, metadata as metadata_facts,
    statistics as statistics_facts, targets as target_facts,
};

use super::encode::{Data, Success};
use super::json::{push_key, push_labels, push_list, push_string};
use super::metadata::matcher_sets;
use super::number::{push_integer, push_json_float, push_signed, push_timestamp, push_value};
use super::params::{Params, parse_go_int};
use super::query::enter;
use super::time::{Time, rfc3339_nanos};
use super::{Api, ApiError, Call, Reply};
use crate::promql;
use crate::querier::{Answer, Choices, Failure, Turn};

/// Asks the stores, and gives the answer's facts and the rest of it.
pub(super) async fn ask(
    api: &Api,
    (turn, choices): (Turn, &Choices),
    question: Question,
) -> Result<(Facts, Answer<()>), ApiError> {
    let Answer { value, warnings, infos, coverage, cost, held, samples, plan } =
        api.querier.facts(turn, question, choices).await?;
    Ok((value, Answer { value: (), warnings, infos, coverage, cost, held, samples, plan }))
}

/// The reply with `data` in place of the facts.
pub(super) fn reply(api: &Api, call: &Call, data: Data, answer: Answer<()>) -> Reply {
    let success = Success { data, warnings: answer.warnings, infos: vec![], coverage: None };
    api.reply(call, success, answer.coverage, answer.cost)
}

/// `/api/v1/metadata`.
pub(super) async fn metadata(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let params = &call.params;
    let limit = number(params, "limit")?;
    let per_metric = number(params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let metric = Some(params.get("metric")).filter(|name| !name.is_empty()).map(Into::into);
    let request = MetadataRequest { metric };
    let (turn, choices) = enter(api, params).await?;
    let (facts, answer) = ask(api, (turn, &choices), Question::Metadata(request.clone())).await?;
    let (all, held) = metadata_facts::fold(facts, &request);
    let mut metrics: Vec<Vec<MetricMetadata>> = Vec::new();
    for metadata in all {
        let is_full = limit == Some(metrics.len());
        match metrics.last_mut() {
            Some(last) if last[0].metric == metadata.metric => {
                if per_metric.is_none_or(|limit| last.len() < limit) {
                    last.push(metadata);
                }
            }
            _ if is_full => break,
            _ => metrics.push(vec![metadata]),
        }
    }
    let data = Data::items(b"{", (metrics, held), b"}".to_vec(), |metas, out| {
        push_string(out, &metas[0].metric);
        out.push(b':');
        push_list(out, metas, push_meta);
    });
    Ok(reply(api, call, data, answer))
}

fn push_meta(out: &mut Vec<u8>, meta: &MetricMetadata) {
    out.push(b'{');
    for (key, text) in [("type", &meta.kind), ("help", &meta.help), ("unit", &meta.unit)] {
        push_key(out, key);
        push_string(out, text);
    }
    out.push(b'}');
}

/// A limit that may be left out; below 0 there is none.
fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => match parse_go_int(text) {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

/// `/api/v1/targets`. What the gRPC service does not carry is taken from the labels that targets were discovered with: time
/// between scrapes, their time-out, and the pool of dropped targets.
pub(super) async fn targets(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let (pool, state) = (call.params.get("scrapePool"), call.params.get("state").to_lowercase());
    let (active, dropped) = match state.as_str() {
        "" | "any" => (true, true),
        state => (state == "active", state == "dropped"),
    };
    // Pools without dropped targets are counted too.
    let request = TargetsRequest { state: (!dropped).then_some(TargetState::Active) };
    let (turn, choices) = enter(api, &call.params).await?;
    let (facts, answer) = ask(api, (turn, &choices), Question::Targets(request.clone())).await?;
    let (mut targets, mut held) = target_facts::fold(facts, &request, &choices.replica_labels);
    // Counted before the choice of a pool, as Prometheus counts.
    let mut counts: BTreeMap<Box<str>, u64> =
        targets.active.iter().map(|target| (target.scrape_pool.clone(), 0)).collect();
    targets.dropped.iter().for_each(|target| *counts.entry(target.scrape_pool().into()).or_default() += 1);
    // An unknown state is that of no target.
    targets.active.retain(|target| active && (pool.is_empty() || *target.scrape_pool == *pool));
    targets.dropped.retain(|target| dropped && (pool.is_empty() || target.scrape_pool() == pool));
    let mut tail = b"],\"droppedTargets\":".to_vec();
    push_list(&mut tail, &targets.dropped, push_dropped);
    tail.extend_from_slice(b",\"droppedTargetCounts\":");
    if dropped {
        tail.push(b'{');
        for (pool, count) in counts {
            push_key(&mut tail, &pool);
            push_integer(&mut tail, count);
        }
        tail.push(b'}');
    } else {
        // Go's map that nobody made.
        tail.extend_from_slice(b"null");
    }
    tail.push(b'}');
    held.grow(tail.len()).map_err(|limit| Failure { error: limit.into(), coverage: Some(answer.coverage.clone()) })?;
    let data = Data::items(b"{\"activeTargets\":[", (targets.active, held), tail, push_target);
    Ok(reply(api, call, data, answer))
}

/// `/api/v1/scrape_pools`: those of all targets.
pub(super) async fn scrape_pools(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let request = TargetsRequest::default();
    let (turn, choices) = enter(api, &call.params).await?;
    let (facts, answer) = ask(api, (turn, &choices), Question::Targets(request.clone())).await?;
    let (targets, held) = target_facts::fold(facts, &request, &choices.replica_labels);
    let active = targets.active.iter().map(|target| &*target.scrape_pool);
    let dropped = targets.dropped.iter().map(DroppedTarget::scrape_pool);
    let pools: BTreeSet<Box<str>> = active.chain(dropped).map(Into::into).collect();
    let pools: Vec<Box<str>> = pools.into_iter().collect();
    let data = Data::items(b"{\"scrapePools\":[", (pools, held), b"]}".to_vec(), |pool, out| push_string(out, pool));
    Ok(reply(api, call, data, answer))
}

fn push_dropped(out: &mut Vec<u8>, target: &DroppedTarget) {
    out.extend_from_slice(b"{\"discoveredLabels\":");
    push_labels(out, &target.discovered_labels);
    push_key(out, "scrapePool");
    push_string(out, target.scrape_pool());
    out.push(b'}');
}

fn push_target(target: &ActiveTarget, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"discoveredLabels\":");
    push_labels(out, &target.discovered_labels);
    push_key(out, "labels");
    push_labels(out, &target.labels);
    for (key, text) in [
        ("scrapePool", &target.scrape_pool),
        ("scrapeUrl", &target.scrape_url),
        ("globalUrl", &target.global_url),
        ("lastError", &target.last_error),
    ] {
        push_key(out, key);
        push_string(out, text);
    }
    push_key(out, "lastScrape");
    push_string(out, &rfc3339_nanos(target.last_scrape));
    push_key(out, "lastScrapeDuration");
    push_json_float(out, target.last_scrape_s);
    let discovered = |name| target.discovered_labels.value(name);
    for (key, text) in [
        ("health", target.health.as_str()),
        ("scrapeInterval", discovered("__scrape_interval__")),
        ("scrapeTimeout", discovered("__scrape_timeout__")),
    ] {
        push_key(out, key);
        push_string(out, text);
    }
    out.push(b'}');
}

/// `/api/v1/query_exemplars`.
pub(super) async fn exemplars(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let params = &call.params;
    let (start, end) = (params.time_or("start", Time::MIN)?, params.time_or("end", Time::MAX)?);
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp".to_owned()));
    }
    let (turn, choices) = enter(api, params).await?;
    let (text, options) = (params.get("query").to_owned(), api.querier.config.parse_options());
    let selectors = turn.compute(move || {
        let expr = promql::parse(&text, &options)?;
        Ok(expr.selectors().into_iter().map(<[_]>::to_vec).collect::<Vec<_>>())
    });
    let selectors = selectors.await?;
    if selectors.is_empty() {
        return Ok(Reply::no_content());
    }
    let request = ExemplarsRequest { selectors, min_time: start.storage_ms(), max_time: end.storage_ms() };
    let (facts, answer) = ask(api, (turn, &choices), Question::Exemplars(request.clone())).await?;
    let folded = exemplar_facts::fold(facts, &request, &choices.replica_labels);
    let data = Data::items(b"[", folded, b"]".to_vec(), push_exemplars);
    Ok(reply(api, call, data, answer))
}

fn push_exemplars(series: &ExemplarSeries, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    push_labels(out, &series.labels);
    push_key(out, "exemplars");
    push_list(out, &series.exemplars, |out, exemplar| {
        out.extend_from_slice(b"{\"labels\":");
        push_labels(out, &exemplar.labels);
        push_key(out, "value");
        push_value(out, exemplar.value);
        push_key(out, "timestamp");
        push_timestamp(out, exemplar.time);
        out.push(b'}');
    });
    out.push(b'}');
}

/// Entries of each list of `status/tsdb`, at most (serveTSDBStatus in web/api/v1/api.go).
const STATISTICS_MAX: usize = 10_000;
/// So many entries are asked of each source at least: what is rare in one may be frequent in all.
const STATISTICS_ASKED: usize = 1_000;

/// `/api/v1/status/tsdb`, over the heads of all sources. `match[]` is Thanos': matchers on external labels.
pub(super) async fn statistics(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let limit = match call.params.get("limit") {
        "" => 10,
        text => match parse_go_int(text).ok().and_then(|limit| usize::try_from(limit).ok()) {
            None | Some(0) => return Err(ApiError::bad_data("limit must be a positive number".to_owned())),
            Some(limit) if limit > STATISTICS_MAX => {
                return Err(ApiError::bad_data(format!("limit must not exceed {STATISTICS_MAX}")));
            }
            Some(limit) => limit,
        },
    };
    let (turn, choices) = enter(api, &call.params).await?;
    let matchers = matcher_sets(api, &turn, &call.params).await?.into_iter().flatten().collect();
    let request = StatisticsRequest { matchers, limit: limit.max(STATISTICS_ASKED) };
    let (facts, answer) = ask(api, (turn, &choices), Question::Statistics(request)).await?;
    let (sum, _held) = statistics_facts::fold(facts, limit, &choices.replica_labels);
    let mut out = b"{\"headStats\":{".to_vec();
    push_key(&mut out, "numSeries");
    push_integer(&mut out, sum.series);
    for (key, number) in [
        ("numLabelPairs", sum.label_pairs),
        ("chunkCount", sum.chunks),
        ("minTime", sum.min_time),
        ("maxTime", sum.max_time),
    ] {
        push_key(&mut out, key);
        push_signed(&mut out, number);
    }
    out.push(b'}');
    for (key, counts) in [
        ("seriesCountByMetricName", &sum.series_by_metric),
        ("labelValueCountByLabelName", &sum.values_by_label),
        ("memoryInBytesByLabelName", &sum.bytes_by_label),
        ("seriesCountByLabelValuePair", &sum.series_by_pair),
    ] {
        push_key(&mut out, key);
        push_list(&mut out, counts, push_count);
    }
    out.push(b'}');
    Ok(reply(api, call, Data::Json(out), answer))
}

fn push_count(out: &mut Vec<u8>, Count { name, count }: &Count) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, name);
    push_key(out, "value");
    push_integer(out, *count);
    out.push(b'}');
}
