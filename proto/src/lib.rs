//! Messages of the protocols that Masthead speaks, generated from the definitions in `thanos/`, `prometheus/` and
//! `grpc/`. No logic.
//!
//! Services have no generated code: the store's client and server read and write series frames with a codec of their
//! own, and what is left is a path and two messages a call.

/// StoreAPI, labels, and what else sources are asked for.
#[expect(missing_docs, reason = "generated")]
pub mod thanos {
    include!(concat!(env!("OUT_DIR"), "/thanos.rs"));

    /// The Info service.
    pub mod info {
        include!(concat!(env!("OUT_DIR"), "/thanos.info.rs"));
    }
}

/// Whether a server is ready, by gRPC's own protocol.
#[expect(missing_docs, reason = "generated")]
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// Remote read.
#[expect(missing_docs, reason = "generated")]
pub mod prometheus {
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}

/// What a Prometheus scrapes.
#[expect(missing_docs, reason = "generated")]
pub mod exposition {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.client.rs"));
}

/// Paths of the calls.
pub mod path {
    /// Series of `thanos.Store`: a stream of [`SeriesResponse`](super::thanos::SeriesResponse).
    pub const SERIES: &str = "/thanos.Store/Series";
    /// Label names.
    pub const LABEL_NAMES: &str = "/thanos.Store/LabelNames";
    /// Label values.
    pub const LABEL_VALUES: &str = "/thanos.Store/LabelValues";
    /// Facts of a server.
    pub const INFO: &str = "/thanos.info.Info/Info";
    /// Type, help and unit of metrics: a stream.
    pub const METADATA: &str = "/thanos.Metadata/MetricMetadata";
    /// Rules and alerts: a stream.
    pub const RULES: &str = "/thanos.Rules/Rules";
    /// Scraped targets: a stream.
    pub const TARGETS: &str = "/thanos.Targets/Targets";
    /// Exemplars: a stream.
    pub const EXEMPLARS: &str = "/thanos.Exemplars/Exemplars";
    /// Statistics of heads: a stream.
    pub const STATISTICS: &str = "/thanos.Status/TSDBStatistics";
    /// Readiness, now.
    pub const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
    /// Readiness, and each change of it.
    pub const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
}
