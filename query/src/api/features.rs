//! `/api/v1/features`: what this server understands, by Prometheus' names. Categories that an aggregator has no part in
//! (scraping, rules, service discovery) are absent, which means that they are not supported.

use std::collections::BTreeMap;

use super::encode::{Data, Success};
use super::json::{push_bool, push_key};
use super::{Api, ApiError, Call, Reply};
use crate::config::{Config, Feature};
use crate::promql::ast::{AggregateOp, BinaryOp};
use crate::promql::functions::FUNCTIONS;

/// Keywords of the language that need no feature.
const KEYWORDS: [&str; 8] = ["bool", "by", "group_left", "group_right", "ignoring", "offset", "on", "without"];

/// `/api/v1/features`.
pub(super) async fn features(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    let mut out = b"{".to_vec();
    for (category, features) in of(&api.querier.config) {
        push_key(&mut out, category);
        out.push(b'{');
        for (name, on) in features {
            // Operators stay readable: nothing here comes from users.
            push_key(&mut out, name);
            push_bool(&mut out, on);
        }
        out.push(b'}');
    }
    out.push(b'}');
    Ok(Reply::plain(Success::of(Data::Json(out))))
}

/// Category, feature, and whether it is on.
fn of(config: &Config) -> BTreeMap<&'static str, BTreeMap<&'static str, bool>> {
    let options = config.parse_options().features;
    let always = |names: &'static [&'static str]| names.iter().map(|name| (*name, true));
    let api = always(&[
        "exclude_alerts",
        "label_values_match",
        "query_stats",
        "query_warnings",
        "time_range_labels",
        "time_range_series",
    ]);
    let absent =
        ["admin", "lifecycle", "otlp_write_receiver", "remote_write_receiver", "search"].map(|name| (name, false));
    let promql = always(&["at_modifier", "duration_expr", "negative_offset", "per_query_lookback_delta", "subqueries"])
        .chain(always(&KEYWORDS))
        .chain(["anchored", "smoothed"].map(|name| (name, options.extended_range_selectors)))
        .chain(["fill", "fill_left", "fill_right"].map(|name| (name, options.fill_modifiers)))
        .chain([
            ("delayed_name_removal", config.has(Feature::DelayedNameRemoval)),
            ("per_step_stats", config.has(Feature::PerStepStats)),
            ("type_and_unit_labels", config.has(Feature::TypeAndUnitLabels)),
        ]);
    let operators = BinaryOp::ALL.iter().map(|op| (op.as_str(), true)).chain(always(&["=~", "!~", "@"])).chain(
        AggregateOp::ALL.iter().map(|op| (op.as_str(), !op.is_experimental() || options.experimental_functions)),
    );
    let functions =
        FUNCTIONS.iter().map(|function| (function.name, !function.experimental || options.experimental_functions));
    let tsdb = always(&["native_histograms", "xor2_encoding"]);
    BTreeMap::from([
        ("api", api.chain(absent).collect()),
        ("prometheus", [("agent_mode", false), ("server_mode", true)].into()),
        ("promql", promql.collect()),
        ("promql_functions", functions.collect()),
        ("promql_operators", operators.collect()),
        ("tsdb", tsdb.collect()),
    ])
}
