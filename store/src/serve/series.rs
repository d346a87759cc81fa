//! `thanos.Store/Series`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use masthead_proto::thanos::{PartialResponseStrategy, SeriesRequest, ShardInfo};
use tonic::server::ServerStreamingService;
use tonic::{Request, Response, Status};

use super::expiring::Expiring;
use super::transcode::{Faults, Reader, Transcoder};
use super::{Asked, Call, frame, shortcomings};
use crate::budget::Reservation;
use crate::fanout::{Feed, fan_out};
use crate::shard::Shard;

/// Series a frame, at most, whatever the caller asks for.
const BATCH_MAX: usize = 256;

pub(super) type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The next frames, and what comes after them.
type NextFrames = BoxFuture<'static, Result<Option<(Vec<Bytes>, Option<Answering>)>, Status>>;

impl ServerStreamingService<SeriesRequest> for Call {
    type Response = Bytes;
    type ResponseStream = Frames;
    type Future = BoxFuture<'static, Result<Response<Frames>, Status>>;

    fn call(&mut self, request: Request<SeriesRequest>) -> Self::Future {
        let call = self.clone();
        let reader = Reader::of(request.metadata());
        async move { call.series(request.into_inner(), reader).map(Response::new) }.boxed()
    }
}

/// What of a request counts once the series come.
struct Answering {
    feed: Feed,
    /// Keeps a caller's shard; None: everything.
    shard: Option<Shard>,
    batch: usize,
    /// For the reader; knows too whether anything that is missing fails the call.
    transcoder: Transcoder,
    /// Series that may still be sent.
    left: usize,
    /// What the frames hold that are being sent: as much as the series that they were made of.
    sending: Option<Reservation>,
}

impl Call {
    /// The frames of an answer.
    pub(super) fn series(&self, request: SeriesRequest, reader: Reader) -> Result<Frames, Status> {
        let asked = Asked {
            matchers: &request.matchers,
            times: (request.min_time, request.max_time),
            replica_labels: &request.without_replica_labels,
            // With a shard the limit is one of that shard's series.
            limit: if request.shard_info.is_some() { 0 } else { request.limit },
        };
        let mut select = asked.select()?;
        select.labels_only = request.skip_chunks;
        // Without matchers a store gateway has nothing to say, where a sidecar refuses.
        if select.matchers.is_empty() || select.min_time > select.max_time {
            return Ok(stream::empty().boxed());
        }
        let answering = Answering {
            feed: fan_out(&self.stores(), Arc::new(select), &self.budget(), &self.fan_out()),
            shard: request.shard_info.and_then(shard_of),
            batch: usize::try_from(request.response_batch_size).unwrap_or(0).clamp(1, BATCH_MAX),
            transcoder: Transcoder {
                reader,
                abort: request.partial_response_disabled
                    || request.partial_response_strategy == PartialResponseStrategy::Abort as i32,
                faults: Faults::default(),
                turns: self.service.0.transcoding.clone(),
            },
            left: usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX),
            sending: None,
        };
        let frames = stream::try_unfold(Some(answering), |state| {
            state.map_or_else(|| futures::future::ok(None).boxed(), next_frames)
        })
        .map(|frames| {
            frames.map_or_else(|status| vec![Err(status)], |frames: Vec<Bytes>| frames.into_iter().map(Ok).collect())
        })
        .flat_map(stream::iter);
        Ok(Expiring::new(frames.boxed(), self.deadline).boxed())
    }
}

/// The frames of the next batch of series, or the warnings at the end.
fn next_frames(mut state: Answering) -> NextFrames {
    async move {
        // The frames before were all taken.
        state.sending = None;
        let next = state.feed.next().await;
        match next.map_err(|limit| Status::resource_exhausted(limit.to_string()))? {
            Some(batch) if state.left > 0 => {
                let mut series = batch.series;
                series.retain(|series| state.shard.as_ref().is_none_or(|shard| shard.holds(&series.labels)));
                series.truncate(state.left);
                state.left -= series.len();
                let readable = state.transcoder.readable(series, batch.held).await;
                let (series, mut held) = readable.map_err(|error| super::status(&error))?;
                let frames: Vec<Bytes> = match state.batch {
                    1 => series.iter().map(frame::series).collect(),
                    size => series.chunks(size).map(frame::batch).collect(),
                };
                // What was made anew for this reader may be larger than what it was made of.
                let more = frames.iter().map(Bytes::len).sum::<usize>().saturating_sub(held.bytes());
                held.grow(more).map_err(|limit| Status::resource_exhausted(limit.to_string()))?;
                state.sending = Some(held);
                Ok(Some((frames, Some(state))))
            }
            _ => {
                let missing = shortcomings(&state.feed.coverage());
                match missing.first() {
                    Some(first) if state.transcoder.abort => Err(Status::aborted(first.clone())),
                    _ => {
                        let texts = missing.into_iter().chain(state.transcoder.faults.texts());
                        Ok(Some((texts.map(|text| frame::warning(&text)).collect(), None)))
                    }
                }
            }
        }
    }
    .boxed()
}

/// The part of all series that a caller wants; None where it wants all. One that there is not holds nothing.
fn shard_of(info: ShardInfo) -> Option<Shard> {
    let total = u64::try_from(info.total_shards).ok().filter(|total| *total > 0)?;
    let index = u64::try_from(info.shard_index).unwrap_or(u64::MAX);
    Some(Shard { index, total, by: info.by, labels: info.labels.into_iter().map(Into::into).collect() })
}
