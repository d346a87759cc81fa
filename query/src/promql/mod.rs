//! PromQL text to syntax tree and back. Our own lexer and parser: positions on every node, Prometheus' error texts, limits.
//!
//! It is not a wrapper around the crate promql-parser: that one knows no positions, rejects an eighth of Prometheus' own test
//! expressions and can be made to overflow the stack. A test compares the two.
//!
//! # Limits
//!
//! [`Limits::depth`] bounds the height of the tree, in which every operator of a chain `a + b + c` counts, and with it every
//! recursion over the tree, here and in whoever takes the tree. Parsing is one pass: work grows with the length of the text.

use masthead_store::Matcher;

pub mod ast;
pub mod check;
pub mod duration;
mod error;
pub mod functions;
mod lexer;
mod number;
mod parser;
mod pretty;
pub mod print;
mod quote;
pub mod series;
#[cfg(test)]
mod tests;
mod token;
pub mod walk;

pub use error::ParseError;
pub use quote::{is_label_name, lossy, quote_literal};

use ast::Expr;
use parser::{Parser, Shared};

/// Which parts of the language are on, and how large a query may be.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParseOptions {
    /// Experimental parts.
    pub features: Features,
    /// Sizes.
    pub limits: Limits,
}

/// Experimental parts of the language, by the names of Prometheus' feature flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: functions and aggregations.
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

impl Features {
    /// Everything on.
    pub const ALL: Features =
        Features { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
}

/// How large a query may be. What is beyond ends as a parse error that names the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Levels of the tree, from the root to the deepest leaf; [`Limits::DEPTH_MAX`] at most.
    pub depth: usize,
    /// Expressions, parts of durations, matchers and labels of groupings together.
    pub terms: usize,
    /// Bytes of its compiled regular expressions.
    pub regex_bytes: usize,
}

impl Limits {
    /// The most that `depth` may be: recursion over such a tree is safe on a stack of 2 MiB, as threads have by default.
    pub const DEPTH_MAX: usize = 1_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 512 * 1024, depth: 500, terms: 20_000, regex_bytes: 64 << 20 }
    }
}

/// How much work a text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Characters the lexer looked at.
    pub lexer: u64,
    /// Tokens read and parts built by the parser.
    pub parser: u64,
}

/// Parses and checks an expression.
pub fn parse(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    parse_counted(query, options).0
}

/// Like [`parse`], with the work it took.
pub fn parse_counted(query: &str, options: &ParseOptions) -> (Result<Expr, ParseError>, Steps) {
    let mut parser = match Parser::new(query, options) {
        Ok(parser) => parser,
        Err(fault) => return (Err(ParseError::new(fault, query)), Steps { lexer: 0, parser: 0 }),
    };
    let checked = parser.parse_expression().and_then(|mut expr| {
        check::check(&mut expr, query)?;
        Ok(expr)
    });
    (checked.map_err(|fault| ParseError::new(fault, query)), parser.steps())
}

/// Parses one selector, as `match[]` takes it. `{}` is fine here; callers that need a matcher that selects ask for it.
pub fn parse_selector(text: &str, options: &ParseOptions) -> Result<Vec<Matcher>, ParseError> {
    Parser::new(text, options)
        .and_then(|mut parser| parser.parse_selector())
        .map_err(|fault| ParseError::new(fault, text))
}

/// Parses several selectors that are asked together: they share the limits on terms and on regular expressions.
pub fn parse_selectors(texts: &[String], options: &ParseOptions) -> Result<Vec<Vec<Matcher>>, ParseError> {
    let mut shared = Shared::default();
    let mut parse = |text: &String| {
        let mut parser = Parser::new(text, options)?;
        parser.resume(&mut shared);
        let parsed = parser.parse_selector();
        parser.resume(&mut shared);
        parsed
    };
    texts.iter().map(|text| parse(text).map_err(|fault| ParseError::new(fault, text))).collect()
}

/// A constant duration in ms, as upstream keeps it: whole nanoseconds, cut.
pub fn duration_ms(seconds: f64) -> i64 {
    number::to_nanoseconds(seconds) / 1_000_000
}

/// Line and column (both from 1, the column in bytes) of a byte offset of `query`, as Prometheus counts them
/// (promql/parser/posrange).
pub fn line_column(query: &str, offset: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..offset.min(query.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rposition(|b| *b == b'\n').map_or(before.len(), |at| before.len() - at - 1) + 1;
    (line, column)
}
