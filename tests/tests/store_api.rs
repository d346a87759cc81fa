//! Our StoreAPI server over the blocks of a Thanos bucket, asked what a Thanos Store Gateway was asked, byte by byte.

#![expect(clippy::unwrap_used, reason = "what these tests share fails as they do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use masthead_proto::health::HealthCheckResponse;
use masthead_proto::health::health_check_response::ServingStatus;
use masthead_proto::{path, thanos as proto};
use masthead_query::config::Config;
use masthead_query::server::Server;
use masthead_store::block::{BlockStore, BlockStoreOptions};
use masthead_store::serve::{ServeOptions, StoreService, listen};
use masthead_store::testing::golden;
use masthead_store::{Budget, Chunk, Encoding, Labels, Samples, Store, chunk};
use masthead_tests::grpc::{Client, Reply, base64};
use prost::Message as _;
use serde::Deserialize;
use tokio::net::TcpListener;

/// A recorded call.
#[derive(Deserialize)]
struct Call {
    method: String,
    request_b64: String,
    responses_b64: Vec<String>,
    grpc_status: i32,
    message: String,
    note: String,
}

/// What ours answers where it does not answer as Thanos did.
enum Ours {
    /// The same data, and warnings that raw data is missing.
    Warns,
    /// What the file holds on this line, in answer to another question.
    AsOn(usize),
    /// Raw data only, with warnings where none is left.
    RawOnly { warns: bool },
    /// The recorded series and more.
    More,
    /// The series of another line that have this label.
    SeriesOf(usize, (&'static str, &'static str)),
    /// These strings.
    Strings(&'static [&'static str]),
    /// An answer that ends with this status and a text that begins so.
    Fails(i32, &'static str),
}

/// Why the lines of [`Ours::Warns`] differ.
const ONLY_DOWNSAMPLED: &str = "a part of the time has only downsampled blocks, of which Thanos says nothing";
/// Why the lines of [`Ours::RawOnly`] differ.
const NOT_SERVED: &str = "asks for downsampled data, which is not served: raw data only";

/// The lines of `store.jsonl` on which ours differs from Thanos, what it answers, and why.
const DIFFERENT: &[(usize, Ours, &str)] = &[
    (10, Ours::Warns, ONLY_DOWNSAMPLED),
    (11, Ours::Warns, ONLY_DOWNSAMPLED),
    (12, Ours::Warns, ONLY_DOWNSAMPLED),
    (13, Ours::Warns, ONLY_DOWNSAMPLED),
    (14, Ours::Warns, ONLY_DOWNSAMPLED),
    (34, Ours::SeriesOf(9, ("cluster", "prod-us-east")), "a matcher on an external label only selects all its series"),
    (54, Ours::Warns, ONLY_DOWNSAMPLED),
    (55, Ours::RawOnly { warns: true }, NOT_SERVED),
    (56, Ours::RawOnly { warns: true }, NOT_SERVED),
    (57, Ours::RawOnly { warns: true }, NOT_SERVED),
    (58, Ours::RawOnly { warns: true }, NOT_SERVED),
    (59, Ours::RawOnly { warns: true }, NOT_SERVED),
    (60, Ours::RawOnly { warns: true }, NOT_SERVED),
    (61, Ours::RawOnly { warns: true }, NOT_SERVED),
    (62, Ours::RawOnly { warns: true }, NOT_SERVED),
    (63, Ours::RawOnly { warns: true }, NOT_SERVED),
    (64, Ours::RawOnly { warns: true }, NOT_SERVED),
    (65, Ours::RawOnly { warns: true }, NOT_SERVED),
    (66, Ours::RawOnly { warns: true }, NOT_SERVED),
    (67, Ours::AsOn(68), NOT_SERVED),
    (69, Ours::RawOnly { warns: true }, NOT_SERVED),
    (70, Ours::RawOnly { warns: false }, NOT_SERVED),
    (71, Ours::RawOnly { warns: true }, NOT_SERVED),
    (72, Ours::RawOnly { warns: true }, NOT_SERVED),
    (73, Ours::More, "a hint names blocks, which are no part of the question: hints are not followed"),
    (77, Ours::Warns, ONLY_DOWNSAMPLED),
    (78, Ours::Warns, ONLY_DOWNSAMPLED),
    (79, Ours::Warns, ONLY_DOWNSAMPLED),
    (90, Ours::Warns, ONLY_DOWNSAMPLED),
    (91, Ours::Warns, ONLY_DOWNSAMPLED),
    (100, Ours::Strings(&["eu-west-1", "us-east-1"]), "no series has the value that an external label hides (line 38)"),
    (104, Ours::Fails(3, "label name parameter cannot be empty"), "no label has an empty name, as sidecars say"),
    (124, Ours::Fails(13, "decode request: "), "the recorded text is that of Go's decoder"),
];

/// What a call gave, in a form in which order and cuts do not count.
#[derive(Debug, PartialEq, Default)]
struct Content {
    code: i32,
    text: String,
    series: BTreeMap<Labels, Data>,
    /// Names or values of labels.
    strings: Vec<String>,
}

/// What a series holds within the asked times.
#[derive(Debug, PartialEq, Default)]
struct Data {
    samples: BTreeSet<(i64, u64)>,
    /// Encoding and bytes of chunks of native histograms.
    histograms: BTreeSet<(i32, Bytes)>,
    /// Chunks without raw data.
    not_raw: usize,
    /// Chunks that do not decode.
    damaged: usize,
}

/// What a call gave, with what is not compared with Thanos.
#[derive(Debug)]
struct Answer {
    content: Content,
    warnings: Vec<String>,
    /// Labels of the series in the order in which they came.
    order: Vec<Labels>,
    /// Most series in one message.
    largest: usize,
}

fn labels(list: &[proto::Label]) -> Labels {
    Labels::from_pairs(list.iter().map(|label| (&label.name, &label.value)))
}

impl Data {
    fn add(&mut self, chunk: proto::AggrChunk, times: (i64, i64)) {
        let Some(raw) = chunk.raw else {
            self.not_raw += 1;
            return;
        };
        let (min_time, max_time) = (chunk.min_time, chunk.max_time);
        if max_time < times.0 || times.1 < min_time {
            return;
        }
        if raw.r#type != proto::chunk::Encoding::Xor as i32 {
            self.histograms.insert((raw.r#type, raw.data));
            return;
        }
        let mut samples = Samples::default();
        let chunk = Chunk { min_time, max_time, encoding: Encoding::Xor, data: raw.data };
        self.damaged += usize::from(chunk::decode_range(&chunk, times.0, times.1, &mut samples).is_err());
        self.samples.extend(samples.timestamps.iter().zip(&samples.values).map(|(t, v)| (*t, v.to_bits())));
    }
}

/// Reads an answer as prost has it, not as our client does.
fn read(method: &str, request: &Bytes, reply: Reply) -> Answer {
    let content = Content { code: reply.code, text: reply.text, ..Content::default() };
    let mut answer = Answer { content, warnings: Vec::new(), order: Vec::new(), largest: 0 };
    for message in reply.messages {
        match method {
            path::SERIES => {
                let request = proto::SeriesRequest::decode(request.clone()).unwrap();
                answer.take(proto::SeriesResponse::decode(message).unwrap(), (request.min_time, request.max_time));
            }
            path::LABEL_NAMES => {
                let names = proto::LabelNamesResponse::decode(message).unwrap();
                answer.content.strings.extend(names.names);
                answer.warnings.extend(names.warnings);
            }
            path::LABEL_VALUES => {
                let values = proto::LabelValuesResponse::decode(message).unwrap();
                answer.content.strings.extend(values.values);
                answer.warnings.extend(values.warnings);
            }
            _ => panic!("{method} gave a message"),
        }
    }
    answer
}

impl Answer {
    fn take(&mut self, message: proto::SeriesResponse, times: (i64, i64)) {
        use proto::series_response::Result;
        let series = match message.result {
            Some(Result::Series(series)) => vec![series],
            Some(Result::Batch(batch)) => batch.series,
            Some(Result::Warning(text)) => return self.warnings.push(text),
            Some(_) | None => return,
        };
        self.largest = self.largest.max(series.len());
        for series in series {
            let labels = labels(&series.labels);
            if self.order.last() != Some(&labels) {
                self.order.push(labels.clone());
            }
            let data = self.content.series.entry(labels).or_default();
            series.chunks.into_iter().for_each(|chunk| data.add(chunk, times));
        }
    }
}

struct Recorded {
    line: usize,
    call: Call,
    request: Bytes,
    answer: Answer,
}

fn recorded(file: &str) -> Option<Vec<Recorded>> {
    let text = fs::read_to_string(golden(file)?).unwrap();
    let line = |(index, text): (usize, &str)| {
        let call: Call = serde_json::from_str(text).unwrap();
        let request = base64(&call.request_b64).unwrap();
        let messages = call.responses_b64.iter().map(|text| base64(text).unwrap()).collect();
        let reply = Reply { messages, code: call.grpc_status, text: call.message.clone() };
        (call.method != path::INFO).then(|| {
            let answer = read(&call.method, &request, reply);
            Recorded { line: index + 1, call, request, answer }
        })
    };
    Some(text.lines().enumerate().filter_map(line).collect())
}

/// Serves the blocks of a bucket; the server ends with the runtime.
async fn serve(bucket: &str) -> Option<Client> {
    let options = BlockStoreOptions::directory(&golden(bucket)?, Labels::default(), Budget::unlimited()).unwrap();
    let store = Arc::new(BlockStore::open(options));
    store.refresh(SystemTime::now()).await.unwrap();
    let stores = Arc::new(move || vec![store.clone() as Arc<dyn Store>]);
    let service = StoreService::new(stores, Budget::unlimited(), ServeOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen(service, listener, std::future::pending()));
    Some(Client::connect(address).await.unwrap())
}

/// Where two contents differ first, short.
fn difference(ours: &Content, theirs: &Content) -> Option<String> {
    if (ours.code, &ours.text) != (theirs.code, &theirs.text) {
        return Some(format!("status {} {:?}, recorded {} {:?}", ours.code, ours.text, theirs.code, theirs.text));
    }
    if ours.strings != theirs.strings {
        return Some(format!("{:?}, recorded {:?}", ours.strings, theirs.strings));
    }
    let missing = theirs.series.keys().find(|labels| !ours.series.contains_key(labels));
    let extra = ours.series.keys().find(|labels| !theirs.series.contains_key(labels));
    if missing.or(extra).is_some() {
        let (have, want) = (ours.series.len(), theirs.series.len());
        return Some(format!("{have} series, recorded {want}; missing {missing:?}, extra {extra:?}"));
    }
    ours.series.iter().find(|(labels, data)| theirs.series.get(labels) != Some(data)).map(|(labels, data)| {
        let want = &theirs.series[labels];
        let (samples, histograms) = (data.samples.len(), data.histograms.len());
        let (want_samples, want_histograms) = (want.samples.len(), want.histograms.len());
        let chunks = format!("chunks not raw {}, damaged {}", data.not_raw, data.damaged);
        format!(
            "{labels}: {samples} samples, {histograms} histogram chunks, {chunks}; recorded {want_samples}, {want_histograms}"
        )
    })
}

impl Ours {
    /// What is wrong with an answer, where `theirs` is the recorded one and `calls` are all.
    fn fault(&self, ours: &Answer, theirs: &Content, calls: &[Recorded]) -> Option<String> {
        let on = |line: usize| &calls.iter().find(|call| call.line == line).unwrap().answer.content;
        let raw = |data: &Data| data.not_raw == 0 && data.damaged == 0;
        let content = &ours.content;
        let (differs, warns) = match self {
            Ours::Warns => (difference(content, theirs), true),
            Ours::AsOn(line) => (difference(content, on(*line)), false),
            Ours::RawOnly { warns } => {
                let fits =
                    content.code == 0 && content.series.values().all(raw) && (*warns || !content.series.is_empty());
                ((!fits).then(|| format!("not raw: {content:?}")), *warns)
            }
            Ours::More => {
                let fits = theirs.series.iter().all(|(labels, data)| content.series.get(labels) == Some(data));
                ((!fits || theirs.series.is_empty()).then(|| "lacks recorded series".to_owned()), false)
            }
            Ours::SeriesOf(line, (name, value)) => {
                let mut all = BTreeMap::new();
                for (labels, _) in on(*line).series.iter().filter(|(labels, _)| labels.value(name) == *value) {
                    all.insert(labels.clone(), Data::default());
                }
                (difference(content, &Content { series: all, ..Content::default() }), false)
            }
            Ours::Strings(strings) => ((content.strings != *strings).then(|| format!("{:?}", content.strings)), false),
            Ours::Fails(code, text) => {
                let fits = content.code == *code && content.text.starts_with(text);
                ((!fits).then(|| format!("status {} {:?}", content.code, content.text)), false)
            }
        };
        let telling = |text: &String| {
            text.contains("only downsampled blocks are left") && text.contains("cluster=\"prod-us-east\"")
        };
        let silent = ours.warnings.is_empty() == warns || !ours.warnings.iter().all(telling);
        differs.or_else(|| silent.then(|| format!("warnings {:?}", ours.warnings)))
    }
}

/// What is wrong with the form of an answer to `call`.
fn malformed(ours: &Answer, recorded: &Recorded) -> Option<String> {
    if recorded.call.method == path::SERIES && ours.content.code == 0 {
        let asked = proto::SeriesRequest::decode(recorded.request.clone()).unwrap();
        let batch = usize::try_from(asked.response_batch_size).unwrap_or(0).max(1);
        if ours.largest > batch {
            return Some(format!("a message of {} series where {batch} are allowed", ours.largest));
        }
        if batch > 1 && ours.largest == 1 && ours.order.len() > 1 {
            return Some("series are not batched".to_owned());
        }
    }
    let ascends = ours.order.is_sorted_by(|a, b| a < b) && ours.content.strings.is_sorted_by(|a, b| a < b);
    (!ascends).then(|| format!("does not ascend: {:?} {:?}", ours.order, ours.content.strings))
}

#[tokio::test]
async fn the_store_gateways_answers() {
    let (Some(calls), Some(client)) = (recorded("thanos-0.43/frames/store.jsonl"), serve("thanos-0.43/bucket").await)
    else {
        return;
    };
    assert_eq!(calls.len(), 123, "all but Info");
    let mut faults = Vec::new();
    for recorded in &calls {
        let Recorded { line, call, request, answer } = recorded;
        let ours = read(&call.method, request, client.call(&call.method, request.clone()).await);
        let same = difference(&ours.content, &answer.content)
            .or_else(|| (!ours.warnings.is_empty()).then(|| format!("warnings {:?}", ours.warnings)));
        let fault = match DIFFERENT.iter().find(|(listed, ..)| listed == line) {
            None => same,
            Some(_) if same.is_none() => Some("is listed and does not differ".to_owned()),
            Some((_, expected, _)) => expected.fault(&ours, &answer.content, &calls),
        };
        faults
            .extend(fault.or_else(|| malformed(&ours, recorded)).map(|text| format!("{line} ({}): {text}", call.note)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Thanos serves a chunk whose checksum is wrong. Ours names it, and gives what is sound.
#[tokio::test]
async fn a_damaged_chunk_is_named() {
    let (Some(calls), Some(client)) =
        (recorded("thanos-0.43/frames/store-corrupt.jsonl"), serve("thanos-0.43/bucket-corrupt").await)
    else {
        return;
    };
    for recorded in &calls {
        let Recorded { line, call, request, answer } = recorded;
        let ours = read(&call.method, request, client.call(&call.method, request.clone()).await);
        let names = |text: &str| {
            let parts = ["bucket-corrupt is missing: block 01", "read chunk at segment", "checksum does not fit"];
            assert!(parts.iter().all(|part| text.contains(part)), "{line}: {text}");
        };
        match line {
            1 | 4 => {
                assert_eq!(difference(&ours.content, &answer.content), None, "{line}");
                assert!(ours.warnings.is_empty(), "{line}: {:?}", ours.warnings);
            }
            2 | 3 => {
                let served: usize = answer.content.series.values().map(|data| data.damaged).sum();
                assert_eq!(served, 1, "the record holds the damaged chunk");
                assert_eq!((ours.content.code, ours.content.series.len(), ours.warnings.len()), (0, 0, 1));
                names(&ours.warnings[0]);
            }
            5 => {
                assert_eq!(ours.content.code, tonic::Code::Aborted as i32);
                names(&ours.content.text);
            }
            _ => panic!("line {line} is not judged"),
        }
    }
}

/// Probes of an orchestrator: not serving while a peer has yet to answer its first question, serving from then on.
#[tokio::test]
async fn probes_see_when_the_server_is_ready() {
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::default();
    config.listen.http = "127.0.0.1:0".to_owned();
    config.listen.grpc = Some("127.0.0.1:0".to_owned());
    config.sources.endpoints = vec![silent.local_addr().unwrap().to_string()];
    let running = Server::start(config).await.unwrap();
    let client = Client::connect(running.grpc_address.unwrap()).await.unwrap();
    let probe = async || {
        let reply = client.call(path::HEALTH_CHECK, Bytes::new()).await;
        HealthCheckResponse::decode(reply.messages[0].clone()).unwrap().status()
    };
    assert_eq!(probe().await, ServingStatus::NotServing);
    running.ready().await;
    assert_eq!(probe().await, ServingStatus::Serving);
}
