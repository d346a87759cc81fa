//! Clients that never send what they promised, or send too much: each is told so, and holds nobody else up.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{config, east, query, serve};

/// The head of a form.
fn head(length: usize) -> String {
    format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// Sends a form as far as the server takes it, and gives its answer.
async fn answer(address: SocketAddr, form: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let (request, mut bytes) = (head(form.len()) + form, Vec::new());
    // Where the server answers before the end it may close, and what it says comes before the reset, if at all.
    let _ = tokio::join!(to.write_all(request.as_bytes()), from.read_to_end(&mut bytes));
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_that_never_come_or_never_end_hold_nobody_up() {
    let mut stores = JoinSet::new();
    let mut config = config();
    config.sources.endpoints = vec![east(&mut stores).await.to_string()];
    config.query.timeout = Duration::from_secs(2);
    config.query.max_concurrent = 1;
    let server = serve(config).await;
    let address = server.http_address;

    // As many as would take every slot and more.
    let mut silent = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head(100).as_bytes()).await.unwrap();
        silent.push(client);
    }
    let got = query(address, "up").await;
    assert_eq!((got.status, got.by_pod().len()), (200, 2), "{got:?}");

    let many = answer(address, &"a=&".repeat(10_001)).await;
    assert!(many.starts_with("HTTP/1.1 400 ") && many.contains("bad_data"), "{many}");
    let large = answer(address, &format!("query={}", "1".repeat(20 << 20))).await;
    // The connection is closed over what nobody read, which can overtake the answer.
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 413 "), "{large}");

    for mut client in silent {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("did not come within query.timeout=2s"), "{text}");
    }
    let got = query(address, "up").await;
    assert_eq!((got.status, got.by_pod().len()), (200, 2), "{got:?}");
}
