//! Between our types and the messages of the protocols: the only place where both are named on the client's side.

use masthead_proto::thanos as proto;
use masthead_proto::thanos::info as info_proto;

use super::lanes::{Advert, Ask};
use crate::facts::{Kind, Kinds};
use crate::labels::METRIC_NAME;
use crate::{Labels, MatchOp, Matcher, Millis, Select};

/// Series a message that carries chunks, for peers that pack several: a message costs as much as a series does, and
/// sixty-four of them are still a fraction of a window.
const CHUNKED_BATCH: i64 = 64;

/// The first millisecond of the year 1. Times before it, and after the year 9999, stand for "no bound": a sidecar asked
/// with the least or greatest i64 silently answers nothing.
const TIME_MIN: Millis = -62_135_596_800_000;
/// The last millisecond of the year 9999.
const TIME_MAX: Millis = 253_402_300_799_999;

/// A component type is a word, which metrics and pages show; longer ones are cut.
const COMPONENT_CHARS_MAX: usize = 64;

impl From<info_proto::InfoResponse> for Advert {
    fn from(info: info_proto::InfoResponse) -> Self {
        let mut label_sets: Vec<Labels> = info.label_sets.iter().map(labels).collect();
        label_sets.sort();
        label_sets.dedup();
        let serves = Kinds::NONE
            .with(Kind::Metadata, info.metric_metadata.is_some())
            .with(Kind::Rules, info.rules.is_some())
            .with(Kind::Targets, info.targets.is_some())
            .with(Kind::Exemplars, info.exemplars.is_some())
            .with(Kind::Statistics, info.status.is_some());
        // A server without a StoreAPI is up, and holds nothing.
        let (min_time, max_time) = info.store.as_ref().map_or((Millis::MAX, Millis::MIN), |s| (s.min_time, s.max_time));
        Self {
            label_sets,
            component: info.component_type.chars().take(COMPONENT_CHARS_MAX).collect::<String>().into(),
            min_time,
            max_time,
            removes_replica_labels: info.store.is_some_and(|s| s.supports_without_replica_labels),
            serves,
        }
    }
}

fn labels(set: &proto::LabelSet) -> Labels {
    Labels::from_pairs(set.labels.iter().map(|label| (&label.name, &label.value)))
}

pub(super) fn clamp(time: Millis) -> Millis {
    time.clamp(TIME_MIN, TIME_MAX)
}

pub(super) fn series_request(select: &Select, ask: &Ask, advert: &Advert) -> proto::SeriesRequest {
    let mut matchers = series_matchers(select, advert);
    matchers.extend(ask.extra.iter().map(matcher));
    let without = if ask.without_replica_labels {
        select.replica_labels.iter().map(ToString::to_string).collect()
    } else {
        Vec::new()
    };
    proto::SeriesRequest {
        min_time: clamp(select.min_time),
        max_time: clamp(select.max_time),
        matchers,
        aggregates: vec![proto::Aggr::Raw.into()],
        partial_response_strategy: proto::PartialResponseStrategy::Warn.into(),
        skip_chunks: select.labels_only,
        without_replica_labels: without,
        // What is stripped here becomes fewer series afterwards.
        limit: if ask.lane.is_some() { i64::try_from(select.limit).unwrap_or(0) } else { 0 },
        response_batch_size: if select.labels_only { 256 } else { CHUNKED_BATCH },
        ..Default::default()
    }
}

/// All matchers as they are. Where only external labels are matched, a sidecar would refuse (`no matchers specified
/// (excluding external labels)`), so that one is added that each series fulfils. Without chunks a Prometheus answers,
/// which wants one that does not match the empty string: a series without a name pays for that.
fn series_matchers(select: &Select, advert: &Advert) -> Vec<proto::LabelMatcher> {
    let external = |m: &Matcher| advert.label_sets.iter().any(|set| set.get(m.name()).is_some());
    let mut matchers: Vec<_> = select.matchers.iter().map(matcher).collect();
    let counts = |m: &Matcher| !(external(m) || select.labels_only && m.matches_empty());
    if !select.matchers.iter().any(counts) {
        let value = if select.labels_only { ".+" } else { ".*" };
        let kind = proto::label_matcher::Type::Re.into();
        matchers.push(proto::LabelMatcher { r#type: kind, name: METRIC_NAME.into(), value: value.into() });
    }
    matchers
}

pub(super) fn matcher(matcher: &Matcher) -> proto::LabelMatcher {
    let kind = match matcher.op() {
        MatchOp::Equal => proto::label_matcher::Type::Eq,
        MatchOp::NotEqual => proto::label_matcher::Type::Neq,
        MatchOp::Regex => proto::label_matcher::Type::Re,
        MatchOp::NotRegex => proto::label_matcher::Type::Nre,
    };
    proto::LabelMatcher { r#type: kind.into(), name: matcher.name().into(), value: matcher.value().into() }
}

/// A limit is not passed on: a sidecar's limited answer is not the first by order, so that a merged one would be an odd
/// choice.
pub(super) fn label_names_request(select: &Select) -> proto::LabelNamesRequest {
    proto::LabelNamesRequest {
        start: clamp(select.min_time),
        end: clamp(select.max_time),
        matchers: select.matchers.iter().map(matcher).collect(),
        ..Default::default()
    }
}

pub(super) fn label_values_request(name: &str, select: &Select) -> proto::LabelValuesRequest {
    proto::LabelValuesRequest {
        label: name.into(),
        start: clamp(select.min_time),
        end: clamp(select.max_time),
        matchers: select.matchers.iter().map(matcher).collect(),
        ..Default::default()
    }
}
