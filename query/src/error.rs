//! How a query can fail, and the one place that knows the HTTP side of it.

use std::fmt;
use std::time::Duration;

use masthead_store::LimitExceeded;
use masthead_store::coverage::{Coverage, Outcome};

use crate::promql::ParseError;

/// The failure of a query.
#[derive(Debug, Clone)]
pub enum QueryError {
    /// The question itself is wrong. The text is complete, position included.
    Invalid(String),
    /// The evaluation cannot give an answer.
    Execution(String),
    /// A budget is used up.
    LimitExceeded(LimitExceeded),
    /// Stores are missing, and partial answers are refused.
    Incomplete(Box<Coverage>),
    /// The query took too long. Holds the limit.
    Timeout(Duration),
    /// The caller went away.
    Cancelled,
    /// Too many queries run or wait.
    Busy(String),
    /// A fault of ours.
    Internal(String),
}

impl QueryError {
    /// `errorType` and HTTP status, as Prometheus 3.14 gives them (web/api/v1/api.go, getDefaultErrorCode).
    pub fn status(&self) -> (&'static str, u16) {
        match self {
            QueryError::Invalid(_) => ("bad_data", 400),
            QueryError::Execution(_) | QueryError::LimitExceeded(_) => ("execution", 422),
            QueryError::Incomplete(_) => ("unavailable", 503),
            QueryError::Timeout(_) => ("timeout", 503),
            QueryError::Cancelled => ("canceled", 499),
            QueryError::Busy(_) => ("unavailable", 503),
            QueryError::Internal(_) => ("internal", 500),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Invalid(text)
            | QueryError::Execution(text)
            | QueryError::Busy(text)
            | QueryError::Internal(text) => f.write_str(text),
            QueryError::LimitExceeded(limit) => limit.fmt(f),
            QueryError::Incomplete(coverage) => {
                f.write_str("the answer would be incomplete and partial_response is off")?;
                for asked in coverage.asked.iter().filter(|asked| !asked.is_complete()) {
                    if let Outcome::Failed { error, .. } = &asked.outcome {
                        write!(f, "; {}: {error}", asked.store)?;
                    }
                    for gap in &asked.gaps {
                        write!(f, "; {}: {}", asked.store, gap.reason)?;
                    }
                }
                Ok(())
            }
            QueryError::Timeout(_) => f.write_str("query timed out in expression evaluation"),
            QueryError::Cancelled => f.write_str("query was canceled in expression evaluation"),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        QueryError::Invalid(error.to_string())
    }
}

impl From<LimitExceeded> for QueryError {
    fn from(limit: LimitExceeded) -> Self {
        QueryError::LimitExceeded(limit)
    }
}
