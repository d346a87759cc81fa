//! `meta.json` and the deletion mark: what a block says of itself. Unknown keys are ignored, also in `thanos`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::ulid::Ulid;
use crate::error::StoreError;
use crate::labels::Labels;
use crate::series::Millis;

/// Larger files are no meta.json; those of blocks with thousands of segments stay below.
pub(crate) const META_BYTES_MAX: u64 = 16 << 20;

/// What `meta.json` of a block holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// The block's name.
    pub ulid: Ulid,
    /// First time it may hold, ms, inclusive.
    pub min_time: Millis,
    /// End of the times it may hold, ms, exclusive.
    pub max_time: Millis,
    /// Counts.
    #[serde(default)]
    pub stats: BlockStats,
    /// Where it comes from.
    #[serde(default)]
    pub compaction: Compaction,
    /// 1.
    pub version: u32,
    /// What Thanos adds. Absent in a Prometheus data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
}

/// Counts of a block; zeros are left out of the file. No guide in downsampled blocks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a block came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Compaction {
    /// 1 for a block of the head, more for each compaction.
    #[serde(default)]
    pub level: u32,
    /// The level 1 blocks whose samples it holds.
    #[serde(default, deserialize_with = "nullable")]
    pub sources: Vec<Ulid>,
    /// The blocks it was made from.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// `from-out-of-order` and the like.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block from which another one was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as in BlockMeta")]
pub struct Parent {
    pub ulid: Ulid,
    pub min_time: Millis,
    pub max_time: Millis,
}

/// The `thanos` section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThanosMeta {
    /// 1; 0 and absent mean 1.
    #[serde(default)]
    pub version: u32,
    /// External labels.
    #[serde(default, deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// The resolution.
    #[serde(default)]
    pub downsample: Downsample,
    /// `sidecar`, `compactor`, ...
    #[serde(default)]
    pub source: String,
    /// Names of the segments.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub segment_files: Vec<String>,
    /// All files of the block, by path.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileMeta>,
}

/// The resolution of a block.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Downsample {
    /// Distance of the samples, ms; 0: raw.
    #[serde(default)]
    pub resolution: i64,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Path within the block.
    pub rel_path: String,
    /// Size in bytes; absent for meta.json itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
}

/// `null`, which Go writes for what it never filled, reads as empty.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl BlockMeta {
    /// Reads a `meta.json`. Fails for another version than 1, and for times that end before they begin.
    pub fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::corrupt(format!("read meta.json: {why}"));
        let meta: Self = serde_json::from_slice(bytes).map_err(|e| bad("no JSON of a block").with_source(e))?;
        if meta.version != 1 {
            return Err(bad(&format!("version {} is not known", meta.version)));
        }
        if meta.thanos.as_ref().is_some_and(|thanos| thanos.version > 1) {
            return Err(bad("the version of its Thanos part is not known"));
        }
        if meta.min_time > meta.max_time {
            return Err(bad("it ends before it begins"));
        }
        Ok(meta)
    }

    /// The file as Prometheus writes it, tabs and all.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        self.serialize(&mut serializer).expect("plain structs with string keys always serialise");
        out
    }

    /// Distance of the samples, ms; 0: raw.
    pub fn resolution(&self) -> i64 {
        self.thanos.as_ref().map_or(0, |thanos| thanos.downsample.resolution)
    }

    /// External labels of the block: its own, and of `added` those that it does not name.
    pub fn labels(&self, added: &Labels) -> Labels {
        let own = self.thanos.iter().flat_map(|thanos| &thanos.labels).map(|(n, v)| (n.as_str(), v.as_str()));
        Labels::from_pairs(added.iter().chain(own))
    }

    /// The level 1 blocks whose samples it holds: itself where the file names none.
    pub(crate) fn sources(&self) -> Vec<Ulid> {
        let mut sources = self.compaction.sources.clone();
        if sources.is_empty() {
            sources.push(self.ulid);
        }
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Whether it may hold samples between both times, inclusive.
    pub(crate) fn overlaps(&self, min_time: Millis, max_time: Millis) -> bool {
        self.min_time <= max_time && min_time < self.max_time
    }
}

/// When a block was marked for deletion, seconds since 1970, from its `deletion-mark.json`. None: the mark cannot be
/// read, as when it is half written, and then it does not count.
pub(crate) fn deletion_time(bytes: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Mark {
        deletion_time: i64,
        version: u32,
    }
    serde_json::from_slice::<Mark>(bytes).ok().filter(|mark| mark.version == 1).map(|mark| mark.deletion_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_and_nulls_are_fine_and_other_versions_are_not() {
        let text = r#"{"ulid":"01M7YKKWVFTK6TBV308GNKETXH","minTime":1,"maxTime":2,"version":1,"new":{},
            "compaction":{"level":1,"sources":null,"failed":true},"thanos":{"labels":null,"extensions":[1]}}"#;
        let meta = BlockMeta::parse(text.as_bytes()).unwrap();
        assert_eq!((meta.resolution(), meta.sources()), (0, vec![meta.ulid]));
        assert_eq!(BlockMeta::parse(&meta.to_json()).unwrap(), meta);
        for bad in [text.replace("\"version\":1", "\"version\":2"), text.replace("\"maxTime\":2", "\"maxTime\":0")] {
            assert!(BlockMeta::parse(bad.as_bytes()).is_err());
        }
        assert!(meta.overlaps(0, 1) && meta.overlaps(1, 9) && !meta.overlaps(2, 9) && !meta.overlaps(0, 0));
    }

    #[test]
    fn labels_of_the_block_win() {
        let text = r#"{"ulid":"01M7YKKWVFTK6TBV308GNKETXH","minTime":1,"maxTime":2,"version":1,
            "thanos":{"labels":{"cluster":"a"}}}"#;
        let meta = BlockMeta::parse(text.as_bytes()).unwrap();
        let added = Labels::from_pairs([("cluster", "b"), ("zone", "z")]);
        assert_eq!(meta.labels(&added), Labels::from_pairs([("cluster", "a"), ("zone", "z")]));
    }
}
