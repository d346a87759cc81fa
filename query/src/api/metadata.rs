//! `/api/v1/series`, `/api/v1/labels` and `/api/v1/label/<name>/values`.

use masthead_store::Matcher;
use masthead_store::labels::quote;

use super::encode::{Data, Success, truncate_list};
use super::json::{push_labels, push_string};
use super::params::{Params, unescape_label_name};
use super::query::{enter, selectors};
use super::time::Time;
use super::{Api, ApiError, Call, Reply};
use crate::querier::{Answer, LabelRequest, Turn};

/// `/api/v1/series`.
pub(super) async fn series(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let params = &call.params;
    params.check()?;
    if params.all("match[]").is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided".to_owned()));
    }
    let asked = request(api, params, |fault| fault.about("match[]")).await?;
    let Some((turn, request)) = asked else { return Ok(empty(api, call)) };
    let limit = request.limit;
    let answer = api.querier.series(turn, request).await?;
    Ok(reply(api, call, answer, limit, |labels, out| push_labels(out, labels)))
}

/// `/api/v1/labels`.
pub(super) async fn label_names(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let asked = request(api, &call.params, |fault| fault).await?;
    let Some((turn, request)) = asked else { return Ok(empty(api, call)) };
    let limit = request.limit;
    let answer = api.querier.label_names(turn, request).await?;
    Ok(reply(api, call, answer, limit, |text, out| push_string(out, text)))
}

/// `/api/v1/label/<name>/values`.
pub(super) async fn label_values(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let name = unescape_label_name(&call.name);
    if name.is_empty() || name.contains('\u{fffd}') {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quote(&name))));
    }
    let asked = request(api, &call.params, |fault| fault).await?;
    let Some((turn, request)) = asked else { return Ok(empty(api, call)) };
    let limit = request.limit;
    let answer = api.querier.label_values(turn, &name, request).await?;
    Ok(reply(api, call, answer, limit, |text, out| push_string(out, text)))
}

/// The request that the parameters make, with its turn; None where the range is empty, to which nothing can be answered.
async fn request(
    api: &Api,
    params: &Params,
    about_match: impl Fn(ApiError) -> ApiError,
) -> Result<Option<(Turn, LabelRequest)>, ApiError> {
    let limit = params.limit()?;
    let (start, end) = (params.time_or("start", Time::MIN)?, params.time_or("end", Time::MAX)?);
    let (turn, choices) = enter(api, params).await?;
    let matcher_sets = matcher_sets(api, &turn, params).await.map_err(about_match)?;
    let (min_time, max_time) = (start.storage_ms(), end.storage_ms());
    let request = LabelRequest { matcher_sets, min_time, max_time, limit, choices };
    Ok((min_time <= max_time).then_some((turn, request)))
}

/// `match[]`: each selector must have a matcher that an absent label does not fulfil.
pub(super) async fn matcher_sets(api: &Api, turn: &Turn, params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let sets = selectors(api, turn, params, "match[]").await?;
    match sets.iter().all(|set| set.iter().any(|matcher| !matcher.matches(""))) {
        true => Ok(sets),
        false => Err(ApiError::bad_data("match[] must contain at least one non-empty matcher".to_owned())),
    }
}

fn reply<T: Send + 'static>(
    api: &Api,
    call: &Call,
    answer: Answer<Vec<T>>,
    limit: usize,
    push: fn(&T, &mut Vec<u8>),
) -> Reply {
    let Answer { mut value, mut warnings, coverage, cost, held, .. } = answer;
    if truncate_list(&mut value, limit) {
        warnings.push("results truncated due to limit".to_owned());
    }
    let data = Data::items(b"[", (value, held), b"]".to_vec(), push);
    api.reply(call, Success { data, warnings, infos: vec![], coverage: None }, coverage, cost)
}

/// Nobody was asked, and nothing is missing.
fn empty(api: &Api, call: &Call) -> Reply {
    api.reply(call, Success::of(Data::Json(b"[]".to_vec())), Default::default(), Default::default())
}
