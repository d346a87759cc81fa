//! A store that is known by name only.

use std::sync::Arc;
use std::time::SystemTime;

use futures::StreamExt as _;
use futures::future::{self, FutureExt as _};

use crate::facts::Kinds;
use crate::{
    Allowance, FactsAnswer, Gap, LabelAnswer, Millis, Question, Select, SeriesStream, Store, StoreError,
    StoreErrorKind, StoreInfo, StoreState,
};

/// It could hold anything, and cannot be asked.
pub(super) struct MissingStore(Arc<StoreInfo>);

impl MissingStore {
    /// `state` is not `Up`.
    pub(super) fn new(id: &str, state: StoreState, last_check: Option<SystemTime>) -> Self {
        Self(Arc::new(StoreInfo {
            id: id.into(),
            component: "".into(),
            label_sets: Vec::new(),
            min_time: Millis::MIN,
            max_time: Millis::MAX,
            serves: Kinds::ALL,
            state,
            last_check,
        }))
    }

    fn error(&self) -> StoreError {
        match &self.0.state {
            StoreState::Down { error, .. } => error.clone(),
            StoreState::Starting | StoreState::Up => {
                StoreError::new(StoreErrorKind::Unavailable, "the name is not resolved yet")
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Store for MissingStore {
    fn info(&self) -> Arc<StoreInfo> {
        self.0.clone()
    }

    fn gaps(&self, _: &Select) -> Vec<Gap> {
        Vec::new()
    }

    fn select(&self, _: Arc<Select>, _: Allowance) -> Vec<SeriesStream> {
        vec![futures::stream::iter([Err(self.error())]).boxed()]
    }

    fn label_names(&self, _: Arc<Select>, _: Allowance) -> LabelAnswer {
        future::ready(Err(self.error())).boxed()
    }

    fn label_values(&self, _: Box<str>, _: Arc<Select>, _: Allowance) -> LabelAnswer {
        future::ready(Err(self.error())).boxed()
    }

    fn facts(&self, _: Arc<Question>, _: Allowance) -> FactsAnswer {
        future::ready(Err(self.error())).boxed()
    }
}
