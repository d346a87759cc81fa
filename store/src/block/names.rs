//! Names and values of labels. Without matchers they go by whole blocks and see what was deleted, as those of
//! Prometheus do; with matchers by the series that fulfil them, wherever in the block their samples lie.

use std::sync::Arc;

use super::reader::Block;
use super::series::{inner, read_entries};
use super::{Access, postings};
use crate::LabelStrings;
use crate::bucket::at_once;
use crate::budget::{Budget, LimitExceeded};
use crate::error::StoreError;
use crate::matcher::Matcher;
use crate::select::Select;

/// Series whose entries are read at once.
const SLAB: usize = 4096;

/// The names of all labels of the matching series of `blocks`, without replica labels.
pub(crate) async fn label_names(
    access: &Access,
    blocks: &[Arc<Block>],
    request: &Select,
    budget: &Budget,
) -> Result<LabelStrings, StoreError> {
    let jobs: Vec<_> = blocks.iter().map(|block| names_of(access, block, request, budget)).collect();
    let mut all = collect(blocks, at_once(jobs.into_iter()).await, budget)?;
    all.retain(|name| !request.replica_labels.iter().any(|label| **label == *name));
    cut(&mut all, request.limit);
    Ok(all)
}

/// The values of label `name` in the matching series of `blocks`; none for a replica label.
pub(crate) async fn label_values(
    access: &Access,
    blocks: &[Arc<Block>],
    name: &str,
    request: &Select,
    budget: &Budget,
) -> Result<LabelStrings, StoreError> {
    if request.replica_labels.iter().any(|label| **label == *name) {
        return Ok(LabelStrings::new(budget));
    }
    let jobs: Vec<_> = blocks.iter().map(|block| values_of(access, block, name, request, budget)).collect();
    let mut all = collect(blocks, at_once(jobs.into_iter()).await, budget)?;
    cut(&mut all, request.limit);
    Ok(all)
}

fn collect(
    blocks: &[Arc<Block>],
    parts: Vec<Result<LabelStrings, StoreError>>,
    budget: &Budget,
) -> Result<LabelStrings, StoreError> {
    let mut all = LabelStrings::new(budget);
    for (block, part) in blocks.iter().zip(parts) {
        all.append(part.map_err(|e| e.within(format!("block {}", block.ulid())))?);
    }
    Ok(all)
}

fn cut(all: &mut LabelStrings, limit: usize) {
    if limit > 0 {
        all.truncate(limit);
    }
}

async fn names_of(
    access: &Access,
    block: &Block,
    request: &Select,
    budget: &Budget,
) -> Result<LabelStrings, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let matchers = inner(&block.labels, &request.matchers);
    let mut names = if matchers.is_empty() {
        let mut names = LabelStrings::new(budget);
        opened.index.label_names().try_for_each(|name| names.insert(name))?;
        names
    } else {
        let take =
            |pairs: &[(&str, &str)], out: &mut LabelStrings| pairs.iter().try_for_each(|(name, _)| out.insert(name));
        of_series(access, block, &matchers, budget, take).await?
    };
    if !names.is_empty() {
        block.labels.iter().try_for_each(|(name, _)| names.insert(name))?;
    }
    Ok(names)
}

async fn values_of(
    access: &Access,
    block: &Block,
    name: &str,
    request: &Select,
    budget: &Budget,
) -> Result<LabelStrings, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let matchers = inner(&block.labels, &request.matchers);
    let mut values = LabelStrings::new(budget);
    if let Some(value) = block.labels.get(name) {
        let (found, _held) = postings::select(&opened.index, &access.bucket, &matchers, budget).await?;
        if !found.is_empty() {
            values.insert(value)?;
        }
        return Ok(values);
    }
    if matchers.iter().all(|matcher| matcher.name() == name) {
        let mut inserted = Ok(());
        let visit = |value: &str, _| {
            if inserted.is_ok() && matchers.iter().all(|matcher| matcher.matches(value)) {
                inserted = values.insert(value);
            }
        };
        opened.index.values(&access.bucket, budget, (name, ""), visit).await?;
        inserted?;
        return Ok(values);
    }
    let take = |pairs: &[(&str, &str)], out: &mut LabelStrings| {
        let value = pairs.iter().find(|(have, value)| *have == name && !value.is_empty());
        value.map_or(Ok(()), |(_, value)| out.insert(value))
    };
    of_series(access, block, &matchers, budget, take).await
}

/// What `take` takes of the labels of the series that fulfil all matchers.
async fn of_series(
    access: &Access,
    block: &Block,
    matchers: &[&Matcher],
    budget: &Budget,
    take: impl Fn(&[(&str, &str)], &mut LabelStrings) -> Result<(), LimitExceeded>,
) -> Result<LabelStrings, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let (references, _held) = postings::select(&opened.index, &access.bucket, matchers, budget).await?;
    let mut out = LabelStrings::new(budget);
    for slab in references.chunks(SLAB) {
        let buffers = read_entries(&opened.index, &access.bucket, slab, budget).await?;
        buffers.visit(&opened.index, slab, |_, pairs, _| Ok(take(pairs, &mut out)?))?;
    }
    Ok(out)
}
