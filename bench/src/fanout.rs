//! What one StoreAPI server more costs the querier.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use masthead_bench::http;
use masthead_bench::process::Server;
use masthead_store::serve::{self, StoreService};
use masthead_store::testing::MemoryStore;
use masthead_store::{Budget, Labels, Samples, Store};

/// Time of the question, seconds; each series has twenty samples, one a minute, up to here.
const TIME: i64 = 1_700_000_000;

/// Measures and prints for each number of servers.
pub(crate) fn run(counts: &[usize], series: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    crate::compare::build_masthead()?;
    println!("{:>8} {:>14} {:>16}", "servers", "cpu ms/query", "cpu ms/server");
    for &count in counts {
        let mut serve = Command::new(std::env::current_exe()?)
            .args(["serve", &count.to_string(), &series.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = serve.stdout.take().ok_or("the servers have no output")?;
        let addresses: Vec<String> = BufReader::new(output).lines().take(count).collect::<Result<_, _>>()?;
        let server = Server::masthead(addresses.iter().map(|address| format!("--endpoint={address}")))?;
        let path = format!("/api/v1/query?query={}&time={TIME}", http::encode("count(up)"));
        let expected = format!("\"{}\"", count * series);
        let mut before = None;
        for round in 0..rounds + 3 {
            // The first three only warm up.
            if round == 3 {
                before = Some(server.cpu()?);
            }
            let (status, body) = http::get(&server.address, &path)?;
            let body = String::from_utf8_lossy(&body);
            if status != 200 || !body.contains(&expected) {
                return Err(format!("{count} servers: expected {expected}, got {status} {body}").into());
            }
        }
        let cpu = (server.cpu()? - before.unwrap_or_default()).as_secs_f64() * 1e3 / rounds as f64;
        println!("{count:8} {cpu:14.2} {:16.3}", cpu / count as f64);
        serve.kill()?;
        serve.wait()?;
    }
    Ok(())
}

/// Serves `count` stores, prints their addresses, one a line, and stays until it is killed or its input ends.
pub(crate) fn serve(count: usize, series: usize) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for index in 0..count {
            let store: Arc<dyn Store> = Arc::new(store(index, series));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?);
            let stores = Arc::new(move || vec![Arc::clone(&store)]);
            let service = StoreService::new(stores, Budget::unlimited(), serve::ServeOptions::default());
            tokio::spawn(serve::listen(service, listener, std::future::pending()));
        }
        std::io::stdout().flush()?;
        // Ends with the parent, which holds the other end.
        tokio::task::block_in_place(|| std::io::stdin().lines().for_each(drop));
        Ok(())
    })
}

fn store(index: usize, series: usize) -> MemoryStore {
    let external = Labels::from_pairs([("cluster", format!("cluster-{index:03}"))]);
    let list = (0..series).map(|i| {
        let labels = [
            ("__name__", "up".to_owned()),
            ("instance", format!("10.0.{}.{}:9100", i / 250, i % 250)),
            ("job", format!("service-{:02}", i % 20)),
        ];
        let mut samples = Samples::default();
        for k in 0..20 {
            samples.push((TIME - 60 * (19 - k)) * 1000 - 17, 1.0);
        }
        (Labels::from_pairs(labels), samples)
    });
    let list: Vec<(Labels, Samples)> = list.collect();
    MemoryStore::new(&format!("store-{index}"), &external, &list)
}
