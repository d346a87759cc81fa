//! A day of the fleet's history as real TSDB blocks in a bucket folder, as sidecars and a compactor leave them.

use std::path::Path;

use masthead_store::block::Ulid;
use masthead_store::block::write::{WriteOptions, write_block};
use masthead_store::{Chunk, Labels, Millis, StoreError, chunk};

use super::fleet::Member;

const HOUR: Millis = 3_600_000;
/// Length of a block, ms: three of them are a day.
const BLOCK: Millis = 8 * HOUR;
const BLOCKS: i64 = 3;
/// Blocks end at multiples of this, ms, like those of a Prometheus head.
const HEAD: Millis = 2 * HOUR;
/// Longer than the default lookback, ms.
const SETTLED: Millis = 600_000;

/// Where history ends and only the live part goes on, ms: a border of a head block, some minutes ago at least, so that what is
/// asked of now is never answered from history.
pub(super) fn end(now: Millis) -> Millis {
    (now - SETTLED).div_euclid(HEAD) * HEAD
}

/// Writes the blocks of all members below `bucket`, in parallel.
pub(super) fn write(bucket: &Path, members: &[Member], now: Millis) -> Result<(), StoreError> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(index, member)| scope.spawn(move || write_member(bucket, index, member, end(now))))
            .collect();
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn write_member(bucket: &Path, index: usize, member: &Member, end: Millis) -> Result<(), StoreError> {
    let metrics = member.metrics();
    for block in 0..BLOCKS {
        let max_time = end - block * BLOCK;
        let min_time = max_time - BLOCK;
        let times: Vec<Millis> = member.scrapes(min_time, max_time - 1).collect();
        let mut series = metrics.iter().map(|metric| -> (Labels, Vec<Chunk>) {
            let values: Vec<f64> = times.iter().map(|t| metric.value(*t)).collect();
            (metric.labels.clone(), chunk::encode(&times, &values))
        });
        // The index keeps the blocks of one time apart.
        let ulid = Ulid::new(max_time as u64, index as u64);
        let options =
            WriteOptions { labels: Some(member.external_labels()), ..WriteOptions::new(ulid, min_time, max_time) };
        write_block(bucket, &mut series, options)?;
    }
    Ok(())
}
