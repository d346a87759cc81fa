//! Objects below one folder of an object store: listing, whole small objects, and coalesced ranged reads of large ones.
//!
//! Retries are those of the object store's client. A local folder is the same thing with cheap requests; all its
//! blocking calls run on the runtime's blocking threads, inside `object_store`.

use std::ops::Range;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::budget::Budget;
use crate::cache::RangeCache;
use crate::error::{StoreError, StoreErrorKind};

/// Two ranges are read as one where at most so many bytes lie between them. On a local disk a further read costs a
/// system call and a copy, some microseconds, in which 32 KiB are copied from the page cache; over a network it would
/// pay to read more, but the bytes between are held until the batch is used up.
pub const GAP_MAX: u64 = 32 << 10;

/// Ranges are not joined beyond this, so that no buffer grows with the size of a segment.
pub const JOINED_MAX: u64 = 8 << 20;

/// Default size of the range cache, bytes. The page cache does the rest for local folders.
pub const CACHE_BYTES: usize = 16 << 20;

/// A folder of an object store.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    base: Path,
    /// The folder, if it is a local one: an object store takes a missing folder for an empty one.
    directory: Option<PathBuf>,
    cache: RangeCache,
    objects: AtomicU64,
}

/// One object whose size is known, numbered for the cache.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where it is.
    pub path: Path,
    /// Its size in bytes when it was listed.
    pub size: u64,
    number: u64,
}

/// What a range is read for, which decides whether it is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Postings and their offsets: small, and asked for again and again.
    Lookup,
    /// Series entries and chunks: kept only where reading them again costs a request over a network.
    Data,
}

impl Bucket {
    /// The folder `base` of `store`. Cached ranges are reserved in `budget`.
    pub fn new(store: Arc<dyn ObjectStore>, base: Path, budget: Budget, cache_bytes: usize) -> Self {
        let cache = RangeCache::new(budget, cache_bytes);
        Self { store, base, directory: None, cache, objects: AtomicU64::new(0) }
    }

    /// A local folder, which need not exist yet.
    pub fn local(directory: &FilePath, budget: Budget, cache_bytes: usize) -> Result<Self, StoreError> {
        let named = || format!("open folder {}", directory.display());
        let directory = match directory.canonicalize() {
            Ok(directory) => directory,
            Err(_) => without_dots(directory)
                .map_err(|e| StoreError::new(StoreErrorKind::Unavailable, named()).with_source(e))?,
        };
        let base = Path::from_absolute_path(&directory)
            .map_err(|e| StoreError::new(StoreErrorKind::Refused, named()).with_source(e))?;
        let mut bucket = Self::new(Arc::new(LocalFileSystem::new()), base, budget, cache_bytes);
        bucket.directory = Some(directory);
        Ok(bucket)
    }

    /// Names of the folders directly below.
    pub async fn folders(&self) -> Result<Vec<String>, StoreError> {
        if let Some(directory) = self.directory.clone() {
            let failed = || StoreError::new(StoreErrorKind::Unavailable, "list the folder");
            let checked = tokio::task::spawn_blocking(move || std::fs::read_dir(directory).map(drop)).await;
            checked.map_err(|e| failed().with_source(e))?.map_err(|e| failed().with_source(e))?;
        }
        let listed = self.store.list_with_delimiter(Some(&self.base)).await;
        let listed = listed.map_err(|e| failure("list the folder", e))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    /// The objects at any depth below `folder`: path relative to it, and the object.
    pub async fn objects(&self, folder: &str) -> Result<Vec<(String, Object)>, StoreError> {
        let prefix = self.base.clone().join(folder);
        let listed: Vec<ObjectMeta> =
            self.store.list(Some(&prefix)).try_collect().await.map_err(|e| failure("list the block's files", e))?;
        let named = listed.into_iter().filter_map(|meta| {
            let parts: Vec<String> = meta.location.prefix_match(&prefix)?.map(|p| p.as_ref().to_owned()).collect();
            let number = self.objects.fetch_add(1, Ordering::Relaxed);
            Some((parts.join("/"), Object { path: meta.location, size: meta.size, number }))
        });
        Ok(named.collect())
    }

    /// A whole object of at most `size_max` bytes; None where there is none.
    pub async fn whole(&self, path: &str, size_max: u64) -> Result<Option<Bytes>, StoreError> {
        let what = || format!("read {path}");
        let location = self.base.parts().chain(Path::from(path).parts()).collect::<Path>();
        let found = match self.store.get(&location).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|e| failure(what(), e))?,
        };
        if found.meta.size > size_max {
            return Err(StoreError::corrupt(format!("{}: {} bytes are too many", what(), found.meta.size)));
        }
        found.bytes().await.map(Some).map_err(|e| failure(what(), e))
    }

    /// Something that differs when the object at `path` was written anew; None where there is none.
    pub async fn version(&self, path: &str) -> Result<Option<String>, StoreError> {
        let location = self.base.parts().chain(Path::from(path).parts()).collect::<Path>();
        match self.store.head(&location).await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failure(format!("look at {path}"), e)),
            Ok(meta) => Ok(Some(format!("{} {:?} {}", meta.size, meta.e_tag, meta.last_modified))),
        }
    }

    /// The bytes of each of `ranges`, in their order, read in as few requests as [`GAP_MAX`] allows. Ranges beyond the
    /// object's end are an error, so that foreign lengths never make a buffer larger than the object.
    pub async fn read(
        &self,
        object: &Object,
        ranges: &[Range<u64>],
        purpose: Purpose,
    ) -> Result<Vec<Bytes>, StoreError> {
        if let Some(bad) = ranges.iter().find(|range| range.start > range.end || range.end > object.size) {
            let (start, end) = (bad.start, bad.end);
            return Err(StoreError::corrupt(format!("range {start}..{end} past end {}", object.size)));
        }
        let keep = purpose == Purpose::Lookup || self.directory.is_none();
        let mut found: Vec<Option<Bytes>> = vec![None; ranges.len()];
        if keep {
            for (slot, range) in found.iter_mut().zip(ranges) {
                *slot = self.cache.get(object.number, range);
            }
        }
        let mut missing: Vec<usize> = (0..ranges.len()).filter(|i| found[*i].is_none()).collect();
        missing.sort_unstable_by_key(|i| ranges[*i].start);
        let joined = coalesce(missing.iter().map(|i| ranges[*i].clone()));
        let buffers = self.fetch(object, &joined).await?;
        for i in missing {
            let range = &ranges[i];
            let at = joined.partition_point(|j| j.start <= range.start).saturating_sub(1);
            let start = (range.start - joined[at].start) as usize;
            let slice = buffers[at].slice(start..start + (range.end - range.start) as usize);
            if keep {
                self.cache.put(object.number, range, &slice);
            }
            found[i] = Some(slice);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// As [`read`](Self::read), a single range.
    pub async fn read_one(&self, object: &Object, range: Range<u64>, purpose: Purpose) -> Result<Bytes, StoreError> {
        Ok(self.read(object, std::slice::from_ref(&range), purpose).await?.remove(0))
    }

    async fn fetch(&self, object: &Object, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let buffers = self.store.get_ranges(&object.path, ranges).await.map_err(|e| failure("read", e))?;
        let whole = buffers.len() == ranges.len()
            && buffers.iter().zip(ranges).all(|(bytes, range)| bytes.len() as u64 == range.end - range.start);
        if !whole {
            return Err(StoreError::corrupt("read: the object became shorter since it was listed"));
        }
        Ok(buffers)
    }
}

/// The absolute path of a folder that is not there yet, `..` taken as written: the object store takes none.
fn without_dots(directory: &FilePath) -> std::io::Result<PathBuf> {
    let mut out = PathBuf::new();
    for component in std::path::absolute(directory)?.components() {
        match component {
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Joins ranges that ascend by start where at most [`GAP_MAX`] bytes lie between them, up to [`JOINED_MAX`] bytes. Each
/// given range lies within one of the joined ones, which overlap only where given ranges do that the limit keeps apart.
pub fn coalesce(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last)
                if range.end <= last.end
                    || range.start <= last.end.saturating_add(GAP_MAX) && range.end - last.start <= JOINED_MAX =>
            {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

fn failure(what: impl Into<String>, error: object_store::Error) -> StoreError {
    let what: String = what.into();
    let gone = matches!(error, object_store::Error::NotFound { .. });
    let context = if gone { format!("{what}: gone since the folder was listed") } else { what };
    StoreError::new(StoreErrorKind::Unavailable, context).with_source(error)
}

/// Runs `jobs`, at most 16 at a time: enough to hide the latency of an object store, few enough for its limits.
pub(crate) async fn at_once<T>(jobs: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures::stream::iter(jobs).buffered(16).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_joined_and_far_ones_are_not() {
        let far = GAP_MAX + 1;
        let check = |given: &[(u64, u64)], expected: &[(u64, u64)]| {
            let joined = coalesce(given.iter().map(|(start, end)| *start..*end));
            assert_eq!(joined.into_iter().map(|r| (r.start, r.end)).collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&[(0, 10), (10, 20), (15, 18)], &[(0, 20)]);
        check(&[(0, 10), (10 + GAP_MAX, 20 + GAP_MAX)], &[(0, 20 + GAP_MAX)]);
        check(&[(0, 10), (10 + far, 20 + far)], &[(0, 10), (10 + far, 20 + far)]);
        let apart = [(0, JOINED_MAX), (JOINED_MAX, JOINED_MAX + 1)];
        check(&apart, &apart);
    }

    #[tokio::test]
    async fn ranges_come_in_their_order_and_the_cache_answers_the_second_time() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), &content).unwrap();
        let bucket = Bucket::local(folder.path(), Budget::unlimited(), 1 << 20).unwrap();
        assert_eq!(bucket.folders().await.unwrap(), ["a"]);
        let (name, object) = bucket.objects("a").await.unwrap().remove(0);
        assert_eq!((name.as_str(), object.size), ("b", 200_000));
        let ranges = [199_000..200_000, 5..10, 7..9, 100_000..100_001, 3..3];
        for _ in 0..2 {
            let got = bucket.read(&object, &ranges, Purpose::Lookup).await.unwrap();
            for (bytes, range) in got.iter().zip(&ranges) {
                assert_eq!(bytes, &content[range.start as usize..range.end as usize]);
            }
            std::fs::remove_file(folder.path().join("a/b")).ok();
        }
        let gone = bucket.read_one(&object, 0..1, Purpose::Data).await.unwrap_err();
        assert_eq!(gone.kind, StoreErrorKind::Unavailable);
        assert!(gone.context.contains("gone"), "{gone}");
        let past = bucket.read_one(&object, 0..200_001, Purpose::Data).await.unwrap_err();
        assert_eq!(past.kind, StoreErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn a_missing_folder_is_an_error_and_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::local(&folder.path().join("other/../none"), Budget::unlimited(), 0).unwrap();
        assert_eq!(bucket.folders().await.unwrap_err().kind, StoreErrorKind::Unavailable);
        std::fs::create_dir_all(folder.path().join("none/a b")).unwrap();
        assert_eq!(bucket.folders().await.unwrap(), ["a b"]);
    }
}
