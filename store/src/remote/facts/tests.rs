//! Facts over the wire: through our own server and back, and from peers that play foul.

use std::time::{Duration, SystemTime};

use masthead_proto::{path, thanos as proto};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::facts::{
    ActiveTarget, Alert, AlertState, Alerting, Count, DroppedTarget, Exemplar, ExemplarSeries, Fact, Health, Kinds,
    MetadataRequest, MetricMetadata, Moment, Rule, RuleGroup, RulesRequest, Statistics, StatisticsRequest,
    TargetsRequest,
};
use crate::fanout::{self, FanOutOptions, Progress};
use crate::remote::tests::peer::{Part, TestPeer};
use crate::remote::tests::recorded::{Call as Recorded, calls};
use crate::remote::{RemoteOptions, RemoteStore};
use crate::serve::{ParseSelectors, ServeOptions, StoreService, listen};
use crate::testing::{Fault, FaultyStore, MemoryStore};
use crate::{Budget, Labels, Store, StoreErrorKind};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn rule(name: &str, alerting: Option<Alerting>) -> Rule {
    Rule {
        name: name.into(),
        query: "up == 0".into(),
        labels: labels(&[("cluster", "x"), ("replica", "a")]),
        health: "err".into(),
        last_error: "too much".into(),
        evaluation_s: 0.25,
        last_evaluation: Moment::new(1_700_000_000, 5),
        alerting,
    }
}

/// One of each, with every field set.
fn every_fact() -> Vec<Fact> {
    let alert = Alert {
        labels: labels(&[("alertname", "Down")]),
        annotations: labels(&[("summary", "it is ü")]),
        state: AlertState::Firing,
        active_at: Some(Moment::new(-1, 999_999_999)),
        value: "1e+00".into(),
    };
    let alerting = Alerting {
        state: AlertState::Firing,
        hold_s: 300.0,
        keep_firing_s: 60.0,
        annotations: labels(&[("summary", "{{ $value }}")]),
        alerts: vec![alert.clone(), Alert { active_at: None, ..alert }],
    };
    let count = |name: &str| vec![Count { name: name.into(), count: u64::MAX }];
    vec![
        Fact::Metadata(MetricMetadata {
            metric: "up".into(),
            kind: "gauge".into(),
            help: "Whether \"it\" is.".into(),
            unit: "bits".into(),
        }),
        Fact::RuleGroup(RuleGroup {
            name: "g".into(),
            file: "f.yaml".into(),
            rules: vec![rule("Down", Some(alerting)), rule("a:b", None)],
            interval_s: 30.0,
            limit: -7,
            evaluation_s: 0.5,
            last_evaluation: Moment::NEVER,
            aborts: true,
        }),
        Fact::ActiveTarget(ActiveTarget {
            discovered_labels: labels(&[("__address__", "a:1"), ("replica", "a")]),
            labels: labels(&[("job", "x"), ("replica", "a")]),
            scrape_pool: "x".into(),
            scrape_url: "http://a:1/metrics".into(),
            global_url: "http://b:1/metrics".into(),
            last_error: "refused".into(),
            last_scrape: Moment::new(1_700_000_000, 1),
            last_scrape_s: 0.125,
            health: Health::Unknown,
        }),
        Fact::DroppedTarget(DroppedTarget { discovered_labels: labels(&[("job", "y")]) }),
        Fact::Exemplars(ExemplarSeries {
            labels: labels(&[("__name__", "h_bucket"), ("replica", "a")]),
            exemplars: vec![Exemplar { labels: labels(&[("trace", "1")]), value: -0.5, time: -3 }],
        }),
        Fact::Statistics(Statistics {
            label_sets: vec![labels(&[("cluster", "x"), ("replica", "a")])],
            tenant: "t".into(),
            series: 5,
            label_pairs: 6,
            chunks: 7,
            min_time: -8,
            max_time: 9,
            series_by_metric: count("up"),
            values_by_label: count("job"),
            bytes_by_label: count("pod"),
            series_by_pair: count("job=x"),
        }),
    ]
}

fn questions() -> Vec<Question> {
    let selectors = vec![vec![Matcher::equal("__name__", "h_bucket")]];
    vec![
        Question::Metadata(MetadataRequest::default()),
        Question::Rules(RulesRequest::default()),
        Question::Targets(TargetsRequest::default()),
        Question::Exemplars(ExemplarsRequest { selectors, min_time: -10, max_time: 10 }),
        Question::Statistics(StatisticsRequest { matchers: vec![], limit: 10 }),
    ]
}

fn memory() -> MemoryStore {
    MemoryStore::new("memory", &labels(&[("cluster", "x"), ("replica", "a")]), &[]).with_facts(Kinds::ALL, every_fact())
}

struct Served {
    store: RemoteStore,
    _task: JoinSet<()>,
}

/// A server over stores, and a client of it.
async fn served(stores: Vec<Arc<dyn Store>>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Stands for the parser of PromQL: one name per selector.
    let parse: ParseSelectors = Arc::new(|query| match query.strip_prefix("{__name__=\"") {
        Some(rest) => Ok(vec![vec![Matcher::equal("__name__", rest.trim_end_matches("\"}"))]]),
        None => Err(format!("no selector: {query}")),
    });
    let stores = Arc::new(move || stores.clone());
    let service = StoreService::with_parser(stores, Budget::unlimited(), ServeOptions::default(), Some(parse));
    let mut task = JoinSet::new();
    task.spawn(async move { listen(service, listener, std::future::pending()).await.unwrap() });
    let store = RemoteStore::new(&address.to_string(), RemoteOptions::default()).unwrap();
    store.poll_info(SystemTime::UNIX_EPOCH).await;
    Served { store, _task: task }
}

async fn answer(store: &dyn Store, question: Question, budget: &Budget) -> Result<Facts, StoreError> {
    store.facts(Arc::new(question), Allowance::of(budget)).await
}

/// Whatever a store knows comes through one server, and through two, as it is.
#[tokio::test]
async fn facts_come_through_unchanged() {
    let Served { store, _task: first } = served(vec![Arc::new(memory())]).await;
    assert_eq!(store.info().serves, Kinds::ALL);
    let two = served(vec![Arc::new(store)]).await;
    for question in questions() {
        let kind = question.kind();
        let budget = Budget::unlimited();
        let facts = answer(&two.store, question, &budget).await.unwrap();
        assert!(facts.lacking.is_none(), "{kind:?}: {:?}", facts.lacking);
        assert_eq!(facts.size_bytes(), budget.used(), "{kind:?}");
        let (facts, held) = facts.into_parts();
        let expected: Vec<Fact> = every_fact().into_iter().filter(|fact| fact.kind() == kind).collect();
        assert_eq!(facts, expected, "{kind:?}");
        drop(held);
        assert_eq!(budget.used(), 0);
    }
    drop(first);
}

fn options() -> FanOutOptions {
    let deadline = Instant::now() + Duration::from_secs(60);
    FanOutOptions { buffer_bytes: 1 << 20, response_timeout: Duration::from_secs(5), deadline }
}

/// Only those who serve a kind are asked for it; who fails is named, here and behind a server; a source of other labels
/// is not asked.
#[tokio::test]
async fn who_serves_is_asked_and_who_fails_is_named() {
    let broken = FaultyStore::new(Arc::new(memory()), Fault::Error(0));
    let silent = MemoryStore::new("silent", &labels(&[("cluster", "y")]), &[]);
    let stores: Vec<Arc<dyn Store>> = vec![Arc::new(memory()), Arc::new(broken), Arc::new(silent)];
    let ask = async |stores: &[Arc<dyn Store>], question: Question| {
        let (budget, progress) = (Budget::unlimited(), Progress::default());
        let facts = fanout::facts(stores, Arc::new(question), &budget, &options(), &progress).await.unwrap();
        (facts.len(), progress.coverage(None))
    };
    let Served { store, _task: server } = served(stores.clone()).await;
    let through: Vec<Arc<dyn Store>> = vec![Arc::new(store)];
    for question in questions() {
        let kind = question.kind();
        let (count, coverage) = ask(&stores, question.clone()).await;
        assert_eq!(count, if kind == Kind::Targets { 2 } else { 1 }, "{kind:?}");
        // Both are called memory, and the worse of the two outcomes counts.
        assert_eq!((coverage.asked.len(), coverage.is_complete()), (1, false), "{kind:?}");
        let (behind, coverage) = ask(&through, question).await;
        assert_eq!((behind, coverage.is_complete()), (count, false), "{kind:?}");
        assert!(format!("{:?}", coverage.asked[0].outcome).contains("injected failure"), "{coverage:?}");
    }
    let elsewhere = StatisticsRequest { matchers: vec![Matcher::equal("cluster", "z")], limit: 10 };
    assert!(ask(&stores, Question::Statistics(elsewhere)).await.1.asked.is_empty());
    drop(server);
}

async fn peer(parts: Vec<Part>) -> (TestPeer, RemoteStore) {
    let peer = TestPeer::start(move |path, _| match path {
        path::INFO => {
            let info = proto::info::InfoResponse {
                component_type: "sidecar".into(),
                rules: Some(proto::info::RulesInfo {}),
                metric_metadata: Some(proto::info::MetricMetadataInfo {}),
                ..Default::default()
            };
            vec![Part::Message(info.encode_to_vec().into())]
        }
        _ => parts.clone(),
    })
    .await;
    let store = peer.store().await;
    (peer, store)
}

fn message(result: proto::rules_response::Result) -> Part {
    Part::Message(proto::RulesResponse { result: Some(result) }.encode_to_vec().into())
}

fn group() -> Part {
    message(proto::rules_response::Result::Group(proto::RuleGroup { name: "g".into(), ..Default::default() }))
}

#[tokio::test]
async fn what_a_peer_serves_is_what_it_says() {
    let (_peer, store) = peer(vec![]).await;
    assert_eq!(store.info().serves, [Kind::Rules, Kind::Metadata].into_iter().collect());
}

/// What came is kept, and why it is not all is said.
#[tokio::test]
async fn broken_answers_are_kept_and_named() {
    let warning = message(proto::rules_response::Result::Warning("a cluster is gone".into()));
    let rows = [
        (vec![group(), warning, group()], 2, StoreErrorKind::Unavailable, "incomplete: a cluster is gone"),
        (vec![group(), Part::Status(8, "too much")], 1, StoreErrorKind::LimitExceeded, "too much"),
        (vec![group(), Part::Message(vec![0x0a, 5, 1].into()), group()], 1, StoreErrorKind::Corrupt, "ends too early"),
        (vec![group(), Part::Message(vec![0x0a, 2, 0x0a, 0xff].into())], 1, StoreErrorKind::Corrupt, "too long"),
        (vec![Part::Message(vec![0x0a, 3, 0x0a, 1, 0xff].into())], 0, StoreErrorKind::Corrupt, "not UTF-8"),
        (vec![Part::Message(vec![0x08, 1].into())], 0, StoreErrorKind::Corrupt, "wrong wire type"),
        (
            vec![group(), Part::Raw(vec![0, 0x7f, 0xff, 0xff, 0xff, 1].into())],
            1,
            StoreErrorKind::LimitExceeded,
            "limit",
        ),
    ];
    for (parts, count, kind, text) in rows {
        let peer = TestPeer::start(move |_, _| parts.clone()).await;
        let options = RemoteOptions { message_bytes_max: 1 << 20, ..RemoteOptions::default() };
        let store = RemoteStore::new(&peer.address.to_string(), options).unwrap();
        let facts = answer(&store, Question::Rules(RulesRequest::default()), &Budget::unlimited()).await.unwrap();
        let lacking = facts.lacking.as_ref().unwrap();
        assert_eq!((facts.len(), lacking.kind), (count, kind), "{lacking}");
        assert!(lacking.to_string().contains(text), "{lacking}");
    }
}

/// A peer that does not know the service is an error of that peer.
#[tokio::test]
async fn a_service_that_is_not_there_is_an_error() {
    let (_peer, store) = peer(vec![Part::Status(12, "unknown service thanos.Rules")]).await;
    let facts = answer(&store, Question::Rules(RulesRequest::default()), &Budget::unlimited()).await.unwrap();
    let lacking = facts.lacking.as_ref().unwrap();
    assert_eq!((lacking.kind, facts.len()), (StoreErrorKind::Refused, 0));
    assert!(lacking.to_string().contains("unknown service thanos.Rules"), "{lacking}");
}

/// Two bytes a rule on the wire are hundreds in memory: they are refused before they are made, and all is given back.
#[tokio::test]
async fn a_small_message_cannot_become_large() {
    let rules = [0x1a, 2, 0x0a, 0].repeat(100_000);
    let mut bytes = vec![0x0a];
    prost::encoding::encode_varint(rules.len() as u64, &mut bytes);
    bytes.extend(rules);
    let (_peer, store) = peer(vec![Part::Message(bytes.into())]).await;
    let budget = Budget::new("query", 4 << 20);
    let error = answer(&store, Question::Rules(RulesRequest::default()), &budget).await.unwrap_err();
    assert_eq!(error.limit().unwrap().budget, "query");
    assert!(budget.peak() <= 4 << 20);
    assert_eq!(budget.used(), 0);
}

/// Messages without end end with our budget where they hold something, and with the deadline where they do not.
#[tokio::test]
async fn streams_without_end_end() {
    let many = std::iter::repeat_n(group(), 20_000).chain([Part::Hang]).collect();
    let (_peer, store) = peer(many).await;
    let budget = Budget::new("query", 1 << 20);
    let error = answer(&store, Question::Rules(RulesRequest::default()), &budget).await.unwrap_err();
    assert!(error.limit().is_some() && budget.used() == 0, "{error}");

    let idle = vec![Part::Message(vec![].into()), Part::Message(vec![0x7a, 0].into()), group(), Part::Hang];
    let (peer, store) = peer(idle).await;
    let options = FanOutOptions { response_timeout: Duration::from_millis(100), ..options() };
    let (stores, progress): ([Arc<dyn Store>; 1], _) = ([Arc::new(store)], Progress::default());
    let question = Arc::new(Question::Rules(RulesRequest::default()));
    let facts = fanout::facts(&stores, question, &Budget::unlimited(), &options, &progress).await.unwrap();
    assert!(facts.is_empty());
    let text = format!("{:?}", progress.coverage(None).asked[0].outcome);
    assert!(text.contains("read facts: the time for the answer is up"), "{text}");
    peer.answer_gone.notified().await;
}

/// Prometheus does not know external labels, and takes no selector that selects everything.
#[test]
fn selectors_are_made_for_who_is_asked() {
    let advert = |component: &str, sets: &[&[(&str, &str)]]| Advert {
        component: component.into(),
        label_sets: sets.iter().map(|set| labels(set)).collect(),
        ..Advert::unknown()
    };
    let not = |name: &str, value: &str| Matcher::new(name, MatchOp::NotEqual, value).unwrap();
    let request = ExemplarsRequest {
        selectors: vec![
            vec![Matcher::equal("__name__", "a"), Matcher::equal("cluster", "x")],
            vec![Matcher::equal("cluster", "x"), not("job", "\"")],
            vec![Matcher::equal("cluster", "y"), Matcher::equal("__name__", "b")],
        ],
        min_time: 0,
        max_time: 1,
    };
    let sidecar = advert("sidecar", &[&[("cluster", "x"), ("replica", "a")]]);
    assert_eq!(exemplars_query(&request, &sidecar), r#"{__name__="a"} + {job!="\"",__name__=~".+"}"#);
    let both: &[&[(&str, &str)]] = &[&[("cluster", "x")], &[("cluster", "y")]];
    assert_eq!(
        exemplars_query(&request, &advert("query", both)),
        r#"{__name__="a",cluster="x"} + {cluster="x",job!="\""} + {cluster="y",__name__="b"}"#
    );
    assert_eq!(exemplars_query(&request, &advert("", &[])).matches(" + ").count(), 2);
}

/// What a real sidecar and a real Querier sent goes through our client and server, and comes out as prost reads the
/// original.
#[tokio::test]
async fn recorded_facts_come_through_unchanged() {
    for file in ["sidecar", "query"] {
        let Some(calls) = calls(file) else { return };
        let calls = calls.into_iter().filter(|call| !call.responses.is_empty() && kind_of(&call.method).is_some());
        let mut kinds = Kinds::NONE;
        for call in calls {
            kinds = kinds.with(kind_of(&call.method).unwrap(), true);
            through(&call).await;
        }
        assert_eq!(kinds, Kinds::ALL, "{file}");
    }
}

fn kind_of(method: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| path_of(*kind) == method)
}

async fn through(call: &Recorded) {
    let parts: Vec<Part> = call.responses.iter().cloned().map(Part::Message).collect();
    let peer = TestPeer::start(move |path, _| match path {
        path::INFO => {
            let info = proto::info::InfoResponse {
                component_type: "query".into(),
                rules: Some(Default::default()),
                metric_metadata: Some(Default::default()),
                targets: Some(Default::default()),
                exemplars: Some(Default::default()),
                status: Some(Default::default()),
                ..Default::default()
            };
            vec![Part::Message(info.encode_to_vec().into())]
        }
        _ => parts.clone(),
    })
    .await;
    let served = served(vec![Arc::new(peer.store().await)]).await;
    // Filters are tried elsewhere; here everything that was recorded is wanted.
    let request = match kind_of(&call.method) {
        Some(Kind::Exemplars) => proto::ExemplarsRequest {
            query: "{__name__=\"http_requests_total\"}".into(),
            start: i64::MIN,
            end: i64::MAX,
            ..Default::default()
        }
        .encode_to_vec(),
        Some(Kind::Metadata) => proto::MetricMetadataRequest { limit: -1, ..Default::default() }.encode_to_vec(),
        _ => vec![],
    };
    let path = Kind::ALL.map(path_of).into_iter().find(|path| *path == call.method).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let question = Call { path, request: &request, deadline, act: "ask again" };
    let mut messages = served.store.peer.endpoint.call(&question).await.unwrap();
    let (mut held, mut got) = (Held::new(&Budget::unlimited()), Vec::new());
    while let Some(message) = poll_fn(|cx| messages.poll_next(cx, &mut held)).await {
        got.push(message.unwrap());
    }
    assert_eq!(read(path, &got), read(path, &call.responses), "{}", call.at);
}

/// All that messages say, by prost's reading, one line each, sorted.
fn read(path: &str, messages: &[bytes::Bytes]) -> Vec<String> {
    let mut lines = Vec::new();
    for message in messages.iter().cloned() {
        match path {
            path::RULES => {
                let mut message = proto::RulesResponse::decode(message).unwrap();
                if let Some(proto::rules_response::Result::Group(group)) = &mut message.result {
                    // Absent is Go's zero time.
                    group.last_evaluation.get_or_insert(proto::Timestamp { seconds: -62_135_596_800, nanos: 0 });
                }
                lines.push(format!("{message:?}"));
            }
            path::TARGETS => match proto::TargetsResponse::decode(message).unwrap().result {
                Some(proto::targets_response::Result::Targets(targets)) => {
                    lines.extend(targets.active_targets.iter().map(|target| format!("{target:?}")));
                    lines.extend(targets.dropped_targets.iter().map(|target| format!("{target:?}")));
                }
                other => lines.push(format!("{other:?}")),
            },
            path::METADATA => match proto::MetricMetadataResponse::decode(message).unwrap().result {
                Some(proto::metric_metadata_response::Result::Metadata(metadata)) => {
                    lines.extend(metadata.metadata.iter().map(|entry| format!("{entry:?}")));
                }
                other => lines.push(format!("{other:?}")),
            },
            path::EXEMPLARS => lines.push(format!("{:?}", proto::ExemplarsResponse::decode(message).unwrap())),
            _ => match proto::TsdbStatisticsResponse::decode(message).unwrap().result {
                // Added up by tenant on the way.
                Some(proto::tsdb_statistics_response::Result::Statistics(statistics)) => {
                    let heads = statistics.statistics.values().filter_map(|entry| entry.head_statistics.as_ref());
                    let series = heads.map(|head| head.num_series).sum::<u64>();
                    lines.extend(std::iter::repeat_n("a series".to_owned(), series as usize));
                }
                other => lines.push(format!("{other:?}")),
            },
        }
    }
    lines.sort_unstable();
    lines
}

/// What a message makes is paid for once, while it is read too.
#[test]
fn facts_are_paid_for_once() {
    let long = "x".repeat(100_000);
    let rule = proto::RecordingRule { name: "a".into(), query: long.clone(), ..Default::default() };
    let rule = proto::Rule { result: Some(proto::rule::Result::Recording(rule)) };
    let group = proto::RuleGroup { name: "g".into(), rules: vec![rule; 3], ..Default::default() };
    let label = proto::Label { name: "a".into(), value: long.clone() };
    let target =
        proto::ActiveTarget { discovered_labels: Some(proto::LabelSet { labels: vec![label] }), ..Default::default() };
    let targets = proto::TargetDiscovery { active_targets: vec![target; 3], ..Default::default() };
    let meta = proto::Meta { r#type: "gauge".into(), help: long, unit: String::new() };
    let entry = proto::MetricMetadataEntry { metas: vec![meta; 3] };
    let metadata = proto::MetricMetadata { metadata: [("up".to_owned(), entry)].into() };
    use proto::{metric_metadata_response, rules_response, targets_response};
    let messages = [
        (Kind::Rules, proto::RulesResponse { result: Some(rules_response::Result::Group(group)) }.encode_to_vec()),
        (
            Kind::Targets,
            proto::TargetsResponse { result: Some(targets_response::Result::Targets(targets)) }.encode_to_vec(),
        ),
        (
            Kind::Metadata,
            proto::MetricMetadataResponse { result: Some(metric_metadata_response::Result::Metadata(metadata)) }
                .encode_to_vec(),
        ),
    ];
    for (kind, message) in messages {
        let budget = Budget::unlimited();
        let (mut facts, mut paid) = (Facts::new(&budget), budget.begin("facts of a peer"));
        assert!(decode::message(kind, &message, &mut facts, &mut paid).is_ok());
        assert!(facts.size_bytes() > 300_000, "{kind:?}: {}", facts.size_bytes());
        assert_eq!((paid.bytes(), budget.used()), (0, facts.size_bytes()), "{kind:?}");
        assert!(budget.peak() < budget.used() + 1000, "{kind:?}: {} of {}", budget.peak(), budget.used());
    }
}
