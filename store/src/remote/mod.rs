//! A StoreAPI peer as a [`Store`]: a sidecar, a store gateway, a receiver, a Querier, or another Masthead.
//!
//! What the peer says of itself is asked every few seconds and kept when it falls silent, so that a peer that is gone
//! is known to be missing wherever it could have contributed. Lanes are named as [`Lane`](crate::Lane) wants it: the
//! peer is asked once for each tuple of replica label values that it advertises, so that each stream is sorted and of
//! one lane.
//!
//! Silence of a peer is judged by whoever reads a stream ([`crate::fanout`]), since only that knows when it waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::future::FutureExt as _;
use masthead_proto::{path, thanos as proto};
use prost::Message as _;
use tokio::time::Instant;

use self::assembly::Assembly;
use self::endpoint::{Call, Endpoint, EndpointOptions};
use self::held::Held;
use self::lanes::{Advert, Ask};
use self::stream::AnswerStream;
use crate::{
    Allowance, Budget, FactsAnswer, Gap, LabelAnswer, LabelStrings, Question, Select, SeriesStream, Store, StoreError,
    StoreErrorKind, StoreId, StoreInfo, StoreState,
};

mod assembly;
mod convert;
mod endpoint;
mod facts;
mod frame;
mod held;
mod lanes;
mod messages;
mod stream;
mod strings;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod wire;

/// How to talk to peers. The same for all of them.
#[derive(Debug, Clone, Copy)]
pub struct RemoteOptions {
    /// How often a peer is asked for its facts.
    pub info_interval: Duration,
    /// How long it may take over that, connecting included.
    pub info_timeout: Duration,
    /// The longest message that is read.
    pub message_bytes_max: usize,
    /// Bytes that a stream may send beyond what was read of it. This much memory a stream that nobody reads may hold
    /// outside of all budgets; less of it slows far peers down, to this many bytes a round trip. A set of many peers
    /// lowers it ([`crate::discovery`]).
    pub stream_window_bytes: u32,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            info_interval: Duration::from_secs(5),
            info_timeout: Duration::from_secs(5),
            message_bytes_max: i32::MAX as usize,
            stream_window_bytes: 4 << 20,
        }
    }
}

/// Facts that are longer than this are none: those of a store gateway over a hundred thousand blocks stay far below.
const FACTS_BYTES_MAX: usize = 16 << 20;

/// One StoreAPI peer.
pub struct RemoteStore {
    peer: Arc<Peer>,
    known: Mutex<Known>,
    options: RemoteOptions,
}

/// What streams share with their store.
struct Peer {
    id: StoreId,
    endpoint: Endpoint,
    stats: Stats,
}

/// The peer's facts as last known.
struct Known {
    advert: Arc<Advert>,
    info: Arc<StoreInfo>,
    /// When it last answered.
    heard: Option<SystemTime>,
}

#[derive(Default)]
struct Stats {
    collected_bytes: AtomicU64,
    unsorted: AtomicBool,
}

/// Counters of one peer, for metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RemoteStats {
    /// Bytes of answers that had to be collected and sorted here.
    pub collected_bytes: u64,
    /// The peer broke the order once since it is up; its answers are collected since.
    pub unsorted: bool,
}

impl Stats {
    fn collected(&self, bytes: usize) {
        self.collected_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether it is the first time.
    fn break_order(&self) -> bool {
        !self.unsorted.swap(true, Ordering::Relaxed)
    }
}

impl Peer {
    fn is_unsorted(&self) -> bool {
        self.stats.unsorted.load(Ordering::Relaxed)
    }
}

impl RemoteStore {
    /// A peer at `address`, `host:port`, which is its name too. Does not connect. Must be called within a tokio
    /// runtime.
    ///
    /// Errors: `Refused` for what is no address.
    pub fn new(address: &str, options: RemoteOptions) -> Result<Self, StoreError> {
        let endpoint = Endpoint::new(
            address,
            EndpointOptions {
                stream_window_bytes: options.stream_window_bytes,
                message_bytes_max: options.message_bytes_max,
                connect_timeout: options.info_timeout,
            },
        )?;
        let id: StoreId = address.into();
        let advert = Advert::unknown();
        let info = Arc::new(info_of(&id, &advert, StoreState::Starting, None));
        let known = Mutex::new(Known { advert: Arc::new(advert), info, heard: None });
        Ok(Self { peer: Arc::new(Peer { id, endpoint, stats: Stats::default() }), known, options })
    }

    /// How to talk to it.
    #[cfg(test)]
    pub(crate) fn options(&self) -> RemoteOptions {
        self.options
    }

    /// Asks the peer for its facts. `now` is when.
    ///
    /// If it does not answer, labels and times stay as they were last known, but for the latest time, which goes on
    /// with the clock, and the state becomes `Down`.
    pub async fn poll_info(&self, now: SystemTime) {
        let timeout = self.options.info_timeout;
        let act = "ask for facts";
        let call = Call { path: path::INFO, request: &[], deadline: Instant::now() + timeout, act };
        let mut held = Held::new(&Budget::new("facts of a peer", FACTS_BYTES_MAX));
        let answer = tokio::time::timeout(timeout, self.peer.endpoint.unary(&call, &mut held)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(StoreError::new(StoreErrorKind::Timeout, format!("{act}: no answer within {timeout:?}")))
        });
        let info = answer.and_then(|message| {
            proto::info::InfoResponse::decode(message)
                .map_err(|error| StoreError::corrupt(format!("{act}: read the answer: {error}")))
        });
        match info {
            Ok(info) => self.up(info.into(), now),
            Err(error) => {
                if error.kind == StoreErrorKind::Timeout {
                    // The connection may be dead without a word.
                    self.peer.endpoint.renew();
                }
                self.down(error, now);
            }
        }
    }

    /// Counters for metrics.
    pub fn stats(&self) -> RemoteStats {
        let stats = &self.peer.stats;
        RemoteStats {
            collected_bytes: stats.collected_bytes.load(Ordering::Relaxed),
            unsorted: self.peer.is_unsorted(),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn up(&self, advert: Advert, now: SystemTime) {
        let mut known = self.known();
        if !matches!(known.info.state, StoreState::Up) {
            tracing::info!(store = %self.peer.id, component = %advert.component, "store is up");
            // It may be another program by now.
            self.peer.stats.unsorted.store(false, Ordering::Relaxed);
        }
        known.info = Arc::new(info_of(&self.peer.id, &advert, StoreState::Up, Some(now)));
        known.advert = Arc::new(advert);
        known.heard = Some(now);
    }

    fn down(&self, error: StoreError, now: SystemTime) {
        let mut known = self.known();
        let since = match known.info.state {
            StoreState::Down { since, .. } => since,
            StoreState::Starting | StoreState::Up => {
                tracing::warn!(store = %self.peer.id, %error, "store is down");
                now
            }
        };
        let state = StoreState::Down { since, error };
        let mut info = info_of(&self.peer.id, &known.advert, state, Some(now));
        // It would have got newer samples by now.
        let unseen = known.heard.and_then(|heard| now.duration_since(heard).ok()).unwrap_or_default();
        info.max_time = info.max_time.saturating_add(i64::try_from(unseen.as_millis()).unwrap_or(i64::MAX));
        known.info = Arc::new(info);
    }

    fn answer(&self, ask: Ask, select: &Arc<Select>, advert: &Arc<Advert>, allowance: &Allowance) -> SeriesStream {
        let replica_labels = select.replica_labels.clone();
        let assembly = Assembly::new(self.peer.clone(), ask.clone(), replica_labels, &allowance.budget);
        let (peer, select, advert, deadline) = (self.peer.clone(), select.clone(), advert.clone(), allowance.deadline);
        let open = Box::new(move || {
            async move {
                let request = convert::series_request(&select, &ask, &advert).encode_to_vec();
                let call = Call { path: path::SERIES, request: &request, deadline, act: "read series" };
                peer.endpoint.call(&call).await
            }
            .boxed()
        });
        AnswerStream::new(open, assembly).boxed()
    }

    /// Asks for names or values of labels.
    fn ask_labels(&self, path: &'static str, request: Vec<u8>, allowance: Allowance) -> LabelAnswer {
        let peer = self.peer.clone();
        async move {
            let call = Call { path, request: &request, deadline: allowance.deadline, act: "read labels" };
            let mut held = Held::new(&allowance.budget);
            let message = peer.endpoint.unary(&call, &mut held).await?;
            let mut strings = LabelStrings::new(&allowance.budget);
            strings::parse(&message, &mut strings)?;
            Ok(strings)
        }
        .boxed()
    }
}

fn info_of(id: &StoreId, advert: &Advert, state: StoreState, last_check: Option<SystemTime>) -> StoreInfo {
    StoreInfo {
        id: id.clone(),
        component: advert.component.clone(),
        label_sets: advert.label_sets.clone(),
        min_time: advert.min_time,
        max_time: advert.max_time,
        serves: advert.serves,
        state,
        last_check,
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for RemoteStore {
    fn info(&self) -> Arc<StoreInfo> {
        self.known().info.clone()
    }

    /// A peer cannot say what it lacks; what failed behind it comes as a warning in its answers.
    fn gaps(&self, _: &Select) -> Vec<Gap> {
        Vec::new()
    }

    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream> {
        let advert = self.known().advert.clone();
        let asks = lanes::plan(&self.peer.id, &advert, &request);
        asks.into_iter().map(|ask| self.answer(ask, &request, &advert, &allowance)).collect()
    }

    fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        let request = convert::label_names_request(&request).encode_to_vec();
        self.ask_labels(path::LABEL_NAMES, request, allowance)
    }

    fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        let request = convert::label_values_request(&name, &request).encode_to_vec();
        self.ask_labels(path::LABEL_VALUES, request, allowance)
    }

    fn facts(&self, question: Arc<Question>, allowance: Allowance) -> FactsAnswer {
        let advert = self.known().advert.clone();
        facts::ask(self.peer.clone(), question, advert, allowance).boxed()
    }
}
