//! The story of a query: admitted, planned, its selectors fed by the stores, evaluated, judged by what is missing, answered.
//!
//! Each evaluation has a thread of its own, its driver, which may wait for input; the rows of all queries are computed on
//! one shared pool, which never waits. A caller that goes away, or whose time is up, raises a flag that the engine reads
//! once a batch, and ends the feeds, so that neither thread nor peer works on.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use masthead_store::coverage::Coverage;
use masthead_store::fanout::{self, FanOutOptions, Feed};
use masthead_store::{Budget, LabelStrings, Labels, Matcher, Millis, Reservation, Select, SeriesBatch, Store};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::admission::{Admission, Slot};
use crate::annotations::{Annotations, Severity};
use crate::config::{Config, Feature};
use crate::engine::{self, Context, Input, SampleLimit, Value};
use crate::error::QueryError;
use crate::metrics::Metrics;
use crate::plan::{self, PlanOptions, Timeline};
use crate::stores::StoreSet;

/// Stack of a driver thread: room for the deepest expression that the limits allow.
const DRIVER_STACK_BYTES: usize = 64 << 20;

/// Answers queries over a set of stores.
pub struct Querier {
    config: Arc<Config>,
    stores: Arc<StoreSet>,
    /// The memory of all queries.
    pub memory: Budget,
    pool: Arc<rayon::ThreadPool>,
    admission: Admission,
    metrics: Arc<Metrics>,
}

/// What every request for data may choose.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Labels that tell replicas apart; empty: no deduplication.
    pub replica_labels: Vec<Box<str>>,
    /// Answer where stores are missing.
    pub partial_response: bool,
    /// Longest time.
    pub timeout: Duration,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Request {
    /// PromQL.
    pub expression: String,
    /// The times of the answer.
    pub timeline: Timeline,
    /// Asked for one time: strings and ranges are allowed.
    pub instant: bool,
    /// The end that was asked for, ms, of a query over a range.
    pub end: Option<Millis>,
    /// How far back an instant selector looks, ms.
    pub lookback: Millis,
    /// What else was chosen.
    pub choices: Choices,
}

/// A request for series, label names or label values.
#[derive(Debug, Clone)]
pub struct LabelRequest {
    /// Any of these sets must match; none: everything.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// First time, ms, inclusive.
    pub min_time: Millis,
    /// Last time, ms, inclusive.
    pub max_time: Millis,
    /// So many are wanted at most; 0 is no limit.
    pub limit: usize,
    /// What else was chosen.
    pub choices: Choices,
}

/// An answer: a value beside its notes.
#[derive(Debug)]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// Warnings of the language, rendered.
    pub warnings: Vec<String>,
    /// Infos of the language, rendered.
    pub infos: Vec<String>,
    /// Who was asked and who answered.
    pub coverage: Coverage,
    /// What it took.
    pub cost: Cost,
    /// The memory of the value.
    pub held: Option<Reservation>,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Waiting for a slot.
    pub queued: Duration,
    /// Parsing and planning.
    pub prepared: Duration,
    /// Evaluation, input included.
    pub evaluated: Duration,
    /// The most memory held at once, bytes.
    pub peak_bytes: usize,
}

impl Querier {
    /// A querier over `stores`. Fails where the threads for evaluation cannot be started.
    pub fn new(
        config: Arc<Config>,
        stores: Arc<StoreSet>,
        metrics: Arc<Metrics>,
        memory: Budget,
    ) -> Result<Self, QueryError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.query.threads)
            .thread_name(|i| format!("rows-{i}"))
            .build()
            .map_err(|error| QueryError::Internal(format!("start the threads for rows: {error}")))?;
        Ok(Self {
            memory,
            pool: Arc::new(pool),
            admission: Admission::new(config.query.max_concurrent, config.query.max_waiting, metrics.clone()),
            config,
            stores,
            metrics,
        })
    }

    /// Evaluates a query.
    pub async fn run(&self, request: Request) -> Result<Answer<Value>, QueryError> {
        let timeout = request.choices.timeout;
        let deadline = Instant::now() + timeout;
        let query = async {
            let (slot, budget, queued) = self.admit().await?;
            let driver = Driver {
                plan_options: self.plan_options(&request),
                stores: self.stores.list(),
                fan_out: self.fan_out_options(deadline),
                max_samples: self.config.limits.max_samples,
                pool: self.pool.clone(),
                budget: budget.clone(),
                cancelled: Arc::new(AtomicBool::new(false)),
                runtime: tokio::runtime::Handle::current(),
                request,
            };
            let mut answer = driver.start(slot).await?;
            answer.cost.queued = queued;
            answer.cost.peak_bytes = budget.peak();
            Ok(answer)
        };
        self.noted(within(timeout, query).await)
    }

    /// The series that match.
    pub async fn series(&self, request: LabelRequest) -> Result<Answer<Vec<Labels>>, QueryError> {
        let timeout = request.choices.timeout;
        let deadline = Instant::now() + timeout;
        let query = async {
            let (_slot, budget, queued) = self.admit().await?;
            let stores = self.stores.list();
            let options = self.fan_out_options(deadline);
            let mut coverage = Coverage::default();
            let mut found = BTreeSet::new();
            let mut held = budget.begin("labels of series");
            let partial = request.choices.partial_response;
            for select in selects(&request) {
                let mut feed = fanout::fan_out(&stores, Arc::new(select), &budget, &options);
                while let Some(batch) = feed.next().await? {
                    for series in batch.series {
                        let bytes = series.labels.size_bytes();
                        if found.insert(series.labels) {
                            held.grow(bytes)?;
                        }
                    }
                }
                coverage.merge(feed.coverage());
                refuse_incomplete(&coverage, partial)?;
            }
            let value = found.into_iter().collect();
            let cost = Cost { queued, peak_bytes: budget.peak(), ..Cost::default() };
            Ok(Answer { value, warnings: no_store(&stores), infos: vec![], coverage, cost, held: Some(held) })
        };
        self.noted(within(timeout, query).await)
    }

    /// Names of all labels of the matching series.
    pub async fn label_names(&self, request: LabelRequest) -> Result<Answer<Vec<Box<str>>>, QueryError> {
        self.label_strings(request, None).await
    }

    /// Values of label `name` in the matching series.
    pub async fn label_values(&self, name: &str, request: LabelRequest) -> Result<Answer<Vec<Box<str>>>, QueryError> {
        self.label_strings(request, Some(name)).await
    }

    async fn label_strings(
        &self,
        request: LabelRequest,
        values_of: Option<&str>,
    ) -> Result<Answer<Vec<Box<str>>>, QueryError> {
        let timeout = request.choices.timeout;
        let deadline = Instant::now() + timeout;
        let query = async {
            let (_slot, budget, queued) = self.admit().await?;
            let stores = self.stores.list();
            let options = self.fan_out_options(deadline);
            let mut coverage = Coverage::default();
            let mut found = LabelStrings::new(&budget);
            let partial = request.choices.partial_response;
            let replica_labels = &request.choices.replica_labels;
            let is_removed = |name: &str| replica_labels.iter().any(|label| **label == *name);
            // Deduplicated series have no replica labels, and so no values of them.
            let asked = if values_of.is_some_and(is_removed) { vec![] } else { selects(&request) };
            for select in asked {
                let select = Arc::new(select);
                let (strings, covered) = match values_of {
                    None => fanout::label_names(&stores, select, &budget, &options).await?,
                    Some(name) => fanout::label_values(&stores, name, select, &budget, &options).await?,
                };
                found.append(strings);
                coverage.merge(covered);
                refuse_incomplete(&coverage, partial)?;
            }
            if values_of.is_none() {
                found.retain(|name| !is_removed(name));
            }
            let (value, held) = found.into_parts();
            let cost = Cost { queued, peak_bytes: budget.peak(), ..Cost::default() };
            Ok(Answer { value, warnings: no_store(&stores), infos: vec![], coverage, cost, held: Some(held) })
        };
        self.noted(within(timeout, query).await)
    }

    async fn admit(&self) -> Result<(Slot, Budget, Duration), QueryError> {
        let start = Instant::now();
        let slot = self.admission.enter().await?;
        Ok((slot, self.memory.child("query", self.config.limits.query_memory), start.elapsed()))
    }

    /// Notes in the metrics how the stores answered.
    fn noted<T>(&self, result: Result<Answer<T>, QueryError>) -> Result<Answer<T>, QueryError> {
        match &result {
            Ok(answer) => {
                self.metrics.query_peak(answer.cost.peak_bytes);
                self.metrics.stores.answered(&answer.coverage);
            }
            Err(QueryError::Incomplete(coverage)) => self.metrics.stores.answered(coverage),
            Err(_) => {}
        }
        result
    }

    fn plan_options(&self, request: &Request) -> PlanOptions {
        PlanOptions {
            lookback: request.lookback,
            default_step: self.config.query.default_evaluation_interval,
            replica_labels: request.choices.replica_labels.clone(),
            parse: self.config.parse_options(),
            delayed_name_removal: self.config.has(Feature::DelayedNameRemoval),
            use_start_timestamps: self.config.has(Feature::StartTimestamps),
            type_and_unit_labels: self.config.has(Feature::TypeAndUnitLabels),
            instant: request.instant,
            end: request.end,
        }
    }

    fn fan_out_options(&self, deadline: Instant) -> FanOutOptions {
        FanOutOptions {
            buffer_bytes: self.config.limits.select_buffer,
            response_timeout: self.config.sources.response_timeout,
            deadline,
        }
    }
}

/// Ends `query` when its time is up.
async fn within<T>(timeout: Duration, query: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
    match tokio::time::timeout(timeout, query).await {
        Ok(result) => result,
        Err(_) => Err(QueryError::Timeout(timeout)),
    }
}

fn selects(request: &LabelRequest) -> Vec<Select> {
    let sets = if request.matcher_sets.is_empty() { vec![vec![]] } else { request.matcher_sets.clone() };
    let select = |matchers| Select {
        matchers,
        min_time: request.min_time,
        max_time: request.max_time,
        replica_labels: request.choices.replica_labels.clone(),
        labels_only: true,
        // One more shows that there are more.
        limit: if request.limit == 0 { 0 } else { request.limit.saturating_add(1) },
    };
    sets.into_iter().map(select).collect()
}

/// A warning where there is nobody to ask, so that nothing is not taken for an answer.
fn no_store(stores: &[Arc<dyn Store>]) -> Vec<String> {
    if stores.is_empty() { vec!["no store is configured, so that nothing was asked".to_owned()] } else { vec![] }
}

fn refuse_incomplete(coverage: &Coverage, partial_response: bool) -> Result<(), QueryError> {
    match partial_response || coverage.is_complete() {
        true => Ok(()),
        false => Err(QueryError::Incomplete(Box::new(coverage.clone()))),
    }
}

/// All that one evaluation needs.
struct Driver {
    request: Request,
    plan_options: PlanOptions,
    stores: Vec<Arc<dyn Store>>,
    fan_out: FanOutOptions,
    max_samples: usize,
    pool: Arc<rayon::ThreadPool>,
    budget: Budget,
    cancelled: Arc<AtomicBool>,
    runtime: tokio::runtime::Handle,
}

/// Raises the flag when the caller goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Driver {
    /// Evaluates on a thread of its own, which holds `slot` to its end.
    async fn start(self, slot: Slot) -> Result<Answer<Value>, QueryError> {
        let _cancel = CancelOnDrop(self.cancelled.clone());
        // Dropped with this future, which wakes a driver that waits for input.
        let (_alive, alive) = watch::channel(());
        let (send, receive) = oneshot::channel();
        let work = move || {
            // What a panic leaves behind belongs to this query only and is dropped with it.
            let result = catch_unwind(AssertUnwindSafe(|| self.evaluate(alive)));
            let result = result.unwrap_or_else(|panic| Err(panicked(&*panic, &self.request.expression)));
            drop((self, slot));
            // Nobody waits where the caller has gone.
            let _ = send.send(result);
        };
        std::thread::Builder::new()
            .name("query".to_owned())
            .stack_size(DRIVER_STACK_BYTES)
            .spawn(work)
            .map_err(|error| QueryError::Busy(format!("start the thread of the query: {error}")))?;
        receive.await.unwrap_or_else(|_| Err(QueryError::Internal("the thread of the query ended".to_owned())))
    }

    fn evaluate(&self, alive: watch::Receiver<()>) -> Result<Answer<Value>, QueryError> {
        let start = Instant::now();
        let planned = plan::plan(&self.request.expression, self.request.timeline, &self.plan_options)?;
        let prepared = start.elapsed();
        let coverage = Arc::new(Mutex::new(Coverage::default()));
        let input = |select: &Select| -> Box<dyn Input> {
            let _runtime = self.runtime.enter();
            let feed = fanout::fan_out(&self.stores, Arc::new(select.clone()), &self.budget, &self.fan_out);
            Box::new(FeedInput {
                feed: Some(feed),
                coverage: coverage.clone(),
                partial_response: self.request.choices.partial_response,
                alive: alive.clone(),
                runtime: self.runtime.clone(),
            })
        };
        let inputs = planned.selects.iter().map(input).collect();
        let annotations = Annotations::default();
        let context = Context {
            budget: self.budget.clone(),
            cancelled: self.cancelled.clone(),
            annotations: &annotations,
            samples: SampleLimit::new(self.max_samples),
            pool: Some(self.pool.clone()),
        };
        let value = engine::evaluate(&planned, inputs, &context)?;
        let coverage = std::mem::take(&mut *coverage.lock().unwrap_or_else(PoisonError::into_inner));
        refuse_incomplete(&coverage, self.request.choices.partial_response)?;
        let held = self.budget.reserve("result", value_bytes(&value))?;
        let mut warnings = if planned.selects.is_empty() { vec![] } else { no_store(&self.stores) };
        warnings.extend(annotations.render(Severity::Warning, &self.request.expression));
        Ok(Answer {
            value,
            warnings,
            infos: annotations.render(Severity::Info, &self.request.expression),
            coverage,
            cost: Cost { prepared, evaluated: start.elapsed() - prepared, ..Cost::default() },
            held: Some(held),
        })
    }
}

/// A feed as the engine pulls it. Its coverage goes to the query's when it ends or is given up.
struct FeedInput {
    feed: Option<Feed>,
    coverage: Arc<Mutex<Coverage>>,
    partial_response: bool,
    /// Closed when the caller has gone.
    alive: watch::Receiver<()>,
    runtime: tokio::runtime::Handle,
}

impl Input for FeedInput {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let Some(feed) = &mut self.feed else { return Ok(None) };
        let alive = &mut self.alive;
        let batch = self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = alive.changed() => Err(QueryError::Cancelled),
                batch = feed.next() => Ok(batch?),
            }
        })?;
        if batch.is_none() {
            self.finish();
            let coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
            refuse_incomplete(&coverage, self.partial_response)?;
        }
        Ok(batch)
    }
}

impl FeedInput {
    fn finish(&mut self) {
        if let Some(feed) = self.feed.take() {
            self.coverage.lock().unwrap_or_else(PoisonError::into_inner).merge(feed.coverage());
        }
    }
}

impl Drop for FeedInput {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The error for a panic of the evaluation, logged here since nobody else learns of it.
fn panicked(panic: &(dyn std::any::Any + Send), expression: &str) -> QueryError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), query = expression, "the evaluation of a query panicked");
    QueryError::Internal("unexpected error: the evaluation panicked".to_owned())
}

/// Bytes of a value, about.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Scalar(values) => size_of_val(values.as_slice()),
        Value::String(text) => text.len(),
        Value::Series(rows) => {
            rows.iter().map(|row| size_of_val(row.values.as_slice()) + row.labels.size_bytes()).sum()
        }
        Value::Matrix(series) => series
            .iter()
            .map(|(labels, samples)| samples.len() * size_of::<(Millis, f64)>() + labels.size_bytes())
            .sum(),
    }
}
