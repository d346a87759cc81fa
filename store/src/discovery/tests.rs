//! Names resolved by a DNS server on loopback, and what becomes of them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;
use crate::remote::tests::peer::{TestPeer, facts};

/// Records by lower-case name, without the last dot. None: the server says nothing.
type Zone = Arc<Mutex<Option<HashMap<&'static str, Vec<Record>>>>>;

#[derive(Clone)]
enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv(u16, &'static str),
}

/// The smallest DNS server there is: one question, answers of its type, names uncompressed.
async fn dns_server(zone: Zone) -> (SocketAddr, JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut query = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut query).await.unwrap();
            let answer = zone.lock().unwrap().as_ref().map(|zone| answer(zone, &query[..length]));
            if let Some(answer) = answer {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    (address, task)
}

fn answer(zone: &HashMap<&'static str, Vec<Record>>, query: &[u8]) -> Vec<u8> {
    let (mut name, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name.push(String::from_utf8(query[at + 1..at + 1 + length].to_vec()).unwrap().to_lowercase());
        at += 1 + length;
    }
    let question = &query[12..at + 5];
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let records = zone.get(&*name.join("."));
    let data: Vec<Vec<u8>> = records
        .into_iter()
        .flatten()
        .filter_map(|record| match (kind, record) {
            (1, Record::A(ip)) => Some(ip.octets().to_vec()),
            (28, Record::Aaaa(ip)) => Some(ip.octets().to_vec()),
            (33, Record::Srv(port, host)) => {
                let labels = host.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
                Some([0, 0, 0, 0].into_iter().chain(port.to_be_bytes()).chain(labels).chain([0]).collect())
            }
            _ => None,
        })
        .collect();
    // No such name: code 3.
    let code = if records.is_some() { 0 } else { 3 };
    let head = [query[0], query[1], 0x84, code, 0, 1, 0, data.len() as u8, 0, 0, 0, 0];
    let mut out = [&head[..], question].concat();
    for data in data {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 1]);
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    out
}

fn zone(records: &[(&'static str, &[Record])]) -> Zone {
    Arc::new(Mutex::new(Some(records.iter().map(|(name, records)| (*name, records.to_vec())).collect())))
}

fn targets(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| (*text).into()).collect()
}

async fn peer() -> TestPeer {
    peer_of("x").await
}

async fn peer_of(cluster: &'static str) -> TestPeer {
    TestPeer::start(move |_, _| vec![facts(&[&[("cluster", cluster)]], true)]).await
}

fn options(dns_server: SocketAddr) -> DiscoveryOptions {
    let remote = RemoteOptions { info_timeout: Duration::from_millis(800), ..Default::default() };
    DiscoveryOptions {
        remote,
        dns_server: Some(dns_server),
        dns_interval: Duration::from_millis(20),
        ..Default::default()
    }
}

/// Name and state of each store, and the begin of the error of those that are down.
fn states(set: &EndpointSet) -> Vec<String> {
    let mut states: Vec<String> = set
        .stores()
        .iter()
        .map(|store| {
            let info = store.info();
            match &info.state {
                StoreState::Starting => format!("{} starting", info.id),
                StoreState::Up => format!("{} up", info.id),
                StoreState::Down { error, .. } => {
                    format!("{} down {}", info.id, error.to_string().split(':').next().unwrap())
                }
            }
        })
        .collect();
    states.sort();
    states
}

const LOOPBACK: Record = Record::A(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn names_become_stores_or_are_missing_under_their_own() {
    let (one, two) = (peer().await, peer().await);
    let (one, two) = (one.address, two.address);
    let other = Record::A(Ipv4Addr::new(127, 0, 0, 2));
    let (server, _task) = dns_server(zone(&[
        ("one.test", &[LOOPBACK]),
        ("_grpc._tcp.two.test", &[Record::Srv(two.port(), "host.two.test"), Record::Srv(1, "gone.two.test")]),
        ("host.two.test", &[LOOPBACK]),
        ("_grpc._tcp.three.test", &[Record::Srv(two.port(), "localhost")]),
        ("four.test", &[other.clone(), LOOPBACK]),
        ("five.test", &[other, Record::Aaaa(Ipv6Addr::LOCALHOST)]),
        ("six.test", &[Record::Aaaa(Ipv6Addr::LOCALHOST)]),
        ("empty.test", &[]),
    ]))
    .await;
    let set = EndpointSet::new(
        targets(&[
            &one.to_string(),
            &format!("dns+one.test:{}", one.port()),
            "dnssrv+_grpc._tcp.two.test",
            "dnssrvnoa+_grpc._tcp.three.test",
            &format!("dns+four.test:{}", one.port()),
            "dns+five.test:1",
            "dns+six.test:2",
            "dnsdualstack+five.test:3",
            "dnsdualstack+six.test:4",
            "dnsdualstack+empty.test:1",
            "dnsdualstack+one.test",
            "dns+empty.test:1",
            "dns+nowhere.test:1",
            "dns+one.test",
            "dnssrv+_grpc._tcp.nowhere.test",
            "not an address",
        ]),
        options(server),
    );
    assert!(states(&set).contains(&"dns+nowhere.test:1 starting".to_owned()));
    set.first_round().await;
    let mut expected = vec![
        // Once, though three targets name it.
        format!("127.0.0.1:{} up", one.port()),
        format!("127.0.0.1:{} up", two.port()),
        format!("127.0.0.2:{} down ask for facts", one.port()),
        format!("localhost:{} up", two.port()),
        "gone.two.test:1 down ask for facts".into(),
        "127.0.0.2:1 down ask for facts".into(),
        "[::1]:2 down ask for facts".into(),
        "127.0.0.2:3 down ask for facts".into(),
        "[::1]:3 down ask for facts".into(),
        "[::1]:4 down ask for facts".into(),
        "dnsdualstack+empty.test:1 down resolve empty.test".into(),
        "dnsdualstack+one.test down resolve one.test".into(),
        "dns+empty.test:1 down resolve empty.test".into(),
        "dns+nowhere.test:1 down resolve nowhere.test".into(),
        "dns+one.test down resolve one.test".into(),
        "dnssrv+_grpc._tcp.nowhere.test down resolve _grpc._tcp.nowhere.test".into(),
        "not an address down read address \"not an address\"".into(),
    ];
    expected.sort();
    assert_eq!(states(&set), expected);
    assert_eq!(set.remotes().len(), 10);
    let select = crate::Select {
        matchers: vec![],
        min_time: 0,
        max_time: 1,
        replica_labels: vec![],
        labels_only: false,
        limit: 0,
    };
    let missing = set.stores().into_iter().find(|s| &*s.info().id == "dns+nowhere.test:1").unwrap();
    assert!(missing.info().may_contribute(&select));
    assert!(missing.label_names(Arc::new(select), crate::Allowance::unlimited()).await.is_err());
}

/// Addresses that vanish go, if others have what they had; while the name does not resolve, the last ones stay; what is
/// new comes.
#[tokio::test]
async fn names_are_followed() {
    let (one, two) = (peer().await, peer().await);
    let service = |peer: &TestPeer| Record::Srv(peer.address.port(), "host.test");
    let zone = zone(&[("svc.test", &[service(&one)]), ("host.test", &[LOOPBACK])]);
    let (server, _task) = dns_server(zone.clone()).await;
    let set = Arc::new(EndpointSet::new(targets(&["dnssrv+svc.test"]), options(server)));
    set.first_round().await;
    let up = |peers: &[&TestPeer]| {
        let mut all: Vec<String> = peers.iter().map(|peer| format!("{} up", peer.address)).collect();
        all.sort();
        all
    };
    assert_eq!(states(&set), up(&[&one]));
    let mut running = JoinSet::new();
    let run = set.clone();
    running.spawn(async move { run.run().await });
    let set_records = |records: Option<Vec<Record>>| {
        let mut zone = zone.lock().unwrap();
        match records {
            Some(records) => zone.as_mut().unwrap().insert("svc.test", records),
            None => zone.as_mut().unwrap().remove("svc.test"),
        };
    };
    let failing = || set.state().resolved[0].failure.is_some();
    set_records(Some(vec![service(&one), service(&two)]));
    wait_until(|| states(&set) == up(&[&one, &two])).await;
    set_records(Some(vec![service(&two)]));
    wait_until(|| states(&set) == up(&[&two])).await;
    for records in [None, Some(vec![])] {
        set_records(records);
        wait_until(failing).await;
        assert_eq!(states(&set), up(&[&two]));
        set_records(Some(vec![service(&two)]));
        wait_until(|| !failing()).await;
    }
    let records = zone.lock().unwrap().take();
    wait_until(failing).await;
    assert_eq!(states(&set), up(&[&two]));
    *zone.lock().unwrap() = records;
    wait_until(|| !failing()).await;
}

/// A pod that is not ready leaves its service's name: its cluster is missing until another pod has it.
#[tokio::test]
async fn an_address_that_vanishes_is_missed_until_others_hold_the_same() {
    let (a, b) = (peer_of("a").await, peer_of("b").await);
    let service = |peer: &TestPeer| Record::Srv(peer.address.port(), "host.test");
    let zone = zone(&[("svc.test", &[service(&a), service(&b)]), ("host.test", &[LOOPBACK])]);
    let (server, _task) = dns_server(zone.clone()).await;
    let set = EndpointSet::new(targets(&["dnssrv+svc.test"]), options(server));
    let resolve = async |peers: &[&TestPeer]| {
        zone.lock().unwrap().as_mut().unwrap().insert("svc.test", peers.iter().map(|peer| service(peer)).collect());
        set.resolve_all().await;
        set.poll_all().await;
        states(&set)
    };
    let up = |peer: &TestPeer| format!("{} up", peer.address);
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(resolve(&[&a, &b]).await, sorted(vec![up(&a), up(&b)]));
    let address = b.address;
    assert_eq!(resolve(&[&a]).await, sorted(vec![up(&a), up(&b)]), "as long as it answers it is asked");
    drop(b);
    let down = format!("{address} down ask for facts");
    assert_eq!(resolve(&[&a]).await, sorted(vec![up(&a), down.clone()]));
    assert_eq!(resolve(&[&a]).await, sorted(vec![up(&a), down]));
    let again = peer_of("b").await;
    assert_eq!(resolve(&[&a, &again]).await, sorted(vec![up(&a), up(&again)]));
    // Not without end.
    drop(again);
    resolve(&[&a]).await;
    assert_eq!(set.stores().len(), 2);
    set.state().drop_unnamed(Duration::ZERO);
    assert_eq!(states(&set), [up(&a)]);
}

/// Waits for what a running task brings about, up to ten seconds.
async fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come about");
}

#[test]
fn prefixes_are_told_from_plain_addresses() {
    assert!(Name::parse("thanos-sidecar.prod-us-east.svc:10901").is_none());
    let parse = |text: &str| Name::parse(text).map(|name| (name.name.to_string(), name.port));
    assert_eq!(parse("dns+a.b:10901"), Some(("a.b".into(), Some(10901))));
    assert_eq!(parse("dnssrv+_grpc._tcp.a.svc"), Some(("_grpc._tcp.a.svc".into(), None)));
    assert_eq!(parse("dnssrvnoa+_grpc._tcp.a.svc:7"), Some(("_grpc._tcp.a.svc".into(), Some(7))));
}

/// However many peers there are, what they may send unread is not much more for it.
#[tokio::test]
async fn windows_shrink_with_the_number_of_peers() {
    for (count, window) in
        [(1, 4 << 20), (16, 4 << 20), (64, 1 << 20), (100, 671_088), (256, 256 << 10), (1_000, 256 << 10)]
    {
        let texts: Vec<String> = (0..count).map(|i| format!("127.0.0.1:{}", i + 1)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let set = EndpointSet::new(targets(&texts), DiscoveryOptions::default());
        assert!(set.remotes().iter().all(|peer| peer.options().stream_window_bytes == window), "{count} peers");
    }
}
