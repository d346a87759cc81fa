//! `/api/v1/rules` and `/api/v1/alerts`: what rulers and sidecars tell of their rules, replicas as one.

use masthead_store::facts::rules::fold;
use masthead_store::facts::{Alert, Alerting, Question, Rule, RuleGroup, RuleKind, RulesRequest};
use masthead_store::labels::quote;

use super::encode::Data;
use super::facts::{ask, reply};
use super::json::{push_key, push_labels, push_list, push_string};
use super::metadata::matcher_sets;
use super::number::{push_json_float, push_signed};
use super::params::{Params, invalid, parse_go_int};
use super::query::enter;
use super::time::rfc3339_nanos;
use super::{Api, ApiError, Call, Reply};
use crate::sha256::sha256_hex;

/// `/api/v1/rules`.
pub(super) async fn rules(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let params = &call.params;
    params.check()?;
    let kind = params.get("type").to_lowercase();
    let kind = match kind.as_str() {
        "" => None,
        "alert" => Some(RuleKind::Alert),
        "record" => Some(RuleKind::Record),
        _ => return Err(ApiError::bad_data(invalid("type", &format!("not supported value {}", quote(&kind))))),
    };
    let exclude_alerts = exclude_alerts(params)?;
    let page = page_of_groups(params)?;
    let texts = |name| params.all(name).into_iter().map(Into::into).collect();
    let (names, groups, files) = (texts("rule_name[]"), texts("rule_group[]"), texts("file[]"));
    let (turn, choices) = enter(api, params).await?;
    let matcher_sets = matcher_sets(api, &turn, params).await?;
    let request = RulesRequest { kind, names, groups, files, matcher_sets };
    let (facts, answer) = ask(api, (turn, &choices), Question::Rules(request.clone())).await?;
    let (mut groups, held) = fold(facts, &request, &choices.replica_labels);
    let mut tail = b"]".to_vec();
    if let Some(page) = page
        && let Some(next) = page.cut(&mut groups)?
    {
        push_key(&mut tail, "groupNextToken");
        push_string(&mut tail, &next);
    }
    tail.push(b'}');
    let data = Data::items(b"{\"groups\":[", (groups, held), tail, move |group, out| {
        push_group(out, group, exclude_alerts);
    });
    Ok(reply(api, call, data, answer))
}

/// `/api/v1/alerts`.
pub(super) async fn alerts(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let request = RulesRequest { kind: Some(RuleKind::Alert), ..RulesRequest::default() };
    let (turn, choices) = enter(api, &call.params).await?;
    let (facts, answer) = ask(api, (turn, &choices), Question::Rules(request.clone())).await?;
    let (groups, held) = fold(facts, &request, &choices.replica_labels);
    let rules = groups.into_iter().flat_map(|group| group.rules);
    let alerts: Vec<Alert> = rules.filter_map(|rule| rule.alerting).flat_map(|alerting| alerting.alerts).collect();
    let data = Data::items(b"{\"alerts\":[", (alerts, held), b"]}".to_vec(), |alert, out| push_alert(out, alert));
    Ok(reply(api, call, data, answer))
}

/// `exclude_alerts` (parseExcludeAlerts in web/api/v1/api.go).
fn exclude_alerts(params: &Params) -> Result<bool, String> {
    let text = params.get("exclude_alerts").to_lowercase();
    match text.as_str() {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        text => {
            let fault =
                format!("error converting exclude_alerts: strconv.ParseBool: parsing {}: invalid syntax", quote(text));
            Err(invalid("exclude_alerts", &fault))
        }
    }
}

/// A page of a list of groups.
struct Page {
    limit: usize,
    /// The token of its first group; None for the first page.
    first: Option<String>,
}

/// `group_limit` and `group_next_token` (parseListRulesPaginationRequest in web/api/v1/api.go).
fn page_of_groups(params: &Params) -> Result<Option<Page>, String> {
    let (limit, token) = (params.get("group_limit"), params.get("group_next_token"));
    if limit.is_empty() {
        return match token.is_empty() {
            true => Ok(None),
            false => {
                Err(invalid("group_next_token", "group_limit needs to be present in order to paginate over the groups"))
            }
        };
    }
    let fits =
        |n: i64| i32::try_from(n).map_err(|_| format!("strconv.Atoi: parsing {}: value out of range", quote(limit)));
    let number = parse_go_int(limit).and_then(fits).map_err(|fault| {
        let fault = fault.replacen("Atoi", "ParseInt", 1);
        invalid("group_limit", &format!("group_limit needs to be a valid number: {fault}"))
    })?;
    match usize::try_from(number) {
        Ok(limit) if limit > 0 => Ok(Some(Page { limit, first: (!token.is_empty()).then(|| token.to_owned()) })),
        _ => Err(invalid("group_limit", "group_limit needs to be greater than 0")),
    }
}

impl Page {
    /// Leaves the page's groups, and gives the token of the page behind it, if there is one.
    fn cut(&self, groups: &mut Vec<RuleGroup>) -> Result<Option<String>, String> {
        if let Some(first) = &self.first {
            let at = groups.iter().position(|group| token(group) == *first).ok_or_else(|| {
                let fault = format!("invalid group_next_token '{first}'. were rule groups changed?");
                invalid("group_next_token", &fault)
            })?;
            groups.drain(..at);
        }
        let next = groups.get(self.limit).map(token);
        groups.truncate(self.limit);
        Ok(next)
    }
}

/// What stands for a group (getRuleGroupNextToken in web/api/v1/api.go).
fn token(group: &RuleGroup) -> String {
    sha256_hex(format!("{};{}", group.file, group.name).as_bytes())
}

fn push_group(out: &mut Vec<u8>, group: &RuleGroup, exclude_alerts: bool) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, &group.name);
    push_key(out, "file");
    push_string(out, &group.file);
    push_key(out, "rules");
    push_list(out, &group.rules, |out, rule| push_rule(out, rule, exclude_alerts));
    push_key(out, "interval");
    push_json_float(out, group.interval_s);
    push_key(out, "limit");
    push_signed(out, group.limit);
    push_key(out, "evaluationTime");
    push_json_float(out, group.evaluation_s);
    push_key(out, "lastEvaluation");
    push_string(out, &rfc3339_nanos(group.last_evaluation));
    out.push(b'}');
}

fn push_rule(out: &mut Vec<u8>, rule: &Rule, exclude_alerts: bool) {
    out.push(b'{');
    if let Some(alerting) = &rule.alerting {
        push_key(out, "state");
        push_string(out, alerting.state.as_str());
    }
    push_key(out, "name");
    push_string(out, &rule.name);
    push_key(out, "query");
    push_string(out, &rule.query);
    if let Some(alerting) = &rule.alerting {
        push_key(out, "duration");
        push_json_float(out, alerting.hold_s);
        push_key(out, "keepFiringFor");
        push_json_float(out, alerting.keep_firing_s);
    }
    push_key(out, "labels");
    push_labels(out, &rule.labels);
    if let Some(alerting) = &rule.alerting {
        push_alerting(out, alerting, exclude_alerts);
    }
    push_key(out, "health");
    push_string(out, &rule.health);
    if !rule.last_error.is_empty() {
        push_key(out, "lastError");
        push_string(out, &rule.last_error);
    }
    push_key(out, "evaluationTime");
    push_json_float(out, rule.evaluation_s);
    push_key(out, "lastEvaluation");
    push_string(out, &rfc3339_nanos(rule.last_evaluation));
    push_key(out, "type");
    push_string(out, if rule.alerting.is_some() { "alerting" } else { "recording" });
    out.push(b'}');
}

fn push_alerting(out: &mut Vec<u8>, alerting: &Alerting, exclude_alerts: bool) {
    push_key(out, "annotations");
    push_labels(out, &alerting.annotations);
    push_key(out, "alerts");
    match exclude_alerts {
        // Go's list that nobody made.
        true => out.extend_from_slice(b"null"),
        false => push_list(out, &alerting.alerts, push_alert),
    }
}

fn push_alert(out: &mut Vec<u8>, alert: &Alert) {
    out.extend_from_slice(b"{\"labels\":");
    push_labels(out, &alert.labels);
    push_key(out, "annotations");
    push_labels(out, &alert.annotations);
    push_key(out, "state");
    push_string(out, alert.state.as_str());
    if let Some(active_at) = alert.active_at {
        push_key(out, "activeAt");
        push_string(out, &rfc3339_nanos(active_at));
    }
    push_key(out, "value");
    push_string(out, &alert.value);
    out.push(b'}');
}
