//! The story of a query: admitted, planned, its selectors fed by the stores, evaluated, judged by what is missing, answered.
//!
//! Whoever works for a request has a [`Turn`]: a slot, and the time that is left. What a client wrote is parsed within it too.
//! Each evaluation has a thread of its own, its driver, which may wait for input; the rows of all queries are computed on
//! one shared pool, which never waits. A caller that goes away, or whose time is up, raises a flag that the engine reads
//! once a batch, and ends the feeds, so that neither thread nor peer works on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use masthead_store::coverage::Coverage;
use masthead_store::fanout::{self, FanOutOptions};
use masthead_store::shard::Shard;
use masthead_store::{
    Budget, Facts, LabelStrings, Labels, Matcher, Millis, Question, Reservation, Select, StoreError, StoreErrorKind,
};
use tokio::time::timeout_at;

use crate::admission::Admission;
use crate::config::{Config, Feature};
use crate::engine::{SampleCounts, Value};
use crate::error::QueryError;
use crate::metrics::Metrics;
use crate::plan::{self, Explained, PlanOptions, Planned, Timeline};
use crate::stores::StoreSet;
use asking::{Asking, SELECTIONS_AHEAD};
use driver::Driver;

mod asking;
mod driver;
mod read;
mod turn;

pub use read::{ChunkStream, Latest, LatestValue};
pub use turn::Turn;

/// Answers queries over a set of stores.
pub struct Querier {
    /// The settings.
    pub(crate) config: Arc<Config>,
    /// Whom it asks.
    pub(crate) stores: Arc<StoreSet>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// The memory of all queries.
    pub memory: Budget,
    pool: Arc<rayon::ThreadPool>,
    admission: Admission,
}

/// What every request for data may choose.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Labels that tell replicas apart; empty: no deduplication.
    pub replica_labels: Vec<Box<str>>,
    /// Answer where stores are missing.
    pub partial_response: bool,
    /// Only stores that fulfil any of these sets, whose matchers see the label `__address__`, are asked; none: all.
    pub store_matchers: Vec<Vec<Matcher>>,
    /// Only these series are read by a query; None: all.
    pub shard: Option<Shard>,
    /// Count the samples that a query reads.
    pub count_samples: bool,
    /// Show the plan of a query with its answer.
    pub explain: bool,
}

impl Choices {
    /// Whether a store of this name is to be asked (storeMatchDebugMetadata in Thanos' pkg/store/proxy.go).
    fn asks(&self, store: &str) -> bool {
        let value = |matcher: &Matcher| if matcher.name() == "__address__" { store } else { "" };
        let fulfils = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches(value(matcher)));
        self.store_matchers.is_empty() || self.store_matchers.iter().any(fulfils)
    }
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
    /// The samples that were read, where they were to be counted.
    pub samples: Option<SampleCounts>,
    /// The plan, where it was to be shown.
    pub plan: Option<Explained>,
}

/// Why a request failed, and what is known of the stores that it asked.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: QueryError,
    /// Who was asked and how that went; None where it never came to asking: the question is wrong, or it got no slot.
    pub coverage: Option<Coverage>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Failure {}

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
    pub async fn run(&self, turn: Turn, request: Request) -> Result<Answer<Value>, Failure> {
        let choices = request.choices.clone();
        let slot = turn.slot();
        let work = async |asking: Asking| {
            let driver = Driver {
                plan_options: self.plan_options(&request),
                asking: Arc::new(asking),
                limits: self.config.limits.clone(),
                pool: self.pool.clone(),
                cancelled: Arc::new(AtomicBool::new(false)),
                runtime: tokio::runtime::Handle::current(),
                request,
            };
            driver.start(slot).await
        };
        self.work(turn, &choices, work).await
    }

    /// Plans a query without asking anybody, where the result is called.
    pub fn planner(&self, request: Request) -> impl FnOnce() -> Result<Planned, QueryError> + Send + use<> {
        let options = self.plan_options(&request);
        move || plan::plan(&request.expression, request.timeline, &options)
    }

    /// The series that match.
    pub async fn series(&self, turn: Turn, request: LabelRequest) -> Result<Answer<Vec<Labels>>, Failure> {
        let work = async |asking: Asking| {
            let mut found = BTreeSet::new();
            let mut held = asking.budget.begin("labels of series");
            for mut feed in asking.select_all(selects(&request).into_iter()) {
                while let Some(batch) = feed.next().await? {
                    for series in batch.series {
                        let bytes = series.labels.size_bytes();
                        if found.insert(series.labels) {
                            held.grow(bytes)?;
                        }
                    }
                }
                asking.refuse_late()?;
                asking.refuse_incomplete_in(&feed.progress())?;
            }
            Ok(asking.answer(found.into_iter().collect(), held))
        };
        self.work(turn, &request.choices, work).await
    }

    /// Names of all labels of the matching series.
    pub async fn label_names(&self, turn: Turn, request: LabelRequest) -> Result<Answer<Vec<Box<str>>>, Failure> {
        self.label_strings(turn, request, None).await
    }

    /// Values of label `name` in the matching series.
    pub async fn label_values(
        &self,
        turn: Turn,
        name: &str,
        request: LabelRequest,
    ) -> Result<Answer<Vec<Box<str>>>, Failure> {
        self.label_strings(turn, request, Some(name)).await
    }

    async fn label_strings(
        &self,
        turn: Turn,
        request: LabelRequest,
        values_of: Option<&str>,
    ) -> Result<Answer<Vec<Box<str>>>, Failure> {
        let work = async |asking: Asking| {
            let Asking { stores, budget, fan_out, .. } = &asking;
            let mut found = LabelStrings::new(budget);
            let replica_labels = &request.choices.replica_labels;
            let is_removed = |name: &str| replica_labels.iter().any(|label| **label == *name);
            // Deduplicated series have no replica labels, and so no values of them.
            let asked = if values_of.is_some_and(is_removed) { vec![] } else { selects(&request) };
            let ask = |select| {
                let (select, progress) = (Arc::new(select), asking.begin());
                async move {
                    let strings = match values_of {
                        None => fanout::label_names(stores, select, budget, fan_out, &progress).await?,
                        Some(name) => fanout::label_values(stores, name, select, budget, fan_out, &progress).await?,
                    };
                    Ok::<_, QueryError>((strings, progress))
                }
            };
            let mut answers = futures::stream::iter(asked).map(ask).buffered(SELECTIONS_AHEAD);
            while let Some((strings, progress)) = answers.try_next().await? {
                found.append(strings);
                asking.refuse_incomplete_in(&progress)?;
            }
            drop(answers);
            if values_of.is_none() {
                found.retain(|name| !is_removed(name));
            }
            let (value, held) = found.into_parts();
            Ok(asking.answer(value, held))
        };
        self.work(turn, &request.choices, work).await
    }

    /// What the stores know of what `question` asks, replicas as they are.
    pub async fn facts(&self, turn: Turn, question: Question, choices: &Choices) -> Result<Answer<Facts>, Failure> {
        let question = Arc::new(question);
        let work = async |asking: Asking| {
            let Asking { stores, budget, fan_out, .. } = &asking;
            let facts = fanout::facts(stores, question.clone(), budget, fan_out, &asking.begin()).await?;
            asking.refuse_incomplete()?;
            Ok(asking.answer(facts, budget.begin("facts")))
        };
        self.work(turn, choices, work).await
    }

    /// Waits for a slot, at most `timeout`, which is the time for the whole request.
    pub async fn enter(&self, timeout: Duration) -> Result<Turn, Failure> {
        Turn::wait(&self.admission, timeout).await.map_err(|error| Failure { error, coverage: None })
    }

    /// A request's stores and bounds.
    fn asking(&self, turn: &Turn, choices: &Choices) -> Asking {
        let mut stores = self.stores.list();
        stores.retain(|store| choices.asks(&store.info().id));
        Asking {
            stores,
            budget: self.memory.child("query", self.config.limits.query_memory),
            fan_out: FanOutOptions {
                buffer_bytes: self.config.limits.select_buffer,
                response_timeout: self.config.sources.response_timeout,
                deadline: turn.deadline,
            },
            timeout: turn.timeout,
            partial_response: choices.partial_response,
            chosen: !choices.store_matchers.is_empty(),
            selections: Arc::default(),
        }
    }

    /// Does the work of one request until its time is over. Notes how the stores answered.
    async fn work<T>(
        &self,
        turn: Turn,
        choices: &Choices,
        work: impl AsyncFnOnce(Asking) -> Result<Answer<T>, QueryError>,
    ) -> Result<Answer<T>, Failure> {
        let asking = self.asking(&turn, choices);
        let (budget, selections) = (asking.budget.clone(), asking.selections.clone());
        let done = timeout_at(turn.deadline, work(asking)).await;
        match done.unwrap_or(Err(QueryError::Timeout(turn.timeout))) {
            Ok(mut answer) => {
                answer.cost.queued = turn.queued;
                answer.cost.peak_bytes = budget.peak();
                self.metrics.query_peak(answer.cost.peak_bytes);
                self.metrics.stores.answered(&answer.coverage);
                Ok(answer)
            }
            Err(error) => {
                let late = StoreError::new(StoreErrorKind::Timeout, "read series: the time for the query is up");
                let late = matches!(error, QueryError::Timeout(_)).then_some(&late);
                let coverage = (!matches!(error, QueryError::Invalid(_))).then(|| selections.coverage(late));
                if let (QueryError::Incomplete(_) | QueryError::Timeout(_), Some(coverage)) = (&error, &coverage) {
                    self.metrics.stores.answered(coverage);
                }
                Err(Failure { error, coverage })
            }
        }
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
