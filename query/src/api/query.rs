//! `/api/v1/query` and `/api/v1/query_range`.

use std::time::Duration;

use masthead_store::Matcher;
use masthead_store::labels::quote;
use masthead_store::shard::Shard;
use serde::Deserialize;

use super::encode::{self, Data, QueryData, Success};
use super::explain;
use super::number::push_scalar_timestamp;
use super::params::{Params, invalid};
use super::time::{self, Time};
use super::{Api, ApiError, Call, Reply};
use crate::config::Feature;
use crate::engine::SampleCounts;
use crate::error::QueryError;
use crate::plan::Timeline;
use crate::promql;
use crate::querier::{Answer, Choices, Cost, Request, Turn};

/// `/api/v1/query`.
pub(super) async fn instant(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let limit = call.params.limit()?;
    answer(api, call, instant_request(api, call)?, limit).await
}

/// `/api/v1/query_range`.
pub(super) async fn range(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let limit = call.params.limit()?;
    answer(api, call, range_request(api, call)?, limit).await
}

/// The query that the parameters of `/api/v1/query` make.
pub(super) fn instant_request(api: &Api, call: &Call) -> Result<Request, String> {
    let params = &call.params;
    let at = params.time_or("time", Time::from_clock(call.now))?.engine_ms();
    let (_, lookback) = (timeout(api, params)?, lookback(api, params)?);
    check_thanos_only(params)?;
    Ok(Request {
        expression: params.get("query").to_owned(),
        timeline: Timeline::instant(at),
        instant: true,
        end: None,
        lookback,
        choices: query_choices(api, params)?,
    })
}

/// The query that the parameters of `/api/v1/query_range` make.
pub(super) fn range_request(api: &Api, call: &Call) -> Result<Request, String> {
    let params = &call.params;
    let (timeline, end) = timeline(params, api.querier.config.limits.steps)?;
    let (_, lookback) = (timeout(api, params)?, lookback(api, params)?);
    check_thanos_only(params)?;
    Ok(Request {
        expression: params.get("query").to_owned(),
        timeline,
        instant: false,
        end: Some(end),
        lookback,
        choices: query_choices(api, params)?,
    })
}

/// The turn of a query.
pub(super) async fn begin(api: &Api, call: &Call, request: &mut Request) -> Result<Turn, ApiError> {
    if timeout(api, &call.params)?.is_zero() {
        return Err(ApiError::bad_data(invalid("query", "context deadline exceeded")));
    }
    enter_with(api, &call.params, &mut request.choices).await
}

/// [`choices`], and what only queries may choose.
fn query_choices(api: &Api, params: &Params) -> Result<Choices, String> {
    // As Thanos reads it.
    let explain = matches!(params.get("analyze"), "true" | "1");
    let count_samples = !params.get("stats").is_empty() || explain;
    Ok(Choices { shard: shard(params)?, count_samples, explain, ..choices(api, params)? })
}

/// Parameters of Thanos that choose between things of which there is one here: `engine` and `max_source_resolution` (only
/// raw data is read).
fn check_thanos_only(params: &Params) -> Result<(), String> {
    let engine = params.get("engine");
    if !matches!(engine, "" | "prometheus" | "thanos") {
        return Err(format!("'{engine}' bad engine"));
    }
    match params.get("max_source_resolution") {
        "" | "auto" => Ok(()),
        text => match time::parse_duration(text) {
            Ok(nanos) if nanos < 0 => {
                Err("negative 'max_source_resolution' is not accepted. Try a positive integer".to_owned())
            }
            Ok(_) => Ok(()),
            Err(fault) => Err(format!("'max_source_resolution' parameter: {fault}")),
        },
    }
}

/// `shard_info`: the part of all series that is asked for, as a query frontend of Thanos cuts queries.
fn shard(params: &Params) -> Result<Option<Shard>, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct ShardInfo {
        shard_index: i64,
        total_shards: i64,
        by: bool,
        labels: Option<Vec<Box<str>>>,
    }
    let text = params.get("shard_info");
    if text.is_empty() {
        return Ok(None);
    }
    let info: Option<ShardInfo> =
        serde_json::from_str(text).map_err(|error| format!("could not unmarshal parameter shard_info: {error}"))?;
    let ShardInfo { shard_index, total_shards, by, labels } = info.unwrap_or_default();
    Ok((total_shards >= 1).then(|| Shard {
        index: shard_index as u64,
        total: total_shards as u64,
        by,
        labels: labels.unwrap_or_default(),
    }))
}

/// The steps that `start`, `end` and `step` give, and the end as it was asked for, checked in the order of queryRange in
/// web/api/v1/api.go.
fn timeline(params: &Params, steps_max: usize) -> Result<(Timeline, i64), String> {
    let (start, end) = (params.time("start")?, params.time("end")?);
    let end_before_start = || invalid("end", "end timestamp must not be before start time");
    if end < start {
        return Err(end_before_start());
    }
    let step = params.duration("step")?;
    let step_too_small = || {
        let fault = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        invalid("step", fault)
    };
    if step <= 0 {
        return Err(step_too_small());
    }
    let steps_max = i64::try_from(steps_max).unwrap_or(i64::MAX);
    if end.since(start) / step > steps_max {
        return Err(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
            with_commas(steps_max)
        ));
    }
    // Prometheus fails with an internal error for steps below 1 ms.
    if step < 1_000_000 {
        return Err(step_too_small());
    }
    let (start, end, step) = (start.engine_ms(), end.engine_ms(), step / 1_000_000);
    // Times far outside wrap, each by itself.
    let count =
        end.checked_sub(start).filter(|range| (0..=step.saturating_mul(steps_max.saturating_mul(2))).contains(range));
    let count = count.ok_or_else(end_before_start)? / step + 1;
    Ok((Timeline { start, step, count: count as usize }, end))
}

/// A number as Prometheus writes its limit: 11,000.
fn with_commas(number: i64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The time for a query: `timeout`, at most what the operator allows.
pub(super) fn timeout(api: &Api, params: &Params) -> Result<Duration, String> {
    let longest = api.querier.config.query.timeout;
    if params.get("timeout").is_empty() {
        return Ok(longest);
    }
    let nanos = params.duration("timeout")?;
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)).min(longest))
}

/// `lookback_delta` in ms; none, or none above 0, is the default.
fn lookback(api: &Api, params: &Params) -> Result<i64, String> {
    let default = api.querier.config.query.lookback_delta;
    match params.get("lookback_delta") {
        "" => Ok(default),
        text => match time::parse_duration(text) {
            Ok(nanos) if nanos > 0 => Ok((nanos / 1_000_000).max(1)),
            Ok(_) => Ok(default),
            Err(fault) => Err(format!("error parsing lookback delta duration: {fault}")),
        },
    }
}

/// `dedup`, `replicaLabels[]` and `partial_response`, as Thanos has them: replica labels that are given replace the configured
/// ones, an empty one turns deduplication off. `storeMatch[]` is read by [`enter_with`].
fn choices(api: &Api, params: &Params) -> Result<Choices, String> {
    let dedup = params.flag_or("dedup", true)?;
    let replica_labels = match () {
        () if !dedup => vec![],
        () if params.has("replicaLabels[]") => {
            params.all("replicaLabels[]").into_iter().filter(|name| !name.is_empty()).map(Into::into).collect()
        }
        () => api.querier.config.query.replica_labels.clone(),
    };
    let partial_response = params.flag_or("partial_response", api.querier.config.query.partial_response)?;
    let (store_matchers, shard) = (vec![], None);
    Ok(Choices { replica_labels, partial_response, store_matchers, shard, count_samples: false, explain: false })
}

/// The turn of a request, and what its parameters choose.
pub(super) async fn enter(api: &Api, params: &Params) -> Result<(Turn, Choices), ApiError> {
    let mut choices = choices(api, params)?;
    Ok((enter_with(api, params, &mut choices).await?, choices))
}

/// The turn of a request, after which `choices` know `storeMatch[]`.
async fn enter_with(api: &Api, params: &Params, choices: &mut Choices) -> Result<Turn, ApiError> {
    let turn = api.querier.enter(timeout(api, params)?).await?;
    choices.store_matchers = selectors(api, &turn, params, "storeMatch[]").await?;
    Ok(turn)
}

/// The selectors that are the values of `name`.
pub(super) async fn selectors(
    api: &Api,
    turn: &Turn,
    params: &Params,
    name: &str,
) -> Result<Vec<Vec<Matcher>>, QueryError> {
    if !params.has(name) {
        return Ok(vec![]);
    }
    let texts: Vec<String> = params.all(name).into_iter().map(str::to_owned).collect();
    let options = api.querier.config.parse_options();
    turn.compute(move || Ok(promql::parse_selectors(&texts, &options)?)).await
}

async fn answer(api: &Api, call: &Call, mut request: Request, limit: usize) -> Result<Reply, ApiError> {
    let turn = begin(api, call, &mut request).await?;
    let (timeline, instant) = (request.timeline, request.instant);
    let Answer { mut value, mut warnings, infos, coverage, cost, held, samples, plan } =
        api.querier.run(turn, request).await.map_err(|failure| ApiError::from(failure).about("query"))?;
    if encode::truncate(&mut value, limit) {
        warnings.push("results truncated due to limit".to_owned());
    }
    let stats = call.params.get("stats");
    if !matches!(stats, "" | "true" | "all") {
        warnings.push(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \
             \"all\"",
            quote(stats)
        ));
    }
    let samples = samples.unwrap_or_default();
    let steps = (stats == "all" && api.querier.config.has(Feature::PerStepStats)).then_some(timeline);
    let stats = (!stats.is_empty()).then(|| statistics(&cost, &samples, steps));
    let analysis = plan.map(|plan| explain::analysis(&plan, (&cost, &samples), &coverage));
    let data = Data::Query(QueryData { value, timeline, instant, stats, analysis, held });
    Ok(api.reply(call, Success { data, warnings, infos, coverage: None }, coverage, cost))
}

/// `stats`: timings in seconds, and samples; those of each step where its times are given.
fn statistics(cost: &Cost, samples: &SampleCounts, steps: Option<Timeline>) -> String {
    let per_step = |key: &str, counts: &[u64]| -> String {
        let Some(timeline) = steps else { return String::new() };
        let pair = |(step, count): (usize, &u64)| {
            let mut out = b"[".to_vec();
            push_scalar_timestamp(&mut out, timeline.at(step));
            format!("{},{count}]", String::from_utf8_lossy(&out))
        };
        let pairs: Vec<String> = counts.iter().enumerate().map(pair).collect();
        format!("\"{key}\":[{}],", pairs.join(","))
    };
    format!(
        "{{{},\"samples\":{{{}\"totalQueryableSamples\":{},{}\"samplesRead\":{},\"peakSamples\":{}}}}}",
        timings(cost),
        per_step("totalQueryableSamplesPerStep", &samples.looked_at),
        samples.looked_at.iter().sum::<u64>(),
        per_step("samplesReadPerStep", &samples.read),
        samples.read.iter().sum::<u64>(),
        samples.peak
    )
}

fn timings(cost: &Cost) -> String {
    let seconds = |duration: Duration| duration.as_secs_f64();
    let executed = cost.prepared + cost.evaluated;
    format!(
        "\"timings\":{{\"evalTotalTime\":{},\"resultSortTime\":0,\"queryPreparationTime\":{},\"innerEvalTime\":{},\
         \"execQueueTime\":{},\"execTotalTime\":{}}}",
        seconds(executed),
        seconds(cost.prepared),
        seconds(cost.evaluated),
        seconds(cost.queued),
        seconds(cost.queued + executed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(query: &str) -> Result<(Timeline, i64), String> {
        timeline(&Params::new(None, Some(query)).unwrap(), 11_000)
    }

    #[test]
    fn ranges_are_checked_in_prometheus_order() {
        for (query, fault) in [
            ("", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
            ("start=1", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
            ("start=2&end=1&step=x", "invalid parameter \"end\": end timestamp must not be before start time"),
            ("start=1&end=2&step=x", "invalid parameter \"step\": cannot parse \"x\" to a valid duration"),
            (
                "start=1&end=2&step=-1",
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a \
                 positive integer",
            ),
            (
                "start=1&end=2&step=0.00001",
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                 (?step=XX)",
            ),
            (
                "start=1&end=2&step=0.0001",
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a \
                 positive integer",
            ),
            (
                "start=0&end=11001&step=1",
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                 (?step=XX)",
            ),
        ] {
            assert_eq!(steps(query).unwrap_err(), fault, "{query}");
        }
        let more = |max: usize| timeline(&Params::new(None, Some("start=0&end=1234567&step=1")).unwrap(), max);
        assert_eq!(more(1_234_567).unwrap().0.count, 1_234_568);
        assert!(more(1_234_566).unwrap_err().starts_with("exceeded maximum resolution of 1,234,566 points"));
        assert!(more(99).unwrap_err().starts_with("exceeded maximum resolution of 99 points"));
        assert_eq!(steps("start=0&end=11000&step=1").unwrap().0.count, 11_001);
        assert_eq!(steps("start=0&end=11000.9&step=1").unwrap().0.count, 11_001);
        assert_eq!(
            steps("start=10&end=20.5&step=5m").unwrap(),
            (Timeline { start: 10_000, step: 300_000, count: 1 }, 20_500)
        );
    }
}
