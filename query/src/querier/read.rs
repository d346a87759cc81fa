//! Samples and chunks as they are, without an evaluation: for remote read and for federation.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use masthead_store::coverage::{Asked, Coverage, Outcome};
use masthead_store::dedup::{self, Scratch, TimeRange};
use masthead_store::fanout::Feed;
use masthead_store::histogram::Histogram;
use masthead_store::samples::is_stale;
use masthead_store::serve::remote_read::{self, ReadQuery, SamplesAnswer};
use masthead_store::{Budget, Labels, Matcher, Millis, Reservation, Samples, Select, Series, SeriesBatch, StoreError};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::asking::Asking;
use super::{Answer, Choices, Failure, Querier, Turn};
use crate::error::QueryError;
use crate::metrics::Metrics;

/// The newest sample of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// Its time, ms.
    pub time: Millis,
    /// What it is.
    pub value: LatestValue,
}

impl Latest {
    /// Bytes that it takes in memory, those of a shared histogram included.
    fn size_bytes(&self) -> usize {
        let beside = match &self.value {
            LatestValue::Float(_) => 0,
            LatestValue::Histogram(histogram) => histogram.size_bytes(),
        };
        size_of::<(Labels, Self)>() + beside
    }
}

/// A sample of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum LatestValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// Chunks for a remote read, as they come. Dropping it ends the work behind it.
pub struct ChunkStream {
    asking: Asking,
    /// The selections that are not read to their end, with their number and times, the current one last.
    feeds: Vec<(usize, TimeRange, Feed)>,
    pool: Arc<rayon::ThreadPool>,
    metrics: Arc<Metrics>,
    /// What the client was told of who is missing.
    told: Coverage,
    /// The memory of the frames that were given last.
    held: Reservation,
    /// Gives the slot back when the time of the request is up, for a client that reads no more is not noticed here.
    _turn: JoinSet<()>,
}

impl Querier {
    /// The answer to a remote read as one message of samples.
    pub async fn read_samples(
        &self,
        turn: Turn,
        queries: Vec<ReadQuery>,
        choices: &Choices,
    ) -> Result<Answer<Vec<u8>>, Failure> {
        let pool = &self.pool;
        let work = async |asking: Asking| {
            let mut answer = SamplesAnswer::new(&asking.budget);
            for query in queries {
                answer.begin_query();
                let range = query.range;
                let mut feed = asking.select(select(query.matchers, range, choices));
                while let Some(batch) = feed.next().await? {
                    let budget = asking.budget.clone();
                    answer = on_pool(pool, move || add_samples(answer, batch, range, &budget)).await??;
                }
                asking.refuse_late()?;
                asking.refuse_incomplete_in(&feed.progress())?;
            }
            let finished = on_pool(pool, move || answer.finish()).await?;
            let (body, held) = finished.map_err(|error| match error.limit() {
                Some(limit) => limit.clone().into(),
                None => QueryError::Execution(error.to_string()),
            })?;
            Ok(asking.answer(body, held))
        };
        self.work(turn, choices, work).await
    }

    /// Begins to answer a remote read with chunks. What is known of missing stores by now is in the coverage; if another one
    /// fails later, the stream ends with an error, since nothing else would tell of it.
    pub fn read_chunks(&self, turn: Turn, queries: Vec<ReadQuery>, choices: &Choices) -> Result<ChunkStream, Failure> {
        let asking = self.asking(&turn, choices);
        let open = |(number, query): (usize, ReadQuery)| {
            let range = query.range;
            (number, range, asking.select(select(query.matchers, range, choices)))
        };
        let feeds: Vec<_> = queries.into_iter().enumerate().map(open).rev().collect();
        let told = asking.selections.coverage(None);
        if let Err(error) = asking.refuse_incomplete() {
            self.metrics.stores.answered(&told);
            return Err(Failure { error, coverage: Some(told) });
        }
        let held = asking.budget.begin("frames of the answer");
        let mut keeper = JoinSet::new();
        keeper.spawn(async move {
            sleep_until(turn.deadline).await;
            drop(turn);
        });
        let (pool, metrics) = (self.pool.clone(), self.metrics.clone());
        Ok(ChunkStream { asking, feeds, pool, metrics, told, held, _turn: keeper })
    }

    /// The newest sample of each matching series within `range`, by labels. A series whose newest sample is a stale marker has
    /// none. Any of the sets must match.
    pub async fn latest(
        &self,
        turn: Turn,
        matcher_sets: Vec<Vec<Matcher>>,
        range: TimeRange,
        choices: &Choices,
    ) -> Result<Answer<BTreeMap<Labels, Latest>>, Failure> {
        let pool = &self.pool;
        let work = async |asking: Asking| {
            let mut found = BTreeMap::new();
            let mut held = asking.budget.begin("newest samples");
            let selects = matcher_sets.into_iter().map(|matchers| select(matchers, range, choices));
            for mut feed in asking.select_all(selects) {
                while let Some(batch) = feed.next().await? {
                    let budget = asking.budget.clone();
                    for (labels, latest) in on_pool(pool, move || latest_of(batch, range, &budget)).await?? {
                        let bytes = labels.size_bytes() + latest.size_bytes();
                        if found.insert(labels, latest).is_none() {
                            held.grow(bytes)?;
                        }
                    }
                }
                asking.refuse_late()?;
                asking.refuse_incomplete_in(&feed.progress())?;
            }
            Ok(asking.answer(found, held))
        };
        self.work(turn, choices, work).await
    }
}

impl ChunkStream {
    /// Who is known to be missing from the beginning.
    pub fn coverage(&self) -> &Coverage {
        &self.told
    }

    /// An error of [`ChunkStream::next`] with what is known of the stores.
    pub fn failure(&self, error: QueryError) -> Failure {
        Failure { error, coverage: Some(self.asking.selections.coverage(None)) }
    }

    /// Some more frames; None at the end.
    ///
    /// Errors: a store failed of which the client was not told, a budget is used up, or a chunk cannot be decoded.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        self.held.shrink_to(0);
        while let Some((number, range, feed)) = self.feeds.last_mut() {
            let (number, range) = (*number, *range);
            let Some(batch) = feed.next().await? else {
                self.asking.refuse_late()?;
                self.feeds.pop();
                self.refuse_news()?;
                continue;
            };
            let budget = self.asking.budget.clone();
            let frames = on_pool(&self.pool, move || frames_of(number, batch, range, &budget)).await??;
            if !frames.is_empty() {
                self.held.grow(frames.len())?;
                return Ok(Some(frames));
            }
        }
        Ok(None)
    }

    /// Fails where a store failed of which the client was not told. Gaps are known from the beginning.
    fn refuse_news(&self) -> Result<(), QueryError> {
        let coverage = self.asking.selections.coverage(None);
        let failed = |asked: &Asked| matches!(asked.outcome, Outcome::Failed { .. });
        let told = |store: &str| self.told.asked.iter().any(|asked| &*asked.store == store && failed(asked));
        match coverage.asked.iter().all(|asked| !failed(asked) || told(&asked.store)) {
            true => Ok(()),
            false => Err(QueryError::Incomplete(Box::new(coverage))),
        }
    }
}

/// How the stores answered is known, and noted, at the end.
impl Drop for ChunkStream {
    fn drop(&mut self) {
        self.metrics.stores.answered(&self.asking.selections.coverage(None));
    }
}

fn select(matchers: Vec<Matcher>, range: TimeRange, choices: &Choices) -> Select {
    Select {
        matchers,
        min_time: range.min_time,
        max_time: range.max_time,
        replica_labels: choices.replica_labels.clone(),
        labels_only: false,
        limit: 0,
    }
}

/// Computes on the threads for rows, so that nobody waits for it who only reads and writes.
async fn on_pool<T: Send + 'static>(
    pool: &rayon::ThreadPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    let (send, receive) = oneshot::channel();
    // Nobody waits where the caller has gone.
    pool.spawn(move || drop(send.send(catch_unwind(AssertUnwindSafe(work)))));
    match receive.await {
        Ok(Ok(result)) => Ok(result),
        _ => Err(QueryError::Internal("unexpected error: the reading of samples panicked".to_owned())),
    }
}

fn failed(series: &Series, error: &StoreError) -> QueryError {
    match error.limit() {
        Some(limit) => limit.clone().into(),
        None => QueryError::Execution(format!("read samples of {}: {error}", series.labels)),
    }
}

fn add_samples(
    mut answer: SamplesAnswer,
    batch: SeriesBatch,
    range: TimeRange,
    budget: &Budget,
) -> Result<SamplesAnswer, QueryError> {
    let (mut scratch, mut samples) = (Scratch::default(), Samples::default());
    for series in &batch.series {
        let read = dedup::samples_of(series, range, budget, &mut scratch, &mut samples);
        read.map_err(|error| failed(series, &error))?;
        answer.push(&series.labels, &samples).map_err(|error| match error.limit() {
            Some(limit) => limit.clone().into(),
            None => QueryError::Invalid(error.to_string()),
        })?;
    }
    Ok(answer)
}

fn frames_of(number: usize, batch: SeriesBatch, range: TimeRange, budget: &Budget) -> Result<Vec<u8>, QueryError> {
    let (mut scratch, mut samples, mut out) = (Scratch::default(), Samples::default(), Vec::new());
    for series in &batch.series {
        let chunks = remote_read::chunks_of(series, range, budget, &mut scratch, &mut samples);
        remote_read::push_frames(number, &series.labels, &chunks.map_err(|error| failed(series, &error))?, &mut out);
    }
    Ok(out)
}

fn latest_of(batch: SeriesBatch, range: TimeRange, budget: &Budget) -> Result<Vec<(Labels, Latest)>, QueryError> {
    let (mut scratch, mut samples) = (Scratch::default(), Samples::default());
    let mut found = Vec::new();
    for series in batch.series {
        let read = dedup::samples_of(&series, range, budget, &mut scratch, &mut samples);
        read.map_err(|error| failed(&series, &error))?;
        found.extend(newest(&samples).map(|latest| (series.labels, latest)));
    }
    Ok(found)
}

/// The newest sample, unless it is a stale marker.
fn newest(samples: &Samples) -> Option<Latest> {
    let float = samples.timestamps.last().copied().zip(samples.values.last().copied());
    let histogram = samples.histograms.last();
    match (float, histogram) {
        (Some((time, value)), histogram) if histogram.is_none_or(|histogram| histogram.timestamp <= time) => {
            (!is_stale(value)).then_some(Latest { time, value: LatestValue::Float(value) })
        }
        (_, Some(sample)) if !is_stale(sample.histogram.sum) => {
            let value = LatestValue::Histogram(sample.histogram.clone());
            Some(Latest { time: sample.timestamp, value })
        }
        _ => None,
    }
}
