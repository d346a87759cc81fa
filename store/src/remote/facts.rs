//! Questions for facts besides series: `thanos.Metadata`, `Rules`, `Targets`, `Exemplars` and `Status`, which all
//! answer with a stream of messages and warnings.
//!
//! What came of an answer that breaks off is kept, and the answer is marked as lacking.

use std::future::poll_fn;
use std::sync::Arc;

use masthead_proto::{path, thanos as proto};
use prost::Message as _;

use super::Peer;
use super::convert::{self, clamp};
use super::endpoint::Call;
use super::held::Held;
use super::lanes::Advert;
use crate::facts::{ExemplarsRequest, Facts, Kind, Question, RuleKind, TargetState};
use crate::labels::METRIC_NAME;
use crate::{Allowance, MatchOp, Matcher, StoreError};

mod decode;
#[cfg(test)]
mod tests;

/// Messages that are read in one go, at most, before others get their turn.
const MESSAGES_MAX: usize = 256;

/// Asks a peer.
pub(super) async fn ask(
    peer: Arc<Peer>,
    question: Arc<Question>,
    advert: Arc<Advert>,
    allowance: Allowance,
) -> Result<Facts, StoreError> {
    let kind = question.kind();
    let request = request(&question, &advert);
    let call = Call { path: path_of(kind), request: &request, deadline: allowance.deadline, act: act(kind) };
    let mut messages = peer.endpoint.call(&call).await?;
    let mut facts = Facts::new(&allowance.budget);
    let mut held = Held::new(&allowance.budget);
    for count in 1_usize.. {
        let message = match poll_fn(|cx| messages.poll_next(cx, &mut held)).await {
            None => break,
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                give_up(&mut facts, error)?;
                break;
            }
        };
        let mut paid = allowance.budget.begin("facts of a peer");
        if let Err(fault) = decode::message(kind, &message, &mut facts, &mut paid) {
            give_up(&mut facts, fault.during(act(kind)))?;
            break;
        }
        held.give_back(message.len());
        if count.is_multiple_of(MESSAGES_MAX) {
            // Messages without end that are there at once: others get their turn, and clocks theirs.
            tokio::task::yield_now().await;
        }
    }
    match kind {
        Kind::Statistics => Ok(facts.of_source(&advert.label_sets)?),
        _ => Ok(facts),
    }
}

/// Keeps what is here and says why it is not all, unless our own budget was refused.
fn give_up(facts: &mut Facts, error: StoreError) -> Result<(), StoreError> {
    match error.limit() {
        Some(_) => Err(error),
        None => {
            facts.lacking = Some(error);
            Ok(())
        }
    }
}

fn path_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Metadata => path::METADATA,
        Kind::Rules => path::RULES,
        Kind::Targets => path::TARGETS,
        Kind::Exemplars => path::EXEMPLARS,
        Kind::Statistics => path::STATISTICS,
    }
}

fn act(kind: Kind) -> &'static str {
    match kind {
        Kind::Metadata => "read metadata",
        Kind::Rules => "read rules",
        Kind::Targets => "read targets",
        Kind::Exemplars => "read exemplars",
        Kind::Statistics => "read statistics",
    }
}

/// A question on the wire.
fn request(question: &Question, advert: &Advert) -> Vec<u8> {
    let strings = |texts: &[Box<str>]| texts.iter().map(ToString::to_string).collect();
    match question {
        Question::Metadata(request) => proto::MetricMetadataRequest {
            metric: request.metric.as_deref().unwrap_or_default().into(),
            // A limited answer is whichever metrics came first there, so that a merged one would be an odd choice.
            limit: -1,
            ..Default::default()
        }
        .encode_to_vec(),
        Question::Rules(request) => proto::RulesRequest {
            r#type: match request.kind {
                None => proto::rules_request::Type::All,
                Some(RuleKind::Alert) => proto::rules_request::Type::Alert,
                Some(RuleKind::Record) => proto::rules_request::Type::Record,
            }
            .into(),
            rule_name: strings(&request.names),
            rule_group: strings(&request.groups),
            file: strings(&request.files),
            // Matchers stay here: peers that heed them want all sets to match, and Prometheus' API any.
            ..Default::default()
        }
        .encode_to_vec(),
        Question::Targets(request) => proto::TargetsRequest {
            state: match request.state {
                None => proto::targets_request::State::Any,
                Some(TargetState::Active) => proto::targets_request::State::Active,
                Some(TargetState::Dropped) => proto::targets_request::State::Dropped,
            }
            .into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Question::Exemplars(request) => proto::ExemplarsRequest {
            query: exemplars_query(request, advert),
            start: clamp(request.min_time),
            end: clamp(request.max_time),
            ..Default::default()
        }
        .encode_to_vec(),
        Question::Statistics(request) => proto::TsdbStatisticsRequest {
            limit: i32::try_from(request.limit).unwrap_or(i32::MAX),
            matchers: request.matchers.iter().map(convert::matcher).collect(),
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

/// The selectors that a peer can have something for, as a sum. A Prometheus does not know its external labels, so that
/// matchers on them are left out, except for a peer that asks others itself (pkg/exemplars/proxy.go of Thanos).
fn exemplars_query(request: &ExemplarsRequest, advert: &Advert) -> String {
    let sets = &advert.label_sets;
    let admitted = |matchers: &&Vec<Matcher>| {
        sets.is_empty() || sets.iter().any(|set| crate::select::admits(set, matchers.as_slice()))
    };
    let is_external = |m: &&Matcher| sets.iter().any(|set| set.get(m.name()).is_some());
    let selectors = request.selectors.iter().filter(admitted).map(|matchers| {
        let kept: Vec<&Matcher> = match &*advert.component {
            "query" => matchers.iter().collect(),
            _ => matchers.iter().filter(|m| !is_external(m)).collect(),
        };
        // No selector may be without a matcher that an absent label fails.
        let every = kept.iter().all(|m| m.matches_empty());
        let any_name = every.then(|| format!("{METRIC_NAME}{}\".+\"", MatchOp::Regex.as_str()));
        let texts = kept.iter().map(ToString::to_string).chain(any_name);
        format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
    });
    selectors.collect::<Vec<_>>().join(" + ")
}
