//! Answers that a real sidecar, store gateway and Querier sent, played back byte for byte.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt as _;
use masthead_proto::{path, thanos as proto};
use prost::Message as _;

use super::peer::{Part, TestPeer};
use crate::testing::shared;
use crate::{Allowance, Budget, Encoding, Labels, MatchOp, Matcher, Select, Series, Store, StoreErrorKind, StoreState};

/// One recorded call.
pub(in crate::remote) struct Call {
    pub(in crate::remote) at: String,
    pub(in crate::remote) method: String,
    pub(in crate::remote) request: Bytes,
    pub(in crate::remote) responses: Vec<Bytes>,
    status: i32,
    message: String,
}

pub(in crate::remote) fn calls(file: &str) -> Option<Vec<Call>> {
    let text = std::fs::read_to_string(shared(&format!("golden/thanos-0.43/frames/{file}.jsonl"))?).unwrap();
    let call = |(i, line): (usize, &str)| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        Call {
            at: format!("{file}:{} {}", i + 1, text("note")),
            method: text("method"),
            request: base64(&text("request_b64")),
            responses: row["responses_b64"].as_array().unwrap().iter().map(|r| base64(r.as_str().unwrap())).collect(),
            status: row["grpc_status"].as_i64().unwrap() as i32,
            message: text("message"),
        }
    };
    Some(text.lines().enumerate().map(call).collect())
}

fn base64(text: &str) -> Bytes {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|a| *a == c).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes.into()
}

/// Labels to chunks (times, encoding, bytes), sorted.
type Content = BTreeMap<Labels, Vec<(i64, i64, Encoding, Bytes)>>;

/// What the recorded messages hold by prost's reading, without the labels `strip`; their first warning; and whether
/// chunks came without raw samples.
fn expected(call: &Call, strip: &[Box<str>]) -> (Content, Option<String>, bool) {
    use proto::series_response::Result as Case;
    let (mut content, mut warning, mut lacks) = (Content::new(), None, false);
    for response in &call.responses {
        let all = match proto::SeriesResponse::decode(response.clone()).unwrap().result {
            Some(Case::Series(series)) => vec![series],
            Some(Case::Batch(batch)) => batch.series,
            Some(Case::Warning(text)) => {
                warning.get_or_insert(text);
                continue;
            }
            Some(Case::Hints(_)) | None => continue,
        };
        for series in all {
            let labels = Labels::from_pairs(series.labels.iter().map(|l| (&l.name, &l.value))).without(strip);
            let chunks = content.entry(labels).or_default();
            for chunk in series.chunks {
                match chunk.raw.filter(|raw| !raw.data.is_empty()) {
                    Some(raw) => {
                        let encoding = Encoding::from_block(raw.r#type as u8 + 1).unwrap();
                        chunks.push((chunk.min_time, chunk.max_time, encoding, raw.data));
                    }
                    None => lacks = true,
                }
            }
            chunks.sort();
        }
    }
    (content, warning, lacks)
}

fn content(series: &[Series]) -> Content {
    let mut content = Content::new();
    for series in series {
        let chunks = content.entry(series.labels.clone()).or_default();
        for chunk in series.lanes.iter().flat_map(|lane| &lane.chunks) {
            chunks.push((chunk.min_time, chunk.max_time, chunk.encoding, chunk.data.clone()));
        }
        chunks.sort();
    }
    content
}

fn select(request: &proto::SeriesRequest) -> Option<Select> {
    let op =
        |kind| [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex].into_iter().nth(kind as usize);
    let matchers = request.matchers.iter().map(|m| Matcher::new(&m.name, op(m.r#type)?, &m.value).ok());
    Some(Select {
        matchers: matchers.collect::<Option<_>>()?,
        min_time: request.min_time,
        max_time: request.max_time,
        replica_labels: request.without_replica_labels.iter().map(|name| name.as_str().into()).collect(),
        labels_only: request.skip_chunks,
        limit: usize::try_from(request.limit).unwrap_or(0),
    })
}

/// Plays all calls of a file; gives the number of Series calls, of series, and of label calls that were compared.
async fn play(file: &str) -> Option<(usize, usize, usize)> {
    let calls = calls(file)?;
    // What is answered next, whatever is asked.
    let next: Arc<Mutex<Vec<Part>>> = Arc::default();
    let playing = next.clone();
    let peer = TestPeer::start(move |_, _| playing.lock().unwrap().clone()).await;
    let parts = |call: &Call| -> Vec<Part> {
        let messages = call.responses.iter().map(|r| Part::Message(r.clone()));
        messages.chain([Part::Status(call.status, Box::leak(call.message.clone().into_boxed_str()))]).collect()
    };
    if let Some(facts) = calls.iter().find(|call| call.method == path::INFO) {
        *next.lock().unwrap() = parts(facts);
    }
    let store = peer.store().await;
    let (mut asked, mut seen, mut labels) = (0, 0, 0);
    for call in &calls {
        *next.lock().unwrap() = parts(call);
        let at = &call.at;
        match &*call.method {
            path::SERIES => {
                let Some(select) = proto::SeriesRequest::decode(call.request.clone()).ok().and_then(|r| select(&r))
                else {
                    continue;
                };
                asked += 1;
                seen += compare_series(&store, call, select).await;
            }
            path::LABEL_NAMES | path::LABEL_VALUES => {
                let all = Arc::new(Select {
                    matchers: vec![],
                    min_time: 0,
                    max_time: 1,
                    replica_labels: vec![],
                    labels_only: true,
                    limit: 0,
                });
                let (got, strings) = if call.method == path::LABEL_NAMES {
                    let response =
                        call.responses.first().map(|r| proto::LabelNamesResponse::decode(r.clone()).unwrap());
                    (store.label_names(all, Allowance::unlimited()).await, response.map(|r| (r.names, r.warnings)))
                } else {
                    let response =
                        call.responses.first().map(|r| proto::LabelValuesResponse::decode(r.clone()).unwrap());
                    (
                        store.label_values("x".into(), all, Allowance::unlimited()).await,
                        response.map(|r| (r.values, r.warnings)),
                    )
                };
                labels += 1;
                match strings {
                    Some((mut strings, warnings)) if warnings.is_empty() => {
                        strings.retain(|s| !s.is_empty());
                        strings.sort();
                        strings.dedup();
                        let got = got.unwrap_or_else(|e| panic!("{at}: {e}"));
                        assert!(got.lacking.is_none() && got.iter().eq(&strings), "{at}: {got:?}");
                    }
                    Some((_, warnings)) => {
                        let lacking = got.unwrap_or_else(|e| panic!("{at}: {e}")).lacking.unwrap();
                        assert!(lacking.to_string().contains(&warnings[0]), "{at}: {lacking}");
                    }
                    None => assert!(got.unwrap_err().to_string().contains(&call.message), "{at}"),
                }
            }
            _ => {}
        }
    }
    let facts = calls.iter().any(|call| call.method == path::INFO);
    assert_eq!(matches!(store.info().state, StoreState::Up), facts, "{file}");
    Some((asked, seen, labels))
}

/// Checks every stream of a selection, all of which are given the same answer. Gives the number of series of one.
async fn compare_series(store: &crate::remote::RemoteStore, call: &Call, select: Select) -> usize {
    let at = &call.at;
    let (content_expected, warning, lacks) = expected(call, &select.replica_labels);
    let budget = Budget::new("query", 16 << 20);
    for mut stream in store.select(Arc::new(select), Allowance::of(&budget)) {
        let (mut all, mut error, mut held) = (Vec::new(), None, Vec::new());
        while let Some(item) = stream.next().await {
            match item {
                Ok(batch) => {
                    let slices: usize =
                        batch.series.iter().flat_map(|s| &s.lanes).flat_map(|l| &l.chunks).map(|c| c.data.len()).sum();
                    assert!(batch.held.bytes() >= slices, "{at}");
                    all.extend(batch.series);
                    held.push(batch.held);
                }
                Err(failed) => error = Some(failed),
            }
        }
        assert!(all.is_sorted_by(|a, b| a.labels < b.labels), "{at}: out of order");
        assert_eq!(content(&all), content_expected, "{at}");
        match (&warning, error) {
            _ if call.status != 0 => {}
            (Some(warning), error) => {
                let error = error.unwrap_or_else(|| panic!("{at}: the warning is lost"));
                assert!(error.to_string().contains(warning.as_str()), "{at}: {error}");
            }
            (None, Some(error)) => assert!(lacks && error.kind == StoreErrorKind::Unsupported, "{at}: {error}"),
            (None, None) => assert!(!lacks, "{at}: chunks without raw samples are not named"),
        }
    }
    assert_eq!(budget.used(), 0, "{at}");
    content_expected.len()
}

/// Each file: all Series and label calls give what prost reads from the recorded messages, in order, with the status or
/// warning as the error at the end.
#[tokio::test]
async fn recorded_answers_are_read_as_recorded() {
    for (file, expected) in [
        ("sidecar", (49, 141, 30)),
        ("store", (72, 596, 30)),
        ("query", (72, 651, 30)),
        ("query-strict", (7, 12, 4)),
        ("store-corrupt", (5, 8, 0)),
        ("store-limited", (6, 2, 1)),
    ] {
        let Some(played) = play(file).await else { return };
        assert_eq!(played, expected, "{file}: Series calls, series, label calls");
    }
}
