//! Series descriptions, by the parser of the language.

use masthead_query::promql::ast::ExprKind;
use masthead_query::promql::series::{SequenceValue, parse_series};
use masthead_query::promql::{self, Features, Limits, ParseOptions};
use masthead_store::Labels;

/// The language with all its parts, and limits that no script meets.
pub(super) fn parse_options() -> ParseOptions {
    ParseOptions { features: Features::ALL, limits: Limits::default() }
}

/// Labels and values of a series description.
pub(super) fn describe(text: &str) -> Result<(Labels, Vec<SequenceValue>), String> {
    parse_series(text, &parse_options()).map_err(|error| error.to_string())
}

/// The text of a string literal.
pub(super) fn string_literal(text: &str) -> Result<String, String> {
    match promql::parse(text, &parse_options()).map_err(|error| error.to_string())?.kind {
        ExprKind::String(text) => Ok(text),
        _ => Err(format!("no string literal: {text}")),
    }
}
