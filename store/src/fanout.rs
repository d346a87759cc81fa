//! One selection asked of many stores at once: their streams are merged as they arrive into a [`Feed`] that is bounded
//! in bytes and ends with its [`Coverage`]. A store that fails is an entry there, never an error of the selection.
//!
//! Invariant: a feed's task polls only its own streams, and what it waits for (space in its own buffer, its own
//! streams) no other feed holds. So two selections of a query never stall each other, in whatever order they are read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::coverage::{Asked, Coverage, Outcome};
use crate::merge::{Merge, Step};
use crate::select::admits;
use crate::{
    Allowance, Budget, Facts, Gap, LabelAnswer, LabelStrings, Labels, LimitExceeded, Question, Select, SeriesBatch,
    SeriesStream, Store, StoreError, StoreErrorKind, StoreId, StoreInfo, StoreState,
};

#[cfg(test)]
mod tests;

/// Bounds of asking many stores.
#[derive(Debug, Clone, Copy)]
pub struct FanOutOptions {
    /// Bytes that may wait in a feed before its task waits too. One batch always may.
    pub buffer_bytes: usize,
    /// How long one stream may be silent while it is waited for; zero: until the deadline.
    pub response_timeout: Duration,
    /// When all that is unfinished counts as failed.
    pub deadline: Instant,
}

impl FanOutOptions {
    fn silence_max(&self) -> Duration {
        if self.response_timeout.is_zero() { Duration::MAX } else { self.response_timeout }
    }
}

/// The merged series of all stores, ascending by labels, and who gave them. Dropping it ends the work behind it.
pub struct Feed {
    parcels: mpsc::UnboundedReceiver<Result<Parcel, LimitExceeded>>,
    progress: Progress,
    /// Holds the one task; aborts it when dropped.
    _task: JoinSet<()>,
}

/// Who was asked for a selection and how that goes, from the asking on. Clones look at the same selection.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<Record>>);

impl Progress {
    /// The coverage as it stands, which is final once the selection was read to its end. A store that is unfinished,
    /// since we stopped, counts as complete with what it gave; or as failed with `late`, where that is why we stopped.
    pub fn coverage(&self, late: Option<&StoreError>) -> Coverage {
        let mut coverage = Coverage::default();
        coverage.merge(Coverage { asked: self.lock().entries.iter().map(|entry| entry.asked(late)).collect() });
        coverage
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch and its space in the buffer.
struct Parcel {
    batch: SeriesBatch,
    _space: OwnedSemaphorePermit,
}

/// Bytes for which one permit of a feed's space stands.
const SPACE_UNIT: usize = 1024;

/// Asks all of `stores` that can contribute to `request` and merges what they give. Must be called within a tokio
/// runtime.
///
/// A store that is down or has never answered is not asked, and counts as failed where it could have contributed. With
/// a limit in the request the feed ends after so many series.
pub fn fan_out(stores: &[Arc<dyn Store>], request: Arc<Select>, budget: &Budget, options: &FanOutOptions) -> Feed {
    let allowance = Allowance { budget: budget.clone(), deadline: options.deadline };
    let mut record = Record::default();
    let mut sources = Vec::new();
    for store in stores {
        let Some((mut entry, ask)) = Entry::of(&**store, &request) else { continue };
        if ask {
            let streams = store.select(request.clone(), allowance.clone());
            entry.open = streams.len();
            entry.finish_if_done();
            let index = record.entries.len();
            sources.extend(streams.into_iter().map(|stream| Source { store: index, stream: Some(stream) }));
        }
        record.entries.push(entry);
    }
    let progress = Progress(Arc::new(Mutex::new(record)));
    let (sender, parcels) = mpsc::unbounded_channel();
    let space = (options.buffer_bytes / SPACE_UNIT).clamp(1, u32::MAX as usize >> 4);
    let work = Work {
        merge: Merge::new(sources.len()),
        sources,
        waiting: FuturesUnordered::new(),
        sender,
        space: Arc::new(Semaphore::new(space)),
        space_units: space,
        left: if request.limit == 0 { usize::MAX } else { request.limit },
        progress: progress.clone(),
        options: *options,
    };
    let mut task = JoinSet::new();
    task.spawn(Box::pin(work.run()));
    Feed { parcels, progress, _task: task }
}

impl Feed {
    /// The next batch; None at the end, after which [`Feed::coverage`] is final.
    ///
    /// Errors: our own budget is used up. That is not the failure of a store; the feed has ended.
    pub async fn next(&mut self) -> Result<Option<SeriesBatch>, LimitExceeded> {
        let parcel = self.parcels.recv().await;
        self.open(parcel)
    }

    /// As [`Feed::next`], for a thread outside of the runtime, such as the driver of an evaluation.
    pub fn blocking_next(&mut self) -> Result<Option<SeriesBatch>, LimitExceeded> {
        let parcel = self.parcels.blocking_recv();
        self.open(parcel)
    }

    fn open(&mut self, parcel: Option<Result<Parcel, LimitExceeded>>) -> Result<Option<SeriesBatch>, LimitExceeded> {
        let Some(parcel) = parcel else {
            let mut record = self.progress.lock();
            if !record.settled {
                // The task died without a word; what it did not finish is lacking.
                let error = StoreError::new(StoreErrorKind::Unavailable, "merge series: the merge has broken off");
                record.fail_unfinished(&error);
            }
            return Ok(None);
        };
        Ok(Some(parcel?.batch))
    }

    /// Who was asked and how it went, final where the feed was read to its end; see [`Progress::coverage`].
    pub fn coverage(self) -> Coverage {
        self.progress.coverage(None)
    }

    /// Who was asked and how that goes.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

/// How the stores of a selection are doing.
#[derive(Default)]
struct Record {
    entries: Vec<Entry>,
    /// The task came to an end of its own.
    settled: bool,
}

impl Record {
    /// Fails all that is unfinished, and all whose series may not have been handed over.
    fn fail_unfinished(&mut self, error: &StoreError) {
        for entry in self.entries.iter_mut().filter(|entry| entry.outcome.is_none() || entry.series > 0) {
            entry.fail(error.clone(), None);
        }
    }
}

/// How one store is doing.
struct Entry {
    store: StoreId,
    label_sets: Vec<Labels>,
    gaps: Vec<Gap>,
    started: Instant,
    /// Streams that have not ended.
    open: usize,
    series: usize,
    bytes: usize,
    /// None while it is unfinished.
    outcome: Option<Outcome>,
}

impl Entry {
    /// The entry of a store, and whether it is to be asked; None if it cannot contribute and lacks nothing.
    fn of(store: &dyn Store, request: &Select) -> Option<(Self, bool)> {
        let info = store.info();
        let gaps = store.gaps(request);
        let contributes = info.may_contribute(request);
        if !contributes && gaps.is_empty() {
            return None;
        }
        let entry = Self::new(&info, gaps, |set| admits(set, &request.matchers));
        Some(entry.and_whether_to_ask(&info, contributes))
    }

    /// The same for facts besides series.
    fn knowing(store: &dyn Store, question: &Question) -> Option<(Self, bool)> {
        let info = store.info();
        let entry = || Self::new(&info, Vec::new(), |set| question.admits(set));
        question.concerns(&info).then(|| entry().and_whether_to_ask(&info, true))
    }

    fn and_whether_to_ask(self, info: &StoreInfo, contributes: bool) -> (Self, bool) {
        let (mut entry, mut ask) = (self, false);
        match &info.state {
            _ if !contributes => entry.finish_if_done(),
            StoreState::Up => ask = true,
            StoreState::Down { since, error } => entry.fail(error.clone(), Some(*since)),
            StoreState::Starting => {
                entry.fail(StoreError::new(StoreErrorKind::Unavailable, "has not answered yet"), None);
            }
        }
        (entry, ask)
    }

    fn new(info: &StoreInfo, gaps: Vec<Gap>, admitted: impl Fn(&Labels) -> bool) -> Self {
        Self {
            store: info.id.clone(),
            label_sets: info.label_sets.iter().filter(|set| admitted(set)).cloned().collect(),
            gaps,
            started: Instant::now(),
            open: 0,
            series: 0,
            bytes: 0,
            outcome: None,
        }
    }

    fn complete(&self) -> Outcome {
        Outcome::Complete { series: self.series, bytes: self.bytes, took: self.started.elapsed() }
    }

    fn finish_if_done(&mut self) {
        if self.open == 0 && self.outcome.is_none() {
            self.outcome = Some(self.complete());
        }
    }

    /// The first failure counts.
    fn fail(&mut self, error: StoreError, since: Option<SystemTime>) {
        if !matches!(self.outcome, Some(Outcome::Failed { .. })) {
            self.outcome = Some(Outcome::Failed { error, since });
        }
    }

    fn asked(&self, late: Option<&StoreError>) -> Asked {
        let unfinished = || match late {
            Some(error) => Outcome::Failed { error: error.clone(), since: None },
            None => self.complete(),
        };
        Asked {
            store: self.store.clone(),
            label_sets: self.label_sets.clone(),
            outcome: self.outcome.clone().unwrap_or_else(unfinished),
            gaps: self.gaps.clone(),
        }
    }
}

/// A stream, while it is not waited for.
struct Source {
    /// Index of its store's entry.
    store: usize,
    stream: Option<SeriesStream>,
}

/// What waiting for a stream came to.
struct Arrival {
    source: usize,
    stream: SeriesStream,
    /// None: the stream has ended.
    item: Option<Result<SeriesBatch, StoreError>>,
}

/// The task of a feed.
struct Work {
    merge: Merge,
    sources: Vec<Source>,
    /// The streams that are hungry.
    waiting: FuturesUnordered<BoxFuture<'static, Arrival>>,
    sender: mpsc::UnboundedSender<Result<Parcel, LimitExceeded>>,
    space: Arc<Semaphore>,
    space_units: usize,
    /// Series that the request's limit leaves.
    left: usize,
    progress: Progress,
    options: FanOutOptions,
}

/// Why the work ends before all streams have.
enum Stop {
    /// Nobody reads any more, or enough was given.
    Enough,
    /// Our own budget is used up.
    Limit(LimitExceeded),
}

impl Work {
    async fn run(mut self) {
        let ended = timeout_at(self.options.deadline, Box::pin(self.drive())).await;
        {
            let mut record = self.progress.lock();
            record.settled = true;
            if ended.is_err() {
                record.fail_unfinished(&StoreError::new(
                    StoreErrorKind::Timeout,
                    "read series: the time for the query is up",
                ));
            }
        }
        if let Ok(Err(Stop::Limit(limit))) = ended {
            // Whoever does not read any more need not know.
            let _ = self.sender.send(Err(limit));
        }
    }

    async fn drive(&mut self) -> Result<(), Stop> {
        loop {
            self.wait_for_hungry();
            match self.merge.advance() {
                Step::Batch(batch) => self.hand_over(batch).await?,
                Step::Hungry => {
                    // What is ready goes in first, so that batches are full where nobody has to wait for them.
                    let mut arrival = futures::poll!(self.waiting.next());
                    if arrival.is_pending() {
                        if let Some(batch) = self.merge.flush() {
                            self.hand_over(batch).await?;
                            continue;
                        }
                        arrival = Poll::Ready(self.waiting.next().await);
                    }
                    if let Poll::Ready(Some(arrival)) = arrival {
                        self.receive(arrival)?;
                    }
                }
                Step::Done => {
                    return match self.merge.flush() {
                        Some(batch) => self.hand_over(batch).await,
                        None => Ok(()),
                    };
                }
            }
        }
    }

    /// Starts to wait for the streams of which the merge needs more.
    fn wait_for_hungry(&mut self) {
        let silence_max = self.options.silence_max();
        for source in self.merge.take_hungry() {
            let Some(mut stream) = self.sources[source].stream.take() else { continue };
            self.waiting.push(Box::pin(async move {
                let item = timeout(silence_max, stream.next()).await.unwrap_or_else(|_| Some(Err(silent(silence_max))));
                Arrival { source, stream, item }
            }));
        }
    }

    /// Hands a batch to the reader, once there is space. The streams that are waited for are polled meanwhile, so that
    /// the reader's slowness is not taken for their silence.
    async fn hand_over(&mut self, mut batch: SeriesBatch) -> Result<(), Stop> {
        if batch.series.len() > self.left {
            batch.series.truncate(self.left);
        }
        self.left -= batch.series.len();
        let units = (batch.held.bytes().div_ceil(SPACE_UNIT)).clamp(1, self.space_units);
        let mut space = Box::pin(self.space.clone().acquire_many_owned(units as u32));
        let space = loop {
            tokio::select! {
                biased;
                space = &mut space => break space,
                Some(arrival) = self.waiting.next() => self.receive(arrival)?,
            }
        };
        let Ok(space) = space else { return Err(Stop::Enough) };
        if self.sender.send(Ok(Parcel { batch, _space: space })).is_err() || self.left == 0 {
            return Err(Stop::Enough);
        }
        Ok(())
    }

    /// Takes what came of a stream.
    fn receive(&mut self, arrival: Arrival) -> Result<(), Stop> {
        let Arrival { source, stream, item } = arrival;
        let store = self.sources[source].store;
        let failed = match item {
            Some(Ok(batch)) => {
                let (series, bytes) = (batch.series.len(), batch.held.bytes());
                match self.merge.push(source, batch) {
                    Ok(()) => {
                        let entry = &mut self.progress.lock().entries[store];
                        entry.series += series;
                        entry.bytes += bytes;
                        self.sources[source].stream = Some(stream);
                        return Ok(());
                    }
                    Err(error) => Some(error),
                }
            }
            Some(Err(error)) => match error.limit() {
                Some(limit) => return Err(Stop::Limit(limit.clone())),
                None => Some(error),
            },
            None => None,
        };
        drop(stream);
        self.merge.close(source);
        let entry = &mut self.progress.lock().entries[store];
        entry.open -= 1;
        match failed {
            Some(error) => {
                tracing::debug!(store = %entry.store, %error, "a stream of series failed");
                entry.fail(error, None);
            }
            None => entry.finish_if_done(),
        }
        Ok(())
    }
}

fn silent(silence_max: Duration) -> StoreError {
    StoreError::new(StoreErrorKind::Timeout, format!("read series: silent for {silence_max:?}"))
}

/// The names of all labels that the stores have for `request`. Who gave them stands in `progress`.
///
/// Errors: our own budget is used up.
pub async fn label_names(
    stores: &[Arc<dyn Store>],
    request: Arc<Select>,
    budget: &Budget,
    options: &FanOutOptions,
    progress: &Progress,
) -> Result<LabelStrings, LimitExceeded> {
    let ask = |store: &dyn Store, allowance| store.label_names(request.clone(), allowance);
    ask_labels(stores, &request, budget, (options, progress), ask).await
}

/// The values of label `name` that the stores have for `request`. Who gave them stands in `progress`.
///
/// Errors: our own budget is used up.
pub async fn label_values(
    stores: &[Arc<dyn Store>],
    name: &str,
    request: Arc<Select>,
    budget: &Budget,
    options: &FanOutOptions,
    progress: &Progress,
) -> Result<LabelStrings, LimitExceeded> {
    let ask = |store: &dyn Store, allowance| store.label_values(name.into(), request.clone(), allowance);
    ask_labels(stores, &request, budget, (options, progress), ask).await
}

/// What is gathered from many stores into one heap.
trait Heap: Sized {
    /// What is asked for, in the plural.
    const WHAT: &'static str;
    fn empty(budget: &Budget) -> Self;
    fn append(&mut self, other: Self);
    fn bytes(&self) -> usize;
    fn take_lacking(&mut self) -> Option<StoreError>;
}

impl Heap for LabelStrings {
    const WHAT: &'static str = "labels";

    fn empty(budget: &Budget) -> Self {
        Self::new(budget)
    }

    fn append(&mut self, other: Self) {
        self.append(other);
    }

    fn bytes(&self) -> usize {
        self.size_bytes()
    }

    fn take_lacking(&mut self) -> Option<StoreError> {
        self.lacking.take()
    }
}

impl Heap for Facts {
    const WHAT: &'static str = "facts";

    fn empty(budget: &Budget) -> Self {
        Self::new(budget)
    }

    fn append(&mut self, other: Self) {
        self.append(other);
    }

    fn bytes(&self) -> usize {
        self.size_bytes()
    }

    fn take_lacking(&mut self) -> Option<StoreError> {
        self.lacking.take()
    }
}

async fn ask_labels(
    stores: &[Arc<dyn Store>],
    request: &Select,
    budget: &Budget,
    notes: (&FanOutOptions, &Progress),
    ask: impl Fn(&dyn Store, Allowance) -> LabelAnswer,
) -> Result<LabelStrings, LimitExceeded> {
    let entries = stores.iter().filter_map(|store| Some((&**store, Entry::of(&**store, request)?)));
    gather(entries.collect(), budget, notes, ask).await
}

/// What the stores that serve it know of what `question` asks, in no order and with replicas as they are. Who gave it
/// stands in `progress`.
///
/// Errors: our own budget is used up.
pub async fn facts(
    stores: &[Arc<dyn Store>],
    question: Arc<Question>,
    budget: &Budget,
    options: &FanOutOptions,
    progress: &Progress,
) -> Result<Facts, LimitExceeded> {
    let entries = stores.iter().filter_map(|store| Some((&**store, Entry::knowing(&**store, &question)?)));
    let ask = |store: &dyn Store, allowance| store.facts(question.clone(), allowance);
    gather(entries.collect(), budget, (options, progress), ask).await
}

/// Asks those of the stores that are to be asked, all at once, and puts what they give on one heap. A store may take as
/// long over its whole answer as it may be silent.
async fn gather<T: Heap>(
    entries: Vec<(&dyn Store, (Entry, bool))>,
    budget: &Budget,
    (options, progress): (&FanOutOptions, &Progress),
    ask: impl Fn(&dyn Store, Allowance) -> BoxFuture<'static, Result<T, StoreError>>,
) -> Result<T, LimitExceeded> {
    let until = Instant::now().checked_add(options.silence_max()).map_or(options.deadline, |t| t.min(options.deadline));
    let allowance = Allowance { budget: budget.clone(), deadline: until };
    let mut answers = FuturesUnordered::new();
    for (store, (entry, asked)) in entries {
        let mut record = progress.lock();
        if asked {
            let (index, answer) = (record.entries.len(), ask(store, allowance.clone()));
            answers.push(async move { (index, timeout_at(until, answer).await) });
        }
        record.entries.push(entry);
    }
    let mut all = T::empty(budget);
    while let Some((index, answer)) = answers.next().await {
        let mut record = progress.lock();
        let entry = &mut record.entries[index];
        let late = || {
            let text = format!("read {}: the time for the answer is up", T::WHAT);
            StoreError::new(StoreErrorKind::Timeout, text)
        };
        match answer.unwrap_or_else(|_| Err(late())) {
            Ok(mut part) => {
                entry.bytes = part.bytes();
                match part.take_lacking() {
                    Some(error) => entry.fail(error, None),
                    None => entry.finish_if_done(),
                }
                all.append(part);
            }
            Err(error) => match error.limit() {
                Some(limit) => return Err(limit.clone()),
                None => entry.fail(error, None),
            },
        }
    }
    Ok(all)
}
