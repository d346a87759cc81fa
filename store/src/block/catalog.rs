//! Which blocks a folder holds, which of them are served, and what is known to lack. Reading the folder and judging
//! what was found are two steps; the second one is a pure function.
//!
//! The rules are those of Thanos' fetcher (pkg/block/fetcher.go), but for downsampled blocks, which are not read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Access;
use super::meta::{BlockMeta, META_BYTES_MAX, deletion_time};
use super::reader::Block;
use super::ulid::Ulid;
use crate::bucket::at_once;
use crate::error::StoreError;
use crate::labels::Labels;
use crate::select::Gap;
use crate::series::Millis;

/// Blocks marked for deletion are served so long, since what replaces them may not be seen yet
/// (`--ignore-deletion-marks-delay` of thanos store).
const DELETION_DELAY: Duration = Duration::from_secs(24 * 3600);

/// Why a block is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// It has no `meta.json`: an upload that did not end, or has not ended yet.
    NoMeta,
    /// Its `meta.json` cannot be understood.
    CorruptedMeta,
    /// Its `meta.json` cannot be read now.
    Unreadable,
    /// It holds downsampled data.
    Resolution,
    /// It was marked for deletion more than 24 h ago.
    MarkedForDeletion,
    /// One other block of the same labels and resolution holds all that it holds.
    Superseded,
}

impl SkipReason {
    /// A short word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMeta => "no-meta-json",
            Self::CorruptedMeta => "corrupted-meta-json",
            Self::Unreadable => "unreadable",
            Self::Resolution => "resolution",
            Self::MarkedForDeletion => "marked-for-deletion",
            Self::Superseded => "superseded",
        }
    }
}

/// What a folder was found to hold.
#[derive(Default)]
pub(crate) struct View {
    /// The blocks that are served, by time.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// The others.
    pub(crate) skipped: Vec<(Ulid, SkipReason)>,
    /// What is known to lack.
    pub(crate) gaps: Vec<Gap>,
    /// Every `meta.json` that was understood, so that it is read once.
    metas: HashMap<Ulid, Arc<BlockMeta>>,
}

/// One folder whose name is a ULID.
struct Found {
    ulid: Ulid,
    meta: Meta,
    /// When it was marked for deletion, seconds since 1970.
    marked: Option<i64>,
    /// State of the tombstones of a block in a data directory.
    tombstones: Option<String>,
}

enum Meta {
    Good(Arc<BlockMeta>),
    Absent,
    Corrupted(StoreError),
    Unreadable(StoreError),
}

/// Reads the folder. What was understood before is not read again.
///
/// Errors: the folder cannot be listed. A block that cannot be read makes no error but a gap.
pub(crate) async fn read(access: &Access, previous: &View, now: SystemTime) -> Result<View, StoreError> {
    let folders = access.bucket.folders().await?;
    let head = folders.iter().any(|name| name == "wal" || name == "chunks_head");
    let ulid = |name: &String| name.parse().ok().filter(|ulid: &Ulid| ulid.to_string() == *name);
    let ulids: BTreeSet<Ulid> = folders.iter().filter_map(ulid).collect();
    let found = at_once(ulids.into_iter().map(|ulid| find(access, previous, ulid))).await;
    Ok(judge(found, &access.labels, head, previous, now))
}

async fn find(access: &Access, previous: &View, ulid: Ulid) -> Found {
    let meta = match previous.metas.get(&ulid) {
        Some(known) => Meta::Good(known.clone()),
        None => match access.bucket.whole(&format!("{ulid}/meta.json"), META_BYTES_MAX).await {
            Err(e) => Meta::Unreadable(e),
            Ok(None) => Meta::Absent,
            Ok(Some(bytes)) => match BlockMeta::parse(&bytes) {
                Ok(meta) if meta.ulid == ulid => Meta::Good(Arc::new(meta)),
                Ok(meta) => {
                    Meta::Corrupted(StoreError::corrupt(format!("read meta.json: it is that of {}", meta.ulid)))
                }
                Err(e) => Meta::Corrupted(e),
            },
        },
    };
    let mut found = Found { ulid, meta, marked: None, tombstones: None };
    let Meta::Good(meta) = &found.meta else { return found };
    if meta.thanos.is_some() {
        // A mark that cannot be read does not count: to serve a block too long does no harm.
        let mark = access.bucket.whole(&format!("{ulid}/deletion-mark.json"), META_BYTES_MAX).await;
        found.marked = mark.ok().flatten().and_then(|bytes| deletion_time(&bytes));
    } else {
        match access.bucket.version(&format!("{ulid}/tombstones")).await {
            Ok(version) => found.tombstones = Some(version.unwrap_or_default()),
            Err(e) => found.meta = Meta::Unreadable(e),
        }
    }
    found
}

/// What to make of what was found. `labels` are those added to blocks of a data directory, `head` says that there are
/// samples that are in no block yet.
fn judge(found: Vec<Found>, labels: &Labels, head: bool, previous: &View, now: SystemTime) -> View {
    let mut view = View::default();
    let mut candidates: Vec<Arc<Block>> = Vec::new();
    for one in found {
        match one.meta {
            Meta::Good(meta) => {
                view.metas.insert(one.ulid, meta.clone());
                if one.marked.is_some_and(|marked| is_old(marked, now)) {
                    view.skipped.push((one.ulid, SkipReason::MarkedForDeletion));
                    continue;
                }
                let known = previous.blocks.iter().find(|block| block.ulid() == one.ulid);
                let known = known.filter(|block| block.tombstones == one.tombstones);
                let new = || Arc::new(Block::new(meta.clone(), meta.labels(labels), one.tombstones));
                candidates.push(known.cloned().unwrap_or_else(new));
            }
            Meta::Absent => view.skipped.push((one.ulid, SkipReason::NoMeta)),
            Meta::Corrupted(e) => {
                view.skipped.push((one.ulid, SkipReason::CorruptedMeta));
                view.gaps.push(unreadable(one.ulid, labels, &e));
            }
            Meta::Unreadable(e) => match previous.blocks.iter().find(|block| block.ulid() == one.ulid) {
                Some(known) => {
                    view.metas.insert(one.ulid, known.meta.clone());
                    candidates.push(known.clone());
                }
                None => {
                    view.skipped.push((one.ulid, SkipReason::Unreadable));
                    view.gaps.push(unreadable(one.ulid, labels, &e));
                }
            },
        }
    }
    let (kept, superseded) = without_superseded(candidates);
    view.skipped.extend(superseded.iter().map(|block| (block.ulid(), SkipReason::Superseded)));
    let (raw, other): (Vec<_>, Vec<_>) = kept.into_iter().partition(|block| block.meta.resolution() == 0);
    view.skipped.extend(other.iter().map(|block| (block.ulid(), SkipReason::Resolution)));
    view.gaps.extend(only_downsampled(&raw, &other));
    view.blocks = raw;
    view.blocks.sort_by_key(|block| (block.meta.min_time, block.ulid()));
    view.skipped.sort();
    if head {
        let min_time = view.blocks.iter().map(|block| block.meta.max_time).max().unwrap_or(Millis::MIN);
        let reason = "the head (wal, chunks_head) of a Prometheus data directory is not read".into();
        view.gaps.push(Gap { labels: labels.clone(), min_time, max_time: Millis::MAX, reason });
    }
    view
}

fn is_old(marked: i64, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(marked).is_ok_and(|marked| now.saturating_sub(Duration::from_secs(marked)) > DELETION_DELAY)
}

/// A block of which nothing is known but its name, which says when it was made: it holds nothing later.
fn unreadable(ulid: Ulid, labels: &Labels, error: &StoreError) -> Gap {
    let max_time = Millis::try_from(ulid.time_ms()).unwrap_or(Millis::MAX);
    let reason = format!("block {ulid} is not served: {error}").into();
    Gap { labels: labels.clone(), min_time: Millis::MIN, max_time, reason }
}

/// A block and its sources, ascending.
type WithSources = (Arc<Block>, Vec<Ulid>);

/// Splits off the blocks whose sources one other block of the same labels and resolution covers. Of blocks with equal
/// sources the one that was made from the other stays, else the older one.
fn without_superseded(mut blocks: Vec<Arc<Block>>) -> (Vec<Arc<Block>>, Vec<Arc<Block>>) {
    blocks.sort_by_cached_key(|block| (usize::MAX - block.meta.sources().len(), block.ulid()));
    let mut groups: HashMap<(i64, Labels), Vec<WithSources>> = HashMap::new();
    let mut superseded = Vec::new();
    for block in blocks {
        let sources = block.meta.sources();
        let kept = groups.entry((block.meta.resolution(), block.labels.clone())).or_default();
        let covers = |have: &[Ulid]| sources.iter().all(|source| have.binary_search(source).is_ok());
        match kept.iter_mut().find(|(_, have)| covers(have)) {
            None => kept.push((block, sources)),
            Some((parent, have)) => {
                let made_from = block.meta.compaction.parents.iter().any(|p| p.ulid == parent.ulid());
                let dropped = if made_from && *have == sources { std::mem::replace(parent, block) } else { block };
                superseded.push(dropped);
            }
        }
    }
    (groups.into_values().flatten().map(|(block, _)| block).collect(), superseded)
}

/// The times, per external labels, that only the blocks of `other` resolutions cover.
fn only_downsampled(raw: &[Arc<Block>], other: &[Arc<Block>]) -> Vec<Gap> {
    let mut by_labels: BTreeMap<&Labels, Vec<(Millis, Millis)>> = BTreeMap::new();
    for block in other {
        by_labels.entry(&block.labels).or_default().push((block.meta.min_time, block.meta.max_time));
    }
    let mut gaps = Vec::new();
    for (labels, ranges) in by_labels {
        let covered = raw.iter().filter(|block| block.labels == *labels);
        let covered = union(covered.map(|block| (block.meta.min_time, block.meta.max_time)).collect());
        for (start, end) in union(ranges) {
            let mut from = start;
            let ends = covered.iter().copied().filter(|(s, e)| *s < end && *e > start).chain([(end, end)]);
            for (covered_from, covered_to) in ends {
                if from < covered_from {
                    let reason = "only downsampled blocks are left, which are not read".into();
                    let max_time = covered_from.saturating_sub(1);
                    gaps.push(Gap { labels: labels.clone(), min_time: from, max_time, reason });
                }
                from = from.max(covered_to);
            }
        }
    }
    gaps
}

/// The same times as ranges that ascend and do not touch; ends are exclusive.
fn union(mut ranges: Vec<(Millis, Millis)>) -> Vec<(Millis, Millis)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = next.0 <= last.1;
        if joins {
            last.1 = last.1.max(next.1);
        }
        joins
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulid(n: u64) -> Ulid {
        Ulid::new(n, 0)
    }

    /// A block named by its number, with these sources, from hour to hour.
    fn block(n: u64, sources: &[u64], hours: (i64, i64), resolution: i64, parents: &[u64]) -> Found {
        let names = |list: &[u64]| list.iter().map(|n| format!("\"{}\"", ulid(*n))).collect::<Vec<_>>().join(",");
        let parents: Vec<_> =
            parents.iter().map(|n| format!(r#"{{"ulid":"{}","minTime":0,"maxTime":1}}"#, ulid(*n))).collect();
        let text = format!(
            r#"{{"ulid":"{}","minTime":{},"maxTime":{},"version":1,"compaction":{{"level":1,"sources":[{}],"parents":[{}]}},
            "thanos":{{"labels":{{"cluster":"a"}},"downsample":{{"resolution":{resolution}}}}}}}"#,
            ulid(n),
            hours.0,
            hours.1,
            names(sources),
            parents.join(",")
        );
        let meta = Meta::Good(Arc::new(BlockMeta::parse(text.as_bytes()).unwrap()));
        Found { ulid: ulid(n), meta, marked: None, tombstones: None }
    }

    fn served(view: &View) -> Vec<u64> {
        view.blocks.iter().map(|block| block.ulid().time_ms()).collect()
    }

    fn view(found: Vec<Found>) -> View {
        judge(found, &Labels::empty(), false, &View::default(), UNIX_EPOCH + Duration::from_secs(1_000_000))
    }

    #[test]
    fn one_block_may_cover_another_but_two_together_may_not() {
        let found = vec![
            block(1, &[1], (0, 2), 0, &[]),
            block(2, &[2], (2, 4), 0, &[]),
            block(3, &[1, 2], (0, 4), 0, &[1, 2]),
            block(4, &[4, 5], (4, 6), 0, &[]),
            block(5, &[5, 6], (4, 6), 0, &[]),
            block(6, &[4, 6], (4, 6), 0, &[]),
            block(7, &[7], (6, 8), 0, &[]),
            block(8, &[7], (6, 8), 300_000, &[]),
            block(9, &[9], (8, 10), 0, &[]),
            block(10, &[9], (8, 10), 0, &[9]),
            block(11, &[11], (10, 11), 0, &[]),
            block(12, &[11], (10, 11), 0, &[]),
        ];
        let view = view(found);
        assert_eq!(served(&view), [3, 4, 5, 6, 7, 10, 11]);
        let skipped: Vec<_> = view.skipped.iter().map(|(ulid, reason)| (ulid.time_ms(), reason.as_str())).collect();
        let s = "superseded";
        assert_eq!(skipped, [(1, s), (2, s), (8, "resolution"), (9, s), (12, s)]);
        assert!(view.gaps.is_empty());
    }

    #[test]
    fn times_of_which_only_another_resolution_is_left_are_gaps() {
        let found = vec![
            block(1, &[1], (0, 50), 300_000, &[]),
            block(2, &[2], (50, 100), 3_600_000, &[]),
            block(3, &[3], (20, 30), 0, &[]),
            block(4, &[4], (30, 40), 0, &[]),
            block(5, &[5], (90, 200), 0, &[]),
        ];
        let gaps: Vec<_> = view(found).gaps.iter().map(|gap| (gap.min_time, gap.max_time)).collect();
        assert_eq!(gaps, [(0, 19), (40, 89)]);
    }

    #[test]
    fn marks_count_after_a_day_and_broken_metas_are_named() {
        let day = 24 * 3600;
        let mut old = block(1, &[1], (0, 2), 0, &[]);
        old.marked = Some(1_000_000 - day - 1);
        let mut fresh = block(2, &[2], (0, 2), 0, &[]);
        fresh.marked = Some(1_000_000 - day);
        let mut future = block(3, &[3], (0, 2), 0, &[]);
        future.marked = Some(2_000_000);
        let bad = |n, meta| Found { ulid: ulid(n), meta, marked: None, tombstones: None };
        let view =
            view(vec![old, fresh, future, bad(4, Meta::Absent), bad(5, Meta::Corrupted(StoreError::corrupt("x")))]);
        assert_eq!(served(&view), [2, 3]);
        let reasons: Vec<_> = view.skipped.iter().map(|(ulid, reason)| (ulid.time_ms(), *reason)).collect();
        assert_eq!(
            reasons,
            [(1, SkipReason::MarkedForDeletion), (4, SkipReason::NoMeta), (5, SkipReason::CorruptedMeta)]
        );
        assert_eq!(view.gaps.len(), 1);
        assert!(view.gaps[0].reason.contains(&ulid(5).to_string()));
    }

    #[test]
    fn a_block_that_cannot_be_read_for_once_stays() {
        let first = view(vec![block(1, &[1], (0, 2), 0, &[]), block(2, &[2], (2, 4), 0, &[])]);
        let bad = |n| Found {
            ulid: ulid(n),
            meta: Meta::Unreadable(StoreError::corrupt("x")),
            marked: None,
            tombstones: None,
        };
        let now = UNIX_EPOCH;
        let second = judge(vec![bad(1), bad(3)], &Labels::empty(), true, &first, now);
        assert_eq!(served(&second), [1]);
        assert!(Arc::ptr_eq(&first.blocks[0], &second.blocks[0]));
        let gaps: Vec<_> = second.gaps.iter().map(|gap| (gap.min_time, gap.max_time)).collect();
        assert_eq!(gaps, [(Millis::MIN, 3), (2, Millis::MAX)], "the unknown block, and the head");
    }
}
