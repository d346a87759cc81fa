//! `/api/v1/query_explain` and `/api/v1/query_range_explain`, and what `analyze=true` adds to an answer: the plan of a query,
//! in the form of Thanos (pkg/api/query/v1.go), with what it took as a whole. Operators are not timed one by one.

use std::time::Duration;

use masthead_store::coverage::{Coverage, Outcome};

use super::encode::{Data, Success};
use super::json::{push_key, push_list, push_string};
use super::query::{begin, instant_request, range_request};
use super::{Api, ApiError, Call, Reply};
use crate::engine::SampleCounts;
use crate::go_float;
use crate::plan::Explained;
use crate::querier::{Cost, Request};

/// `/api/v1/query_explain`.
pub(super) async fn instant(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    explain(api, call, instant_request(api, call)?).await
}

/// `/api/v1/query_range_explain`.
pub(super) async fn range(api: &Api, call: &Call) -> Result<Reply, ApiError> {
    explain(api, call, range_request(api, call)?).await
}

async fn explain(api: &Api, call: &Call, mut request: Request) -> Result<Reply, ApiError> {
    let turn = begin(api, call, &mut request).await?;
    let plan = api.querier.planner(request);
    let written = turn.compute(move || {
        let mut out = Vec::new();
        push_explained(&mut out, &plan()?.tree());
        Ok(out)
    });
    let json = written.await.map_err(|error| ApiError::from(error).about("query"))?;
    Ok(Reply::plain(Success::of(Data::Json(json))))
}

/// `{"name":..,"children":[..]}`; leaves have no children.
fn push_explained(out: &mut Vec<u8>, node: &Explained) {
    out.push(b'{');
    push_key(out, "name");
    push_string(out, &node.name);
    push_children(out, node);
    out.push(b'}');
}

fn push_children(out: &mut Vec<u8>, node: &Explained) {
    if !node.children.is_empty() {
        push_key(out, "children");
        push_list(out, &node.children, push_explained);
    }
}

/// What is under `analysis`: the root of the plan with what all of it took, who was asked, and the nodes below.
pub(super) fn analysis(tree: &Explained, (cost, samples): (&Cost, &SampleCounts), coverage: &Coverage) -> String {
    let mut out = b"{".to_vec();
    push_key(&mut out, "name");
    push_string(&mut out, &tree.name);
    push_key(&mut out, "executionTime");
    push_string(&mut out, &go_duration(cost.prepared + cost.evaluated));
    for (key, count) in [("peakSamples", samples.peak as u64), ("totalSamples", samples.looked_at.iter().sum())] {
        push_key(&mut out, key);
        out.extend_from_slice(count.to_string().as_bytes());
    }
    if !coverage.asked.is_empty() {
        push_key(&mut out, "fanout");
        push_list(&mut out, &coverage.asked, |out, asked| {
            out.push(b'{');
            push_key(out, "endpointAddr");
            push_string(out, &asked.store);
            if let Outcome::Complete { series, bytes, took } = &asked.outcome {
                push_key(out, "duration");
                push_string(out, &go_duration(*took));
                for (key, number) in [("bytesProcessed", bytes), ("series", series)] {
                    push_key(out, key);
                    out.extend_from_slice(number.to_string().as_bytes());
                }
            }
            out.push(b'}');
        });
    }
    push_children(&mut out, tree);
    out.push(b'}');
    // All parts are text.
    String::from_utf8(out).unwrap_or_default()
}

/// A duration as Go prints it: `1m2.5s`, `12.3ms`, `7µs`, `0s`.
fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let in_units = |unit: u128| go_float::plain(nanos as f64 / unit as f64);
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", in_units(1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", in_units(1_000_000)),
        _ => {
            let (minutes, rest) = (duration.as_secs() / 60, nanos % 60_000_000_000);
            let seconds = go_float::plain(rest as f64 / 1e9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, expected) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (12_300_000, "12.3ms"),
            (1_000_000_000, "1s"),
            (62_500_000_000, "1m2.5s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), expected);
        }
    }
}
