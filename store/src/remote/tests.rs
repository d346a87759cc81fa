//! The client against peers that behave, peers that do not, and recorded ones.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt as _;
use masthead_proto::{path, thanos as proto};
use prost::Message as _;
use tokio::sync::Notify;

use self::peer::{Part, TestPeer, facts, message, series};
use super::RemoteStore;
use super::lanes::Advert;
use crate::{
    Allowance, Budget, Lane, Matcher, Select, SeriesBatch, SeriesStream, Store, StoreError, StoreErrorKind, StoreState,
};

pub(crate) mod peer;
pub(super) mod recorded;
mod served;

fn select(replica_labels: &[&str]) -> Arc<Select> {
    Arc::new(Select {
        matchers: vec![Matcher::equal("__name__", "up")],
        min_time: 0,
        max_time: 1_000,
        replica_labels: replica_labels.iter().map(|name| (*name).into()).collect(),
        labels_only: false,
        limit: 0,
    })
}

/// A series as a line: labels, then lane by lane its name and the times at which chunks begin.
fn lines(batch: &SeriesBatch) -> Vec<String> {
    let lane = |lane: &Lane| {
        format!("{}{}", lane.replica, lane.store.as_deref().map_or("", |s| s.trim_start_matches(|c| c != '#')))
    };
    batch
        .series
        .iter()
        .map(|series| {
            let lanes = series.lanes.iter().map(|l| {
                let times: Vec<String> = l.chunks.iter().map(|c| c.min_time.to_string()).collect();
                format!("{}:{}", lane(&l.lane), times.join(","))
            });
            format!("{} {}", series.labels.value("pod"), lanes.collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// All lines of a stream, and how it ended.
async fn drain(mut stream: SeriesStream) -> (Vec<String>, Option<StoreError>) {
    let mut all = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(batch) => all.extend(lines(&batch)),
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

async fn drain_all(store: &RemoteStore, select: &Arc<Select>) -> (Vec<String>, Vec<StoreError>) {
    let budget = Budget::unlimited();
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for stream in store.select(select.clone(), Allowance::of(&budget)) {
        let (lines, error) = drain(stream).await;
        all.extend(lines);
        errors.extend(error);
    }
    assert_eq!(budget.used(), 0, "all bytes are given back");
    (all, errors)
}

/// A peer with the sets {replica="a"} that answers a selection with `parts`.
async fn one_answer(parts: Vec<Part>) -> TestPeer {
    TestPeer::start(move |path, _| match path {
        path::INFO => vec![facts(&[&[("replica", "a")]], true)],
        _ => parts.clone(),
    })
    .await
}

fn pod(name: &str, times: &[(i64, i64)]) -> Part {
    series(&[("__name__", "up"), ("pod", name)], times, 30)
}

#[tokio::test]
async fn parts_of_a_series_are_joined() {
    let peer = one_answer(vec![
        pod("1", &[(0, 9)]),
        pod("1", &[(10, 19), (20, 29)]),
        pod("2", &[(0, 9)]),
        pod("3", &[(10, 19)]),
        pod("3", &[(0, 9)]),
    ])
    .await;
    let store = peer.store().await;
    let (got, errors) = drain_all(&store, &select(&["replica"])).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(got, [r#"1 {replica="a"}:0,10,20"#, r#"2 {replica="a"}:0"#, r#"3 {replica="a"}:10,0"#]);
    let stats = store.stats();
    assert_eq!(stats, super::RemoteStats { collected_bytes: 0, unsorted: false });
}

/// A peer without the replica label among its external ones may fold series that have it themselves: equal labels, one
/// after the other, with overlapping times. They are lanes of their own.
#[tokio::test]
async fn folded_replicas_become_further_lanes() {
    let parts = vec![
        pod("1", &[(0, 9), (10, 19)]),
        pod("1", &[(5, 14)]),
        pod("1", &[(20, 29)]),
        pod("1", &[(0, 3)]),
        // The same chunk again is no replica.
        pod("2", &[(0, 9)]),
        pod("2", &[(0, 9)]),
        // As a store gateway has them: all in one.
        pod("3", &[(0, 9), (5, 14), (5, 14), (10, 19), (15, 29), (16, 17), (20, 29)]),
    ];
    let peer = TestPeer::start(move |path, _| match path {
        path::INFO => vec![facts(&[&[("cluster", "x")]], true)],
        _ => parts.clone(),
    })
    .await;
    let (got, errors) = drain_all(&peer.store().await, &select(&["replica"])).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(got, ["1 {}:0,10,20 {}#1:0,5", "2 {}:0", "3 {}:0,10,20 {}#1:5,15 {}#2:16"]);
}

/// What a label makes of one series that tells no replicas apart.
#[tokio::test]
async fn too_many_lanes_are_refused() {
    let parts: Vec<Part> = (0..1_100).map(|_| pod("1", &[(0, 9)])).collect();
    let folds = (0..1_100).map(|i| pod("1", &[(i, 2_000)])).collect::<Vec<_>>();
    for (parts, expected) in [
        (parts, None),
        (folds, Some(r#"read series: the replica labels make more than 1024 replicas of {__name__="up", pod="1"}"#)),
    ] {
        let peer = TestPeer::start(move |path, _| match path {
            path::INFO => vec![facts(&[&[("cluster", "x")]], true)],
            _ => parts.clone(),
        })
        .await;
        let (got, errors) = drain_all(&peer.store().await, &select(&["replica"])).await;
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!((errors, got.len()), (expected.map(str::to_owned).into_iter().collect(), 1));
    }
}

#[tokio::test]
async fn each_tuple_is_asked_for_by_matcher() {
    let requests: Arc<Mutex<Vec<proto::SeriesRequest>>> = Arc::default();
    let seen = requests.clone();
    let peer = TestPeer::start(move |path, request| match path {
        path::INFO => vec![facts(&[&[("replica", "a"), ("c", "1")], &[("replica", "b"), ("c", "1")]], true)],
        _ => {
            seen.lock().unwrap().push(proto::SeriesRequest::decode(request).unwrap());
            vec![pod("1", &[(0, 9)])]
        }
    })
    .await;
    let store = peer.store().await;
    let unbounded = Select { min_time: i64::MIN, max_time: i64::MAX, ..(*select(&["replica"])).clone() };
    let (got, errors) = drain_all(&store, &Arc::new(unbounded)).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(got, [r#"1 {replica="a"}:0"#, r#"1 {replica="b"}:0"#]);
    let requests = requests.lock().unwrap();
    let matchers =
        |r: &proto::SeriesRequest| r.matchers.iter().map(|m| format!("{}{}", m.name, m.value)).collect::<Vec<_>>();
    assert_eq!(matchers(&requests[0]), ["__name__up", "replicaa"]);
    assert_eq!(matchers(&requests[1]), ["__name__up", "replicab"]);
    for request in &*requests {
        assert_eq!(request.without_replica_labels, ["replica"]);
        assert!(request.min_time > i64::MIN && request.min_time < 0 && request.max_time < i64::MAX);
    }
}

/// A peer that does not know how to remove replica labels is collected; lanes are named by what was stripped.
#[tokio::test]
async fn a_peer_without_support_is_collected() {
    let with = |pod, replica| series(&[("__name__", "up"), ("pod", pod), ("replica", replica)], &[(0, 9)], 30);
    let parts = vec![with("1", "a"), with("2", "a"), with("1", "b"), pod("1", &[(5, 9)]), with("0", "b")];
    let peer = TestPeer::start(move |path, request| match path {
        path::INFO => vec![facts(&[&[("replica", "a")], &[("replica", "b")]], false)],
        _ => {
            assert!(proto::SeriesRequest::decode(request).unwrap().without_replica_labels.is_empty());
            parts.clone()
        }
    })
    .await;
    let store = peer.store().await;
    let (got, errors) = drain_all(&store, &select(&["replica"])).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(got, [r#"0 {replica="b"}:0"#, r#"1 {replica="a"}:0 {replica="b"}:0 {}:5"#, r#"2 {replica="a"}:0"#,]);
    let stats = store.stats();
    assert!(stats.collected_bytes > 0 && !stats.unsorted, "{stats:?}");
}

/// A peer that breaks the order before anything was handed over is collected; later, the stream fails, and the next one
/// is collected.
#[tokio::test]
async fn a_peer_out_of_order_is_collected_from_then_on() {
    let peer = one_answer(vec![pod("2", &[(0, 9)]), pod("1", &[(0, 9)]), pod("2", &[(10, 19)])]).await;
    let store = peer.store().await;
    let (got, errors) = drain_all(&store, &select(&["replica"])).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(got, [r#"1 {replica="a"}:0"#, r#"2 {replica="a"}:0,10"#]);
    assert!(store.stats().unsorted);

    let mut parts: Vec<Part> = (0..300).map(|i| pod(&format!("{i:03}"), &[(0, 9)])).collect();
    parts.push(pod("000", &[(10, 19)]));
    let peer = one_answer(parts).await;
    let store = peer.store().await;
    let (got, errors) = drain_all(&store, &select(&["replica"])).await;
    assert_eq!(got.len(), 300, "what came before the break is kept");
    assert_eq!(errors[0].kind, StoreErrorKind::Corrupt);
    assert!(errors[0].to_string().contains(r#"pod="000"} comes after"#), "{}", errors[0]);
    let (got, errors) = drain_all(&store, &select(&["replica"])).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!((got.len(), &*got[0]), (300, r#"000 {replica="a"}:0,10"#));
}

#[tokio::test]
async fn what_a_peer_does_wrong_is_named_after_its_data() {
    let huge = [0, 0x7f, 0xff, 0xff, 0xff, 0];
    let large = |pod: &str| series(&[("__name__", "up"), ("pod", pod)], &[(0, 9)], 600 << 10);
    let warning = message(proto::series_response::Result::Warning("store x: gone".into()));
    let limit = message(proto::series_response::Result::Warning("rpc error: code = ResourceExhausted".into()));
    let rows: Vec<(Vec<Part>, StoreErrorKind, &str)> = vec![
        (vec![Part::Break], StoreErrorKind::Unavailable, "read series"),
        (vec![Part::Status(8, "too many series")], StoreErrorKind::LimitExceeded, "too many series"),
        (vec![Part::Status(3, "no matchers")], StoreErrorKind::Refused, "no matchers"),
        (vec![Part::Status(2, "Not ready")], StoreErrorKind::Unavailable, "Not ready"),
        (vec![Part::Message(Bytes::from_static(&[0x0a, 9]))], StoreErrorKind::Corrupt, "ends too early"),
        (
            vec![Part::Raw(Bytes::copy_from_slice(&huge)), Part::Hang],
            StoreErrorKind::LimitExceeded,
            "more than the query",
        ),
        (vec![large("2"), large("3")], StoreErrorKind::LimitExceeded, "memory limit"),
        (vec![Part::Raw(Bytes::from_static(&[0, 0, 0, 0, 9, 1]))], StoreErrorKind::Corrupt, "inside of a message"),
        (vec![warning, pod("2", &[(0, 9)])], StoreErrorKind::Unavailable, "incomplete: store x: gone"),
        (vec![limit, pod("2", &[(0, 9)])], StoreErrorKind::LimitExceeded, "incomplete"),
    ];
    for (after, kind, text) in rows {
        let ours = text == "memory limit";
        // A reset may overtake what was sent before.
        let reset = matches!(after[..], [Part::Break]);
        let mut parts = vec![pod("1", &[(0, 9)])];
        parts.extend(after);
        let peer = one_answer(parts).await;
        let store = peer.store().await;
        let budget = Budget::new("query", 1 << 20);
        let (got, error) = drain(store.select(select(&["replica"]), Allowance::of(&budget)).remove(0)).await;
        let error = error.unwrap_or_else(|| panic!("{text}: no error"));
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(ours || reset || got.contains(&r#"1 {replica="a"}:0"#.to_owned()), "{text}: the data is kept: {got:?}");
        assert_eq!((budget.used(), error.limit().is_some()), (0, ours));
    }
}

#[tokio::test]
async fn a_peer_that_hangs_is_pending_with_what_was_ready_handed_over() {
    let peer = one_answer(vec![pod("1", &[(0, 9)]), pod("2", &[(0, 9)]), Part::Hang]).await;
    let store = peer.store().await;
    let budget = Budget::unlimited();
    let mut stream = store.select(select(&["replica"]), Allowance::of(&budget)).remove(0);
    let batch = stream.next().await.unwrap().unwrap();
    assert_eq!(lines(&batch), [r#"1 {replica="a"}:0"#]);
    assert!(futures::poll!(stream.next()).is_pending());
    // Dropping the stream ends the answer at the peer too.
    drop(stream);
    peer.answer_gone.notified().await;
    drop(batch);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn nothing_is_asked_before_a_stream_is_polled() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let peer = TestPeer::start(move |path, _| {
        seen.lock().unwrap().push(path.to_owned());
        vec![facts(&[&[("replica", "a")]], true)]
    })
    .await;
    let store = peer.store().await;
    let streams = store.select(select(&["replica"]), Allowance::unlimited());
    assert_eq!(streams.len(), 1);
    drop(streams);
    store.poll_info(SystemTime::UNIX_EPOCH).await;
    assert_eq!(*asked.lock().unwrap(), [path::INFO, path::INFO]);
}

/// Two streams of one peer, each larger than all windows and buffers: the one that is not read holds nothing that the
/// other needs.
#[tokio::test]
async fn a_parked_stream_stalls_no_other() {
    let options = super::RemoteOptions { stream_window_bytes: 1 << 20, ..Default::default() };
    let parts: Vec<Part> =
        (0..96).map(|i| series(&[("__name__", "up"), ("pod", &format!("{i:03}"))], &[(0, 9)], 256 << 10)).collect();
    let peer = one_answer(parts).await;
    let store = peer.store_with(options).await;
    let mut streams = store.select(select(&["replica"]), Allowance::unlimited());
    let mut parked = streams.remove(0);
    assert!(parked.next().await.unwrap().is_ok());
    for _ in 0..3 {
        let (got, error) = drain(store.select(select(&["replica"]), Allowance::unlimited()).remove(0)).await;
        assert_eq!((got.len(), error.is_none()), (96, true));
    }
    let (rest, error) = drain(parked).await;
    assert!(rest.len() > 80 && error.is_none(), "{} {error:?}", rest.len());
}

/// What a peer holds that is down grows with time, as far as anyone can know: it is missing for the newest samples too.
#[tokio::test]
async fn the_latest_time_of_a_peer_that_is_down_goes_on() {
    let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
    let error = || StoreError::new(StoreErrorKind::Unavailable, "gone");
    let store = RemoteStore::new("127.0.0.1:1", Default::default()).unwrap();
    store.up(Advert { max_time: 5_000, ..Advert::unknown() }, at(10));
    for (second, max_time) in [(30, 25_000), (70, 65_000), (9, 5_000)] {
        store.down(error(), at(second));
        assert_eq!(store.info().max_time, max_time, "at {second} s");
    }
    store.up(Advert { max_time: i64::MAX, ..Advert::unknown() }, at(80));
    store.down(error(), at(90));
    assert_eq!(store.info().max_time, i64::MAX);
}

#[tokio::test]
async fn facts_are_kept_while_a_peer_is_down() {
    let up = Arc::new(Mutex::new(true));
    let is_up = up.clone();
    let peer = TestPeer::start(move |_, _| {
        if *is_up.lock().unwrap() {
            vec![facts(&[&[("replica", "a")]], true)]
        } else {
            vec![Part::Status(2, "Not ready")]
        }
    })
    .await;
    let store = RemoteStore::new(&peer.address.to_string(), Default::default()).unwrap();
    assert!(matches!(store.info().state, StoreState::Starting));
    assert!(store.info().may_contribute(&select(&[])), "an unknown store can hold anything");
    let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
    store.poll_info(at(10)).await;
    let info = store.info();
    assert!(matches!(info.state, StoreState::Up));
    assert_eq!((info.label_sets.len(), &*info.component, info.min_time, info.last_check), (1, "test", 0, Some(at(10))));
    *up.lock().unwrap() = false;
    for second in [20, 30] {
        store.poll_info(at(second)).await;
        let info = store.info();
        let StoreState::Down { since, error } = &info.state else { panic!("{:?}", info.state) };
        assert_eq!((*since, info.label_sets.len(), info.last_check), (at(20), 1, Some(at(second))));
        assert_eq!(error.to_string(), "ask for facts: Unknown: Not ready");
    }
    *up.lock().unwrap() = true;
    store.poll_info(at(40)).await;
    assert!(matches!(store.info().state, StoreState::Up));
}

#[tokio::test]
async fn a_peer_that_is_not_there_or_silent_is_down() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = super::RemoteOptions { info_timeout: Duration::from_millis(50), ..Default::default() };
    // Connections are taken and never served.
    let store = RemoteStore::new(&address, options).unwrap();
    store.poll_info(SystemTime::UNIX_EPOCH).await;
    let error = |store: &RemoteStore| match &store.info().state {
        StoreState::Down { error, .. } => error.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(error(&store).kind, StoreErrorKind::Timeout);
    drop(listener);
    store.poll_info(SystemTime::UNIX_EPOCH).await;
    let refused = error(&store);
    assert_eq!(refused.kind, StoreErrorKind::Unavailable);
    assert!(refused.to_string().contains("refused"), "{refused}");
    let (_, errors) = drain_all(&store, &select(&[])).await;
    assert_eq!(errors[0].kind, StoreErrorKind::Unavailable);
    assert!(errors[0].to_string().starts_with("read series: "), "{}", errors[0]);
    assert_eq!(store.info().max_time, i64::MAX);
}

#[tokio::test]
async fn label_answers_are_sorted_unique_and_fail_with_a_warning() {
    let peer = TestPeer::start(|path, request| match path {
        path::INFO => vec![facts(&[], true)],
        path::LABEL_NAMES => {
            let names = ["b", "a", "", "b"].map(String::from).to_vec();
            vec![Part::Message(proto::LabelNamesResponse { names, ..Default::default() }.encode_to_vec().into())]
        }
        _ => {
            let request = proto::LabelValuesRequest::decode(request).unwrap();
            let warnings = vec!["gone".into()];
            let answer = proto::LabelValuesResponse { values: vec![request.label], warnings, ..Default::default() };
            vec![Part::Message(answer.encode_to_vec().into())]
        }
    })
    .await;
    let store = peer.store().await;
    let names = store.label_names(select(&[]), Allowance::unlimited()).await.unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), ["a", "b"]);
    let values = store.label_values("job".into(), select(&[]), Allowance::unlimited()).await.unwrap();
    assert_eq!(values.iter().collect::<Vec<_>>(), ["job"]);
    assert_eq!(values.lacking.unwrap().to_string(), "read labels: the peer's answer is incomplete: gone");
    let stores: [Arc<dyn Store>; 1] = [Arc::new(store)];
    let options = crate::fanout::FanOutOptions {
        buffer_bytes: 1 << 20,
        response_timeout: Duration::ZERO,
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
    };
    let (budget, progress) = (Budget::unlimited(), crate::fanout::Progress::default());
    let values = crate::fanout::label_values(&stores, "job", select(&[]), &budget, &options, &progress).await.unwrap();
    assert_eq!((values.iter().collect::<Vec<_>>(), progress.coverage(None).is_complete()), (vec!["job"], false));
}

/// A peer that restarts, or closes its connection for being old, breaks the next question at most where it cannot be
/// told from another failure: one that got no answer over a connection of before is put again.
#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let store = RemoteStore::new(&address, Default::default()).unwrap();
    let polled = store.poll_info(SystemTime::UNIX_EPOCH);
    let served = async {
        // The first connection is closed when the question has arrived.
        let (mut first, _) = listener.accept().await.unwrap();
        let mut preface = [0; 64];
        tokio::io::AsyncReadExt::read_exact(&mut first, &mut preface).await.unwrap();
        drop(first);
        let peer = peer::listener::listen(listener, peer::service(|_, _| vec![facts(&[], true)], Arc::default()));
        peer.await;
    };
    tokio::select! {
        () = polled => {}
        () = served => panic!("it ends with the question"),
    }
    assert!(matches!(store.info().state, StoreState::Up), "{:?}", store.info().state);
}

/// While an answer is collected, what arrives shows as empty batches, so that the peer is not taken for silent.
#[tokio::test]
async fn collecting_gives_signs_of_life() {
    let go_on = Arc::new(Notify::new());
    let told = Arc::new(Notify::new());
    let parts = vec![
        pod("2", &[(0, 9)]),
        pod("1", &[(0, 9)]),
        Part::Tell(told.clone()),
        Part::Wait(go_on.clone()),
        pod("3", &[(0, 9)]),
    ];
    let peer = TestPeer::start(move |path, _| match path {
        path::INFO => vec![facts(&[], false)],
        _ => parts.clone(),
    })
    .await;
    let store = peer.store().await;
    let mut stream = store.select(select(&["replica"]), Allowance::unlimited()).remove(0);
    let batch = stream.next().await.unwrap().unwrap();
    assert!(batch.series.is_empty());
    told.notified().await;
    go_on.notify_one();
    let (got, error) = drain(stream).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(got, ["1 {}:0", "2 {}:0", "3 {}:0"]);
}

/// Messages that hold nothing, without end and always there, do not keep the thread: whoever waits can give up.
#[tokio::test]
async fn a_flood_of_nothing_is_waited_for_like_silence() {
    let store = RemoteStore::new("127.0.0.1:1", Default::default()).unwrap();
    let ask = super::Ask { lane: Some(Lane::default()), extra: vec![], without_replica_labels: false, may_fold: false };
    let assembly = super::Assembly::new(store.peer.clone(), ask, vec![], &Budget::unlimited());
    // Hints.
    let message = peer::framed(&[0x1a, 1, 0]);
    let flood = futures::stream::repeat_with(move || Ok::<_, tonic::Status>(http_body::Frame::data(message.clone())));
    let body = tonic::body::Body::new(http_body_util::StreamBody::new(flood));
    let messages = super::messages::Messages::new(body, 1 << 20, "read series");
    let open = Box::new(|| Box::pin(std::future::ready(Ok(messages))) as futures::future::BoxFuture<'static, _>);
    let mut stream = super::AnswerStream::new(open, assembly);
    assert!(futures::poll!(stream.next()).is_pending());
    let waited = tokio::time::timeout(Duration::from_millis(5), stream.next()).await;
    assert!(waited.is_err());
}

/// Chunks pin the message they came in with all that is beside them: it is paid for, or they are copied out.
#[tokio::test]
async fn what_a_message_holds_beside_its_series_is_no_free_memory() {
    let Part::Message(series) = series(&[("__name__", "up"), ("pod", "1")], &[(0, 9)], 5_000) else {
        panic!("a message")
    };
    // Field 15, which nobody knows, behind the series.
    let beside = [&[0x7a, 0x80, 0x80, 0x40][..], &vec![0; 1 << 20]].concat();
    let peer = one_answer(vec![Part::Message([&series[..], &beside].concat().into()), pod("2", &[(0, 9)])]).await;
    let store = peer.store().await;
    let budget = Budget::unlimited();
    let mut stream = store.select(select(&["replica"]), Allowance::of(&budget)).remove(0);
    let mut seen = 0;
    while let Some(batch) = stream.next().await {
        let mut batch = batch.unwrap();
        let paid = batch.held.bytes();
        for chunk in batch.series.iter_mut().flat_map(|s| &mut s.lanes).flat_map(|l| &mut l.chunks) {
            let Ok(data) = std::mem::take(&mut chunk.data).try_into_mut() else { continue };
            assert!(data.capacity() <= paid, "{} bytes pinned, {paid} paid for", data.capacity());
            seen += 1;
        }
    }
    assert!(seen > 0);
}
