//! Blocks that are damaged or not whole.

use std::fs;
use std::path::{Path, PathBuf};

use masthead_bench::data::copy;
use masthead_query::config::BlockSource;
use masthead_query::server::Running;
use masthead_store::Labels;
use masthead_store::testing::golden;
use serde_json::{Value, json};

use super::{ask, config, get, query, serve};

/// The folder of the block of a replica.
fn block_of(bucket: &Path, replica: &str) -> PathBuf {
    let mut blocks = fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path());
    let is_of = |block: &PathBuf| {
        let meta: Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
        meta["thanos"]["labels"]["prometheus_replica"] == replica
    };
    blocks.find(is_of).unwrap()
}

/// A block that cannot be read is named, with what is wrong in it; the sound one beside it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_is_named() {
    let Some(bucket) = golden("thanos-0.43/bucket-corrupt") else { return };
    type Damage = fn(&Path);
    let truncate: Damage = |block| {
        let index = fs::read(block.join("index")).unwrap();
        fs::write(block.join("index"), &index[..index.len() / 2]).unwrap();
    };
    let rows: [(&str, Damage, &[&str]); 3] = [
        ("as it is", |_| {}, &["segment 000001 offset 8: checksum does not fit"]),
        ("truncated index", truncate, &["index"]),
        ("no segment", |block| fs::remove_file(block.join("chunks/000001")).unwrap(), &["segment"]),
    ];
    for (case, damage, why) in rows {
        let folder = tempfile::tempdir().unwrap();
        copy(&bucket, folder.path()).unwrap();
        let damaged = block_of(folder.path(), "a");
        damage(&damaged);
        let mut config = config();
        config.query.replica_labels = vec![];
        config.sources.blocks = vec![BlockSource { folder: folder.path().to_owned(), labels: Labels::default() }];
        let server = serve(config).await;
        let ask = async |metric: &str| {
            let expression = format!("count_over_time({metric}[2h])");
            ask(server.http_address, "/api/v1/query", &[("query", &expression), ("time", "1701108000")]).await
        };
        let got = ask("corrupt_chunk_metric").await;
        assert_eq!((got.status, &got.body["data"]["result"]), (200, &json!([])), "{case}: {got:?}");
        assert!(got.coverage.starts_with("partial; answered=0; asked=1; missing=\"prod-us-east\""), "{case}: {got:?}");
        let block = damaged.file_name().unwrap().to_string_lossy().into_owned();
        let warning = got.warnings().join("\n");
        let parts = [folder.path().to_str().unwrap(), "prod-us-east", &block];
        assert!(parts.iter().chain(why).all(|part| warning.contains(part)), "{case}: {warning}");
        let got = ask("sound_metric").await;
        assert_eq!(got.body["data"]["result"][0]["value"][1], "120", "{case}: {got:?}");
    }
}

/// A block without a meta.json is an upload that is not finished: it is not read, and counted. One whose meta.json is
/// damaged may hold anything, and is named in every answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_without_a_sound_meta_are_counted_and_named() {
    let Some(bucket) = golden("thanos-0.43/bucket-corrupt") else { return };
    let folder = tempfile::tempdir().unwrap();
    copy(&bucket, folder.path()).unwrap();
    let (absent, damaged) = (block_of(folder.path(), "a"), block_of(folder.path(), "b"));
    fs::remove_file(absent.join("meta.json")).unwrap();
    let start = async || {
        let mut config = config();
        config.sources.blocks = vec![BlockSource { folder: folder.path().to_owned(), labels: Labels::default() }];
        serve(config).await
    };
    let skipped = async |server: &Running, reason: &str| {
        let store = format!("blocks:{}", folder.path().display());
        let line = format!("masthead_blocks_skipped{{reason=\"{reason}\",store=\"{store}\"}} 1");
        let metrics = get(server.http_address, "/metrics").await;
        assert!(metrics.contains(&line), "{metrics}");
    };
    let server = start().await;
    skipped(&server, "no-meta-json").await;
    let got = query(server.http_address, "sound_metric").await;
    assert_eq!((got.coverage.as_str(), got.warnings().len()), ("complete", 0), "{got:?}");

    fs::write(damaged.join("meta.json"), "{\"version\": 1,").unwrap();
    let server = start().await;
    skipped(&server, "corrupted-meta-json").await;
    let got = query(server.http_address, "sound_metric").await;
    assert!(got.coverage.starts_with("partial; answered=0; asked=1; missing=\"blocks:"), "{got:?}");
    let block = damaged.file_name().unwrap().to_string_lossy().into_owned();
    assert!(got.warnings()[0].contains(&format!("block {block} is not served: read meta.json")), "{got:?}");
}
