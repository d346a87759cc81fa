//! One block, opened when it is first asked: its index head, segments and tombstones.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::index::Index;
use super::meta::BlockMeta;
use super::tombstones::{BYTES_A_BYTE, TOMBSTONES_BYTES_MAX, Tombstones};
use super::ulid::Ulid;
use crate::bucket::{Bucket, Object, Purpose};
use crate::budget::{Budget, Reservation};
use crate::error::{StoreError, StoreErrorKind};
use crate::labels::Labels;

/// First bytes of a segment: magic, version, padding.
pub(crate) const SEGMENT_HEAD: [u8; 8] = [0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0];

/// A block that is served. Its files are opened when it is first asked.
pub(crate) struct Block {
    pub(crate) meta: Arc<BlockMeta>,
    /// External labels of all its series.
    pub(crate) labels: Labels,
    /// Whether it lies in a Prometheus data directory, so that tombstones count; and the state of that file.
    pub(crate) tombstones: Option<String>,
    opened: OnceCell<Opened>,
}

/// The parts of a block that are kept.
pub(crate) struct Opened {
    pub(crate) index: Index,
    pub(crate) segments: Vec<Segment>,
    pub(crate) tombstones: Tombstones,
    _held: Reservation,
}

/// One file of chunks.
pub(crate) struct Segment {
    /// Name of the file.
    pub(crate) name: String,
    pub(crate) object: Object,
    checked: OnceCell<()>,
}

impl Block {
    /// A block whose files are not looked at yet.
    pub(crate) fn new(meta: Arc<BlockMeta>, labels: Labels, tombstones: Option<String>) -> Self {
        Self { meta, labels, tombstones, opened: OnceCell::new() }
    }

    /// Its name.
    pub(crate) fn ulid(&self) -> Ulid {
        self.meta.ulid
    }

    /// The opened parts; read at the first call, once for all who wait. They are reserved in `budget`.
    pub(crate) async fn open(&self, bucket: &Bucket, budget: &Budget) -> Result<&Opened, StoreError> {
        self.opened.get_or_try_init(|| Box::pin(self.read(bucket, budget))).await
    }

    async fn read(&self, bucket: &Bucket, budget: &Budget) -> Result<Opened, StoreError> {
        let folder = self.ulid().to_string();
        let (mut index, mut tombstones_bytes) = (None, 0);
        let mut segments = Vec::new();
        for (path, object) in bucket.objects(&folder).await? {
            if path == "index" {
                index = Some(object);
            } else if path == "tombstones" {
                tombstones_bytes = object.size.min(TOMBSTONES_BYTES_MAX) as usize;
            } else if let Some(name) = path.strip_prefix("chunks/").filter(|name| name.parse::<u64>().is_ok()) {
                segments.push(Segment { name: name.to_owned(), object, checked: OnceCell::new() });
            }
        }
        // The number in a name is not looked at, only the order (tsdb/chunks/chunks.go, `sequenceFiles`).
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        let gone = || StoreError::new(StoreErrorKind::Unavailable, "read index: gone since the folder was listed");
        let index = Index::open(bucket, index.ok_or_else(gone)?, budget).await?;
        // The file, and what is made of it.
        let most = if self.tombstones.is_some() { tombstones_bytes * (1 + BYTES_A_BYTE) } else { 0 };
        let mut held = budget.reserve("the tombstones of a block", most)?;
        let tombstones = match &self.tombstones {
            Some(_) => bucket.whole(&format!("{folder}/tombstones"), TOMBSTONES_BYTES_MAX).await?,
            None => None,
        };
        let tombstones = tombstones.map(|bytes: Bytes| Tombstones::parse(&bytes)).transpose()?.unwrap_or_default();
        // The file may have grown since it was listed.
        held.grow(tombstones.size_bytes().saturating_sub(held.bytes()))?;
        held.shrink_to(tombstones.size_bytes());
        Ok(Opened { index, segments, tombstones, _held: held })
    }
}

impl Segment {
    /// Checks the head of the file, once.
    pub(crate) async fn check(&self, bucket: &Bucket) -> Result<(), StoreError> {
        let check = || async {
            let size = self.object.size.min(SEGMENT_HEAD.len() as u64);
            let head = bucket.read_one(&self.object, 0..size, Purpose::Data).await;
            let head = head.map_err(|e| e.within(format!("read segment {}", self.name)))?;
            // The padding behind magic and version is not looked at.
            if head.get(..5) != Some(&SEGMENT_HEAD[..5]) {
                return Err(StoreError::corrupt(format!(
                    "read segment {}: it does not begin as a segment of version 1 does",
                    self.name
                )));
            }
            Ok(())
        };
        self.checked.get_or_try_init(check).await.copied()
    }
}
