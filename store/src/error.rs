//! What can go wrong with a source of series.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::budget::LimitExceeded;

/// A failed act on a source: what the caller can do about it, then what was attempted on which thing.
#[derive(Debug, Clone)]
pub struct StoreError {
    /// What the caller can do about it.
    pub kind: StoreErrorKind,
    /// The thing and the act, present tense, lower case: `read index of block 01H…: checksum of the symbols does not
    /// fit`.
    pub context: String,
    /// The cause, for the log.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a caller can do about a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The source was silent for too long.
    Timeout,
    /// The source cannot be reached, or went away.
    Unavailable,
    /// The source's bytes break their own format.
    Corrupt,
    /// A budget, of ours or of the source, is used up.
    LimitExceeded,
    /// The source, or a peer of ours, refuses the request as it is.
    Refused,
    /// We do not serve this yet.
    Unsupported,
}

impl StoreErrorKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Timeout, Self::Unavailable, Self::Corrupt, Self::LimitExceeded, Self::Refused, Self::Unsupported];

    /// A short word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            StoreErrorKind::Timeout => "timeout",
            StoreErrorKind::Unavailable => "unavailable",
            StoreErrorKind::Corrupt => "corrupt",
            StoreErrorKind::LimitExceeded => "limit_exceeded",
            StoreErrorKind::Refused => "refused",
            StoreErrorKind::Unsupported => "unsupported",
        }
    }
}

impl StoreError {
    /// An error without a further cause.
    pub fn new(kind: StoreErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Bytes that break their format.
    pub fn corrupt(context: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Corrupt, context)
    }

    /// A feature whose step has not landed.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Unsupported, format!("not supported yet: {what}"))
    }

    /// Adds the cause.
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The refusal of a budget of ours, if that is the cause; a limit of the source is none.
    pub fn limit(&self) -> Option<&LimitExceeded> {
        self.source.as_deref()?.downcast_ref()
    }

    /// Puts `what: ` in front of the context.
    pub fn within(mut self, what: impl fmt::Display) -> Self {
        self.context = format!("{what}: {}", self.context);
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl Error for StoreError {}

impl From<LimitExceeded> for StoreError {
    fn from(limit: LimitExceeded) -> Self {
        Self::new(StoreErrorKind::LimitExceeded, "reserve memory").with_source(limit)
    }
}
