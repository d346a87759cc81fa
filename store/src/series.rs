//! Series as they travel from the sources to the engine: labels, and chunks by lane, still compressed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use crate::budget::Reservation;
use crate::error::{StoreError, StoreErrorKind};
use crate::labels::Labels;

/// Milliseconds since the Unix epoch; may be negative.
pub type Millis = i64;

/// Names a source everywhere: in coverage, logs, metrics and errors. An address, or `blocks:DIR`.
pub type StoreId = Arc<str>;

/// How the bytes of a chunk are to be read. The numbers are those of a block's chunk header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Integer native histograms.
    Histogram = 2,
    /// Float native histograms.
    FloatHistogram = 3,
    /// Floats, with start timestamps.
    Xor2 = 4,
    /// Integer native histograms with start timestamps.
    HistogramSt = 5,
    /// Float native histograms with start timestamps.
    FloatHistogramSt = 6,
}

/// Metadata of a StoreAPI call in which a caller says up to which number of [`Encoding`] it reads chunks. Callers that
/// say nothing, all those of Thanos, read 1 to 3. It is no field of the request, so that no peer ever refuses or
/// forwards it.
pub(crate) const ENCODINGS_KEY: &str = "masthead-chunk-encodings";

/// What we say there.
pub(crate) const ENCODINGS_READ: &str = "6";

impl Encoding {
    /// The encoding of a block's chunk header byte.
    pub fn from_block(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            _ => return None,
        })
    }

    /// The name Prometheus prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xor => "XOR",
            Self::Histogram => "histogram",
            Self::FloatHistogram => "floathistogram",
            Self::Xor2 => "XOR2",
            Self::HistogramSt => "histogramST",
            Self::FloatHistogramSt => "floathistogramST",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run of samples of one series, compressed. The derived order (time, then encoding, then bytes) is the canonical
/// order of the chunks of a lane, in which copies stand side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chunk {
    /// Time of the first sample, ms, inclusive.
    pub min_time: Millis,
    /// Time of the last sample, ms, inclusive.
    pub max_time: Millis,
    /// How to read `data`.
    pub encoding: Encoding,
    /// The bare chunk: no length, no encoding byte, no checksum.
    pub data: Bytes,
}

/// What may be joined sample by sample: one tuple of replica label values.
///
/// A sidecar and the bucket of the same replica are one lane. A source that folded replicas itself, or whose label sets
/// carry no replica label, is a lane of its own, named by its store. With deduplication off there is one nameless lane,
/// since the replica labels are part of the series then.
///
/// The order of lanes is the order of preference of deduplication, so it must not depend on time or on who answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lane {
    /// The replica labels with their values; those that are absent are left out.
    pub replica: Labels,
    /// Set where `replica` does not tell the lane: it is empty though replica labels were asked to be removed, or the
    /// source folded several into one. Names the store that answered, and which of them.
    pub store: Option<StoreId>,
}

/// The chunks of one lane of a series. Ascending by [`Chunk`]'s order is not guaranteed, overlap and repetition are
/// allowed: [`crate::dedup::decode_lane`] sorts.
#[derive(Debug, Clone)]
pub struct LaneChunks {
    /// Whose chunks these are.
    pub lane: Lane,
    /// Chunks, which may reach beyond the asked time range.
    pub chunks: SmallVec<[Chunk; 1]>,
}

/// One logical series. Lists of one are part of it: a question about now finds one lane and one chunk in most series.
#[derive(Debug, Clone)]
pub struct Series {
    /// Labels without the replica labels that were asked to be removed.
    pub labels: Labels,
    /// At least one lane, lanes unique, in no special order.
    pub lanes: SmallVec<[LaneChunks; 1]>,
}

/// Lanes that one source may give of a series. A label that makes more of one series does not tell replicas apart.
const LANES_MAX: usize = 1_024;

impl Series {
    /// A series of one lane.
    pub fn of_lane(labels: Labels, lane: Lane, chunks: impl Into<SmallVec<[Chunk; 1]>>) -> Self {
        Self { labels, lanes: smallvec![LaneChunks { lane, chunks: chunks.into() }] }
    }

    /// Adds what else there is of the same series.
    pub(crate) fn join(&mut self, other: Series) {
        for part in other.lanes {
            match self.lanes.iter_mut().find(|have| have.lane == part.lane) {
                Some(have) => have.chunks.extend(part.chunks),
                None => self.lanes.push(part),
            }
        }
    }

    /// Errors: `Refused`, where the series has too many lanes.
    pub(crate) fn check_lanes(&self) -> Result<(), StoreError> {
        if self.lanes.len() <= LANES_MAX {
            return Ok(());
        }
        let what = format!("read series: the replica labels make more than {LANES_MAX} replicas of {}", self.labels);
        Err(StoreError::new(StoreErrorKind::Refused, what))
    }
}

/// Some hundred series in label order, and the memory they hold.
///
/// Invariant: ascending by labels, labels unique.
#[derive(Debug)]
pub struct SeriesBatch {
    /// The series.
    pub series: Vec<Series>,
    /// What they hold: labels, chunk lists, and chunk bytes with the frames they pin.
    pub held: Reservation,
}

/// Series a batch, at most: small enough to stay in cache, large enough to pay for the hand-over.
pub const BATCH_SERIES_MAX: usize = 256;

impl SeriesBatch {
    /// Checks the invariant in debug builds.
    pub fn new(series: Vec<Series>, held: Reservation) -> Self {
        debug_assert!(series.is_sorted_by(|a, b| a.labels < b.labels), "series of a batch out of order or doubled");
        debug_assert!(series.iter().all(|s| !s.lanes.is_empty()), "series without a lane");
        Self { series, held }
    }
}
