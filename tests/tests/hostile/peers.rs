//! Peers that break off, are out of order, or send what is no chunk.

use bytes::Bytes;
use masthead_tests::peer::{Part, chunk_of, warning};
use serde_json::json;

use super::{T, WEST, ask, pod, query, text, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_breaks_off_is_named() {
    let world = world().await;
    world.west.play(vec![pod("w1", 11.0), pod("w2", 12.0)]);
    world.is_whole("sound").await;

    let huge = |length: u32| Part::Raw([&[0][..], &length.to_be_bytes(), &[0]].concat().into());
    let [cluster, replica] = WEST;
    let labels = [("__name__", "up"), cluster, ("pod", "w2"), replica];
    let times = ((T - 60) * 1000, T * 1000);
    // A label value that is no UTF-8.
    let no_text = Part::Message(Bytes::from_static(b"\x0a\x0b\x0a\x09\x0a\x03pod\x12\x02\xff\xfe"));
    let rows: Vec<(&str, Vec<Part>, &str)> = vec![
        ("hangs", vec![pod("w1", 11.0), Part::Hang], "silent for 2s"),
        ("hangs at once", vec![Part::Hang], "silent for 2s"),
        ("closes", vec![pod("w1", 11.0), Part::Close], "read series: "),
        ("resets", vec![pod("w1", 11.0), Part::Reset], "read series: "),
        ("has no status", vec![pod("w1", 11.0), Part::End], "read series: the answer breaks off without a status"),
        (
            "ends early",
            vec![pod("w1", 11.0), Part::Raw(Bytes::from_static(&[0, 0, 0, 0, 9, 1]))],
            "inside of a message",
        ),
        ("sends no frames", vec![Part::Raw(Bytes::from_static(b"HTTP/1.1 502 Bad Gateway"))], "its head is spoilt"),
        ("sends garbage", vec![pod("w1", 11.0), Part::Message(Bytes::from_static(&[0x0a, 9, 0xff]))], "ends too early"),
        ("sends no text", vec![no_text], "not UTF-8"),
        ("claims 2 GiB", vec![pod("w1", 11.0), huge(i32::MAX as u32), Part::Hang], "a message of 2147483647 bytes"),
        ("claims 4 GiB", vec![pod("w1", 11.0), huge(u32::MAX), Part::Hang], "a message of 4294967295 bytes"),
        ("warns", vec![pod("w1", 11.0), warning("disk on fire")], "incomplete: disk on fire"),
        ("fails", vec![pod("w1", 11.0), Part::Status(13, "boom")], "Internal: boom"),
        ("has no raw data", vec![pod("w1", 11.0), chunk_of(&labels, times, None)], "1 chunks came without raw samples"),
        (
            "has no bytes",
            vec![pod("w1", 11.0), chunk_of(&labels, times, Some(b""))],
            "1 chunks came without raw samples",
        ),
    ];
    for (case, parts, why) in rows {
        world.west.play(parts);
        world.is_partial(case, why).await;
    }

    // The same for names of labels.
    for (parts, why) in [(vec![Part::Hang], "read labels: "), (vec![Part::Status(13, "boom")], "Internal: boom")] {
        world.west.play(parts);
        let got = ask(world.address, "/api/v1/labels", &[]).await;
        world.names_the_west("labels", &got, why);
        assert_eq!(got.body["data"], json!(["__name__", "cluster", "pod"]), "{got:?}");
    }
    world.west.play(vec![pod("w1", 11.0), pod("w2", 12.0)]);
    world.is_whole("sound again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_out_of_order_is_sorted_or_named() {
    let world = world().await;
    world.west.play(vec![pod("w1", 11.0), pod("w1", 11.0), pod("w2", 12.0), pod("w2", 12.0)]);
    world.is_whole("doubled").await;

    // More than a batch, so that something was handed over before the order breaks.
    let many = (0..600).map(|i| pod(&format!("a{i:03}"), 11.0)).chain([pod("w2", 12.0), pod("w1", 11.0)]);
    world.west.play(many.collect());
    let got = query(world.address, "up{pod=~\"[ew].*\"}").await;
    world.names_the_west("late", &got, "pod=\"w1\"");
    assert!(got.warnings()[0].contains("comes after"), "{got:?}");
    world.goes_on("late").await;
    // From then on its answers are sorted here.
    let got = query(world.address, "count(up)").await;
    assert_eq!((got.coverage.as_str(), &got.body["data"]["result"][0]["value"][1]), ("complete", &json!("604")));

    let early = super::world().await;
    early.west.play(vec![pod("w2", 12.0), pod("w1", 11.0), pod("w2", 12.0)]);
    early.is_whole("unsorted and doubled").await;
}

/// What cannot be a chunk is found when it is received, and is the failure of its peer: the others answer. What only decoding
/// finds is no number either: the query fails and says where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_chunk_blames_its_peer_or_names_its_series() {
    let world = world().await;
    let [cluster, replica] = WEST;
    let labels = [("__name__", "up"), cluster, ("pod", "w2"), replica];
    let times = ((T - 60) * 1000, T * 1000);
    for data in [&b"\x00"[..], b"\x00\x05\x01", &[0xff; 40]] {
        world.west.play(vec![pod("w1", 11.0), chunk_of(&labels, times, Some(data))]);
        world.is_partial(&format!("{data:?}"), "a chunk is too short for its number of samples").await;
    }
    // A time that does not ascend.
    let spoilt = &[0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    world.west.play(vec![pod("w1", 11.0), chunk_of(&labels, times, Some(spoilt))]);
    let got = query(world.address, "up").await;
    assert_eq!((got.status, &got.body["errorType"]), (422, &json!("execution")), "{got:?}");
    let error = text(&got.body["error"]);
    assert!(error.contains("cluster=\"prod-eu-west\"") && error.contains("XOR chunk"), "{error}");
    world.goes_on("spoilt chunk").await;
    // No samples at all are none.
    world.west.play(vec![pod("w1", 11.0), chunk_of(&labels, times, Some(&[0; 3000]))]);
    let got = query(world.address, "up").await;
    assert!(got.status == 200 && !got.by_pod().contains_key("w2"), "{got:?}");
}
