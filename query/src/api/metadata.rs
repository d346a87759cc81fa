//! `/api/v1/series`, `/api/v1/labels` and `/api/v1/label/<name>/values`.

use masthead_store::Matcher;
use masthead_store::labels::quote;

use super::encode::{Data, Success};
use super::params::{Params, invalid, unescape_label_name};
use super::query::{choices, timeout};
use super::time::Time;
use super::{Api, ApiError, Call, Reply};
use crate::promql;
use crate::querier::{Answer, LabelRequest};

/// `/api/v1/series`.
pub(super) async fn series(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let params = &call.params;
    params.check()?;
    if params.all("match[]").is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided".to_owned()));
    }
    let request = request(api, params, |fault| invalid("match[]", &fault))?;
    let Some(request) = request else { return Ok(empty(api, call)) };
    let limit = request.limit;
    let mut answer = api.querier.series(request).await?;
    let truncated = truncate(&mut answer.value, limit);
    let data = Data::Series(std::mem::take(&mut answer.value), answer.held.take());
    Ok(reply(api, call, data, answer, truncated))
}

/// `/api/v1/labels`.
pub(super) async fn label_names(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let Some(request) = request(api, &call.params, |fault| fault)? else { return Ok(empty(api, call)) };
    let limit = request.limit;
    let mut answer = api.querier.label_names(request).await?;
    let truncated = truncate(&mut answer.value, limit);
    let data = Data::Strings(std::mem::take(&mut answer.value), answer.held.take());
    Ok(reply(api, call, data, answer, truncated))
}

/// `/api/v1/label/<name>/values`.
pub(super) async fn label_values(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let name = unescape_label_name(&call.name);
    if name.is_empty() || name.contains('\u{fffd}') {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quote(&name))));
    }
    let Some(request) = request(api, &call.params, |fault| fault)? else { return Ok(empty(api, call)) };
    let limit = request.limit;
    let mut answer = api.querier.label_values(&name, request).await?;
    let truncated = truncate(&mut answer.value, limit);
    let data = Data::Strings(std::mem::take(&mut answer.value), answer.held.take());
    Ok(reply(api, call, data, answer, truncated))
}

/// The request that the parameters make; None where the range is empty, to which nothing can be answered.
fn request(api: &Api, params: &Params, about_match: impl Fn(String) -> String) -> Result<Option<LabelRequest>, String> {
    let limit = params.limit()?;
    let (start, end) = (params.time_or("start", Time::MIN)?, params.time_or("end", Time::MAX)?);
    let matcher_sets = matcher_sets(api, params).map_err(about_match)?;
    let choices = choices(api, params, timeout(api, params)?)?;
    let (min_time, max_time) = (start.storage_ms(), end.storage_ms());
    Ok((min_time <= max_time).then_some(LabelRequest { matcher_sets, min_time, max_time, limit, choices }))
}

/// `match[]`: each selector must have a matcher that an absent label does not fulfil.
pub(super) fn matcher_sets(api: &Api, params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    let options = api.querier.config.parse_options();
    let mut sets = Vec::new();
    for text in params.all("match[]") {
        sets.push(promql::parse_selector(text, &options).map_err(|error| error.to_string())?);
    }
    match sets.iter().all(|set| set.iter().any(|matcher| !matcher.matches(""))) {
        true => Ok(sets),
        false => Err("match[] must contain at least one non-empty matcher".to_owned()),
    }
}

fn truncate<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let truncated = limit > 0 && items.len() > limit;
    if truncated {
        items.truncate(limit);
    }
    truncated
}

fn reply<T>(api: &Api, call: &Call, data: Data, answer: Answer<T>, truncated: bool) -> Reply {
    let mut warnings = answer.warnings;
    if truncated {
        warnings.push("results truncated due to limit".to_owned());
    }
    let success = Success { data, warnings, infos: vec![], coverage: None };
    api.reply(call, success, answer.coverage, answer.cost)
}

/// Nobody was asked, and nothing is missing.
fn empty(api: &Api, call: &Call) -> Reply {
    api.reply(call, Success::of(Data::Json(b"[]".to_vec())), Default::default(), Default::default())
}
