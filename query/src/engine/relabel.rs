//! label_replace() and label_join(): they change labels and leave values alone.

use masthead_store::labels::{LENGTH_MAX, METRIC_NAME};
use masthead_store::{Labels, LabelsBuilder};

use super::batch::Batch;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::plan::node::Relabel as Rule;

/// Bytes of a new label that count as paid for with the row.
const PAID: usize = 128;

/// Changes the labels of each row.
pub(super) struct Relabel {
    input: Source,
    rule: Rule,
}

impl Relabel {
    /// Applies `rule` to the rows of `input`.
    pub(super) fn new(input: Source, rule: Rule) -> Self {
        Self { input, rule }
    }
}

/// Upstream's own representation of labels ends here too, with an error of no kind (model/labels/labels_stringlabels.go,
/// sizeWhenEncoded).
fn too_long(name: &str, length: usize) -> QueryError {
    QueryError::Execution(format!(
        "the value of label {name:?} is {length} bytes long, the limit is {LENGTH_MAX} bytes"
    ))
}

impl Operator for Relabel {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let mut batch = pull(&mut *self.input, cx)?;
        if let Some(batch) = &mut batch {
            for (labels, drop_name) in batch.labels.iter_mut().zip(&mut batch.drop_name) {
                if let Some((destination, value)) = value(&self.rule, labels) {
                    if value.len() > LENGTH_MAX {
                        return Err(too_long(destination, value.len()));
                    }
                    batch.held.grow((destination.len() + value.len()).saturating_sub(PAID))?;
                    *labels = LabelsBuilder::new(labels).set(destination, &value).build();
                    // A name that was given on purpose stays.
                    *drop_name &= destination != METRIC_NAME;
                }
            }
        }
        Ok(batch)
    }
}

/// Which label gets which value; None if nothing changes.
fn value<'r>(rule: &'r Rule, labels: &Labels) -> Option<(&'r str, String)> {
    match rule {
        Rule::Replace { destination, replacement, source, regex } => {
            let captures = regex.captures(labels.value(source))?;
            let mut value = String::new();
            captures.expand(replacement, &mut value);
            Some((destination, value))
        }
        Rule::Join { destination, separator, sources } => {
            let values: Vec<&str> = sources.iter().map(|source| labels.value(source)).collect();
            Some((destination, values.join(separator)))
        }
    }
}
