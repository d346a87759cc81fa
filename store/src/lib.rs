//! Where series come from: labels, chunks, blocks, StoreAPI peers, fan-out, merge and deduplication. Knows no PromQL.
//!
//! # Layout
//!
//! Pure data: [`labels`], [`label_strings`], [`matcher`], [`series`], [`samples`], [`histogram`], [`kahan`], `chunk`,
//! `merge`, `dedup`. Sources: `block` (TSDB blocks through object_store), `remote` (StoreAPI peers), `testing` (in
//! memory, for tests). Besides series: [`facts`]. Between them and the engine: `fanout`. Towards other aggregators:
//! `serve`. Accounts: [`budget`], [`coverage`], [`error`]. Numbers as Go has them: [`go_float`], [`go_math`].
//!
//! # Invariants
//!
//! - A stream of series ascends by labels after replica labels are removed, each label set once.
//! - Bytes from outside never panic; they end as a [`StoreError`] that names the thing and the act.
//! - Whoever holds data that grows with input holds a [`budget::Reservation`] for it.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub mod block;
pub mod bucket;
pub mod budget;
pub mod cache;
pub mod chunk;
pub mod coverage;
pub mod dedup;
pub mod discovery;
pub mod error;
pub mod facts;
pub mod fanout;
pub mod go_float;
pub mod go_math;
pub mod histogram;
pub mod kahan;
pub mod label_strings;
pub mod labels;
pub mod matcher;
pub mod merge;
pub mod regex;
pub mod remote;
pub mod samples;
pub mod select;
pub mod series;
pub mod serve;
pub mod shard;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use budget::{Budget, LimitExceeded, Reservation};
pub use error::{StoreError, StoreErrorKind};
pub use facts::{Facts, Question};
pub use label_strings::LabelStrings;
pub use labels::{Grouping, Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use samples::Samples;
pub use select::{Allowance, Gap, Select, StoreInfo, StoreState};
pub use series::{Chunk, Encoding, Lane, LaneChunks, Millis, Series, SeriesBatch, StoreId};

/// Batches of series, ascending by labels across the whole stream, each label set once; ends after the first error.
pub type SeriesStream = BoxStream<'static, Result<SeriesBatch, StoreError>>;

/// Names or values of labels, once they are here.
pub type LabelAnswer = BoxFuture<'static, Result<LabelStrings, StoreError>>;

/// Facts besides series, once they are here.
pub type FactsAnswer = BoxFuture<'static, Result<Facts, StoreError>>;

/// A source of series.
///
/// # Contract
///
/// - `info` and `gaps` are cached facts: no I/O, no waiting.
/// - `select` does no I/O before its streams are polled. The streams together give every series that matches and has a
///   chunk in the time range (both ends inclusive), with all chunks of it that overlap the range; chunks may reach
///   beyond it, and more chunks may come. A series may come in several of the streams.
/// - External labels are part of the series and win over labels of the series itself. `replica_labels` are removed from
///   the labels and name the [`Lane`] of the chunks. Matchers see the labels before that.
/// - Each stream ascends strictly by the final labels. Lanes within one series are unique.
/// - What is handed over is reserved in the allowance's budget and travels with it.
/// - A stream hands over what it has when nothing more is ready, so that silence is the peer's and never that of a
///   half-full batch. Nothing is read ahead beyond one batch and the windows of the transport.
/// - Dropping a stream ends the work behind it, on the peer too.
/// - With `labels_only` the series have lanes without chunks.
/// - `label_names` and `label_values` respect the matchers and, at least roughly, the times.
/// - `facts` may give more than was asked for, but not less, of the kinds that `info` says are served; for others
///   nobody asks. Labels in them have the external labels, replica labels included.
/// - The refusal of the allowance's budget is an error with that cause ([`StoreError::limit`]), and no failure of the
///   store.
/// - Errors name the store's thing and act, not the store: the caller knows it.
pub trait Store: Send + Sync + 'static {
    /// Cached facts for pruning and coverage.
    fn info(&self) -> Arc<StoreInfo>;

    /// What the source knows that it lacks of `request`.
    fn gaps(&self, request: &Select) -> Vec<Gap>;

    /// The matching series, as one or more sorted streams.
    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream>;

    /// Names of all labels of the matching series.
    fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer;

    /// Values of label `name` in the matching series.
    fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer;

    /// What it knows besides series. Not served unless a source says otherwise.
    fn facts(&self, question: Arc<Question>, _: Allowance) -> FactsAnswer {
        not_served(&question)
    }
}

/// The answer of a source that does not serve what is asked for.
pub(crate) fn not_served(question: &Question) -> FactsAnswer {
    let what = format!("read {}: the store does not serve them", question.kind().as_str());
    Box::pin(std::future::ready(Err(StoreError::new(StoreErrorKind::Refused, what))))
}
