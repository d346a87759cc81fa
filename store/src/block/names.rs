//! Names and values of labels. Without matchers they go by whole blocks and see what was deleted, as those of Prometheus do;
//! with matchers by the series that fulfil them, wherever in the block their samples lie.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::reader::Block;
use super::series::{inner, read_entries};
use super::{Access, postings};
use crate::bucket::at_once;
use crate::error::StoreError;
use crate::matcher::Matcher;
use crate::select::{LabelStrings, Select};

/// Series whose entries are read at once.
const SLAB: usize = 4096;

/// The names of all labels of the matching series of `blocks`, without replica labels.
pub(crate) async fn label_names(
    access: &Access,
    blocks: &[Arc<Block>],
    request: &Select,
) -> Result<LabelStrings, StoreError> {
    let jobs: Vec<_> = blocks.iter().map(|block| names_of(access, block, request)).collect();
    let parts = at_once(jobs.into_iter()).await;
    let mut all = collect(blocks, parts)?;
    all.retain(|name| !request.replica_labels.contains(name));
    Ok(cut(all, request.limit))
}

/// The values of label `name` in the matching series of `blocks`; none for a replica label.
pub(crate) async fn label_values(
    access: &Access,
    blocks: &[Arc<Block>],
    name: &str,
    request: &Select,
) -> Result<LabelStrings, StoreError> {
    if request.replica_labels.iter().any(|label| **label == *name) {
        return Ok(Vec::new());
    }
    let jobs: Vec<_> = blocks.iter().map(|block| values_of(access, block, name, request)).collect();
    let parts = at_once(jobs.into_iter()).await;
    Ok(cut(collect(blocks, parts)?, request.limit))
}

type Strings = BTreeSet<Box<str>>;

fn collect(blocks: &[Arc<Block>], parts: Vec<Result<Strings, StoreError>>) -> Result<Strings, StoreError> {
    let mut all = Strings::new();
    for (block, part) in blocks.iter().zip(parts) {
        all.extend(part.map_err(|e| e.within(format!("block {}", block.ulid())))?);
    }
    Ok(all)
}

fn cut(all: Strings, limit: usize) -> LabelStrings {
    all.into_iter().take(if limit == 0 { usize::MAX } else { limit }).collect()
}

async fn names_of(access: &Access, block: &Block, request: &Select) -> Result<Strings, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let matchers = inner(&block.labels, &request.matchers);
    let mut names = if matchers.is_empty() {
        opened.index.label_names().map(Box::from).collect()
    } else {
        of_series(access, block, &matchers, |pairs, out| {
            for (name, _) in pairs {
                if !out.contains(*name) {
                    out.insert((*name).into());
                }
            }
        })
        .await?
    };
    if !names.is_empty() {
        names.extend(block.labels.iter().map(|(name, _)| Box::from(name)));
    }
    Ok(names)
}

async fn values_of(access: &Access, block: &Block, name: &str, request: &Select) -> Result<Strings, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let matchers = inner(&block.labels, &request.matchers);
    if let Some(value) = block.labels.get(name) {
        let budget = &access.budget;
        let found = postings::select(&opened.index, &access.bucket, &matchers, budget).await?;
        return Ok(found.0.first().map(|_| value.into()).into_iter().collect());
    }
    if matchers.iter().all(|matcher| matcher.name() == name) {
        let fulfils = |value: &str| matchers.iter().all(|matcher| matcher.matches(value));
        let values = opened.index.values(&access.bucket, (name, ""), fulfils).await?;
        return Ok(values.into_iter().map(|(value, _)| value).collect());
    }
    of_series(access, block, &matchers, |pairs, out| {
        let value = pairs.iter().find(|(have, _)| *have == name).map(|(_, value)| *value);
        if let Some(value) = value.filter(|value| !value.is_empty() && !out.contains(*value)) {
            out.insert(value.into());
        }
    })
    .await
}

/// What `take` takes of the labels of the series that fulfil all matchers.
async fn of_series(
    access: &Access,
    block: &Block,
    matchers: &[&Matcher],
    take: impl Fn(&[(&str, &str)], &mut Strings),
) -> Result<Strings, StoreError> {
    let opened = block.open(&access.bucket, &access.budget).await?;
    let (references, _held) = postings::select(&opened.index, &access.bucket, matchers, &access.budget).await?;
    let mut out = Strings::new();
    for slab in references.chunks(SLAB) {
        let buffers = read_entries(&opened.index, &access.bucket, slab, &access.budget).await?;
        buffers.visit(&opened.index, slab, |_, pairs, _| {
            take(pairs, &mut out);
            Ok(())
        })?;
    }
    Ok(out)
}
