//! Why a text is not PromQL.

use std::fmt;

use super::ast::Span;
use super::line_column;

/// The first error of a text, as Prometheus 3.14 words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Place in the text, bytes.
    pub span: Span,
    /// What is wrong there.
    pub message: String,
    /// Line and column, or that there is none.
    position: String,
}

impl ParseError {
    /// Places `fault` in `query`. An empty query has no position (posrange.StartPosInput).
    pub(super) fn new(fault: Fault, query: &str) -> Self {
        let position = if query.is_empty() {
            "unknown position".to_owned()
        } else {
            let (line, column) = line_column(query, fault.span.start as usize);
            format!("{line}:{column}")
        };
        Self { span: fault.span, message: fault.message, position }
    }
}

/// `1:8: parse error: unexpected …`
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.position, self.message)
    }
}

impl std::error::Error for ParseError {}

/// An error without the text it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
}
