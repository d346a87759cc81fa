//! Chunks made anew for readers that do not know their encodings. That is computing: it is done in parts, away from the
//! threads that read and write. Series that need none of it pass through, on the spot.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tonic::metadata::MetadataMap;

use crate::budget::Reservation;
use crate::chunk;
use crate::error::{StoreError, StoreErrorKind};
use crate::samples::Samples;
use crate::series::{Chunk, ENCODINGS_KEY, Encoding, Series};

/// Bytes of chunks that are made anew in one go, about: some milliseconds of work. One series always is.
const PART_BYTES: usize = 128 << 10;

/// Faults of chunks that are told one by one; of others it is told how many there are.
const FAULTS_MAX: usize = 20;

/// Who reads the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The encodings 1 to 3, which have names in the StoreAPI: chunks of others are made anew, without start
    /// timestamps.
    Thanos,
    /// All of them, as they are.
    Masthead,
}

impl Reader {
    /// What a caller says in the metadata of its call.
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let most = metadata.get(ENCODINGS_KEY).and_then(|value| value.to_str().ok()?.parse::<u8>().ok());
        if most.is_some_and(|most| most >= Encoding::FloatHistogramSt as u8) { Self::Masthead } else { Self::Thanos }
    }

    fn reads(self, series: &Series) -> bool {
        let mut chunks = series.lanes.iter().flat_map(|lane| &lane.chunks);
        self == Self::Masthead || chunks.all(is_known)
    }
}

/// Whether every reader knows the encoding.
fn is_known(chunk: &Chunk) -> bool {
    chunk.encoding <= Encoding::FloatHistogram
}

/// Chunks that were left out since they are damaged.
#[derive(Debug, Default)]
pub(super) struct Faults {
    texts: Vec<String>,
    more: usize,
}

impl Faults {
    fn push(&mut self, text: impl fmt::Display) {
        match self.texts.len() < FAULTS_MAX {
            true => self.texts.push(text.to_string()),
            false => self.more += 1,
        }
    }

    /// A sentence each, the last one for those that are not told.
    pub(super) fn texts(self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("{} more damaged chunks are left out", self.more));
        self.texts.into_iter().chain(more)
    }
}

/// The series of one answer on their way to their reader.
pub(super) struct Transcoder {
    pub(super) reader: Reader,
    /// Whether a chunk that cannot be made anew fails the call; else it is left out and noted.
    pub(super) abort: bool,
    pub(super) faults: Faults,
    /// How many parts may be in work at once, over all calls.
    pub(super) turns: Arc<Semaphore>,
}

impl Transcoder {
    /// The series as the reader can read them. Those of which no chunk is left are left out: a Thanos Querier fails on
    /// a series without chunks. `held` is what `series` hold, and pays for the work.
    ///
    /// Errors: our own budget is used up, or a chunk is damaged and that is to fail the call.
    pub(super) async fn readable(
        &mut self,
        series: Vec<Series>,
        mut held: Reservation,
    ) -> Result<(Vec<Series>, Reservation), StoreError> {
        if series.iter().all(|series| self.reader.reads(series)) {
            return Ok((series, held));
        }
        let mut readable = Vec::with_capacity(series.len());
        let mut rest = series.into_iter().peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let part: Vec<Series> = std::iter::from_fn(|| {
                let next = rest.next_if(|_| bytes < PART_BYTES)?;
                bytes += next.lanes.iter().flat_map(|lane| &lane.chunks).map(|chunk| chunk.data.len()).sum::<usize>();
                Some(next)
            })
            .collect();
            let broken = |_| StoreError::new(StoreErrorKind::Unavailable, "make chunks anew: the work broke off");
            // Kept by the work, which goes on for a while if the caller has gone.
            let turn = self.turns.clone().acquire_owned().await.map_err(|error| broken(error.to_string()))?;
            let (abort, mut faults) = (self.abort, std::mem::take(&mut self.faults));
            let work = spawn_blocking(move || {
                let _turn = turn;
                let done = part_of(part, abort, &mut faults, &mut held);
                (done, faults, held)
            });
            let done;
            (done, self.faults, held) = work.await.map_err(|error| broken(error.to_string()))?;
            readable.extend(done?);
        }
        Ok((readable, held))
    }
}

fn part_of(
    part: Vec<Series>,
    abort: bool,
    faults: &mut Faults,
    held: &mut Reservation,
) -> Result<Vec<Series>, StoreError> {
    let mut done = Vec::with_capacity(part.len());
    for mut series in part {
        let labels = &series.labels;
        for lane in &mut series.lanes {
            let mut kept = 0;
            for at in 0..lane.chunks.len() {
                let chunk = &mut lane.chunks[at];
                let is_left = match is_known(chunk) {
                    true => true,
                    false => match again(chunk, held) {
                        Ok(made) => made.map(|made| *chunk = made).is_some(),
                        Err(error) if abort || error.limit().is_some() => {
                            return Err(error.within(format_args!("series {labels}")));
                        }
                        Err(error) => {
                            let Chunk { min_time, max_time, .. } = chunk;
                            faults.push(format_args!(
                                "series {labels}: a chunk from {min_time} to {max_time} ms is left out: {error}"
                            ));
                            false
                        }
                    },
                };
                if is_left {
                    lane.chunks.swap(kept, at);
                    kept += 1;
                }
            }
            lane.chunks.truncate(kept);
        }
        if series.lanes.iter().any(|lane| !lane.chunks.is_empty()) {
            done.push(series);
        }
    }
    Ok(done)
}

/// The chunk in an encoding that all know; None where no sample is in it.
fn again(chunk: &Chunk, held: &mut Reservation) -> Result<Option<Chunk>, StoreError> {
    let before = held.bytes();
    held.grow(chunk::decoded_bytes_max(chunk))?;
    let mut samples = Samples::default();
    let made = chunk::decode(chunk, &mut samples).map(|()| {
        samples.start_timestamps.clear();
        samples.histograms.iter_mut().for_each(|sample| sample.start_timestamp = 0);
        chunk::encode_again(&samples, chunk.encoding)
    });
    held.shrink_to(before);
    let made = made?;
    let bytes = made.as_ref().map_or(0, |made| made.data.len());
    held.grow(bytes.saturating_sub(chunk.data.len()))?;
    Ok(made)
}
