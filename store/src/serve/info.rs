//! `thanos.info.Info/Info`: what this server holds.

use masthead_proto::thanos::info::{
    ExemplarsInfo, InfoResponse, MetricMetadataInfo, RulesInfo, StatusInfo, StoreInfo, TargetsInfo, TsdbInfo,
};
use masthead_proto::thanos::{Label, LabelSet};

use super::Call;
use crate::facts::Kind;
use crate::labels::Labels;

impl Call {
    /// Answers `Info`.
    pub(super) fn info(&self) -> InfoResponse {
        let infos: Vec<_> = self.stores().iter().map(|store| store.info()).collect();
        // A store behind that may hold anything makes this one such a store: no label sets then.
        let known = !infos.iter().any(|info| info.label_sets.is_empty());
        let mut sets: Vec<&Labels> = infos.iter().filter(|_| known).flat_map(|info| &info.label_sets).collect();
        sets.sort();
        sets.dedup();
        let tsdb_infos = infos.iter().flat_map(|info| {
            info.label_sets.iter().map(|set| TsdbInfo {
                labels: Some(label_set(set)),
                min_time: info.min_time,
                max_time: info.max_time,
            })
        });
        let serves = self.serves();
        InfoResponse {
            metric_metadata: serves.has(Kind::Metadata).then(MetricMetadataInfo::default),
            rules: serves.has(Kind::Rules).then(RulesInfo::default),
            targets: serves.has(Kind::Targets).then(TargetsInfo::default),
            // Nobody says which times exemplars are kept for.
            exemplars: serves.has(Kind::Exemplars).then_some(ExemplarsInfo { min_time: i64::MIN, max_time: i64::MAX }),
            status: serves.has(Kind::Statistics).then(StatusInfo::default),
            label_sets: sets.into_iter().map(label_set).collect(),
            component_type: self.options().component.into(),
            store: Some(StoreInfo {
                min_time: infos.iter().map(|info| info.min_time).min().unwrap_or(i64::MAX),
                max_time: infos.iter().map(|info| info.max_time).max().unwrap_or(i64::MIN),
                supports_sharding: true,
                supports_without_replica_labels: true,
                tsdb_infos: if known { tsdb_infos.collect() } else { Vec::new() },
                ..StoreInfo::default()
            }),
            ..InfoResponse::default()
        }
    }
}

pub(super) fn label_set(labels: &Labels) -> LabelSet {
    LabelSet { labels: labels.iter().map(|(name, value)| Label { name: name.into(), value: value.into() }).collect() }
}
