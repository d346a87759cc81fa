//! `thanos.info.Info/Info`: what this server holds.

use futures::future::{Ready, ready};
use masthead_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo, TsdbInfo};
use masthead_proto::thanos::{Label, LabelSet};
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use super::{Call, label_sets};
use crate::labels::Labels;

/// Answers `Info`.
pub(super) struct Info(pub(super) Call);

impl UnaryService<InfoRequest> for Info {
    type Response = InfoResponse;
    type Future = Ready<Result<Response<InfoResponse>, Status>>;

    fn call(&mut self, _: Request<InfoRequest>) -> Self::Future {
        let stores = self.0.stores();
        let infos: Vec<_> = stores.iter().map(|store| store.info()).collect();
        // A store behind that may hold anything makes this one such a store: no label sets then.
        let known = !infos.iter().any(|info| info.label_sets.is_empty());
        let sets = if known { label_sets(&stores) } else { Vec::new() };
        let tsdb_infos = infos.iter().flat_map(|info| {
            info.label_sets.iter().map(|set| TsdbInfo {
                labels: Some(label_set(set)),
                min_time: info.min_time,
                max_time: info.max_time,
            })
        });
        ready(Ok(Response::new(InfoResponse {
            label_sets: sets.iter().map(label_set).collect(),
            component_type: self.0.options().component.into(),
            store: Some(StoreInfo {
                min_time: infos.iter().map(|info| info.min_time).min().unwrap_or(i64::MAX),
                max_time: infos.iter().map(|info| info.max_time).max().unwrap_or(i64::MIN),
                supports_sharding: true,
                supports_without_replica_labels: true,
                tsdb_infos: if known { tsdb_infos.collect() } else { Vec::new() },
                ..StoreInfo::default()
            }),
            ..InfoResponse::default()
        })))
    }
}

fn label_set(labels: &Labels) -> LabelSet {
    LabelSet { labels: labels.iter().map(|(name, value)| Label { name: name.into(), value: value.into() }).collect() }
}
