//! The index of a block.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use futures::StreamExt as _;
use masthead_store::block::{BlockStore, BlockStoreOptions};
use masthead_store::bucket::Bucket;
use masthead_store::{Allowance, Budget, Labels, Millis, Select, Store};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::runtime::Runtime;

use crate::seeds::{self, Files};

/// Memory of the store, bytes: far more than a sound index of this size takes.
const BUDGET_BYTES: usize = 64 << 20;
/// Larger ones only take time.
const INDEX_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// The bytes are the index of a block whose other files are sound; checksums are put right, so that what they cover is
/// read. Names, values and series come of it, or errors.
pub fn run(data: &[u8]) {
    static SOUND: LazyLock<Files> = LazyLock::new(seeds::block);
    if data.len() > INDEX_BYTES_MAX {
        return;
    }
    let mut index = data.to_vec();
    reseal(&mut index);
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.get_or_insert_with(|| {
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O needs nothing")
        });
        runtime.block_on(read(&SOUND, index));
    });
}

async fn read(sound: &Files, index: Vec<u8>) {
    let bucket = Arc::new(InMemory::new());
    let files = [("meta.json", &sound.meta), ("index", &index), ("chunks/000001", &sound.chunks)];
    for (name, bytes) in files {
        let path = Path::from(format!("{}/{name}", sound.ulid));
        bucket.put(&path, PutPayload::from(bytes.clone())).await.expect("memory takes all");
    }
    let budget = Budget::new("fuzzed block", BUDGET_BYTES);
    let bucket: Arc<dyn ObjectStore> = bucket;
    let store = BlockStore::open(BlockStoreOptions {
        id: "fuzzed".into(),
        bucket: Bucket::new(bucket, Path::default(), budget.clone(), 0),
        labels: Labels::empty(),
        budget: budget.clone(),
    });
    if store.refresh(SystemTime::UNIX_EPOCH).await.is_err() {
        return;
    }
    let request = |labels_only| {
        let (min_time, max_time) = (Millis::MIN, Millis::MAX);
        Arc::new(Select { matchers: Vec::new(), min_time, max_time, replica_labels: Vec::new(), labels_only, limit: 0 })
    };
    let allowance = || Allowance::of(&budget);
    if let Ok(names) = store.label_names(request(true), allowance()).await {
        for name in names.into_parts().0.into_iter().take(8) {
            let _ = store.label_values(name, request(true), allowance()).await;
        }
    }
    for mut stream in store.select(request(false), allowance()) {
        let mut last = None;
        while let Some(Ok(batch)) = stream.next().await {
            for series in &batch.series {
                assert!(last.as_ref().is_none_or(|last| *last < series.labels), "series do not ascend");
                last = Some(series.labels.clone());
            }
        }
    }
    drop(store);
    assert_eq!(budget.used(), 0, "memory that nobody holds is not given back");
}

/// Puts right every checksum that can be found: of the table of contents, the sections it names, postings and series.
fn reseal(index: &mut [u8]) {
    const TOC: usize = 52;
    let Some(toc) = index.len().checked_sub(TOC) else { return };
    seal(index, toc, TOC - 4);
    let offset = |index: &[u8], i: usize| {
        let bytes = index[toc + 8 * i..].first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    };
    for i in [0, 5] {
        let at = offset(index, i);
        seal_section(index, at);
    }
    let mut at = offset(index, 4);
    while let Some(end) = seal_section(index, at) {
        at = end.next_multiple_of(4);
    }
    let (mut at, end) = (offset(index, 1), offset(index, 4).min(toc));
    while at < end {
        let Some((length, prefix)) = uvarint(&index[at..]) else { break };
        let Some(next) = seal(index, at.saturating_add(prefix), length) else { break };
        at = next.next_multiple_of(16);
    }
}

/// A section begins with its length. Gives where it ends.
fn seal_section(index: &mut [u8], at: usize) -> Option<usize> {
    let length = u32::from_be_bytes(*index.get(at..)?.first_chunk::<4>()?);
    seal(index, at + 4, usize::try_from(length).ok()?)
}

/// Writes the checksum of `length` bytes behind them. Gives where it ends.
fn seal(index: &mut [u8], at: usize, length: usize) -> Option<usize> {
    let end = at.checked_add(length)?;
    let sum = crc32c::crc32c(index.get(at..end)?);
    index.get_mut(end..end.checked_add(4)?)?.copy_from_slice(&sum.to_be_bytes());
    Some(end + 4)
}

fn uvarint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}
