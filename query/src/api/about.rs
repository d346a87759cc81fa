//! What the server says of its settings, its process and its blocks; and what it does not do, in the words of Prometheus.

use std::sync::Arc;

use http::StatusCode;
use masthead_store::block::meta::BlockMeta;

use super::encode::{Data, Success};
use super::json::{push_key, push_list, push_string};
use super::status::refusal;
use super::time::rfc3339;
use super::{Api, ApiError, Call, Reply};
use crate::error::QueryError;
use crate::querier::Failure;

/// `/api/v1/status/config`: the settings in force, as a configuration file.
pub(super) async fn config(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    let mut out = b"{\"yaml\":".to_vec();
    push_string(&mut out, &api.querier.config.settings.yaml());
    out.push(b'}');
    Ok(Reply::plain(Success::of(Data::Json(out))))
}

/// `/api/v1/status/flags`.
pub(super) async fn flags(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    let mut out = b"{".to_vec();
    for (name, value) in api.querier.config.settings.flags() {
        push_key(&mut out, name);
        push_string(&mut out, &value);
    }
    out.push(b'}');
    Ok(Reply::plain(Success::of(Data::Json(out))))
}

/// `/api/v1/status/runtimeinfo`: Go's words for what is nearest. Goroutines are tasks, GOMAXPROCS the threads for rows,
/// GOMEMLIMIT the memory for the data of all queries. Nothing is stored, so that there is no retention.
pub(super) async fn runtime_info(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    let started = rfc3339(api.started);
    let directory = std::env::current_dir().unwrap_or_default();
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let config = &api.querier.config;
    let mut out = b"{".to_vec();
    for (key, text) in [
        ("startTime", &*started),
        ("CWD", &directory.to_string_lossy()),
        ("hostname", hostname.trim()),
        ("serverTime", &rfc3339(call.now)),
    ] {
        push_key(&mut out, key);
        push_string(&mut out, text);
    }
    push_key(&mut out, "reloadConfigSuccess");
    out.extend_from_slice(b"true");
    push_key(&mut out, "lastConfigTime");
    push_string(&mut out, &started);
    for (key, number) in [
        ("corruptionCount", 0),
        ("goroutineCount", tasks),
        ("GOMAXPROCS", config.query.threads),
        ("GOMEMLIMIT", config.limits.memory),
    ] {
        push_key(&mut out, key);
        out.extend_from_slice(number.to_string().as_bytes());
    }
    for key in ["GOGC", "GODEBUG", "storageRetention"] {
        push_key(&mut out, key);
        push_string(&mut out, "");
    }
    out.push(b'}');
    Ok(Reply::plain(Success::of(Data::Json(out))))
}

/// `/api/v1/status/tsdb/blocks`: the blocks of all folders, as their `meta.json` has them. A block's external labels are in its
/// `thanos` section.
pub(super) async fn blocks(api: &Api, _: &Call) -> Result<Reply, ApiError> {
    let mut metas: Vec<Arc<BlockMeta>> = api.querier.stores.blocks();
    metas.sort_by_key(|meta| (meta.min_time, meta.ulid));
    let mut out = b"{\"blocks\":".to_vec();
    let mut failed = None;
    push_list(&mut out, &metas, |out, meta| failed = serde_json::to_writer(out, &**meta).err().or(failed.take()));
    if let Some(error) = failed {
        return Err(Failure {
            error: QueryError::Internal(format!("write metadata of blocks: {error}")),
            coverage: None,
        }
        .into());
    }
    out.push(b'}');
    Ok(Reply::plain(Success::of(Data::Json(out))))
}

/// `/api/v1/write`: nothing is stored here.
pub(super) async fn no_remote_write(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
    Ok(refusal(StatusCode::NOT_FOUND, text))
}

/// `/api/v1/otlp/v1/metrics`: nothing is stored here.
pub(super) async fn no_otlp_write(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    Ok(refusal(StatusCode::NOT_FOUND, "otlp write receiver needs to be enabled with --web.enable-otlp-receiver"))
}

/// `/api/v1/admin/tsdb/...`: as with a Prometheus whose admin API is off.
pub(super) async fn no_admin(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", "admin APIs disabled".to_owned()))
}

/// `/api/v1/search/...`: as with a Prometheus whose search API is off.
pub(super) async fn no_search(_: &Api, _: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "unavailable", "search API disabled".to_owned()))
}
